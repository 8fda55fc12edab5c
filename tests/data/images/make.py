#!/usr/bin/env python3
"""Makes the pictures that test decoding: the sample digit 7 in many formats, and files that must be refused.

    pip install numpy pillow
    python3 tests/data/images/make.py

What each one must give is in README.md.
"""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
SAMPLES = HERE.parents[2] / "models" / "digits" / "samples"
HUGE = 60_000
HUGE_WEBP = 16_384  # as much as WebP has room for
ORIENTATION = 0x0112


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def readable(seven: Image.Image, two: Image.Image) -> dict[str, bytes]:
    grey = np.asarray(seven)
    rotated = Image.Exif()
    rotated[ORIENTATION] = 6  # to be turned 90 degrees clockwise before it is shown
    transparent = seven.convert("RGBA")
    transparent.putalpha(Image.fromarray(np.where(grey > 0, 255, 0).astype(np.uint8)))
    return {
        "animated.gif": encoded(seven, "GIF", save_all=True, append_images=[two], duration=100, loop=0),
        "bmp.bmp": encoded(seven.convert("RGB"), "BMP"),
        "cmyk.jpg": encoded(seven.convert("RGB").convert("CMYK"), "JPEG", quality=95),
        "grey16.png": encoded(Image.fromarray(grey.astype(np.uint16) * 257), "PNG"),
        "palette.png": encoded(seven.quantize(16), "PNG"),
        "progressive.jpg": encoded(seven.convert("RGB"), "JPEG", quality=95, progressive=True),
        "rgba.png": encoded(transparent, "PNG"),
        "rotated.jpg": encoded(seven.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=95, exif=rotated),
        "webp_lossless.webp": encoded(seven.convert("RGB"), "WEBP", lossless=True),
        "webp_lossy.webp": encoded(seven.convert("RGB"), "WEBP", quality=90),
    }


def refused(seven: Image.Image) -> dict[str, bytes]:
    """Broken files, and small files that say they are huge."""
    png = encoded(seven, "PNG")
    return {
        "empty.png": b"",
        "not_an_image.png": b"The name says PNG, the content does not.\n",
        "only_magic.png": png[:8],
        "over_limit.png": encoded(
            Image.new("1", (7072, 7072)), "PNG", optimize=True
        ),  # 50.01 million real pixels
        "truncated.jpg": halved(encoded(seven, "JPEG", quality=95)),
        "truncated.png": halved(png),
        "bomb.bmp": bomb_bmp(encoded(seven, "BMP")),
        "bomb.gif": bomb_gif(encoded(seven, "GIF")),
        "bomb.jpg": bomb_jpeg(encoded(seven, "JPEG")),
        "bomb.png": bomb_png(png),
        "bomb.webp": bomb_webp(encoded(seven, "WEBP", lossless=True)),
    }


def halved(data: bytes) -> bytes:
    return data[: len(data) // 2]


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


def bomb_bmp(data: bytes) -> bytes:
    return patched(data, 18, struct.pack("<ii", HUGE, HUGE))


def bomb_gif(data: bytes) -> bytes:
    """Both the screen and the first frame."""
    size = struct.pack("<HH", HUGE, HUGE)
    descriptor = data.index(b"\x2c\0\0\0\0" + struct.pack("<HH", 28, 28))
    return patched(patched(data, 6, size), descriptor + 5, size)


def bomb_jpeg(data: bytes) -> bytes:
    frame = data.index(b"\xff\xc0")
    return patched(data, frame + 5, struct.pack(">HH", HUGE, HUGE))


def bomb_png(data: bytes) -> bytes:
    """With a right checksum, so that the size itself has to be refused."""
    header = b"IHDR" + struct.pack(">II", HUGE, HUGE) + data[24:29]
    return patched(data, 12, header + struct.pack(">I", zlib.crc32(header)))


def bomb_webp(data: bytes) -> bytes:
    """The bits after the signature of a lossless stream: 14 of width - 1, 14 of height - 1, then flags."""
    at = data.index(b"VP8L") + 9
    (bits,) = struct.unpack_from("<I", data, at)
    size = (HUGE_WEBP - 1) | (HUGE_WEBP - 1) << 14
    return patched(data, at, struct.pack("<I", bits >> 28 << 28 | size))


def main() -> None:
    seven, two = (Image.open(SAMPLES / f"{digit}.png").convert("L") for digit in (7, 2))
    for name, data in {**readable(seven, two), **refused(seven)}.items():
        (HERE / name).write_bytes(data)
        print(f"{len(data):>6}  {name}")


if __name__ == "__main__":
    main()
