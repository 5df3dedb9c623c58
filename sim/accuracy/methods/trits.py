"""Two ternary planes with a scale each: sums of two multiplication-free products."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hwgen.formats import get
from hwgen.options import option
from sim.accuracy.methods.base import Inputs, Layer, Method, MethodResult, register
from sim.accuracy.methods.common import Groups, checked, nearest_level
from sim.accuracy.operand import OperandFormat

__all__ = ["PAIRS", "Trits"]

PAIRS = torch.tensor(sorted(itertools.product((-1.0, 0.0, 1.0), repeat=2)), dtype=torch.float64)
"""All pairs of trits, [9, 2]."""
_PLANES = 2
_SCALE_BITS = 16
_STARTS = ((3.0, 1.0), (2.0, 2.0))
"""Scales of the planes, in quarters of the largest magnitude: nine even steps, and five with both planes alike."""
_RIDGE, _CONDITION, _MOST_RIDGE = 1e-8, 1e12, 1.0
_TOLERANCE = 1e-4
"""Share of a group's error by which an alternation has to lower it."""


@register
@dataclass(frozen=True)
class Trits(Method):
    """Store weights as the sum of two ternary planes, each with a scale in every group.

    PTQTP (arXiv 2509.16989): w ≈ α₁ t₁ + α₂ t₂; by turns the scales by ridge regression, α = (SᵀS + λI)⁻¹ Sᵀw with λ
    from 10⁻⁸, raised while SᵀS + λI has a condition above 10¹², and of every weight the best of the 9 pairs. Scales are
    rounded to FP16 before pairs are chosen, and a step that does not lower a group's error is not taken; both are not
    the paper's, nor is the start: scales 3 : 1 and 1 : 1 whose sum is the largest magnitude, the better end of the two
    is kept (within 4 % of the best pair of scales in groups of Gaussian weights; a test searches it). Groups are the
    format's; its codes are not used. A trit counts the 2 bits in which a tile stores it (log₂ 3 = 1.58 would do, 1.6
    is five in a byte), a scale 16.
    """

    name = "trits"
    calibrated = False
    own_codes = True

    rounds: int = option(20, "alternations at most, from each start", least=1, most=1000)

    def quantise(self, layers: Sequence[Layer], acts: OperandFormat | None, inputs: Inputs | None) -> MethodResult:
        """See `Method`."""
        k = checked(self.name, layers)
        found, bits = [], []
        for layer in layers:
            groups = Groups.of(layer)
            scales, pairs = self.fit(groups)
            found.append(groups.whole((PAIRS[pairs] * scales[:, None]).sum(dim=-1), k))
            bits.append(_PLANES * (get("ternary").code_bits + _SCALE_BITS * groups.per_row / k))
        return MethodResult(tuple(found), stored_bits=tuple(bits))

    def fit(self, groups: Groups) -> tuple[Tensor, Tensor]:
        """Scales float64 [M, 2] as FP16 has them, and places in `PAIRS` int64 [M, size]."""
        # Single precision is enough to choose by; what is chosen is exact.
        weights, inside = groups.weights.float(), groups.inside
        step = weights.abs().amax(dim=1) / 4
        ends = []
        for first, second in _STARTS:
            scales = _half(torch.stack([first * step, second * step], dim=1))
            ends.append(self._alternate(weights, inside, scales, nearest_level(weights, scales @ PAIRS.T.float())))
        one, other = ends
        better = (other[2] < one[2])[:, None]
        return torch.where(better, other[0], one[0]).double(), torch.where(better, other[1], one[1])

    def _alternate(self, weights: Tensor, inside: Tensor, scales: Tensor, pairs: Tensor) -> tuple[Tensor, ...]:
        """From scales and pairs on, until no group gets better: scales, pairs and Σ error²."""
        scales, pairs = scales.clone(), pairs.clone()
        live, error = torch.arange(len(scales)), _error(weights, inside, scales, pairs)
        for _ in range(self.rounds):
            tried = _ridge(weights, inside, pairs[live])
            chosen = nearest_level(weights, tried @ PAIRS.T.float())
            after = _error(weights, inside, tried, chosen)
            better = after < error[live] * (1.0 - _TOLERANCE)
            if not better.any():
                break
            live, weights, inside = live[better], weights[better], inside[better]
            scales[live], pairs[live], error[live] = tried[better], chosen[better], after[better]
        return scales, pairs, error


def _error(weights: Tensor, inside: Tensor, scales: Tensor, pairs: Tensor) -> Tensor:
    """Σ error² of the groups, [M]."""
    error = ((scales @ PAIRS.T.float()).gather(1, pairs) - weights) * inside
    return (error * error).sum(dim=1)


def _ridge(weights: Tensor, inside: Tensor, pairs: Tensor) -> Tensor:
    """Scales of the planes as they are, float32 [M, 2], as FP16 has them."""
    first, second = (PAIRS[:, plane].float()[pairs] * inside for plane in range(_PLANES))
    a, b, c = ((one * other).sum(dim=1).double() for one, other in ((first, first), (first, second), (second, second)))
    # Eigenvalues of the 2 by 2 matrix without the ridge; with it both are larger by it.
    middle, half = (a + c) / 2, ((a - c) ** 2 / 4 + b * b).sqrt()
    ridge = torch.full_like(a, _RIDGE)
    while True:
        condition = (middle + half + ridge) / (middle - half + ridge).clamp(min=1e-300)
        wanted = (condition > _CONDITION) & (ridge < _MOST_RIDGE)
        if not wanted.any():
            break
        ridge = torch.where(wanted, (ridge * (condition / _CONDITION).sqrt() * 2).clamp(max=_MOST_RIDGE), ridge)
    along, beside = ((plane * weights).sum(dim=1).double() for plane in (first, second))
    a, c = a + ridge, c + ridge
    area = a * c - b * b
    return _half(torch.stack([(c * along - b * beside) / area, (a * beside - b * along) / area], dim=1))


def _half(scales: Tensor) -> Tensor:
    """Scales as FP16 has them, float32; what lies beyond it saturates."""
    limit = torch.finfo(torch.float16).max
    return scales.clamp(-limit, limit).half().float()
