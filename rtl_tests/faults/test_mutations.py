"""Mutations of the netlist are caught by the vectors, or proved to be no mutation at all."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from hwgen.pe import family
from rtl_tests.faults import report
from rtl_tests.faults.equivalence import Proof, Prover
from rtl_tests.faults.mutation import Mutants, Mutation, Outcome, make_mutants, run_mutants, vectors
from rtl_tests.faults.report import RESULTS, TILES, Score, measure

pytestmark = pytest.mark.rtl


def check(score: Score) -> None:
    assert score.caught >= 0.9 * len(score.outcome.reasons), f"{score.tile}: {score.caught} caught"
    assert not score.unexplained, "\n".join(
        f"{mutation}: {score.proofs[mutation].how}" for mutation in score.unexplained
    )


def test_sample_of_mutations_is_caught() -> None:
    score = measure("lut-int8", count=40, seed=7)
    assert len(score.outcome.reasons) == 40
    check(score)


@pytest.mark.slow
@pytest.mark.parametrize("name", TILES)
def test_mutations_are_caught(name: str) -> None:
    score = measure(name)
    assert len(score.outcome.reasons) >= 200
    check(score)


@pytest.mark.slow
def test_pipelines_are_no_rubber_stamp_either() -> None:
    # Proofs that take the registers within blocks as wires refuse what vectors tell apart.
    mutants = make_mutants(family("lut").from_values(TILES["lut-cut"][1]), 60)
    outcome = run_mutants(mutants, vectors(mutants.spec))
    prover = Prover(mutants)
    caught = [m for m, why in zip(mutants.mutations, outcome.reasons, strict=True) if why]
    assert not any(prover.prove(mutation).equivalent for mutation in caught[::12])


@pytest.mark.slow
def test_prover_is_no_rubber_stamp() -> None:
    spec = family("lut").from_values(TILES["lut-int8"][1])
    mutants = make_mutants(spec, 60)
    outcome = run_mutants(mutants, vectors(spec))
    prover = Prover(mutants)
    caught = [m for m, why in zip(mutants.mutations, outcome.reasons, strict=True) if why]
    assert not any(prover.prove(mutation).equivalent for mutation in caught[::12])
    # What sums hold is part of the machine, the bits that nothing carries into as well.
    sums = next(name for name, r in prover.gold.registers.items() if r.wire.endswith("cell0_1.acc0"))
    top = prover.gold.registers[sums].width - 1
    assert not any(prover.prove(Mutation("inv", sums, "Q", bit, None, "sum")).equivalent for bit in (top, top - 1))


def test_committed_figures() -> None:
    with (RESULTS / "mutation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name in TILES:
        verdicts = Counter(row["verdict"] for row in rows if row["tile"] == name)
        assert verdicts.total() >= 200, name
        assert verdicts["caught"] >= 0.9 * verdicts.total(), name
        assert not verdicts["remaining"], name
    page = (RESULTS / "mutation.md").read_text()
    assert all(f"| {name} |" in page for name in TILES)


def test_report_fails_on_what_is_unexplained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = Mutation("inv", "$1", "Y", 0, None, "sum[0]")
    caught = Mutation("inv", "$2", "Y", 0, None, "sum[1]")
    mutants = Mutants(family("int").from_values(TILES["int"][1]), (caught, lost), "", "")
    score = Score("int", 10, 5, Outcome(mutants, ("value", "")), {lost: Proof(False, "differs in acc0")}, 1.0)
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(report, "measure", lambda name: score)
    assert report.main(["int"]) == 1
    assert capsys.readouterr().err == (
        f"neither caught, proved equivalent nor explained: int: {lost}: differs in acc0\n"
    )
    # The other tiles' figures stay; an explanation is enough.
    kept = (tmp_path / "mutation.csv").read_text().replace("\nint,", "\nmx,").replace("remaining", "equivalent")
    (tmp_path / "mutation.csv").write_text(kept)
    (tmp_path / "mutation_tiles.csv").write_text("tile,commit,steps,beats\nmx,abc,1,2\n")
    monkeypatch.setattr(report, "EXPLAINED", {("int", str(lost)): "sum[0] is always 0"})
    assert report.main(["int"]) == 0
    page = (tmp_path / "mutation.md").read_text()
    assert (
        "| mx | `--pe mx` m=2 n=2 k=4 group=8 depth=8 post_lanes=2 | abc | 1 | 2 | 2 | 1 | 1 | 0 | 1 | 0 | 0 |" in page
    )
    assert f"| int | `{lost}` | sum[0] is always 0 |" in page
    assert report.main(["nonesuch"]) == 2
    assert capsys.readouterr().err.startswith("mutation report: tiles are int, ")
