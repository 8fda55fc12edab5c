#!/usr/bin/env python3
"""Makes the pictures of text, for the models that find and read it.

    pip install pillow==13.0.0
    python3 tests/data/text/make.py
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent


def page(size: tuple[int, int], lines: dict[tuple[int, int], str], height: int) -> Image.Image:
    """Black on white, in the font that Pillow brings (Aileron, CC0)."""
    picture = Image.new("L", size, 255)
    draw = ImageDraw.Draw(picture)
    for place, text in lines.items():
        draw.text(place, text, 0, ImageFont.load_default(height))
    return picture


def main() -> None:
    line = page((320, 48), {(12, 8): "Hello ONNX 2026"}, 30)
    receipt = ["RECEIPT No. 4711", "2 x espresso   5.80", "1 x croissant  2.40", "TOTAL  8.20 EUR"]
    pictures = {
        "line": line,
        # As wide as the model takes it that says whether a line is upside down.
        "upright": line.resize((192, 48), Image.Resampling.BILINEAR),
        "upside_down": line.rotate(180).resize((192, 48), Image.Resampling.BILINEAR),
        # As high as ddddocr takes it.
        "tall": line.resize((426, 64), Image.Resampling.BILINEAR),
        "receipt": page((480, 320), {(40, 30 + 70 * at): text for at, text in enumerate(receipt)}, 32),
    }
    for name, picture in pictures.items():
        picture.save(HERE / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
