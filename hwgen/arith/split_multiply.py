"""An unsigned multiplier that splits: one product of 13 bits, two of 6 bits, or four small ones, of the same array."""

from __future__ import annotations

import numpy as np
from amaranth.hdl import Cat, Const, Module, Value

from hwgen.arith.bits import adder_tree, named, wire

__all__ = ["SPLIT_CHUNKS", "SPLIT_WIDTH", "split_multiply", "split_multiply_reference"]

SPLIT_CHUNKS = ((0, 3), (3, 6), (6, 9), (9, 13))
"""First and last bit (exclusive) of the operands' quarters."""
SPLIT_WIDTH = 13
"""Bits of an operand."""


def _together(first: int, second: int, whole: Value, halves: Value) -> Value | None:
    """Whether two quarters multiply each other; None for always."""
    if first == second:
        return None
    return whole | halves if first // 2 == second // 2 else whole


def split_multiply(m: Module, a: Value, b: Value, whole: Value, halves: Value, name: str) -> Value:
    """Product of 13-bit ``a`` and ``b`` in 26 bits, or the products of their parts side by side.

    With ``whole`` a · b; with ``halves`` (never both) the product of the operands' bits 0–5 in bits 0–11 and that of
    bits 6–12 above; with neither the products of the quarters of `SPLIT_CHUNKS`, each from bit 6 · i. Partial products
    between parts are masked, so that they do not switch either. Four multipliers of 13 × 3 bits (one of 13 × 4) have as
    many partial products together as one of 13 × 13.
    """
    a, b = named(m, a, f"{name}_a"), named(m, b, f"{name}_b")
    partials: list[Value] = []
    for index, (low, high) in enumerate(SPLIT_CHUNKS):
        kept: list[Value] = []
        for other, (first, last) in enumerate(SPLIT_CHUNKS):
            mask = _together(index, other, whole, halves)
            chunk = a[first:last]
            kept.append(chunk if mask is None else chunk & mask.replicate(last - first))
        masked = wire(m, Cat(*kept), f"{name}_masked{index}")
        partials.append(Cat(Const(0, low), wire(m, masked * b[low:high], f"{name}_partial{index}")))
    return adder_tree(m, partials, f"{name}_sum")[: 2 * SPLIT_WIDTH].as_unsigned()


def split_multiply_reference(a: np.ndarray, b: np.ndarray, parts: int) -> np.ndarray:
    """What `split_multiply` yields for int64 operands; ``parts`` is 1, 2 or 4."""
    cuts = {1: ((0, 13),), 2: ((0, 6), (6, 13)), 4: SPLIT_CHUNKS}[parts]
    fields = [
        ((a >> low & ((1 << (high - low)) - 1)), (b >> low & ((1 << (high - low)) - 1)), low) for low, high in cuts
    ]
    total: np.ndarray = sum((x * y << 2 * low for x, y, low in fields), start=np.zeros_like(a))
    return total
