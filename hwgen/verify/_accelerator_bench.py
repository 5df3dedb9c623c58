"""A self-checking Verilog bench of an accelerator: jobs through its registers, a memory with wait states."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from amaranth.lib.wiring import Out

from hwgen.accelerator import Design, Job, layer_jobs, pack_acts, pack_channels, pack_weights, placed
from hwgen.accelerator.accelerator import accelerator_ports
from hwgen.accelerator.emission import AcceleratorEmission
from hwgen.accelerator.registers import BUS_PORTS, MAGIC
from hwgen.accelerator.stream import padded_bits
from hwgen.errors import HwgenError
from hwgen.formats import QTensor
from hwgen.schedule import Layer, Schedule
from hwgen.simulators.words import pack_words
from hwgen.verify._accelerator_reference import random_channels, reference_results

__all__ = ["accelerator_bench_files", "result_image"]

_SEED = 1
_STEPS = 48
"""Steps of a block at most: four blocks, and two jobs."""
_TEMPLATE = Path(__file__).with_name("accelerator_bench.v")
_BY_HAND = Path(__file__).with_name("accelerator_cocotb.py.in")


def accelerator_bench_files(emission: AcceleratorEmission) -> dict[str, str]:
    """``top``_tb.v, its data, and ``top``_cocotb.py by file name; the Verilog is not among them.

    Two jobs of a small layer with ragged edges, in both orders: one whose end the interrupt tells, one that is polled.
    Plain Verilog-2005 for Icarus Verilog and Verilator; the simulation must run where the files lie.
    """
    design, top = emission.design, emission.top
    schedule = _schedule(design)
    acts, weights = _operands(schedule)
    channels = random_channels(design, schedule.layer.n, np.random.default_rng(_SEED))
    images = {**pack_weights(design, schedule, weights), **pack_acts(design, schedule, acts)}
    if channels is not None:
        images["channels"] = pack_channels(design, schedule, channels)
    first, end = placed(design, _chosen(design, schedule, 0))
    second = _chosen(design, schedule, 1)
    size = second.beats(design)["result"] * design.bus_bytes
    second = dataclasses.replace(
        second, result=end, **{name: first.address(name) for name in images if name in design.streams}
    )
    memory = np.zeros(end + size, np.uint8)
    for name, image in images.items():
        memory[first.address(name) : first.address(name) + len(image)] = image
    jobs = (first, second)
    expected = [result_image(design, schedule, job, acts, weights, channels) for job in jobs]
    words = {
        "top": top,
        "about": f"{len(jobs)} jobs of {schedule.steps} steps",
        "bus": str(design.bus_bits),
        "address": str(design.address_bits),
        "words": str(len(memory) // design.bus_bytes),
        "results": str(sum(len(image) for image in expected) // design.bus_bytes),
        "limit": str(20_000 + 40 * len(memory)),
        "jobs": str(len(jobs)),
        "declarations": "\n".join(_declarations(design)),
        "connections": ",\n".join(f"    .{name}({name})" for name in ("aclk", "aresetn", *_ports(design))),
        "script": "\n".join(f"    {line}" for line in _script(emission, jobs)),
    }
    text = re.sub(r"@(\w+)@", lambda match: words[match[1]], _TEMPLATE.read_text(encoding="utf-8"))
    return {
        f"{top}_cocotb.py": _by_hand(emission, first, len(expected[0])),
        f"{top}_tb.v": text,
        f"{top}_tb_memory.hex": _hex(memory, design.bus_bytes),
        f"{top}_tb_expected.hex": _hex(np.concatenate(expected), design.bus_bytes),
    }


def result_image(
    design: Design,
    schedule: Schedule,
    job: Job,
    acts: QTensor,
    weights: QTensor,
    channels: Mapping[str, np.ndarray] | None = None,
) -> np.ndarray:
    """Bytes that a job leaves at its results, uint8, by the references."""
    values = reference_results(design, schedule, acts, weights, channels)
    per_block = job.results(design)
    count = job.blocks * per_block
    word_bytes = padded_bits(design.result_bits, design.bus_bits) // 8
    words = np.zeros((count, word_bytes), np.uint8)
    for field in design.result_fields:
        # The reference takes all blocks of columns for a block of rows.
        found = np.asarray(values[field.port.name]).reshape(job.m_blocks, job.n_blocks, per_block, field.count)
        if job.order == 0:
            found = found.swapaxes(0, 1)
        flat = found.reshape(count, field.count)
        if field.port.signed:
            flat = flat.astype(object) & ((1 << field.stride) - 1)
        raw = pack_words(flat, field.stride).astype("<u4").view(np.uint8)
        begin = field.offset // 8
        words[:, begin : begin + field.count * field.stride // 8] = raw[:, : field.count * field.stride // 8]
    flat_words = words.reshape(-1)
    return np.pad(flat_words, (0, -len(flat_words) % design.bus_bytes))


def _schedule(design: Design) -> Schedule:
    """Two blocks of rows and of columns, the last ones not full; a group and a part of one where that is short."""
    tile, step = design.tile, design.step_k
    longest = min(int(tile.sum_depth(tile.p)), _STEPS * step)
    k = tile.group + step + 1 if tile.group and tile.group + 2 * step <= _STEPS * step else longest - step + 1
    if tile.act_format.padding is None:
        k = k // step * step
    outputs = tile.n * int(tile.layer_outputs(tile.p))
    # A tile of one row has no row that lacks.
    return Schedule(tile, Layer("bench", 2 * tile.m - (tile.m > 1), 2 * outputs - (outputs > 1), max(k, 1)))


def _operands(schedule: Schedule) -> tuple[QTensor, QTensor]:
    rng = np.random.default_rng(_SEED)
    spec, layer = schedule.spec, schedule.layer
    acts, weights = (
        rng.standard_normal(shape).astype(np.float32) for shape in ((layer.m, layer.k), (layer.n, layer.k))
    )
    return spec.quantize_acts(schedule.whole_words(acts)), spec.quantize_weights(schedule.whole_words(weights))


def _chosen(design: Design, schedule: Schedule, order: int) -> Job:
    """The legal job of an order that holds most, or least for the other order."""
    jobs = [job for job in layer_jobs(design, schedule) if job.order == order]
    if not jobs:
        raise HwgenError(f"layer {schedule.layer.name}: no job of order {order} is legal on the design")
    return jobs[-1 if order == 0 else 0]


def _ports(design: Design) -> dict[str, tuple[str, int]]:
    """Direction and width of the buses' ports and the interrupt."""
    own = {
        name: ("output" if flow == Out else "input", width) for name, (flow, width) in accelerator_ports(design).items()
    }
    return {**BUS_PORTS, **own}


