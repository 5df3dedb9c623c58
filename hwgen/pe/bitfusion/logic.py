"""The logic of the blocks of a bitfusion tile."""

from __future__ import annotations

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value

from hwgen.arith.bits import extend, wire
from hwgen.arith.compressor import Term, carry_save_sum
from hwgen.arith.partial import bit_rows
from hwgen.frame.facts import Addend
from hwgen.pe.bitfusion.arithmetic import BitfusionArithmetic
from hwgen.pe.bitfusion.formulas import merged_bits
from hwgen.pe.bitfusion.parameters import WIDTH, levels

__all__ = ["BitFusion"]


def _moved(m: Module, value: Value, places: int, join: Value, name: str) -> Value:
    """``value``, ``places`` higher where numbers are joined."""
    return wire(m, Mux(join, Cat(Const(0, places), value), Cat(value, Const(0, places))), name)


def _merged(
    m: Module, values: Sequence[Value], digit: int, count: int, joins: Sequence[Value], name: str, left: int = 1
) -> list[Value]:
    """Sums of neighbours, the upper one shifted where they belong together, down to ``left``.

    Digits of ``digit`` bits, each the sum of ``count``; ``joins`` says of each level whether it joins.
    """
    found, level = list(values), 0
    while len(found) > left:
        width = merged_bits(count, digit, level + 1)
        pairs = zip(found[::2], found[1::2], strict=True)
        found = []
        for index, (low, high) in enumerate(pairs):
            tag = f"{name}_level{level}_{index}"
            moved = _moved(m, high, digit << level, joins[level], f"{tag}_high")
            found.append(wire(m, (low + moved)[:width], tag))
        level += 1
    return found


