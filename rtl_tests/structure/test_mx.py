"""What an elaborated tile of block formats is made of: one multiplier a product, shifters and registers as derived."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwgen.pe import family
from rtl_tests.structure.counts import Counted, count

# One process counts for all tests of this file.
pytestmark = [pytest.mark.rtl, pytest.mark.slow, pytest.mark.xdist_group("structure of mx")]

ROOT = Path(__file__).parents[2]
SMALL = {"m": 2, "n": 2, "k": 4, "post_lanes": 1}
TILES: dict[str, dict[str, Any]] = {
    "mxfp4": {**SMALL, "acts": "mxfp4", "weights": "mxfp4"},
    "mxfp6": {**SMALL, "acts": "mxfp6_e2m3", "weights": "mxfp6_e3m2"},
    "e4m3": {**SMALL, "acts": "mxfp8_e4m3", "weights": "mxfp8_e4m3", "stages": 2},
    "e5m2": {**SMALL, "acts": "mxfp8_e5m2", "weights": "mxfp8_e5m2", "stages": 2},
    "mxint8": {**SMALL, "acts": "mxint8", "weights": "mxint8"},
    "mixed": {**SMALL, "acts": "mxint8", "weights": "mxfp8_e4m3"},
    "nvfp4": {**SMALL, "acts": "nvfp4", "weights": "nvfp4"},
    "nvint4": {**SMALL, "acts": "nvint4", "weights": "nvint4", "stages": 2},
    "hif4": {**SMALL, "acts": "hif4", "weights": "hif4"},
    "modes": {**SMALL, "mode_set": "mx"},
    "narrow": {**SMALL, "mode_set": "mxfp_narrow"},
    "parts": {**SMALL, "mode_set": "mx_narrow", "int8_products": "parts"},
}
PRODUCTS = {
    # Bits of the two factors: significands with their hidden bits, or integers.
    "mxfp4": (2, 2),
    "mxfp6": (4, 3),
    "e4m3": (4, 4),
    "e5m2": (3, 3),
    "mxint8": (8, 8),
    # The magnitude of an integer: 128 needs 8 bits.
    "mixed": (8, 4),
    "nvfp4": (2, 2),
    "nvint4": (4, 4),
    # ±28 quarters.
    "hif4": (6, 6),
    # Integers are the longest significands of all formats, and E4M3's of the others.
    "modes": (8, 8),
    "narrow": (4, 4),
    "parts": (4, 4),
}
FLIP_FLOPS = {
    # name: bits of a row's register, of a column's, of a cell's. An element of E2M1 is a sign, a significand of two
    # bits and a shift by 0, 1 or 2; 32 products of at most 12 · 12 are below 2**13.
    "mxfp4": (4 * 5, 4 * 5, 14),
    # Shifts by up to 6. 32 · 60 · 448 < 2**20.
    "mxfp6": (4 * (1 + 4 + 2), 4 * (1 + 3 + 3), 21),
    # Shifts by up to 14. 4 · (15 · 2**14)**2 and a sign in the cut.
    "e4m3": (4 * (1 + 4 + 4), 4 * (1 + 4 + 4), 42 + 39),
    # Shifts by up to 29. 4 · (7 · 2**29)**2 = 196 · 2**58.
    "e5m2": (4 * (1 + 3 + 5), 4 * (1 + 3 + 5), 70 + 67),
    # 32 · 128 · 128 = 2**19 and a sign.
    "mxint8": (4 * 8, 4 * 8, 21),
    # 32 · 128 · 14 · 2**14 < 2**30.
    "mixed": (4 * 9, 4 * 9, 31),
    "nvfp4": (4 * 5, 4 * 5, 13),
    # 16 · 49 < 2**10; 4 · 49 = 196 in the cut, without a carry.
    "nvint4": (4 * 4, 4 * 4, 11 + 9),
    # 64 · 28 · 28 = 50176 < 2**16.
    "hif4": (4 * 6, 4 * 6, 17),
    # Sums of E5M2, and of E4M3: both have the widest range, and the smallest unit, of all formats that are there.
    "modes": (4 * (1 + 8 + 5), 4 * (1 + 8 + 5), 70),
    "narrow": (4 * (1 + 4 + 4), 4 * (1 + 4 + 4), 42),
    "parts": (4 * (1 + 4 + 4), 4 * (1 + 4 + 4), 42),
}
SHIFTERS = {
    # Multiplexers of a product's shifter: the product, and 1, 3, 7 … bits more, but no more than the largest one has
    # with its sign.
    "mxfp4": (4 + 1) + (4 + 3) + 9,
    "mxfp6": (7 + 1) + (7 + 3) + (7 + 7) + 16,
    "e4m3": (8 + 1) + (8 + 3) + (8 + 7) + (8 + 15) + 37,
    "e5m2": (6 + 1) + (6 + 3) + (6 + 7) + (6 + 15) + (6 + 31) + 65,
    "mixed": (12 + 1) + (12 + 3) + (12 + 7) + 26,
    "nvfp4": (4 + 1) + (4 + 3) + 9,
    "modes": (16 + 1) + (16 + 3) + (16 + 7) + (16 + 15) + (16 + 31) + 65,
    "narrow": (8 + 1) + (8 + 3) + (8 + 7) + (8 + 15) + 37,
    "parts": (8 + 1) + (8 + 3) + (8 + 7) + (8 + 15) + 37,
}


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Counted]:
    """Primitives of each module of each tile, counted by Yosys in a child process."""
    return dict(zip(TILES, count("mx", TILES.values(), tmp_path_factory.mktemp("netlist")), strict=True))


@pytest.mark.parametrize("name", TILES)
def test_one_multiplication_a_product(name: str) -> None:
    """K multiplications in a cell's RTLIL, none in rows and columns."""
    from hwgen.emit._rtlil import design_rtlil
    from hwgen.frame.assembly import Tile
    from hwgen.frame.interface import tile_ports

    spec = family("mx").from_values(TILES[name])
    text = design_rtlil(lambda place: Tile(spec, place), "tile", tile_ports(spec))
    modules = {part.split()[0].lstrip("\\"): part.count("cell $mul ") for part in text.split("\nmodule ")[1:]}
    assert [modules[f"tile_{block}"] for block in ("cell", "row", "col")] == [4, 0, 0]
    # A lane multiplies both significands of the scales and the sum; powers of two bring no multiplier.
    assert modules["tile_post"] == (2 if name in ("nvfp4", "nvint4", "hif4") else 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", TILES)
def test_factors_are_significands_or_integers(name: str, counted: dict[str, Counted]) -> None:
    left, right = PRODUCTS[name]
    assert counted[name]["tile_cell"]["mul"] == 4 * left * right


@pytest.mark.parametrize("name", TILES)
def test_flip_flops_are_as_derived(name: str, counted: dict[str, Counted]) -> None:
    got = tuple(counted[name][module]["ff"] for module in ("tile_row", "tile_col", "tile_cell"))
    assert got == FLIP_FLOPS[name]


@pytest.mark.parametrize("name", TILES)
def test_shifters_are_no_wider_than_what_they_shift(name: str, counted: dict[str, Counted]) -> None:
    spec = family("mx").from_values(TILES[name])
    derived = 4 * SHIFTERS.get(name, 0)
    assert int(spec.cell_primitives(spec.p).get("mux2", 0)) == derived
    assert counted[name]["tile_cell"]["mux2"] == derived


@pytest.mark.parametrize("name", ["mxfp4", "mxfp6", "mixed", "nvfp4", "modes", "narrow", "parts"])
def test_products_and_accumulator_have_one_carry_chain(name: str, counted: dict[str, Counted]) -> None:
    """What is left beside it adds shifts, and ones to products that are negated before they are shifted."""
    spec = family("mx").from_values(TILES[name])
    shifts = {"mxfp4": 3, "mxfp6": 4, "mixed": 0, "nvfp4": 3, "modes": 6, "narrow": 5, "parts": 5}[name]
    chain = counted[name]["tile_cell"]["add"] - 4 * (sum(PRODUCTS[name]) + 1 + shifts)
    # The lowest bits of a tree are done before its last two rows are added.
    assert int(spec.acc_bits(spec.p)) - 6 <= chain <= int(spec.acc_bits(spec.p))


def test_micro_exponents_are_applied_in_rows_and_columns(counted: dict[str, Counted]) -> None:
    # Three bits shifted by one place into four, and these into five.
    assert counted["hif4"]["tile_row"]["mux2"] == counted["hif4"]["tile_col"]["mux2"] == 4 * (4 + 5)
    assert counted["hif4"]["tile_cell"]["mux2"] == 0
