"""The replay ring: bus beats in, words out, a window of words given as often as it is used and then released.

Timing: a word whose last beat comes in cycle t is written in t + 1, read from the memory in t + 2 and offered in t + 3;
from then on one word a cycle.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.accelerator.stream import Stream

__all__ = ["PlaceSram", "Ring"]

PlaceSram = Callable[[Module, str, int, int, dict[str, Value]], Value]
"""Places a memory: module, name of the instance, depth, bits, its inputs; gives ``r_data``."""


class Ring(wiring.Component):
    """Ring of ``stream.depth`` entries.

    Members
    -------
    clear: forget all; a job's counts are stable from this cycle on.
    beat_valid, beat: a beat from the bus, which is always taken: whoever asked for it has seen ``space``.
    words_last, entries_last: words and entries of a block, less one. blocks_last: blocks of a window, less one.
    uses_last: how often a window is given, less one.
    valid, word, last: the word on offer, and whether it is its block's last; ``take`` takes it.
    released: an entry is free again. starved: no word is there and none will be released: the window does not fit, if
        nothing is on its way.
    """

    def __init__(self, stream: Stream, count_bits: int, place: PlaceSram) -> None:
        self._stream, self._place = stream, place
        super().__init__(
            {
                "clear": In(1),
                "beat_valid": In(1),
                "beat": In(stream.bus_bits),
                "words_last": In(count_bits),
                "entries_last": In(count_bits),
                "blocks_last": In(count_bits),
                "uses_last": In(count_bits),
                "valid": Out(1),
                "word": Out(stream.bits),
                "last": Out(1),
                "take": In(1),
                "released": Out(1),
                "starved": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        depth = self._stream.depth
        pointer = range(depth)
        write_at, read_at, begin_at = (
            Signal(pointer, name=name, reset_less=True) for name in ("write_at", "read_at", "begin_at")
        )
        # Entries that are there, from the window's begin and from what is read next.
        held, ahead = (Signal(range(depth + 1), name=name) for name in ("held", "ahead"))
        full, entry = self._assembled(m)
        have, taken = Signal(name="have"), Signal(name="entry_taken")
        read = Signal(name="read")
        block_left, window_left, uses_left = (
            Signal.like(self.words_last, name=name, reset_less=True)
            for name in ("block_left", "window_left", "uses_left")
        )
        ends_block, ends_window, final = Signal(name="ends_block"), Signal(name="ends_window"), Signal(name="final_use")
        rewinds = Signal(name="rewinds")
        m.d.comb += [
            read.eq((ahead != 0) & (~have | taken)),
            ends_block.eq(block_left == 0),
            ends_window.eq(ends_block & (window_left == 0)),
            final.eq(uses_left == 0),
            rewinds.eq(read & ends_window & ~final),
            self.released.eq(read & final),
            self.starved.eq(~final & (ahead == 0) & ~have & ~full),
        ]

        def after(at: Signal) -> Value:
            return Mux(at == depth - 1, 0, (at + 1)[: len(at)])

        with m.If(full):
            m.d.sync += write_at.eq(after(write_at))
        there = (held + full)[: len(held)]
        m.d.sync += held.eq((there - self.released)[: len(held)])
        m.d.sync += ahead.eq(Mux(rewinds, there, (ahead + full - read)[: len(ahead)]))
        with m.If(read):
            m.d.sync += have.eq(1)
            m.d.sync += read_at.eq(Mux(rewinds, begin_at, after(read_at)))
            with m.If(self.released):
                m.d.sync += begin_at.eq(after(read_at))
            m.d.sync += block_left.eq(Mux(ends_block, self.entries_last, (block_left - 1)[: len(block_left)]))
            with m.If(ends_block):
                m.d.sync += window_left.eq(Mux(ends_window, self.blocks_last, (window_left - 1)[: len(window_left)]))
            with m.If(ends_window):
                m.d.sync += uses_left.eq(Mux(final, self.uses_last, (uses_left - 1)[: len(uses_left)]))
        with m.Elif(taken):
            m.d.sync += have.eq(0)
        with m.If(self.clear):
            m.d.sync += [
                *(signal.eq(0) for signal in (write_at, read_at, begin_at, held, ahead, have)),
                block_left.eq(self.entries_last),
                window_left.eq(self.blocks_last),
                uses_left.eq(self.uses_last),
            ]
        data = self._place(
            m,
            "sram",
            depth,
            self._stream.entry_bits,
            {"w_en": full, "w_addr": write_at, "w_data": entry, "r_en": read, "r_addr": read_at},
        )
        self._words(m, data, have, taken)
        return m

    def _assembled(self, m: Module) -> tuple[Signal, Value]:
        """Beats put together to entries: whether one is there, and which."""
        beats, bus = self._stream.beats_per_entry, self._stream.bus_bits
        entry = Signal(beats * bus, name="entry", reset_less=True)
        full = Signal(name="entry_full")
        with m.If(self.beat_valid):
            m.d.sync += entry.eq(Cat(entry[bus:], self.beat))
        if beats == 1:
            m.d.sync += full.eq(self.beat_valid & ~self.clear)
            return full, entry
        part = Signal(range(beats), name="part")
        with m.If(self.clear):
            m.d.sync += part.eq(0)
        with m.Elif(self.beat_valid):
            m.d.sync += part.eq(Mux(part == beats - 1, 0, (part + 1)[: len(part)]))
        m.d.sync += full.eq(self.beat_valid & (part == beats - 1) & ~self.clear)
        return full, entry

    def _words(self, m: Module, data: Value, have: Value, taken: Signal) -> None:
        """Words of the entry that was read, one after the other."""
        count, width = self._stream.words_per_entry, self._stream.padded_bits
        left = Signal.like(self.words_last, name="words_left", reset_less=True)
        m.d.comb += [self.valid.eq(have), self.last.eq(left == 0)]
        with m.If(self.clear):
            m.d.sync += left.eq(self.words_last)
        with m.Elif(self.take):
            m.d.sync += left.eq(Mux(self.last, self.words_last, (left - 1)[: len(left)]))
        if count == 1:
            m.d.comb += [self.word.eq(data[: len(self.word)]), taken.eq(self.take)]
            return
        place = Signal(range(count), name="place")
        with m.Switch(place):
            for index in range(count):
                with m.Case(index) if index + 1 < count else m.Default():
                    m.d.comb += self.word.eq(data[index * width : index * width + len(self.word)])
        m.d.comb += [
            taken.eq(self.take & (self.last | (place == count - 1))),
        ]
        with m.If(self.clear | taken):
            m.d.sync += place.eq(Const(0, 1))
        with m.Elif(self.take):
            m.d.sync += place.eq((place + 1)[: len(place)])
