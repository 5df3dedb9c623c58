"""``python -m reports.silicon --sky130hd FILE --asap7 FILE...``: every family at equal throughput, in both libraries.

Tiles have as many columns as it takes for the same multiply-accumulates a cycle: families that take several cycles a
step get more cells. Area, shortest clock period and density are those of that tile. Energy is measured on real operands
through the mapped netlist of a narrow tile with the same rows and blocks; what a row, a column and a cell spend is then
multiplied by how many of them the wide tile has.

A mapping, a measured energy: each lies in the cache, so a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from hwgen.errors import HwgenError
from hwgen.files import write_atomic
from hwgen.pe import TileSpec, family
from hwgen.provenance import commit
from hwgen.simulators.cache import cached, digest
from hwgen.synth import Library, SynthOptions, read_library, synthesise
from reports.families import table
from reports.plot import colours_of, save
from reports.provenance import provenance, write_result
from reports.whole_layer import settings
from sim.clock import at_clock
from sim.energy import Operands, layer_operands, measure_energy
from sim.tech import load

__all__ = [
    "LIBRARIES",
    "MACS",
    "TILES",
    "Design",
    "Measured",
    "figure",
    "main",
    "measure",
    "page",
    "wide",
    "write_by_library",
]

T = TypeVar("T")

RESULT = Path("reports/results/silicon.md")

LIBRARIES = ("sky130hd", "asap7")
"""Names of the two libraries, as in the options."""

MACS = 64
"""Multiply-accumulates a cycle of every tile."""

RECIPES: tuple[str, ...] = ()
"""Recipes of mapping: all that map for area, and where none of them keeps the clock, those that map for speed; the
smallest netlist that keeps it counts, for each block.
"""

ENERGY_COLUMNS = 2
"""Columns of the tile on which energy is measured."""

LAYER = "blk.10.ffn_up"
"""Layer that gives the operands."""


@dataclass(frozen=True)
class Design:
    """A family's tile: weight width, activations and what it is, and its parameters but for columns."""

    family: str
    bits: float
    acts: str
    note: str
    values: Mapping[str, Any]


_PAIRS = {"weight_planes": 2, "act_planes": 2}
_FORMATS = {"weights": "bf16", "acts": "bf16"}


