"""What memories cost: SRAM banks and buffers of them, DRAM per bit, and the SRAM that goes with a cell library."""

from __future__ import annotations

from sim.memory._dram import Dram, dram, dram_bit_pj, dram_types
from sim.memory._libraries import LibraryMemory, library_bit_pj, library_buffer, library_memories, library_memory
from sim.memory._sram import Banks, Sram, banks, buffer, buffer_bit_pj, sram

__all__ = [
    "Banks",
    "Dram",
    "LibraryMemory",
    "Sram",
    "banks",
    "buffer",
    "buffer_bit_pj",
    "dram",
    "dram_bit_pj",
    "dram_types",
    "library_bit_pj",
    "library_buffer",
    "library_memories",
    "library_memory",
    "sram",
]
