"""The registers of an accelerator, described once: as RTL, SystemRDL, C header, HTML, JSON and Markdown."""

from __future__ import annotations

from hwgen.accelerator.registers.accelerator import MAGIC, VERSION, ErrorCause, Order, Stream, accelerator_map
from hwgen.accelerator.registers.description import ACCESS, Coded, Field, Register, RegisterMap, pair
from hwgen.accelerator.registers.export import as_json, c_header, html, markdown, systemrdl
from hwgen.accelerator.registers.rtl import BUS_PORTS, RegisterFile, verilog

__all__ = [
    "ACCESS",
    "BUS_PORTS",
    "MAGIC",
    "VERSION",
    "Coded",
    "ErrorCause",
    "Field",
    "Order",
    "Register",
    "RegisterFile",
    "RegisterMap",
    "Stream",
    "accelerator_map",
    "as_json",
    "c_header",
    "html",
    "markdown",
    "pair",
    "systemrdl",
    "verilog",
]
