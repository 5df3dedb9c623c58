"""The measure behind the L-Mul error table, against products in fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from hwgen.pe import family
from reports.errors.lmul import product_errors
from reports.errors.minifloat import measure
from sim.golden import golden_layer
from tests.pe.test_lmul import product


@pytest.mark.parametrize("carry", [True, False])
@pytest.mark.parametrize("mantissa", [1, 2, 3, 4, 5])
def test_product_errors_equal_fractions(mantissa: int, carry: bool) -> None:
    offset = Fraction(1, 2 ** {1: 1, 2: 2, 3: 3, 4: 3, 5: 4}[mantissa])
    errors = []
    for i in range(2**mantissa):
        for j in range(2**mantissa):
            f, g = Fraction(i, 2**mantissa), Fraction(j, 2**mantissa)
            exact = (1 + f) * (1 + g)
            found = product(1 + f, 1 + g, mantissa) if carry else 1 + f + g + offset
            errors.append((found - exact) / exact)
    worst, mean, rms = product_errors(mantissa, carry)
    assert worst == pytest.approx(float(max(map(abs, errors))))
    assert mean == pytest.approx(float(sum(errors) / len(errors)))
    assert rms**2 == pytest.approx(float(sum(error**2 for error in errors) / len(errors)))


def test_measure_equals_fractions() -> None:
    spec = family("lmul").from_values({"acts": "fp8_e5m2", "weights": "fp8_e4m3", "group": 0, "depth": 24, "k": 2})
    rng = np.random.default_rng(3)
    weights, acts = rng.normal(size=(3, 24)), rng.normal(size=(2, 24))
    worst, mean, _ = measure(spec, weights, acts)
    quantised = spec.quantize_weights(weights)
    rows = golden_layer(quantised, spec.quantization()).quantize(torch.from_numpy(acts)).values().tolist()
    errors = []
    for a in rows:
        for w in quantised.values().tolist():
            pairs = [(Fraction(x), Fraction(y)) for x, y in zip(a, w, strict=True)]
            flushed = [(x * (abs(x) >= Fraction(1, 2**14)), y * (abs(y) >= Fraction(1, 64))) for x, y in pairs]
            found = sum(product(x, y, 3) for x, y in flushed)
            errors.append((found - sum(x * y for x, y in pairs)) / sum(abs(x * y) for x, y in pairs))
    assert worst == pytest.approx(float(max(map(abs, errors))))
    assert mean == pytest.approx(float(sum(errors) / len(errors)))
    assert worst > 0.003