def _declarations(design: Design) -> Iterator[str]:
    # The memory answers by assignments that look at its queues, all else is kept in registers.
    wires = ("m_axi_arready", "m_axi_awready", "m_axi_wready")
    for name, (direction, width) in _ports(design).items():
        kind = "wire" if direction == "output" or name in wires else "reg"
        yield f"  {kind} {f'[{width - 1}:0] ' if width > 1 else ''}{name};"


def _script(emission: AcceleratorEmission, jobs: tuple[Job, ...]) -> Iterator[str]:
    design = emission.design
    at = {register.name: f"12'h{register.offset:03x}" for register in emission.registers.registers}
    yield f"wanted({at['ID']}, 32'hffffffff, 32'h{MAGIC:08x});"
    yield f"wanted({at['DESIGN_HASH']}, 32'hffffffff, 32'h{design.digest:08x});"
    begin = 0
    for number, job in enumerate(jobs):
        yield ""
        for offset, value in emission.job_words(job):
            yield f"write(12'h{offset:03x}, 32'h{value:08x});"
        if number == 0:
            yield f"write({at['CONTROL']}, 32'h00000101);"
            yield "while (irq !== 1'b1)"
            yield "  @(negedge aclk);"
            yield f"read({at['STATUS']});"
        else:
            yield f"write({at['CONTROL']}, 32'h00000001);"
            yield "value = 32'd0;"
            yield "while ((value & 32'h00000300) == 32'd0)"
            yield f"  read({at['STATUS']});"
        yield f"wanted({at['STATUS']}, 32'h00000300, 32'h00000100);"
        yield f"write({at['STATUS']}, 32'h00000300);"
        yield f"wanted({at['STATUS']}, 32'h00000301, 32'h00000000);"
        yield f"wanted({at['JOBS']}, 32'hffffffff, 32'd{number + 1});"
        count = job.beats(design)["result"]
        yield f"compare({number}, {job.result // design.bus_bytes}, {begin}, {count});"
        begin += count


def _by_hand(emission: AcceleratorEmission, job: Job, size: int) -> str:
    """A job that is described register by register, for cocotb with another project's bus models."""
    registers = emission.registers.registers
    at, names = {item.name: item.offset for item in registers}, {item.offset: item.name for item in registers}
    words = {
        "top": emission.top,
        "control": f"{at['CONTROL']:#05x}",
        "status": f"{at['STATUS']:#05x}",
        "cycles": f"{at['CYCLES_LO']:#05x}",
        "job": "\n".join(
            f"    ({offset:#05x}, {value:#x}),  # {names[offset]}" for offset, value in emission.job_words(job)
        ),
        "result": f"{job.result:#x}",
        "bytes": str(size),
    }
    return re.sub(r"@(\w+)@", lambda match: words[match[1]], _BY_HAND.read_text(encoding="utf-8"))


def _hex(image: np.ndarray, size: int) -> str:
    """One bus beat a line, its first byte lowest."""
    return "".join(row[::-1].tobytes().hex() + "\n" for row in image.reshape(-1, size))
