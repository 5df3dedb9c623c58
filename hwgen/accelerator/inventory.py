"""Structural inventory of an accelerator: how many of which primitives each block has, from widths alone.

As of a tile (`hwgen.frame.inventory`): flip-flop bits are exact (a test compares them with the elaborated design, less
what nothing reads), other primitives are counts of one-bit primitives as a designer would draw the block. Parameters of
the tile (``p``) and of the design (``d``) are mappings of scalars, or of arrays that broadcast. Blocks have the names
of the modules; the tile's are `TileSpec.modules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.accelerator.control import COUNTER_BITS
from hwgen.accelerator.design import PAGE_BYTES, Design
from hwgen.accelerator.registers import accelerator_map
from hwgen.accelerator.registers.description import ADDRESS_BITS, BITS
from hwgen.accelerator.result_inventory import unit_path_bits, unit_primitives
from hwgen.accelerator.results import INTEGERS, RESULT_BITS, channel_fields, requantisers, unit_registers
from hwgen.accelerator.stream import Stream, channel_stream, operand_streams, padded_bits
from hwgen.emit import INPUT_DEPTH
from hwgen.emit._axi_stream import LATENCY
from hwgen.errors import HwgenError
from hwgen.frame.facts import Block, Counts
from hwgen.frame.numbers import Num, ceil_div, clog2, maximum, unsigned_bits, where
from hwgen.frame.primitives import for_each
from hwgen.frame.spec import TileSpec

__all__ = ["KINDS", "Geometry", "Memory", "accelerator_blocks", "geometry", "kind_of", "memories", "whole"]

P = Mapping[str, Any]

KINDS = {
    "engine": "read engine of a stream: addresses and counts of bursts",
    "ring": "control of a replay ring, its assembly register and word selector",
    "feeder": "counts of steps of an operand",
    "queue": "queue at the tile, of registers",
    "stream": "credits of results, and registers that level a systolic tile's outputs",
    "unit": "scales and biases of channels, narrower results",
    "packer": "results to bus beats",
    "write_buffer": "control of the buffer of results",
    "write_engine": "addresses and counts of write bursts",
    "control": "queue of jobs, the job and what follows from it",
    "registers": "register file behind AXI4-Lite",
    "glue": "address register and arbiter, counters, progress of the job",
}
"""Kinds of blocks: each is priced by one model."""
_STATES, _CAUSE_BITS, _STREAM_BITS, _JOBS_BITS, _ID_BITS, _LENGTH_BITS = 6, 8, 4, 32, 2, 8


def kind_of(name: str) -> str:
    """Kind of a block by its name."""
    if name in KINDS:
        return name
    return "queue" if name.startswith("stream_") else name.rpartition("_")[2]


@dataclass(frozen=True)
class Geometry:
    """What follows from the parameters of tile and design; see `hwgen.accelerator.design.Design`.

    ``queues`` are depth and bits of the queues at the tile by name. ``levelled`` are bits of the registers behind a
    systolic tile and ``latest`` the cycles that they level. ``beats`` are those in which a result leaves the tile,
    ``made`` those for memory that are made of one of them, ``unit_bits`` as `unit_path_bits`.
    """

    streams: Mapping[str, Stream]
    queues: Mapping[str, tuple[Num, Num]]
    levelled: Num
    latest: Num
    beats: Num
    made: Num
    unit_bits: Num
    step_k: Num
    group_steps: Num
    sum_steps: Num
    result_bits: Num
    result_words_per_beat: Num
    result_beats: Num
    write_depth: Num


@dataclass(frozen=True)
class Memory:
    """A memory of ``depth`` words of ``bits`` bits with one write and one read port, where ``there`` is 1."""

    there: Num
    depth: Num
    bits: Num


def _container(bits: Num) -> Num:
    """Bits in which an element of a result leaves."""
    return where(bits <= 8, 8, where(bits <= 16, 16, ceil_div(bits, 32) * 32))


def _sum(values: Mapping[str, Num]) -> Num:
    return sum(values.values(), start=0)


def whole(d: P) -> P:
    """With defaults for the parameters that are not given."""
    return {**{name: one.default for name, one in Design.parameters().items()}, **d}


def geometry(spec: type[TileSpec], p: P, d: P) -> Geometry:
    """Widths and depths of an accelerator around tiles of a family.

    Raises `HwgenError` for activations that pass a block before their ring: it is not in the inventory.
    """
    d = whole(d)
    if d["pre"] != "none":
        raise HwgenError(
            "accelerator: pre must be none where its cost is asked for: the block before the ring of activations is "
            "not measured"
        )
    m, n, bus = p["m"], p["n"], d["bus_bits"]
    act_codes, weight_codes = spec.code_bits(p)
    row_side, col_side = spec.side_bits(p)
    step_k = spec.layer_k(p)
    group_steps, sum_steps = p["group"] // step_k, spec.sum_group(p) // step_k
    lanes = p["post_lanes"] if spec.uses_lanes(p) else 0
    has_lanes = where(lanes > 0, 1, 0)
    streams = {}
    for name, codes, sides, ring in (
        ("weights", n * weight_codes, n * _sum(col_side), d["weight_ring"]),
        ("acts", m * act_codes, m * _sum(row_side), d["act_ring"]),
    ):
        for one in operand_streams(name, codes, sides, ring, bus_bits=bus, burst=d["burst"], group_steps=group_steps):
            streams[one.name] = one
    channels = n * sum(bits for _, bits in channel_fields(d))
    streams["channels"] = channel_stream(channels, d["weight_ring"], bus_bits=bus, burst=d["burst"])
    sums, row_sums = m * n * spec.sums_of_cell(p), m * where(spec.row_sum_bits(p) > 0, 1, 0)
    acc, row_acc = spec.acc_bits(p), spec.row_sum_bits(p)
    raw_bits = sums * acc + row_sums * row_acc
    result_bits = where(has_lanes > 0, 32 * lanes, sums * _container(acc) + row_sums * _container(maximum(row_acc, 1)))
    made: Num = 1
    if d["result"] in INTEGERS:
        result_bits, made = requantisers(d) * RESULT_BITS[d["result"]], m * n // requantisers(d)
    elif d["result"] != "tile":
        result_bits = lanes * RESULT_BITS[d["result"]]
    padded = padded_bits(result_bits, bus)
    beats = where(has_lanes > 0, spec.post_beats(p), 1)
    result_beats = maximum(padded // bus, 1)
    latest = where(has_lanes > 0, 0, spec.skew(p))
    waits = m * n * latest - n * (m * (m - 1) // 2) - m * (n * (n - 1) // 2)
    row_waits = m * latest - m * (m - 1) // 2
    levelled = where(latest > 0, spec.sums_of_cell(p) * acc * waits + row_acc * row_waits, 0)
    user = has_lanes + clog2(spec.mode_count(p))
    depth = _result_depth(spec, p, beats, has_lanes)
    # Behind the rings: elements as the tile's ports have them.
    (act_count, act_bits), (weight_count, weight_bits) = spec.act_port(p), spec.weight_port(p)
    act_word = m * act_count * act_bits + streams["act_sides"].bits
    weight_word = n * weight_count * weight_bits + streams["weight_sides"].bits
    return Geometry(
        streams=streams,
        queues={
            "stream_acts": (INPUT_DEPTH, act_word + 1 + user),
            "stream_weights": (INPUT_DEPTH, weight_word),
            "stream_result": (depth, where(has_lanes > 0, 32 * lanes, raw_bits) + 1),
        },
        levelled=levelled,
        latest=latest,
        beats=beats,
        made=made,
        unit_bits=unit_path_bits(spec, p, d),
        step_k=step_k,
        group_steps=group_steps,
        sum_steps=sum_steps,
        result_bits=result_bits,
        result_words_per_beat=maximum(bus // padded, 1),
        result_beats=result_beats,
        write_depth=2 * maximum(d["burst"], result_beats),
    )


def _result_depth(spec: type[TileSpec], p: P, beats: Num, has_lanes: Num) -> Num:
    """Beats in the result queue, as `hwgen.emit.result_depth`."""
    steps = maximum(spec.sum_group(p) // spec.layer_k(p), 1)
    interval = maximum(steps * spec.layer_cycles(p), where(has_lanes > 0, spec.post_cycles(p), 1))
    held = spec.latency(p) + spec.drain(p) + spec.skew(p) + beats + LATENCY + 1
    return beats * maximum(ceil_div(held, interval) + 1, 2)


def memories(geometry: Geometry, d: P) -> dict[str, Memory]:
    """The memories of an accelerator by the block that controls each."""
    found = {
        f"{name}_ring": Memory(stream.there, stream.depth, stream.entry_bits)
        for name, stream in geometry.streams.items()
    }
    return {**found, "write_buffer": Memory(1, geometry.write_depth, d["bus_bits"])}


def accelerator_blocks(
    spec: type[TileSpec], p: P, d: P, *, living: bool = False, found: Geometry | None = None
) -> dict[str, Block]:
    """Inventory of every block of an accelerator but the tile's and the memories, by block name.

    ``living`` leaves out registers that never change, which synthesis removes: the many of a packer, as results seldom
    fill a bus beat, and those of the job that count what channels have. ``found``: the `geometry`, where it is known.
    """
    d = whole(d)
    found = geometry(spec, p, d) if found is None else found
    blocks: dict[str, Block] = {}
    for name, stream in found.streams.items():
        blocks[f"{name}_engine"] = Block(stream.there, _engine(stream, d))
        # Of what channels have nothing reads where a block ends, unless an entry has several words.
        block_end = where(stream.words_per_entry > 1, 1, 0) if name == "channels" else 1
        blocks[f"{name}_ring"] = Block(stream.there, _ring(stream, d, block_end))
    for name in ("weights", "acts"):
        sides = found.streams[f"{name[:-1]}_sides"]
        # What ends a sum goes with the activations.
        summed = 0 if name == "weights" else _counter(found.sum_steps)
        bits = summed + sides.there * _counter(found.group_steps)
        blocks[f"{name}_feeder"] = Block(1, {"ff": bits, "add": bits, "mux2": bits, "and": 1 + bits + 4 * sides.there})
    blocks["result_unit"] = Block(int(unit_registers(d) > 0), unit_primitives(spec, p, d, found.beats, found.made))
    blocks["packer"] = Block(1, _packer(found, d, living))
    blocks["write_buffer"] = Block(1, _write_buffer(found))
    blocks["write_engine"] = Block(1, _write_engine(found, d))
    for name, (depth, bits) in found.queues.items():
        blocks[name] = Block(1, _queue(depth, bits))
    credit = unsigned_bits(found.queues["stream_result"][0])
    beat = where(found.beats > 1, clog2(found.beats), 0)
    blocks["stream"] = Block(
        1,
        {
            "ff": 1 + credit + beat + found.latest + found.levelled,
            "add": 4 * credit + beat,
            "mux2": credit,
            "and": 6 + credit + beat,
        },
    )
    blocks["control"] = Block(1, _control(found, d, living))
    blocks["registers"] = Block(1, for_each(_registers, d["address_bits"], d["count_bits"]))
    blocks["glue"] = Block(1, _glue(found, d))
    return blocks


def _counter(steps: Num) -> Num:
    """Bits that count the steps of a sum or group; none where it is every step or the whole row."""
    return where(steps > 1, clog2(maximum(steps, 1)), 0)


def _page_bits(d: P) -> tuple[Num, Num]:
    """Bits of an address within a beat, and of a number of beats of a page."""
    low = clog2(d["bus_bits"] // 8)
    return low, clog2(PAGE_BYTES) - low + 1


def _engine(stream: Stream, d: P) -> Counts:
    address, count = d["address_bits"], d["count_bits"]
    low, page = _page_bits(d)
    left = count + clog2(stream.beats_per_entry)
    length, space = unsigned_bits(stream.burst), unsigned_bits(stream.capacity)
    flying = unsigned_bits(d["outstanding"])
    return {
        "ff": 2 * address + left + 3 * count + 2 + length + space + flying,
        "add": (address - low) + 2 * left + 3 * count + 2 * page + length + 4 * space + 2 * flying,
        "mux2": 3 * address + 2 * left + 5 * count + 2 * length + space,
        "and": 6 + length + flying + space // 2,
    }


def _ring(stream: Stream, d: P, block_end: Num) -> Counts:
    """``block_end``: whether words of a block are counted."""
    count = d["count_bits"]
    pointer, held = clog2(stream.depth), unsigned_bits(stream.depth)
    beats = stream.beats_per_entry
    part, place = clog2(beats), clog2(stream.words_per_entry)
    return {
        "ff": 3 * pointer
        + 2 * held
        + 2
        + (3 + block_end) * count
        + stream.beats_per_entry * d["bus_bits"]
        + part
        + place,
        "add": (3 + block_end) * count + 3 * pointer + 5 * held + part + place,
        "mux2": (6 + 2 * block_end) * count + pointer + held + stream.bits * (stream.words_per_entry - 1),
        "and": 13 + 2 * pointer + held + part + place,
    }


def _packer(found: Geometry, d: P, living: bool) -> Counts:
    bus, words, beats = d["bus_bits"], found.result_words_per_beat, found.result_beats
    held = unsigned_bits(where(words > 1, words, beats))
    bits = words * found.result_bits if living else beats * bus
    return {
        "ff": bits + held,
        "add": held,
        "mux2": where(words > 1, 0, where(beats > 1, bits, 0)) + held,
        "and": 4 + where(words > 1, found.result_bits, where(beats > 1, 0, bus)),
    }


def _write_buffer(found: Geometry) -> Counts:
    pointer, held = clog2(found.write_depth), unsigned_bits(found.write_depth)
    return {"ff": 2 * pointer + held + 1, "add": 2 * (pointer + held), "and": 4 + 2 * pointer}


def _write_engine(found: Geometry, d: P) -> Counts:
    address = d["address_bits"]
    low, page = _page_bits(d)
    waiting, flying = unsigned_bits(found.write_depth + 1), unsigned_bits(d["outstanding"])
    length = unsigned_bits(d["burst"])
    return {
        "ff": 2 * address + waiting + flying + 2 * length + 1 + _LENGTH_BITS,
        "add": (address - low) + 2 * page + 4 * waiting + 2 * flying + 4 * length,
        "mux2": address + 3 * length,
        "and": 14 + 2 * length,
    }


def _queue(depth: Num, bits: Num) -> Counts:
    pointer, level = clog2(depth), unsigned_bits(depth)
    return {
        "ff": depth * bits + level + 2 * pointer,
        "add": 2 * (pointer + level),
        "mux2": (depth - 1) * bits,
        "and": 6 + depth + level,
    }


def _ones(number: Num) -> Num:
    """Bits of whole numbers that are set."""
    found = np.bitwise_count(np.asarray(number)).astype(np.int64)
    return found if found.ndim else int(found)


def _control(found: Geometry, d: P, living: bool) -> Counts:
    address, count = d["address_bits"], d["count_bits"]
    there = sum((stream.there for stream in found.streams.values()), start=0)
    sides = where(found.streams["weight_sides"].there + found.streams["act_sides"].there > 0, 1, 0)
    # The job and the one that waits for it, less what a design has no use for.
    job = (there + 1) * address + (3 + sides) * count + 3
    beats = sum((stream.there * clog2(stream.beats_per_entry) for stream in found.streams.values()), start=0)
    # Channels have one word a block: neither words nor entries are worked out.
    of_channels = found.streams["channels"].there
    worked_out = [stream for name, stream in found.streams.items() if name != "channels"]
    several = sum((stream.there * (stream.words_per_entry > 1) for stream in worked_out), start=0)
    # Beats of entries of several that are no power of two of them: sums of shifted entries.
    shifted = sum((stream.there * (_ones(stream.beats_per_entry) - 1) for stream in worked_out), start=0)
    derived = there * (7 * count + address) + beats + address + 2 * count
    if living:
        derived = derived - 2 * count * of_channels
    ended, state = _CAUSE_BITS + _STREAM_BITS, (_STATES - 1).bit_length()
    return {
        "ff": 2 * job + derived + 1 + 2 * ended + _JOBS_BITS + state,
        "add": _JOBS_BITS + 2 * count + (there * 6 - of_channels * 2) * count + (several * 2 + shifted) * count,
        "mux2": 5 * ended + _STATES * state,
        "and": 4 * there * count + 2 * ended,
    }


def _registers(address_bits: int, count_bits: int) -> Counts:
    """From the description of the registers itself."""
    registers = accelerator_map(int(address_bits), int(count_bits)).registers
    bits = {
        access: sum(field.bits for one in registers for field in one.fields if field.access == access)
        for access in ("rw", "w1c", "pulse")
    }
    kept = sum(max(field.lsb + field.bits for field in one.fields) for one in registers if one.latched_by)
    # A write: address, data, strobes, which of them are there; ready, valid and response of both answers; data read.
    bus = ADDRESS_BITS + BITS + BITS // 8 + 2 + (2 + 1 + 2) + (1 + 1 + 2) + BITS
    return {
        "ff": bus + sum(bits.values()) + kept,
        "mux2": BITS * (len(registers) - 1) + ADDRESS_BITS + BITS + BITS // 8,
        "and": 3 * bits["rw"] + 40,
    }


def _glue(found: Geometry, d: P) -> Counts:
    address, count = d["address_bits"], d["count_bits"]
    there = sum((stream.there for stream in found.streams.values()), start=0)
    pending = unsigned_bits(found.queues["stream_result"][0] + INPUT_DEPTH)
    asked = address + _LENGTH_BITS
    return {
        "ff": asked + _ID_BITS + found.streams["channels"].there + 1 + 2 * count + 1 + pending + 4 * COUNTER_BITS,
        "add": 4 * COUNTER_BITS + 2 * count + 2 * pending,
        "mux2": 2 * count + (there - 1) * (asked + 2 * (_CAUSE_BITS + _STREAM_BITS)),
        "and": 32 + 8 * there,
    }
