"""MixPE's sums of aligned activations against exact sums of the same activation and weight codes.

Aligned arithmetic is shared: integer cells add no error of their own, so that these are the errors of the sums of every
exact family that aligns its activations (`lut` too).
Random: 16 tokens by 512 inputs by 64 outputs, normally distributed, every 32nd channel 20 times as large, as in
language models. Real: 8 tokens of text and 64 outputs of layer blk.0.ffn_up of SmolLM2-135M. Unsigned 4-bit weights
with a zero point, groups of 128, steps of 4; `before` sums over the whole row. `worst` and `mean` are the largest and
the average error of a sum relative to its Σ |a·(w - z)|; the average has a sign. `rms` is the root mean square of the
error of the layer's outputs, FP32 included, relative to that of the exact outputs; 1 ppm is 1e-6. Errors of sums come
from alignment alone: integers of as many guard bits below the last place of the largest activation of a scope.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hwgen.pe import TileSpec, family
from reports.errors._common import errors, ppm, random_operands, real_operands
from sim.golden import golden_layer

__all__ = ["error_table", "measure"]

TOKENS, INPUTS, OUTPUTS, GROUP = 16, 512, 64, 128
LAYER, REAL_TOKENS = "blk.0.ffn_up", 8
CASES: tuple[dict[str, Any], ...] = (
    {"acts": "int8"},
    *(
        {"acts": "fp16", "align_scope": scope, "guard_bits": guard}
        for scope in ("step", "group", "row")
        for guard in (0, 3, 8)
    ),
    {"acts": "fp16", "align_rounding": "truncate"},
    {"acts": "bf16"},
    {"acts": "bf16", "align_scope": "row"},
    *({"acts": acts, "align_scope": scope} for acts in ("fp8_e4m3", "fp8_e5m2") for scope in ("step", "group", "row")),
    {"acts": "int8", "dequant": "before"},
    {"acts": "fp16", "dequant": "before", "align_scope": "row"},
)


def measure(spec: TileSpec, weights: np.ndarray, acts: np.ndarray) -> tuple[float, float, float]:
    """(worst, mean) error of sums relative to Σ |a·(w - z)|, and rms error of outputs relative to the exact ones'."""
    quantised = spec.quantize_weights(weights)
    layer = golden_layer(quantised, spec.quantization())
    given = layer.quantize(torch.from_numpy(acts))
    sums = layer.group_values(given).numpy()
    a, w = given.dequantize(), quantised.values()
    if quantised.zeros is not None:
        w = w - quantised.zeros[:, quantised.group_of_k]
    parts = quantised.group_slices
    if spec.p["dequant"] == "before":
        # A sum over the whole row holds the integer scales of its groups.
        w, parts = w * quantised.scales[:, quantised.group_of_k], (slice(None),)
    got, wanted = layer(given).double().numpy(), given.dequantize() @ quantised.dequantize().T
    return errors(sums, a, w, parts, got, wanted)


def error_table() -> list[dict[str, Any]]:
    """One row a case of operands and tile: activations, alignment, dequantisation, and the three errors in ppm."""
    rows = []
    for name, (weights, acts) in (
        ("random", random_operands(OUTPUTS, INPUTS, TOKENS)),
        ("real", real_operands(LAYER, OUTPUTS, REAL_TOKENS)),
    ):
        for case in CASES:
            spec = family("mixpe").from_values({"bits": 4, "group": GROUP, "k": 4, "depth": 1024, **case})
            worst, mean, rms = measure(spec, weights, acts)
            aligned = spec.quantization().align is not None
            rows.append(
                {
                    "operands": name,
                    "activations": case["acts"],
                    "dequant": spec.p["dequant"],
                    "alignment": spec.p["align_scope"] if aligned else "none",
                    "guard_bits": spec.p["guard_bits"] if aligned else 0,
                    "rounding": spec.p["align_rounding"] if aligned else "none",
                    "worst_ppm": ppm(worst),
                    "mean_ppm": ppm(mean),
                    "rms_ppm": ppm(rms),
                }
            )
    return rows
