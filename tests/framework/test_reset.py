"""The contract with another reset than the usual one."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from hwgen.emit import Reset, emit
from hwgen.pe import TileSpec, family
from hwgen.verify import check_contract
from hwgen.verify._compiled import CompiledTile
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
@pytest.mark.parametrize("reset", [Reset(), Reset("async", "low")])
@pytest.mark.parametrize(
    "spec",
    [
        TILE,
        # Elements of its sums come in cycles of their own, some after the reset.
        family("int")(m=2, n=3, k=2, group=4, depth=16, stages=1, transport="systolic", scheme="asymmetric"),
    ],
    ids=["lanes", "systolic"],
)
def test_compiled_runs_with_resets_are_those_of_the_simulator(spec: TileSpec, reset: Reset) -> None:
    runs = [Run(steps, None, cut) for steps, cut in reset_runs(spec, 5, 0)]
    want = simulate_runs(spec, runs, reset)
    got = CompiledTile(spec, emit(spec, reset=reset)).simulate_runs(runs)
    for run, one, other in zip(runs, want, got, strict=True):
        assert np.array_equal(one.cycle, other.cycle)
        assert np.array_equal(one.accepted, other.accepted)
        # Amaranth's simulator clocks registers without a reset with the edge of an asynchronous one, too.
        end = (1 << 62) if run.cut is None else run.cut - (reset.kind == "async")
        whole = one.cycle + int(spec.skew(spec.p)) <= end
        for name in ("sums", "rows", "y"):
            assert np.array_equal(getattr(one, name)[whole], getattr(other, name)[whole]), name


@pytest.mark.rtl
def test_what_the_compiled_tile_keeps_through_a_reset_is_seen() -> None:
    """One register after the other of those that are reset is not."""
    emission = emit(TILE)
    begins = [match.start() for match in re.finditer(r"if \(rst\)", emission.verilog)]
    assert begins
    runs = [Run(steps, None, cut) for steps, cut in reset_runs(TILE, 5, 0)]
    missed = []
    for begin in begins:
        text = f"{emission.verilog[:begin]}if (1'b0){emission.verilog[begin + len('if (rst)') :]}"
        got = CompiledTile(TILE, replace(emission, verilog=text)).simulate_runs(runs)
        missed += [begin] * (_resets(TILE, runs, got, Reset()) == ("", ""))
    assert not missed


@pytest.mark.rtl
@pytest.mark.slow
@pytest.mark.parametrize("reset", OTHERS)
def test_the_compiled_tile_too(reset: Reset) -> None:
    findings = check_contract(TILE, engine="verilator", reset=reset)
    assert [finding for finding in findings if not finding.ok] == []
