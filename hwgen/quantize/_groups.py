"""What all quantisers share: checked input, reductions over groups, rounded scales."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.formats import Format, MinifloatFormat, NormalFormat, get
from hwgen.formats.base import Floats, Integers, Words, whole

__all__ = [
    "Groups",
    "Singles",
    "as_format",
    "best_selector",
    "check_element",
    "divide",
    "float32_scales",
    "matrix",
    "quotient",
    "scale_codes",
    "scale_format_of",
    "single",
    "to_words",
]


Singles = npt.NDArray[np.float32]


def as_format(form: Format | str) -> Format:
    """A format by itself or by name. Raises `HwgenError` for anything else."""
    if isinstance(form, Format):
        return form
    if not isinstance(form, str):
        raise HwgenError(f"format: must be a name such as int8 or a Format, not {form!r}")
    return get(form)


def scale_format_of(quantiser: str, form: Format | str) -> Format:
    """Format of scales. Raises `HwgenError` unless it is floating point."""
    found = as_format(form)
    if not isinstance(found, MinifloatFormat | NormalFormat):
        raise HwgenError(f"{quantiser}: scale_format must be floating point such as fp16 or e8m0, not {found.name}")
    return found


def matrix(quantiser: str, x: npt.ArrayLike) -> Floats:
    """``x`` as float64 of any shape: arrays of any real type, torch tensors, nested lists. Raises `HwgenError`."""
    given = x
    try:
        if callable(detach := getattr(x, "detach", None)):
            # A torch tensor, which may need a gradient, be elsewhere, or have a type that numpy lacks (bfloat16).
            tensor = detach().cpu()
            x = tensor if tensor.is_complex() else tensor.double().numpy()
        array = np.asarray(x)
        if array.dtype.kind in "fiub" or (array.dtype.kind == "V" and array.dtype.names is None):
            return array.astype(np.float64)
        if array.dtype.kind == "O" and all(isinstance(value, numbers.Real) for value in array.ravel().tolist()):
            return array.astype(np.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        pass
    kind = type(given).__name__ + (f" of {given.dtype}" if hasattr(given, "dtype") else "")
    raise HwgenError(f"{quantiser}: x must be a matrix of numbers [N, K], not {kind}")


def check_element(quantiser: str, parameter: str, form: Format) -> None:
    """Raise `HwgenError` unless ``form`` has zero and values on both sides of it."""
    if form.padding is None or form.min_value >= 0 or form.max_value <= 0:
        raise HwgenError(
            f"{quantiser}: {parameter} must have zero, positive and negative values, which {form.name} has not"
        )


@dataclass(frozen=True, eq=False)
class Groups:
    """A float64 matrix [N, K] cut into groups of ``size`` along K; ``by`` is a granularity of `QTensor`."""

    x: Floats
    size: int
    by: str

    @classmethod
    def cut(cls, quantiser: str, x: npt.ArrayLike, group_size: int, per_tensor: bool = False) -> Self:
        """Check ``x`` and cut it; a ``group_size`` of 0, or of K or more, is the whole row.

        Raises `HwgenError` for anything but a non-empty matrix of finite numbers, and for a negative group size.
        """
        array = matrix(quantiser, x)
        size = whole(group_size)
        if array.ndim != 2 or array.size == 0:
            raise HwgenError(f"{quantiser}: x must be a non-empty matrix [N, K], not of shape {list(array.shape)}")
        if not np.isfinite(array).all():
            first = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
            raise HwgenError(f"{quantiser}: x must be finite, not {array[first]} at {list(first)}")
        if size is None:
            raise HwgenError(f"{quantiser}: group size must be a whole number, not {group_size!r}")
        if size < 0:
            raise HwgenError(f"{quantiser}: group size must be positive, or 0 for the whole row, not {size}")
        if per_tensor and size:
            raise HwgenError(f"{quantiser}: group size must be 0 with per_tensor, not {size}")
        k = array.shape[1]
        if per_tensor:
            return cls(array, k, "tensor")
        return cls(array, size, "group") if 0 < size < k else cls(array, k, "channel")

    def reduce(self, ufunc: np.ufunc, values: Floats) -> Floats:
        """Reduce ``values`` [N, K] over each group: [N, G], or [1, 1] for a tensor."""
        if self.by == "tensor":
            return np.asarray(ufunc.reduce(values, axis=None), dtype=np.float64).reshape(1, 1)
        return np.asarray(ufunc.reduceat(values, np.arange(0, values.shape[1], self.size), axis=1), dtype=np.float64)

    def spread(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Repeat what belongs to groups for each element: [N, G] or [1, 1] → [N, K]."""
        n, k = self.x.shape
        groups = -(-k // self.size)
        return np.broadcast_to(values, (n, groups))[:, np.arange(k) // self.size]

    @property
    def amax(self) -> Floats:
        """Largest magnitude of each group."""
        return self.reduce(np.maximum, np.abs(self.x))

    @property
    def mean(self) -> Floats:
        """Mean magnitude of each group, in float64."""
        return self.mean_of(np.ones(self.x.shape, dtype=np.bool_))

    def mean_of(self, kept: npt.NDArray[np.bool_]) -> Floats:
        """Mean magnitude of each group's elements where ``kept`` [N, K], in float64; 0 where there are none."""
        count = np.maximum(self.reduce(np.add, kept.astype(np.float64)), 1.0)
        magnitude = np.where(kept, np.abs(self.x), 0.0)
        with np.errstate(over="ignore"):
            total = self.reduce(np.add, magnitude)
        # A sum beyond float64 has a mean within it, and one that is not 0 a mean that is not.
        mean = np.where(np.isinf(total), self.reduce(np.add, magnitude / self.spread(count)), total / count)
        return np.where(total > 0, np.maximum(mean, np.finfo(np.float64).smallest_subnormal), 0.0)


def scale_codes(form: Format, ideal: Floats) -> Words:
    """Codes of scales ``ideal`` >= 0: rounded to nearest, kept finite and, unless 0, positive.

    0 becomes the code of zero, or the smallest scale where there is no zero (E8M0).
    """
    inside = np.clip(ideal, form.smallest, form.max_value)
    return form.encode(np.where(ideal > 0, inside, 0.0))


def float32_scales(form: Format, ideal: Floats) -> npt.NDArray[np.float32]:
    """Second-level scales: ``ideal`` rounded to a format that float32 holds, finite and, unless 0, positive."""
    return form.decode(scale_codes(form, ideal)).astype(np.float32)


def divide(x: Floats, scale: Floats) -> Floats:
    """``x / scale``, and 0 where the scale is 0. A quotient beyond float64 is infinite and saturates later."""
    shape = np.broadcast_shapes(x.shape, scale.shape)
    with np.errstate(over="ignore"):
        return np.divide(x, scale, out=np.zeros(shape), where=np.broadcast_to(scale > 0, shape))


def best_selector(groups: Groups, form: Format, tops: Sequence[float]) -> tuple[npt.NDArray[np.uint8], Floats]:
    """Selector of every group and its unrounded scale, [N, G] both.

    With selector i the scale is amax / ``tops[i]``; a group has that of least Σ (x - s·value)², the first of several.
    """
    errors, ideals = [], []
    unit = groups.spread(np.frexp(groups.amax)[1])
    for side, top in enumerate(tops):
        ideal = groups.amax / top
        scale = groups.spread(ideal)
        values = form.decode(form.encode(divide(groups.x, scale), side), side)
        # In a unit near the largest magnitude: no square leaves float64.
        errors.append(groups.reduce(np.add, np.ldexp(groups.x - scale * values, -unit) ** 2))
        ideals.append(ideal)
    # The first of equal minima.
    selector = np.argmin(errors, axis=0)
    return selector.astype(np.uint8), np.take_along_axis(np.stack(ideals), selector[None], axis=0)[0]


def single(values: Floats) -> Singles:
    """Values in FP32, rounded to nearest even; what lies beyond it saturates."""
    largest = float(np.finfo(np.float32).max)
    return np.clip(values, -largest, largest).astype(np.float32)


def quotient(x: Floats, scale: Floats, form: Format) -> Floats:
    """``x / scale``, and 0 where the scale is 0, for a scale that was rounded to ``form``.

    In FP32 for scales in FP32, as the originals divide that keep such scales: a tie of x and amax is one of their
    quotient too, which float64 would see beside it, by the error of the scale. Otherwise in float64: for scales of 11
    bits both round values of 11 bits alike.
    """
    if form != get("fp32"):
        return divide(x, scale)
    shape = np.broadcast_shapes(x.shape, scale.shape)
    with np.errstate(over="ignore", under="ignore"):
        found = np.divide(single(x), single(scale), out=np.zeros(shape, np.float32), where=scale > 0)
    return found.astype(np.float64)


def to_words(integers: Floats | Integers, bits: int) -> Words:
    """Two's-complement code words of integers that fit ``bits`` bits."""
    words: Words = (integers.astype(np.int64) & ((1 << bits) - 1)).astype(np.uint32)
    return words
