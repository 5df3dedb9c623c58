"""Sums of many shifted rows, positive and negative, by a carry-save tree and one adder.

Every row is made positive first. A bit that counts negative, the sign of a two's-complement number or any other bit of
a row that is subtracted, is complemented: -b·2**i = ~b·2**i - 2**i. The constants of all rows together are one row of
known bits. Then full and half adders take three rows to two, level by level, each as wide as its rows overlap; known
ones make a half adder of a full one, and nothing is spent on known zeros. The last two rows are added.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from amaranth.hdl import Cat, Module, Value

from hwgen.arith.bits import wire

__all__ = ["Term", "TermShape", "carry_save_counts", "carry_save_sum"]

Bit = Any
"""A bit of a row: the number 0 or 1 where it is known, else a one-bit value."""


class TermShape(NamedTuple):
    """A row of ``bits`` bits, two's complement if ``signed``, times ±2**``shift``."""

    bits: int
    signed: bool
    shift: int = 0
    negative: bool = False


class Term(NamedTuple):
    """``value``, signed or unsigned, times 2**``shift``, added, or subtracted if ``negative``."""

    value: Value
    shift: int = 0
    negative: bool = False

    @property
    def shape(self) -> TermShape:
        shape = self.value.shape()
        return TermShape(shape.width, shape.signed, self.shift, self.negative)


class _Word(NamedTuple):
    """Bits of one row from place ``low`` upwards; 0 elsewhere."""

    low: int
    bits: list[Bit]

    @property
    def high(self) -> int:
        return self.low + len(self.bits)

    def at(self, place: int) -> Bit:
        return self.bits[place - self.low] if self.low <= place < self.high else 0


_Known = tuple[int, tuple[Bit, ...]]
"""The lowest place of a row and its bits, of which `_UNKNOWN` stands for all that are not known."""

_UNKNOWN = object()

Combine = Callable[[list[list[Bit]], int], tuple[list[Bit], list[Bit]]]
"""From one to three equally long unknown runs of bits and a known one or none to sum and carry bits."""


def _flips(shape: TermShape) -> list[bool]:
    """Which bits of a row count negative, and are complemented."""
    return [shape.negative != (shape.signed and place == shape.bits - 1) for place in range(shape.bits)]


def _correction(shapes: Iterable[TermShape], width: int, constant: int) -> _Word:
    """A constant, less what the complemented bits count too much, as known bits."""
    excess = -constant + sum(
        1 << (shape.shift + place) for shape in shapes for place, flip in enumerate(_flips(shape)) if flip
    )
    return _trimmed(0, [(-excess >> place) & 1 for place in range(width)])


def _trimmed(low: int, bits: list[Bit]) -> _Word:
    """A word without known zeros at its ends."""
    known = [isinstance(bit, int) and bit == 0 for bit in bits]
    start = next((place for place, zero in enumerate(known) if not zero), len(bits))
    stop = next((place for place in range(len(bits), start, -1) if not known[place - 1]), start)
    return _Word(low + start, bits[start:stop])


def _runs(words: Sequence[_Word], low: int, high: int) -> Iterable[tuple[list[list[Bit]], int, int]]:
    """Runs of places at which the same words are unknown: (bits of each of these, known ones, length)."""

    def kind(place: int) -> tuple[tuple[int, ...], int]:
        bits = [word.at(place) for word in words]
        unknown = tuple(index for index, bit in enumerate(bits) if not isinstance(bit, int))
        return unknown, sum(bit for bit in bits if isinstance(bit, int))

    for (unknown, ones), group in itertools.groupby(range(low, high), key=kind):
        places = list(group)
        yield [[words[index].at(place) for place in places] for index in unknown], ones, len(places)


def _three_to_two(words: Sequence[_Word], width: int, combine: Combine) -> list[_Word]:
    """Sum and carry words of three, modulo 2**``width``; none that is known to be 0."""
    low, high = min(word.low for word in words), max(word.high for word in words)
    sums: list[Bit] = []
    carries: list[Bit] = []
    for unknown, ones, count in _runs(words, low, high):
        if unknown:
            total, carry = combine(unknown, ones)
        else:
            total, carry = [ones & 1] * count, [ones >> 1] * count
        sums += total
        carries += carry
    made = [_trimmed(low, sums), _trimmed(low + 1, carries[: max(width - low - 1, 0)])]
    return [word for word in made if word.bits]


def _reduced(words: list[_Word], width: int, combine: Combine) -> list[_Word]:
    """Two words at most with the same sum modulo 2**``width``."""
    words = [cut for word in words if (cut := _trimmed(word.low, word.bits[: max(width - word.low, 0)])).bits]
    while len(words) > 2:
        # Neighbours by place overlap most.
        words = sorted(words, key=lambda word: word.low)
        whole = len(words) // 3 * 3
        triples = [words[index : index + 3] for index in range(0, whole, 3)]
        words = [made for triple in triples for made in _three_to_two(triple, width, combine)] + words[whole:]
    return words


def _split(words: Sequence[_Word], width: int) -> int:
    """First place from which on the last two words need an adder; ``width`` if they do not overlap."""
    if len(words) < 2:
        return width
    lower, upper = sorted(words, key=lambda word: word.low)
    return upper.low if upper.low < lower.high else width


