"""A mistake for each claim, which breaks it; one that leaves every net that a claim is about in the text."""

from __future__ import annotations

from rtl_tests.accelerator.formal.device import Fault

__all__ = ["FAULTS"]

_ENGINE, _WRITER, _RING, _TOP, _CORE = "read_engine", "result", "ring", "accelerator", "core"
_CONTROL, _FILE = "control", "registers.rtl"

FAULTS: dict[str, dict[str, Fault]] = {
    "accelerator": {
        "ar_stays": Fault(_TOP, "free.eq(~valid | self.m_axi_arready)", "free.eq(1)"),
        "ar_reset": Fault(_TOP, 'valid = Signal(name="ar_valid")', 'valid = Signal(name="ar_valid", reset_less=True)'),
        "weights_outstanding": Fault(_ENGINE, "(flying != design.outstanding)", "(flying != design.outstanding + 1)"),
        "weights_idle": Fault(_ENGINE, "self.idle.eq(flying == 0)", "self.idle.eq(flying <= 1)"),
        "weights_nothing": Fault(_CONTROL, "Mux(zero, Cause.BAD_JOB", "Mux(0, Cause.BAD_JOB"),
        "ar_page": Fault(_TOP, "address.eq(engine.addr),", "address.eq(engine.addr + self._design.bus_bytes),"),
        "ar_length": Fault(_TOP, "length.eq(engine.length),", "length.eq(engine.length + 1),"),
        "ar_aligned": Fault(_CONTROL, "Mux(Cat(*used).any(), Cause.UNALIGNED, Const(0, 8))", "Const(0, 8)"),
        "ar_kind": Fault(_TOP, '"size": size, "burst": 1', '"size": size, "burst": 0'),
        "aw_kind": Fault(_TOP, '"size": size, "burst": 1', '"size": size, "burst": 0'),
        "aw_stays": Fault(_WRITER, "& (~aw_valid | self.aw_ready)", ""),
        "aw_reset": Fault(_WRITER, 'Signal(name="asking")', 'Signal(name="asking", reset_less=True)'),
        "w_stays": Fault(_WRITER, "read.eq((held != 0) & (~have | self.take))", "read.eq(held != 0)"),
        "w_reset": Fault(_TOP, "self.m_axi_wvalid.eq(buffer.valid & writer.w_active)", "self.m_axi_wvalid.eq(1)"),
        "aw_page": Fault(
            _WRITER, "most = burst_beats(m, address, design.bus_bytes, design.burst)", "most = design.burst"
        ),
        "aw_length": Fault(_WRITER, "aw_length.eq((length - 1)", "aw_length.eq((length + 1)"),
        "aw_aligned": Fault(_CONTROL, '(*self._design.streams, "result")', "self._design.streams"),
        "w_early": Fault(_TOP, "buffer.valid & writer.w_active)", "buffer.valid)"),
        "w_last": Fault(_WRITER, "self.w_last.eq(left == 1)", "self.w_last.eq(left <= 2)"),
        "finished": Fault(_ENGINE, "windows.eq(self.windows_last)", "windows.eq(self.windows_last + 1)"),
        "busy": Fault(_CONTROL, "with m.If(self.idle):", "with m.If(1):"),
        "clear": Fault(_CONTROL, "with m.If(self.idle):", "with m.If(1):"),
        "done": Fault(_CORE, "outputs.left & outputs.idle", "outputs.left"),
        "begins": Fault(
            _ENGINE, "design.outstanding) & ~self.stop", "design.outstanding) & ~(self.stop & (flying != 0))"
        ),
    },
    "weights": {
        "page": Fault(_ENGINE, "found.eq(Mux(left < most, left[: len(found)], most))", "found.eq(most)"),
        "length": Fault(_ENGINE, "design.bus_bytes, stream.burst)", "design.bus_bytes, stream.burst + 1)"),
        "owed": Fault(_ENGINE, "asked = Mux(self.grant, length, 0)", "asked = Mux(self.grant, 1, 0)"),
        "weights_overflow": Fault(
            _ENGINE, "freed = Mux(self.released, stream.beats_per_entry, 0)", "freed = self.released * 4"
        ),
        "weights_overwritten": Fault(_RING, "write_at.eq(after(write_at))", "write_at.eq(write_at)"),
        "weights_not_there": Fault(_RING, "Mux(rewinds, begin_at, after(read_at))", "after(read_at)"),
    },
    "results": {
        "writes_outstanding": Fault(_WRITER, "& (flying != design.outstanding)", ""),
        "writes_idle": Fault(_WRITER, "self.idle.eq((flying == 0)", "self.idle.eq((flying <= 1)"),
        "w_underrun": Fault(_WRITER, "full = waiting >= most", "full = waiting + 1 >= most"),
        "w_empty": Fault(_WRITER, "self.empty.eq(waiting == 0)", "self.empty.eq(waiting <= 1)"),
        "results_overflow": Fault(_WRITER, "self.i_ready.eq(held != depth)", "self.i_ready.eq(held != depth + 1)"),
        "results_overwritten": Fault(_WRITER, "Mux(pointer == depth - 1, 0,", "Mux(pointer == depth - 2, 0,"),
        "results_not_there": Fault(_WRITER, "read.eq((held != 0) & (~have", "read.eq((~have"),
    },
    "control": {
        "clear_at_rest": Fault(_CONTROL, "with m.If(self.idle):", "with m.If(self.idle | self.abort):"),
        "running_busy": Fault(_CONTROL, "m.d.comb += [self.busy.eq(1), self.running", "m.d.comb += [self.running"),
        "ends_busy": Fault(_CONTROL, "m.d.comb += [self.busy.eq(1), ends.eq(1)]", "m.d.comb += ends.eq(1)"),
        "jobs": Fault(_CONTROL, "with m.If(self.start & ~waiting):", "with m.If(self.start & ~waiting & ~self.busy):"),
        "refused": Fault(_CONTROL, "(ends & failed) | refused", "(ends & failed)"),
    },
    "registers": {
        "b_stays": Fault(
            _FILE,
            "with m.If(self.s_axi_bvalid & self.s_axi_bready):",
            "with m.If(self.s_axi_bvalid | self.s_axi_bready):",
        ),
        "b_reset": Fault(_FILE, "Out(bits, init=resets.get(name, 0))", "Out(bits, init=resets.get(name, 1))"),
        "r_stays": Fault(
            _FILE,
            "with m.If(self.s_axi_rvalid & self.s_axi_rready):",
            "with m.If(self.s_axi_rvalid | self.s_axi_rready):",
        ),
        "r_reset": Fault(_FILE, "Out(bits, init=resets.get(name, 0))", "Out(bits, init=resets.get(name, 1))"),
        "b_asked": Fault(_FILE, "accept.eq((aw | have_aw) & (w | have_w))", "accept.eq(aw | have_aw)"),
        "b_answers": Fault(_FILE, "have_w.eq(0), self.s_axi_bvalid.eq(1)]", "have_w.eq(0)]"),
        "r_asked": Fault(_FILE, "self.s_axi_rvalid.eq(0), self.s_axi_arready", "self.s_axi_arready"),
        "r_answers": Fault(_FILE, "                self.s_axi_rvalid.eq(1),\n", ""),
        "one_write": Fault(_FILE, "have_aw.eq(1), self.s_axi_awready.eq(0)]", "have_aw.eq(1)]"),
        "one_read": Fault(_FILE, "                self.s_axi_arready.eq(0),\n", ""),
    },
}
"""By part and claim."""
