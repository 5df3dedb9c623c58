"""A linear layer as BitMoD's bit-serial tile computes it, bit for bit, in torch on values.

Weights are sums of powers of two: an integer q of its Booth digits d_i·4**i, i = 0, 1, …, where Σ_{j<i} d_j·4**j is the
number that the low 2i bits of q are in two's complement; any other weight v of sign·2**floor(log2 abs(v)) (or nothing
where abs(v) < 1) and of what is left. They are added in this order, all first ones of a step's activations, then all
second ones, and so on; a term is t·u with the phase's unit u (4**i; 1, then 1/2).

A step adds, of activations a (infinities and NaN as the largest finite magnitude, h = max(floor(log2 abs(a)), that of
the smallest normal number)), with r = max (h + log2 abs(t)) over the activations whose t is not 0:

    D = d · 2**R, d = Σ trunc(a·t / 2**(r - m)), R = r - m + log2 u       m = mantissa bits + guard bits

A normalised accumulator y of P bits, y = Y·2**L with -2**(P-1) <= Y < -2**(P-2) or 2**(P-2) <= Y < 2**(P-1), becomes

    S = floor(y / 2**X)·2**X + floor(D / 2**X)·2**X             X = max(L - F + P, R - F + W), without L for y = 0
    y = floor(S / 2**L')·2**L'                                  L' as S has it

where W are the bits of the largest d, with sign, and F = max(W, P + 2); d = 0 changes nothing. An exact accumulator
just adds. With ``interleave`` = I > 1 update i changes sum i mod I; then the sums from number u mod I on (u updates in
all), in turn, are added in a balanced tree, as a D whose frame is that of its sum. Activations that are integers have
exact sums, and the layer is `QuantLinear`'s.

Output: result = result + fp32(y · scale), in K order, then the second-level scales.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from hwgen.errors import HwgenError
from hwgen.formats import IntFormat, MinifloatFormat, QTensor
from sim.golden.align import finite_values
from sim.golden.quant_linear import QuantLinear
from sim.golden.rounding import power_of_two, round_scaled

__all__ = ["BitmodLinear", "weight_terms"]

_SUM_BITS = 62
_NONE = -(2**14)
"""Exponent of a term that is 0: below every other, added to any activation's."""
_HALF = 1
"""Exponent of a half, negated: weights count in halves."""


@dataclass(frozen=True)
class _Steps:
    """One update: ``total`` float64 [T, N] and the exponent of its last place int64 [T, N]."""

    total: Tensor
    place: Tensor