def _designs() -> tuple[Design, ...]:
    raw = {"m": 2, "post_lanes": 0}
    # Unsigned weights with a zero point, as the others have them: the same codes.
    found = [Design("int", bits, "int8", "", {**raw, "bits": bits, "scheme": "asymmetric"}) for bits in (2, 3, 4, 8)]
    for bits in (2, 3, 4, 8):
        found.append(Design("lut", bits, "int8", "a plane a cycle", {**raw, "bits": bits}))
        if bits < 8:
            each = {**raw, "bits": bits, "planes_per_cycle": bits}
            found.append(Design("lut", bits, "int8", "all planes in a cycle", each))
    found += [Design("mixpe", bits, "int8", "", {**raw, "bits": bits}) for bits in (2, 3, 4, 8)]
    found += [Design("bitmod", bits, "int8", "", {**raw, "bits": bits, "acts": "int8"}) for bits in (3, 4, 8)]
    found += [
        Design("lut", 4, "fp16", "all planes in a cycle", {**raw, "bits": 4, "acts": "fp16", "planes_per_cycle": 4}),
        Design("mixpe", 4, "fp16", "", {**raw, "bits": 4, "acts": "fp16"}),
        *(Design("bitmod", bits, "fp16", "", {**raw, "bits": bits}) for bits in (3, 4, 8)),
        Design("minifloat", 4, "fp4", "exact sums", {**raw, "bits": 4}),
        Design("minifloat", 8, "fp8", "exact sums", {**raw, "bits": 8}),
        Design("minifloat", 16, "fp16", "FP32 sums", {**raw, "bits": 16, "accumulator": "fp32", "k": 1}),
        Design("mx", 4, "mxfp4", "two post lanes", {"m": 2, "post_lanes": 2}),
        Design("mx", 8, "mxint8", "two post lanes", {"m": 2, "post_lanes": 2, "acts": "mxint8", "weights": "mxint8"}),
        Design("posit", 4, "posit4_1", "alone", {**raw, "format": "posit", "posit_bits": 4, "es": 1, "k": 4}),
        Design("posit", 8, "posit8_0", "alone", {**raw, "format": "posit", "k": 4}),
        Design("posit", 8, "posit8_0", "in a lane that splits", {**raw, "operands": "p8", "k": 1}),
    ]
    zero = {**raw, "scheme": "asymmetric"}
    for bits in (2, 4, 8):
        found.append(Design("bitserial", bits, "int8", "a plane a cycle", {**zero, "bits": bits}))
    found += [
        Design("bitplane", 1, "bipolar1", "signs", {**raw, "bits": 1, "k": 32}),
        Design("bitplane", 4, "int4", "four pairs a cycle", {**zero, "bits": 4, "acts": "int4"} | _PAIRS),
        Design("bitplane", 4, "int8", "four pairs a cycle", {**zero, "bits": 4} | _PAIRS),
        *(Design("bitfusion", bits, "int8", "all modes", {**zero, "bits": bits, "k": 1}) for bits in (2, 4, 8)),
        Design("shiftadd", 4, "int8", "one power", {**raw, "bits": 4}),
        Design("shiftadd", 6, "int8", "two powers", {**raw, "bits": 6}),
        Design("codebook", 4, "int8", "NF4", raw),
        Design("codebook", 4, "int8", "FP4, special values", {**raw, "weights": "razer_fp4"}),
        Design("codebook", 1.25, "int8", "three of four ternary", {**raw, "weights": "sherry"}),
        Design("codebook", 4, "int8", "tables at run time", {**raw, "weights": "any4"}),
        Design("complex", 1, "int8", "roots for x and its conjugate", {"m": 2, "mapping": "widely"}),
        Design("ant", 4, "ant4", "types by group", raw),
        Design("olive", 4, "olive4", "types by group", raw),
        Design("int", 4, "fp16", "aligned", {**zero, "bits": 4, "acts": "fp16"}),
        Design("lmul", 8, "fp8", "exact sums", {**raw, "bits": 8}),
        Design("lmul", 16, "bf16", "FP32 sums", {**raw, **_FORMATS, "accumulator": "fp32", "k": 1}),
    ]
    return tuple(found)


TILES = _designs()
"""All designs of the table."""


