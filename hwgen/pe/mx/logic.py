"""The logic of the blocks of a mx tile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from hwgen.arith import (
    absolute,
    adder_tree,
    conditional_negate,
    fp_unpack,
    wire,
)
from hwgen.formats import Format
from hwgen.formats.minifloat import MinifloatFormat
from hwgen.frame.facts import Addend
from hwgen.pe._products import dot_addend, place_product
from hwgen.pe.mx.arithmetic import MxArithmetic
from hwgen.pe.mx.formulas import exponent_bits, field, half_bits, unit
from hwgen.pe.mx.parameters import PARTS

__all__ = ["Mx"]


@dataclass(frozen=True, kw_only=True)
class Mx(MxArithmetic):
    """Tile of block formats. ``group`` is the block size and, like ``depth``, the formats' own where `from_values` is
    not told.
    """

    def _decode(self, m: Module, codes: Any, side: int, mode: Value, name: str) -> Value:
        """Decoded elements of one row (``side`` 0) or column (1), `_bus_bits` each."""
        forms = self._forms(self.p)[side]
        if len(forms) > 1:
            every = [self.mode_formats(index)[side] for index in range(len(self.modes()))]
            choice = {form: [index for index, one in enumerate(every) if one == form] for form in forms}
            return self._decode_modes(m, codes, side, choice, mode, name)
        [form] = forms
        if isinstance(form, MinifloatFormat):
            decode = self._decode_float
        elif form.elements > 1:
            decode = self._decode_word
        else:
            decode = self._decode_integer
        words = self.k // form.elements
        return Cat(*[decode(m, wire(m, codes[word], f"{name}{word}"), form, f"{name}{word}") for word in range(words)])

    def _decode_modes(
        self, m: Module, codes: Any, side: int, modes: Mapping[Format, Sequence[int]], mode: Value, name: str
    ) -> Value:
        """The same of formats that each have ``modes``: sign, significand and exponent of the mode's format, and one
        adder that brings the exponent to the unit of all.
        """
        forms = list(modes)
        chosen = self._fields(self.p)[side]

        def cases() -> Iterator[tuple[int, Format]]:
            """Each format, within the case of its modes; the last one's is also what no mode has."""
            with m.Switch(mode):
                for index, form in enumerate(forms):
                    with m.Case(*modes[form]) if index + 1 < len(forms) else m.Default():
                        yield index, form

        above = Signal(chosen.shift, name=f"{name}_above")
        for _, form in cases():
            # An exponent of 1 is that of the last place.
            places = form.lsb_exp - unit(forms) - isinstance(form, MinifloatFormat)
            m.d.comb += above.eq(places & ((1 << chosen.shift) - 1))
        halves = self._halves(m, codes, side, mode, name) if self.int8_products == "parts" else {}
        found: list[Value] = []
        for index in range(self.k):
            code = wire(m, codes[index], f"{name}{index}")
            decoded = [
                halves.get((form, index)) or self._float_or_integer(m, code, form, f"{name}{index}_{form.name}")
                for form in forms
            ]
            sign = Signal(name=f"{name}{index}_sign")
            significand = Signal(chosen.significand, name=f"{name}{index}_significand")
            exponent = Signal(exponent_bits(forms), name=f"{name}{index}_exponent")
            for number, _ in cases():
                m.d.comb += [
                    signal.eq(part) for signal, part in zip((sign, significand, exponent), decoded[number], strict=True)
                ]
            found += [sign, significand, wire(m, (above + exponent)[: chosen.shift], f"{name}{index}_shift")]
        return Cat(*found)

    def _halves(
        self, m: Module, codes: Any, side: int, mode: Value, name: str
    ) -> dict[tuple[Format, int], tuple[Value, Value, Value]]:
        """By format and lane what lanes have that go in fours: halves of the magnitudes of integers, lower ones in the
        first two lanes of rows and in the even ones of columns, each with their exponent. Formats beside an integer of
        the other side stand where a lower half would be, and zeros elsewhere.
        """
        forms, pairs = self._forms(self.p)[side], self._mode_blocks(self.p)
        split = Const(0, 1)
        if self.mode_pairs == "any":
            split = wire(
                m,
                Cat(mode == at for at, pair in enumerate(pairs) if self._parts(self.p, pair) > 1).any(),
                f"{name}_split",
            )
        found: dict[tuple[Format, int], tuple[Value, Value, Value]] = {}
        for form in forms:
            for index in range(self.k):
                first, upper = index // PARTS, bool(index % PARTS & (2 >> side))
                tag = f"{name}{index}_{form.name}"
                if isinstance(form, MinifloatFormat):
                    if self.mode_pairs == "any":
                        code = wire(m, Mux(split, codes[first], codes[index])[: form.code_bits], f"{tag}_code")
                        sign, significand, exponent = self._float_or_integer(m, code, form, tag)
                        kept = significand & ~split.replicate(len(significand)) if upper else significand
                        found[form, index] = sign, kept, exponent
                    continue
                if index % PARTS == 0:
                    sign, magnitude, _ = self._float_or_integer(m, codes[first], form, tag)
                low = half_bits(form)
                half = magnitude[low:] if upper else magnitude[:low]
                found[form, index] = sign, half, Const(low if upper else 0, low.bit_length())
        return found

    @staticmethod
    def _float_or_integer(m: Module, code: Value, form: Format, name: str) -> tuple[Value, Value, Value]:
        """Sign, significand and exponent, at least 1, of a float; sign, magnitude and 0 of an integer."""
        code = code[: form.code_bits]
        if isinstance(form, MinifloatFormat):
            unpacked = fp_unpack(m, code, form, name, normalise=False)
            return unpacked.sign, unpacked.significand, unpacked.exponent
        sign, magnitude = absolute(m, code.as_signed(), name)
        return sign, magnitude, Const(0, 1)

    @staticmethod
    def _decode_float(m: Module, code: Value, form: Format, name: str) -> Value:
        """Sign, significand, and exponent less one."""
        unpacked = fp_unpack(m, code, form, name, normalise=False)
        shift = wire(m, (unpacked.exponent - 1)[: field([form]).shift], f"{name}_shift")
        return Cat(unpacked.sign, unpacked.significand, shift)

    def _decode_integer(self, m: Module, code: Value, form: Format, name: str) -> Value:
        """The integer itself; beside a floating-point operand its sign and magnitude."""
        if form.min_value == -form.max_value:
            # The lowest code of a symmetric format means the one above it.
            lowest = wire(m, code[-1] & ~code[:-1].any(), f"{name}_lowest")
            code = wire(m, Cat(code[0] | lowest, code[1:]), f"{name}_element")
        if not self._shifts(self.p):
            return code
        sign, magnitude = absolute(m, code.as_signed(), name)
        return Cat(sign, magnitude[: field([form]).significand])

    @staticmethod
    def _decode_word(m: Module, code: Value, form: Format, name: str) -> Value:
        """Four integers: magnitudes in quarters, shifted by both micro-exponents, with their signs."""
        upper, lower = code[4 * form.elements], code[4 * form.elements + 1]
        numbers = []
        for index in range(form.elements):
            quarters, sign = code[4 * index : 4 * index + 3], code[4 * index + 3]
            once = wire(m, Mux(upper, Cat(Const(0, 1), quarters), Cat(quarters, Const(0, 1))), f"{name}_{index}_upper")
            both = wire(m, Mux(lower, Cat(Const(0, 1), once), Cat(once, Const(0, 1))), f"{name}_{index}_magnitude")
            numbers.append(conditional_negate(m, both, sign, f"{name}_{index}").as_unsigned())
        return Cat(*numbers)

    def build_row(self, m: Module, acts: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Decodes the row's elements once: sign, significand and shift, or integers (HiF4 with micro-exponents)."""
        return self._decode(m, acts, 0, mode, "act")

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Decodes the column's elements once: sign, significand and shift, or integers (HiF4 with micro-exponents)."""
        return self._decode(m, weights, 1, mode, "weight")

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Forms K exact products in fixed point and adds them in one tree."""
        a_bits, w_bits = self._bus_bits(self.p)
        pairs = [
            (row[index * a_bits : (index + 1) * a_bits], col[index * w_bits : (index + 1) * w_bits])
            for index in range(self.k)
        ]
        width = int(self.addend_bits(self.p))
        if self._shifts(self.p):
            placed = [self._float_product(m, a, w, index) for index, (a, w) in enumerate(pairs)]
            return [dot_addend(m, self, placed, width)]
        products = [wire(m, a.as_signed() * w.as_signed(), f"product{index}") for index, (a, w) in enumerate(pairs)]
        # The tree is as wide as its operands allow; their values, and so the sum, may need less.
        return [Addend(adder_tree(m, products, "dot")[:width].as_signed())]

    def _float_product(self, m: Module, a: Value, w: Value, index: int) -> tuple[Value, Value | None]:
        """Product of two decoded elements as a value and the carry that it needs."""
        a_field, w_field = self._fields(self.p)
        a_cut, w_cut = 1 + a_field.significand, 1 + w_field.significand
        sign = wire(m, a[0] ^ w[0], f"sign{index}")
        significand = wire(m, a[1:a_cut] * w[1:w_cut], f"significand{index}")
        largest = a_field.largest_shift + w_field.largest_shift
        amounts = [amount for amount in (a[a_cut:], w[w_cut:]) if len(amount)]
        total = amounts[0] + amounts[1] if len(amounts) > 1 else amounts[0]
        shift = wire(m, total[: largest.bit_length()], f"shift{index}")
        width, first = int(self._sum_bits(self.p, 1)) - 1, bool(self._negates_first(self.p))
        return place_product(m, significand, sign, shift, width, f"product{index}", first=first)
