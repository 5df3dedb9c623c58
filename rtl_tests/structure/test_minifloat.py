"""What an elaborated minifloat tile is made of: multipliers, decoders at the border, registers as derived."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwgen.pe import family
from rtl_tests.structure.counts import Counted, count

# One process counts for all tests of this file.
pytestmark = [pytest.mark.rtl, pytest.mark.slow, pytest.mark.xdist_group("structure of minifloat")]

ROOT = Path(__file__).parents[2]
SMALL = {"m": 2, "n": 2, "k": 4, "depth": 128}
FP32 = {"accumulator": "fp32"}
RING = {**FP32, "interleave": "ring"}
TILES: dict[str, dict[str, Any]] = {
    "fp8": {**SMALL, "bits": 8},
    "fp4": {**SMALL, "bits": 4, "stages": 2},
    "powers of two": {**SMALL, "acts": "e3m0", "weights": "fp8_e4m3"},
    "bf16": {**SMALL, "acts": "bf16", "weights": "bf16", "k": 1},
    "fp16 fp32": {**SMALL, **FP32, "bits": 16},
    "fp16 fp32 one product": {**SMALL, **FP32, "bits": 16, "k": 1},
    "two cycles": {**SMALL, **FP32, "bits": 16, "k": 1, "adder_stages": 2},
    "three cycles": {**SMALL, **FP32, "bits": 16, "k": 1, "adder_stages": 3},
    "ring of two": {**SMALL, **RING, "bits": 16, "k": 1, "adder_stages": 2},
    "ring of three": {**SMALL, **RING, "bits": 8, "k": 1, "adder_stages": 3, "stages": 2},
    "ring with a tree": {**SMALL, **RING, "bits": 8, "k": 3, "group": 0, "adder_stages": 2},
    "powers of two fp32": {**SMALL, **FP32, "acts": "e3m0", "weights": "fp16", "k": 2},
}
# name: (multipliers of a cell, their partial products).
MULTIPLIERS = {
    "fp8": (4, 4 * 4 * 4),
    "fp4": (4, 4 * 2 * 2),
    "powers of two": (0, 0),
    "bf16": (1, 8 * 8),
    "fp16 fp32": (4, 4 * 11 * 11),
    "fp16 fp32 one product": (1, 11 * 11),
    "two cycles": (1, 11 * 11),
    "three cycles": (1, 11 * 11),
    "ring of two": (1, 11 * 11),
    "ring of three": (1, 4 * 4),
    "ring with a tree": (3, 3 * 4 * 4),
    "powers of two fp32": (0, 0),
}
# name: flip-flops of (a row, a column, a cell); those within an adder of several cycles are the placing's to say.
FLIP_FLOPS = {
    # A sign, 4 bits of significand, 4 of shift (0 to 14); 44 bits of sum.
    "fp8": (4 * 9, 4 * 9, 44),
    # A sign, 2 bits, 2 of shift. Sums of 4 products 11 bits; 16 bits of sum.
    "fp4": (4 * 5, 4 * 5, 11 + 16),
    # 2^6 · 14 · 2^14 · 128 = 7 · 2^28: 31 bits and a sign; shifts to 6 (3 bits) and to 14.
    "powers of two": (4 * (1 + 1 + 3), 4 * 9, 32),
    "bf16": (1 + 8 + 8, 1 + 8 + 8, 530),
    # A sign, 11 bits, a signed exponent from -14 to 31 in 6, marks of NaN and infinity.
    "fp16 fp32": (4 * 20, 4 * 20, 32),
    "fp16 fp32 one product": (20, 20, 32),
    "two cycles": (20, 20, None),
    "three cycles": (20, 20, None),
    "ring of two": (20, 20, None),
    # 1 + 4 + 5 (exponents from -2 to 15) + 1.
    "ring of three": (11, 11, None),
    "ring with a tree": (3 * 11, 3 * 11, None),
    # Sign, significand and an exponent from 1 to 7, without marks.
    "powers of two fp32": (2 * (1 + 1 + 3), 2 * 20, 32),
}


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Counted]:
    """Primitives of each module of each tile, counted by Yosys in a child process."""
    return dict(zip(TILES, count("minifloat", TILES.values(), tmp_path_factory.mktemp("netlist")), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", TILES)
def test_multipliers_are_in_cells_one_a_product(name: str, counted: dict[str, Counted]) -> None:
    found = {module: primitives["mul"] for module, primitives in counted[name].items() if primitives["mul"]}
    number, partial_products = MULTIPLIERS[name]
    assert found == ({"tile_cell": partial_products} if number else {})


@pytest.mark.parametrize("name", TILES)
def test_multipliers_in_the_text(name: str) -> None:
    """One multiplication for each product in a cell's RTLIL, none in any other module."""
    from hwgen.emit._rtlil import design_rtlil
    from hwgen.frame.assembly import Tile
    from hwgen.frame.interface import tile_ports

    spec = family("minifloat").from_values(TILES[name])
    text = design_rtlil(lambda place: Tile(spec, place), "tile", tile_ports(spec))
    modules = {part.split()[0].lstrip("\\"): part.count("cell $mul ") for part in text.split("\nmodule ")[1:]}
    assert modules["tile_cell"] == MULTIPLIERS[name][0]
    assert sum(modules.values()) == MULTIPLIERS[name][0]


@pytest.mark.parametrize("name", TILES)
def test_flip_flops_are_as_derived(name: str, counted: dict[str, Counted]) -> None:
    *borders, cell = FLIP_FLOPS[name]
    assert [counted[name][module]["ff"] for module in ("tile_row", "tile_col")] == borders
    if cell is not None:
        assert counted[name]["tile_cell"]["ff"] == cell
        return
    # The sum, and with a ring the partial sum that waits; an adder's state and operand cross each of its cuts.
    least = 32 * (2 if TILES[name].get("interleave") == "ring" else 1)
    cuts = TILES[name]["adder_stages"] - 1
    assert least + 32 * cuts < counted[name]["tile_cell"]["ff"] < least + 3 * 32 * cuts


def test_codes_are_decoded_at_the_border(counted: dict[str, Counted]) -> None:
    """Normalising takes a stage of multiplexers a bit of the distance, in rows and columns alone."""
    for name in ("fp16 fp32", "fp16 fp32 one product"):
        k = TILES[name]["k"]
        # 11 bits by 8, 4, 2 and 1.
        assert counted[name]["tile_row"]["mux2"] == counted[name]["tile_col"]["mux2"] == k * 4 * 11


def test_shifters_are_no_wider_than_what_they_shift(counted: dict[str, Counted]) -> None:
    # Products of 8 bits shifted by up to 28 into 36 and a sign: 9, 11, 15, 23 and 37 bits.
    assert counted["fp8"]["tile_cell"]["mux2"] == 4 * (9 + 11 + 15 + 23 + 37)
