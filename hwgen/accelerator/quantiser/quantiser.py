"""The quantiser: reads rows of FP32, finds a scale for each, and writes codes and scales where a tile wants them.

A row passes four phases, one after the other: it is read into a half of a buffer while its largest magnitude is found;
the scale is divided out, a bit a cycle; the codes are, each in bits / 2 + 1 cycles, while the beats that they fill are
written; the last beat leaves. The next row is read into the other half from the moment in which the scale's division
begins, unless beats of this one are merged, which are read, too. `hwgen.accelerator.quantiser.cycles` has the same to
the cycle.
"""

from __future__ import annotations

import itertools
from typing import Any

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Const, Instance, Module, Mux, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hwgen.accelerator.accelerator import accelerator_ports
from hwgen.accelerator.control import COUNTER_BITS
from hwgen.accelerator.design import Design
from hwgen.accelerator.quantiser.arithmetic import (
    SIGNIFICAND,
    CodeDivider,
    Normaliser,
    ScaleRounder,
    SerialDivider,
    scale_steps,
)
from hwgen.accelerator.quantiser.geometry import Geometry
from hwgen.accelerator.quantiser.job import ADDRESSES, COUNTS, STRIDES
from hwgen.accelerator.quantiser.places import Places
from hwgen.accelerator.quantiser.registers import QuantiserCause as Cause
from hwgen.accelerator.quantiser.writer import BeatWriter
from hwgen.accelerator.read_engine import ReadEngine
from hwgen.accelerator.registers import RegisterFile, RegisterMap
from hwgen.accelerator.sram import sram_name
from hwgen.accelerator.stream import Stream
from hwgen.formats import get

__all__ = ["MERGE_ID", "ROW_ID", "Quantiser", "row_stream"]

ROW_ID, MERGE_ID = 0, 1
"""AXI ids of reads: of rows, and of beats of which only the upper halves of bytes are written."""
PHASES = (
    *("idle", "check", "place", "offset", "clear", "read", "norm", "divide", "round", "decode"),
    *("quantise", "finish", "drain", "end"),
)
"""Of a job, in this order; those from ``clear`` to ``finish`` once a row."""
_LITE = "s_axi_"
_FP32 = 32


