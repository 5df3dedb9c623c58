"""What elaborated tiles of adaptive types are made of: decoders at the border, integers of three bits in cells."""

from __future__ import annotations

from typing import Any

import pytest

from hwgen.emit import emit
from hwgen.pe import family
from rtl_tests.structure.counts import Counted, counted_by

# One process a family counts for all tests of this file.
pytestmark = [pytest.mark.rtl, pytest.mark.slow, pytest.mark.xdist_group("structure of border")]

SMALL = {"m": 2, "n": 2, "k": 4, "group": 32, "depth": 128}
ANT: dict[str, dict[str, Any]] = {
    "types": SMALL,
    "powers": {**SMALL, "acts": "pot4", "weights": "pot4"},
    "INT8 by types": {**SMALL, "acts": "int8"},
}
OLIVE: dict[str, dict[str, Any]] = {"pairs": SMALL, "INT8 by pairs": {**SMALL, "acts": "int8"}}
# name: bits of a decoded element of (a row, a column), partial products of a product in a cell.
ELEMENTS = {
    # Exponent 0 to 6 of three bits; sign, and three bits of magnitude.
    "types": (7, 7, 3 * 3),
    # Exponent and sign.
    "powers": (5, 5, 0),
    "INT8 by types": (9, 7, 8 * 3),
    "pairs": (7, 7, 3 * 3),
    "INT8 by pairs": (9, 7, 8 * 3),
}

ant = counted_by("ant", ANT)
olive = counted_by("olive", OLIVE)


def check(name: str, found: Counted) -> None:
    row, col, partial = ELEMENTS[name]
    assert tuple(found[module]["ff"] for module in ("tile_row", "tile_col")) == (4 * row, 4 * col)
    assert {module: primitives["mul"] for module, primitives in found.items() if primitives["mul"]} == (
        {"tile_cell": 4 * partial} if partial else {}
    )
    # Integers need a magnitude alone, powers of two their field less one.
    assert (found["tile_row"]["mux2"] > 0) == (name in ("types", "pairs"))


@pytest.mark.parametrize("name", ANT)
def test_ant_decodes_at_the_border_and_multiplies_three_bits(name: str, ant: dict[str, Counted]) -> None:
    check(name, ant[name])


@pytest.mark.parametrize("name", OLIVE)
def test_olive_decodes_at_the_border_and_multiplies_three_bits(name: str, olive: dict[str, Counted]) -> None:
    check(name, olive[name])


@pytest.mark.parametrize(
    ("acts", "weights"), [("ant4", "ant4"), ("flint4", "ant4"), ("ant4", "pot4"), ("int8", "flint4")]
)
def test_only_formats_of_several_types_have_a_port_for_the_type(acts: str, weights: str) -> None:
    text = emit(family("ant").from_values({**SMALL, "acts": acts, "weights": weights})).verilog
    for side, name in (("row", acts), ("col", weights)):
        assert (f"i_{side}_type" in text) == (name == "ant4")
