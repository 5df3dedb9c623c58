"""Vectors that are one number or several: shifts and additions whose bits stop at the ends of segments, or do not.

A vector of equal segments holds one wide number (``whole`` is 1) or a number of its own in each segment.
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hwgen.arith.bits import named, wire

__all__ = ["segment_add", "segment_shift_left"]


def segment_shift_left(m: Module, value: Value, amounts: Sequence[Value], whole: Value, name: str) -> Value:
    """Each segment of ``value`` shifted left by its amount, or all of it by the amounts, which are then alike.

    There is one segment an amount. A logarithmic shifter with one AND a bit that may cross the end of a segment.
    """
    count, size = len(amounts), len(value) // len(amounts)
    amounts = [named(m, amount, f"{name}_amount{index}") for index, amount in enumerate(amounts)]
    bits: Value = named(m, value, f"{name}_of")
    for stage in range(len(amounts[0])):
        distance = 1 << stage
        parts = []
        for index in range(count):
            low, crossing = index * size, min(distance, size)
            below = bits[max(low - distance, 0) : max(low - distance + crossing, 0)]
            entering = Cat(Const(0, crossing - len(below)), below & whole.replicate(len(below)))
            moved = Cat(entering, bits[low : low + size - crossing])
            parts.append(Mux(amounts[index][stage], moved, bits[low : low + size]))
        bits = wire(m, Cat(*parts), f"{name}_by{distance}")
    return bits


def segment_add(m: Module, a: Value, b: Value, carries: Sequence[Value], whole: Value, name: str) -> Value:
    """Low bits of ``a`` + ``b`` + carries, segment by segment, or as one number.

    There is one segment a carry; as one number only the first carry counts and the others must be 0. The adder is one:
    between segments it has a bit that passes the carry on, stops it, or makes the next segment's own.
    """
    size = len(a) // len(carries)
    a, b = named(m, a, f"{name}_a"), named(m, b, f"{name}_b")
    left: list[Value] = [Const(1, 1)]
    right: list[Value] = [carries[0]]
    for index, carry in enumerate(carries):
        cut = slice(index * size, (index + 1) * size)
        if index:
            left.append(whole | carry)
            right.append(carry)
        left.append(a[cut])
        right.append(b[cut])
    total = wire(m, Cat(*left) + Cat(*right), f"{name}_guarded")
    return Cat(*(total[1 + index * (size + 1) :][:size] for index in range(len(carries))))
