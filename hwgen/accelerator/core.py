"""What every accelerator has around its tile, whatever brings operands: registers, sequencer, rings, feeders, results.

A subclass says what its ports are and what stands before the rings and behind the packer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Cat, ClockDomain, ClockSignal, Const, Instance, Module, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hwgen.accelerator.block_quantiser import BlockQuantiser
from hwgen.accelerator.control import COUNTER_BITS, Control
from hwgen.accelerator.design import Design
from hwgen.accelerator.feeder import Feeder
from hwgen.accelerator.job import ADDRESSES, COUNTS, FLAGS
from hwgen.accelerator.registers import ErrorCause as Cause
from hwgen.accelerator.registers import RegisterFile, RegisterMap
from hwgen.accelerator.result import Packer
from hwgen.accelerator.result_unit import ResultUnit
from hwgen.accelerator.results import unit_registers
from hwgen.accelerator.ring import Ring
from hwgen.accelerator.sram import sram_name
from hwgen.accelerator.stream import STREAMS
from hwgen.emit import INPUT_DEPTH, axi_stream_ports, result_depth, streams

__all__ = ["Core", "Failure", "Filling", "Inputs", "Outputs"]

_LITE = "s_axi_"
Failure = tuple[Value, Cause, Any]
"""What happens, why that ends a job, and on which stream."""


@dataclass(frozen=True)
class Inputs:
    """What stands before the rings: the rings by stream; for each whether its next beat has no room and none is on its
    way; whether nothing at all is; what can go wrong.
    """

    rings: Mapping[str, Ring]
    stuck: Mapping[str, Value]
    idle: Value
    failures: list[Failure]


@dataclass(frozen=True)
class Filling:
    """What stands between a stream's beats and its ring: whether something comes without another beat, and failures."""

    busy: Value
    failures: list[Failure]


@dataclass(frozen=True)
class Outputs:
    """What stands behind the packer: whether all that came has left; whether nothing is on its way; what goes wrong."""

    left: Value
    idle: Value
    failures: list[Failure]


class Core(wiring.Component):
    """Ports: ``aclk``, ``aresetn``, those of `RegisterFile`'s bus, and ``ports`` (direction, width), ``irq`` with them.

    ``sizes`` are the memories that it places, depth and bits, once it is elaborated.
    """

    def __init__(
        self, design: Design, registers: RegisterMap, top: str, stream_top: str, ports: Mapping[str, tuple[Any, int]]
    ) -> None:
        self._design, self._top, self._stream_top, self._hash = design, top, stream_top, design.digest
        self._file = RegisterFile(registers)
        self.sizes: set[tuple[int, int]] = set()
        lite = {
            path[0]: member for path, member, _ in self._file.signature.flatten(self._file) if path[0].startswith(_LITE)
        }
        own = {name: flow(width) for name, (flow, width) in ports.items()}
        super().__init__({"aclk": In(1), "aresetn": In(1), **lite, **own})

    def _inputs(self, m: Module, control: Control) -> Inputs:
        """Rings and what fills them."""
        raise NotImplementedError

    def _outputs(self, m: Module, control: Control, packer: Packer, ended: Signal) -> Outputs:
        """What takes the packer's beats; ``ended``: no more come but those that it holds."""
        raise NotImplementedError

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]
        m.submodules.registers = self._file
        m.submodules.control = control = Control(self._design)
        for path, member, value in self._file.signature.flatten(self._file):
            if path[0].startswith(_LITE):
                outside = Value.cast(getattr(self, path[0]))
                m.d.comb += value.eq(outside) if member.flow == In else outside.eq(value)
        inputs = self._inputs(m, control)
        rings = inputs.rings
        feeders, results, waits = self._stream(m, control, rings)
        all_in, all_out = self._progress(m, control, feeders["acts"], results)
        m.submodules.packer = packer = Packer(self._design)
        ended = Signal(name="ended")
        m.d.comb += [
            packer.clear.eq(control.clear),
            packer.flush.eq(ended),
            ended.eq(self._finish(m, control, rings.get("channels"), results, packer, all_out)),
        ]
        outputs = self._outputs(m, control, packer, ended)
        m.d.comb += [
            control.idle.eq(inputs.idle & outputs.idle),
            control.finished.eq(ended & packer.empty & outputs.left & outputs.idle),
        ]
        failures = [*inputs.failures, *outputs.failures]
        for name, ring in rings.items():
            failures.append((inputs.stuck[name] & ring.starved, Cause.DOES_NOT_FIT, STREAMS[name]))
            if name.endswith("sides"):
                mismatch = feeders["weights" if name.startswith("weight") else "acts"].mismatch
                failures.append((mismatch, Cause.GROUPS, STREAMS[name]))
        for place, (happens, cause, stream) in enumerate(failures):
            with m.If(happens) if place == 0 else m.Elif(happens):
                m.d.comb += [control.failure.eq(cause), control.failed_stream.eq(stream)]
        self._status(m, control, waits & (control.running & ~all_in).replicate(3))
        return m

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

    def _ring(self, m: Module, control: Control, name: str) -> Ring:
        """The ring of a stream with what it takes of a job."""
        m.submodules[f"{name}_ring"] = ring = Ring(self._design.ring_streams[name], self._design.count_bits, self._sram)
        m.d.comb += ring.clear.eq(control.clear)
        for what in ("words", "entries", "blocks", "uses"):
            m.d.comb += getattr(ring, f"{what}_last").eq(getattr(control, f"{name}_{what}_last"))
        return ring

    def _fill(self, m: Module, control: Control, name: str, ring: Ring, here: Value, beat: Value) -> Filling:
        """Beats of a stream into its ring, activations through the block before it where there is one."""
        plan = self._design.block_plan if name == "acts" else None
        if plan is None:
            m.d.comb += [ring.beat_valid.eq(here), ring.beat.eq(beat)]
            return Filling(Const(0, 1), [])
        beats = control.acts_beats
        m.submodules.pre = pre = BlockQuantiser(plan, len(beats), self._sram)
        m.d.comb += [
            pre.clear.eq(control.clear),
            pre.beats.eq(beats),
            pre.beat_valid.eq(here),
            pre.beat.eq(beat),
            ring.beat_valid.eq(pre.o_valid),
            ring.beat.eq(pre.o_entry),
        ]
        return Filling(pre.busy, [(pre.not_finite, Cause.NOT_FINITE, STREAMS[name])])

    @staticmethod
    def _counts(m: Module, control: Control, name: str, reader: Any) -> None:
        """What a reader of a stream takes of a job."""
        m.d.comb += [
            reader.clear.eq(control.clear),
            reader.stop.eq(~control.running),
            reader.beats.eq(getattr(control, f"{name}_beats")),
        ]
        for what in ("blocks", "windows", "fetches"):
            m.d.comb += getattr(reader, f"{what}_last").eq(getattr(control, f"{name}_{what}_last"))

    # ------------------------------------------------------------------ the tile

    def _stream(
        self, m: Module, control: Control, rings: Mapping[str, Ring]
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
            words: list[Value] = [self._design.elements(name).widened(codes.word)]
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

    # ------------------------------------------------------------------ results

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
        if not unit_registers(self._design.p):
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
