"""Binary planes with scales that are powers of two: products become shifts and additions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hwgen.errors import HwgenError
from hwgen.options import option
from sim.accuracy.methods.base import Inputs, Layer, Method, MethodResult, register
from sim.accuracy.methods.common import Groups, checked, nearest_level
from sim.accuracy.operand import OperandFormat

__all__ = ["Powers", "shifts"]

_MOST_PLANES = 8
_EXPONENT_BITS = 8
_LOWEST, _HIGHEST = -127, 127
"""Exponents of a term, as E8M0 has them; its one code more means that there is no term."""


@register
@dataclass(frozen=True)
class Powers(Method):
    """Store weights as a sum of binary planes, each with a power-of-two scale in every group.

    w ≈ Σ α_i b_i, b_i ±1: binary-coding quantisation by alternating minimisation (ICLR'18, arXiv 1802.00150: a greedy
    start, then by turns scales by least squares and codes by the nearest of the 2^q sums), with α_i rounded to a sum of
    `terms` powers of two, as ShiftAddLLM (NeurIPS'24, arXiv 2406.05981; its code takes 3). Theirs rounds to the nearest
    exponent, this to the nearest value, and then takes each scale anew beside the others; a step that would raise a
    group's error is not taken; planes that are halves of each other, at three scales, are starts too. The objective is
    the weights' error: ShiftAddLLM's column-wise one on outputs and its bits by layer are not followed. Groups are the
    format's; its codes are not used. A plane has 1 bit a weight, a term 8 bits, and a sign beyond the first.
    """

    name = "powers"
    calibrated = False
    own_codes = True

    planes: int = option(0, "binary planes; 0: as many as the format has bits", least=0, most=_MOST_PLANES)
    terms: int = option(1, "powers of two that add up to a scale", least=1, most=4)
    rounds: int = option(15, "alternations at most", least=1, most=1000)

    def quantise(self, layers: Sequence[Layer], acts: OperandFormat | None, inputs: Inputs | None) -> MethodResult:
        """See `Method`."""
        k = checked(self.name, layers)
        found, bits = [], []
        for layer in layers:
            planes = self.planes or layer.form.format.code_bits // layer.form.format.elements
            if planes > _MOST_PLANES:
                raise HwgenError(
                    f"method {self.name}: planes must be 1 to {_MOST_PLANES}, not the {planes} bits of {layer.form}; "
                    "say how many"
                )
            groups = Groups.of(layer)
            scales, codes = self.fit(groups, planes)
            found.append(groups.whole((_signs(planes)[codes] * scales[:, None]).sum(dim=-1), k))
            side = planes * (self.terms * _EXPONENT_BITS + self.terms - 1)
            bits.append(planes + side * groups.per_row / k)
        return MethodResult(tuple(found), stored_bits=tuple(bits))

    def fit(self, groups: Groups, planes: int) -> tuple[Tensor, Tensor]:
        """Scales float64 [M, planes], and codes int64 [M, size]: bit i set where plane i is +1."""
        scales, codes, least = _nearest(groups, self._greedy(groups, planes))
        # Each plane half of the one before: even levels, which alternation does not find from other powers of two.
        ideal = groups.weights.abs().amax(dim=1) / ((1 << planes) - 1)
        halves = 2.0 ** torch.arange(planes - 1, -1, -1, dtype=torch.float64)
        for octave in (0.5, 1.0, 2.0):
            tried, found, error = _nearest(groups, shifts(ideal * octave, 1)[:, None] * halves)
            better = (error < least)[:, None]
            scales, codes = torch.where(better, tried, scales), torch.where(better, found, codes)
            least = torch.minimum(error, least)
        live = torch.arange(len(scales))
        for _ in range(self.rounds):
            part = Groups(groups.weights[live], groups.inside[live], groups.per_row)
            after, error, before = self._round(part, scales[live], codes[live])
            better = error < before
            if not better.any():
                break
            live, changed = live[better], after[better]
            scales[live] = changed
            codes[live] = nearest_level(groups.weights[live], changed @ _signs(planes).T)
        return scales, codes

    def _greedy(self, groups: Groups, planes: int) -> Tensor:
        """Scales of the planes one after the other, each of what the ones before have left."""
        rest, count = groups.weights.clone(), groups.inside.sum(dim=1)
        found = []
        for _ in range(planes):
            scale = shifts((rest.abs() * groups.inside).sum(dim=1) / count, self.terms)
            found.append(scale)
            rest = rest - torch.where(rest > 0, 1.0, -1.0) * scale[:, None]
        return torch.stack(found, dim=1)

    def _round(self, groups: Groups, scales: Tensor, codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """New scales for the planes as they are; Σ error² of the groups with them and before."""
        planes = scales.shape[1]
        signs = _signs(planes)[codes] * groups.inside[..., None]
        gram = signs.transpose(1, 2) @ signs
        along = (signs * groups.weights[..., None]).sum(dim=1)
        energy = (groups.weights * groups.weights).sum(dim=1)

        def error(tried: Tensor) -> Tensor:
            return energy - 2 * (tried * along).sum(dim=1) + (tried * (gram @ tried[..., None])[..., 0]).sum(dim=1)

        # Planes may coincide: then their scales are not unique, and the ridge takes equal ones.
        ridge = 1e-9 * groups.inside.sum(dim=1)[:, None, None] * torch.eye(planes, dtype=torch.float64)
        joint = torch.linalg.solve(gram + ridge, along[..., None])[..., 0]
        joint = torch.sign(joint) * shifts(joint.abs(), self.terms)
        before = error(scales)
        found = torch.where((error(joint) < before)[:, None], joint, scales)
        for plane in range(planes):
            own = gram[:, plane, plane]
            others = (gram[:, plane] * found).sum(dim=1) - own * found[:, plane]
            best = (along[:, plane] - others) / own
            tried = torch.sign(best) * shifts(best.abs(), self.terms)
            nearer = (tried - best).abs() < (found[:, plane] - best).abs()
            found = found.clone()
            found[:, plane] = torch.where(nearer, tried, found[:, plane])
        # A plane's sign is free: scales are kept positive.
        return found.abs(), error(found), before


def _nearest(groups: Groups, scales: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The scales, the best codes at them, and Σ error² of the groups."""
    levels = scales @ _signs(scales.shape[1]).T
    codes = nearest_level(groups.weights, levels)
    error = (levels.gather(1, codes) - groups.weights) * groups.inside
    return scales, codes, (error * error).sum(dim=1)


def shifts(x: Tensor, terms: int) -> Tensor:
    """``x`` >= 0 as a sum of so many signed powers of two: each the nearest to the rest, of two equals the lower."""
    found, rest = torch.zeros_like(x), x
    for _ in range(terms):
        fraction, exponent = torch.frexp(rest.abs())
        # A fraction is from 1/2 up to 1: the middle between it and the next power is 3/4.
        power = (exponent - 1 + (fraction > 0.75)).clamp(_LOWEST, _HIGHEST)
        term = torch.where(rest.abs() > 2.0 ** (_LOWEST - 1), torch.ldexp(torch.sign(rest), power), 0.0)
        found, rest = found + term, rest - term
    return found


def _signs(planes: int) -> Tensor:
    """±1 float64 [2**planes, planes] of all codes."""
    codes = torch.arange(1 << planes)[:, None]
    return (2 * (codes >> torch.arange(planes) & 1) - 1).double()
