"""Models of a real server: what is asked in every way, and what comes back."""

from __future__ import annotations

import io
import json
import pickle
import socket
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import predictd
import pytest
from numpy.typing import NDArray
from predictd import BadInput, Model, NotFound, Overloaded, Server, ServerError

from .harness import ROOT, Peers, Running, answer, request, running, until

SAMPLES = ROOT / "models/digits/samples"
SETOSA = [5.1, 3.5, 1.4, 0.2]
VIRGINICA = [6.7, 3.0, 5.2, 2.3]
DATATYPES = {
    "bool": np.bool_,
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "uint8": np.uint8,
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "float16": np.float16,
    "float": np.float32,
    "double": np.float64,
}


def test_an_array_gives_an_array(server: Running) -> None:
    model = Model("half", server.address)
    x = np.arange(24, dtype=np.float32).reshape(3, 8)
    forms: list[Any] = [x, x.astype(np.float64), x.tolist(), x.astype(int), np.asfortranarray(x), {"x": x}]
    for same in forms:
        y = model.predict(same)
        assert (type(y), y.dtype) == (np.ndarray, np.float32)
        np.testing.assert_array_equal(y, x / 2)
    y[0, 0] = 7  # It is the caller's own.


def test_several_outputs_are_a_dict(server: Running) -> None:
    out = Model("iris", server.address).predict([SETOSA, VIRGINICA])
    assert list(out) == ["probabilities", "species"]
    assert out["species"].tolist() == [0, 2]
    assert out["probabilities"].shape == (2, 3)


def test_several_inputs_go_by_name_or_in_order(server: Running) -> None:
    model = Model("add_sub", server.address)
    a, b = np.full((2, 16), 5), np.full((2, 16), 3)
    forms: list[Any] = [{"a": a, "b": b}, {"b": b, "a": a}, [a, b], (a, b.tolist())]
    for x in forms:
        out = model.predict(x)
        assert (out["sum"][1, 7], out["difference"][0, 3]) == (8, 2)
    for x in [a, [a], [a, b, a]]:
        with pytest.raises(BadInput, match=r"model 'add_sub' has 2 inputs \(a, b\): give a dict"):
            model.predict(x)
    with pytest.raises(BadInput, match="model 'add_sub' has no input 'c'; it has 'a', 'b'"):
        model.predict({"a": a, "c": b})
    with pytest.raises(BadInput, match="b"):
        model.predict({"a": a})


def test_outputs_can_be_chosen(server: Running) -> None:
    model = Model("add_sub", server.address)
    inputs = {"a": np.full((1, 16), 5), "b": np.full((1, 16), 3)}
    assert list(model.infer(inputs)) == ["sum", "difference"]
    assert list(model.infer(inputs, ["difference"])) == ["difference"]
    assert list(Model("half", server.address).infer({"x": np.zeros((1, 8))})) == ["y"]
    with pytest.raises(BadInput, match="quotient"):
        model.infer(inputs, ["quotient"])


@pytest.mark.parametrize("name", DATATYPES)
def test_every_datatype_comes_back_as_it_went(server: Running, name: str) -> None:
    dtype = DATATYPES[name]
    x: NDArray[Any] = np.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)
    if np.dtype(dtype).kind in "iu":
        x[0] = [np.iinfo(dtype).min, np.iinfo(dtype).max, 1]
    elif np.dtype(dtype).kind == "f":
        x[0] = [np.finfo(dtype).max, -np.inf, np.nan]
    for sent in [x, x[:0], x[::-1, ::2], x.astype(x.dtype.newbyteorder(">"))]:
        y = Model(f"identity_{name}", server.address).predict(sent)
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, sent)


def test_bfloat16_goes_as_float_and_comes_as_float32(server: Running) -> None:
    model = Model("identity_bfloat16", server.address)
    x = np.array([[1.5, -2.25, 1.00390625]])
    for sent in [x, x.astype(np.float32), x.astype(ml_dtypes.bfloat16)]:
        y = model.predict(sent)
        assert y.dtype == np.float32
        assert y.tolist() == [[1.5, -2.25, 1.0]]


