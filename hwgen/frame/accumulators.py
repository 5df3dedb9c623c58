"""Accumulators of integers: one register a sum, with an adder that bounds it as the tile says."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed

from hwgen.arith.carry import add_with_carry
from hwgen.arith.compressor import Term, carry_save_sum
from hwgen.frame.facts import Addend
from hwgen.frame.parameters import TileParameters
from hwgen.frame.place import when

__all__ = ["ASIDE", "FOLD_BITS", "MEET", "PASS", "accumulate", "fold_plan", "plain_accumulators"]

PASS, ASIDE, MEET = 1, 2, 3
"""What becomes of the partial sum that comes out of a ring in a cycle of folding: it goes round, it waits for another
one, or it meets that one at the adder. 0 is no folding.
"""
FOLD_BITS = 2


def fold_plan(stages: int) -> list[int]:
    """`PASS`, `ASIDE` or `MEET` for each cycle of folding a ring of ``stages`` > 1 partial sums."""
    plan: dict[int, int] = {}
    places = list(range(1, stages + 1))
    while len(places) > 1:
        pairs = list(zip(places[::2], places[1::2], strict=False))
        plan |= {first: ASIDE for first, _ in pairs} | {second: MEET for _, second in pairs}
        # An odd one goes round, a sum comes out as many cycles after its second summand.
        places = [second + stages for _, second in pairs] + [place + stages for place in places[2 * len(pairs) :]]
    return [plan.get(cycle, PASS) for cycle in range(1, places[0])]


def accumulate(
    m: Module, spec: TileParameters, state: Signal, addend: Addend, clear: Value, enable: Value | None
) -> None:
    """``state <= (clear ? 0 : state) + addend`` when enabled, bounded as the spec's overflow rule says.

    Without ``enable`` in every cycle: what an idle one adds is zero, and it has no ``clear``.
    """
    width = len(state)
    base = Signal(signed(width), name=f"{state.name}_base")
    if addend.rows:
        m.d.comb += base.eq(Mux(clear, 0, state))
        summed = carry_save_sum(m, [Term(base), *addend.rows], f"{state.name}_total", width)
        with when(m, enable):
            m.d.sync += state.eq(summed)
        return
    value = Signal(signed(len(addend.value)), name=f"{state.name}_addend")
    m.d.comb += value.eq(addend.value)
    addend = Addend(value, addend.carry)
    m.d.comb += base.eq(Mux(clear, 0, state))
    if spec.overflow == "saturate":
        total = Signal(signed(max(width, len(addend.value)) + 1), name=f"{state.name}_total")
        m.d.comb += total.eq(add_with_carry(base, addend.value, addend.carry, len(total)))
        low, high = -(1 << (width - 1)), (1 << (width - 1)) - 1
        sign, spare = total[-1], total[width - 1 : -1]
        overflowed = Signal(name=f"{state.name}_overflow")
        m.d.comb += overflowed.eq(spare != sign.replicate(len(spare)))
        with when(m, enable):
            m.d.sync += state.eq(
                Mux(overflowed, Mux(sign, Const(low, signed(width)), Const(high, signed(width))), total)
            )
    else:
        total = Signal(signed(width), name=f"{state.name}_total")
        m.d.comb += total.eq(add_with_carry(base, addend.value, addend.carry, width))
        with when(m, enable):
            m.d.sync += state.eq(total)


def plain_accumulators(
    m: Module, spec: TileParameters, addends: list[Addend], clear: Value, enable: Value | None, width: int
) -> list[Value]:
    """One register of ``width`` bits an addend, each with its adder."""
    states: list[Value] = []
    for index, addend in enumerate(addends):
        # No reset: the first step of a group clears.
        state = Signal(signed(width), name=f"acc{index}", reset_less=True)
        accumulate(m, spec, state, addend, clear, enable)
        states.append(state)
    return states
