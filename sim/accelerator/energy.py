"""Energy of an accelerator from switching: the mapped netlist of all of it, tile included, runs a job.

The netlist's memories are models, and so is the memory behind its bus, with the latency of `hwgen.accelerator.Memory`.
Many streams run in step: as control does not depend on data, each has data of its own and all the same addresses.
Cycles must be those of `hwgen.accelerator.exact`, and results those of the tile's reference. Pre-layout: no wires, no
clock tree, no glitches.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.accelerator import (
    Design,
    Job,
    JobCycles,
    Memory,
    emit_accelerator,
    exact,
    layer_jobs,
    memory_acts,
    pack_acts,
    pack_channels,
    pack_weights,
    placed,
    unpack_results,
)
from hwgen.errors import HwgenError
from hwgen.schedule import Layer, Schedule
from hwgen.synth import tile_netlist
from hwgen.synth._characterised import characterised
from hwgen.synth.accelerator import TOP, AcceleratorResult
from hwgen.synth.gates import Activity, GateNetlist, GateSim, pack_streams, read_netlist, unpack_streams
from hwgen.synth.power import loading, power
from hwgen.verify import reference_results
from sim.tech import PJ_PER_UW_NS

__all__ = [
    "BlockJob",
    "EnergyOfJob",
    "accelerator_netlist",
    "drawn_channels",
    "drawn_job",
    "measure_job",
    "measure_random_job",
]

_START = 0x101
"""What starts a job, with its interrupt (register CONTROL)."""
_IDLE_CYCLES = 8
_SETUP_LIMIT = 1000
_STREAMS = 64
_MEMORY = Memory(latency=12)
"""Of random jobs."""


@dataclass(frozen=True)
class BlockJob:
    """A kind of block in a job: clock energy of every cycle, what else switching costs in the whole job, leakage, and
    what is spent beside the clock in a cycle without a job.
    """

    clock_pj: float
    switching_pj: float
    leakage_uw: float
    idle_pj: float


@dataclass(frozen=True)
class EnergyOfJob:
    """A job that was run: blocks by name, those of the tile with ``tile_`` before; accesses by memory."""

    design: Design
    job: Job
    cycles: JobCycles
    streams: int
    blocks: Mapping[str, BlockJob]
    reads: Mapping[str, int]
    writes: Mapping[str, int]

    def document(self, clk_period_ns: float) -> dict[str, Any]:
        """JSON-serialisable form, energies of the job in pJ."""
        cycles = self.cycles.cycles
        blocks = {}
        for name, one in self.blocks.items():
            parts = {
                "clock": one.clock_pj * cycles,
                "switching": one.switching_pj,
                "leakage": one.leakage_uw * clk_period_ns * PJ_PER_UW_NS * cycles,
            }
            blocks[name] = {**parts, "all": sum(parts.values())}
        tile = self.design.tile
        return {
            "family": tile.family,
            "parameters": tile.p,
            "accelerator": self.design.p,
            "job": vars(self.job),
            "streams": self.streams,
            "cycles": cycles,
            "clk_period_ns": clk_period_ns,
            "energy_pj": sum(one["all"] for one in blocks.values()),
            "blocks": blocks,
            "memory_reads": dict(self.reads),
            "memory_writes": dict(self.writes),
            "basis": "pre-layout: no wires, no clock tree; zero-delay: no glitches; memories not counted",
        }


def accelerator_netlist(result: AcceleratorResult) -> GateNetlist:
    """The flat netlist of a mapped accelerator, each cell with its block; memories' pins are ports."""
    names = {name for part in result.whole for name in part.mapped.cell_types}
    boxes = {name: ("r_data",) for part in result.parts for name in part.boxes if name.startswith(f"{TOP}_sram_")}
    found = read_netlist(tile_netlist(result), characterised(result.library, sorted(names)), TOP, boxes)
    tile = f"{result.design.tile.family}_tile"

    def named(kind: str, place: str) -> str:
        if not place:
            return "glue"
        if kind == tile:
            return "tile_control"
        return f"tile_{kind.removeprefix(f'{tile}_')}" if kind.startswith(f"{tile}_") else kind

    return dataclasses.replace(found, blocks=tuple((named(kind, place), place) for kind, place in found.blocks))


