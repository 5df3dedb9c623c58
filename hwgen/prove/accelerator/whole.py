"""What is claimed of a whole accelerator, and what of memory, software and tile is assumed.

The accelerator is the text's with three parts left out: a job may be started, aborted and described in any cycle by any
values (no register stands between), its tile is anything that has the ports of one, and its memories give any value
(that of the results keeps it until the next read).
"""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, ClockDomain, Const, Module, Mux, ResetSignal, Signal, Value

from hwgen.accelerator import Design
from hwgen.emit import INPUT_DEPTH, result_depth, streams
from hwgen.prove.accelerator.alone import miscounted, over_page
from hwgen.prove.accelerator.claims import Claims, Lengths
from hwgen.prove.accelerator.machine import Device, Machine, Part

__all__ = ["accelerator_claims"]

_ENGINE = ("idle", "beats", "clear", "active", "stop", "addr", "length", "valid")
_OTHERS = (
    *(f"control.{name}" for name in ("clear", "running", "finished", "busy", "done_set")),
    "write_buffer.i_valid",
    "write_buffer.i_ready",
)


def _length_bits(burst: int) -> int:
    """Bits of a burst's beats less one."""
    return max((burst - 1).bit_length(), 1)


def accelerator_claims(device: Device) -> Machine:
    """All claims about the accelerator."""
    design, m = device.design, Module()
    clock, running = ClockDomain("sync"), Signal(name="aresetn")
    m.domains += clock
    m.d.comb += ResetSignal().eq(~running)
    claims = Claims(m, running)
    watched = [f"{name}_engine.{net}" for name in design.streams for net in _ENGINE]
    top = device.whole(m, "dut", [*watched, *_OTHERS])
    top.drive(aresetn=running)
    top.memory("write_buffer.sram.")
    tile = _tile(claims, top, device)
    reading, replies = _reads(claims, top, design)
    writing, buffered, responses = _writes(claims, top, design)
    _jobs(claims, top, design, reading, writing, buffered, (*replies.values(), responses, tile))
    top.close()
    return claims.machine(device, [clock.clk, running], top.module)


def _tile(claims: Claims, top: Part, device: Device) -> Signal:
    """A tile takes no more steps than it has room for, and gives results of steps only, once the weights of all steps
    that it took are there; ``clear`` resets it.
    """
    design, place = device.design, device.instance(device.tile)
    net = {
        name: {one: top.net(f"{place}.{way}_axis_{name}_{one}") for one in ("tvalid", "tready")}
        for way, name in (("s", "acts"), ("s", "weights"), ("m", "result"))
    }
    moves = {name: one["tvalid"] & one["tready"] for name, one in net.items()}
    most = result_depth(design.tile) + INPUT_DEPTH
    ends: Value = top.net(f"{place}.s_axis_acts_tlast")
    if design.tile.lanes:
        done = next(field for field in streams(design.tile).user if field.port.name == "i_done")
        ends = top.net(f"{place}.s_axis_acts_tuser")[done.offset]
    step = moves["acts"] & ends
    result = moves["result"] & top.net(f"{place}.m_axis_result_tlast")
    clear = top.net("control.clear")
    inside = claims.count(most, step, result, clear)
    # Steps of which the activations are there and the weights are not yet, and the other way round.
    acts, weights = moves["acts"], moves["weights"]
    early, late = Signal(range(INPUT_DEPTH + 1), name="early"), Signal(range(INPUT_DEPTH + 1), name="late")
    with claims.m.If(clear):
        claims.m.d.sync += [early.eq(0), late.eq(0)]
    with claims.m.Elif(acts & ~weights):
        claims.m.d.sync += [early.eq(Mux(late == 0, early + 1, 0)), late.eq(Mux(late == 0, 0, late - 1))]
    with claims.m.Elif(weights & ~acts):
        claims.m.d.sync += [late.eq(Mux(early == 0, late + 1, 0)), early.eq(Mux(early == 0, 0, early - 1))]
    room = ~(step & (inside == most)) & ~(acts & (early == INPUT_DEPTH)) & ~(weights & (late == INPUT_DEPTH))
    return claims.assume(~(net["result"]["tvalid"] & ((inside == 0) | (early != 0))) & room)


def _burst(claims: Claims, top: Part, design: Design, channel: str, most: Value, *under: Signal) -> None:
    """What holds for the bursts that an address channel asks for."""
    port = {name: top.net(f"m_axi_{channel}{name}") for name in ("valid", "addr", "len", "size", "burst")}
    low = (design.bus_bytes - 1).bit_length()
    claims.never(f"{channel}_page", port["valid"] & over_page(design, port["addr"], port["len"]), *under)
    claims.never(f"{channel}_length", port["valid"] & (port["len"] + 1 > most), *under)
    claims.never(f"{channel}_aligned", port["valid"] & port["addr"][:low].any())
    claims.never(f"{channel}_kind", port["valid"] & ((port["size"] != low) | (port["burst"] != 1)))


