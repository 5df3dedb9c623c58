"""Parameters of posit tiles: what --bits means, and the sentences for what cannot be built."""

from __future__ import annotations

from typing import Any

import pytest

from hwgen.errors import HwgenError
from hwgen.pe import family


@pytest.mark.parametrize(
    ("values", "acts", "k"),
    [
        ({"bits": 16}, "posit16_1", 2),
        ({"bits": 8}, "posit8_0", 4),
        ({"bits": 4, "operands": "fp4"}, "fp4_e2m1", 8),
        ({"bits": 4, "operands": "p4", "simd_along": "n"}, "posit4_1", 2),
        ({"bits": 4, "format": "posit"}, "posit4_1", 2),
        ({"bits": 8, "format": "posit"}, "posit8_0", 2),
        ({"bits": 16, "format": "posit"}, "posit16_1", 2),
        ({"bits": 16, "format": "posit", "es": 2}, "posit16_2", 2),
        ({"bits": 11, "format": "posit", "es": 3}, "posit11_3", 2),
        ({"bits": 4, "format": "fp4"}, "fp4_e2m1", 2),
    ],
)
def test_bits_name_the_weights(values: dict[str, Any], acts: str, k: int) -> None:
    spec = family("posit").from_values(values)
    assert (spec.act_format.name, spec.weight_format.name, int(spec.layer_k(spec.p))) == (acts, acts, k)


def test_the_preset_brings_its_depth() -> None:
    spec = family("posit").from_values({"quire": "xr_npe"})
    assert (spec.depth, spec.group, int(spec.acc_bits(spec.p))) == (127, 64, 128)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bits": 4}, "posit: bits 4 is p4 or fp4; use --operands p4 or --operands fp4"),
        ({"bits": 6}, "posit: bits must be 4, 8 or 16 with format simd, not 6; try --format posit"),
        ({"bits": 8, "format": "fp4"}, "posit: bits must be 4 with format fp4, not 8"),
        ({"posit_bits": 17}, "posit: posit_bits must be a whole number from 2 to 16, not 17"),
        ({"overflow": "wrap"}, "posit: overflow must be refuse, not 'wrap'"),
        ({"format": "posit", "simd_along": "n"}, "posit: simd_along must be k with format posit, not n"),
        (
            {"format": "fp4", "quire": "xr_npe"},
            "posit: quire must be exact with format fp4, not xr_npe",
        ),
        ({"quire": "xr_npe", "depth": 128}, "posit: depth must be at most 127 with quire xr_npe, not 128"),
        (
            {"simd_along": "n", "post_lanes": 2},
            "posit: post_lanes must be 0 with simd_along n, not 2; scale its sums in software",
        ),
        ({"readout": "posit"}, "posit: readout must be fp32 without post lanes, not posit; use --post-lanes"),
        (
            {"format": "fp4", "readout": "posit", "post_lanes": 2},
            "posit: readout must be fp32 or fp16 with format fp4, not posit",
        ),
        ({"depth": 4, "k": 2, "group": 0}, "posit: depth (4) must hold the products of one step: use --depth 8"),
    ],
)
def test_what_cannot_be_built(values: dict[str, Any], message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        family("posit").from_values(values)
    assert str(caught.value) == message
