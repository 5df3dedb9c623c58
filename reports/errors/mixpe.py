"""MixPE tile against exact arithmetic on the same codes, on a layer of a real model: what alignment costs.

The arithmetic of aligned floating-point activations is shared (`hwgen.pe._aligned`): an integer cell of any family adds
no error of its own, so these rows are those of every exact integer family. The layer is blk.0.ffn_up of the default
model with its activations for 8 tokens of text, 576 inputs, every sixth of its 1536 outputs, steps of 4, weights of 4
bits with a zero point and groups of 64. Errors are relative to Σ |a·w| of their output: `mean` and `worst` over all
outputs, in ppm (1e-6). `shift` is the mean of the error with its sign, which rounding towards zero turns into a pull to
smaller sums where it has one sign. `float_rms` is the root mean square of the error against the float layer, relative
to the layer's, and holds the quantisation of both sides. Without alignment what is left is FP32: one rounding and one
addition a group.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from hwgen.pe import family
from sim.golden import golden_layer
from sim.inputs import layer_operands

__all__ = ["error_table"]

LAYER = "blk.0.ffn_up"
TOKENS, EVERY = 8, 6
FORMATS = ("fp16", "bf16", "fp8_e4m3", "fp8_e5m2")


def _cases() -> Iterable[dict[str, Any]]:
    """Parameters of the tiles that are measured."""
    for dequant in ({}, {"dequant": "channel", "group": 0}, {"dequant": "before"}):
        yield {"acts": "int8", **dequant}
    for acts in FORMATS:
        for scope in ("step", "group", "row"):
            for guard in (0, 3):
                # Its exponents span too much for steps.
                if (acts, scope) != ("bf16", "step"):
                    yield {"acts": acts, "align_scope": scope, "guard_bits": guard}
    for guard in (0, 3, 8):
        yield {"acts": "fp16", "align_scope": "group", "guard_bits": guard, "align_rounding": "truncate"}
    yield {"acts": "fp16", "align_scope": "group", "guard_bits": 8}
    yield {"acts": "fp16", "align_scope": "row", "dequant": "before"}


def _ppm(ratio: float) -> str:
    """Three significant digits, without an exponent."""
    return np.format_float_positional(1e6 * ratio, precision=3, fractional=False, trim="-")


def error_table() -> list[dict[str, Any]]:
    """One row a case: activations, dequantisation, alignment and errors. Raises `HwgenError` without the model."""
    weights, acts = layer_operands(None, LAYER, TOKENS)
    weights = weights[::EVERY]
    wanted = acts.astype(np.float64) @ weights.astype(np.float64).T
    rows = []
    for case in _cases():
        spec = family("mixpe").from_values({"k": 4, "bits": 4, "group": 64, **case})
        formats = spec.quantization()
        layer = golden_layer(spec.quantize_weights(weights), formats)
        given = layer.quantize(torch.from_numpy(acts))
        got = layer(given).double().numpy()
        # Codes of both sides, decoded: what exact arithmetic makes of them.
        a, w = given.dequantize(), layer.weights.dequantize()
        error = (got - a @ w.T) / (np.abs(a) @ np.abs(w).T)
        rows.append(
            {
                "activations": case["acts"],
                "dequantisation": case.get("dequant", "group"),
                "alignment": formats.align or "none",
                "guard_bits": formats.align_guard if formats.align else "none",
                "rounding": formats.align_rounding if formats.align else "none",
                "mean_ppm": _ppm(float(np.abs(error).mean())),
                "worst_ppm": _ppm(float(np.abs(error).max())),
                "shift_ppm": _ppm(float(error.mean())),
                "float_rms_ppm": _ppm(float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))),
            }
        )
    return rows
