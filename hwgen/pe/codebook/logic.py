"""The logic of the blocks of a codebook tile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Value, signed

from hwgen.arith.bits import wire
from hwgen.arith.compressor import Term, carry_save_sum
from hwgen.arith.partial import bit_rows, booth_rows
from hwgen.arith.select import select
from hwgen.frame.facts import Addend
from hwgen.pe.codebook.arithmetic import CodebookArithmetic
from hwgen.pe.codebook.parameters import learned

__all__ = ["Codebook"]


@dataclass(frozen=True, kw_only=True)
class Codebook(CodebookArithmetic):
    """Tile of codebook weights."""

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Looks up the values of the column's codes, once for all rows; a selector picks values of the group's own."""
        words = self.k // self.weight_format.elements
        values = self._table(m, side)
        return Cat(*(select(m, values, weights[index], f"weight{index}") for index in range(words)))

    def _table(self, m: Module, side: Mapping[str, Value]) -> list[Value]:
        """What each code means, the values of its elements side by side."""
        if learned(self.p):
            return [side[f"value{code}"].as_unsigned() for code in range(1 << self.weight_format.code_bits)]
        bits = int(self._value_bits(self.p))
        values: list[Value] = []
        for code, of_tables in enumerate(self.tables.swapaxes(0, 1).tolist()):
            known: list[Value] = [Cat(*(Const(v, signed(bits)) for v in elements)) for elements in of_tables]
            varies = any(elements != of_tables[0] for elements in of_tables)
            values.append(select(m, known, side["selector"], f"value{code}") if varies else known[0])
        return values

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Adds up the rows of all K products, and where it can what was accumulated, by one carry-save tree."""
        (acts, exponent), w_bits = self._acts_of(row), int(self._value_bits(self.p))
        rows_of = booth_rows if self.joins(self.p) else bit_rows
        rows: list[Term] = []
        for index, act in enumerate(acts):
            value = col[index * w_bits : (index + 1) * w_bits].as_signed()
            number, factor = (act, value) if w_bits <= len(act) else (value, act)
            rows += rows_of(m, number, factor, f"product{index}")
        if self.sums_in_tree(self.p):
            return [Addend(Const(0, 1), rows=tuple(rows))]
        total = carry_save_sum(m, rows, "dot", int(self._tree_bits(self.p)))
        return [Addend(wire(m, self._shifted(m, total, exponent), "addend").as_signed())]
