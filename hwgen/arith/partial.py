"""Partial products as rows of a carry-save tree: one row a radix-4 Booth digit of a factor, or one a bit.

The rows of all products that are added go into one tree (`hwgen.arith.compressor`): no product is resolved by an adder
of its own. A row of a negative digit is a ones' complement, which a one completes.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Value

from hwgen.arith.bits import wire
from hwgen.arith.booth import booth_digit, booth_digits
from hwgen.arith.compressor import Term, TermShape

__all__ = ["bit_rows", "bit_shapes", "booth_gates", "booth_rows", "booth_shapes"]


def booth_rows(m: Module, number: Value, factor: Value, name: str) -> list[Term]:
    """``number`` times ``factor``, both signed: a row a Booth digit of the factor, and the ones of negative digits.

    Digits are -2 to 2, so that a row has one bit more than the number. Its own one stands two places below the next
    row and is part of that; the last one is a row.
    """
    digits, size = booth_digits(len(factor)), len(number) + 1
    code, plain = factor.as_unsigned(), number.as_unsigned()
    padded = Cat(Const(0, 1), code, code[-1].replicate(2 * digits - len(factor)))
    rows: list[Term] = []
    below: list[Value] = []
    for index in range(digits):
        digit = booth_digit(m, padded[2 * index : 2 * index + 3], f"{name}_digit{index}")
        once = wire(m, digit.man & ~digit.exp, f"{name}_once{index}")
        twice = wire(m, digit.man & digit.exp, f"{name}_twice{index}")
        chosen = (Cat(plain, plain[-1]) & once.replicate(size)) | (Cat(Const(0, 1), plain) & twice.replicate(size))
        row = wire(m, chosen ^ digit.sign.replicate(size), f"{name}_row{index}")
        rows.append(Term(Cat(*below, row).as_signed(), 2 * index - len(below)))
        below = [digit.sign, Const(0, 1)]
    return [*rows, Term(below[0], 2 * (digits - 1))]


def booth_shapes(number: int, factor: int) -> list[TermShape]:
    """Shapes of `booth_rows` of a number and a factor of so many bits."""
    digits = booth_digits(factor)
    rows = [TermShape(number + 1 + 2 * (i > 0), True, max(2 * i - 2, 0)) for i in range(digits)]
    return [*rows, TermShape(1, False, 2 * (digits - 1))]


def booth_gates(number: int, factor: int, odd: bool = False) -> dict[str, int]:
    """Primitives of `booth_rows`: of each digit's recoding, and of each bit's choice and complement.

    The lowest digit of an ``odd`` factor, whose lowest bit is known, is 1 or -1: it is neither recoded nor chosen.
    """
    digits, size = booth_digits(factor), number + 1
    chosen = digits - odd
    return {"xor": digits * size + 2 * chosen, "and": chosen * (3 + 3 * size)}


def bit_rows(m: Module, number: Value, factor: Value, name: str) -> list[Term]:
    """``number`` times ``factor``, each signed or not: a row a bit of the factor."""
    bits, is_signed = factor.as_unsigned(), number.shape().signed
    rows = []
    for place, shape in enumerate(bit_shapes(len(number), is_signed, len(factor), factor.shape().signed)):
        row = wire(m, number.as_unsigned() & bits[place].replicate(len(number)), f"{name}_row{place}")
        rows.append(Term(row.as_signed() if is_signed else row, place, shape.negative))
    return rows


def bit_shapes(number: int, number_signed: bool, factor: int, factor_signed: bool) -> list[TermShape]:
    """Shapes of `bit_rows` of a number and a factor of so many bits."""
    return [TermShape(number, number_signed, i, factor_signed and i == factor - 1) for i in range(factor)]
