"""What registers do, said a second time: in whole writes and reads, and cycle by cycle from the handshakes.

It knows the map and the text of the contract, and shares nothing with the hardware's description.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from hwgen.accelerator.registers import Coded, Field, Register, RegisterMap, pair

OKAY, SLVERR = 0, 2
Ports = dict[str, int]


class Mode(Coded):
    """Two names."""

    SLOW = 0, "Slow."
    FAST = 2, "Fast."


EVERY_KIND = RegisterMap(
    "every_kind",
    (
        # Fields of every access across the borders of bytes; some with a reset, some bits of no field.
        Register(
            "MIXED",
            0x000,
            (
                Field("signal", 3, 11, "rw", 0x2A5, "Across two bytes."),
                Field("go", 15, 1, "pulse", 0, "A pulse."),
                Field("run", 16, 1, "pulse", 0, "A pulse, in another byte."),
                Field("seen", 20, 1, "w1c", 1, "Set at reset."),
                Field("missed", 25, 1, "w1c", 0, "In another byte."),
                Field("level", 28, 4, "ro", 0, "Driven."),
            ),
            "Fields of every kind.",
        ),
        Register("MODE", 0x008, (Field("value", 0, 3, "rw", 2, 'Says "how" \\ why | when.', Mode),), "Mode."),
        *pair("COUNT", 0x010, 64, "ro", "A counter."),
        *pair("OTHER", 0x018, 40, "ro", "A second counter."),
        *pair("BASE", 0x020, 45, "rw", "An address."),
        *pair("SHORT", 0x028, 32, "rw", "An address of 32 bits."),
        Register("LAST", 0xFFC, (Field("value", 0, 32, "rw", 0xDEADBEEF, "The last word."),), "At the end."),
    ),
    "A register of every kind.",
)


def pulses(map: RegisterMap) -> set[str]:
    """Ports that are high for one cycle at a time."""
    return {
        f"o_{register.name}_{item.name}".lower()
        for register in map.registers
        for item in register.fields
        if item.access == "pulse"
    }


def ports(map: RegisterMap, direction: str) -> dict[str, int]:
    """Hardware's ports of one direction with their bits."""
    found = {}
    for register in map.registers:
        for item in register.fields:
            for name, (way, bits) in item.ports(register.name).items():
                if way == direction:
                    found[name] = bits
    return found


