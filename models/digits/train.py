#!/usr/bin/env python3
"""Trains the digit reader again, in numpy, and writes it as ONNX with ten sample pictures.

    pip install numpy scikit-learn onnx pillow
    python3 train.py [FOLDER]       # default: the folder of this file; under a minute on one core

The data are the 1,797 handwritten digits that scikit-learn brings, a quarter of them held out.
The model takes `image` float32 [batch,1,28,28] (grey / 255, light on black) and gives `probabilities`
float32 [batch,10] and `digit` int64 [batch]. Sums are rounded differently by different CPUs, so the
weights come out a little different each time, and the accuracy very nearly the same.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SIZE = 28
EPOCHS = 60
BATCH = 64
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-3

Weights = dict[str, np.ndarray]


class Convolution(NamedTuple):
    name: str
    channels_in: int
    channels_out: int
    kernel: int
    padding: int


STRIDE = 2
CONVOLUTIONS = (
    Convolution("conv1", 1, 12, 5, 2),
    Convolution("conv2", 12, 24, 3, 1),
    Convolution("conv3", 24, 32, 3, 1),
)
FEATURES = 32 * 4 * 4


def picture(counts: np.ndarray) -> np.ndarray:
    """8x8 values of 0 to 16 as a 28x28 grey picture with a border of 2 pixels."""
    small = Image.fromarray((counts * 255 / 16).round().astype(np.uint8))
    large = Image.new("L", (SIZE, SIZE))
    large.paste(small.resize((24, 24), Image.Resampling.BICUBIC), (2, 2))
    return np.asarray(large)


def distort(rng: np.random.Generator, pictures: np.ndarray) -> np.ndarray:
    """Each picture turned, stretched, slanted and moved a little."""
    centre = np.full(2, (SIZE - 1) / 2)
    out = np.empty_like(pictures)
    for i, pixels in enumerate(pictures):
        angle = rng.uniform(-0.2, 0.2)
        width, height = rng.uniform(0.85, 1.15, 2)
        slant = rng.uniform(-0.15, 0.15)
        cos, sin = np.cos(angle), np.sin(angle)
        matrix = np.array([[cos / width, -sin + slant], [sin, cos / height]])
        shift = centre - matrix @ centre + rng.uniform(-2, 2, 2)
        affine = (*matrix[0], shift[0], *matrix[1], shift[1])
        out[i] = Image.fromarray(pixels).transform(
            (SIZE, SIZE), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR
        )
    return out


def prepare(pictures: np.ndarray) -> np.ndarray:
    return (pictures.astype(np.float32) / 255)[:, None]


def new_weights(rng: np.random.Generator) -> Weights:
    def he(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)

    weights = {f"{c.name}.w": he(c.channels_out, c.channels_in, c.kernel, c.kernel) for c in CONVOLUTIONS}
    weights["dense.w"] = he(10, FEATURES)
    return weights | {k.replace(".w", ".b"): np.zeros(len(w), np.float32) for k, w in weights.items()}


def patches(c: Convolution, x: np.ndarray) -> np.ndarray:
    """What the kernel sees at each place: [batch, height, width, channels * kernel * kernel]."""
    pad = (c.padding, c.padding)
    x = np.pad(x, ((0, 0), (0, 0), pad, pad))
    windows = sliding_window_view(x, (c.kernel, c.kernel), axis=(2, 3))[:, :, ::STRIDE, ::STRIDE]
    batch, _, height, width = windows.shape[:4]
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(batch, height, width, -1)


class Activations(NamedTuple):
    seen: list[np.ndarray]  # the patches that each convolution saw
    outputs: list[np.ndarray]  # of each convolution, after ReLU
    features: np.ndarray
    probabilities: np.ndarray


def forward(weights: Weights, x: np.ndarray) -> Activations:
    seen, outputs = [], []
    for c in CONVOLUTIONS:
        seen.append(patches(c, x))
        y = seen[-1] @ weights[f"{c.name}.w"].reshape(c.channels_out, -1).T + weights[f"{c.name}.b"]
        x = np.maximum(y.transpose(0, 3, 1, 2), 0)
        outputs.append(x)
    features = x.reshape(len(x), -1)
    logits = features @ weights["dense.w"].T + weights["dense.b"]
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return Activations(seen, outputs, features, powers / powers.sum(1, keepdims=True))


def gradients(weights: Weights, a: Activations, labels: np.ndarray) -> Weights:
    """Of the mean cross-entropy, for every weight."""
    error = a.probabilities.copy()
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    out = {"dense.w": error.T @ a.features, "dense.b": error.sum(0)}
    error = (error @ weights["dense.w"]).reshape(a.outputs[-1].shape)
    for i, c in reversed(list(enumerate(CONVOLUTIONS))):
        error = (error * (a.outputs[i] > 0)).transpose(0, 2, 3, 1)
        flat = error.reshape(-1, c.channels_out)
        w = weights[f"{c.name}.w"]
        out[f"{c.name}.w"] = (flat.T @ a.seen[i].reshape(len(flat), -1)).reshape(w.shape)
        out[f"{c.name}.b"] = flat.sum(0)
        if i > 0:
            error = back_to_input(c, error @ w.reshape(c.channels_out, -1), a.outputs[i - 1].shape)
    return out


def back_to_input(c: Convolution, by_patch: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Adds the error of each patch to the places that the patch was taken from."""
    batch, channels, rows, columns = shape
    height, width = by_patch.shape[1:3]
    by_patch = by_patch.reshape(batch, height, width, channels, c.kernel, c.kernel)
    p = c.padding
    out = np.zeros((batch, channels, rows + 2 * p, columns + 2 * p), np.float32)
    for i in range(c.kernel):
        for j in range(c.kernel):
            places = np.s_[:, :, i : i + STRIDE * height : STRIDE, j : j + STRIDE * width : STRIDE]
            out[places] += by_patch[..., i, j].transpose(0, 3, 1, 2)
    return out[:, :, p:-p, p:-p]


