"""The arithmetic of a quantiser, exact: quotients digit by digit, with remainders that decide how they round.

Values are FP32: a significand of 24 bits and a biased exponent b for significand · 2^(b - 150), also below the smallest
normal number, where b falls below 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.formats import MinifloatFormat

__all__ = ["EXPONENT", "SIGNIFICAND", "CodeDivider", "Normaliser", "ScaleRounder", "SerialDivider", "scale_steps"]

SIGNIFICAND = 24
"""Bits of an FP32 significand with its leading one."""
EXPONENT = signed(10)
"""Of biased exponents: from -22 to 254 + 30."""
PER_CYCLE = 2
"""Bits of a code that a cycle finds."""


class Normaliser(wiring.Component):
    """Shifts a significand up to its leading one and its exponent down with it; zero stays zero. Combinational."""

    def __init__(self) -> None:
        super().__init__(
            {
                "significand": In(SIGNIFICAND),
                "exponent": In(EXPONENT),
                "o": Out(SIGNIFICAND),
                "o_exponent": Out(EXPONENT),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        value, shifts = self.significand, []
        for shift in (16, 8, 4, 2, 1):
            moves = Signal(name=f"by_{shift}")
            moved = Signal(SIGNIFICAND, name=f"moved_{shift}")
            m.d.comb += [
                moves.eq(value[SIGNIFICAND - shift :] == 0),
                moved.eq(Mux(moves, Cat(Const(0, shift), value[: SIGNIFICAND - shift]), value)),
            ]
            shifts.append(moves)
            value = moved
        difference = Signal(signed(11), name="difference")
        m.d.comb += [
            difference.eq(self.exponent - Cat(*reversed(shifts))),
            self.o.eq(value),
            self.o_exponent.eq(difference[: len(self.o_exponent)].as_signed()),
        ]
        return m


class SerialDivider(wiring.Component):
    """Divides by one of a few small constants, a bit of the quotient a cycle, the highest first.

    ``load`` takes ``value``; in each cycle with ``step`` from the next on, ``digit`` is the next bit of value /
    constant ``which``, and after all bits of ``value`` those behind the binary point. ``remainder`` is that of the
    digits so far. A step takes one cycle.
    """

    def __init__(self, bits: int, divisors: Sequence[int]) -> None:
        self._divisors = divisors
        super().__init__(
            {
                "load": In(1),
                "value": In(bits),
                "which": In(range(len(divisors))),
                "step": In(1),
                "digit": Out(1),
                "remainder": Out(range(max(max(divisors), 2))),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        rest = Signal.like(self.value, name="rest", reset_less=True)
        divisor = Signal(range(max(self._divisors) + 1), name="divisor")
        with m.Switch(self.which):
            for place, constant in enumerate(self._divisors):
                with m.Case(place):
                    m.d.comb += divisor.eq(constant)
        width = len(self.remainder)
        partial, left = Signal(width + 1, name="partial"), Signal(width + 2, name="left")
        m.d.comb += [
            partial.eq(Cat(rest[-1], self.remainder)),
            left.eq(partial - divisor),
            self.digit.eq(partial >= divisor),
        ]
        with m.If(self.load):
            m.d.sync += [rest.eq(self.value), self.remainder.eq(0)]
        with m.Elif(self.step):
            m.d.sync += [rest.eq(rest << 1), self.remainder.eq(Mux(self.digit, left[:width], partial[:width]))]
        return m


def scale_steps(form: MinifloatFormat, bits: int) -> int:
    """Bits of amax / (2^(bits - 1) - 1) that decide a scale: all of amax, and one more than the format has."""
    return SIGNIFICAND + max(form.mantissa_bits + 1 + bits - 1 - (SIGNIFICAND - 1), 0)


class ScaleRounder(wiring.Component):
    """Rounds a quotient that comes bit by bit to a format, to nearest, ties to even; never to zero or infinity.

    ``load``: a quotient begins whose first bit, of weight 2^23, has the biased exponent ``exponent``. ``digit`` is
    taken with ``step``. Then ``inexact`` says that more than those digits remains, and ``code`` is the scale, 0 for a
    quotient of 0; ``significand`` and ``o_exponent`` are what it stands for, as a code that is held in ``held``.
    """

    def __init__(self, form: MinifloatFormat) -> None:
        self._form = form
        super().__init__(
            {
                "load": In(1),
                "exponent": In(EXPONENT),
                "step": In(1),
                "digit": In(1),
                "inexact": In(1),
                "code": Out(form.code_bits),
                "held": In(form.code_bits),
                "significand": Out(SIGNIFICAND),
                "o_exponent": Out(EXPONENT),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        form = self._form
        kept, lowest = form.mantissa_bits, 1 - int(form.bias or 0)
        size = kept + 1
        mantissa = Signal(size, name="mantissa", reset_less=True)
        guard, sticky, stopped = (Signal(name=name, reset_less=True) for name in ("guard", "sticky", "stopped"))
        # Of the digit at hand and of the mantissa's last: places above the smallest value's.
        place, last = Signal(signed(11), name="place", reset_less=True), Signal(9, name="last", reset_less=True)
        taken = Signal(name="taken")
        m.d.comb += taken.eq(~mantissa[-1] & (place >= 0))
        with m.If(self.load):
            m.d.sync += [
                *(signal.eq(0) for signal in (mantissa, guard, sticky, stopped, last)),
                place.eq(self.exponent - 127 - lowest + kept),
            ]
        with m.Elif(self.step):
            m.d.sync += place.eq((place - 1)[: len(place)].as_signed())
            with m.If(taken):
                m.d.sync += [mantissa.eq(Cat(self.digit, mantissa[:-1])), last.eq(place[: len(last)])]
            with m.Elif(~stopped):
                m.d.sync += [guard.eq(self.digit), stopped.eq(1)]
            with m.Else():
                m.d.sync += sticky.eq(sticky | self.digit)
        # A carry out of the mantissa goes on into the exponent.
        up, rounded = Signal(name="up"), Signal(len(last) + size + 1, name="rounded")
        most = form.encode_scalar(float("inf"))
        m.d.comb += [
            up.eq(guard & (sticky | self.inexact | mantissa[0])),
            rounded.eq(Cat(Const(0, kept), last) + mantissa + up),
        ]
        with m.If((mantissa == 0) & (guard | sticky | self.inexact)):
            m.d.comb += self.code.eq(1)
        with m.Elif(rounded > most):
            m.d.comb += self.code.eq(most)
        with m.Else():
            m.d.comb += self.code.eq(rounded[: form.code_bits])
        fraction, field = self.held[:kept], self.held[kept : kept + form.exponent_bits]
        m.d.comb += [
            self.significand.eq(Cat(Const(0, SIGNIFICAND - size), fraction, field != 0)),
            self.o_exponent.eq(Mux(field == 0, 1, field) + (126 + lowest)),
        ]
        return m


class CodeDivider(wiring.Component):
    """Quotient of a value and a scale as a code: rounded to the nearest, ties to even, clipped to the symmetric range.

    ``significand`` and ``divisor`` have their leading ones (a zero has none, and becomes 0), ``gap`` is the difference
    of their exponents. With ``single`` the quotient is that of an FP32 division, which is rounded once more.

    Timing: a value that is taken (``i_valid``, ``i_ready``) in cycle t and held until the next is taken gives its code
    in t + bits / 2 + 1, in which the next may be taken, if ``o_ready`` is high.
    """

    def __init__(self, bits: int, single: bool) -> None:
        self._bits, self._single = bits, single
        super().__init__(
            {
                "clear": In(1),
                "i_valid": In(1),
                "i_ready": Out(1),
                "significand": In(SIGNIFICAND),
                "gap": In(signed(11)),
                "negative": In(1),
                "divisor": In(SIGNIFICAND),
                "o_valid": Out(1),
                "o_ready": In(1),
                "code": Out(bits),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        bits, top = self._bits, (1 << (self._bits - 1)) - 1
        cycles = bits // PER_CYCLE
        busy, phase = Signal(name="busy"), Signal(range(cycles + 1), name="phase")
        remainder = Signal(SIGNIFICAND, name="remainder", reset_less=True)
        whole = Signal(bits, name="whole", reset_less=True)
        m.d.comb += [
            self.o_valid.eq(busy & (phase == cycles)),
            self.i_ready.eq(~busy | (self.o_valid & self.o_ready)),
        ]
        value: Value = remainder
        digits: list[Value] = []
        for step in range(PER_CYCLE):
            partial = Signal(SIGNIFICAND + 1, name=f"partial_{step}")
            digit, left = Signal(name=f"digit_{step}"), Signal(SIGNIFICAND + 2, name=f"left_{step}")
            here = Signal(name=f"here_{step}")
            places = [cycle * PER_CYCLE + step for cycle in range(cycles)]
            with m.Switch(phase):
                for cycle, place in enumerate(places):
                    with m.Case(cycle):
                        m.d.comb += here.eq(self.gap == bits - 1 - place)
            m.d.comb += [
                partial.eq(Mux(here, self.significand, Cat(Const(0, 1), value))),
                left.eq(partial - self.divisor),
                digit.eq(partial >= self.divisor),
            ]
            value = Mux(digit, left[:SIGNIFICAND], partial[:SIGNIFICAND])
            digits.append(digit)
        with m.If(self.clear):
            m.d.sync += busy.eq(0)
        with m.Elif(self.i_ready):
            m.d.sync += [busy.eq(self.i_valid), phase.eq(0), remainder.eq(0), whole.eq(0)]
        with m.Elif(phase != cycles):
            m.d.sync += [
                phase.eq((phase + 1)[: len(phase)]),
                remainder.eq(value),
                whole.eq(Cat(*reversed(digits), whole[:-PER_CYCLE])),
            ]
        m.d.comb += self.code.eq(self._rounded(m, remainder, whole, top))
        return m

    def _rounded(self, m: Module, remainder: Signal, whole: Signal, top: int) -> Value:
        """The code, from a quotient's integer part and remainder."""
        # Twice the remainder against the divisor: where the quotient lies in relation to the middle of two integers.
        twice, beyond = Signal(SIGNIFICAND + 1, name="twice"), Signal(signed(SIGNIFICAND + 2), name="beyond")
        m.d.comb += [
            twice.eq(Mux(self.gap == -1, self.significand, Cat(Const(0, 1), remainder))),
            beyond.eq(twice - self.divisor),
        ]
        up = Signal(name="up")
        middle: Value = beyond == 0
        if self._single:
            # Half of the last place of a quotient of 24 bits, times the divisor: this near to the middle FP32 is on it.
            near = Signal(len(whole), name="near")
            for place in range(len(whole)):
                with m.If(whole[place]):
                    m.d.comb += near.eq(self.divisor[SIGNIFICAND - 1 - place :])
            middle = (beyond <= near) & (beyond >= -near)
        m.d.comb += up.eq(Mux(middle, whole[0], beyond > 0))
        nearest, magnitude = Signal(len(whole) + 1, name="nearest"), Signal(len(whole), name="magnitude")
        m.d.comb += [
            nearest.eq(whole + up),
            magnitude.eq(Mux((self.gap >= len(whole)) | (nearest > top), top, nearest[: len(whole)])),
        ]
        with m.If(~self.significand[-1]):
            m.d.comb += magnitude.eq(0)
        return Mux(self.negative, -magnitude, magnitude)[: len(whole)]
