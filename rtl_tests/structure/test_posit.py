# amaranth: UnusedElaboratable=no
"""What posit tiles are made of: multipliers, decoders at the border only, widths of quires and flip-flops."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from hwgen.emit._rtlil import design_rtlil
from hwgen.frame.assembly import Tile
from hwgen.frame.interface import tile_ports
from hwgen.pe import family
from hwgen.pe.posit import Posit
from rtl_tests.structure.counts import count

# One process counts for all tests of this file.
pytestmark = [pytest.mark.rtl, pytest.mark.slow, pytest.mark.xdist_group("structure of posit")]

ROOT = Path(__file__).parents[2]


def tile(**values: Any) -> Posit:
    spec = family("posit").from_values({"m": 2, "n": 2, "k": 2, **values})
    assert isinstance(spec, Posit)
    return spec


def modules(spec: Posit) -> dict[str, str]:
    """RTLIL of each module by name, elaborated once a kind."""
    text = design_rtlil(lambda place: Tile(spec, place), "tile", tile_ports(spec))
    found = re.findall(r"^module \\(\S+)\n(.*?)^end\n", text, flags=re.MULTILINE | re.DOTALL)
    return dict(found)


@pytest.mark.parametrize(
    ("values", "multipliers"),
    [
        pytest.param({}, 8, id="simd: four parts of one 13x13 array a lane"),
        pytest.param({"simd_along": "n", "k": 1}, 4, id="simd along n: the same"),
        pytest.param({"format": "posit", "posit_bits": 8}, 2, id="posit8_0: one a product"),
        pytest.param({"format": "posit", "posit_bits": 16, "es": 1}, 2, id="posit16_1: one a product"),
        pytest.param({"format": "posit", "posit_bits": 4, "es": 1}, 0, id="posit4_1: none"),
        pytest.param({"format": "posit", "posit_bits": 3, "es": 0}, 0, id="posit3_0: none"),
        pytest.param({"format": "fp4"}, 2, id="fp4: 2 x 2 bits a product"),
    ],
)
def test_multipliers_of_a_cell(values: dict[str, Any], multipliers: int) -> None:
    found = modules(tile(**values))
    assert {name: text.count("cell $mul ") for name, text in found.items()} == {
        name: multipliers if name.endswith("cell") else 0 for name in found
    }


@pytest.mark.parametrize("values", [{}, {"format": "posit"}, {"format": "posit", "posit_bits": 16, "es": 2}])
def test_codes_are_decoded_at_the_border_and_never_in_a_cell(values: dict[str, Any]) -> None:
    found = modules(tile(**values))
    with_decoder = {name for name, text in found.items() if "regime_sign" in text}
    assert with_decoder == {"tile_row", "tile_col"}


@pytest.mark.parametrize(
    ("values", "bits"),
    [
        pytest.param({"format": "posit", "posit_bits": 8, "es": 0, "depth": 127}, 32, id="posit8_0, legacy 32 bit"),
        pytest.param({"format": "posit", "posit_bits": 8, "es": 0, "depth": 128}, 33, id="posit8_0, 26 + 7"),
        pytest.param({"format": "posit", "posit_bits": 8, "es": 2, "depth": 16}, 102, id="posit8_2"),
        pytest.param({"format": "posit", "posit_bits": 16, "es": 1, "depth": 32}, 119, id="posit16_1"),
        pytest.param(
            {"format": "posit", "posit_bits": 16, "es": 1, "depth": (1 << 15) - 1, "group": 64}, 128, id="2**15"
        ),
        pytest.param({"format": "posit", "posit_bits": 16, "es": 2, "depth": 16}, 230, id="posit16_2"),
        pytest.param({"format": "posit", "posit_bits": 4, "es": 1, "depth": 64}, 24, id="posit4_1"),
        pytest.param({"format": "posit", "posit_bits": 4, "es": 0, "depth": 64}, 16, id="posit4_0"),
        pytest.param({"format": "fp4", "depth": 32}, 14, id="fp4"),
        pytest.param({"depth": 128}, 128, id="simd of 128 products: four quarters of 32 bit"),
        pytest.param({"depth": 16}, 120, id="simd of 16 products"),
        pytest.param({"quire": "xr_npe", "depth": 127}, 128, id="xr_npe"),
    ],
)
def test_quires_are_as_wide_as_the_products_need(values: dict[str, Any], bits: int) -> None:
    # Product bits 4 · (n - 2) · 2**es + 2, and ceil(log2 N) more for N a power of two.
    spec = tile(**{"group": 16, **values})
    assert int(spec.acc_bits(spec.p)) == bits


FLIP_FLOPS: list[tuple[dict[str, Any], int]] = [
    # Quire and NaR flag.
    ({"format": "posit", "posit_bits": 8, "depth": 128}, 33 + 1),
    # ... and the cut before it: 27 bits of two products and NaR.
    ({"format": "posit", "posit_bits": 8, "depth": 128, "stages": 2}, 33 + 1 + 27 + 1),
    # Quire, NaR, and whether its quarters are one number.
    ({"depth": 128}, 128 + 1 + 1),
    ({"depth": 128, "stages": 2}, 128 + 2 + 128 + 4 + 2),
    ({"quire": "xr_npe", "depth": 127, "group": 64, "simd_along": "n"}, 128 + 4 + 1),
    ({"quire": "xr_npe", "depth": 127, "group": 64, "simd_along": "n", "stages": 2}, 128 + 5 + 4 * (32 + 2)),
    ({"format": "fp4", "depth": 32}, 14),
]


def test_flip_flops_of_a_cell(tmp_path: Path) -> None:
    """Counted by Yosys in a child process, against sums of named registers."""
    tiles = [{"m": 1, "n": 1, "k": 2, "group": 32, **values} for values, _ in FLIP_FLOPS]
    cells = [counts["tile_cell"] for counts in count("posit", tiles, tmp_path)]
    assert [counts["ff"] for counts in cells] == [bits for _, bits in FLIP_FLOPS]
    # The four parts of a lane's multiplier have the partial products of one array.
    simd = [counts for counts, (values, _) in zip(cells, FLIP_FLOPS, strict=True) if "format" not in values]
    assert [counts["mul"] for counts in simd] == [2 * 13 * 13] * 4
