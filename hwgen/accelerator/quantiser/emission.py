"""From a `Design` to the Verilog of its quantiser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hwgen.accelerator.accelerator import accelerator_ports
from hwgen.accelerator.design import Design
from hwgen.accelerator.quantiser.design import QuantiserDesign
from hwgen.accelerator.quantiser.geometry import Geometry, geometry
from hwgen.accelerator.quantiser.job import ADDRESSES, COUNTS, STRIDES, QuantiserJob
from hwgen.accelerator.quantiser.quantiser import MERGE_ID, ROW_ID, Quantiser
from hwgen.accelerator.quantiser.registers import quantiser_map
from hwgen.accelerator.registers import RegisterMap
from hwgen.accelerator.sram import Sram, sram_name
from hwgen.emit import component_rtlil, memory_rtlil, module_name, to_verilog

__all__ = ["MOST_ELEMENTS", "QuantiserEmission", "emit_quantiser"]

MOST_ELEMENTS: int = QuantiserDesign.parameters()["elements"].default
"""Values of a row that a quantiser has room for, unless it is told otherwise: the largest usual head."""


@dataclass(frozen=True)
class QuantiserEmission:
    """A quantiser as Verilog: module ``top``, and a module for each size of memory (``memories``)."""

    design: Design
    top: str
    elements: int
    verilog: str
    memories: tuple[tuple[int, int], ...]
    registers: RegisterMap
    geometry: Geometry
    streamed: bool = False

    @property
    def kind(self) -> str:
        """See `hwgen.accelerator.emission.Emission`, as of the others."""
        return "quantiser"

    @property
    def heading(self) -> str:
        """What it is, in a phrase."""
        return f"quantiser of keys and values for an accelerator around a {self.design.tile.family} tile"

    @property
    def summary(self) -> str:
        """What it does, in a line."""
        form = self.geometry
        return (
            f"Quantiser of keys and values: rows of up to {self.elements} FP32 values become int{form.bits} weights "
            f"[{form.n}][{form.k}] with a scale in {form.scale.name} a token"
        )

    @property
    def stores(self) -> str:
        """What its memories are."""
        return "The buffer of two rows and, beside codes of 4 bits, that of a token's codes"

    @property
    def read_ids(self) -> str:
        """AXI ids of its reads."""
        return f"{ROW_ID}, {MERGE_ID}"

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Parameters of the design, and its own."""
        return QuantiserDesign(design=self.design, elements=self.elements).p

    @property
    def ports(self) -> Mapping[str, tuple[Any, int]]:
        """Ports beside clock, reset and the registers' bus."""
        return accelerator_ports(self.design)

    def job_words(self, job: QuantiserJob) -> list[tuple[int, int]]:
        """Registers that describe a job: offset and value of each."""
        at = {register.name: register.offset for register in self.registers.registers}
        words = []
        for name in ADDRESSES:
            address = getattr(job, name)
            words += [
                (at[f"{name.upper()}_ADDR_LO"], address & 0xFFFFFFFF),
                (at[f"{name.upper()}_ADDR_HI"], address >> 32),
            ]
        words += [(at[name.upper()], getattr(job, name)) for name in (*COUNTS, *STRIDES)]
        return [*words, (at["JOB_FLAGS"], int(job.kind))]


def emit_quantiser(design: Design, top: str | None = None, elements: int = MOST_ELEMENTS) -> QuantiserEmission:
    """Emit the quantiser of a design, for rows of up to ``elements`` values.

    ``top`` is the module's name, the family's with ``_quantiser`` behind it when None. Raises `HwgenError` for a design
    whose weights it cannot write (`geometry`), or ``elements`` beyond the counters.
    """
    elements = QuantiserDesign(design=design, elements=elements).elements
    form = geometry(design)
    name = f"{design.tile.family}_quantiser" if top is None else module_name(design.tile, top)
    registers = quantiser_map(design.address_bits, design.count_bits, form)
    component = Quantiser(design, form, registers, name, elements)
    text = component_rtlil(component, name)
    memories = tuple(sorted(component.sizes))
    parts = [memory_rtlil(Sram(depth, bits), sram_name(name, depth, bits)) for depth, bits in memories]
    return QuantiserEmission(design, name, elements, to_verilog("\n".join([*parts, text])), memories, registers, form)
