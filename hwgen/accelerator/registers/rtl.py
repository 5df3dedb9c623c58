"""A register map as hardware: an AXI4-Lite slave on one side, a port per field on the other.

Timing, in cycles of the domain ``sync``; every output comes from a register, so no input reaches one within a cycle:

- AW and W are taken in any order, at once or any time apart. The write is *accepted* in the cycle t of the later of
  the two handshakes. In t+1 its effect is there: fields of access ``rw`` have their value, pulses are high for this
  cycle only, ``w1c`` is cleared, and ``s_axi_bvalid`` is high. ``s_axi_awready`` and ``s_axi_wready`` are low from the
  cycle after their handshake to that of B: a write every second cycle at most.
- A strobe of hardware (``i_*_set``) in cycle t shows in t+1, and stays if a write is accepted in t that would clear it.
- A read gives the values of the cycle t of the AR handshake; ``s_axi_rvalid`` is high from t+1. ``s_axi_arready`` is
  low from there to the cycle of R: a read every second cycle at most. Registers that it latches are those of t, too.
- An address with no register answers SLVERR, reads as 0 and changes nothing. Writing to read-only bits is OKAY and
  changes nothing. The two lowest address bits are ignored, as is ``prot``.

Reads and writes do not wait for each other.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.accelerator.registers.description import ADDRESS_BITS, BITS, Register, RegisterMap
from hwgen.emit._emit import to_verilog
from hwgen.emit._reset import Reset
from hwgen.emit._rtlil import component_rtlil

__all__ = ["BUS_PORTS", "OKAY", "SLVERR", "RegisterFile", "verilog"]

OKAY, SLVERR = 0, 2

_STROBES = BITS // 8
BUS_PORTS: dict[str, tuple[str, int]] = {
    "s_axi_awaddr": ("input", ADDRESS_BITS),
    "s_axi_awprot": ("input", 3),
    "s_axi_awvalid": ("input", 1),
    "s_axi_awready": ("output", 1),
    "s_axi_wdata": ("input", BITS),
    "s_axi_wstrb": ("input", _STROBES),
    "s_axi_wvalid": ("input", 1),
    "s_axi_wready": ("output", 1),
    "s_axi_bresp": ("output", 2),
    "s_axi_bvalid": ("output", 1),
    "s_axi_bready": ("input", 1),
    "s_axi_araddr": ("input", ADDRESS_BITS),
    "s_axi_arprot": ("input", 3),
    "s_axi_arvalid": ("input", 1),
    "s_axi_arready": ("output", 1),
    "s_axi_rdata": ("output", BITS),
    "s_axi_rresp": ("output", 2),
    "s_axi_rvalid": ("output", 1),
    "s_axi_rready": ("input", 1),
}
"""Direction and bits of the bus by name, in the spelling from which vendors' tools infer an interface."""


