"""Families of bit planes: parameters, lanes of a cycle of which some are subtracted, and the shift by its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed

from hwgen.arith.bits import adder_tree_with_carries, named, wire
from hwgen.formats import Format, get
from hwgen.frame.facts import P, Quantization
from hwgen.frame.numbers import Num, maximum, unsigned_bits, where
from hwgen.frame.param import again, param
from hwgen.pe._scaled import WEIGHT_SCALES, ScaledSpec

__all__ = ["Lane", "PlanesSpec", "join_lanes", "negated_lane", "plane_factors", "plane_shift", "plane_shift_mux2"]


@dataclass(frozen=True, kw_only=True)
class PlanesSpec(ScaledSpec):
    """A tile that takes the bit planes of its weights one after the other, in a parameter ``bits`` of them."""

    scheme: str = param(
        "symmetric",
        "weights: signed, or unsigned with an integer zero point or a float minimum, or odd integers without zero, or "
        "-1, 0 and 1 by their mean",
        legal=("symmetric", "asymmetric", "minimum", "bipolar", "ternary"),
        sweep=("symmetric", "asymmetric", "bipolar"),
    )
    weight_scale: str = again(ScaledSpec, "weight_scale", legal=WEIGHT_SCALES)

    golden_overflow: ClassVar[bool] = True
    cell_uses_mode: ClassVar[bool] = False

    @staticmethod
    def _signs(p: P) -> bool:
        """Whether the bits of planes are signs."""
        return bool(p["scheme"] == "bipolar")

    @staticmethod
    def _act_bits(p: P) -> int:
        return get(p["acts"]).code_bits

    @property
    def act_format(self) -> Format:
        return get(self.p["acts"])

    @property
    def weight_format(self) -> Format:
        kind = "int" if self.signed_weights(self.p) else "bipolar" if self._signs(self.p) else "uint"
        return get(f"{kind}{self.p['bits']}")

    def quantization(self) -> Quantization:
        return Quantization(
            acts=self.act_format.name,
            weights=self.weight_format.name,
            scheme=self.scheme,
            group=self.group,
            act_scale=self.act_scale,
            weight_scale=self.weight_scale,
            step=self.k,
            **self.bounded_sums(),
        )

    @classmethod
    def overflow_in_layers(cls, p: P) -> Num:
        # Several updates a step saturate in between, which golden layers do not know; wrapping does not show it.
        return super().overflow_in_layers(p) & ((p["overflow"] == "wrap") | (cls.cycles_per_step(p) == 1))

    @property
    def zero_values(self) -> range:
        return range(1 << self.p["bits"])

    @classmethod
    def zero_width(cls, p: P) -> Num:
        return p["bits"] + 1

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        return p["k"], p["bits"]

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        return p["k"], cls._act_bits(p)

    @classmethod
    def _ends(cls, p: P, bits: Num, signed: bool) -> tuple[Num, Num]:
        """Range of a number of so many planes, which are signs or those of a signed or an unsigned number."""
        if cls._signs(p):
            return 1 - 2**bits, 2**bits - 1
        return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0 * bits, 2**bits - 1)

    @staticmethod
    def _product(left: tuple[Num, Num], right: tuple[Num, Num]) -> tuple[Num, Num]:
        """Range of a product of numbers whose ranges have 0 in them."""
        return (
            -maximum(-left[0] * right[1], left[1] * -right[0]),
            maximum(left[0] * right[0], left[1] * right[1]),
        )


def plane_factors(bits: int, negative_top: bool) -> list[int]:
    """What a one in each plane counts."""
    return [-(1 << b) if negative_top and b == bits - 1 else 1 << b for b in range(bits)]


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
