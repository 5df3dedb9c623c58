"""The logic of the blocks of a bitmod tile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.arith import (
    ScaledLayout,
    absolute,
    add_with_carry,
    adder_tree_with_carries,
    beyond_two_terms,
    booth_digit,
    conditional_negate,
    extend,
    fp_unpack,
    leading_zeros,
    max_exponent,
    round_to_fp32,
    shift_left,
    shift_right,
    two_terms,
    wire,
)
from hwgen.arith.select import select
from hwgen.formats.bitmod import MAGNITUDE_BITS
from hwgen.frame.facts import Addend, Companion
from hwgen.frame.numbers import clog2, unsigned_bits
from hwgen.frame.place import Place
from hwgen.frame.post import accumulated, late_controls, rounded_late
from hwgen.pe.bitmod.arithmetic import BitmodArithmetic
from hwgen.pe.bitmod.formulas import BSIG_BITS, ENTRIES, EXP_BITS, TOP_BSIG
from hwgen.pe.bitmod.parameters import FIRST_FP, SCALE_BITS, SPECIAL_BITS

__all__ = ["Bitmod"]


def _shift_right_signed(m: Module, value: Value, amount: Value, name: str) -> Value:
    """Signed ``value`` shifted right by unsigned ``amount`` of any width, rounded down."""
    width = len(value)
    stages = min(len(amount), (width - 1).bit_length())
    sign = wire(m, value[-1], f"{name}_sign")
    bits: Value = value.as_unsigned()
    for stage in range(stages):
        distance = 1 << stage
        shifted = Cat(bits[distance:], sign.replicate(min(distance, width)))
        bits = wire(m, Mux(amount[stage], shifted, bits), f"{name}_by{distance}")
    if len(amount) > stages:
        bits = wire(m, Mux(amount[stages:].any(), sign.replicate(width), bits), name)
    return bits.as_signed()


def _shift_left_signed(m: Module, value: Value, amount: Value, largest: int, name: str) -> Value:
    """Signed ``value`` times 2**amount for an ``amount`` of at most ``largest``, in as many more bits."""
    room = 0
    for stage in range(largest.bit_length()):
        distance = 1 << stage
        room = min(room + distance, largest)
        moved = Signal(signed(len(value) + min(distance, room)), name=f"{name}_by{distance}")
        m.d.comb += moved.eq(Mux(amount[stage], Cat(Const(0, distance), value).as_signed(), value))
        value = moved
    return value


class SpecialTable(wiring.Component):
    """Register file of four special values in front of the columns of a tile.

    Members
    -------
    write, address, value: store ``value`` (sign on top of a magnitude in halves) in entry ``address`` at the next edge.
    selectors: two bits a column. specials: each column's special value, combinational.
    error: an entry is not the sum of two powers of two. Reset makes all entries 0, so that -0 means 0.
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns
        super().__init__(
            {
                "write": In(1),
                "address": In(clog2(ENTRIES)),
                "value": In(SPECIAL_BITS),
                "selectors": In(clog2(ENTRIES) * columns),
                "specials": Out(SPECIAL_BITS * columns),
                "error": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        entries = [Signal(SPECIAL_BITS, name=f"entry{index}") for index in range(ENTRIES)]
        errors = []
        for index, entry in enumerate(entries):
            with m.If(self.write & (self.address == index)):
                m.d.sync += entry.eq(self.value)
            errors.append(beyond_two_terms(m, entry[:MAGNITUDE_BITS], f"beyond{index}"))
        m.d.comb += self.error.eq(Cat(*errors).any())
        chosen = []
        for column in range(self.columns):
            selector = self.selectors[2 * column : 2 * column + 2]
            chosen.append(select(m, entries, selector, f"column{column}"))
        m.d.comb += self.specials.eq(Cat(*chosen))
        return m


@dataclass(frozen=True, kw_only=True)
class Bitmod(BitmodArithmetic):
    """BitMoD tile."""

    def companions(self) -> dict[str, Companion]:
        entry = "sign above a magnitude in halves"
        return {
            "specials": Companion(
                summary="Register file of four special values, chosen by a selector of each column.",
                build=lambda: SpecialTable(self.n),
                ports={
                    "write": "store value in the entry at address, at the next rising edge",
                    "address": "entry 0 to 3",
                    "value": f"special value: {entry}; reset makes all entries 0",
                    "selectors": "entry of each column's group [N], two bits each",
                    "specials": f"what the tile's i_col_special takes [N]: {entry}",
                    "error": "an entry is not the sum of two powers of two",
                },
                elements={
                    "value": (1, "sign_magnitude"),
                    "selectors": (self.n, ""),
                    "specials": (self.n, "sign_magnitude"),
                },
                arithmetic={
                    "kind": "register file",
                    "entries": ENTRIES,
                    "definition": "with write, value is in the entry at address from the next rising edge on; reset "
                    "makes all entries 0. specials[n] is the entry selectors[n], in the same cycle; error: an entry's "
                    "magnitude has more ones than its encoding allows",
                },
            )
        }

    def post_block(self, place: Place) -> wiring.Component:
        return BitmodPost(self, place)

    def build_row(self, m: Module, acts: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Unpacks the activations once: sign, exponent and significand; integers pass."""
        if not self._floating(self.p):
            value: Value = acts.as_value()
            return value
        fields: list[Value] = []
        for index in range(self.k):
            unpacked = fp_unpack(m, acts[index], self.act_format, f"act{index}", normalise=False)
            fields += [unpacked.sign, unpacked.exponent.as_unsigned(), unpacked.significand]
        return Cat(*fields)

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        """Encodes one power-of-two term of each weight a cycle: a Booth digit, or a leading one."""
        is_fp = wire(m, mode >= FIRST_FP, "is_fp")
        fields: list[Value] = []
        for index in range(self.k):
            name = f"weight{index}"
            code = wire(m, weights[index], name)
            padded = Cat(Const(0, 1), code)
            windows = [padded[2 * place : 2 * place + 3] for place in range(4)]
            digit = booth_digit(m, select(m, windows, phase, f"{name}_booth"), f"{name}_digit")
            # E2M1 in halves: significand of two bits, shifted by exponent − 1.
            significand = wire(m, Cat(code[0], code[1:3].any()), f"{name}_significand")
            shifted = Mux(code[1], Cat(Const(0, 2), significand), Cat(Const(0, 1), significand, Const(0, 1)))
            basic = Mux(code[2], shifted, Cat(significand, Const(0, 2)))
            special = wire(m, code[3] & ~code[:3].any(), f"{name}_special")
            magnitude = wire(
                m, Mux(special, side["special"][:MAGNITUDE_BITS], Cat(basic, Const(0, 1))), f"{name}_magnitude"
            )
            (term,) = two_terms(m, magnitude, f"{name}_term", second=phase[0])
            sign = Mux(special, side["special"][MAGNITUDE_BITS], code[3])
            fields += [
                wire(m, Mux(is_fp, sign, digit.sign), f"{name}_sign"),
                wire(m, Mux(is_fp, term.man, digit.man), f"{name}_man"),
                wire(m, Mux(is_fp, term.exp, Cat(digit.exp, Const(0, 1))), f"{name}_exp"),
            ]
        # In halves: 2·phase + 1 for digits, 1 and 0 for the two terms.
        fields += [wire(m, Cat(~(is_fp & phase[0]), phase & ~is_fp.replicate(len(phase))), "bsig")]
        return Cat(*fields)

    def _terms_of(self, col: Value) -> tuple[list[tuple[Value, Value, Value]], Value]:
        """(sign, man, exp) of each weight and bsig, from the column bus."""
        size = 2 + EXP_BITS
        parts = [col[index * size : (index + 1) * size] for index in range(self.k)]
        return [(part[0], part[1], part[2:]) for part in parts], col[self.k * size :]

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        """Matches exponents over K, aligns and adds the signed significands, and shifts by the term's significance."""
        terms, bsig = self._terms_of(col)
        if not self._floating(self.p):
            return [self._integer_dot(m, row, terms, bsig)]
        exponent_bits, size = self._top_exponent(self.p).bit_length(), int(self.row_bus_bits(self.p)) // self.k
        exponents, match_bits = [], self._match_bits(self.p)
        for index, (_, man, exp) in enumerate(terms):
            own = row[index * size + 1 : index * size + 1 + exponent_bits]
            matched = wire(m, (own + exp)[:match_bits], f"exponent{index}")
            # Without a term an activation takes no part.
            exponents.append(wire(m, matched & man.replicate(match_bits), f"match{index}"))
        top = max_exponent(m, exponents, "top")
        values: list[Value] = []
        carries: list[Value] = []
        for index, (sign, man, _) in enumerate(terms):
            distance = add_with_carry(top, ~exponents[index], Const(1, 1), match_bits).as_unsigned()
            significand = row[index * size + 1 + exponent_bits : (index + 1) * size] & man.replicate(
                self._significand_bits(self.p)
            )
            magnitude = shift_right(
                m,
                Cat(Const(0, self.guard_bits), significand),
                wire(m, distance, f"distance{index}"),
                f"aligned{index}",
            )
            negative = wire(m, row[index * size] ^ sign, f"negative{index}")
            if index + 1 == self.k:
                values.append(conditional_negate(m, magnitude, negative, f"product{index}"))
                continue
            # −x = ~x + 1: the ones go into the adders of the tree, of which there is one less than values.
            flipped = Signal(signed(len(magnitude) + 1), name=f"product{index}")
            m.d.comb += flipped.eq(Cat(magnitude, 0) ^ negative.replicate(len(magnitude) + 1))
            values.append(flipped)
            carries.append(negative)
        total, _ = adder_tree_with_carries(m, values, carries, "dot")
        dot = wire(m, total[: int(self._dot_bits(self.p))].as_signed(), "dot_sum")
        if self._normalised(self.p):
            return [Addend(self._operand(m, top, bsig, dot).as_signed())]
        shifted = _shift_left_signed(m, dot, bsig, TOP_BSIG, "shifted")
        return [Addend(_shift_left_signed(m, shifted, top, self._top_match(self.p), "placed"))]

    def _integer_dot(self, m: Module, row: Value, terms: list[tuple[Value, Value, Value]], bsig: Value) -> Addend:
        bits = self.act_format.code_bits
        values: list[Value] = []
        carries: list[Value] = []
        for index, (sign, man, exp) in enumerate(terms):
            negative = wire(m, sign & man, f"negative{index}")
            act = row[index * bits : (index + 1) * bits] & man.replicate(bits)
            flipped: Value = wire(m, (act ^ negative.replicate(bits)).as_signed(), f"flipped{index}")
            # Filled with copies of the carry, so that the one that negates stays a one.
            for stage in range(EXP_BITS):
                distance = 1 << stage
                moved = Signal(signed(len(flipped) + distance), name=f"product{index}_by{distance}")
                filled = Cat(negative.replicate(distance), flipped).as_signed()
                m.d.comb += moved.eq(Mux(exp[stage], filled, flipped))
                flipped = moved
            values.append(flipped)
            carries.append(negative)
        total, carry = adder_tree_with_carries(m, values, carries, "dot")
        assert carry is not None
        value: Value = wire(m, total[: int(self._dot_bits(self.p))].as_signed(), "dot_sum")
        for stage in range(BSIG_BITS):
            distance = 1 << stage
            moved = Signal(signed(len(value) + distance), name=f"shifted_by{distance}")
            m.d.comb += moved.eq(Mux(bsig[stage], Cat(carry.replicate(distance), value).as_signed(), value))
            value = moved
        return Addend(value, carry)

    def _operand(self, m: Module, top: Value, bsig: Value, dot: Value) -> Value:
        """``dot`` on top of a frame, and above it the exponent of its top place."""
        frame, room = int(self._frame_bits(self.p)), int(self._level_bits(self.p))
        highest_place = wire(m, bsig + Const(len(dot) - 1, unsigned_bits(len(dot) - 1)), "highest_place")
        level = wire(m, (top + highest_place)[: room - 1], "level")
        return Cat(Const(0, frame - len(dot)), dot, level)

    def sum_as_operand(self, state: Value) -> Value:
        width, frame = self.acc_mantissa, int(self._frame_bits(self.p))
        room = int(self._level_bits(self.p))
        return Cat(Const(0, frame - width), state[:width], extend(state[width:], room - 1))

    def add_to_sum(self, m: Module, state: Value, operand: Value, name: str) -> Value:
        """Aligns with the accumulator, adds, and normalises; rounded down twice."""
        width, frame = self.acc_mantissa, int(self._frame_bits(self.p))
        bits, room = int(self._acc_exponent_bits(self.p)), int(self._level_bits(self.p))
        old = wire(m, Cat(Const(0, frame - width), state[:width]).as_signed(), f"{name}_old")
        total = wire(m, operand[:frame].as_signed(), f"{name}_new")
        exponent = wire(m, extend(state[width:], room), f"{name}_old_exponent")
        level = wire(m, extend(operand[frame:], room), f"{name}_level")
        difference = wire(m, add_with_carry(level, ~exponent, Const(1, 1), room).as_unsigned(), f"{name}_difference")
        above = wire(m, difference[-1], f"{name}_old_above")
        small = wire(m, Mux(above, total, old), f"{name}_small")
        large = wire(m, Mux(above, old, total), f"{name}_large")
        # −x = ~x + 1: one place by the sign, the others by the complement, and no adder.
        once = wire(m, Mux(above, Cat(small[1:], small[-1]).as_signed(), small), f"{name}_small_once")
        places = wire(m, difference[:-1] ^ above.replicate(room - 1), f"{name}_places")
        aligned = _shift_right_signed(m, once, places, f"{name}_aligned")
        added = wire(m, (aligned + large)[: frame + 1].as_signed(), f"{name}_added")

        spare = leading_zeros(m, added[1:] ^ added[:-1], f"{name}_spare")
        normal = shift_left(m, added.as_unsigned(), spare, f"{name}_normal")
        highest = wire(m, Mux(above, exponent, level), f"{name}_highest")
        lowered = wire(
            m, add_with_carry(highest, ~extend(spare, room), Const(1, 1), room).as_unsigned(), f"{name}_lowered"
        )
        nonzero = wire(m, added.any(), f"{name}_nonzero")
        raised = wire(m, (lowered + 1)[:bits] & nonzero.replicate(bits), f"{name}_raised")
        # Zero changes nothing.
        result = Mux(total.any(), Cat(normal[frame + 1 - width :], raised), state)
        return wire(m, result, name)


class BitmodPost(wiring.Component):
    """Bit-serial scaling of all group sums at once, then FP32 accumulation, some cells a beat.

    Members as in `PostBlock`: ``valid`` with ``sums``, ``col_scale`` and ``done``; ``o_valid`` with ``y``. The first
    beat comes 12 cycles after ``valid``, cuts apart; the next ``valid`` may come 8 + beats cycles after one.
    """

    def __init__(self, spec: Bitmod, place: Place) -> None:
        self.spec, self._place = spec, place
        super().__init__(
            {
                "valid": In(1),
                "done": In(1),
                "sums": In(spec.m * spec.n * int(spec.acc_bits(spec.p))),
                "col_scale": In(spec.n * SCALE_BITS),
                "o_valid": Out(1),
                "y": Out(32 * spec.lanes),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        spec = self.spec
        lanes, beats = spec.lanes, spec.post_beats_max
        left = Signal(range(SCALE_BITS + beats + 1), name="cycles_left")
        serial, drain, last = Signal(name="serial"), Signal(name="drain"), Signal(name="last_bit")
        m.d.comb += [
            serial.eq(left > beats),
            drain.eq((left != 0) & ~serial),
            # Bit 7 of a scale weighs −128.
            last.eq(left == beats + 1),
        ]
        with m.If(self.valid):
            m.d.sync += left.eq(SCALE_BITS + beats)
        with m.Elif(left != 0):
            m.d.sync += left.eq((left - 1)[: len(left)])

        fresh = Signal(name="fresh", init=1)
        group_fresh = Signal(name="group_fresh", reset_less=True)
        group_done = Signal(name="group_done", reset_less=True)
        with m.If(self.valid):
            m.d.sync += [fresh.eq(self.done), group_fresh.eq(fresh), group_done.eq(self.done)]

        scale_bits = self._scales(m, serial)
        words = [self._multiply(m, cell, scale_bits[cell % spec.n], serial, last) for cell in range(spec.m * spec.n)]
        beat: Value = Const(0, 1)
        if beats > 1:
            beat = Signal(range(beats), name="beat", reset_less=True)
            with m.If(self.valid):
                m.d.sync += beat.eq(0)
            with m.Elif(drain):
                m.d.sync += beat.eq((beat + 1)[: len(beat)])

        controls = late_controls(
            m, {"valid": drain, "fresh": group_fresh, "done": group_done}, ["chosen", "rounded"], spec.post_cuts
        )
        results = []
        for lane in range(lanes):
            chosen = Signal(len(words[0]), name=f"lane{lane}_chosen", reset_less=True)
            value = select(m, words[lane::lanes], beat, f"lane{lane}_choice")
            with m.If(drain):
                m.d.sync += chosen.eq(value)
            rounded = Signal(32, name=f"lane{lane}_rounded", reset_less=True)
            fp32 = rounded_late(m, self._place, lane, {"chosen": chosen}, self._round, spec.post_cuts)
            with m.If(controls[-2]["valid"]):
                m.d.sync += rounded.eq(fp32)
            results.append(rounded)
        o_valid, y = accumulated(m, self._place, spec, results, controls[-1])
        m.d.comb += [self.o_valid.eq(o_valid), self.y.eq(Cat(*y))]
        return m

    def _scales(self, m: Module, serial: Value) -> list[Value]:
        """This cycle's scale bit of each column, the lowest first."""
        bits: list[Value] = []
        for column in range(self.spec.n):
            scale = Signal(SCALE_BITS, name=f"scale{column}", reset_less=True)
            with m.If(self.valid):
                m.d.sync += scale.eq(self.col_scale[column * SCALE_BITS : (column + 1) * SCALE_BITS])
            with m.Elif(serial):
                m.d.sync += scale.eq(Cat(scale[1:], Const(0, 1)))
            bits.append(scale[0])
        return bits

    def _multiply(self, m: Module, cell: int, bit: Value, serial: Value, last: Value) -> Value:
        """A cell's product: the scale's bits add the mantissa to the top, and the product moves down a place a bit.

        Returns the product with the accumulator's exponent, if there is one, above it.
        """
        spec, name = self.spec, f"cell{cell}"
        acc, width = int(spec.acc_bits(spec.p)), int(spec._mantissa_bits(spec.p))
        word = self.sums[cell * acc : (cell + 1) * acc]
        mantissa = Signal(signed(width), name=f"{name}_mantissa", reset_less=True)
        high = Signal(signed(width), name=f"{name}_high", reset_less=True)
        low = Signal(SCALE_BITS, name=f"{name}_low", reset_less=True)
        flip = wire(m, bit & last, f"{name}_flip")
        addend = (mantissa.as_unsigned() & bit.replicate(width)) ^ flip.replicate(width)
        total = wire(m, add_with_carry(high, addend.as_signed(), flip, width + 1), f"{name}_total")
        with m.If(self.valid):
            m.d.sync += [mantissa.eq(word[:width].as_signed()), high.eq(0)]
        with m.Elif(serial):
            m.d.sync += [high.eq(total[1:].as_signed()), low.eq(Cat(low[1:], total[0]))]
        if acc == width:
            return Cat(low, high.as_unsigned())
        exponent = Signal(acc - width, name=f"{name}_exponent", reset_less=True)
        with m.If(self.valid):
            m.d.sync += exponent.eq(word[width:])
        return Cat(low, high.as_unsigned(), exponent)

    def _round(self, m: Module, inputs: Mapping[str, Value]) -> Value:
        """FP32 code of a product."""
        spec, word = self.spec, inputs["chosen"]
        width = int(spec._mantissa_bits(spec.p)) + SCALE_BITS
        has_exponent = len(word) > width
        layout = ScaledLayout(width, spec._exponent_layout() if has_exponent else None, None)
        sign, magnitude = absolute(m, word[:width].as_signed(), "product")
        view = Signal(layout, name="scaled")
        m.d.comb += [
            view.sign.eq(sign),
            view.significand.eq(magnitude),
            view.exponent.eq(word[width:] if has_exponent else 0),
        ]
        return round_to_fp32(m, view, spec.lsb_exp, "round")
