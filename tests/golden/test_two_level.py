"""The golden layer of two-level weights against plain integers and fractions."""

from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
import torch

from hwgen.errors import HwgenError
from hwgen.formats import QTensor, get
from hwgen.pe import Quantization
from hwgen.quantize import two_level
from sim.golden import TwoLevelLinear, golden_layer
from tests.golden.operands import K, acts, codes, weights

OUTPUTS = 5


def quantization(scheme: str, bits: int, acts: str = "int8", **values: object) -> Quantization:
    aligned = acts == "fp16"
    return dataclasses.replace(
        Quantization(
            acts=acts,
            weights=f"{'int' if scheme == 'symmetric' else 'uint'}{bits}",
            scheme=f"two_level_{scheme}",
            group=16,
            act_scale="e8m0" if aligned else "bf16",
            weight_scale="fp16",
            align="row" if aligned else None,
            align_guard=3,
            step=4,
            arithmetic="two_level",
        ),
        **values,  # type: ignore[arg-type]
    )


def integer_weights(q: QTensor) -> list[list[int]]:
    """s1·(q − z) in plain integers: K = 36 has a ragged last group of 4."""
    form = get(q.format.name)
    rows = []
    for n, row in enumerate(q.codes.tolist()):
        zero = [0] * q.groups if q.zero is None else q.zero[n].tolist()
        scale = q.scale_codes[n].tolist()
        rows.append([scale[k // 16] * (int(form.decode_scalar(code)) - zero[k // 16]) for k, code in enumerate(row)])
    return rows


def rounded(value: Fraction) -> np.float32:
    """Nearest float32 of a number of at most 53 bits."""
    assert Fraction(float(value)) == value
    return np.float32(float(value))


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("scheme", ["asymmetric", "symmetric"])
def test_integer_activations(scheme: str, bits: int) -> None:
    q, x = quantization(scheme, bits), acts(bits)
    w = two_level(weights(bits, OUTPUTS).numpy(), bits, 16, scheme)
    layer = golden_layer(w, q)
    assert isinstance(layer, TwoLevelLinear)
    given = layer.quantize(x)
    a, ints = given.format.fixed(given.codes).tolist(), integer_weights(w)
    sums = [[sum(p * r for p, r in zip(row, column, strict=True)) for column in ints] for row in a]
    assert layer.group_sums(x).tolist() == [sums]
    y = layer(x)
    assert w.outer is not None
    for t, row in enumerate(sums):
        scale = Fraction(float(given.scales[t, 0]))
        for n, total in enumerate(row):
            wanted = rounded(total * scale) * w.outer[n, 0]
            assert float(y[t, n]) == float(wanted), (t, n)
    assert np.unique(codes(y)).size > 5


@pytest.mark.parametrize("scope", ["row", "step"])
def test_aligned_activations(scope: str) -> None:
    """Small significands, which alignment leaves exact: the layer is the product of its operands."""
    rng = np.random.default_rng(3)
    x = torch.from_numpy(rng.integers(-60, 61, (3, K)) * 2.0 ** rng.integers(-3, 3, (3, 1)))
    w = two_level(weights(4, OUTPUTS).numpy(), 4, 16)
    layer = golden_layer(w, quantization("asymmetric", 4, "fp16", align=scope))
    values = [[Fraction(v) for v in row] for row in x.tolist()]
    ints = integer_weights(w)
    assert w.outer is not None
    y = layer(x)
    for t, row in enumerate(values):
        for n, column in enumerate(ints):
            total = sum((p * r for p, r in zip(row, column, strict=True)), Fraction(0))
            assert float(y[t, n]) == float(rounded(total) * w.outer[n, 0]), (t, n)
    assert len(layer.group_sums(x)) == 1


def test_fake_mode_dequantises_both_levels() -> None:
    w, x = two_level(weights(1, OUTPUTS).numpy(), 4, 16), acts(2)
    layer = golden_layer(w, quantization("asymmetric", 4))
    want = layer.quantize(x).dequantize() @ w.dequantize().T
    assert np.array_equal(layer(x, "fake").numpy(), want.astype(np.float32))
    assert np.allclose(layer(x).numpy(), want, rtol=1e-5, atol=1e-6)


def test_refusals() -> None:
    good = two_level(np.full((2, K), 3.0), 4, 16)
    q = quantization("asymmetric", 4)
    cases = [
        (
            dataclasses.replace(good, outer=None),
            q,
            "TwoLevelLinear: weights must have integer scales for groups and a scale a channel, "
            "not uint8 and no such scale",
        ),
        (
            dataclasses.replace(good, scale_format=get("fp8_e4m3")),
            q,
            "TwoLevelLinear: weights must have integer scales for groups and a scale a channel, not fp8_e4m3 and one",
        ),
        (
            dataclasses.replace(good, scale_codes=np.full_like(good.scale_codes, 30)),
            q,
            "TwoLevelLinear: dequantised weights must be -128 to 127, not 450 to 450",
        ),
        (
            good,
            quantization("asymmetric", 4, "fp16", align="group"),
            "TwoLevelLinear: align must be step or row for sums over a whole row, not group",
        ),
    ]
    for weights_given, plan, sentence in cases:
        with pytest.raises(HwgenError) as caught:
            golden_layer(weights_given, plan)
        assert str(caught.value) == sentence
