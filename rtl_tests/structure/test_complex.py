"""What an elaborated tile of complex weights is made of: two choices a root and a carry chain a sum, no multiplier."""

from __future__ import annotations

from typing import Any

import pytest

from rtl_tests.structure.counts import Counted, counted_by

# One process counts for all tests of this file.
pytestmark = [pytest.mark.rtl, pytest.mark.slow, pytest.mark.xdist_group("structure of complex")]

SMALL = {"m": 2, "n": 2, "k": 4, "group": 32, "depth": 128}
TILES: dict[str, dict[str, Any]] = {
    "linear": SMALL,
    "widely linear": {**SMALL, "mapping": "widely"},
    "INT4": {**SMALL, "acts": "int4"},
}
# name: roots of a step, bits of an activation, bits of a sum. Half of 128 elements are complex: 64 · 2^7 = 2^13.
SIZES = {"linear": (2, 8, 15), "widely linear": (4, 8, 16), "INT4": (2, 4, 11)}

counted = counted_by("complex", TILES)


@pytest.mark.parametrize("name", TILES)
def test_flip_flops_are_as_derived(name: str, counted: dict[str, Counted]) -> None:
    roots, bits, width = SIZES[name]
    # A column says three bits of a root, and how many parts are subtracted from each sum.
    expected = 4 * bits, 3 * roots + 2 * roots.bit_length(), 2 * width
    assert tuple(counted[name][module]["ff"] for module in ("tile_row", "tile_col", "tile_cell")) == expected


@pytest.mark.parametrize("name", TILES)
def test_a_root_is_two_choices_and_no_multiplier(name: str, counted: dict[str, Counted]) -> None:
    roots, bits, _ = SIZES[name]
    found = counted[name]
    assert [module for module, primitives in found.items() if primitives["mul"]] == []
    assert found["tile_cell"]["mux2"] == 2 * roots * bits
    assert found["tile_row"]["mux2"] == found["tile_row"]["add"] == found["tile_col"]["mux2"] == 0
    # What completes the complements is counted in the column.
    assert found["tile_col"]["add"] > 0


@pytest.mark.parametrize("name", TILES)
def test_a_sum_has_one_carry_chain(name: str, counted: dict[str, Counted]) -> None:
    width = SIZES[name][2]
    assert 2 * (width - 6) <= counted[name]["tile_cell"]["add"] <= 2 * width
