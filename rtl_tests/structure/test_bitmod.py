"""What a BitMoD tile is made of, and its register file of special values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator, SimulatorContext

from hwgen.emit import emit
from hwgen.formats import get
from hwgen.formats.bitmod import TWO_TERM_MAGNITUDES
from hwgen.pe import family
from hwgen.pe.bitmod import Bitmod, SpecialTable
from rtl_tests.structure.counts import Counted, count

# One process counts for all tests of this file.
pytestmark = [pytest.mark.rtl, pytest.mark.xdist_group("structure of bitmod")]

ROOT = Path(__file__).parents[2]
TILES: dict[str, dict[str, Any]] = {
    "paper": {"m": 2, "n": 4},
    "bf16": {"m": 2, "n": 2, "acts": "bf16", "post_lanes": 1, "k": 2, "guard_bits": 0},
    "int8": {"m": 1, "n": 2, "acts": "int8", "post_lanes": 2},
    "exact": {"m": 1, "n": 2, "accumulator": "exact", "post_lanes": 2},
}
# (row, column, cell, post). Rows: sign, exponent and significand of each activation; columns: sign, man, two bits of
# exp of each weight, and three bits of bsig.
FLIP_FLOPS = {
    # An accumulator of 15 + 6 bits. Post: 4 bits count 8 + 2 cycles, 1 bit two beats, 3 + 2·3 + 1 flags, 4 scales of
    # 8 bits; a cell copies 21 bits and makes a product of 23; a lane chooses 29, rounds 32, keeps two results.
    "paper": (4 * (1 + 5 + 11), 4 * 4 + 3, 15 + 6, 4 + 1 + 10 + 4 * 8 + 8 * (21 + 23) + 4 * (29 + 32 + 2 * 32)),
    # Exponents to 254, and of 128 products of 2^8 · 2^8 · 2^254 the double: 9 bits. 8 + 4 cycles, four beats.
    "bf16": (2 * (1 + 8 + 8), 2 * 4 + 3, 15 + 9, 4 + 2 + 10 + 2 * 8 + 4 * (24 + 23) + (32 + 32 + 4 * 32)),
    # 128 · 2^15 and its negative: 24 bits with the positive end. 8 + 1 cycles, one beat.
    "int8": (4 * 8, 4 * 4 + 3, 24, 4 + 10 + 2 * 8 + 2 * (24 + 32) + 2 * (32 + 32 + 32)),
    # 128 · 2047 · 2^3 · 2^30 · 2^8: 59 bits and a sign.
    "exact": (4 * 17, 4 * 4 + 3, 60, 4 + 10 + 2 * 8 + 2 * (60 + 68) + 2 * (68 + 32 + 32)),
}


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Counted]:
    """Primitives of each module of each tile, counted by Yosys in a child process."""
    return dict(zip(TILES, count("bitmod", TILES.values(), tmp_path_factory.mktemp("netlist")), strict=True))


@pytest.mark.few(1)
@pytest.mark.parametrize("name", TILES)
def test_no_multiplier_anywhere(name: str, counted: dict[str, Counted]) -> None:
    assert {module: primitives["mul"] for module, primitives in counted[name].items()} == dict.fromkeys(
        ("tile", "tile_row", "tile_col", "tile_cell", "tile_post"), 0
    )


@pytest.mark.parametrize("name", TILES)
def test_flip_flops_are_as_derived(name: str, counted: dict[str, Counted]) -> None:
    modules = ("tile_row", "tile_col", "tile_cell", "tile_post")
    assert tuple(counted[name][module]["ff"] for module in modules) == FLIP_FLOPS[name]


def test_a_cell_has_one_shifter_each_way_in_its_accumulator(counted: dict[str, Counted]) -> None:
    # 4 aligners of 14 bits in 4 levels; the maximum of four 6-bit exponents; bsig goes into an exponent.
    product = 4 * 4 * 14 + 3 * 6
    # Frame of 17: swap (2), one place, 5 levels and what is beyond, 5 levels up, the count of places, the exponent.
    accumulator = 17 * (2 + 1 + 6) + 18 * 5 + 17 + 7
    assert abs(counted["paper"]["tile_cell"]["mux2"] - product - accumulator) < 20


# ---------------------------------------------------------------------- register file


def word(value: float) -> int:
    return int(2 * abs(value)) | (32 if value < 0 else 0)


def test_register_file() -> None:
    table = SpecialTable(3)
    values = [-5.0, 8.5, 7.0, 12.0]
    seen: list[tuple[list[int], int]] = []

    async def bench(ctx: SimulatorContext) -> None:
        def read() -> tuple[list[int], int]:
            specials = ctx.get(table.specials)
            return [specials >> 6 * column & 63 for column in range(3)], ctx.get(table.error)

        ctx.set(table.selectors, 0b10_01_00)
        await ctx.delay(1e-9)
        seen.append(read())
        for address, value in enumerate(values):
            ctx.set(table.write, 1)
            ctx.set(table.address, address)
            ctx.set(table.value, word(value))
            await ctx.tick()
            seen.append(read())
        ctx.set(table.write, 0)
        ctx.set(table.value, 63)
        await ctx.tick()
        ctx.set(table.selectors, 0b11_11_10)
        await ctx.delay(1e-9)
        seen.append(read())

    simulator = Simulator(table)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    a, b, c, d = (word(value) for value in values)
    # Not programmed: 0, which is no error; 7 takes three terms.
    assert seen == [
        ([0, 0, 0], 0),
        ([a, 0, 0], 0),
        ([a, b, 0], 0),
        ([a, b, c], 1),
        ([a, b, c], 1),
        ([c, d, d], 1),
    ]


def test_error_for_exactly_the_values_that_two_terms_cannot_reach() -> None:
    table = SpecialTable(1)
    found: list[float] = []

    async def bench(ctx: SimulatorContext) -> None:
        ctx.set(table.write, 1)
        for entry in range(64):
            ctx.set(table.value, entry)
            await ctx.tick()
            if not ctx.get(table.error):
                found.append((entry & 31) / 2 * (-1 if entry & 32 else 1))

    simulator = Simulator(table)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert found == [*TWO_TERM_MAGNITUDES, *(-value for value in TWO_TERM_MAGNITUDES)]


def test_register_file_is_emitted_beside_the_tile() -> None:
    spec = family("bitmod").from_values({"m": 1, "n": 2, "post_lanes": 0})
    assert isinstance(spec, Bitmod)
    emission = emit(spec)
    assert "module bitmod_tile_specials(" in emission.verilog
    found = emission.manifest["companions"]["specials"]
    assert found["top"] == "bitmod_tile_specials"
    assert {port["name"]: (port["direction"], port["width"]) for port in found["ports"]} == {
        "clk": ("input", 1),
        "rst": ("input", 1),
        "write": ("input", 1),
        "address": ("input", 2),
        "value": ("input", 6),
        "selectors": ("input", 4),
        "specials": ("output", 12),
        "error": ("output", 1),
    }
    # What the register file gives is what the tile takes.
    side = spec.col_side()["special"]
    q = spec.quantize_weights(np.random.default_rng(1).normal(size=(4, 256)))
    assert q.selector is not None
    table = [word(value) for value in get("bitmod_fp4").specials]  # type: ignore[attr-defined]
    assert spec.side_values("special", q).tolist() == [[table[s] for s in row] for row in q.selector.tolist()]
    assert side.bits == 6
