"""Widths, cycles and counts of a tile: class methods over parameters that may be scalars or arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hwgen.frame.facts import INT64_SUMS, Counts, P
from hwgen.frame.numbers import Num, bits_for, bits_for_multiple, ceil_div, clog2, maximum, where
from hwgen.frame.parameters import TileParameters
from hwgen.frame.primitives import accumulator

__all__ = ["TileFormulas"]


@dataclass(frozen=True, kw_only=True)
class TileFormulas(TileParameters):
    """Widths, cycles and counts of a tile: class methods over parameters that may be scalars or arrays."""

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        """(elements per row, bits per element) of the activation port."""
        raise NotImplementedError

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        """(elements per column, bits per element) of the weight port."""
        raise NotImplementedError

    @classmethod
    def code_bits(cls, p: P) -> tuple[Num, Num]:
        """Bits of the codes that a row and a column take in a step of a layer.

        Those of the ports, unless a port's words are wider than the codes in them: then the codes'.
        """
        (acts, act_bits), (weights, weight_bits) = cls.act_port(p), cls.weight_port(p)
        return acts * act_bits, weights * weight_bits

    @classmethod
    def stored_bits(cls, p: P) -> tuple[Num, Num]:
        """Bits that memory holds, and moves, of what a row and a column take in a step of a layer; no side information.

        Those of the codes, unless these repeat some.
        """
        return cls.code_bits(p)

    @classmethod
    def weight_stored_bits(cls, p: P) -> Num:
        """Bits of one weight in memory, its share of the side information left out."""
        return cls.stored_bits(p)[1] / (cls.layer_k(p) * cls.layer_outputs(p))

    @classmethod
    def row_bus_bits(cls, p: P) -> Num:
        """Width of the row bus; the codes themselves unless the family has a row front-end."""
        count, bits = cls.act_port(p)
        return count * bits

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        """Width of the column bus."""
        count, bits = cls.weight_port(p)
        return count * bits

    @classmethod
    def product_range(cls, p: P) -> tuple[Num, Num]:
        """Smallest and largest value that one product adds to a sum."""
        raise NotImplementedError

    @classmethod
    def addend_bits(cls, p: P) -> Num:
        """Two's-complement bits of what a cell adds in one cycle."""
        raise NotImplementedError

    @classmethod
    def carry_bits(cls, p: P) -> Num:
        """1 where a cell's addend comes with a carry-in (a negation left to the accumulator's adder), else 0."""
        return 0

    @classmethod
    def row_addend_bits(cls, p: P) -> Num:
        """Two's-complement bits of what a step adds to a row's activation sum."""
        bounds = cls.row_sum_range(p)
        return 0 if bounds is None else bits_for(bounds[0] * p["k"], bounds[1] * p["k"])

    @classmethod
    def row_sum_primitives(cls, p: P) -> Counts:
        """Primitives that form a step's activation sum, without its accumulator."""
        return {"add": (p["k"] - 1) * cls.row_addend_bits(p)}

    @classmethod
    def row_sum_range(cls, p: P) -> tuple[Num, Num] | None:
        """Smallest and largest activation (in units of the sum), or None where no activation sum is kept."""
        return None

    @classmethod
    def keeps_row_sums(cls, p: P) -> bool:
        """Whether activation sums are kept: asked of tiles that are refused too, whose range may exceed 64 bits."""
        return cls.row_sum_range(p) is not None

    @classmethod
    def sums_of_cell(cls, p: P) -> Num:
        """P, sums per cell."""
        return cls.sums_per_cell

    @classmethod
    def sum_group(cls, p: P) -> Num:
        """Elements along K between clears of the sums; 0 is the whole row.

        Side information follows ``group`` and comes with every step, so that it may change within an accumulation.
        """
        return p["group"]

    @classmethod
    def sum_depth(cls, p: P) -> Num:
        """Most products that a sum holds without overflow."""
        return p["depth"]

    @classmethod
    def may_overflow(cls, p: P) -> bool:
        """Whether groups of a layer may be longer than `sum_depth`: sums then saturate or wrap.

        Not where activation sums correct for zero points: both sums are bounded apart.
        """
        return bool(p["overflow"] != "refuse") and not cls.keeps_row_sums(p)

    @classmethod
    def overflow_in_layers(cls, p: P) -> Num:
        """Whether the golden layer defines what becomes of such groups."""
        return cls.may_overflow(p) and cls.golden_overflow and cls.acc_bits(p) <= INT64_SUMS

    @classmethod
    def layer_k(cls, p: P) -> Num:
        """Elements along K that a step of a layer takes, in the mode in which layers run."""
        return p["k"]

    @classmethod
    def layer_outputs(cls, p: P) -> Num:
        """Outputs of a layer that a column computes, in the mode in which layers run.

        With more than one, `code_columns` has as many weights for each activation, those of one element together.
        """
        return 1

    @classmethod
    def coded_outputs(cls, p: P) -> Num:
        """Outputs of a column whose weights have codes of their own: all, or 1 where the first one's say the others'.

        `code_columns` then has the codes of these alone.
        """
        return cls.layer_outputs(p)

    @classmethod
    def layer_cycles(cls, p: P) -> Num:
        """Cycles from one step of a layer to the next, in the mode in which layers run."""
        return cls.step_cycles(p)

    @classmethod
    def cycles_per_step(cls, p: P, mode: int = 0) -> Num:
        """Cycles in which a step occupies the cells."""
        return where(p["m"] > 0, 1, 1)

    @classmethod
    def interval(cls, p: P) -> Num:
        """Cycles between dependent updates of one sum."""
        return 1

    @classmethod
    def fold_cycles(cls, p: P) -> Num:
        """Cycles after a group's last step in which cells fold interleaved partial sums; no step is taken in them."""
        stages = cls.ring_stages(p)
        return where(stages > 1, stages * (clog2(stages) + 1) - 1, 0)

    @classmethod
    def loops(cls, p: P) -> bool:
        """Whether sums are kept by an adder with stages of its own (`hwgen.frame.loops`); else they are integers."""
        return False

    @classmethod
    def ring_stages(cls, p: P) -> Num:
        """Partial sums of a sum, which go round in its adder (`hwgen.frame.loops`); 1 where there is no ring."""
        return 1

    @classmethod
    def accumulator_latency(cls, p: P) -> Num:
        """Cycles from an addend at the accumulator to the sum that holds it."""
        return 1

    @classmethod
    def zero_adds_nothing(cls, p: P) -> bool:
        """Whether cells and activation sums add nothing when both buses are zero, in any phase and mode."""
        return False

    @classmethod
    def idles_at_zero(cls, p: P) -> Num:
        """Whether the buses are zero in cycles without a step at work, so that accumulators need no enable.

        A bus register has an AND per bit for it in place of the multiplexer with which it would hold. Without these
        registers the ANDs would be an addition, and as many as they save in the cells of a small tile.
        """
        return where(p["stages"] >= 1, 1, 0) if cls.zero_adds_nothing(p) else 0 * p["stages"]

    @classmethod
    def cell_enabled(cls, p: P) -> Num:
        """Whether a cell must know which cycles are at work: its state would change in the others."""
        return 1 - cls.idles_at_zero(p)

    @classmethod
    def front_enabled(cls, p: P) -> Num:
        """Whether a front-end must know which cycles are at work. Between cuts nothing is held."""
        return maximum(cls.idles_at_zero(p), where((p["stages"] >= 1) & (p["front_cuts"] == 0), 1, 0))

    @classmethod
    def accumulator_primitives(cls, p: P) -> Counts:
        """Primitives of a cell's accumulators, all P of them, with their registers."""
        counts = {name: cls.sums_of_cell(p) * count for name, count in accumulator(p, cls.acc_bits(p)).items()}
        # The tree's adder is the accumulator's.
        return {**counts, "add": where(cls.sums_in_tree(p), 0, counts["add"])}

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        """Primitives of a cell's product logic, without accumulator and pipeline registers."""
        return {}

    @classmethod
    def row_primitives(cls, p: P) -> Counts:
        """Primitives of a row front-end, without its output register."""
        return {}

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        """Primitives of a column front-end, without its output register."""
        return {}

    @classmethod
    def fp32_levels(cls, p: P, kind: str) -> Num:
        """FP32 adders one behind the other on the longest way through a block, that of its sums left out."""
        return 0

    @classmethod
    def carry_chains(cls, p: P, kind: str) -> Num:
        """Adders one behind the other on the longest way through a block, beyond those of a tree of K products."""
        return 0

    @classmethod
    def fp32_loop(cls, p: P, kind: str) -> Num:
        """1 where a block's sums are kept by an FP32 adder."""
        return int(kind == "post")

    @classmethod
    def step_cycles(cls, p: P, mode: int = 0) -> Num:
        """Cycles from one step to the next."""
        return maximum(cls.cycles_per_step(p, mode), cls.interval(p))

    @classmethod
    def acc_bits(cls, p: P) -> Num:
        """Accumulator width: exact for ``depth`` products, and not wider."""
        low, high = cls.product_range(p)
        return bits_for_multiple(low, high, p["depth"])

    @classmethod
    def row_sum_bits(cls, p: P) -> Num:
        """Width of an activation sum; 0 where none is kept."""
        bounds = cls.row_sum_range(p)
        return 0 if bounds is None else bits_for_multiple(bounds[0], bounds[1], p["depth"])

    @classmethod
    def product_delay(cls, p: P) -> Num:
        """Cycles from a cell's buses to the addend at its accumulator."""
        return p["cell_cuts"] + where(p["stages"] >= 2, 1, 0)

    @classmethod
    def joins(cls, p: P) -> Num:
        """Whether nothing stands between product logic and accumulator, so that both may be one piece of logic."""
        return cls.product_delay(p) == 0

    @classmethod
    def sums_join(cls, p: P) -> Num:
        """Whether an accumulator may be a row of its cell's tree of adders: no register and no bound is between."""
        return cls.joins(p) if p["overflow"] != "saturate" else False

    @classmethod
    def sums_in_tree(cls, p: P) -> Num:
        """Where accumulators are rows of their cells' trees, as `Addend.rows` says; at most where `sums_join`."""
        return False

    @classmethod
    def latency(cls, p: P) -> Num:
        """Cycles from the last cycle of a group's last step to its sums at the output (cell 0, 0)."""
        fold = cls.fold_cycles(p)
        # What a step waits for the next update of its sums runs beside the pipeline, but folding comes after it.
        waited = where(fold > 0, 0, cls.step_cycles(p) - cls.cycles_per_step(p))
        return p["stages"] + p["front_cuts"] + p["cell_cuts"] + cls.accumulator_latency(p) + fold - waited

    @classmethod
    def post_beats(cls, p: P) -> Num:
        """Output beats of one result of the post lanes; 0 without lanes."""
        if not cls.uses_lanes(p):
            return 0
        return where(p["post_lanes"] > 0, ceil_div(p["m"] * p["n"], maximum(p["post_lanes"], 1)), 0)

    @classmethod
    def skew(cls, p: P) -> Num:
        """Cycles by which the last cell of a systolic tile trails the first."""
        if isinstance(p["transport"], np.ndarray):
            return np.where(p["transport"] == "systolic", p["m"] + p["n"] - 2, 0)
        return p["m"] + p["n"] - 2 if p["transport"] == "systolic" else 0

    @classmethod
    def post_cycles(cls, p: P) -> Num:
        """Cycles for which the post lanes are busy with one group: groups end at least this far apart."""
        return cls.post_beats(p) + cls.post_loop(p)

    @classmethod
    def post_loop(cls, p: P) -> Num:
        """Cycles that the FP32 adders of the post lanes take beyond one; 0 without lanes."""
        return where(p["post_lanes"] > 0, p["post_adder_stages"] - 1, 0) if cls.uses_lanes(p) else 0

    @classmethod
    def post_stages(cls, p: P) -> Num:
        """Cycles that post lanes take with what is fixed and with cuts, beyond the registers that they always have."""
        return (p["post_cuts"] if cls.uses_lanes(p) else 0) + cls.post_loop(p)

    @classmethod
    def post_wait(cls, p: P) -> Num:
        """Cycles from the operands of a group's last update, behind an input register, to its sums."""
        bus = p["front_cuts"] + where(p["stages"] >= 1, 1, 0)
        return bus + cls.product_delay(p) + cls.accumulator_latency(p) + cls.fold_cycles(p)

    @classmethod
    def groups_apart(cls, p: P) -> Num:
        """Cycles that the ends of two groups are apart at least."""
        return maximum(cls.post_cycles(p), cls.fold_cycles(p) + 1)

    @classmethod
    def post_latency(cls, p: P) -> Num:
        """Cycles from the sums to their first scaled beat: snapshot, correct, multiply, round, add, and cuts."""
        return 5 + cls.post_stages(p)

    @classmethod
    def drain(cls, p: P) -> Num:
        """Cycles from the last cycle of the last step to the last output beat."""
        beats = cls.post_beats(p)
        return cls.latency(p) + cls.skew(p) + where(beats > 0, cls.post_latency(p) + beats - 1, 0)
