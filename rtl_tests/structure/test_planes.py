"""What elaborated tiles of bit planes are made of: gates, a shift and a sum; no multiplier, no table."""

from __future__ import annotations

from typing import Any

import pytest

from rtl_tests.structure.counts import Counted, counted_by

# One process a family counts for all tests of this file.
pytestmark = [pytest.mark.rtl, pytest.mark.slow, pytest.mark.xdist_group("structure of planes")]

SMALL = {"m": 2, "n": 2, "k": 4, "group": 32, "depth": 128, "bits": 4}
SERIAL: dict[str, dict[str, Any]] = {
    "one plane": {**SMALL, "planes": 1},
    "two planes": {**SMALL, "planes": 2},
    "all planes": {**SMALL, "planes": 4},
    "zero point": {**SMALL, "planes": 1, "scheme": "asymmetric"},
    "signs": {**SMALL, "planes": 1, "scheme": "bipolar"},
}
PLANES: dict[str, dict[str, Any]] = {
    "one by one": {**SMALL, "acts": "int8"},
    "two by four": {**SMALL, "acts": "int8", "weight_planes": 2, "act_planes": 4},
    "zero point": {**SMALL, "acts": "int8", "scheme": "asymmetric"},
    "signs": {**SMALL, "scheme": "bipolar"},
    "signs at once": {**SMALL, "bits": 1, "scheme": "bipolar"},
}
# name: bits of the registers of (a row, a column, a cell, a row's activation sum).
SERIAL_FLIP_FLOPS = {
    # 128 · -8 · -128 = 2^17; 128 · 15 · -128 = -245760; 128 · 15 · 128 = 245760; 128 · -128 = -2^14.
    "one plane": (4 * 8, 4 * 1, 19, 0),
    "two planes": (4 * 8, 4 * 2, 19, 0),
    "all planes": (4 * 8, 4 * 4, 19, 0),
    "zero point": (4 * 8, 4 * 1, 19, 15),
    "signs": (4 * 8, 4 * 1, 19, 0),
}
PLANES_FLIP_FLOPS = {
    "one by one": (4 * 1, 4 * 1, 19, 0),
    "two by four": (4 * 4, 4 * 2, 19, 0),
    # The sum of four activations goes with their planes.
    "zero point": (4 * 1 + 10, 4 * 1, 19, 15),
    # 128 · 15 · 15 = 28800; 128.
    "signs": (4 * 1, 4 * 1, 16, 0),
    "signs at once": (4 * 1, 4 * 1, 9, 0),
}
# name: cycles in which all planes of (the activations, the weights) are met, planes of both in a cycle.
ROUNDS = {
    "one by one": ((8, 4), (1, 1)),
    "two by four": ((2, 2), (4, 2)),
    "zero point": ((8, 4), (1, 1)),
    "signs": ((4, 4), (1, 1)),
    "signs at once": ((1, 1), (1, 1)),
}
MODULES = ("tile_row", "tile_col", "tile_cell", "tile_rowsum")

serial = counted_by("bitserial", SERIAL)
planes = counted_by("bitplane", PLANES)


def flip_flops(found: Counted) -> tuple[int, ...]:
    return tuple(found.get(module, {"ff": 0})["ff"] for module in MODULES)


def multipliers(found: Counted) -> list[str]:
    return [module for module, primitives in found.items() if primitives["mul"]]


@pytest.mark.parametrize("name", SERIAL)
def test_serial_weights_need_neither_multiplier_nor_table(name: str, serial: dict[str, Counted]) -> None:
    found = serial[name]
    assert flip_flops(found) == SERIAL_FLIP_FLOPS[name]
    assert multipliers(found) == []
    # A column chooses the planes of the cycle, a cell has the shift by their place and nothing else to choose.
    cycles = 4 // SERIAL[name]["planes"]
    assert found["tile_col"]["mux2"] == (cycles - 1) * found["tile_col"]["ff"]
    assert found["tile_row"]["mux2"] == found["tile_row"]["add"] == 0
    assert (found["tile_cell"]["mux2"] > 0) == (cycles > 1)
    # Two levels of a shifter, no wider than what comes out of them; a table of 16 sums would be 15 times 10 bits.
    assert found["tile_cell"]["mux2"] <= 2 * 13


def test_serial_signs_are_complements_and_no_gates(serial: dict[str, Counted]) -> None:
    # Those before the accumulator are left.
    assert serial["signs"]["tile_cell"]["and"] == SERIAL_FLIP_FLOPS["signs"][2]


@pytest.mark.parametrize("name", PLANES)
def test_planes_of_both_sides_are_chosen_before_cells(name: str, planes: dict[str, Counted]) -> None:
    found = planes[name]
    assert flip_flops(found) == PLANES_FLIP_FLOPS[name]
    assert multipliers(found) == []
    (acts, weights), (act_planes, weight_planes) = ROUNDS[name]
    assert found["tile_row"]["mux2"] == (acts - 1) * 4 * act_planes
    assert found["tile_col"]["mux2"] == (weights - 1) * 4 * weight_planes
    assert (found["tile_row"]["add"] > 0) == (name == "zero point")
    # Only what takes one cycle is not shifted.
    assert (found["tile_cell"]["mux2"] > 0) == (acts * weights > 1)


def test_a_cell_of_planes_grows_with_their_pairs_and_not_with_widths(planes: dict[str, Counted]) -> None:
    one, eight = (planes[name]["tile_cell"]["and"] - 19 for name in ("one by one", "two by four"))
    # Four gates a pair of planes at least.
    assert one >= 4
    assert eight >= 8 * 4
    assert planes["signs"]["tile_cell"]["and"] <= 24
