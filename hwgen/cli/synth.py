"""``hwgen synth``: area and timing of a tile with a Liberty library."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click

from hwgen.cli._fpga import run_fpga
from hwgen.cli._liberty import MappedCommand, liberty_option
from hwgen.cli._options import option_object
from hwgen.cli._table import Column, print_table
from hwgen.cli._tech import Clock
from hwgen.cli._values import OutputFile, OutputFolder
from hwgen.errors import HwgenError
from hwgen.pe import TileSpec
from hwgen.synth import NOISE, SynthOptions, TileResult
from hwgen.synth._sta import TimedTile
from hwgen.synth.fpga import VENDORS

__all__ = ["command"]


@click.command(cls=MappedCommand, epilog="Example: hwgen synth --pe int --m 1 --n 1 --k 4 --recipe plain --no-sta")
@liberty_option
@option_object(SynthOptions)
@click.option("--strict", is_flag=True, help="exit status 2 when the target is not met")
@click.option("--sta/--no-sta", default=None, help="also time with OpenSTA (default: where it is installed)")
@click.option("--netlist", type=OutputFile("Verilog"), metavar="FILE", help="write the mapped Verilog")
@click.option(
    "--sdc",
    "sdc_file",
    type=OutputFile("SDC"),
    metavar="FILE",
    help="write timing constraints, in the library's time unit",
)
@click.option(
    "--orfs",
    type=OutputFolder(),
    metavar="FOLDER",
    help="write a design folder for OpenROAD-flow-scripts: config.mk, constraint.sdc, Verilog",
)
@click.option("--fpga", metavar="NAME", help=f"estimate for an FPGA instead: {', '.join(VENDORS)}")
@click.option("--no-dsp", is_flag=True, help="with --fpga: multipliers in LUTs, not in DSP blocks")
@click.option(
    "--pnr/--no-pnr", default=None, help="with --fpga: place and route with nextpnr (default: where installed)"
)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(
    spec: TileSpec,
    clock: Clock,
    files: tuple[Path, ...],
    options: SynthOptions,
    strict: bool,
    sta: bool | None,
    netlist: Path | None,
    sdc_file: Path | None,
    orfs: Path | None,
    fpga: str | None,
    no_dsp: bool,
    pnr: bool | None,
    as_json: bool,
) -> None:
    """Synthesise a tile: `hwgen synth --pe lut --bits 2 --liberty cells.lib.gz`.

    Areas, flip-flops and the longest path of each block, the best of several recipes; pre-layout. What is done is
    kept: the same again is read from the cache, and a run that was interrupted goes on.

    With --fpga ecp5, ice40 or xilinx: LUTs, carries, flip-flops, DSP blocks and memories of the whole tile (or of each
    --block), and the clock frequency after place and route where nextpnr is installed.
    """
    from rich.console import Console
    from rich.progress import Progress

    from hwgen.emit import sdc
    from hwgen.files import write_all
    from hwgen.simulators import find, require
    from hwgen.synth import generic_library, read_library, synthesise, tile_netlist
    from hwgen.synth._layout import layout_files
    from hwgen.synth._sta import opensta

    options = replace(options, clk_period_ns=clock.target_ns)
    given = {
        "--liberty": files,
        "--fmax": options.fastest,
        "--strict": strict,
        "--flat": options.flat,
        "--recipe": options.recipes,
        "--sta": sta,
        "--netlist": netlist,
        "--sdc": sdc_file,
        "--orfs": orfs,
    }
    if fpga is not None:
        refused = [name for name, value in given.items() if value]
        if refused:
            raise HwgenError(f"synth: --fpga maps to a vendor's own cells and takes no {', '.join(refused)}")
        run_fpga(spec, fpga, options, not no_dsp, pnr, as_json)
        return
    if no_dsp or pnr is not None:
        raise HwgenError(f"synth: {'--no-dsp' if no_dsp else '--pnr and --no-pnr'} must come with --fpga")
    if sta:
        require("opensta")

    library = read_library(files) if files else generic_library()
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"mapping {spec.family} to {library.name}", total=None)
        result = synthesise(
            spec,
            library,
            options,
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )
    timed = opensta(result, options.timeout_s) if sta or (sta is None and find("opensta")) else None
    # Constraints ask for the target, or for what the search found.
    period_ns = result.min_clk_period_ns if options.fastest else options.clk_period_ns
    written: list[tuple[Path, str | bytes]] = []
    if netlist is not None:
        written.append((netlist, tile_netlist(result)))
    if sdc_file is not None:
        written.append((sdc_file, sdc(spec, f"{spec.family}_tile", period_ns, time_unit=library.time_unit)))
    if orfs is not None:
        written += [(orfs / name, text) for name, text in layout_files(spec, library, period_ns).items()]
    write_all(written, "synth", folders=[orfs] if orfs else [])
    if as_json:
        click.echo(json.dumps(result.document() | {"opensta": timed.document() if timed else None}, indent=2))
    else:
        _print(result, timed)
    if strict and not result.meets:
        raise HwgenError(
            f"synth: {spec.family} must meet {options.clk_period_ns:g} ns, but its best clock period is "
            f"{result.min_clk_period_ns:.3f} ns ({result.slowest.kind})"
        )


def _print(result: TileResult, timed: TimedTile | None) -> None:
    library, period = result.library, result.min_clk_period_ns
    if not result.meets:
        click.echo(
            f"the clock of {result.target_clk_period_ns:g} ns cannot be met: the best is {period:.3f} ns "
            f"({result.slowest.kind})"
        )
    corner = f"{library.voltage_v:g} V, {library.temperature_c:g} °C"
    click.echo(f"library: {library.name} ({corner}, {len(library.cells)} cells)")
    unit = {"um2": "µm²", "GE": "GE"}[library.area_unit]
    _table(result, unit)
    if timed is not None and timed.parts:
        _timed_table(timed)
    what = "tile" if not result.kinds else ", ".join(result.kinds)
    click.echo(f"{what}: {result.area:,.1f} {unit}, {result.flip_flops:,} flip-flop bits")
    if result.from_cache:
        click.echo(f"{result.from_cache} of {result.mappings} mappings from the cache")
    click.echo(f"pre-layout, timed by ABC; mapping moves areas and periods by some {NOISE:.0%}; {result.versions}")
    if result.max_frequency_mhz is not None:
        tried = len({(one.kind, one.aim_ns) for one in result.tries})
        click.echo(f"highest frequency: {result.max_frequency_mhz:,.0f} MHz ({period:.3f} ns), {tried} targets tried")
    frequency = f" ({1000 / period:,.0f} MHz)" if period else ""
    verdict = "met" if result.meets else f"not met, best is {period:.3f} ns ({result.slowest.kind})"
    click.echo(f"clock: {period:.3f} ns{frequency}; target {result.target_clk_period_ns:g} ns {verdict}")


_TIMED = ("part", "clock [ns]", "from", "to")


def _timed_table(timed: TimedTile) -> None:
    """OpenSTA's figures, in a table of their own."""
    click.echo(f"\nthe same netlists timed by OpenSTA {timed.version}, the tile with all its blocks; no wires")
    columns = [Column(name, right=name.startswith("clock"), fold=name in ("from", "to")) for name in _TIMED]
    print_table(
        columns,
        [(part.kind, f"{part.min_clk_period_ns:.3f}", part.startpoint, part.endpoint) for part in timed.parts],
    )
    click.echo("")


def _table(result: TileResult, unit: str) -> None:
    numbers = ("copies", f"each [{unit}]", "all", "cells", "FF bits", "clock [ns]")
    columns = [Column("block", right=False), *map(Column, numbers), Column("recipe", right=False)]
    rows = []
    whole = sum(block.area for block in result.blocks) or 1.0
    for block in [*result.blocks, *([result.flat] if result.flat else [])]:
        cells = (
            block.kind,
            str(block.count),
            f"{block.mapped.area:,.1f}",
            f"{block.area / whole:.1%}",
            f"{block.mapped.cells:,}",
            f"{block.flip_flops(result.library) // block.count:,}",
            f"{block.min_clk_period_ns:.3f}",
            block.mapped.recipe,
        )
        rows.append(cells)
    print_table(columns, rows)
