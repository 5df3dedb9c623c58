"""What an SRAM bank costs, and a buffer made of banks: scalars or arrays of capacities and widths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.errors import HwgenError
from hwgen.frame.numbers import Num, ceil_div, maximum
from sim.memory._table import load

__all__ = ["Banks", "Sram", "banks", "buffer", "buffer_bit_pj", "sram"]


@dataclass(frozen=True)
class Sram:
    """A bank, or a buffer of several, on one node; numbers are scalars or arrays of one shape.

    Energies are per access of ``word_bits``, leakage and area those of everything in ``capacity_bytes``; what no source
    gives is None. ``status`` and ``source`` say how far to trust the numbers.
    """

    node_nm: float
    ports: str
    capacity_bytes: Num
    word_bits: Num
    read_pj: Num
    write_pj: Num
    leakage_mw: Num | None
    area_mm2: Num | None
    access_ns: Num | None
    cycle_ns: Num | None
    status: str
    source: str

    @property
    def read_pj_per_bit(self) -> Num:
        """Energy of reading one bit of a word all of whose bits are used, in pJ."""
        return self.read_pj / self.word_bits

    @property
    def write_pj_per_bit(self) -> Num:
        """Energy of writing one bit of a word all of whose bits are written, in pJ."""
        return self.write_pj / self.word_bits


@dataclass(frozen=True)
class Banks:
    """How a buffer is laid out: ``across`` banks side by side make a word, ``deep`` rows of them the capacity.

    An access works in one row. ``capacity_bytes`` and ``word_bits`` are those of one bank.
    """

    across: Num
    deep: Num
    capacity_bytes: Num
    word_bits: Num


def _whole(name: str, value: Num) -> Num:
    """The value, if it is whole numbers of at least 1."""
    if not np.issubdtype(np.asarray(value).dtype, np.integer) or not np.all(np.asarray(value) >= 1):
        raise HwgenError(f"sram: {name} must be a whole number of at least 1, or an array of them, not {value!r}")
    return np.asarray(value, dtype=np.int64) if isinstance(value, np.ndarray) else int(value)


def _refuse(node_nm: float, ports: str, capacity: int, width: int) -> HwgenError:
    table = load()
    lacks = [f"{bytes_} bytes of {bits}-bit words" for bytes_, bits in table.lacks(node_nm, ports)]
    hole = f" but lacks {' and '.join(lacks)}" if lacks else ""
    return HwgenError(
        f"sram: at {node_nm:g} nm with {ports} ports the table has banks of {table.capacities[0]} to "
        f"{table.capacities[-1]} bytes, of {table.widths[0]} to {table.widths[-1]}-bit words and at least "
        f"{table.fewest_words} of them{hole}, not {capacity} bytes of {width}-bit words; sim.memory.buffer makes "
        f"other sizes of several banks"
    )


def sram(node_nm: float, capacity_bytes: Num, word_bits: Num, ports: str = "1rw") -> Sram:
    """One bank of the shipped table, interpolated in log space between its points.

    Parameters
    ----------
    node_nm: node of the table. ports: ``1rw`` or ``1r1w``.
    capacity_bytes, word_bits: whole numbers, scalars or arrays that broadcast.

    Raises `HwgenError` for a node that the table lacks and for a bank, or one of an array's, that is outside it.
    """
    table = load()
    capacity, width = _whole("capacity_bytes", capacity_bytes), _whole("word_bits", word_bits)
    found = table.at(node_nm, ports, capacity, width)
    outside = np.isnan(found["read_pj"])
    if outside.any():
        first = tuple(np.argwhere(outside)[0])
        shape = found["read_pj"].shape
        raise _refuse(
            node_nm, ports, int(np.broadcast_to(capacity, shape)[first]), int(np.broadcast_to(width, shape)[first])
        )
    numbers: dict[str, Any] = {name: value if value.ndim else float(value) for name, value in found.items()}
    return Sram(node_nm, ports, capacity, width, **numbers, status=table.status, source=table.source)


def banks(node_nm: float, capacity_bytes: Num, word_bits: Num, ports: str = "1rw") -> Banks:
    """The fewest equal banks of the table that hold a buffer.

    A word wider than the widest bank lies in several banks side by side; one narrower than the narrowest shares a
    word of that width with its neighbours. A capacity above the largest is several rows of banks, and a bank is never
    smaller than the smallest that the table has for its width, so that a tiny buffer costs what that bank costs.
    """
    table = load()
    capacity, width = _whole("capacity_bytes", capacity_bytes), _whole("word_bits", word_bits)
    across = ceil_div(width, int(table.widths[-1]))
    bank_width = maximum(ceil_div(width, across), int(table.widths[0]))
    deep = ceil_div(capacity, across * int(table.capacities[-1]))
    least = table.smallest(node_nm, ports, bank_width)
    bank_capacity = maximum(ceil_div(capacity, across * deep), least if least.ndim else int(least))
    return Banks(across, deep, bank_capacity, bank_width)


def buffer(node_nm: float, capacity_bytes: Num, word_bits: Num, ports: str = "1rw") -> Sram:
    """A buffer of any capacity and width, as the banks of `banks`; wires and multiplexers between banks cost nothing.

    The result's capacity and width are those of its banks together, which may be more than was asked for.
    Raises `HwgenError` for a node that the table lacks.
    """
    layout = banks(node_nm, capacity_bytes, word_bits, ports)
    bank = sram(node_nm, layout.capacity_bytes, layout.word_bits, ports)
    count = layout.across * layout.deep
    assert bank.leakage_mw is not None
    assert bank.area_mm2 is not None
    return Sram(
        node_nm,
        ports,
        capacity_bytes=bank.capacity_bytes * count,
        word_bits=maximum(_whole("word_bits", word_bits), bank.word_bits),
        read_pj=bank.read_pj * layout.across,
        write_pj=bank.write_pj * layout.across,
        leakage_mw=bank.leakage_mw * count,
        area_mm2=bank.area_mm2 * count,
        access_ns=bank.access_ns,
        cycle_ns=bank.cycle_ns,
        status=bank.status,
        source=bank.source,
    )


def buffer_bit_pj(node_nm: float, capacity_bytes: Num, word_bits: Num, write: bool, ports: str = "1rw") -> Num:
    """Energy of moving one bit to (``write``) or from a `buffer` in pJ; scalars or arrays. Raises as `buffer` does."""
    layout = banks(node_nm, capacity_bytes, word_bits, ports)
    name = "write_pj" if write else "read_pj"
    bank = load().at(node_nm, ports, layout.capacity_bytes, layout.word_bits, (name,))[name]
    energy = bank * layout.across / maximum(_whole("word_bits", word_bits), layout.word_bits)
    return energy if np.ndim(energy) else float(energy)
