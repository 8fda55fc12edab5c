#!/usr/bin/env python3
"""Makes the test models: models/NAME/model.onnx.

    pip install numpy onnx onnxruntime
    python3 tests/data/make.py [-d DIR] [NAME ...]    # default: all, into tests/data/models

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
) -> bytes:
    initializers = [numpy_helper.from_array(w, name) for name, w in (weights or {}).items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset)],
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


def from_onnxruntime(name: str) -> bytes:
    """One of the models that the onnxruntime package brings (MIT)."""
    from onnxruntime.datasets import get_example

    return Path(get_example(f"{name}.onnx")).read_bytes()


MODELS: dict[str, Callable[[], bytes]] = {
    **{f"identity_{t.lower()}": lambda t=t: identity(getattr(TensorProto, t)) for t in IDENTITY_TYPES},
    **{name: lambda name=name: from_onnxruntime(name) for name in ("logreg_iris", "mul_1", "sigmoid")},
    "add_sub": add_sub,
    "busy": busy,
    "fail_at_run": fail_at_run,
    "half": half,
    "lookup": lookup,
    "mlp": mlp,
    "string_join": string_join,
}


def make(names: Iterable[str], folder: Path) -> None:
    for name in names:
        data = MODELS[name]()
        path = folder / name / "model.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        print(f"{hashlib.sha256(data).hexdigest()}  {len(data):>8}  {path}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-d", "--dir", type=Path, default=Path(__file__).resolve().parent / "models")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODELS)}")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in MODELS:
            parser.error(f"no model is called {name!r}")
    make(arguments.names or MODELS, arguments.dir)


if __name__ == "__main__":
    main()
