"""Sweeps of accelerators: rows beside `estimate --level accelerator`, the cycle model, and each design's checks."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from dse.designs import ACCELERATORS, AROUND, METRICS
from dse.space import Space
from dse.sweep import Sweep, run_sweep
from hwgen.accelerator import Design
from hwgen.accelerator.closed import REGIMES
from hwgen.accelerator.use import Use
from hwgen.cli._job_costs import job_costs
from hwgen.cli._jobs import LayerJobs, found_jobs
from hwgen.errors import HwgenError
from hwgen.pe import family, family_names
from hwgen.schedule import Layer, Schedule
from sim.clock import at_clock

LAYERS = [Layer("up", 6, 24, 128), Layer("down", 6, 16, 64, 3)]
SHORT = [Layer("up", 2, 4, 64), Layer("down", 2, 8, 32, 3)]
"""Layers whose results leave in one burst: of some designs the closed form is sure."""
TILE = {"m": (2, 4), "n": (4,), "k": (4, 8), "bits": (4,), "group": (64,)}
AXES = {
    "bus_bits": (64, 512),
    "weight_ring": (16, 256),
    "act_ring": (16, 256),
    "burst": (4, 16),
    "memory_latency": (4, 40),
    "memory_beats": ("1/1", "2/3"),
}


def space(tile: dict[str, Any] | None = None, **axes: Any) -> Space:
    return Space.of("int", tile or TILE).beside(AROUND, axes or AXES)


@cache
def swept(short: bool = False) -> Sweep:
    return run_sweep([space()], SHORT if short else LAYERS, level=ACCELERATORS, clk_period_ns=20.0)


def alone(row: dict[str, Any], layers: list[Layer]) -> list[LayerJobs]:
    """The row's accelerator as `hwgen estimate` makes it, and its jobs."""
    tile = at_clock(family("int"), {name: row[name] for name in TILE}, "sky130hd", row["clk_period_ns"])
    assert {name: row[name] for name in tile.p} == tile.p
    design = Design.from_values(tile, {name: row[name] for name in Design.parameters()})
    use = Use.from_values({name: row[name] for name in Use.parameters()})
    return [found_jobs(design, layer, use, False) for layer in layers]


def rows(result: Sweep, count: int, **wanted: Any) -> list[dict[str, Any]]:
    points = result.points
    for name, value in wanted.items():
        points = points[points[name] == value]
    index = np.random.default_rng(1).choice(len(points), min(count, len(points)), replace=False)
    return [dict(row) for row in points.iloc[index].astype(object).to_dict("records")]


def test_no_family_has_a_parameter_of_what_is_around() -> None:
    for name in family_names():
        assert not set(AROUND.parameters) & {"bits", *family(name).parameters()}


