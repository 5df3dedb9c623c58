"""The read engine of a stream: linear bursts into a ring, no more than fit, in the order in which the ring wants them.

Timing: a burst is worked out in one cycle and asked for from the next on, so that an engine asks for one in at most
every other cycle.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.accelerator.design import PAGE_BYTES, Design
from hwgen.accelerator.stream import Stream

__all__ = ["ReadEngine", "burst_beats"]


def burst_beats(m: Module, address: Value, bus_bytes: int, most: int) -> Value:
    """Beats of the longest burst from ``address``: at most ``most``, and none beyond the end of a page."""
    page = PAGE_BYTES // bus_bytes
    low = (bus_bytes - 1).bit_length()
    left = Signal(range(page + 1), name="page_left")
    m.d.comb += left.eq(page - address[low : low + (page - 1).bit_length()])
    found = Signal(range(most + 1), name="most_beats")
    m.d.comb += found.eq(Mux(left < most, left[: len(found)], most))
    return found


class ReadEngine(wiring.Component):
    """Engine of one stream.

    Members
    -------
    clear: a job begins; ``address`` and the counts are stable from this cycle on.
    beats: bus beats of a block. blocks_last, windows_last: blocks of a window and windows, less one. fetches_last: how
        often each window is read, less one.
    released: the ring has an entry free again. done: the last beat of a burst came. stop: ask for no more bursts.
    valid, addr, length: the burst asked for (``length`` beats less one), until ``grant``.
    active: bursts are still to be asked for. idle: none is on its way. full: the next one does not fit the ring.
    """

    def __init__(self, design: Design, stream: Stream) -> None:
        self._design, self._stream = design, stream
        count = design.count_bits
        beats = count + (stream.beats_per_entry - 1).bit_length()
        super().__init__(
            {
                "clear": In(1),
                "address": In(design.address_bits),
                "beats": In(beats),
                "blocks_last": In(count),
                "windows_last": In(count),
                "fetches_last": In(count),
                "released": In(1),
                "done": In(1),
                "stop": In(1),
                "valid": Out(1),
                "addr": Out(design.address_bits),
                "length": Out(8),
                "grant": In(1),
                "active": Out(1),
                "idle": Out(1),
                "full": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        stream, design = self._stream, self._design
        address, window_at = (
            Signal(design.address_bits, name=name, reset_less=True) for name in ("next_address", "window_address")
        )
        left = Signal.like(self.beats, name="beats_left", reset_less=True)
        blocks, fetches, windows = (
            Signal.like(self.blocks_last, name=name, reset_less=True)
            for name in ("blocks_left", "fetches_left", "windows_left")
        )
        active, ready = Signal(name="to_ask"), Signal(name="ready")
        most = burst_beats(m, address, design.bus_bytes, stream.burst)
        length = Signal(range(stream.burst + 1), name="burst_beats", reset_less=True)
        # A name for what the emitted module gives of ``length``.
        beats_less_one = Signal.like(length, name="burst_length")
        space = Signal(range(stream.capacity + 1), name="space")
        flying = Signal(range(design.outstanding + 1), name="flying")
        ends_block, ends_window, final = Signal(name="ends_block"), Signal(name="ends_window"), Signal(name="final")
        low = (design.bus_bytes - 1).bit_length()
        behind = Signal.like(address, name="behind")
        m.d.comb += [
            self.active.eq(active),
            self.idle.eq(flying == 0),
            self.full.eq(ready & (space < length)),
            self.valid.eq(ready & (space >= length) & (flying != design.outstanding) & ~self.stop),
            self.addr.eq(address),
            beats_less_one.eq(length - 1),
            self.length.eq(beats_less_one),
            ends_block.eq(left == length),
            ends_window.eq(ends_block & (blocks == 0)),
            final.eq(fetches == 0),
            behind.eq((address + Cat(Const(0, low), length))[: len(address)]),
        ]
        with m.If(self.grant):
            m.d.sync += [
                ready.eq(0),
                address.eq(Mux(ends_window & ~final, window_at, behind)),
                left.eq(Mux(ends_block, self.beats, (left - length)[: len(left)])),
            ]
            with m.If(ends_block):
                m.d.sync += blocks.eq(Mux(ends_window, self.blocks_last, (blocks - 1)[: len(blocks)]))
            with m.If(ends_window):
                m.d.sync += fetches.eq(Mux(final, self.fetches_last, (fetches - 1)[: len(fetches)]))
                with m.If(final):
                    m.d.sync += [window_at.eq(behind), windows.eq((windows - 1)[: len(windows)])]
                    with m.If(windows == 0):
                        m.d.sync += active.eq(0)
        with m.Elif(active & ~ready):
            m.d.sync += [ready.eq(1), length.eq(Mux(left < most, left[: len(length)], most))]
        asked = Mux(self.grant, length, 0)
        freed = Mux(self.released, stream.beats_per_entry, 0)
        m.d.sync += [
            space.eq((space + freed - asked)[: len(space)]),
            flying.eq((flying + self.grant - self.done)[: len(flying)]),
        ]
        with m.If(self.clear):
            m.d.sync += [
                address.eq(self.address),
                window_at.eq(self.address),
                left.eq(self.beats),
                blocks.eq(self.blocks_last),
                fetches.eq(self.fetches_last),
                windows.eq(self.windows_last),
                active.eq(1),
                ready.eq(0),
                space.eq(stream.capacity),
                flying.eq(0),
            ]
        return m
