from __future__ import annotations

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import bits, pack_bits, packed_size, unpack_bits


def slow_pack(words: list[int], width: int) -> bytes:
    """Definition: one long integer, word i at bit i·width."""
    whole = sum(word << (index * width) for index, word in enumerate(words))
    return whole.to_bytes(-(-len(words) * width // 8), "little")


@pytest.mark.parametrize("width", range(1, 33))
def test_packs_as_defined_and_back(width: int) -> None:
    words = np.random.default_rng(width).integers(0, 1 << width, 37, dtype=np.uint64).astype(np.uint32)
    words[:2] = [(1 << width) - 1, 0]
    packed = pack_bits(words, width)
    assert packed == slow_pack(words.tolist(), width)
    assert packed_size(width, 37) == len(packed)
    assert unpack_bits(packed, width, 37).tolist() == words.tolist()


def test_long_arrays_are_packed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bits, "_CHUNK", 16)
    words = np.random.default_rng(5).integers(0, 8, (7, 9)).astype(np.uint32)
    packed = pack_bits(words, 3)
    assert packed == slow_pack(words.ravel().tolist(), 3)
    assert unpack_bits(packed, 3, 63).tolist() == words.ravel().tolist()


def test_nothing_packs_to_nothing() -> None:
    assert pack_bits(np.zeros(0, np.uint32), 5) == b""
    assert unpack_bits(b"", 5, 0).size == 0


@pytest.mark.parametrize("size", [0, 7, 9])
def test_a_wrong_number_of_bytes(size: int) -> None:
    with pytest.raises(HwgenError) as caught:
        unpack_bits(bytes(size), 3, 20)
    assert str(caught.value) == f"packed words: 20 words of 3 bits take 8 bytes, not {size}"
