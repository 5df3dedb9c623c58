from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import dse.sweep
from dse.level import Clock
from dse.pareto import front
from dse.space import Space, reason_of
from dse.sweep import run_sweep, sweep_hash
from dse.tiles import METRICS, TILES
from hwgen.errors import HwgenError
from hwgen.pe import TileSpec, family
from hwgen.schedule import Layer, Schedule, closed_cycles
from sim.clock import OWN, at_clock
from sim.estimate import estimate
from sim.tech import load

LAYERS = [Layer("up", 5, 96, 576), Layer("down", 5, 64, 192, 3)]
INT = {"m": (1, 2), "n": (4, 8, 12), "k": (4, 8, 24), "bits": (2, 3), "post_lanes": (0, 1, 4), "transport": None}
LUT = {
    "bits": (1, 2, 3, 4),
    "planes_per_cycle": (1, 2),
    "n": (4, 16),
    "acts": ("int8", "fp16"),
    "planes": None,
    "symmetry": None,
}
MX = {"weights": None, "n": (4, 8), "post_lanes": (1, 4, 8)}


def spaces() -> list[Space]:
    return [Space.of("int", INT), Space.of("lut", LUT), Space.of("mx", MX)]


def one_by_one(space: Space) -> tuple[list[dict[str, Any]], Counter[str]]:
    """The sweep as a loop over instances: values of the legal points, and the number of the others."""
    import itertools

    legal = []
    wrong: Counter[str] = Counter()
    for point in itertools.product(*space.axes.values()):
        values = dict(zip(space.axes, point, strict=True))
        try:
            tile = space.spec.from_values(values)
            for layer in LAYERS:
                Schedule(tile, layer)
        except HwgenError:
            wrong[space.family] += 1
            continue
        legal.append(values)
    return legal, wrong


def test_every_point_equals_its_instance() -> None:
    result = run_sweep(spaces(), LAYERS, tech="tpuv4i7", clk_period_ns=1.5, chunk_points=50)
    assert result.looked_at == sum(space.size for space in spaces())
    for space in spaces():
        legal, wrong = one_by_one(space)
        rows = result.points[result.points["pe"] == space.family]
        assert len(rows) == len(legal)
        assert wrong[space.family] == sum(n for reason, n in result.skipped.items() if reason.startswith(space.family))
        found = {tuple(row[name] for name in space.axes): row for row in rows.to_dict("records")}
        rng = np.random.default_rng(1)
        for index in rng.choice(len(legal), min(len(legal), 40), replace=False):
            values = legal[index]
            row = found[tuple(values.values())]
            tile = space.spec.from_values(values)
            report = sum(estimate(tile, layer, "tpuv4i7", 1.5) for layer in LAYERS)
            want = {**report.as_dict(), "area_um2": report.total_area_um2, "energy_pj": report.total_energy_pj}
            want["weight_bits"] = tile.weight_format.code_bits
            # Published tables have no timing.
            want["min_clk_period_ns"] = np.nan
            assert {name: row[name] for name in METRICS} == pytest.approx(
                {name: want[name] for name in METRICS}, rel=1e-12, nan_ok=True
            )


