"""How far the exact layer may be from the float model: derivation and arithmetic of the bound.

Notation: u = 2**-24 is half a unit in the last place of 1 in FP32, e = 2**-150 half its smallest subnormal, v = 2**-53
the u of float64, and gamma(n) = n·u / (1 - n·u). For an output let p_1 .. p_L be the exact products that are rounded
into FP32 (one a group, two with a float minimum) and added in this order, and f the float model's result in float64.

1. Roundings and additions. t_i = p_i (1 + d) + c with abs(d) <= u and abs(c) <= e. An addition in FP32 gives
   (y + t)(1 + d) without any c, because sums of FP32 numbers are multiples of 2**-149, and the first one, to zero, is
   exact. So p_i is multiplied by n_i = L + 2 - max(i, 2) factors (1 + d), and the error is at most

       sum_i abs(p_i) gamma(n_i)  +  L e (1 + gamma(L)).

2. Alignment. An activation a that is no multiple of 2**unit moves by at most m = min(abs(a), h · 2**unit), with h = 1/2
   to nearest and 1 towards zero or with dropped mantissa bits, where rounding up saturates; any other by m = 0. Through
   dequantised weights w and the row's scale r the result moves by at most

       sum_k abs(r w_k) m_k.

3. The float model: K products in float64, of operands rounded at most once each, their sum, and a rounding to FP32:

       gamma64(K + 2) sum_k abs(r a_k w_k)  +  u abs(f)  +  e.

The bound is the sum of the three, enlarged by 2**-32 for its own rounding errors. Where sum_i abs(p_i) (1 + gamma(L))
may reach FP32's overflow, or a scale is no number, it is infinite: nothing is claimed there.
Source: N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 4.2 and lemma 3.1.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["layer_bound"]

_U = 2.0**-24
_SUBNORMAL = 2.0**-150
_V = 2.0**-53
_LARGEST = (2 - 2.0**-23) * 2.0**127


def _gamma(count: Tensor | int, unit: float = _U) -> Tensor:
    product = torch.as_tensor(count, dtype=torch.float64) * unit
    return product / (1 - product)


def layer_bound(products: Tensor, moved: Tensor, magnitude: Tensor, fake: Tensor, k: int) -> Tensor:
    """The bound of this module, float64 [T, N].

    ``products`` float64 [L, T, N]: abs(p_i) in order; ``moved`` [T, N]: part 2, 0 without alignment;
    ``magnitude`` [T, N]: sum_k abs(r a_k w_k); ``fake`` [T, N]: f.
    """
    count = len(products)
    factors = _gamma(count + 2 - torch.arange(1, count + 1).clamp(min=2))
    rounded = (products * factors[:, None, None]).sum(dim=0) + count * _SUBNORMAL * (1 + _gamma(count))
    modelled = _gamma(k + 2, _V) * magnitude + _U * fake.abs() + _SUBNORMAL
    bound = (rounded + moved + modelled) * (1 + 2.0**-32)
    largest = torch.maximum(products.sum(dim=0) * (1 + _gamma(count)), fake.abs()) * (1 + 2.0**-32)
    return torch.where(torch.isfinite(bound) & (largest < _LARGEST), bound, torch.inf)