def test_strings_come_back(server: Running) -> None:
    model = Model("identity_string", server.address)
    forms: list[Any] = [[["a", "grün"]], [[b"a", "grün".encode()]], np.array([["a", "grün"]])]
    for x in forms:
        assert model.predict(x).tolist() == [["a", "grün"]]
    joined = Model("string_join", server.address).predict({"a": ["x", "y"], "b": [b"1", b"2"]})
    assert joined.shape == (2,)
    # A list of bytes is one of strings here, and of pictures elsewhere.
    assert Model("string_join", server.address).predict([["x"], ["y"]]).shape == (1,)


def test_scalars_have_no_dimensions(server: Running) -> None:
    out = Model("scalars", server.address).predict({"a": 1.5, "b": 2, "text": "ab"})
    assert (out["sum"].shape, float(out["sum"]), bool(out["greater"])) == ((), 3.5, False)
    assert out["twice"].shape == ()


def test_what_is_no_tensor_comes_as_json(server: Running) -> None:
    out = Model("classifier_of_names", server.address).predict([[0.0, 1.0]])
    assert isinstance(out["label"][0], str)
    probabilities = json.loads(out["probabilities"][0])
    assert out["label"][0] in probabilities


def test_megabytes_go_there_and_back(server: Running) -> None:
    x = np.random.default_rng(7).random((4096, 1024), np.float32)
    np.testing.assert_array_equal(Model("identity_float", server.address).predict(x), x)


def test_no_rows_are_no_error_of_ours(server: Running) -> None:
    assert Model("half", server.address).predict(np.zeros((0, 8))).shape == (0, 8)


def test_a_picture_may_come_in_many_forms(server: Running) -> None:
    model = Model("digits", server.address)
    path = SAMPLES / "7.png"
    data = path.read_bytes()
    with path.open("rb") as file:
        forms: list[Any] = [data, bytearray(data), memoryview(data), path, file, io.BytesIO(data)]
        for image in forms:
            classes = model.classify(image)
            assert classes[0]["label"] == "7"
            assert classes[0]["index"] == 7
            assert 0.9 < classes[0]["score"] <= 1
    assert model.predict(path) == model.classify(path)
    assert len(model.classify(path, top_k=2)) == 2
    assert len(model.classify(path, 99)) == 10


def test_pictures_in_a_list_give_a_list(server: Running) -> None:
    model = Model("digits", server.address)
    paths = [SAMPLES / f"{digit}.png" for digit in [3, 1, 4]]
    results = model.classify([paths[0], paths[1].read_bytes(), paths[2].open("rb")], top_k=1)
    assert [classes[0]["label"] for classes in results] == ["3", "1", "4"]
    assert [classes[0]["label"] for classes in model.predict(paths)] == ["3", "1", "4"]
    assert [classes[0]["label"] for classes in model.predict([paths[0].read_bytes()])] == ["3"]
    assert model.predict(paths[:1]) == [model.predict(paths[0])]


def test_a_model_that_takes_pictures_and_does_not_classify_gives_arrays() -> None:
    recipe = (ROOT / "models/digits/model.toml").read_text().split("[output]")[0]
    with running() as server:
        server.add("embed", (ROOT / "models/digits/model.onnx").read_bytes(), recipe)
        assert server.reload() == 0
        model = Model("embed", server.address)
        out = model.predict(SAMPLES / "7.png")
        assert out["probabilities"].shape == (10,)
        assert out["probabilities"].dtype == np.float32
        assert out["digit"].tolist() == 7
        assert [out["digit"].tolist() for out in model.predict([SAMPLES / "7.png", SAMPLES / "2.png"])] == [
            7,
            2,
        ]
        with pytest.raises(BadInput, match="model 'embed' does not classify"):
            model.classify(SAMPLES / "7.png")


