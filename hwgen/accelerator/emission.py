"""From a `Design` to Verilog."""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.accelerator.accelerator import Accelerator
from hwgen.accelerator.design import Design
from hwgen.accelerator.job import ADDRESSES, COUNTS, FLAGS, Job
from hwgen.accelerator.registers import RegisterMap, accelerator_map
from hwgen.accelerator.sram import Sram, sram_name
from hwgen.accelerator.streamed import StreamedAccelerator
from hwgen.emit import (
    Reset,
    axi_stream_name,
    axi_stream_rtlil,
    component_rtlil,
    memory_rtlil,
    module_name,
    tile_rtlil,
    to_verilog,
)

__all__ = ["AcceleratorEmission", "emit_accelerator"]


@dataclass(frozen=True)
class AcceleratorEmission:
    """An accelerator as Verilog: module ``top``, its tile, and a module for each size of memory (``memories``)."""

    design: Design
    top: str
    verilog: str
    memories: tuple[tuple[int, int], ...]
    registers: RegisterMap
    streamed: bool = False

    def job_words(self, job: Job) -> list[tuple[int, int]]:
        """Registers that describe a job: offset and value of each."""
        at = {register.name: register.offset for register in self.registers.registers}
        words = []
        for name in ADDRESSES:
            address = job.address(name)
            words += [
                (at[f"{name.upper()}_ADDR_LO"], address & 0xFFFFFFFF),
                (at[f"{name.upper()}_ADDR_HI"], address >> 32),
            ]
        words += [(at[name.upper()], getattr(job, name)) for name in COUNTS]
        flags = sum(getattr(job, name) << place for place, name in enumerate(FLAGS))
        return [*words, (at["JOB_FLAGS"], flags)]


def emit_accelerator(design: Design, top: str | None = None, *, streamed: bool = False) -> AcceleratorEmission:
    """Emit an accelerator; ``top`` is the module's name, the family's with ``_accelerator`` behind it when None.

    ``streamed``: with AXI4-Stream in and out (`hwgen.accelerator.streamed`) in the place of engines on a memory bus.
    """
    name = f"{design.tile.family}_accelerator" if top is None else module_name(design.tile, top)
    tile = f"{name}_tile"
    stream = axi_stream_name(tile)
    registers = accelerator_map(design.address_bits, design.count_bits)
    component = (StreamedAccelerator if streamed else Accelerator)(design, registers, name, stream)
    text = component_rtlil(component, name)
    memories = tuple(sorted(component.sizes))
    parts = [tile_rtlil(design.tile, tile), axi_stream_rtlil(design.tile, tile, stream, Reset(), status=True)]
    parts += [memory_rtlil(Sram(depth, bits), sram_name(name, depth, bits)) for depth, bits in memories]
    return AcceleratorEmission(design, name, to_verilog("\n".join([*parts, text])), memories, registers, streamed)
