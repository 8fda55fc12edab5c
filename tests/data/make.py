#!/usr/bin/env python3
"""Makes the test models: models/NAME/model.onnx.

    pip install numpy onnx onnxruntime
    python3 tests/data/make.py [-d DIR] [NAME ...]    # default: all, into tests/data/models and refused beside it

The same versions give the same bytes. All but `mlp` (16.8 MB) are kept in the repository.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

FLOAT, INT32, INT64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64
IDENTITY_TYPES = (
    "FLOAT", "DOUBLE", "FLOAT16", "BFLOAT16", "INT8", "INT16", "INT32", "INT64",
    "UINT8", "UINT16", "UINT32", "UINT64", "BOOL", "STRING",
)  # fmt: skip

value = helper.make_tensor_value_info
node = helper.make_node


def model(
    nodes: list[NodeProto],
    inputs: list[ValueInfoProto],
    outputs: list[ValueInfoProto],
    weights: dict[str, np.ndarray] | None = None,
    opset: int = 17,
    ml_opset: int | None = None,
) -> bytes:
    initializers = [numpy_helper.from_array(w, name) for name, w in (weights or {}).items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    made = helper.make_model(
        graph,
        opset_imports=[
            helper.make_opsetid("", opset),
            *([helper.make_opsetid("ai.onnx.ml", ml_opset)] if ml_opset else []),
        ],
        ir_version=8 if opset < 20 else 9,
        producer_name="predictd",
    )
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


def identity(element: int) -> bytes:
    return model(
        [node("Identity", ["x"], ["y"])], [value("x", element, ["n", "m"])], [value("y", element, ["n", "m"])]
    )


def add_sub() -> bytes:
    """Two inputs, two outputs."""
    return model(
        [node("Add", ["a", "b"], ["sum"]), node("Sub", ["a", "b"], ["difference"])],
        [value("a", INT32, ["batch", 16]), value("b", INT32, ["batch", 16])],
        [value("sum", INT32, ["batch", 16]), value("difference", INT32, ["batch", 16])],
    )


def half() -> bytes:
    """As cheap as a model can be."""
    return model(
        [node("Mul", ["x", "k"], ["y"])],
        [value("x", FLOAT, ["batch", 8])],
        [value("y", FLOAT, ["batch", 8])],
        {"k": np.array(0.5, np.float32)},
    )


def string_join() -> bytes:
    """Text in and out. (StringNormalizer would need the locale en_US.)"""
    return model(
        [node("StringConcat", ["a", "b"], ["joined"])],
        [value("a", TensorProto.STRING, ["n"]), value("b", TensorProto.STRING, ["n"])],
        [value("joined", TensorProto.STRING, ["n"])],
        opset=20,
    )


def fail_at_run() -> bytes:
    """Loads, then fails at every run: rows of 3 never fill 7 x 11, but their count is not known before."""
    return model(
        [node("Reshape", ["x", "shape"], ["y"])],
        [value("x", FLOAT, ["batch", 3])],
        [value("y", FLOAT, [7, 11])],
        {"shape": np.array([7, 11], np.int64)},
    )


def lookup() -> bytes:
    """The square of an index below 10; fails on any other, so one bad row can be put among good ones."""
    return model(
        [node("Gather", ["table", "index"], ["value"])],
        [value("index", INT64, ["batch"])],
        [value("value", FLOAT, ["batch"])],
        {"table": np.arange(10, dtype=np.float32) ** 2},
    )


def busy() -> bytes:
    """Takes as long as the int64 scalar `rounds` says: each multiplies by a 256 x 256 matrix.

    The matrix is computed at load, to keep the file small. It is orthogonal (the discrete sine transform), so
    that values neither grow nor fade into denormal numbers, which would change the time of a round.
    """
    body = helper.make_graph(
        [
            node("MatMul", ["state", "matrix"], ["product"]),
            node("Tanh", ["product"], ["next_state"]),
            node("Identity", ["go_on"], ["still_go_on"]),
        ],
        "round",
        [
            value("round", INT64, []),
            value("go_on", TensorProto.BOOL, []),
            value("state", FLOAT, ["batch", 256]),
        ],
        [value("still_go_on", TensorProto.BOOL, []), value("next_state", FLOAT, ["batch", 256])],
    )
    return model(
        [
            node("Mul", ["column", "row"], ["angle"]),
            node("Sin", ["angle"], ["sine"]),
            node("Mul", ["sine", "norm"], ["matrix"]),
            node("Loop", ["rounds", "", "x"], ["y"], body=body),
        ],
        [value("x", FLOAT, ["batch", 256]), value("rounds", INT64, [])],
        [value("y", FLOAT, ["batch", 256])],
        {
            "column": np.arange(1, 257, dtype=np.float32)[:, None],
            "row": (np.arange(1, 257) * np.pi / 257).astype(np.float32),
            "norm": np.sqrt(np.float32(2 / 257)),
        },
    )


def classifier(labels: list[int] | list[str]) -> bytes:
    """What scikit-learn's converter makes: a label, and for each row a map from class to probability (ZipMap)."""
    rows = len(labels)
    names = "classlabels_strings" if isinstance(labels[0], str) else "classlabels_ints"
    zip_names = "classlabels_strings" if isinstance(labels[0], str) else "classlabels_int64s"
    key = TensorProto.STRING if isinstance(labels[0], str) else INT64
    nodes = [
        node(
            "LinearClassifier",
            ["x"],
            ["label", "scores"],
            domain="ai.onnx.ml",
            coefficients=[float(v) for v in filled((rows * 2,), seed=1, amplitude=2.0)],
            intercepts=[0.0] * rows,
            multi_class=1,
            post_transform="SOFTMAX",
            **{names: labels},
        ),
        node("ZipMap", ["scores"], ["probabilities"], domain="ai.onnx.ml", **{zip_names: labels}),
    ]
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(key, helper.make_tensor_type_proto(FLOAT, [])))
    outputs = [value("label", key, ["rows"]), helper.make_value_info("probabilities", maps)]
    return model(nodes, [value("x", FLOAT, ["rows", 2])], outputs, opset=15, ml_opset=1)


