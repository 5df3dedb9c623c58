"""Widths, cycles and counts of a codebook tile."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from hwgen.arith.compressor import TermShape, carry_save_counts
from hwgen.arith.partial import bit_shapes, booth_gates, booth_shapes
from hwgen.formats import get, value_table
from hwgen.frame.facts import Counts, P
from hwgen.frame.numbers import Num, bits_for, maximum, where
from hwgen.frame.primitives import for_each
from hwgen.pe._aligned import shift_mux2
from hwgen.pe.codebook.parameters import CodebookParameters, learned, table_facts

__all__ = ["CodebookFormulas"]


@functools.cache
def _dot_counts(acts: int, values: int, digits: bool, count: int, width: int, onto: bool) -> Counts:
    """Primitives of a sum of ``count`` products of signed numbers of so many bits in ``width`` bits.

    Rows are by Booth's ``digits`` or by the bits of the shorter factor; ``onto``: with a sum of that width before it.
    """
    number, factor = max(acts, values), min(acts, values)
    rows = booth_shapes(number, factor) if digits else bit_shapes(number, True, factor, True)
    tree = carry_save_counts([TermShape(width, True)] * onto + rows * count, width)
    gates = booth_gates(number, factor) if digits else {"and": number * factor}
    return {name: tree[name] + count * gates.get(name, 0) for name in tree}


@dataclass(frozen=True, kw_only=True)
class CodebookFormulas(CodebookParameters):
    """Widths, cycles and counts of a codebook tile."""

    @classmethod
    def _value_range(cls, p: P) -> tuple[Num, Num]:
        facts = table_facts(p)
        return facts["low"], facts["high"]

    @classmethod
    def _value_bits(cls, p: P) -> Num:
        """Bits of a value on the column bus, two's complement."""
        return bits_for(*cls._value_range(p))

    @classmethod
    def overflow_in_layers(cls, p: P) -> Num:
        # Where activations are aligned no layer is defined whose sums do not fit.
        return False if cls._floating(p) else super().overflow_in_layers(p)

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        return cls._code_port(p)

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        form = get(p["weights"])
        return p["k"] // form.elements, form.code_bits

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return p["k"] * cls._value_bits(p)

    @classmethod
    def _unshifted_range(cls, p: P) -> tuple[Num, Num]:
        """Range of a product before the shift by a step's exponent."""
        (a_low, a_high), (w_low, w_high) = cls._int_range(p), cls._value_range(p)
        # Activations have both signs, a_low is at least as far from zero, and w_low is negative.
        return -maximum(-a_low * w_high, a_high * -w_low), maximum(-a_low * -w_low, a_high * w_high)

    @classmethod
    def _varying_codes(cls, p: P) -> int:
        """Codes whose value depends on the selector."""
        tables = value_table(get(p["weights"])) or ((),)
        return sum(len(set(values)) > 1 for values in zip(*tables, strict=True))

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        form = get(p["weights"])
        codes, tables = 1 << form.code_bits, 1 << form.side_bits
        if learned(p):
            return {"mux2": p["k"] * (codes - 1) * cls._value_bits(p)}
        # A tree of multiplexers a bit of a value, whose lowest level chooses between known bits.
        looked_up = p["k"] * (codes // 2 - 1) * cls._value_bits(p)
        varying = cls._varying_codes(p)
        return {"mux2": looked_up + varying * (tables - 1 + p["k"]) * cls._value_bits(p)}

    @classmethod
    def zero_adds_nothing(cls, p: P) -> bool:
        return True

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        joined = cls.sums_in_tree(p)
        width = where(joined, cls.acc_bits(p), cls._tree_bits(p))
        tree = for_each(_dot_counts, cls._aligned_bits(p), cls._value_bits(p), cls.joins(p), p["k"], width, joined)
        return cls._joined(tree, {"mux2": shift_mux2(cls._tree_bits(p), cls._top_shift(p))})
