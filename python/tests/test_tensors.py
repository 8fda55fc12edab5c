"""numpy arrays as tensors and back: every datatype, every arrangement in memory, and what is refused."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from numpy.typing import NDArray
from predictd import BadInput
from predictd._tensors import DTYPES, Spec, decode, encode, from_json


def encoded(values: Any, datatype: str) -> bytes:
    return bytes(encode(values, Spec("x", datatype, (-1,)), "model 'm'").data)


def round_trip(values: Any, datatype: str) -> NDArray[Any]:
    tensor = encode(values, Spec("x", datatype, (-1,)), "model 'm'")
    return decode(datatype, tensor.shape, memoryview(bytearray(tensor.data)))


def refusal(values: Any, datatype: str) -> str:
    with pytest.raises(BadInput) as caught:
        encoded(values, datatype)
    return str(caught.value)


def extremes(dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind in "iu":
        return np.array([np.iinfo(dtype).min, 0, 1, np.iinfo(dtype).max], dtype)
    info = np.finfo(dtype)
    return np.array([info.min, info.tiny, -0.0, np.nan, np.inf, -np.inf, info.max], dtype)


@pytest.mark.parametrize("datatype", DTYPES)
def test_an_array_of_every_datatype_comes_back_as_it_was(datatype: str) -> None:
    dtype = DTYPES[datatype]
    array = extremes(dtype)
    assert encoded(array, datatype) == array.tobytes()
    for same in [array, array.reshape(1, -1, 1), array[:0], array[:0].reshape(0, 3), array[1]]:
        back = round_trip(same, datatype)
        assert back.dtype == dtype.newbyteorder("=")
        np.testing.assert_array_equal(back, same)
        assert back.flags.writeable
        assert back.flags.aligned


@pytest.mark.parametrize("datatype", DTYPES)
def test_how_an_array_lies_in_memory_does_not_matter(datatype: str) -> None:
    dtype = DTYPES[datatype]
    plain = np.arange(24).reshape(2, 3, 4).astype(dtype)
    unaligned = np.frombuffer(b"x" + plain.tobytes(), dtype, offset=1).reshape(plain.shape)
    read_only = plain.copy()
    read_only.flags.writeable = False
    arrangements = {
        "Fortran": np.asfortranarray(plain),
        "strided": np.repeat(plain, 2, axis=2)[:, :, ::2],
        "reversed": plain[::-1].copy()[::-1],
        "transposed": plain.transpose(2, 0, 1).copy().transpose(1, 2, 0),
        "big-endian": plain.astype(dtype.newbyteorder(">")),
        "unaligned": unaligned,
        "read-only": read_only,
        "list": plain.tolist(),
    }
    for how, array in arrangements.items():
        assert encoded(array, datatype) == plain.tobytes(), how


def test_a_broadcast_array_is_sent_whole() -> None:
    assert encoded(np.broadcast_to(np.float32(1), (3,)), "FP32") == np.ones(3, "<f4").tobytes()


def test_a_result_that_lies_unaligned_is_copied_and_one_that_does_not_is_not() -> None:
    body = bytearray(b"x" * 16 + np.arange(4, dtype="<f4").tobytes())
    in_place = decode("FP32", [4], memoryview(body)[16:])
    assert np.shares_memory(in_place, np.frombuffer(body, np.uint8))
    copied = decode("FP32", [4], memoryview(bytearray(b"x" + bytes(body)))[17:])
    assert copied.flags.aligned
    assert copied.flags.writeable
    np.testing.assert_array_equal(copied, in_place)


CASTS: list[tuple[Any, str, Any]] = [
    (np.array([1.1, -2.5e30, np.nan, np.inf]), "FP32", np.array([1.1, -2.5e30, np.nan, np.inf], "f4")),
    (np.array([0.1, 65504]), "FP16", np.array([0.1, 65504], "f2")),
    (np.array([1.5], "f4"), "FP64", np.array([1.5])),
    ([[1, 2], [3, 4]], "FP32", np.array([[1, 2], [3, 4]], "f4")),
    ([2**24 + 1], "FP32", np.array([2**24], "f4")),
    ([1, 255], "UINT8", np.array([1, 255], "u1")),
    (np.array([-128, 127]), "INT8", np.array([-128, 127], "i1")),
    (np.array([2**63 - 1], "u8"), "INT64", np.array([2**63 - 1])),
    ([True, False], "INT64", np.array([1, 0])),
    ([True, False], "FP32", np.array([1, 0], "f4")),
    ([], "INT64", np.array([], "i8")),
    (7, "INT32", np.array(7, "i4")),
    (np.ma.array([1.0]), "FP32", np.array([1], "f4")),
]


@pytest.mark.parametrize(("values", "datatype", "expected"), CASTS)
def test_a_cast_loses_precision_at_most(values: Any, datatype: str, expected: NDArray[Any]) -> None:
    back = round_trip(values, datatype)
    assert back.dtype == expected.dtype
    np.testing.assert_array_equal(back, expected)


REFUSALS: list[tuple[Any, str, str]] = [
    ([2**31], "INT32", "INT32, from -2147483648 to 2147483647, and the array has 2147483648"),
    ([0, -1], "UINT8", "from 0 to 255, and the array has -1"),
    ([256], "UINT8", "the array has 256"),
    (np.array([2**63], "u8"), "INT64", "the array has 9223372036854775808"),
    (
        [1.0],
        "INT64",
        "INT64, to which an array of float64 is not cast; if it is meant to be, say so by .astype('int64')",
    ),
    ([1], "BOOL", "to which an array of int64 is not cast"),
    ([1j], "FP32", "to which an array of complex128 is not cast"),
    (["1"], "FP32", "to which an array of <U1 is not cast"),
    (np.array(["2026-11-25"], "M8[D]"), "INT64", "to which an array of datetime64[D] is not cast"),
    (np.array([1.0, None]), "FP32", "to which an array of object is not cast"),
    (np.array([1.0, 1e39]), "FP32", "FP32, which has no room for 1e+39"),
    ([65520], "FP16", "FP16, which has no room for 65520"),
    (np.array([65535], "u2"), "FP16", "which has no room for 65535"),
    ([-3.4e38], "BF16", "BF16, which has no room for -3.39999995"),
    ([1e39], "BF16", "FP32, which has no room for 1e+39"),
    ([[1], [1, 2]], "FP32", "model 'm': input 'x' is "),
    ([1], "BYTES", "takes strings (str or bytes), and got int"),
    (["a", None], "BYTES", "takes strings (str or bytes), and got NoneType"),
    ([["a"], ["b", "c"]], "BYTES", "and got list"),
    (np.array([1.5]), "BYTES", "and got float"),
    (["\ud800"], "BYTES", "is no text"),
    (np.ma.masked_equal([1.0, 2.0], 2.0), "FP32", "is a masked array"),
]


@pytest.mark.parametrize(("values", "datatype", "expected"), REFUSALS)
def test_a_value_that_does_not_fit_is_refused(values: Any, datatype: str, expected: str) -> None:
    text = refusal(values, datatype)
    assert text.startswith("model 'm': input 'x'")
    assert expected in text


@pytest.mark.filterwarnings("error")
def test_a_cast_warns_of_nothing() -> None:
    encoded(np.array([np.nan, np.inf]), "FP16")
    refusal(np.array([1e39]), "FP32")
    encoded(np.array([np.nan, np.inf]), "BF16")


def test_bfloat16_is_rounded_as_ml_dtypes_does() -> None:
    upper = np.arange(2**16, dtype="<u4") << 16
    for lower in [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF]:
        single = (upper | lower).view("<f4")
        with np.errstate(invalid="ignore"):
            expected = single.astype(ml_dtypes.bfloat16)
        fits = np.isfinite(expected.astype("f4")) | ~np.isfinite(single)
        back = round_trip(single[fits], "BF16")
        assert back.dtype == np.float32
        np.testing.assert_array_equal(back, expected[fits].astype("f4"))


def test_bfloat16_of_ml_dtypes_is_taken_as_it_is() -> None:
    array = np.array([[1.5, -0.0, np.nan, 3e38]], ml_dtypes.bfloat16)
    assert encoded(array, "BF16") == array.tobytes()
    assert encoded(array[:, ::2], "BF16") == array[:, ::2].tobytes()
    assert round_trip(array[0, 0], "BF16").shape == ()


STRINGS: list[Any] = [
    np.array([["a", "grün"], ["", "漢字"]]),
    np.array([["a", "grün"], ["", "漢字"]], object),
    [["a", "grün"], [b"", "漢字".encode()]],
    [["a", "gr\u00fcn"], ["", "漢字"]],
]


@pytest.mark.parametrize("strings", STRINGS)
def test_strings_come_back_as_str(strings: Any) -> None:
    back = round_trip(strings, "BYTES")
    assert back.tolist() == [["a", "grün"], ["", "漢字"]]
    assert back.dtype == object


def test_strings_are_lengths_and_bytes() -> None:
    assert encoded(["ab", "", "ü"], "BYTES") == b"\x02\0\0\0ab\0\0\0\0\x02\0\0\0\xc3\xbc"
    assert encoded(np.array([b"ab"]), "BYTES") == b"\x02\0\0\0ab"
    assert encoded([], "BYTES") == b""
    assert round_trip("one", "BYTES").tolist() == "one"


def test_bytes_that_are_not_utf8_survive_there_and_back() -> None:
    raw = [b"\xff\xfe", b"end\0", "ü".encode("latin-1")]
    back = round_trip(raw, "BYTES")
    assert [text.encode("utf-8", "surrogateescape") for text in back] == raw
    assert encoded(back, "BYTES") == encoded(raw, "BYTES")


BROKEN = [
    ("FP32", [2], b"\0" * 4),
    ("FP32", [1], b"\0" * 5),
    ("FP32", [-1], b"\0" * 4),
    ("FP32", ["1"], b"\0" * 4),
    ("BF16", [2], b"\0" * 3),
    ("BYTES", [1], b""),
    ("BYTES", [1], b"\x01\0\0"),
    ("BYTES", [1], b"\x05\0\0\0abc"),
    ("BYTES", [1], b"\0\0\0\0\0\0\0\0"),
    ("FP8", [1], b"\0"),
]


@pytest.mark.parametrize(("datatype", "shape", "data"), BROKEN)
def test_bytes_that_are_no_tensor_are_refused(datatype: str, shape: list[Any], data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 (numpy's texts are its own)
        decode(datatype, shape, memoryview(bytearray(data)))


def test_json_becomes_arrays_of_the_models_datatypes() -> None:
    array = from_json("FP32", [[1, None], [2.5, 3]])
    np.testing.assert_array_equal(array, np.array([[1, np.nan], [2.5, 3]], "f4"))
    assert array.dtype == np.float32
    assert from_json("BF16", [1.5]).dtype == np.float32
    assert from_json("INT64", 7).dtype == np.int64
    assert from_json("BYTES", ["a"]).tolist() == ["a"]
    for datatype, values in [("INT64", [None]), ("FP32", [[1], [1, 2]]), ("FP8", [1])]:
        with pytest.raises((ValueError, TypeError)):
            from_json(datatype, values)
