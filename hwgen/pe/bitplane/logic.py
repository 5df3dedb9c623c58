"""The logic of the blocks of a bitplane tile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value

from hwgen.arith.bits import adder_tree, extend, wire
from hwgen.arith.compressor import Term, carry_save_sum
from hwgen.frame.facts import Addend
from hwgen.pe._planes import Lane, join_lanes, negated_lane, plane_shift
from hwgen.pe.bitplane.arithmetic import BitplaneArithmetic
from hwgen.pe.bitplane.formulas import Pair, pairs_by_sign, top_plane, tree_of

__all__ = ["Bitplane"]


@dataclass(frozen=True, kw_only=True)
class Bitplane(BitplaneArithmetic):
    """Bit-plane tile."""

    @property
    def _counts(self) -> tuple[int, int]:
        """Cycles in which all planes of the weights, and of the activations, are met once."""
        weights, acts = self._rounds(self.p)
        return int(weights), int(acts)

    def _turns(self, m: Module, phase: Value) -> tuple[Value, Value]:
        """Which planes of the weights and of the activations a phase takes, those of the activations first."""
        weights, acts = self._counts
        if acts == 1 or weights == 1:
            return (phase, Const(0, 1)) if acts == 1 else (Const(0, 1), phase)
        if acts & (acts - 1) == 0:
            cut = acts.bit_length() - 1
            return phase[cut:], phase[:cut]
        weight_turn, act_turn = Signal(range(weights), name="weight_turn"), Signal(range(acts), name="act_turn")
        with m.Switch(phase):
            for index in range(weights * acts):
                with m.Case(index) if index + 1 < weights * acts else m.Default():
                    m.d.comb += [weight_turn.eq(index // acts), act_turn.eq(index % acts)]
        return weight_turn, act_turn

    @staticmethod
    def _planes_of(m: Module, codes: list[Value], each: int, count: int, turn: Value, signed: bool) -> Value:
        """The planes of a turn, the lowest first, of all codes; above the highest one copies of it, or 0."""
        bus = Signal(len(codes) * each, name="planes")
        with m.Switch(turn):
            for index in range(count):
                chosen: list[Value] = []
                for plane in range(index * each, (index + 1) * each):
                    above = [code[-1] if signed else Const(0, 1) for code in codes]
                    chosen += [code[plane] for code in codes] if plane < len(codes[0]) else above
                with m.Case(index) if index + 1 < count else m.Default():
                    m.d.comb += bus.eq(Cat(*chosen))
        return bus

    def build_row(self, m: Module, acts: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Takes activations apart into the planes of a cycle, and adds them up where weights are unsigned."""
        codes, turn = [acts[index] for index in range(self.k)], self._turns(m, phase)[1]
        planes = self._planes_of(m, codes, self.act_planes, self._counts[1], turn, True)
        if not self.has_row_sums:
            return planes
        total = adder_tree(m, [code.as_signed() for code in codes], "act_sum")
        return Cat(planes, extend(total, int(self.row_addend_bits(self.p))))

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Takes weights apart into the planes of a cycle."""
        codes, turn = [weights[index] for index in range(self.k)], self._turns(m, phase)[0]
        return self._planes_of(m, codes, self.weight_planes, self._counts[0], turn, self.signed_weights(self.p))

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Counts the ones of all pairs of planes in one tree, and shifts the sum by the place of the lowest pair."""
        turns = self._turns(m, phase)
        weights = [col[start : start + self.k] for start in range(0, self.k * self.weight_planes, self.k)]
        acts = [row[start : start + self.k] for start in range(0, self.k * self.act_planes, self.k)]
        total, carry = self._equal(m, weights, acts) if self._signs(self.p) else self._both(m, weights, acts, turns)
        value = wire(m, extend(total, int(self._sum_bits(self.p))).as_signed(), "cycle")
        unit, largest = (int(number) for number in self._shift(self.p))
        if not largest:
            return [Addend(value, carry)]
        planes = self.weight_planes, self.act_planes
        parts = [turn * (p // unit) for turn, p, count in zip(turns, planes, self._counts, strict=True) if count > 1]
        place = wire(m, sum(parts[1:], parts[0])[: largest.bit_length()], "place")
        return [Addend(plane_shift(m, value, place, unit, largest, carry, "by_place"), carry)]

    def _equal(self, m: Module, weights: list[Value], acts: list[Value]) -> tuple[Value, None]:
        """Sum of a cycle of planes of ±1: twice what is equal, less all of it."""
        rows: list[Term] = []
        for pair in (Pair(w, a) for w in range(len(weights)) for a in range(len(acts))):
            equal = wire(m, ~(weights[pair.weight] ^ acts[pair.act]), f"equal{pair.weight}_{pair.act}")
            rows += [Term(bit, pair.place + 1) for bit in equal]
        everything = sum(1 << (row.shift - 1) for row in rows)
        return carry_save_sum(m, rows, "sum", int(self._sum_bits(self.p)), -everything), None

    def _both(
        self, m: Module, weights: list[Value], acts: list[Value], turns: tuple[Value, Value]
    ) -> tuple[Value, Value | None]:
        """Sum of a cycle of plain planes, and a carry or none: a tree for the pairs of each sign."""
        last = [turn == count - 1 for turn, count in zip(turns, self._counts, strict=True)]
        tops = top_plane(self._counts[0], self.signed_weights(self.p)), top_plane(self._counts[1], True)
        lanes: list[Lane] = []
        for turned, pairs in pairs_by_sign(len(weights), len(acts), *tops).items():
            _, low, width = tree_of(self.k, pairs)
            rows: list[Term] = []
            for pair in pairs:
                both = wire(m, weights[pair.weight] & acts[pair.act], f"both{pair.weight}_{pair.act}")
                rows += [Term(bit, pair.place - low, pair.negative) for bit in both]
            name = f"count{len(lanes)}"
            count = carry_save_sum(m, rows, name, width)
            signs = [sign for sign, turns_it in zip(last, turned, strict=True) if turns_it]
            if not signs:
                lanes.append(Lane(count, low))
                continue
            negative = signs[0] if len(signs) == 1 else signs[0] ^ signs[1]
            lanes.append(negated_lane(m, count, low, negative, f"{name}_lane"))
        return join_lanes(m, lanes, "sum")

    def build_row_sum(self, m: Module, row: Value) -> Value:
        """Takes the sum of the activations that the row made."""
        return row[self.k * self.act_planes :].as_signed()
