"""What is claimed of parts of an accelerator on their own, with anything around them that keeps to their interfaces."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import ClockDomain, Module, Mux, ResetSignal, Signal, Value

from hwgen.accelerator import Design
from hwgen.accelerator.design import PAGE_BYTES
from hwgen.prove.accelerator.claims import Claims, anything
from hwgen.prove.accelerator.machine import Device, Machine, Part

__all__ = [
    "control_claims",
    "holds_no_more",
    "miscounted",
    "over_page",
    "register_claims",
    "stream_claims",
    "write_claims",
]


class _Bench:
    """A module with clock, reset and claims, and parts of a device."""

    def __init__(self, device: Device) -> None:
        self._device, self.m = device, Module()
        self._running = Signal(name="aresetn")
        self._clock = ClockDomain("sync")
        self.m.domains += self._clock
        self.m.d.comb += ResetSignal().eq(~self._running)
        self.claims = Claims(self.m, self._running)
        self._parts: list[Part] = []

    def part(self, name: str, *watched: str) -> Part:
        """A part of the device, with nets of it that are no ports."""
        part = self._device.part(self.m, name, name, watched)
        self._parts.append(part)
        return part

    def clear(self, *parts: Part) -> Signal:
        """``clear`` of parts, in any cycle."""
        clear = Signal(name="any_clear")
        self.m.d.sync += clear.eq(anything(1))
        for part in parts:
            part.drive(clear=clear)
        return clear

    def machine(self) -> Machine:
        """All claims."""
        for part in self._parts:
            part.close()
        modules = [part.module for part in self._parts]
        return self.claims.machine(self._device, [self._clock.clk, self._running], *modules)


def miscounted(claims: Claims, engine: Part, net: str = "") -> Value:
    """Whether an engine that may ask has blocks of no beats, or of others than when its job began; ``net`` stands
    before the names of its nets.
    """
    beats = engine.net(f"{net}beats")
    begun = Signal.like(beats, name="beats_begun", reset_less=True)
    with claims.m.If(engine.net(f"{net}clear")):
        claims.m.d.sync += begun.eq(beats)
    return engine.net(f"{net}active") & ~engine.net(f"{net}stop") & ((beats == 0) | (beats != begun))


def over_page(design: Design, address: Value, length: Value) -> Value:
    """Whether a burst of ``length`` beats less one goes beyond the page in which it begins."""
    low = (design.bus_bytes - 1).bit_length()
    page = PAGE_BYTES // design.bus_bytes
    return address[low : low + (page - 1).bit_length()] + length + 1 > page


def holds_no_more(
    claims: Claims,
    name: str,
    part: Part,
    depth: int,
    released: Value,
    comes: Value,
    clear: Value,
    under: Sequence[Signal],
) -> None:
    """A ring or buffer never holds more than its ``depth``, and neither writes over nor gives what it should not: seen
    at one entry, whichever. ``comes``: something is to be written, which does not happen before the first ``clear``.
    """
    m = claims.m
    port = {one: part.net(f"sram.{one}") for one in ("w_en", "w_addr", "r_en", "r_addr")}
    part.memory("sram.")
    started = Signal(name="started")
    with m.If(clear):
        m.d.sync += started.eq(1)
    quiet = claims.assume(started | ~comes)
    held = claims.count(depth, port["w_en"], released, clear)
    overflow = port["w_en"] & (held == depth)
    claims.never(f"{name}_overflow", overflow, quiet, *under)
    fits = claims.assume(~overflow)
    watched = Signal(len(port["w_addr"]), name=f"watched_{name}", reset_less=True)
    with m.If(claims.was_reset):
        m.d.sync += watched.eq(anything(len(watched)))
    live = Signal(name=f"live_{name}")
    writes, reads = ((port[f"{way}_en"] & (port[f"{way}_addr"] == watched)) for way in "wr")
    with m.If(clear | (reads & released)):
        m.d.sync += live.eq(0)
    with m.Elif(writes):
        m.d.sync += live.eq(1)
    claims.never(f"{name}_overwritten", writes & live, fits, quiet)
    claims.never(f"{name}_not_there", reads & ~live, fits, quiet)


def stream_claims(name: str, device: Device) -> Machine:
    """A read engine and its ring: bursts are as AXI wants them, and no more is asked for than the ring holds."""
    design, stream = device.design, device.design.streams[name]
    bench = _Bench(device)
    claims = bench.claims
    engine, ring = bench.part(f"{name}_engine", "active"), bench.part(f"{name}_ring")
    clear = bench.clear(engine, ring)
    engine.drive(released=ring.released)
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
    holds_no_more(claims, name, ring, stream.depth, ring.released, ring.beat_valid, clear, under)
    return bench.machine()


def write_claims(device: Device) -> Machine:
    """The write engine and its buffer."""
    design = device.design
    bench = _Bench(device)
    m, claims = bench.m, bench.claims
    engine, buffer = bench.part("write_engine"), bench.part("write_buffer")
    clear = bench.clear(engine, buffer)
    came, valid, sent, ready = (Signal(name=name) for name in ("came", "w_valid", "w_sent", "w_ready"))
    m.d.comb += [
        ready.eq(anything(1)),
        came.eq(buffer.i_valid & buffer.i_ready),
        valid.eq(buffer.valid & engine.w_active),
        sent.eq(valid & ready),
    ]
    engine.drive(came=came, w_sent=sent)
    buffer.drive(take=sent)
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
    holds_no_more(claims, "results", buffer, design.write_depth, buffer.net("sram.r_en"), buffer.i_valid, clear, [])
    return bench.machine()


def control_claims(device: Device) -> Machine:
    """The sequencer of jobs."""
    bench = _Bench(device)
    m, claims = bench.m, bench.claims
    control = bench.part("control")
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
    return bench.machine()


def register_claims(device: Device) -> Machine:
    """The registers' bus."""
    bench = _Bench(device)
    claims = bench.claims
    file = bench.part("registers")
    valid, ready = (
        {n: file.net(f"s_axi_{n}{what}") for n in ("aw", "w", "b", "ar", "r")} for what in ("valid", "ready")
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
    return bench.machine()
