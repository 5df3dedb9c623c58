"""Golden layers, compiled: the same results bit for bit, at a speed that measures a model."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from hwgen.errors import HwgenError
from hwgen.formats import QTensor
from sim.accuracy.arithmetic._kernels import Kernel, NotCoveredError, kernel_of, not_covered
from sim.accuracy.arithmetic._operands import blocks, rows_of
from sim.golden import QuantLinear, check_denormals, golden_layer

__all__ = ["CompiledLayer", "compiled_layer"]


class CompiledLayer:
    """A quantised linear layer whose results are those of `sim.golden.golden_layer`, bit for bit.

    Attributes
    ----------
    compiled : whether a kernel computes it; else the golden layer does. ``reason`` says why not, or is None.
    weights, quantization : as given. threads : of a call.
    """

    def __init__(self, weights: QTensor, quantization: Any, threads: int) -> None:
        # A golden layer of each piece of the rows: what is wrong with weights is said there.
        for _, block in blocks(weights):
            golden_layer(block, quantization)
        self.weights = weights
        self.quantization = quantization
        self.threads = threads
        self._operands = golden_layer(rows_of(weights, slice(0, 1)), quantization)
        self._golden: list[QuantLinear] = []
        self._kernel: Kernel | None = None
        self.reason = not_covered(weights, quantization)
        if self.reason is None:
            try:
                self._kernel = kernel_of(quantization)(weights, quantization)
            except NotCoveredError as error:
                self.reason = str(error)

    @property
    def compiled(self) -> bool:
        """Whether a kernel computes the layer."""
        return self._kernel is not None

    def __call__(self, x: Tensor | QTensor) -> Tensor:
        """`forward`."""
        return self.forward(x)

    @torch.no_grad()
    def forward(self, x: Tensor | QTensor) -> Tensor:
        """float32 [..., N] of activations [..., K], which are quantised, or [T, N] of quantised ones [T, K].

        NaN results are the NaN with code 0x7FC00000. Raises `HwgenError` as the golden layer does.
        """
        check_denormals()
        acts = self._operands.quantize(x)
        try:
            result = self._golden_result(acts) if self._kernel is None else self._kernel_result(self._kernel, acts)
        except NotCoveredError:
            result = self._golden_result(acts)
        return result if isinstance(x, QTensor) else result.reshape(*x.shape[:-1], -1)

    def _kernel_result(self, kernel: Kernel, acts: QTensor) -> Tensor:
        result = kernel.forward(acts, self.threads)
        sides = [None if side.outer is None else torch.from_numpy(side.outer.copy()) for side in (acts, self.weights)]
        if any(side is not None for side in sides):
            one = torch.ones(1, 1)
            left, right = (one if side is None else side for side in sides)
            result = result * (left * right.T)
        return result.masked_fill_(torch.isnan(result), torch.nan)

    def _golden_result(self, acts: QTensor) -> Tensor:
        self._golden = self._golden or [golden_layer(block, self.quantization) for _, block in blocks(self.weights)]
        return torch.cat([layer(acts) for layer in self._golden], dim=1)


def compiled_layer(weights: QTensor, quantization: Any, threads: int | None = None) -> CompiledLayer:
    """The layer of quantised weights [N, K] with the arithmetic that ``quantization`` names, compiled where it can be.

    ``threads`` share the columns, by default as many as the machine has cores. Raises `HwgenError` as
    `sim.golden.golden_layer` does, for fewer threads than 1, and where g++ is missing.
    """
    if threads is None:
        threads = os.cpu_count() or 1
    if threads < 1:
        raise HwgenError(f"compiled layer: threads must be at least 1, not {threads}")
    return CompiledLayer(weights, quantization, threads)
