"""Blocks that an accelerator makes of values before its ring: elements and scales by tables, cycles, errors, faults."""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module, Value
from amaranth.sim import Simulator, SimulatorContext

from hwgen.accelerator import Design, Job, Memory, exact, memory_acts, pack_acts, placed
from hwgen.accelerator.block_plan import BlockPlan
from hwgen.accelerator.block_quantiser import BlockQuantiser
from hwgen.accelerator.closed import closed
from hwgen.accelerator.exact import _Pre
from hwgen.accelerator.inventory import accelerator_blocks
from hwgen.accelerator.registers import ErrorCause as Cause
from hwgen.accelerator.registers import Stream as Which
from hwgen.accelerator.sram import Sram
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.schedule import Layer, Schedule
from hwgen.simulators import lint
from hwgen.simulators.bus import MemoryModel
from hwgen.verify import CompiledAccelerator, Task
from rtl_tests.accelerator.cases import PRE_CASES, Case, differences, tasks
from rtl_tests.accelerator.programs import Mistake, Script, tour
from tests.accelerator.block_oracle import block_codes, finite_words, scale_code, values_of

pytestmark = pytest.mark.rtl

SMALL = PRE_CASES[0]

# ---------------------------------------------------------------------- the block alone

ALONE = {
    "words of several beats, rows of two": ({"m": 2, "k": 8}, {"bus_bits": 64}),
    "rows of one beat, FP32": ({"m": 2, "k": 4, "acts": "mxint8"}, {"bus_bits": 128, "pre_source": "fp32"}),
    "words that are filled up": ({"m": 3, "k": 4, "acts": "mxfp8_e4m3"}, {"bus_bits": 128, "pre_source": "bf16"}),
    "several words a beat": ({"m": 1, "k": 4, "acts": "mxfp6_e3m2", "block_rule": "ceil"}, {"bus_bits": 128}),
}


def alone(name: str) -> Design:
    tile, design = ALONE[name]
    spec = family("mx").from_values({"n": 4, "group": 16, "post_lanes": 4, "depth": 64, **tile})
    return Design.from_values(spec, {"act_ring": 16, "pre": "mx", **design})


def place_sram(m: Module, name: str, depth: int, bits: int, inputs: dict[str, Value]) -> Value:
    m.submodules[name] = sram = Sram(depth, bits)
    m.d.comb += [getattr(sram, port).eq(value) for port, value in inputs.items()]
    return sram.r_data


