"""Codes and scales to memory: what lies in one bus beat is gathered, then written with strobes.

Timing: a beat that is pushed in cycle t is offered on AW and W from t + 1 on; one that needs the bytes that are there
(``merge``) is read first: on AR from t + 1, and on AW and W from the cycle after its data came.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.accelerator.design import Design

__all__ = ["BeatWriter"]


class BeatWriter(wiring.Component):
    """Gathers items of a byte, or of a scale, into beats and writes these one by one.

    Members
    -------
    clear: forget what is gathered. valid, address, data, scale, ready: an item; ``scale`` tells that it has a scale's
        bytes and not one. high: of a byte only the upper half counts. flush: no more items come for the time being.
    merge: lower halves of the item's beat come from memory. push: may begin a beat (a job runs).
    ar_valid, ar_addr: ask for a beat, in this cycle. r_valid, r_error, r_data: it came.
    aw_valid, aw_ready, addr, w_valid, w_ready, w_data, w_strb, b_valid: the channels.
    empty: nothing is gathered or on offer. idle: nothing is on offer or unanswered; what is gathered may stay.
    """

    def __init__(self, design: Design, scale_bytes: int) -> None:
        self._design, self._scale_bytes = design, scale_bytes
        address, bus = design.address_bits, design.bus_bits
        super().__init__(
            {
                "clear": In(1),
                "valid": In(1),
                "address": In(address),
                "data": In(max(8 * scale_bytes, 8)),
                "scale": In(1),
                "high": In(1),
                "ready": Out(1),
                "flush": In(1),
                "merge": In(1),
                "push": In(1),
                "ar_valid": Out(1),
                "ar_addr": Out(address),
                "r_valid": In(1),
                "r_error": In(1),
                "r_data": In(bus),
                "aw_valid": Out(1),
                "aw_ready": In(1),
                "addr": Out(address),
                "w_valid": Out(1),
                "w_ready": In(1),
                "w_data": Out(bus),
                "w_strb": Out(bus // 8),
                "b_valid": In(1),
                "empty": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        design = self._design
        low = (design.bus_bytes - 1).bit_length()
        beat = Signal(design.address_bits - low, name="gathered_at", reset_less=True)
        data = Signal(design.bus_bits, name="gathered", reset_less=True)
        strobes = Signal(design.bus_bytes, name="gathered_strobes", reset_less=True)
        used, same, takes, pushes = (Signal(name=name) for name in ("used", "same", "takes", "pushes"))
        merges, reading = Signal(name="merges", reset_less=True), Signal(name="reading")
        flying = Signal(range(design.outstanding + 1), name="flying")
        quiet, free, goes = Signal(name="quiet"), Signal(name="free"), Signal(name="goes")
        m.d.comb += [
            goes.eq(self.push & ~self.r_error),
            same.eq(beat == self.address[low:]),
            pushes.eq(used & free & self.push & ((self.valid & ~same) | self.flush)),
            self.ready.eq(~used | same | pushes),
            takes.eq(self.valid & self.ready),
            quiet.eq(~self.aw_valid & ~self.w_valid & ~reading),
            free.eq(quiet & (flying != design.outstanding)),
            self.empty.eq(quiet & ~used),
            self.idle.eq(quiet & (flying == 0)),
            self.ar_valid.eq(pushes & merges),
            self.ar_addr.eq(Cat(Const(0, low), beat)),
        ]
        m.d.sync += flying.eq((flying + pushes - self.b_valid)[: len(flying)])
        # --- gathering
        with m.If(takes):
            m.d.sync += [beat.eq(self.address[low:]), used.eq(1), merges.eq(self.merge)]
        with m.Elif(pushes):
            m.d.sync += used.eq(0)
        with m.If(pushes | ~used):
            m.d.sync += strobes.eq(0)
        inside = self.address[:low]
        part = (self._scale_bytes - 1).bit_length()
        for lane in range(design.bus_bytes):
            byte = slice(8 * lane, 8 * lane + 8)
            hit = Signal(name=f"hit_{lane}")
            at = lane % self._scale_bytes
            of_scale = self.data[8 * at : 8 * at + 8]
            m.d.comb += hit.eq(takes & Mux(self.scale, inside[part:] == lane >> part, inside == lane))
            with m.If(hit):
                value = Mux(self.scale, of_scale, self.data[:8])
                m.d.sync += strobes[lane].eq(1)
                m.d.sync += data[byte].eq(Cat(Mux(self.high, data[byte][:4], value[:4]), value[4:]))
        # --- writing
        with m.If(self.aw_ready):
            m.d.sync += self.aw_valid.eq(0)
        with m.If(self.w_ready):
            m.d.sync += self.w_valid.eq(0)
        with m.If(pushes):
            m.d.sync += [
                self.addr.eq(self.ar_addr),
                self.w_data.eq(data),
                self.w_strb.eq(strobes),
                reading.eq(merges),
                self.aw_valid.eq(~merges),
                self.w_valid.eq(~merges),
            ]
        with m.If(reading & self.r_valid):
            m.d.sync += reading.eq(0)
            # A job that failed meanwhile writes no more.
            m.d.sync += [self.aw_valid.eq(goes), self.w_valid.eq(goes)]
            with m.If(~goes):
                m.d.sync += flying.eq((flying - 1 - self.b_valid)[: len(flying)])
            for lane in range(design.bus_bytes):
                m.d.sync += self.w_data[8 * lane : 8 * lane + 4].eq(self.r_data[8 * lane : 8 * lane + 4])
        with m.If(self.clear):
            m.d.sync += used.eq(0)
        return m
