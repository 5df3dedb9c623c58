"""Packing of code words into bytes: word i is bits i·b to (i+1)·b - 1 of a little-endian bit string."""

from __future__ import annotations

import numpy as np

from hwgen.errors import HwgenError
from hwgen.formats.base import Words

__all__ = ["pack_bits", "packed_size", "unpack_bits"]

# A multiple of 8 words, so that each chunk ends on a byte; bounds the memory of the unpacked bits.
_CHUNK = 1 << 18


def packed_size(bits: int, count: int) -> int:
    """Bytes that ``count`` words of ``bits`` bits take; the last byte is filled with zeros."""
    return -(-bits * count // 8)


def pack_bits(words: Words, bits: int) -> bytes:
    """Pack words of any shape, in C order, ``bits`` (1 to 32) each."""
    flat = words.reshape(-1)
    places = np.arange(bits, dtype=np.uint32)
    chunks = []
    for start in range(0, flat.size, _CHUNK):
        part = (flat[start : start + _CHUNK, None] >> places) & 1
        chunks.append(np.packbits(part.astype(np.uint8), bitorder="little").tobytes())
    return b"".join(chunks)


def unpack_bits(data: bytes, bits: int, count: int) -> Words:
    """Undo `pack_bits`: uint32 [count]. Raises `HwgenError` unless ``data`` has exactly the bytes that it takes."""
    if len(data) != packed_size(bits, count):
        raise HwgenError(
            f"packed words: {count} words of {bits} bits take {packed_size(bits, count)} bytes, not {len(data)}"
        )
    raw = np.frombuffer(data, dtype=np.uint8)
    words = np.zeros(count, dtype=np.uint32)
    for start in range(0, count, _CHUNK):
        part = words[start : start + _CHUNK]
        first = start * bits // 8
        source = raw[first : first + packed_size(bits, part.size)]
        flags = np.unpackbits(source, bitorder="little")[: part.size * bits].reshape(-1, bits)
        for place in range(bits):
            part |= flags[:, place].astype(np.uint32) << np.uint32(place)
    return words
