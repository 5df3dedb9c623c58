"""The shipped table of SRAM banks: the points that CACTI computed, and interpolation between them in log space.

A capacity and a width between the points lie in a triangle of three of them: (low, low), (high, high) and one of the
two other corners of their cell. Along its long side the number of words is constant, so that the limit on the number of
words (`SramTable.fewest_words`) runs along sides of triangles and every bank down to that limit has its three points.
Logarithms are interpolated linearly; on a point, the value is the point's own, bit for bit.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hwgen.errors import HwgenError, suggest
from hwgen.frame.numbers import Num

__all__ = ["PORTS", "QUANTITIES", "TABLE", "SramTable", "load"]

TABLE = Path(__file__).with_name("sram.toml")

PORTS = ("1rw", "1r1w")
"""One port that reads or writes, or one that reads and one that writes."""

QUANTITIES = ("read_pj", "write_pj", "leakage_mw", "area_mm2", "access_ns", "cycle_ns")
"""What is known of a bank: pJ per access, mW and mm² per bank, ns from address to data and between accesses."""

Grid = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class SramTable:
    """Points of banks. ``grids`` has, by node in nm and ports, one array [capacity, width] per quantity.

    A point that the data lacks is NaN. ``capacities`` (bytes) and ``widths`` (bits of a word) rise.
    """

    status: str
    source: str
    data_sha256: str
    points: int
    dropped_lines: int
    capacities: np.ndarray
    widths: np.ndarray
    grids: Mapping[tuple[int, str], Grid]

    @property
    def nodes(self) -> tuple[int, ...]:
        """Nodes of the table in nm, rising."""
        return tuple(sorted({node for node, _ in self.grids}))

    @property
    def fewest_words(self) -> int:
        """Words that every bank of the table has at least."""
        words = 8 * self.capacities[:, None] // self.widths
        return int(min(words[~np.isnan(grid["read_pj"])].min() for grid in self.grids.values()))

    def grid(self, node_nm: float, ports: str) -> Grid:
        """Points of a node. Raises `HwgenError` for a node and for ports that the table lacks."""
        if node_nm not in self.nodes:
            has = ", ".join(map(str, self.nodes))
            raise HwgenError(
                f"sram: node_nm must be one of {has}, not {node_nm!r}; a library on another node has its entry in "
                f"sim/memory/libraries.toml"
            )
        if ports not in PORTS:
            raise HwgenError(f"sram: ports must be {' or '.join(PORTS)}, not {ports!r}{suggest(str(ports), PORTS)}")
        return self.grids[int(node_nm), ports]

    def lacks(self, node_nm: float, ports: str) -> list[tuple[int, int]]:
        """Capacities and widths with enough words of which the data has no point."""
        missing = np.argwhere(np.isnan(self.grid(node_nm, ports)["read_pj"]))
        banks = [(int(self.capacities[c]), int(self.widths[w])) for c, w in missing]
        return [(capacity, width) for capacity, width in banks if 8 * capacity >= self.fewest_words * width]

    def at(
        self,
        node_nm: float,
        ports: str,
        capacity_bytes: Num,
        word_bits: Num,
        names: tuple[str, ...] = QUANTITIES,
    ) -> dict[str, np.ndarray]:
        """Quantities at capacities and widths that broadcast; NaN outside the table."""
        grid = self.grid(node_nm, ports)
        capacity, width = np.broadcast_arrays(np.asarray(capacity_bytes), np.asarray(word_bits))
        c, along_c = _cell(self.capacities, capacity)
        w, along_w = _cell(self.widths, width)
        inside = (np.minimum(along_c, along_w) >= 0) & (np.maximum(along_c, along_w) <= 1)
        along_c, along_w = np.where(inside, along_c, 0), np.where(inside, along_w, 0)
        deeper = along_c >= along_w
        corners = ((c, w), (c + deeper, w + ~deeper), (c + 1, w + 1))
        weights = (1 - np.maximum(along_c, along_w), np.abs(along_c - along_w), np.minimum(along_c, along_w))
        found = {}
        for name in names:
            values = grid[name]
            value = np.ones(capacity.shape)
            for corner, weight in zip(corners, weights, strict=True):
                # A corner without a part in the value need not exist; one that is all of it is kept as it is.
                part = np.where(weight > 0, values[corner] ** weight, 1.0)
                value = np.where(weight == 1, values[corner], value * part)
            found[name] = np.where(inside, value, np.nan)
        return found

    def smallest(self, node_nm: float, ports: str, word_bits: Num) -> np.ndarray:
        """Bytes from which on every capacity up to the largest is in the table with words of that width."""
        missing = np.isnan(self.grid(node_nm, ports)["read_pj"])
        first = np.where(missing, np.arange(1, len(self.capacities) + 1)[:, None], 0).max(axis=0)
        left = np.searchsorted(self.widths, word_bits, side="right") - 1
        right = np.searchsorted(self.widths, word_bits, side="left")
        return np.asarray(self.capacities[np.maximum(first[left], first[right])])

    def without(self, *, capacity: int | None = None, width: int | None = None) -> SramTable:
        """The table less one of its capacities or widths, for measuring what interpolation errs."""
        rows, columns = self.capacities != capacity, self.widths != width
        grids = {
            key: {name: values[np.ix_(rows, columns)] for name, values in grid.items()}
            for key, grid in self.grids.items()
        }
        return replace(self, capacities=self.capacities[rows], widths=self.widths[columns], grids=grids)


def _cell(axis: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The interval of a rising axis that holds each ``x``, and how far along it lies in log space, 0 to 1."""
    low = np.clip(np.searchsorted(axis, x, side="right") - 1, 0, len(axis) - 2)
    return low, np.log(x / axis[low]) / np.log(axis[low + 1] / axis[low])


@functools.cache
def load(path: Path = TABLE) -> SramTable:
    """The table in a file that `sim.memory.fit` wrote."""
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    return SramTable(
        status=raw["status"],
        source=raw["source"],
        data_sha256=raw["data_sha256"],
        points=raw["points"],
        dropped_lines=raw["dropped_lines"],
        capacities=np.array(raw["capacities_bytes"]),
        widths=np.array(raw["widths_bits"]),
        grids={
            (int(node), ports): {name: np.array(grid[name], dtype=np.float64) for name in QUANTITIES}
            for node, by_ports in raw["bank"].items()
            for ports, grid in by_ports.items()
        },
    )
