"""Mutation testing of one tile per family: the figures, and the page that shows them.

    python -m rtl_tests.faults.report [TILE ...]

writes reports/results/mutation.md, mutation.csv and mutation_tiles.csv. With names, only those tiles are measured and
the others keep their committed figures. Exits with 1 when a mutation is neither caught, proved equivalent nor in
`EXPLAINED`.
"""

from __future__ import annotations

import csv
import io
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen.files import write_atomic
from hwgen.pe import family
from reports.provenance import provenance, write_result
from rtl_tests.faults.equivalence import Proof, Prover
from rtl_tests.faults.mutation import Mutation, Outcome, make_mutants, run_mutants, vectors

__all__ = ["EXPLAINED", "RESULTS", "TILES", "Score", "main", "measure"]

RESULTS = Path(__file__).parents[2] / "reports" / "results"

_TINY: Mapping[str, Any] = {"m": 1, "n": 2, "k": 2, "group": 8, "depth": 8}

TILES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "int": (
        "int",
        {"m": 2, "n": 2, "k": 4, "bits": 4, "acts": "int4", "scheme": "asymmetric", "group": 16, "depth": 16}
        | {"stages": 2},
    ),
    "lut-int8": ("lut", {"m": 2, "n": 2, "k": 4, "bits": 2, "acts": "int8", "group": 16, "depth": 16, "stages": 1}),
    "lut-fp16": ("lut", _TINY | {"bits": 2, "acts": "fp16", "align_scope": "step", "stages": 2}),
    "lut-bytes": ("lut", _TINY | {"n": 1, "bits": 2, "acts": "int8", "entries": "int8", "post_lanes": 0}),
    "mx": ("mx", {"m": 2, "n": 2, "k": 4, "group": 8, "depth": 8, "post_lanes": 2}),
    "bitmod": ("bitmod", _TINY | {"bits": 4, "post_lanes": 0}),
    "mixpe": ("mixpe", _TINY | {"bits": 4, "acts": "int8", "scheme": "asymmetric", "stages": 1}),
    "bitserial": ("bitserial", _TINY | {"bits": 4, "acts": "int4", "planes": 2}),
    "bitplane": ("bitplane", _TINY | {"bits": 3, "acts": "int4", "weight_planes": 2, "act_planes": 2}),
    "shiftadd": ("shiftadd", _TINY | {"bits": 6}),
    "bitfusion": ("bitfusion", _TINY | {"n": 1, "k": 1, "brick_acts": 4, "brick_weights": 2}),
    "codebook": ("codebook", _TINY | {"weights": "any4", "acts": "int4"}),
    "complex": ("complex", _TINY | {"mapping": "widely", "acts": "int4"}),
    "bitplane-signs": (
        "bitplane",
        _TINY | {"k": 3, "group": 9, "depth": 9, "bits": 2, "acts": "bipolar3", "weight_planes": 2},
    ),
    "minifloat": ("minifloat", _TINY | {"acts": "fp8_e4m3", "weights": "fp8_e4m3"}),
    "lmul": ("lmul", _TINY | {"acts": "fp8_e4m3", "weights": "fp8_e5m2"}),
    "posit": ("posit", _TINY | {"n": 1, "k": 1}),
    "ant": ("ant", _TINY),
    "olive": ("olive", _TINY),
    "int-cut": (
        "int",
        {"m": 2, "n": 2, "k": 4, "bits": 4, "acts": "int4", "scheme": "asymmetric", "group": 16, "depth": 16}
        | {"transport": "systolic", "front_cuts": 1, "cell_cuts": 3},
    ),
    "lut-cut": ("lut", _TINY | {"bits": 2, "acts": "fp16", "align_scope": "step", "front_cuts": 3, "cell_cuts": 2}),
    "bitmod-ring": ("bitmod", _TINY | {"n": 1, "bits": 4, "post_lanes": 0, "cell_cuts": 6, "adder_stages": 3}),
}
"""Small tiles with every kind of block: row sums, serial planes, unpacking and alignment, quires, post lanes; and with
registers within them, and loops of several cycles that keep partial sums.
"""

COUNT = 240
SEED = 1

EXPLAINED: Mapping[tuple[str, str], str] = {
    ("mx", r"const1 of cell0_0.acc0_total_10_sum[1] at $flatten\cell0_0.$81.Y[1]"): (
        "1 unless the two upper bits of the sum so far differ: 8 products of at most 144 need 12 bits, the 4 before"
        " the last step fit 11; that a group has two steps at most is not in the proof"
    ),
    ("posit", r"inv of an unnamed wire at $flatten\cell0_0.$1119.A[0]"): (
        "lets bit 2 of the upper quarter into the sum of quarters, where it is always 0: only posit4 and FP4 fill that"
        " quarter, with multiples of 16; that a group keeps its format is not in the proof"
    ),
}
"""Why no input can show a mutation that is not proved equivalent, by tile and mutation."""

_MUTATIONS = ("tile", "number", "mutation", "verdict", "how")
_TILES = ("tile", "commit", "steps", "beats")


