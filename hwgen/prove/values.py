"""Values of formats by code, from their scalar definition alone."""

from __future__ import annotations

import functools
from fractions import Fraction

from hwgen.formats import get

__all__ = ["UnknownError", "finite_values"]


class UnknownError(Exception):
    """Arithmetic of which no reference is known here, in words."""


@functools.cache
def finite_values(name: str, unit_exp: int) -> tuple[int, ...]:
    """A format's values by code in units of 2**unit_exp; what is no number is the largest one with its sign.

    Raises `UnknownError` for values that are no multiples of the unit.
    """
    form = get(name)
    values = [form.decode_scalar(code) for code in range(1 << form.code_bits)]
    finite = [value for value in values if isinstance(value, Fraction | int)]
    most, found = max(finite), []
    for code, value in enumerate(values):
        if isinstance(value, float):
            # -0.0, and infinities and NaN as the largest finite magnitude with their sign.
            negative = code >> form.code_bits - 1 & 1
            value = Fraction(0) if value == 0 else -most if negative else most
        units = Fraction(value) / Fraction(2) ** unit_exp
        if units.denominator != 1:
            raise UnknownError(f"{name} has values that are no multiples of 2**{unit_exp}")
        found.append(int(units))
    return tuple(found)
