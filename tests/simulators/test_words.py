from __future__ import annotations

import re

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.simulators import pack_words, unpack_words


def slow_pack(row: list[int], bits: int) -> list[int]:
    number = 0
    for index, value in enumerate(row):
        for bit in range(bits):
            number |= (value >> bit & 1) << (index * bits + bit)
    return [number >> (32 * word) & 0xFFFFFFFF for word in range((len(row) * bits + 31) // 32)]


@pytest.mark.parametrize("bits", range(1, 71))
@pytest.mark.parametrize("signed", [False, True])
def test_packing_follows_the_definition(bits: int, signed: bool) -> None:
    rng = np.random.default_rng(bits)
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    for count in (1, 7, 65):
        rows = [
            [low, high, 0, *(int.from_bytes(rng.bytes(9), "little") % (high - low + 1) + low for _ in range(count))]
        ]
        rows.append(rows[0][::-1])
        values = np.array(rows, object)
        words = pack_words(values, bits)
        assert words.dtype == np.uint32
        assert words.tolist() == [slow_pack(row, bits) for row in rows]
        found = unpack_words(words, len(rows[0]), bits, signed)
        assert found.tolist() == rows
        if bits <= 64:
            assert found.dtype == (np.uint64 if bits == 64 and not signed else np.int64)
            assert pack_words(found, bits).tolist() == words.tolist()


def test_leading_axes_are_kept_and_surplus_words_are_ignored() -> None:
    values = np.arange(2 * 3 * 5, dtype=np.int16).reshape(2, 3, 5)
    words = pack_words(values, 9)
    assert words.shape == (2, 3, 2)
    surplus = np.concatenate([words, np.full((2, 3, 4), 0xFFFFFFFF, np.uint32)], axis=-1)
    assert (unpack_words(surplus, 5, 9, False) == values).all()


def test_rows_beyond_one_chunk_are_all_packed() -> None:
    values = np.random.default_rng(0).integers(-4, 4, (40_000, 33), np.int8)
    assert (unpack_words(pack_words(values, 3), 33, 3, True) == values).all()


def test_no_rows_and_no_elements_are_fine() -> None:
    assert pack_words(np.zeros((0, 5), np.uint8), 3).shape == (0, 1)
    assert pack_words(np.zeros((2, 0), np.uint8), 3).shape == (2, 0)
    assert unpack_words(np.zeros((0, 1), np.uint32), 5, 3, False).shape == (0, 5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pack_words(np.array([[3, 8]]), 3), "pack_words: values must fit into bits (3), not 8"),
        (lambda: pack_words(np.array([[3, -5]]), 3), "pack_words: values must fit into bits (3), not -5"),
        (lambda: pack_words(np.array([[0.5]]), 3), "pack_words: values must be integers, not float64"),
        (lambda: pack_words(np.array([[1]]), 0), "bits must be at least 1, not 0"),
        (
            lambda: unpack_words(np.zeros((1, 2), np.uint32), 9, 8, False),
            "unpack_words: 9 elements of 8 bits need at least 3 words, not 2",
        ),
    ],
)
def test_mistakes_are_told(call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(HwgenError, match=f"^{re.escape(message)}$"):
        call()
