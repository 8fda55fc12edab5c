"""From an uploaded picture to what the model takes."""

import numpy
from PIL import Image, ImageOps


def array(upload):
    """One grey picture of 28 by 28, light on dark, from 0 to 1: shape (1, 1, 28, 28)."""
    picture = ImageOps.pad(Image.open(upload).convert("L"), (28, 28))
    return numpy.asarray(picture, dtype=numpy.float32)[None, None] / 255
