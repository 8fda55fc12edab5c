"""numpy arrays as the tensors of the Open Inference Protocol's binary form, and back.

A cast loses precision at most, as those of Keras do. A value that the model's datatype does not have is an error, never
another value.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, List, Mapping, Sequence, Tuple, Union

import numpy as np

# Not as np.ma, which numpy imports when it is first named: a fork in that moment would leave it half imported, and locked, in
# the child.
from numpy.ma import is_masked
from numpy.typing import ArrayLike, NDArray

from ._errors import BadInput, ServerError

# As they are on the wire, little-endian. BF16 has no type in numpy, BYTES no fixed size.
DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}

# From which of numpy's kinds a cast to a kind loses precision at most, if the value is in its range.
_FROM = {"b": "b", "i": "biu", "u": "biu", "f": "biuf"}


@dataclass(frozen=True)
class Spec:
    """An input or an output, as the model's metadata has it; -1 in a shape is any size."""

    name: str
    datatype: str
    shape: Tuple[int, ...]


@dataclass(frozen=True)
class Encoded:
    """A tensor as it is sent."""

    shape: Tuple[int, ...]
    data: Union[bytes, memoryview]


def encode(values: ArrayLike, spec: Spec, subject: str) -> Encoded:
    """``values`` as the datatype that the model, the ``subject``, takes there."""
    where = f"{subject}: input {spec.name!r}"
    if is_masked(values):
        raise BadInput(
            f"{where} is a masked array, and a tensor has no place for the mask: fill it (.filled(value))"
        )
    # Lists of strings become objects: numpy's own strings lose zeros at their ends, and are either text or bytes.
    listed = spec.datatype == "BYTES" and not isinstance(values, np.ndarray)
    try:
        array = np.asarray(values, dtype=object if listed else None)
    except (ValueError, TypeError) as error:
        raise BadInput(f"{where} is no array: {error}") from error
    shape = array.shape
    if spec.datatype == "BYTES":
        return Encoded(shape, _encode_strings(array, where))
    if spec.datatype == "BF16":
        array = _to_bfloat16(array, where)
    elif spec.datatype in DTYPES:
        array = _cast(array, spec.datatype, where)
    else:
        raise ServerError(f"{where} is of datatype {spec.datatype}, which this client does not know")
    return Encoded(shape, np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _cast(array: NDArray[Any], datatype: str, where: str) -> NDArray[Any]:
    dtype = DTYPES[datatype]
    if array.dtype == dtype:
        return array
    if array.dtype.kind not in _FROM[dtype.kind] and array.size:
        hint = ""
        if array.dtype.kind in "biufcO":
            hint = f"; if it is meant to be, say so by .astype({dtype.name!r})"
        elif array.ndim == 0:
            hint = "; the path of a picture is a pathlib.Path"
        raise BadInput(f"{where} is {datatype}, to which an array of {array.dtype} is not cast{hint}")
    if dtype.kind in "iu" and array.dtype.kind in "iu" and array.size:
        low, high, range_ = int(array.min()), int(array.max()), np.iinfo(dtype)
        if low < range_.min or high > range_.max:
            worst = low if low < range_.min else high
            raise BadInput(
                f"{where} is {datatype}, from {range_.min} to {range_.max}, and the array has {worst}"
            )
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    if dtype.kind == "f" and array.dtype.itemsize >= dtype.itemsize:
        _check_finite(np.isfinite(cast), array, datatype, where)
    return cast


def _check_finite(finite: NDArray[Any], array: NDArray[Any], datatype: str, where: str) -> None:
    """What has become infinite was so before."""
    grown = ~finite & np.isfinite(array)
    if grown.any():
        raise BadInput(f"{where} is {datatype}, which has no room for {array[grown].flat[0]}")


def _to_bfloat16(array: NDArray[Any], where: str) -> NDArray[Any]:
    """Its bits, as numpy has no such type: the upper half of FP32, rounded to even."""
    # That of ml_dtypes, for who has it.
    if array.dtype.type.__name__ == "bfloat16":
        return np.ascontiguousarray(array).view(np.uint16).astype("<u2", copy=False)
    single = np.ascontiguousarray(_cast(array, "FP32", where))
    bits = single.view("<u4")
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    # Rounded, a NaN might be an infinity or a zero; it is one still with this bit.
    rounded = np.where(np.isnan(single), bits >> 16 | 0x40, rounded)
    _check_finite((rounded & 0x7F80) != 0x7F80, single, "BF16", where)
    return rounded.astype("<u2")


def _encode_strings(array: NDArray[Any], where: str) -> bytes:
    pieces: List[bytes] = []
    for element in array.reshape(-1).tolist():
        if isinstance(element, str):
            try:
                # As the strings of outputs are decoded.
                element = element.encode("utf-8", "surrogateescape")
            except UnicodeEncodeError as error:
                raise BadInput(f"{where}: {element[:40]!r} is no text: {error}") from error
        elif not isinstance(element, bytes):
            raise BadInput(f"{where} takes strings (str or bytes), and got {type(element).__name__}")
        pieces += [struct.pack("<I", len(element)), element]
    return b"".join(pieces)


def decode(datatype: str, shape: Sequence[int], data: memoryview) -> NDArray[Any]:
    """The array, in place where it lies aligned. FP16 stays float16, BF16 becomes float32, BYTES str.

    Raises:
        ValueError: if the bytes are not what datatype and shape say.
    """
    if not all(isinstance(dim, int) and dim >= 0 for dim in shape):
        raise ValueError(f"{shape} is no shape")
    if datatype == "BYTES":
        elements = _decode_strings(data)
        strings: NDArray[Any] = np.empty(len(elements), dtype=object)
        strings[:] = elements
        return strings.reshape(shape)
    if datatype == "BF16":
        bits = np.frombuffer(data, "<u2").astype("<u4") << 16
        return np.require(bits.view("<f4").reshape(shape), np.float32)
    dtype = _dtype(datatype)
    # As the processor likes it: other libraries take nothing else.
    return np.require(np.frombuffer(data, dtype).reshape(shape), dtype.newbyteorder("="), ["A", "W"])


def _decode_strings(data: memoryview) -> List[str]:
    strings = []
    at = 0
    while at < len(data):
        if len(data) - at < 4:
            raise ValueError("a string's length is cut off")
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
        if len(data) - at < length:
            raise ValueError("a string is cut off")
        # What is not UTF-8 survives, and is the same bytes again where it is sent back.
        strings.append(str(data[at : at + length], "utf-8", "surrogateescape"))
        at += length
    return strings


def from_json(datatype: str, values: Any) -> NDArray[Any]:
    """The array of nested lists, in which null stands for what JSON has no number for: it becomes NaN.

    Raises:
        ValueError, TypeError: if there is none.
    """
    if datatype == "BYTES":
        return np.array(values, dtype=object)
    if datatype == "BF16":
        return np.array(values, dtype=np.float32)
    return np.array(values, _dtype(datatype).newbyteorder("="))


def _dtype(datatype: str) -> np.dtype[Any]:
    if datatype not in DTYPES:
        raise ValueError(f"the datatype {datatype} is not known")
    return DTYPES[datatype]
