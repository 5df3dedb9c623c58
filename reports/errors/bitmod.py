"""BitMoD's truncating group sums against exact sums of the same activation and weight codes.

Random: 16 tokens by 512 inputs by 64 outputs, normally distributed, every 32nd channel 20 times as large, as in
language models. Real: 8 tokens of text and 64 outputs of layer blk.0.ffn_up of SmolLM2-135M. Groups of 128, dot size 4.
`worst` and `mean` are the largest and the average error of a group sum relative to its Σ |a·w|; the average has a sign,
because cutting a two's-complement accumulator rounds down. `rms` is the root mean square of the error of the layer's
outputs, FP32 accumulation of the scaled group sums included, relative to that of the exact outputs; 1 ppm is 1e-6.
Drift: a group that starts with the largest activation and goes on with ones so small that each only rounds the
accumulator down: the error that no random input shows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hwgen.pe import TileSpec, family
from hwgen.pe.bitmod import Bitmod
from reports.errors._common import errors, ppm, random_operands, real_operands
from sim.golden import golden_layer

__all__ = ["error_table", "measure"]

TOKENS, INPUTS, OUTPUTS, GROUP = 16, 512, 64, 128
LAYER, REAL_TOKENS = "blk.0.ffn_up", 8
CASES: tuple[dict[str, Any], ...] = (
    *({"bits": bits} for bits in (8, 6, 5, 4, 3)),
    {"bits": 4, "guard_bits": 0},
    {"bits": 4, "guard_bits": 8},
    {"bits": 4, "acc_mantissa": 12},
    {"bits": 4, "acc_mantissa": 24},
    {"bits": 4, "accumulator": "exact"},
    {"bits": 4, "acts": "bf16"},
    {"bits": 4, "acts": "int8"},
)


def _drift() -> tuple[np.ndarray, np.ndarray]:
    acts = np.full((1, GROUP), -(2.0**-10))
    acts[0, 0] = 2.0**12
    return np.ones((1, GROUP)), acts


def measure(spec: TileSpec, weights: np.ndarray, acts: np.ndarray) -> tuple[float, float, float]:
    """(worst, mean) error of group sums relative to Σ |a·w|, and rms error of outputs relative to the exact ones'."""
    assert isinstance(spec, Bitmod)
    layer = golden_layer(spec.quantize_weights(weights), spec.quantization())
    given = layer.quantize(torch.from_numpy(acts))
    words = layer.group_words(given)
    assert words is not None
    # A word of a truncating accumulator is a mantissa and an exponent above it.
    mantissa, exponent = (words, np.zeros_like(words)) if spec.sums_add_up else spec.fields(words)
    sums = np.ldexp(mantissa.astype(np.float64), exponent + spec.lsb_exp)
    a, w = given.values(), layer.weights.values()
    parts = layer.weights.group_slices
    got, wanted = layer(given).double().numpy(), given.dequantize() @ layer.weights.dequantize().T
    return errors(sums, a, w, parts, got, wanted)


def error_table() -> list[dict[str, Any]]:
    """One row a case of operands and tile: activations, weights, widths, and the three errors in ppm."""
    rows = []
    for name, (weights, acts) in (
        ("random", random_operands(OUTPUTS, INPUTS, TOKENS)),
        ("real", real_operands(LAYER, OUTPUTS, REAL_TOKENS)),
        ("drift", _drift()),
    ):
        for case in CASES:
            spec = family("bitmod").from_values({"group": GROUP, "k": 4, "post_lanes": 0, **case})
            worst, mean, rms = measure(spec, weights, acts)
            quantization = spec.quantization()
            rows.append(
                {
                    "operands": name,
                    "activations": quantization.acts,
                    "weights": quantization.weights,
                    "guard_bits": spec.p["guard_bits"],
                    "accumulator": spec.p["acc_mantissa"] if not spec.sums_add_up else "exact",
                    "worst_ppm": ppm(worst),
                    "mean_ppm": ppm(mean),
                    "rms_ppm": ppm(rms),
                }
            )
    return rows
