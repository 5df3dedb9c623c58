"""``python -m reports.search``: what a search finds of fronts that are known, and of one that is not.

Spaces of which every point can be evaluated are searched with several seeds and numbers of evaluations; the front that
is found is compared with that of all points by hypervolume, beside points that are drawn at random. A space beyond what
can be evaluated is searched, too; there the reference is the front of all that any run evaluated.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from dse.designs import AROUND
from dse.explore import explore
from dse.genome import Genomes
from dse.level import Clock
from dse.pareto import column_of, front_mask, hypervolume_ratio, signs
from dse.plan import LevelSpec, Plan, Scene, Search, make_plan
from dse.search import METHOD, Points, method
from dse.space import Space
from hwgen.files import write_all
from hwgen.schedule import Layer
from reports.families import table
from reports.plot import COLOURS, render
from reports.provenance import provenance, write_result
from sim.tech import load

__all__ = ["CASES", "Case", "Run", "compared", "figure", "main", "page"]

RESULT = Path("reports/results/search.md")
PICTURE = RESULT.with_suffix(".png")
TECH = "sky130hd"
LAYERS = (Layer("up", 1, 1536, 576, 30), Layer("down", 1, 576, 1536, 30), Layer("q", 1, 576, 576, 60))
"""Some products of a small language model that reads one token."""
SEEDS = (0, 1, 2)
EVALUATIONS = (500, 2000, 8000)
_ENUMERABLE = 10**7

TILE: Mapping[str, Any] = {
    "m": (1, 2, 4, 8),
    "n": tuple(range(2, 65, 2)),
    "k": (4, 8, 16, 32),
    "bits": tuple(range(2, 9)),
    "group": (64, 96),
    "post_lanes": (0, 1, 2, 4),
    "transport": None,
}
AROUND_TILE: Mapping[str, Any] = {
    "bus_bits": (64, 128, 256),
    "weight_ring": (32, 128, 512),
    "act_ring": (32, 128, 512),
    "burst": (16, 64),
    "outstanding": (1, 4, 8),
}
BEYOND: Mapping[str, Any] = {
    **TILE,
    "m": tuple(range(1, 17)),
    "n": tuple(range(2, 129, 2)),
    "k": (2, 4, 8, 16, 32, 64),
    "bits": tuple(range(2, 9)),
    "group": (32, 48, 64, 96),
}
BEYOND_AROUND: Mapping[str, Any] = {
    "bus_bits": (64, 128, 256, 512),
    "weight_ring": tuple(range(16, 1025, 16)),
    "act_ring": tuple(range(16, 1025, 16)),
    "burst": (4, 8, 16, 32, 64),
    "outstanding": (1, 2, 4, 8),
}


@dataclass(frozen=True)
class Case:
    """A space that is searched: ``tile`` and ``around`` (none of tiles alone) are values by axis."""

    name: str
    objectives: tuple[str, ...]
    tile: Mapping[str, Any]
    around: Mapping[str, Any] | None = None
    where: tuple[str, ...] = ()
    families: tuple[str, ...] = ("int", "lut")
    clocks: tuple[float, ...] = (4.0, 8.0)

    def plan(self, search: Search | None = None) -> Plan:
        """The space, with a search or all of it."""
        spaces = []
        for name in self.families:
            known = Space.of(name).parameters
            axes = {axis: values for axis, values in self.tile.items() if axis in known or axis == "bits"}
            spaces += Space.split(name, axes, strict=False)
        if self.around is not None:
            spaces = [space.beside(AROUND, self.around) for space in spaces]
        kind = LevelSpec("tile" if self.around is None else "accelerator", where=self.where)
        scene = Scene("decode", LAYERS, load(TECH), tuple(Clock(period) for period in self.clocks))
        return make_plan(spaces, [scene], self.objectives, kind, search=search)


CASES = (
    Case("tiles", ("area_um2", "latency_us", "energy_pj"), TILE),
    Case(
        "accelerators",
        ("area_um2", "latency_us", "energy_pj"),
        {
            **TILE,
            "m": (1, 2, 4),
            "n": tuple(range(4, 65, 4)),
            "k": (4, 8, 16),
            "bits": (2, 3, 4, 8),
            "group": (64,),
            "post_lanes": (1, 4),
            "transport": ("broadcast",),
        },
        AROUND_TILE,
        ("area_um2 <= 2e7",),
        families=("int",),
        clocks=(6.0,),
    ),
    Case(
        "accelerators beyond enumeration",
        ("area_um2", "latency_us", "energy_pj"),
        BEYOND,
        BEYOND_AROUND,
        ("area_um2 <= 2e7",),
        clocks=(6.0, 8.0),
    ),
)


@dataclass(frozen=True)
class Run:
    """Points that were evaluated by a search, or drawn at random: their front, and processor seconds."""

    evaluations: int
    seed: int
    searched: bool
    front: pd.DataFrame
    cpu_s: float


@dataclass(frozen=True)
class Compared:
    """A case with its runs, and the front they are compared with: of all points, or of all runs together."""

    case: Case
    points: int
    legal: int | None
    cpu_s: float | None
    reference: pd.DataFrame
    runs: Sequence[Run]

    @property
    def exhaustive(self) -> bool:
        """Whether the reference is the front of all points."""
        return self.legal is not None

    def ratios(self, evaluations: int, *, searched: bool, logarithmic: bool) -> list[float]:
        """Hypervolume of each seed's front as a share of the reference's."""
        return [
            hypervolume_ratio(one.front, self.reference, self.case.objectives, logarithmic=logarithmic)
            for one in self.runs
            if one.searched == searched and one.evaluations == evaluations
        ]


def _frame(values: np.ndarray, objectives: Sequence[str]) -> pd.DataFrame:
    known = values[~np.isnan(values).any(axis=1)]
    best = known[front_mask(known)] * signs(objectives)
    return pd.DataFrame(best, columns=[column_of(name) for name in objectives])


def _run(case: Case, evaluations: int, seed: int, *, searched: bool, population: int) -> Run:
    started = time.process_time()
    if searched:
        front = explore(case.plan(Search(evaluations, population, seed))).front
    else:
        plan = case.plan()
        (workload,) = plan.points_of_workloads
        genomes = Genomes(plan, workload)
        drawn = genomes.random(evaluations, np.random.default_rng(seed))
        numbers = np.unique(genomes.numbers(drawn))
        front = _frame(Points(plan).evaluate(numbers).values, case.objectives)
    names = [column_of(name) for name in case.objectives]
    return Run(evaluations, seed, searched, front[names], time.process_time() - started)


def compared(
    case: Case, evaluations: Sequence[int] = EVALUATIONS, seeds: Sequence[int] = SEEDS, population: int = 200
) -> Compared:
    """All runs of a case, beside the front of all points where these can be evaluated."""
    plan = case.plan()
    plan.prepare()
    runs = [
        _run(case, count, seed, searched=searched, population=min(population, count))
        for searched in (True, False)
        for count in evaluations
        for seed in seeds
    ]
    if plan.size <= _ENUMERABLE:
        started = time.process_time()
        whole = explore(plan)
        spent = time.process_time() - started
        names = [column_of(name) for name in case.objectives]
        return Compared(case, plan.size, whole.legal, spent, whole.front[names], runs)
    together = pd.concat([one.front for one in runs])
    values = together.to_numpy(np.float64) * signs(case.objectives)
    return Compared(case, plan.size, None, None, _frame(values, case.objectives), runs)


def _shares(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.4f} ({min(ratios):.4f} to {max(ratios):.4f})"


def _found(case: Compared, evaluations: int) -> str:
    """Points of the reference that a search found, of each seed."""
    reference = {tuple(row) for row in case.reference.to_numpy()}
    counts = [
        len(reference & {tuple(row) for row in one.front.to_numpy()})
        for one in case.runs
        if one.searched and one.evaluations == evaluations
    ]
    return f"{min(counts):,} to {max(counts):,}"


def _section(case: Compared) -> str:
    rows = []
    for count in dict.fromkeys(one.evaluations for one in case.runs):
        spent = [one.cpu_s for one in case.runs if one.searched and one.evaluations == count]
        rows.append(
            [
                f"{count:,}",
                f"{count / case.points:.2g}",
                _shares(case.ratios(count, searched=True, logarithmic=False)),
                _shares(case.ratios(count, searched=True, logarithmic=True)),
                _shares(case.ratios(count, searched=False, logarithmic=True)),
                _found(case, count),
                f"{statistics.median(spent):.1f}",
            ]
        )
    limits = f", where {' and '.join(case.case.where)}" if case.case.where else ""
    names = ", ".join(case.case.objectives)
    if case.legal is not None:
        words = (
            f"{case.points:,} points, {case.legal:,} of them legal{limits}; the front of {names} "
            f"has {len(case.reference):,} points. All points: {case.cpu_s:.1f} processor seconds."
        )
    else:
        words = (
            f"{case.points:.3g} points{limits}; no front of {names} is known. The reference is that "
            f"of all runs together, {len(case.reference):,} points, so a share says how runs compare and not how "
            "far they are from the true front."
        )
    head = ["evaluations", "share of the points", "hypervolume", "of logarithms", "at random, of logarithms"]
    head += ["reference points found", "processor s"]
    return f"## {case.case.name.capitalize()}\n\n{words}\n\n{table(head, rows)}"


def figure(cases: Sequence[Compared]) -> Figure:
    """Hypervolume against evaluations: median and range of the seeds, searched and at random."""
    drawn = Figure(figsize=(4.2 * len(cases), 3.6), layout="constrained")
    for axes, case in zip(drawn.subplots(1, len(cases), squeeze=False)[0], cases, strict=True):
        counts = list(dict.fromkeys(one.evaluations for one in case.runs))
        for colour, searched, label in ((COLOURS[0], True, METHOD), (COLOURS[1], False, "at random")):
            several = [case.ratios(count, searched=searched, logarithmic=True) for count in counts]
            axes.plot(counts, [statistics.median(one) for one in several], "o-", color=colour, label=label)
            axes.fill_between(
                counts, [min(one) for one in several], [max(one) for one in several], color=colour, alpha=0.2
            )
        axes.set_xscale("log")
        axes.set_xlabel("points evaluated")
        whole = "of all points" if case.exhaustive else "of all runs"
        axes.set_title(f"{case.case.name}: {case.points:.2g} points\nreference: the front {whole}", fontsize=9)
        axes.grid(alpha=0.3)
    drawn.axes[0].set_ylabel("hypervolume of logarithms\n[share of the reference]")
    drawn.axes[0].legend(fontsize=8, loc="lower right")
    return drawn


def page(cases: Sequence[Compared]) -> str:
    """The page below its head."""
    seeds = len({one.seed for one in cases[0].runs})
    intro = (
        f"`hwgen sweep --search` is {method()}, population 200. Each figure is the median of {seeds} seeds, with the "
        "smallest and the greatest. A hypervolume is that between a front and a point a tenth of the reference's span "
        "beyond its worst values, as a share of the reference's: of objectives scaled to the reference's span, and of "
        "their logarithms. At random: as many points, every value of an axis as likely as the others, illegal ones "
        "among them as in a search.\n\n"
        f"![hypervolume against evaluations]({PICTURE.name})"
    )
    return "\n\n".join([intro, *map(_section, cases)])


def main() -> None:
    """Write the page and its plot."""
    parser = argparse.ArgumentParser(prog="python -m reports.search", description=f"Write {RESULT}.")
    parser.add_argument("--evaluations", type=int, nargs="+", default=EVALUATIONS, help="points of each run")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="runs of each number of points")
    asked = parser.parse_args()
    cases = [compared(case, asked.evaluations, range(asked.seeds)) for case in CASES]
    write_all(render(figure(cases), PICTURE)[:1], "search")
    command = shlex.join(["python", "-m", "reports.search", *sys.argv[1:]])
    write_result(RESULT, "Search beside all points", command, page(cases), provenance())
    print(f"wrote {RESULT}")


if __name__ == "__main__":
    main()
