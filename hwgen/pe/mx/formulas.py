"""Widths, cycles and counts of a mx tile."""

from __future__ import annotations

from collections.abc import Sequence
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
from hwgen.pe.mx.parameters import PARTS, MxParameters

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


def unit(forms: Sequence[Format]) -> int:
    """Exponent of the unit of decoded elements: the finest last place of all formats."""
    return min(form.lsb_exp for form in forms)


def field(forms: Sequence[Format], halves: bool = False) -> _Field:
    """Sign, significand and shift that hold an element of any of the formats, in their `unit`; an integer, or a half of
    its magnitude, is a significand that is shifted by what its unit is above theirs.
    """
    significands, shifts = [], []
    for form in forms:
        if isinstance(form, MinifloatFormat):
            layout = float_layout(form)
            bits, largest = layout.mantissa_bits + 1, layout.max_finite[0] - 1
        else:
            bits, largest = max(abs(end) for end in _ends(form, form.lsb_exp)).bit_length(), 0
            if halves:
                bits, largest = half_bits(form), half_bits(form)
        significands.append(bits)
        shifts.append(largest + form.lsb_exp - unit(forms))
    return _Field(max(significands), max(shifts))


def _ends(form: Format, exponent: int) -> tuple[int, int]:
    """Lowest and highest element in units of 2**exponent."""
    return int(form.min_value * 2.0**-exponent), int(form.max_value * 2.0**-exponent)


def half_bits(form: Format) -> int:
    """Bits of half an integer's magnitude."""
    return form.code_bits // 2


def exponent_bits(forms: Sequence[Format]) -> int:
    """Bits of the widest exponent."""
    return max(float_layout(form).exponent_bits for form in forms if isinstance(form, MinifloatFormat))


