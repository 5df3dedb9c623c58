"""The way of results to memory: the tile's beats become bus beats, wait in a buffer, and leave in bursts.

Results lie in memory in the order in which the tile gives them, without gaps. A result beat narrower than the bus
shares a bus beat with its neighbours; the last one of a job is filled up with zeros.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.accelerator.design import Design
from hwgen.accelerator.read_engine import burst_beats
from hwgen.accelerator.ring import PlaceSram

__all__ = ["Packer", "WriteBuffer", "WriteEngine"]


class Packer(wiring.Component):
    """Result beats to bus beats, one bus beat a cycle.

    Members: ``clear`` forgets all. ``i_valid``, ``i_word``, ``i_ready`` is the stream of results; ``o_valid``,
    ``o_beat``, ``o_ready`` that of bus beats. ``flush``: no more results come, what is there leaves. ``empty``: nothing
    is left. ``final``: the beat on offer is the last one that it holds.
    """

    def __init__(self, design: Design) -> None:
        self._design = design
        super().__init__(
            {
                "clear": In(1),
                "i_valid": In(1),
                "i_word": In(design.result_bits),
                "i_ready": Out(1),
                "o_valid": Out(1),
                "o_beat": Out(design.bus_bits),
                "o_ready": In(1),
                "flush": In(1),
                "empty": Out(1),
                "final": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        design, bus = self._design, self._design.bus_bits
        sent = Signal(name="sent")
        m.d.comb += sent.eq(self.o_valid & self.o_ready)
        if design.result_words_per_beat > 1:
            self._gather(m, sent)
            return m
        beats = design.result_beats
        word = Signal(beats * bus, name="word", reset_less=True)
        left = Signal(range(beats + 1), name="beats_left")
        m.d.comb += [
            self.o_valid.eq(left != 0),
            self.o_beat.eq(word[:bus]),
            self.empty.eq(left == 0),
            self.final.eq(left == 1),
            self.i_ready.eq((left == 0) | ((left == 1) & sent)),
        ]
        with m.If(self.clear):
            m.d.sync += left.eq(0)
        with m.Elif(self.i_valid & self.i_ready):
            m.d.sync += [word.eq(self.i_word), left.eq(beats)]
        with m.Elif(sent):
            m.d.sync += [word.eq(word[bus:]), left.eq((left - 1)[: len(left)])]
        return m

    def _gather(self, m: Module, sent: Value) -> None:
        """Several results in a beat: each moves the others down."""
        design = self._design
        count, bus = design.result_words_per_beat, design.bus_bits
        width = bus // count
        beat = Signal(bus, name="beat", reset_less=True)
        held = Signal(range(count + 1), name="held")
        fill, push = Signal(name="fill"), Signal(name="push")
        m.d.comb += [
            self.o_valid.eq(held == count),
            self.o_beat.eq(beat),
            self.empty.eq(held == 0),
            self.final.eq(1),
            self.i_ready.eq((held != count) | sent),
            fill.eq(self.flush & (held != 0) & (held != count)),
            push.eq((self.i_valid & self.i_ready) | fill),
        ]
        word = Mux(fill, 0, self.i_word)
        with m.If(push):
            m.d.sync += beat.eq(Cat(beat[width:], word, Const(0, width - len(self.i_word))))
        with m.If(self.clear):
            m.d.sync += held.eq(0)
        with m.Elif(push):
            m.d.sync += held.eq(Mux(sent, 1, (held + 1)[: len(held)]))
        with m.Elif(sent):
            m.d.sync += held.eq(0)


class WriteBuffer(wiring.Component):
    """Bus beats in the order in which they came; a beat that comes in cycle t is offered in t + 2.

    Members: ``i_valid``, ``i_beat``, ``i_ready``; ``valid``, ``beat``, ``take``; ``clear`` forgets all.
    """

    def __init__(self, design: Design, place: PlaceSram) -> None:
        self._design, self._place = design, place
        super().__init__(
            {
                "clear": In(1),
                "i_valid": In(1),
                "i_beat": In(design.bus_bits),
                "i_ready": Out(1),
                "valid": Out(1),
                "beat": Out(design.bus_bits),
                "take": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        depth = self._design.write_depth
        write_at, read_at = (Signal(range(depth), name=name, reset_less=True) for name in ("write_at", "read_at"))
        held = Signal(range(depth + 1), name="held")
        have, read, write = Signal(name="have"), Signal(name="read"), Signal(name="write")
        m.d.comb += [
            self.i_ready.eq(held != depth),
            write.eq(self.i_valid & self.i_ready),
            read.eq((held != 0) & (~have | self.take)),
            self.valid.eq(have),
        ]
        m.d.sync += held.eq((held + write - read)[: len(held)])
        for pointer, moves in ((write_at, write), (read_at, read)):
            with m.If(moves):
                m.d.sync += pointer.eq(Mux(pointer == depth - 1, 0, (pointer + 1)[: len(pointer)]))
        with m.If(read):
            m.d.sync += have.eq(1)
        with m.Elif(self.take):
            m.d.sync += have.eq(0)
        with m.If(self.clear):
            m.d.sync += [signal.eq(0) for signal in (write_at, read_at, held, have)]
        data = self._place(
            m,
            "sram",
            depth,
            self._design.bus_bits,
            {"w_en": write, "w_addr": write_at, "w_data": self.i_beat, "r_en": read, "r_addr": read_at},
        )
        m.d.comb += self.beat.eq(data)
        return m


class WriteEngine(wiring.Component):
    """Bursts of buffered beats to linear addresses: full ones as soon as they are there, the rest when no more come.

    Members
    -------
    clear: a job begins; ``address`` is stable from this cycle on. stop: begin no more bursts.
    came: a beat has entered the buffer. flush: no more will.
    aw_valid, aw_addr, aw_length, aw_ready: the burst's address (``length`` beats less one).
    w_active: a beat of a burst may leave, ``w_last`` the last one of it; ``w_sent`` says that one did.
    b_valid: a burst is written. idle: nothing is on its way. empty: nothing waits either.
    """

    def __init__(self, design: Design) -> None:
        self._design = design
        super().__init__(
            {
                "clear": In(1),
                "address": In(design.address_bits),
                "stop": In(1),
                "came": In(1),
                "flush": In(1),
                "aw_valid": Out(1),
                "aw_addr": Out(design.address_bits),
                "aw_length": Out(8),
                "aw_ready": In(1),
                "w_active": Out(1),
                "w_last": Out(1),
                "w_sent": In(1),
                "b_valid": In(1),
                "idle": Out(1),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        design = self._design
        address = Signal(design.address_bits, name="next_address", reset_less=True)
        most = burst_beats(m, address, design.bus_bytes, design.burst)
        # The beat between buffer and bus is not in the buffer.
        waiting = Signal(range(design.write_depth + 2), name="waiting")
        flying = Signal(range(design.outstanding + 1), name="flying")
        next_length, left = (Signal(range(design.burst + 1), name=name) for name in ("next_length", "beats_left"))
        begins, length, loads = Signal(name="begins"), Signal.like(next_length, name="length"), Signal(name="loads")
        aw_valid = Signal(name="asking")
        aw_addr = Signal(design.address_bits, name="asked", reset_less=True)
        aw_length = Signal(8, name="asked_length", reset_less=True)
        low = (design.bus_bytes - 1).bit_length()
        full = waiting >= most
        m.d.comb += [
            length.eq(Mux(full, most, waiting[: len(length)])),
            begins.eq(
                (full | (self.flush & (waiting != 0)))
                & (~aw_valid | self.aw_ready)
                & (next_length == 0)
                & (flying != design.outstanding)
                & ~self.stop
            ),
            loads.eq((next_length != 0) & ((left == 0) | ((left == 1) & self.w_sent))),
            self.aw_valid.eq(aw_valid),
            self.aw_addr.eq(aw_addr),
            self.aw_length.eq(aw_length),
            self.w_active.eq(left != 0),
            self.w_last.eq(left == 1),
            self.idle.eq((flying == 0) & ~aw_valid & (next_length == 0) & (left == 0)),
            self.empty.eq(waiting == 0),
        ]
        m.d.sync += [
            waiting.eq((waiting + self.came - Mux(begins, length, 0))[: len(waiting)]),
            flying.eq((flying + begins - self.b_valid)[: len(flying)]),
        ]
        with m.If(begins):
            m.d.sync += [
                aw_valid.eq(1),
                aw_addr.eq(address),
                aw_length.eq((length - 1)[: len(aw_length)]),
                address.eq((address + Cat(Const(0, low), length))[: len(address)]),
                next_length.eq(length),
            ]
        with m.Else():
            with m.If(self.aw_ready):
                m.d.sync += aw_valid.eq(0)
            with m.If(loads):
                m.d.sync += next_length.eq(0)
        with m.If(loads):
            m.d.sync += left.eq(next_length)
        with m.Elif(self.w_sent):
            m.d.sync += left.eq((left - 1)[: len(left)])
        with m.If(self.clear):
            m.d.sync += [address.eq(self.address), *(s.eq(0) for s in (waiting, flying, next_length, left, aw_valid))]
        return m