def sequence() -> bytes:
    """The rows of `x`, one by one: a sequence of tensors."""
    rows = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, ["columns"]))
    return model(
        [node("SplitToSequence", ["x"], ["rows"], axis=0, keepdims=0)],
        [value("x", FLOAT, ["rows", "columns"])],
        [helper.make_value_info("rows", rows)],
    )


def optional() -> bytes:
    """Optional in and out: gives `x` back if `give` is true, and else leaves `y` out."""
    maybe = helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, ["n"]))
    given = helper.make_graph(
        [node("OptionalGetElement", ["x"], ["content"]), node("Optional", ["content"], ["given"])],
        "given",
        [],
        [helper.make_value_info("given", maybe)],
    )
    content = helper.make_tensor_type_proto(FLOAT, ["n"])
    nothing = helper.make_graph(
        [node("Optional", [], ["nothing"], type=content)], "nothing", [], [helper.make_value_info("nothing", maybe)]
    )
    return model(
        [node("If", ["give"], ["y"], then_branch=given, else_branch=nothing)],
        [helper.make_value_info("x", maybe), value("give", TensorProto.BOOL, [])],
        [helper.make_value_info("y", maybe)],
        opset=18,
    )


def scalars() -> bytes:
    """Nothing but scalars, in and out."""
    return model(
        [
            node("Add", ["a", "b"], ["sum"]),
            node("Greater", ["a", "b"], ["greater"]),
            node("StringConcat", ["text", "text"], ["twice"]),
        ],
        [value("a", FLOAT, []), value("b", FLOAT, []), value("text", TensorProto.STRING, [])],
        [value("sum", FLOAT, []), value("greater", TensorProto.BOOL, []), value("twice", TensorProto.STRING, [])],
        opset=20,
    )


def other_shape() -> bytes:
    """Declares an output of 1 x 4 and gives one of the shape asked for."""
    return model(
        [node("Reshape", ["x", "shape"], ["y"])],
        [value("x", FLOAT, ["n"]), value("shape", INT64, [2])],
        [value("y", FLOAT, [1, 4])],
    )


def odd_names() -> bytes:
    """Names that are no identifiers, as converters make them; twice the input."""
    return model(
        [node("Add", ["gpu_0/data.0:0", "gpu_0/data.0:0"], ["387"])],
        [value("gpu_0/data.0:0", FLOAT, ["batch", 2])],
        [value("387", FLOAT, ["batch", 2])],
    )


def dynamic_dims() -> bytes:
    """The sum of three, whose first dimension is a name, nothing, and -1."""
    inputs = [value("named", FLOAT, ["batch", 2]), value("unnamed", FLOAT, [None, 2]), value("negative", FLOAT, [-1, 2])]
    return model([node("Sum", ["named", "unnamed", "negative"], ["sum"])], inputs, [value("sum", FLOAT, [None, 2])])


def pass_through() -> bytes:
    """An output that is the input itself, without a node between, beside one that is not."""
    x = value("x", FLOAT, ["batch", "n"])
    return model([node("Neg", ["x"], ["negative"])], [x], [x, value("negative", FLOAT, ["batch", "n"])])


def nonzero() -> bytes:
    """Where `x` is not 0, a column each: may be none, and knows no rows."""
    return model(
        [node("NonZero", ["x"], ["places"])],
        [value("x", FLOAT, ["n", "m"])],
        [value("places", INT64, [2, "count"])],
    )


def mlp() -> bytes:
    """Four dense layers of 1024: a single row is bound by reading the 16.8 MB of weights, so batches pay."""
    nodes, weights = [], {}
    for layer in range(4):
        x = f"relu{layer - 1}" if layer else "x"
        weights[f"w{layer}"] = filled((1024, 1024), seed=layer, amplitude=np.sqrt(6 / 1024))
        nodes.append(node("MatMul", [x, f"w{layer}"], [f"product{layer}"]))
        nodes.append(node("Relu", [f"product{layer}"], [f"relu{layer}" if layer < 3 else "y"]))
    return model(nodes, [value("x", FLOAT, ["batch", 1024])], [value("y", FLOAT, ["batch", 1024])], weights)


