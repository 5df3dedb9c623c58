"""Everything software can do wrong to an accelerator, at any time: it is told what, and the next job is right."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable

import numpy as np
import pytest

from hwgen.accelerator.registers import ErrorCause as Cause
from hwgen.simulators.bus import MemoryModel, Reset, Wait
from hwgen.verify import CompiledAccelerator, Task
from rtl_tests.accelerator.cases import CASES, Case, tasks
from rtl_tests.accelerator.programs import ABORT, BUSY, DONE, ERROR, GO, PATIENCE, Script, mistakes, tour

pytestmark = pytest.mark.rtl

MEMORIES = (MemoryModel(), MemoryModel(latency=25, beats=(1, 2)), MemoryModel(latency=9, seed=5))
"""A fast memory, a slow one, and one that does as it likes."""
QUICK = (CASES[0], CASES[15])
"""Raw sums, and results of side information on both operands of which many share a beat."""
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
every_memory = pytest.mark.parametrize("memory", MEMORIES, ids=("fast", "slow", "random"))


def prepared(case: Case) -> tuple[CompiledAccelerator, list[Task]]:
    """The accelerator and a few tasks, small ones first."""
    return _prepared(CASES.index(case))


@functools.lru_cache(4)
def _prepared(number: int) -> tuple[CompiledAccelerator, list[Task]]:
    case = CASES[number]
    return CompiledAccelerator(case.build()), sorted(tasks(case, 8, seed=1), key=_work)


def _work(task: Task) -> int:
    return task.job.blocks * task.job.k_steps


def complaints(scripts: Iterable[Script], memory: MemoryModel) -> list[str]:
    """What is wrong with runs of all these."""
    scripts = list(scripts)
    jobs = [script.bus_job(memory) for script in scripts]
    found = scripts[0].compiled.simulator.run_many(jobs, raising=False)
    return [text for script, run in zip(scripts, found, strict=True) for text in script.judged(run)]


def cycles(compiled: CompiledAccelerator, task: Task, memory: MemoryModel) -> int:
    """From the start to the interrupt."""
    script = Script(compiled)
    script.good(task)
    return int(compiled.simulator.run(script.ops, script.bus_job().image, memory).irq_cycles[0])


def moments(length: int, most: int) -> list[int]:
    """Cycles of a job at which something happens to it: its begin, its end and some between."""
    return sorted({*range(16), *range(0, length, max(length // most, 1)), *range(max(length - 24, 0), length + 4)})


# ------------------------------------------------------------------ programs that are wrong


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
def test_every_mistake_is_told_and_the_next_job_is_right(case: Case) -> None:
    compiled, drawn = prepared(case)
    script = tour(compiled, [drawn[1], drawn[0], drawn[6]])
    assert complaints([script], MEMORIES[2]) == []


@pytest.mark.slow
@every_memory
@every_case
def test_every_mistake_of_every_case(case: Case, memory: MemoryModel) -> None:
    compiled, drawn = prepared(case)
    assert complaints([tour(compiled, [drawn[4], drawn[2], drawn[6]])], memory) == []


def test_what_is_not_as_expected_is_found() -> None:
    """The judge itself: another error, another status, another result."""
    compiled, drawn = prepared(CASES[0])
    script = Script(compiled)
    wrong = next(mistakes(script, drawn[0]))
    script.bad(dataclasses.replace(wrong, cause=Cause.GROUPS))
    script.good(drawn[0])
    script.expect("JOBS", "JOBS", 1)
    job = script.bus_job()
    result = compiled.simulator.run(job.script, job.image)
    result.memory[0][-1] ^= 1
    texts = script.judged(result)
    assert [text.split(" is ")[0].split("[")[0] for text in texts] == [
        f"{wrong.name}: ERROR",
        "JOBS",
        "good job: o_sums",
    ]


# ------------------------------------------------------------------ moments


def swept(case: Case, memory: MemoryModel, most: int) -> tuple[CompiledAccelerator, list[Task], int, list[int]]:
    compiled, drawn = prepared(case)
    length = cycles(compiled, drawn[1], memory)
    return compiled, drawn, length, moments(length, most)


def aborted(case: Case, memory: MemoryModel, most: int) -> list[Script]:
    compiled, drawn, length, found = swept(case, memory, most)
    scripts = []
    for moment in found:
        script = Script(compiled)
        script.doomed(drawn[1])
        script.pause(moment)
        script.control(ABORT)
        script.wait()
        # Two cycles to the write's acceptance, and five in which the end of a job is on its way to the interrupt.
        ended = moment >= length - 8
        script.expect(f"STATUS, aborted after {moment}", "STATUS", ERROR, *((DONE,) if ended else ()))
        script.expect(f"ERROR, aborted after {moment}", "ERROR", Cause.ABORTED, *((0,) if ended else ()))
        script.clear()
        script.good(drawn[1])
        script.good(drawn[2])
        script.expect("JOBS", "JOBS", 3)
        scripts.append(script)
    return scripts


def aborted_with_one_queued(case: Case, memory: MemoryModel, most: int) -> list[Script]:
    compiled, drawn, length, found = swept(case, memory, most)
    after = cycles(compiled, drawn[2], memory)
    scripts = []
    for moment in found:
        script = Script(compiled)
        script.doomed(drawn[1])
        # The second one runs to its end, whenever the first one ends.
        if moment < length - 8 - 20 * 2:
            script.begin(drawn[2], f"queued before an abort after {moment}")
        else:
            script.doomed(drawn[2])
        script.pause(moment)
        script.control(ABORT)
        script.pause(3 * (length + after) + 100)
        script.expect("JOBS", "JOBS", 2)
        script.clear()
        script.good(drawn[1])
        scripts.append(script)
    return scripts


def reset(case: Case, memory: MemoryModel, most: int) -> list[Script]:
    compiled, drawn, _, found = swept(case, memory, most)
    scripts = []
    for moment in found:
        script = Script(compiled)
        script.doomed(drawn[1])
        script.pause(moment)
        script.ops.append(Reset(1 + moment % 3))
        for name in ("STATUS", "ERROR", "JOBS", "CONTROL", "CYCLES_LO", "M_BLOCKS"):
            script.expect(f"{name} after a reset", name, 0)
        script.good(drawn[1])
        script.good(drawn[2])
        scripts.append(script)
    return scripts


def watched(case: Case, memory: MemoryModel, most: int) -> list[Script]:
    """Whoever polls STATUS sees a job from the answer to its start on until it is done."""
    compiled, drawn, _, found = swept(case, memory, most)
    scripts = []
    for moment in found:
        script = Script(compiled)
        script.begin(drawn[1])
        script.pause(moment)
        script.expect(f"STATUS after {moment}", "STATUS", BUSY, DONE)
        script.wait()
        scripts.append(script)
    return scripts


def cleared(case: Case, memory: MemoryModel, most: int) -> list[Script]:
    """STATUS is cleared as a job ends: its end is never lost."""
    compiled, drawn, length, _ = swept(case, memory, most)
    scripts = []
    for moment in range(max(length - 12, 0), length + 6):
        script = Script(compiled)
        script.begin(drawn[1])
        script.pause(moment)
        script.clear()
        script.expect("JOBS", "JOBS", 0, 1)
        script.ops.append(Wait(2 * length))
        # What was cleared had been seen; random memories may be done at any time.
        script.expect(f"STATUS, cleared after {moment}", "STATUS", DONE, *((0,) if moment >= length - 3 else ()))
        script.expect("JOBS", "JOBS", 1)
        scripts.append(script)
    return scripts


def started_again(case: Case, memory: MemoryModel, most: int) -> list[Script]:
    """A second job is started as the first one ends."""
    compiled, drawn, length, _ = swept(case, memory, most)
    writes = 2 * len(compiled.emission.job_words(drawn[1].job))
    scripts = []
    for moment in range(max(length - writes - 16, 0), length - writes + 12 if length > writes else 12):
        script = Script(compiled)
        script.begin(drawn[1], "first")
        job = script.promise(drawn[2], f"second, started after {moment}")
        script.describe(job)
        script.pause(moment)
        script.control(GO)
        script.ops.append(Wait(3 * length + PATIENCE // 40))
        script.expect("STATUS", "STATUS", DONE)
        script.expect("JOBS", "JOBS", 2)
        scripts.append(script)
    return scripts


SWEEPS = {
    "aborted": aborted,
    "aborted, one queued": aborted_with_one_queued,
    "reset": reset,
    "watched": watched,
    "STATUS cleared": cleared,
    "started again": started_again,
}


@pytest.mark.few(8)
@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
@pytest.mark.parametrize("sweep", SWEEPS)
def test_any_moment(case: Case, sweep: str) -> None:
    assert complaints(SWEEPS[sweep](case, MEMORIES[1], 12), MEMORIES[1]) == []


@pytest.mark.slow
@every_case
@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_moment(case: Case, sweep: str) -> None:
    # Each case meets each memory in two sweeps, each sweep each memory in a third of the cases.
    memory = MEMORIES[(CASES.index(case) + list(SWEEPS).index(sweep)) % len(MEMORIES)]
    assert complaints(SWEEPS[sweep](case, memory, 60), memory) == []


def muddle(case: Case, seed: int) -> Script:
    """Jobs, mistakes, aborts and resets in any order at any time."""
    compiled, drawn = prepared(case)
    rng = np.random.default_rng(seed)
    script = Script(compiled)
    wrong = list(mistakes(script, drawn[2]))
    for number in range(12):
        match rng.integers(5):
            case 0:
                script.bad(wrong[rng.integers(len(wrong))])
            case 1:
                # Two at once; whatever becomes of them, both are over in the end.
                script.describe(wrong[rng.integers(len(wrong))].job)
                script.control(GO)
                script.doomed(drawn[rng.integers(3)])
                script.pause(int(rng.integers(200)))
                script.control(ABORT)
                script.ops.append(Wait(PATIENCE // 10))
                script.expect(f"STATUS of two at once, {number}", "STATUS", ERROR, DONE | ERROR)
                script.clear()
            case 2:
                script.doomed(drawn[rng.integers(5)])
                script.pause(int(rng.integers(400)))
                script.ops.append(Reset(int(rng.integers(1, 4))))
            case 3:
                script.describe(wrong[rng.integers(len(wrong))].job)
                script.control(GO)
                script.begin(drawn[rng.integers(4)], f"behind a mistake, {number}")
                script.ops.append(Wait(PATIENCE // 10))
                script.expect(f"STATUS behind a mistake, {number}", "STATUS", DONE | ERROR)
                script.clear()
            case _:
                # An abort when nothing runs is none.
                script.control(ABORT)
        script.good(drawn[rng.integers(5)], f"good job {number} of seed {seed}")
    return script


@pytest.mark.slow
@every_case
def test_anything_in_any_order(case: Case) -> None:
    for seed in range(12):
        memory = MemoryModel(latency=1 + 5 * (seed % 4), seed=seed, gap=(0.1, 0.5, 0.8)[seed % 3])
        assert complaints([muddle(case, seed)], memory) == []
