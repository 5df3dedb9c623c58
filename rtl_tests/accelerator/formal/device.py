"""What is claimed of an accelerator and its registers, and what of memory, software and tile is assumed.

The accelerator is the one of `hwgen.accelerator` with three changes: a job may be started, aborted and described in any
cycle by any values (no register stands between), its tile is anything that has the ports of one, and its memories
give any value (and keep it until the next read).
"""

from __future__ import annotations

import importlib
import inspect
import re
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

import hwgen.accelerator.accelerator
import hwgen.accelerator.core
from hwgen.accelerator import Design
from hwgen.accelerator.control import Control
from hwgen.accelerator.design import PAGE_BYTES
from hwgen.accelerator.job import ADDRESSES, COUNTS, FLAGS
from hwgen.accelerator.registers import accelerator_map
from hwgen.emit import INPUT_DEPTH, axi_stream_ports, component_rtlil, result_depth
from hwgen.pe import family
from rtl_tests.accelerator.formal.claims import Claims, Lengths, anything
from rtl_tests.accelerator.formal.prover import Netlist

__all__ = ["DESIGN", "Fault", "accelerator_claims", "holds_no_more", "miscounted", "over_page", "pieces", "seen"]

_PACKAGE = "hwgen.accelerator"


def _design() -> Design:
    """Small, with all four streams: weights of two beats a word, activations of four words a beat."""
    tile = family("int").from_values({"m": 1, "n": 8, "k": 4, "bits": 4, "group": 8, "depth": 16, "post_lanes": 1})
    return Design(tile=tile, bus_bits=64, weight_ring=2, act_ring=8, burst=2, outstanding=2, count_bits=8)


DESIGN = _design()


@dataclass(frozen=True)
class Fault:
    """A mistake in a module of `hwgen.accelerator`: ``old`` text, there once, and what stands in its place."""

    module: str
    old: str
    new: str


def parts(fault: Fault | None = None) -> tuple[types.ModuleType, types.ModuleType]:
    """Modules like `hwgen.accelerator.core` and `hwgen.accelerator.accelerator`, with a fault in one of them or in one
    of those from which they import. Parts that the core places are those of its module.
    """
    core = _module(hwgen.accelerator.core, fault)
    copies = (core, _module(hwgen.accelerator.accelerator, fault, core))
    if fault is not None and fault.module not in ("core", "accelerator"):
        name = f"{_PACKAGE}.{fault.module}"
        faulty = _module(importlib.import_module(name), fault)
        for copy in copies:
            for part, value in vars(copy).items():
                if getattr(value, "__module__", "") == name:
                    setattr(copy, part, getattr(faulty, part))
    return copies


def pieces(fault: Fault | None = None) -> types.SimpleNamespace:
    """All parts of an accelerator by name, with a fault in one of them."""
    core, copy = parts(fault)
    return types.SimpleNamespace(**{**vars(core), **vars(copy)})


def _module(module: types.ModuleType, fault: Fault | None, core: types.ModuleType | None = None) -> types.ModuleType:
    """A copy of a module; what it imports of the core comes from ``core``."""
    text = inspect.getsource(module)
    if fault is not None and module.__name__ == f"{_PACKAGE}.{fault.module}":
        assert text.count(fault.old) == 1, f"{fault.module}: not there once: {fault.old}"
        text = text.replace(fault.old, fault.new)
    copy = types.ModuleType(module.__name__)
    copy.__file__ = module.__file__
    if core is not None:
        line = re.search(r"^from hwgen\.accelerator\.core import (.*)$", text, re.M)
        assert line is not None
        vars(copy).update({name: getattr(core, name) for name in line[1].split(", ")})
        text = text.replace(line[0], "")
    exec(compile(text, str(module.__file__), "exec"), vars(copy))
    return copy


def seen(base: type[Any]) -> type[Any]:
    """A ring or buffer whose memory gives any value, and is seen from outside as ``port[name]``."""

    class Seen(base):  # type: ignore[misc]
        def __init__(self, *arguments: Any) -> None:
            *others, _ = arguments
            self.port: dict[str, Signal] = {}
            self.depth = others[0].write_depth if isinstance(others[0], Design) else others[0].depth
            for name, bits in (("w_en", 1), ("w_addr", 16), ("r_en", 1), ("r_addr", 16)):
                self.port[name] = Signal(bits, name=f"seen_{name}")
            super().__init__(*others, self._any)

        def _any(self, m: Module, name: str, depth: int, bits: int, inputs: Mapping[str, Value]) -> Value:
            data = Signal(bits, name="data", reset_less=True)
            with m.If(inputs["r_en"]):
                m.d.sync += data.eq(anything(bits))
            m.d.comb += [signal.eq(inputs[name]) for name, signal in self.port.items()]
            return data

    return Seen


