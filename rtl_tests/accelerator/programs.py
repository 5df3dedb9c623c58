"""What software may do to an accelerator, right or wrong, as scripts of register accesses that any bench can run.

A `Script` collects operations, the memory in which they work, and what must come out of them: values of register reads
(with the bits that matter) and results of jobs. `mistakes` lists every kind of job that must end with an error.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from hwgen.accelerator import Design, Job, Memory, exact, pack_acts, pack_channels, pack_weights, unpack_results
from hwgen.accelerator.registers import ErrorCause as Cause
from hwgen.accelerator.registers import Stream as Which
from hwgen.simulators.bus import BusJob, BusResult, MemoryModel, Op, Read, Reset, Start, Wait, WaitIrq, Write
from hwgen.verify import CompiledAccelerator, Task
from rtl_tests.accelerator.cases import wrong_results

__all__ = ["ABORT", "BUSY", "DONE", "ERROR", "GO", "PATIENCE", "QUEUED", "Mistake", "Script", "mistakes", "tour"]

BUSY, QUEUED, DONE, ERROR = 1, 2, 0x100, 0x200
"""Bits of STATUS."""
GO, ABORT = 0x101, 0x102
"""Values of CONTROL, with the interrupt enabled."""
PATIENCE = 200_000
"""Cycles after which a job that has not ended hangs."""


class Script:
    """Operations on one accelerator, their memory from ``base`` on, and what is expected of both."""

    def __init__(self, compiled: CompiledAccelerator, base: int = 0) -> None:
        self.compiled, self.design, self.base = compiled, compiled.design, base
        self.at = {register.name: register.offset for register in compiled.emission.registers.registers}
        self.ops: list[Op] = []
        self.bad_reads: list[tuple[int, int]] = []
        self.bad_writes: list[tuple[int, int]] = []
        self._parts: list[np.ndarray] = []
        self._end = base
        self._reads: list[tuple[str, int, Sequence[int]]] = []
        self._results: list[tuple[str, Task, Job]] = []
        self._same: list[tuple[str, int, int]] = []
        self._loose: list[tuple[int, int]] = []
        self._images: dict[int, Job] = {}

    # ------------------------------------------------------------------ memory

    def place(self, data: np.ndarray | int, align: int = 1) -> int:
        """Address of bytes, or of so many of noise, from a beat's begin, or a multiple of ``align`` beats."""
        step = self.design.bus_bytes * align
        self._pad(-self._end % step)
        address = self._end
        part = _noise(data, address) if isinstance(data, int) else data
        self._parts.append(part)
        self._end += len(part)
        self._pad(-self._end % self.design.bus_bytes)
        return address

    def _pad(self, size: int) -> None:
        self._parts.append(_noise(size, self._end))
        self._end += size

    @property
    def end(self) -> int:
        """The first address behind the memory, as far as it was laid out."""
        return self._end

    def operands(self, task: Task) -> Job:
        """The task's job with its operands in memory, which are there once."""
        if id(task) not in self._images:
            addresses = {name: self.place(part) for name, part in packed(self.design, task).items()}
            self._images[id(task)] = dataclasses.replace(task.job, **addresses)
        return self._images[id(task)]

    def results(self, job: Job) -> int:
        """A place for a job's results."""
        return self.place(job.beats(self.design)["result"] * self.design.bus_bytes)

    # ------------------------------------------------------------------ operations

    def describe(self, job: Job) -> None:
        """Write a job to the registers."""
        self.ops += [Write(offset, value) for offset, value in self.compiled.emission.job_words(job)]

    def control(self, value: int) -> None:
        """Write CONTROL; counts as a start where it is one."""
        kind = Start if value & 1 else Write
        self.ops.append(kind(self.at["CONTROL"], value))

    def wait(self) -> None:
        """Until the interrupt."""
        self.ops.append(WaitIrq(PATIENCE))

    def clear(self, bits: int = DONE | ERROR) -> None:
        """Clear bits of STATUS."""
        self.ops.append(Write(self.at["STATUS"], bits))

    def expect(self, what: str, register: str, *values: int, mask: int = 0xFFFFFFFF) -> None:
        """Read a register, which must have one of these values; any where none is given."""
        self.ops.append(Read(self.at[register]))
        self._reads.append((what, mask, values))

    def begin(self, task: Task, what: str = "job") -> Job:
        """Start a job that must come out right."""
        job = self.promise(task, what)
        self.describe(job)
        self.control(GO)
        return job

    def good(self, task: Task, what: str = "good job") -> None:
        """Run a job that must come out right."""
        self.begin(task, what)
        self.wait()
        self.expect(f"{what}: STATUS", "STATUS", DONE)
        self.clear()

    def doomed(self, task: Task) -> Job:
        """Start a job of whose results nothing is expected."""
        job = self.hopeless(task)
        self.describe(job)
        self.control(GO)
        return job

    def hopeless(self, task: Task) -> Job:
        """A job with a place for results of which nothing is expected."""
        job = self.operands(task)
        return dataclasses.replace(job, result=self.loose(job))

    def loose(self, job: Job) -> int:
        """A place for a job's results that may hold anything in the end."""
        size = job.beats(self.design)["result"] * self.design.bus_bytes
        address = self.place(size)
        self._loose.append((address, size))
        return address

    def pause(self, cycles: int) -> None:
        """Do nothing for so many cycles, which may be none."""
        if cycles:
            self.ops.append(Wait(cycles))

    def promise(self, task: Task, what: str) -> Job:
        """A job with a place of its own for its results, which must be right in the end."""
        job = self.operands(task)
        job = dataclasses.replace(job, result=self.results(job))
        self._results.append((what, task, job))
        return job

    def untouched(self, what: str, address: int, size: int) -> None:
        """These bytes must be in the end what they were."""
        self._same.append((what, address, size))

    def bad(self, mistake: Mistake) -> None:
        """Run a job that must end with an error."""
        self.describe(mistake.job)
        self.control(GO)
        self.wait()
        self.failed(mistake.name, mistake.cause, mistake.streams)

    def failed(self, what: str, cause: Cause, streams: Sequence[int] = (0,)) -> None:
        """The job that ended did so with this error; clears it."""
        self.expect(f"{what}: STATUS", "STATUS", ERROR)
        self.expect(f"{what}: ERROR", "ERROR", *(int(cause) | int(stream) << 8 for stream in streams))
        self.clear()

    # ------------------------------------------------------------------ running and judging

    def bus_job(self, memory: MemoryModel | None = None) -> BusJob:
        """All of it; ``memory`` says when the memory answers."""
        image = np.concatenate(self._parts)
        model = dataclasses.replace(
            memory or MemoryModel(),
            base=self.base,
            bad_reads=tuple(self.bad_reads),
            bad_writes=tuple(self.bad_writes),
        )
        return BusJob(tuple(self.ops), image, model)

    def complaints(self, reads: Sequence[int], memory: np.ndarray, failure: str = "") -> list[str]:
        """What is not as expected, from the values of the reads and the memory afterwards."""
        found = [failure] if failure else []
        for (what, mask, values), got in zip(self._reads, reads, strict=False):
            if values and int(got) & mask not in values:
                found.append(f"{what} is {int(got):#x}, expected {', '.join(map(hex, values))}")
        if failure:
            return found
        if len(reads) != len(self._reads):
            found.append(f"{len(reads)} of {len(self._reads)} reads were answered")
        for what, task, job in self._results:
            size = job.beats(self.design)["result"] * self.design.bus_bytes
            bytes_ = memory[job.result - self.base : job.result - self.base + size]
            for wrong in wrong_results(self.design, task, unpack_results(self.design, task.schedule, job, bytes_)):
                found.append(f"{what}: {wrong.what} is {wrong.got}, expected {wrong.wanted}")
        before = np.concatenate(self._parts)
        for what, address, size in self._same:
            here = slice(address - self.base, address - self.base + size)
            if not np.array_equal(memory[here], before[here]):
                found.append(f"{what}: memory from {address:#x} was written")
        return found

    def settled(self, memory: np.ndarray) -> np.ndarray:
        """The memory afterwards without what depends on when jobs were stopped."""
        memory = memory.copy()
        for address, size in self._loose:
            memory[address - self.base : address - self.base + size] = 0
        return memory

    def judged(self, result: BusResult) -> list[str]:
        """The same of a run of `BusSim`."""
        return self.complaints(result.reads.tolist(), result.memory[0], result.failure)


