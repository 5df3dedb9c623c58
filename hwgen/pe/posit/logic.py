"""The logic of the blocks of a posit tile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data

from hwgen.arith import (
    ScaledLayout,
    adder_tree,
    fp_unpack,
    round_to_fp32,
    wire,
)
from hwgen.arith.bits import extend
from hwgen.arith.posit import (
    fp32_to_fp16,
    fp32_to_posit,
    posit_unpack,
)
from hwgen.arith.segments import segment_add, segment_shift_left
from hwgen.arith.split_multiply import SPLIT_CHUNKS, SPLIT_WIDTH, split_multiply
from hwgen.formats import PositFormat, get
from hwgen.frame.accumulators import plain_accumulators
from hwgen.frame.facts import Addend
from hwgen.frame.place import Logic, Place, late, when
from hwgen.frame.post import PostBlock
from hwgen.pe._products import dot_addend, place_product
from hwgen.pe.posit.arithmetic import PositArithmetic
from hwgen.pe.posit.formulas import LANE_BITS, LANE_BUS, SHIFTS
from hwgen.pe.posit.parameters import PART, QUARTERS, SIMD, WIDE

__all__ = ["Posit"]


_PART_SHIFT = 2 * (PART.lsb_exp - WIDE.lsb_exp)


class _Lane(NamedTuple):
    """Decoded operands of a 16-bit lane."""

    significand: Value
    signs: list[Value]
    shifts: list[Value]


@dataclass(frozen=True, kw_only=True)
class Posit(PositArithmetic):
    """Posit tile."""

    def _front(self, m: Module, codes: Any, mode: Value, *, weights: bool) -> Value:
        if self._simd:
            return self._simd_front(m, codes, mode, weights=weights)
        fields: list[Value] = []
        nars: list[Value] = []
        for index in range(self.k):
            if isinstance(self._form, PositFormat):
                posit = posit_unpack(m, codes[index], self._form, f"x{index}")
                fields += [posit.sign, posit.significand, posit.shift]
                nars.append(posit.nar)
            else:
                fields += _fp4(m, codes[index], f"x{index}")
        return Cat(*fields, wire(m, Cat(*nars).any(), "nar")) if nars else Cat(*fields)

    def build_row(self, m: Module, acts: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Decodes the activations once: two's complement, regime, significand, NaR."""
        return self._front(m, acts, mode, weights=False)

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Decodes the weights once: two's complement, regime, significand, NaR."""
        return self._front(m, weights, mode, weights=True)

    def _simd_front(self, m: Module, codes: Any, mode: Value, *, weights: bool) -> Value:
        """Lanes of `LANE_BUS` bits: the significands of the quarters, their signs, their shifts; then NaR."""
        broadcast = self.simd_along == "n" and not weights
        chosen = [wire(m, mode == index, f"is_{SIMD[index].name}") for index in range(len(SIMD))]
        lanes: list[Value] = []
        nars: list[list[Value]] = [[] for _ in range(QUARTERS)]
        for lane in range(self.k):
            significand = Signal(SPLIT_WIDTH, name=f"lane{lane}_significand")
            signs = [Signal(name=f"lane{lane}_sign{index}") for index in range(QUARTERS)]
            shifts = [Signal(bits, name=f"lane{lane}_shift{index}") for index, bits in enumerate(SHIFTS)]
            with m.Switch(mode):
                for number, simd in enumerate(SIMD):
                    # Decoders of other modes see zeros and do not switch.
                    word = codes[lane] & chosen[number].replicate(LANE_BITS)
                    form = get(simd.format)
                    decoded = []
                    for part in range(1 if broadcast else simd.parts):
                        code = word[form.code_bits * part : form.code_bits * (part + 1)]
                        name = f"lane{lane}_{simd.name}_{part}"
                        if isinstance(form, PositFormat):
                            posit = posit_unpack(m, code, form, name)
                            decoded.append((posit.sign, posit.significand, posit.shift))
                            nars[part * QUARTERS // simd.parts].append(posit.nar)
                        else:
                            sign, unsigned, shift = _fp4(m, code, name)
                            decoded.append((sign, unsigned, shift))
                    with m.Case(number) if number + 1 < len(SIMD) else m.Default():
                        for part in range(simd.parts):
                            sign, unsigned, shift = decoded[0 if broadcast else part]
                            place = part * QUARTERS // simd.parts
                            low = SPLIT_CHUNKS[place][0]
                            m.d.comb += significand[low : low + len(unsigned)].eq(unsigned)
                            m.d.comb += signs[place].eq(sign)
                            raised = shift if weights or not simd.align else (shift + simd.align)[: len(shifts[place])]
                            m.d.comb += shifts[place].eq(raised)
            lanes += [significand, *signs, *shifts]
        flags = [wire(m, Cat(*flag).any() if flag else Const(0, 1), f"nar{index}") for index, flag in enumerate(nars)]
        if weights and self.simd_along == "n":
            return Cat(*lanes, *flags)
        return Cat(*lanes, wire(m, Cat(*flags).any(), "nar"))

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Multiplies in one splitting multiplier and shifts the products into the quire."""
        return self._simd_cell(m, row, col, mode) if self._simd else self._single_cell(m, row, col)

    def _single_cell(self, m: Module, row: Value, col: Value) -> list[Addend]:
        significand_bits, shift_bits = (int(bits) for bits in self._element(self.p))
        size, room = 1 + significand_bits + shift_bits, int(self._magnitude_bits(self.p))
        placed: list[tuple[Value, Value | None]] = []
        for index in range(self.k):
            a, w = row[index * size : (index + 1) * size], col[index * size : (index + 1) * size]
            x, y = a[1 : 1 + significand_bits], w[1 : 1 + significand_bits]
            sign = wire(m, a[0] ^ w[0], f"sign{index}")
            product = wire(m, x & y if significand_bits == 1 else x * y, f"significand{index}")
            shift = wire(
                m, (a[1 + significand_bits :] + w[1 + significand_bits :])[: (room - 1).bit_length()], f"shift{index}"
            )
            first = bool(self._negates_first(self.p))
            placed.append(place_product(m, product, sign, shift, room, f"product{index}", first=first))
        width = int(self._dot_bits(self.p))
        dot = dot_addend(m, self, placed, width)
        if self.format == "fp4":
            return [dot]
        nar = wire(m, row[-1] | col[-1], "nar")
        if dot.rows:
            return [dot, Addend(nar)]
        # Whatever the tree's own width is, the flag lies above the sum's.
        return [Addend(Cat(extend(dot.value, width), nar).as_signed(), dot.carry)]

    def _lane(self, bus: Value, index: int) -> _Lane:
        bits = bus[index * LANE_BUS : (index + 1) * LANE_BUS]
        begin = SPLIT_WIDTH + QUARTERS
        ends = [begin + sum(SHIFTS[:place]) for place in range(QUARTERS + 1)]
        shifts = [bits[low:high] for low, high in pairwise(ends)]
        return _Lane(bits[:SPLIT_WIDTH], list(bits[SPLIT_WIDTH:begin]), shifts)

    def _simd_cell(self, m: Module, row: Value, col: Value, mode: Value) -> list[Addend]:
        size = int(self._segment_bits(self.p))
        whole, halves = wire(m, mode == 0, "whole"), wire(m, mode == 1, "halves")
        quarters = wire(m, mode[1], "in_quarters")
        pending: list[list[Value]] = []
        vectors: list[Value] = []
        for index in range(self.k):
            a, w = self._lane(row, index), self._lane(col, index)
            name = f"lane{index}"
            product = split_multiply(m, a.significand, w.significand, whole, halves, name)
            product = wire(m, product, f"{name}_product")
            # Where products of parts lie next to each other: every quarter takes its own.
            entering = [
                Cat(product[:6], product[6:12] & (~quarters).replicate(6), product[12:] & whole.replicate(14)),
                product[6:12] & quarters.replicate(6),
                Cat(product[12:18] & (~whole).replicate(6), product[18:] & halves.replicate(8)),
                product[18:] & quarters.replicate(8),
            ]
            placed = Signal(QUARTERS * size, name=f"{name}_placed")
            m.d.comb += placed.eq(Cat(*(Cat(part, Const(0, size - len(part))) for part in entering)))
            sums = [
                wire(m, x + y, f"{name}_shift{place}")
                for place, (x, y) in enumerate(zip(a.shifts, w.shifts, strict=True))
            ]
            amounts = [
                sums[0],
                *(Mux(whole, sums[0], Cat(other, Const(0, len(sums[0]) - len(other)))) for other in sums[1:]),
            ]
            magnitude = segment_shift_left(m, placed, amounts, whole, f"{name}_magnitude")
            signs = [
                wire(m, x ^ y, f"{name}_sign{place}") for place, (x, y) in enumerate(zip(a.signs, w.signs, strict=True))
            ]
            flips = Cat(
                *(
                    (signs[0] if place == 0 else Mux(whole, signs[0], sign)).replicate(size)
                    for place, sign in enumerate(signs)
                )
            )
            vectors.append(wire(m, magnitude ^ flips, f"{name}_addend"))
            pending.append([signs[0], *(sign & ~whole for sign in signs[1:])])
        # A balanced tree; every adder takes the carries of one lane, the accumulator those of the last.
        level = 0
        while len(vectors) > 1:
            merged = [
                wire(m, segment_add(m, x, y, pending.pop(), whole, f"level{level}_{number}"), f"level{level}_{number}")
                for number, (x, y) in enumerate(zip(vectors[::2], vectors[1::2], strict=False))
            ]
            vectors = merged + vectors[len(merged) * 2 :]
            level += 1
        (carries,) = pending
        (vector,) = vectors
        if self.simd_along == "k":
            nar = row[-1] | col[-1]
            return [Addend(Cat(vector, *carries, nar, whole).as_signed())]
        used = [Const(1, 1), quarters, ~whole, quarters]
        nars = [(row[-1] & use) | flag for use, flag in zip(used, col[-QUARTERS:], strict=True)]
        return [
            Addend(
                Cat(
                    vector[place * size : (place + 1) * size], *_tagged(place, carries[place], nars[place], whole)
                ).as_signed()
            )
            for place in range(QUARTERS)
        ]

    def build_accumulators(
        self, m: Module, addends: list[Addend], clear: Value, enable: Value | None, fold: Value, place: Place
    ) -> list[Value]:
        if self.format == "fp4":
            return super().build_accumulators(m, addends, clear, enable, fold, place)
        if not self._simd:
            return [self._single_quire(m, addends, clear, enable)]
        size = int(self._segment_bits(self.p))
        if self.simd_along == "k":
            bundle = addends[0].value
            vector, rest = bundle[: QUARTERS * size], bundle[QUARTERS * size :]
            carries, flags, whole = list(rest[:QUARTERS]), [rest[QUARTERS]], rest[QUARTERS + 1]
        else:
            vector = Cat(*(addend.value[:size] for addend in addends))
            tags = [addend.value[size:] for addend in addends]
            whole = wire(m, tags[1].all(), "whole")
            carries = [tag[0] & ~tag[1] for tag in tags]
            flags = [tag[1] & ~tag[0] for tag in tags]
        state = Signal(QUARTERS * size, name="quire", reset_less=True)
        base = wire(m, state & (~clear).replicate(len(state)), "quire_base")
        total = segment_add(
            m, base, vector, [wire(m, carry, f"carry{i}") for i, carry in enumerate(carries)], whole, "quire_add"
        )
        nars = [Signal(name=f"nar{index}", reset_less=True) for index in range(len(flags))]
        joined = Signal(name="joined", reset_less=True)
        with when(m, None if self.idles_at_zero(self.p) else enable):
            m.d.sync += state.eq(total)
            m.d.sync += [nar.eq((nar & ~clear) | flag) for nar, flag in zip(nars, flags, strict=True)]
        with when(m, enable):
            # An idle cycle that adds nothing may still be in another mode.
            m.d.sync += joined.eq(whole)
        segments = [state[place * size : (place + 1) * size] for place in range(QUARTERS)]
        if self.simd_along == "n":
            words: list[Value] = []
            for quarter, segment in enumerate(segments):
                nar = wire(m, Mux(joined, nars[0], nars[quarter]), f"word{quarter}_nar")
                top = nar if quarter + 1 == QUARTERS else nar & ~joined
                words.append(Cat(segment[:-1] & (~nar).replicate(size - 1), (segment[-1] & ~nar) | top))
            return words
        # The quarters of a whole number are not added: they are held at zero.
        own = [(segment & (~joined).replicate(size)).as_signed() for segment in segments]
        split = adder_tree(m, own, "parts")
        raised = Signal(signed(QUARTERS * size), name="parts_raised")
        m.d.comb += raised.eq(Cat(Const(0, _PART_SHIFT), split).as_signed())
        number = Mux(joined, state, raised.as_unsigned())
        return [self._with_nar(m, number, nars[0])]

    def _single_quire(self, m: Module, addends: list[Addend], clear: Value, enable: Value | None) -> Value:
        dot, *rest = addends
        width = int(self._dot_bits(self.p))
        flag = rest[0].value if rest else dot.value[width]
        plain = dot if rest else Addend(dot.value[:width].as_signed(), dot.carry)
        (state,) = plain_accumulators(m, self, [plain], clear, enable, int(self.acc_bits(self.p)))
        nar = Signal(name="nar0", reset_less=True)
        with when(m, enable):
            m.d.sync += nar.eq((nar & ~clear) | flag)
        return self._with_nar(m, state, nar)

    @staticmethod
    def _with_nar(m: Module, number: Value, nar: Value) -> Value:
        """``number``, or 100..0."""
        return wire(m, Cat(number[:-1] & (~nar).replicate(len(number) - 1), number[-1] | nar), "sum")

    def post_block(self, place: Place) -> PostBlock:
        return _PositPost(self, place)


def _fp4(m: Module, code: Value, name: str) -> list[Value]:
    """Sign, significand and shift of an E2M1 code; value = significand · 2**shift / 2."""
    unpacked = fp_unpack(m, code, get("fp4_e2m1"), name, normalise=False)
    return [unpacked.sign, unpacked.significand, wire(m, (unpacked.exponent - 1)[:2], f"{name}_shift")]


def _tagged(place: int, carry: Value, nar: Value, whole: Value) -> list[Value]:
    """What a quarter is, in two bits: 0 a number, 1 one with a carry to come, 2 NaR, 3 the rest of a whole number."""
    rest = whole if place else Const(0, 1)
    return [rest | (carry & ~nar), rest | nar]


class _PositPost(PostBlock):
    """Post lanes that know NaR and round into the output format."""

    spec: Posit

    def scale(self, m: Module, total: Value, *scales: Any) -> data.View[ScaledLayout]:
        product = super().scale(m, total, *scales)
        if self.spec.format == "fp4":
            return product
        view = Signal(product.shape(), name=f"{scales[-1]}_or_nar")
        m.d.comb += view.as_value().eq(product.as_value())
        m.d.comb += view.nan.eq(product.nan | (total[-1] & ~total[:-1].any()))
        return view

    def round(self, m: Module, product: data.View[ScaledLayout], name: str) -> Value:
        return round_to_fp32(m, product, self.spec.lsb_exp, name, odd=self.spec.readout != "fp32")

    def finish(self, m: Module, valid: Value, results: list[Value]) -> tuple[Value, list[Value]]:
        spec = self.spec
        if spec.readout == "fp32":
            return valid, results
        cuts = int(spec.readout_cuts(spec.p))
        last = Signal(name="output_valid")
        valid = late(m, valid, cuts, "output_valid", reset=True)
        m.d.sync += last.eq(valid)
        codes: list[Value] = []
        for lane, result in enumerate(results):
            name = f"lane{lane}_output"
            if cuts:
                code = self._place(
                    m,
                    "post_readout",
                    f"readout{lane}",
                    lambda: Logic({"fp32": 32}, lambda m, inputs: {"code": self._code(m, inputs["fp32"], "output")}),
                    cuts=cuts,
                    fp32=result,
                ).code
            else:
                code = self._code(m, result, name)
            register = Signal(len(code), name=f"{name}_reg", reset_less=True)
            with m.If(valid):
                m.d.sync += register.eq(code)
            codes.append(Cat(register, Const(0, 32 - len(code))))
        return last, codes

    def _code(self, m: Module, result: Value, name: str) -> Value:
        """A result in the output's format."""
        form = self.spec._output_format
        if isinstance(form, PositFormat):
            return fp32_to_posit(m, result, form, name)
        return fp32_to_fp16(m, result, name)
