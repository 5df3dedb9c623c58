"""The measure behind BitMoD's error table, against sums over fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from hwgen.pe import family
from hwgen.pe.bitmod import Bitmod
from reports.errors.bitmod import measure
from sim.golden import golden_layer


@pytest.mark.parametrize("values", [{}, {"accumulator": "exact"}, {"bits": 8, "acc_mantissa": 11}, {"acts": "int8"}])
def test_measure_equals_fractions(values: dict[str, object]) -> None:
    spec = family("bitmod").from_values({"group": 16, "k": 4, "depth": 32, "post_lanes": 0, **values})
    assert isinstance(spec, Bitmod)
    rng = np.random.default_rng(3)
    weights, acts = rng.normal(size=(3, 40)), rng.normal(size=(2, 40))
    worst, mean, _ = measure(spec, weights, acts)
    layer = golden_layer(spec.quantize_weights(weights), spec.quantization())
    given = layer.quantize(torch.from_numpy(acts))
    words = layer.group_words(given)
    assert words is not None
    found = []
    for g, part in enumerate(layer.weights.group_slices):
        for t, a in enumerate(given.values()[:, part].tolist()):
            for n, w in enumerate(layer.weights.values()[:, part].tolist()):
                products = [Fraction(x) * Fraction(y) for x, y in zip(a, w, strict=True)]
                word = int(words[g, t, n])
                if spec.sums_add_up:
                    got = Fraction(word) * Fraction(2) ** spec.lsb_exp
                else:
                    exponent, mantissa = divmod(word, 1 << spec.acc_mantissa)
                    mantissa -= (mantissa >> (spec.acc_mantissa - 1)) << spec.acc_mantissa
                    got = mantissa * Fraction(2) ** (exponent + spec.lsb_exp)
                found.append((got - sum(products)) / sum(abs(p) for p in products))
    assert worst == pytest.approx(float(max(abs(error) for error in found)), rel=1e-9, abs=1e-15)
    assert mean == pytest.approx(float(sum(found) / len(found)), rel=1e-9, abs=1e-15)
    assert (worst > 0) == (spec.acts != "int8")


def test_a_wider_accumulator_errs_less() -> None:
    rng = np.random.default_rng(4)
    weights, acts = rng.normal(size=(8, 128)), rng.normal(size=(4, 128))
    errors = [
        measure(family("bitmod").from_values({"post_lanes": 0, "acc_mantissa": width}), weights, acts)[2]
        for width in (12, 15, 24)
    ]
    assert errors[0] > 4 * errors[1] > 16 * errors[2]
