"""IEEE 754 binary32 addition, one rounding to nearest even, subnormals included, in one to three pipeline stages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from hwgen.arith.bits import leading_zeros, named, round_nearest_even, shift_left, shift_right_sticky, wire
from hwgen.arith.carry import add_with_carry

__all__ = [
    "FP32_BIAS",
    "FP32_CUTS",
    "FP32_NAN",
    "fp32_add",
    "fp32_add_reference",
    "fp32_to_bf16",
    "fp32_to_bf16_reference",
]

FP32_BIAS = 127
"""Exponent bias of binary32."""
FP32_NAN = 0x7FC00000
"""The one NaN that this package's hardware produces."""

_FLAGS = {"exponent": 8, "sign": 1, "cancel": 1, "special": 1, "nan": 1}
"""Exponent of the larger operand; sign of the result; exact cancellation; an operand is infinite or NaN; the result is
NaN.
"""


class _Aligned(data.StructLayout):
    """After the alignment: significands (the smaller one with guard, round and sticky bit) on one exponent."""

    def __init__(self) -> None:
        super().__init__({"large": 24, "small": 27, "subtract": 1, **_FLAGS})


class _Total(data.StructLayout):
    """After the addition: carry, 24 bits of significand, guard, round, sticky; not normalised."""

    def __init__(self) -> None:
        super().__init__({"total": 28, **_FLAGS})


FP32_CUTS = (_Total().size, _Aligned().size)
"""Bits of a register between addition and normalisation, and between alignment and addition; 3 stages have both, 2 the
first.
"""


def _struct(m: Module, layout: data.StructLayout, name: str, **fields: Value) -> data.View[data.StructLayout]:
    signal = Signal(layout, name=name)
    m.d.comb += [signal[field].eq(value) for field, value in fields.items()]
    return signal


def _align(m: Module, a: Value, b: Value, name: str) -> data.View[data.StructLayout]:
    """Compare, swap and align."""
    a, b = named(m, a, f"{name}_a"), named(m, b, f"{name}_b")
    swap = wire(m, a[:31] < b[:31], f"{name}_swap")
    large = wire(m, Mux(swap, b, a), f"{name}_large")
    small = wire(m, Mux(swap, a, b), f"{name}_small")
    subtract = wire(m, a[31] ^ b[31], f"{name}_subtract")
    cancel = wire(m, subtract & (a[:31] == b[:31]), f"{name}_cancel")

    def fields(code: Value, tag: str) -> tuple[Value, Value]:
        normal = wire(m, code[23:31].any(), f"{name}_{tag}_normal")
        # Subnormals have the exponent 1 and no hidden bit.
        return wire(m, Cat(code[23] | ~normal, code[24:31]), f"{name}_{tag}_exponent"), normal

    (a_exponent, a_normal), (b_exponent, b_normal) = fields(a, "a"), fields(b, "b")
    exponent = wire(m, Mux(swap, b_exponent, a_exponent), f"{name}_exponent")
    large_significand = Cat(large[:23], Mux(swap, b_normal, a_normal))
    small_significand = Cat(small[:23], Mux(swap, a_normal, b_normal))
    # Both differences beside the comparison: eight bits more, and the shifter does not wait for a subtraction after it.
    forward = add_with_carry(a_exponent, ~b_exponent, Const(1, 1), 8).as_unsigned()
    backward = add_with_carry(b_exponent, ~a_exponent, Const(1, 1), 8).as_unsigned()
    distance = wire(m, Mux(swap, backward, forward), f"{name}_distance")
    shifted, sticky = shift_right_sticky(m, Cat(Const(0, 2), small_significand), distance, f"{name}_aligned")
    # Infinity and NaN have the top exponent, hence are the larger operand.
    special = wire(m, large[23:31].all(), f"{name}_special")
    nan = wire(m, special & (large[:23].any() | (subtract & small[23:31].all())), f"{name}_nan")
    return _struct(
        m,
        _Aligned(),
        f"{name}_operands",
        large=large_significand,
        small=Cat(sticky, shifted),
        subtract=subtract,
        exponent=exponent,
        sign=large[31] & ~cancel & ~nan,
        cancel=cancel,
        special=special,
        nan=nan,
    )


def _add(m: Module, operands: data.View[data.StructLayout], name: str) -> data.View[data.StructLayout]:
    """Add or subtract significands in one adder."""
    subtract = operands.subtract
    # 28 bits: carry, 24 bits of significand, guard, round, sticky. The result cannot be negative: large >= small.
    addend = Cat(operands.small ^ subtract.replicate(27), subtract)
    augend = Cat(Const(0, 3), operands.large, Const(0, 1))
    total = wire(m, add_with_carry(augend, addend, subtract, 28).as_unsigned(), f"{name}_total")
    return _struct(m, _Total(), f"{name}_sum", total=total, **{field: operands[field] for field in _FLAGS})