@dataclass(frozen=True, kw_only=True)
class MxFormulas(MxParameters):
    """Widths, cycles and counts of a mx tile."""

    @classmethod
    def side_bits(cls, p: P) -> tuple[Counts, Counts]:
        acts, weights = cls._blocks(p)
        return {"scale": acts.scale.code_bits}, {"scale": weights.scale.code_bits}

    @classmethod
    def _forms(cls, p: P) -> tuple[tuple[Format, ...], tuple[Format, ...]]:
        """Element formats that activations and weights may have, each once."""
        acts, weights = zip(*cls._mode_blocks(p), strict=True)
        return tuple({form.element: None for form in acts}), tuple({form.element: None for form in weights})

    @classmethod
    def _fields(cls, p: P) -> tuple[_Field, _Field]:
        """Decoded activations and weights where products are significand product and shift."""
        acts, weights = (field(forms, p["int8_products"] == "parts") for forms in cls._forms(p))
        return acts, weights

    @classmethod
    def _units(cls, p: P) -> tuple[int, int]:
        """Exponents of the units of decoded activations and weights, the same in all modes."""
        acts, weights = cls._forms(p)
        return unit(acts), unit(weights)

    @classmethod
    def _finer(cls, p: P) -> int:
        """Bits by which the unit of sums is below that of products of the layer's formats."""
        acts, weights = cls._blocks(p)
        return acts.element.lsb_exp + weights.element.lsb_exp - sum(cls._units(p))

    @property
    def lsb_exp(self) -> int:
        return sum(self._units(self.p))

    @classmethod
    def overflow_in_layers(cls, p: P) -> Num:
        # The golden layer bounds sums in the unit of its formats.
        return super().overflow_in_layers(p) if cls._finer(p) == 0 else False

    @classmethod
    def _shifts(cls, p: P) -> bool:
        """Whether products are formed as significand product and shift."""
        return any(isinstance(form, MinifloatFormat) for forms in cls._forms(p) for form in forms)

    @classmethod
    def _bus_bits(cls, p: P) -> tuple[int, int]:
        """Width of one decoded element, or half of one, of activations and of weights."""
        if cls._shifts(p):
            a, w = cls._fields(p)
            return a.bits, w.bits
        acts, weights = cls._forms(p)
        return acts[0].fixed_bits, weights[0].fixed_bits

    @classmethod
    def _port(cls, p: P, forms: Sequence[Format]) -> tuple[Num, Num]:
        """Elements and bits of a port, whose words hold a code of any mode."""
        return p["k"] // forms[0].elements, max(form.code_bits for form in forms)

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        return cls._port(p, cls._forms(p)[0])

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        return cls._port(p, cls._forms(p)[1])

    @classmethod
    def code_bits(cls, p: P) -> tuple[Num, Num]:
        step = cls.layer_k(p)
        acts, weights = (step // form.element.elements * form.element.code_bits for form in cls._blocks(p))
        return acts, weights

    @classmethod
    def stored_bits(cls, p: P) -> tuple[Num, Num]:
        acts, weights = cls.code_bits(p)
        repeated = [form.repeated_bits / form.block for form in cls._blocks(p)]
        # A bit that several words of a block repeat is in memory once.
        return (
            acts - p["k"] * repeated[0] if repeated[0] else acts,
            weights - p["k"] * repeated[1] if repeated[1] else weights,
        )

    @classmethod
    def row_bus_bits(cls, p: P) -> Num:
        return p["k"] * cls._bus_bits(p)[0]

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return p["k"] * cls._bus_bits(p)[1]

    @classmethod
    def product_range(cls, p: P) -> tuple[Num, Num]:
        units = cls._units(p)
        corners = [
            a * w
            for acts, weights in cls._mode_blocks(p)
            for a in _ends(acts.element, units[0])
            for w in _ends(weights.element, units[1])
        ]
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
        a, w = cls._fields(p)
        return negates_first(p, a.significand + w.significand, cls._sum_bits(p, 1) - 1)

    @classmethod
    def _decoders(cls, p: P, side: int) -> Counts:
        """Primitives of a row's (``side`` 0) or a column's (1) decoders."""
        forms, chosen = cls._forms(p)[side], cls._fields(p)[side]
        if len(forms) == 1:
            return cls._decoder(p, forms[0])
        # Decoders of all formats, the choice of one, and an adder for its unit.
        adders = sum(float_layout(form).exponent_bits for form in forms if isinstance(form, MinifloatFormat))
        choice = (len(forms) - 1) * (1 + chosen.significand + exponent_bits(forms))
        counts = {"add": p["k"] * (chosen.shift - adders), "mux2": p["k"] * choice}
        parts = p["int8_products"] == "parts"
        for form in forms:
            halved = parts and not isinstance(form, MinifloatFormat)
            counts = merge(counts, cls._decoder({**p, "k": p["k"] // PARTS} if halved else p, form))
        if parts and p["mode_pairs"] == "any":
            # Words come to other places, and half of the others are zero.
            counts = merge(counts, {"mux2": (p["k"] - 1) * 8, "and": p["k"] // 2 * chosen.significand})
        return counts

    @classmethod
    def _decoder(cls, p: P, form: Format) -> Counts:
        """Primitives of K decoders of one format."""
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
        return cls._decoders(p, 0)

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        return cls._decoders(p, 1)

    @classmethod
    def zero_adds_nothing(cls, p: P) -> bool:
        return True

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        k, product, first = p["k"], cls._sum_bits(p, 1), cls._negates_first(p)
        acts, weights = cls._forms(p)
        if not cls._shifts(p):
            return {"mul": k * acts[0].fixed_bits * weights[0].fixed_bits, **tree_counts(cls, p, product, first)}
        a, w = cls._fields(p)
        largest = a.largest_shift + w.largest_shift
        placed = product_counts(first, a.significand + w.significand, product - 1, largest)
        amounts = largest.bit_length() if a.shift and w.shift else 0
        each = merge(placed, {"mul": a.significand * w.significand, "add": amounts})
        return merge({name: k * count for name, count in each.items()}, tree_counts(cls, p, product, first))

    @classmethod
    def sums_in_tree(cls, p: P) -> Num:
        return joins_tree(cls, p, cls._negates_first(p))