def row_stream(design: Design, elements: int) -> Stream:
    """The rows as a stream: its ring is the half of the buffer that holds a row of at most ``elements`` values."""
    beats = max(-(-elements * _FP32 // design.bus_bits), 2)
    return Stream("rows", design.bus_bits, design.bus_bits, beats, min(design.burst, beats))


class Quantiser(wiring.Component):
    """The top; ports as those of an accelerator. ``elements``: most values of a row.

    ``sizes`` are the memories that it places, depth and bits, once it is elaborated.
    """

    def __init__(self, design: Design, form: Geometry, registers: RegisterMap, top: str, elements: int) -> None:
        self._design, self._form, self._top, self._elements = design, form, top, elements
        self._file = RegisterFile(registers)
        self._stream = row_stream(design, elements)
        self.sizes: set[tuple[int, int]] = set()
        lite = {
            path[0]: member for path, member, _ in self._file.signature.flatten(self._file) if path[0].startswith(_LITE)
        }
        own = {name: flow(width) for name, (flow, width) in accelerator_ports(design).items()}
        super().__init__({"aclk": In(1), "aresetn": In(1), **lite, **own})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]
        m.submodules.registers = file = self._file
        for path, member, value in file.signature.flatten(file):
            if path[0].startswith(_LITE):
                outside = Value.cast(getattr(self, path[0]))
                m.d.comb += value.eq(outside) if member.flow == In else outside.eq(value)
        _Rows(self, m).build()
        return m


class _Rows:
    """The parts of a quantiser in its module, and the signals between them."""

    def __init__(self, top: Quantiser, m: Module) -> None:
        self.top, self.m = top, m
        self.design, self.form, self.stream = top._design, top._form, top._stream
        self.file: Any = top._file
        design, form = self.design, self.form
        address, count = design.address_bits, design.count_bits
        self.low = (design.bus_bytes - 1).bit_length()
        self.lanes = design.bus_bits // _FP32
        # --- the job
        widths = {**dict.fromkeys(ADDRESSES, address), **dict.fromkeys(COUNTS, count), **dict.fromkeys(STRIDES, 32)}
        self.job = {name: Signal(width, name=f"job_{name}") for name, width in {**widths, "kind": 1}.items()}
        # --- phases, each high in its cycles
        self.at = {name: Signal(name=f"in_{name}") for name in PHASES}
        self.cause, self.failure = Signal(8, name="job_cause"), Signal(8, name="failure")
        # --- what the row is
        self.steps = Signal(range(max(scale_steps(form.scale, form.bits), count) + 1), name="steps_left")
        self.beats = Signal(range(self.stream.depth + 1), name="beats_left")
        self.largest = Signal(31, name="largest", reset_less=True)
        self.finite = Signal(name="finite", reset_less=True)
        self.scale = Signal(form.scale.code_bits, name="scale", reset_less=True)
        self.divisor = Signal(SIGNIFICAND, name="divisor", reset_less=True)
        self.divisor_exponent = Signal(10, name="divisor_exponent", reset_less=True)
        self.first_row = Signal(name="first_row", reset_less=True)
        self.last_code = Signal(name="last_code")
        self.rows_left = Signal(count, name="rows_left")

    def build(self) -> None:
        """Everything."""
        self._arithmetic()
        self._memories()
        self._read_rows()
        self._elements()
        self._places()
        self._write()
        self._sequence()
        self._status()

    def _sram(self, name: str, depth: int, bits: int, inputs: dict[str, Value]) -> Value:
        self.top.sizes.add((depth, bits))
        data = Signal(bits, name=f"{name}_data")
        self.m.submodules[name] = Instance(
            sram_name(self.top._top, depth, bits),
            i_clk=ClockSignal(),
            **{f"i_{port}": value for port, value in inputs.items()},
            o_r_data=data,
        )
        return data

    # ------------------------------------------------------------------ arithmetic

    def _arithmetic(self) -> None:
        """What divides, and how the phases use it: small divisions place the first token and make a scale."""
        m, form, design = self.m, self.form, self.design
        bits = max(design.count_bits, SIGNIFICAND)
        m.submodules.serial = serial = SerialDivider(bits, (form.n, form.k, form.top))
        m.submodules.rounder = rounder = ScaleRounder(form.scale)
        m.submodules.normaliser = normaliser = Normaliser()
        m.submodules.divider = divider = CodeDivider(form.bits, form.scale == get("fp32"))
        self.serial, self.normaliser, self.divider = serial, normaliser, divider
        # The element at hand; its exponent field 0 has the same weight as 1.
        self.element = Signal(_FP32, name="element")
        word = Signal(31, name="magnitude")
        field = word[23:]
        m.d.comb += word.eq(Mux(self.at["norm"], self.largest, self.element[:31]))
        with m.If(self.at["decode"]):
            m.d.comb += [normaliser.significand.eq(rounder.significand), normaliser.exponent.eq(rounder.o_exponent)]
        with m.Else():
            m.d.comb += [
                normaliser.significand.eq(Cat(word[:23], field != 0)),
                normaliser.exponent.eq(Mux(field == 0, 1, field)),
            ]
        token = Cat(Const(0, bits - design.count_bits), self.job["first_token"])
        m.d.comb += [
            serial.load.eq(self.at["check"] | self.at["norm"]),
            serial.value.eq(Mux(self.at["check"], token, Cat(Const(0, bits - SIGNIFICAND), normaliser.o))),
            serial.which.eq(Mux(self.at["place"], self.job["kind"], 2)),
            serial.step.eq(self.at["place"] | self.at["divide"]),
            rounder.load.eq(self.at["norm"]),
            rounder.exponent.eq(normaliser.o_exponent),
            rounder.step.eq(self.at["divide"]),
            rounder.digit.eq(serial.digit),
            rounder.inexact.eq(serial.remainder != 0),
            rounder.held.eq(self.scale),
        ]
        with m.If(self.at["round"]):
            m.d.sync += self.scale.eq(rounder.code)
        with m.If(self.at["decode"]):
            m.d.sync += [self.divisor.eq(normaliser.o), self.divisor_exponent.eq(normaliser.o_exponent)]
        with m.If(self.at["check"]):
            m.d.sync += self.steps.eq(design.count_bits - 1)
        with m.Elif(self.at["norm"]):
            m.d.sync += self.steps.eq(scale_steps(form.scale, form.bits) - 1)
        with m.Elif(serial.step):
            m.d.sync += self.steps.eq((self.steps - 1)[: len(self.steps)])

    # ------------------------------------------------------------------ rows

    def _memories(self) -> None:
        """The buffer of two rows, and beside codes of 4 bits that of a token's codes for the next token."""
        self.write_at, self.read_at = (
            Signal(range(2 * self.stream.depth), name=name, reset_less=True) for name in ("write_at", "read_at")
        )
        self.fetch, self.here = Signal(name="fetch"), Signal(name="here")
        top = self.top
        self.row_data = self._sram(
            "row",
            2 * self.stream.depth,
            self.design.bus_bits,
            {
                "w_en": self.here,
                "w_addr": self.write_at,
                "w_data": top.m_axi_rdata,
                "r_en": self.fetch,
                "r_addr": self.read_at,
            },
        )

    def _read_rows(self) -> None:
        """Reads rows from ``row_at`` on, each when it ``begins``, and finds its largest magnitude."""
        m, top, job = self.m, self.top, self.job
        m.submodules.engine = engine = ReadEngine(self.design, self.stream)
        self.engine = engine
        self.row_at = Signal(self.design.address_bits, name="row_at", reset_less=True)
        last = Signal(self.design.count_bits, name="last_element")
        lane_bits = (self.lanes - 1).bit_length()
        row_beats = Signal.like(self.beats, name="row_beats")
        # A row begins ahead where the one before it merges nothing.
        self.begins, self.ahead = Signal(name="begins"), Signal(name="ahead")
        self.merges = Signal(name="merges")
        reading, other = Signal(name="reading"), Signal(name="other_half")
        self.of_row = of_row = Signal(name="of_row")
        starts = self.at["norm"] & (self.rows_left != 0) & ~self.merges
        m.d.comb += [
            of_row.eq(top.m_axi_rvalid & (top.m_axi_rid == ROW_ID)),
            self.begins.eq(starts | (self.at["clear"] & ~self.ahead)),
            last.eq((job["elements"] - 1)[: len(last)]),
            row_beats.eq(last[lane_bits:] + 1),
            self.here.eq(of_row & reading),
            engine.clear.eq(self.begins),
            engine.address.eq(self.row_at),
            engine.beats.eq(row_beats),
            engine.stop.eq(~reading | self.at["drain"]),
            engine.done.eq(of_row & top.m_axi_rlast),
        ]
        lanes = [top.m_axi_rdata[_FP32 * lane : _FP32 * (lane + 1)] for lane in range(self.lanes)]
        final = self.beats == 1
        magnitudes, fine = [self.largest], [self.finite]
        for place, lane in enumerate(lanes):
            beyond = Signal(name=f"beyond_{place}")
            magnitude = Signal(31, name=f"magnitude_{place}")
            m.d.comb += [
                beyond.eq(final & (place > last[:lane_bits]) if place else 0),
                magnitude.eq(Mux(beyond, 0, lane[:31])),
            ]
            magnitudes.append(magnitude)
            fine.append(magnitude[23:] != 0xFF)
        with m.If(self.at["check"] | self.at["clear"]):
            m.d.sync += self.ahead.eq(0)
        with m.Elif(starts):
            m.d.sync += self.ahead.eq(1)
        with m.If(self.at["drain"]):
            m.d.sync += reading.eq(0)
        with m.Elif(self.begins):
            m.d.sync += reading.eq(1)
        with m.If(self.at["norm"]):
            m.d.sync += self.read_at.eq(Mux(other, 0, self.stream.depth))
        with m.Elif(self.fetch):
            m.d.sync += self.read_at.eq((self.read_at + 1)[: len(self.read_at)])
        with m.If(self.begins):
            m.d.sync += [
                self.largest.eq(0),
                self.finite.eq(1),
                self.beats.eq(row_beats),
                other.eq(~other),
                self.write_at.eq(Mux(other, self.stream.depth, 0)),
                self.row_at.eq((self.row_at + job["source_stride"])[: len(self.row_at)]),
            ]
        with m.Elif(self.here):
            m.d.sync += [
                self.largest.eq(_largest(m, magnitudes)),
                self.finite.eq(Cat(*fine).all()),
                self.beats.eq((self.beats - 1)[: len(self.beats)]),
                self.write_at.eq((self.write_at + 1)[: len(self.write_at)]),
            ]
        with m.If(self.at["offset"]):
            m.d.sync += self.row_at.eq(job["source"])
        # An error of a row that is read ahead waits until it is that row's turn.
        self.spoilt = Signal(name="spoilt")
        with m.If(self.begins):
            m.d.sync += self.spoilt.eq(0)
        with m.Elif(of_row & top.m_axi_rresp[1]):
            m.d.sync += self.spoilt.eq(1)
        # --- the address channel: a row, or a beat to be merged; never both
        self.ar_valid = Signal(name="ar_valid")
        address = Signal(self.design.address_bits, name="ar_addr", reset_less=True)
        length, merges = Signal(8, name="ar_len", reset_less=True), Signal(name="ar_merges", reset_less=True)
        self.merge_asked = Signal(name="merge_asked")
        self.merge_addr = Signal(self.design.address_bits, name="merge_addr")
        m.d.comb += [
            engine.grant.eq(engine.valid & (~self.ar_valid | top.m_axi_arready)),
            top.m_axi_arvalid.eq(self.ar_valid),
            top.m_axi_araddr.eq(address),
            top.m_axi_arlen.eq(length),
            top.m_axi_arid.eq(Mux(merges, MERGE_ID, ROW_ID)),
            top.m_axi_rready.eq(1),
        ]
        with m.If(top.m_axi_arready):
            m.d.sync += self.ar_valid.eq(0)
        with m.If(engine.grant | self.merge_asked):
            m.d.sync += [
                self.ar_valid.eq(1),
                address.eq(Mux(self.merge_asked, self.merge_addr, engine.addr)),
                length.eq(Mux(self.merge_asked, 0, engine.length)),
                merges.eq(self.merge_asked),
            ]

    def _elements(self) -> None:
        """Takes a row apart, and divides."""
        m, divider, job = self.m, self.divider, self.job
        beat = Signal(self.design.bus_bits, name="beat", reset_less=True)
        lane = Signal(range(self.lanes), name="lane", reset_less=True)
        self.left = Signal(self.design.count_bits, name="elements_left", reset_less=True)
        some, arrives = Signal(name="some_left"), Signal(name="arrives")
        self.loads = loads = Signal(name="loads")
        negative = Signal(name="negative", reset_less=True)
        significand = Signal(SIGNIFICAND, name="significand", reset_less=True)
        gap = Signal(divider.gap.shape(), name="gap", reset_less=True)
        exponent = self.divisor_exponent.as_signed()
        m.d.comb += [
            self.element.eq(beat[:_FP32]),
            # Of a job that failed a code may be left.
            divider.clear.eq(self.at["check"]),
            divider.i_valid.eq(self.at["quantise"] & some),
            loads.eq(divider.i_valid & divider.i_ready),
            divider.significand.eq(significand),
            divider.gap.eq(gap),
            divider.negative.eq(negative),
            divider.divisor.eq(self.divisor),
            # The next beat is read in the cycle in which the last value of this one is taken.
            self.fetch.eq(self.at["round"] | (loads & (lane == self.lanes - 1) & (self.left != 1))),
        ]
        m.d.sync += arrives.eq(self.fetch)
        with m.If(arrives):
            m.d.sync += beat.eq(self.row_data)
        with m.Elif(loads):
            m.d.sync += beat.eq(beat[_FP32:])
        with m.If(self.at["clear"]):
            m.d.sync += [lane.eq(0), some.eq(1), self.left.eq(job["elements"])]
        with m.Elif(loads):
            m.d.sync += [
                significand.eq(self.normaliser.o),
                gap.eq(self.normaliser.o_exponent - exponent),
                negative.eq(self.element[-1]),
                lane.eq((lane + 1)[: len(lane)]),
                self.left.eq((self.left - 1)[: len(self.left)]),
                some.eq(self.left != 1),
            ]
        m.d.comb += self.last_code.eq(divider.o_valid & divider.o_ready & ~some)

    # ------------------------------------------------------------------ places

    def _places(self) -> None:
        """Where a token and each of its codes go."""
        m, job, at = self.m, self.job, self.at
        self.of_values = job["kind"]
        self.takes_code, self.next_row = Signal(name="takes_code"), Signal(name="next_row")
        m.submodules.places = places = Places(self.design, self.form)
        self.code_at, self.scale_at, self.odd = places.code_at, places.scale_at, places.odd
        m.d.comb += [
            places.begin.eq(at["check"]),
            places.step.eq(at["place"]),
            places.digit.eq(self.serial.digit),
            places.settle.eq(at["offset"]),
            places.remainder.eq(self.serial.remainder),
            places.row.eq(at["clear"]),
            places.next_code.eq(self.takes_code),
            places.next_row.eq(self.next_row),
            *(
                getattr(places, name).eq(job[name])
                for name in ("kind", "codes", "scales", "codes_stride", "first_token")
            ),
        ]

    # ------------------------------------------------------------------ writing

    def _write(self) -> None:
        """Scale and codes of a row to the writer, a code at most every other cycle; and the channels."""
        m, top, form, divider = self.m, self.top, self.form, self.divider
        m.submodules.writer = writer = BeatWriter(self.design, form.scale_bytes)
        self.writer = writer
        # A code waits here until its beat is the one that is gathered.
        code = Signal(8, name="code", reset_less=True)
        self.code_valid, self.scale_valid = Signal(name="code_valid"), Signal(name="scale_valid")
        free, gives = Signal(name="code_free"), Signal(name="gives")
        high: Value = Const(0, 1)
        byte: Value = code
        stores: Value = Const(0, 1)
        coming: Value = divider.code
        if form.bits == 4:
            odd, later = self.odd, self.rows_left != 0
            # Two tokens of V share bytes: the first waits for the second where that comes in the same job.
            stores = self.of_values & ~odd & later
            m.d.comb += self.merges.eq(self.of_values & odd & self.first_row)
            high = ~self.of_values & odd
            coming = Cat(self._halves(divider.code, gives & stores), divider.code)
            joined = Mux(self.of_values & ~self.first_row, code[:4], 0)
            byte = Mux(odd, Cat(joined, code[4:]), code[4:])
        m.d.comb += [
            free.eq(~self.code_valid | self.takes_code),
            divider.o_ready.eq(free | stores),
            gives.eq(divider.o_valid & divider.o_ready),
            self.takes_code.eq(self.code_valid & ~self.scale_valid & writer.ready),
            writer.clear.eq(self.at["check"]),
            writer.valid.eq(self.code_valid | self.scale_valid),
            writer.scale.eq(self.scale_valid),
            writer.address.eq(Mux(self.scale_valid, self.scale_at, self.code_at)),
            writer.data.eq(Mux(self.scale_valid, self.scale, byte)),
            writer.high.eq(high & ~self.scale_valid),
            writer.merge.eq(self.merges & ~self.scale_valid),
            writer.flush.eq(self.at["finish"] & ~self.code_valid),
            writer.push.eq(self.at["quantise"] | self.at["finish"]),
            writer.r_valid.eq(top.m_axi_rvalid & (top.m_axi_rid == MERGE_ID)),
            writer.r_error.eq(top.m_axi_rresp[1]),
            writer.r_data.eq(top.m_axi_rdata),
            writer.aw_ready.eq(top.m_axi_awready),
            writer.w_ready.eq(top.m_axi_wready),
            writer.b_valid.eq(top.m_axi_bvalid),
            self.merge_asked.eq(writer.ar_valid),
            self.merge_addr.eq(writer.ar_addr),
            top.m_axi_awvalid.eq(writer.aw_valid),
            top.m_axi_awaddr.eq(writer.addr),
            top.m_axi_awlen.eq(0),
            top.m_axi_awid.eq(0),
            top.m_axi_wvalid.eq(writer.w_valid),
            top.m_axi_wdata.eq(writer.w_data),
            top.m_axi_wstrb.eq(writer.w_strb),
            top.m_axi_wlast.eq(1),
            top.m_axi_bready.eq(1),
        ]
        size = (self.design.bus_bytes - 1).bit_length()
        for channel in ("ar", "aw"):
            values = {"size": size, "burst": 1, "lock": 0, "cache": 0b0011, "prot": 0}
            m.d.comb += [getattr(top, f"m_axi_{channel}{name}").eq(value) for name, value in values.items()]
        with m.If(gives & ~stores):
            m.d.sync += [self.code_valid.eq(1), code.eq(coming)]
        with m.Elif(self.takes_code):
            m.d.sync += self.code_valid.eq(0)
        with m.If(self.at["decode"]):
            m.d.sync += self.scale_valid.eq(1)
        with m.Elif(writer.ready):
            m.d.sync += self.scale_valid.eq(0)
        with m.If(self.at["check"]):
            m.d.sync += [self.code_valid.eq(0), self.scale_valid.eq(0)]

    def _halves(self, code: Value, stores: Value) -> Value:
        """Codes of the last token by element: that of the element at hand; ``stores`` one of this token."""
        m = self.m
        given, taken = (Signal(range(self.top._elements), name=name, reset_less=True) for name in ("given", "taken"))
        with m.If(self.at["clear"]):
            m.d.sync += [given.eq(0), taken.eq(0)]
        with m.Else():
            with m.If(stores):
                m.d.sync += given.eq((given + 1)[: len(given)])
            with m.If(self.loads):
                m.d.sync += taken.eq((taken + 1)[: len(taken)])
        # No word is read that was not written.
        reads = self.loads & self.of_values & self.odd & ~self.first_row
        inputs = {"w_en": stores, "w_addr": given, "w_data": code, "r_en": reads, "r_addr": taken}
        return self._sram("halves", self.top._elements, 4, inputs)

    # ------------------------------------------------------------------ the job

    def _bad(self) -> Value:
        """Why a job cannot run as it is written; 0 where it can."""
        job, form = self.job, self.form
        sizes = [job["rows"] == 0, job["elements"] == 0, job["elements"] > self.top._elements]
        if form.group:
            sizes.append(~self.of_values & (job["elements"] > form.group))
        places = [job[name][: self.low] for name in (*ADDRESSES, *STRIDES)]
        return Mux(Cat(*sizes).any(), Cause.BAD_JOB, Mux(Cat(*places).any(), Cause.UNALIGNED, Const(0, 8)))

    def _sequence(self) -> None:
        """The phases of a job, and how it ends."""
        m, top, at = self.m, self.top, self.at
        bad = Signal(8, name="bad")
        m.d.comb += bad.eq(self._bad())
        wrong = top.m_axi_rvalid & top.m_axi_rresp[1] & ~self.of_row
        with m.If(wrong | (at["read"] & (self.spoilt | (self.of_row & top.m_axi_rresp[1])))):
            m.d.comb += self.failure.eq(Cause.READ_RESPONSE)
        with m.Elif(top.m_axi_bvalid & top.m_axi_bresp[1]):
            m.d.comb += self.failure.eq(Cause.WRITE_RESPONSE)
        with m.Elif(at["norm"] & ~self.finite):
            m.d.comb += self.failure.eq(Cause.NOT_FINITE)
        with m.Elif(self.file.o_control_abort):
            m.d.comb += self.failure.eq(Cause.ABORTED)
        ends = {
            "check": Const(1),
            "place": self.steps == 0,
            "read": (self.here & (self.beats == 1)) | (self.beats == 0),
            "divide": self.steps == 0,
            "quantise": self.last_code,
        }
        written = self.writer.empty & ~self.code_valid & ~self.scale_valid
        m.d.comb += self.next_row.eq(at["finish"] & written & (self.rows_left != 0))
        with m.FSM(name="phase"):
            with m.State("idle"):
                m.d.comb += at["idle"].eq(1)
                with m.If(self.file.o_control_start):
                    for name, signal in self.job.items():
                        m.d.sync += signal.eq(self._given(name))
                    m.d.sync += self.cause.eq(0)
                    m.next = "check"
            for name, after in itertools.pairwise(PHASES[1:-1]):
                with m.State(name):
                    m.d.comb += at[name].eq(1)
                    if name == "check":
                        m.d.sync += self.cause.eq(bad)
                        m.next = after
                        with m.If(bad != 0):
                            m.next = "end"
                        continue
                    if name == "finish":
                        with m.If(self.next_row):
                            m.next = "clear"
                        with m.Elif(written):
                            m.next = after
                    else:
                        with m.If(ends.get(name, Const(1))):
                            m.next = after
                    with m.If(self.failure != 0):
                        m.d.sync += self.cause.eq(self.failure)
                        m.next = "drain"
            with m.State("drain"):
                m.d.comb += at["drain"].eq(1)
                with m.If((self.failure != 0) & (self.cause == 0)):
                    m.d.sync += self.cause.eq(self.failure)
                with m.If(self.writer.idle & self.engine.idle & ~self.ar_valid):
                    m.next = "end"
            with m.State("end"):
                m.d.comb += at["end"].eq(1)
                m.next = "idle"
        with m.If(at["check"]):
            m.d.sync += [self.rows_left.eq((self.job["rows"] - 1)[: len(self.rows_left)]), self.first_row.eq(1)]
        with m.Elif(self.next_row):
            m.d.sync += [self.rows_left.eq((self.rows_left - 1)[: len(self.rows_left)]), self.first_row.eq(0)]

    def _given(self, name: str) -> Value:
        """What software wrote for a value of the job."""
        file = self.file
        if name in ADDRESSES:
            value: Value = file.pair(f"{name}_addr".upper())
        elif name == "kind":
            value = file.o_job_flags_kind
        else:
            value = getattr(file, f"o_{name}_value")
        return value

    def _status(self) -> None:
        """What software sees."""
        m, file, form, ends = self.m, self.file, self.form, self.at["end"]
        refused, failed = Signal(name="refused"), Signal(name="failed")
        cause, jobs, cycles = Signal(8, name="cause"), Signal(32, name="jobs"), Signal(COUNTER_BITS, name="cycles")
        busy = ~self.at["idle"]
        m.d.comb += [
            refused.eq(file.o_control_start & busy),
            failed.eq(self.cause != 0),
            file.i_design_hash_value.eq(self.design.digest),
            file.i_geometry_n.eq(form.n),
            file.i_geometry_k.eq(form.k),
            file.i_geometry_bits.eq(form.bits),
            file.i_geometry_sides.eq(int(form.sides)),
            file.i_status_busy.eq(busy),
            file.i_status_done_set.eq(ends & ~failed),
            file.i_status_error_set.eq((ends & failed) | refused),
            file.i_error_cause.eq(cause),
            file.i_jobs_value.eq(jobs),
            file.i_rows_left_value.eq(self.rows_left),
            file.pair("CYCLES").eq(cycles),
            self.top.irq.eq(file.o_control_irq_enable & (file.o_status_done | file.o_status_error)),
        ]
        with m.If(ends):
            m.d.sync += jobs.eq((jobs + 1)[:32])
        with m.If(ends & failed):
            m.d.sync += cause.eq(self.cause)
        with m.Elif(refused):
            m.d.sync += cause.eq(Cause.BUSY)
        with m.If(busy):
            m.d.sync += cycles.eq((cycles + 1)[:COUNTER_BITS])


def _largest(m: Module, values: list[Any]) -> Value:
    """The largest of unsigned values, by a tree."""
    while len(values) > 1:
        pairs = zip(values[::2], values[1::2], strict=False)
        found = [Mux(one >= other, one, other) for one, other in pairs]
        values = found + values[len(values) - len(values) % 2 :]
    largest: Value = values[0]
    return largest
