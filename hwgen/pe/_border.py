"""Tiles whose borders decode each element into (exponent, integer): ±integer · 2**exponent.

Decoders stand once a row and once a column. A cell multiplies magnitudes, shifts the product by the sum of both
exponents, and adds up and accumulates in integers, exactly. What a code means may follow a selector, which comes with
its group as side information ``type``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Const, Module, Value

from hwgen.arith import absolute, multiply, wire
from hwgen.errors import HwgenError
from hwgen.formats import Format, get
from hwgen.frame.facts import Addend, Counts, P, Quantization, Side
from hwgen.frame.numbers import Num, bits_for, bits_for_multiple, ceil_div, where
from hwgen.frame.param import again, param
from hwgen.frame.primitives import merge
from hwgen.frame.spec import TileSpec
from hwgen.pe._products import dot_addend, joins_tree, negates_first, place_product, product_counts, tree_counts
from hwgen.pe._scaled import WEIGHT_SCALES, LanesSpec

__all__ = ["BYTE", "BorderSpec", "Decoded", "flint", "flint_fields"]


@dataclass(frozen=True)
class Decoded:
    """A decoded element: ``largest`` integer and ``shift``, the ends of the values, and one decoder's primitives."""

    largest: int
    shift: int
    low: int
    high: int
    decoder: Counts

    @property
    def magnitude_bits(self) -> int:
        return self.largest.bit_length()

    @property
    def shift_bits(self) -> int:
        return self.shift.bit_length()

    @property
    def bits(self) -> int:
        """Width on a bus: sign, magnitude, shift."""
        return 1 + self.magnitude_bits + self.shift_bits


BYTE = Decoded(128, 0, -128, 127, {"add": 8, "xor": 8})
"""int8: no exponent."""


