"""What ``make test`` catches: mutations of one small tile or more of every family, against the plain contract suite.

``python -m rtl_tests.faults.quick [TILE ...]`` writes ``reports/results/fast_suite.md``. The contract runs on these
tiles in every ``make test`` (`rtl_tests.contract.test_quick`); here their mutations (those of mutation.md) meet the
vectors that the contract has, and no more. Mutations that mutation.md proves equivalent are no faults.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hwgen.pe import family
from reports.provenance import provenance, write_result
from rtl_tests.faults.mutation import make_mutants, run_mutants, vectors
from rtl_tests.faults.report import COUNT, RESULTS, SEED, TILES

__all__ = ["PAGE", "Caught", "catch", "main", "needed"]

PAGE = RESULTS / "fast_suite.md"
LEAST = 0.9
"""Share of a family's faults that the fast suite must catch."""


@dataclass(frozen=True)
class Caught:
    """Faults of a tile, how many of them the plain contract catches, and the seconds that mutating took."""

    tile: str
    faults: int
    caught: int
    steps: int
    seconds: float


def needed(tile: str, file: Path = RESULTS / "mutation.csv") -> set[str]:
    """Mutations of a tile that are faults: not proved equivalent."""
    with file.open(newline="") as rows:
        return {
            row["mutation"] for row in csv.DictReader(rows) if row["tile"] == tile and row["verdict"] != "equivalent"
        }


def catch(tile: str, count: int = COUNT) -> Caught:
    """Run the plain contract's vectors through the mutations of a tile."""
    begin = time.monotonic()
    kind, values = TILES[tile]
    spec = family(kind).from_values(values)
    mutants = make_mutants(spec, count, SEED)
    stimuli = vectors(spec, plain=True)
    outcome = run_mutants(mutants, stimuli)
    faults = needed(tile)
    caught = {str(m) for m, reason in zip(mutants.mutations, outcome.reasons, strict=True) if reason}
    # A change of the netlist brings other mutations; of those nothing is proved, and all count.
    known = faults if faults & {str(m) for m in mutants.mutations} else {str(m) for m in mutants.mutations}
    mine = [m for m in mutants.mutations if str(m) in known]
    return Caught(tile, len(mine), sum(str(m) in caught for m in mine), len(stimuli.idle), time.monotonic() - begin)


def main(wanted: Sequence[str] = ()) -> int:
    """Measure tiles (all without ``wanted``) and write the page; status 1 where a tile is below `LEAST`."""
    facts = provenance()
    lines = [
        "Every `make test` runs the contract suite on one small tile or more of every family. Each mutation of these",
        "tiles that is not proved equivalent ([mutation.md](mutation.md)) meets here just the vectors of that suite.",
        "",
        "| tile | family | steps | faults | caught | share |",
        "|---|---|---:|---:|---:|---:|",
    ]
    low = []
    for tile in wanted or TILES:
        found = catch(tile)
        share = found.caught / found.faults
        print(f"{tile}: {found.caught} of {found.faults} faults caught, {share:.1%}, {found.seconds:.0f} s", flush=True)
        lines.append(f"| {tile} | {TILES[tile][0]} | {found.steps} | {found.faults} | {found.caught} | {share:.1%} |")
        if share < LEAST:
            low.append(tile)
    if not wanted:
        write_result(PAGE, "What the fast suite catches", "python -m rtl_tests.faults.quick", "\n".join(lines), facts)
    for tile in low:
        print(f"{tile}: below {LEAST:.0%}", file=sys.stderr)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
