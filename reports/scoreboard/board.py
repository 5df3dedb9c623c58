"""Runs measures, keeps what was measured, reads and writes the committed results."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dse.provenance import source_hash
from hwgen.errors import GroundError, HwgenError, suggest
from hwgen.simulators.cache import cached, digest
from reports.scoreboard.bench import Bench
from reports.scoreboard.number import BASES, OURS, Number, Paper, Range, Stated, named
from reports.scoreboard.papers import papers

__all__ = [
    "EMPTY",
    "RESULTS",
    "Board",
    "Found",
    "Row",
    "bases_of",
    "differences",
    "document",
    "load",
    "read",
    "rows",
    "run",
    "text",
    "totals",
]

RESULTS = Path(__file__).parents[1] / "results" / "scoreboard.json"
"""The committed results; an installed package has none."""

FIRST = ("asap7", "sky130hd", "generic45")
"""Libraries in the order in which one is shown where several have a number: by node."""

_LAST = ("widths", "count", "cycles", "quantiser", "synthesis", "energy", "fpga", "accuracy")
"""Bases in the order in which numbers are got."""

_SOURCES = (
    "hwgen/accelerator",
    "hwgen/emit",
    "hwgen/quantize",
    "hwgen/synth",
    "reports/ratios.py",
    "reports/scoreboard/bench.py",
    "reports/scoreboard/measures.py",
    "reports/scoreboard/tiles.py",
    "reports/silicon.py",
    "reports/system_peers.py",
    "sim/accuracy",
    "sim/energy.py",
    "sim/system",
    "sim/workload",
)
"""Beside what costs of families come from: what a number may depend on."""


@dataclass(frozen=True)
class Found:
    """A number of ours: in which library (empty for what needs none), from which commit; ``here``: by this run, and
    ``before`` what the committed results say in the same library.
    """

    value: float
    library: str
    commit: str
    here: bool = False
    before: float | None = None


@dataclass(frozen=True)
class Board:
    """What is known of numbers, by (paper, key) and library; where it was read from, and what could not be got."""

    found: Mapping[tuple[str, str], Mapping[str, Found]]
    facts: Mapping[str, Any]
    left: Mapping[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A number with what is shown of ours: the first library in the order of `FIRST`."""

    paper: Paper
    number: Number
    shown: Found | None
    all: Mapping[str, Found]
    left: str

    @property
    def ratio(self) -> float | None:
        """Ours over the published one."""
        return None if self.shown is None else self.number.ratio(self.shown.value)

    @property
    def verdict(self) -> str:
        """`Number.verdict`, or that ours is not here."""
        return "not run" if self.shown is None else self.number.verdict(self.shown.value)

    @property
    def status(self) -> str:
        """Whether ours is measured or modelled."""
        return BASES[self.number.measure.basis].status

    @property
    def switches(self) -> dict[str, str]:
        """Assumptions behind ours, by name."""
        library = {} if self.shown is None or not self.shown.library else {"library": self.shown.library}
        return {**library, **self.number.measure.switches()}


EMPTY = Board({}, {})


def _order(library: str) -> tuple[int, str]:
    return (FIRST.index(library) if library in FIRST else len(FIRST), library)


def bases_of(names: Sequence[str]) -> tuple[str, ...]:
    """These bases, all without any. Raises `HwgenError` for a name that is none."""
    for name in names:
        if name not in BASES:
            raise HwgenError(f"basis must be one of {', '.join(BASES)}, not {name!r}{suggest(name, BASES)}")
    return tuple(names) or tuple(BASES)


def rows(board: Board, chosen: Iterable[Paper], bases: Sequence[str] = ()) -> list[Row]:
    """Numbers of papers in their order, of these bases (all without any)."""
    listed = []
    for paper in chosen:
        for number in paper.numbers:
            if bases and number.measure.basis not in bases:
                continue
            name = (paper.name, number.key)
            known = dict(sorted(board.found.get(name, {}).items(), key=lambda pair: _order(pair[0])))
            here = [one for one in known.values() if one.here]
            shown = next(iter([*here, *known.values()]), None)
            listed.append(Row(paper, number, shown, known, board.left.get(name, "")))
    return listed


# ------------------------------------------------------------------------------------------------- the committed file


def document(board: Board, chosen: Iterable[Paper] | None = None, bases: Sequence[str] = ()) -> dict[str, Any]:
    """All that there is to say, JSON-serialisable."""
    asked = tuple(papers().values() if chosen is None else chosen)
    listed = rows(board, asked, bases)
    stated = [{"paper": paper.name, **_said(one)} for paper in asked for one in paper.stated]
    found = {**board.facts, "totals": totals(listed), "numbers": [_row(row) for row in listed]}
    return {**found, "not_computed": stated} if stated else found


def _said(one: Stated) -> dict[str, str]:
    return {"what": one.what, "published": one.published, "source": str(one.source), "why": one.why}


def _row(row: Row) -> dict[str, Any]:
    number, measure = row.number, row.number.measure
    published = number.published
    ends = [published.low, published.high] if isinstance(published, Range) else [published, published]
    basis = BASES[measure.basis]
    return {
        "paper": row.paper.name,
        "number": number.key,
        "what": number.what,
        "unit": number.unit,
        # JSON knows no infinity.
        "published": [None if end == float("inf") else end for end in ends],
        "source": str(number.source),
        "basis": measure.basis,
        "status": row.status,
        "error": basis.error,
        "switches": row.switches,
        "ratio": row.ratio,
        "verdict": row.verdict,
        "why": number.why,
        "measure": measure.content,
        "ours": {
            library: {"value": one.value, "ratio": number.ratio(one.value), "commit": one.commit, **_run_now(one)}
            for library, one in row.all.items()
        },
        **({"left": row.left} if row.left else {}),
    }


