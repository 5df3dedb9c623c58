"""Table entries as bytes: integers e with the largest magnitude A become q = e / scale, to nearest, ties to even.

* ``pow2``: scale 2**s with the least s >= 0 for which A / 2**s rounds to 127 at most.
* ``max127``: scale c = max(1, ceil(A / 127)).

Both give magnitudes of 127 at most without clipping, and integers of 127 at most stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Value

from hwgen.arith.bits import adder_tree_with_carries, conditional_negate, extend, leading_zeros, named, wire
from hwgen.arith.carry import add_with_carry
from hwgen.frame.facts import Counts
from hwgen.frame.numbers import Num, ceil_div, maximum, unsigned_bits, where

__all__ = [
    "LARGEST",
    "byte_range",
    "divide",
    "divide_primitives",
    "divided",
    "factor",
    "factor_of",
    "magnitude_sum",
    "magnitude_sum_primitives",
    "round_by_factor",
    "round_by_factor_primitives",
    "round_by_shift",
    "round_by_shift_primitives",
    "rounded",
    "shift_for",
    "shift_of",
    "shift_of_primitives",
]

LARGEST = 127
"""Largest magnitude of an entry."""


# ---------------------------------------------------------------------- arithmetic (scalars or arrays)


def shift_for(peak: Num) -> Num:
    """s of rule pow2 for the largest magnitude ``peak``."""
    least = maximum(unsigned_bits(peak) - 7, 0)
    # The eight leading bits as a number; all ones round up to 128 · 2**s.
    leading = peak >> maximum(least - 1, 0)
    return least + where((least > 0) & (leading == 255), 1, 0)


def factor(peak: Num) -> Num:
    """c of rule max127 for the largest magnitude ``peak``."""
    return maximum(ceil_div(peak, LARGEST), 1)


def _rounded(entries: Num, shift: Num) -> Num:
    floor = entries >> shift
    twice = 2 * (entries - (floor << shift))
    return floor + where((twice > 1 << shift) | ((twice == 1 << shift) & (floor & 1 == 1)), 1, 0)


def rounded(entries: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """``entries / 2**shift``, to nearest, ties to even; int64 of shapes that broadcast."""
    return np.asarray(_rounded(np.asarray(entries, np.int64), shift))


def divided(entries: np.ndarray, by: np.ndarray) -> np.ndarray:
    """``entries / by``, to nearest, ties to even; int64 of shapes that broadcast, ``by`` positive."""
    magnitude = np.abs(entries)
    quotient = magnitude // by
    twice = 2 * (magnitude - quotient * by)
    quotient = quotient + ((twice > by) | ((twice == by) & (quotient & 1 == 1)))
    return np.asarray(np.where(entries < 0, -quotient, quotient))


def byte_range(peak: Num, rule: str) -> Num:
    """A bound of the magnitude of q · scale over all tables whose largest magnitude is ``peak`` at most."""
    if rule == "max127":
        by = factor(peak)
        return where(peak + by // 2 < LARGEST * by, peak + by // 2, LARGEST * by)
    # It grows with the largest magnitude of a table, so that the largest table decides.
    shift = shift_for(peak)
    return _rounded(peak, shift) << shift


# ---------------------------------------------------------------------- logic


def magnitude_sum(m: Module, values: Sequence[Value], width: int, name: str) -> Value:
    """Sum of the magnitudes of signed ``values``, unsigned of ``width`` bits: the largest entry of their ±1 table."""
    flipped, signs = [], []
    for index, value in enumerate(values):
        value = named(m, value, f"{name}_of{index}")
        sign = value[-1]
        flipped.append(wire(m, (value[:-1] ^ sign.replicate(len(value) - 1)), f"{name}_flipped{index}"))
        signs.append(sign)
    total, left = adder_tree_with_carries(m, flipped, signs, f"{name}_tree")
    return wire(m, add_with_carry(total, Const(0, 1), left, width).as_unsigned(), name)


def magnitude_sum_primitives(count: Num, bits: Num, width: Num) -> Counts:
    """Primitives of `magnitude_sum` of ``count`` values of ``bits`` bits."""
    return {"xor": count * (bits - 1), "add": (count - 1) * (bits + 1) + width}


def shift_of(m: Module, peak: Value, largest: int, name: str) -> Value:
    """`shift_for` of an unsigned ``peak`` of at most ``largest``."""
    bits = max(int(unsigned_bits(shift_for(largest))), 1)
    width = len(peak)
    if width <= 7:
        return Const(0, 1)
    peak = named(m, peak, f"{name}_peak")
    zeros = leading_zeros(m, peak[7:], f"{name}_zeros")
    full = [
        # The leading one is at ``top``, and so are seven ones below it.
        peak[top - 7 : top + 1].all() & (~peak[top + 1 :].any() if top + 1 < width else Const(1, 1))
        for top in range(7, width)
    ]
    up = wire(m, Cat(*full).any(), f"{name}_up")
    least = add_with_carry(Const(width - 7, bits + 1), ~extend(zeros, bits + 1), Const(1, 1), bits)
    return wire(m, add_with_carry(least, Const(0, 1), up, bits).as_unsigned(), name)


def shift_of_primitives(width: Num) -> Counts:
    """Primitives of `shift_of` of a ``width``-bit peak."""
    places = maximum(width - 7, 0)
    bits = unsigned_bits(places)
    return {"mux2": places * where(places > 1, 1, 0), "and": places, "add": 2 * bits}


def round_by_shift(m: Module, entry: Value, shift: Value, largest: int, name: str) -> Value:
    """Low 8 bits of signed ``entry`` / 2**``shift``, to nearest, ties to even; ``shift`` of at most ``largest``.

    A logarithmic shifter, the largest distance first, so that it narrows from stage to stage.
    """
    if largest == 0:
        return wire(m, extend(named(m, entry, f"{name}_of"), 8).as_signed(), name)
    shift = named(m, shift, f"{name}_by")
    bits: Value = Cat(Const(0, 1), extend(named(m, entry, f"{name}_of"), largest + 8))
    lost: Value = Const(0, 1)
    for stage in reversed(range(largest.bit_length())):
        distance = 1 << stage
        need = min(9 + distance - 1, len(bits))
        moved = Cat(bits[distance:], Const(0, distance))[:need]
        # Bit 0 is the half so far: what leaves through it is rest.
        lost = wire(m, lost | (shift[stage] & bits[:distance].any()), f"{name}_lost{stage}")
        bits = wire(m, Mux(shift[stage], moved, bits[:need]), f"{name}_stage{stage}")
    up = bits[0] & (lost | bits[1])
    return wire(m, add_with_carry(bits[1:9].as_signed(), Const(0, 1), up, 8), name)


def round_by_shift_primitives(largest: Num) -> Counts:
    """Primitives of `round_by_shift`."""
    levels = unsigned_bits(largest)
    muxes: Num = 0
    for stage in range(6):
        need = where(8 + 2**stage < largest + 9, 8 + 2**stage, largest + 9)
        muxes = muxes + where(stage < levels, need, 0)
    return {"mux2": muxes, "and": where(levels > 0, 2 * levels + 2, 0), "add": where(levels > 0, 8, 0)}


def divide(m: Module, numerator: Value, divisor: Value, bits: int, name: str) -> tuple[Value, Value]:
    """(quotient of ``bits`` bits, remainder) of unsigned numbers, where the quotient fits; one subtraction a bit."""
    numerator, divisor = named(m, numerator, f"{name}_numerator"), named(m, divisor, f"{name}_divisor")
    width = len(divisor)
    rest: Value = extend(numerator[bits:], width) if len(numerator) > bits else Const(0, width)
    quotient: list[Value] = []
    for index in reversed(range(bits)):
        down = numerator[index] if index < len(numerator) else Const(0, 1)
        shifted = wire(m, Cat(down, rest), f"{name}_rest{index}")
        # The borrow of the subtraction says whether it goes in.
        pair = (extend(shifted, width + 2), ~extend(divisor, width + 2))
        less = wire(m, add_with_carry(*pair, Const(1, 1), width + 2), f"{name}_less{index}")
        fits = wire(m, ~less[-1], f"{name}_bit{index}")
        rest = wire(m, Mux(fits, less[:width], shifted[:width]), f"{name}_left{index}")
        quotient.insert(0, fits)
    return Cat(*quotient), rest


def divide_primitives(bits: Num, width: Num) -> Counts:
    """Primitives of `divide` by a divisor of ``width`` bits."""
    return {"add": bits * (width + 2), "mux2": bits * width}


def factor_of(m: Module, peak: Value, largest: int, name: str) -> Value:
    """`factor` of an unsigned ``peak`` of at most ``largest``."""
    bits = int(unsigned_bits(factor(largest)))
    raised = wire(m, (peak + Const(LARGEST - 1, 7))[: len(peak) + 1], f"{name}_raised")
    quotient, _ = divide(m, raised, Const(LARGEST, 7), bits, f"{name}_by127")
    quotient = wire(m, quotient, f"{name}_quotient")
    return wire(m, Cat(quotient[0] | ~quotient.any(), quotient[1:]), name)


def round_by_factor(m: Module, entry: Value, by: Value, name: str) -> Value:
    """Signed ``entry`` / ``by``, to nearest, ties to even, in 8 bits; the quotient is 127 at most."""
    entry, by = named(m, entry, f"{name}_of"), named(m, by, f"{name}_by")
    sign = entry[-1]
    magnitude = conditional_negate(m, entry, sign, f"{name}_magnitude", len(entry)).as_unsigned()
    quotient, rest = divide(m, magnitude, by, 7, f"{name}_divide")
    quotient = wire(m, quotient, f"{name}_quotient")
    width = len(by) + 1
    # 2 · rest − by: negative below a half, zero at a tie.
    twice = wire(
        m,
        add_with_carry(Cat(Const(0, 1), rest, Const(0, 1)), ~extend(by, width + 1), Const(1, 1), width + 1),
        f"{name}_twice",
    )
    up = wire(m, ~twice[-1] & (twice.any() | quotient[0]), f"{name}_up")
    # −(q + up) = ~q + 1 − up, as in alignment.
    flipped = Cat(quotient, Const(0, 1)) ^ sign.replicate(8)
    return wire(m, add_with_carry(flipped, Const(0, 1), sign ^ up, 8), name)


def round_by_factor_primitives(entry: Num, bits: Num) -> Counts:
    """Primitives of `round_by_factor` for entries of ``entry`` bits and factors of ``bits`` bits."""
    parts = divide_primitives(7, bits)
    return {"add": parts["add"] + entry + bits + 2 + 8, "mux2": parts["mux2"], "xor": entry + 8, "and": 2}
