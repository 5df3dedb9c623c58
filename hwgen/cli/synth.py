"""``hwgen synth``: area and timing of a tile with a Liberty library."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hwgen.cli._family import FamilyCommand
from hwgen.pe import TileSpec
from hwgen.synth import RECIPES, TileResult

__all__ = ["command"]


@click.command(cls=FamilyCommand)
@click.option(
    "--liberty",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Liberty file, plain or gzip; may be repeated (default: the project's generic library, in gate equivalents)",
)
@click.option("--clk-period-ns", type=float, default=1.0, show_default=True, help="target clock period")
@click.option("--flat", is_flag=True, help="also map the whole tile as one netlist (paths across blocks)")
@click.option("--recipe", "recipes", multiple=True, metavar="NAME", help=f"only these of {', '.join(RECIPES)}")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="child processes at a time")
@click.option("--timeout-s", type=float, default=600.0, show_default=True, help="longest time of one child")
@click.option("--netlist", type=click.Path(path_type=Path), metavar="FILE", help="write the mapped Verilog")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(
    spec: TileSpec,
    files: tuple[Path, ...],
    clk_period_ns: float,
    flat: bool,
    recipes: tuple[str, ...],
    jobs: int,
    timeout_s: float,
    netlist: Path | None,
    as_json: bool,
) -> None:
    """Synthesise a tile: `hwgen synth --pe lut --bits 2 --liberty cells.lib.gz`.

    Areas, flip-flops and the longest path of each block, the best of several recipes; pre-layout.
    """
    from rich.console import Console
    from rich.progress import Progress

    from hwgen.emit import write_atomic
    from hwgen.synth import generic_library, read_library, synthesise, tile_netlist

    library = read_library(files) if files else generic_library()
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"mapping {spec.family} to {library.name}", total=None)
        result = synthesise(
            spec,
            library,
            clk_period_ns=clk_period_ns,
            flat=flat,
            recipes=recipes or tuple(RECIPES),
            jobs=jobs,
            timeout_s=timeout_s,
            progress=lambda done, of: bar.update(task, completed=done, total=of),
        )
    if netlist is not None:
        write_atomic(netlist, tile_netlist(result), "netlist")
    if as_json:
        click.echo(json.dumps(result.document(), indent=2))
        return
    _print(result)


def _print(result: TileResult) -> None:
    from rich.console import Console
    from rich.table import Table

    unit = {"um2": "µm²", "GE": "GE"}[result.library.area_unit]
    table = Table(box=None, pad_edge=False)
    table.add_column("block")
    for heading in ("copies", f"one [{unit}]", f"all [{unit}]", "", "cells", "clock [ns]"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("recipe", no_wrap=True)
    whole = sum(block.area for block in result.blocks) or 1.0
    rows = [*result.blocks, *([result.flat] if result.flat else [])]
    for block in rows:
        table.add_row(
            block.kind,
            str(block.count),
            f"{block.mapped.area:,.1f}",
            f"{block.area:,.1f}",
            f"{block.area / whole:.1%}",
            f"{block.mapped.cells:,}",
            f"{block.min_clk_period_ns:.3f}",
            block.mapped.recipe,
        )
    library = result.library
    corner = f"{library.voltage_v:g} V, {library.temperature_c:g} °C"
    click.echo(f"library: {library.name} ({corner}, {len(library.cells)} cells)")
    Console().print(table)
    click.echo(f"tile: {result.area:,.1f} {unit}, {result.flip_flops:,} flip-flop bits")
    period = result.min_clk_period_ns
    verdict = "met" if result.meets else f"not met, best is {period:.3f} ns"
    target = f"target {result.target_clk_period_ns:g} ns {verdict}"
    click.echo(f"clock: {period:.3f} ns ({1000 / period:,.0f} MHz); {target}")
    click.echo(f"pre-layout, timed by ABC; {result.versions}")
