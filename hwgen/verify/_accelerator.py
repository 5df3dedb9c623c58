"""Run jobs on the emitted Verilog of an accelerator, compiled, with a memory of given latency and bandwidth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hwgen.accelerator import (
    Design,
    Job,
    Memory,
    emit_accelerator,
    pack_acts,
    pack_channels,
    pack_weights,
    placed,
    unpack_results,
)
from hwgen.accelerator.emission import AcceleratorEmission
from hwgen.errors import HwgenError
from hwgen.formats import QTensor
from hwgen.schedule import Schedule
from hwgen.simulators.bus import (
    BusJob,
    BusResult,
    BusSim,
    FilePart,
    MemoryModel,
    Op,
    Read,
    Start,
    WaitIrq,
    Write,
    build_bus,
    bus_ports,
)

__all__ = ["AcceleratorRun", "CompiledAccelerator", "Task", "job_writes"]

_COUNTERS = ("WAIT_WEIGHTS", "WAIT_ACTS", "WAIT_RESULTS")


@dataclass(frozen=True, eq=False)
class Task:
    """A layer with its operands [tokens, K], as they lie in memory, and [outputs, K], the job that is to do it, and the
    memory's speed.

    ``channels``: values [outputs] by the names of `Design.channel_fields`, where the design has any.
    """

    schedule: Schedule
    acts: QTensor
    weights: QTensor
    job: Job
    memory: Memory
    channels: Mapping[str, np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class AcceleratorRun:
    """What a task gave: results by the name of the tile's port as `Schedule.collect` takes them; cycles from the
    accepted start to the interrupt, counted by the testbench; the design's own counters of waiting; bus beats.
    """

    results: dict[str, np.ndarray]
    cycles: int
    waits: dict[str, int]
    read_beats: dict[str, int]
    write_beats: int
    seconds: float


def job_writes(emission: AcceleratorEmission, job: Job) -> list[Op]:
    """Register accesses that describe a job; `Start` is not among them."""
    return [Write(offset, value) for offset, value in emission.job_words(job)]


class CompiledAccelerator:
    """An accelerator's Verilog as a compiled program. The first use builds it or finds it in the cache."""

    def __init__(self, design: Design, emission: AcceleratorEmission | None = None) -> None:
        self.design = design
        self.emission = emission or emit_accelerator(design)

    @cached_property
    def simulator(self) -> BusSim:
        """The program; built on first use."""
        design, emission = self.design, self.emission
        return build_bus(
            emission.verilog,
            emission.top,
            bus_ports(design.bus_bits, design.address_bits, design.id_bits, design.id_bits),
        )

    def script(self, job: Job, limit: int) -> list[Op]:
        """Register accesses that run one job and read what it took."""
        at = {register.name: register.offset for register in self.emission.registers.registers}
        return [
            *job_writes(self.emission, job),
            Start(at["CONTROL"], 0x101),
            WaitIrq(limit),
            *(Read(at[name]) for name in ("STATUS", "ERROR", *(f"{name}_LO" for name in _COUNTERS))),
        ]

    def run(self, tasks: Sequence[Task], limit: int = 100_000_000) -> list[AcceleratorRun]:
        """Run tasks, each from reset.

        Raises `HwgenError` where a job ends with an error, breaks a rule of the bus or takes more than ``limit``
        cycles.
        """
        jobs, runs = [], []
        for task in tasks:
            image, job = self.image(task)
            jobs.append(self.bus_job(job, image, task.memory, limit=limit))
            runs.append((task, job))
        found = self.simulator.run_many(jobs)
        return [self.observed(task.schedule, job, result) for (task, job), result in zip(runs, found, strict=True)]

    def bus_job(
        self,
        job: Job,
        image: np.ndarray,
        memory: Memory,
        files: Sequence[FilePart] = (),
        limit: int = 100_000_000,
    ) -> BusJob:
        """What runs a job in the memory ``image``, uint8, and ``files`` beside it; `observed` takes its result."""
        result = (job.result, job.beats(self.design)["result"] * self.design.bus_bytes)
        model = MemoryModel(latency=memory.latency, beats=memory.beats)
        return BusJob(self.script(job, limit), image, model, keep=[result], files=files)

    def image(self, task: Task) -> tuple[np.ndarray, Job]:
        """The memory before a task, uint8, and the job with its addresses."""
        job, end = placed(self.design, task.job)
        image = np.zeros(end, np.uint8)
        design, schedule = self.design, task.schedule
        packed = {**pack_weights(design, schedule, task.weights), **pack_acts(design, schedule, task.acts)}
        if task.channels is not None:
            packed["channels"] = pack_channels(design, schedule, task.channels)
        for name, part in packed.items():
            image[job.address(name) : job.address(name) + len(part)] = part
        return image, job

    def observed(self, schedule: Schedule, job: Job, result: BusResult) -> AcceleratorRun:
        """What a job gave. Raises `HwgenError` where it ended with an error."""
        top = self.emission.top
        if result.failure:
            raise HwgenError(f"{top}: {result.failure}")
        status, error, *waits = (int(value) for value in result.reads)
        if status & 0x200:
            raise HwgenError(f"{top}: the job must end without an error, not with cause {error & 0xFF}")
        return AcceleratorRun(
            unpack_results(self.design, schedule, job, result.memory[0]),
            int(result.irq_cycles[0]),
            dict(zip(("weights", "acts", "results"), waits, strict=True)),
            {name: int(result.r_beats[stream.index]) for name, stream in self.design.streams.items()},
            result.w_beats,
            result.seconds,
        )
