"""The page on weights of few bits: signs hold alike at every width, and what is zero is counted after quantising."""

from __future__ import annotations

import numpy as np

from hwgen.pe import family
from reports.low_bits import BITS, Measured, operands_of, page, zeros_of
from sim.energy import Operands


def _layer() -> list[Operands]:
    draw = np.random.default_rng(1)
    weights, acts = draw.standard_normal((16, 256)), draw.standard_normal((4, 256))
    return [Operands("drawn", weights.astype(np.float32), acts.astype(np.float32))]


def test_signs_are_the_same_values_at_every_width() -> None:
    signs = operands_of("signs", _layer())
    for bits in BITS:
        spec = family("int").from_values({"bits": bits})
        held = spec.quantize_weights(signs[0].weights).dequantize()
        # 1/3 and 1/7 are scales in FP16: off by half a unit of its 11 bits.
        assert np.abs(held - signs[0].weights).max() <= 2.0**-11, bits
        assert zeros_of(spec, signs) == 0


def test_weights_of_two_bits_are_mostly_zero_and_of_one_bit_never() -> None:
    share = {bits: zeros_of(family("int").from_values({"bits": bits}), _layer()) for bits in BITS}
    assert share[1] == 0
    assert share[2] > 0.5
    assert share[2] > share[3] > share[4]


def test_rows_have_both_kinds_of_weights() -> None:
    text = page({"x": [Measured(2, "layer", 1234.0, 0.5, 0.81), Measured(2, "signs", 1234.0, 0.75, 0.0)]}, {"x": 4.0})
    assert "## x, sized for 4 ns" in text
    assert "| 2 | 1,234 | 81.0 | 0.0 | 0.5 | 0.75 |" in text
