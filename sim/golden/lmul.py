"""A linear layer of L-Mul products (arXiv 2410.00907), on decoded values in torch.

Of operands x = ±(1 + x_m)·2**x_e and y likewise the product is, with s = x_m + y_m + 2**-l and c = floor(s),

    ±(1 + s - c) · 2**(x_e + y_e + c)            0 where an operand is

l = m for mantissas of m bits up to 3, 3 for 4 and 4 for longer ones, where m is the longer one of both formats. Values
below a format's normal numbers are zero first with option ``subnormals`` flush, and as they are with normalise.

Option ``accumulator`` exact: infinities and NaN are the largest finite value with their sign, group sums are exact and
scaled as `QuantLinear` says. fp32: non-finite operands multiply as in IEEE 754, products beyond FP32's end are infinite
and those below its normal numbers zero with their sign, and the sums are those of `Fp32Linear`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from hwgen.errors import HwgenError
from hwgen.formats import Format, MinifloatFormat, QTensor, get
from sim.golden.align import finite_values
from sim.golden.fp32 import Fp32Linear
from sim.golden.quant_linear import LayerQuantization, QuantLinear, Sums
from sim.golden.rounding import SUM_LIMIT, power_of_two
from sim.golden.wide import Wide, exact_matmul

__all__ = ["LmulLinear", "lmul"]


def _offset_exponent(mantissa: int) -> int:
    """l of a mantissa's bits."""
    return mantissa if mantissa <= 3 else 3 if mantissa == 4 else 4


def lmul(x: Tensor, y: Tensor, mantissa: int) -> Tensor:
    """float64 products of finite float64 values that broadcast, for ``mantissa`` bits."""
    left, right = torch.frexp(x.abs()), torch.frexp(y.abs())
    # frexp: a fraction of at least one half, so that 2·fraction = 1 + mantissa.
    total = 2 * left.mantissa + 2 * right.mantissa - 2 + 2.0 ** -_offset_exponent(mantissa)
    carry = torch.floor(total)
    exponent = left.exponent.to(torch.int64) + right.exponent - 2 + carry.to(torch.int64)
    zero = (x == 0) | (y == 0)
    magnitude = (1 + total - carry) * power_of_two(torch.where(zero, 0, exponent))
    return torch.copysign(torch.where(zero, 0.0, magnitude), torch.copysign(torch.ones_like(x), x) * y)


class LmulLinear(Fp32Linear):
    """A quantised linear layer whose products are L-Mul's; options ``accumulator``, ``subnormals``, ``interleave``."""

    _ARITHMETIC: ClassVar[str] = "lmul"
    _OPTIONS: ClassVar[tuple[str, ...]] = ("accumulator", "interleave", "subnormals")

    def __init__(self, weights: QTensor, quantization: LayerQuantization) -> None:
        """As `Fp32Linear`; also raises `HwgenError` for options of other values and operands that are no minifloats."""
        super().__init__(weights, quantization)
        for name, allowed in (("accumulator", ("exact", "fp32")), ("subnormals", ("flush", "normalise"))):
            if self._settings.get(name) not in allowed:
                raise HwgenError(
                    f"LmulLinear: option {name} must be {' or '.join(allowed)}, not {self._settings.get(name)!r}"
                )
        if quantization.overflow != "refuse":
            raise HwgenError(f"LmulLinear: overflow must be refuse, not {quantization.overflow}")
        self._rounds = self._settings["accumulator"] == "fp32"
        self._normalises = self._settings["subnormals"] == "normalise"
        self._mantissa = max(_float(weights).mantissa_bits, _format(quantization.acts).mantissa_bits)
        self._weight_values = self._kept(weights)

    def _kept(self, tensor: QTensor) -> Tensor:
        """Values [rows, K] of an operand that are multiplied, float64."""
        values = torch.from_numpy(tensor.values()) if self._rounds else finite_values(tensor)
        if self._normalises:
            return values
        least = 2.0 ** _lowest_normal(_float(tensor))
        return torch.where(values.abs() < least, torch.copysign(torch.zeros_like(values), values), values)

    def _products(self, acts: Tensor, weights: Tensor) -> Tensor:
        finite = torch.isfinite(acts) & torch.isfinite(weights)
        found = lmul(torch.where(finite, acts, 1.0), torch.where(finite, weights, 1.0), self._mantissa)
        if not self._rounds:
            return found
        # The smallest normal number, and what is no number any more.
        found = torch.where(found.abs() < 2.0**-126, torch.copysign(torch.zeros_like(found), found), found)
        found = torch.where(found.abs() >= 2.0**128, torch.copysign(torch.full_like(found, torch.inf), found), found)
        return torch.where(finite, found, acts * weights).float()

    def _group_sums(self, acts: QTensor) -> list[Tensor]:
        a = self._kept(acts)
        return [self._group_sum(a[:, part], self._weight_values[:, part]) for part in self._parts]

    def _sums(self, acts: QTensor) -> Sums:
        lowest = -self._mantissa
        for form in (_float(acts), _float(self.weights)):
            lowest += _lowest_normal(form) - (form.mantissa_bits if self._normalises else 0)
        a = self._kept(acts)
        found = [self._summed(a[:, part], self._weight_values[:, part], 2.0**-lowest) for part in self._parts]
        wide = Wide.stack(found)
        groups: Tensor | Wide = wide
        if max(float(part.double().abs().max()) for part in found) < SUM_LIMIT:
            groups = torch.from_numpy(np.asarray(wide.integers(), dtype=np.int64))
        unit = torch.full((len(found), len(a)), lowest)
        scale = torch.from_numpy(acts.scales.copy()).T.expand(len(found), -1)
        rows = torch.zeros(len(found), len(a), 1, dtype=torch.int64)
        return Sums(groups, rows, unit, unit, scale)

    def _summed(self, acts: Tensor, weights: Tensor, per_unit: float) -> Wide:
        """Exact sums [T, N] of the products over K in units, ``per_unit`` of them are 1."""
        ones = torch.ones(1, acts.shape[1], dtype=torch.float64)
        # A token at a time: its products are as many as the weights.
        tokens = [exact_matmul(self._products(token[None], weights) * per_unit, ones) for token in acts]
        return Wide(Wide.stack(tokens).limbs[..., 0])

    def group_words(self, x: Tensor | QTensor) -> np.ndarray | None:  # type: ignore[override]
        """FP32 codes of the group sums, int64 [G, T, N]; None where they are `group_sums`, integers."""
        return super().group_words(x) if self._rounds else None

    def _exact(self, acts: QTensor) -> Tensor:
        return super()._exact(acts) if self._rounds else QuantLinear._exact(self, acts)


def _float(tensor: QTensor) -> MinifloatFormat:
    return _format(tensor.format)


def _format(form: Format | str) -> MinifloatFormat:
    found = get(form) if isinstance(form, str) else form
    if not isinstance(found, MinifloatFormat) or found.bias is None:
        raise HwgenError(f"LmulLinear: operands must be floating point, not {found.name}")
    return found


def _lowest_normal(form: MinifloatFormat) -> int:
    """Exponent of the smallest normal number."""
    assert form.bias is not None
    return 1 - form.bias
