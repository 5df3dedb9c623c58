"""The bound between exact and fake mode holds, and a bound a quarter smaller would not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from hwgen.formats import QTensor, get
from sim.golden import QuantLinear
from tests.golden.operands import acts, weights
from tests.golden.oracle import Formats, weight_name

TIGHT = 0.75
"""The constructed examples come closer to their bound than this."""

FP16 = Formats(acts="fp16", act_scale="e8m0", weights="int8", align="group", align_guard=3)
CASES = [
    *(Formats(scheme=name, weights=weight_name(name, 4)) for name in ("symmetric", "asymmetric", "minimum", "bipolar")),
    Formats(scheme="minimum", weights="uint8", weight_scale="bf16", group=8),
    *(
        dataclasses.replace(FP16, align=scope, align_guard=guard, align_rounding=rounding)
        for scope in ("step", "group", "row")
        for guard in (-4, 0, 3)
        for rounding in ("rne", "truncate")
    ),
    dataclasses.replace(FP16, align=None),
    Formats(acts="mxint8", weights="mxint8", scheme="mx", act_scale="e8m0", weight_scale="e8m0"),
]


def error(layer: QuantLinear, x: torch.Tensor | QTensor) -> torch.Tensor:
    return (layer(x).double() - layer(x, mode="fake").double()).abs()


@pytest.mark.parametrize("q", CASES, ids=lambda q: f"{q.acts}-{q.scheme}-{q.align}{q.align_guard}{q.align_rounding}")
def test_the_bound_holds(q: Formats) -> None:
    for seed in range(4):
        layer = QuantLinear.from_linear(weights(seed, 16, 300), q)
        x = acts(seed, 8, 300, spread=4 * seed)
        bound = layer.bound(x)
        assert bound.shape == (8, 16)
        assert bool((error(layer, x) <= bound).all())
        # Not by being vacuous: far below the results where nothing is aligned and no minimum cancels.
        if q.align is None and q.scheme != "minimum":
            assert bool((bound <= 1e-5 * layer(x).abs().max()).all())


def ones(k: int, form: str, scale_codes: list[int], scale_format: str, group: int) -> QTensor:
    codes = np.ones((1, k), np.uint32)
    scales = np.array([scale_codes], np.uint32)
    return QTensor.build(codes, get(form), group_size=group, scale_codes=scales, scale_format=get(scale_format))


def test_rounding_in_every_addition_nearly_reaches_the_bound() -> None:
    """1 + 2**-24 + 2**-24 + ...: each addition is a tie that goes down to 1, so the error grows by u each time."""
    k = 64
    column = ones(k, "int4", [0x3C00] + [0x0001] * (k - 1), "fp16", 1)
    row = ones(k, "int8", [0x3F80], "bf16", 0)
    layer = QuantLinear(column, Formats(group=1))
    difference, bound = error(layer, row), layer.bound(row)
    assert layer(row).item() == 1.0
    assert difference.item() <= bound.item()
    assert difference.item() > TIGHT * bound.item()


@pytest.mark.parametrize("scope", ["group", "row", "step"])
def test_truncation_nearly_reaches_the_bound(scope: str) -> None:
    """Activations just below the unit of a large one, which a weight of zero hides, vanish in the alignment."""
    k = 8
    column = ones(k, "int4", [0x3C00], "fp16", 0)
    column = dataclasses.replace(column, codes=np.array([[0] + [1] * (k - 1)]))
    q = Formats(acts="fp16", act_scale="e8m0", group=0, align=scope, align_rounding="truncate", step=8)
    layer = QuantLinear(column, q)
    # 1024 has a last place of 1.
    x = torch.tensor([[1024.0] + [1 - 2.0**-11] * (k - 1)])
    assert layer(x).item() == 0.0
    difference, bound = error(layer, x), layer.bound(x)
    assert TIGHT * bound.item() < difference.item() <= bound.item()


def test_rounding_to_nearest_nearly_reaches_the_bound() -> None:
    k = 8
    column = dataclasses.replace(ones(k, "int4", [0x3C00], "fp16", 0), codes=np.array([[0] + [1] * (k - 1)]))
    layer = QuantLinear(column, dataclasses.replace(FP16, weights="int4", group=0, align_guard=0))
    x = torch.tensor([[1024.0] + [4.5] * (k - 1)])
    assert layer(x).item() == 4.0 * (k - 1)
    difference, bound = error(layer, x), layer.bound(x)
    assert TIGHT * bound.item() < difference.item() <= bound.item()


def weighted(codes: list[int]) -> QTensor:
    """An int8 column of scale 1."""
    form = get("int8")
    return QTensor.build(np.array([codes]) & 0xFF, form, scale_codes=np.full((1, 1), 0x3C00), scale_format=get("fp16"))


def test_the_rounding_of_the_float_model_counts() -> None:
    """2**24 + 1 is a tie and goes down; with the half that alignment truncates, the float model goes up by two."""
    q = dataclasses.replace(FP16, group=0, align_guard=5, align_rounding="truncate")
    layer = QuantLinear(weighted([127, 127, 127, 127, 4, 1, 1]), q)
    x = torch.tensor([[2.0**15] * 5 + [1.0, 0.5]])
    assert layer(x).item() == 2.0**24
    assert layer(x, mode="fake").item() == 2.0**24 + 2
    assert 2.0 <= layer.bound(x).item() < 2.0 / TIGHT


def test_dropped_bits_may_move_an_activation_by_a_unit() -> None:
    layer = QuantLinear(weighted([1]), dataclasses.replace(FP16, group=0, align_guard=-10))
    x = torch.tensor([[2 - 2.0**-10]])
    assert layer(x).item() == 1.0
    assert 1 - 2.0**-10 <= layer.bound(x).item() < 1.001


def test_minima_count_as_terms() -> None:
    """Codes of zero: only minima, of 1 and then of 2**-24, which all vanish."""
    k = 64
    column = ones(k, "uint4", [0x3C00] * k, "fp16", 1)
    minima = np.array([[1.0] + [2.0**-24] * (k - 1)])
    column = dataclasses.replace(column, codes=np.zeros((1, k), np.uint32), zero=minima, zero_kind="minimum")
    layer = QuantLinear(column, Formats(weights="uint4", scheme="minimum", group=1))
    row = ones(k, "int8", [0x3F80], "bf16", 0)
    assert layer(row).item() == 1.0
    # Half of the terms are zero, but the bound does not look at that.
    assert 0 < error(layer, row).item() <= layer.bound(row).item() < 2.1 * error(layer, row).item()


def test_subnormal_results_stay_within_the_bound() -> None:
    """Products of 2**-150 and below, each rounded to zero: only the bound's absolute part covers them."""
    k = 16
    column = ones(k, "int4", [0x0001] * k, "fp16", 1)
    row = ones(k, "int8", [0x0080], "bf16", 0)
    layer = QuantLinear(column, Formats(group=1))
    assert layer(row).item() == 0.0
    assert layer(row, mode="fake").item() == k * 2.0**-150
    assert k * 2.0**-150 <= layer.bound(row).item() < 1.5 * k * 2.0**-150


def test_nothing_is_claimed_where_fp32_overflows_or_a_scale_is_no_number() -> None:
    for row_scale in (0x7F00, 0x7F80, 0x7FC0):
        column, row = ones(4, "int4", [0x7BFF], "fp16", 0), ones(4, "int8", [row_scale], "bf16", 0)
        assert QuantLinear(column, Formats(group=0)).bound(row).item() == torch.inf