def _noise(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


@functools.lru_cache(64)
def packed(design: Design, task: Task) -> dict[str, np.ndarray]:
    """Images of both operands by stream."""
    return {
        **pack_weights(design, task.schedule, task.weights),
        **pack_acts(design, task.schedule, task.acts),
        **({} if task.channels is None else {"channels": pack_channels(design, task.schedule, task.channels)}),
    }


@dataclass(frozen=True)
class Mistake:
    """A job that must end with an error: on one of these streams."""

    name: str
    job: Job
    cause: Cause
    streams: tuple[int, ...] = (0,)


def mistakes(script: Script, task: Task) -> Iterator[Mistake]:
    """Every kind of job that must fail, made from a good one; lays out in memory what it needs."""
    good = script.hopeless(task)
    yield from _counts(script, task, good)
    yield from _addresses(script, good)
    yield from _reads(script, task, good)
    yield from _writes(script, good)
    yield from _windows(script.design, script)


def _counts(script: Script, task: Task, good: Job) -> Iterator[Mistake]:
    sides = [name for name in script.design.streams if name.endswith("sides")]
    for name in ("m_blocks", "n_blocks", "k_steps", *(("k_groups",) if sides else ())):
        yield Mistake(f"{name} 0", dataclasses.replace(good, **{name: 0}), Cause.BAD_JOB)
    # A zero goes before an address that is wrong as well.
    worse = dataclasses.replace(good, n_blocks=0, acts=good.acts + 1)
    yield Mistake("n_blocks 0, acts unaligned", worse, Cause.BAD_JOB)
    if sides:
        which = tuple(int(Which[name.upper()]) for name in sides)
        for more in (-1, 1, 2, 100):
            if good.k_groups + more < 1:
                continue
            wrong = dataclasses.replace(good, k_groups=good.k_groups + more)
            # Too many are read from beyond the image, where there must be memory.
            beats = wrong.beats(script.design)
            addresses = {}
            for name in sides:
                part = packed(script.design, task)[name]
                behind = _noise(max(beats[name] * script.design.bus_bytes - len(part), 0), more + 1)
                addresses[name] = script.place(np.concatenate([part, behind]))
            wrong = dataclasses.replace(wrong, **addresses)
            yield Mistake(f"k_groups wrong by {more}", wrong, Cause.GROUPS, which)


def _addresses(script: Script, good: Job) -> Iterator[Mistake]:
    for name in (*script.design.streams, "result"):
        for offset in {1, script.design.bus_bytes // 2}:
            wrong = dataclasses.replace(good, **{name: good.address(name) + offset})
            yield Mistake(f"{name} unaligned by {offset}", wrong, Cause.UNALIGNED)


def _reads(script: Script, task: Task, good: Job) -> Iterator[Mistake]:
    beat = script.design.bus_bytes
    for name, part in packed(script.design, task).items():
        stream = (int(Which[name.upper()]),)
        for where, offset in {"first": 0, "middle": len(part) // beat // 2 * beat, "last": len(part) - beat}.items():
            address = script.place(part)
            script.bad_reads.append((address + offset, 1))
            wrong = dataclasses.replace(good, **{name: address})
            yield Mistake(f"{name}: SLVERR on the {where} beat", wrong, Cause.READ_RESPONSE, stream)
        outside = dataclasses.replace(good, **{name: (1 << script.design.address_bits) - 4096})
        yield Mistake(f"{name}: DECERR", outside, Cause.READ_RESPONSE, stream)


def _writes(script: Script, good: Job) -> Iterator[Mistake]:
    beat = script.design.bus_bytes
    size = good.beats(script.design)["result"] * beat
    for where, offset in {"first": 0, "last": size - beat}.items():
        address = script.loose(good)
        script.bad_writes.append((address + offset + beat - 1, 1))
        wrong = dataclasses.replace(good, result=address)
        yield Mistake(f"result: SLVERR on the {where} beat", wrong, Cause.WRITE_RESPONSE, (Which.RESULTS,))
    outside = dataclasses.replace(good, result=(1 << script.design.address_bits) - 4096)
    yield Mistake("result: DECERR", outside, Cause.WRITE_RESPONSE, (Which.RESULTS,))


def _windows(design: Design, script: Script) -> Iterator[Mistake]:
    """Windows to be held that are too large by one entry: of what stays, and of what passes."""
    group = design.group_steps
    for operand in ("weights", "acts"):
        of_weights = operand == "weights"
        names = [name for name in design.streams if name.startswith(operand[:-1])]
        which = tuple(int(Which[name.upper()]) for name in names)
        flag = {"hold_weights" if of_weights else "hold_acts": 1}
        stream = design.streams[operand]
        steps = stream.depth * stream.words_per_entry + 1
        stays = Job(2, 2, steps, -(-steps // group) if group else 1, order=int(not of_weights), **flag)
        # What passes is held across the blocks of what stays.
        blocks = {"n_blocks" if of_weights else "m_blocks": stream.depth + 1}
        passes = Job(**{"m_blocks": 2, "n_blocks": 2, "k_steps": 1, **blocks}, order=int(of_weights), **flag)
        for what, job in (("stay", stays), ("pass", passes)):
            if max(job.k_steps, job.m_blocks, job.n_blocks) >= 1 << design.count_bits:
                continue
            beats = job.beats(design)
            sizes = {name: beats[name] * design.bus_bytes for name in design.streams}
            # Noise has infinities, which a block before the ring does not take.
            quiet = ("acts",) if design.block_plan is not None else ()
            addresses = {
                name: script.place(np.zeros(size, np.uint8) if name in quiet else size) for name, size in sizes.items()
            }
            job = dataclasses.replace(job, **addresses, result=script.loose(job))
            yield Mistake(f"{operand} that {what} do not fit", job, Cause.DOES_NOT_FIT, which)


def tour(compiled: CompiledAccelerator, drawn: Sequence[Task], every: int = 1, base: int = 0) -> Script:
    """All that can happen to an accelerator, one after the other, with good jobs between; of the mistakes each
    ``every``-th. The last of the tasks is the longest.
    """
    script = Script(compiled, base)
    script.good(drawn[0], "first job")
    jobs = 1
    for number, mistake in enumerate(mistakes(script, drawn[0])):
        if number % every == 0:
            script.bad(mistake)
            script.good(drawn[number % 2], f"after {mistake.name}")
            jobs += 2
    script.expect("JOBS after all mistakes", "JOBS", jobs)
    _three_starts(script, drawn[-1])
    _overwritten(script, drawn[-1])
    long = drawn[-1]
    cycles = exact(script.design, script.operands(long), Memory(1)).cycles
    for moment in (1, 2, 5, 11, 23, 47, 95, 191):
        script.doomed(long)
        script.pause(moment)
        script.control(ABORT)
        script.wait()
        # Whoever writes the registers may be slow: a job that is about to end may do so.
        ended = moment + 100 > cycles
        script.expect(f"STATUS, aborted after {moment}", "STATUS", ERROR, *((DONE,) if ended else ()))
        if not ended:
            script.expect(f"ERROR, aborted after {moment}", "ERROR", Cause.ABORTED)
        script.clear()
        script.good(drawn[0], f"after an abort after {moment}")
        script.doomed(long)
        script.pause(moment)
        script.ops.append(Reset(2))
        script.expect(f"JOBS, reset after {moment}", "JOBS", 0)
        script.good(drawn[1], f"after a reset after {moment}")
        script.expect(f"JOBS, a job after a reset after {moment}", "JOBS", 1)
    return script


def _three_starts(script: Script, task: Task) -> None:
    """Three starts at once: one runs, one waits, and the third is refused and leaves no trace.

    Only where the results go is written between, since the first job must still run when the third is started.
    """
    script.begin(task, "first of three")
    second, third = script.promise(task, "second of three"), script.operands(task)
    third = dataclasses.replace(third, result=script.results(third))
    script.untouched("third job", third.result, third.beats(script.design)["result"] * script.design.bus_bytes)
    for job in (second, third):
        script.ops.append(Write(script.at["RESULT_ADDR_LO"], job.result & 0xFFFFFFFF))
        script.control(GO)
    script.expect("STATUS after three starts", "STATUS", BUSY | QUEUED | ERROR)
    script.expect("ERROR after three starts", "ERROR", Cause.QUEUE_FULL)
    script.clear()
    script.wait()
    script.expect("STATUS after the first of three", "STATUS", DONE | BUSY)
    script.clear()
    script.wait()
    script.expect("STATUS after the second of three", "STATUS", DONE)
    script.clear()


def _overwritten(script: Script, task: Task) -> None:
    """A job runs while all its registers are written, and those that only tell."""
    script.begin(task, "job whose registers are written")
    words = script.compiled.emission.job_words(task.job)
    for offset in [*(offset for offset, _ in words), *(script.at[name] for name in ("ID", "ERROR", "JOBS"))]:
        script.ops.append(Write(offset, 0xFFFFFFFF))
    script.wait()
    script.expect("STATUS after registers were written", "STATUS", DONE)
    script.clear()
