"""Run the emitted Verilog of a tile, compiled: arrays of steps in, beats out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from hwgen.emit import Emission, Reset, emit
from hwgen.emit._names import pre_name
from hwgen.emit._reset import clock_ports
from hwgen.frame.interface import tile_ports
from hwgen.frame.ports import PortInfo
from hwgen.frame.pre import PreSpec
from hwgen.frame.spec import TileSpec
from hwgen.schedule import Steps
from hwgen.simulators import CompiledSim, Port, SimResult, Slice, StreamProtocol, build, pack_words, unpack_words
from hwgen.verify._pysim import Observed, Run

__all__ = ["CompiledPre", "CompiledTile", "port_words", "skew_slices"]

_CONTROL = ("i_valid", "i_ready", "o_valid")


def _ports(infos: list[PortInfo], reset: Reset) -> list[Port]:
    every = [*clock_ports(reset), *infos]
    return [Port(info.name, info.width, info.direction) for info in every]  # type: ignore[arg-type]


def _protocol(reset: Reset, skew: tuple[Slice, ...] = ()) -> StreamProtocol:
    return StreamProtocol(rst=reset.port, rst_level=reset.level, skew=skew)


def skew_slices(infos: list[PortInfo]) -> tuple[Slice, ...]:
    """Output elements that come later than ``o_valid``, as the manifest's ``delay_cycles`` says."""
    return tuple(
        Slice(info.name, index * info.bits, info.bits, late)
        for info in infos
        if info.delay != "0"
        for index, late in enumerate(info.delays())
        if late
    )


def port_words(spec: TileSpec, steps: Steps) -> dict[str, np.ndarray]:
    """Words [S, ceil(width / 32)] of every input port for every step."""
    values: dict[str, np.ndarray] = {
        "i_acts": spec.pack_acts(steps.acts, steps.mode),
        "i_weights": spec.pack_weights(steps.weights, steps.mode),
        "i_first": steps.first.astype(np.int64),
        "i_last": steps.last.astype(np.int64),
        "i_done": steps.done.astype(np.int64),
        "i_mode": np.full(len(steps), steps.mode),
    }
    values |= {f"i_row_{name}": side for name, side in steps.row.items()}
    values |= {f"i_col_{name}": side for name, side in steps.col.items()}
    words = {}
    for info in tile_ports(spec):
        if info.direction == "input" and info.name not in _CONTROL:
            flat = values[info.name].reshape(len(steps), -1)
            words[info.name] = pack_words(flat, info.bits or info.width)
    return words


