"""Parts of a tile: what is mapped, how often it is there, and by which recipes."""

from __future__ import annotations

import re

import pytest

from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.synth import RECIPES
from hwgen.synth._parts import parts

SMALL = {"m": 2, "n": 3, "k": 2, "bits": 2}


def test_equal_blocks_of_different_tiles_are_one_part() -> None:
    small, large = ({part.kind: part for part in parts(family("int")(**{**SMALL, "n": n}))} for n in (1, 3))
    assert {kind: part.count for kind, part in large.items()} == {"row": 2, "col": 3, "cell": 6, "control": 1}
    for kind in ("row", "col", "cell"):
        assert small[kind].rtlil == large[kind].rtlil
    assert small["control"].rtlil != large["control"].rtlil


def test_boxes_are_ports_only() -> None:
    control = parts(family("int")(**SMALL))[-1]
    assert control.boxes == ("int_tile_row", "int_tile_col", "int_tile_cell")
    cell = control.rtlil[control.rtlil.index("module \\int_tile_cell\n") :]
    assert cell.startswith("module \\int_tile_cell\n  wire width ")
    assert set(re.findall(r"^ *(\w+)", cell, re.M)) == {"module", "wire", "end"}


def test_the_flat_part_has_everything() -> None:
    flat = parts(family("int")(**SMALL), flat=True)[-1]
    assert (flat.kind, flat.count, flat.boxes) == ("flat", 1, ())
    assert re.findall(r"^module (\S+)", flat.rtlil, re.M) == [
        "\\int_tile_row",
        "\\int_tile_col",
        "\\int_tile_cell",
        "\\int_tile",
    ]


def test_recipes_that_cannot_differ_are_one() -> None:
    by_kind = {part.kind: part for part in parts(family("int")(**SMALL))}
    multiplies = next(part for part in parts(family("minifloat")(m=1, n=1, k=2)) if part.kind == "cell")
    assert multiplies.distinct(tuple(RECIPES), RECIPES) == tuple(RECIPES)
    assert by_kind["row"].distinct(tuple(RECIPES), RECIPES) == ("plain", "plain_fast")
    assert by_kind["row"].distinct(["booth_noalumacc"], RECIPES) == ("plain",)
    table = {part.kind: part for part in parts(family("lut")(**SMALL))}["cell"]
    assert table.distinct(tuple(RECIPES), RECIPES) == ("plain", "noalumacc", "plain_fast", "noalumacc_fast")


def test_the_block_before_the_buffer() -> None:
    spec = family("lut")(**SMALL, precompute="external")
    counts = {part.kind: part.count for part in parts(spec)}
    tile = {"row": 2, "rowsum": 2, "col": 3, "cell": 6, "control": 1}
    assert counts == {**tile, "pre_row": 2, "pre_control": 1}
    assert [part.kind for part in parts(spec) if part.of_tile] == ["row", "col", "rowsum", "cell", "control"]
    inventory = type(spec).blocks(spec.p)
    assert {kind: inventory[kind].count for kind in ("pre_row", "pre_control")} == {"pre_row": 2, "pre_control": 1}


def test_companions_are_parts_when_they_are_named() -> None:
    spec = family("bitmod")(m=2, n=2, post_lanes=2)
    assert "specials" not in {part.kind for part in parts(spec)}
    (only,) = parts(spec, kinds=["specials"])
    assert (only.kind, only.top, only.count) == ("specials", "bitmod_tile_specials", 1)


def test_an_unknown_block() -> None:
    with pytest.raises(HwgenError) as caught:
        parts(family("bitmod")(m=2, n=2, post_lanes=2), kinds=["sell"])
    known = "row, col, cell, post, control, specials"
    assert str(caught.value) == f"bitmod: block must be one of {known}, not 'sell'; did you mean 'cell'?"
