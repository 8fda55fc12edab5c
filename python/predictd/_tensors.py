"""numpy arrays as the tensors of the Open Inference Protocol's binary form, and back.

A cast loses precision at most, as Keras' do: it goes by numpy's rule "same_kind", and a value that the model's datatype
cannot hold is an error, never another value.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, List, Mapping, Sequence, Tuple, Union

import numpy as np
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
    # Lists of strings become objects: numpy's own strings lose zeros at their ends, and are either text or bytes.
    listed = spec.datatype == "BYTES" and not isinstance(values, np.ndarray)
    try:
        array = np.asarray(values, dtype=object if listed else None)
    except ValueError as error:
        raise BadInput(f"{where} is no array: {error}") from error
    if spec.datatype == "BYTES":
        return Encoded(array.shape, _encode_strings(array, where))
    if spec.datatype == "BF16":
        array = _to_bfloat16(array, where)
    elif spec.datatype in DTYPES:
        array = _cast(array, DTYPES[spec.datatype], spec.datatype, where)
    else:
        raise ServerError(f"{where} is of datatype {spec.datatype}, which this client does not know")
    return Encoded(array.shape, np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _cast(array: NDArray[Any], dtype: np.dtype[Any], datatype: str, where: str) -> NDArray[Any]:
    if array.dtype == dtype:
        return array
    # What JSON or pandas gave, perhaps: numbers that numpy has not looked at.
    if array.dtype.hasobject or not np.can_cast(array.dtype, dtype, "same_kind"):
        raise BadInput(
            f"{where} is {datatype}, and an array of {array.dtype} is not cast to that; "
            f"if it is meant to be, say so by .astype({dtype.name!r})"
        )
    if dtype.kind in "iu" and array.size:
        low, high, bounds = array.min(), array.max(), np.iinfo(dtype)
        if int(low) < bounds.min or int(high) > bounds.max:
            raise BadInput(
                f"{where} is {datatype}, from {bounds.min} to {bounds.max}, and the array has values from "
                f"{low} to {high}"
            )
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(dtype)
    if dtype.kind == "f" and array.dtype.itemsize >= dtype.itemsize:
        _check_overflow(array, cast, datatype, where)
    return cast


def _check_overflow(array: NDArray[Any], cast: NDArray[Any], datatype: str, where: str) -> None:
    grown = np.isinf(cast) & np.isfinite(array)
    if grown.any():
        raise BadInput(f"{where} is {datatype}, which has no room for {array[grown].flat[0]}")


def _to_bfloat16(array: NDArray[Any], where: str) -> NDArray[Any]:
    """Its bits, as numpy has no such type: the upper half of FP32, rounded to even."""
    # ml_dtypes, which is known by its name where it is there.
    if array.dtype.name == "bfloat16":
        return array.view(np.uint16).astype("<u2", copy=False)
    single = _cast(array, np.dtype("<f4"), "BF16", where)
    bits = np.ascontiguousarray(single).view("<u4")
    # Half of the last place, less one where that is even; at most 0xFFFF_FFFF for what is a number.
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1))) >> 16
    # A NaN must not become an infinity by losing its lower bits, nor wrap.
    rounded = np.where(np.isnan(single), (bits >> 16) | 0x40, rounded)
    finite = np.isfinite(single)
    if (((rounded & 0x7FFF) == 0x7F80) & finite).any():
        raise BadInput(f"{where} is BF16, which has no room for {np.abs(single[finite]).max()}")
    result: NDArray[Any] = rounded.astype("<u2")
    return result


def _encode_strings(array: NDArray[Any], where: str) -> bytes:
    if array.dtype.kind not in "OSUT":
        raise BadInput(f"{where} takes strings (str or bytes), and got an array of {array.dtype}")
    pieces: List[bytes] = []
    for element in array.reshape(-1).tolist():
        if isinstance(element, str):
            # As the strings of outputs are decoded.
            element = element.encode("utf-8", "surrogateescape")
        elif not isinstance(element, bytes):
            kind = type(element).__name__
            raise BadInput(f"{where} takes strings (str or bytes), and got a {kind} among them")
        pieces += [struct.pack("<I", len(element)), element]
    return b"".join(pieces)


def decode(datatype: str, shape: Sequence[int], data: memoryview) -> NDArray[Any]:
    """The array, in place where it lies aligned. FP16 stays float16, BF16 becomes float32, BYTES str.

    Raises:
        ValueError: if the bytes are not what datatype and shape say.
    """
    if datatype == "BYTES":
        elements = _strings(data)
        strings: NDArray[Any] = np.empty(len(elements), dtype=object)
        strings[:] = elements
        return strings.reshape(shape)
    if datatype == "BF16":
        bits = np.frombuffer(data, "<u2").astype("<u4") << 16
        return bits.view("<f4").reshape(shape)
    if datatype not in DTYPES:
        raise ValueError(f"the datatype {datatype} is not known")
    dtype = DTYPES[datatype]
    array: NDArray[Any] = np.frombuffer(data, dtype).reshape(shape)
    # By the machine's own order of bytes, and where its processor likes it: other libraries take nothing else.
    return np.require(array, dtype.newbyteorder("="), ["ALIGNED", "WRITEABLE"])


def _strings(data: memoryview) -> List[str]:
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
        ValueError: if there is none.
    """
    if datatype == "BYTES":
        return np.array(values, dtype=object)
    if datatype == "BF16":
        return np.array(values, dtype=np.float32)
    if datatype not in DTYPES:
        raise ValueError(f"the datatype {datatype} is not known")
    return np.array(values, DTYPES[datatype].newbyteorder("="))
