"""Cells whose sums are FP32: an adder of one to three cycles, alone or with partial sums that interleave in it.

A cell's sum is an FP32 code. A step adds the FP32 sum of its terms: a balanced tree of the cell's adders (term 0 + term
1, term 2 + term 3, …; an odd one waits for the next level), then one addition to the sum, which starts from +0. Every
addition is IEEE 754, rounded to nearest even, subnormals kept, with one NaN (`hwgen.arith.fp32_add`).

Every adder takes ``adder_stages`` = S cycles. Without interleaving the next update waits for the one before: one in S
cycles. With ``interleave`` = ring there is one a cycle: update number n of a group goes to partial sum n mod S, and
the S partial sums are the contents of the adder's own pipeline, which an update moves by one stage. A live bit a stage
says whether its partial sum belongs to the group; what does not counts as +0. After a group the same adder folds the
partial sums: with u updates, partial u mod S (the oldest) plus the next one, plus the next one. That takes
1 + S·(S − 1) cycles (one to set the oldest aside, and S for each addition), in which no step is taken.

Latency from the terms to the sum: S for each level of the tree, and then S, or 1 with a ring (whose folding counts
apart).
Source: interleaved accumulation is the textbook answer to a pipelined adder's latency; the order is this project's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from hwgen.arith import FP32_NAN, fp32_add, fp32_add_reference, wire
from hwgen.arith.fp32 import FP32_CUTS
from hwgen.formats import get
from hwgen.frame.facts import Addend, Counts, P, State
from hwgen.frame.numbers import Num, clog2, where
from hwgen.frame.param import Range, param
from hwgen.frame.primitives import FP32_ADD
from hwgen.frame.spec import TileSpec

__all__ = ["FP32_BITS", "Fp32State", "Fp32SumSpec", "fp32_tree_reference"]

FP32_BITS = 32
"""Bits of a sum and of a term."""
_LEVELS = 8
"""Most levels of a tree: a step has at most 256 terms."""


def fp32_tree_reference(terms: np.ndarray) -> np.ndarray:
    """FP32 codes of the sums over the last axis of codes [..., T], in the order of a balanced tree; uint32."""
    nodes = [terms[..., index].astype(np.uint32) for index in range(terms.shape[-1])]
    while len(nodes) > 1:
        paired = len(nodes) // 2 * 2
        nodes = [fp32_add_reference(nodes[i], nodes[i + 1]) for i in range(0, paired, 2)] + nodes[paired:]
    return nodes[0]


def _tree_waits(terms: Num) -> Num:
    """How often a value of a tree of ``terms`` waits for the next level."""
    waits, left = 0, terms
    for _ in range(_LEVELS):
        waits = waits + where((left > 1) & (left % 2 == 1), 1, 0)
        left = (left + 1) // 2
    return waits


def _cut_bits(stages: Num) -> Num:
    """Bits of the registers within an adder of ``stages`` cycles."""
    return where(stages >= 2, FP32_CUTS[0], 0) + where(stages >= 3, FP32_CUTS[1], 0)


@dataclass(frozen=True)
class Fp32State(State):
    """State of interleaved sums: ``partials`` int64 [S, M, N, P] FP32 codes, ``updates`` their number so far."""

    partials: np.ndarray
    updates: int


@dataclass(frozen=True, kw_only=True)
class Fp32SumSpec(TileSpec):
    """A tile whose sums are FP32 codes where `fp32_sums` says so.

    There a cell's addend is the concatenation of its `fp32_terms` FP32 codes, term 0 lowest, and `terms` gives the code
    of their tree's sum (`fp32_tree_reference`). A cell with several cycles a step adds in each of them: without
    interleaving ``cycles_per_step`` counts `update_cycles` for each addition, and the cell sees every term that long.
    """

    adder_stages: int = param(
        1, "cycles of every FP32 adder of a cell", legal=Range(1, 3), sweep=(1, 2, 3), unit="cycles"
    )
    interleave: str = param(
        "none",
        "an update of an FP32 sum waits for the one before, or partial sums go round in the adder and are folded",
        legal=("none", "ring"),
        sweep=("none", "ring"),
    )

    # ------------------------------------------------------------------ what a family says

    @classmethod
    def fp32_sums(cls, p: P) -> bool:
        """Whether sums are FP32 codes."""
        return True

    @classmethod
    def fp32_terms(cls, p: P) -> Num:
        """FP32 codes that a cell adds in one update."""
        return 1

    # ------------------------------------------------------------------ formulas

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield from super().constraints(p)
        fp32 = cls.fp32_sums(p)
        yield (
            (not fp32) or p["overflow"] == "refuse",
            "overflow must be refuse with FP32 sums, which become infinite instead, not {overflow}",
        )
        yield (
            fp32 or ((p["adder_stages"] == 1) & (p["interleave"] == "none")),
            "adder_stages must be 1 and interleave none without FP32 sums, not {adder_stages} and {interleave}",
        )
        if cls.uses_lanes(p) and fp32:
            yield (
                p["post_lanes"] == 0,
                "post_lanes must be 0 with FP32 sums, not {post_lanes}; scale them in software",
            )

    @classmethod
    def _rings(cls, p: P) -> bool:
        return bool(p["interleave"] == "ring")

    @classmethod
    def update_cycles(cls, p: P) -> Num:
        """Cycles from one update of a sum to the next."""
        return 1 if cls._rings(p) or not cls.fp32_sums(p) else p["adder_stages"]

    @classmethod
    def tree_latency(cls, p: P) -> Num:
        """Cycles from the terms of an update to their sum."""
        return clog2(cls.fp32_terms(p)) * p["adder_stages"]

    @classmethod
    def interval(cls, p: P) -> Num:
        return cls.update_cycles(p)

    @classmethod
    def fold_cycles(cls, p: P) -> Num:
        stages = p["adder_stages"]
        if not cls.fp32_sums(p) or not cls._rings(p):
            return super().fold_cycles(p)
        return where(stages > 1, 1 + stages * (stages - 1), 0)

    @classmethod
    def accumulator_latency(cls, p: P) -> Num:
        if not cls.fp32_sums(p):
            return super().accumulator_latency(p)
        # With several updates a step the last one's cycles are within the step.
        alone = cls.cycles_per_step(p) == 1
        return cls.tree_latency(p) + where(alone, cls.update_cycles(p), 1)

    @classmethod
    def acc_bits(cls, p: P) -> Num:
        return FP32_BITS if cls.fp32_sums(p) else super().acc_bits(p)

    @classmethod
    def sum_depth(cls, p: P) -> Num:
        return 1 << 62 if cls.fp32_sums(p) else super().sum_depth(p)

    @classmethod
    def accumulator_primitives(cls, p: P) -> Counts:
        if not cls.fp32_sums(p):
            return super().accumulator_primitives(p)
        sums, terms, stages = cls.sums_of_cell(p), cls.fp32_terms(p), p["adder_stages"]
        ring = where(stages > 1, 1, 0) if cls._rings(p) else 0
        adder = _cut_bits(stages) + FP32_BITS
        delay = cls.tree_latency(p)
        data = terms * adder + _tree_waits(terms) * FP32_BITS * stages + ring * FP32_BITS
        control = delay * (2 + cls.fold_bits(p)) + (ring * stages if cls._rings(p) else stages - 1)
        counts = {name: sums * terms * count for name, count in FP32_ADD.items()}
        counts["and"] = counts["and"] + sums * FP32_BITS
        counts["mux2"] = counts["mux2"] + sums * ring * FP32_BITS
        return {**counts, "ff": sums * data + control}

    # ------------------------------------------------------------------ facts of an instance

    @property
    def sums_add_up(self) -> bool:
        return not self.fp32_sums(self.p)

    @property
    def sum_signed(self) -> bool:
        return not self.fp32_sums(self.p)

    @property
    def sticky_specials(self) -> bool:
        return self.fp32_sums(self.p)

    @property
    def sum_meaning(self) -> str:
        return "group sums, FP32 codes" if self.fp32_sums(self.p) else super().sum_meaning

    @property
    def lsb_exp(self) -> int:
        return 0 if self.fp32_sums(self.p) else super().lsb_exp

    def sum_encoding(self) -> dict[str, Any]:
        return {"kind": "encoding", "encoding": "fp32"} if self.fp32_sums(self.p) else super().sum_encoding()

    def fp32_accumulation(self) -> dict[str, Any]:
        """How updates become a sum, for the manifest."""
        return {
            "partials": self.adder_stages if self.folds else 1,
            "definition": "update u of a group is added to partial sum u mod partials, from +0; at the end, with U "
            "updates, partial U mod partials is the first and the following ones are added to it in turn",
            "add": "IEEE 754, nearest even, subnormals kept; every NaN is 7fc00000, x + (-x) = +0",
        }

    # ------------------------------------------------------------------ reference

    def accumulate(self, sums: np.ndarray, term: np.ndarray) -> np.ndarray:
        if not self.fp32_sums(self.p):
            return super().accumulate(sums, term)
        return fp32_add_reference(sums, term).astype(np.int64)

    def init(self) -> State:
        state = super().init()
        if not self.folds:
            return state
        partials = np.zeros((self.adder_stages, *state.sums.shape), np.int64)
        return Fp32State(state.sums, state.rows, partials, 0)

    def step(
        self,
        state: State,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray] | None = None,
        col: Mapping[str, np.ndarray] | None = None,
        mode: int = 0,
    ) -> State:
        if not isinstance(state, Fp32State):
            return super().step(state, acts, weights, row, col, mode)
        partials, updates = state.partials.copy(), state.updates
        for term in self.terms(acts, weights, row or {}, col or {}, mode):
            at = updates % self.adder_stages
            partials[at] = self.accumulate(partials[at], term)
            updates += 1
        rows = state.rows
        if self.has_row_sums:
            rows = self.bound(rows + self.row_terms(acts, row or {}, mode), int(self.row_sum_bits(self.p)))
        return replace(state, rows=rows, partials=partials, updates=updates)

    def read(self, state: State) -> np.ndarray:
        if not isinstance(state, Fp32State):
            return super().read(state)
        oldest_first = np.roll(state.partials, -(state.updates % self.adder_stages), axis=0)
        total: np.ndarray = oldest_first[0]
        for partial in oldest_first[1:]:
            total = self.accumulate(total, partial)
        return total

    def scale_sums(
        self,
        sums: np.ndarray,
        rows: np.ndarray,
        row_scale: np.ndarray,
        col_scale: np.ndarray,
        zero: np.ndarray | None,
    ) -> np.ndarray:
        """FP32 codes of FP32 sums times both scales, rounded once; zero is +0."""
        if not self.fp32_sums(self.p):
            return super().scale_sums(sums, rows, row_scale, col_scale, zero)
        formats = self.quantization()
        row = get(formats.act_scale).decode(row_scale)[..., :, None]
        col = get(formats.weight_scale).decode(col_scale)[..., None, :]
        with np.errstate(all="ignore"):
            # 24 bits times at most 22: exact in float64, whose range no product of these formats leaves.
            product = sums.astype(np.uint32).view(np.float32).astype(np.float64) * (row * col)
            result = np.where(product == 0, 0.0, product).astype(np.float32)
        return np.where(np.isnan(result), np.uint32(FP32_NAN), result.view(np.uint32))

    # ------------------------------------------------------------------ logic

    def build_accumulators(
        self, m: Module, addends: list[Addend], clear: Value, enable: Value, fold: Value
    ) -> list[Value]:
        if not self.fp32_sums(self.p):
            return super().build_accumulators(m, addends, clear, enable, fold)
        delay = int(self.tree_latency(self.p))
        enables, clears, folds = [enable], [clear], [fold]
        for cut in range(delay):
            enables.append(_late(m, enables[-1], f"tree_en{cut}", reset=True))
            clears.append(_late(m, clears[-1], f"tree_clear{cut}"))
            folds.append(_late(m, folds[-1], f"tree_fold{cut}", reset=True))
        terms = int(self.fp32_terms(self.p))
        totals = []
        for index, addend in enumerate(addends):
            words = addend.value.as_unsigned()
            values = [words[FP32_BITS * term : FP32_BITS * (term + 1)] for term in range(terms)]
            totals.append(self._tree(m, values, enables, f"sum{index}_tree"))
        build = self._ring if self.folds else self._single
        return build(m, totals, clears[-1], enables[-1], folds[-1])

    def _tree(self, m: Module, values: list[Value], enables: list[Value], name: str) -> Value:
        """Sum of FP32 codes; level after level takes ``adder_stages`` cycles, with a register at its end."""
        stages, begin, level = self.adder_stages, 0, 0
        while len(values) > 1:
            during = enables[begin : begin + stages]
            nodes: list[Value] = []
            for index in range(0, len(values) - 1, 2):
                tag = f"{name}_level{level}_{index // 2}"
                total = fp32_add(m, values[index], values[index + 1], tag, during[:-1])
                nodes.append(_register(m, total, during[-1], f"{tag}_reg"))
            if len(values) % 2:
                odd = values[-1]
                for cut, late in enumerate(during):
                    odd = _register(m, odd, late, f"{name}_level{level}_odd{cut}")
                nodes.append(odd)
            values, begin, level = nodes, begin + stages, level + 1
        return values[0]

    def _single(self, m: Module, addends: list[Value], clear: Value, enable: Value, fold: Value) -> list[Value]:
        """One sum, updated when the update before has come through the adder."""
        enables = [enable]
        if self.adder_stages > 1 and int(self.cycles_per_step(self.p)) > 1:
            # A step of several updates offers each one as long as the adder takes.
            enables[0] = Signal(name="begin")
        for cut in range(self.adder_stages - 1):
            enables.append(_late(m, enables[-1], f"adder_en{cut}", reset=True))
        if enables[0] is not enable:
            m.d.comb += enables[0].eq(enable & ~Cat(*enables[1:]).any())
        sums: list[Value] = []
        for index, addend in enumerate(addends):
            total = Signal(FP32_BITS, name=f"acc{index}", reset_less=True)
            base = wire(m, total & ~clear.replicate(FP32_BITS), f"acc{index}_base")
            result = fp32_add(m, base, addend, f"acc{index}_add", enables[:-1])
            with m.If(enables[-1]):
                m.d.sync += total.eq(result)
            sums.append(total)
        return sums

    def _ring(self, m: Module, addends: list[Value], clear: Value, enable: Value, fold: Value) -> list[Value]:
        """Partial sums in the stages of the adder; the last stage's register is the sum after folding."""
        stages = self.adder_stages
        folding = wire(m, fold.any(), "folding")
        move = wire(m, enable | folding, "ring_move")
        fresh = wire(m, enable & clear, "ring_fresh")
        live = Signal(stages, name="live", reset_less=True)
        with m.If(move):
            # The first update of a group leaves no other partial sum alive.
            m.d.sync += live.eq(Cat(Const(1, 1), live[:-1] & ~fresh.replicate(stages - 1)))
        taken = wire(m, live[-1] & ~fresh, "ring_taken")
        # Partial sums come out of the ring in the cycles 1 … S of folding. The oldest waits for the second one, which
        # meets it at the adder in cycle 2; of three the last one waits for the sum of the others.
        aside = wire(m, (fold == 1) if stages == 2 else (fold == 1) | (fold == stages), "ring_aside")
        sums: list[Value] = []
        for index, addend in enumerate(addends):
            total = Signal(FP32_BITS, name=f"acc{index}", reset_less=True)
            base = wire(m, total & taken.replicate(FP32_BITS), f"acc{index}_base")
            waiting = _register(m, base, aside, f"acc{index}_waiting")
            other = wire(m, Mux(folding, waiting, addend), f"acc{index}_other")
            result = fp32_add(m, base, other, f"acc{index}_add", [move] * (stages - 1))
            with m.If(move):
                m.d.sync += total.eq(result)
            sums.append(total)
        return sums


def _late(m: Module, value: Value, name: str, *, reset: bool = False) -> Value:
    """``value`` one cycle later; constants stay as they are."""
    if isinstance(value, Const):
        return value
    register = Signal(len(value), name=name, reset_less=not reset)
    m.d.sync += register.eq(value)
    return register


def _register(m: Module, value: Value, enable: Value, name: str) -> Signal:
    register = Signal(len(value), name=name, reset_less=True)
    with m.If(enable):
        m.d.sync += register.eq(value)
    return register