@pytest.mark.parametrize(
    "space",
    [
        Space.of("int", {"k": (4, 8), "n": (4, 12), "bits": (2, 8), "post_lanes": (0, 4)}),
        Space.of("mx", {"weights": ("mxfp4", "mxint8"), "k": (4, 8), "n": (4, 8), "post_lanes": (4,)}),
    ],
    ids=["int", "mx"],
)
def test_tiles_of_a_clock_are_those_that_the_clock_makes(space: Space) -> None:
    clocks = (4.0, 7.0)
    rows = run_sweep([space], LAYERS, clk_period_ns=clocks).points
    made: dict[tuple[Any, ...], tuple[TileSpec, float]] = {}
    named = [name for name, values in space.axes.items() if len(values) > 1]
    for clock, *point in itertools.product(clocks, *(space.axes[name] for name in named)):
        values = {**{name: values[0] for name, values in space.axes.items()}, **dict(zip(named, point, strict=True))}
        free = {name: value for name, value in values.items() if name in named}
        try:
            made[clock, *point] = at_clock(space.spec, {**free, "group": values["group"]}, "sky130hd", clock), clock
        except HwgenError:
            continue
    assert len(rows) == len(made) > len(clocks)
    for row in rows.to_dict("records"):
        tile, clock = made[row["clk_period_ns"], *(row[name] for name in named)]
        assert {name: row[name] for name in tile.p} == tile.p
        report = sum(estimate(tile, layer, "sky130hd", clock) for layer in LAYERS)
        assert row["cycles"] == report.cycles
        assert row["area_um2"] == pytest.approx(report.total_area_um2)
        assert row["energy_pj"] == pytest.approx(report.total_energy_pj)
        assert row["min_clk_period_ns"] <= clock


def test_axes_that_place_registers_are_kept() -> None:
    space = Space.of("int", {"cell_cuts": (0, 1), "k": (4,)})
    rows = run_sweep([space], LAYERS, clk_period_ns=50.0).points
    assert sorted(rows["cell_cuts"]) == [0, 1]


def test_a_named_value_stays_though_it_is_the_default() -> None:
    fixed = {"weights": ("fp16",), "acts": ("fp16",), "accumulator": ("fp32",), "k": (1,)}
    named = run_sweep([Space.of("minifloat", {**fixed, "interleave": ("none",)})], LAYERS, clk_period_ns=8.0).points
    free = run_sweep([Space.of("minifloat", fixed)], LAYERS, clk_period_ns=8.0).points
    assert set(named["interleave"].astype(str)) == {"none"}
    assert set(free["interleave"].astype(str)) == {"ring"}


def test_skipped_points_have_reasons() -> None:
    space = Space.of("lut", {"bits": (1, 2, 3, 4), "planes_per_cycle": (1, 2, 4)})
    result = run_sweep([space], LAYERS, clk_period_ns=OWN)
    # 1: 2, 4; 2: 4; 3: 2, 4.
    assert result.skipped == {"lut: planes_per_cycle must divide bits": 5}
    assert len(result.points) == 12 - 5
    result = run_sweep([Space.of("int", {"k": (3, 4, 128)})], [Layer("odd", 1, 8, 132)])
    assert result.skipped == {"int: group must be a multiple of k": 1}
    result = run_sweep([Space.of("int", {"group": (0, 64), "overflow": None})], [Layer("l", 1, 8, 576)])
    reason = (
        "int: a group of the layer must fit depth, or its sums saturate or wrap without a correction behind them (l)"
    )
    assert result.skipped == {reason: 1}
    assert len(result.points) == 5


def test_dropped_values_are_counted() -> None:
    space = Space.of("mx", {"bits": (3, 4)}, strict=False)
    result = run_sweep([space], LAYERS)
    assert result.skipped == {"mx: bits must be 4, 6 or 8, not 3": 1}
    assert (result.looked_at, len(result.points)) == (2, 1)


def test_front_is_that_of_all_points() -> None:
    objectives = ("area_um2", "energy_pj_per_mac", "-weight_bits")
    result = run_sweep(spaces(), LAYERS, objectives=objectives, chunk_points=40)
    pd.testing.assert_frame_equal(result.front, front(result.points, objectives))
    assert 3 < len(result.front) < len(result.points)


def test_block_size_does_not_change_rows() -> None:
    key = ["pe", *INT]
    small, large = (run_sweep([Space.of("int", INT)], LAYERS, chunk_points=size).points for size in (7, 10_000))
    assert not small.duplicated(key).any()
    pd.testing.assert_frame_equal(
        *(frame.astype({"pe": str, "transport": str}).sort_values(key, ignore_index=True) for frame in (small, large)),
        check_categorical=False,
    )


