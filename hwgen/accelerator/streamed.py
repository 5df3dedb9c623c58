"""The accelerator between streams: the same core with AXI4-Stream in and out, for who has engines already.

Each stream brings the beats of its image in the order in which the job uses them: windows that are held once, others as
often as they are used (`hwgen.accelerator.Job.passage`). Beats that come before a job begins wait.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Signal
from amaranth.lib.wiring import In, Out

from hwgen.accelerator.control import Control
from hwgen.accelerator.core import Core, Failure, Inputs, Outputs
from hwgen.accelerator.design import Design
from hwgen.accelerator.registers import RegisterMap
from hwgen.accelerator.result import Packer
from hwgen.accelerator.ring import Ring
from hwgen.accelerator.stream_input import StreamInput

__all__ = ["StreamedAccelerator", "streamed_ports"]


def streamed_ports(design: Design) -> dict[str, tuple[Any, int]]:
    """Ports beside clock, reset and the registers' bus: direction and width by name."""
    ports: dict[str, tuple[Any, int]] = {}
    for name in design.streams:
        ports |= {
            f"s_axis_{name}_tdata": (In, design.bus_bits),
            f"s_axis_{name}_tvalid": (In, 1),
            f"s_axis_{name}_tready": (Out, 1),
        }
    return {
        **ports,
        "m_axis_result_tdata": (Out, design.bus_bits),
        "m_axis_result_tvalid": (Out, 1),
        "m_axis_result_tlast": (Out, 1),
        "m_axis_result_tready": (In, 1),
        "irq": (Out, 1),
    }


class StreamedAccelerator(Core):
    """The top with streams: ports of `Core`, and `streamed_ports`. ``tlast`` is with the last beat of a job."""

    def __init__(self, design: Design, registers: RegisterMap, top: str, stream_top: str) -> None:
        super().__init__(design, registers, top, stream_top, streamed_ports(design))

    def _inputs(self, m: Module, control: Control) -> Inputs:
        rings: dict[str, Ring] = {}
        stuck = {}
        failures: list[Failure] = []
        for name, stream in self._design.streams.items():
            m.submodules[f"{name}_input"] = source = StreamInput(self._design, stream)
            ring = rings[name] = self._ring(m, control, name)
            self._counts(m, control, name, source)
            m.d.comb += [
                source.released.eq(ring.released),
                source.valid.eq(getattr(self, f"s_axis_{name}_tvalid")),
                getattr(self, f"s_axis_{name}_tready").eq(source.ready),
            ]
            filling = self._fill(m, control, name, ring, source.taken, getattr(self, f"s_axis_{name}_tdata"))
            failures += filling.failures
            # A beat that was taken in the cycle before is not in the ring yet.
            late = Signal(name=f"{name}_taken_late")
            m.d.sync += late.eq(source.taken)
            stuck[name] = source.full & ~late & ~filling.busy
        return Inputs(rings, stuck, Const(1, 1), failures)

    def _outputs(self, m: Module, control: Control, packer: Packer, ended: Signal) -> Outputs:
        # A job that ends before its time offers no more, but what is on offer stays until it is taken.
        waits = Signal(name="result_waits")
        offered = self.m_axis_result_tvalid
        m.d.comb += [
            self.m_axis_result_tdata.eq(packer.o_beat),
            offered.eq(packer.o_valid & (control.running | waits)),
            self.m_axis_result_tlast.eq(ended & packer.final),
            packer.o_ready.eq(self.m_axis_result_tready & offered),
        ]
        m.d.sync += waits.eq(offered & ~self.m_axis_result_tready)
        return Outputs(Const(1, 1), ~offered, [])
