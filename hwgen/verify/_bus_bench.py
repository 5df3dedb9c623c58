"""A self-checking Verilog bench of a bus master: jobs through its registers, a memory with wait states."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from amaranth.lib.wiring import Out

from hwgen.accelerator.emission import Emission
from hwgen.accelerator.registers import BUS_PORTS

__all__ = ["BenchJob", "bus_bench_files"]

_TEMPLATE = Path(__file__).with_name("bus_bench.v")
_BY_HAND = Path(__file__).with_name("bus_cocotb.py.in")
_WHOLE, _ANY = "m_axi_wstrb !== {(BUS / 8){1'b1}}", "^m_axi_wstrb === 1'bx"
"""Strobes that are wrong: of a master that writes whole beats, and of one that writes bytes."""


@dataclass(frozen=True, eq=False)
class BenchJob:
    """A job as the values of registers by offset, and what memory holds after it: address and bytes of each range."""

    words: Sequence[tuple[int, int]]
    after: Sequence[tuple[int, np.ndarray]]


def bus_bench_files(
    emission: Emission, magic: int, jobs: Sequence[BenchJob], memory: np.ndarray, about: str, *, writes_bytes: bool
) -> dict[str, str]:
    """``top``_tb.v, its data, and ``top``_cocotb.py by file name; the Verilog is not among them.

    The interrupt tells the end of the first job, others are polled. ``magic`` is what ID reads as, ``memory`` uint8
    before the first job. Plain Verilog-2005 for Icarus Verilog and Verilator; the simulation must run where the files
    lie.
    """
    top, size = emission.top, emission.design.bus_bytes
    expected = np.concatenate([image for job in jobs for _, image in job.after])
    words = {
        "top": top,
        "about": about,
        "bus": str(emission.design.bus_bits),
        "address": str(emission.design.address_bits),
        "words": str(len(memory) // size),
        "results": str(len(expected) // size),
        "limit": str(20_000 + 40 * len(memory)),
        "jobs": str(len(jobs)),
        "strobes": _ANY if writes_bytes else _WHOLE,
        "declarations": "\n".join(_declarations(emission)),
        "connections": ",\n".join(f"    .{name}({name})" for name in ("aclk", "aresetn", *_ports(emission))),
        "script": "\n".join(f"    {line}" for line in _script(emission, magic, jobs)),
    }
    text = re.sub(r"@(\w+)@", lambda match: words[match[1]], _TEMPLATE.read_text(encoding="utf-8"))
    return {
        f"{top}_cocotb.py": _by_hand(emission, jobs[0]),
        f"{top}_tb.v": text,
        f"{top}_tb_memory.hex": _hex(memory, size),
        f"{top}_tb_expected.hex": _hex(expected, size),
    }


def _ports(emission: Emission) -> dict[str, tuple[str, int]]:
    """Direction and width of the buses' ports and the interrupt."""
    own = {name: ("output" if flow == Out else "input", width) for name, (flow, width) in emission.ports.items()}
    return {**BUS_PORTS, **own}


def _declarations(emission: Emission) -> Iterator[str]:
    # The memory answers by assignments that look at its queues, all else is kept in registers.
    wires = ("m_axi_arready", "m_axi_awready", "m_axi_wready")
    for name, (direction, width) in _ports(emission).items():
        kind = "wire" if direction == "output" or name in wires else "reg"
        yield f"  {kind} {f'[{width - 1}:0] ' if width > 1 else ''}{name};"


def _script(emission: Emission, magic: int, jobs: Sequence[BenchJob]) -> Iterator[str]:
    size = emission.design.bus_bytes
    at = {register.name: f"12'h{register.offset:03x}" for register in emission.registers.registers}
    yield f"wanted({at['ID']}, 32'hffffffff, 32'h{magic:08x});"
    yield f"wanted({at['DESIGN_HASH']}, 32'hffffffff, 32'h{emission.design.digest:08x});"
    begin = 0
    for number, job in enumerate(jobs):
        yield ""
        for offset, value in job.words:
            yield f"write(12'h{offset:03x}, 32'h{value:08x});"
        if number == 0:
            yield f"write({at['CONTROL']}, 32'h00000101);"
            yield "while (irq !== 1'b1)"
            yield "  @(negedge aclk);"
            yield f"read({at['STATUS']});"
        else:
            yield f"write({at['CONTROL']}, 32'h00000001);"
            yield "value = 32'd0;"
            yield "while ((value & 32'h00000300) == 32'd0)"
            yield f"  read({at['STATUS']});"
        yield f"wanted({at['STATUS']}, 32'h00000300, 32'h00000100);"
        yield f"write({at['STATUS']}, 32'h00000300);"
        yield f"wanted({at['STATUS']}, 32'h00000301, 32'h00000000);"
        yield f"wanted({at['JOBS']}, 32'hffffffff, 32'd{number + 1});"
        for address, image in job.after:
            count = len(image) // size
            yield f"compare({number}, {address // size}, {begin}, {count});"
            begin += count


def _by_hand(emission: Emission, job: BenchJob) -> str:
    """A job that is described register by register, for cocotb with another project's bus models."""
    registers = emission.registers.registers
    at, names = {item.name: item.offset for item in registers}, {item.offset: item.name for item in registers}
    address, image = job.after[0]
    words = {
        "top": emission.top,
        "control": f"{at['CONTROL']:#05x}",
        "status": f"{at['STATUS']:#05x}",
        "cycles": f"{at['CYCLES_LO']:#05x}",
        "job": "\n".join(f"    ({offset:#05x}, {value:#x}),  # {names[offset]}" for offset, value in job.words),
        "result": f"{address:#x}",
        "bytes": str(len(image)),
    }
    return re.sub(r"@(\w+)@", lambda match: words[match[1]], _BY_HAND.read_text(encoding="utf-8"))


def _hex(image: np.ndarray, size: int) -> str:
    """One bus beat a line, its first byte lowest."""
    return "".join(row[::-1].tobytes().hex() + "\n" for row in image.reshape(-1, size))