def accuracy(weights: Weights, pictures: np.ndarray, labels: np.ndarray) -> float:
    return float((forward(weights, prepare(pictures)).probabilities.argmax(1) == labels).mean())


def train(rng: np.random.Generator, pictures: np.ndarray, labels: np.ndarray) -> Weights:
    """Adam with weight decay, the learning rate falling along a cosine."""
    weights = new_weights(rng)
    mean = {k: np.zeros_like(w) for k, w in weights.items()}
    square = {k: np.zeros_like(w) for k, w in weights.items()}
    steps = EPOCHS * -(-len(labels) // BATCH)
    step = 0
    for epoch in range(1, EPOCHS + 1):
        order = rng.permutation(len(labels))
        distorted = distort(rng, pictures)
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            step += 1
            rate = LEARNING_RATE * (1 + np.cos(np.pi * step / steps)) / 2
            activations = forward(weights, prepare(distorted[chosen]))
            for k, g in gradients(weights, activations, labels[chosen]).items():
                mean[k] = 0.9 * mean[k] + 0.1 * g
                square[k] = 0.999 * square[k] + 0.001 * g**2
                slope = mean[k] / (1 - 0.9**step) / (np.sqrt(square[k] / (1 - 0.999**step)) + 1e-8)
                weights[k] = (weights[k] - rate * (slope + WEIGHT_DECAY * weights[k])).astype(np.float32)
        print(f"\repoch {epoch} of {EPOCHS}", end="", flush=True)
    print()
    return weights


def to_onnx(weights: Weights) -> onnx.ModelProto:
    nodes, x = [], "image"
    for c in CONVOLUTIONS:
        nodes += [
            helper.make_node(
                "Conv",
                [x, f"{c.name}.w", f"{c.name}.b"],
                [c.name],
                kernel_shape=[c.kernel] * 2,
                strides=[STRIDE] * 2,
                pads=[c.padding] * 4,
            ),
            helper.make_node("Relu", [c.name], [f"{c.name}_relu"]),
        ]
        x = f"{c.name}_relu"
    nodes += [
        helper.make_node("Flatten", [x], ["features"]),
        helper.make_node("Gemm", ["features", "dense.w", "dense.b"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["logits"], ["digit"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, SIZE, SIZE])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 10]),
            helper.make_tensor_value_info("digit", TensorProto.INT64, ["batch"]),
        ],
        [numpy_helper.from_array(w, k) for k, w in weights.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="predictd"
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    counts, labels = load_digits(return_X_y=True)
    pictures = np.stack([picture(c.reshape(8, 8)) for c in counts])
    seen, held_out, seen_labels, held_out_labels = train_test_split(
        pictures, labels, test_size=0.25, stratify=labels, random_state=7
    )
    weights = train(np.random.default_rng(20), seen, seen_labels)
    right = accuracy(weights, held_out, held_out_labels)
    print(f"right on {right:.2%} of the {len(held_out)} held-out digits")

    samples = folder / "samples"
    samples.mkdir(parents=True, exist_ok=True)
    onnx.save(to_onnx(weights), folder / "model.onnx")
    for digit in range(10):  # the first held-out one of each, whether it is read right or not
        first = int(np.flatnonzero(held_out_labels == digit)[0])
        Image.fromarray(held_out[first]).save(samples / f"{digit}.png", optimize=True)


if __name__ == "__main__":
    main()