def flint_fields(low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Magnitudes and exponents of the three lower bits of flint codes, int64."""
    zeros = 2 - (low & 2) // 2 - ((low & 3) > 0)
    large = low >= 4
    return np.where(large, np.where(zeros == 2, 1, 2 * (low & 3)), low), np.where(large, 2 * zeros, 0)


def flint(m: Module, word: Value, name: str) -> tuple[Value, Value]:
    """Magnitude and shift of a flint."""
    large = word[2]
    last = wire(m, large & ~word[1] & ~word[0], f"{name}_last")
    second = wire(m, large & ~word[1] & word[0], f"{name}_second")
    magnitude = Cat((word[0] & ~large) | last, (word[1] & ~large) | (word[0] & large), word[1] & large)
    return magnitude, Cat(Const(0, 1), second, last)


@dataclass(frozen=True, kw_only=True)
class BorderSpec(LanesSpec):
    """A tile of (exponent, integer) cells between border decoders."""

    m: int = again(TileSpec, "m", sweep=(1, 2))
    n: int = again(TileSpec, "n", sweep=(1, 2))
    k: int = again(TileSpec, "k", sweep=(2, 4))
    weights: str = param("int8", "weight format")
    acts: str = param("int8", "activation format")
    weight_scale: str = again(LanesSpec, "weight_scale", legal=WEIGHT_SCALES)

    cell_uses_phase: ClassVar[bool] = False
    golden_overflow: ClassVar[bool] = True
    BY_BITS: ClassVar[Mapping[int, str]] = {}
    """Format that ``bits`` stands for."""
    DECODED: ClassVar[Mapping[str, Decoded]] = {}
    """What elements of each format become."""
    TYPES: ClassVar[str] = ""
    """What the selectors of a format mean."""

    @classmethod
    def aliases(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """``bits`` names the format by its width: of the weights, and of the activations unless they are given."""
        given = dict(values)
        if "bits" in given:
            bits = given.pop("bits")
            if bits not in cls.BY_BITS:
                widths = " or ".join(str(width) for width in sorted(cls.BY_BITS))
                raise HwgenError(f"{cls.family}: bits must be {widths}, not {bits!r}")
            given.setdefault("weights", cls.BY_BITS[bits])
            given.setdefault("acts", given["weights"])
        return given

    @classmethod
    def constraints(cls, p: P) -> Iterable[tuple[Any, str]]:
        yield from super().constraints(p)
        for name in ("acts", "weights"):
            words = get(p[name]).elements
            yield p["k"] % words == 0, f"k must be a multiple of {words} with {name} {{{name}}}, not {{k}}"

    # ------------------------------------------------------------------ formats

    @property
    def act_format(self) -> Format:
        return get(self.acts)

    @property
    def weight_format(self) -> Format:
        return get(self.weights)

    @classmethod
    def scheme_of(cls, weights: str) -> str:
        """Scheme by which weights are quantised: the family's own, or that of integers."""
        return "symmetric" if weights == "int8" else cls.family

    def quantization(self) -> Quantization:
        return Quantization(
            acts=self.acts,
            weights=self.weights,
            scheme=self.scheme_of(self.weights),
            group=self.group,
            act_scale=self.act_scale,
            weight_scale=self.weight_scale,
            step=self.k,
            **self.bounded_sums(),
        )

    @classmethod
    def side_bits(cls, p: P) -> tuple[Counts, Counts]:
        found = super().side_bits(p)
        for fields, name in zip(found, ("acts", "weights"), strict=True):
            if get(p[name]).side_bits:
                fields["type"] = get(p[name]).side_bits
        return found

    def row_side(self) -> dict[str, Side]:
        return {**self._type(self.act_format, "row's activations"), **super().row_side()}

    def col_side(self) -> dict[str, Side]:
        return {**self._type(self.weight_format, "column's group"), **super().col_side()}

    def _type(self, form: Format, whose: str) -> dict[str, Side]:
        return {"type": Side(form.side_bits, f"type of the {whose}: {self.TYPES}")} if form.side_bits else {}

    # ------------------------------------------------------------------ formulas

    @classmethod
    def decoded(cls, p: P) -> tuple[Decoded, Decoded]:
        """What activations and weights become."""
        return cls.DECODED[p["acts"]], cls.DECODED[p["weights"]]

    @classmethod
    def act_port(cls, p: P) -> tuple[Num, Num]:
        form = get(p["acts"])
        return p["k"] // form.elements, form.code_bits

    @classmethod
    def weight_port(cls, p: P) -> tuple[Num, Num]:
        form = get(p["weights"])
        return p["k"] // form.elements, form.code_bits

    @classmethod
    def row_bus_bits(cls, p: P) -> Num:
        return p["k"] * cls.decoded(p)[0].bits

    @classmethod
    def col_bus_bits(cls, p: P) -> Num:
        return p["k"] * cls.decoded(p)[1].bits

    @classmethod
    def product_range(cls, p: P) -> tuple[Num, Num]:
        a, w = cls.decoded(p)
        return min(a.low * w.high, a.high * w.low), max(a.low * w.low, a.high * w.high)

    @classmethod
    def _width(cls, p: P) -> int:
        """Bits of a product's magnitude."""
        low, high = cls.product_range(p)
        return max(-int(low), int(high)).bit_length()

    @classmethod
    def _significand_bits(cls, p: P) -> int:
        """Bits of a product of integers."""
        a, w = cls.decoded(p)
        return min((a.largest * w.largest).bit_length(), cls._width(p))

    @classmethod
    def _largest_shift(cls, p: P) -> int:
        return sum(one.shift for one in cls.decoded(p))

    @classmethod
    def _negates_first(cls, p: P) -> Num:
        return negates_first(p, cls._significand_bits(p), cls._width(p))

    @classmethod
    def word_range(cls, p: P) -> tuple[int, Num, Num]:
        """Products that come together, and the smallest and largest value of their sum."""
        return 1, *cls.product_range(p)

    @classmethod
    def addend_bits(cls, p: P) -> Num:
        count, low, high = cls.word_range(p)
        # In one's complement a product of zero with a sign is −1 until its carry arrives.
        late = bits_for_multiple(low - count, high, p["k"] // count)
        return where(cls._negates_first(p), bits_for_multiple(low, high, p["k"] // count), late)

    @classmethod
    def acc_bits(cls, p: P) -> Num:
        count, low, high = cls.word_range(p)
        return bits_for_multiple(low, high, ceil_div(p["depth"], count))

    @classmethod
    def carry_bits(cls, p: P) -> Num:
        return where(cls._negates_first(p), 0, 1)

    @classmethod
    def zero_adds_nothing(cls, p: P) -> bool:
        return True

    @classmethod
    def row_primitives(cls, p: P) -> Counts:
        return {name: p["k"] * count for name, count in cls.decoded(p)[0].decoder.items()}

    @classmethod
    def col_primitives(cls, p: P) -> Counts:
        return {name: p["k"] * count for name, count in cls.decoded(p)[1].decoder.items()}

    @classmethod
    def cell_primitives(cls, p: P) -> Counts:
        a, w = cls.decoded(p)
        first, largest = cls._negates_first(p), cls._largest_shift(p)
        factors = a.magnitude_bits, w.magnitude_bits
        placed = product_counts(first, cls._significand_bits(p), cls._width(p), largest)
        added = largest.bit_length() if min(a.shift, w.shift) else 0
        placed["add"] = placed["add"] + added
        # Signs are compared once a product; a factor of one bit is a mask.
        placed["xor"] = placed["xor"] + 1
        product = {"and": max(factors)} if min(factors) == 1 else {"mul": factors[0] * factors[1]}
        each = {name: p["k"] * count for name, count in merge(placed, product).items()}
        low, high = cls.product_range(p)
        return merge(each, tree_counts(cls, p, bits_for(low, high), first))

    @classmethod
    def sums_in_tree(cls, p: P) -> Num:
        return joins_tree(cls, p, cls._negates_first(p))

    # ------------------------------------------------------------------ reference

    def pairs(self, words: np.ndarray, form: Format, kind: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Integers and exponents of code words [..., words] of a format with selectors ``kind`` [...], int64
        [..., elements].
        """
        raise NotImplementedError

    def _fixed(self, words: np.ndarray, form: Format, side: Mapping[str, np.ndarray]) -> np.ndarray:
        """Integers that elements stand for, int64."""
        if form.name == "int8":
            return form.fixed(words)
        kind = np.asarray(side["type"], np.int64)[..., None] if form.side_bits else None
        integers, exponents = self.pairs(np.asarray(words).astype(np.int64), form, kind)
        values: np.ndarray = integers << exponents
        return values

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        a, w = self._fixed(acts, self.act_format, row), self._fixed(weights, self.weight_format, col)
        products: np.ndarray = np.einsum("...mk,...nk->...mn", a, w)
        return products[None, ..., None]

    def arithmetic(self, mode: int) -> dict[str, Any]:
        found = self.dot_arithmetic(mode)
        for role, port, form in (("acts", "row", self.act_format), ("weights", "col", self.weight_format)):
            if form.side_bits:
                found[role]["selector"] = f"i_{port}_type"
        return found

    # ------------------------------------------------------------------ logic

    def build_decoder(self, m: Module, word: Value, form: Format, kind: Value | None, name: str) -> list[Value]:
        """Add the decoder of a code word; returns sign, magnitude and shift of each of its elements as one value."""
        raise NotImplementedError

    def build_row(self, m: Module, acts: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Decodes the row's activations once: sign, integer, exponent."""
        return self._border(m, acts, self.act_format, side, "act")

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Decodes the column's weights once: sign, integer, exponent."""
        return self._border(m, weights, self.weight_format, side, "weight")

    def _border(self, m: Module, words: Any, form: Format, side: Mapping[str, Value], name: str) -> Value:
        found: list[Value] = []
        for index in range(self.k // form.elements):
            if form.name == "int8":
                found.append(Cat(*absolute(m, words[index].as_signed(), f"{name}{index}")))
            else:
                found += self.build_decoder(m, words[index], form, side.get("type"), f"{name}{index}")
        return Cat(*found)

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Multiplies integers, shifts each product by the sum of its exponents, and adds up."""
        a, w = self.decoded(self.p)
        width, first = self._width(self.p), bool(self._negates_first(self.p))
        placed = []
        for index in range(self.k):
            left = row[index * a.bits : (index + 1) * a.bits]
            right = col[index * w.bits : (index + 1) * w.bits]
            sign = wire(m, left[0] ^ right[0], f"sign{index}")
            ends = 1 + a.magnitude_bits, 1 + w.magnitude_bits
            product = multiply(m, left[1 : ends[0]], right[1 : ends[1]], f"integer{index}")
            shifts = [shift for shift in (left[ends[0] :], right[ends[1] :]) if len(shift)]
            amount = sum(shifts[1:], shifts[0]) if shifts else Const(0, 0)
            amount = amount[: self._largest_shift(self.p).bit_length()]
            significand = product[: self._significand_bits(self.p)]
            placed.append(place_product(m, significand, sign, amount, width, f"product{index}", first=first))
        return [dot_addend(m, self, placed, int(self.addend_bits(self.p)))]
