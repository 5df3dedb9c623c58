"""What is claimed of parts of an accelerator on their own, with anything around them that keeps to their interfaces."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import ClockDomain, Module, Mux, ResetSignal, Signal, Value

from hwgen.accelerator import Design
from hwgen.accelerator.registers import accelerator_map
from rtl_tests.accelerator.formal.claims import Claims, anything
from rtl_tests.accelerator.formal.device import DESIGN, Fault, holds_no_more, miscounted, over_page, pieces, seen
from rtl_tests.accelerator.formal.prover import Netlist

__all__ = ["control_claims", "register_claims", "stream_claims", "write_claims"]


class _Bench:
    """A module with clock, reset and claims."""

    def __init__(self) -> None:
        self.m = Module()
        self._running = Signal(name="aresetn")
        self._clock = ClockDomain("sync")
        self.m.domains += self._clock
        self.m.d.comb += ResetSignal().eq(~self._running)
        self.claims = Claims(self.m, self._running)

    def free(self, part: Any, *names: str) -> None:
        """Any values at inputs of a part, in every cycle."""
        self.m.d.comb += [getattr(part, name).eq(anything(len(getattr(part, name)))) for name in names]

    def clear(self, *parts: Any) -> Value:
        """``clear`` of pieces, in any cycle."""
        clear = Signal(name="any_clear")
        self.m.d.sync += clear.eq(anything(1))
        self.m.d.comb += [part.clear.eq(clear) for part in parts]
        return clear

    def netlist(self) -> Netlist:
        return self.claims.netlist([self._clock.clk, self._running])


def stream_claims(name: str, fault: Fault | None = None, design: Design = DESIGN) -> Netlist:
    """A read engine and its ring: bursts are as AXI wants them, and no more is asked for than the ring holds."""
    copy, stream = pieces(fault), design.streams[name]
    bench = _Bench()
    m, claims = bench.m, bench.claims
    m.submodules.engine = engine = copy.ReadEngine(design, stream)
    m.submodules.ring = ring = seen(copy.Ring)(stream, design.count_bits, None)
    clear = bench.clear(engine, ring)
    bench.free(engine, "address", "beats", "blocks_last", "windows_last", "fetches_last", "stop", "done", "grant")
    bench.free(ring, "words_last", "entries_last", "blocks_last", "uses_last", "take", "beat_valid")
    m.d.comb += engine.released.eq(ring.released)
    owed = claims.count(stream.capacity, Mux(engine.grant, engine.length + 1, 0), ring.beat_valid)
    under = [
        claims.assume(~miscounted(claims, engine)),
        claims.assume(~engine.grant | engine.valid),
        claims.assume(~ring.take | ring.valid),
        claims.assume(~ring.beat_valid | (owed != 0)),
        claims.assume(~clear | ((owed == 0) & ~engine.grant)),
    ]
    claims.never("page", engine.valid & over_page(design, engine.addr, engine.length), *under[:2])
    claims.never("length", engine.valid & (engine.length + 1 > stream.burst), *under[:2])
    claims.never("owed", owed > stream.capacity, *under)
    holds_no_more(claims, name, ring, ring.released, ring.beat_valid, clear, under)
    return bench.netlist()


def write_claims(fault: Fault | None = None, design: Design = DESIGN) -> Netlist:
    """The write engine and its buffer."""
    copy = pieces(fault)
    bench = _Bench()
    m, claims = bench.m, bench.claims
    m.submodules.engine = engine = copy.WriteEngine(design)
    m.submodules.buffer = buffer = seen(copy.WriteBuffer)(design, None)
    clear = bench.clear(engine, buffer)
    bench.free(engine, "address", "stop", "flush", "aw_ready", "b_valid")
    bench.free(buffer, "i_valid")
    came, valid, sent, ready = (Signal(name=name) for name in ("came", "w_valid", "w_sent", "w_ready"))
    m.d.comb += [
        ready.eq(anything(1)),
        came.eq(buffer.i_valid & buffer.i_ready),
        valid.eq(buffer.valid & engine.w_active),
        sent.eq(valid & ready),
        engine.came.eq(came),
        engine.w_sent.eq(sent),
        buffer.take.eq(sent),
    ]
    most = design.outstanding
    new = Signal(name="new_burst")
    m.d.comb += new.eq(engine.aw_valid & ~claims.before(engine.aw_valid & ~engine.aw_ready))
    begun = claims.count(most, new, engine.b_valid)
    addressed = claims.count(most, engine.aw_valid & engine.aw_ready, engine.b_valid)
    filled = claims.count(most, sent & engine.w_last, engine.b_valid)
    busy = (begun != 0) | engine.aw_valid | valid
    under = [
        claims.assume(~engine.b_valid | ((addressed != 0) & (filled != 0))),
        claims.assume(~clear | engine.idle),
    ]
    claims.never("writes_outstanding", begun + new > most, *under)
    claims.never("writes_idle", engine.idle & busy, *under)
    length = Mux(new, engine.aw_length + 1, 0)
    buffered = claims.count(design.write_depth + 1, came, sent, clear)
    promised = claims.count(design.write_depth + 1, length, sent, clear)
    claims.never("w_underrun", promised + length > buffered, *under)
    claims.never("w_empty", engine.idle & engine.empty & (buffered != 0), *under)
    holds_no_more(claims, "results", buffer, buffer.port["r_en"], buffer.i_valid, clear, [])
    return bench.netlist()


def control_claims(fault: Fault | None = None, design: Design = DESIGN) -> Netlist:
    """The sequencer of jobs."""
    bench = _Bench()
    m, claims = bench.m, bench.claims
    m.submodules.control = control = pieces(fault).Control(design)
    inputs = [path[0] for path, member, _ in control.signature.flatten(control) if member.flow.name == "In"]
    bench.free(control, *inputs)
    # Since the engines might last begin anything, all has come to rest.
    moved = Signal(name="moved")
    with m.If(control.running):
        m.d.sync += moved.eq(~control.finished)
    with m.Elif(control.idle):
        m.d.sync += moved.eq(0)
    claims.never("clear_at_rest", control.clear & (moved | control.running))
    claims.never("running_busy", control.running & ~control.busy)
    claims.never("ends_busy", control.done_set & ~control.busy)
    # The count of finished jobs shows one cycle late that one ended.
    ended = control.jobs[0] != claims.before(control.jobs[0])
    jobs = claims.count(2, claims.before(control.start & ~control.queued), ended)
    claims.never("jobs", jobs != claims.before(control.busy + control.queued))
    claims.never("refused", control.start & control.queued & ~control.error_set)
    return bench.netlist()


def register_claims(fault: Fault | None = None, design: Design = DESIGN) -> Netlist:
    """The registers' bus."""
    bench = _Bench()
    m, claims = bench.m, bench.claims
    m.submodules.registers = file = pieces(fault).RegisterFile(accelerator_map(design.address_bits, design.count_bits))
    inputs = [path[0] for path, member, _ in file.signature.flatten(file) if member.flow.name == "In"]
    bench.free(file, *inputs)
    valid, ready = (
        {n: getattr(file, f"s_axi_{n}{what}") for n in ("aw", "w", "b", "ar", "r")} for what in ("valid", "ready")
    )
    done = {name: valid[name] & ready[name] for name in valid}
    claims.stays("b", valid["b"], ready["b"], [file.s_axi_bresp])
    claims.stays("r", valid["r"], ready["r"], [file.s_axi_rdata, file.s_axi_rresp])
    asked = {name: claims.count(1, done[name], done["b"]) for name in ("aw", "w")}
    read = claims.count(1, done["ar"], done["r"])
    both = (asked["aw"] != 0) & (asked["w"] != 0)
    claims.never("b_asked", valid["b"] & ~both)
    claims.never("b_answers", both & ~valid["b"])
    claims.never("r_asked", valid["r"] & (read == 0))
    claims.never("r_answers", (read != 0) & ~valid["r"])
    claims.never("one_write", (asked["aw"] > 1) | (asked["w"] > 1))
    claims.never("one_read", read > 1)
    return bench.netlist()
