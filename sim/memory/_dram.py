"""Memory outside the chip by type: energy of a bit that is moved, and the rate of a channel."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hwgen.errors import HwgenError, suggest

__all__ = ["Dram", "dram", "dram_bit_pj", "dram_types"]

_TABLE = Path(__file__).with_name("dram.toml")


@dataclass(frozen=True)
class Dram:
    """A type of DRAM. ``pj_per_bit`` is one number of ``source``; ``low`` to ``high`` the range that it gives, if any.

    ``others`` are what further sources say, which nothing here computes with. ``gb_per_s`` is the peak rate of one
    ``channel`` in 10⁹ bytes a second, by ``rate_source``.
    """

    name: str
    title: str
    pj_per_bit: float
    status: str
    source: str
    gb_per_s: float
    channel: str
    rate_source: str
    low: float | None = None
    high: float | None = None
    others: tuple[str, ...] = ()


@functools.cache
def _table() -> Mapping[str, Dram]:
    raw = tomllib.loads(_TABLE.read_text(encoding="utf-8"))
    return {name: Dram(name, **{**entry, "others": tuple(entry.get("others", ()))}) for name, entry in raw.items()}


def dram_types() -> tuple[str, ...]:
    """Names of the types in the table."""
    return tuple(_table())


def dram(name: str) -> Dram:
    """The type of that name, e.g. ``hbm2``. Raises `HwgenError` for one that no source in the table gives."""
    if name not in _table():
        has = ", ".join(_table())
        raise HwgenError(f"dram: type must be one of {has}, not {name!r}{suggest(str(name), _table())}")
    return _table()[name]


def dram_bit_pj(name: str) -> float:
    """Energy of moving one bit to or from DRAM of a type in pJ, device and interface; reads and writes alike."""
    return dram(name).pj_per_bit
