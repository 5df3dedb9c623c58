"""Exact products of elements that are sign, significand and shift, in fixed point, and their sum.

A product is negated before it is shifted. Or it is in one's complement behind the shifter, −x = ~x + 1, and the one
that is missing goes into an adder of the tree as its carry.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from amaranth.hdl import Cat, Const, Module, Signal, Value, signed

from hwgen.arith import adder_tree_with_carries, conditional_negate, shift_left_into
from hwgen.arith.compressor import Term, TermShape, carry_save_counts
from hwgen.frame.facts import Addend, Counts, P
from hwgen.frame.formulas import TileFormulas
from hwgen.frame.numbers import Num, clog2, where
from hwgen.frame.primitives import for_each

__all__ = ["dot_addend", "joins_tree", "negates_first", "place_product", "product_counts", "tree_counts"]


def negates_first(p: P, significand: Num, magnitude: Num) -> Num:
    """Whether products of ``significand`` bits are negated before they are shifted into ``magnitude`` bits.

    That takes an adder of their width and the sign in the shifter, and saves an exclusive or a bit of what comes out of
    it. Area of a cell with adders, in sky130hd mapped for area and for speed, and period for speed: eight products
    E5M2 (6 into 64 bits) −16, −11, −13 %, of E4M3 (8 into 36) −8, −9, −11 %, of E2M1 (4 into 8) −4, −3, −2 %; but of
    E2M3 (8 into 12) +4, +3, +5 %. A single product has no other adder before the accumulator's: posit (16,1) −0, −4,
    +10 %.
    """
    return (p["k"] > 1) & (magnitude >= 2 * significand)


def joins_tree(spec: type[TileFormulas], p: P, first: Num) -> Num:
    """Whether products, negated ``first`` or not, and accumulator are one carry-save tree instead of adders.

    Sums that saturate are not, and none is where there is a register between. Area and period as above, against adders:
    E5M2 +1, +2, −14 %, E4M3 +0, +1, −15 %, E2M1 +1, −1, −15 %. With a carry a product the rows are twice as many.
    """
    return first & spec.sums_join(p)


def place_product(
    m: Module, significand: Value, sign: Value, amount: Value, width: int, name: str, *, first: bool
) -> tuple[Value, Value | None]:
    """(-1)**``sign`` · ``significand`` · 2**``amount``, below 2**``width``: signed value and the carry that it needs.

    Without one if it is negated ``first``.
    """
    if first:
        negated = conditional_negate(m, significand, sign, f"{name}_narrow")
        return shift_left_into(m, negated, amount, width + 1, name), None
    magnitude = shift_left_into(m, significand, amount, width, f"{name}_magnitude")
    flipped = Signal(signed(width + 1), name=name)
    m.d.comb += flipped.eq(Cat(magnitude, 0) ^ sign.replicate(width + 1))
    return flipped, sign


def dot_addend(m: Module, spec: TileFormulas, products: Sequence[tuple[Value, Value | None]], width: int) -> Addend:
    """Sum of `place_product`'s values and carries in ``width`` bits; where it can, the values as rows."""
    values = [value for value, _ in products]
    carries = [carry for _, carry in products if carry is not None]
    if joins_tree(type(spec), spec.p, not carries):
        return Addend(Const(0, 1), rows=tuple(Term(value) for value in values))
    total, carry = adder_tree_with_carries(m, values, carries, "dot")
    # The tree is as wide as its operands allow; their values, and so the sum, may need less.
    return Addend(total[:width].as_signed(), carry)


def product_counts(first: Num, significand: Num, magnitude: Num, largest: Num) -> Counts:
    """Primitives of `place_product` for shifts by up to ``largest``."""
    bits, width = significand + 1, magnitude + where(first, 1, 0)
    muxes: Num = 0
    for level in range(10):
        # Each is wider than the one before by what it shifts; a sign on top of a level is that of the one before.
        reached = significand + (2 << level) - 1
        muxes = muxes + where(largest >> level > 0, where(reached < width, reached, width), 0)
    return {"add": where(first, bits, 0), "mux2": muxes, "xor": where(first, bits, magnitude + 1)}


@functools.cache
def _joined_counts(count: int, bits: int, width: int) -> Counts:
    """Primitives of a sum of ``count`` products of ``bits`` bits and a number of ``width`` bits in its width."""
    return dict(carry_save_counts([TermShape(width, True), *[TermShape(bits, True)] * count], width))


def tree_counts(spec: type[TileFormulas], p: P, product: Num, first: Num) -> Counts:
    """Primitives of `dot_addend` for signed products of ``product`` bits, negated ``first`` or not."""
    k, joined = p["k"], joins_tree(spec, p, first)
    # A level of the tree has half the adders of the one before, each a bit wider.
    adders = (k - 1) * product + 2 * k - clog2(k) - 2
    if not np.any(joined):
        return {"add": adders}
    whole = for_each(_joined_counts, k, product, spec.acc_bits(p))
    return {name: where(joined, number, adders if name == "add" else 0) for name, number in whole.items()}
