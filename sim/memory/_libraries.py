"""Which SRAM goes with which standard-cell library: CACTI's table, a published macro, or published accesses."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import HwgenError, suggest
from hwgen.frame.numbers import Num, ceil_div, maximum
from sim.memory._sram import Sram, buffer, buffer_bit_pj
from sim.tables import operation_pj

__all__ = [
    "Accesses",
    "LibraryMemory",
    "Macro",
    "library_bit_pj",
    "library_buffer",
    "library_memories",
    "library_memory",
]

_TABLE = Path(__file__).with_name("libraries.toml")


@dataclass(frozen=True)
class Macro:
    """A published SRAM macro: energies of an access to a word, leakage and area of all of it."""

    ports: str
    capacity_bytes: int
    word_bits: int
    read_pj: float
    write_pj: float
    leakage_mw: float
    area_mm2: float
    access_ns: float
    cycle_ns: float


@dataclass(frozen=True)
class Accesses:
    """Published energies of accesses to ``word_bits``: ``operations`` of a table of `sim.tech` by capacity in bytes."""

    table: str
    word_bits: int
    operations: Mapping[str, str]

    @functools.cached_property
    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Capacities in bytes, rising, and energies of an access in pJ."""
        known = sorted((int(capacity), name) for capacity, name in self.operations.items())
        return np.array([c for c, _ in known]), np.array([operation_pj(self.table, name) for _, name in known])


@dataclass(frozen=True)
class LibraryMemory:
    """SRAM for a library at ``node_nm`` and ``volts``, from CACTI's table, as macros or by accesses."""

    name: str
    title: str
    node_nm: float
    volts: float
    status: str
    source: str
    macro: Macro | None = None
    accesses: Accesses | None = None

    @property
    def cacti(self) -> bool:
        """Whether CACTI's table has its numbers: where there is nothing else."""
        return self.macro is None and self.accesses is None


@functools.cache
def _table() -> Mapping[str, LibraryMemory]:
    kinds: Mapping[str, Any] = {"macro": Macro, "accesses": Accesses}
    return {
        name: LibraryMemory(
            name, **{key: kinds[key](**value) if key in kinds else value for key, value in entry.items()}
        )
        for name, entry in tomllib.loads(_TABLE.read_text(encoding="utf-8")).items()
    }


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
    """A buffer of at least a capacity for a library; scalars or arrays that broadcast.

    ``ports`` chooses banks of CACTI's table; a macro has the ports that it has.

    As in `buffer` a word may lie in several banks side by side and the capacity in several rows of them, of which an
    access works in one; wires and multiplexers between them cost nothing. What no source gives is None.
    """
    entry = library_memory(name)
    if entry.macro:
        return _of_macros(entry, entry.macro, capacity_bytes, word_bits)
    if entry.accesses:
        return _of_accesses(entry, entry.accesses, capacity_bytes, word_bits)
    return replace(buffer(entry.node_nm, capacity_bytes, word_bits, ports), status=entry.status, source=entry.source)


def library_bit_pj(name: str, capacity_bytes: Num, word_bits: Num, write: bool) -> Num:
    """Energy of moving one bit to (``write``) or from a library's buffer in pJ; scalars or arrays."""
    entry = library_memory(name)
    if entry.cacti:
        return buffer_bit_pj(entry.node_nm, capacity_bytes, word_bits, write)
    found = library_buffer(name, capacity_bytes, word_bits)
    return found.write_pj_per_bit if write else found.read_pj_per_bit


def _of_macros(entry: LibraryMemory, macro: Macro, capacity_bytes: Num, word_bits: Num) -> Sram:
    across = ceil_div(word_bits, macro.word_bits)
    count = across * ceil_div(capacity_bytes, across * macro.capacity_bytes)
    return Sram(
        entry.node_nm,
        macro.ports,
        capacity_bytes=count * macro.capacity_bytes,
        word_bits=across * macro.word_bits,
        read_pj=across * macro.read_pj,
        write_pj=across * macro.write_pj,
        leakage_mw=count * macro.leakage_mw,
        area_mm2=count * macro.area_mm2,
        access_ns=macro.access_ns,
        cycle_ns=macro.cycle_ns,
        status=entry.status,
        source=entry.source,
    )


def _of_accesses(entry: LibraryMemory, accesses: Accesses, capacity_bytes: Num, word_bits: Num) -> Sram:
    """Logarithms are interpolated between the capacities; a smaller bank costs what the smallest does."""
    capacities, energies = accesses.points
    across = ceil_div(word_bits, accesses.word_bits)
    deep = ceil_div(capacity_bytes, across * int(capacities[-1]))
    bank = maximum(ceil_div(capacity_bytes, across * deep), int(capacities[0]))
    access: Any = across * np.exp(np.interp(np.log(bank), np.log(capacities), np.log(energies)))
    access = access if np.ndim(access) else float(access)
    return Sram(
        entry.node_nm,
        "1rw",
        capacity_bytes=bank * across * deep,
        word_bits=across * accesses.word_bits,
        read_pj=access,
        write_pj=access,
        leakage_mw=None,
        area_mm2=None,
        access_ns=None,
        cycle_ns=None,
        status=entry.status,
        source=entry.source,
    )
