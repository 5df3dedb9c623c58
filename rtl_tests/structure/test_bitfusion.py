"""What an elaborated tile of fused bricks is made of: how many bricks, and shifters a cell and not a unit."""

from __future__ import annotations

import re
from typing import Any

import pytest

from hwgen.emit import emit
from hwgen.pe import family
from rtl_tests.structure.counts import Counted, counted_by

# One process counts for all tests of this file.
pytestmark = [pytest.mark.rtl, pytest.mark.slow, pytest.mark.xdist_group("structure of bitfusion")]

SMALL = {"m": 2, "n": 2, "k": 4, "group": 32, "depth": 128}
TILES: dict[str, dict[str, Any]] = {
    "2 x 2": SMALL,
    "2 x 2, two units": {**SMALL, "k": 2},
    "4 x 2": {**SMALL, "brick_acts": 4},
    "4 x 4": {**SMALL, "brick_acts": 4, "brick_weights": 4},
    "8 x 8": {**SMALL, "brick_acts": 8, "brick_weights": 8, "bits": 8},
    "zero point": {**SMALL, "scheme": "asymmetric"},
}
# name: bricks of a cell. A unit has (8 / a) · (8 / w).
BRICKS = {"2 x 2": 64, "2 x 2, two units": 32, "4 x 2": 32, "4 x 4": 16, "8 x 8": 4, "zero point": 64}

counted = counted_by("bitfusion", TILES)


@pytest.mark.parametrize("name", TILES)
def test_bricks_are_as_many_as_fit_units(name: str) -> None:
    """In the text: a row of gates for each bit of a brick's shorter side."""
    text = emit(family("bitfusion").from_values(TILES[name])).verilog
    cell = text[text.index("module bitfusion_tile_cell(") :]
    cell = cell[: cell.index("endmodule")]
    rows = set(re.findall(r"\bbrick(\d+)_(\d+)_(\d+)_row(\d+)\b", cell))
    assert len({row[:3] for row in rows}) == BRICKS[name]
    assert len(rows) == BRICKS[name] * TILES[name].get("brick_weights", 2)


@pytest.mark.parametrize("name", TILES)
def test_no_multiplier_but_bricks(name: str, counted: dict[str, Counted]) -> None:
    assert [module for module, primitives in counted[name].items() if primitives["mul"]] == []


def test_a_cell_and_not_a_unit_has_the_shifters(counted: dict[str, Counted]) -> None:
    two, four = (counted[name]["tile_cell"] for name in ("2 x 2, two units", "2 x 2"))
    # Sums of twice as many bricks are a bit wider: one for each of the 15 choices of two levels.
    assert 0 < four["mux2"] - two["mux2"] <= 16
    assert four["and"] > 1.8 * two["and"]


def test_bricks_that_are_whole_products_have_nothing_to_choose(counted: dict[str, Counted]) -> None:
    assert counted["8 x 8"]["tile_cell"]["mux2"] == 0


@pytest.mark.parametrize("name", TILES)
def test_flip_flops_of_cells_are_as_derived(name: str, counted: dict[str, Counted]) -> None:
    # 128 · -128 · -128 = 2^21, 128 · 255 · -128 is above -2^22.
    assert counted[name]["tile_cell"]["ff"] == 23
    # A row adds up its activations for the tile that has zero points: 32 · 4 products of -128 are -2^14.
    assert ("tile_rowsum" in counted[name]) == (name == "zero point")
