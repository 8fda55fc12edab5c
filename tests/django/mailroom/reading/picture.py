"""From an uploaded picture to what the model takes."""

import numpy
from PIL import Image, ImageOps


def array(upload):
    """One grey picture of 28 by 28, light on dark, from 0 to 1: shape (1, 1, 28, 28)."""
    picture = ImageOps.pad(Image.open(upload).convert("L"), (28, 28))
    return numpy.asarray(picture, dtype=numpy.float32)[None, None] / 255


def photo(upload):
    """The middle of a photo as EfficientNet-Lite takes it: (1, 224, 224, 3), bytes."""
    image = Image.open(upload).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize([round(side * scale) for side in image.size], Image.Resampling.BICUBIC)
    return numpy.asarray(ImageOps.fit(image, (224, 224), centering=(0.5, 0.5)), dtype=numpy.uint8)[None]
