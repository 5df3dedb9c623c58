"""Unpacking of floating-point codes: fp16, bf16 and every ExMy, subnormals included."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from amaranth.hdl import Cat, Const, Module, Shape, Signal, Value

from hwgen.arith.bits import extend, named, normalize_left, wire
from hwgen.arith.carry import add_with_carry
from hwgen.errors import HwgenError
from hwgen.formats.base import Format
from hwgen.formats.minifloat import MinifloatFormat, NormalFormat

__all__ = ["FloatLayout", "Unpacked", "UnpackedArrays", "float_layout", "fp_unpack", "unpack_reference"]


@dataclass(frozen=True, kw_only=True)
class FloatLayout:
    """What the hardware needs to know of a floating-point format: from the top sign (if any), exponent, mantissa.

    ``specials`` is ``"ieee"`` (top exponent: infinity and NaN), ``"fn"`` (all ones below the sign: NaN) or ``"none"``.
    ``subnormals`` says that exponent field 0 means zero and subnormals; without, it is one more exponent (E8M0).

    Raises
    ------
    HwgenError: special values that leave no normal number below them.
    """

    exponent_bits: int
    mantissa_bits: int
    bias: int
    specials: str = "none"
    signed: bool = True
    subnormals: bool = True

    def __post_init__(self) -> None:
        if self.exponent_bits < 2 and (self.specials == "ieee" or (self.specials == "fn" and not self.mantissa_bits)):
            raise HwgenError(
                f"format e{self.exponent_bits}m{self.mantissa_bits}: exponent_bits must be at least 2 with specials "
                f"{self.specials!r}, not {self.exponent_bits}; try specials 'none'"
            )

    @property
    def code_bits(self) -> int:
        """Bits of a code word."""
        return self.signed + self.exponent_bits + self.mantissa_bits

    @property
    def max_finite(self) -> tuple[int, int]:
        """(exponent field, mantissa field) of the largest finite value."""
        top, ones = (1 << self.exponent_bits) - 1, (1 << self.mantissa_bits) - 1
        if self.specials == "ieee":
            return top - 1, ones
        if self.specials == "fn":
            return (top, ones - 1) if self.mantissa_bits else (top - 1, 0)
        return top, ones

    @property
    def zero_distance(self) -> int:
        """Distance that `normalize_left` reports for a zero significand."""
        return int((1 << self.mantissa_bits.bit_length()) - 1)

    def exponents(self, normalise: bool = False) -> range:
        """Biased exponents that unpacking yields for finite codes; its shape is that of the unpacked exponent."""
        low = int(self.subnormals)
        return range(low - self.zero_distance if normalise and self.subnormals else low, self.max_finite[0] + 1)


def float_layout(fmt: Format | FloatLayout) -> FloatLayout:
    """Layout of a format's codes. Raises `HwgenError` for a format that is not floating point."""
    if isinstance(fmt, FloatLayout):
        return fmt
    if isinstance(fmt, NormalFormat):
        return FloatLayout(
            exponent_bits=fmt.exponent_bits,
            mantissa_bits=fmt.mantissa_bits,
            bias=fmt.bias,
            specials="fn",
            signed=False,
            subnormals=False,
        )
    if isinstance(fmt, MinifloatFormat) and fmt.bias is not None:
        return FloatLayout(
            exponent_bits=fmt.exponent_bits,
            mantissa_bits=fmt.mantissa_bits,
            bias=fmt.bias,
            specials=fmt.specials,
            signed=fmt.sign_bit,
        )
    raise HwgenError(f"format {fmt.name}: a floating-point format is needed here, such as fp16, bf16, fp8_e4m3 or e8m0")


class Unpacked(NamedTuple):
    """Hardware fields of a code; value = (-1)**sign * significand * 2**(exponent - bias - mantissa_bits)."""

    sign: Value
    exponent: Value
    significand: Value
    is_zero: Value


class UnpackedArrays(NamedTuple):
    """Fields of codes as int64 arrays; the same meaning as `Unpacked`."""

    sign: np.ndarray
    exponent: np.ndarray
    significand: np.ndarray
    is_zero: np.ndarray


class Fields(NamedTuple):
    """Raw fields of a code and its special cases, as hardware."""

    sign: Value
    exponent: Value
    mantissa: Value
    nonzero_exponent: Value
    infinite: Value
    nan: Value


def split(m: Module, code: Value, layout: FloatLayout, name: str) -> Fields:
    """Raw fields and special cases of ``code``."""
    mantissa_bits, exponent_bits = layout.mantissa_bits, layout.exponent_bits
    code = named(m, code, f"{name}_code")
    mantissa = code[:mantissa_bits]
    exponent = code[mantissa_bits : mantissa_bits + exponent_bits]
    sign = code[mantissa_bits + exponent_bits] if layout.signed else Const(0, 1)
    no: Value = Const(0, 1)
    infinite = nan = no
    if layout.specials == "ieee":
        top = wire(m, exponent.all(), f"{name}_exponent_top")
        fraction = wire(m, mantissa.any(), f"{name}_mantissa_nonzero") if mantissa_bits else no
        infinite, nan = wire(m, top & ~fraction, f"{name}_infinite"), wire(m, top & fraction, f"{name}_nan")
    elif layout.specials == "fn":
        nan = wire(m, code[: mantissa_bits + exponent_bits].all(), f"{name}_nan")
    nonzero = wire(m, exponent.any(), f"{name}_exponent_nonzero") if layout.subnormals else Const(1, 1)
    return Fields(sign, exponent, mantissa, nonzero, infinite, nan)


