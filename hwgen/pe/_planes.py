"""Sums of bit planes: lanes of one cycle, some of them subtracted, and their shift by the place of that cycle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from hwgen.arith.bits import adder_tree_with_carries, named, wire
from hwgen.frame.numbers import Num, unsigned_bits, where

__all__ = ["Lane", "join_lanes", "negated_lane", "plane_shift", "plane_shift_mux2"]


class Lane(NamedTuple):
    """A signed ``value`` plus a one-bit ``carry``, both times 2**``place``."""

    value: Value
    place: int = 0
    carry: Value | None = None


def negated_lane(m: Module, value: Value, place: int, negative: Value, name: str) -> Lane:
    """A signed value, negated if ``negative``: its complement, which the carry completes."""
    sign = wire(m, negative, f"{name}_negative")
    flipped = named(m, value, f"{name}_of").as_unsigned() ^ sign.replicate(len(value))
    return Lane(wire(m, flipped.as_signed(), name), place, sign)


def join_lanes(m: Module, lanes: Sequence[Lane], name: str) -> tuple[Value, Value | None]:
    """Sum of the lanes, and the one carry that found no adder: None unless every lane has one.

    A carry at a place is that many ones below its value and a carry at place 0.
    """
    values, carries = [], []
    for lane in lanes:
        fill = Const(0, 1) if lane.carry is None else lane.carry
        values.append(Cat(fill.replicate(lane.place), lane.value).as_signed())
        if lane.carry is not None:
            carries.append(lane.carry)
    return adder_tree_with_carries(m, values, carries, name)


def plane_shift(m: Module, value: Value, index: Value, unit: int, largest: int, fill: Value | None, name: str) -> Value:
    """Signed ``value`` shifted to the left by ``unit`` times ``index``, which is ``largest`` at most.

    Filled with copies of the carry ``fill`` that goes with the value, or zeros. Each level of the shifter is only as
    wide as what may come out of it.
    """
    ones = Const(0, 1) if fill is None else fill
    for level in range(largest.bit_length()):
        step = min(1 << level, largest - ((1 << level) - 1))
        value = named(m, value, f"{name}_of{level}")
        moved = Signal(signed(len(value) + unit * step), name=f"{name}{level}")
        shifted = Cat(ones.replicate(unit << level), value).as_signed()
        m.d.comb += moved.eq(Mux(index[level], shifted, value))
        value = moved
    return value


def plane_shift_mux2(width: Num, unit: Num, largest: Num) -> Num:
    """Multiplexers of `plane_shift` of a value of ``width`` bits."""
    muxes: Num = 0 * width
    for level in range(6):
        grown = where(2 ** (level + 1) - 1 < largest, 2 ** (level + 1) - 1, largest)
        muxes = muxes + where(level < unsigned_bits(largest), width + unit * grown, 0)
    return muxes
