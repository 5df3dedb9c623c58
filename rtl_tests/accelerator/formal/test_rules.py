"""The AXI rules hold in all cycles, or as far as `DEPTHS` says; a mistake against each of them is found."""

from __future__ import annotations

import pytest

from hwgen.accelerator.emission import emit_accelerator
from hwgen.prove.accelerator import DEPTHS, decided, meaning, sought
from rtl_tests.accelerator.cases import CASES, Case
from rtl_tests.accelerator.formal.device import emitted
from rtl_tests.accelerator.formal.faults import FAULTS
from rtl_tests.accelerator.formal.paths import paths
from rtl_tests.accelerator.formal.report import PARTS

_FAST = ("registers", "control")
_SEEDED = [(part, claim) for part, faults in FAULTS.items() for claim in faults]
_QUICK = (("registers", "b_stays"), ("control", "clear_at_rest"))


@pytest.mark.parametrize("part", [p if p in _FAST else pytest.param(p, marks=pytest.mark.slow) for p in PARTS])
def test_rules_hold(part: str) -> None:
    graph = PARTS[part](emitted())
    verdicts = {claim: decided(graph, claim) for claim in graph.outputs}
    good = {claim: v.depth == DEPTHS[claim] if claim in DEPTHS else v.proved for claim, v in verdicts.items()}
    assert not any(v.broken for v in verdicts.values()), verdicts
    assert all(good.values()), verdicts
    assert all(meaning(claim) for claim in verdicts)


@pytest.mark.slow
def test_each_rule_has_its_fault() -> None:
    streams = ("weights", "weight_sides", "acts", "act_sides")
    for part, make in PARTS.items():
        if part not in streams[1:]:
            missing = set(make(emitted()).outputs) - FAULTS[part].keys()
            # What is claimed of each stream alike is broken in one.
            assert {claim for claim in missing if not claim.startswith(streams[1:])} == set(), part


@pytest.mark.parametrize(
    ("part", "claim"),
    [pair if pair in _QUICK else pytest.param(*pair, marks=pytest.mark.slow) for pair in _SEEDED],
)
def test_faults_are_found(part: str, claim: str) -> None:
    assert sought(PARTS[part](emitted(FAULTS[part][claim])), claim).broken


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_output_follows_from_an_input_within_a_cycle(case: Case) -> None:
    emission = emit_accelerator(case.build())
    found = paths(emission.verilog, emission.top)
    assert {"s_axi_awready", "s_axi_bvalid", "m_axi_arvalid", "m_axi_wvalid", "m_axi_rready"} <= found.keys()
    assert {name: inputs for name, inputs in found.items() if inputs} == {}


def test_a_path_is_found() -> None:
    emission = emit_accelerator(CASES[0].build())
    assert not any(paths(emission.verilog, emission.top).values())
    head, _, body = emission.verilog.partition(f"module {emission.top}(")
    old = "assign m_axi_rready = 1'h1;"
    assert body.count(old) == 1
    text = head + f"module {emission.top}(" + body.replace(old, "assign m_axi_rready = m_axi_rvalid & m_axi_rlast;")
    assert paths(text, emission.top)["m_axi_rready"] == {"m_axi_rvalid", "m_axi_rlast"}
