"""Alignment of floating-point activations to the largest exponent of a scope, in torch on values.

For a scope (a step of K elements, a group, or a row) let E be the largest biased exponent, where subnormals and zero
count as 1 and infinities and NaN as the largest finite magnitude with their sign. A value becomes the integer
value / 2**(E - bias - mantissa_bits - guard), rounded on its magnitude to nearest even ("rne") or towards zero
("truncate"), and of magnitude 2**(mantissa_bits + 1 + guard) - 1 at most. For fp16 the unit is 2**(E - 25 - guard).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hwgen.errors import HwgenError, suggest
from hwgen.formats import Format, MinifloatFormat, QTensor
from sim.golden.rounding import power_of_two

__all__ = ["SCOPES", "Aligned", "align", "finite_values"]

SCOPES = ("step", "group", "row")
ROUNDINGS = ("rne", "truncate")


@dataclass(frozen=True)
class Aligned:
    """Integers of activations: value = ints · 2**unit, int64 [T, K] both; ``lowest`` is the least unit that can occur.

    Of floating-point activations ``unit`` is constant within a scope; of integers it is constant.
    """

    ints: Tensor
    unit: Tensor
    lowest: int


def _float(form: Format) -> tuple[MinifloatFormat, int]:
    """A signed floating-point format and its bias. Raises `HwgenError` for others."""
    if not isinstance(form, MinifloatFormat) or not form.signed or form.bias is None:
        raise HwgenError(f"golden layer: acts must be signed floating point to be aligned, not {form.name}; try fp16")
    return form, form.bias


def finite_values(acts: QTensor) -> Tensor:
    """float64 [T, K]: decoded activations; infinities and NaN are the largest finite magnitude with their sign."""
    values = torch.from_numpy(acts.values())
    negative = torch.from_numpy(acts.codes.astype("int64")) >> (acts.format.code_bits - 1) == 1
    largest = torch.where(negative, -acts.format.max_value, acts.format.max_value).double()
    return torch.where(torch.isfinite(values), values, largest)


def _scopes(scope: str, k: int, group: int, step: int) -> Tensor:
    """Number of the scope of each of the K elements, int64 [K]; a step never crosses the end of a group."""
    place = torch.arange(k)
    if scope == "row":
        return torch.zeros(k, dtype=torch.int64)
    number = place // group
    if scope == "group":
        return number
    return number * (-(-group // step)) + place % group // step


def align(acts: QTensor, scope: str, group: int, step: int, guard: int, rounding: str) -> Aligned:
    """Integers of floating-point activations by the rule of this module.

    ``acts`` codes [T, K] of a signed minifloat; ``group`` and ``step`` are lengths along K. Raises `HwgenError` for
    another scope, rounding or format, and for a guard that leaves no bit or more than 52.
    """
    for name, value, allowed in (("align", scope, SCOPES), ("align_rounding", rounding, ROUNDINGS)):
        if value not in allowed:
            raise HwgenError(
                f"golden layer: {name} must be one of {', '.join(allowed)}, not {value!r}{suggest(value, allowed)}"
            )
    form, bias = _float(acts.format)
    bits = form.mantissa_bits + 1 + guard
    if not 1 <= bits <= 52:
        low, high = -form.mantissa_bits, 51 - form.mantissa_bits
        raise HwgenError(f"golden layer: align_guard must be {low} to {high} for {form.name}, not {guard}")
    values = finite_values(acts)
    # frexp: |value| = fraction · 2**exponent with 0.5 <= fraction < 1, and exponent 0 for zero.
    exponent = torch.frexp(values).exponent.to(torch.int64) - 1 + bias
    biased = torch.where(values == 0, 1, exponent)
    number = _scopes(scope, values.shape[1], group, step)
    # The maximum starts from 1, the exponent of subnormals.
    largest = biased.new_ones(len(values), int(number.max()) + 1)
    largest = largest.scatter_reduce(1, number.expand_as(biased), biased, reduce="amax")[:, number]
    unit = largest - bias - form.mantissa_bits - guard
    quotient = values * power_of_two(-unit)
    # torch.round goes to the even integer at a tie.
    ints = torch.round(quotient) if rounding == "rne" else torch.trunc(quotient)
    top = 2**bits - 1
    return Aligned(ints.clamp(-top, top).to(torch.int64), unit, 1 - bias - form.mantissa_bits - guard)
