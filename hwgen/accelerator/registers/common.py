"""What the register maps of all blocks begin with, and how their registers are written down."""

from __future__ import annotations

import re

from hwgen.accelerator.registers.description import BITS, Field, Register
from hwgen.version import __version__

__all__ = ["VERSION", "flag", "identity", "whole"]

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
