"""What an elaborated shift-and-add tile is made of: a shifter a term, complements counted in columns, no multiplier."""

from __future__ import annotations

from typing import Any

import pytest

from rtl_tests.structure.counts import Counted, counted_by

# One process counts for all tests of this file.
pytestmark = [pytest.mark.rtl, pytest.mark.slow, pytest.mark.xdist_group("structure of shiftadd")]

SMALL = {"m": 2, "n": 2, "k": 4, "group": 32, "depth": 128}
TILES: dict[str, dict[str, Any]] = {
    "one term": {**SMALL, "powers": 1},
    "two terms": SMALL,
    "three terms": {**SMALL, "powers": 3},
    "two terms of one sign": {**SMALL, "scheme": "apot"},
    "FP16 in steps": {**SMALL, "acts": "fp16", "align_scope": "step"},
    "saturating": {**SMALL, "overflow": "saturate"},
}
# name: bits of the registers of (a row, a column, a cell). Of each term a column says three bits of shift, whether it
# is there and whether it is subtracted, and of a step how many are.
FLIP_FLOPS = {
    # 128 · 2^6 · 128 = 2^20.
    "one term": (4 * 8, 4 * 5 + 3, 22),
    "two terms": (4 * 8, 8 * 5 + 4, 23),
    # 128 · 3 · 2^6 · 128 = 3145728 is below 2^22.
    "three terms": (4 * 8, 12 * 5 + 4, 23),
    # 128 · 3 · 2^12 · 128 is below 2^28; subtracted are up to 4 · (1 + 2).
    "two terms of one sign": (4 * 8, 8 * 5 + 4, 29),
    # Sign, 11 bits and 3 guard bits, and the step's exponent; 128 · 2^7 · 2047·2^3 · 2^29 is below 2^57.
    "FP16 in steps": (4 * 15 + 5, 8 * 5 + 4, 58),
    "saturating": (4 * 8, 8 * 5 + 4, 23),
}
APART = {"FP16 in steps": 24, "saturating": 18}
"""Bits of the sum of a step, where it is done before it is accumulated: 4 · 2^7 · 2047·2^3, 4 · 2^7 · 2^7 = 2^16."""
TERMS = {"one term": 4, "two terms": 8, "three terms": 12}

counted = counted_by("shiftadd", TILES)


@pytest.mark.parametrize("name", TILES)
def test_flip_flops_are_as_derived(name: str, counted: dict[str, Counted]) -> None:
    assert tuple(counted[name][module]["ff"] for module in ("tile_row", "tile_col", "tile_cell")) == FLIP_FLOPS[name]


@pytest.mark.parametrize("name", TILES)
def test_no_multiplier_and_complements_are_counted_in_columns(name: str, counted: dict[str, Counted]) -> None:
    found = counted[name]
    assert [module for module, primitives in found.items() if primitives["mul"]] == []
    assert found["tile_col"]["add"] > 0
    assert found["tile_col"]["mux2"] == 0
    assert (found["tile_row"]["add"] > 0) == (found["tile_row"]["mux2"] > 0) == (name == "FP16 in steps")


def test_a_cell_has_a_shifter_for_each_term(counted: dict[str, Counted]) -> None:
    each = {counted[name]["tile_cell"]["mux2"] / terms for name, terms in TERMS.items()}
    # Levels of one, two and three places are 9, 11 and 14 bits wide; what their fill makes known is less.
    assert len(each) == 1
    assert 30 <= min(each) <= 34


@pytest.mark.parametrize("name", TILES)
def test_a_cell_has_one_carry_chain(name: str, counted: dict[str, Counted]) -> None:
    """But where a step's sum is done before it is accumulated: then the accumulator has one too."""
    accumulator, chains = FLIP_FLOPS[name][2], counted[name]["tile_cell"]["add"]
    own = APART.get(name, accumulator)
    # A bound is found in one bit more.
    more = accumulator + (name == "saturating") if name in APART else 0
    assert own - 12 <= chains - more <= own
