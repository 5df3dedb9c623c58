"""The compiled closed form beside the array code: equal bit for bit, and a fault in it is seen."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

import numpy as np
import pytest

from hwgen.accelerator import Design, compiled
from hwgen.accelerator.best import BestJobs, DesignArrays
from hwgen.accelerator.closed import REGIMES, ClosedCycles, closed_job_cycles
from hwgen.accelerator.design import PAGE_BYTES
from hwgen.accelerator.geometry import Geometry
from hwgen.accelerator.job import ADDRESSES, FLAGS
from hwgen.errors import HwgenError, HwgenWarning
from hwgen.frame.numbers import ceil_div
from hwgen.pe import family
from hwgen.simulators import find
from reports.accelerator_points import designs

pytestmark = pytest.mark.skipif(find("g++") is None, reason="g++ is not installed; .ci/run demands it")

POINTS = 120_000


def before_rings() -> list[Design]:
    """Designs with a block before the ring of activations."""
    found = []
    for m, group, ring, burst in itertools.product((1, 2, 3), (24, 32), (32, 128), (1, 16)):
        tile = family("mx").from_values({"m": m, "n": 8, "k": 4, "group": group, "post_lanes": 1})
        around = {"act_ring": ring, "bus_bits": 128, "burst": burst}
        found.append(Design(tile=tile, pre="mx", **around))
        if m == 1:
            found.append(Design(tile=tile, pre="mx", pre_source="fp32", **around))
    return found


def random_jobs(rng: np.random.Generator, geometry: Geometry, count: int) -> dict[str, np.ndarray]:
    """Jobs of one step to a million, also such as no ring could hold: what counts is that both say the same."""
    most = np.exp(rng.uniform(0, np.log(1e6), count))
    steps = np.minimum(np.exp(rng.uniform(0, np.log(4096), count)), most + 1).astype(int)
    blocks = most / steps
    m = np.exp(rng.uniform(0, np.log(blocks + 1))).astype(int)
    groups = np.where(geometry.group_steps > 0, ceil_div(steps, np.maximum(geometry.group_steps, 1)), 1)
    counts = {"m_blocks": m, "n_blocks": (blocks / m).astype(int) + 1, "k_steps": steps, "k_groups": groups}
    flags = {name: rng.integers(2, size=count) for name in FLAGS}
    bus_bytes = PAGE_BYTES // geometry.page
    return {**counts, **flags, **{name: rng.integers(1 << 16, size=count) * bus_bytes for name in ADDRESSES}}


def at(geometry: Geometry, index: np.ndarray) -> Geometry:
    """Those of some designs."""
    streams = {
        name: type(stream)(*(getattr(stream, one.name)[index] for one in fields(stream)))
        for name, stream in geometry.streams.items()
    }
    rest = {one.name: getattr(geometry, one.name)[index] for one in fields(Geometry) if one.name != "streams"}
    return Geometry(streams, **rest)


@cache
def drawn() -> tuple[tuple[Any, ...], ClosedCycles]:
    """Arguments of the closed form of random points, and what the array code says of them."""
    rng = np.random.default_rng(11)
    before = before_rings()
    some = [*before, *itertools.islice(designs(rng, True), 380), *itertools.islice(designs(rng, False), 400)]
    index = np.repeat(np.arange(len(some)), POINTS // len(some) + 1)
    geometry = at(Geometry.stack([Geometry.of(design) for design in some]), index)
    latency = rng.choice((1, 4, 10, 20, 40, 80, 160), len(index))
    cycles = rng.choice((1, 1, 2, 3, 6, 256), len(index))
    arguments = (
        *(geometry, random_jobs(rng, geometry, len(index))),
        *(latency, rng.integers(1, cycles + 1), cycles),
    )
    return arguments, closed_job_cycles(*arguments)


def differing(some: ClosedCycles | BestJobs, other: ClosedCycles | BestJobs) -> int:
    """Points of which cycles, marks or regimes are not equal."""
    names = ("cycles", "exact", "regime")
    return int(np.logical_or.reduce([getattr(some, name) != getattr(other, name) for name in names]).sum())


def test_the_kernel_builds() -> None:
    """Where it does not, sweeps take the array code with a warning; here the compiler's words are seen."""
    assert compiled.loaded(compiled.sources()) is not None
    assert compiled.kernel() is not None


def test_jobs_are_equal_bit_for_bit() -> None:
    arguments, wanted = drawn()
    found = compiled.job_cycles(*arguments)
    assert found is not None
    assert len(wanted.cycles) >= 100_000
    assert differing(found, wanted) == 0
    # All that the kernel leaves out or takes together is among the points.
    assert set(np.unique(wanted.regime)) == set(range(len(REGIMES)))
    assert 0.01 < wanted.exact.mean() < 0.9
    geometry, jobs = arguments[:2]
    assert (geometry.pre > 0).any()
    assert all((stream.there == 0).any() or name in ("weights", "acts") for name, stream in geometry.streams.items())
    assert all(set(np.unique(jobs[name])) == {0, 1} for name in FLAGS)


