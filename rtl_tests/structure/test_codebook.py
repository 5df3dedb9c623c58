"""What an elaborated codebook tile is made of: tables in columns alone, one carry chain a cell, widths as derived."""

from __future__ import annotations

from typing import Any

import pytest

from rtl_tests.structure.counts import Counted, count

# One process counts for all tests of this file.
pytestmark = [pytest.mark.rtl, pytest.mark.slow, pytest.mark.xdist_group("structure of codebook")]

SMALL = {"m": 2, "n": 2, "k": 4, "group": 32, "depth": 128}
TILES: dict[str, dict[str, Any]] = {
    "NF4": SMALL,
    "NF4 in 6 bits": {**SMALL, "value_bits": 6},
    "special values": {**SMALL, "weights": "razer_fp4"},
    "words": {**SMALL, "weights": "sherry"},
    "learned": {**SMALL, "weights": "any4"},
    "two planes, FP16": {**SMALL, "weights": "trit_planes", "acts": "fp16"},
}
# name: bits of the registers of (a row, a column, a cell).
FLIP_FLOPS = {
    # 128 · -127 · -128 = 2080768 is below 2^21.
    "NF4": (4 * 8, 4 * 8, 22),
    # 128 · -31 · -128 = 507904.
    "NF4 in 6 bits": (4 * 8, 4 * 6, 20),
    # Halves: 128 · -16 · -128 = 2^18.
    "special values": (4 * 8, 4 * 6, 20),
    # 128 · -1 · -128 = 2^14.
    "words": (4 * 8, 4 * 2, 16),
    # 128 · -128 · -128 = 2^21.
    "learned": (4 * 8, 4 * 8, 23),
    # Sign, 11 bits and 3 guard bits; eighths: 128 · -16 · -2^14 = 2^25.
    "two planes, FP16": (4 * 15, 4 * 6, 27),
}


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Counted]:
    """Primitives of each module of each tile, counted by Yosys in a child process."""
    return dict(zip(TILES, count("codebook", TILES.values(), tmp_path_factory.mktemp("netlist")), strict=True))


@pytest.mark.parametrize("name", TILES)
def test_flip_flops_are_as_derived(name: str, counted: dict[str, Counted]) -> None:
    modules = ("tile_row", "tile_col", "tile_cell")
    assert tuple(counted[name][module]["ff"] for module in modules) == FLIP_FLOPS[name]


@pytest.mark.parametrize("name", TILES)
def test_values_are_looked_up_in_columns_and_a_cell_has_one_carry_chain(name: str, counted: dict[str, Counted]) -> None:
    found = counted[name]
    assert [module for module, primitives in found.items() if primitives["mul"]] == []
    assert found["tile_cell"]["mux2"] == 0
    assert found["tile_col"]["add"] == found["tile_row"]["add"] == 0
    # Of 16 values that are not known 15 multiplexers a bit are left, of known ones fewer.
    assert (found["tile_col"]["mux2"] >= 4 * 15 * 8) == (name == "learned")
    accumulator = FLIP_FLOPS[name][2]
    assert accumulator - 12 <= found["tile_cell"]["add"] <= accumulator
