"""What an elaborated LUT tile is made of: no multiplier but one, one tree of multiplexers a look-up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hwgen.frame.primitives import FP32_ADD
from hwgen.pe import family
from hwgen.pe.lut import Lut
from rtl_tests.structure.counts import Counted, count

# One process counts for all tests of this file.
pytestmark = [pytest.mark.rtl, pytest.mark.slow, pytest.mark.xdist_group("structure of lut")]

ROOT = Path(__file__).parents[2]
SMALL = {"m": 2, "n": 2, "k": 4, "depth": 128}
UNPU = {"scheme": "symmetric", "planes": "twos_complement", "symmetry": "none"}
BYTES = {"entries": "int8"}
FACTORS = {"entries": "int8", "entry_rule": "max127", "precompute": "external"}
FP32 = {"cell": "fp_add", "scheme": "bipolar"}
TILES: dict[str, dict[str, Any]] = {
    # The steps of the paper's ablation.
    "unpu": {**SMALL, **UNPU},
    "reinterpreted": {**SMALL, "scheme": "symmetric", "negation": "runtime"},
    "offline": {**SMALL, "scheme": "symmetric"},
    "outside": {**SMALL, "scheme": "symmetric", "precompute": "external"},
    "conventional": {**SMALL, "scheme": "symmetric", "symmetry": "none"},
    "one bit": {**SMALL, "bits": 1},
    "two planes": {**SMALL, "bits": 4, "planes_per_cycle": 2},
    "bytes": {**SMALL, **BYTES, "acts": "int16"},
    "factors": {**SMALL, **FACTORS, "acts": "fp16"},
    "in steps": {**SMALL, "acts": "fp16", "align_scope": "step"},
    "bytes in steps": {**SMALL, **BYTES, "acts": "fp8_e5m2", "align_scope": "step"},
    "two tables": {**SMALL, "tables": 2},
    "bytes of two tables": {**SMALL, **BYTES, "tables": 2, "acts": "int16"},
    "fp32": {**SMALL, **FP32, "acts": "fp16"},
    "fp32, two planes": {**SMALL, **FP32, "acts": "bf16", "bits": 4, "planes_per_cycle": 2},
}
# name: (bits of a table row's register, of a column's, of a cell's). With 2-bit weights a cell that adds up 128
# products of int8 has 128·3·128 = 49152, hence 17 bits (plain signed bits 16: −2·−128·128 = 2^15).
FLIP_FLOPS = {
    # Sums of one to four int8, each with the bits that it needs; that of none is 0.
    "unpu": (4 * 8 + 6 * 9 + 4 * 10 + 10, 4, 17),
    "reinterpreted": (8 * 10, 4, 17),
    "offline": (8 * 10, 4, 17),
    "outside": (8 * 10, 4, 17),
    # The mirrored half has +4·128: 11 bits.
    "conventional": (16 * 11, 4, 17),
    # 128 · 128 = 2^14 of either sign.
    "one bit": (8 * 10, 4, 16),
    # 128 · 15 · 128 = 245760.
    "two planes": (8 * 10, 2 * 4, 19),
    # Bytes, a shift of at most 11 (4 bits) and an 18-bit Σ A; 128 · 3 · 2^15 = 3 · 2^22.
    "bytes": (8 * 8 + 4 + 18, 4, 25),
    # Bytes, a factor of at most 4 · 2^14 / 127 = 517 (10 bits) and a 17-bit Σ A. A product is at most
    # ceil(65536 + 258) / 4 times 3: 128 · 3 · 16449 = 6316416.
    "factors": (8 * 8 + 10 + 17, 4, 24),
    # 17-bit sums and the step's exponent; 128 · 3 · 2047 · 2^3 · 2^29.
    "in steps": (8 * 17 + 5, 4, 53),
    "two tables": (2 * 8 * 10, 2 * 4, 17),
    "bytes of two tables": (2 * (8 * 8 + 4 + 18), 2 * 4, 25),
    "fp32": (8 * 32, 4, 32),
    "fp32, two planes": (8 * 32, 2 * 4, 32),
}
MULTIPLIERS = {"factors": 8 * 11}
"""Partial products of a cell's multiplier: a byte by a signed factor. All other tiles have none."""
# Multiplexers of a cell: a tree over the entries for each look-up, and the shift by the plane's number.
LOOK_UP = {
    # A choice of 0 or the sum of one activation is an AND.
    "unpu": 14 * 10,
    "reinterpreted": 7 * 10,
    "offline": 7 * 10,
    "outside": 7 * 10,
    "conventional": 15 * 11,
    "one bit": 7 * 10,
    "two planes": 2 * 7 * 10,
    "bytes": 7 * 8,
    "factors": 7 * 8,
    "in steps": 7 * 17,
    "bytes in steps": 7 * 8,
    "two tables": 2 * 7 * 10,
    "bytes of two tables": 2 * 7 * 8,
    "fp32": 7 * 32,
    "fp32, two planes": 2 * 7 * 32,
}
PLANE_SHIFT = {
    "unpu": 11,
    "reinterpreted": 11,
    "offline": 11,
    "outside": 11,
    "conventional": 12,
    "one bit": 0,
    # A sum of two planes, 12 bits, shifted by 0 or 2.
    "two planes": 14,
    "bytes": 9,
    "factors": 8 + 10 + 1,
    "in steps": 18,
    "bytes in steps": 9,
    # The sum of both has 11 bits.
    "two tables": 12,
    # Each byte shifted by up to 11 has 19 bits, their sum 20.
    "bytes of two tables": 21,
    # A plane's number goes to the exponent.
    "fp32": 0,
    "fp32, two planes": 0,
}
ROW_SHIFT = {
    # Up to 11: levels 1, 3, 7 and 11 bits wider.
    "bytes": 4 * 9 + 1 + 3 + 7 + 11,
    # Each by itself, before the plane's shift.
    "bytes of two tables": 2 * (4 * 8 + 1 + 3 + 7 + 11),
    # Up to 29.
    "in steps": 5 * 18 + 1 + 3 + 7 + 15 + 29,
    # 29 and up to 1 for 4 · 7 · 2^3 = 224: 30.
    "bytes in steps": 5 * 9 + 1 + 3 + 7 + 15 + 30,
}


