"""The measure behind the minifloat error table, against sums over fractions that are rounded one by one."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from hwgen.pe import family
from reports.errors.minifloat import measure
from sim.golden import golden_layer


def fp32(value: Fraction) -> Fraction:
    """A number in FP32's normal range, rounded to 24 bits, ties to even."""
    if not value:
        return value
    unit = Fraction(2) ** (math.frexp(float(value))[1] - 24)
    return round(value / unit) * unit


def tree(terms: list[Fraction]) -> Fraction:
    while len(terms) > 1:
        terms = [fp32(a + b) for a, b in zip(terms[::2], terms[1::2], strict=False)] + terms[len(terms) // 2 * 2 :]
    return terms[0]


@pytest.mark.parametrize(
    ("values", "step", "partials", "group"),
    [
        ({"k": 1}, 1, 1, 48),
        ({"k": 4}, 4, 1, 48),
        ({"k": 4, "adder_stages": 2, "interleave": "ring"}, 4, 2, 48),
        ({"k": 4, "adder_stages": 3, "interleave": "ring", "group": 16}, 4, 3, 16),
    ],
)
def test_measure_equals_fractions(values: dict[str, object], step: int, partials: int, group: int) -> None:
    given = {"acts": "fp16", "weights": "fp16", "accumulator": "fp32", "group": 0, "depth": 48, "post_lanes": 0}
    spec = family("minifloat").from_values(given | values)
    rng = np.random.default_rng(3)
    weights, acts = rng.normal(size=(3, 48)), rng.normal(size=(2, 48))
    worst, mean, _ = measure(spec, weights, acts)
    quantised = spec.quantize_weights(weights)
    rows = golden_layer(quantised, spec.quantization()).quantize(torch.from_numpy(acts)).values().tolist()
    found = []
    for a in rows:
        for w in quantised.values().tolist():
            for start in range(0, 48, group):
                products = [Fraction(a[k]) * Fraction(w[k]) for k in range(start, start + group)]
                sums = [Fraction(0)] * partials
                for index in range(group // step):
                    update = tree(products[index * step : (index + 1) * step])
                    sums[index % partials] = fp32(sums[index % partials] + update)
                turn = group // step % partials
                total, *others = sums[turn:] + sums[:turn]
                for other in others:
                    total = fp32(total + other)
                found.append((total - sum(products)) / sum(abs(product) for product in products))
    assert worst == pytest.approx(float(max(abs(error) for error in found)), rel=1e-6)
    assert mean == pytest.approx(float(sum(found) / len(found)), rel=1e-6)
    assert worst > 1e-8


def test_exact_sums_have_no_error() -> None:
    rng = np.random.default_rng(4)
    weights, acts = rng.normal(size=(4, 64)), rng.normal(size=(4, 64))
    # 64 products of FP8 numbers of this spread fit FP32.
    for form, rounds in (("fp16", True), ("fp8_e4m3", False)):
        given = {"acts": form, "weights": form, "group": 0, "depth": 64, "post_lanes": 0}
        exact = measure(family("minifloat").from_values({**given, "accumulator": "exact"}), weights, acts)
        rounded = measure(family("minifloat").from_values({**given, "accumulator": "fp32"}), weights, acts)
        assert exact[0] < 1e-14
        assert (rounded[0] > 1e-9) == rounds
