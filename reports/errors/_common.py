"""What the error tables share: operands, the three errors, and how they are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sim.inputs import layer_operands

__all__ = ["errors", "ppm", "random_operands", "real_operands"]

Operands = tuple[np.ndarray, np.ndarray]


def random_operands(outputs: int, inputs: int, tokens: int) -> Operands:
    """Normal weights and activations, one input in 32 twenty times as large: weights [N, K] and activations [M, K]."""
    rng = np.random.default_rng(7)
    acts = rng.standard_normal((tokens, inputs))
    acts[:, ::32] *= 20
    return rng.standard_normal((outputs, inputs)), acts


def real_operands(layer: str, outputs: int, tokens: int) -> Operands:
    """Outputs of a layer of the default model, spread over all of them, and its activations on real text."""
    weights, acts = layer_operands(None, layer, tokens)
    return weights[np.linspace(0, len(weights) - 1, outputs).astype(int)], acts


def errors(
    sums: np.ndarray, a: np.ndarray, w: np.ndarray, parts: Sequence[slice], got: np.ndarray, wanted: np.ndarray
) -> tuple[float, float, float]:
    """(worst, mean) error of ``sums`` relative to Σ |a·w|, and rms error of ``got`` relative to ``wanted``'s.

    ``sums`` [parts, M, N] of operands a [M, K] and w [N, K] over ``parts`` of K; float64, whose rounding is 2**-29 of
    what FP32's is.
    """
    exact = np.stack([a[:, part] @ w[:, part].T for part in parts])
    magnitude = np.stack([np.abs(a[:, part]) @ np.abs(w[:, part]).T for part in parts])
    relative = (sums - exact) / np.where(magnitude > 0, magnitude, 1)
    error = got - wanted
    rms = float(np.sqrt((error**2).mean() / (wanted**2).mean()))
    return float(np.abs(relative).max()), float(relative.mean()), rms


def ppm(ratio: Any) -> str:
    """Three significant digits, without an exponent; 0 for what is below the rounding of float64."""
    return f"{float(f'{1e6 * ratio:.3g}'):g}" if abs(ratio) > 1e-13 else "0"