def test_rows_are_what_estimate_says() -> None:
    """Cycles, waits, bytes, areas, energies and the jobs themselves, where the closed form is exact."""
    result = swept(short=True)
    assert result.looked_at == len(result.points) == 4 * 2**6
    assert 0.1 < result.points["cycles_exact"].mean() < 1
    for row in rows(result, 16, cycles_exact=True):
        found = alone(row, SHORT)
        costs = job_costs(found, "sky130hd", 20.0)
        document, energy = costs.as_dict(), costs.energy_pj
        best = [(one.best[1], one.schedule.layer.count) for one in found]
        cycles = sum(one.cycles * count for one, count in best)
        bus, macs = row["bus_bits"] // 8, sum(layer.macs for layer in SHORT)
        want = {
            "weight_bits": 4,
            "area_um2": document["area_um2"]["total"],
            "tile_area_um2": sum(v for k, v in document["area_um2"].items() if k.startswith("tile_")),
            "sram_area_um2": sum(v for k, v in document["area_um2"].items() if k.endswith("_sram")),
            "clk_period_ns": 20,
            "min_clk_period_ns": document["min_clk_period_ns"],
            "memory_cycle_ns": document["memory_cycle_ns"],
            "meets_clock": document["meets_clock"],
            "cycles": cycles,
            "cycles_exact": True,
            "wait_cycles": cycles - sum(one.schedule.closed() * one.schedule.layer.count for one in found),
            "read_bytes": bus * sum(sum(one.read_beats.values()) * count for one, count in best),
            "write_bytes": bus * sum(one.write_beats * count for one, count in best),
            "latency_us": costs.time_ns / 1000,
            "energy_pj": document["energy_pj"]["total"],
            "tile_energy_pj": sum(v for k, v in energy.items() if k.startswith("tile_")),
            "sram_energy_pj": sum(v for k, v in energy.items() if k.endswith("_sram")),
            "energy_pj_per_mac": document["energy_pj"]["total"] / macs,
            "power_mw": document["power_mw"],
            "tops": 2e-3 * macs / costs.time_ns,
            "tops_per_mm2": 2000 * macs / costs.time_ns / document["area_um2"]["total"],
            "utilization": sum(
                one.utilisation(took.cycles) * took.cycles * count
                for one, (took, count) in zip(found, best, strict=True)
            )
            / cycles,
        }
        for what in ("area_um2", "energy_pj"):
            want[f"around_{what}"] = want[what] - want[f"tile_{what}"] - want[f"sram_{what}"]
        assert {name: row[name] for name in want} == pytest.approx(want, rel=1e-9)
        assert set(METRICS) - set(want) == {"bound", "jobs"}
        for text, one in zip(row["jobs"].split(), found, strict=True):
            least = [job for job, took in one.jobs if (took.cycles, took.read_beats) == _effort(one)]
            assert text in [f"{'wa'[job.order]}:{'w' * job.hold_weights + 'a' * job.hold_acts or '-'}" for job in least]


def _effort(one: LayerJobs) -> tuple[int, dict[str, int]]:
    return one.best[1].cycles, one.best[1].read_beats


def test_the_command_says_the_same(tmp_path: Path) -> None:
    words = "--pe int --m 2 --n 4 --k 4 --bits 4 --group 64 --layer l:2x8x32*2 --clk-period-ns 20 --level accelerator"
    around = "--bus-bits 512 --weight-ring 256 --act-ring 256 --memory-latency 7 --order acts --json"
    documents = []
    for command in ("estimate", "sweep"):
        run = subprocess.run(
            [sys.executable, "-m", "hwgen", command, *words.split(), *around.split()],
            capture_output=True,
            text=True,
            check=True,
        )
        documents.append(json.loads(run.stdout))
    estimate, sweep = documents
    assert sweep["level"] == "accelerator"
    (row,) = sweep["front"]
    assert row["cycles_exact"]
    assert row["cycles"] == estimate["cycles"]
    assert row["jobs"].startswith("a:")
    for ours, theirs in (("area_um2", "area_um2"), ("energy_pj", "energy_pj")):
        assert row[ours] == pytest.approx(estimate["cost"][theirs]["total"], rel=1e-9)


def test_cycles_are_near_those_of_the_cycle_model() -> None:
    differences = []
    for row in rows(swept(), 24):
        cycles = sum(one.best[1].cycles * one.schedule.layer.count for one in alone(row, LAYERS))
        differences.append(abs(row["cycles"] / cycles - 1))
        assert row["bound"] in REGIMES
    assert np.median(differences) < 0.02
    assert np.max(differences) < 0.15


def test_one_layer_on_a_design_at_its_own_clock() -> None:
    result = run_sweep(
        [space({**TILE, "m": (2,), "k": (4,)}, bus_bits=(64,))], LAYERS[:1], level=ACCELERATORS, clk_period_ns="own"
    )
    row = result.points.iloc[0]
    assert row["clk_period_ns"] == max(row["min_clk_period_ns"], row["memory_cycle_ns"])
    assert row["meets_clock"]


