"""Which SRAM goes with which standard-cell library, and how its numbers come about."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hwgen.errors import HwgenError, suggest
from hwgen.pe._numbers import Num
from sim.memory._sram import Sram, buffer, buffer_bit_pj
from sim.tech.scaling import factor

__all__ = ["LibraryMemory", "library_bit_pj", "library_buffer", "library_memories", "library_memory"]

_TABLE = Path(__file__).with_name("libraries.toml")


@dataclass(frozen=True)
class LibraryMemory:
    """SRAM for a library at ``node_nm`` and ``volts``: CACTI's at ``cacti_nm``, scaled where the nodes differ."""

    name: str
    title: str
    node_nm: float
    volts: float
    cacti_nm: float
    cacti_volts: float
    status: str
    source: str

    @property
    def scaled(self) -> bool:
        """Whether the numbers are scaled from another node."""
        return self.node_nm != self.cacti_nm

    def factor(self, kind: str) -> float:
        """Factor on CACTI's area, energy or delay; 1 on CACTI's own node."""
        if not self.scaled:
            return 1.0
        return factor(kind, self.cacti_nm, self.node_nm, from_volts=self.cacti_volts, to_volts=self.volts)


@functools.cache
def _table() -> Mapping[str, LibraryMemory]:
    raw = tomllib.loads(_TABLE.read_text(encoding="utf-8"))
    return {name: LibraryMemory(name, **entry) for name, entry in raw.items()}


def library_memories() -> tuple[str, ...]:
    """Names of the libraries in the table."""
    return tuple(_table())


def library_memory(name: str) -> LibraryMemory:
    """The entry of a library. Raises `HwgenError` for a library without one."""
    if name not in _table():
        has = ", ".join(_table())
        raise HwgenError(f"memory: library must be one of {has}, not {name!r}{suggest(str(name), _table())}")
    return _table()[name]


def library_buffer(name: str, capacity_bytes: Num, word_bits: Num, ports: str = "1rw") -> Sram:
    """A `buffer` for a library; ``leakage_mw`` is None where the node is scaled, for which the method has no rule."""
    entry = library_memory(name)
    raw = buffer(entry.cacti_nm, capacity_bytes, word_bits, ports)
    energy, area, delay = (entry.factor(kind) for kind in ("energy", "area", "delay"))
    return replace(
        raw,
        node_nm=entry.node_nm,
        read_pj=raw.read_pj * energy,
        write_pj=raw.write_pj * energy,
        leakage_mw=None if entry.scaled else raw.leakage_mw,
        area_mm2=raw.area_mm2 * area,
        access_ns=raw.access_ns * delay,
        cycle_ns=raw.cycle_ns * delay,
        status=entry.status,
        source=entry.source,
    )


def library_bit_pj(name: str, capacity_bytes: Num, word_bits: Num, write: bool, ports: str = "1rw") -> Num:
    """Energy of moving one bit to (``write``) or from a library's buffer in pJ; scalars or arrays."""
    entry = library_memory(name)
    return buffer_bit_pj(entry.cacti_nm, capacity_bytes, word_bits, write, ports) * entry.factor("energy")
