"""What an elaborated MixPE tile is made of: no multiplier, one carry chain a cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwgen.pe import family
from hwgen.pe.mixpe import Mixpe
from rtl_tests.structure.counts import Counted, count

# One process counts for all tests of this file.
pytestmark = [pytest.mark.rtl, pytest.mark.slow, pytest.mark.xdist_group("structure of mixpe")]

ROOT = Path(__file__).parents[2]
SMALL = {"m": 2, "n": 2, "k": 4, "group": 32, "depth": 128}
TILES: dict[str, dict[str, Any]] = {
    "W4A8": SMALL,
    "W2A8 signed": {**SMALL, "bits": 2, "scheme": "symmetric"},
    "W8A8 signed": {**SMALL, "bits": 8, "scheme": "symmetric"},
    "W4A16": {**SMALL, "acts": "fp16"},
    "W4A16 in steps": {**SMALL, "acts": "fp16", "align_scope": "step"},
    "W4A16 bf16": {**SMALL, "acts": "bf16", "scheme": "symmetric"},
    "channel": {**SMALL, "dequant": "channel", "group": 0},
    "before": {**SMALL, "dequant": "before"},
    "before signed": {**SMALL, "dequant": "before", "scheme": "symmetric", "bits": 3},
    "before fp16": {**SMALL, "dequant": "before", "acts": "fp16", "align_scope": "row"},
}
# name: bits of the registers of (a row, a column, a cell, a row's activation sum, 0 where there is none).
FLIP_FLOPS = {
    # 128 · 15 · -128 = -245760 is a number of 19 bits; 128 · -128 = -2^14.
    "W4A8": (4 * 8, 4 * 4, 19, 15),
    # 128 · -2 · -128 = 2^15.
    "W2A8 signed": (4 * 8, 4 * 2, 17, 0),
    # 128 · -128 · -128 = 2^21.
    "W8A8 signed": (4 * 8, 4 * 8, 23, 0),
    # Sign, 11 bits and 3 guard bits: 128 · 15 · -2^14; 128 · -2^14 = -2^21.
    "W4A16": (4 * 15, 4 * 4, 26, 22),
    # And the step's exponent; 128 · 15 · 2047·2^3 · 2^29 < 2^54, 128 · 2047·2^3 · 2^29 < 2^50.
    "W4A16 in steps": (4 * 15 + 5, 4 * 4, 55, 51),
    # Sign, 8 bits and 3 guard bits: 128 · -8 · -2^11 = 2^21.
    "W4A16 bf16": (4 * 12, 4 * 4, 23, 0),
    "channel": (4 * 8, 4 * 4, 19, 15),
    # Cells have 8-bit weights, and no zero point is left for the row's sum.
    "before": (4 * 8, 4 * 8, 23, 0),
    "before signed": (4 * 8, 4 * 8, 23, 0),
    "before fp16": (4 * 15, 4 * 8, 30, 0),
}
APART = {"W4A16 in steps": 21}
"""Bits of the sum of a step's products, where it is shifted before it is accumulated: 4 · 15 · -2^14 = -983040."""


def tile(name: str) -> Mixpe:
    return family("mixpe").from_values(TILES[name])  # type: ignore[return-value]


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Counted]:
    """Primitives of each module of each tile, counted by Yosys in a child process."""
    return dict(zip(TILES, count("mixpe", TILES.values(), tmp_path_factory.mktemp("netlist")), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", TILES)
def test_no_multiplier(name: str, counted: dict[str, Counted]) -> None:
    assert {"tile_row", "tile_col", "tile_cell"} <= counted[name].keys()
    assert [module for module, primitives in counted[name].items() if primitives["mul"]] == []


@pytest.mark.parametrize("name", TILES)
def test_flip_flops_are_as_derived(name: str, counted: dict[str, Counted]) -> None:
    modules = ("tile_row", "tile_col", "tile_cell", "tile_rowsum")
    assert tuple(counted[name].get(module, {"ff": 0})["ff"] for module in modules) == FLIP_FLOPS[name]


@pytest.mark.parametrize("name", TILES)
def test_a_cell_has_one_carry_chain(name: str, counted: dict[str, Counted]) -> None:
    """Full adders of the tree are gates; a chain for each partial product would be many times as many.

    The accumulator is a row of the tree, but where the tree's sum is shifted first and has a chain of its own.
    """
    accumulator, chains = FLIP_FLOPS[name][2], counted[name]["tile_cell"]["add"]
    if name in APART:
        chains -= accumulator
        accumulator = APART[name]
    # The lowest bits of a tree are done before its last two rows are added.
    assert accumulator - 12 <= chains <= accumulator


@pytest.mark.parametrize("name", TILES)
def test_gates_of_a_cell_are_as_derived(name: str, counted: dict[str, Counted]) -> None:
    """A gate for each bit of a partial product, and three for each full adder: about one for each of those bits.

    The multiplexers of a cell are those of the shift by a step's exponent.
    """
    spec = tile(name)
    derived = spec.cell_primitives(spec.p)
    accumulator = FLIP_FLOPS[name][2]
    # Less one gate at most, of the carry out of the top place.
    assert derived["and"] + accumulator - counted[name]["tile_cell"]["and"] in (0, 1)
    bits = 4 * FLIP_FLOPS[name][1] * (FLIP_FLOPS[name][0] // 4) // 4
    assert 3 * bits <= derived["and"] <= 4.2 * bits
    assert (counted[name]["tile_cell"]["mux2"] > 0) == (name == "W4A16 in steps")