class _AnyTile(wiring.Component):
    """The ports of a tile behind its streams, any values at its outputs."""

    def __init__(self, design: Design) -> None:
        self._ports = axi_stream_ports(design.tile)
        ports = {port.name: (In if port.direction == "input" else Out)(port.width) for port in self._ports}
        super().__init__({**ports, "o_waits": Out(3)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for _, member, signal in self.signature.flatten(self):
            if member.flow == Out:
                m.d.comb += signal.eq(anything(len(signal)))
        return m


def _checked(core: types.ModuleType, copy: types.ModuleType) -> type[Any]:
    """The accelerator of copies of its modules with its parts in reach and anything for its surroundings."""
    core.Ring, copy.WriteBuffer = seen(core.Ring), seen(copy.WriteBuffer)  # type: ignore[attr-defined]

    class Checked(copy.Accelerator):  # type: ignore[misc, name-defined]
        def _inputs(self, m: Module, control: Control) -> Any:
            self.control = control
            found = super()._inputs(m, control)
            self.rings = found.rings
            self.engines = {name: getattr(m.submodules, f"{name}_engine") for name in self.rings}
            return found

        def _stream(self, m: Module, control: Control, rings: Any) -> Any:
            found = super()._stream(m, control, rings)
            self.weights = found[0]["weights"]
            return found

        def _progress(self, m: Module, control: Control, acts: Any, results: dict[str, Signal]) -> Any:
            self.acts, self.results = acts, results
            return super()._progress(m, control, acts, results)

        def _outputs(self, m: Module, control: Control, packer: Any, ended: Signal) -> Any:
            found = super()._outputs(m, control, packer, ended)
            self.packer, self.buffer, self.writer = packer, m.submodules.write_buffer, m.submodules.write_engine
            return found

        def _status(self, m: Module, control: Control, waits: Value) -> None:
            names = [f"next_{name}" for name in (*ADDRESSES, *COUNTS, *FLAGS)]
            for name in ("start", "abort", *names):
                signal = getattr(control, name)
                m.d.comb += signal.eq(anything(len(signal)))

    return Checked


def accelerator_claims(fault: Fault | None = None, design: Design = DESIGN) -> Netlist:
    """All claims about the accelerator."""
    top: Any = _checked(*parts(fault))(
        design, accelerator_map(design.address_bits, design.count_bits), "dut", "any_tile"
    )
    m = top.elaborate(None)
    top._MustUse__used = True
    claims = Claims(m, top.aresetn)
    tile = _tile(claims, top, design)
    reading, replies = _reads(claims, top, design)
    writing, buffered, responses = _writes(claims, top, design)
    _jobs(claims, top, reading, writing, buffered, (*replies.values(), responses, tile))
    inputs = [value for _, member, value in top.signature.flatten(top) if member.flow == In]
    return claims.netlist(inputs, component_rtlil(_AnyTile(design), "any_tile"))


def _tile(claims: Claims, top: Any, design: Design) -> Signal:
    """A tile takes no more steps than it has room for, and gives results of steps only, once the weights of all steps
    that it took are there; ``clear`` resets it.
    """
    most = result_depth(design.tile) + INPUT_DEPTH
    step = top.acts.valid & top.acts.ready & (top.acts.done if design.tile.lanes else top.acts.last)
    result = top.results["valid"] & top.results["ready"] & top.results["last"]
    clear = top.control.clear
    inside = claims.count(most, step, result, clear)
    # Steps of which the activations are there and the weights are not yet, and the other way round.
    acts, weights = (feeder.valid & feeder.ready for feeder in (top.acts, top.weights))
    early, late = Signal(range(INPUT_DEPTH + 1), name="early"), Signal(range(INPUT_DEPTH + 1), name="late")
    with claims.m.If(clear):
        claims.m.d.sync += [early.eq(0), late.eq(0)]
    with claims.m.Elif(acts & ~weights):
        claims.m.d.sync += [early.eq(Mux(late == 0, early + 1, 0)), late.eq(Mux(late == 0, 0, late - 1))]
    with claims.m.Elif(weights & ~acts):
        claims.m.d.sync += [late.eq(Mux(early == 0, late + 1, 0)), early.eq(Mux(early == 0, 0, early - 1))]
    room = ~(step & (inside == most)) & ~(acts & (early == INPUT_DEPTH)) & ~(weights & (late == INPUT_DEPTH))
    return claims.assume(~(top.results["valid"] & ((inside == 0) | (early != 0))) & room)


def miscounted(claims: Claims, engine: Any) -> Value:
    """Whether an engine that may ask has blocks of no beats, or of others than when its job began."""
    begun = Signal.like(engine.beats, name="beats_begun", reset_less=True)
    with claims.m.If(engine.clear):
        claims.m.d.sync += begun.eq(engine.beats)
    return engine.active & ~engine.stop & ((engine.beats == 0) | (engine.beats != begun))


def over_page(design: Design, address: Value, length: Value) -> Value:
    """Whether a burst of ``length`` beats less one goes beyond the page in which it begins."""
    low = (design.bus_bytes - 1).bit_length()
    page = PAGE_BYTES // design.bus_bytes
    return address[low : low + (page - 1).bit_length()] + length + 1 > page


def _burst(claims: Claims, top: Any, design: Design, channel: str, most: Value, *under: Signal) -> None:
    """What holds for the bursts that an address channel asks for."""
    port = {name: getattr(top, f"m_axi_{channel}{name}") for name in ("valid", "addr", "len", "size", "burst")}
    low = (design.bus_bytes - 1).bit_length()
    claims.never(f"{channel}_page", port["valid"] & over_page(design, port["addr"], port["len"]), *under)
    claims.never(f"{channel}_length", port["valid"] & (port["len"] + 1 > most), *under)
    claims.never(f"{channel}_aligned", port["valid"] & port["addr"][:low].any())
    claims.never(f"{channel}_kind", port["valid"] & ((port["size"] != low) | (port["burst"] != 1)))


def _reads(claims: Claims, top: Any, design: Design) -> tuple[Value, dict[str, Signal]]:
    """Read channels; gives whether any read is on its way, and what is assumed of each stream's.

    That what an engine asks for is within its page and no longer than it may be is proved of engines on their own,
    whatever is around them, and assumed here.
    """
    m = claims.m
    names = ("addr", "len", "id", "size", "burst", "lock", "cache", "prot")
    payload = [getattr(top, f"m_axi_ar{name}") for name in names]
    claims.stays("ar", top.m_axi_arvalid, top.m_axi_arready, payload)
    most = Signal(9, name="most")
    flying: list[Value] = []
    kept: dict[str, Signal] = {}
    asked_well: list[Signal] = []
    for name, stream in design.streams.items():
        mine = top.m_axi_arid == stream.index
        with m.If(mine):
            m.d.comb += most.eq(stream.burst)
        here = Signal(name=f"beat_of_{name}")
        m.d.comb += here.eq(top.m_axi_rvalid & (top.m_axi_rid == stream.index))
        asked = top.m_axi_arvalid & top.m_axi_arready & mine
        bursts = Lengths(claims, design.outstanding, asked, top.m_axi_arlen[:4], here, top.m_axi_rlast)
        kept[name] = claims.assume(~here | ((bursts.count != 0) & (top.m_axi_rlast == (bursts.beat == bursts.head))))
        waiting = top.m_axi_arvalid & mine
        calm = claims.assume(~claims.before(top.control.clear & (waiting | (bursts.count != 0))))
        claims.never(f"{name}_outstanding", bursts.count + waiting > design.outstanding, kept[name], calm)
        claims.never(f"{name}_idle", top.engines[name].idle == ((bursts.count != 0) | waiting), kept[name], calm)
        flying.append(bursts.count != 0)
        engine = top.engines[name]
        claims.never(f"{name}_nothing", miscounted(claims, engine))
        wrong = over_page(design, engine.addr, engine.length) | (engine.length + 1 > stream.burst)
        asked_well.append(claims.assume(~(engine.valid & wrong)))
    _burst(claims, top, design, "ar", most, *asked_well)
    return Cat(*flying).any(), kept


def _writes(claims: Claims, top: Any, design: Design) -> tuple[Value, Value, Signal]:
    """Write channels; gives whether any write is on its way, whether beats wait for one, and what is assumed."""
    m = claims.m
    names = ("addr", "len", "id", "size", "burst", "lock", "cache", "prot")
    claims.stays("aw", top.m_axi_awvalid, top.m_axi_awready, [getattr(top, f"m_axi_aw{name}") for name in names])
    w_payload = [top.m_axi_wdata, top.m_axi_wstrb, top.m_axi_wlast]
    claims.stays("w", top.m_axi_wvalid, top.m_axi_wready, w_payload)
    _burst(claims, top, design, "aw", Const(design.burst, 9))
    most = design.outstanding
    new, sent = Signal(name="new_burst"), Signal(name="w_beat")
    m.d.comb += [
        new.eq(top.m_axi_awvalid & ~claims.before(top.m_axi_awvalid & ~top.m_axi_awready)),
        sent.eq(top.m_axi_wvalid & top.m_axi_wready),
    ]
    bursts = Lengths(claims, most, new, top.m_axi_awlen[:4], sent, top.m_axi_wlast)
    claims.never("w_early", top.m_axi_wvalid & (bursts.count == 0))
    ends = bursts.beat == bursts.head
    claims.never("w_last", top.m_axi_wvalid & (bursts.count != 0) & (top.m_axi_wlast != ends))
    addressed = claims.count(most, top.m_axi_awvalid & top.m_axi_awready, top.m_axi_bvalid)
    filled = claims.count(most, sent & top.m_axi_wlast, top.m_axi_bvalid)
    kept = claims.assume(~top.m_axi_bvalid | ((addressed != 0) & (filled != 0)))
    begun = claims.count(most, new, top.m_axi_bvalid)
    busy = (begun != 0) | top.m_axi_awvalid | top.m_axi_wvalid
    buffered = claims.count(
        design.write_depth + 1, top.packer.o_valid & top.packer.o_ready, sent, clear=top.control.clear
    )
    return busy, buffered != 0, kept


def holds_no_more(
    claims: Claims, name: str, part: Any, released: Value, comes: Value, clear: Value, under: Sequence[Signal]
) -> None:
    """A ring or buffer never holds more than fits, and neither writes over nor gives what it should not: seen at one
    entry, whichever. ``comes``: something is to be written, which does not happen before the first ``clear``.
    """
    m, port = claims.m, part.port
    started = Signal(name="started")
    with m.If(clear):
        m.d.sync += started.eq(1)
    quiet = claims.assume(started | ~comes)
    held = claims.count(part.depth, port["w_en"], released, clear)
    overflow = port["w_en"] & (held == part.depth)
    claims.never(f"{name}_overflow", overflow, quiet, *under)
    fits = claims.assume(~overflow)
    watched = Signal(4, name=f"watched_{name}", reset_less=True)
    with m.If(claims.was_reset):
        m.d.sync += watched.eq(anything(4))
    live = Signal(name=f"live_{name}")
    writes, reads = ((port[f"{way}_en"] & (port[f"{way}_addr"] == watched)) for way in "wr")
    with m.If(clear | (reads & released)):
        m.d.sync += live.eq(0)
    with m.Elif(writes):
        m.d.sync += live.eq(1)
    claims.never(f"{name}_overwritten", writes & live, fits, quiet)
    claims.never(f"{name}_not_there", reads & ~live, fits, quiet)


def _jobs(claims: Claims, top: Any, reading: Value, writing: Value, buffered: Value, under: Sequence[Signal]) -> None:
    """Jobs begin and end with nothing on its way."""
    control = top.control
    flying = reading | top.m_axi_arvalid | writing
    engines = Cat(*(engine.idle for engine in top.engines.values())).all()
    begins = Cat(*(engine.valid for engine in top.engines.values())).any()
    claims.never("begins", begins & ~control.running)
    claims.never("finished", control.finished & control.running & ~engines, *under)
    claims.never("clear", control.clear & flying, *under)
    claims.never("busy", flying & ~control.busy, *under)
    claims.never("done", control.done_set & (flying | buffered), *under)
