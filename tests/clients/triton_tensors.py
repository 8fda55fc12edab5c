"""Tensors of every datatype, there and back by tritonclient, as bytes and as JSON."""

import ml_dtypes
import numpy as np

from cases import case, equal
from triton_clients import binary, output, refused, same, tensor


def integers(datatype):
    bounds = np.iinfo(datatype)
    return np.array([[bounds.min, bounds.max, 0], [1, bounds.min + 1, bounds.max - 1]], datatype)


def floats(datatype):
    bounds = ml_dtypes.finfo(datatype)
    ends = [bounds.min, bounds.max, bounds.smallest_normal, bounds.smallest_subnormal, -0.0, 0.1]
    return np.array(ends, datatype).reshape(2, 3)


SAMPLES = {
    "BOOL": ("identity_bool", np.array([[True, False, True], [False, False, True]])),
    "INT8": ("identity_int8", integers(np.int8)),
    "INT16": ("identity_int16", integers(np.int16)),
    "INT32": ("identity_int32", integers(np.int32)),
    "INT64": ("identity_int64", integers(np.int64)),
    "UINT8": ("identity_uint8", integers(np.uint8)),
    "UINT16": ("identity_uint16", integers(np.uint16)),
    "UINT32": ("identity_uint32", integers(np.uint32)),
    "UINT64": ("identity_uint64", integers(np.uint64)),
    "FP16": ("identity_float16", floats(np.float16)),
    "BF16": ("identity_bfloat16", floats(ml_dtypes.bfloat16)),
    "FP32": ("identity_float", floats(np.float32)),
    "FP64": ("identity_double", floats(np.float64)),
    "BYTES": (
        "identity_string",
        np.array(
            [
                [b"plain", "gr\u00f6\u00dfer \u6f22\u5b57 \U0001f980".encode(), b""],
                [b'"\\\n\t', b"\x00", b" "],
            ],
            object,
        ),
    ),
}


@case
async def every_datatype_comes_back_by_bytes_and_by_json(client):
    for datatype, (model, array) in SAMPLES.items():
        metadata = await client.get_model_metadata(model)
        equal(metadata["inputs"], [{"name": "x", "datatype": datatype, "shape": [-1, -1]}])
        # The client itself sends no BF16 as JSON.
        for sent in [True] if datatype == "BF16" else [True, False]:
            for received in [True, False]:
                result = await client.infer(
                    model, [tensor("x", array, sent)], outputs=[output("y", received)]
                )
                equal(result.get_output("y")["datatype"], datatype)
                equal("data" in result.get_output("y"), not received, "JSON")
                same(result, "y", array)
            same(await client.infer(model, [tensor("x", array, sent)]), "y", array)


@case
async def bytes_that_are_no_text_come_back_as_bytes_alone(client):
    array = np.array([[b"\xff\xfe\x00\x80"], [b"\xc3"], [b"a\x00b"]], object)
    same(await client.infer("identity_string", [binary("x", array)]), "y", array)
    call = client.infer("identity_string", [binary("x", array)], outputs=[output("y", False)])
    await refused(400, ["'y'", "UTF-8", "binary_data"], call)


@case
async def numbers_that_json_has_no_word_for_are_read_from_it(client):
    array = np.array([[np.nan, np.inf, -np.inf]], np.float32)
    for sent in [True, False]:
        same(await client.infer("identity_float", [tensor("x", array, sent)]), "y", array)
        result = await client.infer(
            "identity_float", [tensor("x", array, sent)], outputs=[output("y", False)]
        )
        equal(result.get_output("y")["data"], [None, None, None])


@case
async def inputs_and_outputs_may_be_mixed(client):
    a, b = np.arange(32, dtype=np.int32).reshape(2, 16), np.full((2, 16), 7, np.int32)
    for a_sent, b_sent, sum_received, difference_received in [
        (True, True, True, True), (True, False, False, True), (False, True, True, False), (False, False, False, False),
    ]:  # fmt: skip
        result = await client.infer(
            "add_sub",
            [tensor("b", b, b_sent), tensor("a", a, a_sent)],
            outputs=[output("difference", difference_received), output("sum", sum_received)],
        )
        same(result, "sum", a + b)
        same(result, "difference", a - b)
        equal([one["name"] for one in result.get_response()["outputs"]], ["difference", "sum"])
    texts = [np.array([b"a", "\u00e4".encode()], object), np.array([b"", b"b"], object)]
    result = await client.infer("string_join", [tensor("a", texts[0], False), binary("b", texts[1])])
    same(result, "joined", texts[0] + texts[1])


@case
async def only_the_outputs_that_are_asked_for_come(client):
    a = np.ones((1, 16), np.int32)
    result = await client.infer("add_sub", [binary("a", a), binary("b", a)], outputs=[output("difference")])
    equal([one["name"] for one in result.get_response()["outputs"]], ["difference"])
    same(result, "difference", a - a)
    equal(result.as_numpy("sum"), None)


@case
async def empty_tensors_come_back(client):
    for shape in [(0, 3), (2, 0), (0, 0)]:
        for model, datatype in [
            ("identity_float", np.float32),
            ("identity_string", np.object_),
            ("identity_bool", np.bool_),
        ]:
            array = np.empty(shape, datatype)
            for sent in [True, False]:
                for received in [True, False]:
                    result = await client.infer(
                        model, [tensor("x", array, sent)], outputs=[output("y", received)]
                    )
                    same(result, "y", array)


@case
async def eight_megabytes_come_back(client):
    array = np.random.default_rng(1).random((1024, 2048), np.float32)
    same(await client.infer("identity_float", [binary("x", array)]), "y", array)
    part = array[:64]
    result = await client.infer("identity_float", [tensor("x", part, False)], outputs=[output("y", False)])
    same(result, "y", part)


@case
async def classes_have_values_indices_and_labels(client):
    rows = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]], np.float32)
    for received in [True, False]:
        result = await client.infer(
            "iris", [binary("measurements", rows)], outputs=[output("probabilities", received, class_count=2)]
        )
        described = result.get_output("probabilities")
        equal((described["datatype"], described["shape"]), ("BYTES", [2, 2]))
        texts = [
            text.decode() if isinstance(text, bytes) else text
            for text in result.as_numpy("probabilities").flatten()
        ]
        words = [text.split(":") for text in texts]
        equal(
            [word[1:] for word in words],
            [["0", "setosa"], ["1", "versicolor"], ["2", "virginica"], ["1", "versicolor"]],
        )
        values = [float(word[0]) for word in words]
        assert 0.98 < values[0] < 1 and values[0] > values[1] and values[2] > values[3], values
    # No labels; and no more classes than there are.
    digit = np.zeros((1, 1, 28, 28), np.float32)
    result = await client.infer(
        "digits", [binary("image", digit)], outputs=[output("probabilities", class_count=50), output("digit")]
    )
    words = [text.decode().split(":") for text in result.as_numpy("probabilities")[0]]
    equal(sorted(int(index) for _, index in words), list(range(10)))
    equal([float(value) for value, _ in words], sorted((float(value) for value, _ in words), reverse=True))
    equal(result.as_numpy("digit").tolist(), [int(words[0][1])])
