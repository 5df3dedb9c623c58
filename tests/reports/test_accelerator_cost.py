"""The page on the cost of accelerators: the trends over tiles beside the accelerators' own prices."""

from __future__ import annotations

import pytest

from hwgen.accelerator import Memory, exact, layer_jobs
from hwgen.accelerator.inventory import accelerator_blocks
from hwgen.schedule import Layer, Schedule
from reports.accelerator_cost import shipped
from rtl_tests.accelerator.cases import CASES
from sim.accelerator.activity import counts_of
from sim.accelerator.measure import QUANTITIES
from sim.accelerator.prices import trend_over_tiles
from sim.tech import CalibratedTech, load


@pytest.mark.parametrize("tech", ["sky130hd", "asap7", "generic45"])
def test_trends_over_tiles_price_every_block(tech: str) -> None:
    """Whatever terms the table's fits took: those that an accelerator's blocks lack are left out by name."""
    design = CASES[3].build()
    spec, p, d = type(design.tile), design.tile.p, design.p
    job = next(iter(layer_jobs(design, Schedule(design.tile, Layer("l", 8, 8, 64)))))
    cycles = exact(design, job, Memory(12))
    blocks = {name: block for name, block in accelerator_blocks(spec, p, d).items() if block.count}
    table = load(tech)
    assert isinstance(table, CalibratedTech)
    found = shipped(table, blocks, counts_of(design, job, cycles.cycles))
    assert set(found) == set(QUANTITIES)
    for quantity, values in found.items():
        assert set(values) == set(blocks), quantity
        assert all(value >= 0 for value in values.values()), quantity
        assert values["control"] > 0, quantity
    assert trend_over_tiles(table, "area_um2")["ff"] > 0
