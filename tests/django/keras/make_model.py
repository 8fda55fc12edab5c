#!/usr/bin/env python3
"""Makes a small Keras model that reads the ten sample digits, and the same as ONNX: make_model.py FOLDER.

In FOLDER: keras_digits.keras, and keras_digits/model.onnx for predictd. It has learned ten pictures by heart, each a little
moved and noisy, which is enough to tell a right answer from a wrong one.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy
from PIL import Image

SAMPLES = Path(__file__).resolve().parents[3] / "models/digits/samples"


def main(folder):
    keras.utils.set_random_seed(7)
    pictures = numpy.stack([numpy.asarray(Image.open(SAMPLES / f"{digit}.png"), "float32") for digit in range(10)])
    moved = [numpy.roll(pictures, (down, right), (1, 2)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    x = numpy.concatenate(moved * 4)[..., None] / 255
    x += numpy.random.normal(scale=0.05, size=x.shape).astype("float32")
    y = numpy.tile(numpy.arange(10), len(x) // 10)

    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=20, verbose=0)
    right = model.predict(pictures[..., None] / 255, verbose=0).argmax(1) == numpy.arange(10)
    if not right.all():
        sys.exit(f"it has not learned them: {right}")

    model.save(folder / "keras_digits.keras")
    (folder / "keras_digits").mkdir(exist_ok=True)
    model.export(folder / "keras_digits" / "model.onnx", format="onnx")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