def weight_terms(weights: QTensor) -> tuple[list[Tensor], list[int]]:
    """Terms t float64 [N, K] of each phase, and the exponent of its unit u."""
    values = torch.from_numpy(weights.values())
    if isinstance(weights.format, IntFormat):
        terms, below = [], torch.zeros_like(values)
        count = -(-weights.format.code_bits // 2)
        for index in range(count):
            size = 4.0 ** (index + 1)
            low = torch.remainder(values + size / 2, size) - size / 2
            terms.append((low - below) / 4.0**index)
            below = low
        return terms, [2 * index for index in range(count)]
    magnitude = values.abs()
    exponent = torch.frexp(magnitude).exponent.to(torch.int64) - 1
    first = torch.where(magnitude >= 1, power_of_two(exponent), 0.0)
    return [first * values.sign(), 2 * (magnitude - first) * values.sign()], [0, -1]


class BitmodLinear(QuantLinear):
    """A linear layer with the arithmetic of a BitMoD tile."""

    def group_words(self, x: Tensor | QTensor) -> np.ndarray | None:
        """Raw group sums, int64 [G, T, N]: integers in halves, or mantissa + exponent · 2**P as the tile has them."""
        acts = self.quantize(x)
        if isinstance(acts.format, IntFormat):
            sums = self._sums(acts)
            return np.asarray(sums.groups.double().numpy() * 2.0 ** (self._unit + _HALF)).astype(np.int64)
        words = []
        for part in self.weights.group_slices:
            if self._setting("accumulator") == "exact":
                words.append(self._exact_group(acts, part))
                continue
            y = self._group(acts, part)
            place = self._place(y)
            mantissa = (y * power_of_two(-place)).to(torch.int64)
            exponent = place - self._lowest(acts) + self._width - 1
            word = (exponent << self._width) | (mantissa & (2**self._width - 1))
            words.append(torch.where(y == 0, 0, word))
        return torch.stack(words).numpy()

    @torch.no_grad()
    def bound(self, x: Tensor | QTensor) -> Tensor:
        """Not known for truncating sums: raises `HwgenError`; reports/errors/bitmod.py measures instead."""
        raise HwgenError("BitmodLinear: bound must be asked of a layer with exact sums, not of arithmetic bitmod")

    # ------------------------------------------------------------------ settings

    def _setting(self, name: str) -> int | str:
        options: tuple[tuple[str, int | str], ...] = getattr(self.quantization, "options", ())
        return dict(options)[name]

    @property
    def _width(self) -> int:
        """P."""
        return int(self._setting("acc_mantissa"))

    def _below(self, acts: QTensor) -> int:
        """m: places below the leading one of the largest product."""
        return _float(acts).mantissa_bits + int(self._setting("guard_bits"))

    def _lowest(self, acts: QTensor) -> int:
        """Exponent of a half times the least place, were a normal number's exponent field 0."""
        return -(_float(acts).bias or 0) - self._below(acts) - _HALF

    def _dot_bits(self, acts: QTensor) -> int:
        """W."""
        largest = self.quantization.step * ((2 << _float(acts).mantissa_bits) - 1)
        return (largest << int(self._setting("guard_bits"))).bit_length() + 1

    def _values(self, acts: QTensor) -> Tensor:
        return super()._values(acts) if isinstance(acts.format, IntFormat) else finite_values(acts)

    # ------------------------------------------------------------------ arithmetic

    @cached_property
    def _terms(self) -> list[tuple[Tensor, Tensor, int]]:
        """Of each phase: terms t float32 [N, K], which are exact, log2 abs(t) int16 [N, K], and the unit's exponent."""
        found = []
        for term, unit in zip(*weight_terms(self.weights), strict=True):
            exponent = torch.where(term != 0, torch.frexp(term).exponent - 1, _NONE)
            found.append((term.float(), exponent.to(torch.int16), unit))
        return found

    def _updates(self, acts: QTensor, part: slice) -> Iterator[_Steps]:
        """What the steps of a group add, in order."""
        form, below = _float(acts), self._below(acts)
        values = self._values(acts)
        leading = torch.frexp(values).exponent.to(torch.int64) - 1
        normal = 1 - (form.bias or 0)
        leading = torch.where(values == 0, normal, leading.clamp(min=normal))
        for start in range(part.start, part.stop, self.quantization.step):
            columns = slice(start, min(start + self.quantization.step, part.stop))
            a, high = values[:, None, columns], leading[:, None, columns]
            for term, exponent, unit in self._terms:
                top = (high + exponent[None, :, columns]).amax(dim=2)
                place = torch.where(top > _NONE // 2, top, 0) - below
                whole = torch.trunc(a * term[None, :, columns] * power_of_two(-place)[..., None]).sum(dim=2)
                yield _Steps(whole * power_of_two(place + unit), place + unit)

    def _place(self, y: Tensor) -> Tensor:
        """L: exponent of the last of P places of a normalised two's-complement number."""
        parts = torch.frexp(y)
        # −2**j is the lowest number of its exponent, where 2**j would be one too large.
        return parts.exponent.to(torch.int64) - self._width + torch.where(parts.mantissa == -0.5, 0, 1)

    def _group(self, acts: QTensor, part: slice) -> Tensor:
        """Normalised sum of a group, float64 [T, N]."""
        count = int(self._setting("interleave"))
        sums = [torch.zeros(acts.shape[0], self.weights.shape[0], dtype=torch.float64)] * count
        bits = self._dot_bits(acts)
        frame = max(bits, self._width + 2)
        updates = 0
        for update in self._updates(acts, part):
            turn = updates % count
            sums[turn] = self._plus(sums[turn], update.total, update.place - (frame - bits), frame)
            updates += 1
        sums = sums[updates % count :] + sums[: updates % count]
        while len(sums) > 1:
            pairs = list(zip(sums[::2], sums[1::2], strict=False))
            odd = sums[2 * len(pairs) :]
            sums = [self._plus(y, x, self._place(x) - (frame - self._width), frame) for x, y in pairs] + odd
        return sums[0]

    def _plus(self, y: Tensor, x: Tensor, last: Tensor, frame: int) -> Tensor:
        """Normalised y plus x, whose frame ends at the exponent ``last``."""
        last = torch.maximum(torch.where(y == 0, last, self._place(y) - (frame - self._width)), last)
        total = _floor(y, last) + _floor(x, last)
        total = torch.where(total == 0, total, _floor(total, self._place(total)))
        return torch.where(x == 0, y, total)

    def _exact_group(self, acts: QTensor, part: slice) -> Tensor:
        """Exact sum of a group's steps, int64 [T, N] in units of 2**`_lowest`."""
        lowest = self._lowest(acts)
        largest = (part.stop - part.start) * acts.format.max_value * 2.0**7 / 2.0**lowest
        if largest >= 2.0**_SUM_BITS:
            raise HwgenError(
                f"BitmodLinear: sums must fit {_SUM_BITS} bits with an exact accumulator, "
                f"not {int(largest).bit_length() + 1}; use fewer guard bits or shorter groups"
            )
        total = torch.zeros(acts.shape[0], self.weights.shape[0], dtype=torch.int64)
        for update in self._updates(acts, part):
            units = (update.total * power_of_two(-update.place)).to(torch.int64)
            total = total + (units << (update.place - lowest))
        return total

    def _exact(self, acts: QTensor) -> Tensor:
        if isinstance(acts.format, IntFormat):
            return super()._exact(acts)
        result = torch.zeros(acts.shape[0], self.weights.shape[0], dtype=torch.float32)
        for index, part in enumerate(self.weights.group_slices):
            scale = self._scale[:, index]
            if self._setting("accumulator") == "exact":
                exponent = torch.full_like(self._scale[:1, :1], self._lowest(acts)).to(torch.int64)
                result = result + round_scaled(self._exact_group(acts, part), scale[None, :], exponent)
            else:
                # At most 32 + 8 bits: exact before the rounding to float32. Adding zero turns −0 into +0.
                result = result + (self._group(acts, part) * scale + 0.0).float()
        return result


def _float(acts: QTensor) -> MinifloatFormat:
    form = acts.format
    assert isinstance(form, MinifloatFormat)
    return form


def _floor(x: Tensor, place: Tensor) -> Tensor:
    """Largest multiple of 2**place that is not above x."""
    return torch.floor(x * power_of_two(-place)) * power_of_two(place)
