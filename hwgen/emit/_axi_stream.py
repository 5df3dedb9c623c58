"""A tile behind AXI4-Stream: operands in by two streams, results out by one, with back-pressure on all of them.

A tile holds no result back. The wrapper therefore takes the step that ends a result only when its result queue has room
for all of that result: a credit, given back as beats leave.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Const, Instance, Module, Mux, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hwgen.emit._reset import Reset
from hwgen.emit._rtlil import component_rtlil, signals_rtlil, without_memory_init
from hwgen.frame.interface import tile_ports
from hwgen.frame.ports import PortInfo
from hwgen.frame.spec import TileSpec

__all__ = [
    "AxiStream",
    "Field",
    "Streams",
    "axi_stream_entry",
    "axi_stream_ports",
    "axi_stream_rtlil",
    "result_depth",
    "streams",
]

INPUT_DEPTH = 2
"""Words that each operand stream keeps: two, so that ``tready`` comes from a register at full speed."""
LATENCY = 2
"""Cycles that the wrapper adds to a result: one into the operand queue, one into the result queue."""


@dataclass(frozen=True)
class Field:
    """Elements of a tile's port inside a stream's ``tdata``: element ``index`` at bit ``offset + index * stride``.

    ``bits`` of each come from the tile's port; where ``stride`` is more, results are extended by their sign.
    """

    port: PortInfo
    offset: int
    stride: int

    @property
    def count(self) -> int:
        """Elements."""
        return self.port.width // (self.port.bits or self.port.width)

    @property
    def end(self) -> int:
        """First bit behind it."""
        return self.offset + self.count * self.stride


@dataclass(frozen=True)
class Streams:
    """Fields of each stream, from the least significant bit; ``user`` those of ``s_axis_acts_tuser``."""

    acts: tuple[Field, ...]
    weights: tuple[Field, ...]
    user: tuple[Field, ...]
    result: tuple[Field, ...]


def _container(bits: int) -> int:
    """Bits in which a result of ``bits`` bits leaves: 8, 16, or a multiple of 32, which software can index."""
    return next((size for size in (8, 16) if bits <= size), -(-bits // 32) * 32)


def _placed(ports: Sequence[PortInfo], wide: bool = False) -> tuple[Field, ...]:
    fields: list[Field] = []
    for port in ports:
        bits = port.bits or port.width
        fields.append(Field(port, fields[-1].end if fields else 0, _container(bits) if wide else bits))
    return tuple(fields)


@functools.lru_cache(maxsize=64)
def streams(spec: TileSpec) -> Streams:
    """Where the ports of a tile lie in the words of the streams."""
    ports = tile_ports(spec)

    def of(*roles: str) -> list[PortInfo]:
        return [port for port in ports if port.role in roles]

    done = [port for port in ports if port.name == "i_done"]
    return Streams(
        _placed(of("acts", "row_side")),
        _placed(of("weights", "col_side")),
        _placed([*done, *of("mode")]),
        _placed([port for port in ports if port.direction == "output" and port.bits], wide=True),
    )


def _bytes(fields: Sequence[Field]) -> int:
    """Bits of a stream's word: whole bytes, as the protocol wants them."""
    return -(-fields[-1].end // 8) * 8


def result_depth(spec: TileSpec) -> int:
    """Beats in the result queue: enough that groups of the tile's own size never wait for a queue that is read at once,
    and two results at least.
    """
    p = spec.p
    beats = spec.post_beats_max if spec.lanes else 1
    steps = max(int(spec.sum_group(p)) // int(spec.layer_k(p)), 1)
    interval = max(steps * int(spec.layer_cycles(p)), int(spec.post_cycles(p)) if spec.lanes else 1)
    # A credit is taken when the step ends and given back when the beat leaves the queue.
    held = int(spec.latency(p)) + int(spec.drain(p)) + int(spec.skew(p)) + beats + LATENCY + 1
    return beats * max(-(-held // interval) + 1, 2)


def axi_stream_ports(spec: TileSpec) -> list[PortInfo]:
    """Ports of the wrapper in Verilog order."""
    found = streams(spec)
    ports = [
        PortInfo("aclk", "input", 1, "clock, rising edge", role="clock"),
        PortInfo("aresetn", "input", 1, "synchronous reset, active low", role="reset"),
    ]
    for name, fields in (("acts", found.acts), ("weights", found.weights)):
        prefix = f"s_axis_{name}"
        ports += [
            PortInfo(f"{prefix}_tvalid", "input", 1, "a word is offered"),
            PortInfo(f"{prefix}_tready", "output", 1, "it is taken at the next rising edge"),
            PortInfo(f"{prefix}_tdata", "input", _bytes(fields), f"{name} of a step", role="data"),
        ]
        if name == "acts":
            ports.append(PortInfo(f"{prefix}_tlast", "input", 1, "last step of a group: i_last of the tile"))
            if found.user:
                ports.append(
                    PortInfo(f"{prefix}_tuser", "input", found.user[-1].end, "control of the step", role="data")
                )
    return [
        *ports,
        PortInfo("m_axis_result_tvalid", "output", 1, "a beat of a result is there"),
        PortInfo("m_axis_result_tready", "input", 1, "it is taken at the next rising edge"),
        PortInfo("m_axis_result_tdata", "output", _bytes(found.result), "a beat of a result", role="data"),
        PortInfo("m_axis_result_tlast", "output", 1, "last beat of a result"),
    ]


def axi_stream_entry(spec: TileSpec, top: str) -> dict[str, Any]:
    """Section of the manifest: ports of the wrapper ``top``, where the tile's ports lie in its words, timing."""
    found = streams(spec)

    def placed(fields: Sequence[Field]) -> list[dict[str, Any]]:
        return [
            {
                "port": field.port.name,
                "bit": field.offset,
                "elements": field.count,
                "element_bits": field.port.bits or field.port.width,
                "stride": field.stride,
                "signed": field.port.signed,
            }
            for field in fields
        ]

    return {
        "top": top,
        "summary": "the tile behind AXI4-Stream, with back-pressure on every stream",
        "ports": [
            {"name": p.name, "direction": p.direction, "width": p.width, "role": p.role, "meaning": p.meaning}
            for p in axi_stream_ports(spec)
        ],
        "tdata": {
            "s_axis_acts": placed(found.acts),
            "s_axis_weights": placed(found.weights),
            "m_axis_result": placed(found.result),
        },
        "tuser": {"s_axis_acts": placed(found.user)},
        "timing": {
            "added_latency": LATENCY,
            "operand_queue_words": INPUT_DEPTH,
            "beats_per_result": spec.post_beats_max if spec.lanes else 1,
            "result_queue_beats": result_depth(spec),
        },
    }


@dataclass(frozen=True)
class _Queue:
    """What of a queue's instance the wrapper reads and drives."""

    ready: Signal
    word: Signal
    there: Signal
    take: Signal


class AxiStream(wiring.Component):
    """The wrapper of a tile that is emitted as module ``tile``; ports as `axi_stream_ports`.

    Its queues are modules of their own, ``queues`` by name. With ``status`` it also says in ``o_waits`` what it waits
    for: bit 0 weights, bit 1 activations, bit 2 room for a result.
    """

    def __init__(self, spec: TileSpec, tile: str, top: str, reset: Reset, *, status: bool = False) -> None:
        self._spec, self._tile, self._top, self._reset, self._status = spec, tile, top, reset, status
        found = streams(spec)
        user = found.user[-1].end if found.user else 0
        self.queues = {
            f"{top}_{name}": SyncFIFO(width=width, depth=depth)
            for name, width, depth in (
                ("acts", found.acts[-1].end + 1 + user, INPUT_DEPTH),
                ("weights", found.weights[-1].end, INPUT_DEPTH),
                ("result", sum(field.port.width for field in found.result) + 1, result_depth(spec)),
            )
        }
        ports = {port.name: (In if port.direction == "input" else Out)(port.width) for port in axi_stream_ports(spec)}
        super().__init__({**ports, **({"o_waits": Out(3)} if status else {})})

    def _queue(self, m: Module, name: str, word: Value, valid: Value) -> _Queue:
        entry = Signal(len(word), name=f"{name}_entry")
        m.d.comb += entry.eq(word)
        queue = _Queue(
            Signal(name=f"{name}_ready"),
            Signal(len(word), name=f"{name}_word"),
            Signal(name=f"{name}_there"),
            Signal(name=f"{name}_take"),
        )
        m.submodules[name] = Instance(
            f"{self._top}_{name}",
            i_clk=ClockSignal(),
            i_rst=ResetSignal(),
            i_w_data=entry,
            i_w_en=valid,
            o_w_rdy=queue.ready,
            o_r_data=queue.word,
            o_r_rdy=queue.there,
            i_r_en=queue.take,
        )
        return queue

    def elaborate(self, platform: Any) -> Module:
        spec, found = self._spec, streams(self._spec)
        m = Module()
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]
        user = self.s_axis_acts_tuser if found.user else Const(0, 0)
        acts_end, weights_end = found.acts[-1].end, found.weights[-1].end
        acts = self._queue(
            m,
            "acts",
            Cat(self.s_axis_acts_tdata[:acts_end], self.s_axis_acts_tlast, user),
            self.s_axis_acts_tvalid,
        )
        weights = self._queue(m, "weights", self.s_axis_weights_tdata[:weights_end], self.s_axis_weights_tvalid)
        resets = ResetSignal() if self._reset.active == "high" else self.aresetn
        connections: dict[str, Any] = {"i_clk": ClockSignal(), f"i_{self._reset.port}": resets}
        for queue, fields, base in (
            (acts, found.acts, 0),
            (weights, found.weights, 0),
            (acts, found.user, acts_end + 1),
        ):
            for field in fields:
                connections[f"i_{field.port.name}"] = queue.word[base + field.offset : base + field.end]
        last = acts.word[acts_end]
        # Groups follow each other: what comes after the last step of one is the first of the next.
        first = Signal(init=1)
        beats = spec.post_beats_max if spec.lanes else 1
        depth = result_depth(spec)
        credit = Signal(range(depth + 1), init=depth)
        ends: Value = last & connections["i_i_done"] if spec.lanes else last
        offered, taken = Signal(name="offered"), Signal(name="taken")
        # Once offered a step stays so: credits only grow until it is taken.
        room = Signal(name="room")
        if self._status:
            m.d.comb += self.o_waits.eq(Cat(~weights.there, ~acts.there, acts.there & weights.there & ~room))
        m.d.comb += [
            room.eq(~ends | (credit >= beats)),
            offered.eq(acts.there & weights.there & room),
            self.s_axis_acts_tready.eq(acts.ready),
            self.s_axis_weights_tready.eq(weights.ready),
            acts.take.eq(taken),
            weights.take.eq(taken),
        ]
        with m.If(taken):
            m.d.sync += first.eq(last)

        came = Signal()
        connections |= {
            "i_i_valid": offered,
            "o_i_ready": taken,
            "i_i_first": first,
            "i_i_last": last,
            "o_o_valid": came,
        }
        parts: list[Value] = []
        latest = max(max(field.port.delays()) for field in found.result)
        for field in found.result:
            raw = Signal(field.port.width, name=field.port.name)
            connections[f"o_{field.port.name}"] = raw
            for index, delay in enumerate(field.port.delays()):
                part: Value = raw.word_select(index, field.port.bits)
                for hop in range(latest - delay):
                    part = self._late(m, f"{field.port.name}{index}_late{hop}", part)
                parts.append(part)
        arrived: Value = came
        for hop in range(latest):
            late = Signal(name=f"came_late{hop}")
            m.d.sync += late.eq(arrived)
            arrived = late
        final: Value = Const(1, 1)
        if beats > 1:
            beat = Signal(range(beats), name="beat")
            final = Signal(name="final")
            m.d.comb += final.eq(beat == beats - 1)
            with m.If(arrived):
                m.d.sync += beat.eq(Mux(final, 0, (beat + 1)[: len(beat)]))
        result = self._queue(m, "result", Cat(*parts, final), arrived)
        beat_bits = len(result.word) - 1
        left = Signal()
        m.d.comb += [
            self.m_axis_result_tvalid.eq(result.there),
            result.take.eq(self.m_axis_result_tready),
            self.m_axis_result_tdata.eq(Cat(*self._extended(found.result, result.word[:beat_bits]))),
            self.m_axis_result_tlast.eq(result.word[beat_bits]),
            left.eq(result.there & result.take),
        ]
        with m.If(taken & ends):
            m.d.sync += credit.eq((credit - beats + left)[: len(credit)])
        with m.Elif(left):
            m.d.sync += credit.eq((credit + 1)[: len(credit)])
        m.submodules.tile = Instance(self._tile, **connections)
        return m

    @staticmethod
    def _extended(fields: Sequence[Field], beat: Value) -> Iterator[Value]:
        """Elements of a beat, each as wide as its place in ``tdata``."""
        offset = 0
        for field in fields:
            bits = field.port.bits
            for _ in range(field.count):
                element = beat[offset : offset + bits]
                sign = element[-1] if field.port.signed else Const(0, 1)
                yield Cat(element, sign.replicate(field.stride - bits))
                offset += bits

    @staticmethod
    def _late(m: Module, name: str, value: Value) -> Signal:
        register = Signal(len(value), name=name, reset_less=True)
        m.d.sync += register.eq(value)
        return register


def axi_stream_rtlil(spec: TileSpec, tile: str, top: str, reset: Reset, *, status: bool = False) -> str:
    """RTLIL of the wrapper as module ``top``, with its queues; ``reset`` is that of the tile in it."""
    wrapper = AxiStream(spec, tile, top, reset, status=status)
    texts = []
    for name, queue in wrapper.queues.items():
        ports = [queue.w_data, queue.w_en, queue.w_rdy, queue.r_data, queue.r_en, queue.r_rdy]
        # A queue's level says what of its storage counts: no initial values.
        texts.append(without_memory_init(signals_rtlil(queue, name, ports)))
    return "\n".join([*texts, component_rtlil(wrapper, top)])
