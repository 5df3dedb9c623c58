"""Widths, cycles and counts of a bitplane tile."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hwgen.arith.compressor import TermShape, carry_save_counts
from hwgen.frame.facts import Counts, P
from hwgen.frame.numbers import Num, bits_for, ceil_div, clog2, where
from hwgen.frame.primitives import for_each
from hwgen.pe._planes import plane_shift_mux2
from hwgen.pe.bitplane.parameters import BitplaneParameters

__all__ = ["BitplaneFormulas", "Pair", "pairs_by_sign", "top_plane", "tree_of"]


class Pair(NamedTuple):
    """A pair of planes of a cycle, counted from its lowest ones, and whether every cycle subtracts it."""

    weight: int
    act: int
    negative: bool = False

    @property
    def place(self) -> int:
        """Power of two of their product."""
        return self.weight + self.act


def top_plane(rounds: int, signed: bool) -> str:
    """What the highest plane of a cycle is, of an operand whose planes take so many cycles: "added", "always"
    subtracted, or subtracted in the "last" cycle only.
    """
    return ("last" if rounds > 1 else "always") if signed else "added"


def pairs_by_sign(weights: int, acts: int, weight_top: str, act_top: str) -> dict[tuple[bool, bool], list[Pair]]:
    """Pairs of a cycle's planes, by whether the last weight planes and the last activation planes turn their sign."""
    found: dict[tuple[bool, bool], list[Pair]] = {}
    for w in range(weights):
        for a in range(acts):
            tops = (weight_top, w == weights - 1), (act_top, a == acts - 1)
            negative = sum(kind == "always" and top for kind, top in tops) == 1
            by_weight, by_act = (kind == "last" and top for kind, top in tops)
            found.setdefault((by_weight, by_act), []).append(Pair(w, a, negative))
    return found


def tree_of(k: int, pairs: list[Pair]) -> tuple[list[TermShape], int, int]:
    """Rows that count the ones of some pairs, the place of the lowest one, and the bits of their sum."""
    low = min(pair.place for pair in pairs)
    rows = [TermShape(1, False, pair.place - low, pair.negative) for pair in pairs for _ in range(k)]
    least, most = (sum(1 << row.shift for row in rows if row.negative == negative) for negative in (True, False))
    return rows, low, bits_for(-least, most)


@functools.cache
def _and_counts(k: int, weights: int, acts: int, width: int, weight_top: str, act_top: str) -> Counts:
    """Primitives of the sum of a cycle's pairs in ``width`` bits, from their planes."""
    total: Counts = {"xor": 0, "and": k * weights * acts, "add": 0}
    groups = pairs_by_sign(weights, acts, weight_top, act_top)
    for turned, pairs in groups.items():
        rows, _, bits = tree_of(k, pairs)
        for name, number in carry_save_counts(rows, bits).items():
            total[name] += number
        total["xor"] += bits if any(turned) else 0
    total["add"] += (len(groups) - 1) * width
    return total


@functools.cache
def _xnor_counts(k: int, weights: int, acts: int, width: int) -> Counts:
    """The same of planes of ±1."""
    places = [w + a for w in range(weights) for a in range(acts)]
    rows = [TermShape(1, False, place + 1) for place in places for _ in range(k)]
    counts: Counts = dict(carry_save_counts(rows, width, -k * sum(1 << place for place in places)))
    counts["xor"] += k * len(places)
    return counts