def test_parquet_holds_rows_and_origin(tmp_path: Path) -> None:
    file = tmp_path / "sweep.parquet"
    result = run_sweep(spaces(), LAYERS, output=file, command="hwgen sweep --x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep.parquet"]
    pd.testing.assert_frame_equal(pq.read_table(file).to_pandas(), result.points)
    metadata = json.loads(pq.read_schema(file).metadata[b"hwgen.sweep"])
    assert metadata["command"] == "hwgen sweep --x"
    assert metadata["skipped"] == dict(result.skipped)
    assert metadata["status"] == "measured, pre-layout"
    assert {"hwgen", "python", "numpy", "pandas", "pyarrow", "moocore"} == set(metadata["versions"])
    assert metadata["commit"]
    assert metadata["layers"][1] == {"name": "down", "m": 5, "n": 64, "k": 192, "count": 3}


def test_a_finished_sweep_is_not_evaluated_again(tmp_path: Path) -> None:
    file = tmp_path / "sweep.parquet"
    first = run_sweep(spaces(), LAYERS, output=file)
    broken = replace(TILES, evaluate=None)
    again = run_sweep(spaces(), LAYERS, output=file, level=broken)
    assert (again.resumed, again.seconds, again.points_per_second) == (first.looked_at, 0, 0)
    pd.testing.assert_frame_equal(again.points, first.points)
    pd.testing.assert_frame_equal(again.front, first.front)
    with pytest.raises(TypeError):
        run_sweep(spaces(), LAYERS[:1], output=file, level=broken)


class Interrupted(Exception):
    """Stands for Ctrl-C in the middle of a sweep."""


