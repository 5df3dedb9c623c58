"""Minifloat sums, FP32 and exact, against exact sums of the same activation and weight codes.

Random: 16 tokens by 4096 inputs by 64 outputs, normally distributed, every 32nd channel 20 times as large, as in
language models. Real: 8 tokens of text and 64 outputs of layer blk.0.ffn_down (1536 inputs) of SmolLM2-135M. Positive:
the magnitudes of the random operands, whose sums grow and never cancel. `dot` is the number of products that a step
adds in a balanced tree, `partials` that of the partial sums of an interleaving ring (its adder's stages), `group` the
number of products of a sum: a whole row, or 128, of which FP32 adds the scaled sums. `worst` and `mean` are the largest
and the average error of a sum relative to its Σ |a·w|; the average has a sign. `rms` is the root mean square of the
error of the layer's outputs, FP32 arithmetic on scaled sums included, relative to that of the exact outputs; 1 ppm is
1e-6. The exact accumulator has no error of sums; its outputs are rounded to FP32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hwgen.pe import TileSpec, family
from reports.errors._common import errors, ppm, random_operands, real_operands
from sim.golden import golden_layer

__all__ = ["error_table", "measure"]

TOKENS, INPUTS, OUTPUTS, GROUP = 16, 4096, 64, 128
LAYER, REAL_TOKENS = "blk.0.ffn_down", 8
FORMATS = (("fp16", "fp16"), ("fp8_e4m3", "fp8_e4m3"), ("fp8_e5m2", "fp8_e5m2"), ("fp16", "fp8_e4m3"))
CASES: tuple[dict[str, Any], ...] = (
    {"k": 4, "accumulator": "exact"},
    {"k": 1},
    {"k": 4},
    {"k": 16},
    {"k": 4, "adder_stages": 2, "interleave": "ring"},
    {"k": 4, "adder_stages": 3, "interleave": "ring"},
    {"k": 4, "group": GROUP},
)


def _positive() -> tuple[np.ndarray, np.ndarray]:
    weights, acts = random_operands(OUTPUTS, INPUTS, TOKENS)
    return np.abs(weights), np.abs(acts)


def measure(spec: TileSpec, weights: np.ndarray, acts: np.ndarray) -> tuple[float, float, float]:
    """(worst, mean) error of sums relative to Σ |a·w|, and rms error of outputs relative to the exact ones'."""
    quantised = spec.quantize_weights(weights)
    layer = golden_layer(quantised, spec.quantization())
    given = layer.quantize(torch.from_numpy(acts))
    words = layer.group_words(given)
    if words is None:
        sums, a = layer.group_values(given).numpy(), given.dequantize()
    else:
        sums, a = words.astype(np.uint32).view(np.float32).astype(np.float64), given.values()
    w, parts = quantised.values(), quantised.group_slices
    got, wanted = layer(given).double().numpy(), given.dequantize() @ quantised.dequantize().T
    return errors(sums, a, w, parts, got, wanted)


def error_table() -> list[dict[str, Any]]:
    """One row a case of operands and tile: formats, accumulator, order of additions, and the three errors in ppm."""
    rows = []
    for name, (weights, acts) in (
        ("random", random_operands(OUTPUTS, INPUTS, TOKENS)),
        ("real", real_operands(LAYER, OUTPUTS, REAL_TOKENS)),
        ("positive", _positive()),
    ):
        for act_format, weight_format in FORMATS:
            for case in CASES:
                values = {"accumulator": "fp32", "group": 0, "depth": INPUTS, "post_lanes": 0} | case
                spec = family("minifloat").from_values({"acts": act_format, "weights": weight_format, **values})
                worst, mean, rms = measure(spec, weights, acts)
                rows.append(
                    {
                        "operands": name,
                        "activations": act_format,
                        "weights": weight_format,
                        "accumulator": spec.p["accumulator"],
                        "dot": spec.k,
                        "partials": spec.p["adder_stages"] if spec.p["interleave"] == "ring" else 1,
                        "group": spec.group or acts.shape[1],
                        "worst_ppm": ppm(worst),
                        "mean_ppm": ppm(mean),
                        "rms_ppm": ppm(rms),
                    }
                )
    return rows
