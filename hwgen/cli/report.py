"""``hwgen report``: a sweep as a page, a figure, a table."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwgen.cli._layer import needs
from hwgen.cli._progress import bars
from hwgen.cli._sweep_options import objectives_option
from hwgen.cli._values import InputFile, OutputFile, Text, Whole
from hwgen.errors import HwgenError

if TYPE_CHECKING:
    from dse.stored import StoredSweep

__all__ = ["command"]

_MOST_POINTS = 20_000


@click.command(epilog="Example: hwgen report points.parquet -o report.html")
@click.argument("sweep", type=InputFile(folders=True), metavar="SWEEP")
@click.option(
    "-o", "--output", type=OutputFile("HTML", need_suffix=True), metavar="FILE", help="page: one file, opened offline"
)
@click.option(
    "--figure",
    "figure_file",
    type=OutputFile("PDF", "SVG", "PNG", need_suffix=True),
    metavar="FILE",
    help="the front as a figure for a paper: .pdf, .svg or .png",
)
@click.option(
    "--columns",
    type=click.Choice(("1", "2")),
    default="1",
    show_default=True,
    help="width of the figure in columns of a page: 3.5 or 7.16 inches",
)
@click.option(
    "--table",
    "table_file",
    type=OutputFile("Markdown", "CSV", "LaTeX", need_suffix=True),
    metavar="FILE",
    help="the front as a table: .md, .tex (booktabs) or .csv",
)
@objectives_option
@click.option(
    "--points",
    type=Whole(10, _MOST_POINTS),
    default=3000,
    show_default=True,
    metavar="N",
    help="points on the page: fronts first, then a sample of the others; fewer where the page would be over 6 MB",
)
@click.option(
    "--workload",
    type=Text(),
    metavar="NAME",
    help="workload that is shown, by its name or a part of it, where a sweep has several (default: the first)",
)
@click.option("--title", type=Text(), metavar="TEXT", help="title of the page (default: the workload, or the layers)")
@click.option(
    "--tech",
    "techs",
    multiple=True,
    metavar="FILE",
    help="file of `hwgen calibrate` that the sweep was made with, if it has moved; once for each",
)
def command(
    sweep: Path,
    output: Path | None,
    figure_file: Path | None,
    columns: str,
    table_file: Path | None,
    objectives: tuple[str, ...],
    points: int,
    workload: str | None,
    title: str | None,
    techs: tuple[str, ...],
) -> None:
    """Show a sweep: `hwgen sweep … -o points.parquet`, then `hwgen report points.parquet -o report.html`.

    The page is one file that needs no network: a scatter plot of any two or three columns, parallel coordinates,
    filters by family and format, limits, a table, and each point taken apart by block and layer with the command that
    makes it. The view is in its address, so that a link shows what you see. It holds whole fronts and a sample of the
    other points.
    """
    if not (output or figure_file or table_file):
        raise HwgenError("report: must be given -o FILE.html, --figure FILE or --table FILE")
    needs("report", "dse", "pandas", "pyarrow", "moocore", "matplotlib")
    from dse.stored import open_sweep
    from hwgen.files import write_all
    from reports import table

    whole = open_sweep(sweep)
    stored = whole.of(workload)
    if objectives:
        stored = stored.by(tuple(dict.fromkeys(objectives)))
    files: list[tuple[Path, str | bytes]] = []
    if figure_file:
        from reports.page.figure import front_figure, picture

        about = [f"{name}: {stored.metadata[name]}" for name in ("command", "commit", "status")]
        files.append((figure_file, picture(front_figure(stored, int(columns)), figure_file, about)))
    if table_file:
        shown = table.columns_of(stored.front, stored.objectives)
        files.append((table_file, table.text(stored.front, table_file, shown)))
    said = ""
    if output:
        page, said = _page(stored, points, title, techs)
        files.append((output, page))
    write_all(files, "report")
    if workload is None and len(whole.workloads) > 1:
        others = "; ".join(whole.workloads[1:])
        click.echo(
            f"of {len(whole.workloads)} workloads the first, {stored.workload}; --workload shows {others}", err=True
        )
    if said:
        click.echo(said)
    for path, _ in files:
        click.echo(f"wrote {path}")


def _page(stored: StoredSweep, points: int, title: str | None, techs: tuple[str, ...]) -> tuple[str, str]:
    """The page, and what it shows in words; with half the points, and half of those, until it is small enough."""
    from reports.page.html import MOST_BYTES, page_html
    from reports.page.model import page_model
    from sim.tech import load

    words = shlex.join(["hwgen", *sys.argv[1:]])
    tables = [load(tech) for tech in techs]
    with bars() as bar:
        tasks: dict[str, object] = {}

        def watch(what: str, done: int, of: int) -> None:
            task = tasks.setdefault(what, bar.add_task(what, total=of))
            bar.update(task, completed=done, total=of)  # type: ignore[arg-type]

        while True:
            model = page_model(stored, most=points, command=words, title=title, techs=tables, progress=watch)
            page = page_html(model)
            size = len(page.encode())
            if size <= MOST_BYTES or points <= 10:
                break
            points = max(10, int(model["counts"]["shown"] * min(0.95 * MOST_BYTES / size, 0.9)))
    counts = model["counts"]
    front = len(model["front"])
    part = "" if front == counts["front"] else f" of {counts['front']:,}"
    said = (
        f"{counts['shown']:,} of {counts['points']:,} points, {front:,}{part} of them the front of "
        f"{', '.join(model['objectives'])}; {size / 1e6:.1f} MB"
    )
    return page, said
