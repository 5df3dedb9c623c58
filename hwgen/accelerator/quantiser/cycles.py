"""How long a job of the quantiser takes, to the cycle: bursts of a row, then its codes, by the beats that they fill.

Time is counted from the cycle in which the write that starts the job is accepted. Nothing here depends on the values.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hwgen.accelerator.design import PAGE_BYTES, Design
from hwgen.accelerator.exact import Memory
from hwgen.accelerator.quantiser.arithmetic import PER_CYCLE, scale_steps
from hwgen.accelerator.quantiser.emission import MOST_ELEMENTS
from hwgen.accelerator.quantiser.geometry import Geometry, geometry
from hwgen.accelerator.quantiser.job import Kind, QuantiserJob
from hwgen.accelerator.quantiser.quantiser import row_stream

__all__ = ["QuantiserCycles", "quantiser_cycles"]

FIRST_PLACE = 3
"""Cycle in which the division of the first token begins."""
BEFORE_CODES = 4
"""Cycles of a row from its last beat to its first value, without the division of the scale."""
LAST_WORDS = 2
"""Cycles from the one in which all is written to the interrupt."""


@dataclass(frozen=True)
class QuantiserCycles:
    """What a job takes: ``cycles`` from the accepted write of the start to the first cycle of the interrupt, bus beats
    read (``merge_beats`` of them to keep what shares bytes with the codes) and written.
    """

    cycles: int
    read_beats: int
    merge_beats: int
    write_beats: int


class _Slots:
    """Cycles in which a memory moves a beat."""

    def __init__(self, memory: Memory) -> None:
        self._share, self._cycles = memory.beats

    def at(self, first: int) -> int:
        """The first slot from ``first`` on: now of floor((now + 1) n / d) > floor(now n / d)."""
        wanted = first * self._share // self._cycles + 1
        return -(-wanted * self._cycles // self._share) - 1


class _Writer:
    """Beats gathered and written one by one; see `hwgen.accelerator.quantiser.writer`."""

    def __init__(self, design: Design, memory: Memory, slots: _Slots) -> None:
        self._outstanding, self._latency, self._slots = design.outstanding, memory.latency, slots
        self.answers: list[int] = []
        self.free = 0
        self.read = 0

    def push(self, now: int, merges: bool) -> int:
        """A beat leaves as soon as it can from ``now`` on; returns when, ``free`` is when the next may."""
        now = max(now, self.free)
        if len(self.answers) >= self._outstanding:
            now = max(now, self.answers[-self._outstanding] + 1)
        offered = now + 1
        if merges:
            self.read += 1
            offered = self._slots.at(offered + self._latency) + 1
        written = self._slots.at(offered)
        answered = written + self._latency
        self.answers.append(max(answered, self.answers[-1] + 1) if self.answers else answered)
        self.free = written + 1
        return now


def quantiser_cycles(
    design: Design, job: QuantiserJob, memory: Memory, elements: int = MOST_ELEMENTS
) -> QuantiserCycles:
    """Cycles of a job that begins when memory's time is 0, on a quantiser for rows of up to ``elements`` values.

    Raises `HwgenError` for a design without a quantiser.
    """
    form, slots = geometry(design), _Slots(memory)
    writer = _Writer(design, memory, slots)
    per_code = form.bits // PER_CYCLE + 1
    # ``now``: the row's turn; ``begins``: when it is asked for, which may be ahead of that.
    now = begins = FIRST_PLACE + design.count_bits + 1
    for row in range(job.rows):
        last = max(_read(design, job, memory, slots, begins, row, elements), now + 1)
        start = last + BEFORE_CODES + scale_steps(form.scale, form.bits)
        now = _codes(form, design, job, row, start, per_code, writer) + 1
        begins = now if _merges(form, job, row) else last + 1
    done = max(now, writer.answers[-1] + 1)
    beats = job.rows * job.row_beats(design)
    return QuantiserCycles(done + LAST_WORDS, beats + writer.read, writer.read, len(writer.answers))


def _read(design: Design, job: QuantiserJob, memory: Memory, slots: _Slots, clear: int, row: int, elements: int) -> int:
    """Cycle of the last beat of a row whose engine begins in cycle ``clear``."""
    stream = row_stream(design, elements)
    address, left = job.source + row * job.source_stride, job.row_beats(design)
    grant, beat = clear, clear
    ends: list[int] = []
    while left:
        length = min(left, stream.burst, (PAGE_BYTES - address % PAGE_BYTES) // design.bus_bytes)
        grant += 2
        if len(ends) >= design.outstanding:
            grant = max(grant, ends[-design.outstanding] + 1)
        beat = slots.at(max(grant + 1 + memory.latency, beat + 1))
        for _ in range(length - 1):
            beat = slots.at(beat + 1)
        ends.append(beat)
        left -= length
        address += length * design.bus_bytes
    return beat


def _codes(
    form: Geometry, design: Design, job: QuantiserJob, row: int, start: int, per_code: int, writer: _Writer
) -> int:
    """Cycle in which the last beat of a row has left, for a row whose first value is taken in ``start``."""
    token = job.first_token + row
    shares = form.bits == 4 and job.kind == Kind.V
    waits = shares and token % 2 == 0 and row + 1 < job.rows
    merges = _merges(form, job, row)
    # The scale is a beat of its own, and is gathered at once.
    gathered = -1
    gathered_merges = False
    given = start
    taken = start
    for beat in _beats(form, design, job, token):
        given = given + per_code if waits else max(given + per_code, taken)
        if waits:
            continue
        taken = given + 1
        if beat != gathered:
            taken = writer.push(taken, gathered_merges)
            gathered, gathered_merges = beat, merges
    return _flush(writer, max(given, taken) + 1, gathered_merges)


def _merges(form: Geometry, job: QuantiserJob, row: int) -> bool:
    """Whether beats of a row are read to keep what they share with the token before the job."""
    return form.bits == 4 and job.kind == Kind.V and row == 0 and job.first_token % 2 == 1


def _flush(writer: _Writer, now: int, merges: bool) -> int:
    writer.push(now, merges)
    return writer.free


def _beats(form: Geometry, design: Design, job: QuantiserJob, token: int) -> Iterator[int]:
    """Bus beat of each code of a token."""
    for element in range(job.elements):
        column, inner = (element, token) if job.kind == Kind.V else (token, element)
        at = column // form.n * job.codes_stride + inner // form.k * form.word_bytes
        bits = (column % form.n * form.k + inner % form.k) * form.bits
        yield (job.codes + at + bits // 8) // design.bus_bytes