class CompiledTile:
    """A tile's Verilog as a compiled program. The first use builds it or finds it in the cache."""

    def __init__(self, spec: TileSpec, emission: Emission | None = None) -> None:
        self.spec = spec
        self.emission = emission or emit(spec)
        self.infos = tile_ports(spec)

    @cached_property
    def simulator(self) -> CompiledSim:
        """The program; built on first use."""
        return build(
            self.emission.verilog,
            self.emission.top,
            _ports(self.infos, self.emission.reset),
            _protocol(self.emission.reset, skew_slices(self.infos)),
        )

    def run_words(self, words: dict[str, np.ndarray], beats: int, idle: np.ndarray | None = None) -> SimResult:
        """Run packed steps; see `port_words`."""
        return self.simulator.run(words, beats, idle=idle)

    def run(self, steps: Steps, beats: int, idle: np.ndarray | None = None) -> Observed:
        """Run steps and unpack the ``beats`` expected output beats."""
        return self.observe(self.run_words(port_words(self.spec, steps), beats, idle))

    def cycles(self, result: SimResult) -> int:
        """First offered step to the last sampled output, inclusive: elements of a systolic tile come after
        ``o_valid``.
        """
        return result.cycles + max((part.delay for part in skew_slices(self.infos)), default=0)

    def simulate(
        self, spec: TileSpec, steps: Steps, idle: np.ndarray | None = None, following: Sequence[Steps] = ()
    ) -> Observed:
        """The same call as `hwgen.verify.simulate`."""
        parts = [steps, *following]
        packed = [port_words(self.spec, part) for part in parts]
        words = {name: np.concatenate([part[name] for part in packed]) for name in packed[0]}
        if self.spec.lanes:
            beats = sum(int(part.done.sum()) for part in parts) * self.spec.post_beats_max
        else:
            beats = sum(int(part.last.sum()) for part in parts)
        return self.observe(self.run_words(words, beats, idle))

    def simulate_runs(self, runs: Sequence[Run]) -> list[Observed]:
        """The same call as `hwgen.verify.simulate_runs`; all runs but the last are cut, and none has idle cycles."""
        packed = [port_words(self.spec, run.steps) for run in runs]
        words = {name: np.concatenate([part[name] for part in packed]) for name in packed[0]}
        # As if no reset took any away, and room for some that should not come.
        ends = sum(int((run.steps.done if self.spec.lanes else run.steps.last).sum()) for run in runs)
        found = self.simulator.run_parts(
            words,
            [(len(run.steps), run.cut) for run in runs],
            2 * ends * max(self.spec.post_beats_max, 1),
            drain=int(self.spec.drain(self.spec.p)) + 8,
        )
        return [self.observe(part) for part in found]

    def observe(self, result: SimResult) -> Observed:
        """Unpack a result into arrays of the tile's shapes."""
        spec = self.spec
        count = len(result.beat_cycles)
        sums = np.zeros((count, spec.m, spec.n, int(spec.sums_of_cell(spec.p))), spec.sum_dtype)
        rows = np.zeros((count, spec.m), np.int64)
        y = np.zeros((count, max(spec.lanes, 1)), np.uint32)
        for info in self.infos:
            if info.direction != "output" or info.name in _CONTROL:
                continue
            values = unpack_words(result.outputs[info.name], int(np.prod(info.shape)), info.bits, info.signed)
            if info.role == "y":
                y = values.astype(np.uint32)
            elif info.role == "sums":
                sums = values.reshape(sums.shape).astype(sums.dtype)
            else:
                rows = values.reshape(rows.shape)
        return Observed(
            sums,
            rows,
            y,
            result.beat_cycles.astype(np.int64),
            result.accept_cycles.astype(np.int64),
            np.zeros(count, bool),
        )


class CompiledPre:
    """The block before a tile's activation buffer, compiled."""

    def __init__(self, pre: PreSpec, emission: Emission) -> None:
        self.pre, self.emission = pre, emission

    @cached_property
    def simulator(self) -> CompiledSim:
        """The program; built on first use."""
        reset = self.emission.reset
        ports = _ports(self.pre.ports(), reset)
        return build(self.emission.verilog, pre_name(self.emission.top), ports, _protocol(reset))

    def run(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, int]:
        """Convert activation codes [tokens, K].

        Returns the words that enter the tile [beats, M, elements], the E8M0 scale of each beat [beats, M] (None without
        alignment) and the counted cycles.
        """
        words, scale, result = self._run(codes, None)
        return words, scale, result.cycles

    def simulate(self, codes: np.ndarray, idle: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same call as `hwgen.verify.simulate_pre`, of the block: ``idle`` empty cycles before each beat."""
        words, scale, result = self._run(codes, idle)
        cycles = result.beat_cycles.astype(np.int64) + int(idle[0])
        return words, np.zeros(words.shape[:2], np.int64) if scale is None else scale, cycles

    def _run(self, codes: np.ndarray, idle: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None, SimResult]:
        pre = self.pre
        beats = pre.lower(codes)
        values: dict[str, Any] = {"i_acts": beats["acts"], "i_observe": beats["observe"], "i_first": beats["first"]}
        words = {
            info.name: pack_words(values[info.name].reshape(len(beats["observe"]), -1).astype(np.int64), info.bits or 1)
            for info in pre.ports()
            if info.direction == "input" and info.name not in _CONTROL
        }
        result = self.simulator.run(words, int((~beats["observe"]).sum()), idle=idle)
        out = unpack_words(result.outputs["o_acts"], pre.m * pre.elements, pre.element_bits, False)
        scale = unpack_words(result.outputs["o_scale"], pre.m, 8, False) if pre.align else None
        return out.reshape(-1, pre.m, pre.elements), scale, result
