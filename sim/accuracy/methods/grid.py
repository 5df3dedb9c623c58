"""Scales of groups and, at scales that stay, the nearest codes: what methods round weights with, a column at a time.

`hwgen.quantize` takes a matrix and gives codes; a method that moves the weights between two roundings needs scales that
stay where they are, and one that searches needs other scales than the format's own. `Grid` has both in torch, for every
scheme that an `OperandFormat` has, with the arithmetic of the quantisers: at the format's own scales it gives their
numbers (ternary ones at the stored scale, not at the one before it was rounded), and any codes and scales of it are a
`QTensor`, from which `Grid.values` is what `QTensor.dequantize` says.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from hwgen.errors import HwgenError
from hwgen.formats import BitmodFormat, Format, Hif4Format, IntFormat, PositFormat, QTensor, get
from hwgen.quantize import default_anchor, two_level_limit
from sim.accuracy.operand import OperandFormat

__all__ = ["Grid", "Scales"]

_LARGEST = float(np.finfo(np.float32).max)
_SMALLEST = float(np.finfo(np.float32).smallest_subnormal)


@dataclass(frozen=True)
class Scales:
    """Scales of groups as they are stored, [N, G] each, or shaped to go with numbers that are rounded at them.

    Attributes
    ----------
    codes : int64, code words. value : float64, what they mean. outer : float64, second-level scale [N, 1] or [1, 1].
    divisor : what a number is divided by before it is rounded; infinite where the scale is 0; float32 where the
        quantiser's quotient is. HiF4's is what a number is multiplied by: its quantiser has the inverse in bfloat16.
    zero : float64, zero points or minima. selector : int64, side information of the format.
    level_2, level_3 : bool [N, fours], exponents of HiF4, of every four columns.
    """

    codes: Tensor
    value: Tensor
    divisor: Tensor
    outer: Tensor | None = None
    zero: Tensor | None = None
    selector: Tensor | None = None
    level_2: Tensor | None = None
    level_3: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> Scales:
        """With everything but HiF4's exponents changed."""
        wanted = ("codes", "value", "divisor", "outer", "zero", "selector")
        given = {name: getattr(self, name) for name in wanted}
        return dataclasses.replace(self, **{key: change(part) for key, part in given.items() if part is not None})

    @property
    def doubled(self) -> Tensor:
        """How often HiF4's elements are doubled, [N, fours]."""
        assert self.level_2 is not None
        assert self.level_3 is not None
        return self.level_2.double() + self.level_3.double()


