"""Energy of the layer that a tile runs, from the toggles of its mapped netlist on the layer's own operands."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from hwgen.pe import TileSpec
from hwgen.schedule import Schedule
from hwgen.simulators.cache import cache_dir, digest, read_kept, write_kept
from hwgen.synth import TileResult, tile_netlist
from sim.energy import BlockEnergy, Operands, measure_energy

__all__ = ["LayerEnergy", "Spent", "layer_energy"]

STREAMS = 256
"""Most blocks of outputs of the layer that the netlist computes, side by side."""
CYCLES = 512
"""Most cycles of each, where groups end sooner: whole groups are as good as all of K."""
_VERSION = "1"
"""Part of the names in the cache: to be raised with every change of what is measured."""


@dataclass(frozen=True)
class Spent:
    """Switching beside the clock in a step, clock energy of a cycle, leakage."""

    switching_pj: float
    clock_pj: float
    leakage_nw: float

    def pj(self, steps: float, cycles: float, clk_period_ns: float) -> float:
        """Energy of so many steps in so many cycles."""
        # 1 nW for 1 ns is 1e-18 J: a millionth of a pJ.
        return self.switching_pj * steps + cycles * (self.clock_pj + self.leakage_nw * clk_period_ns * 1e-6)

    @classmethod
    def of(cls, blocks: Sequence[BlockEnergy]) -> Spent:
        """All blocks together."""
        return cls(
            sum(one.register_pj_per_step + one.combinational_pj_per_step for one in blocks),
            sum(one.clock_pj_per_cycle for one in blocks),
            sum(one.leakage_nw for one in blocks),
        )


@dataclass(frozen=True)
class LayerEnergy:
    """A tile's, and that of its pre block where there is one, whose steps are beats; blocks of outputs of the layer
    that were computed (``streams``), and steps of each.
    """

    tile: Spent
    pre: Spent | None
    streams: int
    steps: int


def layer_energy(result: TileResult, schedule: Schedule, weights: np.ndarray, acts: np.ndarray) -> LayerEnergy:
    """Run blocks of a layer on the mapped netlist: weights [N, K], activations [tokens, K], floats.

    What was measured lies in the cache. Raises `HwgenError` where the netlist differs from the tile's reference.
    """
    spec = schedule.spec
    weights, acts = (np.ascontiguousarray(schedule.whole_words(one), np.float32) for one in (weights, acts))
    streams, cycles = min(STREAMS, schedule.row_blocks * schedule.col_blocks), _cycles(spec, schedule)
    sums = (hashlib.sha256(one.tobytes()).hexdigest() for one in (weights, acts))
    how = [_VERSION, repr(spec), repr(schedule.layer), str(streams), str(cycles), result.library.sha256, *sums]
    path = cache_dir("realise") / f"{digest([*how, tile_netlist(result)])}.json"
    kept = read_kept(path)
    with contextlib.suppress(KeyError, TypeError):
        pre = kept["pre"]
        return LayerEnergy(Spent(**kept["tile"]), pre and Spent(**pre), int(kept["streams"]), int(kept["steps"]))
    operands = [Operands(schedule.layer.name, weights, acts)]
    report = measure_energy(spec, result=result, operands=operands, streams=streams, cycles=cycles)
    pre_blocks = Spent.of(report.pre_blocks) if report.pre_blocks else None
    found = LayerEnergy(Spent.of(report.blocks), pre_blocks, report.streams, report.steps)
    write_kept(path, asdict(found))
    return found


def _cycles(spec: TileSpec, schedule: Schedule) -> int:
    """Cycles of a block: all of K where its groups, and with them the work of post lanes, are not shorter."""
    every = schedule.row_steps * int(spec.layer_cycles(spec.p))
    group = int(spec.sum_group(spec.p))
    return min(every, CYCLES) if 0 < group * int(spec.layer_cycles(spec.p)) <= CYCLES * schedule.step_k else every
