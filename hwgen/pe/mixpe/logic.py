"""The logic of the blocks of a mixpe tile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Value

from hwgen.arith.bits import wire
from hwgen.arith.compressor import Term, carry_save_sum
from hwgen.frame.facts import Addend
from hwgen.pe.mixpe.arithmetic import MixpeArithmetic
from hwgen.pe.mixpe.formulas import LEVEL_BITS

__all__ = ["Mixpe"]


@dataclass(frozen=True, kw_only=True)
class Mixpe(MixpeArithmetic):
    """MixPE shift-and-add tile."""

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Passes codes on; makes 8-bit weights of them, by shift and add, where they are dequantised before cells."""
        if not self._before(self.p):
            return super().build_col(m, weights, side, phase, mode)
        scale = side["group_scale"]
        offset: list[Term] = []
        if "group_zero" in side:
            # q·s1 − z·s1, the second once a column.
            parts = self._partial(m, scale, side["group_zero"], False, "zero")
            offset = [Term(carry_save_sum(m, parts, "offset", LEVEL_BITS).as_unsigned(), negative=True)]
        values = []
        for index in range(self.k):
            parts = self._partial(m, scale, weights[index], self._signed(self.p), f"code{index}")
            values.append(carry_save_sum(m, [*parts, *offset], f"weight{index}", LEVEL_BITS))
        return Cat(*values)

    @staticmethod
    def _partial(m: Module, value: Value, code: Value, negative_top: bool, name: str) -> list[Term]:
        """Partial products of ``value`` by the bits of ``code``."""
        rows = []
        for bit in range(len(code)):
            chosen = wire(m, value.as_unsigned() & code[bit].replicate(len(value)), f"{name}_bit{bit}")
            negative = negative_top and bit == len(code) - 1
            rows.append(Term(chosen.as_signed() if value.shape().signed else chosen, bit, negative))
        return rows

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Adds up all K·W partial products, and where it can what was accumulated, in one tree of carry-save adders."""
        acts, exponent = self._acts_of(row)
        bits = int(self._cell_bits(self.p))
        rows: list[Term] = []
        for index, act in enumerate(acts):
            code = col[index * bits : (index + 1) * bits]
            rows += self._partial(m, act, code, self._cell_signed(self.p), f"act{index}")
        if self.sums_in_tree(self.p):
            return [Addend(Const(0, 1), rows=tuple(rows))]
        total = carry_save_sum(m, rows, "dot", int(self._tree_bits(self.p)))
        return [Addend(self._shifted(m, total, exponent))]

    def build_row_sum(self, m: Module, row: Value) -> Value:
        """Adds up the row's activations, once for all columns."""
        acts, exponent = self._acts_of(row)
        total = carry_save_sum(m, [Term(act) for act in acts], "dot", int(self._row_tree_bits(self.p)))
        return self._shifted(m, total, exponent)
