#!/usr/bin/env python3
"""What Pillow makes of cat.png, the way training code does it: the pictures beside this file, which a test compares with ours.

Needs pillow. cat.png is a part of ../photos/cat.jpg (CC0).
"""

from pathlib import Path

from PIL import Image, ImageOps

HERE = Path(__file__).parent
HEIGHT, WIDTH = 32, 24


def crop(picture: Image.Image, short_side: int, filter: Image.Resampling) -> Image.Image:
    """torchvision's Resize(short_side) and CenterCrop((HEIGHT, WIDTH))."""
    width, height = picture.size
    if width <= height:
        size = short_side, int(short_side * height / width)
    else:
        size = int(short_side * width / height), short_side
    left = int(round((size[0] - WIDTH) / 2.0))
    top = int(round((size[1] - HEIGHT) / 2.0))
    return picture.resize(size, filter).crop((left, top, left + WIDTH, top + HEIGHT))


def main() -> None:
    cat = Image.open(HERE / "cat.png")
    size = WIDTH, HEIGHT
    of = Image.Resampling
    crop(cat, 37, of.BICUBIC).save(HERE / "crop_bicubic.png")
    crop(cat, 64, of.BICUBIC).save(HERE / "crop_unscaled.png")
    crop(cat, 90, of.BICUBIC).save(HERE / "crop_enlarged.png")
    crop(cat, 37, of.NEAREST).save(HERE / "crop_nearest.png")
    cat.resize(size, of.BILINEAR).save(HERE / "stretch_bilinear.png")
    ImageOps.pad(cat, size, of.LANCZOS).save(HERE / "pad_lanczos.png")
    crop(cat.convert("L"), 37, of.BICUBIC).save(HERE / "grey.png")


if __name__ == "__main__":
    main()
