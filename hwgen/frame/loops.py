"""Sums that an adder of several cycles keeps: floating-point and normalised accumulators, with partial sums in a ring.

A sum is a state that an adder makes from the state before and an operand. The adder takes ``adder_stages`` = S cycles,
for which registers are put where fewest bits cross (`hwgen.pipeline`). Update number n of a group goes to partial sum
n mod S, and the S partial sums are the contents of the adder's own pipeline, which an update moves by one stage: one
update a cycle. A partial sum of a group with fewer updates than S is zero.

After a group the same adder folds the partial sums, the oldest (of u updates, number u mod S) first, in a balanced
tree: first + second, third + fourth, …, then sums of sums; an odd one waits for the next level. They come out of the
ring one a cycle; the first of a pair is set aside, the second meets it at the adder, and an odd one goes round with an
operand that changes nothing. That takes S·(levels + 1) - 1 cycles, levels = ceil(log2 S), in which no step is taken.

Latency from the operand to the sum: 1, and the folding.
Source: interleaved accumulation is the textbook answer to a pipelined adder's latency; the order is this project's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Signal, Value

from hwgen.arith import wire
from hwgen.frame.accumulators import ASIDE, MEET
from hwgen.frame.facts import Addend, P, State
from hwgen.frame.numbers import Num, where
from hwgen.frame.param import Range, param
from hwgen.frame.place import Logic, Path, Place
from hwgen.frame.primitives import within
from hwgen.frame.spec import TileSpec

__all__ = ["LoopSpec", "LoopState"]


@dataclass(frozen=True)
class LoopState(State):
    """State of interleaved sums: ``partials`` int64 [S, M, N, P] sums, ``updates`` their number so far."""

    partials: np.ndarray
    updates: int


@dataclass(frozen=True, kw_only=True)
class LoopSpec(TileSpec):
    """A tile whose sums an adder of its own keeps where `loops` says so; a family says how it adds."""

    adder_stages: int = param(
        1,
        "cycles of the adder in an accumulator's loop, which then keeps as many partial sums",
        legal=Range(1, 8),
        sweep=(1, 2, 3, 5),
        unit="cycles",
        cuts=("cell",),
        loop=True,
    )

    # ------------------------------------------------------------------ what a family says

    @classmethod
    def loops(cls, p: P) -> bool:
        """Whether sums are kept by the family's own adder (else they are integers)."""
        return True

    @classmethod
    def rings(cls, p: P) -> bool:
        """Whether partial sums go round in the adder; without, an update waits for the one before."""
        return True

    def add_to_sum(self, m: Module, state: Value, operand: Value, name: str) -> Value:
        """Add the adder's logic to ``m``: the state after an update; a state of all zeros is an empty sum."""
        raise NotImplementedError

    def sum_as_operand(self, state: Value) -> Value:
        """A state as what is added to another one."""
        return state

    @property
    def neutral_operand(self) -> int:
        """The operand that changes no state."""
        return 0

    def add_partials(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """Reference of `add_to_sum` for two states: the sum of partial sums, ``right`` as operand."""
        return self.accumulate(left, right)

    # ------------------------------------------------------------------ formulas

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield from super().constraints(p)
        yield (
            cls.loops(p) | (p["adder_stages"] == 1),
            "adder_stages must be 1 where sums are integers, not {adder_stages}; --cell-cuts are before them",
        )

    @classmethod
    def update_cycles(cls, p: P) -> Num:
        """Cycles from one update of a sum to the next."""
        return 1 if cls.rings(p) or not cls.loops(p) else p["adder_stages"]

    @classmethod
    def interval(cls, p: P) -> Num:
        return cls.update_cycles(p)

    @classmethod
    def ring_stages(cls, p: P) -> Num:
        return p["adder_stages"] if cls.loops(p) and cls.rings(p) else super().ring_stages(p)

    @classmethod
    def accumulator_latency(cls, p: P) -> Num:
        if not cls.loops(p):
            return super().accumulator_latency(p)
        # With several updates a step the last one's cycles are within the step.
        return where(cls.cycles_per_step(p) == 1, cls.update_cycles(p), 1)

    @classmethod
    def loop_registers(cls, p: P, state: Num, operand: Num) -> Num:
        """Flip-flops of a cell's loops, those within the adder about (`hwgen.pipeline` places them)."""
        stages = p["adder_stages"]
        aside = where(cls.ring_stages(p) > 1, state, 0)
        inside = within(stages - 1, state + operand, state)
        return cls.sums_of_cell(p) * (state + aside + inside) + (0 if cls.rings(p) else stages - 1)

    # ------------------------------------------------------------------ reference

    @property
    def sums_add_up(self) -> bool:
        return not self.loops(self.p)

    def init(self) -> State:
        state = super().init()
        if not self.folds:
            return state
        partials = np.zeros((self.adder_stages, *state.sums.shape), np.int64)
        return LoopState(state.sums, state.rows, partials, 0)

    def updated(self, state: State, term: np.ndarray) -> State:
        if not isinstance(state, LoopState):
            return super().updated(state, term)
        partials, at = state.partials.copy(), state.updates % self.adder_stages
        partials[at] = self.accumulate(partials[at], term)
        return replace(state, partials=partials, updates=state.updates + 1)

    def read(self, state: State) -> np.ndarray:
        if not isinstance(state, LoopState):
            return super().read(state)
        nodes = list(np.roll(state.partials, -(state.updates % self.adder_stages), axis=0))
        while len(nodes) > 1:
            paired = len(nodes) // 2 * 2
            # The later one comes out of the ring as the state, the earlier one has waited.
            nodes = [self.add_partials(nodes[i + 1], nodes[i]) for i in range(0, paired, 2)] + nodes[paired:]
        total: np.ndarray = nodes[0]
        return total

    # ------------------------------------------------------------------ logic

    def build_accumulators(
        self, m: Module, addends: list[Addend], clear: Value, enable: Value | None, fold: Value, place: Place
    ) -> list[Value]:
        if not self.loops(self.p):
            return super().build_accumulators(m, addends, clear, enable, fold, place)
        assert enable is not None
        bits = int(self.acc_bits(self.p))
        if self.folds:
            folding = wire(m, fold.any(), "folding")
            last = move = wire(m, enable | folding, "ring_move")
        else:
            move, last = None, self._waited(m, enable)
        sums: list[Value] = []
        for index, addend in enumerate(addends):
            total = Signal(bits, name=f"acc{index}", reset_less=True)
            base = wire(m, total & ~clear.replicate(bits), f"acc{index}_base")
            operand: Value = addend.value.as_unsigned()
            if self.folds:
                waiting = Signal(bits, name=f"acc{index}_waiting", reset_less=True)
                with m.If(fold == ASIDE):
                    m.d.sync += waiting.eq(base)
                other = Mux(fold == MEET, self.sum_as_operand(waiting), self.neutral_operand)
                operand = wire(m, Mux(folding, other, operand), f"acc{index}_operand")
            result = self._adder(m, place, index, base, operand, move)
            with m.If(last):
                m.d.sync += total.eq(result)
            sums.append(total)
        return sums

    def accumulator_path(self) -> Path | None:
        return None if self.loops(self.p) else super().accumulator_path()

    def _adder(self, m: Module, place: Place, index: int, state: Value, operand: Value, enable: Value | None) -> Value:
        """The sum of a state and an operand, ``adder_stages`` − 1 cycles later."""
        if self.adder_stages == 1:
            return self.add_to_sum(m, state, operand, f"acc{index}_add")
        logic = place(
            m,
            "cell_adder",
            f"adder{index}",
            lambda: Logic(
                {"state": len(state), "operand": len(operand)},
                lambda m, inputs: {"sum": self.add_to_sum(m, inputs["state"], inputs["operand"], "add")},
            ),
            cuts=self.adder_stages - 1,
            enable=enable,
            state=state,
            operand=operand,
        )
        found: Value = logic.sum
        return found

    def _waited(self, m: Module, enable: Value) -> Value:
        """When the result of an update that began with ``enable`` is there."""
        enables = [enable]
        several = self.adder_stages > 1 and int(self.cycles_per_step(self.p)) > 1
        if several:
            # A step of several updates offers each one as long as the adder takes.
            enables[0] = Signal(name="begin")
        for cut in range(self.adder_stages - 1):
            late = Signal(name=f"adder_en{cut}")
            m.d.sync += late.eq(enables[-1])
            enables.append(late)
        if several:
            m.d.comb += enables[0].eq(enable & ~Cat(*enables[1:]).any())
        return enables[-1]
