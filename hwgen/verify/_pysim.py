"""Run a tile in Amaranth's simulator: the un-shared design, no tools needed."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.emit import Reset
from hwgen.frame.assembly import Tile
from hwgen.frame.spec import TileSpec
from hwgen.schedule import Steps

__all__ = ["Observed", "Run", "pack_port", "simulate", "simulate_runs", "unpack_port", "wide_payloads"]


@dataclass(frozen=True)
class Observed:
    """What a simulation gave. Cycle 0 is the first with ``i_valid``.

    ``sums`` [B, M, N, P], ``rows`` [B, M] or ``y`` [B, lanes]; ``cycle`` [B] in which ``o_valid`` was seen for each
    beat;
    ``accepted`` [S] in which each step was accepted. ``early`` [B] tells whether the outputs already had the beat's
    value one cycle before.
    """

    sums: np.ndarray
    rows: np.ndarray
    y: np.ndarray
    cycle: np.ndarray
    accepted: np.ndarray
    early: np.ndarray

    @property
    def cycles(self) -> int:
        """First offered step to last beat, inclusive."""
        return int(self.cycle[-1]) + 1 if len(self.cycle) else 0


def pack_port(values: np.ndarray, bits: int) -> int:
    """Elements in row-major order, element 0 in the lowest bits, as one integer."""
    word = 0
    mask = (1 << bits) - 1
    for index, value in enumerate(values.reshape(-1).tolist()):
        word |= (value & mask) << (index * bits)
    return word


def unpack_port(word: int, bits: int, count: int, signed: bool) -> list[int]:
    """Elements of a port's value."""
    mask = (1 << bits) - 1
    values = [(word >> (index * bits)) & mask for index in range(count)]
    return [value - (1 << bits) if signed and value >> (bits - 1) else value for value in values]


def _payloads(spec: TileSpec, steps: Steps, layout: Any) -> list[int]:
    """The input payload of every step as an integer."""
    fields: dict[str, np.ndarray] = {
        "acts": spec.pack_acts(steps.acts, steps.mode),
        "weights": spec.pack_weights(steps.weights, steps.mode),
        "first": steps.first.astype(np.int64),
        "last": steps.last.astype(np.int64),
        "done": steps.done.astype(np.int64),
        "mode": np.full(len(steps), steps.mode),
    }
    fields |= {f"row_{name}": values for name, values in steps.row.items()}
    fields |= {f"col_{name}": values for name, values in steps.col.items()}
    _, act_bits = spec.act_port(spec.p)
    _, weight_bits = spec.weight_port(spec.p)
    widths = {
        "acts": int(act_bits),
        "weights": int(weight_bits),
        "first": 1,
        "last": 1,
        "done": 1,
        "mode": spec.mode_bits,
    }
    widths |= {f"row_{name}": side.bits for name, side in spec.row_side().items()}
    widths |= {f"col_{name}": side.bits for name, side in spec.col_side().items()}
    words = []
    for index in range(len(steps)):
        word = 0
        for name, _ in layout:
            word |= pack_port(np.asarray(fields[name][index]), widths[name]) << layout[name].offset
        words.append(word)
    return words


@dataclass(frozen=True)
class _Raw:
    """Beats as (cycle, payload, payload was there a cycle before), acceptance cycles, the payload in every cycle, and
    the cycle in which each run starts.
    """

    layout: Any
    beats: list[tuple[int, int, bool]]
    accepted: list[int]
    history: list[int]
    starts: list[int]


@dataclass(frozen=True)
class Run:
    """Steps to drive, ``idle`` [S] empty cycles before each, and the cycle in which a reset cuts them off, if one does.

    The reset comes while a step is on offer (the run must be long enough), wherever it then is, and without idle
    cycles.
    """

    steps: Steps
    idle: np.ndarray | None = None
    cut: int | None = None


def simulate(spec: TileSpec, steps: Steps, idle: np.ndarray | None = None, following: Sequence[Steps] = ()) -> Observed:
    """Drive the steps as soon as they are accepted, after ``idle`` [S] empty cycles each, then those of
    ``following``.
    """
    raw = _run(spec, [Run(steps, idle), *(Run(part) for part in following)], drained=False)
    lead = 0 if idle is None else int(idle[0])
    return _collect(spec, raw, raw.beats, raw.accepted, lead)


def simulate_runs(spec: TileSpec, runs: Sequence[Run], reset: Reset | None = None) -> list[Observed]:
    """Run after run in one simulation, each from its cycle 0: drained and then reset, or cut off by a reset.

    After a cut the next run follows at once. Beats seen in a run's own cycles, that of the reset included, are its own;
    elements that a systolic tile would show later read as 0. ``reset``: of what kind it is.
    """
    raw = _run(spec, runs, drained=True, reset=reset)
    result = []
    for run, begin, end in zip(runs, raw.starts, [*raw.starts[1:], len(raw.history)], strict=True):
        part = _Raw(raw.layout, raw.beats, raw.accepted, raw.history[:end], raw.starts)
        lead = 0 if run.idle is None else int(run.idle[0])
        beats = [beat for beat in raw.beats if begin <= beat[0] < end]
        accepted = [cycle for cycle in raw.accepted if begin <= cycle < end]
        result.append(_collect(spec, part, beats, accepted, begin + lead))
    return result


