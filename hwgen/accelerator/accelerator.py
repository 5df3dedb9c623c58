"""The accelerator on a memory bus: read engines before the rings, a write engine behind the packer."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib.wiring import In, Out

from hwgen.accelerator.control import Control
from hwgen.accelerator.core import Core, Filling, Inputs, Outputs
from hwgen.accelerator.design import Design
from hwgen.accelerator.read_engine import ReadEngine
from hwgen.accelerator.registers import ErrorCause as Cause
from hwgen.accelerator.registers import RegisterMap
from hwgen.accelerator.registers import Stream as Which
from hwgen.accelerator.result import Packer, WriteBuffer, WriteEngine
from hwgen.accelerator.ring import Ring
from hwgen.accelerator.stream import STREAMS

__all__ = ["ASKING_ORDER", "Accelerator", "accelerator_ports"]

ASKING_ORDER = ("channels", "act_sides", "weight_sides", "acts", "weights")
"""Which stream asks first where several want to: the one that needs least goes before those that need more."""


def accelerator_ports(design: Design) -> dict[str, tuple[Any, int]]:
    """Ports beside clock, reset and the registers' bus: direction and width by name."""
    address, bus = design.address_bits, design.bus_bits
    burst = (
        ("id", design.id_bits),
        ("addr", address),
        ("len", 8),
        ("size", 3),
        ("burst", 2),
        ("lock", 1),
        ("cache", 4),
    )
    ports: dict[str, tuple[Any, int]] = {}
    for channel in ("ar", "aw"):
        ports |= {f"m_axi_{channel}{name}": (Out, width) for name, width in (*burst, ("prot", 3), ("valid", 1))}
        ports[f"m_axi_{channel}ready"] = (In, 1)
    read = (("id", design.id_bits), ("data", bus), ("resp", 2), ("last", 1), ("valid", 1))
    ports |= {f"m_axi_r{name}": (In, width) for name, width in read}
    ports["m_axi_rready"] = (Out, 1)
    write = (("data", bus), ("strb", bus // 8), ("last", 1), ("valid", 1))
    ports |= {f"m_axi_w{name}": (Out, width) for name, width in write}
    ports["m_axi_wready"] = (In, 1)
    ports |= {f"m_axi_b{name}": (In, width) for name, width in (("id", design.id_bits), ("resp", 2), ("valid", 1))}
    return {**ports, "m_axi_bready": (Out, 1), "irq": (Out, 1)}


class Accelerator(Core):
    """The top with an AXI4 master: ports of `Core`, and `accelerator_ports`."""

    def __init__(self, design: Design, registers: RegisterMap, top: str, stream_top: str) -> None:
        super().__init__(design, registers, top, stream_top, accelerator_ports(design))

    # ------------------------------------------------------------------ reading

    def _inputs(self, m: Module, control: Control) -> Inputs:
        engines: dict[str, ReadEngine] = {}
        rings: dict[str, Ring] = {}
        fillings: dict[str, Filling] = {}
        for name, stream in self._design.streams.items():
            m.submodules[f"{name}_engine"] = engine = engines[name] = ReadEngine(self._design, stream)
            ring = rings[name] = self._ring(m, control, name)
            self._counts(m, control, name, engine)
            here = Signal(name=f"{name}_here")
            m.d.comb += [
                here.eq(self.m_axi_rvalid & (self.m_axi_rid == stream.index)),
                engine.released.eq(ring.released),
                engine.done.eq(here & self.m_axi_rlast),
                engine.address.eq(getattr(control, f"{name}_address")),
            ]
            fillings[name] = self._fill(m, control, name, ring, here, self.m_axi_rdata)
        m.d.comb += self.m_axi_rready.eq(1)
        self._ask(m, {name: engines[name] for name in ASKING_ORDER if name in engines})
        return Inputs(
            rings,
            {name: engine.full & engine.idle & ~fillings[name].busy for name, engine in engines.items()},
            Cat(*(engine.idle for engine in engines.values()), ~self.m_axi_arvalid).all(),
            [
                (self.m_axi_rvalid & self.m_axi_rresp[1], Cause.READ_RESPONSE, self.m_axi_rid),
                *(failure for filling in fillings.values() for failure in filling.failures),
            ],
        )

    def _ask(self, m: Module, engines: dict[str, ReadEngine]) -> None:
        """The address channel: a register, which the first of the engines that want to gets."""
        design = self._design
        valid = Signal(name="ar_valid")
        address = Signal(design.address_bits, name="ar_addr", reset_less=True)
        length, number = (
            Signal(8, name="ar_len", reset_less=True),
            Signal(design.id_bits, name="ar_id", reset_less=True),
        )
        free = Signal(name="ar_free")
        m.d.comb += [
            free.eq(~valid | self.m_axi_arready),
            self.m_axi_arvalid.eq(valid),
            self.m_axi_araddr.eq(address),
            self.m_axi_arlen.eq(length),
            self.m_axi_arid.eq(number),
            *self._constants("ar"),
        ]
        with m.If(self.m_axi_arready):
            m.d.sync += valid.eq(0)
        before: Value = Const(0, 1)
        for name, engine in engines.items():
            grant = Signal(name=f"{name}_grant")
            m.d.comb += [grant.eq(engine.valid & free & ~before), engine.grant.eq(grant)]
            with m.If(grant):
                m.d.sync += [
                    valid.eq(1),
                    address.eq(engine.addr),
                    length.eq(engine.length),
                    number.eq(STREAMS[name]),
                ]
            before = before | engine.valid

    def _constants(self, channel: str) -> list[Any]:
        size = (self._design.bus_bytes - 1).bit_length()
        values = {"size": size, "burst": 1, "lock": 0, "cache": 0b0011, "prot": 0}
        return [getattr(self, f"m_axi_{channel}{name}").eq(value) for name, value in values.items()]

    # ------------------------------------------------------------------ writing

    def _outputs(self, m: Module, control: Control, packer: Packer, ended: Signal) -> Outputs:
        m.submodules.write_buffer = buffer = WriteBuffer(self._design, self._sram)
        m.submodules.write_engine = writer = WriteEngine(self._design)
        sent = Signal(name="beat_sent")
        m.d.comb += [
            sent.eq(self.m_axi_wvalid & self.m_axi_wready),
            buffer.clear.eq(control.clear),
            writer.clear.eq(control.clear),
            buffer.i_valid.eq(packer.o_valid),
            buffer.i_beat.eq(packer.o_beat),
            packer.o_ready.eq(buffer.i_ready),
            buffer.take.eq(sent),
            writer.address.eq(control.result_address),
            writer.stop.eq(~control.running),
            writer.came.eq(packer.o_valid & packer.o_ready),
            writer.flush.eq(ended & packer.empty),
            writer.aw_ready.eq(self.m_axi_awready),
            writer.w_sent.eq(sent),
            writer.b_valid.eq(self.m_axi_bvalid),
            self.m_axi_awvalid.eq(writer.aw_valid),
            self.m_axi_awaddr.eq(writer.aw_addr),
            self.m_axi_awlen.eq(writer.aw_length),
            self.m_axi_awid.eq(0),
            *self._constants("aw"),
            self.m_axi_wvalid.eq(buffer.valid & writer.w_active),
            self.m_axi_wdata.eq(buffer.beat),
            self.m_axi_wstrb.eq(~0),
            self.m_axi_wlast.eq(writer.w_last),
            self.m_axi_bready.eq(1),
        ]
        failure = (self.m_axi_bvalid & self.m_axi_bresp[1], Cause.WRITE_RESPONSE, Which.RESULTS)
        return Outputs(writer.empty, writer.idle, [failure])
