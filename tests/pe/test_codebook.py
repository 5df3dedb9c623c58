"""Codebook tiles: values in fixed point, widths, layers against golden ones, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import get
from hwgen.pe import family
from hwgen.pe.codebook import Codebook
from sim.accuracy.tile import formats_of
from tests.golden.test_tiles import compare

SMALL: dict[str, Any] = {"m": 2, "n": 2, "k": 4, "group": 16}


def tile(**values: Any) -> Codebook:
    found = family("codebook").from_values(SMALL | values)
    assert isinstance(found, Codebook)
    return found


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"value_bits": 5, "post_lanes": 2, "weight_scale": "fp32"},
        {"weights": "fp4_e2m1", "weight_scale": "fp8_e4m3"},
        {"weights": "razer_fp4", "acts": "fp16", "align_scope": "step"},
        {"weights": "razer_fp4", "post_lanes": 1, "weight_scale": "e8m0"},
        {"weights": "bitmod_fp3", "acts": "int16", "post_lanes": 2},
        {"weights": "codebook(-4,-1,2,5)", "acts": "bf16"},
        {"weights": "e3m1", "value_bits": 9, "group": 0},
        {"weights": "int5"},
        {"weights": "sherry"},
        {"weights": "any4"},
        {"weights": "any4", "acts": "fp16", "align_scope": "row", "group": 0},
        {"weights": "trit_planes", "post_lanes": 2},
        {"weights": "sherry", "acts": "fp16", "k": 8, "post_lanes": 1, "align_scope": "step"},
        {"weights": "bipolar3"},
        {"weights": "table(0,1,2,0.1;5,-1,-9,7)", "acts": "fp8_e4m3", "align_scope": "row"},
        {"overflow": "wrap", "depth": 8, "group": 32},
    ],
    ids=str,
)
def test_layers(values: dict[str, Any]) -> None:
    compare(tile(**values), 3)


@pytest.mark.parametrize("weights", ["nf4", "fp4_e2m1", "razer_fp4", "bitmod_fp4", "int3"])
def test_every_value_is_that_of_its_format(weights: str) -> None:
    """A tile of one cell, one product a step: activation 1 gives the values themselves, in the format's last place."""
    spec = family("codebook").from_values({"m": 1, "n": 1, "k": 1, "group": 1, "depth": 1, "weights": weights})
    form = spec.weight_format
    for side in range(1 << form.side_bits):
        col = {"selector": np.array([side])} if form.side_bits else {}
        for code in range(1 << form.code_bits):
            state = spec.step(spec.init(), np.array([[1]]), np.array([[code]]), {}, col)
            value = form.decode([code], [side] if form.side_bits else None)[0]
            assert spec.read(state).item() * 2.0**form.lsb_exp == value


def test_sums_are_no_wider_than_their_values() -> None:
    # 127 * 128 * 128 and, of values -4 to 5 in three bits and sign, 5 * 128 * 128.
    assert tile(depth=128).acc_bits(tile(depth=128).p) == 22
    spec = tile(weights="codebook(-4,-1,2,5)", depth=128)
    assert (spec.acc_bits(spec.p), spec.col_bus_bits(spec.p)) == (18, 4 * 4)


@pytest.mark.parametrize(("bits", "weights"), [(2, "int2"), (3, "e2m0"), (4, "nf4"), (5, "e2m2")])
def test_bits_name_a_format(bits: int, weights: str) -> None:
    assert tile(bits=bits).weights == weights
    assert get(weights).code_bits == bits


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({}, "codebook(-127,-88,-67,-50,-36,-23,-12,0,10,20,31,43,56,71,92,127)/16"),
        ({"weights": "razer_fp4", "weight_scale": "e8m0"}, "special(fp4_e2m1,-5,5,-8,8)/16@e8m0"),
        ({"weights": "fp4_e2m1"}, "fp4_e2m1/16"),
        ({"weights": "any4"}, "any4/16"),
        ({"weights": "trit_planes"}, "trit_planes/16"),
        ({"bits": "1.25"}, "ternary_3of4/16"),
        ({"weights": "int4", "group": 0}, "int4/row"),
    ],
)
def test_accuracy_knows_the_formats(values: dict[str, Any], name: str) -> None:
    assert formats_of(tile(**values)).document()["formats"]["weights"] == name


ALL_NUMBERS = (
    "codebook: weights must be a format of at most 5 bits whose codes are all numbers, such as nf4, fp4_e2m1, "
    "razer_fp4 or codebook(-4,-1,2,5), not "
)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"weights": "int8"}, ALL_NUMBERS + "'int8'"),
        ({"weights": "posit4_1"}, ALL_NUMBERS + "'posit4_1'"),
        ({"weights": 4}, ALL_NUMBERS + "4"),
        (
            {"weights": "uint4"},
            "codebook: weights must have negative values, which uint4 has not; it keeps no zero points",
        ),
        (
            {"weights": "sherry", "k": 2},
            "codebook: k must be a multiple of 4, the weights of a code of sherry, not 2",
        ),
        (
            {"value_bits": 4},
            "codebook: value_bits must keep the values of nf4 apart, not 4; use a larger --value-bits",
        ),
        ({"bits": 8}, "codebook: bits must be 1.25, 2, 3, 4 or 5, not 8"),
    ],
)
def test_refusals(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HwgenError) as caught:
        tile(**values)
    assert str(caught.value) == sentence
