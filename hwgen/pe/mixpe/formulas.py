"""Widths, cycles and counts of a mixpe tile."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from hwgen.arith.compressor import TermShape, carry_save_counts
from hwgen.frame.facts import Counts, P
from hwgen.frame.numbers import Num, maximum, where
from hwgen.frame.primitives import for_each
from hwgen.pe._aligned import shift_mux2
from hwgen.pe.mixpe.parameters import MixpeParameters

__all__ = ["MixpeFormulas"]


LEVEL_BITS = 8
"""Bits of an integer group scale, and of a weight that was dequantised by one."""


@functools.cache
def _dot_counts(count: int, planes: int, bits: int, negative_top: bool, width: int, onto: bool = False) -> Counts:
    """Primitives of the sum of ``count`` numbers of ``bits`` bits, signed, times weights of ``planes`` bits, in
    ``width`` bits; with ``onto`` a number of that width is added.
    """
    shapes = [TermShape(bits, True, i, negative_top and i == planes - 1) for _ in range(count) for i in range(planes)]
    return dict(carry_save_counts([TermShape(width, True)] * onto + shapes, width))


@functools.cache
def _level_counts(planes: int, negative_top: bool, offset: bool) -> Counts:
    """Primitives of a group scale times a code of ``planes`` bits, less an offset, in eight bits."""
    shapes = [TermShape(LEVEL_BITS, False, i, negative_top and i == planes - 1) for i in range(planes)]
    return dict(carry_save_counts(shapes + [TermShape(LEVEL_BITS, False, 0, True)] * offset, LEVEL_BITS))


@dataclass(frozen=True, kw_only=True)
class MixpeFormulas(MixpeParameters):
    """Widths, cycles and counts of a mixpe tile."""

    @classmethod
    def _cell_signed(cls, p: P) -> bool:
        return cls._before(p) or cls._signed(p)

    @classmethod
    def _cell_bits(cls, p: P) -> Num:
        """Bits of a weight in a cell."""
        return LEVEL_BITS + 0 * p["bits"] if cls._before(p) else p["bits"]

    @classmethod
    def _weight_range(cls, p: P) -> tuple[Num, Num]:
        """Range of a weight in a cell."""
        half = 2 ** (cls._cell_bits(p) - 1)
        return (-half, half - 1) if cls._cell_signed(p) else (0 * half, 2 * half - 1)

    @classmethod
    def sum_group(cls, p: P) -> Num:
        return 0 * p["group"] if cls._before(p) else p["group"]

    @classmethod
    def zero_width(cls, p: P) -> Num:
        return p["bits"] + 1

    @classmethod
    def side_bits(cls, p: P) -> tuple[Counts, Counts]:
        if not cls._before(p):
            return super().side_bits(p)
        col: Counts = {"group_scale": LEVEL_BITS + 0 * p["bits"]}
        if not cls._signed(p):
            col["group_zero"] = p["bits"]
        return {}, col

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        return cls._code_port(p)

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        return p["k"], p["bits"]

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return p["k"] * cls._cell_bits(p)

    @classmethod
    def _unshifted_range(cls, p: P) -> tuple[Num, Num]:
        """Range of a product before the shift by a step's exponent."""
        (a_low, a_high), (w_low, w_high) = cls._int_range(p), cls._weight_range(p)
        # a_low is at least as far from zero as a_high, w_low than w_high where it is not 0.
        return -maximum(a_high * -w_low, -a_low * w_high), maximum(a_high * w_high, a_low * w_low)

    @classmethod
    def keeps_row_sums(cls, p: P) -> bool:
        return not cls._cell_signed(p)

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        if not cls._before(p):
            return {}
        signed = cls._signed(p)
        # Partial products within the lowest eight bits.
        products = p["bits"] * LEVEL_BITS - p["bits"] * (p["bits"] - 1) // 2
        each = for_each(lambda bits: _level_counts(bits, signed, not signed), p["bits"])
        counts = {name: p["k"] * number for name, number in each.items()}
        counts["and"] = counts["and"] + p["k"] * products
        if signed:
            return counts
        shared = for_each(lambda bits: _level_counts(bits, False, False), p["bits"])
        return cls._joined(counts, shared, {"and": products})

    @classmethod
    def zero_adds_nothing(cls, p: P) -> bool:
        return True

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        k, planes, bits, joined = p["k"], cls._cell_bits(p), cls._aligned_bits(p), cls.sums_in_tree(p)
        width = where(joined, cls.acc_bits(p), cls._tree_bits(p))
        tree = for_each(_dot_counts, k, planes, bits, cls._cell_signed(p), width, joined)
        shifter: Counts = {"mux2": shift_mux2(cls._tree_bits(p), cls._top_shift(p))}
        return cls._joined(tree, {"and": k * planes * bits}, shifter)

    @classmethod
    def row_sum_primitives(cls, p: P) -> Counts:
        width = cls._row_tree_bits(p)
        tree = for_each(
            lambda k, bits, width: _dot_counts(k, 1, bits, False, width), p["k"], cls._aligned_bits(p), width
        )
        return {**tree, "mux2": shift_mux2(width, cls._top_shift(p))}
