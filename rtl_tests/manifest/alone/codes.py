"""What code words mean, by the ``encodings`` of a manifest: exact fractions, and the reverse for results."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

Encoding = dict[str, Any]


class Value(NamedTuple):
    """A number, or what stands in its place; ``negative`` is the sign, that of a zero included."""

    number: Fraction
    special: str = ""
    negative: bool = False


class Fields(NamedTuple):
    """Parts of a floating-point code: value = (-1)**sign * significand * 2**(exponent - bias - mantissa bits)."""

    sign: int
    exponent: int
    significand: int


def signed(code: int, bits: int) -> int:
    """A code read as two's complement."""
    return code - (code >> (bits - 1) << bits)


def _largest(enc: Encoding) -> tuple[int, int]:
    """Exponent field and mantissa of the largest finite value."""
    top, ones = (1 << enc["exponent_bits"]) - 1, (1 << enc["mantissa_bits"]) - 1
    if enc["specials"] == "ieee":
        return top - 1, ones
    if enc["specials"] == "fn":
        return (top, ones - 1) if ones else (top - 1, 0)
    return top, ones


def _split(enc: Encoding, code: int) -> tuple[int, int, int, str]:
    """Sign, exponent field, mantissa, and "nan" or "inf"."""
    mantissa_bits, exponent_bits = enc["mantissa_bits"], enc["exponent_bits"]
    ones, top = (1 << mantissa_bits) - 1, (1 << exponent_bits) - 1
    mantissa, exponent = code & ones, code >> mantissa_bits & top
    sign = code >> (mantissa_bits + exponent_bits) if enc["sign_bit"] else 0
    special = ""
    if exponent == top and enc["specials"] == "ieee":
        special = "nan" if mantissa else "inf"
    if exponent == top and mantissa == ones and enc["specials"] == "fn":
        special = "nan"
    return sign, exponent, mantissa, special


def fields(enc: Encoding, code: int) -> Fields:
    """Parts of a code; infinity and NaN are the largest finite value, subnormals have the exponent 1."""
    sign, exponent, mantissa, special = _split(enc, code)
    if special:
        exponent, mantissa = _largest(enc)
    hidden = exponent > 0 or not enc["subnormals"]
    return Fields(
        sign, max(exponent, 1) if enc["subnormals"] else exponent, mantissa + (hidden << enc["mantissa_bits"])
    )


def _posit(enc: Encoding, code: int) -> Value:
    bits, es = enc["bits"], enc["es"]
    if code == enc["nar"]:
        return Value(Fraction(0), "nan")
    if code == 0:
        return Value(Fraction(0))
    negative = code >> (bits - 1) == 1
    body = (1 << bits) - code if negative else code
    digits = f"{body:0{bits - 1}b}"
    run = len(digits) - len(digits.lstrip(digits[0]))
    regime = run - 1 if digits[0] == "1" else -run
    rest = digits[run + 1 :]
    exponent = int((rest[:es] + "0" * es)[:es] or "0", 2)
    tail = rest[es:]
    number = (1 + Fraction(int(tail or "0", 2), 1 << len(tail))) * Fraction(2) ** (regime * (1 << es) + exponent)
    return Value(-number if negative else number, "", negative)


def decode(enc: Encoding, code: int, special: int | None = None, side: int = 0) -> Value:
    """Value of a code; ``special``: the group's special value, sign and magnitude in halves; ``side``: its selector."""
    kind = enc["kind"]
    if kind == "integer":
        number = signed(code, enc["bits"]) if enc["signed"] else code
        if "lowest_code_means" in enc and code == 1 << (enc["bits"] - 1):
            number = enc["lowest_code_means"]
        return Value(number * Fraction(2) ** enc["exponent"], "", number < 0)
    if kind == "affine":
        return Value(Fraction(enc["times"] * code + enc["plus"]))
    if kind == "float":
        sign, _, _, name = _split(enc, code)
        if name:
            return Value(Fraction(0), name, bool(sign))
        return Value(finite(enc, code), "", bool(sign))
    if kind == "posit":
        return _posit(enc, code)
    if kind == "magnitudes":
        if code == enc["special_code"]:
            if special is None:
                return Value(Fraction(enc["specials"][side]))
            return Value(Fraction(-(special & 31) if special >> 5 else special, 2))
        half = enc["special_code"]
        number = Fraction(enc["magnitudes"][code % half])
        return Value(-number if code >= half else number)
    if kind == "table":
        found = (enc["values_by_side"][side] if "values_by_side" in enc else enc["values"])[code]
        return Value(Fraction(0), found) if isinstance(found, str) else Value(Fraction(found))
    raise ValueError(f"encoding of kind {kind!r} is not known")


def finite(enc: Encoding, code: int, side: int = 0) -> Fraction:
    """Value of a code, in which infinity and NaN count as the largest finite magnitude."""
    if enc["kind"] != "float":
        return decode(enc, code, side=side).number
    part = fields(enc, code)
    number = part.significand * Fraction(2) ** (part.exponent - enc["bias"] - enc["mantissa_bits"])
    return -number if part.sign else number


