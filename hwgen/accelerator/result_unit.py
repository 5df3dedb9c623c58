"""The unit between the tile's results and memory: scales and biases of channels, narrower formats.

Results move through its registers together: when the last register is free or emptied, all move on. What a channel has
comes from a ring of its own, a word for each block of columns, which stays while a block of results passes. The
arithmetic is that of `hwgen.accelerator.results`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Array, C, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.accelerator.design import Design
from hwgen.accelerator.results import ADDER_REGISTERS, RESULT_BITS, unit_registers
from hwgen.arith import fp32_add, fp32_to_bf16, round_to_fp32, scale_multiply
from hwgen.arith.posit import fp32_to_fp16
from hwgen.emit import streams
from hwgen.formats import get

__all__ = ["ResultUnit"]

_NARROWED: dict[str, Callable[[Module, Value, str], Value]] = {"fp16": fp32_to_fp16, "bf16": fp32_to_bf16}


class ResultUnit(wiring.Component):
    """Between the tile's stream of results and the packer.

    Members: ``clear`` forgets all. ``i_valid``, ``i_word``, ``i_ready`` is the tile's stream, ``o_valid``, ``o_word``,
    ``o_ready`` that of results for memory; ``channels_valid``, ``channels``, ``channels_take`` the word of the block's
    channels. ``empty``: nothing is in it.
    """

    def __init__(self, design: Design) -> None:
        self._design = design
        super().__init__(
            {
                "clear": In(1),
                "i_valid": In(1),
                "i_word": In(design.tile_result_bits),
                "i_ready": Out(1),
                "channels_valid": In(1),
                "channels": In(design.tile.n * design.channel_bits),
                "channels_take": Out(1),
                "o_valid": Out(1),
                "o_word": Out(design.result_bits),
                "o_ready": In(1),
                "empty": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        moves = Signal(name="moves")
        # Whether something is in each register, the first one first.
        held = Signal(unit_registers(self._design.p), name="held")
        enters = Signal(name="enters")
        m.d.comb += [moves.eq(~held[-1] | self.o_ready), self.o_valid.eq(held[-1])]
        with m.If(self.clear):
            m.d.sync += held.eq(0)
        with m.Elif(moves):
            m.d.sync += held.eq(Cat(enters, held[:-1]))
        if self._design.requantises:
            self._integers(m, moves, enters, held)
        else:
            self._floats(m, moves, enters, held)
        return m

    @staticmethod
    def _register(m: Module, name: str, value: Value, moves: Value) -> Signal:
        shape = signed(len(value)) if value.shape().signed else len(value)
        register = Signal(shape, name=name, reset_less=True)
        with m.If(moves):
            m.d.sync += register.eq(value)
        return register

    def _count(self, m: Module, name: str, length: int, moves: Value) -> Signal:
        """Counts modulo ``length``."""
        count = Signal(range(max(length, 2)), name=name)
        with m.If(self.clear):
            m.d.sync += count.eq(0)
        with m.Elif(moves):
            m.d.sync += count.eq(Mux(count == length - 1, 0, (count + 1)[: len(count)]))
        return count

    # ------------------------------------------------------------------ floats

    def _floats(self, m: Module, moves: Value, enters: Value, held: Value) -> None:
        design, tile = self._design, self._design.tile
        lanes, per_row = tile.lanes, tile.n // tile.lanes
        there: Value = self.channels_valid if design.channel_bits else Const(1, 1)
        m.d.comb += [
            enters.eq(self.i_valid & there),
            self.i_ready.eq(moves & there),
            self.empty.eq(~held.any()),
        ]
        taken = Signal(name="taken")
        m.d.comb += taken.eq(enters & moves)
        beat = self._count(m, "beat", design.beats_per_result, taken)
        m.d.comb += self.channels_take.eq(taken & (beat == design.beats_per_result - 1))
        column: Value = self._count(m, "column_beat", per_row, taken) if per_row > 1 else Const(0, 1)
        results = []
        for lane in range(lanes):
            field = self._of_channel(lane, lanes, per_row, column)
            code: Value = self.i_word[32 * lane : 32 * (lane + 1)]
            bias = field.get("bias")
            if "outer" in field:
                code = self._scaled(m, lane, code, field["outer"], moves)
                if bias is not None:
                    for late in range(2):
                        bias = self._register(m, f"bias{lane}_late{late}", bias, moves)
            if bias is not None:
                code = fp32_add(m, code, bias, f"bias{lane}_add", [moves] * ADDER_REGISTERS)
            narrow = _NARROWED.get(design.result)
            if narrow is not None:
                code = narrow(m, code, f"result{lane}_narrow")
            results.append(self._register(m, f"result{lane}", code[: RESULT_BITS.get(design.result, 32)], moves))
        m.d.comb += self.o_word.eq(Cat(*results))

    def _of_channel(self, lane: int, lanes: int, beats: int, beat: Value) -> dict[str, Value]:
        """What the channel of a lane has, in beat ``beat`` of a row."""
        bits = self._design.channel_bits
        if not bits:
            return {}
        records = [self.channels[(index * lanes + lane) * bits :][:bits] for index in range(beats)]
        record = records[0] if beats == 1 else Array(records)[beat]
        found, at = {}, 0
        for name, width in self._design.channel_fields:
            found[name] = record[at : at + width]
            at += width
        return found

    def _scaled(self, m: Module, lane: int, code: Value, scale: Value, moves: Value) -> Value:
        """An FP32 code times another, rounded once, two registers later."""
        fp32 = get("fp32")
        # The product of two scales and 1.
        product = scale_multiply(m, C(1, signed(2)), code, fp32, scale, fp32, f"outer{lane}")
        register = Signal(product.shape(), name=f"outer{lane}_product", reset_less=True)
        with m.If(moves):
            m.d.sync += register.as_value().eq(product.as_value())
        return self._register(m, f"outer{lane}_code", round_to_fp32(m, register, 0, f"outer{lane}_round"), moves)

    # ------------------------------------------------------------------ integers

    def _integers(self, m: Module, moves: Value, enters: Value, held: Value) -> None:
        """A result's sums turn past the lanes, and the channels' records with them."""
        design, tile = self._design, self._design.tile
        made = design.requantisers
        beats = tile.m * tile.n // made
        bits, record = int(tile.acc_bits(tile.p)), design.channel_bits
        stride = streams(tile).result[0].stride
        left = Signal(range(beats + 1), name="beats_left")
        loads = Signal(name="loads")
        m.d.comb += [
            enters.eq(left != 0),
            loads.eq(self.i_valid & self.channels_valid & ((left == 0) | ((left == 1) & moves))),
            self.i_ready.eq(self.channels_valid & ((left == 0) | ((left == 1) & moves))),
            self.channels_take.eq(loads),
            self.empty.eq(~held.any() & (left == 0)),
        ]
        sums = Signal(tile.m * tile.n * bits, name="sums", reset_less=True)
        channels = Signal(tile.n * record, name="channels_held", reset_less=True)
        turned = enters & moves
        with m.If(loads):
            cells = [self.i_word[cell * stride : cell * stride + bits] for cell in range(tile.m * tile.n)]
            m.d.sync += [sums.eq(Cat(*cells)), channels.eq(self.channels), left.eq(beats)]
        with m.Elif(turned):
            m.d.sync += [
                sums.eq(sums[made * bits :]),
                channels.eq(Cat(channels[made * record :], channels[: made * record])),
                left.eq((left - 1)[: len(left)]),
            ]
        with m.If(self.clear):
            m.d.sync += left.eq(0)
        results = []
        for lane in range(made):
            total = sums[lane * bits : (lane + 1) * bits]
            total = total.as_signed() if tile.sum_signed else total.as_unsigned()
            results.append(self._requantised(m, lane, total, channels[lane * record : (lane + 1) * record], moves))
        m.d.comb += self.o_word.eq(Cat(*results))

    def _requantised(self, m: Module, lane: int, total: Value, record: Value, moves: Value) -> Value:
        """Bias | multiplier | shift, zero and limits: a register behind each."""
        at, field = 0, {}
        for name, width in self._design.channel_fields:
            field[name] = record[at : at + width]
            at += width
        biased = self._register(m, f"biased{lane}", total + field["bias"].as_signed(), moves)
        late = {
            name: self._register(m, f"{name}{lane}", field[name], moves) for name in ("multiplier", "shift", "zero")
        }
        product = self._register(m, f"product{lane}", biased * late["multiplier"], moves)
        shift = self._register(m, f"shift{lane}_late", late["shift"], moves)
        zero = self._register(m, f"zero{lane}_late", late["zero"], moves)
        # The bit below the last one that stays is one half.
        doubled = Signal(signed(len(product) + 1), name=f"doubled{lane}")
        m.d.comb += doubled.eq(Cat(Const(0, 1), product).as_signed())
        moved = Signal(signed(len(product) + 1), name=f"moved{lane}")
        m.d.comb += moved.eq(doubled >> shift)
        rounded = Signal(signed(len(product) + 1), name=f"rounded{lane}")
        m.d.comb += rounded.eq((moved >> 1) + moved[0])
        shifted = Signal(signed(len(product) + 2), name=f"shifted{lane}")
        m.d.comb += shifted.eq(rounded + zero.as_signed())
        high = (1 << (RESULT_BITS[self._design.result] - 1)) - 1
        limited = Mux(shifted > high, high, Mux(shifted < -high - 1, -high - 1, shifted))
        return self._register(m, f"result{lane}", limited[: RESULT_BITS[self._design.result]], moves)
