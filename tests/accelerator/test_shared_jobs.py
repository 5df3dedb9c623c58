"""Jobs of a layer that the compiled kernel works out together: equal to each job by array code, also at the edges.

Where rings hold a block, two, or all of what is read, jobs that hold an operand begin as the others do or they do not,
and the latest of several bounds changes: rings, sizes and bursts are drawn around there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.accelerator import Design, compiled
from hwgen.accelerator.best import BestJobs, DesignArrays
from hwgen.accelerator.job import FLAGS
from hwgen.pe import family
from hwgen.simulators import find

pytestmark = pytest.mark.skipif(find("g++") is None, reason="g++ is not installed; .ci/run demands it")

TILES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("int", {"bits": 4, "post_lanes": 2}, {}),
    ("int", {"bits": 8, "group": 0}, {"result": "int8", "result_lanes": 2}),
    ("bitmod", {}, {}),
    ("mixpe", {"post_lanes": 2}, {"result": "fp16", "outer": True, "bias": True}),
]
COUNT = 4000


def around_edges(name: str, values: dict[str, Any], around: dict[str, Any], seed: int) -> tuple[DesignArrays, Any]:
    """Designs, and a layer for each, whose rings hold about a block of it, two, or an operand; sizes [1, designs]."""
    rng = np.random.default_rng(seed)
    tile = family(name).from_values({"depth": 1024, **values})
    p = {**tile.p, "m": rng.choice((1, 2, 4), COUNT), "n": rng.choice((4, 8, 16), COUNT)}
    m, n, k = (np.exp(rng.uniform(0, np.log(most), (1, COUNT))).astype(int) + 1 for most in (40, 200, 3000))
    around = Design(tile=tile, **around).p
    counts = DesignArrays(type(tile), p, around, 1).counts(m, n, k)
    steps, edges = counts["k_steps"][0], {}
    for operand, blocks in (("weight_ring", counts["n_blocks"][0]), ("act_ring", counts["m_blocks"][0])):
        times = np.choose(
            rng.integers(6, size=COUNT), [steps, steps, 2 * steps, steps * blocks, steps + steps * blocks, 16]
        )
        edges[operand] = np.clip(times + rng.integers(-1, 2, size=COUNT), 2, 1 << 14)
    d = {
        **around,
        **edges,
        "bus_bits": rng.choice((64, 128, 256), COUNT),
        "burst": rng.choice((1, 4, 16, 64), COUNT),
        "outstanding": rng.choice((1, 2, 4, 8), COUNT),
    }
    cycles = np.where(rng.random((1, COUNT)) < 0.7, 1, rng.choice((2, 7), (1, COUNT)))
    made = DesignArrays(type(tile), p, d, rng.choice((5, 20, 60), COUNT), rng.integers(1, cycles + 1), cycles)
    return made, (m, n, k)


def differing(made: DesignArrays, sizes: Any, wanted: BestJobs, library: Any = None) -> int:
    """Pairs of a layer and a design whose best job by the kernel is another, or takes other cycles."""
    memory = made.latency, made.share, made.cycles
    found = compiled.best_jobs(made.geometry, made.counts(*sizes), memory, (1, COUNT), (0, 1), library=library)
    assert found is not None
    of_arrays = {"cycles": wanted.cycles, "exact": wanted.exact, "regime": wanted.regime}
    of_arrays |= {name: wanted.job[name] for name in FLAGS}
    return int(np.logical_or.reduce([found[name] != value for name, value in of_arrays.items()]).sum())


@pytest.mark.few(2)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "values", "around"), TILES, ids=[f"{one[0]} {one[1]}" for one in TILES])
def test_jobs_around_edges_are_equal(name: str, values: dict[str, Any], around: dict[str, Any], seed: int) -> None:
    made, sizes = around_edges(name, values, around, seed)
    wanted = made.best_by_arrays(*sizes)
    assert differing(made, sizes, wanted) == 0
    # Nearly every choice is the best of some, and all that bounds jobs does.
    choices = sum(np.asarray(wanted.job[flag][0]) << place for place, flag in enumerate(FLAGS))
    assert len(np.unique(choices)) >= 6
    assert len(np.unique(wanted.regime)) >= 4


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("(f.image >= f.beats + f.capacity)", "(f.image >= f.beats)"),
        ("bool alike = !any(bounds.others[held]);", "bool alike = true;"),
        ("return found * (1.0 + 9.094947017729282e-13) + 1.0;", "return found * 0.97;"),
        ("smaller(f.head_most, all_came) + rounds * f.trip_most", "smaller(f.head_most, all_came)"),
    ],
)
def test_a_fault_is_seen(right: str, wrong: str) -> None:
    made = compiled.sources()
    assert made["closed.cpp"].count(right) == 1
    library = compiled.loaded({**made, "closed.cpp": made["closed.cpp"].replace(right, wrong)})
    seen = 0
    for seed, (name, values, around) in enumerate(TILES):
        designs, sizes = around_edges(name, values, around, seed)
        seen += differing(designs, sizes, designs.best_by_arrays(*sizes), library)
    assert seen > 0