def tile(name: str) -> Lut:
    return family("lut").from_values(TILES[name])  # type: ignore[return-value]


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Counted]:
    """Primitives of each module of each tile, counted by Yosys in a child process."""
    return dict(zip(TILES, count("lut", TILES.values(), tmp_path_factory.mktemp("netlist")), strict=True))


@pytest.mark.few(1)
@pytest.mark.parametrize("name", TILES)
def test_no_multiplier_but_for_factors(name: str, counted: dict[str, Counted]) -> None:
    found = {module: primitives["mul"] for module, primitives in counted[name].items() if primitives["mul"]}
    assert found == ({"tile_cell": MULTIPLIERS[name]} if name in MULTIPLIERS else {})


@pytest.mark.parametrize("name", FLIP_FLOPS)
def test_flip_flops_are_as_derived(name: str, counted: dict[str, Counted]) -> None:
    got = tuple(counted[name][module]["ff"] for module in ("tile_row", "tile_col", "tile_cell"))
    assert got == FLIP_FLOPS[name]


@pytest.mark.parametrize("name", TILES)
def test_multiplexers_of_a_cell_are_as_derived(name: str, counted: dict[str, Counted]) -> None:
    spec = tile(name)
    assert int(spec.lookup_mux2(spec.p)) == LOOK_UP[name]
    derived = LOOK_UP[name] + PLANE_SHIFT[name] + ROW_SHIFT.get(name, 0)
    if spec.fp32_sums(spec.p):
        # An adder for every look-up beyond the first, before that of the sum.
        derived += (int(spec.fp32_terms(spec.p)) - 1) * int(FP32_ADD["mux2"])
    assert int(spec.cell_primitives(spec.p)["mux2"]) == derived
    assert counted[name]["tile_cell"]["mux2"] >= LOOK_UP[name]
    if not spec.fp32_sums(spec.p):
        # A multiplexer one of whose inputs is a constant becomes an AND; FP32 adders have their own.
        assert counted[name]["tile_cell"]["mux2"] <= derived


def test_each_step_of_the_ablation_takes_something_away(counted: dict[str, Counted]) -> None:
    """Table 2 of LUT Tensor Core: half the table, no complement of keys, no table build."""

    def total(name: str, module: str, primitive: str) -> int:
        return counted[name][module][primitive]

    # Half the entries; of the others each has the bits of its own sum.
    assert total("reinterpreted", "tile_row", "ff") * 2 == 16 * 10 > total("unpu", "tile_row", "ff")
    assert total("reinterpreted", "tile_row", "ff") < total("unpu", "tile_row", "ff")
    assert total("reinterpreted", "tile_cell", "mux2") < total("unpu", "tile_cell", "mux2")
    columns = {name: tile(name).col_primitives(tile(name).p) for name in ("reinterpreted", "offline")}
    assert [columns[name]["xor"] for name in columns] == [3, 0]
    assert total("offline", "tile_row", "add") > 0 == total("outside", "tile_row", "add")
    assert total("outside", "pre_row", "add") == total("offline", "tile_row", "add")
