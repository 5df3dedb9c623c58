"""From a `Design` to Verilog."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from hwgen.accelerator.accelerator import Accelerator, accelerator_ports
from hwgen.accelerator.design import Design
from hwgen.accelerator.job import ADDRESSES, COUNTS, FLAGS, Job
from hwgen.accelerator.registers import RegisterMap, accelerator_map
from hwgen.accelerator.sram import Sram, sram_name
from hwgen.accelerator.streamed import StreamedAccelerator, streamed_ports
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

__all__ = ["AcceleratorEmission", "Emission", "emit_accelerator"]


class Emission(Protocol):
    """A block with registers and data on buses, as Verilog: what its files, benches and simulations need of it."""

    @property
    def design(self) -> Design: ...
    @property
    def top(self) -> str: ...
    @property
    def verilog(self) -> str: ...
    @property
    def memories(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def registers(self) -> RegisterMap: ...
    @property
    def streamed(self) -> bool:
        """Whether its data come and go in AXI4-Streams, not over a memory's bus."""
        ...

    @property
    def kind(self) -> str:
        """What it is, in a word."""
        ...

    @property
    def heading(self) -> str:
        """What it is, in a phrase."""
        ...

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        ...

    @property
    def stores(self) -> str:
        """What its memories are, as the beginning of a sentence."""
        ...

    @property
    def read_ids(self) -> str:
        """AXI ids of its reads, in words."""
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Parameters by name, without those of the tile."""
        ...

    @property
    def ports(self) -> Mapping[str, tuple[Any, int]]:
        """Flow and width of its ports beside clock, reset and the bus of its registers."""
        ...


@dataclass(frozen=True)
class AcceleratorEmission:
    """An accelerator as Verilog: module ``top``, its tile, and a module for each size of memory (``memories``)."""

    design: Design
    top: str
    verilog: str
    memories: tuple[tuple[int, int], ...]
    registers: RegisterMap
    streamed: bool = False

    @property
    def kind(self) -> str:
        """See `Emission`."""
        return "accelerator"

    @property
    def heading(self) -> str:
        """See `Emission`."""
        return f"accelerator around a {self.design.tile.family} tile"

    @property
    def summary(self) -> str:
        """See `Emission`."""
        return self.design.tile.summary()

    @property
    def stores(self) -> str:
        """See `Emission`."""
        return "The rings and the write buffer"

    @property
    def read_ids(self) -> str:
        """See `Emission`."""
        return ", ".join(str(stream.index) for stream in self.design.streams.values())

    @property
    def parameters(self) -> Mapping[str, Any]:
        """See `Emission`."""
        return self.design.p

    @property
    def ports(self) -> Mapping[str, tuple[Any, int]]:
        """See `Emission`."""
        return (streamed_ports if self.streamed else accelerator_ports)(self.design)

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
