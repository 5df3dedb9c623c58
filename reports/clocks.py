"""``python -m reports.clocks --sky130hd FILE --asap7 FILE...``: every family at a clock, with the cuts it needs.

A tile of a row and a column, with its post lane where it has them, at the goal of its family and at six clocks. Cuts
are what the cost model says (`sim.clock`); what is shown of a tile was measured: mapped for the clock, and its energy
counted on a layer of a real model. Each mapping lies in the cache, so a run that was interrupted goes on where it
stopped.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from hwgen.errors import HwgenError
from hwgen.files import write_atomic
from hwgen.pe import TileSpec, family
from hwgen.synth import Library, SynthOptions, TileResult, synthesise
from reports.families import table
from reports.plot import COLOURS, save
from reports.provenance import provenance, write_result
from reports.silicon import LIBRARIES, command_of, cuts_of, energies, libraries_of, parser
from sim.clock import at_clock
from sim.energy import Operands, layer_operands

__all__ = ["CLOCKS_NS", "GOALS_NS", "TILES", "Point", "figure", "main", "measured", "page", "reached"]

RESULT = Path("reports/results/clocks.md")
LAYER = "blk.10.ffn_up"
"""Layer that gives the operands."""

FAST_NS, GOALS_NS = {"sky130hd": 2.3, "asap7": 0.45}, {"sky130hd": 3.0, "asap7": 0.6}
"""Clock periods that families of integer sums without post lanes, and all others, are to reach."""
INTEGER = ("int", "lut", "mixpe")
CLOCKS_NS = {"sky130hd": (2.0, 2.5, 3.0, 4.0, 6.0, 10.0), "asap7": (0.4, 0.5, 0.6, 0.8, 1.2, 2.0)}
"""Clocks of the curves."""
_ASKED = (1.0, 0.94, 0.88, 0.82)
"""Shares of a clock that are asked of the model, from the first on, until what is measured keeps the clock: the model
is some per cent off, and so is mapping.
"""

_LANE = {"post_lanes": 1}
TILES: dict[str, tuple[str, Mapping[str, Any]]] = {
    "int W8A8, K 4": ("int", {}),
    "lut W2, K 4": ("lut", {"bits": 2}),
    "mixpe W4A8, K 4": ("mixpe", {"bits": 4}),
    "mx MXFP4, K 8": ("mx", {"k": 8, **_LANE}),
    "bitmod FP16, K 4": ("bitmod", _LANE),
    "minifloat FP16, FP32 sums, K 4": ("minifloat", {"bits": 16, "accumulator": "fp32"}),
    "posit SIMD, K 2": ("posit", {"k": 2, "group": 64, "depth": 64, **_LANE}),
}
"""Family and parameters by name, of the goals and of the curves."""

MORE_TILES: dict[str, tuple[str, Mapping[str, Any]]] = {
    "int W2A8, K 8": ("int", {"bits": 2, "k": 8}),
    "int W4A8, K 8": ("int", {"bits": 4, "k": 8}),
    "int W8A8, K 8": ("int", {"bits": 8, "k": 8}),
    "lut W4, K 4": ("lut", {"bits": 4}),
    "lut W8, K 4": ("lut", {"bits": 8}),
    "lut W4 of 2 planes, FP16, K 4": ("lut", {"bits": 4, "planes_per_cycle": 2, "acts": "fp16"}),
    "mixpe W4A8, K 8": ("mixpe", {"bits": 4, "k": 8}),
    "mixpe W4, FP16, K 4": ("mixpe", {"bits": 4, "acts": "fp16"}),
    "mixpe W8A8, K 8": ("mixpe", {"bits": 8, "k": 8}),
    "mx MXFP8 E4M3, K 8": ("mx", {"weights": "mxfp8_e4m3", "acts": "mxfp8_e4m3", "k": 8, **_LANE}),
    "mx MXINT8, K 8": ("mx", {"weights": "mxint8", "acts": "mxint8", "k": 8, **_LANE}),
    "bitmod FP16, W3 alone, K 4": ("bitmod", {"bits": 3, **_LANE}),
    "bitmod FP16, exact sums, K 4": ("bitmod", {"accumulator": "exact", **_LANE}),
    "minifloat FP8 E4M3, exact sums, K 8": ("minifloat", {"acts": "fp8_e4m3", "weights": "fp8_e4m3", "k": 8}),
    "posit (8,0), K 4": ("posit", {"format": "posit", "posit_bits": 8, "k": 4, "group": 64, "depth": 64, **_LANE}),
    "posit (16,1), K 1": ("posit", {"format": "posit", "posit_bits": 16, "k": 1, "group": 64, "depth": 64, **_LANE}),
}
"""Of the goals alone: other widths and formats."""


@dataclass(frozen=True)
class Point:
    """A tile at a clock: ``asked_ns`` of the model, which keeps ``clk_period_ns`` or is the fastest that was found."""

    name: str
    library: str
    clk_period_ns: float
    asked_ns: float
    result: TileResult
    pj_per_mac: float

    @property
    def period_ns(self) -> float:
        """Shortest clock period that was measured."""
        return self.result.min_clk_period_ns

    @property
    def met(self) -> bool:
        """Whether the tile keeps the clock."""
        return self.period_ns <= self.clk_period_ns

    @property
    def cuts(self) -> str:
        """Registers that were put into blocks, and cycles of loops."""
        return cuts_of(self.result.spec)

    @property
    def fold_cycles(self) -> int:
        """Cycles after each group in which partial sums are folded."""
        return int(self.result.spec.fold_cycles(self.result.spec.p))


def _tile(name: str, library: str, asked_ns: float) -> TileSpec:
    kind, values = (TILES | MORE_TILES)[name]
    return at_clock(family(kind), {"m": 1, "n": 1, **values}, library, asked_ns)


def reached(name: str, label: str, library: Library, clk_period_ns: float) -> tuple[float, TileResult] | str:
    """What was asked of the model, and the tile that keeps a clock period; the fastest one that was found where none
    does. A sentence where the model knows none for the first of what is asked.
    """
    found: list[tuple[float, TileResult]] = []
    for share in _ASKED:
        try:
            spec = _tile(name, label, clk_period_ns * share)
        except HwgenError as error:
            if not found:
                return str(error)
            break
        result = synthesise(spec, library, SynthOptions(clk_period_ns=clk_period_ns))
        found.append((clk_period_ns * share, result))
        if result.meets:
            break
    return min(found, key=lambda one: (not one[1].meets, one[1].min_clk_period_ns))


def measured(
    name: str, label: str, library: Library, clk_period_ns: float, operands: Sequence[Operands]
) -> Point | str:
    """A tile at a clock; a sentence where no cuts keep it."""
    found = reached(name, label, library, clk_period_ns)
    if isinstance(found, str):
        return found
    asked, result = found
    spec = result.spec
    cycles, macs = int(spec.layer_cycles(spec.p)), spec.m * spec.n * int(spec.layer_k(spec.p))
    spent = energies(spec, library, clk_period_ns, operands, ()).values()
    # 1 nW for 1 ns is 1e-18 J: a millionth of a pJ.
    step_pj = sum(step + leakage_nw * clk_period_ns * 1e-6 * cycles for _, step, leakage_nw in spent)
    return Point(name, label, clk_period_ns, asked, result, step_pj / macs)


def goal_of(kind: str, label: str) -> float:
    """Clock period that a family is to reach in a library."""
    return (FAST_NS if kind in INTEGER else GOALS_NS)[label]


def _goal_rows(
    libraries: Mapping[str, Library], goals: Mapping[tuple[str, str], TileResult | str]
) -> list[list[object]]:
    rows: list[list[object]] = []
    for name, (kind, _) in (TILES | MORE_TILES).items():
        for label in libraries:
            goal, found = goal_of(kind, label), goals[name, label]
            if isinstance(found, str):
                rows.append([name, label, f"{goal:g}", "", "no", "", found, ""])
                continue
            spec, period = found.spec, found.min_clk_period_ns
            by = ", ".join(f"{b.kind} {b.min_clk_period_ns:.2f}" for b in found.blocks if b.kind != "control")
            cells = [f"{goal:g}", f"{period:.3f}", "yes" if period <= goal else "no", cuts_of(spec), by]
            rows.append([name, label, *cells, int(spec.fold_cycles(spec.p))])
    return rows


def page(
    libraries: Mapping[str, Library], goals: Mapping[tuple[str, str], TileResult | str], points: Sequence[Point | str]
) -> str:
    """The table of goals, and the curves of both libraries."""
    head = ["tile", "library", "goal ns", "reached ns", "met", "cuts", "blocks ns", "fold cycles"]
    curve_head = ["tile", "clock ns", "reached ns", "cuts", "area µm²", "FF bits", "pJ/MAC", "cycles a group more"]
    parts = [
        "Cuts are those that the cost model settles for the clock (`hwgen synth --clk-period-ns`), or, where the "
        f"mapped tile misses it, for down to {_ASKED[-1]:.0%} of it; everything else in the tables was measured. "
        "One row and one column with the family's default formats. Pre-layout, ABC's timing with clock-to-output and "
        f"setup of the flip-flop; energy on operands of {LAYER} of SmolLM2-135M, without glitches.",
        table(head, _goal_rows(libraries, goals)),
        "A loop bounds what cuts cannot make shorter: in int, lut, mixpe and mx the adder of the accumulator, in "
        "bitmod and in FP32 sums a piece of the accumulator's adder, which lasts several cycles and keeps as many "
        "partial sums (`fold cycles` are spent after each group), in post lanes a piece of the FP32 adder.",
        "## Curves",
        "![Area and energy over the clock](clocks.png)",
    ]
    for label in libraries:
        rows: list[list[object]] = []
        for point in points:
            if isinstance(point, Point) and point.library == label:
                rows.append(
                    [
                        point.name,
                        f"{point.clk_period_ns:g}",
                        f"{point.period_ns:.3f}" + ("" if point.met else " (missed)"),
                        point.cuts,
                        f"{point.result.area:,.0f}",
                        point.result.flip_flops,
                        f"{point.pj_per_mac:.3g}",
                        point.fold_cycles,
                    ]
                )
        parts += [f"### {label}", table(curve_head, rows)]
    refused = [point for point in points if isinstance(point, str)]
    if refused:
        parts += ["Clocks that no cuts keep:", "\n".join(f"- {text}" for text in dict.fromkeys(refused))]
    return "\n\n".join(parts)


def figure(points: Sequence[Point | str]) -> Figure:
    """Area and energy over the clock period, a column a library, families by colour; hollow where it was missed."""
    found = [point for point in points if isinstance(point, Point)]
    labels = list(dict.fromkeys(point.library for point in found))
    drawn = Figure(figsize=(5.2 * len(labels), 7.2), layout="constrained")
    panels = drawn.subplots(2, len(labels), squeeze=False, sharex="col")
    for column, label in enumerate(labels):
        for colour, name in zip(COLOURS, TILES, strict=True):
            curve = [point for point in found if point.library == label and point.name == name]
            for axes, values in (
                (panels[0][column], [point.result.area for point in curve]),
                (panels[1][column], [point.pj_per_mac for point in curve]),
            ):
                clocks = [point.clk_period_ns for point in curve]
                axes.plot(clocks, values, color=colour, linewidth=1.3, label=name)
                faces = [colour if point.met else "white" for point in curve]
                axes.scatter(clocks, values, s=26, c=faces, edgecolors=colour, zorder=3)
        for axes in (panels[0][column], panels[1][column]):
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_xticks(CLOCKS_NS[label])
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
                axis.set_minor_formatter(NullFormatter())
            axes.grid(True, color="#dddddd", linewidth=0.5)
            axes.set_axisbelow(True)
        panels[0][column].set_title(label, fontsize=10)
        panels[1][column].set_xlabel("clock period [ns]")
    panels[0][0].set_ylabel("area of a 1×1 tile [µm²]")
    panels[1][0].set_ylabel("energy per MAC [pJ]")
    handles, names = panels[0][0].get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    drawn.suptitle("Families over the clock; mapped, pre-layout; hollow: the clock is missed", fontsize=10)
    return drawn


def _csv(points: Sequence[Point | str]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "tile",
            "library",
            "clk_period_ns",
            "reached_ns",
            "area_um2",
            "flip_flops",
            "pj_per_mac",
            "fold_cycles",
            "cuts",
        ]
    )
    for one in points:
        if isinstance(one, Point):
            figures = [f"{one.period_ns:.4g}", f"{one.result.area:.6g}", one.result.flip_flops, f"{one.pj_per_mac:.4g}"]
            writer.writerow([one.name, one.library, f"{one.clk_period_ns:g}", *figures, one.fold_cycles, one.cuts])
    return text.getvalue()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page, its plot and its table; a mistake is told in a sentence, with exit status 2."""
    prog = "python -m reports.clocks"
    made = parser(prog, "Write reports/results/clocks.md.")
    options = made.parse_args(arguments)
    facts = provenance()
    try:
        libraries = libraries_of(options)
        assert set(libraries) <= set(LIBRARIES)
        operands = [layer_operands(LAYER)]
        goals: dict[tuple[str, str], TileResult | str] = {}
        points: list[Point | str] = []
        for label, library in libraries.items():
            for name, (kind, _) in (TILES | MORE_TILES).items():
                goal = goal_of(kind, label)
                reply = reached(name, label, library, goal)
                goals[name, label] = reply if isinstance(reply, str) else reply[1]
                said = reply if isinstance(reply, str) else f"{reply[1].min_clk_period_ns:.3f} ns"
                print(f"{name}, {label}, goal {goal:g} ns: {said}", flush=True)
                for clock in CLOCKS_NS[label] if name in TILES else ():
                    points.append(measured(name, label, library, clock, operands))
                    last = points[-1]
                    said = last if isinstance(last, str) else f"{last.period_ns:.3f} ns, {last.pj_per_mac:.3g} pJ/MAC"
                    print(f"{name}, {label}, {clock:g} ns: {said}", flush=True)
        save(figure(points), RESULT.with_suffix(".png"))
        write_atomic(RESULT.with_suffix(".csv"), _csv(points), "clocks")
        write_result(RESULT, "Clocks of all families", command_of(prog, options), page(libraries, goals, points), facts)
    except HwgenError as error:
        made.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
