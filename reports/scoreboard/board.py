"""Runs measures, keeps what was measured, reads and writes the committed results."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dse.provenance import source_hash
from hwgen.errors import GroundError, HwgenError, suggest
from hwgen.simulators.cache import cached, digest
from reports.scoreboard.bench import Bench
from reports.scoreboard.number import BASES, OURS, Number, Paper, Range
from reports.scoreboard.papers import papers

__all__ = ["RESULTS", "Board", "Found", "Row", "document", "load", "named", "read", "rows", "run", "text", "totals"]

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
    """A number of ours: in which library (empty for what needs none), from which commit; ``here``: by this run."""

    value: float
    library: str
    commit: str
    here: bool = False


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
    def switches(self) -> dict[str, str]:
        """Assumptions behind ours, by name."""
        bench = Bench(None if self.shown is None else self.shown.library)
        return bench.switches(self.number.measure.switches(), self.number.measure.needs_library)


EMPTY = Board({}, {})


def _order(library: str) -> tuple[int, str]:
    return (FIRST.index(library) if library in FIRST else len(FIRST), library)


def rows(board: Board, chosen: Iterable[Paper]) -> list[Row]:
    """Numbers of papers in their order."""
    listed = []
    for paper in chosen:
        for number in paper.numbers:
            name = (paper.name, number.key)
            known = dict(sorted(board.found.get(name, {}).items(), key=lambda pair: _order(pair[0])))
            here = [one for one in known.values() if one.here]
            shown = next(iter([*here, *known.values()]), None)
            listed.append(Row(paper, number, shown, known, board.left.get(name, "")))
    return listed


def named(value: float) -> str:
    """A value as text: whole numbers whole, others with four digits."""
    if value == int(value) or abs(value) >= 1e4:
        return f"{value:,.0f}"
    return f"{value:.4g}"


# ------------------------------------------------------------------------------------------------- the committed file


def document(board: Board, chosen: Iterable[Paper] | None = None) -> dict[str, Any]:
    """All that there is to say, JSON-serialisable."""
    listed = rows(board, papers().values() if chosen is None else chosen)
    return {**board.facts, "totals": totals(listed), "numbers": [_row(row) for row in listed]}


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
        "status": basis.status,
        "error": basis.error,
        "switches": row.switches,
        "ratio": row.ratio,
        "verdict": row.verdict,
        "why": number.why,
        "measure": measure.content,
        "ours": {
            library: {"value": one.value, "ratio": number.ratio(one.value), "commit": one.commit}
            for library, one in row.all.items()
        },
        **({"left": row.left} if row.left else {}),
    }


def text(board: Board) -> str:
    """The committed file."""
    return json.dumps(document(board), indent=1, ensure_ascii=False) + "\n"


def read(path: Path) -> Board:
    """What a file of `text` says; values whose measure is not what it was then are left out.

    Raises `HwgenError` for a file that is none.
    """
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        entries = {(one["paper"], one["number"]): one for one in written["numbers"]}
        facts = {name: value for name, value in written.items() if name not in ("numbers", "totals")}
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
    every = [(paper, one) for paper in chosen for one in paper.numbers if not bases or one.measure.basis in bases]
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
    for basis in bases:
        if basis not in BASES:
            raise HwgenError(f"basis must be one of {', '.join(BASES)}, not {basis!r}{suggest(basis, BASES)}")
    todo = list(_wanted(chosen, bases))
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
            found.setdefault(name, {})[library] = Found(_get(number, bench), library, commit, here=True)
        except GroundError:
            raise
        except HwgenError as error:
            left[name] = str(error)
    progress(len(todo), len(todo), "")
    return replace(board, found=found, left=left)


def differences(before: Board, after: Board) -> tuple[int, list[str]]:
    """How many numbers of a run were known before in the same library, and those whose value is another now."""
    same, changed = 0, []
    for (paper, key), known in after.found.items():
        for library, one in known.items():
            old = before.found.get((paper, key), {}).get(library)
            if one.here and old is not None:
                same += old.value == one.value
                if old.value != one.value:
                    where = f" in {library}" if library else ""
                    changed.append(f"{paper} {key}{where}: {named(one.value)}, committed {named(old.value)}")
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
