"""LUT tile against exact arithmetic on the same activation and weight codes.

16 tokens by 512 inputs by 64 outputs; inputs are normally distributed, every 32nd channel is 20 times as large, as in
language models; 2-bit weights (odd integers, scheme bipolar), groups of 128, tables of four activations. `rms` is the
root mean square of the error relative to that of the exact results, `worst` the largest error relative to Σ |a·w| of
its output; 1 ppm is 1e-6. Errors come from alignment (integers of 3 guard bits that share an exponent), from entries
rounded to bytes, and from FP32: with integer cells one rounding and one addition a group, with FP32 cells (fp_add)
every addition.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from hwgen.pe import family
from reports.errors._common import ppm, random_operands
from sim.golden import golden_layer

__all__ = ["error_table"]

TOKENS, INPUTS, OUTPUTS = 16, 512, 64
_BYTES = {"entries": "int8"}
_FACTORS = {"entries": "int8", "entry_rule": "max127", "precompute": "external"}
CASES: tuple[dict[str, Any], ...] = (
    {"acts": "int8"},
    {"acts": "int8", **_BYTES},
    {"acts": "int8", **_FACTORS},
    {"acts": "int16"},
    {"acts": "int16", **_BYTES},
    {"acts": "int16", **_FACTORS},
    *(
        {"acts": acts, **entries, "align_scope": scope}
        for acts in ("fp16", "bf16", "fp8_e4m3")
        for entries in ({}, _BYTES, _FACTORS)
        for scope in ("group", "step")
        if scope == "group" or (acts != "bf16" and entries is not _FACTORS)
    ),
    *({"acts": acts, "cell": "fp_add"} for acts in ("fp16", "bf16", "fp8_e4m3")),
)


def error_table() -> list[dict[str, Any]]:
    """One row a case: activations, cell, alignment, entries, scale, and both errors in ppm."""
    weights, acts = random_operands(OUTPUTS, INPUTS, TOKENS)
    rows = []
    for case in CASES:
        spec = family("lut").from_values({"bits": 2, "scheme": "bipolar", "group": 128, "k": 4, **case})
        layer = golden_layer(spec.quantize_weights(weights), spec.quantization())
        given = layer.quantize(torch.from_numpy(acts))
        got = layer(given).double().numpy()
        # Codes of both sides, decoded: what exact arithmetic makes of them.
        a, w = given.dequantize(), layer.weights.dequantize()
        exact, magnitude = a @ w.T, np.abs(a) @ np.abs(w).T
        error = got - exact
        rows.append(
            {
                "activations": case["acts"],
                "cell": spec.p["cell"],
                "alignment": case.get("align_scope", "none"),
                "entries": case.get("entries", "native"),
                "scale": case.get("entry_rule", "pow2") if "entries" in case else "none",
                "rms_ppm": ppm(np.sqrt((error**2).mean() / (exact**2).mean())),
                "worst_ppm": ppm(np.abs(error / magnitude).max()),
            }
        )
    return rows
