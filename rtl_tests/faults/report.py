"""Mutation testing of one tile per family: the figures, and the page that shows them.

    python -m rtl_tests.faults.report

writes reports/results/mutation.md and mutation.csv.
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

from hwgen.emit import write_atomic
from hwgen.pe import family
from reports.provenance import provenance, write_result
from rtl_tests.faults.equivalence import Proof, Prover
from rtl_tests.faults.mutation import Mutation, Outcome, make_mutants, run_mutants, vectors

__all__ = ["RESULTS", "TILES", "Score", "main", "measure"]

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
    "mixpe": ("mixpe", _TINY | {"bits": 4, "acts": "int8", "scheme": "asymmetric", "stages": 2}),
    "minifloat": ("minifloat", _TINY | {"acts": "fp8_e4m3", "weights": "fp8_e4m3"}),
    "posit": ("posit", _TINY | {"n": 1, "k": 1}),
}
"""Small tiles with every kind of block: row sums, serial planes, unpacking and alignment, quires, post lanes."""

COUNT = 240
SEED = 1


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
    def mutations(self) -> int:
        return len(self.outcome.reasons)

    @property
    def caught(self) -> int:
        return sum(bool(reason) for reason in self.outcome.reasons)

    @property
    def equivalent(self) -> int:
        return sum(proof.equivalent for proof in self.proofs.values())

    @property
    def remaining(self) -> tuple[Mutation, ...]:
        """Neither caught nor proved equivalent."""
        return tuple(mutation for mutation, proof in self.proofs.items() if not proof.equivalent)

    @property
    def share(self) -> float:
        """Caught mutations among those that are not proved equivalent."""
        return self.caught / (self.mutations - self.equivalent)

    def rows(self) -> list[dict[str, str]]:
        """One row a mutation."""
        rows = []
        for number, (mutation, reason) in enumerate(
            zip(self.outcome.mutants.mutations, self.outcome.reasons, strict=True), 1
        ):
            proof = self.proofs.get(mutation)
            verdict = "caught" if reason else "equivalent" if proof and proof.equivalent else "remaining"
            how = reason or (proof.how if proof else "")
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


def _page(scores: Sequence[Score]) -> str:
    lines = [
        "Mutations are Yosys' (`mutate -list`) on the flattened netlist of a small tile, all in one build and chosen",
        "at run time; clock pins are left out. Each runs the vectors of the contract suite, with more groups and",
        "outputs, until an output or its cycle differs from the reference. Survivors go to a SAT proof that they are",
        "the same machine (rtl_tests/faults/equivalence.py says what is proved).",
        "",
        "The vectors were strengthened where mutations of this seed survived, so these figures are not held out, and a",
        "plain `hwgen verify` runs fewer groups and outputs than these runs do.",
        "",
        "| tile | parameters | steps | beats | mutations | caught | by value | by cycle, missing or extra beat "
        "| proved equivalent | remaining | caught of the others |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for score in scores:
        kind, values = TILES[score.tile]
        reasons = Counter(score.outcome.reasons)
        settings = " ".join(f"{name}={value}" for name, value in values.items())
        cells = [score.tile, f"`--pe {kind}` {settings}", score.steps, score.beats, score.mutations, score.caught]
        cells += [reasons["value"], score.caught - reasons["value"], score.equivalent, len(score.remaining)]
        lines.append("| " + " | ".join(str(cell) for cell in [*cells, f"{score.share:.1%}"]) + " |")
    lines += ["", "## Proved equivalent", "", "| tile | mutation | proof |", "|---|---|---|"]
    for score in scores:
        proved = [(mutation, proof) for mutation, proof in score.proofs.items() if proof.equivalent]
        lines += [f"| {score.tile} | `{mutation}` | {proof.how} |" for mutation, proof in proved]
    remaining = [(score, mutation) for score in scores for mutation in score.remaining]
    if remaining:
        lines += ["", "## Remaining", "", "| tile | mutation | last attempt |", "|---|---|---|"]
        lines += [f"| {score.tile} | `{mutation}` | {score.proofs[mutation].how} |" for score, mutation in remaining]
    return "\n".join(lines)


def main() -> int:
    """Measure all tiles and write the page and the table."""
    facts = provenance()
    scores = []
    for name in TILES:
        score = measure(name)
        scores.append(score)
        print(
            f"{name}: {score.caught} of {score.mutations} caught, {score.equivalent} proved equivalent, "
            f"{len(score.remaining)} remaining, {score.seconds:.0f} s",
            flush=True,
        )
    text = io.StringIO()
    table = csv.DictWriter(text, ["tile", "number", "mutation", "verdict", "how"], lineterminator="\n")
    table.writeheader()
    for score in scores:
        table.writerows(score.rows())
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_atomic(RESULTS / "mutation.csv", text.getvalue(), "mutation table")
    write_result(RESULTS / "mutation.md", "Mutation testing", "python -m rtl_tests.faults.report", _page(scores), facts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