@dataclass(frozen=True)
class Measured:
    """A design in a library.

    ``area_um2`` is by kind of block, all copies; ``pj_per_mac`` by kind too, leakage at the clock
    included; empty where energy was not asked for. ``period_ns`` is the clock, ``min_clk_period_ns`` the shortest one.
    """

    family: str
    bits: float
    acts: str
    note: str
    library: str
    tile: str
    settings: str
    cuts: str
    cells: int
    cycles_per_step: int
    macs_per_cycle: int
    area_um2: Mapping[str, float]
    period_ns: float
    min_clk_period_ns: float
    limited_by: str
    recipes: Mapping[str, str]
    pj_per_mac: Mapping[str, float]
    commit: str

    @property
    def area(self) -> float:
        """Area of the tile in µm²."""
        return sum(self.area_um2.values())

    @property
    def tmacs_per_mm2(self) -> float:
        """Million million multiply-accumulates a second and mm², at the clock."""
        # A MAC per ns and µm² is 1e9 / 1e-6 of them a second and mm².
        return 1e3 * self.macs_per_cycle / (self.period_ns * self.area)

    @property
    def energy(self) -> float:
        """pJ a multiply-accumulate; 0 where it was not measured."""
        return sum(self.pj_per_mac.values())

    def document(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        totals = {"area_total_um2": self.area, "tmacs_per_mm2": self.tmacs_per_mm2, "pj_per_mac_total": self.energy}
        return {**dataclasses.asdict(self), **totals}


def clock_of(technology: str) -> float:
    """Clock period at which designs are compared in a technology."""
    period = load(technology).default_clk_period_ns
    assert period is not None
    return period


def wide(values: Mapping[str, Any], name: str, technology: str, macs: int = MACS) -> TileSpec:
    """The tile with so many columns that it does ``macs`` multiply-accumulates a cycle, with the registers that the
    technology's default clock asks for.

    Raises `HwgenError` where no whole number of columns does.
    """
    two = at_clock(family(name), {**values, "n": 2}, technology)
    per_column, cycles = _work(two) // 2, int(two.layer_cycles(two.p))
    if macs * cycles % per_column:
        raise HwgenError(
            f"silicon: {macs} MACs a cycle must be a whole number of columns of {per_column} MACs in {cycles} cycles"
        )
    return at_clock(family(name), {**values, "n": macs * cycles // per_column}, technology)


def cuts_of(spec: TileSpec) -> str:
    """Registers that were put into blocks, and cycles of loops, in words."""
    found = [f"{key} {spec.p[key]}" for key, one in spec.cut_parameters().items() if spec.p[key] != one.default]
    return ", ".join(found) or "none"


def _work(spec: TileSpec) -> int:
    """Multiply-accumulates of a step."""
    return spec.m * spec.n * int(spec.layer_outputs(spec.p)) * int(spec.layer_k(spec.p))


def energies(
    narrow: TileSpec, library: Library, clock_ns: float, operands: Sequence[Operands], recipes: Sequence[str]
) -> dict[str, tuple[int, float, float]]:
    """By kind of block: copies, pJ a step of all of them, leakage in nW; from the cache where it was measured before.

    Raises `HwgenError` as `measure_energy` does.
    """
    result = synthesise(narrow, library, options=SynthOptions(clk_period_ns=clock_ns, recipes=recipes))
    blocks = [f"{one.kind} {one.count} {one.mapped.recipe} {one.mapped.area!r}" for one in result.blocks]
    names = [one.name for one in operands]
    key = ["silicon 2", narrow.family, json.dumps(narrow.p, sort_keys=True), library.sha256, *names, *blocks]

    def make(folder: Path) -> None:
        report = measure_energy(narrow, result=result, operands=operands, streams=64, cycles=48)
        found = {
            one.kind: (one.count, one.step_pj(report.cycles_per_step, 0.0), one.leakage_nw) for one in report.blocks
        }
        (folder / "energy.json").write_text(json.dumps(found))

    read = json.loads((cached(f"silicon-{digest(key)}", make) / "energy.json").read_text())
    return {kind: (int(count), float(pj), float(leakage)) for kind, (count, pj, leakage) in read.items()}


def measure(
    design: Design,
    library: Library,
    name: str,
    operands: Sequence[Operands] = (),
    *,
    macs: int = MACS,
    recipes: Sequence[str] = RECIPES,
) -> Measured:
    """Map a design, and where there are ``operands`` measure its energy."""
    clock_ns = clock_of(name)
    spec = wide(design.values, design.family, name, macs)
    result = synthesise(spec, library, options=SynthOptions(clk_period_ns=clock_ns, recipes=recipes))
    blocks = [block for block in result.blocks if block.of_tile]
    slowest = max(blocks, key=lambda block: block.min_clk_period_ns)
    period_ns = max(clock_ns, slowest.min_clk_period_ns)
    cycles = int(spec.layer_cycles(spec.p))
    pj: dict[str, float] = {}
    if operands:
        columns = min(spec.n, ENERGY_COLUMNS)
        narrow = at_clock(family(design.family), {**design.values, "n": columns}, name)
        counts = {block.kind: block.count for block in blocks}
        for kind, (copies, step_pj, leakage_nw) in energies(narrow, library, clock_ns, operands, recipes).items():
            # Post lanes are one block; they visit every column's sums.
            more = spec.n / columns if kind == "post" else counts[kind] / copies
            scale = more / _work(spec)
            # 1 nW for 1 ns is 1e-18 J: a millionth of a pJ.
            pj[kind] = scale * (step_pj + leakage_nw * period_ns * 1e-6 * cycles)
    return Measured(
        family=design.family,
        bits=design.bits,
        acts=design.acts,
        note=design.note,
        library=name,
        tile=f"{spec.m}×{spec.n}×{spec.k}",
        settings=settings(spec),
        cuts=cuts_of(spec),
        cells=sum(block.count * block.mapped.cells for block in blocks),
        cycles_per_step=cycles,
        macs_per_cycle=macs,
        area_um2={block.kind: block.area for block in blocks},
        period_ns=period_ns,
        min_clk_period_ns=slowest.min_clk_period_ns,
        limited_by=slowest.kind,
        recipes={block.kind: block.mapped.recipe for block in blocks},
        pj_per_mac=pj,
        commit=commit(),
    )


_KINDS = ("cell", "row", "col", "rowsum", "post", "control")


def rows(found: Iterable[Measured]) -> list[list[object]]:
    """Rows of the table of a library, by weight width."""
    listed: list[list[object]] = []
    for one in sorted(found, key=lambda one: (one.bits, one.acts, one.area)):
        shares = ", ".join(f"{kind} {one.area_um2[kind] / one.area:.0%}" for kind in _KINDS if kind in one.area_um2)
        listed.append(
            [
                f"W{one.bits}",
                one.acts,
                one.family,
                one.note,
                f"{one.tile}, {one.cycles_per_step}",
                one.cuts,
                f"{one.area:,.0f}",
                shares,
                f"{one.min_clk_period_ns:.3g} ({one.limited_by})",
                f"{one.tmacs_per_mm2:.3g}",
                f"{one.energy:.3g}" if one.pj_per_mac else "not measured",
            ]
        )
    return listed


_MARKERS = {1: "<", 1.25: ">", 2: "v", 3: "^", 4: "s", 6: "p", 8: "o", 16: "D"}
"""Markers by weight width."""


def figure(found: Sequence[Measured]) -> Figure:
    """Area a MAC/cycle over energy a MAC, a panel a library, families by colour, weight widths by marker."""
    libraries = list(dict.fromkeys(one.library for one in found))
    drawn = Figure(figsize=(5.5 * len(libraries) + 1.7, 5.2), layout="constrained")
    panels = drawn.subplots(1, len(libraries), squeeze=False)[0]
    names = list(dict.fromkeys(one.family for one in found))
    colours = colours_of(len(names))
    for axes, library in zip(panels, libraries, strict=True):
        for one in found:
            if one.library != library or not one.pj_per_mac:
                continue
            colour = colours[names.index(one.family)]
            axes.scatter(
                one.energy,
                one.area / one.macs_per_cycle,
                s=46,
                marker=_MARKERS[one.bits],
                color=colour if one.acts == "int8" else "white",
                edgecolors=colour,
                linewidths=1.4,
                zorder=3,
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_minor_locator(NullLocator())
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel("energy per MAC [pJ]")
        axes.set_title(library, fontsize=10)
        axes.grid(True, color="#dddddd", linewidth=0.5)
        axes.set_axisbelow(True)
        axes.margins(0.08)
    panels[0].set_ylabel("area per MAC a cycle [µm²]")
    grey: dict[str, Any] = {"linestyle": "none", "markersize": 7, "color": "#777777"}
    handles = [Line2D([], [], **{**grey, "color": colours[i]}, marker="o", label=name) for i, name in enumerate(names)]
    widths = sorted({one.bits for one in found})
    handles += [Line2D([], [], **grey, marker=_MARKERS[bits], label=f"{bits}-bit weights") for bits in widths]
    handles.append(Line2D([], [], **grey, marker="o", markerfacecolor="white", label="other activations than int8"))
    drawn.legend(handles=handles, fontsize=7.5, frameon=False, loc="outside right upper")
    drawn.suptitle(
        f"Tiles of {MACS} MACs a cycle, at the default clock; pre-layout: no wires, clock tree, glitches", fontsize=10
    )
    return drawn


def page(found: Sequence[Measured], libraries: Mapping[str, Library]) -> str:
    """Text of the result page below its head."""
    parts = [
        f"Every tile does {MACS} multiply-accumulates a cycle: two rows, and as many columns as that takes; a family "
        f"with several cycles a step has as many times the columns. Raw group sums of at most 128 products leave the "
        f"tile (mx: FP32, two post lanes). All tiles of a library run at its default clock "
        f"({', '.join(f'{name} {clock_of(name):g} ns' for name in libraries)}), with the cuts that the cost model "
        f"settles for it and mapped for it: the smallest netlist of each block that keeps it. The clock period in the "
        f"table is the shortest that came of that; throughput is at the clock, or at that where it is longer. "
        f"Pre-layout: no wires, no clock tree. Recipe and target move a block by up to a tenth: smaller differences "
        f"say nothing.",
        "Integer weights are unsigned with a zero point (bitmod: signed), so that int, lut and mixpe work on the same "
        "codes and have the activation sum of a row. A lut table serves as many columns as the tile has; with 64 of "
        "them its rows count for less (`ratios.md`). bitmod and the posit lane that splits are mapped for all their "
        "run-time modes.",
        f"Energy: operands of {LAYER} of SmolLM2-135M through the mapped netlist of a tile with {ENERGY_COLUMNS} "
        f"columns, every output beat compared with the reference; what rows, columns and cells spend is multiplied by "
        f"how many of them there are. No glitches. Blocks before the activation buffer (alignment of fp16) are in "
        f"neither area nor energy.",
        "![Area over energy](silicon.png)",
    ]
    header = [
        "weights",
        "activations",
        "family",
        "",
        "tile M×N×K, cycles a step",
        "cuts",
        "area [µm²]",
        "of it",
        "shortest clock period [ns]",
        "TMAC/s per mm²",
        "pJ/MAC",
    ]
    for name, library in libraries.items():
        parts += [
            f"## {name}",
            f"{library.name}, {library.voltage_v:g} V, {library.temperature_c:g} °C, SHA-256 {library.sha256[:16]}….",
            table(header, rows(one for one in found if one.library == name)),
        ]
    commits = {one.commit for one in found}
    if len(commits) > 1:
        several = (
            f"{', '.join(dict.fromkeys(one.family for one in found if one.commit == each))} at {each}"
            for each in sorted(commits)
        )
        parts.append(f"Measured at several commits: {'; '.join(several)}.")
    left = missing(found, libraries)
    return "\n\n".join([*parts, left] if left else parts)


def _csv(found: Sequence[Measured]) -> str:
    text = io.StringIO()
    names = [
        "library",
        "family",
        "bits",
        "acts",
        "note",
        "tile",
        "cycles_per_step",
        "cells",
        "area",
        "period_ns",
        "min_clk_period_ns",
        "cuts",
    ]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, "limited_by", "tmacs_per_mm2", "pj_per_mac"])
    for one in found:
        figures = [one.limited_by, f"{one.tmacs_per_mm2:.5g}", f"{one.energy:.4g}"]
        shown = [getattr(one, name) for name in names]
        writer.writerow([*(f"{value:.6g}" if isinstance(value, float) else value for value in shown), *figures])
    return text.getvalue()


def parser(prog: str, what: str) -> argparse.ArgumentParser:
    """Options of the reports that need both libraries."""
    made = argparse.ArgumentParser(prog=prog, description=what)
    for name in LIBRARIES:
        made.add_argument(f"--{name}", nargs="+", type=Path, metavar="FILE", help=f"Liberty files of {name}")
    return made


def libraries_of(options: argparse.Namespace) -> dict[str, Library]:
    """Libraries whose files were given, by name. Raises `HwgenError` without any."""
    given = {name: getattr(options, name) for name in LIBRARIES if getattr(options, name)}
    if not given:
        raise HwgenError("silicon: Liberty files must be given for sky130hd, asap7 or both")
    return {name: read_library(paths) for name, paths in given.items()}


def command_of(prog: str, options: argparse.Namespace) -> str:
    """The command, with names of files instead of paths."""
    given = [(name, getattr(options, name)) for name in LIBRARIES if getattr(options, name)]
    return " ".join([prog, *(f"--{name} {' '.join(path.name for path in paths)}" for name, paths in given)])


def write_by_library(
    path: Path,
    title: str,
    module: str,
    options: argparse.Namespace,
    run: Callable[[Mapping[str, Library], Callable[[str], None]], Mapping[str, Sequence[T]]],
    page: Callable[[Mapping[str, Sequence[T]], Mapping[str, float]], str],
) -> None:
    """Write what ``run`` measures in each library of the `parser`'s options, as ``page`` says it, told the clocks."""
    libraries = libraries_of(options)
    found = run(libraries, lambda line: print(line, file=sys.stderr, flush=True))
    body = page(found, {name: clock_of(name) for name in libraries})
    write_result(path, title, command_of(f"python -m {module}", options), body, provenance())


def _which(one: Measured) -> tuple[str, float, str, str, str]:
    """What of the table a figure is."""
    return one.family, one.bits, one.acts, one.note, one.library


def kept(path: Path) -> list[Measured]:
    """What an earlier run wrote, by `Measured.document`."""
    names = [field.name for field in dataclasses.fields(Measured)]
    return [Measured(**{name: one[name] for name in names}) for one in json.loads(path.read_text(encoding="utf-8"))]


def run(
    libraries: Mapping[str, Library],
    minutes: float,
    tell: Callable[[str], None],
    chosen: Sequence[str] = (),
    before: Sequence[Measured] = (),
) -> list[Measured]:
    """All designs in all libraries, or those that are done when so many minutes are over.

    Where families are ``chosen`` the designs of others, and what time was over for, are those measured ``before``.
    """
    operands = [layer_operands(LAYER)]
    found: list[Measured] = []
    end = time.monotonic() + 60 * minutes
    for design in TILES:
        what = design.family, design.bits, design.acts, design.note
        for name, library in libraries.items():
            over = time.monotonic() > end
            if over or (chosen and design.family not in chosen):
                found += [
                    one for one in before if (one.family, one.bits, one.acts, one.note, one.library) == (*what, name)
                ]
                continue
            one = measure(design, library, name, operands)
            tell(
                f"{name} {one.family} W{one.bits} {one.acts} {one.note}: {one.area:,.5g} um2, {one.period_ns:.3g} ns, "
                f"{one.energy:.3g} pJ/MAC"
            )
            found.append(one)
    return found


def missing(found: Iterable[Measured], libraries: Iterable[str]) -> str:
    """Sentence about what was not measured, empty where all was."""
    done = {(one.library, one.family, one.bits, one.acts, one.note) for one in found}
    left = [
        f"{design.family} W{design.bits} {design.acts} {design.note}".strip() + f" in {name}"
        for design in TILES
        for name in libraries
        if (name, design.family, design.bits, design.acts, design.note) not in done
    ]
    return f"Not measured yet, time was over: {'; '.join(left)}." if left else ""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page, its plot and its tables; a mistake is told in a sentence, with exit status 2."""
    prog = "python -m reports.silicon"
    made = parser(prog, "Write reports/results/silicon.md.")
    made.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many, and write what is done")
    made.add_argument(
        "--family", action="append", default=[], metavar="NAME", help="measure this one, keep what is known of others"
    )
    options = made.parse_args(arguments)
    facts = provenance()
    try:
        libraries = libraries_of(options)
        for name in options.family:
            family(name)
        before = kept(RESULT.with_suffix(".json")) if options.family else []
        found = run(libraries, options.minutes, lambda line: print(line, flush=True), options.family, before)
        save(figure(found), RESULT.with_suffix(".png"))
        document = json.dumps([one.document() for one in found], indent=1, ensure_ascii=False)
        write_atomic(RESULT.with_suffix(".json"), document + "\n", "silicon")
        write_atomic(RESULT.with_suffix(".csv"), _csv(found), "silicon")
        write_result(RESULT, "Silicon at equal throughput", command_of(prog, options), page(found, libraries), facts)
    except HwgenError as error:
        made.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
