"""``hwgen energy``: energy of a tile from the switching of its mapped netlist on layers of a real model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwgen.cli._layer import needs
from hwgen.cli._level import accelerator_level
from hwgen.cli._liberty import MappedLevelCommand, liberty_option, say_left_out
from hwgen.cli._progress import bars
from hwgen.cli._reset import RESET, reset_options
from hwgen.cli._table import Column, print_table
from hwgen.cli._tech import Clock
from hwgen.cli._values import Text, Whole
from hwgen.emit import Reset
from hwgen.pe import TileSpec
from hwgen.synth import RECIPES

if TYPE_CHECKING:
    from sim.energy import EnergyReport, GlitchReport

__all__ = ["command"]


@click.command(
    cls=MappedLevelCommand,
    levels={"accelerator": accelerator_level(without=("layers", "cycles", "glitches", *RESET))},
    epilog="Example: hwgen energy --pe int --m 1 --n 1 --k 4 --recipe plain --layer blk.0.attn_k --streams 8",
)
@liberty_option
@click.option(
    "--layer",
    "layers",
    multiple=True,
    type=Text(),
    metavar="NAME",
    help="layer of the default model whose operands are used; may be repeated (default: three, early, middle and late)",
)
@click.option("--streams", type=Whole(most=2**20), default=256, show_default=True, help="tile positions at a time")
@click.option("--cycles", type=Whole(most=2**20), default=128, show_default=True, help="length of a stream, about")
@click.option("--glitches", is_flag=True, help="also runs with unit delays and with the library's (half a minute)")
@click.option("--recipe", "recipes", multiple=True, metavar="NAME", help=f"map by these only: {', '.join(RECIPES)}")
@reset_options
@click.option("--jobs", type=Whole(most=4096), default=1, show_default=True, help="child processes at a time")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(
    spec: TileSpec,
    values: dict[str, Any] | None,
    clock: Clock,
    files: tuple[Path, ...],
    layers: tuple[str, ...],
    streams: int,
    cycles: int,
    glitches: bool,
    recipes: tuple[str, ...],
    reset: Reset,
    jobs: int,
    as_json: bool,
) -> None:
    """Energy of a tile from switching: `hwgen energy --pe lut --bits 2 --liberty cells.lib.gz`.

    The tile is mapped as `hwgen synth` maps it, its netlist runs layers of a real model and is compared with the
    reference in every beat, and every toggle is counted. Pre-layout: no wires, no clock tree.

    With --level accelerator: the netlist of the whole accelerator, memories left out, runs a small job on random
    operands, in as many streams; its cycles are compared with the cycle model.
    """
    if values is not None:
        _accelerator(spec, values, clock, files, recipes, streams, jobs, as_json)
        return
    needs("energy", "sim", "torch")

    from hwgen.synth import SynthOptions, generic_library, read_library, synthesise
    from sim.energy import LAYERS, layer_operands, measure_energy, measure_glitches

    library = read_library(files) if files else generic_library()
    say_left_out(library)
    with bars() as bar:
        # First what is refused at once: a model that is not there, a layer that it does not have.
        task = bar.add_task("reading layers", total=None)
        operands = [layer_operands(name) for name in layers or LAYERS]
        bar.update(task, description=f"mapping {spec.family} to {library.name}")
        result = synthesise(
            spec,
            library,
            options=SynthOptions(clk_period_ns=clock.target_ns, recipes=recipes or tuple(RECIPES), jobs=jobs),
            reset=reset,
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )
        bar.update(task, description="counting toggles")
        report = measure_energy(spec, result=result, operands=operands, streams=streams, cycles=cycles)
        found = None
        if glitches:
            bar.update(task, description="counting glitches")
            found = measure_glitches(spec, result=result, operands=operands, cycles=cycles)
    if as_json:
        click.echo(json.dumps(report.document() | {"glitches": found.document() if found else None}, indent=2))
        return
    _print(report, found)


def _accelerator(
    spec: TileSpec,
    values: dict[str, Any],
    clock: Clock,
    files: tuple[Path, ...],
    recipes: tuple[str, ...],
    streams: int,
    jobs: int,
    as_json: bool,
) -> None:
    """Map an accelerator, run a job on it and print what its blocks spend."""

    from hwgen.accelerator import Design
    from hwgen.synth import SynthOptions, generic_library, read_library
    from hwgen.synth.accelerator import synthesise_accelerator
    from sim.accelerator.energy import measure_random_job

    design = Design.from_values(spec, values)
    library = read_library(files) if files else generic_library()
    say_left_out(library)
    with bars() as bar:
        task = bar.add_task(f"mapping {spec.family} accelerator to {library.name}", total=None)
        result = synthesise_accelerator(
            design,
            library,
            SynthOptions(clk_period_ns=clock.target_ns, recipes=recipes or tuple(RECIPES), jobs=jobs),
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )
        bar.update(task, description="running a job")
        found = measure_random_job(result, streams=streams)
    document = found.document(result.target_clk_period_ns)
    if as_json:
        click.echo(json.dumps(document, indent=2))
        return
    click.echo(f"library: {library.name} ({library.voltage_v:g} V), clock period {result.target_clk_period_ns:g} ns")
    job = found.job
    click.echo(
        f"job: {job.m_blocks} x {job.n_blocks} blocks of {job.k_steps} steps, {found.streams} streams of random data; "
        f"{found.cycles.cycles} cycles, as the cycle model says, and results equal to the reference"
    )
    columns = [
        Column("block", right=False),
        *map(Column, ("clock [pJ]", "switching [pJ]", "leakage [pJ]", "all [pJ]", "")),
    ]
    whole = document["energy_pj"]
    rows = [
        (name, *(f"{one[part]:.4g}" for part in ("clock", "switching", "leakage", "all")), f"{one['all'] / whole:.1%}")
        for name, one in document["blocks"].items()
    ]
    print_table(columns, [*rows, ("total", "", "", "", f"{whole:.4g}", "")], bold_last=True)
    accesses = ", ".join(f"{name} {reads} reads and {found.writes[name]} writes" for name, reads in found.reads.items())
    click.echo(f"memories, not counted: {accesses}")
    click.echo(f"pre-layout: no wires, no clock tree; zero delay: no glitches; {result.versions}")


def _print(report: EnergyReport, glitches: GlitchReport | None) -> None:
    cycles, period = report.cycles_per_step, report.clk_period_ns
    parts_of = ("clock [pJ]", "registers [pJ]", "gates [pJ]", "leakage [pJ]", "all [pJ/step]", "")
    columns = [Column("block", right=False), Column("copies"), *map(Column, parts_of)]
    shown = []
    rows = [
        (
            block.kind,
            str(block.count),
            block.clock_pj_per_cycle * cycles,
            block.register_pj_per_step,
            block.combinational_pj_per_step,
            block.leakage_nw * period * 1e-6 * cycles,
            block.step_pj(cycles, period),
        )
        for block in report.blocks
    ]
    for name, count, *parts in rows:
        share = f"{parts[-1] / report.pj_per_step:.1%}"
        shown.append((name, count, *(f"{part:.3g}" for part in parts), share))
    totals = (
        report.clock_pj_per_step,
        report.register_pj_per_step,
        report.combinational_pj_per_step,
        report.leakage_pj_per_step,
        report.pj_per_step,
    )
    shown.append(("total", "", *(f"{part:.3g}" for part in totals), ""))
    click.echo(f"library: {report.library} ({report.voltage_v:g} V), clock period {period:g} ns")
    click.echo(
        f"operands: {', '.join(report.layers)}; {report.streams} streams of {report.steps} steps, "
        f"{report.vectors:,} vectors; outputs equal the reference in every beat"
    )
    print_table(columns, shown, bold_last=True)
    click.echo(
        f"a step of {cycles:g} cycle{'s' if cycles != 1 else ''}, {report.macs_per_step} MACs: "
        f"{report.pj_per_step:.4g} pJ, {report.pj_per_mac:.4g} pJ/MAC; an idle cycle: {report.idle_pj_per_cycle:.3g} pJ"
    )
    if report.pre_blocks:
        beats = ", ".join(f"{block.kind} {block.step_pj(1, period):.3g}" for block in report.pre_blocks)
        click.echo(f"before the activation buffer, pJ a beat: {beats}")
    if glitches is not None:
        words = (("unit", "unit delays"), ("timed", "the library's delays"), ("timed_raw", "no pulse swallowed"))
        said = ", ".join(f"{glitches.factor(name):.2f} ({what})" for name, what in words)
        click.echo(f"gates with glitches, times as much: {said}")
    click.echo(f"pre-layout: no wires, no clock tree; zero delay: no glitches; {report.versions}")
