"""Widths, cycles and counts of a mx tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from hwgen.arith import (
    float_layout,
)
from hwgen.formats import Format
from hwgen.formats.minifloat import MinifloatFormat
from hwgen.frame.facts import Counts, P
from hwgen.frame.numbers import Num, bits_for_multiple, where
from hwgen.frame.primitives import merge
from hwgen.pe._products import joins_tree, negates_first, product_counts, tree_counts
from hwgen.pe.mx.parameters import MxParameters

__all__ = ["MxFormulas"]


class _Field(NamedTuple):
    """An element on a bus whose products are significand and shift: a sign and these."""

    significand: int
    """Bits."""
    largest_shift: int

    @property
    def shift(self) -> int:
        """Bits of the shift."""
        return self.largest_shift.bit_length()

    @property
    def bits(self) -> int:
        return 1 + self.significand + self.shift


def field(form: Format) -> _Field:
    """Sign, significand and shift of an element; an integer is a significand that is not shifted."""
    if isinstance(form, MinifloatFormat):
        layout = float_layout(form)
        return _Field(layout.mantissa_bits + 1, layout.max_finite[0] - 1)
    return _Field(max(abs(end) for end in _ends(form)).bit_length(), 0)


def _ends(form: Format) -> tuple[int, int]:
    """Lowest and highest element in units of the format's last place."""
    return int(form.min_value * 2.0**-form.lsb_exp), int(form.max_value * 2.0**-form.lsb_exp)


@dataclass(frozen=True, kw_only=True)
class MxFormulas(MxParameters):
    """Widths, cycles and counts of a mx tile."""

    @classmethod
    def side_bits(cls, p: P) -> tuple[Counts, Counts]:
        acts, weights = cls._blocks(p)
        return {"scale": acts.scale.code_bits}, {"scale": weights.scale.code_bits}

    @classmethod
    def _elements(cls, p: P) -> tuple[Format, Format]:
        acts, weights = cls._blocks(p)
        return acts.element, weights.element

    @classmethod
    def _shifts(cls, p: P) -> bool:
        """Whether products are formed as significand product and shift."""
        return any(isinstance(form, MinifloatFormat) for form in cls._elements(p))

    @classmethod
    def _bus_bits(cls, p: P, form: Format) -> int:
        """Width of one decoded element."""
        return field(form).bits if cls._shifts(p) else form.fixed_bits

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        form, _ = cls._elements(p)
        return p["k"] // form.elements, form.code_bits

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        _, form = cls._elements(p)
        return p["k"] // form.elements, form.code_bits

    @classmethod
    def stored_bits(cls, p: P) -> tuple[Num, Num]:
        acts, weights = super().stored_bits(p)
        repeated = [form.repeated_bits / form.block for form in cls._blocks(p)]
        # A bit that several words of a block repeat is in memory once.
        return (
            acts - p["k"] * repeated[0] if repeated[0] else acts,
            weights - p["k"] * repeated[1] if repeated[1] else weights,
        )

    @classmethod
    def row_bus_bits(cls, p: P) -> Num:
        return p["k"] * cls._bus_bits(p, cls._elements(p)[0])

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return p["k"] * cls._bus_bits(p, cls._elements(p)[1])

    @classmethod
    def product_range(cls, p: P) -> tuple[Num, Num]:
        acts, weights = (_ends(form) for form in cls._elements(p))
        corners = [a * w for a in acts for w in weights]
        return min(corners), max(corners)

    @classmethod
    def _sum_bits(cls, p: P, products: Num) -> Num:
        """Two's-complement bits of a sum of so many products."""
        low, high = cls.product_range(p)
        # The ends are small multiples of a power of two, whose exponent adds to the width: no array of 64 bits holds
        # sums of E5M2 products.
        zeros = min((end & -end).bit_length() - 1 for end in (low, high))
        return bits_for_multiple(low >> zeros, high >> zeros, products) + zeros

    @classmethod
    def acc_bits(cls, p: P) -> Num:
        return cls._sum_bits(p, p["depth"])

    @classmethod
    def addend_bits(cls, p: P) -> Num:
        # A carry that is left over makes the sum before it lower by 1: one's complement has a zero below zero, and the
        # ranges of such products are symmetric.
        return cls._sum_bits(p, p["k"])

    @classmethod
    def carry_bits(cls, p: P) -> Num:
        return where(cls._negates_first(p), 0, 1) if cls._shifts(p) else 0

    @classmethod
    def _negates_first(cls, p: P) -> Num:
        """Whether products of significands are negated before they are shifted."""
        if not cls._shifts(p):
            return False
        a, w = (field(form) for form in cls._elements(p))
        return negates_first(p, a.significand + w.significand, cls._sum_bits(p, 1) - 1)

    @classmethod
    def _decoders(cls, p: P, form: Format) -> Counts:
        k, bits = p["k"], form.fixed_bits
        if isinstance(form, MinifloatFormat):
            # The exponent less one.
            return {"add": k * float_layout(form).exponent_bits}
        if form.elements > 1:
            # Two shifts by one place or none, and a negation.
            return {"mux2": k * (2 * bits - 3), "xor": k * bits, "add": k * bits}
        if cls._shifts(p):
            return {"xor": k * form.code_bits, "add": k * form.code_bits}
        return {}

    @classmethod
    def row_primitives(cls, p: P) -> Counts:
        return cls._decoders(p, cls._elements(p)[0])

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        return cls._decoders(p, cls._elements(p)[1])

    @classmethod
    def zero_adds_nothing(cls, p: P) -> bool:
        return True

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        k, product, first = p["k"], cls._sum_bits(p, 1), cls._negates_first(p)
        acts, weights = cls._elements(p)
        if not cls._shifts(p):
            return {"mul": k * acts.fixed_bits * weights.fixed_bits, **tree_counts(cls, p, product, first)}
        a, w = field(acts), field(weights)
        largest = a.largest_shift + w.largest_shift
        placed = product_counts(first, a.significand + w.significand, product - 1, largest)
        amounts = largest.bit_length() if a.shift and w.shift else 0
        each = merge(placed, {"mul": a.significand * w.significand, "add": amounts})
        return merge({name: k * count for name, count in each.items()}, tree_counts(cls, p, product, first))

    @classmethod
    def accumulator_primitives(cls, p: P) -> Counts:
        counts = super().accumulator_primitives(p)
        # The tree's adder is the accumulator's.
        return {**counts, "add": where(joins_tree(cls, p, cls._negates_first(p)), 0, counts["add"])}