def carry_save_sum(m: Module, rows: Sequence[Term], name: str, width: int, constant: int = 0) -> Value:
    """Signed sum of ``rows`` and a constant modulo 2**``width``, of ``width`` bits.

    Depth: about log1.5(rows / 2) full adders, then one carry-propagating adder. Raises ValueError without rows.
    """
    if not rows:
        raise ValueError(f"{name}: a compressor takes at least one row")
    number = itertools.count()

    def combine(unknown: list[list[Bit]], ones: int) -> tuple[list[Bit], list[Bit]]:
        tag = f"{name}_{next(number)}"
        a, count = Cat(*unknown[0]), len(unknown[0])
        total: Value
        carry: Value
        if len(unknown) == 1:
            if ones != 1:
                return unknown[0], [ones >> 1] * count
            return list(wire(m, ~a, f"{tag}_sum")), unknown[0]
        b = Cat(*unknown[1])
        if len(unknown) == 2:
            total, carry = (~(a ^ b), a | b) if ones else (a ^ b, a & b)
        else:
            c, either = Cat(*unknown[2]), wire(m, a ^ b, f"{tag}_xor")
            total, carry = either ^ c, (a & b) | (either & c)
        return list(wire(m, total, f"{tag}_sum")), list(wire(m, carry, f"{tag}_carry"))

    words = [_correction((row.shape for row in rows), width, constant)]
    for index, row in enumerate(rows):
        flips = _flips(row.shape)
        value = row.value.as_unsigned()
        if any(flips):
            # One complement of a whole part, not of each bit.
            cut = len(value) - 1 if row.value.shape().signed else len(value)
            low, top = value[:cut], value[cut:]
            value = wire(m, Cat(~low, top) if row.negative else Cat(low, ~top), f"{name}_row{index}")
        words.append(_Word(row.shift, list(value)))
    words = _reduced(words, width, combine)
    split = _split(words, width)
    below = Cat(
        *(next((word.at(place) for word in words if word.low <= place < word.high), 0) for place in range(split))
    )
    if split == width:
        return wire(m, below.as_signed(), name)
    left, right = (
        wire(m, Cat(*(word.at(place) for place in range(split, width))), f"{name}_last{index}")
        for index, word in enumerate(words)
    )
    return wire(m, Cat(below, (left + right)[: width - split]).as_signed(), name)


@functools.cache
def _three_to_two_counts(triple: tuple[_Known, ...], width: int) -> tuple[list[_Known], int, int]:
    """Words that three become, modulo 2**``width``, with the exclusive ors and ands of that."""
    xors = ands = 0

    def combine(unknown: list[list[Bit]], ones: int) -> tuple[list[Bit], list[Bit]]:
        nonlocal xors, ands
        count = len(unknown[0])
        bits = [_UNKNOWN] * count
        if len(unknown) == 1:
            return bits, bits if ones == 1 else [ones >> 1] * count
        xors += (len(unknown) - 1) * count
        ands += (1 if len(unknown) == 2 else 3) * count
        return bits, bits

    words = _three_to_two([_Word(low, list(bits)) for low, bits in triple], width, combine)
    return [(word.low, tuple(word.bits)) for word in words], xors, ands


def carry_save_counts(shapes: Sequence[TermShape], width: int, constant: int = 0) -> dict[str, int]:
    """Primitives of `carry_save_sum`: a full adder is two exclusive ors, two ands and an or (counted as an and).

    Equal rows are taken together: counts of thousands of single bits are wanted for many tiles.
    """
    counts = {"xor": 0, "and": 0, "add": 0}

    def combined(triple: tuple[_Known, ...], times: int) -> list[tuple[_Known, int]]:
        """What a triple that is there so many times becomes."""
        low = min(at for at, _ in triple)
        high = max(at + len(bits) for at, bits in triple)
        room = min(width, high + 1) - low
        words, xors, ands = _three_to_two_counts(tuple((at - low, bits) for at, bits in triple), room)
        counts["xor"] += times * xors
        counts["and"] += times * ands
        return [((at + low, bits), times) for at, bits in words]

    words = [_correction(shapes, width, constant)] + [_Word(shape.shift, [_UNKNOWN] * shape.bits) for shape in shapes]
    rows: list[tuple[_Known, int]] = []
    for word in words:
        word = _trimmed(word.low, word.bits[: max(width - word.low, 0)])
        if word.bits:
            rows.append(((word.low, tuple(word.bits)), 1))
    while sum(times for _, times in rows) > 2:
        # As `_reduced` does, with the words of one kind side by side.
        rows = sorted(rows, key=lambda row: row[0][0])
        below: list[tuple[_Known, int]] = []
        waiting: list[_Known] = []
        for known, equal in itertools.groupby(rows, key=lambda row: row[0]):
            times = sum(count for _, count in equal)
            fill = min(-len(waiting) % 3, times)
            waiting += [known] * fill
            if len(waiting) == 3:
                below += combined(tuple(waiting), 1)
                waiting = []
            whole, rest = divmod(times - fill, 3)
            if whole:
                below += combined((known,) * 3, whole)
            waiting += [known] * rest
        rows = below + [(known, 1) for known in waiting]
    last = [_Word(low, list(bits)) for (low, bits), times in rows for _ in range(times)]
    counts["add"] = width - _split(last, width)
    return counts