class RegisterFile(wiring.Component):
    """The registers of ``map``; ports are `BUS_PORTS` and, per field, those of `Field.ports`.

    The module's docstring gives the timing.
    """

    def __init__(self, map: RegisterMap) -> None:
        self.map = map
        ports = dict(BUS_PORTS)
        for register in map.registers:
            for field in register.fields:
                ports |= field.ports(register.name)
        # Inputs hold their fields' reset value where nothing drives them: constants need no wire.
        inits = {
            f"i_{register.name}_{field.name}".lower(): field.reset
            for register in map.registers
            for field in register.fields
            if field.access == "ro"
        }
        resets = {
            f"o_{register.name}_{field.name}".lower(): field.reset
            for register in map.registers
            for field in register.fields
        }
        # Nothing has been taken yet: the bus is ready from the first cycle.
        resets |= {f"s_axi_{channel}ready": 1 for channel in ("aw", "w", "ar")}
        super().__init__(
            {
                name: In(bits, init=inits.get(name, 0)) if direction == "input" else Out(bits, init=resets.get(name, 0))
                for name, (direction, bits) in ports.items()
            }
        )

    def pair(self, name: str) -> Value:
        """Ports of both halves of ``name`` (`pair`) as one value, to read where software writes, else to drive."""
        halves = []
        for register in (self.map.register(f"{name}_LO"), self.map.register(f"{name}_HI")):
            halves += [getattr(self, port) for field in register.fields for port in field.ports(register.name)]
        return Cat(*halves)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        address, data, strobes, accept = self._write_channels(m)
        lanes = Cat(strobes[bit // 8] for bit in range(BITS))
        with m.If(accept):
            m.d.sync += self.s_axi_bresp.eq(Mux(self._known(address), OKAY, SLVERR))
        for register in self.map.registers:
            if any(field.access != "ro" for field in register.fields):
                hit = Signal(name=f"write_{register.name.lower()}")
                m.d.comb += hit.eq(accept & (address[2:] == register.offset >> 2))
                self._write(m, register, hit, data, lanes)
        self._read_channels(m)
        return m

    def _known(self, address: Value) -> Value:
        """Whether a register is there."""
        return Cat(address[2:] == register.offset >> 2 for register in self.map.registers).any()

    def _write_channels(self, m: Module) -> tuple[Signal, Signal, Signal, Signal]:
        """Address, data and strobes of a write in the cycle in which the last value is high, which accepts it."""
        held_address = Signal(ADDRESS_BITS)
        held_data = Signal(BITS)
        held_strobes = Signal(_STROBES)
        have_aw = Signal()
        have_w = Signal()
        address = Signal(ADDRESS_BITS, name="write_address")
        data = Signal(BITS, name="write_data")
        strobes = Signal(_STROBES, name="write_strobes")
        accept = Signal(name="write_accept")
        aw = Signal()
        w = Signal()
        m.d.comb += [
            aw.eq(self.s_axi_awvalid & self.s_axi_awready),
            w.eq(self.s_axi_wvalid & self.s_axi_wready),
            address.eq(Mux(have_aw, held_address, self.s_axi_awaddr)),
            data.eq(Mux(have_w, held_data, self.s_axi_wdata)),
            strobes.eq(Mux(have_w, held_strobes, self.s_axi_wstrb)),
            accept.eq((aw | have_aw) & (w | have_w)),
        ]
        with m.If(aw):
            m.d.sync += [held_address.eq(self.s_axi_awaddr), have_aw.eq(1), self.s_axi_awready.eq(0)]
        with m.If(w):
            m.d.sync += [
                held_data.eq(self.s_axi_wdata),
                held_strobes.eq(self.s_axi_wstrb),
                have_w.eq(1),
                self.s_axi_wready.eq(0),
            ]
        with m.If(accept):
            m.d.sync += [have_aw.eq(0), have_w.eq(0), self.s_axi_bvalid.eq(1)]
        with m.If(self.s_axi_bvalid & self.s_axi_bready):
            m.d.sync += [self.s_axi_bvalid.eq(0), self.s_axi_awready.eq(1), self.s_axi_wready.eq(1)]
        return address, data, strobes, accept

    def _write(self, m: Module, register: Register, hit: Signal, data: Signal, lanes: Value) -> None:
        """What a write does to the fields of a register in the cycle in which ``hit`` is high."""
        for field in register.fields:
            if field.access == "ro":
                continue
            bits = slice(field.lsb, field.lsb + field.bits)
            name = f"{register.name}_{field.name}".lower()
            port = getattr(self, f"o_{name}")
            ones = data[bits] & lanes[bits]
            if field.access == "pulse":
                m.d.sync += port.eq(hit & ones)
            elif field.access == "w1c":
                m.d.sync += port.eq(port & ~(hit & ones) | getattr(self, f"i_{name}_set"))
            else:
                with m.If(hit):
                    m.d.sync += port.eq(port & ~lanes[bits] | ones)

    def _read_channels(self, m: Module) -> None:
        take = Signal(name="read_accept")
        m.d.comb += take.eq(self.s_axi_arvalid & self.s_axi_arready)
        word = Signal(BITS, name="read_word")
        words = {register.offset: self._word(m, register, take) for register in self.map.registers}
        with m.Switch(self.s_axi_araddr[2:]):
            for offset, value in words.items():
                with m.Case(offset >> 2):
                    m.d.comb += word.eq(value)
        with m.If(take):
            m.d.sync += [
                self.s_axi_rdata.eq(word),
                self.s_axi_rresp.eq(Mux(self._known(self.s_axi_araddr), OKAY, SLVERR)),
                self.s_axi_rvalid.eq(1),
                self.s_axi_arready.eq(0),
            ]
        with m.If(self.s_axi_rvalid & self.s_axi_rready):
            m.d.sync += [self.s_axi_rvalid.eq(0), self.s_axi_arready.eq(1)]

    def _word(self, m: Module, register: Register, take: Value) -> Value:
        """What a read of the register gives; a latched one gives what was kept."""
        parts: list[Value] = []
        end = 0
        for field in sorted(register.fields, key=lambda field: field.lsb):
            name = f"{register.name}_{field.name}".lower()
            parts.append(Const(0, field.lsb - end))
            if field.access == "pulse":
                parts.append(Const(0, field.bits))
            else:
                parts.append(getattr(self, f"i_{name}" if field.access == "ro" else f"o_{name}"))
            end = field.lsb + field.bits
        word = Cat(*parts)
        if not register.latched_by:
            return word
        kept = Signal(end, name=f"kept_{register.name.lower()}")
        first = self.map.register(register.latched_by)
        with m.If(take & (self.s_axi_araddr[2:] == first.offset >> 2)):
            m.d.sync += kept.eq(word)
        return kept


def verilog(map: RegisterMap, top: str | None = None, reset: Reset | None = None) -> str:
    """Verilog-2005 of the registers as module ``top``, the map's name with ``_registers`` when None.

    Its clock is ``clk``; ``reset`` is synchronous, active high and called ``rst`` when None.
    """
    return to_verilog(component_rtlil(RegisterFile(map), top or f"{map.name}_registers", reset or Reset()))
