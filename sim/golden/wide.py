"""Exact sums of products of any width, and their one rounding into FP32: torch on limbs of 20 bits.

A float64 integer of any size (a decoded value in units of its format's last place, say) is cut into limbs: integers
below 2**20 with its sign, value = Σ limb_i · 2**(20·i), exactly, because every limb is a part of its 53 significant
bits. A product of two limbs is below 2**40, so that a sum of 2**13 of them is exact in float64 in any order: matrix
products of limbs over at most 2**13 elements of K are exact, and so are their sums in int64, to which carries are
applied after every such piece.

To round, the limbs are multiplied by the scale's significand (at most 22 bits, so below 2**43 with its sign), carried,
and the three highest limbs that are not zero are kept, of which the lowest bit becomes 1 if anything was below. These
are at least 41 bits, rounded to odd: rounding them to 24 bits, or to the fewer of a subnormal, is rounding the exact
product (Boldo and Melquiond, cf. `sim.golden.rounding`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sim.golden.rounding import SCALE_BITS, check_scale, round_scaled

__all__ = ["LIMB_BITS", "Wide", "exact_matmul"]

LIMB_BITS = 20
"""Bits of a limb."""

_BASE = 1 << LIMB_BITS
_PIECE = 1 << (53 - 2 * LIMB_BITS)
"""Longest sum of products of two limbs that is exact in float64."""


def _carry(limbs: Tensor, extra: int = 0) -> Tensor:
    """The same numbers with limbs from 0 to 2**20 - 1, but the highest, which has the sign; ``extra`` more limbs."""
    padded = torch.cat([limbs, limbs.new_zeros(extra, *limbs.shape[1:])])
    carried = torch.empty_like(padded)
    carry = torch.zeros_like(padded[0])
    for index in range(len(padded) - 1):
        total = padded[index] + carry
        # An arithmetic shift rounds down, so that the rest is not negative.
        carry = total >> LIMB_BITS
        carried[index] = total & (_BASE - 1)
    carried[-1] = padded[-1] + carry
    return carried


@dataclass(frozen=True)
class Wide:
    """Integers of any width: ``limbs`` int64 [L, ...], value = Σ limbs[i] · 2**(20·i).

    All limbs are from 0 to 2**20 - 1 but the highest, which has the sign and is small. Its index on the left of others
    selects elements, as in a tensor of shape [...].
    """

    limbs: Tensor

    def __getitem__(self, index: int) -> Wide:
        return Wide(self.limbs[:, index])

    def __len__(self) -> int:
        return self.limbs.shape[1]

    @property
    def shape(self) -> torch.Size:
        """Shape of the array of integers."""
        return self.limbs.shape[1:]

    @classmethod
    def stack(cls, parts: list[Wide]) -> Wide:
        """Arrays of one shape as [G, ...]."""
        longest = max(len(part.limbs) for part in parts)
        # Carrying again takes the sign from the former highest limb to the new one.
        return cls(torch.stack([_carry(part.limbs, longest - len(part.limbs)) for part in parts], dim=1))

    def integers(self) -> np.ndarray:
        """The numbers as Python integers, object [...]."""
        total = np.zeros(tuple(self.shape), dtype=object)
        for limb in reversed(list(self.limbs)):
            total = total * _BASE + limb.numpy().astype(object)
        return total

    def double(self) -> Tensor:
        """The numbers rounded to nearest float64."""
        return torch.from_numpy(np.asarray(self.integers(), dtype=np.float64))

    def round_scaled(self, scale: Tensor, exponent: Tensor) -> Tensor:
        """number · scale · 2**exponent, rounded once to float32: `sim.golden.rounding.round_scaled` of any width."""
        check_scale(scale)
        finite = torch.isfinite(scale)
        fraction, place = torch.frexp(torch.where(finite, scale, 0.0))
        factor = (fraction * 2.0**SCALE_BITS).to(torch.int64)
        negative = (self.limbs[-1] < 0) ^ (factor < 0)
        sign = torch.where(negative, -1, 1)
        factor = torch.where(factor < 0, -factor, factor)
        # -(x) of a carried number has negative limbs; the second carry makes them a magnitude.
        magnitude = torch.where(self.limbs[-1] < 0, -self.limbs, self.limbs)
        magnitude = _carry(magnitude * factor, extra=3)

        count = len(magnitude)
        number = torch.arange(1, count + 1).reshape(-1, *[1] * (magnitude.ndim - 1))
        highest = torch.where(magnitude != 0, number, 0).amax(dim=0) - 1
        lowest = (highest - 2).clamp(min=0)
        below = ((number - 1 < lowest) & (magnitude != 0)).any(dim=0)
        head = torch.zeros_like(lowest)
        for offset in (2, 1, 0):
            at = (lowest + offset).clamp(max=count - 1)
            limb = torch.gather(magnitude, 0, at[None])[0]
            head = head * _BASE + torch.where(lowest + offset < count, limb, 0)
        head = sign * (head | below.to(torch.int64))
        shift = exponent + place.to(torch.int64) - SCALE_BITS + LIMB_BITS * lowest
        # Beyond these ends the result is zero or infinite whatever the number, and float64 stays within its range.
        rounded = round_scaled(head, torch.ones_like(scale), shift.clamp(-900, 900))
        nonzero = (self.limbs != 0).any(dim=0)
        special = torch.where(nonzero, torch.where(self.limbs[-1] < 0, -1.0, 1.0), 0.0) * scale
        return torch.where(finite, rounded, special.float())


def _limbs(values: Tensor) -> list[Tensor]:
    """Limbs of float64 integers, lowest first, each float64 below 2**20 in magnitude; exact."""
    largest = values.abs().amax()
    bits = max(int(torch.frexp(largest).exponent), 1)
    count = -(-bits // LIMB_BITS)
    rest = values
    limbs: list[Tensor] = []
    for index in reversed(range(count)):
        unit = 2.0 ** (LIMB_BITS * index)
        limb = torch.trunc(rest / unit)
        rest = rest - limb * unit
        limbs.insert(0, limb)
    return limbs


def exact_matmul(acts: Tensor, weights: Tensor) -> Wide:
    """Σ_k acts[t, k] · weights[n, k], exactly: [T, N] of any width.

    ``acts`` [T, K] and ``weights`` [N, K] are float64 integers (below 2**1000).
    """
    k = acts.shape[1]
    a, w = _limbs(acts), _limbs(weights)
    # Two limbs more hold 2**20 products and the sign.
    total = torch.zeros(len(a) + len(w) + 2, len(acts), len(weights), dtype=torch.int64)
    for begin in range(0, k, _PIECE):
        part = slice(begin, begin + _PIECE)
        for i, left in enumerate(a):
            for j, right in enumerate(w):
                x, y = left[:, part], right[:, part]
                # Most limbs of most operands are zero: a number has at most 53 bits.
                if x.any() and y.any():
                    total[i + j] += (x @ y.T).to(torch.int64)
        total = _carry(total)
    return Wide(total)
