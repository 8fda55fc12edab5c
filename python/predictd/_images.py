"""Pictures as they come, and as ``/predict`` takes them: one as it is, several in a form."""

from __future__ import annotations

import os
import uuid
from typing import IO, Any, Dict, List, Sequence, Tuple, Union

from ._connection import Buffer
from ._errors import BadInput

Image = Union[bytes, bytearray, memoryview, "os.PathLike[str]", IO[bytes]]
"""A picture's file: its bytes, its path (a ``pathlib.Path``; a ``str`` is none), or a file that is open for reading bytes."""


def is_image(value: object) -> bool:
    """Whether ``value`` is what a picture may come as. What the bytes are, the server sees."""
    return isinstance(value, (bytes, bytearray, memoryview, os.PathLike)) or callable(
        getattr(value, "read", None)
    )


def are_images(values: object) -> bool:
    """Whether ``values`` is a list of them."""
    return isinstance(values, (list, tuple)) and len(values) > 0 and all(map(is_image, values))


def may_be_strings(images: Sequence[Any]) -> bool:
    """Whether a model of texts could be meant."""
    return all(isinstance(image, bytes) for image in images)


def request(images: Sequence[Any]) -> Tuple[Dict[str, str], List[Buffer]]:
    """Headers and body for one picture, or for several."""
    contents = [_read(image) for image in images]
    if len(contents) == 1:
        # Which kind is told by its first bytes; but that it is one, so that it is not taken for a row of numbers.
        return {"Content-Type": "image/*"}, contents
    boundary = uuid.uuid4().hex
    body: List[Buffer] = []
    for number, content in enumerate(contents):
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{number}"\r\n'
            "Content-Type: image/*\r\n\r\n"
        )
        body += [head.encode(), content, b"\r\n"]
    body.append(f"--{boundary}--\r\n".encode())
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}, body


def _read(image: Any) -> Buffer:
    if isinstance(image, os.PathLike):
        with open(image, "rb") as file:
            content: Any = file.read()
    elif callable(getattr(image, "read", None)):
        content = image.read()
        if not isinstance(content, (bytes, bytearray, memoryview)):
            raise BadInput(
                f"an image's file must give bytes, and gave {type(content).__name__}: open it by 'rb'"
            )
    else:
        content = image
    data = bytes(content)
    if not data:
        raise BadInput("the image is empty, or its file has been read to the end before")
    return data
