"""Prices never fall where a design grows, and are never negative: within what was measured and far beyond."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.frame.param import Range
from hwgen.pe import families, family
from hwgen.schedule import Layer
from sim.estimate import estimate
from sim.tech import CalibratedTech, load, names

TIMED = [name for name in names() if load(name).default_clk_period_ns is not None]
GROWS: dict[str, tuple[int, ...]] = {
    "m": (1, 2, 4, 16, 64, 256),
    "n": (1, 2, 8, 64, 1024),
    "k": (1, 2, 4, 8, 16, 32, 64, 128, 256),
    "depth": (256, 1024, 1 << 14, 1 << 20),
}
"""Parameters with which every tile grows: powers of two, which every group divides."""
_DIP = 0.02
"""Largest fall that the interpolation between measured tiles may have, where mappings themselves move by more."""


def _values(name: str, parameter: str, numbers: tuple[int, ...]) -> dict[str, Any]:
    """A tile of a family at each value of a parameter."""
    spec = family(name)
    legal = spec.parameters()[parameter].legal
    inside = [number for number in numbers if not isinstance(legal, Range) or number in legal]
    p = dict(spec().p)
    p[parameter] = np.array(inside)
    if parameter == "k":
        p["group"], p["depth"] = 256, 256
    return p


@pytest.mark.parametrize("tech", TIMED)
@pytest.mark.parametrize("parameter", GROWS)
@pytest.mark.parametrize("name", sorted(families()))
def test_area_does_not_fall_where_a_tile_grows(name: str, parameter: str, tech: str) -> None:
    p = _values(name, parameter, GROWS[parameter])
    parts = load(tech).structure(family(name), p)
    area = np.broadcast_to(parts.total_area_um2, p[parameter].shape)
    assert (area > 0).all()
    assert (area[1:] >= (1 - _DIP) * area[:-1]).all(), area
    for values in (*parts.clock_pj.values(), *parts.active_pj.values(), *parts.leakage_uw.values()):
        assert (np.asarray(values) >= 0).all()


@pytest.mark.parametrize("tech", TIMED)
@pytest.mark.parametrize("name", sorted(families()))
def test_more_cuts_cost_area_and_do_not_slow_a_block(name: str, tech: str) -> None:
    spec = family(name)
    p = dict(spec().p)
    p["cell_cuts"] = np.arange(13)
    parts = load(tech).structure(spec, p)
    area = np.broadcast_to(parts.area_um2["cell"], (13,))
    clock = np.broadcast_to(parts.clock_pj["cell"], (13,))
    # The first cut may pay for itself: gates on shorter paths are sized smaller.
    assert (area[2:] >= (1 - _DIP) * area[1:-1]).all(), area
    assert (clock[1:] >= (1 - _DIP) * clock[:-1]).all(), clock
    table = load(tech)
    assert isinstance(table, CalibratedTech)
    period = np.broadcast_to(table.periods(spec, p, ("cell",))["cell"], (13,))
    assert (period[1:] <= (1 + _DIP) * period[0]).all(), period


def test_energy_grows_with_the_bits_of_weights_but_for_those_that_are_never_zero() -> None:
    # Measured on layers of SmolLM2 (`hwgen energy --pe int --m 2 --n 8 --k 4`, sky130hd, 4 ns): 0.970 pJ a MAC with one
    # bit, 0.642 with two. Weights of one bit are plus or minus one; a good half of those of two bits is zero.
    def core_pj(bits: int) -> float:
        tile = family("int").from_values({"m": 2, "n": 8, "k": 4, "bits": bits})
        report = estimate(tile, Layer("x", 16, 64, 512), "sky130hd", 4.0)
        return sum(pj for block, pj in report.energy_pj.items() if not block.startswith("sram")) / report.macs

    found = {bits: core_pj(bits) for bits in (1, 2, 3, 4, 5, 6, 8, 12, 16)}
    assert found[1] / found[2] == pytest.approx(0.970 / 0.642, rel=0.15)
    assert list(found.values())[1:] == sorted(list(found.values())[1:])
