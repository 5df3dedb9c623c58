"""Arrays of small integers to and from the 32-bit words in which a simulator holds a wide port."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError

__all__ = ["pack_words", "unpack_words"]

_CHUNK_WORDS = 1 << 15  # 256 KiB of 64-bit words: the strided passes over one chunk stay in the cache

# Widths that have a type of their own, and those of which a byte holds several: both avoid the strided passes.
_WHOLE = {8: "<u1", 16: "<u2", 32: "<u4", 64: "<u8"}
_PARTS = (1, 2, 4)


def pack_words(values: NDArray[Any], bits: int) -> NDArray[np.uint32]:
    """Pack integers side by side: element i of the last axis at bit ``i * bits``, least significant word first.

    Args:
        values: Integers [..., n]; negative ones are stored in two's complement. Object arrays hold Python integers.
        bits: Width of one element, at least 1; above 64 only practical for small arrays.

    Returns:
        Words [..., ceil(n * bits / 32)]; bits above the last element are 0.

    Raises:
        HwgenError: ``bits`` is below 1, or a value fits into neither the signed nor the unsigned range of ``bits``.
    """
    _check_bits(bits)
    values = np.asarray(values)
    if values.dtype.kind not in "iubO":
        raise HwgenError(f"pack_words: values must be integers, not {values.dtype}")
    if values.size:
        low, high = int(values.min()), int(values.max())
        if low < -(1 << (bits - 1)) or high >= 1 << bits:
            worst = high if high >= 1 << bits else low
            raise HwgenError(f"pack_words: values must fit into bits ({bits}), not {worst}")
    count = values.shape[-1]
    words = -(-count * bits // 32)
    rows = values.reshape(math.prod(values.shape[:-1]), count)
    if bits > 64:
        packed = _pack_python(rows, bits, words)
    else:
        packed = np.empty((rows.shape[0], words), np.uint32)
        for part in _chunks(rows.shape[0], count * bits):
            packed[part] = _pack(rows[part], bits)[:, :words]
    return packed.reshape(*values.shape[:-1], words)


def unpack_words(words: NDArray[np.uint32], count: int, bits: int, signed: bool) -> NDArray[Any]:
    """Take integers out of packed words; the inverse of `pack_words`.

    Args:
        words: Words [..., w], least significant first, w >= ceil(count * bits / 32); further words are ignored.
        count: Elements to take, element i at bit ``i * bits``.
        bits: Width of one element, at least 1.
        signed: Read the elements as two's complement.

    Returns:
        int64 [..., count]; uint64 for 64 unsigned bits, Python integers (object) for more than 64 bits.

    Raises:
        HwgenError: ``bits`` is below 1, or there are fewer words than ``count`` elements need.
    """
    _check_bits(bits)
    words = np.ascontiguousarray(words, np.uint32)
    need = -(-count * bits // 32)
    if words.shape[-1] < need:
        raise HwgenError(
            f"unpack_words: {count} elements of {bits} bits need at least {need} words, not {words.shape[-1]}"
        )
    rows = words.reshape(math.prod(words.shape[:-1]), words.shape[-1])
    values: NDArray[Any]
    if bits > 64:
        values = _unpack_python(rows, count, bits, signed)
    else:
        values = np.empty((rows.shape[0], count), np.int64 if signed or bits < 64 else np.uint64)
        for part in _chunks(rows.shape[0], count * bits):
            found = _unpack(rows[part, :need], count, bits)
            if signed:
                spare = 64 - bits
                values[part] = (found << np.uint64(spare)).view(np.int64) >> np.int64(spare)
            else:
                values[part] = found.view(values.dtype)
    return values.reshape(*words.shape[:-1], count)


def _check_bits(bits: int) -> None:
    if bits < 1:
        raise HwgenError(f"bits must be at least 1, not {bits}")


def _chunks(rows: int, bits_per_row: int) -> Iterator[slice]:
    step = max(1, _CHUNK_WORDS * 64 // max(1, bits_per_row))
    return (slice(start, start + step) for start in range(0, rows, step))


def _period(bits: int) -> tuple[int, int]:
    """Return (elements, 64-bit words) after which the positions of elements in words repeat."""
    common = math.gcd(bits, 64)
    return 64 // common, bits // common


def _pack(rows: NDArray[Any], bits: int) -> NDArray[np.uint32]:
    if rows.dtype == object:
        mask = (1 << bits) - 1
        rows = np.array([int(value) & mask for value in rows.flat], np.uint64).reshape(rows.shape)
    if bits in _WHOLE:
        return _pack_whole(rows.astype(_WHOLE[bits]))
    if bits in _PARTS:
        return _pack_whole(_join(rows.astype(np.uint8) & np.uint8((1 << bits) - 1), bits))
    elements, words = _period(bits)
    groups = -(-rows.shape[1] // elements)
    wide = np.zeros((rows.shape[0], groups * elements), np.uint64)
    # Sign extension first: a narrow negative type would otherwise lose its upper bits.
    wide[:, : rows.shape[1]] = (rows if rows.dtype == np.uint64 else rows.astype(np.int64).view(np.uint64)) & np.uint64(
        (1 << bits) - 1
    )
    wide = wide.reshape(rows.shape[0], groups, elements)
    packed = np.zeros((rows.shape[0], groups, words), np.uint64)
    for element in range(elements):
        word, offset = divmod(element * bits, 64)
        packed[:, :, word] |= wide[:, :, element] << np.uint64(offset)
        if offset + bits > 64:
            packed[:, :, word + 1] |= wide[:, :, element] >> np.uint64(64 - offset)
    return packed.reshape(rows.shape[0], groups * words).astype("<u8").view("<u4")


def _unpack(rows: NDArray[np.uint32], count: int, bits: int) -> NDArray[np.uint64]:
    if bits in _WHOLE:
        return np.ascontiguousarray(rows.astype("<u4")).view(_WHOLE[bits])[:, :count].astype(np.uint64)
    if bits in _PARTS:
        parts = 8 // bits
        joined = np.ascontiguousarray(rows.astype("<u4")).view(np.uint8)
        narrow = np.empty((*joined.shape, parts), np.uint8)
        for part in range(parts):
            narrow[:, :, part] = joined >> np.uint8(part * bits) & np.uint8((1 << bits) - 1)
        return narrow.reshape(rows.shape[0], -1)[:, :count].astype(np.uint64)
    elements, words = _period(bits)
    groups = -(-count // elements)
    padded = np.zeros((rows.shape[0], 2 * groups * words), "<u4")
    padded[:, : rows.shape[1]] = rows
    packed = padded.view("<u8").astype(np.uint64).reshape(rows.shape[0], groups, words)
    wide = np.empty((rows.shape[0], groups, elements), np.uint64)
    for element in range(elements):
        word, offset = divmod(element * bits, 64)
        wide[:, :, element] = packed[:, :, word] >> np.uint64(offset)
        if offset + bits > 64:
            wide[:, :, element] |= packed[:, :, word + 1] << np.uint64(64 - offset)
    wide &= np.uint64((1 << bits) - 1)
    return np.ascontiguousarray(wide.reshape(rows.shape[0], groups * elements)[:, :count])


def _pack_whole(rows: NDArray[Any]) -> NDArray[np.uint32]:
    """Pack elements of whole bytes, which lie in memory as they do in words."""
    in_word = max(1, 4 // rows.itemsize)
    return np.ascontiguousarray(_padded(rows, in_word)).view("<u4")


def _join(rows: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Put neighbours together until they fill bytes; ``bits`` is 1, 2 or 4."""
    rows = _padded(rows, 8 // bits)
    while bits < 8:
        rows = rows[:, 0::2] | rows[:, 1::2] << np.uint8(bits)
        bits *= 2
    return rows


def _padded(rows: NDArray[Any], multiple: int) -> NDArray[Any]:
    missing = -rows.shape[1] % multiple
    return np.pad(rows, ((0, 0), (0, missing))) if missing else rows


def _pack_python(rows: NDArray[Any], bits: int, words: int) -> NDArray[np.uint32]:
    mask = (1 << bits) - 1
    packed = np.empty((rows.shape[0], words), np.uint32)
    for index, row in enumerate(rows):
        number = sum((int(value) & mask) << (position * bits) for position, value in enumerate(row))
        packed[index] = np.frombuffer(number.to_bytes(4 * words, "little"), "<u4")
    return packed


def _unpack_python(rows: NDArray[np.uint32], count: int, bits: int, signed: bool) -> NDArray[Any]:
    mask, sign = (1 << bits) - 1, 1 << (bits - 1) if signed else 0
    values = np.empty((rows.shape[0], count), object)
    for index, row in enumerate(rows):
        number = int.from_bytes(row.astype("<u4").tobytes(), "little")
        for position in range(count):
            # Flipping the sign bit and taking its weight away sign-extends.
            values[index, position] = ((number >> (position * bits) & mask) ^ sign) - sign
    return values
