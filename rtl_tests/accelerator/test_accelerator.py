"""Accelerators do in Verilog what the tile's reference and the cycle model say, to the bit and to the cycle."""

from __future__ import annotations

import dataclasses

import pytest

from hwgen.accelerator import Design, Job
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.verify import CompiledAccelerator
from rtl_tests.accelerator.cases import CASES, PRE_CASES, RESULT_CASES, Case, differences, tasks

FEW, MANY = 5, 20


@pytest.mark.few(1)
@pytest.mark.parametrize("case", PRE_CASES, ids=lambda case: case.name)
def test_cycles_and_results_of_blocks_made_of_values(case: Case) -> None:
    compiled = CompiledAccelerator(case.build())
    drawn = tasks(case, 2 * FEW, seed=4)
    assert differences(compiled, drawn, compiled.run(drawn)) == []


@pytest.mark.few(4)
@pytest.mark.parametrize("case", [*CASES, *RESULT_CASES], ids=lambda case: case.name)
def test_cycles_and_results(case: Case) -> None:
    compiled = CompiledAccelerator(case.build())
    drawn = tasks(case, FEW, seed=1)
    assert differences(compiled, drawn, compiled.run(drawn)) == []


@pytest.mark.slow
@pytest.mark.parametrize("case", [*CASES, *RESULT_CASES, *PRE_CASES], ids=lambda case: case.name)
def test_cycles_and_results_of_many_jobs(case: Case) -> None:
    compiled = CompiledAccelerator(case.build())
    drawn = tasks(case, MANY, seed=2)
    assert differences(compiled, drawn, compiled.run(drawn)) == []


def test_cases_cover_what_a_design_can_be() -> None:
    designs = [case.build() for case in CASES]
    assert len(CASES) >= 24
    assert {design.tile.family for design in designs} == {
        *("int", "bitmod", "lut", "mixpe", "minifloat", "mx", "posit", "ant", "olive", "bitfusion", "complex"),
    }
    assert {design.tile.transport for design in designs} == {"broadcast", "systolic"}
    assert {bool(design.tile.lanes) for design in designs} == {True, False}
    assert all(design.tile.m * design.tile.n <= 64 for design in designs)
    jobs: list[Job] = []
    for case in CASES:
        jobs += [task.job for task in tasks(case, MANY, seed=2)]
    assert {(job.order, job.hold_weights, job.hold_acts) for job in jobs} == {
        (order, weights, acts) for order in (0, 1) for weights in (0, 1) for acts in (0, 1)
    }


def test_a_wrong_prediction_is_seen() -> None:
    """The comparison itself: a run whose cycles or results were others is found out."""
    case = CASES[0]
    compiled = CompiledAccelerator(case.build())
    drawn = tasks(case, 1, seed=3)
    (run,) = compiled.run(drawn)
    results = {name: values.copy() for name, values in run.results.items()}
    results["o_sums"][0, 0] += 1
    wrong = dataclasses.replace(run, cycles=run.cycles + 1, results=results)
    assert [found.what for found in differences(compiled, drawn, [wrong])] == ["cycles", "o_sums[0, 0]"]


@pytest.mark.parametrize(
    ("family_name", "tile", "design", "sentence"),
    [
        ("int", {"post_lanes": 4}, {"result": "int8"}, "post_lanes must be 0 for result int8"),
        ("int", {"group": 64}, {"result": "int8"}, "group must be 0 for result int8"),
        ("int", {"group": 0, "n": 8}, {"result": "int8", "result_lanes": 16}, "result_lanes must divide n (8)"),
        ("lut", {"group": 0, "bits": 2}, {"result": "int4"}, "zero points of weights"),
        ("bitmod", {"group": 0, "depth": 1024, "post_lanes": 0}, {"result": "int8"}, "no integers"),
        ("int", {}, {"result": "fp16"}, "must follow post lanes that give FP32"),
        ("int", {}, {"bias": True}, "must follow post lanes that give FP32"),
        (
            "int",
            {},
            {"burst": 128, "bus_bits": 512},
            "burst must be at most the beats of 4096 bytes, which no burst of AXI4 crosses (64 of 512 bits), not 128",
        ),
        ("int", {}, {"weight_ring": 1}, "weight_ring must be a whole number from 2"),
        ("int", {}, {"wings": 2}, "no parameter 'wings'"),
        ("int", {}, {"pre": "mx"}, "pre must be none where activations are no MX blocks of one format"),
        ("mx", {"mode_set": "mx"}, {"pre": "mx"}, "pre must be none where activations are no MX blocks of one format"),
        ("mx", {"acts": "nvfp4"}, {"pre": "mx"}, "pre must be none where activations are no MX blocks of one format"),
        ("mx", {"k": 12, "group": 24}, {"pre": "mx"}, "k of the tile must be a power of two with pre mx"),
        (
            "mx",
            {"m": 1, "n": 8, "k": 4, "group": 4},
            {"pre": "mx", "bus_bits": 128},
            "bus_bits must be at most 64 with",
        ),
        ("mx", {"k": 4}, {"pre": "mx", "act_ring": 15}, "act_ring must be at least 16 with pre mx, two blocks of 32"),
        ("mx", {}, {"pre_source": "bf16"}, "pre_source must be left out without pre, not bf16"),
        ("mx", {}, {"pre": "mx", "pre_source": "fp8"}, "pre_source must be fp16, bf16 or fp32"),
    ],
)
def test_designs_that_cannot_be_are_refused(
    family_name: str, tile: dict[str, object], design: dict[str, object], sentence: str
) -> None:
    spec = family(family_name).from_values({"depth": 512, **tile})
    with pytest.raises(HwgenError) as refused:
        Design.from_values(spec, design)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
