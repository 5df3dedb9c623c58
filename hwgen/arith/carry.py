"""Addition with a carry-in as one adder cell."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Value

__all__ = ["add_with_carry", "sign_extend"]


def sign_extend(value: Value, width: int) -> Value:
    """``value`` (signed) repeated at its sign to ``width`` bits, or cut to it; as an unsigned vector."""
    bits = value.as_unsigned() if isinstance(value, Value) else Value.cast(value)
    if len(bits) >= width:
        return bits[:width]
    return Cat(bits, bits[-1].replicate(width - len(bits)))


def add_with_carry(a: Value, b: Value, carry: Value | None, width: int) -> Value:
    """Low ``width`` bits of signed ``a`` + signed ``b`` + ``carry``.

    Both operands are extended to the result's width first, so that the emitted Verilog has no implicit extension. The
    carry enters below the least significant bit of a one bit wider addition, which synthesis maps to one adder.
    """
    left, right = sign_extend(a, width), sign_extend(b, width)
    if carry is None:
        return (left + right)[:width].as_signed()
    total = Cat(Const(1, 1), left) + Cat(carry, right)
    return total[1 : width + 1].as_signed()