@dataclass(frozen=True, kw_only=True)
class BitplaneFormulas(BitplaneParameters):
    """Widths, cycles and counts of a bitplane tile."""

    @classmethod
    def _rounds(cls, p: P) -> tuple[Num, Num]:
        """Cycles in which all planes of the weights, and of the activations, are met once."""
        return ceil_div(p["bits"], p["weight_planes"]), ceil_div(cls._act_bits(p), p["act_planes"])

    @classmethod
    def cycles_per_step(cls, p: P, mode: int = 0) -> Num:
        weights, acts = cls._rounds(p)
        return weights * acts

    @classmethod
    def row_bus_bits(cls, p: P) -> Num:
        # A sum of the activations goes with the planes, since the bus never has all of these.
        return p["k"] * p["act_planes"] + cls.row_addend_bits(p)

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return p["k"] * p["weight_planes"]

    @classmethod
    def product_range(cls, p: P) -> tuple[Num, Num]:
        acts = cls._ends(p, cls._act_bits(p), True)
        return cls._product(acts, cls._ends(p, p["bits"], cls.signed_weights(p)))

    @classmethod
    def _digits(cls, p: P, planes: Num, rounds: Num, signed: bool) -> tuple[Num, Num]:
        """Range of what the planes of a cycle stand for, in any cycle."""
        low, high = cls._ends(p, planes, signed)
        return low, where(rounds > 1, 2**planes - 1, high)

    @classmethod
    def carry_bits(cls, p: P) -> Num:
        # None is left unless the sign of every pair may turn.
        weights, acts = cls._rounds(p)
        by_weight = (p["weight_planes"] == 1) & (weights > 1) & cls.signed_weights(p)
        by_act = (p["act_planes"] == 1) & (acts > 1) & (not cls._signs(p))
        return where(by_weight | by_act, 1, 0)

    @classmethod
    def _sum_bits(cls, p: P) -> Num:
        """Bits of the sum of a cycle, less the carry that is left, before its shift."""
        rounds = cls._rounds(p)
        weights = cls._digits(p, p["weight_planes"], rounds[0], cls.signed_weights(p))
        low, high = cls._product(weights, cls._digits(p, p["act_planes"], rounds[1], True))
        return bits_for(p["k"] * low - cls.carry_bits(p), p["k"] * high)

    @classmethod
    def _shift(cls, p: P) -> tuple[Num, Num]:
        """Places by which sums are shifted: the unit, and the largest number of units."""
        rounds, planes = cls._rounds(p), (p["weight_planes"], p["act_planes"])
        unit = where(rounds[0] == 1, planes[1], where(rounds[1] == 1, planes[0], np.gcd(*planes)))
        unit = unit if isinstance(unit, np.ndarray) else int(unit)
        return unit, sum((count - 1) * (each // unit) for count, each in zip(rounds, planes, strict=True))

    @classmethod
    def addend_bits(cls, p: P) -> Num:
        unit, largest = cls._shift(p)
        return cls._sum_bits(p) + unit * largest

    @classmethod
    def row_sum_range(cls, p: P) -> tuple[Num, Num] | None:
        return None if cls.signed_weights(p) or cls._signs(p) else cls._ends(p, cls._act_bits(p), True)

    @classmethod
    def row_sum_primitives(cls, p: P) -> Counts:
        return {"add": 0}

    @classmethod
    def row_primitives(cls, p: P) -> Counts:
        planes = (cls._rounds(p)[1] - 1) * p["k"] * p["act_planes"]
        return {"mux2": planes, "add": (p["k"] - 1) * cls.row_addend_bits(p)}

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        return {"mux2": (cls._rounds(p)[0] - 1) * cls.col_bus_bits(p)}

    @classmethod
    def zero_adds_nothing(cls, p: P) -> bool:
        # Two zeros are equal signs.
        return not cls._signs(p)

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        width, (unit, largest), rounds = cls._sum_bits(p), cls._shift(p), cls._rounds(p)
        numbers = p["k"], p["weight_planes"], p["act_planes"], width
        if cls._signs(p):
            tree = for_each(_xnor_counts, *numbers)
        else:
            signed = cls.signed_weights(p)

            def counts(k: int, weights: int, acts: int, width: int, several: int, more: int) -> Counts:
                return _and_counts(k, weights, acts, width, top_plane(several, signed), top_plane(more, True))

            tree = for_each(counts, *numbers, *rounds)
        places = where((rounds[0] > 1) & (rounds[1] > 1), clog2(largest + 1), 0)
        return {**tree, "add": tree["add"] + places, "mux2": plane_shift_mux2(width, unit, largest)}
