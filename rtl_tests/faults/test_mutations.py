"""Mutations of the netlist are caught by the vectors, or proved to be no mutation at all."""

from __future__ import annotations

import csv
from collections import Counter

import pytest

from hwgen.pe import family
from rtl_tests.faults.equivalence import Prover
from rtl_tests.faults.mutation import Mutation, make_mutants, run_mutants, vectors
from rtl_tests.faults.report import RESULTS, TILES, Score, measure

pytestmark = pytest.mark.rtl


def check(score: Score) -> None:
    remaining = "\n".join(f"{mutation}: {score.proofs[mutation].how}" for mutation in score.remaining)
    assert score.share >= 0.95, (
        f"{score.tile}: {score.caught} of {score.mutations - score.equivalent} caught\n{remaining}"
    )


def test_sample_of_mutations_is_caught() -> None:
    score = measure("lut-int8", count=100, seed=7)
    assert score.mutations == 100
    check(score)


@pytest.mark.slow
@pytest.mark.parametrize("name", TILES)
def test_mutations_are_caught(name: str) -> None:
    score = measure(name)
    assert score.mutations >= 200
    check(score)


@pytest.mark.slow
def test_prover_is_no_rubber_stamp() -> None:
    spec = family("lut").from_values(TILES["lut-int8"][1])
    mutants = make_mutants(spec, 60)
    outcome = run_mutants(mutants, vectors(spec))
    prover = Prover(mutants)
    caught = [m for m, why in zip(mutants.mutations, outcome.reasons, strict=True) if why]
    assert not any(prover.prove(mutation).equivalent for mutation in caught[::12])
    # Two planes a step invert the accumulator's top bit twice; one bit lower the carry gives it away.
    sums = next(name for name, r in prover.gold.registers.items() if r.wire.endswith("cell0_1.acc0"))
    top = prover.gold.registers[sums].width - 1
    assert "is inverted" in prover.prove(Mutation("inv", sums, "Q", top, None, "top")).how
    assert not prover.prove(Mutation("inv", sums, "Q", top - 1, None, "next")).equivalent


def test_committed_figures() -> None:
    with (RESULTS / "mutation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name in TILES:
        verdicts = Counter(row["verdict"] for row in rows if row["tile"] == name)
        assert verdicts.total() >= 200, name
        assert verdicts["caught"] >= 0.95 * (verdicts.total() - verdicts["equivalent"]), name
    page = (RESULTS / "mutation.md").read_text()
    assert all(f"| {name} |" in page for name in TILES)
