"""What the system model asks of a core, whatever describes it: cycles, waits and bytes of products, energies of blocks.

A `Table` holds arrays [products, designs] by name:

* ``cycles`` of a product, ``work`` those in which the core computes, ``wait_weights``, ``wait_acts`` and
  ``wait_results`` those in which it waits; what is left is filling and draining;
* ``bytes_STREAM`` that pass the memory;
* ``bound``: place in `BOUNDS`; ``certain``: whether the cycles are the cycle model's; ``mapping``: place in the
  engine's ``mappings``;
* beside them what the engine needs for energies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from hwgen.accelerator.closed import REGIMES
from sim.system.arrays import Arrays

__all__ = ["BOUNDS", "BYTES", "WAITS", "Engine", "Num", "Table", "merged", "shared_waits"]

Num = Any
Table = dict[str, Any]

BOUNDS = REGIMES
"""What bounds a product: the core, the rate of the memory, its latency, room in a ring, what is written."""
WAITS = ("weights", "acts", "results")
_BYTES = "bytes_"
BYTES = ("weights", "weight_sides", "acts", "act_sides", "channels", "results")
"""Streams."""


class Engine(Protocol):
    """A core with its share of the memory."""

    arrays: Arrays
    mappings: tuple[str, ...]

    @property
    def near(self) -> Engine:
        """The same core with cycles that cost nothing to know, by which splits are chosen; itself where it has them."""

    @property
    def lanes(self) -> tuple[Num, Num]:
        """Tokens and outputs of a pass: products are shared by cores in whole numbers of them."""

    def best(self, m: Any, n: Any, k: Any, row: Any, active: Any, alike: Sequence[str] = ()) -> Table:
        """Products by their best mappings, while ``active`` cores share the memory; sizes [products, 1].

        ``alike``: streams that all of them read at once, so that they pass the memory once.
        """

    def each(
        self, m: Any, n: Any, k: Any, row: Any, active: Any, alike: Sequence[str] = ()
    ) -> Iterator[tuple[int, Any, Any, Any]]:
        """Every mapping: its place, where it is legal, cycles, bytes."""

    def energy(self, table: Table) -> Mapping[str, Num]:
        """Energy of each product by block, in pJ; memory outside the chip left out."""

    def idle_pj(self) -> Mapping[str, Num]:
        """Energy of a cycle in which a core does nothing, by block, in pJ."""

    def area_um2(self) -> Mapping[str, Num]:
        """Area of a core by block; empty where nothing says."""

    def stored_bits(self) -> tuple[Num, Num]:
        """Bits of a weight in memory, and its share of scales and the like."""


def shared_waits(a: Arrays, wait: Any, table: Table, writes: Any = False) -> Table:
    """Cycles of waiting by what is waited for: as the bytes that each operand brings; ``writes``: all for results."""
    weights = a.real(table["bytes_weights"] + table["bytes_weight_sides"] + table["bytes_channels"])
    acts = a.real(table["bytes_acts"] + table["bytes_act_sides"])
    of_weights = a.floor(a.real(wait) * (weights / a.larger(weights + acts, a.real(1))))
    none = a.whole([[0]])
    found = {"wait_weights": of_weights, "wait_acts": wait - of_weights, "wait_results": none}
    if writes is False:
        return found
    return {name: a.where(writes, wait if name == "wait_results" else none, value) for name, value in found.items()}


def merged(a: Arrays, take: Any, table: Table, other: Table) -> Table:
    """The one where ``take`` holds, else the other."""
    return {name: a.where(take, value, other[name]) for name, value in table.items()}
