"""Widths, cycles and counts of a bitfusion tile."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from hwgen.arith.compressor import TermShape, carry_save_counts
from hwgen.arith.partial import bit_shapes
from hwgen.formats import get
from hwgen.frame.facts import Counts, P
from hwgen.frame.numbers import Num, bits_for, where
from hwgen.frame.primitives import for_each
from hwgen.pe.bitfusion.parameters import WIDTH, BitfusionParameters, levels

__all__ = ["BitfusionFormulas", "merged_bits"]


def _tree(shapes: Sequence[TermShape], width: int) -> Counts:
    return dict(carry_save_counts(list(shapes), width))


def _plus(*parts: Counts) -> Counts:
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: sum(part.get(name, 0) for part in parts) for name in names}


def merged_bits(count: int, digit: int, level: int) -> int:
    """Unsigned bits of ``count`` times the largest number of 2^level digits."""
    return (count * ((1 << (digit << level)) - 1)).bit_length()


def _merge_counts(parts: int, count: int, digit: int, left: int = 1) -> Counts:
    """Primitives of `_merged`, down to ``left`` parts."""
    found: Counts = {"add": 0, "mux2": 0}
    level = 0
    while parts > left:
        parts //= 2
        row = merged_bits(count, digit, level) + (digit << level)
        found["mux2"] += parts * row
        found["add"] += parts * (row + 1)
        level += 1
    return found


@functools.cache
def _front_counts(k: int, own: int, other: int, turned: bool, corrects: bool, offset: bool) -> Counts:
    """Primitives of a front-end of digits of ``own`` bits, with digits of ``other`` bits on the other side.

    ``turned``: their highest bits are; ``corrects``: it adds to a step; ``offset``: of its sum something is taken.
    """
    digits, blocks = WIDTH // own, WIDTH // other
    chosen = sum(across.bit_length() for across in range(blocks))
    total = merged_bits(k * blocks, own, levels(own))
    parts = [
        {"mux2": k * digits * own * chosen, "xor": k * blocks * (digits - 1) * turned},
        {"and": k * (blocks - 1) * digits * own},
        *(_tree([TermShape(own, False)] * (k * blocks), merged_bits(k * blocks, own, 0)) for _ in range(digits)),
        _merge_counts(digits, k * blocks, own),
        {"add": total + 1},
        {"mux2": (levels(own) + levels(other)) * ((k << WIDTH - 1).bit_length() + 1)} if offset else {},
        {"mux2": int(levels(other)) * (total + WIDTH)} if corrects else {},
    ]
    return _plus(*parts)


@functools.cache
def _cell_counts(k: int, acts: int, weights: int, aux: int, correction: int, width: int, onto: bool) -> Counts:
    """Primitives of a cell's product logic; ``aux`` bits of the row's correction, 0 for none."""
    own, other = WIDTH // acts, WIDTH // weights
    brick = bit_shapes(acts, False, weights, False) * k
    last = [TermShape(width, True)] * onto + [TermShape(correction, True, acts - 1)]
    last += [TermShape(aux, True, weights - 1)] * (aux > 0)
    gates: Counts = {"and": k * own * other * acts * weights, "mux2": 0}
    if own * other == 1:
        return _plus(gates, _tree([*last, *brick], width))
    sums = _tree(brick, merged_bits(k * ((1 << weights) - 1), acts, 0))
    parts = [gates, {name: own * other * count for name, count in sums.items()}]
    left = 2 if other == 1 else 1
    merged = _merge_counts(own, k * ((1 << weights) - 1), acts, left)
    parts.append({name: other * count for name, count in merged.items()})
    count, digit = k * ((1 << WIDTH) - 1), weights
    if other == 1:
        count, digit = k * ((1 << weights) - 1), acts
    else:
        parts.append(_merge_counts(other, count, digit, 2))
    level = int(levels(digit)) - 1
    low = merged_bits(count, digit, level)
    rows = [TermShape(low, False), TermShape(low + (digit << level), False)]
    return _plus(*parts, {"mux2": low + (digit << level)}, _tree([*last, *rows], width))


@dataclass(frozen=True, kw_only=True)
class BitfusionFormulas(BitfusionParameters):
    """Widths, cycles and counts of a bitfusion tile."""

    @classmethod
    def zero_width(cls, p: P) -> Num:
        return WIDTH + 1 + 0 * p["bits"]

    @classmethod
    def stored_side_bits(cls, p: P) -> tuple[Counts, Counts]:
        row, col = super().stored_side_bits(p)
        if "zero" in col:
            col["zero"] = where(p["post_lanes"] > 0, p["bits"], 0)
        return row, col

    @classmethod
    def layer_k(cls, p: P) -> Num:
        return p["k"] * (WIDTH // get(p["acts"]).code_bits) * (WIDTH // p["bits"])

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        return p["k"], WIDTH * (WIDTH // p["brick_weights"])

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        return p["k"], WIDTH * (WIDTH // p["brick_acts"])

    @classmethod
    def code_bits(cls, p: P) -> tuple[Num, Num]:
        k = cls.layer_k(p)
        return k * get(p["acts"]).code_bits, k * p["bits"]

    @classmethod
    def _row_part_bits(cls, p: P) -> Num:
        """Bits of what a row adds to a step: −2^(w−1)·Σ A, or Σ A for zero points."""
        if cls._signed(p):
            return bits_for(-p["k"] * 128 * 127, p["k"] * 128 * 128) - cls._zeros(p["brick_weights"])
        return cls.row_addend_bits(p)

    @classmethod
    def _col_part_bits(cls, p: P) -> Num:
        """Bits of −2^(a−1)·Σ W'."""
        return bits_for(-p["k"] * 128 * 255, 0 * p["k"]) - cls._zeros(p["brick_acts"])

    @staticmethod
    def _zeros(brick: Num) -> Num:
        """Lowest bits of a product with half of the range of the other side's numbers, which are zero in every mode."""
        return brick - 1

    @classmethod
    def row_bus_bits(cls, p: P) -> Num:
        return cls.act_port(p)[0] * cls.act_port(p)[1] + levels(p["brick_acts"]) + cls._row_part_bits(p)

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return cls.weight_port(p)[0] * cls.weight_port(p)[1] + levels(p["brick_weights"]) + cls._col_part_bits(p)

    @classmethod
    def product_range(cls, p: P) -> tuple[Num, Num]:
        # The widest mode's; four products of half the bits on one side are less.
        return (-128 * 127, 128 * 128) if cls._signed(p) else (-128 * 255, 127 * 255)

    @classmethod
    def addend_bits(cls, p: P) -> Num:
        low, high = cls.product_range(p)
        return bits_for(low * p["k"], high * p["k"])

    @classmethod
    def row_sum_range(cls, p: P) -> tuple[Num, Num] | None:
        return None if cls._signed(p) else (-128, 127)

    @classmethod
    def row_addend_bits(cls, p: P) -> Num:
        # Activations of 8 bits beside the narrowest weights.
        most = p["k"] * (WIDTH // p["brick_weights"])
        return 0 if cls._signed(p) else bits_for(-128 * most, 127 * most)

    @classmethod
    def row_sum_primitives(cls, p: P) -> Counts:
        return {}

    @classmethod
    def zero_adds_nothing(cls, p: P) -> bool:
        return True

    @classmethod
    def sums_in_tree(cls, p: P) -> Num:
        return cls.sums_join(p)

    @classmethod
    def row_primitives(cls, p: P) -> Counts:
        signed = cls._signed(p)
        return for_each(
            lambda *own: _front_counts(*own, True, signed, True), p["k"], p["brick_acts"], p["brick_weights"]
        )

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        signed = cls._signed(p)
        return for_each(
            lambda *own: _front_counts(*own, signed, True, False), p["k"], p["brick_weights"], p["brick_acts"]
        )

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        joined = cls.sums_in_tree(p)
        width = where(joined, cls.acc_bits(p), cls.addend_bits(p))
        aux = cls._row_part_bits(p) * (1 if cls._signed(p) else 0)
        own = p["k"], p["brick_acts"], p["brick_weights"], aux, cls._col_part_bits(p)
        return for_each(_cell_counts, *own, width, joined)