@dataclass(frozen=True)
class Score:
    """What became of each mutation of a tile."""

    tile: str
    steps: int
    beats: int
    outcome: Outcome
    proofs: Mapping[Mutation, Proof]
    seconds: float

    @property
    def caught(self) -> int:
        return sum(bool(reason) for reason in self.outcome.reasons)

    @property
    def equivalent(self) -> int:
        return sum(proof.equivalent for proof in self.proofs.values())

    @property
    def unexplained(self) -> tuple[Mutation, ...]:
        """Neither caught, proved equivalent nor explained."""
        return tuple(
            mutation
            for mutation, proof in self.proofs.items()
            if not proof.equivalent and (self.tile, str(mutation)) not in EXPLAINED
        )

    def rows(self) -> list[dict[str, str]]:
        """One row a mutation."""
        rows = []
        for number, (mutation, reason) in enumerate(
            zip(self.outcome.mutants.mutations, self.outcome.reasons, strict=True), 1
        ):
            proof = self.proofs.get(mutation)
            verdict, how = "caught", reason
            if proof is not None:
                verdict, how = ("equivalent", proof.how) if proof.equivalent else ("remaining", proof.how)
                if not proof.equivalent and (self.tile, str(mutation)) in EXPLAINED:
                    verdict, how = "explained", EXPLAINED[self.tile, str(mutation)]
            rows.append(
                {"tile": self.tile, "number": str(number), "mutation": str(mutation), "verdict": verdict, "how": how}
            )
        return rows


def measure(name: str, count: int = COUNT, seed: int = SEED) -> Score:
    """Mutate tile ``name`` of `TILES`, run the vectors, and try to prove what survives."""
    begin = time.monotonic()
    kind, values = TILES[name]
    spec = family(kind).from_values(values)
    mutants = make_mutants(spec, count, seed)
    stimuli = vectors(spec)
    outcome = run_mutants(mutants, stimuli)
    prover = Prover(mutants)
    proofs = {mutation: prover.prove(mutation) for mutation in outcome.survivors}
    return Score(name, len(stimuli.idle), len(stimuli.cycles), outcome, proofs, time.monotonic() - begin)


def _page(tiles: Sequence[Mapping[str, str]], rows: Sequence[Mapping[str, str]]) -> str:
    lines = [
        "Mutations are Yosys' (`mutate -list`) on the flattened netlist of a small tile, all in one build and chosen",
        "at run time; clock pins are left out. Each runs the vectors of the contract suite, with more groups and",
        "outputs, until an output or its cycle differs from the reference. Survivors go to a SAT proof that they are",
        "the same machine (rtl_tests/faults/equivalence.py says what is proved); what is neither caught nor proved is",
        "explained, or the command fails.",
        "",
        "The vectors were strengthened where mutations of this seed survived, so these figures are not held out, and a",
        "plain `hwgen verify` runs fewer groups and outputs than these runs do.",
        "",
        "| tile | parameters | commit | steps | beats | mutations | caught | by value "
        "| by cycle, missing or extra beat | proved equivalent | explained | unexplained |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for tile in tiles:
        kind, values = TILES[tile["tile"]]
        found = [row for row in rows if row["tile"] == tile["tile"]]
        verdicts = Counter(row["verdict"] for row in found)
        by_value = sum(row["verdict"] == "caught" and row["how"] == "value" for row in found)
        settings = " ".join(f"{name}={value}" for name, value in values.items())
        cells: list[object] = [tile["tile"], f"`--pe {kind}` {settings}", tile["commit"], tile["steps"], tile["beats"]]
        cells += [len(found), verdicts["caught"], by_value, verdicts["caught"] - by_value]
        cells += [verdicts["equivalent"], verdicts["explained"], verdicts["remaining"]]
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    titles = {
        "equivalent": ("Proved equivalent", "proof"),
        "explained": ("Explained", "why no input can show it"),
        "remaining": ("Unexplained", "last attempt"),
    }
    for verdict, (title, column) in titles.items():
        found = [row for row in rows if row["verdict"] == verdict]
        if found:
            lines += ["", f"## {title}", "", f"| tile | mutation | {column} |", "|---|---|---|"]
            lines += [f"| {row['tile']} | `{row['mutation']}` | {row['how']} |" for row in found]
    return "\n".join(lines)


def _kept(name: str) -> list[dict[str, str]]:
    path = RESULTS / name
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue()


def _write(tiles: Sequence[Mapping[str, str]], rows: Sequence[Mapping[str, str]], facts: dict[str, str]) -> None:
    kept = [row for tile in tiles for row in rows if row["tile"] == tile["tile"]]
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_atomic(RESULTS / "mutation.csv", _table(_MUTATIONS, kept), "mutation table")
    write_atomic(RESULTS / "mutation_tiles.csv", _table(_TILES, tiles), "table of mutated tiles")
    page = _page(tiles, kept)
    write_result(RESULTS / "mutation.md", "Mutation testing", "python -m rtl_tests.faults.report", page, facts)


def main(wanted: Sequence[str] = ()) -> int:
    """Measure tiles (all without ``wanted``) and write the page and the tables, anew after each tile."""
    unknown = [name for name in wanted if name not in TILES]
    if unknown:
        print(f"mutation report: tiles are {', '.join(TILES)}, not {', '.join(unknown)}", file=sys.stderr)
        return 2
    facts = provenance()
    tiles = {row["tile"]: row for row in _kept("mutation_tiles.csv")}
    rows = _kept("mutation.csv")
    missing: list[str] = []
    for name in wanted or TILES:
        score = measure(name)
        print(
            f"{name}: {score.caught} of {len(score.outcome.reasons)} caught, {score.equivalent} proved equivalent, "
            f"{len(score.unexplained)} unexplained, {score.seconds:.0f} s",
            flush=True,
        )
        missing += [f"{name}: {mutation}: {score.proofs[mutation].how}" for mutation in score.unexplained]
        figures = (name, facts["commit"], str(score.steps), str(score.beats))
        tiles[name] = dict(zip(_TILES, figures, strict=True))
        rows = [row for row in rows if row["tile"] != name] + score.rows()
        _write([tiles[name] for name in TILES if name in tiles], rows, facts)
    for line in missing:
        print(f"neither caught, proved equivalent nor explained: {line}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