def _normalise(m: Module, parts: data.View[data.StructLayout], name: str) -> Value:
    """Normalise, and round in the adder that also assembles the exponent."""
    total, exponent = parts.total, parts.exponent
    # The leading one moves to the carry's place, but not so far that the exponent falls below 1: a mark ends the count
    # there. The marks depend on the exponent alone and are ready before the sum.
    marks = wire(m, Cat(*[exponent == 27 - place for place in range(27)], Const(0, 1)), f"{name}_exponent_limit")
    zeros = leading_zeros(m, total | marks, f"{name}_zeros")
    normal = shift_left(m, total, zeros, f"{name}_normalised")
    field = wire(m, add_with_carry(exponent, ~Cat(zeros, Const(0, 3)), Const(1, 1), 8).as_unsigned(), f"{name}_field")
    # The hidden bit adds 1 to the exponent field: subnormals (field 0, no hidden bit) need no case of their own, a
    # significand that rounds up to 2.0 carries into the exponent, and the largest one carries into infinity.
    up = round_nearest_even(normal[4], normal[3], normal[:3].any())
    hidden = Cat(Const(0, 23), normal[27], Const(0, 7))
    rounded = wire(m, add_with_carry(Cat(normal[4:27], field), hidden, up, 31).as_unsigned(), f"{name}_rounded")

    infinite = wire(m, parts.special | rounded[23:31].all(), f"{name}_infinite")
    number = wire(m, ~(parts.cancel | infinite), f"{name}_number")
    mantissa = wire(m, rounded[:23] & number.replicate(23), f"{name}_mantissa")
    top = (rounded[23:31] & ~parts.cancel.replicate(8)) | parts.special.replicate(8)
    return wire(m, Cat(mantissa[:22], mantissa[22] | parts.nan, top, parts.sign), name)


def fp32_add(m: Module, a: Value, b: Value, name: str = "fp32_add", enables: Sequence[Value] = ()) -> Value:
    """Code of ``a + b`` for two binary32 codes.

    Round to nearest even; subnormals kept; x + (-x) = +0 and -0 + -0 = -0; overflow gives infinity; every NaN result,
    infinity minus infinity included, is 0x7FC00000.

    A single path: compare and swap, align with guard, round and sticky bits | add or subtract in one adder | normalise,
    and round in the adder that also assembles the exponent. ``enables`` has one clock enable for each register in it,
    in the order of the data: none, one at the second bar, or two at both bars (`FP32_CUTS`). The result comes as many
    cycles later, without a register of its own.
    """
    if len(enables) > len(FP32_CUTS):
        raise ValueError(f"{name}: an FP32 adder has at most {len(FP32_CUTS)} registers, not {len(enables)}")
    operands = _align(m, a, b, name)
    if len(enables) == len(FP32_CUTS):
        operands = _register(m, operands, enables[0], f"{name}_operands_reg")
    total = _add(m, operands, name)
    if enables:
        total = _register(m, total, enables[-1], f"{name}_sum_reg")
    return _normalise(m, total, name)


def _register(m: Module, view: data.View[data.StructLayout], enable: Value, name: str) -> data.View[data.StructLayout]:
    register = Signal(view.shape(), name=name, reset_less=True)
    with m.If(enable):
        m.d.sync += register.as_value().eq(view.as_value())
    return register


def fp32_to_bf16(m: Module, code: Value, name: str) -> Value:
    """BF16 code nearest to an FP32 code, ties to even; overflow gives infinity, subnormals are kept, NaN is 0x7FC0."""
    code = named(m, code, f"{name}_code")
    nan = wire(m, code[23:31].all() & code[:23].any(), f"{name}_nan")
    up = round_nearest_even(code[16], code[15], code[:15].any())
    # The carry of rounding may run on into the exponent, and into infinity.
    magnitude = (code[16:31] + up)[:15]
    return wire(m, Mux(nan, 0x7FC0, Cat(magnitude, code[31])), name)


def fp32_to_bf16_reference(codes: np.ndarray) -> np.ndarray:
    """What `fp32_to_bf16` yields, uint32."""
    wide = np.asarray(codes, np.uint32).astype(np.uint64)
    rounded = ((wide + 0x7FFF + (wide >> np.uint64(16) & np.uint64(1))) >> np.uint64(16)).astype(np.uint32)
    return np.where((wide & np.uint64(0x7FFFFFFF)) > np.uint64(0x7F800000), np.uint32(0x7FC0), rounded)


def fp32_add_reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """What `fp32_add` yields for uint32 codes of shapes that broadcast: numpy's float32 addition with one NaN."""
    left, right = (np.ascontiguousarray(x, dtype=np.uint32).view(np.float32) for x in (a, b))
    with np.errstate(all="ignore"):
        total = np.asarray(left + right, dtype=np.float32)
    return np.where(np.isnan(total), np.uint32(FP32_NAN), total.view(np.uint32))
