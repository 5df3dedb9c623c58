"""Two-level weights that are dequantised to integers before they are multiplied.

Exact mode. Per token t and output n, with integers a of the activations and w = s1·(q - z) of the weights:

    y = fp32( S · 2**unit · row_scale )          S = sum over the whole row of a · w, exact

and then the channel's scale, as every second-level scale: y · fl32(outer_a · outer_w) in FP32.
"""

from __future__ import annotations

import torch

from hwgen.errors import HwgenError
from hwgen.formats import IntFormat, QTensor
from sim.golden.quant_linear import LayerQuantization, QuantLinear

__all__ = ["TwoLevelLinear"]

_INT8 = range(-128, 128)


class TwoLevelLinear(QuantLinear):
    """A layer whose weights have integer scales for groups below one scale a channel; `group_sums` are [1, T, N]."""

    def __init__(self, weights: QTensor, quantization: LayerQuantization) -> None:
        """A layer of weights that `hwgen.quantize.two_level` made. Raises `HwgenError` for others."""
        super().__init__(weights, quantization)
        scales = weights.scale_format
        if not isinstance(scales, IntFormat) or scales.fraction_bits or weights.outer is None:
            raise HwgenError(
                "TwoLevelLinear: weights must have integer scales for groups and a scale a channel, "
                f"not {scales.name} and {'no such scale' if weights.outer is None else 'one'}"
            )
        if quantization.align == "group" and weights.groups > 1:
            raise HwgenError("TwoLevelLinear: align must be step or row for sums over a whole row, not group")
        self._ints = self._ints * self._scale[:, self._group_of_k]
        low, high = int(self._ints.min()), int(self._ints.max())
        if low not in _INT8 or high not in _INT8:
            raise HwgenError(f"TwoLevelLinear: dequantised weights must be -128 to 127, not {low} to {high}")
        self._scale = torch.ones(len(weights.codes), 1, dtype=torch.float64)
        self._parts = (slice(0, weights.shape[1]),)
