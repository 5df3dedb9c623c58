"""Bit-serial weights by parallel activations: K AND gates a plane, an adder tree, a shift and one accumulator.

Weights of W bits enter ``planes`` P planes a cycle, the lowest first. Where a weight's bit is 1 its activation enters
the tree of the cell; the sum of K activations is shifted by the place of its plane and accumulated. A step adds
Σ_k A[m,k]·W[n,k], exactly, in ceil(W / P) cycles: time is proportional to the weights' width, and no cell has a
multiplier or a table.

* Two's complement (``scheme symmetric``): the highest plane is subtracted, its sum of activations complemented and the
  one left to the next adder's carry. Ternary weights (``bits 1.58`` or ``scheme ternary``) are two such planes.
* Unsigned with a zero point or a float minimum (``asymmetric``, ``minimum``): every plane is added. Σ_k A[m,k] is
  kept once per row, and the wanted sum is Σ A·W − z·Σ A.
* Odd integers (``bipolar``, at one bit ±1): a plane's bits are signs, so that K conditional complements take the place
  of the AND gates; the ones that complete them are carries of the adders.

Where P does not divide W, what is above the highest plane copies it (two's complement) or is 0 (unsigned). All W planes
in one cycle (``planes`` W) are a tile of shift and add, as `hwgen.pe.mixpe` is.

Timing: ceil(W / P) cycles per step, latency 1 + stages and cuts.
Source: Stripes (MICRO'16), whose serial operand are activations, 16 lanes an adder tree; UNPU (JSSC'19), serial weights
of 1 to 16 bits, here without its tables; the bit-serial baselines of BitMoD (HPCA'25, Table IV) and LUT Tensor Core
(ISCA'25). Stripes shifts its accumulator, here the sum of a cycle is shifted: steps then follow each other in one
accumulator without a second one for the step.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Const, Module, Signal, Value

from hwgen.arith.bits import adder_tree, adder_tree_with_carries, extend, wire
from hwgen.arith.compressor import Term, TermShape, carry_save_counts, carry_save_sum
from hwgen.frame.facts import Addend, Counts, P
from hwgen.frame.numbers import Num, bits_for, ceil_div, clog2, maximum, where
from hwgen.frame.param import Range, param
from hwgen.frame.primitives import for_each
from hwgen.pe._planes import (
    Lane,
    PlanesSpec,
    join_lanes,
    negated_lane,
    plane_factors,
    plane_shift,
    plane_shift_mux2,
)

__all__ = ["Bitserial"]


@functools.cache
def _tree_counts(k: int, planes: int, acts: int, width: int, negative_top: bool) -> Counts:
    """Primitives of the sum of K activations for each of several planes, in ``width`` bits."""
    if not planes:
        return {"xor": 0, "and": 0, "add": 0}
    shapes = [TermShape(acts, True, i, negative_top and i == planes - 1) for i in range(planes) for _ in range(k)]
    return dict(carry_save_counts(shapes, width))


@dataclass(frozen=True, kw_only=True)
class Bitserial(PlanesSpec):
    """Bit-serial tile."""

    title: ClassVar[str] = "bit-serial weights, Stripes-like"

    bits: int = param(
        4, "weight width: bit planes; 1.58 is ternary in two planes", legal=Range(1, 8), sweep=(1, 2, 4, 8), unit="bit"
    )
    acts: str = param(
        "int8", "activation format", legal=[f"int{b}" for b in range(2, 17)], sweep=("int4", "int8", "int16")
    )
    planes: int = param(1, "planes that a cell takes in one cycle; at most bits", legal=Range(1, 8), sweep=(1, 2))

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield from super().constraints(p)
        yield p["planes"] <= p["bits"], "planes must be at most bits ({bits}), not {planes}"
        yield (
            (p["bits"] % p["planes"] == 0) | (p["scheme"] != "bipolar"),
            "planes must divide bits ({bits}) with scheme bipolar, not {planes}; a plane of signs cannot be empty",
        )

    # ------------------------------------------------------------------ formulas

    @classmethod
    def cycles_per_step(cls, p: P, mode: int = 0) -> Num:
        return ceil_div(p["bits"], p["planes"])

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return p["k"] * p["planes"]

    @classmethod
    def _act_range(cls, p: P) -> tuple[int, int]:
        top = 1 << (cls._act_bits(p) - 1)
        return -top, top - 1

    @classmethod
    def product_range(cls, p: P) -> tuple[Num, Num]:
        return cls._product(cls._act_range(p), cls._ends(p, p["bits"], cls.signed_weights(p)))

    @classmethod
    def _subtracts(cls, p: P) -> Num:
        """Where a cell subtracts its highest plane in some cycles only."""
        return where(cls.cycles_per_step(p) > 1, cls.signed_weights(p), False)

    @classmethod
    def carry_bits(cls, p: P) -> Num:
        if cls._signs(p):
            return where(p["planes"] > 0, 1, 0)
        return where(cls._subtracts(p) & (p["planes"] == 1), 1, 0)

    @classmethod
    def _sum_bits(cls, p: P) -> Num:
        """Bits of the sum of the planes of a cycle, less the carry that is left, before its shift."""
        low, high = cls._ends(p, p["planes"], cls.signed_weights(p))
        high = where(cls._subtracts(p), 2 ** p["planes"] - 1, high)
        least, most = cls._product(cls._act_range(p), (low, high))
        return bits_for(p["k"] * least, p["k"] * most - cls.carry_bits(p))

    @classmethod
    def _top_shift(cls, p: P) -> Num:
        """Shift of the last planes."""
        return p["planes"] * (cls.cycles_per_step(p) - 1)

    @classmethod
    def addend_bits(cls, p: P) -> Num:
        return cls._sum_bits(p) + cls._top_shift(p)

    @classmethod
    def row_sum_range(cls, p: P) -> tuple[Num, Num] | None:
        return None if cls.signed_weights(p) or cls._signs(p) else cls._act_range(p)

    @classmethod
    def zero_adds_nothing(cls, p: P) -> bool:
        return True

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        return {"mux2": (cls.cycles_per_step(p) - 1) * cls.col_bus_bits(p)}

    @classmethod
    def _plane_bits(cls, p: P, planes: Num) -> Num:
        """Bits of the sum of K activations for each of several added planes."""
        low, high = cls._act_range(p)
        return bits_for(p["k"] * low * (2**planes - 1), p["k"] * high * (2**planes - 1))

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        k, planes, acts, width = p["k"], p["planes"], cls._act_bits(p), cls._sum_bits(p)
        shifts = plane_shift_mux2(width, planes, cls.cycles_per_step(p) - 1)
        joined = (planes - 1) * width
        if cls._signs(p):
            tree = (k - 1) * (acts + 1 + clog2(k) // 2)
            return {"xor": k * planes * acts, "add": planes * tree + joined, "mux2": shifts}
        signed = cls.signed_weights(p)
        found = for_each(lambda k, planes, width: _tree_counts(k, planes, acts, width, signed), k, planes, width)
        if signed:
            one = cls._plane_bits(p, 1)
            top = for_each(lambda k, width: _tree_counts(k, 1, acts, width, False), k, one)
            rest = for_each(
                lambda k, planes, width: _tree_counts(k, planes, acts, width, False),
                *(k, planes - 1, cls._plane_bits(p, maximum(planes - 1, 1))),
            )
            apart = {name: top[name] + rest[name] for name in top}
            apart["xor"] = apart["xor"] + one
            apart["add"] = apart["add"] + where(planes > 1, width, 0)
            found = {name: where(cls._subtracts(p), apart[name], found[name]) for name in found}
        return {**found, "and": found["and"] + k * planes * acts, "mux2": shifts}

    # ------------------------------------------------------------------ reference

    def _updates(self) -> list[range]:
        """The planes of each cycle of a step."""
        return [range(at, min(at + self.planes, self.bits)) for at in range(0, self.bits, self.planes)]

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        a, codes = self.act_format.fixed(acts), np.asarray(weights, np.int64)
        factors = plane_factors(self.bits, self.signed_weights(self.p))
        terms = []
        for planes in self._updates():
            part = np.zeros(codes.shape, np.int64)
            for plane in planes:
                bit = (codes >> plane) & 1
                part = part + factors[plane] * (2 * bit - 1 if self._signs(self.p) else bit)
            # Far below 2^53: a product of float64 matrices is exact, and quicker than one of int64.
            terms.append((a.astype(np.float64) @ part.astype(np.float64).swapaxes(-1, -2)).astype(np.int64))
        return np.stack(terms)[..., None]

    def arithmetic(self, mode: int) -> dict[str, Any]:
        return {
            "kind": "planes",
            "definition": "an update adds, over its planes, plane_weight times the sum over k of activation k times "
            "digit(bit of code k)",
            "acts": self.integers_of(self.act_format),
            "weights": {
                "bits": self.bits,
                "xor": 0,
                "digits": [-1, 1] if self._signs(self.p) else [0, 1],
                "plane_weights": plane_factors(self.bits, self.signed_weights(self.p)),
            },
            "tables": 1,
            "updates": [list(planes) for planes in self._updates()],
            "entries": {"rule": "exact"},
            "accumulator": self.accumulator_rule(),
        }

    # ------------------------------------------------------------------ logic

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Serialises the weights: of each cycle the bits of its planes, the lowest plane first."""
        bus = Signal(int(self.col_bus_bits(self.p)), name="planes")
        phases = int(self.cycles_per_step(self.p))
        with m.Switch(phase):
            for index in range(phases):
                with m.Case(index) if index + 1 < phases else m.Default():
                    chosen = range(index * self.planes, (index + 1) * self.planes)
                    m.d.comb += bus.eq(Cat(*(self._bit(weights[k], plane) for plane in chosen for k in range(self.k))))
        return bus

    def _bit(self, code: Value, plane: int) -> Value:
        """A plane's bit of a code, also above its highest one."""
        if plane < self.bits:
            return code[plane]
        return code[-1] if self.signed_weights(self.p) else Const(0, 1)

    def _acts_of(self, row: Value) -> list[Value]:
        size = self.act_format.code_bits
        return [row[start : start + size].as_signed() for start in range(0, len(row), size)]

    @staticmethod
    def _chosen(m: Module, acts: list[Value], bits: Value, name: str) -> list[Value]:
        """The activations whose weight has a 1 in a plane, 0 for the others."""
        return [
            wire(m, (act.as_unsigned() & bit.replicate(len(act))).as_signed(), f"{name}_act{index}")
            for index, (act, bit) in enumerate(zip(acts, bits, strict=True))
        ]

    def _signed_lane(self, m: Module, acts: list[Value], bits: Value, place: int) -> Lane:
        """Sum of the activations of a plane, each negated where its bit is 0."""
        values = []
        for index, act in enumerate(acts):
            flipped = act.as_unsigned() ^ (~bits[index]).replicate(len(act))
            values.append(wire(m, flipped.as_signed(), f"plane{place}_act{index}"))
        total, carry = adder_tree_with_carries(m, values, [~bit for bit in bits], f"plane{place}")
        return Lane(total, place, carry)

    def _sum_of_cycle(
        self, m: Module, acts: list[Value], planes: list[Value], phase: Value
    ) -> tuple[Value, Value | None]:
        """Sum of the planes of a cycle, and a carry or none."""
        if self._signs(self.p):
            return join_lanes(m, [self._signed_lane(m, acts, bits, i) for i, bits in enumerate(planes)], "sum")
        signed, subtracts = self.signed_weights(self.p), bool(self._subtracts(self.p))
        top = len(planes) - 1
        rows: list[Term] = []
        for place, bits in enumerate(planes[:-1] if subtracts else planes):
            negative = signed and not subtracts and place == top
            rows += [Term(act, place, negative) for act in self._chosen(m, acts, bits, f"plane{place}")]
        if not subtracts:
            return carry_save_sum(m, rows, "sum", int(self._sum_bits(self.p))), None
        width = int(self._plane_bits(self.p, 1))
        chosen = self._chosen(m, acts, planes[top], "highest")
        highest = carry_save_sum(m, [Term(act) for act in chosen], "highest", width)
        last = phase == int(self.cycles_per_step(self.p)) - 1
        lanes = [negated_lane(m, highest, top, last, "highest_plane")]
        if rows:
            lanes.append(Lane(carry_save_sum(m, rows, "others", int(self._plane_bits(self.p, top)))))
        return join_lanes(m, lanes, "sum")

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Adds up the activations that the planes of a cycle choose, and shifts the sum by the place of these."""
        planes = [col[start : start + self.k] for start in range(0, len(col), self.k)]
        total, carry = self._sum_of_cycle(m, self._acts_of(row), planes, phase)
        value = wire(m, extend(total, int(self._sum_bits(self.p))).as_signed(), "cycle")
        last = int(self.cycles_per_step(self.p)) - 1
        return [Addend(plane_shift(m, value, phase, self.planes, last, carry, "by_plane"), carry)]

    def build_row_sum(self, m: Module, row: Value) -> Value:
        """Adds up the row's activations, once for all columns."""
        return adder_tree(m, self._acts_of(row), "row_sum")
