"""``hwgen pareto``: points of a finished sweep's front, and the commands that make them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hwgen.cli._layer import needs
from hwgen.cli._table import Column, Sheet, format_option
from hwgen.cli._values import InputFile, Whole
from hwgen.errors import HwgenError

if TYPE_CHECKING:
    import pandas as pd

    from dse.stored import StoredSweep
    from dse.where import Condition

__all__ = ["command"]


@click.command(epilog="Example: hwgen pareto points.parquet --knee")
@click.argument("sweep", type=InputFile(folders=True), metavar="SWEEP")
@click.option("--knee", is_flag=True, help="the point from which every objective costs most to improve")
@click.option(
    "--cheapest",
    metavar="COLUMN",
    help="the point with the smallest COLUMN, of all points where they are stored, else of the front; -COLUMN: the "
    "greatest",
)
@click.option("--point", "number", type=Whole(0, 2**62), metavar="N", help="the point of a number (column point)")
@click.option(
    "--where",
    "conditions",
    multiple=True,
    metavar="CONDITION",
    help="only points that meet it, e.g. 'latency_us <= 100'; may be repeated",
)
@click.option("--top", type=Whole(), default=20, show_default=True, help="points to print")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@format_option
def command(
    sweep: Path,
    knee: bool,
    cheapest: str | None,
    number: int | None,
    conditions: tuple[str, ...],
    top: int,
    as_json: bool,
    form: str,
) -> None:
    """List the front of a sweep, or pick points of it: SWEEP is what `hwgen sweep -o` wrote, a folder or a .parquet.

    A picked point comes with the commands that estimate it and emit it. Workloads have a front each, and a pick each.
    """
    needs("pareto", "dse", "pandas", "pyarrow", "moocore")
    from dse.picks import by_number
    from dse.stored import open_sweep
    from dse.where import parse_condition

    if knee + (cheapest is not None) + (number is not None) > 1:
        raise HwgenError("pareto: one of --knee, --cheapest and --point must be given, not several")
    if number is not None and conditions:
        raise HwgenError("pareto: --where picks among points, --point names one: give one of them")
    wanted = [parse_condition(text) for text in conditions]
    stored = open_sweep(sweep)
    if number is not None:
        rows, picked = by_number(stored, number), True
    elif knee or cheapest is not None:
        rows, picked = _picked(stored, cheapest, wanted), True
    else:
        rows, picked = _meeting(stored.front, wanted, "of the front"), False
    commands = [_commands(stored, row) for row in rows.to_dict("records")] if picked else []
    if as_json:
        click.echo(json.dumps(_document(stored, rows, commands, top), indent=2))
    else:
        _print(stored, rows, commands, top, Sheet(form))


def _meeting(points: pd.DataFrame, conditions: Sequence[Condition], what: str) -> pd.DataFrame:
    from dse.picks import meeting

    found = meeting(points, conditions)
    if not len(found):
        raise HwgenError(f"pareto: none of the {len(points):,} points {what} meets {_all(conditions)}")
    return found


def _all(conditions: Sequence[Condition]) -> str:
    return " and ".join(repr(one.text) for one in conditions)


def _picked(stored: StoredSweep, cheapest: str | None, conditions: Sequence[Condition]) -> pd.DataFrame:
    """One point of each workload."""
    import pandas as pd

    from dse.picks import best_in, each_workload, knee

    points, what = stored.front, "of the front"
    if cheapest is not None and stored.points is not None:
        points, what = stored.points, "stored"
    found = []
    for own in each_workload(_meeting(points, conditions, what)):
        place = knee(own, stored.objectives) if cheapest is None else best_in(own, cheapest)
        found.append(own.iloc[[place]])
    return pd.concat(found)


def _commands(stored: StoredSweep, row: dict[str, Any]) -> dict[str, str]:
    from dse.command import point_commands, tech_of
    from hwgen.schedule import Layer

    about = stored.metadata
    name, tech = tech_of(str(row.get("tech", about["tech"])), about["command"])
    layers = stored.layers
    if "workload" in row:
        layers = tuple(Layer(**one) for one in about["workloads"][str(row["workload"])])
    return point_commands(row, about["level"], name, tech, layers, own_clock=None in about["clk_period_ns"])


def _columns(stored: StoredSweep, rows: pd.DataFrame) -> list[str]:
    from reports.table import columns_of

    shown = [name for name in columns_of(stored.front, stored.objectives) if name in rows]
    return [*(["point"] if "point" in rows else []), *shown]


def _document(stored: StoredSweep, rows: pd.DataFrame, commands: Sequence[dict[str, str]], top: int) -> dict[str, Any]:
    return {
        "sweep": str(stored.path),
        "objectives": list(stored.objectives),
        "front_points": len(stored.front),
        "points": json.loads(rows.head(top).to_json(orient="records")),
        "commands": list(commands[:top]),
    }


def _print(stored: StoredSweep, rows: pd.DataFrame, commands: Sequence[dict[str, str]], top: int, sheet: Sheet) -> None:
    import pandas as pd

    from dse.search import search_words
    from reports.table import format_cell

    columns = _columns(stored, rows)
    heads = [Column(name, right=pd.api.types.is_numeric_dtype(rows[name])) for name in columns]
    # A file's rows are known by their place.
    placed = "point" not in rows
    if placed:
        heads.insert(0, Column("point"))
    shown = [
        [*([index] if placed else []), *(row[name] for name in columns)] for index, row in rows.head(top).iterrows()
    ]
    sheet.table(heads, shown, format_cell)
    if not commands:
        sheet.say(
            f"{len(rows):,} of the {len(stored.front):,} points of the front of {', '.join(stored.objectives)}; "
            f"{min(top, len(rows)):,} shown; {stored.count:,} points are legal"
        )
    for one in commands[:top]:
        for text in one.values():
            sheet.say(text)
    about = stored.metadata
    if words := search_words(about):
        sheet.say(words)
    sheet.say(f"areas, energies and periods are {about['status']} ({about['tech']}); cycles are {about['cycles']}")
