"""A memory that rests when it likes: results are the same, and no job is faster than what it moves.

Two bounds are tried on jobs whose memory is never faster than `FASTEST`.

`least` holds for any memory with at most one beat a cycle and at least one cycle of latency, since it counts only what
no order of events can change: the first beat cannot come earlier, beats share a channel, steps share the tile, and
behind the last of them lies the way to the interrupt.

The cycle model with the fastest memory is no such bound. The streams share one address channel, and whoever asks first
goes first: a pause may let a stream go first that the tile waits for, where the faster memory made it wait behind one
that only fills its ring. `test_a_slower_memory_may_be_faster` shows it in the model itself. What is lost in this way is
bounded in practice, by `ANOMALY`.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from hwgen.accelerator import Design, Job, Memory, exact, placed
from hwgen.accelerator.exact import FIRST_CLEAR, LAST_WORDS
from hwgen.simulators.bus import MemoryModel
from hwgen.verify import CompiledAccelerator, Task
from rtl_tests.accelerator.cases import CASES, Case, tasks
from rtl_tests.accelerator.programs import Script

pytestmark = pytest.mark.rtl

FASTEST = Memory(1, (1, 1))
GAPS = (0.002, 0.02, 0.2, 0.6)
ANOMALY = 0.12
"""The largest share of the model's cycles by which pauses were ever allowed to make a job faster."""


def least(design: Design, job: Job, latency: int) -> int:
    """Cycles without which no memory of one beat a cycle and this latency can do a job."""
    tile = design.tile
    # A burst is worked out, granted and on the bus before its latency counts.
    first_beat = FIRST_CLEAR + 3 + latency
    # A beat becomes a word, which is offered to the tile three cycles later and taken in the next at the earliest.
    taken = 4
    end = int(tile.drain(tile.p)) + latency + LAST_WORDS
    reads = 0
    for name, stream in design.streams.items():
        passage = job.passage(name)
        reads += stream.beats(passage.words) * passage.blocks * passage.windows * passage.fetches
    steps = job.blocks * job.k_steps
    writes = job.beats(design)["result"]
    return first_beat + taken + max(reads, (steps - 1) * int(tile.layer_cycles(tile.p)) + 1, writes) - 1 + end


def small_tasks(case: Case, count: int) -> list[Task]:
    """Tasks that take few cycles, in which a pause matters most."""
    return sorted(tasks(case, 3 * count, seed=7), key=lambda task: task.job.blocks * task.job.k_steps)[:count]


def check(case: Case, count: int, seeds: int) -> None:
    compiled = CompiledAccelerator(case.build())
    scripts, jobs, bounds = [], [], []
    for task in small_tasks(case, count):
        script = Script(compiled)
        job = script.begin(task)
        script.wait()
        modelled = exact(compiled.design, job, FASTEST).cycles
        for seed, (gap, latency) in enumerate(itertools.product(GAPS, (1, 8))):
            for again in range(seeds):
                model = MemoryModel(latency=latency, seed=1000 * again + seed, gap=gap)
                scripts.append(script)
                jobs.append(script.bus_job(model))
                bounds.append((least(compiled.design, job, 1), modelled))
    runs = compiled.simulator.run_many(jobs)
    assert [text for script, run in zip(scripts, runs, strict=True) for text in script.judged(run)] == []
    taken = np.array([int(run.irq_cycles[0]) for run in runs])
    sure, modelled_cycles = np.array(bounds).T
    assert (taken >= sure).all()
    assert (taken >= (1 - ANOMALY) * modelled_cycles).all()
    # Pauses cost something: the longest run of a job is far from the bound.
    assert (taken > 1.3 * modelled_cycles).any()


@pytest.mark.parametrize("case", [CASES[0], CASES[12]], ids=lambda case: case.name)
def test_results_and_bounds_of_a_few_jobs(case: Case) -> None:
    check(case, 4, 1)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_results_and_bounds(case: Case) -> None:
    check(case, 10, 3)


def test_least_is_below_the_model_and_not_far() -> None:
    ratios = []
    for case in CASES:
        design = case.build()
        for task in small_tasks(case, 4):
            job, _ = placed(design, task.job)
            for memory in (FASTEST, Memory(9, (1, 1)), Memory(3, (2, 5))):
                ratios.append(exact(design, job, memory).cycles / least(design, job, memory.latency))
    assert min(ratios) >= 1
    assert min(ratios) < 1.15
    assert np.median(ratios) < 4


def test_a_slower_memory_may_be_faster() -> None:
    """Why the model with the fastest memory is no bound: so it is in the model, which hardware follows to the cycle."""
    case = CASES[12]
    design = case.build()
    gains = []
    for task in small_tasks(case, 12):
        job, _ = placed(design, task.job)
        cycles = [exact(design, job, Memory(latency, (1, 1))).cycles for latency in (1, 2, 3, 4)]
        gains += [slow / fast for fast, slow in itertools.pairwise(cycles)]
    assert 1 - ANOMALY < min(gains) < 1


def test_a_run_that_is_too_fast_is_seen() -> None:
    """The bound is sharp enough: a tile that skips steps would be found out."""
    case = CASES[4]
    design = case.build()
    task = max(small_tasks(case, 8), key=lambda task: task.job.k_steps * task.job.blocks)
    job, _ = placed(design, task.job)
    half = dataclasses.replace(job, n_blocks=max(job.n_blocks // 2, 1))
    assert exact(design, half, FASTEST).cycles < least(design, job, 1) or job.n_blocks == 1
