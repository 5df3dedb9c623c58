"""Accelerators at their limits: counts that fill the counters, the top of the address space, bursts of a whole page."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hwgen.accelerator import Design, Job, Memory, exact
from hwgen.pe import family
from hwgen.schedule import Layer, Schedule
from hwgen.simulators.bus import MemoryModel, Read
from hwgen.verify import CompiledAccelerator, Task
from rtl_tests.accelerator.programs import Script

pytestmark = pytest.mark.rtl

LARGEST = 255
"""Of counts of 8 bits."""


def small_design(**values: object) -> Design:
    """A small tile with sums over the whole row."""
    tile = family("int").from_values({"m": 1, "n": 2, "k": 2, "bits": 3, "group": 0, "depth": 1024})
    return Design.from_values(tile, {"count_bits": 8, "weight_ring": 64, "act_ring": 64, **values})


def grouped_design(**values: object) -> Design:
    """A small tile with side information on both operands and several results in a beat."""
    tile = family("lut").from_values({"m": 1, "n": 4, "k": 4, "bits": 4, "group": 64, "post_lanes": 2, "depth": 256})
    return Design.from_values(tile, {"count_bits": 8, "weight_ring": 64, "act_ring": 64, **values})


def task_of(design: Design, blocks: tuple[int, int, int], **flags: int) -> Task:
    """A layer of so many blocks of rows and of columns, and steps."""
    spec = design.tile
    outputs = spec.n * int(spec.layer_outputs(spec.p))
    rows, columns, steps = blocks
    schedule = Schedule(spec, Layer("limits", rows * spec.m, columns * outputs, steps * design.step_k))
    rng = np.random.default_rng(sum(blocks))
    acts, weights = (
        rng.standard_normal((count, schedule.layer.k)).astype(np.float32)
        for count in (schedule.layer.m, schedule.layer.n)
    )
    job = Job(rows, columns, steps, len(schedule.group_lengths), **flags)
    assert (schedule.row_blocks, schedule.col_blocks, schedule.row_steps) == blocks
    return Task(schedule, spec.quantize_acts(acts), spec.quantize_weights(weights), job, Memory(1))


def ran(compiled: CompiledAccelerator, task: Task) -> tuple[list[str], int, int]:
    """What is wrong with a job, the cycles it took, and those that the model says."""
    script = Script(compiled)
    job = script.begin(task)
    script.wait()
    script.ops = [op if not hasattr(op, "limit") else dataclasses.replace(op, limit=1 << 30) for op in script.ops]
    (run,) = compiled.simulator.run_many([script.bus_job(MemoryModel(latency=3))], raising=False)
    return script.judged(run), int(run.irq_cycles[0]), exact(compiled.design, job, Memory(3)).cycles


SHAPES = [(LARGEST, 1, 1), (1, LARGEST, 1), (1, 1, LARGEST), (LARGEST, LARGEST, 1), (LARGEST, 3, LARGEST)]
MORE = [(3, LARGEST, LARGEST), (LARGEST, LARGEST, 3), (LARGEST, 2, 254), (2, 254, LARGEST)]
SHAPE = pytest.mark.parametrize(
    "blocks", [*SHAPES[:2], *(pytest.param(one, marks=pytest.mark.slow) for one in (*SHAPES[2:], *MORE))], ids=str
)


@SHAPE
@pytest.mark.parametrize("order", [0, 1])
def test_largest_counts_run_to_the_end(blocks: tuple[int, int, int], order: int) -> None:
    compiled = CompiledAccelerator(small_design())
    found, cycles, modelled = ran(compiled, task_of(compiled.design, blocks, order=order))
    assert found == []
    assert cycles == modelled


@pytest.mark.slow
@SHAPE
def test_largest_counts_in_groups(blocks: tuple[int, int, int]) -> None:
    compiled = CompiledAccelerator(grouped_design())
    found, cycles, modelled = ran(compiled, task_of(compiled.design, blocks, order=1))
    assert found == []
    assert cycles == modelled


@pytest.mark.slow
@pytest.mark.parametrize("order", [0, 1])
def test_all_counts_at_once(order: int) -> None:
    """16 million steps; the first and the last blocks of the results are compared with jobs of their own."""
    compiled = CompiledAccelerator(small_design())
    design, at = compiled.design, {one.name: one.offset for one in compiled.emission.registers.registers}
    task = task_of(design, (LARGEST, LARGEST, LARGEST), order=order)
    script = Script(compiled)
    whole = script.hopeless(task)
    script.describe(whole)
    script.control(0x101)
    script.wait()
    script.ops = [op if not hasattr(op, "limit") else dataclasses.replace(op, limit=1 << 30) for op in script.ops]
    script.clear()
    beats, bus = whole.beats(design), design.bus_bytes
    # One block alone: the last row with the last column, and the first ones.
    parts = []
    for row, column in ((0, 0), (LARGEST - 1, LARGEST - 1), (7, LARGEST - 2)):
        one = dataclasses.replace(
            whole,
            m_blocks=1,
            n_blocks=1,
            acts=whole.acts + beats["acts"] // LARGEST * bus * row,
            weights=whole.weights + beats["weights"] // LARGEST * bus * column,
        )
        one = dataclasses.replace(one, result=script.loose(one))
        script.describe(one)
        script.control(0x101)
        script.wait()
        script.clear()
        place = column * LARGEST + row if order == 0 else row * LARGEST + column
        parts.append((one.result, place))
    script.ops.append(Read(at["JOBS"]))
    (run,) = compiled.simulator.run_many([script.bus_job()], raising=False)
    assert run.failure == ""
    assert run.reads[-1] == 1 + len(parts)
    assert run.irq_cycles[0] == exact(design, whole, Memory(1)).cycles
    size = max(bus // design.result_words_per_beat, 1) * design.result_beats
    for address, place in parts:
        got = run.memory[0][whole.result + place * size :][:size]
        assert np.array_equal(got, run.memory[0][address : address + size])


WIDE = {"address_bits": 40}
BASES = {
    "top of 32 bits": ({}, None),
    "top of 40 bits": (WIDE, None),
    "across 32 bits": (WIDE, (1 << 32) - 1024),
    "top of 64 bits": ({"address_bits": 64}, None),
}


@pytest.mark.few(1)
@pytest.mark.parametrize("where", BASES)
def test_addresses(where: str) -> None:
    """Memory that ends where addresses end, and memory around an address of which only the upper half changes."""
    values, base = BASES[where]
    compiled = CompiledAccelerator(grouped_design(**values))
    drawn = [task_of(compiled.design, blocks) for blocks in ((3, 5, 20), (2, 2, 16))]
    size = 0
    for turn in (0, 1):
        begin = (1 << compiled.design.address_bits) - size if base is None else base
        script = Script(compiled, begin if turn or base is not None else 0)
        for task in drawn:
            script.good(task, f"job in memory from {script.base:#x}")
        size = script.end - script.base
    assert base is not None or script.end == 1 << compiled.design.address_bits
    (run,) = compiled.simulator.run_many([script.bus_job(MemoryModel(latency=5, seed=2))], raising=False)
    assert script.judged(run) == []


PAGES = [(64, 256), (512, 64), (256, 128), (128, 256), (64, 1)]


@pytest.mark.few(1)
@pytest.mark.parametrize(("bus_bits", "burst"), PAGES)
def test_no_burst_crosses_a_page(bus_bits: int, burst: int) -> None:
    """Operands and results at any distance from the end of a page: the bench refuses what crosses it."""
    rings = {"weight_ring": 4096, "act_ring": 4096}
    compiled = CompiledAccelerator(grouped_design(bus_bits=bus_bits, burst=burst, count_bits=12, **rings))
    task = task_of(compiled.design, (9, 40, 32))
    rng = np.random.default_rng(4)
    for memory in (Memory(7), Memory(40, (3, 4))):
        script = Script(compiled)
        script.place(int(rng.integers(1, 4096 // compiled.design.bus_bytes)) * compiled.design.bus_bytes)
        job = script.begin(task, f"job from {script.end:#x}")
        script.wait()
        model = MemoryModel(latency=memory.latency, beats=memory.beats)
        (run,) = compiled.simulator.run_many([script.bus_job(model)], raising=False)
        assert script.judged(run) == []
        assert run.irq_cycles[0] == exact(compiled.design, job, memory).cycles
