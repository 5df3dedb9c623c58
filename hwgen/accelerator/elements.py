"""Codes in memory, and the elements of the tile's ports that are made of them.

A tile whose formats change at run time has a port for the widest. In memory codes lie side by side whatever the port
is, and what fills an element beside them, zeros or a sign, is wiring behind the ring.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from amaranth.hdl import Cat, Const, Value

from hwgen.frame.ports import PortInfo
from hwgen.pe import TileSpec

__all__ = ["Elements", "elements_of", "plain_elements"]


@dataclass(frozen=True)
class Elements:
    """Elements of the rows or columns of a step, ``lines`` of them: ``count`` of ``bits`` bits each in memory become
    ``port_count`` of ``port_bits``, from bit ``lsb`` of each; above is their sign where they are ``signed``, or zeros.
    """

    lines: int
    count: int
    bits: int
    port_count: int
    port_bits: int
    lsb: int = 0
    signed: bool = False

    @property
    def alike(self) -> bool:
        """Whether memory holds the elements as they are."""
        return (self.count, self.bits) == (self.port_count, self.port_bits)

    def narrowed(self, values: np.ndarray) -> np.ndarray:
        """Port elements [..., port_count] as memory has them, [..., count]."""
        if self.alike:
            return values
        found: np.ndarray = (values[..., : self.count] >> self.lsb) & ((1 << self.bits) - 1)
        return found

    def widened(self, word: Value) -> Value:
        """The port's bits of a step, of a word of its elements in memory."""
        if self.alike:
            return word
        line = self.count * self.bits
        return Cat(*(self._line(word[index * line : (index + 1) * line]) for index in range(self.lines)))

    def _line(self, line: Value) -> Value:
        made: list[Value] = []
        for start in range(0, len(line), self.bits):
            code = line[start : start + self.bits]
            room = self.port_bits - self.bits - self.lsb
            made += [Const(0, self.lsb), code, code[-1].replicate(room) if self.signed else Const(0, room)]
        return Cat(*made, Const(0, (self.port_count - self.count) * self.port_bits))


def plain_elements(port: PortInfo) -> Elements:
    """Elements of a port as they are."""
    lines, count = port.shape
    return Elements(lines, count, port.bits, count, port.bits)


def elements_of(tile: TileSpec, port: PortInfo) -> Elements:
    """Elements of a port of operands, ``acts`` or ``weights``, in the mode of layers."""
    mode, second = tile.layer_mode, port.role == "weights"
    packing = (tile.weight_packing if second else tile.act_packing)(mode)
    plain = plain_elements(port)
    if packing["kind"] != "codes":
        return plain
    per, bits = packing["per_element"], packing["per_element"] * packing["code_bits"]
    used = -(-tile.code_columns(mode)[second] // per)
    return replace(plain, count=used, bits=bits, lsb=packing["lsb"], signed=packing.get("fill") == "sign")
