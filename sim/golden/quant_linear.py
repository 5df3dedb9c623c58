"""A linear layer as a tile computes it, bit for bit, and as the float model that it stands for.

Exact mode. Per token t, output n and group g, in K order, from y = 0 in FP32:

    y = y + fp32( S · 2**unit · row_scale · column_scale )          S = sum over the group of a · (q - z), exact
    y = y + fp32( R · 2**unit · row_scale · minimum )               only for weights s·q + m; R = sum of a

with integers a of the activations, fp32() one rounding to nearest even (overflow to infinity, subnormals kept) and IEEE
addition in FP32. With second-level scales (`QTensor.outer`) the result is y · fl32(outer_a · outer_w), two
multiplications in FP32, after the last group. Floating-point activations become integers first, by `sim.golden.align`.

Float model ("fake"): dequantised activations, not aligned, times dequantised weights in float64, then one rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn

from hwgen.errors import HwgenError, suggest
from hwgen.formats import Format, QTensor, get
from hwgen.quantize import LayerFormats, acts_for, weights_for
from sim.golden.align import Aligned, align, finite_values
from sim.golden.bounds import layer_bound
from sim.golden.rounding import SUM_LIMIT, check_denormals, is_long, power_of_two, round_long, round_scaled
from sim.golden.wide import Wide, exact_matmul

__all__ = ["MODES", "LayerQuantization", "QuantLinear", "Sums"]

MODES = ("exact", "fake")


class LayerQuantization(LayerFormats, Protocol):
    """How a layer is quantised: what the quantisers need, and how floating-point activations become integers.

    ``align`` is None or the scope that shares an exponent ("step", "group", "row"), ``align_guard`` the bits kept below
    the largest one's last place, ``align_rounding`` "rne" or "truncate", ``step`` the elements of a step along K.
    ``overflow`` "saturate" or "wrap" bounds sums to ``sum_bits`` bits, step after step; "refuse" leaves them alone.
    """

    @property
    def align_guard(self) -> int: ...
    @property
    def align_rounding(self) -> str: ...
    @property
    def step(self) -> int: ...
    @property
    def overflow(self) -> str: ...
    @property
    def sum_bits(self) -> int: ...


@dataclass(frozen=True)
class Sums:
    """Exact sums of a layer.

    ``groups`` [G, T, N] in units of 2**``unit``, ``rows`` [G, T, 1] in units of 2**``row_unit``, int64 or, where they
    may exceed 2**62, `Wide`; both exponents and the activations' scales ``row_scale`` (float64) are [G, T].
    """

    groups: Tensor | Wide
    rows: Tensor | Wide
    row_unit: Tensor
    unit: Tensor
    row_scale: Tensor


class QuantLinear(nn.Module):
    """A quantised linear layer without bias, on the CPU and without gradients.

    Takes activations as float tensors [..., K], which it quantises, or as a `QTensor` [T, K] that
    `hwgen.quantize.acts_for` made (before any alignment).
    """

    def __init__(self, weights: QTensor, quantization: LayerQuantization) -> None:
        """A layer of quantised weights [N, K]. Raises `HwgenError` where they contradict ``quantization``."""
        super().__init__()
        form, (_, k) = weights.format, weights.shape
        size = quantization.group if 0 < quantization.group < k else k
        _check_format("weights", form, quantization.weights)
        if weights.group_size != size:
            raise HwgenError(f"QuantLinear: weights must have groups of {size}, not of {weights.group_size}")
        self.weights = weights
        self.quantization = quantization
        # Plain attributes, no buffers: Module.half() and .to() must not touch them.
        self._unit = form.lsb_exp
        self._group_of_k = torch.from_numpy(weights.group_of_k)
        # What is summed along K before it is scaled.
        self._parts = weights.group_slices
        self._scale = torch.from_numpy(weights.scales.copy())
        zeros = None if weights.zeros is None else torch.from_numpy(weights.zeros.copy())
        self._ints = _integers(weights, "weights")
        self._minimum = zeros if weights.zero_kind == "minimum" else None
        if zeros is not None and self._minimum is None:
            self._ints = self._ints - zeros[:, self._group_of_k].double() * 2.0**-self._unit

    @classmethod
    def from_linear(cls, linear: nn.Linear | Tensor, quantization: LayerQuantization) -> Self:
        """Quantise a float layer, or its weight tensor [N, K]. Raises `HwgenError`, for a layer with a bias too."""
        if isinstance(linear, nn.Linear) and "bias" in dict(linear.named_parameters()):
            raise HwgenError("QuantLinear: linear must have no bias, which no tile adds; add it to the layer's result")
        weight = linear.weight if isinstance(linear, nn.Linear) else linear
        return cls(weights_for(quantization, weight.detach().cpu().double().numpy()), quantization)

    def extra_repr(self) -> str:
        """Shape and formats."""
        q, (n, k) = self.quantization, self.weights.shape
        formats = f"acts={q.acts}, weights={q.weights}, scheme={q.scheme}, group={q.group}"
        return f"in_features={k}, out_features={n}, {formats}"

    # ------------------------------------------------------------------ results

    @torch.no_grad()
    def forward(self, x: Tensor | QTensor, mode: str = "exact") -> Tensor:
        """float32 [..., N] ([T, N] for a `QTensor`); NaN results are the NaN with code 0x7FC00000.

        Raises `HwgenError` for another mode, and for activations that do not fit the layer.
        """
        if mode not in MODES:
            raise HwgenError(f"QuantLinear: mode must be one of {', '.join(MODES)}, not {mode!r}{suggest(mode, MODES)}")
        check_denormals()
        acts = self.quantize(x)
        outer = self._outer(acts)
        result = self._exact(acts) if mode == "exact" else self._fake(acts).float()
        if outer is not None and mode == "exact":
            result = result * outer
        result = torch.where(torch.isnan(result), torch.nan, result)
        return result if isinstance(x, QTensor) else result.reshape(*x.shape[:-1], -1)

    @torch.no_grad()
    def group_sums(self, x: Tensor | QTensor) -> Tensor | np.ndarray:
        """Exact group sums [G, T, N], zero points included: int64, or Python integers where they may exceed 2**62.

        Their unit is the weights' last place times that of the activations, which is for integers the format's, for
        alignment over a step 2**(1 - bias - mantissa_bits - guard), and over a group or row
        2**(E - bias - mantissa_bits - guard) with the scope's largest biased exponent E. A tile with planes of ±1
        counts in halves of this unit for weights that are not bipolar. Raises as `forward`.
        """
        groups = self._sums(self.quantize(x)).groups
        return groups.integers() if isinstance(groups, Wide) else groups

    def group_words(self, x: Tensor | QTensor) -> np.ndarray | None:
        """Raw group sums as a tile puts them out, [G, T, N] code words; None where they are `group_sums`, integers."""
        return None

    @torch.no_grad()
    def group_values(self, x: Tensor | QTensor) -> Tensor:
        """Group sums times their unit and the activations' scale, float64 [G, T, N]: exact up to 53 bits.

        The weights' scale is left out, so that every integer sum can be compared as it is. Raises as `forward`.
        """
        sums = self._sums(self.quantize(x))
        return sums.groups.double() * (power_of_two(sums.unit) * sums.row_scale)[..., None]

    @torch.no_grad()
    def bound(self, x: Tensor | QTensor) -> Tensor:
        """Bound of the difference between exact and fake mode, float64 [T, N]; derivation: `sim.golden.bounds`.

        Infinite where FP32 may overflow or a scale is no number. Raises as `forward`.
        """
        acts = self.quantize(x)
        if self._outer(acts) is not None:
            raise HwgenError("QuantLinear: bound must be asked of a layer without second-level scales")
        if self.quantization.overflow != "refuse":
            raise HwgenError(
                "QuantLinear: bound must be asked of a layer whose sums are exact, "
                f"not of overflow {self.quantization.overflow}"
            )
        sums = self._sums(acts)
        weights = torch.from_numpy(self.weights.dequantize()).abs()
        scale = torch.from_numpy(acts.scales.copy())[:, self._groups_of(acts)].abs()
        values = self._values(acts).abs()
        moved = torch.zeros_like(values)
        if self.quantization.align is not None:
            integers = self._aligned(acts)
            nearest = self.quantization.align_rounding == "rne" and self.quantization.align_guard >= 0
            furthest = torch.minimum(values, power_of_two(integers.unit) * (0.5 if nearest else 1.0))
            quotient = values * power_of_two(-integers.unit)
            moved = torch.where(quotient == torch.round(quotient), moved, furthest)
        by_row = sums.row_scale[..., None] * power_of_two(sums.unit)[..., None]
        products = sums.groups.double() * by_row * self._scale.T[:, None, :]
        if self._minimum is not None:
            by_row = sums.row_scale * power_of_two(sums.row_unit)
            extra = sums.rows.double() * by_row[..., None] * self._minimum.T[:, None, :]
            products = torch.stack([products, extra], dim=1).flatten(0, 1)
        moved, magnitude = (moved * scale) @ weights.T, (values * scale) @ weights.T
        return layer_bound(products.abs(), moved, magnitude, self._fake(acts), values.shape[1])

    # ------------------------------------------------------------------ operands

    def quantize(self, x: Tensor | QTensor) -> QTensor:
        """Activations [T, K] as they enter the tile or the block before it. Raises `HwgenError` if they do not fit."""
        k = self.weights.shape[1]
        if isinstance(x, Tensor):
            if not x.ndim or x.shape[-1] != k:
                raise HwgenError(f"QuantLinear: activations must have {k} columns, not shape {list(x.shape)}")
            x = acts_for(self.quantization, x.detach().cpu().double().reshape(-1, k).numpy())
        _check_format("activations", x.format, self.quantization.acts)
        if x.shape[1] != k or x.group_size not in (k, self.weights.group_size):
            raise HwgenError(
                f"QuantLinear: activations must have K = {k} and one scale a token or groups of "
                f"{self.weights.group_size}, not K = {x.shape[1]} and groups of {x.group_size}"
            )
        return x

    def _outer(self, acts: QTensor) -> Tensor | None:
        """Product of the second-level scales in FP32, [T or 1, N or 1]; None where neither side has one."""
        if acts.outer is None and self.weights.outer is None:
            return None
        one = torch.ones(1, 1)
        left, right = (one if t.outer is None else torch.from_numpy(t.outer.copy()) for t in (acts, self.weights))
        return left * right.T

    def _groups_of(self, acts: QTensor) -> Tensor:
        """Group of each of the K activations among their scales."""
        return torch.from_numpy(acts.group_of_k)

    def _values(self, acts: QTensor) -> Tensor:
        """Decoded activations, float64 [T, K], without their scale."""
        return torch.from_numpy(acts.values()) if self.quantization.align is None else finite_values(acts)

    def _aligned(self, acts: QTensor) -> Aligned:
        q = self.quantization
        assert q.align is not None
        return align(acts, q.align, self.weights.group_size, q.step, q.align_guard, q.align_rounding)

    # ------------------------------------------------------------------ exact arithmetic

    def _operands(self, acts: QTensor) -> tuple[Tensor, Tensor]:
        """Activations as float64 integers and the exponents of their units, constant within a group, [T, K] both."""
        if self.quantization.align is None:
            ints, lowest = _integers(acts, "activations"), acts.format.lsb_exp
            return ints, torch.full(ints.shape, lowest)
        integers = self._aligned(acts)
        ints, unit = integers.ints.double(), integers.unit
        if self.quantization.align == "step":
            # Steps of one group have different units: bring all to the lowest.
            return ints * power_of_two(unit - integers.lowest), torch.full_like(unit, integers.lowest)
        return ints, unit

    def _sums(self, acts: QTensor) -> Sums:
        ints, unit = self._operands(acts)
        parts = self._parts
        operands = [(ints[:, part], self._ints[:, part]) for part in parts]
        row_unit = torch.stack([unit[:, part.start] for part in parts])
        scale = torch.from_numpy(acts.scales.copy()).T.expand(len(parts), -1)
        groups: Tensor | Wide
        rows: Tensor | Wide
        if self.quantization.overflow != "refuse":
            groups = torch.stack([self._bounded(a, w) for a, w in operands])
            return Sums(groups, torch.zeros_like(groups[..., :1]), row_unit, row_unit + self._unit, scale)
        if max(_largest_sum(a, w) for a, w in operands) <= SUM_LIMIT:
            groups = torch.stack([a.to(torch.int64) @ w.to(torch.int64).T for a, w in operands])
            rows = torch.stack([a.to(torch.int64).sum(dim=1, keepdim=True) for a, _ in operands])
        else:
            groups = Wide.stack([exact_matmul(a, w) for a, w in operands])
            rows = Wide.stack([exact_matmul(a, torch.ones_like(a[:1])) for a, _ in operands])
        return Sums(groups, rows, row_unit, row_unit + self._unit, scale)

    def _bounded(self, acts: Tensor, weights: Tensor) -> Tensor:
        """Sums of a group, int64 [T, N], that saturate or wrap after every step of K."""
        low, high = -(1 << (self.quantization.sum_bits - 1)), (1 << (self.quantization.sum_bits - 1)) - 1
        total = torch.zeros(len(acts), len(weights), dtype=torch.int64)
        for begin in range(0, acts.shape[1], self.quantization.step):
            step = slice(begin, begin + self.quantization.step)
            a, w = acts[:, step], weights[:, step]
            if _largest_sum(a, w) > SUM_LIMIT / 2:
                raise HwgenError("QuantLinear: products of a step must fit 62 bits where sums saturate or wrap")
            total = total + a.to(torch.int64) @ w.to(torch.int64).T
            if self.quantization.overflow == "saturate":
                total = total.clamp(low, high)
            else:
                # Python's remainder, which is torch's too, is never negative.
                total = (total - low) % (high - low + 1) + low
        return total

    def _exact(self, acts: QTensor) -> Tensor:
        sums = self._sums(acts)
        result = torch.zeros(sums.groups.shape[1:], dtype=torch.float32)
        for index in range(len(sums.groups)):
            row_scale, unit = sums.row_scale[index, :, None], sums.unit[index, :, None]
            result = result + _rounded(sums.groups[index], row_scale * self._scale[:, index], unit)
            if self._minimum is not None:
                unit = sums.row_unit[index, :, None]
                result = result + _rounded(sums.rows[index], row_scale * self._minimum[:, index], unit)
        return result

    # ------------------------------------------------------------------ float model

    def _fake(self, acts: QTensor) -> Tensor:
        """float64 [T, N]."""
        scale = torch.from_numpy(acts.scales.copy())[:, self._groups_of(acts)]
        if acts.outer is not None:
            scale = scale * torch.from_numpy(acts.outer.copy()).double()
        return (self._values(acts) * scale) @ torch.from_numpy(self.weights.dequantize()).T


def _integers(tensor: QTensor, operand: str) -> Tensor:
    """Decoded values as integers of the format's last place, float64. Raises `HwgenError` where there are none."""
    values = torch.from_numpy(tensor.values()) * 2.0**-tensor.format.lsb_exp
    if not torch.isfinite(values).all():
        raise HwgenError(f"QuantLinear: {operand} must be finite, which some {tensor.format.name} codes are not")
    return values


def _largest_sum(acts: Tensor, weights: Tensor) -> float:
    """What no operand and no sum of products, partial ones included, exceeds in magnitude, up to float64 rounding."""
    rows, largest = float(acts.abs().sum(dim=1).amax()), float(weights.abs().amax())
    return max(rows, largest, rows * largest)


def _rounded(total: Tensor | Wide, scale: Tensor, exponent: Tensor) -> Tensor:
    """Sums times scales and a power of two, rounded once to float32; shapes broadcast."""
    if is_long(scale):
        return round_long(total.integers() if isinstance(total, Wide) else total.numpy(), scale, exponent)
    if isinstance(total, Wide):
        return total.round_scaled(scale, exponent)
    return round_scaled(total, scale, exponent)


def _check_format(operand: str, form: Format, name: str) -> None:
    """Raise `HwgenError` unless ``form`` has the name or the alias ``name``."""
    # By name first: a family of another package may bring a format that the catalogue does not know.
    if form.name != name and form != get(name):
        raise HwgenError(f"QuantLinear: {operand} must be {name}, not {form.name}")
