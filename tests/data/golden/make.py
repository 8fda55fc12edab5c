#!/usr/bin/env python3
"""Runs every test and sample model and writes what it answers: golden/NAME.json.

    pip install numpy onnxruntime pillow
    python3 tests/data/make.py -d target/models mlp && python3 models/fetch.py --all -d target/models
    python3 tests/data/golden/make.py [NAME ...]

The format is described in tests/data/README.md.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import wave
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
WHOLE = 64  # outputs up to this many elements are written in full
PARTS = 16  # of larger ones, so many at the beginning and so many spread over all of it
SPEECH = "tests/data/speech/sentence.wav"
CHUNK, CONTEXT = 512, 64  # samples that Silero takes at a time, and those before that it wants again

Input = tuple[np.ndarray, dict]  # the tensor, and how a test comes by it


def literal(values: object, dtype: str) -> Input:
    array = np.array(values, object if dtype == "string" else dtype)
    return array, {"data": array.reshape(-1).tolist()}


def hashed(shape: tuple[int, ...], dtype: str, seed: int, low: float, high: float) -> Input:
    u = np.arange(np.prod(shape), dtype=np.uint64) * 2654435761 + seed * 40503 & 0xFFFFFFFF
    u ^= u >> 15
    values = low + (high - low) * ((u >> 8) / 2**24)
    return values.astype(dtype).reshape(shape), {"hash": {"seed": seed, "low": low, "high": high}}


def pixels(path: str, mode: str) -> np.ndarray:
    return np.asarray(Image.open(ROOT / path).convert(mode))


def grey(path: str) -> Input:
    return pixels(path, "L").astype(np.float32)[None, None] / 255, {"file": path, "prepare": "grey / 255"}


def rgb(path: str) -> Input:
    return pixels(path, "RGB")[None], {"file": path, "prepare": "RGB, NHWC"}


def channels(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


def centred_rgb(path: str) -> Input:
    values = (pixels(path, "RGB").astype(np.float32) - 127) / 128
    return channels(values), {"file": path, "prepare": "(RGB - 127) / 128, NCHW"}


def centred_bgr(path: str) -> Input:
    values = (pixels(path, "RGB")[:, :, ::-1].astype(np.float32) / 255 - 0.5) / 0.5
    return channels(values), {"file": path, "prepare": "(BGR / 255 - 0.5) / 0.5, NCHW"}


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


def speech() -> np.ndarray:
    with wave.open(str(ROOT / SPEECH)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


def chunk(number: int) -> Input:
    """One chunk as if nothing had been before it."""
    begin = number * CHUNK
    samples = np.concatenate([np.zeros(CONTEXT, np.float32), speech()[begin : begin + CHUNK]])
    return samples[None], {"file": SPEECH, "prepare": f"{CONTEXT} zeros, then samples {begin}..{begin + CHUNK} / 32768"}


def silero_inputs(number: int) -> dict[str, Input]:
    state = hashed((2, 1, 128), "float32", 1, 0, 0)
    return {"input": chunk(number), "state": state, "sr": literal(16000, "int64")}


def silero_chain(session: onnxruntime.InferenceSession) -> dict[str, object]:
    """All chunks, each with the state that the one before has left."""
    samples, state, context = speech(), np.zeros((2, 1, 128), np.float32), np.zeros((1, CONTEXT), np.float32)
    probabilities = []
    for begin in range(0, len(samples) - CHUNK + 1, CHUNK):
        chunk = np.concatenate([context, samples[None, begin : begin + CHUNK]], axis=1)
        output, state = session.run(None, {"input": chunk, "state": state, "sr": np.array(16000, np.int64)})
        context = chunk[:, -CONTEXT:]
        probabilities.append(output[0, 0])
    return {"name": "all chunks in turn", "speech": SPEECH, "probabilities": shortened(np.array(probabilities))}


PHOTOS = ("cat", "coffee", "rocket")

# Three sentences of MiniLM's words: "A man is eating food.", "Someone is having a meal.", "The stock market fell
# sharply today."
WORDS = [
    [101, 1037, 2158, 2003, 5983, 2833, 1012, 102, 0],
    [101, 2619, 2003, 2383, 1037, 7954, 1012, 102, 0],
    [101, 1996, 4518, 3006, 3062, 9249, 2651, 1012, 102],
]

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
    "classifier": {"two rows": {"x": literal([[1, 2], [3, -1]], "float32")}},
    "classifier_of_names": {"two rows": {"x": literal([[1, 2], [3, -1]], "float32")}},
    "ddddocr": {"a line": {"input1": grey("tests/data/text/tall.png")}},
    "digits": {f"a {n}": {"image": grey(f"models/digits/samples/{n}.png")} for n in range(10)},
    "efficientnet": {
        "noise": {"images": hashed((2, 224, 224, 3), "uint8", 1, 0, 256)},
        "cat": {"images": photo("tests/data/photos/cat.jpg")},
        "coffee": {"images": photo("tests/data/photos/coffee.jpg")},
        **{f"{name}, cut": {"images": rgb(f"tests/data/photos/{name}_224.png")} for name in PHOTOS},
    },
    "efficientnet_float": {
        name: {"images": centred_rgb(f"tests/data/photos/{name}_224.png")} for name in PHOTOS
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
    "light_densenet121": {"noise": {"data_0": hashed((1, 3, 224, 224), "float32", 3, 0, 1)}},
    "light_resnet50": {"noise": {"gpu_0/data_0": hashed((1, 3, 224, 224), "float32", 3, 0, 1)}},
    "light_squeezenet": {"noise": {"data_0": hashed((1, 3, 224, 224), "float32", 3, 0, 1)}},
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
    "minilm": {
        "three sentences": {
            "input_ids": literal(WORDS, "int64"),
            "attention_mask": literal(np.array(WORDS) != 0, "int64"),
            "token_type_ids": literal(np.zeros((3, 9)), "int64"),
        }
    },
    "mlp": {
        "one row": {"x": hashed((1, 1024), "float32", 1, -1, 1)},
        "four rows": {"x": hashed((4, 1024), "float32", 2, -1, 1)},
    },
    "mul_1": {"one": {"X": literal([[1, 2], [3, 4], [5, 6]], "float32")}},
    "ppocr_cls": {
        name: {"x": centred_bgr(f"tests/data/text/{name}.png")} for name in ("upright", "upside_down")
    },
    "ppocr_det": {"a receipt": {"x": centred_bgr("tests/data/text/receipt.png")}},
    "ppocr_rec": {"a line": {"x": centred_bgr("tests/data/text/line.png")}},
    "silero_vad": {"one chunk": silero_inputs(40)},
    "silero_vad_16k": {"one chunk": silero_inputs(40)},
    "sigmoid": {"one": {"x": hashed((3, 4, 5), "float32", 1, -1, 1)}},
    "string_join": {
        "three rows": {
            "a": literal(["hello ", "Grüße, ", ""], "string"),
            "b": literal(["world", "Jürgen 🦀", ""], "string"),
        }
    },
}

# rtol and atol, where they are not those of the others: weights of 8 bits round otherwise on another CPU.
TOLERANCES = {"minilm": (5e-2, 5e-2), "ppocr_det": (1e-3, 1e-3)}


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
        "first": shortened(flat[:PARTS]),
        "spread": shortened(flat[np.arange(PARTS) * flat.size // PARTS]),
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
    folders = (ROOT / "models" / name, HERE.parent / "models" / name, ROOT / "target/models" / name)
    folder = next(f for f in folders if (f / "model.onnx").exists())
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
    if name.startswith("silero"):
        cases.append(silero_chain(session))
    rtol, atol = TOLERANCES.get(name, (1e-3, 1e-4))
    return {
        "model": name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "made_with": f"onnxruntime {onnxruntime.__version__}",
        "rtol": rtol,
        "atol": atol,
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
