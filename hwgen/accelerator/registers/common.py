"""What the register maps of all blocks begin with, and how their registers are written down."""

from __future__ import annotations

import re

from hwgen.accelerator.registers.description import BITS, Field, Register
from hwgen.errors import HwgenError
from hwgen.version import __version__

__all__ = ["VERSION", "check_widths", "control", "flag", "identity", "status", "whole"]

VERSION = tuple(int(part) for part in re.findall(r"\d+", __version__)[:3])
"""Major, minor and patch of the hwgen that made the design, for register VERSION."""


def whole(name: str, offset: int, access: str, doc: str, bits: int = BITS, reset: int = 0) -> Register:
    """A register of one field, ``value``."""
    return Register(name, offset, (Field("value", 0, bits, access, reset, doc),), doc)


def flag(name: str, lsb: int, access: str, doc: str) -> Field:
    """A field of one bit."""
    return Field(name, lsb, 1, access, 0, doc)


def identity(magic: int, doc: str) -> list[Register]:
    """What a block is (``doc`` in words), which hwgen made it, and from which design."""
    return [
        whole("ID", 0x000, "ro", doc, reset=magic),
        Register(
            "VERSION",
            0x004,
            tuple(
                Field(name, lsb, 8, "ro", value, f"{name.capitalize()} version.")
                for name, lsb, value in zip(("patch", "minor", "major"), (0, 8, 16), reversed(VERSION), strict=True)
            ),
            "Constant: version of the hwgen that made the design.",
        ),
        whole("DESIGN_HASH", 0x008, "ro", "Constant: first 32 bits of the hash of the design."),
    ]


def check_widths(where: str, address_bits: int, count_bits: int) -> None:
    """Raises `HwgenError` unless memory addresses have 32 to 64 bits and counts 1 to 32; ``where`` is the map."""
    for name, value, low, high in (("address_bits", address_bits, BITS, 2 * BITS), ("count_bits", count_bits, 1, BITS)):
        if not low <= value <= high:
            raise HwgenError(f"{where}: {name} must be a whole number from {low} to {high}, not {value}")


def control(start: str, abort: str, doc: str) -> Register:
    """What starts and ends jobs, and whether their ends interrupt."""
    # Enables in bytes of their own: a byte write of one leaves the other alone.
    fields = (
        flag("start", 0, "pulse", start),
        flag("abort", 1, "pulse", abort),
        flag("irq_enable", 8, "rw", "Interrupt while STATUS.done or STATUS.error is set."),
    )
    return Register("CONTROL", 0x010, fields, doc)


def status(done: str, *more: Field) -> Register:
    """Whether a job runs, and how those before it ended; ``more`` of what goes on."""
    fields = (
        flag("busy", 0, "ro", "A job runs."),
        *more,
        flag("done", 8, "w1c", done),
        flag("error", 9, "w1c", "A job was not done as asked: see ERROR."),
    )
    return Register("STATUS", 0x014, fields, "What it does.")
