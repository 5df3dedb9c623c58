"""Run emitted Verilog: find the tools, lint, compile to a program, stream arrays through it, run plain testbenches."""

from __future__ import annotations

from hwgen.simulators.bus import BusJob, BusResult, BusSim, BusTrace, MemoryModel, build_bus, bus_ports
from hwgen.simulators.compiled import CompiledSim, ManyResult, Port, SimResult, Slice, StreamProtocol, build
from hwgen.simulators.icarus import run_testbench
from hwgen.simulators.lint import LintWarning, lint
from hwgen.simulators.toolchain import TOOLS, Tool, cocotb_environment, find, require, version
from hwgen.simulators.words import pack_words, unpack_words

__all__ = [
    "TOOLS",
    "BusJob",
    "BusResult",
    "BusSim",
    "BusTrace",
    "CompiledSim",
    "LintWarning",
    "ManyResult",
    "MemoryModel",
    "Port",
    "SimResult",
    "Slice",
    "StreamProtocol",
    "Tool",
    "build",
    "build_bus",
    "bus_ports",
    "cocotb_environment",
    "find",
    "lint",
    "pack_words",
    "require",
    "run_testbench",
    "unpack_words",
    "version",
]
