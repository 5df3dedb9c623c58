"""Arithmetic shared by all PE families: combinational logic and, beside it, its reference in numpy.

`bits`: sums, negation, leading ones, shifts. `minifloat`: unpacking of floating-point codes. `align`: integers on a
shared exponent. `scale`: integer sums into FP32 by scales, rounded once. `fp32`: addition. `booth`,
`terms`: numbers as signed powers of two.
"""

from __future__ import annotations

from hwgen.arith.align import align_fixed, align_reference, aligned_bits, max_exponent
from hwgen.arith.bits import (
    absolute,
    adder_tree,
    adder_tree_with_carries,
    conditional_negate,
    extend,
    leading_one,
    leading_zeros,
    multiply,
    named,
    normalize_left,
    round_nearest_even,
    shift_left,
    shift_left_into,
    shift_right,
    shift_right_sticky,
    wire,
)
from hwgen.arith.booth import BoothDigit, BoothDigits, booth_digit, booth_digits, booth_reference
from hwgen.arith.carry import add_with_carry, sign_extend
from hwgen.arith.fp32 import FP32_NAN, fp32_add, fp32_add_reference, fp32_to_bf16, fp32_to_bf16_reference
from hwgen.arith.minifloat import FloatLayout, Unpacked, float_layout, fp_unpack, unpack_reference
from hwgen.arith.scale import ScaledLayout, round_to_fp32, scale_multiply, scale_round_reference, scale_round_scalar
from hwgen.arith.terms import Term, TermArrays, beyond_two_terms, two_terms, two_terms_reference

__all__ = [
    "FP32_NAN",
    "BoothDigit",
    "BoothDigits",
    "FloatLayout",
    "ScaledLayout",
    "Term",
    "TermArrays",
    "Unpacked",
    "absolute",
    "add_with_carry",
    "adder_tree",
    "adder_tree_with_carries",
    "align_fixed",
    "align_reference",
    "aligned_bits",
    "beyond_two_terms",
    "booth_digit",
    "booth_digits",
    "booth_reference",
    "conditional_negate",
    "extend",
    "float_layout",
    "fp32_add",
    "fp32_add_reference",
    "fp32_to_bf16",
    "fp32_to_bf16_reference",
    "fp_unpack",
    "leading_one",
    "leading_zeros",
    "max_exponent",
    "multiply",
    "named",
    "normalize_left",
    "round_nearest_even",
    "round_to_fp32",
    "scale_multiply",
    "scale_round_reference",
    "scale_round_scalar",
    "shift_left",
    "shift_left_into",
    "shift_right",
    "shift_right_sticky",
    "sign_extend",
    "two_terms",
    "two_terms_reference",
    "unpack_reference",
    "wire",
]