def _reads(claims: Claims, top: Part, design: Design) -> tuple[Value, dict[str, Signal]]:
    """Read channels; gives whether any read is on its way, and what is assumed of each stream's.

    That what an engine asks for is within its page and no longer than it may be is proved of engines on their own,
    whatever is around them, and assumed here.
    """
    m = claims.m
    names = ("addr", "len", "id", "size", "burst", "lock", "cache", "prot")
    claims.stays("ar", top.m_axi_arvalid, top.m_axi_arready, [top.net(f"m_axi_ar{name}") for name in names])
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
        length = top.m_axi_arlen[: _length_bits(stream.burst)]
        bursts = Lengths(claims, design.outstanding, asked, length, here, top.m_axi_rlast)
        kept[name] = claims.assume(~here | ((bursts.count != 0) & (top.m_axi_rlast == (bursts.beat == bursts.head))))
        waiting = top.m_axi_arvalid & mine
        calm = claims.assume(~claims.before(top.net("control.clear") & (waiting | (bursts.count != 0))))
        claims.never(f"{name}_outstanding", bursts.count + waiting > design.outstanding, kept[name], calm)
        net = {one: top.net(f"{name}_engine.{one}") for one in ("idle", "valid", "addr", "length")}
        claims.never(f"{name}_idle", net["idle"] == ((bursts.count != 0) | waiting), kept[name], calm)
        flying.append(bursts.count != 0)
        claims.never(f"{name}_nothing", miscounted(claims, top, f"{name}_engine."))
        wrong = over_page(design, net["addr"], net["length"]) | (net["length"] + 1 > stream.burst)
        asked_well.append(claims.assume(~(net["valid"] & wrong)))
    _burst(claims, top, design, "ar", most, *asked_well)
    return Cat(*flying).any(), kept


def _writes(claims: Claims, top: Part, design: Design) -> tuple[Value, Value, Signal]:
    """Write channels; gives whether any write is on its way, whether beats wait for one, and what is assumed."""
    m = claims.m
    names = ("addr", "len", "id", "size", "burst", "lock", "cache", "prot")
    claims.stays("aw", top.m_axi_awvalid, top.m_axi_awready, [top.net(f"m_axi_aw{name}") for name in names])
    w_payload = [top.m_axi_wdata, top.m_axi_wstrb, top.m_axi_wlast]
    claims.stays("w", top.m_axi_wvalid, top.m_axi_wready, w_payload)
    _burst(claims, top, design, "aw", Const(design.burst, 9))
    most = design.outstanding
    new, sent = Signal(name="new_burst"), Signal(name="w_beat")
    m.d.comb += [
        new.eq(top.m_axi_awvalid & ~claims.before(top.m_axi_awvalid & ~top.m_axi_awready)),
        sent.eq(top.m_axi_wvalid & top.m_axi_wready),
    ]
    bursts = Lengths(claims, most, new, top.m_axi_awlen[: _length_bits(design.burst)], sent, top.m_axi_wlast)
    claims.never("w_early", top.m_axi_wvalid & (bursts.count == 0))
    ends = bursts.beat == bursts.head
    claims.never("w_last", top.m_axi_wvalid & (bursts.count != 0) & (top.m_axi_wlast != ends))
    addressed = claims.count(most, top.m_axi_awvalid & top.m_axi_awready, top.m_axi_bvalid)
    filled = claims.count(most, sent & top.m_axi_wlast, top.m_axi_bvalid)
    kept = claims.assume(~top.m_axi_bvalid | ((addressed != 0) & (filled != 0)))
    begun = claims.count(most, new, top.m_axi_bvalid)
    busy = (begun != 0) | top.m_axi_awvalid | top.m_axi_wvalid
    came = top.net("write_buffer.i_valid") & top.net("write_buffer.i_ready")
    buffered = claims.count(design.write_depth + 1, came, sent, top.net("control.clear"))
    return busy, buffered != 0, kept


def _jobs(
    claims: Claims, top: Part, design: Design, reading: Value, writing: Value, buffered: Value, under: Sequence[Signal]
) -> None:
    """Jobs begin and end with nothing on its way."""
    control = {name: top.net(f"control.{name}") for name in ("clear", "running", "finished", "busy", "done_set")}
    flying = reading | top.m_axi_arvalid | writing
    engines = Cat(*(top.net(f"{name}_engine.idle") for name in design.streams)).all()
    begins = Cat(*(top.net(f"{name}_engine.valid") for name in design.streams)).any()
    claims.never("begins", begins & ~control["running"])
    claims.never("finished", control["finished"] & control["running"] & ~engines, *under)
    claims.never("clear", control["clear"] & flying, *under)
    claims.never("busy", flying & ~control["busy"], *under)
    claims.never("done", control["done_set"] & (flying | buffered), *under)
