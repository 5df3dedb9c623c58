"""Slow definitions that share no code with the formats: values from bit strings, codes by searching all values."""

from __future__ import annotations

import bisect
import functools
import itertools
import math
from fractions import Fraction

from hwgen.formats import BipolarFormat, Format, IntFormat, MinifloatFormat, NormalFormat, TernaryFormat, get

SMALL: tuple[str, ...] = (
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in range(1, 9)),
    *(f"bipolar{bits}" for bits in range(1, 9)),
    "ternary",
    "mxint8",
    "e8m0",
    "hif4_scale",
    "fp4_e2m1",
    "fp6_e2m3",
    "fp6_e3m2",
    "fp8_e4m3",
    "fp8_e5m2",
    "e1m0",
    "e1m2",
    "e2m0",
    "e3m0",
    "e3m0fn",
    "e5m0",
    "e7m0",
    "e1m1fn",
    "e2m1ieee",
    "e2m5fn",
    "e3m4",
    "e3m4ieee",
    "e4m3ieee",
    "e4m3fnb11",
    "e5m2fn",
    "e6m1",
    "e6m1ieee",
    "ue4m3fn",
    "ue5m3ieee",
    "e2m1b-40",
)
"""Every kind of format with at most 8 bits."""


def value(form: Format, code: int) -> Fraction | str:
    """Value of a code, "nan", "inf" or "-inf"; -0 is Fraction(0). Sums weights of single bits."""
    bits = [int(bit) for bit in format(code, f"0{form.code_bits}b")]
    match form:
        case IntFormat():
            weights = [2 ** (form.code_bits - 1 - place) for place in range(form.code_bits)]
            if form.twos_complement:
                weights[0] = -weights[0]
            return Fraction(sum(w * b for w, b in zip(weights, bits, strict=True)), 2**form.fraction_bits)
        case BipolarFormat():
            return Fraction(sum((1 if bit else -1) * 2**place for place, bit in enumerate(reversed(bits))))
        case TernaryFormat():
            return {0: Fraction(0), 1: Fraction(1), 3: Fraction(-1)}.get(code, "nan")
        case NormalFormat():
            if all(bits):
                return "nan"
            exponent, mantissa = bits[: form.exponent_bits], bits[form.exponent_bits :]
            field = int("".join(map(str, exponent)), 2)
            fraction = sum(Fraction(bit, 2**place) for place, bit in enumerate(mantissa, 1))
            return (1 + fraction) * Fraction(2) ** (field - form.bias)
        case MinifloatFormat():
            return _minifloat(form, bits)
    raise AssertionError(form)


def _minifloat(form: MinifloatFormat, bits: list[int]) -> Fraction | str:
    sign = -1 if form.sign_bit and bits[0] else 1
    if form.sign_bit:
        bits = bits[1:]
    exponent_bits, mantissa = bits[: form.exponent_bits], bits[form.exponent_bits :]
    assert form.bias is not None
    if form.specials == "fn" and all(bits):
        return "nan"
    if form.specials == "ieee" and all(exponent_bits):
        return "nan" if any(mantissa) else ("inf" if sign > 0 else "-inf")
    field = int("".join(map(str, exponent_bits)), 2)
    leading = Fraction(1 if field else 0)
    fraction = sum(bit << place for place, bit in enumerate(reversed(mantissa)))
    significand = leading + Fraction(fraction, 1 << len(mantissa))
    return sign * significand * Fraction(2) ** ((field or 1) - form.bias)


class Search:
    """Encoder that searches all finite values of a format."""

    def __init__(self, form: Format) -> None:
        self.form = form
        found: dict[Fraction, int] = {}
        for code in range(1 << form.code_bits):
            decoded = value(form, code)
            if isinstance(decoded, Fraction):
                found.setdefault(decoded, code)  # the lower code of two zeros is +0
        self.values = sorted(found)
        self.codes = [found[v] for v in self.values]

    def encode(self, x: float | Fraction) -> int:
        """Nearest value, ties to the even code; -0 for what becomes zero from the negative side, where there is one."""
        values = self.values
        if math.isinf(x):
            return self.codes[-1 if x > 0 else 0]
        exact = Fraction(x)
        right = bisect.bisect_left(values, exact)
        near = [index for index in (right - 1, right) if 0 <= index < len(values)]
        best = min(near, key=lambda index: (abs(values[index] - exact), self.codes[index] % 2))
        form, code = self.form, self.codes[best]
        negative = math.copysign(1, x) < 0
        if values[best] == 0 and negative and isinstance(form, MinifloatFormat) and form.sign_bit:
            return 1 << (form.code_bits - 1)
        return code

    def probes(self) -> list[float]:
        """All values, all midpoints, the float64 neighbours of both, and values beyond the ends."""
        centres = [float(v) for v in self.values]
        centres += [float((a + b) / 2) for a, b in itertools.pairwise(self.values)]
        span = float(self.values[-1] - self.values[0]) or 1.0
        beyond = [float(self.values[0]) - span, float(self.values[-1]) + span, -math.inf, math.inf, 0.0, -0.0]
        last = float(self.values[-1] + (self.values[-1] - self.values[-2]) / 2)
        near = [math.nextafter(c, way) for c in [*centres, last] for way in (-math.inf, math.inf)]
        return [*centres, *near, *beyond, last, 5e-324, -5e-324, 1e308, -1e308]


@functools.cache
def search(name: str) -> Search:
    """The searching encoder of a format; slow to build for 16 bits."""
    return Search(get(name))


def small_formats() -> list[Format]:
    """The formats of `SMALL`."""
    return [get(name) for name in SMALL]
