from __future__ import annotations

import dataclasses
import json
import struct
import zlib
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import Format, QTensor, Scalar, get
from hwgen.formats.base import Floats, Words

FP16, INT4, UINT4 = get("fp16"), get("int4"), get("uint4")


def tensor(**changes: Any) -> QTensor:
    """A valid [2, 10] tensor of int4 in groups of 4, 4 and 2."""
    fields: dict[str, Any] = {
        "codes": np.arange(20, dtype=np.uint32).reshape(2, 10) % 16,
        "format": INT4,
        "group_size": 4,
        "scale_codes": FP16.encode([[0.5, 1.0, 2.0], [0.25, 3.0, 0.0]]),
        "scale_format": FP16,
    }
    return QTensor(**(fields | changes))


INTEGER_ZERO = {
    "format": UINT4,
    "zero": np.array([[0, 7, 15], [8, 1, -3]], np.int32),
    "zero_kind": "integer",
}
MINIMUM = {
    "format": UINT4,
    "zero": np.array([[-0.5, 0.1, 3.0], [-2.0, 0.0, 1e-8]]),
    "zero_kind": "minimum",
}
PER_TENSOR = {"granularity": "tensor", "group_size": 10, "scale_codes": FP16.encode([[0.5]])}
PER_CHANNEL = {"granularity": "channel", "group_size": 10, "scale_codes": FP16.encode([[0.5], [4.0]])}


def test_groups() -> None:
    ragged = tensor()
    assert (ragged.shape, ragged.groups) == ((2, 10), 3)
    assert ragged.group_slices == (slice(0, 4), slice(4, 8), slice(8, 10))
    assert ragged.group_of_k.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert ragged.scales.tolist() == [[0.5, 1.0, 2.0], [0.25, 3.0, 0.0]]
    real = QTensor.build(
        np.zeros((1, 576), np.uint32), INT4, group_size=128, scale_codes=np.zeros((1, 5), int), scale_format=FP16
    )
    assert [part.stop - part.start for part in real.group_slices] == [128, 128, 128, 128, 64]


def test_one_scale_is_repeated() -> None:
    assert tensor(**PER_TENSOR).scales.tolist() == [[0.5], [0.5]]
    assert tensor(**PER_CHANNEL).scales.tolist() == [[0.5], [4.0]]
    one = tensor(**PER_TENSOR, format=UINT4, zero=np.array([[3]]), zero_kind="integer")
    assert one.zeros is not None
    assert one.zeros.tolist() == [[3], [3]]
    assert tensor().zeros is None


@pytest.mark.parametrize("changes", [{}, INTEGER_ZERO, MINIMUM, PER_TENSOR, PER_CHANNEL])
def test_dequantize_is_the_definition_over_fractions(changes: dict[str, Any]) -> None:
    given = tensor(**changes)
    values = given.dequantize()
    assert values.shape == (2, 10)
    for n in range(2):
        for k in range(10):
            group = k // given.group_size
            place = (0, 0) if given.granularity == "tensor" else (n, group)
            code = int(given.codes[n, k])
            q = Fraction(code - 16 if given.format is INT4 and code > 7 else code)
            s = Fraction(float(np.uint16(given.scale_codes[place]).view(np.float16)))
            zero = Fraction(0) if given.zero is None else Fraction(float(given.zero[place]))
            expected = s * q + zero if given.zero_kind == "minimum" else s * (q - zero)
            # Only the addition of a minimum rounds, and float() of a fraction rounds once as it does.
            assert values[n, k] == float(expected)


def test_build_infers_the_granularity() -> None:
    codes, scales = np.zeros((2, 6), np.uint32), np.ones((2, 1), np.uint32)
    for size in (0, 6, 128):
        whole = QTensor.build(codes, INT4, group_size=size, scale_codes=scales, scale_format=FP16)
        assert (whole.granularity, whole.group_size, whole.groups) == ("channel", 6, 1)
    cut = QTensor.build(codes, INT4, group_size=4, scale_codes=np.ones((2, 2), int), scale_format=FP16)
    assert (cut.granularity, cut.group_size, cut.groups) == ("group", 4, 2)


