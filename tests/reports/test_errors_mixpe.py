"""The measure behind MixPE's error table, against sums over fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from hwgen.pe import family
from reports.errors.mixpe import measure
from sim.golden import golden_layer


def aligned(x: list[float], guard: int) -> list[Fraction]:
    """fp16 numbers rounded to multiples of the last place of the largest, ``guard`` bits finer."""
    top = max(math.frexp(abs(v))[1] - 1 for v in x if v)
    unit = Fraction(2) ** (max(top, -14) - 10 - guard)
    limit = 2 ** (11 + guard) - 1
    return [min(max(round(Fraction(v) / unit), -limit), limit) * unit for v in x]


@pytest.mark.parametrize(
    ("values", "scope"),
    [
        ({"align_scope": "group", "guard_bits": 3}, 16),
        ({"align_scope": "step", "guard_bits": 0}, 4),
        ({"align_scope": "row", "guard_bits": 1, "dequant": "before"}, 40),
        ({"align_scope": "row", "scheme": "symmetric", "guard_bits": 2}, 40),
    ],
)
def test_measure_equals_fractions(values: dict[str, object], scope: int) -> None:
    spec = family("mixpe").from_values({"acts": "fp16", "group": 16, "k": 4, "depth": 64, **values})
    rng = np.random.default_rng(3)
    weights, acts = rng.normal(size=(3, 40)), rng.normal(size=(2, 40))
    worst, mean, _ = measure(spec, weights, acts)
    quantised = spec.quantize_weights(weights)
    given = golden_layer(quantised, spec.quantization()).quantize(torch.from_numpy(acts))
    before = spec.p["dequant"] == "before"
    parts = [slice(0, 40)] if before else list(quantised.group_slices)
    found = []
    for row in given.dequantize().tolist():
        rounded = [
            v for start in range(0, 40, scope) for v in aligned(row[start : start + scope], spec.p["guard_bits"])
        ]
        for n, codes in enumerate(quantised.values().tolist()):
            w = []
            for k, code in enumerate(codes):
                zero = 0 if quantised.zero is None else int(quantised.zero[n, k // 16])
                scale = int(quantised.scale_codes[n, k // 16]) if before else 1
                w.append(Fraction(code - zero) * scale)
            for part in parts:
                error = sum((r - Fraction(a)) * b for r, a, b in zip(rounded[part], row[part], w[part], strict=True))
                found.append(error / sum(abs(Fraction(a) * b) for a, b in zip(row[part], w[part], strict=True)))
    assert worst == pytest.approx(float(max(abs(error) for error in found)), rel=1e-9)
    assert mean == pytest.approx(float(sum(found) / len(found)), rel=1e-9)
    assert worst > 1e-5


def test_integers_are_exact_and_guard_bits_help() -> None:
    rng = np.random.default_rng(4)
    weights, acts = rng.normal(size=(8, 128)), rng.normal(size=(4, 128))

    def worst(**values: object) -> float:
        return measure(family("mixpe").from_values({"depth": 128, **values}), weights, acts)[0]

    assert worst(acts="int8") == worst(acts="int8", dequant="before") == 0
    errors = [worst(acts="fp16", guard_bits=guard) for guard in (0, 3, 8)]
    assert errors[0] > 4 * errors[1] > 64 * errors[2]
