"""Registers as data: what they are called, where they lie, who writes them; every other form of them is made from this.

A register has 32 bits at an offset in bytes. Software sees it through the bus, hardware through one port per field.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

from hwgen.errors import HwgenError

__all__ = ["ACCESS", "ADDRESS_BITS", "BITS", "Coded", "Field", "Register", "RegisterMap", "pair"]

BITS = 32
"""Bits of a register, and of the bus that reaches it."""
ADDRESS_BITS = 12
"""Bits of an address within a map: 4 KiB, the least that AXI lets a slave occupy."""

ACCESS = {
    "rw": "software writes, hardware reads",
    "ro": "hardware drives, software reads",
    "pulse": "writing 1 gives hardware a strobe of one cycle, reads as 0",
    "w1c": "a strobe of hardware sets, writing 1 clears; set wins over clear in the same cycle",
}
"""Kinds of access and what they mean."""

_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)


class Coded(IntEnum):
    """Base of what a field's values mean: a member is declared as its value and one line about it."""

    doc: str

    def __new__(cls, value: int, doc: str = "") -> Self:
        member = int.__new__(cls, value)
        member._value_ = value
        member.doc = doc
        return member


def _named(where: str, name: str) -> None:
    # Double underscores separate levels in generated names, and Verilator renames what contains them.
    if not _NAME.fullmatch(name) or "__" in name or name.endswith("_"):
        raise HwgenError(f"{where}: a name must be a letter, then letters, digits and single underscores, not {name!r}")