@pytest.mark.few(3)
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("- 1.0 - place), all(1))", "- place), all(1))"),
        ("kTurn[o] > kTurn[s]", "kTurn[o] < kTurn[s]"),
        ("w_flush) + 3.0", "w_flush) + 2.0"),
        ("V late = p.nth_from", "V late = 1.0 + p.nth_from"),
        ("ceil_div(more + 1.0)", "ceil_div(more)"),
        ("pick(slower, hops[1], hops[0])", "pick(slower, hops[0], hops[1])"),
        ("one + RING - 1.0 + behind", "one + RING + behind"),
    ],
)
def test_a_fault_is_seen(right: str, wrong: str) -> None:
    made = compiled.sources()
    text = made["closed.cpp"].replace(right, wrong)
    assert text != made["closed.cpp"]
    library = compiled.loaded({**made, "closed.cpp": text})
    arguments, wanted = drawn()
    found = compiled.job_cycles(*arguments, library=library)
    assert found is not None
    assert differing(found, wanted) > 0


TILES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("int", {"bits": 4, "post_lanes": 2}, {}),
    ("int", {"bits": 4, "group": 0, "transport": "systolic"}, {}),
    ("int", {"bits": 4, "group": 0}, {"result": "int8", "result_lanes": 2}),
    ("bitmod", {}, {}),
    ("mx", {}, {}),
    ("lut", {"bits": 2, "group": 0}, {}),
    ("mixpe", {"post_lanes": 2}, {"result": "fp16", "outer": True, "bias": True}),
]


def many(name: str, values: Mapping[str, Any], around: Mapping[str, Any], count: int, layers: int) -> DesignArrays:
    rng = np.random.default_rng(count)
    tile = family(name).from_values({"depth": 1024, **values})
    p = {**tile.p, "m": rng.choice((1, 2, 4), count), "n": rng.choice((4, 8, 16), count)}
    drawn_of = {
        "bus_bits": (64, 128, 256, 512),
        "weight_ring": (2, 32, 128, 2000),
        "act_ring": (2, 32, 128, 2000),
        "burst": (1, 4, 16),
        "outstanding": (1, 4, 8),
    }
    d = {**Design(tile=tile, **around).p, **{key: rng.choice(choices, count) for key, choices in drawn_of.items()}}
    cycles = rng.choice((1, 2, 7), (layers, count))
    return DesignArrays(type(tile), p, d, rng.choice((5, 20, 60), count), rng.integers(1, cycles + 1), cycles)


def sizes(rng: np.random.Generator, shape: tuple[int, int]) -> list[np.ndarray]:
    return [np.exp(rng.uniform(0, np.log(most), shape)).astype(int) + 1 for most in (600, 900, 1500)]


@pytest.mark.parametrize(("name", "values", "around"), TILES, ids=[f"{one[0]} {one[1]}" for one in TILES])
@pytest.mark.parametrize("shape", [(3, 500), (130, 5), (1, 1), (5, 3)], ids=str)
def test_best_jobs_are_equal(
    name: str, values: Mapping[str, Any], around: Mapping[str, Any], shape: tuple[int, int]
) -> None:
    made = many(name, values, around, shape[1], shape[0])
    rng = np.random.default_rng(shape)
    for of in ((shape[0], 1), shape):
        m, n, k = sizes(rng, of)
        for orders in ((0, 1), (1,)):
            found, wanted = made.best_of_sizes(m, n, k, orders), made.best_by_arrays(m, n, k, orders)
            assert differing(found, wanted) == 0
            assert found.job.keys() == wanted.job.keys()
            for field, value in wanted.job.items():
                assert np.array_equal(found.job[field], value), field


def test_points_do_not_depend_on_what_stands_beside_them() -> None:
    """Also where others have streams that they do not have."""
    geometry, jobs, *memory = drawn()[0]

    def some(index: np.ndarray) -> ClosedCycles:
        chosen = {name: value[index] for name, value in jobs.items()}
        return closed_job_cycles(at(geometry, index), chosen, *(one[index] for one in memory))

    for stream in (geometry.streams[name] for name in ("weight_sides", "act_sides", "channels")):
        without, others = np.flatnonzero(stream.there == 0)[:10_000], np.flatnonzero(stream.there)[:100]
        alone, among = some(without), some(np.concatenate([without, others]))
        assert np.array_equal(alone.cycles, among.cycles[: len(without)])
        assert np.array_equal(alone.exact, among.exact[: len(without)])


def test_what_doubles_do_not_hold_is_left_to_the_array_code() -> None:
    made = many(*TILES[0], 8, 1)
    m, n, k = (np.array([[size]]) for size in (1 << 16, 1 << 16, 1 << 12))
    counts, shape = made.counts(m, n, k), (1, 8)
    memory = made.latency, 1, 1 << 20
    assert compiled.best_jobs(made.geometry, counts, memory, shape, (0, 1)) is None
    slow = DesignArrays(made.spec, made.p, made.d, made.latency, 1, 1 << 20)
    assert differing(slow.best_of_sizes(m, n, k), slow.best_by_arrays(m, n, k)) == 0


def test_without_a_compiler_the_array_code_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> None:
        raise HwgenError("g++: not found")

    made = many(*TILES[0], 40, 2)
    m, n, k = sizes(np.random.default_rng(1), (2, 1))
    fast = made.best_of_sizes(m, n, k)
    compiled.kernel.cache_clear()
    monkeypatch.setattr(compiled, "loaded", missing)
    try:
        with pytest.warns(
            HwgenWarning, match="come from array code, many times slower, .* g\\+\\+: not found; see hwgen"
        ):
            assert compiled.kernel() is None
        assert differing(made.best_of_sizes(m, n, k), fast) == 0
    finally:
        compiled.kernel.cache_clear()