def elements(enc: Encoding, code: int, side: int = 0) -> list[Fraction]:
    """Values of the elements of a code: one, or those of a word; ``side`` is the group's selector."""
    if enc["kind"] == "table" and "elements" in enc:
        return [Fraction(value) for value in enc["values"][code]]
    if enc["kind"] != "word":
        return [finite(enc, code, side)]
    doubled = sum(code >> bit & 1 for bit in enc["doubling_bits"])
    found = []
    for index in range(enc["elements"]):
        part = code >> index * enc["element_bits"] & ((1 << enc["element_bits"]) - 1)
        top = 1 << (enc["element_bits"] - 1)
        magnitude = (part & (top - 1)) * Fraction(2) ** (enc["exponent"] + doubled)
        found.append(-magnitude if part & top else magnitude)
    return found


# ---------------------------------------------------------------------- FP32 and results

NAN, INFINITY = 0x7FC00000, 0x7F800000
FP32: Encoding = {
    "kind": "float",
    "bits": 32,
    "sign_bit": True,
    "exponent_bits": 8,
    "mantissa_bits": 23,
    "bias": 127,
    "subnormals": True,
    "specials": "ieee",
}


def rounded(number: Fraction, rule: str = "nearest even") -> int:
    """A fraction as a whole number."""
    low = math.floor(number)
    rest = number - low
    if rule == "nearest even":
        return low + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and low % 2 == 1))
    if rule == "towards zero":
        return low if number >= 0 or not rest else low + 1
    if rule == "odd":
        return low | (rest > 0)
    raise ValueError(f"rounding {rule!r} is not known")


def encode_float(enc: Encoding, number: Fraction, rule: str = "nearest even") -> int:
    """Code of a number other than zero; beyond the end infinity, or with rule odd the largest value."""
    sign = int(number < 0) << (enc["exponent_bits"] + enc["mantissa_bits"])
    magnitude = abs(number)
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    if Fraction(2) ** exponent > magnitude:
        exponent -= 1
    exponent = max(exponent, 1 - enc["bias"])
    units = rounded(magnitude / Fraction(2) ** (exponent - enc["mantissa_bits"]), rule)
    # The hidden bit adds one to the exponent field.
    code = units + ((exponent + enc["bias"] - 1) << enc["mantissa_bits"])
    infinity = ((1 << enc["exponent_bits"]) - 1) << enc["mantissa_bits"]
    return sign | min(code, infinity - 1 if rule == "odd" else infinity)


def fp32(number: Fraction, *, negative_zero: bool = False, rule: str = "nearest even") -> int:
    """FP32 code of a number."""
    return encode_float(FP32, number, rule) if number else int(negative_zero) << 31


def fp32_add(a: int, b: int) -> int:
    """IEEE 754 addition of two codes, to nearest even, with one NaN."""
    x, y = decode(FP32, a), decode(FP32, b)
    if "nan" in (x.special, y.special) or (x.special == y.special == "inf" and x.negative != y.negative):
        return NAN
    for value in (x, y):
        if value.special:
            return INFINITY | value.negative << 31
    total = x.number + y.number
    return fp32(total, negative_zero=x.negative and y.negative)


def fp32_multiply(x: Value, y: Value) -> int:
    """FP32 code of the product of two values, rounded once."""
    negative = x.negative != y.negative
    infinite = "inf" in (x.special, y.special)
    zero = any(not value.special and not value.number for value in (x, y))
    if "nan" in (x.special, y.special) or (infinite and zero):
        return NAN
    if infinite:
        return INFINITY | negative << 31
    return fp32(x.number * y.number, negative_zero=negative)


def fp32_tree(codes: list[int]) -> int:
    """Sum by a balanced tree."""
    while len(codes) > 1:
        paired = len(codes) // 2 * 2
        codes = [fp32_add(codes[i], codes[i + 1]) for i in range(0, paired, 2)] + codes[paired:]
    return codes[0]


def encode_posit(enc: Encoding, number: Fraction) -> int:
    """Code of a number, the infinite bit string rounded to nearest even; never zero and never NaR."""
    bits, es = enc["bits"], enc["es"]
    magnitude = abs(number)
    exponent = 0
    while Fraction(2) ** (exponent + 1) <= magnitude:
        exponent += 1
    while Fraction(2) ** exponent > magnitude:
        exponent -= 1
    regime, low = exponent >> es, exponent - (exponent >> es << es)
    text = "1" * (regime + 1) + "0" if regime >= 0 else "0" * -regime + "1"
    text += f"{low:0{es}b}" if es else ""
    rest = magnitude / Fraction(2) ** exponent - 1
    # A number of all bits before the point, of which the first bits - 1 are the code.
    whole = int(text, 2) + rest
    code = rounded(whole * Fraction(2) ** (bits - 1 - len(text)))
    code = min(max(code, 1), (1 << (bits - 1)) - 1)
    return (1 << bits) - code if number < 0 else code


def result_code(enc: Encoding, code: int) -> int:
    """Code of an FP32 result in the output's encoding."""
    if enc["kind"] == "float" and enc["bits"] == 32:
        return code
    value = decode(FP32, code)
    if enc["kind"] == "posit":
        if value.special:
            return int(enc["nar"])
        return encode_posit(enc, value.number) if value.number else 0
    top = 1 << (enc["exponent_bits"] + enc["mantissa_bits"])
    infinity = ((1 << enc["exponent_bits"]) - 1) << enc["mantissa_bits"]
    if value.special == "nan":
        return infinity | 1 << (enc["mantissa_bits"] - 1)
    if value.special or not value.number:
        return (top if value.negative else 0) | (infinity if value.special else 0)
    return encode_float(enc, value.number)