def entries(plan: BlockPlan, beats: list[int], blocks: int, came: list[bool]) -> list[tuple[int, int]]:
    """Cycle and entry of what leaves; ``came``: in which cycles a beat comes."""
    block = BlockQuantiser(plan, 16, place_sram)
    found: list[tuple[int, int]] = []

    async def bench(context: SimulatorContext) -> None:
        context.set(block.beats, len(beats) // blocks)
        context.set(block.clear, 1)
        await context.tick()
        context.set(block.clear, 0)
        left = list(beats)
        for cycle in range(len(came)):
            context.set(block.beat_valid, came[cycle])
            # Between beats there is noise.
            context.set(block.beat, left.pop(0) if came[cycle] else (1 << plan.bus_bits) - 1 - cycle)
            await context.delay(1e-9)
            if context.get(block.o_valid):
                found.append((cycle, context.get(block.o_entry)))
            assert context.get(block.busy) or not context.get(block.o_valid)
            assert not context.get(block.not_finite)
            await context.tick()
        assert not context.get(block.busy)

    simulator = Simulator(block)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return found


@pytest.mark.parametrize("name", ALONE)
def test_elements_and_scales_are_those_of_the_tables(name: str) -> None:
    """Words of any value in blocks of any size, in beats that come one after the other or not; and to the cycle."""
    design = alone(name)
    plan = design.block_plan
    assert plan is not None
    tile, source = design.tile, design.pre_source
    rng = np.random.default_rng(len(name))
    k, rows, group = 44, 2 * tile.m, tile.group
    words = finite_words(rng.integers(0, 1 << plan.source_bits, (rows, k), np.uint64).astype(np.uint32), source)
    # Blocks of small values beside any, a row of zeros, and negative zeros.
    words[0, group:] &= np.uint32((1 << (plan.source_bits - 3)) - 1)
    words[1, :group] = 0
    words[1, 3] = 1 << (plan.source_bits - 1)
    values = values_of(words, source)
    schedule = Schedule(tile, Layer("alone", rows, 4, k))
    acts = memory_acts(design, values)
    assert np.array_equal(acts.codes, words)
    image = pack_acts(design, schedule, acts)["acts"]
    beats = [int.from_bytes(beat.tobytes(), "little") for beat in image.reshape(-1, design.bus_bytes)]
    came = [False] * 400
    cycle = 0
    for number in range(len(beats)):
        cycle += 1 + (0 if number < len(beats) // 2 else int(rng.integers(3)))
        came[cycle] = True
    found = entries(plan, beats, schedule.row_blocks, came)
    model = _Pre(plan, len(beats) // schedule.row_blocks)
    times = []
    for cycle, comes in enumerate(came):
        if comes:
            model.beat(cycle)
        if model.entry(cycle):
            times.append(cycle)
    assert [cycle for cycle, _ in found] == times
    element = tile.acts
    bits, per_word = plan.form.bits, tile.m * tile.k
    checked = 0
    for block in range(schedule.row_blocks):
        own = [entry for _, entry in found[block * len(found) // 2 : (block + 1) * len(found) // 2]]
        unpacked = [entry >> plan.word_bits * place for entry in own for place in range(plan.words_per_beat)]
        for step in range(schedule.row_steps):
            word, first = unpacked[step], step * tile.k
            start = first // group * group
            for row in range(tile.m):
                of_row = values[block * tile.m + row]
                scale = scale_code(float(np.abs(of_row[start : start + group]).max()), element, tile.block_rule)
                assert word >> (per_word * bits + 8 * row) & 0xFF == scale
                part = of_row[first : first + tile.k]
                wanted = block_codes(part, scale, element)
                for place, code in enumerate(wanted):
                    assert word >> (row * tile.k + place) * bits & ((1 << bits) - 1) == code
                    checked += 1
    assert checked == rows * k


# ---------------------------------------------------------------------- in an accelerator


@functools.cache
def compiled() -> CompiledAccelerator:
    return CompiledAccelerator(SMALL.build())


def test_every_mistake_is_told_and_the_next_job_is_right() -> None:
    drawn = sorted(tasks(SMALL, 8, seed=1), key=lambda task: task.job.blocks * task.job.k_steps)
    script = tour(compiled(), [drawn[1], drawn[0], drawn[6]])
    job = script.bus_job(MemoryModel(latency=9, seed=5))
    assert script.judged(compiled().simulator.run_many([job], raising=False)[0]) == []


def test_infinities_end_a_job() -> None:
    script = Script(compiled())
    drawn = tasks(SMALL, 3, seed=7)
    design = compiled().design
    for number, (word, place) in enumerate([(0x7C00, 0), (0xFC00, -1), (0x7E01, 5)]):
        task = drawn[number]
        image = pack_acts(design, task.schedule, task.acts)["acts"].view("<u2").copy()
        used = np.flatnonzero(image)
        image[used[place]] = word
        wrong = dataclasses.replace(script.hopeless(task), acts=script.place(image.view(np.uint8)))
        script.bad(Mistake(f"{word:#x}", wrong, Cause.NOT_FINITE, (int(Which.ACTS),)))
        script.good(drawn[0], f"after {word:#x}")
    job = script.bus_job(MemoryModel(latency=4))
    assert script.judged(compiled().simulator.run_many([job], raising=False)[0]) == []


FAULTS = {
    "blocks of a row share their largest": (r"assign so_far_1 = .* \? .* : (.*);", r"assign so_far_1 = \1;"),
    "elements are cut": (r"assign (\S+_rounded) = (.*) \+ .*;", r"assign \1 = \2;"),
    "the scales of another block": (r"= read_slot \? scales_1 : scales_0;", "= scales_0;"),
    "a beat is read too early": (r"assign reads = .*;", "assign reads = closing | (complete != 2'h0);"),
}
"""What is in the block, and what takes its place."""


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(fault: str) -> None:
    emission = compiled().emission
    found = re.search(rf"module {emission.top}_pre ?\(.*?endmodule", emission.verilog, re.S)
    assert found
    old, new = FAULTS[fault]
    changed, count = re.subn(old, new, found[0], count=1)
    assert count, fault
    faulty = CompiledAccelerator(
        compiled().design, dataclasses.replace(emission, verilog=emission.verilog.replace(found[0], changed))
    )
    drawn = tasks(SMALL, 8, seed=5)
    try:
        wrong: list[Any] = differences(faulty, drawn, faulty.run(drawn, limit=200_000))
    except HwgenError as error:
        wrong = [error]
    assert wrong


@pytest.mark.parametrize(
    "case", [SMALL, pytest.param(PRE_CASES[1], marks=pytest.mark.slow)], ids=lambda case: case.name
)
def test_lint_finds_unread_bits_alone(case: Case) -> None:
    emission = compiled().emission if case is SMALL else CompiledAccelerator(case.build()).emission
    assert {warning.code for warning in lint(emission.verilog, emission.top)} <= {"UNUSEDSIGNAL"}


# ---------------------------------------------------------------------- models


def test_periods_that_are_taken_at_once_change_nothing() -> None:
    """The same job walked cycle by cycle, in a recording, and by jumps."""
    from hwgen.accelerator.recording import Recording

    tile = family("mx").from_values({"m": 2, "n": 4, "k": 8, "group": 32, "depth": 512, "post_lanes": 4})
    design = Design(tile=tile, act_ring=256, weight_ring=256, burst=8, pre="mx")
    for hold_acts in (0, 1):
        job, _ = placed(design, Job(200, 2, 32, 8, 1, 1, hold_acts))
        fast = exact(design, job, Memory(7))
        slow = exact(design, job, Memory(7), recording=Recording(1 << 30))
        assert (fast.cycles, fast.waits, fast.read_beats) == (slow.cycles, slow.waits, slow.read_beats)
        assert fast.jumps > slow.jumps == 0


def test_closed_form_does_not_vouch_for_it_and_costs_are_refused() -> None:
    for case in PRE_CASES:
        design = case.build()
        for task in tasks(case, 3, seed=2):
            job, _ = placed(design, task.job)
            near = closed(design, job, task.memory)
            assert not near.exact
            assert near.cycles > 0
    design = SMALL.build()
    with pytest.raises(HwgenError, match="pre must be none where its cost is asked for"):
        accelerator_blocks(type(design.tile), design.tile.p, design.p)


def test_activations_in_another_format_are_refused() -> None:
    design = SMALL.build()
    task: Task = tasks(SMALL, 1, seed=1)[0]
    quantised = design.tile.quantize_acts(task.acts.dequantize())
    with pytest.raises(
        HwgenError, match="activations must be fp16 in memory, of which the block before the ring makes"
    ):
        pack_acts(design, task.schedule, quantised)
