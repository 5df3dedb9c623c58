"""What a workload costs on a tile: `sim.estimate` over its products, each evaluated once."""

from __future__ import annotations

from collections.abc import Iterable

from hwgen.pe import TileSpec
from hwgen.schedule import Layer
from sim.estimate import Report, estimate, estimate_sizes
from sim.tech import DEFAULT, Tech
from sim.workload.operators import Run
from sim.workload.workload import merged

__all__ = ["estimate_runs"]


def estimate_runs(
    spec: TileSpec, runs: Iterable[Run], tech: Tech | str = DEFAULT, clk_period_ns: float | None = None
) -> list[tuple[Run, Report]]:
    """Report of every product that differs: runs of the same sizes are merged, steps whose context grows are summed.

    Exact: the reports add up to those of all layers one by one. Raises `HwgenError` as `sim.estimate.estimate` does.
    """
    found = []
    for run in merged(runs):
        layer = Layer(run.role, run.m, run.n, run.k, run.count)
        if run.grows:
            _, n, k = run.sizes()
            found.append((run, estimate_sizes(spec, layer, n, k, tech, clk_period_ns)))
        else:
            found.append((run, estimate(spec, layer, tech, clk_period_ns)))
    return found