def test_what_is_no_picture_is_refused(server: Running, tmp_path: Path) -> None:
    model = Model("digits", server.address)
    with pytest.raises(BadInput, match="picture") as caught:
        model.classify(b"no picture")
    assert caught.value.status == 422
    empty = tmp_path / "empty"
    empty.touch()
    nothing: list[Any] = [b"", empty, io.BytesIO()]
    for image in nothing:
        with pytest.raises(BadInput, match="the image is empty"):
            model.classify(image)
    with pytest.raises(BadInput, match="must give bytes, and gave str"):
        model.classify(io.StringIO("x"))  # type: ignore[arg-type]
    others: list[Any] = ["7.png", 7, [], ["7.png"], np.zeros(3)]
    for not_one in others:
        with pytest.raises(BadInput, match=r"an image is bytes, a pathlib\.Path or an open file, not "):
            model.classify(not_one)
    with pytest.raises(FileNotFoundError):
        model.classify(tmp_path / "nowhere.png")
    top_ks: list[Any] = [0, -1, 1.5, "1&version=2"]
    for top_k in top_ks:
        with pytest.raises(BadInput, match="top_k must be a whole number from 1"):
            model.classify(SAMPLES / "7.png", top_k=top_k)
    with pytest.raises(BadInput, match=r"array of <U5 is not cast; the path of a picture is a pathlib\.Path"):
        model.predict("7.png")
    # Raw bytes of the right length would be a row of numbers, if it were not said what they are.
    with pytest.raises(BadInput, match="picture"):
        model.classify(bytes(28 * 28 * 4))
    with pytest.raises(BadInput, match="takes no images"):
        Model("iris", server.address).predict(SAMPLES / "7.png")


def test_what_the_model_does_not_take_is_refused_with_what_it_does(server: Running) -> None:
    model = Model("half", server.address)
    with pytest.raises(
        BadInput, match=r"model 'half': input 'x' must be of shape \[-1, 8\], got \[1, 7\]"
    ) as caught:
        model.predict(np.zeros((1, 7)))
    assert caught.value.status == 400
    request_id = caught.value.request_id
    assert request_id
    until("the log names the request", lambda: request_id in server.log.read_text())
    with pytest.raises(ValueError, match="int32"):
        Model("add_sub", server.address).predict([np.full((1, 16), 0.5)] * 2)


def test_a_model_that_fails_is_the_servers_error(server: Running) -> None:
    with pytest.raises(ServerError, match="fail_at_run") as caught:
        Model("fail_at_run", server.address).predict(np.zeros((2, 3)))
    assert caught.value.status == 500
    with pytest.raises(ServerError, match="panicking"):
        Model("panicking", server.address).predict([[1.0]])


def test_a_model_or_version_that_is_not_there_is_not_found(server: Running) -> None:
    for model in [Model("nobody", server.address), Model("half", server.address, version=7)]:
        ask: list[Any] = [
            model.metadata,
            model.ready,
            partial(model.predict, [1.0]),
            partial(model.classify, b"x"),
        ]
        for call in ask:
            with pytest.raises(NotFound) as caught:
                call()
            assert caught.value.status == 404
    assert isinstance(caught.value, LookupError)


def test_a_version_can_be_named(server: Running) -> None:
    versions: list[Any] = [1, "1"]
    for version in versions:
        assert Model("digits", server.address, version=version).predict(SAMPLES / "7.png")[0]["label"] == "7"
        model = Model("half", server.address, version=version)
        assert model.predict(np.ones((1, 8)))[0, 0] == 0.5
        assert model.ready()


def test_what_a_model_is_can_be_asked(server: Running) -> None:
    model = Model("half", server.address)
    metadata = model.metadata()
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 8]}]
    assert (metadata["name"], metadata["versions"]) == ("half", ["1"])
    assert model.ready()


def test_the_server_says_what_it_is(server: Running) -> None:
    there = Server(server.address)
    assert there.ready()
    assert there.metadata()["name"] == "predictd"


def test_a_server_that_misses_a_model_is_not_ready() -> None:
    with running() as server:
        assert Server(server.address).ready()
        server.add("broken", b"no model")
        assert server.reload() != 0
        assert not Server(server.address).ready()
        model = Model("broken", server.address)
        assert not model.ready()
        with pytest.raises(Overloaded, match="broken") as caught:
            model.predict([1.0])
        assert (caught.value.status, caught.value.retry_after) == (503, 1.0)


