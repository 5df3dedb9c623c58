from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.quantize import (
    acts_for,
    ant,
    bitmod,
    cast,
    codebook,
    float_minimum,
    fourth_roots,
    hif4,
    integer,
    minifloat,
    mx,
    nv,
    olive,
    per_row,
    per_token,
    posit,
    powers,
    scaled_blocks,
    ternary,
    two_level,
    weights_for,
)

X = np.random.default_rng(50).normal(size=(3, 40)).astype(np.float32)


@dataclass(frozen=True)
class Plan:
    acts: str = "int8"
    weights: str = "int4"
    scheme: str = "symmetric"
    group: int = 16
    act_scale: str = "bf16"
    weight_scale: str = "fp16"
    align: str | None = None
    block_rule: str = "floor"


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (Plan(), lambda: integer(X, 4, 16)),
        (Plan(weights="uint3", scheme="asymmetric"), lambda: integer(X, 3, 16, "asymmetric")),
        (Plan(weights="bipolar2", scheme="bipolar", group=0), lambda: integer(X, 2, 0, "bipolar")),
        (Plan(weights="uint4", scheme="minimum", weight_scale="bf16"), lambda: float_minimum(X, 4, 16, "bf16")),
        (Plan(weights="mxfp4", scheme="mx", block_rule="ceil"), lambda: mx(X, "mxfp4", 16, "ceil")),
        (Plan(weights="nvfp4", scheme="nv", weight_scale="fp8_e4m3"), lambda: nv(X, "fp4_e2m1", 16)),
        (Plan(weights="nvint4", scheme="nv", group=0, weight_scale="fp8_e4m3"), lambda: nv(X, "nvint4", 0)),
        (
            Plan(weights="nvfp4", scheme="nv", weight_scale="ue5m3"),
            lambda: nv(X, "fp4_e2m1", 16, scale_format="ue5m3"),
        ),
        (
            Plan(weights="e3m1", scheme="block", weight_scale="ue5m3", block_rule="ceil"),
            lambda: scaled_blocks(X, "e3m1", 16, "ue5m3", "ceil"),
        ),
        (Plan(weights="hif4", scheme="hif4"), lambda: hif4(X, 16)),
        (Plan(weights="ternary", scheme="element"), lambda: ternary(X, 16, format="ternary")),
        (Plan(weights="int2", scheme="ternary", weight_scale="bf16"), lambda: ternary(X, 16, "bf16")),
        (Plan(weights="ternary", scheme="ternary", group=0), lambda: ternary(X, format="ternary")),
        (Plan(weights="posit8_0", scheme="posit", weight_scale="e8m0"), lambda: posit(X, "posit8_0", 16, "e8m0")),
        (Plan(weights="bitmod_fp3", scheme="bitmod", weight_scale="int8"), lambda: bitmod(X, "bitmod_fp3", 16)),
        (Plan(weights="int6", scheme="bitmod", weight_scale="fp16"), lambda: bitmod(X, "int6", 16, "fp16")),
        (Plan(weights="nf4", scheme="codebook", weight_scale="bf16"), lambda: codebook(X, "nf4", 16, "bf16")),
        (Plan(weights="apot2_5", scheme="powers", weight_scale="bf16"), lambda: powers(X, "apot2_5", 16, "bf16")),
        (Plan(weights="roots4", scheme="fourth_roots"), lambda: fourth_roots(X, "roots4", 16)),
        (Plan(weights="ant4", scheme="ant"), lambda: ant(X, "ant4", 16)),
        (Plan(weights="olive4", scheme="olive"), lambda: olive(X, "olive4", 16)),
        (Plan(weights="uint4", scheme="two_level_asymmetric"), lambda: two_level(X, 4, 16)),
        (
            Plan(weights="int3", scheme="two_level_symmetric", weight_scale="bf16"),
            lambda: two_level(X, 3, 16, "symmetric", "bf16"),
        ),
        (Plan(weights="fp8_e4m3", scheme="element", weight_scale="e8m0"), lambda: minifloat(X, "e4m3", 16, "e8m0")),
        # Sixteen bits need no scale.
        (Plan(weights="bf16", scheme="element"), lambda: cast(X, "bf16", "fp16", 16)),
    ],
)
def test_weights(plan: Plan, expected: Any) -> None:
    assert weights_for(plan, X) == expected()


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (Plan(), lambda: integer(X, 8, 0, "symmetric", "bf16")),
        (Plan(acts="int16", act_scale="fp16"), lambda: integer(X, 16)),
        (Plan(acts="fp8_e4m3"), lambda: minifloat(X, "fp8_e4m3", 0, "bf16")),
        (Plan(acts="posit4_1", act_scale="e8m0"), lambda: posit(X, "posit4_1", 0, "e8m0")),
        (Plan(acts="posit16_1"), lambda: posit(X, "posit16_1", 0, "bf16")),
        (Plan(acts="flint4"), lambda: ant(X, "flint4", 0, "bf16")),
        (Plan(acts="olive4"), lambda: olive(X, "olive4", 0, "bf16")),
        (Plan(acts="fp16"), lambda: cast(X, "fp16", "bf16")),
        (Plan(acts="bf16", align="group", act_scale="e8m0"), lambda: cast(X, "bf16", "e8m0")),
        (Plan(acts="fp8_e5m2", align="step", act_scale="e8m0"), lambda: cast(X, "fp8_e5m2", "e8m0")),
        (Plan(acts="int8", scheme="bitmod"), lambda: per_token(X, "int8", "bf16")),
        (Plan(acts="fp16", scheme="bitmod"), lambda: cast(X, "fp16", "bf16")),
        (Plan(acts="mxint8", scheme="mx", block_rule="ceil"), lambda: mx(X, "mxint8", 16, "ceil")),
        (Plan(acts="nvfp4", scheme="nv", act_scale="fp8_e4m3"), lambda: nv(X, "fp4_e2m1", 16)),
        (
            Plan(acts="e3m1", scheme="block", act_scale="ue5m3", block_rule="nearest"),
            lambda: scaled_blocks(X, "e3m1", 16, "ue5m3"),
        ),
        (Plan(acts="hif4", scheme="hif4", group=8), lambda: hif4(X, 8)),
    ],
)
def test_activations(plan: Plan, expected: Any) -> None:
    assert acts_for(plan, X) == expected()


def test_unknown_scheme() -> None:
    with pytest.raises(HwgenError) as caught:
        weights_for(Plan(scheme="log"), X)
    assert str(caught.value) == (
        "weights: scheme must be symmetric, asymmetric, bipolar, ternary, minimum, mx, nv, block, hif4, element, "
        "posit, bitmod, codebook, powers, ant, olive, fourth_roots, sparse_ternary, trit_planes, any4, "
        "two_level_asymmetric or two_level_symmetric, not 'log'"
    )


@pytest.mark.parametrize("name", ["uint8", "mxint8", "ternary", "e8m0"])
def test_formats_that_have_no_scale_per_row(name: str) -> None:
    with pytest.raises(HwgenError) as caught:
        per_row(X, name)
    assert (
        str(caught.value) == f"per_row: format must be intN, bipolarN, a minifloat, a posit, ant4 or olive4, not {name}"
    )


@pytest.mark.parametrize("bits", [1, 2, 8])
def test_odd_integers_of_a_row(bits: int) -> None:
    found = per_row(X, f"bipolar{bits}")
    assert found == integer(X, bits, 0, "bipolar", "bf16")
    assert (found.format.name, found.group_size) == (f"bipolar{bits}", np.shape(X)[1])
