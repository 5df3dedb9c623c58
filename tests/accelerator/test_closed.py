"""The closed form of a job's cycles: equal where it says so, near elsewhere, and the same for one as for many."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from hwgen.accelerator import Design, Job, Memory, exact
from hwgen.accelerator.closed import REGIMES, closed, closed_job_cycles
from hwgen.accelerator.flow import first_slots
from hwgen.accelerator.geometry import Geometry, job_arrays
from hwgen.pe import family
from reports.accelerator_closed import Compared, compared, page
from reports.accelerator_points import Point, points


@cache
def drawn() -> tuple[Point, ...]:
    kinds = ((600, 1, True), (300, 2, False))
    return tuple(point for kind in kinds for point in points(*kind, most_steps=60, of_a_design=8))


@cache
def found() -> Compared:
    return compared(drawn())


def test_marked_points_are_equal() -> None:
    some = found()
    marked = some.found.exact
    assert marked.mean() > 0.05
    assert (some.errors[marked] == 0).all()


def forms(design: Design) -> str:
    """How results of a design come about."""
    if design.requantises:
        return "integers"
    if design.channel_bits:
        return "channels"
    return "narrower" if design.result != "tile" else "tile"


@pytest.mark.parametrize("form", ["tile", "narrower", "channels", "integers"])
def test_results_of_all_forms_are_marked_and_near(form: str) -> None:
    some = found()
    own = np.array([forms(point.design) == form for point in drawn()])
    assert own.sum() > 30
    errors, marked = np.abs(some.errors[own]), some.found.exact[own]
    assert marked.mean() > 0.02
    assert (errors[marked] == 0).all()
    assert np.mean(errors == 0) > 0.4
    assert np.median(errors) < 0.005
    assert np.quantile(errors, 0.9) < 0.08
    assert errors.max() < 0.6


def test_engines_ask_as_a_walk_over_cycles_says() -> None:
    """Which stream asks when as a job begins: each every other cycle, the first of those that want to."""
    rng = np.random.default_rng(5)
    wanted = rng.integers(0, 6, (5, 400)) * rng.integers(0, 2, (5, 400))
    slots = first_slots(wanted)
    for own, at in zip(wanted.T, slots.T, strict=True):
        left, first, last, now = own.tolist(), {}, -1, 0
        while sum(left):
            turn = next((place for place, more in enumerate(left) if more and place != last), -1)
            if turn >= 0:
                first.setdefault(turn, now)
                left[turn] -= 1
            last, now = turn, now + 1
        assert first == {place: at[place] for place in first}
        assert set(first) == set(np.flatnonzero(own))


def test_one_point_alone_is_as_among_others() -> None:
    some = found()
    for place in range(0, len(drawn()), 50):
        point = drawn()[place]
        alone = closed(point.design, point.job, point.memory)
        assert (alone.cycles.item(), alone.exact.item(), alone.regime.item()) == (
            some.found.cycles[place],
            some.found.exact[place],
            some.found.regime[place],
        )


def test_a_sweep_over_memories_of_one_design() -> None:
    tile = family("int").from_values({"m": 2, "n": 4, "k": 4, "bits": 4, "group": 16})
    design, job = Design(tile=tile), Job(3, 5, 16, 4)
    latencies = np.array([1, 20, 100])
    some = closed_job_cycles(Geometry.of(design), job_arrays([job]), latencies)
    wanted = [exact(design, job, Memory(int(one))).cycles for one in latencies]
    assert np.all(np.abs(some.cycles - wanted) < 0.1 * np.array(wanted))
    assert all(one in range(len(REGIMES)) for one in some.regime)


def test_long_jobs_are_bound_by_what_their_regime_says() -> None:
    """Half the compute, half the beats, or half the latency: the job takes less only where that is the bound."""
    tile = family("int").from_values({"m": 4, "n": 8, "k": 8, "bits": 4, "group": 64, "post_lanes": 4})
    fast = Design(tile=tile, bus_bits=512, weight_ring=512, act_ring=512, burst=16, outstanding=16)
    held = Job(8, 16, 32, 4, order=0, hold_weights=1, hold_acts=1)
    again = Job(8, 16, 32, 4, order=0)
    assert REGIMES[closed(fast, held, Memory(1)).regime.item()] == "compute"
    assert REGIMES[closed(fast, again, Memory(1, (1, 4))).regime.item()] == "channel"
    slow = Design(tile=tile, bus_bits=512, weight_ring=512, act_ring=512, burst=4, outstanding=1)
    assert REGIMES[closed(slow, again, Memory(100)).regime.item()] == "flight"
    tight = Design(tile=tile, bus_bits=512, weight_ring=4, act_ring=4, burst=16, outstanding=16)
    assert REGIMES[closed(tight, again, Memory(100)).regime.item()] == "ring"
    for design, job, memory in ((fast, held, Memory(1)), (fast, again, Memory(1, (1, 4))), (slow, again, Memory(100))):
        wanted = exact(design, job, memory).cycles
        assert abs(closed(design, job, memory).cycles.item() - wanted) < 0.01 * wanted


def test_a_wrong_mark_is_seen() -> None:
    """The comparison itself: cycles that were others make the page say so."""
    some = found()
    wanted = some.wanted + np.where(some.found.exact, 1, 0)
    text = page(Compared(some.texts, some.unit, wanted, some.found), some)
    assert f"of which {int(some.found.exact.sum())} differ" in text
