#!/usr/bin/env python3
"""Runs every test and sample model and writes what it answers: golden/NAME.json.

    pip install numpy onnxruntime pillow
    python3 tests/data/make.py && python3 models/fetch.py     # the models that are not kept here
    python3 tests/data/golden/make.py [NAME ...]

The format is described in tests/data/README.md.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
WHOLE = 64  # outputs up to this many elements are written in full

Input = tuple[np.ndarray, dict]  # the tensor, and how a test comes by it


def literal(values: object, dtype: str) -> Input:
    array = np.array(values, object if dtype == "string" else dtype)
    return array, {"data": array.reshape(-1).tolist()}


def hashed(shape: tuple[int, ...], dtype: str, seed: int, low: float, high: float) -> Input:
    u = np.arange(np.prod(shape), dtype=np.uint64) * 2654435761 + seed * 40503 & 0xFFFFFFFF
    u ^= u >> 15
    values = low + (high - low) * ((u >> 8) / 2**24)
    return values.astype(dtype).reshape(shape), {"hash": {"seed": seed, "low": low, "high": high}}


def digit(n: int) -> Input:
    path = f"models/digits/samples/{n}.png"
    pixels = np.asarray(Image.open(ROOT / path).convert("L"), np.float32)
    return pixels[None, None] / 255, {"file": path, "prepare": "grey / 255"}


def photo(path: str) -> Input:
    image = Image.open(ROOT / path).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)))
    return pixels[None], {"file": path, "prepare": "short side 256 bicubic, centre 224 x 224, RGB, NHWC"}


def magika(path: str) -> Input:
    data = (ROOT / path).read_bytes()
    head = list(data[:4096].lstrip()[:1024])
    tail = list(data[-4096:].rstrip()[-1024:])
    row = head + [256] * (1024 - len(head)) + [256] * (1024 - len(tail)) + tail
    return np.array([row], np.int32), {"file": path, "prepare": "magika"}


# model: what it takes in each case. The tolerances are wide enough for another CPU.
CASES: dict[str, dict[str, dict[str, Input]]] = {
    "add_sub": {
        "two rows": {
            "a": literal(np.arange(32).reshape(2, 16), "int32"),
            "b": literal(np.full((2, 16), 3), "int32"),
        }
    },
    "busy": {
        f"rounds {n}": {"x": hashed((1, 256), "float32", 1, -1, 1), "rounds": literal(n, "int64")}
        for n in (1, 100)
    },
    "digits": {f"a {n}": {"image": digit(n)} for n in range(10)},
    "efficientnet": {
        "noise": {"images": hashed((2, 224, 224, 3), "uint8", 1, 0, 256)},
        "cat": {"images": photo("tests/data/photos/cat.jpg")},
        "coffee": {"images": photo("tests/data/photos/coffee.jpg")},
    },
    "fail_at_run": {"two rows": {"x": literal(np.zeros((2, 3)), "float32")}},
    "half": {"two rows": {"x": hashed((2, 8), "float32", 1, -1, 1)}},
    "iris": {
        "one of each": {
            "measurements": literal(
                [[5.1, 3.5, 1.4, 0.2], [6.0, 2.9, 4.5, 1.5], [6.3, 3.3, 6.0, 2.5]], "float32"
            )
        }
    },
    "logreg_iris": {"three rows": {"float_input": literal([[5.1, 3.5], [6.2, 2.9], [5.9, 3.0]], "float32")}},
    "lookup": {
        "good": {"index": literal([0, 3, 9], "int64")},
        "bad": {"index": literal([3, 99], "int64")},
    },
    "magika": {
        Path(path).name: {"bytes": magika(path)}
        for path in (
            "models/digits/samples/3.png",
            "tests/data/photos/coffee.jpg",
            "tests/data/files/hello.py",
            "tests/data/files/hello.sh",
            "tests/data/files/main.rs",
            "tests/data/files/people.json",
        )
    },
    "mlp": {
        "one row": {"x": hashed((1, 1024), "float32", 1, -1, 1)},
        "four rows": {"x": hashed((4, 1024), "float32", 2, -1, 1)},
    },
    "mul_1": {"one": {"X": literal([[1, 2], [3, 4], [5, 6]], "float32")}},
    "sigmoid": {"one": {"x": hashed((3, 4, 5), "float32", 1, -1, 1)}},
    "string_join": {
        "three rows": {
            "a": literal(["hello ", "Grüße, ", ""], "string"),
            "b": literal(["world", "Jürgen 🦀", ""], "string"),
        }
    },
}


def dtype_name(array: np.ndarray) -> str:
    return "string" if array.dtype.kind in "OU" else array.dtype.name


def describe(output: object) -> object:
    """A tensor as the golden file has it; what is not a tensor (a sequence of maps), as it is."""
    if not isinstance(output, np.ndarray):
        return output
    flat = output.reshape(-1)
    described: dict[str, object] = {"dtype": dtype_name(output), "shape": list(output.shape)}
    if flat.size <= WHOLE:
        return {**described, "data": shortened(flat)}
    return {
        **described,
        "first": shortened(flat[:16]),
        "sum": float(f"{flat.sum(dtype=np.float64):.7g}"),
        "min": shortened(flat.min()),
        "max": shortened(flat.max()),
    }


def shortened(values: np.ndarray) -> object:
    if values.dtype.kind != "f":
        return values.tolist()
    return np.vectorize(lambda v: float(f"{v:.7g}"), otypes=[float])(values).tolist()


def labelled(folder: Path, outputs: dict[str, object]) -> list[str]:
    """The top label of every row, where the model has labels."""
    labels = (folder / "labels.txt").read_text().splitlines()
    scores = next(o for o in outputs.values() if o.dtype.kind == "f")
    return [labels[row.argmax()] for row in scores]


def golden(name: str) -> dict[str, object]:
    folder = next(
        f for f in (ROOT / "models" / name, HERE.parent / "models" / name) if (f / "model.onnx").exists()
    )
    path = folder / "model.onnx"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    cases = []
    for case_name, inputs in CASES[name].items():
        case: dict[str, object] = {
            "name": case_name,
            "inputs": {
                key: {"dtype": dtype_name(array), "shape": list(array.shape), **source}
                for key, (array, source) in inputs.items()
            },
        }
        try:
            results = session.run(None, {key: array for key, (array, _) in inputs.items()})
        except Exception as error:  # onnxruntime has no class of its own for them
            case["error"] = str(error).splitlines()[0]
        else:
            outputs = dict(zip((o.name for o in session.get_outputs()), results))
            case["outputs"] = {key: describe(output) for key, output in outputs.items()}
            if (folder / "labels.txt").exists():
                case["labels"] = labelled(folder, outputs)
        cases.append(case)
    return {
        "model": path.relative_to(ROOT).as_posix(),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "made_with": f"onnxruntime {onnxruntime.__version__}",
        "rtol": 1e-3,
        "atol": 1e-4,
        "cases": cases,
    }


def to_json(document: dict[str, object]) -> str:
    """Indented, but a list of plain values on one line."""
    text = json.dumps(document, indent=1, ensure_ascii=False)
    return re.sub(r"\[\n[^\[\]{}]*\n\s*\]", lambda found: json_line(found[0]), text) + "\n"


def json_line(text: str) -> str:
    return json.dumps(json.loads(text), ensure_ascii=False)


def main() -> None:
    for name in sys.argv[1:] or CASES:
        (HERE / f"{name}.json").write_text(to_json(golden(name)), encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
