"""The primitives that an inventory counts, and the counts of what every family has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hwgen.frame.facts import Counts
from hwgen.frame.numbers import Num

__all__ = ["FP32_ADD", "PRIMITIVES", "accumulator", "for_each", "is_named", "merge", "within"]

P = Mapping[str, Any]

PRIMITIVES = {
    "ff": "flip-flop, one bit, with an enable or without",
    "add": "full adder, one bit",
    "mux2": "two-way multiplexer, one bit",
    "xor": "exclusive or, one bit",
    "and": "and gate, one bit",
    "mul": "array-multiplier cell: one partial-product bit (and gate + full adder)",
}
"""What the cost model must know a price for; an unknown name is an error there."""


def merge(*parts: Counts) -> Counts:
    """Their sum; raises `KeyError` for a primitive that has no name here."""
    total: Counts = {}
    for part in parts:
        for name, number in part.items():
            if name not in PRIMITIVES:
                raise KeyError(f"unknown primitive {name!r}")
            total[name] = total.get(name, 0) + number
    return total


def for_each(counts: Callable[..., Counts], *numbers: Num) -> Counts:
    """``counts`` of numbers that may be arrays: one call for each distinct combination."""
    if not any(isinstance(number, np.ndarray) for number in numbers):
        return counts(*numbers)
    grids = np.broadcast_arrays(*numbers)
    points, inverse = np.unique(np.stack([grid.ravel() for grid in grids]), axis=1, return_inverse=True)
    found = [counts(*point) for point in points.T.tolist()]
    return {name: np.array([one[name] for one in found])[inverse].reshape(grids[0].shape) for name in found[0]}


def is_named(p: P, name: str, value: str) -> int:
    """1 where the named parameter has the value; names are scalars within one call."""
    return int(p[name] == value)


def accumulator(p: P, bits: Num) -> Counts:
    """One integer accumulator of ``bits`` bits with its register."""
    clamp = is_named(p, "overflow", "saturate")
    # Clearing is an AND per bit in front of the adder; saturation adds one adder bit and a two-way choice of the limit.
    return {"add": bits + clamp, "and": bits, "mux2": 2 * clamp * bits, "ff": bits}


def within(cuts: Num, inputs: Num, outputs: Num) -> Num:
    """Bits of registers within logic, about: at every cut as many as the geometric mean of its ends.

    How many there are is for the placing of the cuts to say (`hwgen.pipeline`); no formula knows it.
    """
    bits = np.rint(cuts * np.sqrt(1.0 * inputs * outputs))
    return bits.astype(np.int64) if isinstance(bits, np.ndarray) else int(bits)


FP32_ADD: Counts = {"add": 31 + 2 * 8 + 28 + 8 + 31, "mux2": 2 * 32 + 5 * 26 + 5 * 28 + 27, "xor": 31 + 27, "and": 142}
"""One FP32 adder: compare, swap, two distances, align, add, count zeros, normalise, round."""
