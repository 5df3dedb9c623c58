"""The feeder of an operand: codes and their groups' side information meet, and every step knows where it stands."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.accelerator.design import Design

__all__ = ["Feeder"]


class Feeder(wiring.Component):
    """Counts the steps of a block.

    Members
    -------
    clear: a job begins; ``steps_last``, steps of a block less one, is stable from this cycle on.
    codes_valid, codes_last, sides_valid, sides_last: what the rings offer (``sides`` stays 1 without side information).
    valid, ready: a step is offered and taken. take_codes, take_sides: what of it the rings may let go.
    last: the step ends a sum. done: it ends a block.
    mismatch: groups and side information end apart: the job's counts do not belong together.
    """

    def __init__(self, design: Design, sides: bool) -> None:
        self._design, self._sides = design, sides
        super().__init__(
            {
                "clear": In(1),
                "codes_valid": In(1),
                "codes_last": In(1),
                "sides_valid": In(1),
                "sides_last": In(1),
                "valid": Out(1),
                "ready": In(1),
                "take_codes": Out(1),
                "take_sides": Out(1),
                "last": Out(1),
                "done": Out(1),
                "mismatch": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        taken = Signal(name="taken")
        m.d.comb += [
            self.valid.eq(self.codes_valid & self.sides_valid),
            taken.eq(self.valid & self.ready),
            self.done.eq(self.codes_last),
            self.last.eq(self._ends(m, "sum", self._design.sum_steps, taken)),
            self.take_codes.eq(taken),
        ]
        if self._sides:
            ends_group = self._ends(m, "group", self._design.group_steps, taken)
            m.d.comb += [
                self.take_sides.eq(taken & ends_group),
                self.mismatch.eq(self.take_sides & (self.sides_last != self.done)),
            ]
        return m

    def _ends(self, m: Module, name: str, steps: int, taken: Value) -> Value:
        """Whether a step is the last of so many, or of the block."""
        if steps == 1:
            return Const(1, 1)
        if not steps:
            return self.done
        left = Signal(range(steps), name=f"{name}_left", init=steps - 1)
        ends = Signal(name=f"ends_{name}")
        m.d.comb += ends.eq((left == 0) | self.done)
        with m.If(self.clear):
            m.d.sync += left.eq(steps - 1)
        with m.Elif(taken):
            m.d.sync += left.eq(Mux(ends, steps - 1, (left - 1)[: len(left)]))
        return ends