def test_designs_that_cannot_be_are_counted_as_their_checks_say() -> None:
    axes = {"bus_bits": None, "burst": (16, 64, 128, 256), "count_bits": (8, 24), "result": ("tile", "int8")}
    layers = [Layer("long", 1, 4, 4 * 300)]
    tile = {"m": (1,), "n": (4,), "k": (4, 24), "bits": (4,), "group": (64,)}
    result = run_sweep([space(tile, **axes)], layers, level=ACCELERATORS, clk_period_ns=20.0)
    legal, reasons = 0, []
    for k, bus, burst, bits, form in itertools.product(
        (4, 24), (64, 128, 256, 512), axes["burst"], (8, 24), axes["result"]
    ):
        try:
            made = family("int").from_values({"m": 1, "n": 4, "k": k, "bits": 4, "group": 64})
            design = Design.from_values(made, {"bus_bits": bus, "burst": burst, "count_bits": bits, "result": form})
            list(found_jobs(design, layers[0], Use(), False).jobs)
            legal += 1
        except HwgenError as error:
            reasons.append(str(error))
    assert (result.looked_at, len(result.points)) == (128, legal)
    assert sum(result.skipped.values()) == len(reasons)
    bursts = "int: burst must be at most the beats of 4096 bytes, which no burst of AXI4 crosses"
    assert result.skipped[bursts] == sum("AXI4" in reason for reason in reasons)
    assert result.skipped["int: group must be a multiple of k"] == 64
    assert result.skipped["int: blocks, steps and groups must be less than 2^count_bits (long)"] == sum(
        "count_bits" in reason for reason in reasons
    )
    assert any("group must be 0 for result int8" in reason for reason in result.skipped)


def test_results_of_all_forms_are_points() -> None:
    """Narrower results are fewer bytes and other area, as `estimate` says."""
    tile = {"m": (1,), "n": (4,), "k": (4,), "bits": (4,), "group": (0,)}
    result = run_sweep([space(tile, result=("tile", "int8", "int4"))], LAYERS, level=ACCELERATORS, clk_period_ns=30.0)
    assert (result.looked_at, len(result.points)) == (3, 3)
    for row in rows(result, 3):
        found = alone(row, LAYERS)
        costs = job_costs(found, "sky130hd", 30.0)
        assert row["area_um2"] == pytest.approx(costs.as_dict()["area_um2"]["total"], rel=1e-9)
        bus = row["bus_bits"] // 8
        assert row["write_bytes"] == bus * sum(one.best[1].write_beats * one.schedule.layer.count for one in found)


def test_a_named_clock_leaves_out_what_does_not_keep_it() -> None:
    tile = {**TILE, "m": (2,), "k": (4,)}
    usual = run_sweep([space(tile, burst=(4, 64))], LAYERS, level=ACCELERATORS)
    assert set(usual.points["clk_period_ns"]) == {4.0}
    assert not usual.points["meets_clock"].any()
    with_clock = run_sweep([space(tile, burst=(4, 64))], LAYERS, level=ACCELERATORS, clk_period_ns=[4.0, 5.0, 6.0])
    assert with_clock.points["meets_clock"].all()
    late = {reason: count for reason, count in with_clock.skipped.items() if "clock period" in reason}
    assert sum(late.values()) + len(with_clock.points) == 6
    assert "int: a clock period of 5 ns cannot be met by memories" in late
    for row in usual.points.to_dict("records"):
        assert row["memory_cycle_ns"] > 5


def test_blocks_and_parts_do_not_change_rows(tmp_path: Path) -> None:
    key = ["m", "k", *AXES]
    small = run_sweep(
        [space()], LAYERS, level=ACCELERATORS, clk_period_ns=20.0, chunk_points=9, output=tmp_path / "s.parquet"
    )
    frames = []
    for frame in (small.points, swept().points):
        texts = [name for name in frame if frame[name].dtype.name == "category"]
        frames.append(frame.astype(dict.fromkeys(texts, str)).sort_values(key, ignore_index=True))
    pd.testing.assert_frame_equal(*frames)
    metadata = json.loads(pq.read_schema(tmp_path / "s.parquet").metadata[b"hwgen.sweep"])
    assert metadata["level"] == "accelerator"
    assert metadata["not_counted"] == []
    again = run_sweep([space()], LAYERS, level=ACCELERATORS, clk_period_ns=20.0, output=tmp_path / "s.parquet")
    assert again.resumed == again.looked_at