@dataclass(frozen=True, kw_only=True)
class BitFusion(BitfusionArithmetic):
    """Bit Fusion tile."""

    def _splits(self, m: Module, mode: Value, side: int) -> list[Value]:
        """By level, whether a side's numbers are halved at least so often in a mode."""
        found: list[Value] = [Const(1, 1)]
        for level in range(1, int(levels((self.brick_acts, self.brick_weights)[side])) + 1):
            here = [index for index in range(len(self.modes())) if self._mode(index)[side] >= level]
            chosen = functools.reduce(operator.or_, [mode == index for index in here])
            found.append(wire(m, chosen, f"{('acts', 'weights')[side]}_halved{level}"))
        return found

    @staticmethod
    def _digits(
        m: Module, word: Value, size: int, blocks: int, splits: Sequence[Value], turned: bool, name: str
    ) -> list[list[Value]]:
        """Digits [block][place] of a port element; of signed numbers the highest bit is turned round."""
        count = WIDTH // size
        found = []
        for block in range(blocks):
            line = []
            for place in range(count):
                bits: Value = word[WIDTH * block + size * place :][:size]
                if turned:
                    # The narrowest numbers end at every place, the widest at the last one.
                    level = next(level for level in range(len(splits)) if (place + 1) % (count >> level) == 0)
                    bits = wire(m, Cat(bits[:-1], bits[-1] ^ splits[level]), f"{name}_{block}_{place}")
                line.append(bits)
            found.append(line)
        return found

    def _build_front(self, m: Module, words: Any, mode: Value, side: int) -> Value:
        """Bus of a side: digits as bricks take them, which levels join, and what the side adds to a step."""
        own, other = (self.brick_acts, self.brick_weights)[:: 1 - 2 * side]
        own_splits, other_splits = self._splits(m, mode, side), self._splits(m, mode, 1 - side)
        count, blocks = WIDTH // own, WIDTH // other
        turned = side == 0 or self._signed(self.p)
        units = [
            self._digits(m, words[index], own, blocks, own_splits, turned, f"unit{index}") for index in range(self.k)
        ]
        bricks = []
        for unit, digits in enumerate(units):
            grid = []
            for place in range(count):
                line = []
                for across in range(blocks):
                    chosen = digits[0][place]
                    for level in range(1, len(other_splits)):
                        block = across >> (len(other_splits) - 1 - level)
                        if block:
                            chosen = Mux(other_splits[level], digits[block][place], chosen)
                    line.append(wire(m, chosen, f"brick{unit}_{place}_{across}"))
                grid.append(line)
            # Row by row of activation digits.
            ordered = grid if side == 0 else [list(line) for line in zip(*grid, strict=True)]
            bricks += [brick for line in ordered for brick in line]
        joins = [~split for split in own_splits[:0:-1]]
        totals = []
        for place in range(count):
            rows = [Term(digits[0][place]) for digits in units]
            for unit, digits in enumerate(units):
                for block in range(1, blocks):
                    here = digits[block][place] & other_splits[block.bit_length()].replicate(own)
                    rows.append(Term(wire(m, here, f"unit{unit}_{block}_{place}_here")))
            width = merged_bits(self.k * blocks, own, 0)
            totals.append(carry_save_sum(m, rows, f"digit{place}", width).as_unsigned())
        (total,) = _merged(m, totals, own, self.k * blocks, joins, "total")
        return Cat(*bricks, *joins, self._part(m, total, own_splits, other_splits, side))

    def _part(
        self, m: Module, total: Value, own_splits: Sequence[Value], other_splits: Sequence[Value], side: int
    ) -> Value:
        """What a side adds to a step, of the sum of its numbers with their highest bits turned round."""
        width = int((self._row_part_bits, self._col_part_bits)[side](self.p))
        zeros = int(self._zeros((self.brick_weights, self.brick_acts)[side]))
        excess: Value = Const(0, 1)
        if side == 0:
            halves = [self.k << level + (WIDTH >> level) - 1 for level in range(len(own_splits))]
            each: Value = Const(halves[0], max(halves).bit_length())
            for half, split in zip(halves[1:], own_splits[1:], strict=True):
                each = Mux(split, Const(half, max(halves).bit_length()), each)
            each = excess = wire(m, each, "excess_of_widest")
            for level in range(1, len(other_splits)):
                excess = Mux(other_splits[level], Cat(Const(0, level), each), excess)
        if side == 0 and not self._signed(self.p):
            return extend(wire(m, (total - excess).as_signed(), "row_part"), width)
        negative = wire(m, (excess - total).as_signed(), "negative")
        width += zeros
        part: Value = extend(wire(m, Cat(Const(0, WIDTH - 1), negative).as_signed(), "part8"), width)
        for level in range(1, len(other_splits)):
            bits = WIDTH >> level
            narrow = wire(m, Cat(Const(0, bits - 1), negative).as_signed(), f"part{bits}")
            part = Mux(other_splits[level], extend(narrow, width), part)
        return wire(m, part, "part")[zeros:]

    def build_row(self, m: Module, acts: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Gives every brick its digit, and adds up what weights are offset by."""
        return self._build_front(m, acts, mode, 0)

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Gives every brick its digit, and adds up what activations are offset by."""
        return self._build_front(m, weights, mode, 1)

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Adds up all units brick by brick, shifts and joins the sums, and adds both corrections."""
        acts, weights = self.brick_acts, self.brick_weights
        count, across = WIDTH // acts, WIDTH // weights
        bricks: dict[tuple[int, int], list[Term]] = {}
        place = 0
        for unit in range(self.k):
            for i in range(count):
                for j in range(across):
                    own, other = row[place * acts :][:acts], col[place * weights :][:weights]
                    bricks.setdefault((i, j), []).extend(bit_rows(m, own, other, f"brick{unit}_{i}_{j}"))
                    place += 1
        row_rest, col_rest = row[place * acts :], col[place * weights :]
        row_joins, col_joins = list(row_rest[: int(levels(acts))]), list(col_rest[: int(levels(weights))])
        rows = [Term(col_rest[len(col_joins) :].as_signed(), int(self._zeros(acts)))]
        if self._signed(self.p):
            rows.append(Term(row_rest[len(row_joins) :].as_signed(), int(self._zeros(weights))))
        if count * across == 1:
            rows += bricks[0, 0]
        else:
            rows += self._joined_rows(m, bricks, row_joins, col_joins)
        if self.sums_in_tree(self.p):
            return [Addend(Const(0, 1), rows=tuple(rows))]
        return [Addend(carry_save_sum(m, rows, "dot", int(self.addend_bits(self.p))))]

    def _joined_rows(
        self,
        m: Module,
        bricks: Mapping[tuple[int, int], Sequence[Term]],
        row_joins: Sequence[Value],
        col_joins: Sequence[Value],
    ) -> list[Term]:
        """The last two rows of the bricks' sums, which levels of activations and then of weights join."""
        acts, weights = self.brick_acts, self.brick_weights
        count, across = WIDTH // acts, WIDTH // weights
        most = self.k * ((1 << weights) - 1)
        lines = []
        for j in range(across):
            sums = [
                carry_save_sum(m, bricks[i, j], f"sum{i}_{j}", merged_bits(most, acts, 0)).as_unsigned()
                for i in range(count)
            ]
            lines.append(_merged(m, sums, acts, most, row_joins, f"line{j}", 2 if across == 1 else 1))
        digit, join = acts, row_joins
        if across > 1:
            whole = [line for (line,) in lines]
            lines = [_merged(m, whole, weights, self.k * ((1 << WIDTH) - 1), col_joins, "all", 2)]
            digit, join = weights, col_joins
        low, high = lines[0]
        moved = _moved(m, high, digit << len(join) - 1, join[-1], "high")
        return [Term(low), Term(moved)]

    def build_row_sum(self, m: Module, row: Value) -> Value:
        """Passes on the sum of a step's activations, which the row has."""
        return row[-int(self._row_part_bits(self.p)) :].as_signed()