def _unique(where: str, what: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise HwgenError(f"{where}: each {what} must be there once, not {count} times {name}")


@dataclass(frozen=True)
class Field:
    """Bits ``lsb`` to ``lsb + bits - 1`` of a register.

    ``access`` is one of `ACCESS`; ``pulse`` and ``w1c`` are single bits. ``reset`` is the value after reset; of ``ro``
    that which hardware is to drive then (a constant, where it never drives another). ``codes`` names the values.
    """

    name: str
    lsb: int
    bits: int
    access: str
    reset: int
    doc: str
    codes: type[Coded] | None = None

    def __post_init__(self) -> None:
        _named("field", self.name)
        where = f"field {self.name}"
        if self.access not in ACCESS:
            raise HwgenError(f"{where}: access must be {', '.join(ACCESS)}, not {self.access!r}")
        if self.bits < 1 or self.lsb < 0 or self.lsb + self.bits > BITS:
            raise HwgenError(
                f"{where}: its bits must be 1 or more between 0 and {BITS - 1}, not {self.bits} from {self.lsb}"
            )
        if not 0 <= self.reset < 1 << self.bits:
            raise HwgenError(
                f"{where}: reset must be from 0 to {(1 << self.bits) - 1:#x} in {self.bits} bits, not {self.reset:#x}"
            )
        # SystemRDL knows both for single bits only.
        if self.access in ("pulse", "w1c") and self.bits > 1:
            raise HwgenError(f"{where}: a field of access {self.access} must have 1 bit, not {self.bits}")
        if self.access == "pulse" and self.reset:
            raise HwgenError(f"{where}: reset of a pulse must be 0, not {self.reset:#x}")
        for code in self.codes or ():
            if not 0 <= code < 1 << self.bits:
                raise HwgenError(f"{where}: {code.name} must fit {self.bits} bits, not be {int(code)}")

    @property
    def mask(self) -> int:
        """Its bits within the register."""
        return ((1 << self.bits) - 1) << self.lsb

    def ports(self, register: str) -> dict[str, tuple[str, int]]:
        """Direction and bits of the ports through which hardware sees it, by name."""
        name = f"{register}_{self.name}".lower()
        match self.access:
            case "ro":
                return {f"i_{name}": ("input", self.bits)}
            case "w1c":
                return {f"i_{name}_set": ("input", self.bits), f"o_{name}": ("output", self.bits)}
            case _:
                return {f"o_{name}": ("output", self.bits)}


@dataclass(frozen=True)
class Register:
    """32 bits at ``offset`` bytes; bits of no field read as 0 and ignore what is written.

    A read of the register named in ``latched_by`` keeps the value of this one, and reads of this one give what was
    kept: 0 before the first. So both halves of a counter come from one cycle, low half read first.
    """

    name: str
    offset: int
    fields: tuple[Field, ...]
    doc: str
    latched_by: str = ""

    def __post_init__(self) -> None:
        _named("register", self.name)
        where = f"register {self.name}"
        if self.offset % 4 or not 0 <= self.offset < 1 << ADDRESS_BITS:
            raise HwgenError(
                f"{where}: offset must be a multiple of 4 from 0 to {(1 << ADDRESS_BITS) - 4:#x}, not {self.offset:#x}"
            )
        _unique(where, "field", (field.name.lower() for field in self.fields))
        used: dict[int, str] = {}
        for field in self.fields:
            for bit in range(field.lsb, field.lsb + field.bits):
                if bit in used:
                    raise HwgenError(f"{where}: fields must not overlap; {used[bit]} and {field.name} share bit {bit}")
                used[bit] = field.name
        if self.latched_by and any(field.access != "ro" for field in self.fields):
            raise HwgenError(f"{where}: only fields of access ro can be latched by {self.latched_by}")

    @property
    def reset(self) -> int:
        """What it reads as after reset; of ``ro`` fields see `Field`."""
        return sum(field.reset << field.lsb for field in self.fields)


@dataclass(frozen=True)
class RegisterMap:
    """All registers of a block, by offset."""

    name: str
    registers: tuple[Register, ...]
    doc: str

    def __post_init__(self) -> None:
        _named("register map", self.name)
        where = f"register map {self.name}"
        if not self.registers:
            raise HwgenError(f"{where}: it must have a register, not none")
        object.__setattr__(self, "registers", tuple(sorted(self.registers, key=lambda register: register.offset)))
        _unique(where, "register", (register.name.lower() for register in self.registers))
        _unique(where, "offset", (f"{register.offset:#05x}" for register in self.registers))
        _unique(where, "port", (name for _, field, name in self._ports()))
        names = {register.name for register in self.registers}
        for register in self.registers:
            if register.latched_by and register.latched_by not in names - {register.name}:
                raise HwgenError(
                    f"{where}: {register.name} must be latched by another register of the map, "
                    f"not {register.latched_by!r}"
                )

    def _ports(self) -> Iterator[tuple[Register, Field, str]]:
        for register in self.registers:
            for field in register.fields:
                for name in field.ports(register.name):
                    yield register, field, name

    def register(self, name: str) -> Register:
        """The register of that name."""
        for register in self.registers:
            if register.name == name:
                return register
        raise HwgenError(f"register map {self.name}: no register {name!r}")

    @property
    def codes(self) -> tuple[type[Coded], ...]:
        """Every enumeration of its fields, once."""
        found = [field.codes for register in self.registers for field in register.fields if field.codes]
        return tuple(dict.fromkeys(found))


def pair(name: str, offset: int, bits: int, access: str, doc: str) -> tuple[Register, Register]:
    """A number of 33 to 64 bits, or of 32 with nothing in the high half, as ``name_LO`` and, 4 bytes on, ``name_HI``.

    The field of each is ``value``. Of access ``ro`` both halves come from the cycle in which the low one was read.
    """
    if not BITS <= bits <= 2 * BITS:
        raise HwgenError(f"registers {name}: a pair must have {BITS} to {2 * BITS} bits, not {bits}")
    low, high = f"{name}_LO", f"{name}_HI"
    top = (Field("value", 0, bits - BITS, access, 0, f"Bits {bits - 1} to {BITS}."),) if bits > BITS else ()
    latched = access == "ro" and bool(top)
    order = " Read it first: the read keeps the high half." if latched else ""
    return (
        Register(low, offset, (Field("value", 0, BITS, access, 0, f"Bits {BITS - 1} to 0."),), doc + order),
        Register(
            high,
            offset + 4,
            top,
            f"High half of {low}, of the cycle in which that was read." if latched else f"High half of {low}.",
            low if latched else "",
        ),
    )