class Registers:
    """State of the fields, changed by whole writes and by hardware's strobes."""

    def __init__(self, map: RegisterMap) -> None:
        self.map = map
        self.by_offset = {register.offset: register for register in map.registers}
        self.kept = {register.name: 0 for register in map.registers}
        self.value = {
            f"o_{register.name}_{item.name}".lower(): item.reset
            for register in map.registers
            for item in register.fields
            if item.access != "ro"
        }

    def fall(self) -> None:
        """Pulses fall."""
        self.value |= dict.fromkeys(pulses(self.map), 0)

    def strobe(self, inputs: Ports) -> None:
        """Hardware's strobes set."""
        for name in self.value:
            self.value[name] |= inputs.get(f"i_{name[2:]}_set", 0)

    def write(self, address: int, data: int, strobes: int) -> int:
        """A write between two cycles; its response."""
        register = self.by_offset.get(address & ~3)
        if register is None:
            return SLVERR
        for item in register.fields:
            port = f"o_{register.name}_{item.name}".lower()
            for bit in range(item.bits):
                place = item.lsb + bit
                if item.access == "ro" or not strobes >> (place // 8) & 1:
                    continue
                one = data >> place & 1
                if item.access == "rw":
                    self.value[port] = self.value[port] & ~(1 << bit) | one << bit
                elif one and item.access == "pulse":
                    self.value[port] |= 1 << bit
                elif one:
                    self.value[port] &= ~(1 << bit)
        return OKAY

    def _word(self, register: Register, inputs: Ports) -> int:
        word = 0
        for item in register.fields:
            name = f"{register.name}_{item.name}".lower()
            if item.access != "pulse":
                word |= (inputs[f"i_{name}"] if item.access == "ro" else self.value[f"o_{name}"]) << item.lsb
        return word

    def read(self, address: int, inputs: Ports) -> tuple[int, int]:
        """Data and response of a read in a cycle with these inputs."""
        register = self.by_offset.get(address & ~3)
        if register is None:
            return 0, SLVERR
        for other in self.map.registers:
            if other.latched_by == register.name:
                self.kept[other.name] = self._word(other, inputs)
        return (self.kept[register.name] if register.latched_by else self._word(register, inputs)), OKAY


@dataclass
class Cycles:
    """The bus around them, one step per cycle."""

    map: RegisterMap
    registers: Registers = field(init=False)
    bus: Ports = field(init=False)
    address: int | None = None
    data: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self.registers = Registers(self.map)
        self.bus = {f"s_axi_{name}": 0 for name in ("bvalid", "bresp", "rvalid", "rresp", "rdata")}
        self.bus |= {f"s_axi_{name}ready": 1 for name in ("aw", "w", "ar")}

    def outputs(self) -> Ports:
        """All outputs in this cycle; what goes with a valid that is low is left out."""
        seen = {**self.registers.value, **self.bus}
        for valid, names in (("bvalid", ("bresp",)), ("rvalid", ("rresp", "rdata"))):
            if not self.bus[f"s_axi_{valid}"]:
                for name in names:
                    del seen[f"s_axi_{name}"]
        return seen

    def step(self, inputs: Ports) -> None:
        """To the next cycle."""
        bus, seen = self.bus, {**self.bus, **inputs}

        def shaken(channel: str) -> bool:
            return bool(seen[f"s_axi_{channel}ready"] and seen[f"s_axi_{channel}valid"])

        if shaken("r"):
            bus |= {"s_axi_rvalid": 0, "s_axi_arready": 1}
        if shaken("ar"):
            data, response = self.registers.read(inputs["s_axi_araddr"], inputs)
            bus |= {"s_axi_rdata": data, "s_axi_rresp": response, "s_axi_rvalid": 1, "s_axi_arready": 0}
        if shaken("b"):
            bus |= {"s_axi_bvalid": 0, "s_axi_awready": 1, "s_axi_wready": 1}
        if shaken("aw"):
            self.address = inputs["s_axi_awaddr"]
            bus["s_axi_awready"] = 0
        if shaken("w"):
            self.data = inputs["s_axi_wdata"], inputs["s_axi_wstrb"]
            bus["s_axi_wready"] = 0
        self.registers.fall()
        if self.address is not None and self.data is not None:
            bus |= {"s_axi_bvalid": 1, "s_axi_bresp": self.registers.write(self.address, *self.data)}
            self.address = self.data = None
        # Set wins over clear, so it comes after the write.
        self.registers.strobe(inputs)


def addresses(map: RegisterMap, rng: random.Random) -> int:
    """An address, mostly of a register, now and then of none or with low bits."""
    if rng.random() < 0.15:
        return rng.randrange(1 << 12)
    return rng.choice(map.registers).offset | (rng.randrange(4) if rng.random() < 0.1 else 0)


def words(rng: random.Random) -> int:
    """Data with many ones, few, or any."""
    return rng.choice((0, 0xFFFFFFFF, rng.getrandbits(32), 1 << rng.randrange(32)))


def trace(map: RegisterMap, seed: int, cycles: int) -> Iterator[tuple[Ports, Ports]]:
    """Inputs and the outputs due in each cycle: a master that keeps the protocol, at changing speeds, and hardware."""
    rng = random.Random(seed)
    model = Cycles(map)
    hardware = ports(map, "input")
    offered: Ports = {f"s_axi_{channel}valid": 0 for channel in ("aw", "w", "ar")}
    payload: Ports = {}
    pace = dict.fromkeys(("aw", "w", "ar", "b", "r"), 0.5)
    for cycle in range(cycles):
        if cycle % 40 == 0:
            pace = {channel: rng.choice((0.05, 0.3, 1.0)) for channel in pace}
        for channel in ("aw", "w", "ar"):
            if not offered[f"s_axi_{channel}valid"]:
                offered[f"s_axi_{channel}valid"] = int(rng.random() < pace[channel])
                # Nothing is promised about these while valid is low: noise.
                if channel == "w":
                    payload |= {"s_axi_wdata": words(rng), "s_axi_wstrb": rng.choice((15, 15, rng.randrange(16)))}
                else:
                    payload |= {f"s_axi_{channel}addr": addresses(map, rng), f"s_axi_{channel}prot": rng.randrange(8)}
        ready = {f"s_axi_{channel}ready": int(rng.random() < pace[channel]) for channel in ("b", "r")}
        driven = {
            name: rng.getrandbits(bits) & rng.getrandbits(bits) if name.endswith("_set") else rng.getrandbits(bits)
            for name, bits in hardware.items()
        }
        inputs = {**offered, **payload, **ready, **driven}
        due = model.outputs()
        yield inputs, due
        for channel in ("aw", "w", "ar"):
            if due[f"s_axi_{channel}ready"]:
                offered[f"s_axi_{channel}valid"] = 0
        model.step(inputs)
