"""The block before the ring of activations: values in memory become elements with the shared exponent of their block.

Beats wait in a memory while the largest magnitude of each row of their block is found; then they are read again, scaled
and rounded. Nothing holds it up: whoever asked for a beat has seen that the ring has room for what becomes of it.

Timing: the first beat of a block is read `READ_AFTER` cycles after its last one came, or a cycle after the last of the
block before was; what becomes of it is offered `OUT_AFTER` cycles later. From then on it is a beat a cycle.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.accelerator.block_plan import BlockPlan
from hwgen.accelerator.ring import PlaceSram
from hwgen.arith.bits import wire
from hwgen.arith.minifloat import float_layout
from hwgen.arith.mx import EXPONENT_SHAPE, SCALE_BITS, Scaled, mx_element, mx_scale, mx_scaled

__all__ = ["OUT_AFTER", "READ_AFTER", "BlockQuantiser"]

READ_AFTER, OUT_AFTER = 2, 3
_BLOCKS = 2
"""Blocks that are complete and not read to the end: the one that is read, and the one behind it."""


class BlockQuantiser(wiring.Component):
    """Quantiser of one stream.

    Members
    -------
    clear: forget all; ``beats``, those of a block of rows along all of K, is stable from this cycle on.
    beat_valid, beat: a beat from the bus, which is always taken.
    o_valid, o_entry: an entry of the ring: words of elements and their rows' scales (`BlockPlan.word_bits`).
    busy: something leaves without another beat. not_finite: the beat that comes has an infinity or NaN.
    """

    def __init__(self, plan: BlockPlan, beat_bits: int, place: PlaceSram) -> None:
        """``beat_bits``: bits of ``beats``."""
        self._plan, self._place = plan, place
        super().__init__(
            {
                "clear": In(1),
                "beats": In(beat_bits),
                "beat_valid": In(1),
                "beat": In(plan.bus_bits),
                "o_valid": Out(1),
                "o_entry": Out(plan.entry_bits),
                "busy": Out(1),
                "not_finite": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        plan = self._plan
        closing, last, amax = self._arrivals(m)
        # --- blocks that are complete
        scales = [
            mx_scale(m, one, plan.source_format, plan.form, plan.rule, f"scale_{r}") for r, one in enumerate(amax)
        ]
        complete = Signal(range(_BLOCKS + 1), name="complete")
        write_slot, read_slot = Signal(name="write_slot"), Signal(name="read_slot")
        slots = [
            (
                Signal(plan.m * SCALE_BITS, name=f"scales_{slot}", reset_less=True),
                Signal.like(last, name=f"last_{slot}", reset_less=True),
            )
            for slot in range(_BLOCKS)
        ]
        for slot, (held, size) in enumerate(slots):
            with m.If(closing & (write_slot == slot)):
                m.d.sync += [held.eq(Cat(*scales)), size.eq(last)]
        # --- reading
        reads, pops, number = Signal(name="reads"), Signal(name="pops"), Signal.like(last, name="read_number")
        head = Mux(read_slot, slots[1][0], slots[0][0])
        m.d.comb += [
            reads.eq(complete != 0),
            pops.eq(reads & (number == Mux(read_slot, slots[1][1], slots[0][1]))),
        ]
        m.d.sync += complete.eq((complete + closing - pops)[: len(complete)])
        with m.If(closing):
            m.d.sync += write_slot.eq(~write_slot)
        with m.If(reads):
            m.d.sync += number.eq(Mux(pops, 0, (number + 1)[: len(number)]))
        with m.If(pops):
            m.d.sync += read_slot.eq(~read_slot)
        write_at, read_at = (Signal(range(plan.depth), name=name, reset_less=True) for name in ("write_at", "read_at"))
        for at, moves in ((write_at, self.beat_valid), (read_at, reads)):
            with m.If(moves):
                m.d.sync += at.eq(Mux(at == plan.depth - 1, 0, (at + 1)[: len(at)]))
        inputs: dict[str, Value] = {"w_en": self.beat_valid, "w_addr": write_at, "w_data": self.beat}
        data = self._place(m, "sram", plan.depth, plan.bus_bits, {**inputs, "r_en": reads, "r_addr": read_at})
        valid = [reads, *(Signal(name=f"valid_{stage}") for stage in (1, 2))]
        for before, after in itertools.pairwise(valid):
            m.d.sync += after.eq(before)
        m.d.comb += self.busy.eq(closing | reads | valid[1] | valid[2] | self.o_valid)
        self._convert(m, data, head, valid)
        with m.If(self.clear):
            m.d.sync += [
                *(signal.eq(0) for signal in (complete, write_slot, read_slot, number, write_at, read_at)),
                *(signal.eq(0) for signal in (valid[1], valid[2], self.o_valid)),
            ]
        return m

    def _part(self, m: Module, name: str, moves: Value) -> Value:
        """Which beat of a word comes."""
        beats = self._plan.beats_per_word
        if beats == 1:
            return Const(0, 1)
        part = Signal(range(beats), name=name)
        with m.If(self.clear):
            m.d.sync += part.eq(0)
        with m.Elif(moves):
            m.d.sync += part.eq(Mux(part == beats - 1, 0, (part + 1)[: len(part)]))
        return part

    def _arrivals(self, m: Module) -> tuple[Signal, Signal, list[Signal]]:
        """Whether a block is complete since the cycle before, its beats less one, and the largest magnitude of each row
        in it.
        """
        plan = self._plan
        width, size = plan.source_bits, plan.segment
        part = self._part(m, "part", self.beat_valid)
        number, last = (Signal(range(max(plan.group_beats, 2)), name=name) for name in ("number", "last"))
        left = Signal.like(self.beats, name="beats_left", reset_less=True)
        ends_row, ends, closing = Signal(name="ends_row"), Signal(name="ends"), Signal(name="closing")
        m.d.comb += [ends_row.eq(left == 1), ends.eq((number == plan.group_beats - 1) | ends_row)]
        m.d.sync += closing.eq(self.beat_valid & ends)
        with m.If(self.beat_valid):
            m.d.sync += [
                last.eq(number),
                number.eq(Mux(ends, 0, (number + 1)[: len(number)])),
                left.eq(Mux(ends_row, self.beats, (left - 1)[: len(left)])),
            ]
        magnitudes = [
            wire(m, self.beat[at : at + width - 1], f"magnitude_{at // width}") for at in range(0, plan.bus_bits, width)
        ]
        fields = [one[self._mantissa :] for one in magnitudes]
        used = {s for beat in range(plan.beats_per_word) for s, row in enumerate(plan.rows(beat)) if row is not None}
        m.d.comb += self.not_finite.eq(
            self.beat_valid & Cat(*(field.all() for lane, field in enumerate(fields) if lane // size in used)).any()
        )
        segments = [
            _largest(m, magnitudes[at : at + size], f"segment_{at // size}") for at in range(0, plan.lanes, size)
        ]
        amax = [Signal(width - 1, name=f"amax_{row}", reset_less=True) for row in range(plan.m)]
        first = number == 0
        for row, largest in enumerate(amax):
            so_far = wire(m, Mux(first, 0, largest), f"so_far_{row}")
            with m.If(self.beat_valid):
                m.d.sync += largest.eq(so_far)
                with m.Switch(part):
                    for beat in range(plan.beats_per_word):
                        own = [segments[s] for s, of_row in enumerate(plan.rows(beat)) if of_row == row]
                        if own:
                            with m.Case(beat):
                                m.d.sync += largest.eq(_largest(m, [so_far, *own], f"row_{row}_{beat}"))
        with m.If(self.clear):
            m.d.sync += [number.eq(0), closing.eq(0), left.eq(self.beats)]
        return closing, last, amax

    @property
    def _mantissa(self) -> int:
        """Bits of a value's fraction."""
        return float_layout(self._plan.source_format).mantissa_bits

    def _convert(self, m: Module, data: Value, head: Value, valid: Sequence[Signal]) -> None:
        """Beats that are read, into entries."""
        plan = self._plan
        source, form = plan.source_format, plan.form
        width, size = plan.source_bits, plan.segment
        part = self._part(m, "read_part", valid[0])
        scales = [Signal(plan.m * SCALE_BITS, name=f"stage_scales_{stage}", reset_less=True) for stage in (1, 2)]
        parts = [Signal.like(part, name=f"stage_part_{stage}", reset_less=True) for stage in (1, 2)]
        m.d.sync += [scales[0].eq(head), scales[1].eq(scales[0]), parts[0].eq(part), parts[1].eq(parts[0])]
        rows = [plan.rows(beat) for beat in range(plan.beats_per_word)]
        codes = []
        for lane in range(plan.lanes):
            scale = Signal(SCALE_BITS, name=f"lane_scale_{lane}")
            with m.Switch(parts[0]):
                for beat, of_beat in enumerate(rows):
                    row = of_beat[lane // size]
                    if row is not None:
                        with m.Case(beat):
                            m.d.comb += scale.eq(scales[0].word_select(row, SCALE_BITS))
            code = data[lane * width : (lane + 1) * width]
            found = mx_scaled(m, code, scale, source, form, f"scaled_{lane}")
            kept = Scaled(
                Signal(name=f"negative_{lane}", reset_less=True),
                Signal(len(found.significand), name=f"significand_{lane}", reset_less=True),
                Signal(EXPONENT_SHAPE, name=f"above_{lane}", reset_less=True),
            )
            m.d.sync += [after.eq(before) for after, before in zip(kept, found, strict=True)]
            codes.append(mx_element(m, kept, source, form, f"element_{lane}"))
        ends = parts[1] == plan.beats_per_word - 1
        m.d.sync += self.o_valid.eq(valid[2] & ends)
        per_word, bits = plan.m * plan.k, form.bits
        if plan.beats_per_word == 1:
            apart = plan.padded_bits // width
            entry = [Cat(*codes[at : at + per_word], scales[1]) for at in range(0, plan.words_per_beat * apart, apart)]
            with m.If(valid[2]):
                m.d.sync += self.o_entry.eq(Cat(*entry))
            return
        chunk = plan.lanes * bits
        gathered = Signal(plan.beats_per_word * chunk, name="gathered", reset_less=True)
        of_word = Signal(plan.m * SCALE_BITS, name="word_scales", reset_less=True)
        with m.If(valid[2]):
            m.d.sync += [gathered.eq(Cat(gathered[chunk:], *codes)), of_word.eq(scales[1])]
        m.d.comb += self.o_entry.eq(Cat(gathered[: per_word * bits], of_word))


def _largest(m: Module, values: Sequence[Value], name: str) -> Value:
    """The largest of unsigned values, by a tree."""
    level = list(values)
    stage = 0
    while len(level) > 1:
        pairs = [
            wire(m, Mux(one >= other, one, other), f"{name}_{stage}_{place}")
            for place, (one, other) in enumerate(zip(level[::2], level[1::2], strict=False))
        ]
        level = pairs + level[len(level) - len(level) % 2 :]
        stage += 1
    return level[0]