def _run(spec: TileSpec, runs: Sequence[Run], *, drained: bool, reset: Reset | None = None) -> _Raw:
    from amaranth.hdl import ClockDomain, Module, Signal
    from amaranth.sim import Simulator

    tile, how = Tile(spec), reset or Reset()
    payload = tile.i.payload.as_value()
    words = [_payloads(spec, run.steps, tile.i.payload.shape()) for run in runs]
    raw = _Raw(tile.o.payload.shape(), [], [], [], [])
    # As the emitted module has it: a port of its own level in the tile's clock domain.
    port, top = Signal(init=1 - how.level, name=how.port), Module()
    top.domains.sync = domain = ClockDomain(async_reset=how.kind == "async")
    top.d.comb += domain.rst.eq(port == how.level)
    top.submodules.tile = tile
    drain = int(spec.drain(spec.p)) + 8

    async def bench(ctx: Any) -> None:
        cycle = 0

        async def tick() -> None:
            nonlocal cycle
            value = int(ctx.get(tile.o.payload.as_value()))
            raw.history.append(value)
            if ctx.get(tile.o.valid):
                raw.beats.append((cycle, value, len(raw.history) > 1 and raw.history[-2] == value))
            await ctx.tick()
            cycle += 1

        noise = 0x5DEECE66D

        async def restart() -> None:
            ctx.set(port, how.level)
            await tick()
            ctx.set(port, 1 - how.level)

        async def settle() -> None:
            ctx.set(tile.i.valid, 0)
            for _ in range(drain):
                await tick()

        for run, part in zip(runs, words, strict=True):
            raw.starts.append(cycle)
            stop = None if run.cut is None else cycle + run.cut
            for word, wait in zip(part, [0] * len(part) if run.idle is None else run.idle.tolist(), strict=True):
                for _ in range(wait):
                    ctx.set(tile.i.valid, 0)
                    noise = (noise * 0x5DEECE66D + 11) % (1 << 48)
                    ctx.set(payload, (noise * 0x9E3779B97F4A7C15F39CC0605CEDC835) % (1 << len(payload)))
                    await tick()
                ctx.set(tile.i.valid, 1)
                ctx.set(payload, word)
                while cycle != stop and not ctx.get(tile.i.ready):
                    await tick()
                if cycle == stop:
                    break
                raw.accepted.append(cycle)
                await tick()
            if stop is not None:
                # Only a tile that takes steps faster than it says comes here with none left.
                while cycle != stop:
                    ctx.set(tile.i.valid, 0)
                    await tick()
                await restart()
            elif drained:
                await settle()
                await restart()
        await settle()

    with warnings.catch_warnings(), wide_payloads():
        # Amaranth warns when a comb-only tile has no clocked process in some block.
        warnings.simplefilter("ignore")
        simulator = Simulator(top)
        simulator.add_clock(1e-6)
        simulator.add_testbench(bench)
        simulator.run()
    return raw


@contextmanager
def wide_payloads() -> Iterator[None]:
    """Lets numbers be as long as it takes: Amaranth's simulator writes masks of whole payloads in decimal, and Python
    refuses more than 4,300 digits (some 14,000 bits) unless told.
    """
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        yield
    finally:
        sys.set_int_max_str_digits(before)


def _collect(spec: TileSpec, raw: _Raw, beats: list[tuple[int, int, bool]], accepted: list[int], zero: int) -> Observed:
    """``beats`` with cycles counted from cycle ``zero``."""
    layout, history, skew = raw.layout, raw.history, int(spec.skew(spec.p))
    count = len(beats)
    per_cell = int(spec.sums_of_cell(spec.p))
    sums = np.zeros((count, spec.m, spec.n, per_cell), spec.sum_dtype)
    rows = np.zeros((count, spec.m), np.int64)
    y = np.zeros((count, max(spec.lanes, 1)), np.uint32)
    for index, (cycle, value, _) in enumerate(beats):
        if spec.lanes:
            y[index] = unpack_port(value, 32, spec.lanes, False)
            continue
        for hop in range(skew + 1):
            late = history[cycle + hop] if cycle + hop < len(history) else 0
            bits = int(spec.acc_bits(spec.p))
            cells = unpack_port(late >> layout["sums"].offset, bits, spec.m * spec.n * per_cell, spec.sum_signed)
            grid = np.array(cells, dtype=sums.dtype).reshape(spec.m, spec.n, per_cell)
            distance = np.add.outer(np.arange(spec.m), np.arange(spec.n)) if skew else np.zeros((spec.m, spec.n), int)
            sums[index][distance == hop] = grid[distance == hop]
            if spec.has_row_sums:
                totals = np.array(
                    unpack_port(late >> layout["row_sums"].offset, int(spec.row_sum_bits(spec.p)), spec.m, True)
                )
                mine = np.arange(spec.m) == hop if skew else np.full(spec.m, hop == 0)
                rows[index][mine] = totals[mine]
    return Observed(
        sums,
        rows,
        y,
        np.array([cycle - zero for cycle, _, _ in beats], np.int64),
        np.array(accepted, np.int64) - zero,
        np.array([early for _, _, early in beats], bool),
    )
