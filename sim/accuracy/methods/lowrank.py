"""A thin product beside the quantised one, of what quantisation loses."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hwgen.errors import HwgenError, suggest
from hwgen.options import option
from sim.accuracy.methods.base import Inputs, Layer, Method, MethodResult, method, register
from sim.accuracy.methods.common import BITS_OF_FACTORS, calibration, checked, set_calibrated
from sim.accuracy.operand import OperandFormat

__all__ = ["LowRank", "truncated"]

_RULES = ("eora", "error", "weights")
_NONE = 1e-12
"""Eigenvalues of the inputs below that share of the largest are no direction of theirs."""


@register
@dataclass(frozen=True)
class LowRank(Method):
    """Add B·A·x of a small rank, computed in FP16 on the input before it is stored.

    `rule` eora: EoRA (arXiv 2410.21271), section 3.2: of ΔW = W - Ŵ and the inputs' XXᵀ = Q Λ Qᵀ the best rank-r part
    of ΔW Q Λ^½, brought back by Λ^-½ Qᵀ: the least ‖(ΔW - BA) X‖; directions that the inputs have not are left out.
    error: that of ΔW itself, LoRC of ZeroQuant-V2 (arXiv 2303.08302). weights: of W, and the rest W - BA is quantised,
    SVDQuant (ICLR'25, arXiv 2411.05007), without its iterations; with its smoothing it is
    smoothquant(by=lowrank(rule=weights)). `by` quantises (EoRA: gptq), and may change the input in the first two: the
    correction is then behind that change. Factors are rounded to FP16 and count 16 (N + K) r bits.
    """

    name = "lowrank"
    calibrated = True

    rank: int = option(16, "rank of the correction", least=1, most=1 << 16)
    rule: str = option("eora", "eora, error or weights")
    by: str = option("rtn", "method that quantises the weights, or what is left of them", metavar="METHOD")

    def __post_init__(self) -> None:
        if self.rule not in _RULES:
            raise HwgenError(
                f"method {self.name}: rule must be one of {', '.join(_RULES)}, not {self.rule!r}"
                f"{suggest(self.rule, _RULES)}"
            )
        set_calibrated(self, self.rule == "eora", self.by)

    def quantise(self, layers: Sequence[Layer], acts: OperandFormat | None, inputs: Inputs | None) -> MethodResult:
        """See `Method`."""
        k = checked(self.name, layers)
        seen = calibration(self.name, k, inputs) if self.rule == "eora" else inputs
        chosen = method(self.by)
        given = seen if chosen.calibrated else None
        if self.rule == "weights":
            factors = [_fp16(*truncated(layer.weights.double(), self._rank(layer))) for layer in layers]
            rest = [
                dataclasses.replace(layer, weights=(layer.weights.double() - b.double() @ a.double()).float())
                for layer, (a, b) in zip(layers, factors, strict=True)
            ]
            result = chosen.quantise(rest, acts, given)
            if result.before is not None:
                raise HwgenError(
                    f"method {self.name}: by must leave the input as it is with rule weights, not {self.by!r}; "
                    f"say {chosen.name}(by=lowrank(rule=weights)) instead"
                )
            return self._with(result, layers, factors)
        result = chosen.quantise(layers, acts, given)
        wanted = [layer.weights.double() for layer in layers]
        before = result.before
        if before is not None:
            # A linear map: its matrix M, x ↦ x M, is what it makes of the unit vectors; then W = W' Mᵀ.
            turn = before(torch.eye(k, dtype=torch.float64)).double()
            wanted = [torch.linalg.solve(turn, weights.T).T for weights in wanted]
        root = None
        if self.rule == "eora":
            assert seen is not None
            rows = seen.rows if before is None else before(seen.rows)
            root = _root(seen.hessian if before is None else Inputs(rows).hessian)
        factors = []
        for layer, weights, kept in zip(layers, wanted, result.weights, strict=True):
            change, rank = weights - kept.double(), self._rank(layer)
            if root is None:
                factors.append(_fp16(*truncated(change, rank)))
                continue
            scaled, back = root
            a, b = truncated(change @ scaled, rank)
            factors.append(_fp16(a @ back, b))
        return self._with(result, layers, factors)

    def _rank(self, layer: Layer) -> int:
        n, k = layer.weights.shape
        return min(self.rank, n, k)

    def _with(
        self, result: MethodResult, layers: Sequence[Layer], factors: Sequence[tuple[Tensor, Tensor]]
    ) -> MethodResult:
        if result.low_rank:
            factors = [
                (torch.cat([first, a]), torch.cat([second, b], dim=1))
                for (first, second), (a, b) in zip(result.low_rank, factors, strict=True)
            ]
        own = [
            BITS_OF_FACTORS * self._rank(layer) * sum(layer.weights.shape) / layer.weights.numel() for layer in layers
        ]
        more = result.extra_bits or (0.0,) * len(layers)
        extra = tuple(one + other for one, other in zip(own, more, strict=True))
        return dataclasses.replace(result, low_rank=tuple(factors), extra_bits=extra)


def truncated(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """A [r, K] and B [N, r] of the best approximation B·A of that rank of a float64 [N, K] (Eckart-Young).

    By eigenvectors of the smaller of the two Gram matrices: singular values below 10⁻⁸ of the largest are noise.
    """
    if matrix.shape[0] > matrix.shape[1]:
        b, a = truncated(matrix.T, rank)
        return a.T, b.T
    squares, vectors = torch.linalg.eigh(matrix @ matrix.T)
    left = vectors[:, -rank:].flip(1)
    # Both factors get the root of the singular values, so that neither leaves FP16.
    share = squares[-rank:].flip(0).clamp(min=0.0).pow(0.25)
    right = left.T @ matrix
    return torch.where(share > 0, 1 / share, 0.0)[:, None] * right, left * share


def _root(hessian: Tensor) -> tuple[Tensor, Tensor]:
    """Q Λ^½ and Λ^-½ Qᵀ of a positive semidefinite [K, K]."""
    values, vectors = torch.linalg.eigh(hessian)
    inside = values > _NONE * values[-1].clamp(min=0.0)
    root = values.clamp(min=0.0).sqrt()
    return vectors * torch.where(inside, root, 0.0), torch.where(inside, 1 / root, 0.0)[:, None] * vectors.T


def _fp16(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Factors as they are stored, float32; they are balanced first, row by column, so that none leaves FP16."""
    large, small = a.abs().amax(dim=1).clamp(min=1e-30), b.abs().amax(dim=0).clamp(min=1e-30)
    share = (small / large).sqrt()
    limit = 65504.0
    first, second = a * share[:, None], b / share
    return first.clamp(-limit, limit).half().float(), second.clamp(-limit, limit).half().float()
