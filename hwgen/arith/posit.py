"""Posits in hardware: codes to integers, and FP32 codes to posit or FP16 codes.

A posit is an integer multiple of minpos, so that a value is significand · 2**shift · minpos with a significand whose
last place is the code's own. Decoding it needs no shifter for the fraction: the bits below the end of the regime's run
are masked and the hidden one is put beside them.

Rounding starts from FP32 codes. A sum that was rounded to odd into FP32 (`hwgen.arith.round_to_fp32`) and then to a
posit of at most 16 bits or to FP16, which have at most 14 significant bits, is rounded once as a whole.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Value

from hwgen.arith.bits import extend, leading_one, named, round_nearest_even, shift_right_sticky, wire
from hwgen.arith.fp32 import FP32_BIAS
from hwgen.formats.catalogue import get
from hwgen.formats.minifloat import MinifloatFormat
from hwgen.formats.posit import PositFormat

__all__ = [
    "PositArrays",
    "PositFields",
    "fp32_to_fp16",
    "fp32_to_fp16_reference",
    "fp32_to_posit",
    "fp32_to_posit_reference",
    "posit_shift_bits",
    "posit_unpack",
    "posit_unpack_reference",
]

_FRACTION = 23


class PositFields(NamedTuple):
    """Hardware fields of a code; value = (-1)**sign · significand · 2**shift · minpos. NaR has significand 0."""

    sign: Value
    significand: Value
    shift: Value
    nar: Value


class PositArrays(NamedTuple):
    """Fields of codes as int64 arrays; the same meaning as `PositFields`."""

    sign: np.ndarray
    significand: np.ndarray
    shift: np.ndarray
    nar: np.ndarray


def posit_shift_bits(form: PositFormat) -> int:
    """Bits of the shift of a decoded posit (at least 1)."""
    return max((2 * form.max_exp).bit_length(), 1)


def _shift_of_run(form: PositFormat, ones: bool, below: int) -> int:
    """Shift of a code whose run of ones or zeros ends above ``below`` bits (-1: it has no end), less its exponent."""
    run = form.code_bits - 2 - below
    regime = run - 1 if ones else -run
    return (regime << form.es) - max(below - form.es, 0) + form.max_exp


def posit_unpack(m: Module, code: Value, form: PositFormat, name: str) -> PositFields:
    """Decode a posit code; depth is logarithmic in its width.

    Returns `PositFields`: sign (1 bit), significand (`PositFormat.significand_bits`, its last place variable), shift
    (`posit_shift_bits`), nar (1 bit). Zero and NaR have significand 0; NaR also has sign 1.
    """
    bits, es = form.code_bits, form.es
    code = named(m, code, f"{name}_code")
    sign = wire(m, code[-1], f"{name}_sign")
    width = bits - 1
    # Two's complement of what is below the sign: zero and NaR become zero.
    flipped = code[:width] ^ sign.replicate(width)
    body = wire(m, (flipped + sign)[:width], f"{name}_body")
    top = wire(m, body[-1], f"{name}_regime_sign")
    inverted = wire(m, body[: width - 1] ^ top.replicate(width - 1), f"{name}_run")
    end = leading_one(m, inverted, f"{name}_end") if width > 1 else Const(0, 0)
    # at_or_below[i]: the run ends at bit i or above it.
    at_or_below = [wire(m, inverted[i:].any(), f"{name}_from{i}") for i in range(width - 1)]
    ended = at_or_below[0] if at_or_below else Const(0, 1)
    nonzero = wire(m, top | ended, f"{name}_nonzero")

    def ends_at(place: int) -> Value:
        return end[place] if 0 <= place < width - 1 else Const(0, 1)

    def ends_above(place: int) -> Value:
        return at_or_below[place + 1] if place + 1 < width - 1 else Const(0, 1)

    # The exponent's lowest bit lies `es` below the run's end, or it is beyond the code and 0 like all after it.
    significand = Cat(
        nonzero & (~ends_above(es) | body[0]),
        *((body[place] & ends_above(es + place)) | ends_at(es + place) for place in range(1, form.significand_bits)),
    )
    shift_bits = posit_shift_bits(form)
    terms: list[Value] = []
    for ones in (False, True):
        picked = [(ends_at(below), _shift_of_run(form, ones, below)) for below in range(width - 1)]
        if ones:
            picked.append((~ended, _shift_of_run(form, ones, -1)))
        selected: Value = Const(0, shift_bits)
        for chosen, amount in picked:
            selected = selected | (Const(amount, shift_bits) & chosen.replicate(shift_bits))
        terms.append(
            wire(
                m, selected & (top if ones else ~top).replicate(shift_bits), f"{name}_of_{'ones' if ones else 'zeros'}"
            )
        )
    shift: Value = terms[0] | terms[1]
    if es and width > 2:
        exponent = []
        for place in range(es):
            found: Value = Const(0, 1)
            for below in range(width - 1):
                source = below - es + place
                if source >= 0:
                    found = found | (ends_at(below) & body[source])
            exponent.append(found)
        field = wire(m, Cat(*exponent), f"{name}_exponent")
        shift = (wire(m, shift, f"{name}_regime_shift") + field)[:shift_bits]
    return PositFields(
        sign=sign,
        significand=wire(m, significand, f"{name}_significand"),
        shift=wire(m, shift, f"{name}_shift"),
        nar=wire(m, sign & ~nonzero, f"{name}_nar"),
    )


def posit_unpack_reference(codes: np.ndarray, form: PositFormat) -> PositArrays:
    """What `posit_unpack` yields for code words of any shape; the shift of zero and NaR is not looked at by anyone."""
    words = np.asarray(codes).astype(np.int64)
    width, es = form.code_bits - 1, form.es
    sign = words >> width & 1
    body = np.where(sign == 1, -words, words) & ((1 << width) - 1)
    top = body >> (width - 1) & 1
    inverted = np.where(top == 1, ~body, body) & ((1 << width) - 1)
    # frexp of an integer below 2**53 gives its bit length.
    below = np.frexp(inverted.astype(np.float64))[1].astype(np.int64) - 1
    fraction_bits = np.maximum(below - es, 0)
    significand = np.where(body == 0, 0, (1 << fraction_bits) | (body & ((1 << fraction_bits) - 1)))
    rest = body & ((1 << np.maximum(below, 0)) - 1)
    exponent = rest << es >> np.maximum(below, 0)
    run = width - 1 - below
    shift = (np.where(top == 1, run - 1, -run) << es) + exponent - fraction_bits + form.max_exp
    return PositArrays(sign, significand, np.where(body == 0, 0, shift), ((body == 0) & (sign == 1)).astype(np.int64))


# ---------------------------------------------------------------------- rounding


def fp32_to_posit(m: Module, code: Value, form: PositFormat, name: str) -> Value:
    """Posit code nearest to an FP32 code on the bit string, ties to even; NaN and infinities give NaR, ±0 gives 0."""
    bits, es = form.code_bits, form.es
    code = named(m, code, f"{name}_code")
    sign, field, fraction = code[31], code[23:31], code[:23]
    exponent = wire(m, (Cat(field, Const(0, 1)) - FP32_BIAS)[:9].as_signed(), f"{name}_exponent")
    nar = wire(m, field.all(), f"{name}_nar")
    nonzero = wire(m, code[:31].any(), f"{name}_nonzero")
    # Subnormals are far below minpos, and so is their exponent of -127.
    high = wire(m, exponent >= form.max_exp, f"{name}_high")
    low = wire(m, exponent < -form.max_exp, f"{name}_low")
    ones = wire(m, ~exponent[-1], f"{name}_regime_sign")
    regime = exponent[es:]
    distance_bits = max(bits - 3, 0).bit_length()
    distance = regime[:distance_bits] ^ (~ones).replicate(distance_bits)
    # Run, end, exponent and fraction, shifted right under copies of the run's bit; nothing is lost.
    room = max(bits - 3, 0)
    string: Value = Cat(Const(0, room), fraction, exponent[:es], ~ones, ones)
    for stage in range(distance_bits):
        moved = Cat(string[1 << stage :], ones.replicate(1 << stage))
        string = wire(m, Mux(distance[stage], moved, string), f"{name}_by{1 << stage}")
    string = wire(m, string, f"{name}_string")
    cut = len(string) - (bits - 1)
    up = round_nearest_even(string[cut], string[cut - 1], string[: cut - 1].any())
    rounded = (string[cut:] + up)[: bits - 1]
    body = wire(m, Mux(high, (1 << (bits - 1)) - 1, Mux(low, 1, rounded)), f"{name}_body")
    negated = ((body ^ sign.replicate(bits - 1)) + sign)[: bits - 1]
    kept = wire(m, nonzero & ~nar, f"{name}_number")
    return wire(m, Cat(negated & kept.replicate(bits - 1), nar | (sign & kept)), name)


def fp32_to_fp16(m: Module, code: Value, name: str) -> Value:
    """FP16 code nearest to an FP32 code, ties to even; overflow gives infinity, subnormals are kept, NaN is 0x7E00."""
    code = named(m, code, f"{name}_code")
    sign, field, fraction = code[31], code[23:31], code[:23]
    special = wire(m, field.all(), f"{name}_special")
    nan = wire(m, special & fraction.any(), f"{name}_nan")
    # Exponent field less one; below 0 the result is subnormal.
    biased = wire(m, (Cat(field, Const(0, 1)) - (FP32_BIAS - 14))[:9].as_signed(), f"{name}_field")
    small = wire(m, biased[-1], f"{name}_subnormal")
    places = wire(m, (-biased)[:8] & small.replicate(8), f"{name}_places")
    frame = wire(m, Cat(fraction, field.any()), f"{name}_frame")
    shifted, lost = shift_right_sticky(m, frame, places, f"{name}_denormalised")
    up = round_nearest_even(shifted[13], shifted[12], shifted[:12].any() | lost)
    exponent = biased[:5].as_unsigned() & ~small.replicate(5)
    # The hidden bit adds one to the field, and the carry of rounding may run on into infinity.
    total = (Cat(Const(0, 10), exponent) + shifted[13:] + up)[:15]
    beyond = wire(m, ~small & (biased[5:8].any() | biased[1:5].all()), f"{name}_beyond")
    infinite = wire(m, special | beyond, f"{name}_infinite")
    magnitude = wire(m, Mux(infinite, 0x7C00, extend(total, 15)), f"{name}_magnitude")
    return wire(m, Cat(magnitude[:9], magnitude[9] | nan, magnitude[10:], sign & ~nan), name)


def _values(codes: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # converting a signalling NaN
        return np.asarray(codes, np.uint32).view(np.float32).astype(np.float64)


def fp32_to_posit_reference(codes: np.ndarray, form: PositFormat) -> np.ndarray:
    """What `fp32_to_posit` yields, uint32."""
    words: np.ndarray = form.encode(_values(codes))
    return words


def fp32_to_fp16_reference(codes: np.ndarray) -> np.ndarray:
    """What `fp32_to_fp16` yields, uint32."""
    form = get("fp16")
    assert isinstance(form, MinifloatFormat)
    words: np.ndarray = form.encode(_values(codes), saturate=False)
    return words
