"""``python -m reports.scoreboard --asap7 FILE... --sky130hd FILE...``: measure, and write the committed results.

Numbers of a library whose files are not given, and those that cannot be got, stay as they are in
``reports/results/scoreboard.json``, each with the commit that it was measured with. A run that was interrupted goes on
where it stopped.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hwgen.errors import HwgenError
from hwgen.files import write_atomic
from hwgen.synth import Library, generic_library
from reports.plot import save
from reports.provenance import provenance, write_result
from reports.scoreboard.bench import Bench
from reports.scoreboard.board import EMPTY, RESULTS, Board, read, rows, run, text
from reports.scoreboard.page import body, figure
from reports.scoreboard.papers import chosen, papers
from reports.silicon import command_of, libraries_of, parser

__all__ = ["main", "write"]

TITLE = "Scoreboard: published numbers beside ours"


def write(board: Board, facts: Mapping[str, str], command: str) -> None:
    """Write JSON, page and plot."""
    save(figure(rows(board, papers().values())), RESULTS.with_suffix(".png"))
    write_atomic(RESULTS, text(board), "scoreboard")
    write_result(RESULTS.with_suffix(".md"), TITLE, command, body(board), dict(facts))


def _libraries(options: argparse.Namespace) -> dict[str, Library]:
    found = {"generic45": generic_library()} if options.generic else {}
    given = options.sky130hd or options.asap7
    return {**(libraries_of(options) if given else {}), **found}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write JSON, page and plot; a mistake is told in a sentence, with exit status 2."""
    prog = "python -m reports.scoreboard"
    made = parser(prog, "Write reports/results/scoreboard.json, .md, .png and .svg.")
    made.add_argument("--generic", action="store_true", help="also in the project's generic library")
    made.add_argument("--paper", nargs="+", default=[], metavar="PAPER", help="only these papers")
    made.add_argument("--only", nargs="+", default=[], metavar="BASIS", help="only numbers of these bases")
    made.add_argument("--minutes", type=float, default=math.inf, help="begin no number after so many")
    made.add_argument("--kept", action="store_true", help="measure nothing: page and plot of what is there")
    options = made.parse_args(arguments)
    facts = provenance()
    try:
        board = read(RESULTS) if RESULTS.exists() else EMPTY
        if not options.kept:
            board = _measured(board, options, facts["commit"])
            board = replace(
                board, facts={**_facts(board, options), "command": _command(prog, options), **facts}, left={}
            )
        said = {name: board.facts[name] for name in ("commit", "versions", "machine")}
        write(board, said, board.facts["command"])
    except HwgenError as error:
        made.exit(2, f"{error}\n")


def _command(prog: str, options: argparse.Namespace) -> str:
    """The command, with names of files instead of paths."""
    words = [command_of(prog, options), *(["--generic"] if options.generic else [])]
    words += [" ".join([flag, *many]) for flag, many in (("--paper", options.paper), ("--only", options.only)) if many]
    return " ".join(words)


def _facts(board: Board, options: argparse.Namespace) -> dict[str, Any]:
    known = dict(board.facts.get("libraries", {}))
    for name, library in _libraries(options).items():
        known[name] = {"library": library.name, "sha256": library.sha256}
    return {"libraries": known}


def _measured(board: Board, options: argparse.Namespace, commit: str) -> Board:
    asked = chosen(options.paper)

    def tell(line: str) -> None:
        print(line, flush=True)

    def progress(done: int, of: int, what: str) -> None:
        tell(f"[{done}/{of}] {what}")

    libraries: list[tuple[str | None, Library | None]] = list(_libraries(options).items()) or [(None, None)]
    for name, library in libraries:
        bench = Bench(name, library, tell)
        board = run(board, asked, bench, commit, bases=options.only, minutes=options.minutes, progress=progress)
        for (paper, key), why in board.left.items():
            tell(f"left out: {paper} {key}: {why}")
    return board


if __name__ == "__main__":
    main()