class Grid:
    """The grids of an [N, K] matrix of weights in a format.

    Raises `HwgenError` where the format cannot be had at K columns, as its quantiser does, and for a scheme that has no
    grid.
    """

    def __init__(self, form: OperandFormat, n: int, k: int) -> None:
        if form.scheme not in _SCHEMES:
            raise HwgenError(
                f"format of numbers {form.name!r}: scheme must be one of {', '.join(_SCHEMES)} to be rounded at "
                f"scales that stay, not {form.scheme!r}"
            )
        # The quantiser itself says what fits, and in what it stores: formats of codes and scales, kinds of zeros.
        sample = form.quantise(np.linspace(-1.0, 1.0, k, dtype=np.float64)[None])
        if sample.selector is not None and form.scheme != "bitmod":
            raise HwgenError(
                f"format of numbers {form.name!r}: groups that choose a table have no grid; use method rtn"
            )
        self.form, self.n, self.k = form, n, k
        self.size = sample.group_size
        self.groups = sample.groups
        self.codes, self.scales_format, self._zero_kind = sample.format, sample.scale_format, sample.zero_kind
        self.bits = self.codes.code_bits
        self.plain = form.scheme == "element" and self.bits >= 16
        """Whether numbers are rounded as they are, with a scale of 1."""
        single = form.scheme in ("symmetric", "asymmetric", "bipolar", "element") and self.scales_format == get("fp32")
        self._quotient = torch.float32 if single or form.scheme == "nv" else torch.float64
        self._integer = isinstance(self.codes, IntFormat)
        self._fraction = self.codes.fraction_bits if isinstance(self.codes, IntFormat) else 0

    # ------------------------------------------------------------------ groups

    def fold(self, x: Tensor) -> Tensor:
        """[N, C] of whole groups to float64 [N, G, size]; a last group that is shorter is filled with zeros."""
        x = x.double()
        short = -x.shape[1] % self.size
        return functional.pad(x, (0, short)).reshape(x.shape[0], -1, self.size)

    def unfold(self, x: Tensor, columns: int | None = None) -> Tensor:
        """Undo `fold`, to ``columns`` (K if not given)."""
        return x.reshape(x.shape[0], -1)[:, : self.k if columns is None else columns]

    def squares(self, error: Tensor, weight: Tensor | None = None) -> Tensor:
        """Σ error² of each group of a folded [N, G, size] of all K columns, or Σ weight · error²: [N, G].

        ``weight`` [K] belongs to the columns.
        """
        if weight is None:
            return _squares(self._inside(error, self.k, 0.0))
        # Zeros where a last group was filled.
        return (error * error * self.fold(weight[None])).sum(dim=-1)

    def _inside(self, folded: Tensor, columns: int, fill: float) -> Tensor:
        """With another number where a last group of fewer columns was filled."""
        if columns % self.size == 0:
            return folded
        inside = torch.arange(folded.shape[1] * self.size).reshape(-1, self.size) < columns
        return torch.where(inside, folded, fill)

    # ------------------------------------------------------------------ scales

    def outer(self, weights: Tensor) -> Tensor | None:
        """Second-level scales of [N, K], float64 [N, 1] or [1, 1]; None where the format has none."""
        scheme = self.form.scheme
        if scheme == "nv":
            top = weights.double().abs().clamp(max=_LARGEST).float().amax()
            limit = float(np.float32(self.codes.max_value) * np.float32(self.scales_format.max_value))
            return (top / limit).clamp(min=_SMALLEST * bool(top > 0)).double().reshape(1, 1)
        if scheme.startswith("two_level"):
            most = two_level_limit(self.bits, scheme.removeprefix("two_level_"))
            largest, second = weights.double().abs().amax(dim=1, keepdim=True), get(self.form.weight_scale)
            return _decoded(second, _scale_codes(second, largest / most))
        if scheme == "bitmod" and isinstance(self.scales_format, IntFormat):
            return self._bitmod_outer(self._bitmod_ideal(self.fold(weights), weights.shape[1], 1.0)[1])
        return None

    def scales(self, weights: Tensor, outer: Tensor | None = None, share: Tensor | float | None = None) -> Scales:
        """Scales of the groups of [N, C], C of whole groups (the last one of K may be shorter).

        ``outer`` are the second-level scales, if there are any: those of these weights unless given. ``share`` scales
        to that share of a group's largest magnitude, a number or [N, G]; None is the format's own rule.
        """
        if self.plain:
            ones = torch.ones(weights.shape[0], self.fold(weights).shape[1], dtype=torch.float64)
            return Scales(_scale_codes(self.scales_format, ones), ones, ones)
        scheme = self.form.scheme
        if outer is None and scheme != "bitmod":
            outer = self.outer(weights)
        folded, columns = self.fold(weights), weights.shape[1]
        by = 1.0 if share is None else share
        if scheme == "asymmetric":
            return self._asymmetric(folded, by)
        if scheme == "minimum":
            return self._minimum(folded, columns, by)
        if scheme == "bitmod":
            return self._bitmod(folded, columns, by, outer)
        if scheme.startswith("two_level"):
            assert outer is not None
            return self._two_level(folded, columns, by, outer)
        if scheme == "mx":
            return self.at(weights, self._mx_codes(folded, by))
        if scheme == "nv":
            return self.at(weights, self._nv_codes(folded, by, outer), outer)
        amax = folded.abs().amax(dim=-1)
        if scheme == "hif4":
            seventh = (1 / torch.tensor(7.0)).bfloat16().float()
            ideal = ((amax * by).clamp(max=_LARGEST).float() * seventh).bfloat16().double()
            return self.at(weights, _scale_codes(self.scales_format, ideal))
        if share is None and (scheme == "ternary" or (scheme == "bipolar" and self.bits == 1)):
            ideal = folded.abs().sum(dim=-1) / self._inside(torch.ones_like(folded[:1]), columns, 0.0).sum(dim=-1)
        elif scheme == "symmetric" and self.bits == 1:
            ideal = (-folded).clamp(min=0.0).amax(dim=-1) * by
        elif isinstance(self.codes, PositFormat):
            ideal = amax * by / default_anchor(self.codes, self.scales_format)
        else:
            ideal = amax * by / self._top
        codes = _scale_codes(self.scales_format, ideal)
        if scheme == "block" and self.form.block_rule == "ceil":
            value = _decoded(self.scales_format, codes)
            codes = codes + ((amax * by > self._top * value) & (value < self.scales_format.max_value))
        return self.at(weights, codes)

    def at(self, weights: Tensor, codes: Tensor, outer: Tensor | None = None) -> Scales:
        """Scales of given codes [N, G]; what else belongs to a group (HiF4's exponents) as its weights want it.

        Raises `HwgenError` for formats whose groups have zero points, minima or selectors.
        """
        if self.form.scheme in ("asymmetric", "minimum", "bitmod") or self.form.scheme.startswith("two_level"):
            raise HwgenError(f"format of numbers {self.form.name!r}: groups have more than a scale")
        value = _decoded(self.scales_format, codes)
        if self.form.scheme == "hif4":
            return self._hif4(weights, codes, value)
        if self.form.scheme == "nv":
            assert outer is not None
            return Scales(codes, value, _divisor(value.float() * outer.float()), outer)
        return Scales(codes, value, _divisor(value.to(self._quotient)))

    def join(self, parts: Sequence[Scales]) -> Scales:
        """Scales of neighbouring groups as one; they have the same second level."""
        if len(parts) == 1:
            return parts[0]
        joined = {
            name: torch.cat([getattr(part, name) for part in parts], dim=1)
            for name in ("codes", "value", "divisor", "zero", "selector", "level_2", "level_3")
            if getattr(parts[0], name) is not None
        }
        return Scales(outer=parts[0].outer, **joined)

    def choose(self, first: Tensor, one: Scales, other: Scales) -> Scales:
        """Scales of ``one`` for the groups where ``first`` [N, G], of ``other`` elsewhere; one second level."""
        parts = {}
        for name in ("codes", "value", "divisor", "zero", "selector", "level_2", "level_3"):
            mine, theirs = getattr(one, name), getattr(other, name)
            if mine is not None:
                of_group = name not in ("level_2", "level_3")
                where = first if of_group else first[:, torch.arange(mine.shape[1]) * 4 // self.size]
                parts[name] = torch.where(where, mine, theirs)
        return Scales(outer=one.outer, **parts)

    # ------------------------------------------------------------------ rounding

    def folded(self, scales: Scales) -> Scales:
        """Scales shaped for a folded matrix [N, G, size]."""
        found = scales.map(lambda part: part[..., None])
        if scales.level_2 is None or scales.level_3 is None:
            return found
        n = len(scales.level_2)
        bits = [part.repeat_interleave(4, dim=1) for part in (scales.level_2, scales.level_3)]
        short = -bits[0].shape[1] % self.size
        level_2, level_3 = (functional.pad(part, (0, short)).reshape(n, -1, self.size) for part in bits)
        return dataclasses.replace(found, level_2=level_2, level_3=level_3)

    def column(self, scales: Scales, place: int) -> Scales:
        """Scales shaped for one column [N, 1]: that at ``place`` from the first of the scales' groups."""
        group = place // self.size
        found = scales.map(lambda part: part[:, group : group + 1] if part.shape[1] > 1 else part)
        if scales.level_2 is None or scales.level_3 is None:
            return found
        four = slice(place // 4, place // 4 + 1)
        return dataclasses.replace(found, level_2=scales.level_2[:, four], level_3=scales.level_3[:, four])

    def index(self, x: Tensor, scales: Scales) -> Tensor:
        """Which of the values is nearest to ``x``, at scales that are shaped for it; what `values` and `qtensor` take.

        Float64: an integer that is rounded to, or the place in the ascending list of values.
        """
        if self.plain:
            return self._cast(x)
        scheme = self.form.scheme
        if scheme == "hif4":
            quarters = x.abs().float() * scales.divisor * torch.exp2(2 - scales.doubled).float()
            return torch.floor(quarters + 0.5).clamp(max=7.0).double() * torch.sign(x)
        if scheme.startswith("two_level"):
            assert scales.outer is not None
            limit = two_level_limit(self.bits, scheme.removeprefix("two_level_"))
            x = torch.round(x / _divisor(scales.outer)).clamp(-limit, limit)
        if scheme == "minimum":
            x = x - _some(scales.zero)
        ratio = x.to(scales.divisor.dtype) / scales.divisor
        if scheme == "bitmod":
            return self._bitmod_index(ratio, _some(scales.selector))
        if not self._integer:
            return torch.bucketize(ratio.double().contiguous(), _thresholds(self.codes), right=True).double()
        whole = torch.round(ratio * 2.0**self._fraction if self._fraction else ratio).double()
        if scheme in ("asymmetric", "two_level_asymmetric"):
            whole = whole + _some(scales.zero)
        return whole.clamp(self._low, self._high)

    def values(self, index: Tensor, scales: Scales) -> Tensor:
        """What indices mean, float64, at scales of the same shape: `QTensor.dequantize`."""
        if self.plain:
            return index
        scheme = self.form.scheme
        if scheme == "hif4":
            return scales.value * index * torch.exp2(scales.doubled - 2)
        if scheme in ("asymmetric", "two_level_asymmetric"):
            index = index - _some(scales.zero)
        elif scheme == "bitmod":
            index = self._bitmod_values(index, _some(scales.selector))
        elif not self._integer:
            index = _levels(self.codes)[index.long()]
        elif self._fraction:
            index = index * 2.0**-self._fraction
        found = index * scales.value
        if scheme == "minimum":
            found = found + _some(scales.zero)
        return found if scales.outer is None else found * scales.outer

    def indices(self, weights: Tensor, scales: Scales) -> Tensor:
        """Indices [N, K] of the nearest values at scales of all groups."""
        return self.unfold(self.index(self.fold(weights), self.folded(scales)))

    def stored(self, indices: Tensor, scales: Scales) -> Tensor:
        """float32 [N, K], what indices mean at scales of all groups."""
        return self.unfold(self.values(self.fold(indices), self.folded(scales))).float().contiguous()

    def nearest(self, weights: Tensor, scales: Scales) -> Tensor:
        """float32 [N, K], the nearest values at scales of all groups."""
        return self.stored(self.indices(weights, scales), scales)

    # ------------------------------------------------------------------ as stored

    def qtensor(self, index: Tensor, scales: Scales) -> QTensor:
        """Indices [N, K] and scales of all groups, as a tile stores them."""
        outer = None if scales.outer is None else scales.outer.float().numpy()
        return QTensor.build(
            self._words(index, scales),
            self.codes,
            group_size=self.size,
            scale_codes=scales.codes.numpy().astype(np.uint32),
            scale_format=self.scales_format,
            zero=None if scales.zero is None else self._zeros(scales.zero.numpy()),
            zero_kind=self._zero_kind,
            selector=None if scales.selector is None else scales.selector.numpy().astype(np.uint8),
            outer=outer,
        )

    def _zeros(self, zero: npt.NDArray[np.float64]) -> npt.NDArray[np.int32] | npt.NDArray[np.float64]:
        return zero.astype(np.int32) if self._zero_kind == "integer" else zero

    def _words(self, index: Tensor, scales: Scales) -> npt.NDArray[np.uint32]:
        if self.plain:
            return self.codes.encode(index.numpy())
        if isinstance(self.codes, Hif4Format):
            assert scales.level_2 is not None
            assert scales.level_3 is not None
            fours = index.reshape(self.n, -1, 4).numpy()
            return self.codes.pack(fours < 0, np.abs(fours), scales.level_2.numpy(), scales.level_3.numpy())
        whole = index.long().numpy()
        if isinstance(self.codes, BitmodFormat):
            side = _some(scales.selector).repeat_interleave(self.size, dim=1)[:, : self.k].numpy()
            words: npt.NDArray[np.uint32] = _bitmod_tables(self.codes).words[side, whole]
        elif not self._integer:
            words = _code_words(self.codes)[whole]
        else:
            words = (whole & ((1 << self.bits) - 1)).astype(np.uint32)
        return words

    # ------------------------------------------------------------------ the schemes' own

    @property
    def _top(self) -> float:
        """What the largest magnitude of a group becomes."""
        if self.form.scheme == "symmetric":
            return float(max((1 << (self.bits - 1)) - 1, 1))
        lowest = -self.codes.min_value if self.form.scheme == "codebook" else 0.0
        return max(self.codes.max_value, lowest)

    @property
    def _high(self) -> int:
        if self.form.scheme in ("asymmetric", "minimum", "two_level_asymmetric"):
            return (1 << self.bits) - 1
        return 0 if self.bits == 1 else (1 << (self.bits - 1)) - 1

    @property
    def _low(self) -> int:
        if self.form.scheme in ("asymmetric", "minimum", "two_level_asymmetric"):
            return 0
        return -max((1 << (self.bits - 1)) - 1, 1)

    def _cast(self, x: Tensor) -> Tensor:
        if self.codes == get("fp32"):
            return x.float().double()
        if self.codes in (get("fp16"), get("bf16")):
            limit = self.codes.max_value
            kind = torch.float16 if self.codes == get("fp16") else torch.bfloat16
            # float64 to float16 rounds once in torch; to bfloat16 it goes through float32, which weights are anyway.
            return x.clamp(-limit, limit).to(kind).double()
        return torch.from_numpy(self.codes.decode(self.codes.encode(x.numpy())))

    def _asymmetric(self, folded: Tensor, by: Tensor | float) -> Scales:
        top = (1 << self.bits) - 1
        low = (folded.clamp(max=0.0).amin(dim=-1) * by).to(self._quotient)
        high = (folded.clamp(min=0.0).amax(dim=-1) * by).to(self._quotient)
        codes = _scale_codes(self.scales_format, (high - low).double() / top)
        value = _decoded(self.scales_format, codes)
        divisor = _divisor(value.to(self._quotient))
        return Scales(codes, value, divisor, zero=torch.round(-low / divisor).clamp(0, top).double())

    def _minimum(self, folded: Tensor, columns: int, by: Tensor | float) -> Scales:
        top = (1 << self.bits) - 1
        signed = self.scales_format if self.scales_format.signed else get("bf16")
        low = self._inside(folded, columns, torch.inf).amin(dim=-1)
        high = self._inside(folded, columns, -torch.inf).amax(dim=-1)
        if not (isinstance(by, float) and by == 1.0):
            # Both ends come nearer to the middle: a minimum need not be below 0.
            middle = (low + high) / 2
            low, high = middle - (middle - low) * by, middle + (high - middle) * by
        zero = torch.from_numpy(signed.decode(signed.encode(low.numpy())))
        codes = _scale_codes(self.scales_format, (high - zero).clamp(min=0.0) / top)
        value = _decoded(self.scales_format, codes)
        return Scales(codes, value, _divisor(value), zero=zero)

    def _mx_codes(self, folded: Tensor, by: Tensor | float) -> Tensor:
        fraction, exponent = torch.frexp(folded.abs().amax(dim=-1) * by)
        top_fraction, top_exponent = np.frexp(self.codes.max_value)
        shared = exponent.long() - int(top_exponent)
        if self.form.block_rule == "ceil":
            shared = shared + (fraction > float(top_fraction))
        return torch.where(fraction > 0, shared.clamp(-127, 127), -127) + 127

    def _nv_codes(self, folded: Tensor, by: Tensor | float, outer: Tensor | None) -> Tensor:
        assert outer is not None
        amax = (folded.abs().amax(dim=-1).clamp(max=_LARGEST) * by).float()
        ideal = amax / self.codes.max_value / outer.float()
        return _scale_codes(self.scales_format, torch.where(amax > 0, ideal.clamp(min=_SMALLEST), 0.0).double())

    def _hif4(self, weights: Tensor, codes: Tensor, value: Tensor) -> Scales:
        inverse = (1 / value.float()).bfloat16().float()
        folded = self.fold(weights)
        units = folded.abs().clamp(max=_LARGEST).float() * inverse[..., None]
        fours = self.unfold(units, weights.shape[1]).reshape(len(weights), -1, 4).amax(dim=-1)
        pairs = functional.pad(fours, (0, fours.shape[1] % 2)).reshape(len(weights), -1, 2).amax(dim=-1)
        level_2 = (pairs >= 4).repeat_interleave(2, dim=1)[:, : fours.shape[1]]
        level_3 = fours * torch.exp2(-level_2.float()) >= 2
        return Scales(codes, value, inverse, level_2=level_2, level_3=level_3)

    def _bitmod_ideal(self, folded: Tensor, columns: int, by: Tensor | float) -> tuple[Tensor, Tensor]:
        """Selector and unrounded scale of every group, [N, G]."""
        assert isinstance(self.codes, BitmodFormat)
        amax = folded.abs().amax(dim=-1) * by
        found = []
        for ends in sorted({self.codes.largest(side) for side in range(len(self.codes.specials))}):
            # Sides that end alike have one scale, and all sides the basic values.
            ideal = amax / ends
            ratio = (folded / _divisor(ideal)[..., None]).contiguous()
            basic = _basic_values(self.codes)
            near = basic[torch.bucketize(ratio, _middles(self.codes), right=False)]
            for side, special in enumerate(self.codes.specials):
                if self.codes.largest(side) == ends:
                    low, high = _around(self.codes, side)
                    kept = torch.where((ratio >= low) & (ratio < high), special, near)
                    found.append((side, _squares(self._inside(folded - ideal[..., None] * kept, columns, 0.0)), ideal))
        # The first of equal errors.
        found.sort(key=lambda one: one[0])
        selector = torch.stack([squares for _, squares, _ in found]).argmin(dim=0)
        return selector, torch.stack([ideal for _, _, ideal in found]).gather(0, selector[None])[0]

    def _bitmod_outer(self, ideal: Tensor) -> Tensor:
        single = get("fp32")
        return _decoded(single, _scale_codes(single, ideal.amax(dim=1, keepdim=True) / self.scales_format.max_value))

    def _bitmod(self, folded: Tensor, columns: int, by: Tensor | float, outer: Tensor | None) -> Scales:
        selector, ideal = self._bitmod_ideal(folded, columns, by)
        if outer is None and isinstance(self.scales_format, IntFormat):
            outer = self._bitmod_outer(ideal)
        if outer is None:
            codes = _scale_codes(self.scales_format, ideal)
            value = _decoded(self.scales_format, codes)
            return Scales(codes, value, _divisor(value), selector=selector)
        levels = torch.round(ideal / _divisor(outer)).clamp(1, self.scales_format.max_value)
        value = torch.where(ideal > 0, levels, 0.0)
        return Scales(value.long(), value, _divisor(value * outer), outer, selector=selector)

    def _bitmod_index(self, ratio: Tensor, selector: Tensor) -> Tensor:
        assert isinstance(self.codes, BitmodFormat)
        # Each group, or row, has the thresholds of its selector.
        thresholds = _bitmod_tables(self.codes).thresholds[selector[..., 0]]
        return torch.searchsorted(thresholds, ratio.contiguous(), right=True).double()

    def _bitmod_values(self, index: Tensor, selector: Tensor) -> Tensor:
        assert isinstance(self.codes, BitmodFormat)
        levels = _bitmod_tables(self.codes).levels
        return levels.reshape(-1)[index.long() + selector * levels.shape[1]]

    def _two_level(self, folded: Tensor, columns: int, by: Tensor | float, outer: Tensor) -> Scales:
        symmetric = self.form.scheme == "two_level_symmetric"
        limit = two_level_limit(self.bits, self.form.scheme.removeprefix("two_level_"))
        level = torch.round(folded / _divisor(outer)[..., None]).clamp(-limit, limit)
        if symmetric:
            low, width = torch.zeros_like(level[..., 0]), level.abs().amax(dim=-1) * by
        else:
            low = level.clamp(max=0.0).amin(dim=-1) * by
            width = level.clamp(min=0.0).amax(dim=-1) * by - low
        best: tuple[Tensor, Tensor, Tensor] | None = None
        for rounding in (torch.floor, torch.ceil):
            scale = rounding(width / self._high).clamp(min=1.0)
            zero = torch.round(-low / scale).clamp(0, self._high) if not symmetric else torch.zeros_like(scale)
            whole = (torch.round(level / scale[..., None]) + zero[..., None]).clamp(self._low, self._high)
            squares = _squares(self._inside(scale[..., None] * (whole - zero[..., None]) - level, columns, 0.0))
            if best is None:
                best = squares, scale, zero
                continue
            better = squares < best[0]
            best = squares, torch.where(better, scale, best[1]), torch.where(better, zero, best[2])
        assert best is not None
        _, scale, zero = best
        return Scales(scale.long(), scale, scale, outer, zero=None if symmetric else zero)


_SCHEMES = (
    "symmetric",
    "asymmetric",
    "minimum",
    "two_level_asymmetric",
    "two_level_symmetric",
    "bipolar",
    "ternary",
    "element",
    "codebook",
    "posit",
    "powers",
    "bitmod",
    "mx",
    "nv",
    "block",
    "hif4",
)


def _some(part: Tensor | None) -> Tensor:
    assert part is not None
    return part


def _squares(error: Tensor) -> Tensor:
    return (error * error).sum(dim=-1)


def _divisor(scale: Tensor) -> Tensor:
    """What to divide by: infinity where the scale is 0, so that the quotient is 0."""
    return torch.where(scale > 0, scale, torch.inf)


def _scale_codes(form: Format, ideal: Tensor) -> Tensor:
    """Codes of scales, finite and, unless 0, positive: as the quantisers round them."""
    values = ideal.double().numpy()
    inside = np.clip(values, form.smallest, form.max_value)
    return torch.from_numpy(form.encode(np.where(values > 0, inside, 0.0)).astype(np.int64))


def _decoded(form: Format, codes: Tensor) -> Tensor:
    return torch.from_numpy(form.decode(codes.numpy().astype(np.uint32)))


@functools.cache
def _code_words(form: Format) -> npt.NDArray[np.uint32]:
    """A code of every value that the quantisers round to, ascending by value."""
    codes = form.codes()
    values = form.decode(codes)
    codes, values = codes[np.isfinite(values)], values[np.isfinite(values)]
    # Of +0 and -0 the first is kept, which is +0.
    _, first = np.unique(values, return_index=True)
    return codes[first]


@functools.cache
def _levels(form: Format) -> Tensor:
    """The values themselves, ascending, float64."""
    return torch.from_numpy(form.decode(_code_words(form)) + 0.0)


@functools.cache
def _thresholds(form: Format) -> Tensor:
    """For each value but the first the least float64 that is encoded as it or a higher one."""
    return torch.from_numpy(_least(lambda x: form.decode(form.encode(x)), _levels(form).numpy()))


@functools.cache
def _basic_values(form: BitmodFormat) -> Tensor:
    """Values of a BitMoD format that no selector changes, ascending."""
    return torch.tensor(sorted({sign * value for value in form.basic for sign in (-1.0, 1.0)}), dtype=torch.float64)


@functools.cache
def _middles(form: BitmodFormat) -> Tensor:
    """Between neighbours of them."""
    values = _basic_values(form)
    return (values[1:] + values[:-1]) / 2


@functools.cache
def _around(form: BitmodFormat, side: int) -> tuple[float, float]:
    """From where up to where numbers are encoded as a selector's special value; nowhere if it repeats another one."""
    if form.specials[side] in _basic_values(form):
        return np.inf, np.inf
    tables = _bitmod_tables(form)
    place = int((tables.levels[side] == form.specials[side]).nonzero()[0])
    ends = [-np.inf, *tables.thresholds[side].tolist(), np.inf]
    return ends[place], ends[place + 1]


@dataclass(frozen=True)
class _BitmodTables:
    """By selector: thresholds [4, L - 1], values [4, L] and codes [4, L]; short ones are filled at the upper end."""

    thresholds: Tensor
    levels: Tensor
    words: npt.NDArray[np.uint32]


@functools.cache
def _bitmod_tables(form: BitmodFormat) -> _BitmodTables:
    codes = form.codes()
    every = len(codes)
    thresholds, levels, words = [], [], []
    for side in range(len(form.specials)):
        values = form.decode(codes, np.full(every, side))

        def rounded(x: npt.NDArray[np.float64], side: int = side) -> npt.NDArray[np.float64]:
            return form.decode(form.encode(x, np.full(x.shape, side)), np.full(x.shape, side))

        found, first = np.unique(values, return_index=True)
        short = every - len(found)
        thresholds.append(np.append(_least(rounded, found), [np.inf] * short))
        levels.append(np.append(found, [found[-1]] * short))
        words.append(np.append(codes[first], [codes[first][-1]] * short))
    return _BitmodTables(
        torch.from_numpy(np.array(thresholds)), torch.from_numpy(np.array(levels) + 0.0), np.array(words, np.uint32)
    )


def _least(
    rounded: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]], levels: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Where a monotone rounding to ascending ``levels`` goes from one to the next: halving, down to neighbours."""
    low, high = _ordered(levels[:-1]), _ordered(levels[1:])
    upper = levels[1:]
    while (high - low > 1).any():
        # Without an overflow: places of opposite sign are up to 2**64 apart.
        middle = (low >> 1) + (high >> 1) + (low & high & 1)
        above = rounded(_number(middle)) >= upper
        high, low = np.where(above, middle, high), np.where(above, low, middle)
    return _number(high)


def _ordered(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Integers in the order of float64 numbers, neighbours 1 apart; both zeros are 0."""
    bits = (np.asarray(values) + 0.0).view(np.int64)
    return np.where(bits < 0, np.iinfo(np.int64).min - bits, bits)


def _number(places: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    bits = np.where(places < 0, np.iinfo(np.int64).min - places, places)
    return bits.view(np.float64)
