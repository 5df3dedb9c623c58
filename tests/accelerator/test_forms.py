"""Costs as forms of counts: beside the cost model of one job, the array code of counts, and without the kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from hwgen.accelerator import Design, compiled
from hwgen.accelerator.best import DesignArrays
from hwgen.accelerator.compiled import JOB_COUNTS
from hwgen.accelerator.points import Points
from hwgen.pe import family
from hwgen.simulators import find
from sim.accelerator.activity import job_counts
from sim.accelerator.cost import cost_arrays
from sim.accelerator.forms import FOUND, best_with_forms, evaluated, forms_of, linear_counts, summed, totals, values_of

M, N, K = np.array([(1, 96, 320), (37, 64, 128), (6, 200, 90)]).T[..., np.newaxis]
TIMES = np.array([3, 1, 20])
SAME = {"rtol": 1e-12}
"""Sums in another order: a few roundings of 2^-53 each."""

CASES: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("int", {"bits": 4, "post_lanes": 2}, {}, "sky130hd"),
    ("int", {"bits": 4, "group": 0}, {"result": "int8", "result_lanes": 2}, "asap7"),
    ("mixpe", {"post_lanes": 2}, {"result": "fp16", "outer": True, "bias": True}, "sky130hd"),
    ("lut", {"bits": 2, "group": 0}, {}, "horowitz45"),
    ("mx", {}, {}, "sky130hd"),
]
EACH = pytest.mark.parametrize(
    ("name", "values", "around", "tech"),
    CASES,
    ids=[f"{one[0]} {one[3]} {one[2].get('result', 'tile')}" for one in CASES],
)


def many(name: str, values: Mapping[str, Any], around: Mapping[str, Any], count: int = 60) -> DesignArrays:
    rng = np.random.default_rng(count)
    tile = family(name).from_values({"depth": 1024, **values})
    p = {**tile.p, "m": rng.choice((1, 2, 4), count), "n": rng.choice((8, 16), count)}
    axes = {"bus_bits": (64, 128, 256), "weight_ring": (16, 64, 512), "act_ring": (16, 512), "burst": (4, 16)}
    d = {**Design(tile=tile, **around).p, **{key: rng.choice(choices, count) for key, choices in axes.items()}}
    points, over_p, over_d = Points.of(p, d)
    return DesignArrays(type(tile), over_p, over_d, 20, points=points)


@EACH
def test_forms_are_what_jobs_cost(name: str, values: dict[str, Any], around: dict[str, Any], tech: str) -> None:
    """Every block's energy and their sum, on designs that do not know of the mesh."""
    made = many(name, values, around)
    each, points = made.each, made.points
    assert points is not None
    best = each.best_of_sizes(M, N, K)
    counts = job_counts(each.spec, each.p, each.d, best.job, best.cycles)
    wanted = cost_arrays(each.spec, each.p, each.d, tech, 7.0, counts=counts)
    found = cost_arrays(made.spec, made.p, made.d, tech, 7.0, counts=linear_counts(made.inventory))
    assert found.energy_pj.keys() == wanted.energy_pj.keys()
    forms = forms_of({**{block: {block: value} for block, value in found.energy_pj.items()}, "all": found.energy_pj})
    known = best_with_forms(made, M, N, K, (0, 1), forms)
    for block, value in {**wanted.energy_pj, "all": wanted.total_energy_pj}.items():
        np.testing.assert_allclose(known[block], np.broadcast_to(value, known[block].shape), **SAME, err_msg=block)
    assert np.array_equal(known["cycles"], best.cycles)
    assert np.array_equal(known["exact"], best.exact)
    np.testing.assert_allclose(
        points(summed(found.area_um2)), np.broadcast_to(wanted.total_area_um2, points.count), **SAME
    )


@pytest.mark.skipif(find("g++") is None, reason="there is no g++")
@EACH
def test_the_kernel_counts_as_the_array_code(
    name: str, values: dict[str, Any], around: dict[str, Any], tech: str
) -> None:
    """Each count by itself, bit for bit: all are whole numbers."""
    made = many(name, values, around)
    each = made.each
    best = each.best_of_sizes(M, N, K)
    wanted = values_of(job_counts(each.spec, each.p, each.d, best.job, best.cycles))
    assert set(wanted) == set(JOB_COUNTS)
    found = made.best_forms(M, N, K, (0, 1), {one: {one: 1.0} for one in JOB_COUNTS}, FOUND)
    assert found is not None
    for one, value in wanted.items():
        assert np.array_equal(found[one], np.broadcast_to(value, found[one].shape)), one


