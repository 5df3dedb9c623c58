"""``python -m reports.accelerator_sweep``: accelerators of all ring sizes and buses on a Llama block, swept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from dse.designs import ACCELERATORS, AROUND
from dse.space import Space
from dse.sweep import Sweep, run_sweep
from hwgen.accelerator import Design, exact, layer_jobs, placed
from hwgen.accelerator.use import Use
from hwgen.files import write_all
from hwgen.pe import family
from hwgen.schedule import Layer, Schedule
from reports.accelerator_utilisation import CONTEXT, TOKENS, layers
from reports.command_line import without_options
from reports.plot import COLOURS, render
from reports.provenance import provenance, write_result

__all__ = ["Checked", "block", "checked", "figure", "main", "page", "swept"]

RESULT = Path("reports/results/accelerator_sweep.md")
PICTURE = Path("reports/results/accelerator_sweep.png")
MODEL = "smollm2-135m"
FAMILY = "int"
CLK_PERIOD_NS = 6.0
"""What memories of sky130hd keep, and what is around most tiles."""

TILE: Mapping[str, tuple[Any, ...]] = {
    "m": (1, 4, 8),
    "n": (8, 16),
    "k": (8,),
    "bits": (4,),
    "group": (64,),
    "post_lanes": (2, 8),
}
AROUND_TILE: Mapping[str, tuple[Any, ...] | None] = {
    "bus_bits": None,
    "weight_ring": (32, 128, 512),
    "act_ring": (32, 128, 512, 2048),
    "burst": (16, 64),
    "outstanding": (1, 4, 8),
    "memory_latency": (60,),
}
"""Axes; None stands for the declared sweep values."""
PHASES = ("prefill", "decode")
WALKED = 12
"""Points of a front that are walked: the slowest take a minute each."""
OBJECTIVES = ("area_um2", "cycles")
_SHOWN = ("m", "n", "post_lanes", "bus_bits", "weight_ring", "act_ring", "burst", "outstanding")


@dataclass(frozen=True)
class Checked:
    """A point of a front: its row, and the cycles that the cycle model counts."""

    row: Mapping[str, Any]
    cycles: int

    @property
    def error(self) -> float:
        """Of the closed form."""
        return float(self.row["cycles"] / self.cycles - 1)


def block(phase: str, model: str = MODEL) -> list[Layer]:
    """Products with weights of one block of a model."""
    found = layers(model, phase)
    blocks = math.gcd(*(layer.count for layer in found))
    return [replace(layer, count=layer.count // blocks) for layer in found]


def swept(phase: str, tile: Mapping[str, Any] = TILE, around: Mapping[str, Any] = AROUND_TILE) -> Sweep:
    """All accelerators on the block in a phase."""
    space = Space.of(FAMILY, tile).beside(AROUND, around)
    return run_sweep([space], block(phase), objectives=OBJECTIVES, level=ACCELERATORS, clk_period_ns=CLK_PERIOD_NS)


def ring_kib(points: pd.DataFrame) -> list[float]:
    """Size of all rings of each point."""
    designs = map(_design, _rows(points))
    return [sum(stream.depth * stream.entry_bits for stream in one.streams.values()) / 8192 for one in designs]


def _walked(task: tuple[dict[str, Any], str]) -> Checked:
    """One point, cycle by cycle: the jobs that the closed form found best."""
    row, phase = task
    design = _design(row)
    memory = Use.from_values({name: row[name] for name in Use.parameters()}).memory
    cycles = 0
    for layer, words in zip(block(phase), row["jobs"].split(), strict=True):
        stays, _, held = words.partition(":")
        job = next(
            job
            for job in layer_jobs(design, Schedule(design.tile, layer))
            if (job.order, job.hold_weights, job.hold_acts) == (stays == "a", "w" in held, "a" in held)
        )
        cycles += layer.count * exact(design, placed(design, job)[0], memory).cycles
    return Checked(row, cycles)


def checked(results: Mapping[str, Sweep], most: int = WALKED, processes: int | None = None) -> dict[str, list[Checked]]:
    """Points of the front of each phase, ``most`` at most, walked cycle by cycle by so many ``processes``."""
    tasks = []
    for phase, result in results.items():
        places = np.unique(np.linspace(0, len(result.front) - 1, most).round().astype(int))
        tasks += [(row, phase) for row in _rows(result.front.iloc[places])]
    with ProcessPoolExecutor(processes) as pool:
        walked = list(pool.map(_walked, tasks))
    return {phase: [one for one, (_, of) in zip(walked, tasks, strict=True) if of == phase] for phase in results}


def _rows(points: pd.DataFrame) -> list[dict[str, Any]]:
    return [dict(row) for row in points.astype(object).to_dict("records")]


def _design(row: Mapping[str, Any]) -> Design:
    """The accelerator of a row."""
    tile = family(FAMILY).from_values({name: row[name] for name in family(FAMILY).parameters()})
    return Design.from_values(tile, {name: row[name] for name in Design.parameters()})


def figure(results: Mapping[str, Sweep]) -> Figure:
    """Cycles against area: a row for each phase, coloured by the bus and by the size of the rings."""
    drawn = Figure(figsize=(11.0, 9.0), layout="constrained")
    grid = drawn.subplots(len(results), 2, squeeze=False)
    for axes, (phase, result) in zip(grid, results.items(), strict=True):
        points = result.points.sort_values("area_um2", ascending=False)
        area, cycles = points["area_um2"] / 1e6, points["cycles"]
        for index, bus in enumerate(sorted(points["bus_bits"].unique())):
            some = points["bus_bits"] == bus
            axes[0].scatter(area[some], cycles[some], s=9, color=COLOURS[index], linewidths=0, label=f"{bus} bits")
        axes[0].legend(title="bus", fontsize=8, loc="upper right", markerscale=2)
        sizes = ring_kib(points)
        dots = axes[1].scatter(area, cycles, s=9, c=sizes, cmap="viridis", norm=LogNorm(), linewidths=0)
        drawn.colorbar(dots, ax=axes[1], label="all rings [KiB]")
        for one in axes:
            _edge(one, result.front)
            one.set_title(f"{MODEL}, {phase}: {len(points):,} accelerators", fontsize=10)
    return drawn


def _edge(axes: Axes, best: pd.DataFrame) -> None:
    axes.plot(
        best["area_um2"] / 1e6, best["cycles"], color="black", linewidth=0.9, drawstyle="steps-post", label="front"
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("area [mm²]: tile, what is around it, memories")
    axes.set_ylabel("cycles of one block")
    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def _table(found: Sequence[Checked]) -> str:
    heads = [*(name.replace("_", " ") for name in _SHOWN), "mm²", "of it memories", "cycles", "by the cycle model", ""]
    heads += ["tile's peak", "waits", "bound by", "pJ/MAC", "jobs"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---:|" * (len(heads) - 3) + "---|---:|---|"]
    for one in found:
        row = one.row
        cells = [str(row[name]) for name in _SHOWN]
        cells += [f"{row['area_um2'] / 1e6:.3f}", f"{row['sram_area_um2'] / row['area_um2']:.0%}"]
        cells += [f"{row['cycles']:,}", f"{one.cycles:,}", f"{one.error:+.2%}", f"{row['utilization']:.1%}"]
        cells += [
            f"{row['wait_cycles'] / row['cycles']:.1%}",
            row["bound"],
            f"{row['energy_pj_per_mac']:.3g}",
            row["jobs"],
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _effects(points: pd.DataFrame) -> str:
    """What each axis does to cycles and to area, all else equal: medians of ratios to its smallest value."""
    axes = [name for name, values in AROUND_TILE.items() if values is None or len(values) > 1]
    lines = ["| axis | value | cycles | area |", "|---|---:|---:|---:|"]
    for axis in axes:
        others = [name for name in (*TILE, *AROUND_TILE) if name != axis]
        wide = points.pivot_table(index=others, columns=axis, values=["cycles", "area_um2"], observed=True)
        least = min(points[axis])
        for value in sorted(points[axis].unique()):
            ratios = [(wide[column][value] / wide[column][least]).median() for column in ("cycles", "area_um2")]
            lines.append(f"| {axis} | {value} | {ratios[0]:.2f} × | {ratios[1]:.2f} × |")
    return "\n".join(lines)


def page(results: Mapping[str, Sweep], fronts: Mapping[str, Sequence[Checked]]) -> str:
    """The body of the result page."""
    first = next(iter(results.values()))
    tiles = ", ".join(f"{name} {' '.join(map(str, values))}" for name, values in TILE.items())
    around = {name: AROUND.parameters[name].sweep if values is None else values for name, values in AROUND_TILE.items()}
    axes = ", ".join(f"{name} {' '.join(map(str, values))}" for name, values in around.items())
    errors = [abs(one.error) for some in fronts.values() for one in some]
    shapes = {phase: ", ".join(f"{y.m}×{y.n}×{y.k} × {y.count}" for y in block(phase)) for phase in results}
    parts = [
        f"`hwgen sweep --level accelerator` over {FAMILY} W4A8 tiles ({tiles}) and what is around them ({axes}), on "
        f"the products with weights of one block of {MODEL}: prefill of {TOKENS} tokens ({shapes['prefill']}) and "
        f"decode of one token at a context of {CONTEXT} ({shapes['decode']}). Each layer is its best job, alone. All "
        f"at {CLK_PERIOD_NS:g} ns; areas and energies: {first.metadata['status']} ({first.metadata['tech']}). Off-chip "
        f"memory is {first.metadata['off_chip_memory']}.",
        f"![Cycles against area, coloured by bus and by ring size]({PICTURE.name})",
        "Closed form and cycle model (which is equal to the hardware) on points of the fronts, evenly chosen: largest "
        f"difference {max(errors):.2%}, median {np.median(errors):.2%} of {len(errors)} points.",
    ]
    for phase, result in results.items():
        skipped = "; ".join(f"{count:,} × {reason}" for reason, count in result.skipped.items()) or "none"
        parts += [
            f"## {phase.capitalize()}: on the front of area and cycles",
            f"{result.looked_at:,} points, {len(result.points):,} of them legal; skipped: {skipped}. "
            f"Shown are {len(fronts[phase])} of the {len(result.front)} points on the front. Jobs: of each layer what "
            "stays, and behind the colon what is held: w(eights), a(ctivations). Waits: cycles beyond those of the "
            "tile alone.",
            _table(fronts[phase]),
            "What an axis does, all else equal: median ratios to its smallest value.",
            _effects(result.points),
        ]
    return "\n\n".join(parts)


def main() -> None:
    """Sweep, walk the fronts, draw and write the page."""
    results = {phase: swept(phase) for phase in PHASES}
    fronts = checked(results)
    files = [(path, content) for path, content in render(figure(results), PICTURE) if path.suffix == ".png"]
    write_all(files, "accelerator sweep")
    title = "Accelerators by ring size and bus"
    write_result(RESULT, title, "python -m reports.accelerator_sweep", page(results, fronts), provenance())


if __name__ == "__main__":
    without_options(main, __doc__)
