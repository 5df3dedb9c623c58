"""The accelerator: registers, engines, rings and feeders around a tile behind its streams."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Const, Instance, Module, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.accelerator.control import COUNTER_BITS, Control
from hwgen.accelerator.design import STREAMS, Design
from hwgen.accelerator.feeder import Feeder
from hwgen.accelerator.job import ADDRESSES, COUNTS, FLAGS
from hwgen.accelerator.read_engine import ReadEngine
from hwgen.accelerator.registers import ErrorCause as Cause
from hwgen.accelerator.registers import RegisterFile, RegisterMap
from hwgen.accelerator.registers import Stream as Which
from hwgen.accelerator.result import Packer, WriteBuffer, WriteEngine
from hwgen.accelerator.result_unit import ResultUnit, unit_registers
from hwgen.accelerator.ring import Ring
from hwgen.accelerator.sram import sram_name
from hwgen.emit import INPUT_DEPTH, axi_stream_ports, result_depth, streams

__all__ = ["Accelerator", "accelerator_ports"]

ASKING_ORDER = ("channels", "act_sides", "weight_sides", "acts", "weights")
"""Which stream asks first where several want to: the one that needs least goes before those that need more."""
_LITE = "s_axi_"


def accelerator_ports(design: Design) -> dict[str, tuple[Any, int]]:
    """Ports beside clock, reset and the registers' bus: direction and width by name."""
    address, bus = design.address_bits, design.bus_bits
    burst = (
        ("id", design.id_bits),
        ("addr", address),
        ("len", 8),
        ("size", 3),
        ("burst", 2),
        ("lock", 1),
        ("cache", 4),
    )
    ports: dict[str, tuple[Any, int]] = {}
    for channel in ("ar", "aw"):
        ports |= {f"m_axi_{channel}{name}": (Out, width) for name, width in (*burst, ("prot", 3), ("valid", 1))}
        ports[f"m_axi_{channel}ready"] = (In, 1)
    read = (("id", design.id_bits), ("data", bus), ("resp", 2), ("last", 1), ("valid", 1))
    ports |= {f"m_axi_r{name}": (In, width) for name, width in read}
    ports["m_axi_rready"] = (Out, 1)
    write = (("data", bus), ("strb", bus // 8), ("last", 1), ("valid", 1))
    ports |= {f"m_axi_w{name}": (Out, width) for name, width in write}
    ports["m_axi_wready"] = (In, 1)
    ports |= {f"m_axi_b{name}": (In, width) for name, width in (("id", design.id_bits), ("resp", 2), ("valid", 1))}
    return {**ports, "m_axi_bready": (Out, 1), "irq": (Out, 1)}


class Accelerator(wiring.Component):
    """The top; ports as `accelerator_ports`, those of `RegisterFile`'s bus, ``aclk`` and ``aresetn``.

    ``sizes`` are the memories that it places, depth and bits, once it is elaborated.
    """

    def __init__(self, design: Design, registers: RegisterMap, top: str, stream_top: str) -> None:
        self._design, self._top, self._stream_top, self._hash = design, top, stream_top, design.digest
        self._file = RegisterFile(registers)
        self.sizes: set[tuple[int, int]] = set()
        lite = {
            path[0]: member for path, member, _ in self._file.signature.flatten(self._file) if path[0].startswith(_LITE)
        }
        own = {name: flow(width) for name, (flow, width) in accelerator_ports(design).items()}
        super().__init__({"aclk": In(1), "aresetn": In(1), **lite, **own})

    def _sram(self, m: Module, name: str, depth: int, bits: int, inputs: dict[str, Value]) -> Value:
        self.sizes.add((depth, bits))
        data = Signal(bits, name=f"{name}_data")
        m.submodules[name] = Instance(
            sram_name(self._top, depth, bits),
            i_clk=ClockSignal(),
            **{f"i_{port}": value for port, value in inputs.items()},
            o_r_data=data,
        )
        return data

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        design = self._design
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]
        m.submodules.registers = self._file
        m.submodules.control = control = Control(design)
        for path, member, value in self._file.signature.flatten(self._file):
            if path[0].startswith(_LITE):
                outside = Value.cast(getattr(self, path[0]))
                m.d.comb += value.eq(outside) if member.flow == In else outside.eq(value)
        engines, rings = self._readers(m, control)
        feeders, results, waits = self._stream(m, control, rings)
        all_in, all_out = self._progress(m, control, feeders["acts"], results)
        writer = self._results(m, control, rings.get("channels"), results, all_out)
        m.d.comb += control.idle.eq(
            Cat(*(engine.idle for engine in engines.values()), writer.idle, ~self.m_axi_arvalid).all()
        )
        failures: list[tuple[Value, Cause, Any]] = [
            (self.m_axi_rvalid & self.m_axi_rresp[1], Cause.READ_RESPONSE, self.m_axi_rid),
            (self.m_axi_bvalid & self.m_axi_bresp[1], Cause.WRITE_RESPONSE, Which.RESULTS),
        ]
        for name, engine in engines.items():
            stuck = engine.full & engine.idle & rings[name].starved
            failures.append((stuck, Cause.DOES_NOT_FIT, STREAMS[name]))
            if name.endswith("sides"):
                mismatch = feeders["weights" if name.startswith("weight") else "acts"].mismatch
                failures.append((mismatch, Cause.GROUPS, STREAMS[name]))
        for place, (happens, cause, stream) in enumerate(failures):
            with m.If(happens) if place == 0 else m.Elif(happens):
                m.d.comb += [control.failure.eq(cause), control.failed_stream.eq(stream)]
        self._status(m, control, waits & (control.running & ~all_in).replicate(3))
        return m

    # ------------------------------------------------------------------ reading

    def _readers(self, m: Module, control: Control) -> tuple[dict[str, ReadEngine], dict[str, Ring]]:
        design = self._design
        engines: dict[str, ReadEngine] = {}
        rings: dict[str, Ring] = {}
        for name, stream in design.streams.items():
            m.submodules[f"{name}_engine"] = engine = engines[name] = ReadEngine(design, stream)
            m.submodules[f"{name}_ring"] = ring = rings[name] = Ring(stream, design.count_bits, self._sram)
            here = Signal(name=f"{name}_here")
            m.d.comb += [
                here.eq(self.m_axi_rvalid & (self.m_axi_rid == stream.index)),
                engine.clear.eq(control.clear),
                engine.stop.eq(~control.running),
                engine.released.eq(ring.released),
                engine.done.eq(here & self.m_axi_rlast),
                engine.address.eq(getattr(control, f"{name}_address")),
                engine.beats.eq(getattr(control, f"{name}_beats")),
                ring.clear.eq(control.clear),
                ring.beat_valid.eq(here),
                ring.beat.eq(self.m_axi_rdata),
            ]
            for part, names in ((engine, ("blocks", "windows", "fetches")), (ring, ("words", "entries", "blocks"))):
                for what in names:
                    m.d.comb += getattr(part, f"{what}_last").eq(getattr(control, f"{name}_{what}_last"))
            m.d.comb += ring.uses_last.eq(getattr(control, f"{name}_uses_last"))
        m.d.comb += self.m_axi_rready.eq(1)
        self._ask(m, {name: engines[name] for name in ASKING_ORDER if name in engines})
        return engines, rings

    def _ask(self, m: Module, engines: dict[str, ReadEngine]) -> None:
        """The address channel: a register, which the first of the engines that want to gets."""
        design = self._design
        valid = Signal(name="ar_valid")
        address = Signal(design.address_bits, name="ar_addr", reset_less=True)
        length, number = (
            Signal(8, name="ar_len", reset_less=True),
            Signal(design.id_bits, name="ar_id", reset_less=True),
        )
        free = Signal(name="ar_free")
        m.d.comb += [
            free.eq(~valid | self.m_axi_arready),
            self.m_axi_arvalid.eq(valid),
            self.m_axi_araddr.eq(address),
            self.m_axi_arlen.eq(length),
            self.m_axi_arid.eq(number),
            *self._constants("ar"),
        ]
        with m.If(self.m_axi_arready):
            m.d.sync += valid.eq(0)
        before: Value = Const(0, 1)
        for name, engine in engines.items():
            grant = Signal(name=f"{name}_grant")
            m.d.comb += [grant.eq(engine.valid & free & ~before), engine.grant.eq(grant)]
            with m.If(grant):
                m.d.sync += [
                    valid.eq(1),
                    address.eq(engine.addr),
                    length.eq(engine.length),
                    number.eq(STREAMS[name]),
                ]
            before = before | engine.valid

    def _constants(self, channel: str) -> list[Any]:
        size = (self._design.bus_bytes - 1).bit_length()
        values = {"size": size, "burst": 1, "lock": 0, "cache": 0b0011, "prot": 0}
        return [getattr(self, f"m_axi_{channel}{name}").eq(value) for name, value in values.items()]

    # ------------------------------------------------------------------ the tile

    def _stream(
        self, m: Module, control: Control, rings: dict[str, Ring]
    ) -> tuple[dict[str, Feeder], dict[str, Signal], Signal]:
        """Feeders of both operands and the tile behind its streams: the feeders, the stream of results by the last
        part of its signals' names, and what the tile waits for.
        """
        tile = self._design.tile
        ports = {port.name: port for port in axi_stream_ports(tile) if port.name not in ("aclk", "aresetn")}
        signals = {name: Signal(port.width, name=name) for name, port in ports.items()}
        feeders: dict[str, Feeder] = {}
        for name in ("weights", "acts"):
            codes, sides = rings[name], rings.get(f"{name[:-1]}_sides")
            m.submodules[f"{name}_feeder"] = feeder = feeders[name] = Feeder(self._design, sides is not None)
            m.d.comb += [
                feeder.clear.eq(control.clear),
                feeder.codes_valid.eq(codes.valid),
                feeder.codes_last.eq(codes.last),
                codes.take.eq(feeder.take_codes),
                signals[f"s_axis_{name}_tvalid"].eq(feeder.valid),
                feeder.ready.eq(signals[f"s_axis_{name}_tready"]),
            ]
            words: list[Value] = [codes.word]
            if sides is None:
                m.d.comb += feeder.sides_valid.eq(1)
            else:
                words.append(sides.word)
                m.d.comb += [
                    feeder.sides_valid.eq(sides.valid),
                    feeder.sides_last.eq(sides.last),
                    sides.take.eq(feeder.take_sides),
                ]
            m.d.comb += signals[f"s_axis_{name}_tdata"].eq(Cat(*words))
        acts = feeders["acts"]
        m.d.comb += signals["s_axis_acts_tlast"].eq(acts.last)
        for field in streams(tile).user:
            value: Value = acts.done if field.port.name == "i_done" else Const(tile.layer_mode, field.port.width)
            m.d.comb += signals["s_axis_acts_tuser"][field.offset : field.end].eq(value)
        waits = Signal(3, name="waits")
        m.submodules.stream = Instance(
            self._stream_top,
            i_aclk=ClockSignal(),
            i_aresetn=~(ResetSignal() | control.clear),
            o_o_waits=waits,
            **{f"{port.direction[0]}_{name}": signals[name] for name, port in ports.items()},
        )
        head = "m_axis_result_t"
        return feeders, {name[len(head) :]: one for name, one in signals.items() if name.startswith(head)}, waits

    def _progress(self, m: Module, control: Control, acts: Feeder, results: dict[str, Signal]) -> tuple[Signal, Signal]:
        """Whether every step of the job went into the tile, and whether every result came out, too."""
        tile = self._design.tile
        rows, columns = (Signal.like(control.m_last, name=name, reset_less=True) for name in ("rows_left", "cols_left"))
        all_in, all_out = Signal(name="all_in"), Signal(name="all_out")
        # Those in the queue before the tile, and those for which its queue behind has room.
        pending = Signal(range(result_depth(tile) + INPUT_DEPTH + 1), name="results_pending")
        step, result = Signal(name="step_in"), Signal(name="result_out")
        ends = acts.done if tile.lanes else acts.last
        m.d.comb += [
            step.eq(acts.valid & acts.ready),
            result.eq(results["valid"] & results["ready"] & results["last"]),
            all_out.eq(all_in & (pending == 0)),
        ]
        m.d.sync += pending.eq((pending + (step & ends) - result)[: len(pending)])
        with m.If(step & acts.done):
            with m.If(rows == 0):
                m.d.sync += [rows.eq(control.m_last), columns.eq((columns - 1)[: len(columns)])]
                with m.If(columns == 0):
                    m.d.sync += all_in.eq(1)
            with m.Else():
                m.d.sync += rows.eq((rows - 1)[: len(rows)])
        with m.If(control.clear):
            m.d.sync += [rows.eq(control.m_last), columns.eq(control.n_last), all_in.eq(0), pending.eq(0)]
        return all_in, all_out

    # ------------------------------------------------------------------ writing

    def _results(
        self, m: Module, control: Control, channels: Ring | None, results: dict[str, Signal], all_out: Signal
    ) -> WriteEngine:
        """From the stream of results to the write channels; ``all_out`` says that no more come."""
        design = self._design
        m.submodules.packer = packer = Packer(design)
        m.submodules.write_buffer = buffer = WriteBuffer(design, self._sram)
        m.submodules.write_engine = writer = WriteEngine(design)
        ended = self._finish(m, control, channels, results, packer, all_out)
        flushed, sent = Signal(name="flushed"), Signal(name="beat_sent")
        m.d.comb += [
            flushed.eq(ended & packer.empty),
            sent.eq(self.m_axi_wvalid & self.m_axi_wready),
            *(part.clear.eq(control.clear) for part in (packer, buffer, writer)),
            packer.flush.eq(ended),
            buffer.i_valid.eq(packer.o_valid),
            buffer.i_beat.eq(packer.o_beat),
            packer.o_ready.eq(buffer.i_ready),
            buffer.take.eq(sent),
            writer.address.eq(control.result_address),
            writer.stop.eq(~control.running),
            writer.came.eq(packer.o_valid & packer.o_ready),
            writer.flush.eq(flushed),
            writer.aw_ready.eq(self.m_axi_awready),
            writer.w_sent.eq(sent),
            writer.b_valid.eq(self.m_axi_bvalid),
            self.m_axi_awvalid.eq(writer.aw_valid),
            self.m_axi_awaddr.eq(writer.aw_addr),
            self.m_axi_awlen.eq(writer.aw_length),
            self.m_axi_awid.eq(0),
            *self._constants("aw"),
            self.m_axi_wvalid.eq(buffer.valid & writer.w_active),
            self.m_axi_wdata.eq(buffer.beat),
            self.m_axi_wstrb.eq(~0),
            self.m_axi_wlast.eq(writer.w_last),
            self.m_axi_bready.eq(1),
            control.finished.eq(flushed & writer.empty & writer.idle),
        ]
        return writer

    def _finish(
        self,
        m: Module,
        control: Control,
        channels: Ring | None,
        results: dict[str, Signal],
        packer: Packer,
        all_out: Signal,
    ) -> Value:
        """From the tile's results to those for memory; returns whether no more come."""
        if not unit_registers(self._design):
            m.d.comb += [
                packer.i_valid.eq(results["valid"]),
                packer.i_word.eq(results["data"]),
                results["ready"].eq(packer.i_ready),
            ]
            return all_out
        m.submodules.result_unit = unit = ResultUnit(self._design)
        m.d.comb += [
            unit.clear.eq(control.clear),
            unit.i_valid.eq(results["valid"]),
            unit.i_word.eq(results["data"]),
            results["ready"].eq(unit.i_ready),
            packer.i_valid.eq(unit.o_valid),
            packer.i_word.eq(unit.o_word),
            unit.o_ready.eq(packer.i_ready),
        ]
        if channels is not None:
            m.d.comb += [
                unit.channels_valid.eq(channels.valid),
                unit.channels.eq(channels.word),
                channels.take.eq(unit.channels_take),
            ]
        return all_out & unit.empty

    # ------------------------------------------------------------------ registers

    def _status(self, m: Module, control: Control, waits: Value) -> None:
        """What software reads and writes; ``waits`` are counted while a job runs."""
        file: Any = self._file
        m.d.comb += [
            file.i_design_hash_value.eq(self._hash),
            control.start.eq(file.o_control_start),
            control.abort.eq(file.o_control_abort),
            # A job that waits for none is on its way: whoever polls must not take it for done before it began.
            file.i_status_busy.eq(control.busy | control.queued),
            file.i_status_queued.eq(control.busy & control.queued),
            file.i_status_done_set.eq(control.done_set),
            file.i_status_error_set.eq(control.error_set),
            file.i_error_cause.eq(control.cause),
            file.i_error_stream.eq(control.stream),
            file.i_jobs_value.eq(control.jobs),
            self.irq.eq(file.o_control_irq_enable & (file.o_status_done | file.o_status_error)),
        ]
        for name in ADDRESSES:
            low = getattr(file, f"o_{name}_addr_lo_value")
            high = getattr(file, f"o_{name}_addr_hi_value", Const(0, 0))
            m.d.comb += getattr(control, f"next_{name}").eq(Cat(low, high))
        for name in COUNTS:
            m.d.comb += getattr(control, f"next_{name}").eq(getattr(file, f"o_{name}_value"))
        for name in FLAGS:
            m.d.comb += getattr(control, f"next_{name}").eq(getattr(file, f"o_job_flags_{name}"))
        happens = {
            "cycles": control.busy,
            **{f"wait_{what}": waits[bit] for bit, what in enumerate(("weights", "acts", "results"))},
        }
        for name, now in happens.items():
            counter = Signal(COUNTER_BITS, name=name)
            with m.If(now):
                m.d.sync += counter.eq((counter + 1)[:COUNTER_BITS])
            m.d.comb += file.pair(name.upper()).eq(counter)
