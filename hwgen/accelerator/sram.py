"""The memory of a ring: one module per size, so that a macro can take its place."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Sram", "sram_name"]


def sram_name(top: str, depth: int, bits: int) -> str:
    """Name of the module of a memory of ``depth`` words."""
    return f"{top}_sram_{depth}x{bits}"


class Sram(wiring.Component):
    """``depth`` words of ``bits`` bits with one write port and one read port.

    A word is written at the rising edge with ``w_en``; ``r_data`` follows the edge with ``r_en`` and stays until the
    next one. No word is read in the cycle in which it is written, and none before it was.
    """

    def __init__(self, depth: int, bits: int) -> None:
        self.depth, self.bits = depth, bits
        address = max((depth - 1).bit_length(), 1)
        super().__init__(
            {
                "w_en": In(1),
                "w_addr": In(address),
                "w_data": In(bits),
                "r_en": In(1),
                "r_addr": In(address),
                "r_data": Out(bits),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.words = words = memory.Memory(shape=self.bits, depth=self.depth, init=[])
        write, read = words.write_port(), words.read_port()
        # Behaviour that no reset changes: the read port keeps its word.
        address: Signal = read.addr
        m.d.comb += [
            write.en.eq(self.w_en),
            write.addr.eq(self.w_addr),
            write.data.eq(self.w_data),
            address.eq(self.r_addr),
            read.en.eq(self.r_en),
            self.r_data.eq(read.data),
        ]
        return m