@dataclass
class _Sram:
    """A memory of the netlist: words [depth, bits, words of streams]."""

    path: str
    words: np.ndarray
    reads: int = 0
    writes: int = 0


class _Bench:
    """Drives the netlist: registers, memory behind the bus, memories inside."""

    def __init__(self, sim: GateSim, image: np.ndarray, bus: int, memory: Memory) -> None:
        self.sim, self.image, self.bus, self.memory = sim, image, bus, memory
        ports = sim.netlist.inputs
        self.srams = []
        for name, nets in ports.items():
            if name.endswith(".r_data"):
                path = name.removesuffix(".r_data")
                depth = 1 << len(sim.netlist.outputs[f"{path}.w_addr"])
                self.srams.append(_Sram(path, np.zeros((depth, len(nets), sim.words), np.uint64)))
        self.mask = pack_streams(np.ones((1, sim.streams), np.uint8))[0]
        self.now = 0
        self.reading: deque[list[int]] = deque()
        self.answers: deque[int] = deque()
        self.addresses: deque[list[int]] = deque()
        for name, nets in ports.items():
            if not name.endswith(".r_data"):
                sim.set(name, np.zeros((len(nets), sim.words), np.uint64))
        for name in ("m_axi_arready", "m_axi_awready", "s_axi_bready", "s_axi_rready"):
            self.put(name, 1)

    def put(self, port: str, value: int) -> None:
        """The same number at a port in all streams."""
        width = len(self.sim.netlist.inputs[port])
        bits = np.array([value >> place & 1 for place in range(width)], np.uint64)
        self.sim.set(port, (bits * self.sim.one)[:, None])

    def number(self, port: str) -> int:
        """The number at a port that is the same in all streams."""
        planes = self.sim.get(port) & self.mask
        if not ((planes == 0) | (planes == self.mask)).all():
            raise HwgenError(f"energy: {port} of the mapped accelerator must be the same in all streams")
        return sum(1 << place for place, plane in enumerate(planes) if plane.any())

    def cycle(self) -> dict[str, int]:
        """One cycle; control outputs as they stood."""
        sim, now = self.sim, self.now
        share, of = self.memory.beats
        slot = (now + 1) * share // of > now * share // of
        beat = None
        if slot and self.reading and self.reading[0][3] <= now:
            beat = self.reading[0]
            size = self.bus // 8
            self.put("m_axi_rid", beat[0])
            sim.set("m_axi_rdata", self.image[beat[1] // size])
            self.put("m_axi_rlast", int(beat[2] == 1))
            beat[1] += size
            beat[2] -= 1
            if beat[2] == 0:
                self.reading.popleft()
        answered = bool(self.answers) and self.answers[0] <= now
        if answered:
            self.answers.popleft()
        self.put("m_axi_rvalid", int(beat is not None))
        self.put("m_axi_bvalid", int(answered))
        self.put("m_axi_wready", int(slot))
        sim.settle()
        sim.count()
        seen = {name: self.number(name) for name in ("m_axi_arvalid", "m_axi_awvalid", "m_axi_wvalid", "irq")}
        if seen["m_axi_arvalid"]:
            number, address, length = (self.number(f"m_axi_ar{name}") for name in ("id", "addr", "len"))
            self.reading.append([number, address, length + 1, now + self.memory.latency])
        if seen["m_axi_awvalid"]:
            self.addresses.append([self.number("m_axi_awaddr"), self.number("m_axi_awlen") + 1])
        if seen["m_axi_wvalid"] and slot:
            self._write(now)
        words = [self._access(sram) for sram in self.srams]
        sim.clock()
        for sram, word in zip(self.srams, words, strict=True):
            if word is not None:
                sim.set(f"{sram.path}.r_data", word)
        self.now += 1
        return seen

    def _write(self, now: int) -> None:
        burst = self.addresses[0]
        size = self.bus // 8
        self.image[burst[0] // size] = self.sim.get("m_axi_wdata")
        burst[0] += size
        burst[1] -= 1
        if burst[1] == 0:
            self.addresses.popleft()
            self.answers.append(now + self.memory.latency)

    def _access(self, sram: _Sram) -> np.ndarray | None:
        """What is read, before what is written in the same cycle is there."""
        word = None
        if self.number(f"{sram.path}.r_en"):
            word = sram.words[self.number(f"{sram.path}.r_addr")].copy()
            sram.reads += 1
        if self.number(f"{sram.path}.w_en"):
            sram.words[self.number(f"{sram.path}.w_addr")] = self.sim.get(f"{sram.path}.w_data")
            sram.writes += 1
        return word

    def register(self, offset: int, value: int) -> None:
        """Write a register; returns in the cycle after the one in which the write is accepted."""
        for name, what in (("awaddr", offset), ("wdata", value), ("wstrb", 15), ("awvalid", 1), ("wvalid", 1)):
            self.put(f"s_axi_{name}", what)
        self.cycle()
        self.put("s_axi_awvalid", 0)
        self.put("s_axi_wvalid", 0)


def drawn_job(design: Design, seed: int) -> tuple[Schedule, Job]:
    """A small layer on a design and a legal way to do it, drawn."""
    rng = np.random.default_rng(seed)
    tile = design.tile
    outputs = tile.n * int(tile.layer_outputs(tile.p))
    inner = int(rng.integers(40, 80))
    inner += -inner % int(tile.layer_k(tile.p))
    rows, columns = int(rng.integers(2, 5)) * tile.m, int(rng.integers(2, 5)) * outputs
    schedule = Schedule(tile, Layer("drawn", rows, columns, inner))
    jobs = list(layer_jobs(design, schedule))
    return schedule, jobs[int(rng.integers(len(jobs)))]


def drawn_channels(design: Design, count: int, rng: np.random.Generator) -> dict[str, np.ndarray] | None:
    """What each of so many channels has: floats from a normal distribution, multipliers and shifts that leave a few
    bits of a sum; None for a design without channels.
    """
    found: dict[str, np.ndarray] = {}
    for name, bits in design.channel_fields:
        if name == "multiplier":
            found[name] = rng.integers(1 << (bits - 1), 1 << bits, count)
        elif name == "shift":
            # Sums of small jobs have some 12 bits.
            found[name] = rng.integers(3, 6, count) + design.multiplier_bits
        elif design.requantises:
            found[name] = rng.integers(-64, 64, count) if name == "bias" else rng.integers(-4, 4, count)
        else:
            found[name] = rng.standard_normal(count).astype(np.float32)
    return found or None


def measure_random_job(result: AcceleratorResult, seed: int = 1, streams: int = _STREAMS) -> EnergyOfJob:
    """`measure_job` of a drawn job, its operands from a normal distribution."""
    schedule, job = drawn_job(result.design, seed)
    rng = np.random.default_rng(seed)
    layer = schedule.layer
    acts, weights = (rng.standard_normal((streams, rows, layer.k)) for rows in (layer.m, layer.n))
    channels = [drawn_channels(result.design, layer.n, rng) for _ in range(streams)]
    return measure_job(result, schedule, job, acts, weights, channels, memory=_MEMORY)


def measure_job(
    result: AcceleratorResult,
    schedule: Schedule,
    job: Job,
    acts: np.ndarray,
    weights: np.ndarray,
    channels: Sequence[Mapping[str, np.ndarray] | None] | None = None,
    *,
    memory: Memory | None = None,
    checked: int = 4,
) -> EnergyOfJob:
    """Run a job on a mapped accelerator and add up what switching costs.

    Parameters
    ----------
    schedule, job: a layer on the design's tile and how it is done. acts, weights: floats [streams, tokens, K] and
        [streams, outputs, K]. channels: of each stream, as `hwgen.accelerator.pack_channels` takes them, where the
        design has any. checked: streams whose results are compared with the reference.

    Raises `HwgenError` where cycles or results are not what model and reference say.
    """
    design = result.design
    memory = memory or Memory()
    netlist = accelerator_netlist(result)
    known = characterised(result.library, netlist.cells)
    spec, streams = design.tile, len(acts)
    where, end = placed(design, job)
    operands = [
        (memory_acts(design, schedule.whole_words(a)), spec.quantize_weights(schedule.whole_words(w)), c)
        for a, w, c in zip(acts, weights, channels or [None] * streams, strict=True)
    ]
    images = np.zeros((streams, end), np.uint8)
    for image, (a, w, c) in zip(images, operands, strict=True):
        parts = {**pack_weights(design, schedule, w), **pack_acts(design, schedule, a)}
        if c is not None:
            parts["channels"] = pack_channels(design, schedule, c)
        for name, part in parts.items():
            image[where.address(name) : where.address(name) + len(part)] = part
    bits = np.unpackbits(images, axis=1, bitorder="little").T.reshape(-1, design.bus_bits, streams)
    sim = GateSim(netlist, known, streams)
    bench = _Bench(sim, pack_streams(bits), design.bus_bits, memory)
    emission = emit_accelerator(design)
    for level in (0, 1):
        bench.put("aresetn", level)
        bench.cycle()
    for offset, value in emission.job_words(where):
        bench.register(offset, value)
        bench.cycle()
    at = {register.name: register.offset for register in emission.registers.registers}
    model = exact(design, where, memory)
    # The memory's time is 0 when the start is accepted, as that of the model.
    bench.now = 0
    sim.reset_counts()
    for sram in bench.srams:
        sram.reads = sram.writes = 0
    bench.register(at["CONTROL"], _START)
    while not bench.cycle()["irq"]:
        if bench.now > model.cycles + _SETUP_LIMIT:
            raise HwgenError(f"energy: the mapped accelerator must end its job in {model.cycles} cycles")
    cycles = bench.now - 1
    if cycles != model.cycles:
        raise HwgenError(f"energy: the mapped accelerator must take {model.cycles} cycles for its job, not {cycles}")
    busy = sim.activity()
    reads = {sram.path.removesuffix(".sram"): sram.reads for sram in bench.srams}
    writes = {sram.path.removesuffix(".sram"): sram.writes for sram in bench.srams}
    _compare(design, schedule, where, bench, operands[:checked])
    sim.reset_counts()
    for _ in range(_IDLE_CYCLES):
        bench.cycle()
    return EnergyOfJob(design, where, model, streams, _blocks(result, netlist, busy, sim.activity()), reads, writes)


def _blocks(result: AcceleratorResult, netlist: GateNetlist, busy: Activity, idle: Activity) -> dict[str, BlockJob]:
    loaded = loading(netlist, characterised(result.library, netlist.cells), result.library)
    at_work, at_rest = (power(netlist, result.library, one, loaded) for one in (busy, idle))
    streams = idle.vectors // _IDLE_CYCLES
    cycles = busy.vectors / streams
    return {
        one.kind: BlockJob(
            clock_pj=one.clock_pj,
            switching_pj=(one.register_pj + one.combinational_pj) * cycles,
            leakage_uw=one.leakage_nw / 1000,
            idle_pj=rest.register_pj + rest.combinational_pj,
        )
        for one, rest in zip(at_work.blocks, at_rest.blocks, strict=True)
    }


def _compare(design: Design, schedule: Schedule, job: Job, bench: _Bench, operands: Sequence[tuple]) -> None:  # type: ignore[type-arg]
    size = job.beats(design)["result"]
    first = job.result // design.bus_bytes
    planes = bench.image[first : first + size].reshape(size * design.bus_bits, -1)
    found = np.packbits(unpack_streams(planes, bench.sim.streams), axis=0, bitorder="little")
    for index, of_stream in enumerate(operands):
        got = unpack_results(design, schedule, job, found[:, index])
        expected = reference_results(design, schedule, *of_stream)
        for port, values in got.items():
            wanted = np.asarray(expected[port]).reshape(len(values), -1)
            if not np.array_equal(values.astype(object), wanted.astype(object)):
                raise HwgenError(
                    f"energy: {port} of the mapped accelerator must be what the reference says, but is not"
                )