@pytest.mark.parametrize("kernel", [True, False], ids=("kernel", "array code"))
@EACH
def test_totals_are_sums_over_layers(
    name: str, values: dict[str, Any], around: dict[str, Any], tech: str, kernel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kernel:
        monkeypatch.setattr(compiled, "kernel", lambda: None)
    elif find("g++") is None:
        pytest.skip("there is no g++")
    made = many(name, values, around)
    each = made.each
    best = each.best_by_arrays(M, N, K)
    counts = job_counts(each.spec, each.p, each.d, best.job, best.cycles)
    assert made.points is not None
    forms = {"some": {"steps": made.d["burst"] * 0.25, "weights_bursts": 3.0, "one": 7.0}, "none": {}}
    known = {name: made.points.of_all(terms) for name, terms in forms.items()}
    found = totals(made, M, N, K, TIMES, (0, 1), forms)
    took = TIMES[:, np.newaxis] * best.cycles
    assert np.array_equal(found["cycles"], took.sum(axis=0))
    assert np.array_equal(found["exact"], best.exact.all(axis=0))
    by_regime = np.stack([np.where(best.regime == place, took, 0).sum(axis=0) for place in range(5)])
    assert np.array_equal(found["regime"], by_regime.argmax(axis=0))
    for place, flag in enumerate(("hold_acts", "hold_weights", "order")):
        for layer in range(3):
            assert np.array_equal(found["choices"] >> (3 * layer + place) & 1, best.job[flag][layer]), (layer, flag)
    np.testing.assert_allclose(found["some"], TIMES @ evaluated(known, counts)["some"], **SAME)
    assert not found["none"].any()


def test_memories_and_sizes_apart_from_the_mesh() -> None:
    """Sizes and shares of beats of each design, as cores share products."""
    made = many(*CASES[0][:3])
    assert made.points is not None
    rng = np.random.default_rng(8)
    shape = 3, made.points.count
    m, cycles = M + rng.integers(0, 9, shape), rng.integers(1, 5, shape)
    share = rng.integers(1, cycles + 1)
    forms = {"read": {"acts_beats": made.d["bus_bits"] * 1.0}}
    found = best_with_forms(made.with_memory(share, cycles, True), m, N, K, (0, 1), forms)
    each = made.each
    alone = DesignArrays(each.spec, each.p, each.d, 20, share, cycles)
    best = alone.best_by_arrays(m, N, K)
    assert np.array_equal(found["cycles"], best.cycles)
    beats = job_counts(each.spec, each.p, each.d, best.job, best.cycles).streams["acts"].beats
    assert np.array_equal(found["read"], beats * each.d["bus_bits"])
    some = slice(20, 45)
    part = best_with_forms(made.part(some), M, N, K, (1,), forms)
    assert np.array_equal(part["cycles"], best_with_forms(made, M, N, K, (1,), forms)["cycles"][:, some])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("own[kEntriesOfStream] = given *", "own[kEntriesOfStream] = fetched *"),
        ("time = time + (outer - 1.0) * pace;", "time = time + (outer + 9.0) * pace;"),
        ("times[row] * own[i]", "own[i]"),
        ("(number - 0.5)", "(number + 0.5)"),
    ],
)
def test_a_fault_is_seen(right: str, wrong: str) -> None:
    files = compiled.sources()
    text = files["closed.cpp"].replace(right, wrong)
    assert text != files["closed.cpp"]
    library = compiled.loaded({**files, "closed.cpp": text})
    made = many(*CASES[0][:3], count=400)
    points = made.points
    assert points is not None
    across = (3,) + (1,) * len(points.shape)
    counts = made.counts(*(size.reshape(across) for size in (M, N, K)))
    forms = {one: {one: 1.0} for one in JOB_COUNTS}
    given = made.geometry, counts, (made.latency, 1, 1), TIMES, points.count, (0, 1), forms
    found, wanted = (compiled.total_jobs(*given, points=points, library=one) for one in (library, None))
    assert found is not None
    assert wanted is not None
    assert any(not np.array_equal(found[one], wanted[one]) for one in wanted)
