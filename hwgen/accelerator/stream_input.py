"""What stands in the place of a read engine where operands come as AXI4-Stream: it takes as many beats as a job has.

Timing: a beat may be taken in every cycle; ``ready`` comes from registers.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.accelerator.design import Design
from hwgen.accelerator.stream import Stream

__all__ = ["StreamInput"]


class StreamInput(wiring.Component):
    """Counts the beats of one stream.

    Members
    -------
    clear: a job begins; the counts, those of `hwgen.accelerator.read_engine.ReadEngine`, are stable from here on.
    released: the ring has an entry free again. stop: take no more beats.
    valid, ready: the stream's handshake; ``taken`` says that a beat is.
    full: the ring has no room for the next beat.
    """

    def __init__(self, design: Design, stream: Stream) -> None:
        self._design, self._stream = design, stream
        count = design.count_bits
        super().__init__(
            {
                "clear": In(1),
                "beats": In(count + (stream.beats_per_entry - 1).bit_length()),
                "blocks_last": In(count),
                "windows_last": In(count),
                "fetches_last": In(count),
                "released": In(1),
                "stop": In(1),
                "valid": In(1),
                "ready": Out(1),
                "taken": Out(1),
                "full": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        stream = self._stream
        left = Signal.like(self.beats, name="beats_left", reset_less=True)
        blocks, fetches, windows = (
            Signal.like(self.blocks_last, name=name, reset_less=True)
            for name in ("blocks_left", "fetches_left", "windows_left")
        )
        active, space = Signal(name="to_come"), Signal(range(stream.capacity + 1), name="space")
        ends_block, ends_window, final = Signal(name="ends_block"), Signal(name="ends_window"), Signal(name="final")
        m.d.comb += [
            self.ready.eq(active & (space != 0) & ~self.stop),
            self.taken.eq(self.ready & self.valid),
            self.full.eq(active & (space == 0)),
            ends_block.eq(left == 1),
            ends_window.eq(ends_block & (blocks == 0)),
            final.eq(fetches == 0),
        ]
        with m.If(self.taken):
            m.d.sync += left.eq(Mux(ends_block, self.beats, (left - 1)[: len(left)]))
            with m.If(ends_block):
                m.d.sync += blocks.eq(Mux(ends_window, self.blocks_last, (blocks - 1)[: len(blocks)]))
            with m.If(ends_window):
                m.d.sync += fetches.eq(Mux(final, self.fetches_last, (fetches - 1)[: len(fetches)]))
                with m.If(final):
                    m.d.sync += windows.eq((windows - 1)[: len(windows)])
                    with m.If(windows == 0):
                        m.d.sync += active.eq(0)
        freed = Mux(self.released, stream.beats_per_entry, 0)
        m.d.sync += space.eq((space + freed - self.taken)[: len(space)])
        with m.If(self.clear):
            m.d.sync += [
                left.eq(self.beats),
                blocks.eq(self.blocks_last),
                fetches.eq(self.fetches_last),
                windows.eq(self.windows_last),
                active.eq(1),
                space.eq(stream.capacity),
            ]
        return m