def test_arrays_are_copied_and_read_only() -> None:
    codes = np.zeros((2, 10), np.uint32)
    kept = tensor(codes=codes)
    codes[0, 0] = 3
    assert kept.codes[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        kept.codes[0, 0] = 1
    assert (kept.codes.dtype, kept.scale_codes.dtype) == (np.dtype(np.uint32), np.dtype(np.uint32))


def test_equality_is_by_content() -> None:
    assert tensor() == tensor()
    other = tensor().codes.copy()
    other[1, 9] ^= 1
    different = [
        tensor(codes=other),
        tensor(format=UINT4),
        tensor(**INTEGER_ZERO),
        tensor(scale_codes=FP16.encode([[0.5, 1.0, 2.0], [0.25, 3.0, 1.0]])),
    ]
    assert all(tensor() != one for one in different)
    assert tensor() != "tensor"


# ---------------------------------------------------------------------- a format with elements and side information


@dataclass(frozen=True, kw_only=True)
class Pairs(Format):
    """Two 2-bit digits in a code word, low digit first, plus a selector of 1 bit that adds 10."""

    name: str = "pairs"
    code_bits: int = 4
    elements: int = 2
    side_bits: int = 1

    def decode_scalar(self, code: int) -> Scalar:
        return Fraction(code % 4)

    def encode_scalar(self, value: Scalar) -> int:
        return int(value) % 4

    def _decode(self, words: Words, side: npt.NDArray[Any] | None) -> Floats:
        assert side is not None
        return np.stack([words % 4 + 10.0 * side, words // 4 + 10.0 * side], axis=-1)

    def _encode(self, values: Floats, side: npt.NDArray[Any] | None) -> Words:
        return values.astype(np.uint32)

    lsb_exp = 0
    max_value = 13.0
    min_value = 0.0
    smallest = 1.0
    corners = (0, 15)


def pairs(**changes: Any) -> QTensor:
    fields: dict[str, Any] = {
        "codes": np.array([[0b0100, 0b1110, 0b0001]]),
        "format": Pairs(),
        "group_size": 4,
        "scale_codes": FP16.encode([[1.0, 2.0]]),
        "scale_format": FP16,
        "selector": np.array([[1, 0]]),
    }
    return QTensor(**(fields | changes))


def test_several_elements_in_a_word_and_a_selector() -> None:
    assert (pairs().shape, pairs().groups) == ((1, 6), 2)
    assert pairs().values().tolist() == [[10.0, 11.0, 12.0, 13.0, 1.0, 0.0]]
    assert pairs().dequantize().tolist() == [[10.0, 11.0, 12.0, 13.0, 2.0, 0.0]]
    assert pairs().selector is not None
    assert pairs().with_packed(pairs().pack()) == pairs()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"group_size": 3}, "QTensor: group_size must be a positive multiple of 2, not 3"),
        ({"selector": None}, "QTensor: selector must agree with the 1 side bits of pairs, but none was given"),
        ({"selector": np.array([[1, 2]])}, "QTensor: selector must be 0 to 1, not 2"),
        ({"selector": np.array([[-1, 0]])}, "QTensor: selector must be 0 to 1, not -1"),
        ({"selector": np.array([[1]])}, "QTensor: selector must have shape [1, 2] (group scales), not [1, 1]"),
    ],
)
def test_wrong_selectors(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        pairs(**changes)
    assert str(caught.value) == message


def test_a_format_that_its_name_does_not_bring_back_is_not_stored() -> None:
    with pytest.raises(HwgenError, match=r"^format: name must be"):
        pairs().to_bytes()
    lookalike = dataclasses.replace(INT4, name="uint4")
    with pytest.raises(HwgenError) as caught:
        tensor(format=lookalike).to_bytes()
    assert str(caught.value) == "QTensor: format 'uint4' must be in the catalogue to be stored by name"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"granularity": "row"},
            "QTensor: granularity must be one of tensor, channel, group, not 'row'",
        ),
        ({"zero_kind": "float"}, "QTensor: zero_kind must be one of none, integer, minimum, not 'float'"),
        ({"codes": np.full((2, 10), 16)}, "int4: words must be 0 to 15, not 16"),
        ({"codes": np.zeros((2, 10))}, "int4: words must be integers, not float64"),
        ({"codes": np.zeros(10, int)}, "QTensor: codes must be a non-empty matrix [N, K], not of shape [10]"),
        ({"codes": np.zeros((2, 0), int)}, "QTensor: codes must be a non-empty matrix [N, K], not of shape [2, 0]"),
        ({"group_size": 0}, "QTensor: group_size must be a positive multiple of 1, not 0"),
        (
            {"granularity": "channel"},
            "QTensor: group_size must be K (10) with granularity 'channel', not 4",
        ),
        (
            {"scale_codes": np.zeros((2, 2), int)},
            "QTensor: scale_codes must have shape [2, 3] (group scales), not [2, 2]",
        ),
        (
            PER_TENSOR | {"scale_codes": np.zeros((2, 1), int)},
            "QTensor: scale_codes must have shape [1, 1] (tensor scales), not [2, 1]",
        ),
        ({"scale_codes": np.full((2, 3), 1 << 16)}, "fp16: words must be 0 to 65535, not 65536"),
        ({"zero_kind": "integer"}, "QTensor: zero must agree with zero_kind 'integer', but none was given"),
        ({"zero": np.zeros((2, 3), int)}, "QTensor: zero must agree with zero_kind 'none', but one was given"),
        (
            INTEGER_ZERO | {"zero": np.zeros((2, 3))},
            "QTensor: zero must be 32-bit integers with zero_kind 'integer', not float64",
        ),
        (
            INTEGER_ZERO | {"zero": np.zeros((1, 3), int)},
            "QTensor: zero must have shape [2, 3] (group scales), not [1, 3]",
        ),
        (
            {"selector": np.zeros((2, 3), int)},
            "QTensor: selector must agree with the 0 side bits of int4, but one was given",
        ),
    ],
)
def test_contradictions(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        tensor(**changes)
    assert str(caught.value) == message


# ---------------------------------------------------------------------- bytes


@pytest.mark.parametrize("changes", [{}, INTEGER_ZERO, MINIMUM, PER_TENSOR, PER_CHANNEL])
def test_bytes_and_back(changes: dict[str, Any]) -> None:
    given = tensor(**changes)
    back = QTensor.from_bytes(given.to_bytes())
    assert back == given
    assert back.format is given.format
    assert given.to_bytes() == given.to_bytes()


def test_pack_is_rows_of_nibbles() -> None:
    assert tensor().pack() == bytes.fromhex("1032547698badcfe1032")
    assert tensor().with_packed(bytes(10)).codes.tolist() == [[0] * 10] * 2
    with pytest.raises(HwgenError) as caught:
        tensor().with_packed(bytes(9))
    assert str(caught.value) == "packed words: 20 words of 4 bits take 10 bytes, not 9"


def test_every_truncation_and_every_changed_byte_is_found() -> None:
    data = tensor(**INTEGER_ZERO).to_bytes()
    for length in range(len(data)):
        with pytest.raises(HwgenError, match=r"^QTensor: "):
            QTensor.from_bytes(data[:length])
    for place in range(len(data)):
        broken = bytearray(data)
        broken[place] ^= 0x10
        with pytest.raises(HwgenError, match=r"^QTensor: "):
            QTensor.from_bytes(bytes(broken))
    with pytest.raises(HwgenError, match=r"truncated or corrupt"):
        QTensor.from_bytes(data + b"\0")


@pytest.mark.parametrize("data", [b"", b"GGUF" + bytes(20)])
def test_bytes_of_something_else(data: bytes) -> None:
    with pytest.raises(HwgenError) as caught:
        QTensor.from_bytes(data)
    given = f"{len(data)} bytes were given"
    assert str(caught.value) == rf"QTensor: bytes must begin with b'HWQT\x01' and a header; {given}"


def forged(header: object, body: bytes = b"") -> bytes:
    """Bytes with a valid checksum around a header of our own."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    whole = b"HWQT\x01" + struct.pack("<I", len(text)) + text + body
    return whole + struct.pack("<I", zlib.crc32(whole))


HEADER: dict[str, Any] = {
    "format": "int4",
    "granularity": "group",
    "group_size": 4,
    "outer": "none",
    "scale_format": "fp16",
    "selector": False,
    "shape": [2, 10],
    "zero_kind": "none",
}
KEYS = "format, granularity, group_size, outer, scale_format, selector, shape, zero_kind"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (forged([1]), f"QTensor: the header must have exactly the keys {KEYS}"),
        (forged({"format": "int4"}), f"QTensor: the header must have exactly the keys {KEYS}"),
        (forged(HEADER | {"shape": [2]}), "QTensor: the header has a value of the wrong type"),
        (forged(HEADER | {"shape": "2x10"}), "QTensor: the header has a value of the wrong type"),
        (forged(HEADER | {"group_size": True}), "QTensor: the header has a value of the wrong type"),
        (forged(HEADER | {"format": 4}), "QTensor: the header has a value of the wrong type"),
        (forged(HEADER | {"shape": [0, 10]}), "QTensor: the header's shape 0 x 10 with groups of 4 is not a tensor"),
        (forged(HEADER | {"group_size": 0}), "QTensor: the header's shape 2 x 10 with groups of 0 is not a tensor"),
        (forged(HEADER), "QTensor: the header asks for 22 bytes of data, not 0"),
        (forged(HEADER, bytes(23)), "QTensor: the header asks for 22 bytes of data, not 23"),
        (
            forged(HEADER | {"granularity": "row"}, bytes(22)),
            "QTensor: granularity must be one of tensor, channel, group, not 'row'",
        ),
    ],
)
def test_forged_headers(data: bytes, message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        QTensor.from_bytes(data)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", [b"\xff{", b"", b"[" * 100_000])
def test_a_header_that_is_not_json(text: bytes) -> None:
    with pytest.raises(HwgenError, match=r"^QTensor: the header is not JSON: "):
        QTensor.from_bytes(forged(text))


def test_a_header_with_another_format() -> None:
    with pytest.raises(HwgenError, match=r"^format: name must be .* not 'int4x'; did you mean 'int4'"):
        QTensor.from_bytes(forged(HEADER | {"format": "int4x"}))


def test_a_forged_body_is_checked_like_any_other() -> None:
    given = QTensor.from_bytes(forged(HEADER, bytes(range(22))))
    assert given.shape == (2, 10)
    assert given.codes[0, :4].tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("outer", [np.float32([[3.0]]), np.float32([[0.5], [1.25]])], ids=["tensor", "channel"])
def test_second_level_scale(outer: np.ndarray) -> None:
    plain, scaled = tensor(), tensor(outer=outer)
    assert np.array_equal(scaled.dequantize(), plain.dequantize() * outer.astype(np.float64))
    assert QTensor.from_bytes(scaled.to_bytes()) == scaled
    assert scaled != plain
    with pytest.raises(HwgenError) as caught:
        tensor(outer=np.ones((2, 3), np.float32))
    wanted = "QTensor: outer must have shape [1, 1], one for the tensor, or [2, 1], one a channel, not [2, 3]"
    assert str(caught.value) == wanted
