"""What a technology says of a tile: area, energy and clock period by block, for one tile or for arrays of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hwgen.frame.numbers import Num
from hwgen.pe import TileSpec

__all__ = ["BUFFER_BYTES", "BUFFER_WORD_BITS", "PJ_PER_UW_NS", "Outside", "Structure", "Tech"]

P = Mapping[str, Any]

BUFFER_BYTES, BUFFER_WORD_BITS = 32 << 10, 64
"""The buffers around a tile."""

PJ_PER_UW_NS = 1e-3
"""1 µW for 1 ns is 1 fJ."""


@dataclass(frozen=True)
class Structure:
    """What a tile is made of, all copies of a block together; scalars or arrays.

    ``area_um2``, ``clock_pj`` (energy of every clock cycle, at work or not), ``active_pj`` (what a cycle at work adds)
    and ``leakage_uw`` are by block. ``min_clk_period_ns`` is the tile's shortest clock period, None where the
    technology has no timing.
    """

    area_um2: Mapping[str, Num]
    clock_pj: Mapping[str, Num]
    active_pj: Mapping[str, Num]
    leakage_uw: Mapping[str, Num]
    min_clk_period_ns: Num | None

    @property
    def total_area_um2(self) -> Num:
        """Area of all blocks in µm²."""
        return sum(self.area_um2.values(), start=0.0)

    def each(self, of: Callable[[Num], Num]) -> Structure:
        """What ``of`` makes of every number."""

        def blocks(values: Mapping[str, Num]) -> dict[str, Num]:
            return {name: of(value) for name, value in values.items()}

        period = self.min_clk_period_ns
        return Structure(
            area_um2=blocks(self.area_um2),
            clock_pj=blocks(self.clock_pj),
            active_pj=blocks(self.active_pj),
            leakage_uw=blocks(self.leakage_uw),
            min_clk_period_ns=None if period is None else of(period),
        )


@dataclass(frozen=True)
class Outside:
    """Something of a tile that no measured tile had: a parameter or a width, where (a truth value, or an array of them
    for many tiles), its value there, and what was measured.
    """

    name: str
    where: Any
    value: Any
    measured: str

    def __str__(self) -> str:
        """As a user reads it, for one tile."""
        value = self.value if isinstance(self.value, str) else f"{float(self.value):g}"
        return f"{self.name} {value} (measured: {self.measured})"


@dataclass(frozen=True)
class Tech(ABC):
    """A technology: prices tiles and buffers.

    ``status`` says where its numbers come from (measured, published or assumed), ``buffer_status`` where those of
    buffers come from, ``nand2_um2`` is the area of a
    two-input NAND, one gate equivalent, ``digest`` the SHA-256 of the files that it was read from.
    ``default_clk_period_ns`` is the clock at which designs are compared where none is given: a choice, and None where
    the technology has no timing.
    """

    name: str
    title: str
    node_nm: float
    status: str
    buffer_status: str
    nand2_um2: float
    digest: str
    default_clk_period_ns: float | None = field(default=None, kw_only=True)

    @abstractmethod
    def structure(self, spec: type[TileSpec], p: P, clk_period_ns: float | None = None) -> Structure:
        """Area and energy of every block of a tile at a clock; without one each block as small as it gets.

        Raises `HwgenError` where the technology lacks a number.
        """

    def prepare(self, name: str) -> None:
        """Read what the prices of a family need, so that the first tile takes no longer than others."""
        return

    def trust(self, name: str) -> str:
        """What stands behind the numbers of a family: the technology's status, or less."""
        return self.status

    def left_out_errors(self, name: str) -> Mapping[str, float]:
        """Median relative error of a family's cells, left out of the fit, by quantity; nothing where none is known."""
        return {}

    def outside(self, spec: type[TileSpec], p: P) -> list[Outside]:
        """What of a tile lies beyond all that the technology's numbers were measured on; nothing where none were."""
        return []

    @abstractmethod
    def buffer_bit_pj(self, write: bool) -> float:
        """Energy of one bit moved from (or to) the tile's 32 KB buffers in pJ."""
