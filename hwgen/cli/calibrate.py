"""``hwgen calibrate``: measure a cell library and write the technology table that estimates and sweeps use."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwgen.cli._layer import needs
from hwgen.cli._liberty import liberty_option, say_left_out
from hwgen.cli._options import option_object
from hwgen.cli._progress import bars
from hwgen.cli._table import Column, print_table
from hwgen.cli._values import OutputFile
from hwgen.options import CalibrateOptions

if TYPE_CHECKING:
    from sim.calibrate import Calibration

__all__ = ["command"]


@click.command(epilog="Example: hwgen calibrate --pe int --tiles 4 -o mine.toml")
@liberty_option
@click.option(
    "-o",
    "--output",
    type=OutputFile("TOML", need_suffix=True, expand=lambda path: (path, path.with_suffix(".csv"))),
    required=True,
    metavar="FILE.toml",
    help="table; the measurements go to FILE.csv beside it",
)
@option_object(CalibrateOptions)
def command(
    files: tuple[Path, ...],
    output: Path,
    options: CalibrateOptions,
) -> None:
    """Calibrate the cost model: `hwgen calibrate --liberty cells.lib.gz -o mine.toml`, then `--tech mine.toml`.

    Maps the blocks of planned tiles of every family, simulates them on layers of the default model, and fits areas,
    energies and clock periods. Takes an hour or more for all families, minutes with --quick, which measures a few tiles
    and scales what is known of other libraries by them; an interrupted run goes on where it stopped.
    """
    needs("calibrate", "sim", "scipy", "torch")
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from hwgen.synth import generic_library, read_library
    from sim.calibrate import calibrate

    library = read_library(files) if files else generic_library()
    say_left_out(library)
    columns = TextColumn("measuring"), BarColumn(), MofNCompleteColumn(), TextColumn("tiles"), TimeRemainingColumn()
    with bars(*columns) as bar:
        task = bar.add_task("measuring", total=None)
        done = calibrate(
            library,
            output,
            options,
            # Names alone: where somebody's files lie says nothing.
            command=shlex.join(["hwgen", *(Path(word).name for word in sys.argv[1:])]),
            progress=lambda count, of: bar.update(task, completed=count, total=of),
        )
    _print(done)


def _print(done: Calibration) -> None:
    cached = f", {done.from_cache} of them from an earlier run" if done.from_cache else ""
    said = f"{done.measurements} measurements of {done.tiles} tiles"
    click.echo(f"{said}{cached}; median error of blocks left out of the fit:")
    rows = []
    quantities = ("area_um2", "min_clk_period_ns", "active_pj", "clock_pj")
    columns = [
        *(Column(name, right=False) for name in ("family", "block")),
        *map(Column, ("area", "period", "energy at work", "clock energy")),
    ]
    for name, kinds in done.left_out.items():
        for kind, errors in kinds.items():
            if errors:
                rows.append((name, kind, *(f"{errors[q]:.1%}" if q in errors else "" for q in quantities)))
    print_table(columns, rows)
    for path in done.files:
        click.echo(f"wrote {path}")