def _run_now(one: Found) -> dict[str, Any]:
    return {"measured_now": True, "committed": one.before} if one.here else {}


def text(board: Board) -> str:
    """The committed file: what was measured is committed with it."""
    plain = {
        name: {library: replace(one, here=False, before=None) for library, one in known.items()}
        for name, known in board.found.items()
    }
    return json.dumps(document(replace(board, found=plain, left={})), indent=1, ensure_ascii=False) + "\n"


def read(path: Path) -> Board:
    """What a file of `text` says; values whose measure is not what it was then are left out.

    Raises `HwgenError` for a file that is none.
    """
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        entries = {(one["paper"], one["number"]): one for one in written["numbers"]}
        facts = {name: value for name, value in written.items() if name not in ("numbers", "totals", "not_computed")}
        found: dict[tuple[str, str], Mapping[str, Found]] = {}
        for paper in papers().values():
            for number in paper.numbers:
                entry = entries.get((paper.name, number.key))
                if entry is not None and entry["measure"] == number.measure.content:
                    found[paper.name, number.key] = {
                        library: Found(float(one["value"]), library, str(one["commit"]))
                        for library, one in entry["ours"].items()
                    }
    except (OSError, UnicodeDecodeError) as error:
        raise HwgenError(f"scoreboard: {path}: cannot be read: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HwgenError(
            f"scoreboard: {path}: must be results of python -m reports.scoreboard, which it is not"
        ) from error
    return Board(found, facts)


def load() -> Board:
    """The committed results. Raises `HwgenError` where there are none: an installed package has none."""
    if not RESULTS.exists():
        raise HwgenError(
            "reproduce: the committed results are in the repository, not in an installed package; measure again with "
            "--rerun"
        )
    return read(RESULTS)


# ------------------------------------------------------------------------------------------------------------ running


def _get(number: Number, bench: Bench) -> float:
    """A number, kept in the cache under all that it depends on."""
    measure = number.measure
    library = bench.library.sha256 if measure.needs_library and bench.library is not None else ""
    name = str(bench.name) if measure.needs_library else ""
    key = [json.dumps(measure.document(), sort_keys=True), library, name, source_hash(measure.families(), _SOURCES)]

    def make(folder: Path) -> None:
        (folder / "value.json").write_text(json.dumps(measure.value(bench)))

    return float(json.loads((cached(f"scoreboard-{digest(key)}", make) / "value.json").read_text()))


def _wanted(chosen: Iterable[Paper], bases: Sequence[str]) -> Iterator[tuple[Paper, Number]]:
    """Numbers of these bases, those that are got soonest first."""
    every = [(paper, one) for paper in chosen for one in paper.numbers if one.measure.basis in bases]
    yield from sorted(every, key=lambda pair: (not pair[1].measure.cheap, _LAST.index(pair[1].measure.basis)))


def run(
    board: Board,
    chosen: Sequence[Paper],
    bench: Bench,
    commit: str,
    *,
    bases: Sequence[str] = (),
    minutes: float = float("inf"),
    progress: Callable[[int, int, str], None] = lambda done, of, what: None,
) -> Board:
    """Get numbers of papers again and put them on the board.

    Parameters
    ----------
    bases: only these (`BASES`). minutes: after so many no further number is begun.
    progress: told (done, all, which one is next).

    A number that cannot be got here is left out, with the sentence that says why. Raises `HwgenError` for an unknown
    basis, `GroundError` when the machine gives way.
    """
    todo = list(_wanted(chosen, bases_of(bases)))
    found = {name: dict(known) for name, known in board.found.items()}
    left = dict(board.left)
    end = time.monotonic() + 60 * minutes
    for done, (paper, number) in enumerate(todo):
        name = (paper.name, number.key)
        left.pop(name, None)
        progress(done, len(todo), f"{paper.name} {number.key}")
        if time.monotonic() > end:
            left[name] = "time was over"
            continue
        library = str(bench.name) if number.measure.needs_library else ""
        try:
            value, known = _get(number, bench), found.setdefault(name, {})
            before = known[library].value if library in known else None
            known[library] = Found(value, library, commit, here=True, before=before)
        except GroundError:
            raise
        except HwgenError as error:
            left[name] = str(error)
    progress(len(todo), len(todo), "")
    return replace(board, found=found, left=left)


def differences(listed: Iterable[Row]) -> tuple[int, list[str]]:
    """How many of the numbers that were got now are what was committed, and those that are something else."""
    same, changed = 0, []
    for row in listed:
        one = row.shown
        if one is None or not one.here or one.before is None:
            continue
        if math.isclose(one.value, one.before, rel_tol=1e-9):
            same += 1
        else:
            changed.append(f"{row.paper.name} {row.number.key} (now {named(one.value)}, committed {named(one.before)})")
    return same, changed


def totals(listed: Sequence[Row]) -> dict[str, Any]:
    """How many numbers, of what kind, and what came of them."""
    verdicts: dict[str, int] = {}
    for row in listed:
        verdicts[row.verdict] = verdicts.get(row.verdict, 0) + 1
    return {
        "papers": len({row.paper.name for row in listed}),
        "numbers": len(listed),
        "of_rtl_synthesis_or_accuracy": sum(row.number.measure.basis in OURS for row in listed),
        "got": sum(row.shown is not None for row in listed),
        "verdicts": dict(sorted(verdicts.items())),
        "wrong_way": [f"{row.paper.name} {row.number.key}" for row in listed if row.verdict == "wrong way"],
    }