def filled(shape: tuple[int, ...], seed: int, amplitude: float) -> np.ndarray:
    """Numbers that look random, the same in every version of numpy (the integer hash lowbias32)."""
    count = int(np.prod(shape))
    u = np.arange(seed * count, (seed + 1) * count, dtype=np.uint32)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        u = (u ^ (u >> np.uint32(shift))) * np.uint32(factor)
    return (amplitude * ((u >> np.uint32(8)) / 2**23 - 1)).astype(np.float32).reshape(shape)


def unchecked(
    nodes: list[NodeProto], inputs: list[ValueInfoProto], outputs: list[ValueInfoProto], domain: str = ""
) -> bytes:
    """What ONNX's checker does not like, or does not know, and ONNX Runtime takes."""
    graph = helper.make_graph(nodes, "test", inputs, outputs)
    imports = [helper.make_opsetid("", 17), *([helper.make_opsetid(domain, 1)] if domain else [])]
    made = helper.make_model(graph, opset_imports=imports, ir_version=8, producer_name="predictd")
    return made.SerializeToString()


def any_rank() -> bytes:
    """Tensors of which the model does not say how many dimensions they have."""
    return unchecked(
        [node("Identity", ["x"], ["y"])], [value("x", FLOAT, None)], [value("y", FLOAT, None)]
    )


def takes(kind: onnx.TypeProto, nodes: list[NodeProto], domain: str = "") -> bytes:
    """Takes an `x` that no request can bring."""
    return unchecked(
        nodes, [helper.make_value_info("x", kind)], [value("y", FLOAT, ["n", "m"])], domain
    )


def takes_map() -> bytes:
    kind = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(FLOAT, []))
    vectorizer = node("DictVectorizer", ["x"], ["y"], domain="ai.onnx.ml", string_vocabulary=["a", "b"])
    return takes(kind, [vectorizer], "ai.onnx.ml")


def takes_sequence() -> bytes:
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, ["n", "m"]))
    return takes(kind, [node("ConcatFromSequence", ["x"], ["y"], axis=0)])


def takes_sparse() -> bytes:
    product = node("SparseToDenseMatMul", ["x", "b"], ["y"], domain="com.microsoft")
    dense = node("Constant", [], ["b"], value=numpy_helper.from_array(np.ones((3, 2), np.float32)))
    return takes(helper.make_sparse_tensor_type_proto(FLOAT, [3, 3]), [dense, product], "com.microsoft")


def gives_float8() -> bytes:
    return model(
        [node("Cast", ["x"], ["y"], to=TensorProto.FLOAT8E4M3FN)],
        [value("x", FLOAT, ["n"])],
        [value("y", TensorProto.FLOAT8E4M3FN, ["n"])],
        opset=19,
    )


def from_onnxruntime(name: str) -> bytes:
    """One of the models that the onnxruntime package brings (MIT)."""
    from onnxruntime.datasets import get_example

    return Path(get_example(f"{name}.onnx")).read_bytes()


MODELS: dict[str, Callable[[], bytes]] = {
    **{f"identity_{t.lower()}": lambda t=t: identity(getattr(TensorProto, t)) for t in IDENTITY_TYPES},
    **{name: lambda name=name: from_onnxruntime(name) for name in ("logreg_iris", "mul_1", "sigmoid")},
    "add_sub": add_sub,
    "any_rank": any_rank,
    "busy": busy,
    "classifier": lambda: classifier(list(range(12))),
    "classifier_of_names": lambda: classifier(["ant", "bee", "\"ü\""]),
    "dynamic_dims": dynamic_dims,
    "fail_at_run": fail_at_run,
    "half": half,
    "lookup": lookup,
    "mlp": mlp,
    "nonzero": nonzero,
    "odd_names": odd_names,
    "optional": optional,
    "other_shape": other_shape,
    "pass_through": pass_through,
    "scalars": scalars,
    "sequence": sequence,
    "string_join": string_join,
}

# What is no tensor that the protocols know, where there has to be one: not to be served.
REFUSED: dict[str, Callable[[], bytes]] = {
    "gives_float8": gives_float8,
    "takes_map": takes_map,
    "takes_sequence": takes_sequence,
    "takes_sparse": takes_sparse,
}


def make(names: Iterable[str], folder: Path) -> None:
    for name in names:
        data = (MODELS | REFUSED)[name]()
        path = (folder if name in MODELS else folder.with_name("refused")) / name / "model.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        print(f"{hashlib.sha256(data).hexdigest()}  {len(data):>8}  {path}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-d", "--dir", type=Path, default=Path(__file__).resolve().parent / "models")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODELS | REFUSED)}")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in MODELS | REFUSED:
            parser.error(f"no model is called {name!r}")
    make(arguments.names or MODELS | REFUSED, arguments.dir)


if __name__ == "__main__":
    main()