def test_an_interrupted_sweep_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_sweep(spaces(), LAYERS, chunk_points=50)
    monkeypatch.setattr(dse.sweep, "_PART_ROWS", 1)
    file = tmp_path / "sweep.parquet"
    calls = 0

    def stopping(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise Interrupted
        return TILES.evaluate(*arguments)

    with pytest.raises(Interrupted):
        run_sweep(spaces(), LAYERS, output=file, chunk_points=50, level=replace(TILES, evaluate=stopping))
    assert not file.exists()
    total = 0
    calls = 100

    def counting(*arguments: Any) -> Any:
        nonlocal total
        total += 1
        return TILES.evaluate(*arguments)

    rest = run_sweep(spaces(), LAYERS, output=file, chunk_points=50, level=replace(TILES, evaluate=counting))
    blocks = sum(1 for space in spaces() for _ in space.chunks(50))
    assert total == blocks - 4
    assert 0 < rest.resumed < rest.looked_at == whole.looked_at
    assert rest.skipped == whole.skipped
    pd.testing.assert_frame_equal(rest.points, whole.points)
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.parquet"]


def test_hash_covers_what_rows_depend_on() -> None:
    tech = load()
    space = [Space.of("int", {"n": (4, 8)})]
    one = [Clock(1.0)]
    base = sweep_hash(space, LAYERS, tech, one)
    assert base == sweep_hash([Space.of("int", {"n": (4, 8)})], list(LAYERS), tech, [Clock(1.0)])
    others = {
        sweep_hash([Space.of("int", {"n": (4, 16)})], LAYERS, tech, one),
        sweep_hash([Space.of("int", {"n": (4, 8), "bits": (4,)})], LAYERS, tech, one),
        sweep_hash(space, LAYERS[:1], tech, one),
        sweep_hash(space, LAYERS, load("tpuv4i7"), one),
        sweep_hash(space, LAYERS, tech, [Clock(2.0)]),
        sweep_hash(space, LAYERS, tech, [Clock(1.0), Clock(2.0)]),
        sweep_hash(space, LAYERS, tech, [Clock(None)]),
        sweep_hash(space, LAYERS, tech, [Clock(1.0, named=False)]),
        sweep_hash(space, LAYERS, tech, one, replace(TILES, name="other")),
        sweep_hash(space, LAYERS, tech, one, replace(TILES, sources=("sim/accelerator",))),
        sweep_hash([Space.of("int", {"n": (4, 8), "cell_cuts": (0,)})], LAYERS, tech, one),
    }
    assert len(others - {base}) == 11


def test_mistakes(tmp_path: Path) -> None:
    space = [Space.of("int", {"n": (4, 8)})]
    with pytest.raises(HwgenError, match="sweep: needs at least one family and one layer, not 1 and 0"):
        run_sweep(space, [])
    with pytest.raises(
        HwgenError, match=r"pareto: objective must be one of .*area_um2.*, not 'aera_um2'; did you mean 'area_um2'"
    ):
        run_sweep(space, LAYERS, objectives=["aera_um2"])
    with pytest.raises(HwgenError, match="sweep: clk_period_ns must be above 0, not -1"):
        run_sweep(space, LAYERS, clk_period_ns=-1)
    with pytest.raises(HwgenError, match="sweep: output must be a file, not a folder, not '/tmp"):
        run_sweep(space, LAYERS, output=tmp_path)
    with pytest.raises(HwgenError, match=r"sweep: output must be in an existing folder, not '.*absent/x.parquet'"):
        run_sweep(space, LAYERS, output=tmp_path / "absent" / "x.parquet")


def test_a_rule_of_a_family_names_its_reason() -> None:
    tile = family("lut")
    reasons = {reason_of(text) for _, text in tile.constraints(tile().p)}
    assert "planes_per_cycle must divide bits" in reasons
    assert not any("{" in reason or ", not" in reason for reason in reasons)


def test_progress_reaches_the_end() -> None:
    seen: list[tuple[int, int]] = []
    run_sweep(spaces(), LAYERS, chunk_points=50, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == sum(space.size for space in spaces())
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def exact_cycles(spec: TileSpec, layer: Layer) -> int:
    """Cycles in Python's integers, which have no end."""
    return layer.count * int(closed_cycles(type(spec), spec.p, layer.m, layer.n, layer.k))


@pytest.mark.parametrize(
    "layers",
    [
        [Layer("wide", 1 << 21, 1 << 21, 1 << 20)],
        [Layer("often", 8, 64, 128, count=1 << 46)],
        [Layer("a", 1 << 20, 1 << 20, 1 << 22), Layer("b", 1 << 20, 1 << 20, 1 << 22)],
    ],
)
@pytest.mark.parametrize("pe", ["int", "lut", "bitmod", "posit"])
def test_cycles_never_wrap(pe: str, layers: list[Layer]) -> None:
    """Points whose cycles 64 bits hold are exact, the others are skipped with the reason."""
    axes = {"m": (1, 2, 16), "n": (1, 4, 64), "k": (2, 8), "post_lanes": (0,)}
    space = Space.of(pe, axes | ({"bits": (8, 1)} if pe == "lut" else {}))
    result = run_sweep([space], layers, tech="tpuv4i7", clk_period_ns=1.0)
    seen = 0
    for values in itertools.product(*space.axes.values()):
        try:
            spec = space.spec.from_values(dict(zip(space.axes, values, strict=True)))
        except HwgenError:
            continue
        want = sum(exact_cycles(spec, layer) for layer in layers)
        rows = result.points
        for name in ("m", "n", "k", "bits"):
            if name in space.axes:
                rows = rows[rows[name] == spec.p[name]]
        if len(rows):
            assert rows["cycles"].item() == want
            assert 0 < rows["utilization"].item() <= 1
            assert rows["energy_pj"].item() > 0
        else:
            assert want * len(layers) > 1 << 62
        seen += len(rows)
    assert seen == len(result.points)
    assert all("cycles must fit 64 bits" in reason for reason in result.skipped), result.skipped


def test_some_points_are_too_long() -> None:
    layer = Layer("wide", 1 << 21, 1 << 21, 1 << 20)
    result = run_sweep(
        [Space.of("lut", {"m": (1, 64), "n": (1,), "k": (2,), "bits": (8,)})],
        [layer],
        tech="tpuv4i7",
        clk_period_ns=1.0,
    )
    assert result.skipped == {"lut: cycles must fit 64 bits (wide)": 1}
    assert result.points["m"].tolist() == [64]


WIDTHS: list[tuple[str, dict[str, Any], float]] = [
    ("bitmod", {"bits": 8}, 8),
    ("bitmod", {"bits": 6}, 6),
    ("bitmod", {"bits": 5}, 5),
    ("bitmod", {"bits": 4}, 4),
    ("bitmod", {"bits": 3}, 3),
    ("int", {"bits": 3}, 3),
    ("lut", {"bits": 3, "k": 5, "group": 125}, 3),
    ("lut", {"bits": 2}, 2),
    ("mixpe", {"bits": 3}, 3),
    ("mx", {"bits": 6}, 6),
    ("mx", {"bits": 4}, 4),
    ("mx", {"weights": "nvfp4"}, 4),
    ("mx", {"weights": "hif4"}, (4 * 64 + 8 + 16) / 64),
    ("minifloat", {"weights": "fp6_e3m2", "acts": "fp16"}, 6),
    ("posit", {"operands": "p16"}, 16),
    ("posit", {"operands": "p8"}, 8),
    ("posit", {"operands": "p4"}, 4),
    ("posit", {"operands": "fp4", "simd_along": "n"}, 4),
    ("posit", {"format": "posit", "posit_bits": 6, "es": 1}, 6),
]


@pytest.mark.parametrize(("pe", "values", "bits"), WIDTHS)
def test_weights_are_charged_at_the_bits_that_memory_holds(pe: str, values: dict[str, Any], bits: float) -> None:
    spec = family(pe).from_values(values)
    assert spec.weight_stored_bits(spec.p) == bits
    space = Space.of(pe, {name: (value,) for name, value in spec.p.items()})
    layer = Layer("layer", 4, 64, 640)
    result = run_sweep([space], [layer], tech="tpuv4i7", clk_period_ns=1.0)
    assert result.points["weight_bits"].tolist() == [bits]
    # Each block of M tokens reads all weights once; nothing is ragged here.
    table = load("tpuv4i7")
    k = -(-640 // int(spec.layer_k(spec.p))) * int(spec.layer_k(spec.p))
    outputs = int(spec.layer_outputs(spec.p)) * spec.n
    reads = -(-4 // spec.m) * -(-64 // outputs) * outputs * k
    energy = estimate(spec, layer, "tpuv4i7", 1.0).energy_pj["sram_weights"]
    assert energy == pytest.approx(reads * bits * table.buffer_bit_pj(write=False))


@pytest.mark.parametrize(
    ("pe", "values", "bits"),
    [
        ("bitmod", {"bits": 4, "post_lanes": 0}, 2),
        ("bitmod", {"bits": 6, "post_lanes": 0}, 0),
        ("int", {"bits": 4, "scheme": "asymmetric", "post_lanes": 1}, 16 + 4),
        ("int", {"bits": 4, "post_lanes": 1}, 16),
        ("lut", {"bits": 3, "scheme": "asymmetric", "post_lanes": 8}, 16 + 3),
        ("lut", {"bits": 3, "scheme": "symmetric", "post_lanes": 8}, 16),
        ("mx", {}, 8),
    ],
)
def test_scales_zero_points_and_selectors(pe: str, values: dict[str, Any], bits: int) -> None:
    """Bits of a group's side information in memory: a zero point is as wide as a weight, a selector has two bits."""
    spec = family(pe).from_values(values)
    assert sum(int(width) for width in spec.stored_side_bits(spec.p)[1].values()) == bits