def test_layers_of_one_size_are_evaluated_once_and_counted_each() -> None:
    once, twice, other = LAYERS[0], replace(LAYERS[0], name="again", count=2), LAYERS[1]
    tile = {**TILE, "m": (2,), "k": (4,)}
    found = [
        run_sweep([space(tile)], layers, level=ACCELERATORS, clk_period_ns=20.0).points
        for layers in ([once, other, twice], [replace(once, count=3), other])
    ]
    for name in ("cycles", "wait_cycles", "read_bytes", "write_bytes", "energy_pj", "utilization"):
        assert np.array_equal(found[0][name], found[1][name]), name
    for apart, together in zip(found[0]["jobs"], found[1]["jobs"], strict=True):
        first, second = together.split()
        assert apart.split() == [first, second, first]


def test_orders_and_what_stays() -> None:
    tile = {**TILE, "m": (2,), "k": (4,)}
    result = run_sweep([space(tile, order=("best", "weights", "acts"))], LAYERS, level=ACCELERATORS, clk_period_ns=20.0)
    by = {row["order"]: row for row in result.points.astype({"order": str, "jobs": str}).to_dict("records")}
    assert [word[0] for word in by["weights"]["jobs"].split()] == ["w", "w"]
    assert [word[0] for word in by["acts"]["jobs"].split()] == ["a", "a"]
    assert by["best"]["cycles"] <= min(by["weights"]["cycles"], by["acts"]["cycles"])


def test_what_no_source_gives_is_missing() -> None:
    tile = {**TILE, "m": (2,), "k": (4,)}
    result = run_sweep([space(tile, burst=(4, 16))], LAYERS, level=ACCELERATORS, tech="asap7")
    assert result.points["memory_cycle_ns"].isna().all()
    assert (result.points["sram_area_um2"] == 0).all()
    assert result.metadata["not_counted"] == ["areas and leakage of memories"]
    published = run_sweep(
        [space(tile, burst=(4, 16))], LAYERS, level=ACCELERATORS, tech="horowitz45", clk_period_ns=1.0
    )
    assert published.points["meets_clock"].isna().all()
    with pytest.raises(HwgenError, match="clk_period_ns must be given with technology horowitz45"):
        run_sweep([space(tile, burst=(4, 16))], LAYERS, level=ACCELERATORS, tech="horowitz45")


def test_mistakes() -> None:
    tiles = Space.of("int", TILE)
    with pytest.raises(HwgenError, match="sweep: spaces must be of the level accelerator"):
        run_sweep([tiles], LAYERS, level=ACCELERATORS)
    with pytest.raises(HwgenError, match="sweep: spaces must be of the level tile"):
        run_sweep([space()], LAYERS)
    for axes, sentence in (
        ({"bus_bits": (96,)}, "accelerator: bus_bits must be 64, 128, 256 or 512, not 96"),
        ({"memory_beats": ("3/2",)}, "memory: beats must be a share of the cycles"),
        ({"memory_beats": ("half",)}, "memory_beats must be beats and cycles as N/D"),
        ({"order": ("rows",)}, "accelerator: order must be best, weights or acts, not 'rows'"),
        ({"wings": (1,)}, "accelerator: no parameter 'wings'"),
    ):
        with pytest.raises(HwgenError, match=sentence):
            tiles.beside(AROUND, axes)
    some = tiles.beside(AROUND, {"bus_bits": ("64", "96"), "burst": (4, 8)}, strict=False)
    assert some.dropped == {"accelerator: bus_bits must be 64, 128, 256 or 512, not 96": tiles.size * 2}
    assert Schedule(at_clock(family("int"), {"m": 2}, "sky130hd", 20.0), LAYERS[0]).steps
