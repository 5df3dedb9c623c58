"""The contract with another reset than the usual one."""

from __future__ import annotations

import pytest

from hwgen.emit import Reset
from hwgen.pe import family
from hwgen.verify import check_contract
from hwgen.verify._contract import _resets
from hwgen.verify._pysim import Run, simulate_runs
from hwgen.verify._stimuli import reset_runs

TILE = family("int")(m=1, n=2, k=2, group=4, depth=16, post_lanes=1, stages=2)
OTHERS = [Reset("async"), Reset("sync", "low"), Reset("async", "low")]


@pytest.mark.parametrize("reset", OTHERS)
def test_a_tile_keeps_its_contract(reset: Reset) -> None:
    assert [finding for finding in check_contract(TILE, reset=reset) if not finding.ok] == []


@pytest.mark.parametrize(("is_there", "is_said"), [("async", "sync"), ("sync", "async")])
def test_one_kind_is_not_taken_for_the_other(is_there: str, is_said: str) -> None:
    """An asynchronous reset takes the beat of its own cycle, a synchronous one does not."""
    runs = [Run(steps, None, cut) for steps, cut in reset_runs(TILE, 5, 0)]
    observed = simulate_runs(TILE, runs, Reset(is_there))
    assert _resets(TILE, runs, observed, Reset(is_there)) == ("", "")
    assert _resets(TILE, runs, observed, Reset(is_said))[1]


@pytest.mark.rtl
@pytest.mark.slow
@pytest.mark.parametrize("reset", OTHERS)
def test_the_compiled_tile_too(reset: Reset) -> None:
    findings = check_contract(TILE, engine="verilator", reset=reset)
    assert [finding for finding in findings if not finding.ok] == []