def effective_exponent(fields: Fields, layout: FloatLayout) -> Value:
    """Exponent field with that of subnormals raised to 1: an OR into the lowest bit."""
    if not layout.subnormals:
        return fields.exponent
    return Cat(fields.exponent[0] | ~fields.nonzero_exponent, fields.exponent[1:])


def fp_unpack(m: Module, code: Value, fmt: Format | FloatLayout, name: str, *, normalise: bool = True) -> Unpacked:
    """Unpack a code word of ``fmt``.

    Infinities and NaN count as the largest finite magnitude of the format with their sign.

    Parameters
    ----------
    normalise: with True the significand of a nonzero value has its top bit set and subnormals have exponents below 1
       (down to -9 for fp16, hence 6 bits signed); zero has significand 0 and exponent 1 - (2**b - 1), where b is the
       bit length of ``mantissa_bits``. With False subnormals and zero have exponent 1 and hidden bit 0, which costs an
       OR instead of a shifter and stands for the same value.

    Returns
    -------
    `Unpacked`: sign (1 bit), exponent (biased, shape of `FloatLayout.exponents`), significand (``mantissa_bits + 1``
    bits, hidden bit on top), is_zero.
    """
    layout = float_layout(fmt)
    fields = split(m, code, layout, name)
    exponent, mantissa = fields.exponent, fields.mantissa
    if layout.specials == "ieee":
        special = wire(m, exponent.all(), f"{name}_special")
        exponent = Cat(exponent[0] & ~special, exponent[1:])
        mantissa = mantissa | special.replicate(layout.mantissa_bits)
    elif layout.specials == "fn" and layout.mantissa_bits:
        mantissa = Cat(mantissa[0] & ~fields.nan, mantissa[1:])
    elif layout.specials == "fn":
        exponent = Cat(exponent[0] & ~fields.nan, exponent[1:])
    raised = wire(m, effective_exponent(fields._replace(exponent=exponent), layout), f"{name}_exponent_field")
    # Clearing bit 0 of an exponent of two or more ones leaves it nonzero: the raw test for subnormals holds.
    significand = wire(m, Cat(mantissa, fields.nonzero_exponent), f"{name}_significand_field")
    is_zero = wire(m, ~significand.any(), f"{name}_is_zero")
    sign = wire(m, fields.sign, f"{name}_sign")
    result = Signal(Shape.cast(layout.exponents(normalise)), name=f"{name}_exponent")
    if not normalise or not layout.subnormals or not layout.mantissa_bits:
        m.d.comb += result.eq(raised)
        return Unpacked(sign, result, significand, is_zero)
    shifted, distance = normalize_left(m, significand, f"{name}_significand")
    width = len(result)
    m.d.comb += result.eq(add_with_carry(extend(raised, width), ~extend(distance, width), Const(1, 1), width))
    return Unpacked(sign, result, shifted, is_zero)


def unpack_reference(codes: np.ndarray, fmt: Format | FloatLayout, *, normalise: bool = True) -> UnpackedArrays:
    """What `fp_unpack` yields for unsigned code words of any shape."""
    layout = float_layout(fmt)
    words = np.asarray(codes).astype(np.int64)
    ones, top = (1 << layout.mantissa_bits) - 1, (1 << layout.exponent_bits) - 1
    mantissa = words & ones
    exponent = (words >> layout.mantissa_bits) & top
    sign = (words >> (layout.mantissa_bits + layout.exponent_bits)) & int(layout.signed)
    if layout.specials != "none":
        special = exponent == top
        if layout.specials == "fn":
            special &= mantissa == ones
        top_exponent, top_mantissa = layout.max_finite
        exponent = np.where(special, top_exponent, exponent)
        mantissa = np.where(special, top_mantissa, mantissa)
    if not layout.subnormals:
        significand = mantissa + (1 << layout.mantissa_bits)
        return UnpackedArrays(sign, exponent, significand, np.zeros(words.shape, dtype=bool))
    significand = mantissa + ((exponent > 0).astype(np.int64) << layout.mantissa_bits)
    exponent = np.maximum(exponent, 1)
    is_zero = significand == 0
    if normalise:
        # frexp of an integer below 2**53 gives its bit length.
        length = np.frexp(significand.astype(np.float64))[1].astype(np.int64)
        distance = np.where(is_zero, layout.zero_distance, layout.mantissa_bits + 1 - length)
        exponent = exponent - distance
        significand = np.where(is_zero, 0, significand << np.where(is_zero, 0, distance))
    return UnpackedArrays(sign, exponent, significand, is_zero)