def test_names_versions_addresses_and_timeouts_that_cannot_be_are_refused_at_once() -> None:
    names: list[Any] = ["", "a/b", "a b", "ü", "x" * 129, "../iris", "iris\n", None]
    for name in names:
        with pytest.raises(BadInput, match="is no model's name"):
            Model(name)
    versions: list[Any] = ["x", "1/ready", -1, 1.5, "", "1\n"]
    for version in versions:
        with pytest.raises(BadInput, match="is no version"):
            Model("iris", version=version)
    timeouts: list[Any] = [0, -1, float("inf"), float("nan"), True, "1"]
    for timeout in timeouts:
        with pytest.raises(BadInput, match="timeout must be a number of seconds above 0"):
            Model("iris", timeout=timeout)
        with pytest.raises(BadInput, match="timeout must be"):
            Model("iris", "unix:/nowhere").predict([1], timeout=timeout)
    with pytest.raises(BadInput, match="timeout must be"):
        Model("iris", timeout=None)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="timeout must be"):
        Server(timeout=0)


def test_a_model_can_be_pickled_and_shown(server: Running) -> None:
    model = Model("half", server.address, version=1, timeout=5)
    model.predict(np.ones((1, 8)))
    again = pickle.loads(pickle.dumps(model))
    assert again.predict(np.ones((1, 8)))[0, 0] == 0.5
    assert repr(again) == f"Model('half', {server.address!r}, version='1', timeout=5.0)"
    assert repr(Server("unix:@x")) == "Server('unix:@x', timeout=30.0)"


def test_a_model_that_is_replaced_is_asked_anew() -> None:
    with running() as server:

        def become(name: str) -> None:
            server.add("changing", (ROOT / f"tests/data/models/{name}/model.onnx").read_bytes())
            assert server.reload() == 0

        become("identity_float")
        model = Model("changing", server.address)
        assert model.predict([[1.5]]).dtype == np.float32
        become("identity_double")
        assert model.predict([[1.5]]).dtype == np.float64
        become("half")
        assert model.predict(np.ones((1, 8))).tolist() == [[0.5] * 8]
        become("identity_int32")
        # Refused by what it was, and taken by what it is.
        assert model.predict([[2**24 + 1]]).tolist() == [[2**24 + 1]]
        with pytest.raises(BadInput, match="INT32"):
            model.predict([[1.5]])


def test_inputs_by_order_go_by_that_of_the_model_as_it_is_now(peer: Peers) -> None:
    orders = iter([["a", "b"], ["a", "b"], ["b", "a"]])
    sent: list[list[str]] = []

    def script(connection: socket.socket) -> None:
        got = request(connection)
        if b"/infer" in got:
            # Two numbers are behind the JSON.
            inputs = json.loads(got[got.index(b'{"inputs"') : -8])["inputs"]
            sent.append([tensor["name"] for tensor in inputs])
            connection.sendall(answer(b'{"outputs": []}'))
        else:
            inputs = [{"name": name, "datatype": "FP32", "shape": [-1]} for name in next(orders)]
            connection.sendall(answer(json.dumps({"inputs": inputs, "outputs": []}).encode()))

    model = Model("changing", peer(script).address)
    for x in [[[1], [2]], {"a": [1], "b": [2]}, [[1], [2]], [[1], [2]]]:
        model.predict(x)
    # By name, what the model takes need not be asked again.
    assert sent == [["a", "b"], ["a", "b"], ["a", "b"], ["b", "a"]]


def test_its_version_is_that_of_the_package() -> None:
    try:
        installed = metadata.version("predictd")
    except metadata.PackageNotFoundError:
        # Run from its source.
        with pytest.raises(metadata.PackageNotFoundError):
            _ = predictd.__version__
    else:
        assert predictd.__version__ == installed
    with pytest.raises(AttributeError, match="nothing"):
        _ = predictd.nothing
