"""What int tiles of floating-point activations are made of: multipliers of integers, and where alignment stands."""

from __future__ import annotations

from typing import Any

import pytest

from rtl_tests.structure.counts import Counted, counted_by

# One process counts for all tests of this file.
pytestmark = [pytest.mark.rtl, pytest.mark.slow, pytest.mark.xdist_group("structure of int aligned")]

SMALL = {"m": 2, "n": 2, "k": 4, "group": 32, "depth": 128}
TILES: dict[str, dict[str, Any]] = {
    # Sign, 11 and 3 bits; sign, 8 and 3; sign, 4 and none.
    "FP16": {**SMALL, "acts": "fp16"},
    "INT15": {**SMALL, "acts": "int15"},
    "BF16": {**SMALL, "acts": "bf16", "align_scope": "row", "scheme": "asymmetric"},
    "INT12": {**SMALL, "acts": "int12", "scheme": "asymmetric"},
    "FP8": {**SMALL, "acts": "fp8_e4m3", "guard_bits": 0},
    "INT5": {**SMALL, "acts": "int5"},
    "FP16 in steps": {**SMALL, "acts": "fp16", "align_scope": "step"},
}

counted = counted_by("int", TILES)


@pytest.mark.parametrize(("floating", "integer"), [("FP16", "INT15"), ("BF16", "INT12"), ("FP8", "INT5")])
def test_the_tile_is_that_of_integers(floating: str, integer: str, counted: dict[str, Counted]) -> None:
    own = {name: found for name, found in counted[floating].items() if not name.startswith("pre")}
    assert own == counted[integer]
    # What aligns stands before the buffer.
    assert counted[floating]["pre_row"]["mux2"] > 0
    assert not any(name.startswith("pre") for name in counted[integer])


def test_alignment_of_steps_stands_in_rows_and_a_shift_in_cells(counted: dict[str, Counted]) -> None:
    steps, integer = counted["FP16 in steps"], counted["INT15"]
    assert not any(name.startswith("pre") for name in steps)
    assert steps["tile_row"]["mux2"] > 0
    # The step's exponent goes with the integers.
    assert steps["tile_row"]["ff"] == integer["tile_row"]["ff"] + 5
    assert steps["tile_col"] == integer["tile_col"]
    # 128 · -128 · 2047·2^3 · 2^29 is above -2^57.
    assert steps["tile_cell"]["ff"] == 58
    assert integer["tile_cell"]["mux2"] == 0 < steps["tile_cell"]["mux2"]
