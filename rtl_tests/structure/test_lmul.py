"""What an elaborated L-Mul tile is made of: no multiplier, offsets added in rows, columns that pass their fields on."""

from __future__ import annotations

from typing import Any

import pytest

from rtl_tests.structure.counts import Counted, counted_by

# One process counts for all tests of this file.
pytestmark = [pytest.mark.rtl, pytest.mark.slow, pytest.mark.xdist_group("structure of lmul")]

SMALL = {"m": 2, "n": 2, "k": 4, "depth": 128}
TILES: dict[str, dict[str, Any]] = {
    "FP8": SMALL,
    "FP8 normalised": {**SMALL, "subnormals": "normalise"},
    "FP8, FP32 sums": {**SMALL, "accumulator": "fp32"},
    "BF16 by FP8, FP32 sums": {**SMALL, "acts": "bf16", "accumulator": "fp32", "k": 2},
}

counted = counted_by("lmul", TILES)


@pytest.mark.parametrize("name", TILES)
def test_no_multiplier(name: str, counted: dict[str, Counted]) -> None:
    assert {"tile_row", "tile_col", "tile_cell"} <= counted[name].keys()
    assert [module for module, primitives in counted[name].items() if primitives["mul"]] == []


@pytest.mark.parametrize("name", TILES)
def test_offsets_are_added_in_rows_alone(name: str, counted: dict[str, Counted]) -> None:
    row, col = counted[name]["tile_row"], counted[name]["tile_col"]
    assert row["add"] > 0
    # What has no leading one is shifted up, by a shifter and an adder of exponents, on both sides.
    normalises = TILES[name].get("subnormals") == "normalise"
    assert (col["add"] > 0) == (col["mux2"] > 0) == (row["mux2"] > 0) == normalises


def test_products_of_fp8_are_an_addition_of_fields(counted: dict[str, Counted]) -> None:
    # Four bits of exponent and three of mantissa, and the bit above, once for each of K activations.
    assert counted["FP8"]["tile_row"]["add"] == 4 * 8
    # Sign, fields and whether it is zero.
    assert counted["FP8"]["tile_col"]["ff"] == 4 * 9
