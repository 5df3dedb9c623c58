"""Weights and activations with everything that a real layer has: outliers, zero rows, zero groups, subnormals."""

from __future__ import annotations

import numpy as np
import torch

from sim.golden import QuantLinear
from tests.golden.oracle import Formats

TOKENS, OUTPUTS, K = 3, 3, 36


def weights(seed: int, outputs: int = OUTPUTS, k: int = K) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((outputs, k)) * 2.0 ** rng.integers(-6, 3, (outputs, 1))
    values[0, :16] = 0
    return torch.from_numpy(values)


def acts(seed: int, tokens: int = TOKENS, k: int = K, spread: int = 10) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((tokens, k)) * 2.0 ** rng.integers(-spread, 5, (tokens, k))
    values[1] = 0
    values[2, 16:32] = 2.0**-22 * rng.integers(-8, 9, 16)
    return torch.from_numpy(values)


def build(q: Formats, seed: int = 1) -> tuple[QuantLinear, torch.Tensor]:
    return QuantLinear.from_linear(weights(seed), q), acts(seed + 1)


def codes(result: torch.Tensor) -> np.ndarray:
    return np.ascontiguousarray(result.numpy()).view(np.uint32)
