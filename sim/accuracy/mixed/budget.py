"""What formats cost, and how much that may be in all: bits of the weights, or a tile's work in a step of the model."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError, suggest
from hwgen.pe import TileSpec
from hwgen.schedule import Layer
from sim.accuracy.language import Measured
from sim.accuracy.mixed.units import Unit
from sim.accuracy.operand import OperandFormat
from sim.estimate import Report, estimate
from sim.tech import DEFAULT, Tech
from sim.workload import Decode, Prefill, Size

__all__ = ["WHAT", "Budget", "bits_budget", "step_costs", "stored_bits_budget"]


@dataclass(frozen=True)
class Budget:
    """Costs of units in formats [U, F], the most that their sum may be, and what both are counted in."""

    costs: NDArray[np.float64]
    limit: float
    unit: str


def bits_budget(units: Sequence[Unit], forms: Sequence[OperandFormat], bits: float) -> Budget:
    """At most ``bits`` a weight in the mean over all units, with scales, zero points and selectors.

    Raises `HwgenError` for formats whose groups do not fit a layer.
    """
    whole = sum(unit.elements for unit in units)
    costs = [[sum(n * k * _bits(form, k) for n, k in unit.shapes) / whole for form in forms] for unit in units]
    return Budget(np.array(costs, np.float64).reshape(len(units), len(forms)), bits, "bits a weight")


def stored_bits_budget(units: Sequence[Unit], alone: Sequence[Sequence[Measured]], bits: float) -> Budget:
    """The same, by what was stored where each unit of a model alone had each format, and the rest 32 bits.

    Differs from `bits_budget` for methods that store something beside the codes, or other codes.
    """
    whole = sum(unit.elements for unit in units)
    costs = [
        [32.0 * unit.elements / whole - (32.0 - one.bits_per_weight) for one in row]
        for unit, row in zip(units, alone, strict=True)
    ]
    return Budget(np.array(costs, np.float64), bits, "bits a weight")


@functools.cache
def _bits(form: OperandFormat, k: int) -> float:
    return form.bits(k)


WHAT: Mapping[str, tuple[str, Callable[[Report], float]]] = {
    "cycles": ("cycles", lambda report: float(report.cycles + report.pre_cycles)),
    "latency": ("us", lambda report: report.latency_us),
    "energy": ("pJ", lambda report: report.total_energy_pj),
    "area_time": ("um2·us", lambda report: report.total_area_um2 * report.latency_us),
}
"""Costs of a step by name: their unit, and how they are read from what `sim.estimate` says of a layer."""


def step_costs(
    units: Sequence[Unit],
    tiles: Sequence[TileSpec],
    phase: Decode | Prefill,
    what: str,
    limit: float,
    tech: Tech | str = DEFAULT,
    clk_period_ns: float | None = None,
) -> Budget:
    """What the units' products cost in a step of decoding or a prefill, by `sim.estimate`.

    Args:
        units: from `units_of`.
        tiles: for each format the tile that multiplies it: one family's with its weights' width changed, say.
        phase: whose new tokens are the rows of the products; attention and output layer have no format to choose.
        what: name of a cost in `WHAT`. Memory outside the chip is in none of them: where that decides, bits do.
        limit: most that the sum over all units may be.
        tech, clk_period_ns: as `sim.estimate.estimate` takes them.

    Raises:
        HwgenError: for another phase or cost, and for layers that do not fit a tile.
    """
    if not isinstance(phase, Decode | Prefill):
        raise HwgenError(f"mixed: phase must be a prefill or a step of decoding, not {phase}")
    if what not in WHAT:
        raise HwgenError(f"mixed: cost must be one of {', '.join(WHAT)}, not {what!r}{suggest(what, WHAT)}")
    unit, read = WHAT[what]
    (stretch,) = phase.stretches
    m = Size(1, "tokens").at(stretch)

    @functools.cache
    def cost(tile: int, n: int, k: int) -> float:
        return read(estimate(tiles[tile], Layer(f"{n}x{k}", m, n, k), tech, clk_period_ns))

    costs = [[sum(cost(tile, n, k) for n, k in one.shapes) for tile in range(len(tiles))] for one in units]
    return Budget(np.array(costs, np.float64).reshape(len(units), len(tiles)), limit, f"{unit} in a {phase.name} step")
