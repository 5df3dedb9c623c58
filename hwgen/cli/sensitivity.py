"""``hwgen sensitivity``: how far the front of a finished sweep depends on its costs, and on the model's own errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from hwgen.cli._layer import needs
from hwgen.cli._progress import bars
from hwgen.cli._sweep_options import objectives_option
from hwgen.cli._table import Column, Sheet, format_option
from hwgen.cli._values import InputFile, Number, Whole

if TYPE_CHECKING:
    from dse.sensitivity import Move, Standing
    from dse.stored import StoredSweep

__all__ = ["command"]


@click.command(epilog="Example: hwgen sensitivity points.parquet")
@click.argument("sweep", type=InputFile(folders=True), metavar="SWEEP")
@click.option(
    "--by",
    "percent",
    type=Number(0.0, 99.0),
    default=30.0,
    show_default=True,
    metavar="PERCENT",
    help="how much smaller and larger each cost is made, one at a time",
)
@click.option(
    "--error",
    type=click.Choice(("largest", "median")),
    default="largest",
    show_default=True,
    help="which of the errors on designs that no calibration measured points are compared within",
)
@objectives_option
@click.option("--points", is_flag=True, help="with --format csv or tsv: the points of the front, not the costs")
@click.option("--top", type=Whole(), default=20, show_default=True, help="points of the front to print")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@format_option
def command(
    sweep: Path,
    percent: float,
    error: str,
    objectives: tuple[str, ...],
    points: bool,
    top: int,
    as_json: bool,
    form: str,
) -> None:
    """Say how the front of a sweep moves if its costs are others: SWEEP is what `hwgen sweep -o` wrote.

    Area, energy and clock period are made smaller and larger by --by per cent: all of them, those of each block that
    rows tell apart, of each family, of each technology. How many points stay on the front, leave and enter it, and
    which picks of `hwgen pareto` become others. A point at a named clock whose period grows beyond it leaves.

    Then each point of the front under the errors that the model states of itself: robust, or within the error of
    another point, if every point errs by itself (independent), or even if all tiles of a family err alike (common); and
    what places along each objective the independent errors leave it.

    Points that may enter are looked for among those that are stored: `hwgen sweep --store all` keeps all.
    """
    needs("sensitivity", "dse", "pandas", "pyarrow", "moocore")
    from dse.picks import each_workload
    from dse.sensitivity import changes, moves, standings
    from dse.stored import open_sweep

    stored = open_sweep(sweep)
    if objectives:
        stored = stored.by(tuple(dict.fromkeys(objectives)))
    with bars(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()) as bar:
        task = bar.add_task("costs", total=len(changes(stored, percent / 100)) * len(each_workload(stored.front)))
        moved = list(bar.track(moves(stored, percent / 100), task_id=task))
        task = bar.add_task("errors", total=len(stored.front))

        def watch(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        standing, entering = standings(stored, largest=error == "largest", progress=watch)
    if as_json:
        click.echo(json.dumps(_document(stored, percent, error, moved, standing, entering), indent=2))
        return
    sheet = Sheet(form)
    several = len(entering) > 1
    if form == "text" or not points:
        _print_moves(sheet, moved, several=several)
    if form == "text":
        sheet.say()
    if form == "text" or points:
        _print_points(sheet, standing[:top] if form == "text" else standing, stored.objectives, several=several)
    _say(sheet, stored, error, standing, entering, top)


def _pick(pair: tuple[int, int | None]) -> str:
    return f"{pair[0]} → {'none' if pair[1] is None else pair[1]}"


def _factor(move: Move) -> str:
    return f"{100 * (move.change.factor - 1):+.3g} %"


def _print_moves(sheet: Sheet, moved: Sequence[Move], *, several: bool) -> None:
    picks = list(moved[0].picks)
    heads = [
        Column("cost", right=False),
        Column("by"),
        Column("stay"),
        Column("leave"),
        Column("late"),
        Column("enter"),
    ]
    heads += [Column("knee" if name == "knee" else f"best {name}") for name in picks]
    rows: list[list[object]] = []
    for one in moved:
        changed = one.changed_picks
        counts = [one.stayed, len(one.left), one.late, len(one.entered)]
        rows.append(
            [
                *([one.workload] if several else []),
                one.change.cost,
                _factor(one),
                *counts,
                *(_pick(changed[name]) if name in changed else "" for name in picks),
            ]
        )
    sheet.table([*([Column("workload", right=False)] if several else []), *heads], rows)


def _print_points(sheet: Sheet, standing: Sequence[Standing], objectives: Sequence[str], *, several: bool) -> None:
    heads = [Column("point"), Column("standing", right=False), Column("independent: beaten by")]
    heads += [Column("common: beaten by"), *(Column(f"place by {name}") for name in objectives)]
    heads += [Column("remarks", right=False)]
    rows: list[list[object]] = []
    for one in standing:
        remarks = ["extrapolated"] * one.extrapolated + ["may miss its clock"] * one.clock
        rows.append(
            [
                *([one.workload] if several else []),
                one.point,
                one.verdict,
                "" if one.independent is None else one.independent,
                "" if one.common is None else one.common,
                *(_place(one.ranks[name]) for name in objectives),
                ", ".join(remarks),
            ]
        )
    sheet.table([*([Column("workload", right=False)] if several else []), *heads], rows)


def _place(rank: tuple[int, int, int]) -> str:
    own, best, worst = rank
    return f"{own}" if best == worst else f"{own} ({best} to {worst})"


def _say(
    sheet: Sheet,
    stored: StoredSweep,
    error: str,
    standing: Sequence[Standing],
    entering: dict[str, tuple[int, int]],
    top: int,
) -> None:
    from dse.search import search_words
    from dse.sensitivity import known_points, unstated

    verdicts = [one.verdict for one in standing]
    counts = {name: verdicts.count(name) for name in dict.fromkeys(verdicts)}
    words = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    sheet.say(
        f"{len(standing):,} points on the front of {', '.join(stored.objectives)}: {words} (within the model's {error} "
        f"error on held-out designs); {min(top, len(standing)):,} shown"
    )
    for name, (independent, common) in entering.items():
        where = f" of {name}" if len(entering) > 1 else ""
        sheet.say(
            f"{independent:,} other points{where} may be on the front if errors are independent, {common:,} if common "
            "to a family"
        )
    if missing := unstated(stored):
        sheet.say(f"no error is stated of {', '.join(missing)}, which count as exact")
    if stored.points is None:
        sheet.say(
            f"points that enter are among the {len(known_points(stored)):,} that are stored of {stored.count:,}; "
            "hwgen sweep --store all keeps all"
        )
    if searched := search_words(stored.metadata):
        sheet.say(searched)


def _document(
    stored: StoredSweep,
    percent: float,
    error: str,
    moved: Sequence[Move],
    standing: Sequence[Standing],
    entering: dict[str, tuple[int, int]],
) -> dict[str, Any]:
    from dse.sensitivity import known_points, unstated

    return {
        "objectives": list(stored.objectives),
        "by_percent": percent,
        "error": error,
        "stored_points": len(known_points(stored)),
        "points": stored.count,
        "changes": [
            {
                "workload": one.workload,
                "cost": one.change.cost,
                "quantity": one.change.quantity,
                "block": one.change.block,
                "pe": one.change.family,
                "tech": one.change.tech,
                "factor": one.change.factor,
                "stayed": one.stayed,
                "left": list(one.left),
                "late": one.late,
                "entered": list(one.entered),
                "picks": {name: list(pair) for name, pair in one.picks.items()},
            }
            for one in moved
        ],
        "front": [
            {
                "workload": one.workload,
                "point": one.point,
                "standing": one.verdict,
                "independent": one.independent,
                "common": one.common,
                "places": {name: list(rank) for name, rank in one.ranks.items()},
                "extrapolated": one.extrapolated,
                "may_miss_clock": one.clock,
            }
            for one in standing
        ],
        "may_enter": {name: {"independent": a, "common": b} for name, (a, b) in entering.items()},
        "no_error_stated": unstated(stored),
    }
