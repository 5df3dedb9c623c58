"""Compiled simulation of a bus master with a memory: scripts and memories in, memories and cycles out.

The module under test has ``aclk``, ``aresetn`` (synchronous, active low), an AXI4-Lite slave ``s_axi_*`` of 32 bits, an
AXI4 master ``m_axi_*`` and an output ``irq`` (`bus_ports`). Inputs of a cycle follow from what was seen in the cycles
before; outputs are read when the logic has settled before the cycle's rising edge. Cycle 0 is the first after a reset
of 4 cycles. Payloads carry noise whenever their VALID is low, so a design that looks at them then is found out.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError, suggest
from hwgen.simulators import _process
from hwgen.simulators._program import Port, build_program, check_build, check_names

__all__ = [
    "BusJob",
    "BusResult",
    "BusSim",
    "BusTrace",
    "BusWorker",
    "FilePart",
    "MemoryModel",
    "Op",
    "Read",
    "Reset",
    "Start",
    "Wait",
    "WaitIrq",
    "Write",
    "build_bus",
    "bus_ports",
]

_DRIVER = Path(__file__).with_name("bus_driver.cpp")
_DATA_BITS = (32, 64, 128, 256, 512)
_OPTIONAL = ("prot", "lock", "cache")


@dataclass(frozen=True)
class Write:
    """Write 32 bits to a register and wait for the response.

    AW and W are offered together; a positive ``lead`` offers AW so many cycles before W, a negative one W before AW.
    """

    address: int
    data: int
    strobe: int = 15
    lead: int = 0


@dataclass(frozen=True)
class Start:
    """A `Write` that starts the design: its cycle, the later of the AW and the W handshake, is recorded."""

    address: int
    data: int
    strobe: int = 15
    lead: int = 0


@dataclass(frozen=True)
class Read:
    """Read a register; the value is recorded."""

    address: int


@dataclass(frozen=True)
class WaitIrq:
    """Go on after the first cycle in which ``irq`` is high; the run fails after ``limit`` cycles without."""

    limit: int = 1_000_000


@dataclass(frozen=True)
class Wait:
    """Do nothing for ``cycles``."""

    cycles: int


@dataclass(frozen=True)
class Reset:
    """Hold ``aresetn`` low for ``cycles``; the memory keeps its bytes and forgets all that is under way."""

    cycles: int = 4


Op: TypeAlias = Write | Start | Read | WaitIrq | Wait | Reset


@dataclass(frozen=True)
class MemoryModel:
    """When and what the memory at ``m_axi_*`` answers; everything in order, reads and writes apart.

    Cycles t count from that in which the script's first start was accepted. Cycle t is a *slot* where
    floor((t + 1) n / d) > floor(t n / d) with (n, d) = ``beats``; before, cycles count from 0, and those in which the
    start is offered are slots only for n = d. ARREADY and AWREADY are always high, WREADY in slots. The first beat of a
    read burst accepted in cycle a is offered from cycle a + ``latency``, each beat in a slot of its own after the beat
    before left; it reads what was written in earlier cycles, by W beats whose AW had come. The response of a write
    burst is offered from ``latency`` cycles after the later of its AW and its last W beat; W may come before AW.

    With a ``seed`` each of the five channels rests in a cycle with probability ``gap`` instead of following the slots,
    and each burst draws its latency evenly from 1 to 2 ``latency`` - 1. What is offered holds until it is taken.

    Bytes outside of the memory, which begins at ``base``, answer DECERR, those of the ranges (address, bytes) in
    ``bad_reads`` and ``bad_writes`` SLVERR: such R beats carry noise, such W beats write nothing.
    """

    latency: int = 1
    beats: tuple[int, int] = (1, 1)
    seed: int | None = None
    gap: float = 0.5
    base: int = 0
    bad_reads: tuple[tuple[int, int], ...] = ()
    bad_writes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class FilePart:
    """``size`` bytes of a file from ``offset`` on, which the memory shows from ``address`` on.

    They are mapped, not copied, and can be read only: writes to them answer SLVERR.
    """

    address: int
    file: Path
    offset: int
    size: int


@dataclass(frozen=True, eq=False)
class BusJob:
    """One run: a script, the bytes of the memory before it, uint8 [M], and how the memory answers.

    ``keep`` names the ranges (address, bytes) of the memory that are wanted afterwards, None all of it; ``record``
    asks for a `BusTrace`; ``files`` lie beside the memory.
    """

    script: Sequence[Op]
    image: NDArray[np.uint8]
    memory: MemoryModel = field(default_factory=MemoryModel)
    keep: Sequence[tuple[int, int]] | None = None
    record: bool = False
    files: Sequence[FilePart] = ()


@dataclass(frozen=True, eq=False)
class BusTrace:
    """Handshakes of ``m_axi_*`` as rows (cycle, id), int64 [n, 2]; a W beat whose AW never came has id -1."""

    ar: NDArray[np.int64]
    r: NDArray[np.int64]
    aw: NDArray[np.int64]
    w: NDArray[np.int64]
    b: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class BusResult:
    """What one run gave. Cycles count from the first after the initial reset.

    Attributes:
        failure: "" or why the run stopped before the end of its script; the rest tells how far it got.
        reads: Values of the script's reads, uint32.
        responses: BRESP or RRESP of each register access.
        op_ends: Last cycle of each operation that ended.
        starts: Cycle in which each start was accepted.
        irq_cycles: Per start the cycles from it to the first later cycle with ``irq`` high; -1 where none came
            before the end or a reset.
        irq_rises: Cycles outside of resets in which ``irq`` was high and had not been in the cycle before.
        memory: Bytes after the run, uint8, of each range of ``keep``, or of the whole memory as the only one.
        ar_bursts: Read bursts accepted.
        r_beats: R beats taken, by id [2 ** bits of the id].
        aw_bursts: Write bursts accepted.
        w_beats: W beats accepted.
        b_responses: B responses taken.
        decode_errors: R beats and B responses with DECERR.
        slave_errors: R beats and B responses with SLVERR.
        outstanding: Bursts accepted and not answered to the end when the script was over.
        cycles: All cycles after the initial reset.
        seconds: Wall time of the cycle loop.
        trace: Handshakes, where the job asked for them.
    """

    failure: str
    reads: NDArray[np.uint32]
    responses: NDArray[np.int64]
    op_ends: NDArray[np.int64]
    starts: NDArray[np.int64]
    irq_cycles: NDArray[np.int64]
    irq_rises: NDArray[np.int64]
    memory: tuple[NDArray[np.uint8], ...]
    ar_bursts: int
    r_beats: NDArray[np.int64]
    aw_bursts: int
    w_beats: int
    b_responses: int
    decode_errors: int
    slave_errors: int
    outstanding: int
    cycles: int
    seconds: float
    trace: BusTrace | None


def bus_ports(
    data_bits: int,
    address_bits: int = 32,
    read_id_bits: int = 1,
    write_id_bits: int = 1,
    register_bits: int = 12,
) -> tuple[Port, ...]:
    """Return the ports of a bus master whose registers have addresses of ``register_bits``, the optional ones too."""
    burst = {"addr": address_bits, "len": 8, "size": 3, "burst": 2, "lock": 1, "cache": 4, "prot": 3}
    channels: list[tuple[str, bool, dict[str, int]]] = [
        ("s_axi_aw", False, {"addr": register_bits, "prot": 3}),
        ("s_axi_w", False, {"data": 32, "strb": 4}),
        ("s_axi_b", True, {"resp": 2}),
        ("s_axi_ar", False, {"addr": register_bits, "prot": 3}),
        ("s_axi_r", True, {"data": 32, "resp": 2}),
        ("m_axi_ar", True, {"id": read_id_bits, **burst}),
        ("m_axi_r", False, {"id": read_id_bits, "data": data_bits, "resp": 2, "last": 1}),
        ("m_axi_aw", True, {"id": write_id_bits, **burst}),
        ("m_axi_w", True, {"data": data_bits, "strb": data_bits // 8, "last": 1}),
        ("m_axi_b", False, {"id": write_id_bits, "resp": 2}),
    ]
    ports = [Port("aclk", 1, "input"), Port("aresetn", 1, "input"), Port("irq", 1, "output")]
    for prefix, offered, payload in channels:
        there: Literal["input", "output"] = "output" if offered else "input"
        back: Literal["input", "output"] = "input" if offered else "output"
        ports += [Port(prefix + name, width, there) for name, width in payload.items()]
        ports += [Port(f"{prefix}valid", 1, there), Port(f"{prefix}ready", 1, back)]
    return tuple(ports)


def build_bus(
    verilog: str,
    top: str,
    ports: Sequence[Port],
    *,
    id_bits: int | None = None,
    opt: str = "-O1",
    threads: int = 1,
) -> BusSim:
    """Compile a bus master with Verilator, or take it from the cache.

    Args:
        verilog: Complete Verilog source.
        top: Name of the top module.
        ports: Every port of it; those of `bus_ports`, of which the prot, lock and cache ones may be absent.
        id_bits: Bits of the ids that the design promises to use; None for the width of its ports.
        opt: Optimisation of the hot code.
        threads: Threads of the simulation.

    Raises:
        HwgenError: The ports are not those of the module or of a bus master, a tool is missing, or the build failed.
    """
    check_build(opt, threads)
    _check_ports(top, ports)
    sim = BusSim(Path(), top, tuple(ports), 8 if id_bits is None else id_bits)
    if not 0 <= sim.id_bits <= 8:
        raise HwgenError(f"{top}: id_bits must be 0 to 8, not {id_bits}")
    return BusSim(build_program(verilog, top, ports, _DRIVER, opt, threads), top, sim.ports, sim.id_bits)


def _check_ports(top: str, ports: Sequence[Port]) -> None:
    known = check_names(top, ports)

    def width(name: str, allowed: Sequence[int], text: str) -> int:
        if name not in known:
            raise HwgenError(f"{top}: a bus master must have a port {name}{suggest(name, known)}")
        if known[name].width not in allowed:
            raise HwgenError(f"{top}: port {name} must be {text} bits wide, not {known[name].width}")
        return known[name].width

    wanted = {
        port.name: port
        for port in bus_ports(
            width("m_axi_rdata", _DATA_BITS, "32, 64, 128, 256 or 512"),
            width("m_axi_araddr", range(32, 65), "32 to 64"),
            width("m_axi_arid", range(1, 9), "1 to 8"),
            width("m_axi_awid", range(1, 9), "1 to 8"),
            width("s_axi_awaddr", range(3, 33), "3 to 32"),
        )
    }
    for name in known:
        if name not in wanted:
            raise HwgenError(f"{top}: port {name} is none of a bus master{suggest(name, wanted)}")
    for name, port in wanted.items():
        if name not in known:
            if name.endswith(_OPTIONAL):
                continue
            raise HwgenError(f"{top}: a bus master must have a port {name}{suggest(name, known)}")
        if known[name] != port:
            raise HwgenError(
                f"{top}: port {name} must be an {port.direction} of {port.width} bits, "
                f"not an {known[name].direction} of {known[name].width}"
            )


@dataclass(frozen=True)
class BusSim:
    """A compiled bus master; made by `build_bus`. Runs do not share state, and may go on in several processes."""

    program: Path
    top: str
    ports: tuple[Port, ...]
    id_bits: int

    @property
    def beat_bytes(self) -> int:
        """Bytes of one beat of ``m_axi_*``."""
        return self._width("m_axi_rdata") // 8

    def _width(self, name: str) -> int:
        return next(port.width for port in self.ports if port.name == name)

    def run(
        self,
        script: Sequence[Op],
        image: NDArray[np.uint8],
        memory: MemoryModel | None = None,
        *,
        keep: Sequence[tuple[int, int]] | None = None,
        record: bool = False,
        register_limit: int = 1000,
    ) -> BusResult:
        """Run one script; the arguments are those of `BusJob` and `run_many`.

        Raises:
            HwgenError: An argument does not fit, or the run failed: a rule of the bus was broken, ``irq`` did not come,
                or a register did not answer.
        """
        job = BusJob(script, image, memory or MemoryModel(), keep, record)
        return self.run_many([job], register_limit=register_limit)[0]

    def run_many(
        self, jobs: Sequence[BusJob], *, register_limit: int = 1000, raising: bool = True
    ) -> tuple[BusResult, ...]:
        """Run jobs one after the other in one process, each on a fresh model.

        Args:
            jobs: The runs.
            register_limit: Most cycles that a register access may take.
            raising: Whether the first run that fails raises; otherwise its result says why.

        Raises:
            HwgenError: An argument does not fit, or a run failed and ``raising`` is set.
        """
        with tempfile.TemporaryDirectory(prefix="hwgen-run-") as name:
            folder = Path(name)
            self._give(folder, jobs, register_limit)
            finished = _process.run([self.program], cwd=folder)
            if finished.returncode != 0:
                raise HwgenError(
                    f"{self.top}: the simulation stopped with status {finished.returncode}: {finished.complaint}"
                )
            return self._results(folder, jobs, raising)

    @contextlib.contextmanager
    def worker(self) -> Iterator[BusWorker]:
        """A process that stays until the end of the context, for many small runs; another thread may ask it."""
        with tempfile.TemporaryDirectory(prefix="hwgen-run-") as name:
            server = _process.Server([self.program, "serve"], Path(name))
            try:
                yield BusWorker(self, Path(name), server)
            finally:
                server.close()

    def _give(self, folder: Path, jobs: Sequence[BusJob], register_limit: int) -> None:
        """Write what the driver reads."""
        if not jobs:
            raise HwgenError(f"{self.top}: jobs must hold at least one run, not none")
        if register_limit < 1:
            raise HwgenError(f"{self.top}: register_limit must be at least 1, not {register_limit}")
        lines = [f"id_bits {self.id_bits}\npatience {register_limit}\n"]
        offset = 0
        for job in jobs:
            self._check(job)
            lines += _lines(job, offset)
            offset += job.image.size
        (folder / "job.txt").write_text("".join(lines))
        with (folder / "memory.bin").open("wb") as file:
            for job in jobs:
                job.image.tofile(file)

    def _results(self, folder: Path, jobs: Sequence[BusJob], raising: bool) -> tuple[BusResult, ...]:
        """Read what the driver wrote."""
        words = np.fromfile(folder / "results.bin", "<u8")
        results = []
        place = offset = 0
        for number, job in enumerate(jobs):
            result, place = _result(job, words, place, folder / "memory.bin", offset)
            offset += job.image.size
            if result.failure and raising:
                which = f"run {number}: " if len(jobs) > 1 else ""
                raise HwgenError(f"{self.top}: {which}{result.failure}")
            results.append(result)
        return tuple(results)

    def _check(self, job: BusJob) -> None:
        """Raise `HwgenError` for a job that the driver would misunderstand."""
        top, bus, model = self.top, self.beat_bytes, job.memory
        if not job.script:
            raise HwgenError(f"{top}: script must hold at least one operation, not none")
        for number, op in enumerate(job.script):
            self._check_op(number, op)
        image = job.image
        if image.dtype != np.uint8 or image.ndim != 1 or not image.size or image.size % bus:
            raise HwgenError(
                f"{top}: image must be a uint8 array [M] with M a multiple of {bus}, "
                f"not {image.dtype} {list(image.shape)}"
            )
        space = 1 << self._width("m_axi_araddr")
        if model.base < 0 or model.base % bus or model.base + image.size > space:
            raise HwgenError(
                f"{top}: base must be a multiple of {bus} from which the memory ends within the "
                f"address space, not {model.base:#x}"
            )
        if model.latency < 1:
            raise HwgenError(f"{top}: latency must be at least 1 cycle, not {model.latency}")
        if not 1 <= model.beats[0] <= model.beats[1] < 1 << 32:
            raise HwgenError(f"{top}: beats must be (n, d) with 1 <= n <= d, not {model.beats}")
        if not 0 <= model.gap < 1:
            raise HwgenError(f"{top}: gap must be at least 0 and below 1, not {model.gap:g}")
        if model.seed is not None and model.seed < 0:
            raise HwgenError(f"{top}: seed must be at least 0, not {model.seed}")
        for what, ranges in (("bad_reads", model.bad_reads), ("bad_writes", model.bad_writes)):
            for start, size in ranges:
                if start < 0 or size < 1 or start + size > space:
                    raise HwgenError(
                        f"{top}: {what} must hold (address, bytes) in the address space, not {start, size}"
                    )
        self._check_files(job)
        for start, size in job.keep or ():
            if start < model.base or size < 0 or start + size > model.base + image.size:
                raise HwgenError(f"{top}: keep must hold (address, bytes) within the memory, not {start, size}")

    def _check_files(self, job: BusJob) -> None:
        bus, space = self.beat_bytes, 1 << self._width("m_axi_araddr")
        taken = [(job.memory.base, job.memory.base + job.image.size)]
        for part in job.files:
            end = part.address + part.size
            if part.address < 0 or part.address % bus or part.size < 1 or part.size % bus or end > space:
                raise HwgenError(
                    f"{self.top}: a file's part must be whole beats of {bus} bytes in the address space, "
                    f"not {part.size} bytes at {part.address:#x}"
                )
            if any(part.address < last and first < end for first, last in taken):
                raise HwgenError(
                    f"{self.top}: a file's part must lie beside the memory and the other parts, not at "
                    f"{part.address:#x}"
                )
            have = part.file.stat().st_size if part.file.is_file() else 0
            if part.offset < 0 or part.offset + part.size > have:
                raise HwgenError(
                    f"{self.top}: a file's part must be bytes of the file, not {part.size} from {part.offset} "
                    f"of the {have} of {part.file}"
                )
            taken.append((part.address, end))

    def _check_op(self, number: int, op: Op) -> None:
        what = f"{self.top}: operation {number}"
        if isinstance(op, Write | Start | Read):
            space = 1 << self._width("s_axi_awaddr")
            if not 0 <= op.address < space or op.address % 4:
                raise HwgenError(f"{what}: address must be a multiple of 4 below {space:#x}, not {op.address:#x}")
        if isinstance(op, Write | Start):
            if not 0 <= op.data < 1 << 32:
                raise HwgenError(f"{what}: data must be 0 to 2 ** 32 - 1, not {op.data}")
            if not 0 <= op.strobe < 16:
                raise HwgenError(f"{what}: strobe must be 0 to 15, not {op.strobe}")
        elif isinstance(op, WaitIrq):
            if op.limit < 1:
                raise HwgenError(f"{what}: limit must be at least 1 cycle, not {op.limit}")
        elif isinstance(op, Wait | Reset) and op.cycles < 1:
            raise HwgenError(f"{what}: cycles must be at least 1, not {op.cycles}")


@dataclass(frozen=True)
class BusWorker:
    """A running process of a `BusSim`; made by `BusSim.worker`. One call at a time."""

    sim: BusSim
    folder: Path
    server: _process.Server

    def run_many(
        self, jobs: Sequence[BusJob], *, register_limit: int = 1000, raising: bool = True
    ) -> tuple[BusResult, ...]:
        """As `BusSim.run_many`, without starting a process."""
        self.sim._give(self.folder, jobs, register_limit)
        if self.server.ask("go") != "done":
            raise HwgenError(f"{self.sim.top}: the simulation stopped: {self.server.complaint}")
        return self.sim._results(self.folder, jobs, raising)


def _lines(job: BusJob, offset: int) -> list[str]:
    """Return the lines of job.txt for one run whose memory begins at ``offset`` of memory.bin."""
    model = job.memory
    # A state of 0 would stay 0.
    state = 1 if model.seed is None else int(np.random.SeedSequence(model.seed).generate_state(1, np.uint64)[0]) | 1
    numbers = (
        *(offset, job.image.size, model.base, model.latency, *model.beats),
        *(int(model.seed is not None), state, round(model.gap * 2**32), int(job.record)),
    )
    lines = [f"run {' '.join(map(str, numbers))}\n"]
    lines += [f"bad_reads {start} {start + size}\n" for start, size in model.bad_reads]
    lines += [f"bad_writes {start} {start + size}\n" for start, size in model.bad_writes]
    lines += [
        f"file {part.address} {part.address + part.size} {part.offset} {part.file.absolute()}\n" for part in job.files
    ]
    for op in job.script:
        match op:
            case Write() | Start():
                kind = int(isinstance(op, Start))
                lines.append(f"op {kind} {op.address} {op.data} {op.strobe} {op.lead}\n")
            case Read():
                lines.append(f"op 2 {op.address} 0 0 0\n")
            case WaitIrq():
                lines.append(f"op 3 {op.limit} 0 0 0\n")
            case Wait():
                lines.append(f"op 4 {op.cycles} 0 0 0\n")
            case Reset():
                lines.append(f"op 5 {op.cycles} 0 0 0\n")
    return lines


_NUMBERS, _LISTS = 11, 13
"""Words at the head of a block of results.bin: numbers, and the lengths of the lists that follow (Run::report)."""


def _result(job: BusJob, words: NDArray[np.uint64], place: int, memory: Path, offset: int) -> tuple[BusResult, int]:
    """Return the run whose block begins at ``place``, and the place after it."""
    head = words[place : place + _NUMBERS].astype("<u8")
    lengths = words[place + _NUMBERS : place + _NUMBERS + _LISTS].astype(np.int64)
    bounds = place + _NUMBERS + _LISTS + np.concatenate([[0], np.cumsum(lengths)])
    lists = [words[begin:end].view(np.int64) for begin, end in itertools.pairwise(bounds)]
    text, reads, responses, starts, irq_cycles, irq_rises, op_ends, r_beats, *traces = lists
    cycles, _, ar, _, aw, w, b, decode_errors, slave_errors, outstanding, letters = map(int, head)
    base = job.memory.base
    ranges = [(base, job.image.size)] if job.keep is None else job.keep
    result = BusResult(
        failure=text.tobytes()[:letters].decode(),
        reads=reads.astype(np.uint32),
        responses=responses,
        op_ends=op_ends,
        starts=starts,
        irq_cycles=np.concatenate([irq_cycles, np.full(starts.size - irq_cycles.size, -1)]),
        irq_rises=irq_rises,
        memory=tuple(np.fromfile(memory, np.uint8, size, offset=offset + start - base) for start, size in ranges),
        ar_bursts=ar,
        r_beats=r_beats,
        aw_bursts=aw,
        w_beats=w,
        b_responses=b,
        decode_errors=decode_errors,
        slave_errors=slave_errors,
        outstanding=outstanding,
        cycles=cycles,
        seconds=float(head.view("<f8")[1]),
        trace=BusTrace(*(trace.reshape(-1, 2) for trace in traces)) if job.record else None,
    )
    return result, int(bounds[-1])
