"""The sequencer of jobs: one runs, one waits; what a job's counts mean for each part; how a job ends.

Timing: a job that is started (`start`) in cycle t while none runs is copied in t + 1, worked out in t + 2, begins
(`clear`) in t + 3, and its engines are at work from t + 4 on. `abort` ends it from t + 2 on: software that writes a
start and then an abort does so in t + 2 at the earliest.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.accelerator.design import Design
from hwgen.accelerator.job import ADDRESSES, COUNTS, FLAGS, follows_weights
from hwgen.accelerator.registers import ErrorCause as Cause

__all__ = ["Control"]

COUNTER_BITS = 48


class Control(wiring.Component):
    """Sequencer of jobs.

    Members
    -------
    start, abort: from software; a job's words as `hwgen.accelerator.job.Job` names them.
    clear: a job begins; what follows from it is stable from this cycle on until its end: ``steps_last``, and for each
        stream ``<stream>_words_last``, ``_entries_last``, ``_beats``, ``_blocks_last``, ``_windows_last``,
        ``_fetches_last``, ``_uses_last``, ``_address``.
    running: engines may ask. finished: all results are written. idle: nothing is on its way on the bus.
    failure, failed_stream: a reason (`Cause`) to end the job before its time; 0 for none.
    queued, busy, done_set, error_set, cause, stream, jobs: what software sees.
    """

    def __init__(self, design: Design) -> None:
        self._design = design
        count, address = design.count_bits, design.address_bits
        ports: dict[str, Any] = {"start": In(1), "abort": In(1), "finished": In(1), "idle": In(1)}
        ports |= {f"next_{name}": In(address) for name in ADDRESSES}
        ports |= {f"next_{name}": In(count) for name in COUNTS}
        ports |= {f"next_{name}": In(1) for name in FLAGS}
        ports |= {"failure": In(8), "failed_stream": In(4)}
        ports |= {"clear": Out(1), "running": Out(1), "result_address": Out(address)}
        ports |= {"m_last": Out(count), "n_last": Out(count)}
        for name, stream in design.streams.items():
            ports |= {
                f"{name}_{what}_last": Out(count)
                for what in ("words", "entries", "blocks", "windows", "fetches", "uses")
            }
            ports[f"{name}_beats"] = Out(count + (stream.beats_per_entry - 1).bit_length())
            ports[f"{name}_address"] = Out(address)
        ports |= {"busy": Out(1), "queued": Out(1), "done_set": Out(1), "error_set": Out(1)}
        ports |= {"cause": Out(8), "stream": Out(4), "jobs": Out(32)}
        super().__init__(ports)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        waiting = Signal(name="waiting")
        names = [*ADDRESSES, *COUNTS, *FLAGS]
        queue = {name: Signal.like(getattr(self, f"next_{name}"), name=f"queue_{name}") for name in names}
        job = {name: Signal.like(signal, name=f"job_{name}") for name, signal in queue.items()}
        cause, stream = Signal(8, name="job_cause"), Signal(4, name="job_stream")
        refused = Signal(name="refused")
        m.d.comb += [refused.eq(self.start & waiting), self.queued.eq(waiting)]
        with m.If(self.start & ~waiting):
            m.d.sync += [waiting.eq(1), *(queue[name].eq(getattr(self, f"next_{name}")) for name in names)]
        derived = self._derive(m, job)
        bad = self._bad(m, job)
        ends, failed = Signal(name="ends"), Signal(name="failed")
        m.d.comb += failed.eq(cause != 0)
        with m.FSM(name="state"):
            with m.State("IDLE"):
                with m.If(waiting):
                    m.d.sync += [waiting.eq(0), cause.eq(0), stream.eq(0)]
                    m.d.sync += [job[name].eq(queue[name]) for name in names]
                    m.next = "DERIVE"
            with m.State("DERIVE"):
                m.d.comb += self.busy.eq(1)
                m.d.sync += [getattr(self, name).eq(value) for name, value in derived.items()]
                m.d.sync += cause.eq(Mux(bad != 0, bad, Mux(self.abort, Cause.ABORTED, 0)))
                m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += [self.busy.eq(1), self.clear.eq(1)]
                m.next = "RUN"
                with m.If(failed):
                    m.next = "END"
                with m.Elif(self.abort):
                    m.d.sync += cause.eq(Cause.ABORTED)
                    m.next = "END"
            with m.State("RUN"):
                m.d.comb += [self.busy.eq(1), self.running.eq(~failed)]
                with m.If(failed):
                    m.next = "DRAIN"
                with m.Elif(self.finished):
                    m.next = "END"
                with m.If(~failed):
                    with m.If(self.failure != 0):
                        m.d.sync += [cause.eq(self.failure), stream.eq(self.failed_stream)]
                    with m.Elif(self.abort):
                        m.d.sync += [cause.eq(Cause.ABORTED), stream.eq(0)]
            with m.State("DRAIN"):
                m.d.comb += self.busy.eq(1)
                with m.If(self.idle):
                    m.next = "END"
            with m.State("END"):
                m.d.comb += [self.busy.eq(1), ends.eq(1)]
                m.next = "IDLE"
        # A start that is refused is an error of its own, which the job that runs does not know of.
        m.d.comb += [self.done_set.eq(ends & ~failed), self.error_set.eq((ends & failed) | refused)]
        with m.If(ends):
            m.d.sync += self.jobs.eq((self.jobs + 1)[:32])
        with m.If(ends & failed):
            m.d.sync += [self.cause.eq(cause), self.stream.eq(stream)]
        with m.Elif(refused):
            m.d.sync += [self.cause.eq(Cause.QUEUE_FULL), self.stream.eq(0)]
        return m

    def _derive(self, m: Module, job: dict[str, Signal]) -> dict[str, Value]:
        """Values of what follows from a job."""
        weights_stay = ~job["order"]
        m_last, n_last = (_less(job[name]) for name in ("m_blocks", "n_blocks"))
        found: dict[str, Value] = {"result_address": job["result"], "m_last": m_last, "n_last": n_last}
        for name, stream in self._design.streams.items():
            of_weights = follows_weights(name)
            words: Value = job["k_groups" if name.endswith("sides") else "k_steps"]
            if name == "channels":
                words = Const(1, len(words))
            shift = (stream.words_per_entry - 1).bit_length()
            entries = (words + (stream.words_per_entry - 1))[shift : len(words) + 1]
            blocks, uses = (n_last, m_last) if of_weights else (m_last, n_last)
            stays = weights_stay if of_weights else ~weights_stay
            held = job["hold_weights" if of_weights else "hold_acts"]
            found |= {
                f"{name}_words_last": _less(words),
                f"{name}_entries_last": (entries - 1)[: len(words)],
                f"{name}_beats": _times(entries, stream.beats_per_entry),
                f"{name}_blocks_last": Mux(stays, 0, blocks),
                f"{name}_windows_last": Mux(stays, blocks, 0),
                f"{name}_fetches_last": Mux(held, 0, uses),
                f"{name}_uses_last": Mux(held, uses, 0),
                f"{name}_address": job[name],
            }
        return found

    def _bad(self, m: Module, job: dict[str, Signal]) -> Value:
        """Why a job cannot run as it is written; 0 where it can."""
        counts = [job[name] for name in COUNTS if name != "k_groups" or self._sides]
        zero = Cat(*(count == 0 for count in counts)).any()
        low = (self._design.bus_bytes - 1).bit_length()
        used = [job[name][:low] for name in (*self._design.streams, "result")]
        return Mux(zero, Cause.BAD_JOB, Mux(Cat(*used).any(), Cause.UNALIGNED, Const(0, 8)))

    @property
    def _sides(self) -> bool:
        return any(name.endswith("sides") for name in self._design.streams)


def _times(value: Value, count: int) -> Value:
    """A multiple, as a sum of what is shifted: a product, even by a constant, is a multiplier to netlists."""
    shifted = [value.shift_left(place) for place in range(count.bit_length()) if count >> place & 1]
    return sum(shifted[1:], start=shifted[0])


def _less(count: Value) -> Value:
    return (count - 1)[: len(count)]
