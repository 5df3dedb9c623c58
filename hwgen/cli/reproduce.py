"""``hwgen reproduce``: published numbers beside ours, from the committed results or measured again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hwgen.cli._layer import needs
from hwgen.cli._liberty import liberty_option, say_left_out
from hwgen.cli._progress import bars
from hwgen.cli._table import Column, Sheet, format_option
from hwgen.cli._values import OutputFile, Text
from hwgen.errors import HwgenError
from hwgen.files import write_atomic

if TYPE_CHECKING:
    from reports.scoreboard.board import Board, Row
    from reports.scoreboard.number import Paper

__all__ = ["command"]

_NAMES = ("number", "what", "published", "ours", "ratio", "verdict", "basis", "switches", "why they differ")
_FOLDED = ("what", "switches", "why they differ")


@click.command(epilog="Example: hwgen reproduce mixpe")
@click.argument("names", metavar="[PAPER]...", nargs=-1, type=Text())
@click.option("--list", "listed", is_flag=True, help="list the papers, and end")
@click.option("--rerun", is_flag=True, help="measure again what this machine can, in place of the committed results")
@liberty_option
@click.option(
    "--tech",
    metavar="NAME",
    help="with --rerun: technology that sets clock and registers, or a .toml of `hwgen calibrate` (default: the one "
    "that was calibrated on the library)",
)
@click.option(
    "--only",
    "bases",
    multiple=True,
    type=Text(),
    metavar="BASIS",
    help="only numbers of this basis, such as synthesis, energy, fpga, accuracy or cycles; may be repeated",
)
@click.option("-o", "--output", type=OutputFile("JSON", need_suffix=True), metavar="FILE.json", help="write JSON, too")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@format_option
def command(
    names: tuple[str, ...],
    listed: bool,
    rerun: bool,
    files: tuple[Path, ...],
    tech: str | None,
    bases: tuple[str, ...],
    output: Path | None,
    as_json: bool,
    form: str,
) -> None:
    """Print numbers of papers beside ours: published, ours, their ratio, what stands behind ours, why both differ.

    Without --rerun ours come from the committed results, which say by which command and commit they were made. With it
    they are measured again, areas and energies in the given library or the project's generic one: minutes to an hour;
    what was measured is kept, and an interrupted command goes on where it stopped. What this machine cannot measure is
    said, and shown as committed.
    """
    needs("reproduce", "dse", "pandas", "matplotlib")
    from reports.scoreboard.board import bases_of, document, load, rows
    from reports.scoreboard.papers import chosen, papers

    sheet = Sheet(form)
    if listed:
        columns = [Column("paper", right=False), Column("numbers"), Column("what it is", False, True)]
        sheet.table(columns, [(one.name, len(one.numbers), f"{one.title}. {one.about}") for one in papers().values()])
        return
    asked, wanted = chosen(names), bases_of(bases)
    if not rerun:
        for flag, value in (("--liberty", files), ("--tech", tech)):
            if value not in (None, ()):
                raise HwgenError(f"reproduce: {flag} must come with --rerun, which measures again")
        board = load()
    else:
        board = _measured(asked, files, tech, wanted)
    written = json.dumps(document(board, asked, wanted), indent=2, ensure_ascii=False)
    if output is not None:
        write_atomic(output, written + "\n", "reproduce")
    if as_json:
        click.echo(written)
        return
    shown = rows(board, asked, wanted)
    _print(sheet, shown)
    _stated(sheet, asked)
    _summary(sheet, board, shown, rerun)
    if output is not None:
        sheet.say(f"wrote {output}")


def _measured(asked: tuple[Paper, ...], files: tuple[Path, ...], tech: str | None, bases: tuple[str, ...]) -> Board:
    """The committed results with what was measured again in their place."""
    needs("reproduce --rerun", "sim", "torch")
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

    from hwgen.provenance import commit
    from hwgen.synth import generic_library, read_library
    from reports.scoreboard.bench import Bench
    from reports.scoreboard.board import EMPTY, RESULTS, load, run
    from sim.tech import calibrated_on
    from sim.tech import load as load_tech

    library = read_library(files) if files else generic_library()
    say_left_out(library)
    name = tech or calibrated_on(library.sha256)
    if name is None:
        raise HwgenError(
            f"reproduce: {library.name} must come with a technology that was calibrated on it, none of which ships; "
            "make one with hwgen calibrate and give it by --tech"
        )
    if load_tech(name).default_clk_period_ns is None:
        raise HwgenError(f"reproduce: --tech must be a technology with a default clock period, which {name} has not")
    before = load() if RESULTS.exists() else EMPTY
    with bars(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()) as bar:
        task = bar.add_task("measuring", total=None)
        bench = Bench(name, library)
        return run(
            before,
            asked,
            bench,
            commit(),
            bases=bases,
            progress=lambda done, of, what: bar.update(task, completed=done, total=of, description=what or "measured"),
        )


def _print(sheet: Sheet, shown: list[Row]) -> None:
    from reports.scoreboard.number import named

    columns = [
        Column(name, right=name in ("published", "ours", "ratio"), fold=name in _FOLDED)
        for name in (*_NAMES[:1], *(("paper", *_NAMES[1:]) if sheet.form != "text" else _NAMES[1:]))
    ]
    lines: dict[str, list[list[str]]] = {}
    for row in shown:
        number = row.number
        ours = "–" if row.shown is None else named(row.shown.value)
        cells = [
            number.key,
            number.what,
            f"{number.published_text} {number.unit}",
            f"{ours} {number.unit}" if row.shown is not None else ours,
            "–" if row.ratio is None else f"{row.ratio:.3g}",
            row.verdict,
            f"{number.measure.basis}, {row.status}",
            " ".join(f"{name}={value}" for name, value in row.switches.items()),
            number.why,
        ]
        if sheet.form != "text":
            cells.insert(1, row.paper.name)
        lines.setdefault(row.paper.title, []).append(cells)
    if sheet.form != "text":
        sheet.table(columns, [cells for many in lines.values() for cells in many])
        return
    for title, many in lines.items():
        sheet.say(title)
        sheet.table(columns, many)
        sheet.say()


def _stated(sheet: Sheet, asked: tuple[Paper, ...]) -> None:
    """What nothing here computes; in tables that programs read it is left out."""
    said = [(paper.title, one.what, one.published, one.why) for paper in asked for one in paper.stated]
    if said and sheet.form == "text":
        sheet.say("Not computed again:")
        sheet.table([Column(name, False, True) for name in ("paper", "what", "published", "why not")], said)
        sheet.say()


def _summary(sheet: Sheet, board: Board, shown: list[Row], rerun: bool) -> None:
    from reports.scoreboard.board import differences, totals

    said = totals(shown)
    verdicts = ", ".join(f"{count} {name}" for name, count in said["verdicts"].items())
    sheet.say(
        f"{said['numbers']} numbers, {said['of_rtl_synthesis_or_accuracy']} of them of our RTL, its synthesis or a run "
        f"of a model: {verdicts}"
    )
    if said["wrong_way"]:
        sheet.say(f"the wrong way: {', '.join(said['wrong_way'])}")
    kept = [row for row in shown if row.shown is not None and not row.shown.here]
    if kept:
        commits = ", ".join(dict.fromkeys(row.shown.commit for row in kept if row.shown is not None))
        sheet.say(
            f"{len(kept)} of ours are committed results, not measured now: made by {board.facts['command']} "
            f"(commit {commits}; {board.facts['versions']})"
        )
    if not rerun:
        return
    for row in shown:
        if row.left:
            sheet.say(f"not measured here: {row.paper.name} {row.number.key}: {row.left}")
    here = sum(row.shown is not None and row.shown.here for row in shown)
    same, changed = differences(shown)
    sheet.say(f"{here} measured now, {same} of them equal to what is committed in the same library")
    if changed:
        sheet.say(f"others than committed: {'; '.join(changed)}")
