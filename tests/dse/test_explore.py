"""Sweeps in constant memory: the same front as of all rows, and the same bytes whoever evaluates what when."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import dse.part
from dse.engines import Here, Processes
from dse.explore import explore
from dse.pareto import front_mask
from dse.part import FrontRows, Part, evaluate_part, hashed
from dse.plan import LevelSpec, Plan, make_plan
from dse.running import Running
from dse.space import Blocks, Space
from dse.stored import open_sweep
from dse.sweep import run_sweep
from hwgen.errors import HwgenError
from hwgen.schedule import Layer
from tests.dse.sweeps import INT, LAYERS, OBJECTIVES, content, plan, scene, spaces


def every_row() -> pd.DataFrame:
    """All rows, as the other way of sweeping has them."""
    return run_sweep(spaces(), LAYERS, objectives=OBJECTIVES, tech="tpuv4i7", clk_period_ns=(1.5, 3.0)).points


def text(frame: pd.DataFrame) -> pd.DataFrame:
    names = {name: str for name in frame if not pd.api.types.is_numeric_dtype(frame[name])}
    return frame.astype(names).reset_index(drop=True)


def test_the_front_is_that_of_all_rows() -> None:
    whole = run_sweep(spaces(), LAYERS, objectives=OBJECTIVES, tech="tpuv4i7", clk_period_ns=(1.5, 3.0))
    found = explore(plan())
    assert (found.legal, found.looked_at) == (len(whole.points), whole.looked_at)
    assert found.skipped == dict(whole.skipped)
    key = ["pe", "clk_period_ns", *INT, "planes_per_cycle", "acts", "planes"]
    wanted, own = (text(frame).sort_values(key, ignore_index=True) for frame in (whole.front, found.front))
    pd.testing.assert_frame_equal(own[list(wanted)], wanted)


def test_points_have_the_numbers_of_their_product() -> None:
    made = plan(keep=True)
    tables = [pa.BufferReader(part.points) for part in (evaluate_part(made, at) for at in range(made.parts))]
    rows = pd.concat([pd.read_parquet(table) for table in tables])
    assert rows["point"].is_unique
    numbers = itertools.count()
    found = 0
    by_number = {row["point"]: row for row in rows.to_dict("records")}
    for space in made.spaces:
        for values in itertools.product(*space.axes.values()):
            for clock in (1.5, 3.0):
                number = next(numbers)
                scene_of, clock_of, space_of, point = made.point(number)
                assert (scene_of.workload, clock_of.period_ns, space_of.family) == ("x", clock, space.family)
                assert tuple(point.values()) == values
                row = by_number.get(number)
                if row is not None:
                    found += 1
                    assert (row["pe"], row["clk_period_ns"]) == (space.family, clock)
                    assert all(str(row[name]).removesuffix(".0") == str(one) for name, one in point.items())
    assert found == len(rows) > 100
    assert next(numbers) == made.size
    with pytest.raises(HwgenError, match=r"a point's number must be from 0 to 559, not -1"):
        made.point(-1)


@pytest.mark.parametrize("points", [1, 5, 7, 50, 10_000])
def test_blocks_number_their_points(points: int) -> None:
    space = Space.of("int", INT)
    blocks = Blocks(space, points)
    order = list(itertools.product(*space.axes.values()))
    seen: list[int] = []
    for index, p in enumerate(blocks):
        shape = np.broadcast_shapes(*(np.shape(value) for value in p.values()))
        columns = {name: np.broadcast_to(value, shape).reshape(-1) for name, value in p.items()}
        numbers = blocks.numbers(index)
        assert (np.diff(numbers) > 0).all()
        for place, number in enumerate(numbers):
            assert tuple(columns[name][place] for name in space.axes) == order[number]
        some = np.arange(len(numbers))[::3]
        places = blocks.places(index, {name: column[some] for name, column in columns.items()}, len(some))
        assert places is None or places.tolist() == some.tolist()
        seen += numbers.tolist()
    assert sorted(seen) == list(range(space.size))


@pytest.mark.parametrize("pairs", [1, 64, 200, 5000, 1 << 30])
def test_parts_hold_every_block_once(pairs: int) -> None:
    made = plan(part_pairs=pairs, scenes=[scene(), scene("y", LAYERS[:1])])
    found = [one for part in range(made.parts) for one in made.blocks_of(part)]
    wanted = [
        (at, space, block) for at in range(2) for space in range(2) for block in range(len(made.blocks[at][space]))
    ]
    assert found == wanted
    assert all(next(made.blocks_of(part), None) for part in range(made.parts))


class Shuffled:
    """Parts in another order, some of them at once."""

    def evaluate(self, plan: Plan, parts: Iterable[int]) -> Iterator[Part]:
        waiting = iter(parts)
        while several := list(itertools.islice(waiting, 4)):
            yield from (evaluate_part(plan, part) for part in reversed(several))


def test_the_same_bytes_whoever_evaluates(tmp_path: Path) -> None:
    made = plan(keep=True)
    assert made.parts > 5
    for name, engine in {"here": Here(), "shuffled": Shuffled(), "processes": Processes(2)}.items():
        explore(made, tmp_path / name, engine=engine)
    assert content(tmp_path / "here") == content(tmp_path / "shuffled") == content(tmp_path / "processes")
    assert len(content(tmp_path / "here")) == made.parts + 3


def test_axes_are_those_of_all_rows() -> None:
    rows, found = text(every_row()), explore(plan()).axes
    for row in found.to_dict("records"):
        own = rows[rows[row["axis"]].astype(str).str.removesuffix(".0") == str(row["value"]).removesuffix(".0")]
        if row["axis"] not in ("pe", "clk_period_ns"):
            # A value that a family has without sweeping it counts as well: it is its default there.
            assert len(own)
        assert row["points"] == len(own), row
        for name in ("area_um2", "latency_us", "weight_bits"):
            assert row[f"{name}_min"] == own[name].min()
            assert row[f"{name}_max"] == own[name].max()
            assert row[f"{name}_mean"] == pytest.approx(own[name].mean(), rel=1e-12)
    assert set(found["axis"]) >= {"pe", "clk_period_ns", "m", "n", "k", "bits", "acts", "planes"}


def test_the_sample_is_drawn_by_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dse.part, "SAMPLE_ROWS", 24)
    monkeypatch.setattr(dse.part, "_LEAST_ROWS", 2)
    made = plan(keep=True)
    found = explore(made, tmp_path / "x")
    every = open_sweep(tmp_path / "x").points
    assert every is not None
    strata = ["pe", "clk_period_ns"]
    wanted: list[int] = []
    for _, own in every.groupby(strata, observed=True):
        order = np.argsort(hashed(own["point"].to_numpy()))
        wanted += own["point"].iloc[order[:6]].tolist()
    assert found.sample["point"].tolist() == sorted(wanted)
    counts = every.groupby(strata, observed=True).size()
    assert found.sample.groupby(strata, observed=True)["stands_for"].sum().tolist() == counts.tolist()


def test_of_equal_points_the_first_is_kept() -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 6, (400, 3)).astype(float)
    numbers = rng.permutation(1000)[:400]
    order = np.argsort(numbers)
    wanted = sorted(numbers[order][front_mask(values[order])])
    schema = pa.schema([("point", pa.int64())])
    for _ in range(5):
        rows = FrontRows(schema, ("a", "b", "c"))
        for places in np.array_split(rng.permutation(400), 7):
            table = pa.table({"point": numbers[places]}, schema=schema)
            chosen = np.sort(rows.candidates(values[places]))
            # Candidates of a block are its front, by the order in which it lies there: by number.
            places = places[np.argsort(numbers[places])]
            table = pa.table({"point": numbers[places]}, schema=schema)
            chosen = rows.candidates(values[places])
            rows.add(values[places][chosen], numbers[places][chosen], table.take(chosen))
        assert sorted(rows.table()["point"].to_pylist()) == wanted


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_thinning_out_loses_no_point_of_the_front(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    names = tuple("abcd"[:objectives])
    rows = FrontRows(pa.schema([("point", pa.int64())]), names)
    values = np.round(rng.lognormal(size=(30_000, objectives)), 2)
    values[rng.integers(0, 30_000, 50), 0] = np.nan
    known = np.flatnonzero(~np.isnan(values).any(axis=1))
    wanted = known[front_mask(values[known])]
    assert rows.candidates(values).tolist() == wanted.tolist()
    first = rows.candidates(values[:15_000])
    rows.add(values[first], first, pa.table({"point": first}))
    second = 15_000 + rows.candidates(values[15_000:])
    assert set(wanted) <= set(first) | set(second)


def test_each_workload_has_a_front_of_its_own() -> None:
    one, other = scene("one", LAYERS[:1]), scene("other", LAYERS[1:])
    found = explore(plan(scenes=[one, other])).front
    for made in (one, other):
        alone = explore(plan(scenes=[made])).front
        own = found[found["workload"] == made.workload]
        assert own["latency_us"].tolist() == alone["latency_us"].tolist()
        assert own["area_um2"].tolist() == alone["area_um2"].tolist()
    with pytest.raises(HwgenError, match="two workloads must have two names, not both 'one'"):
        plan(scenes=[one, scene("one", LAYERS[1:])])


def test_what_is_derived() -> None:
    found = explore(plan(scenes=[scene()])).sample
    macs = sum(layer.macs for layer in LAYERS)
    assert found["edp_pj_us"].to_numpy() == pytest.approx(found["energy_pj"] * found["latency_us"])
    assert found["tops_per_w"].to_numpy() == pytest.approx(2 * macs / found["energy_pj"])
    assert found["tokens_per_s"].isna().all()


def test_nothing_is_legal() -> None:
    space = Space.of("int", {"group": (64,), "k": (128,), "m": (1, 2)})
    with pytest.raises(HwgenError) as caught:
        explore(plan(spaces=[space]))
    assert str(caught.value) == "sweep: none of the 4 points is legal: 4 × int: group must be a multiple of k"


def test_mistakes() -> None:
    with pytest.raises(HwgenError, match="sweep: needs at least one family and one layer, not 2 and 0"):
        plan(scenes=[scene(layers=())])
    with pytest.raises(
        HwgenError, match=r"objective must be one of m, n, k, .* not 'aera_um2'; did you mean 'area_um2'"
    ):
        plan(objectives=["aera_um2"])
    with pytest.raises(HwgenError, match="sweep: clk_period_ns must be above 0, not -1"):
        plan(scenes=[scene(clocks=(-1.0,))])
    with pytest.raises(HwgenError, match="baseline: must name a family"):
        plan(kind=LevelSpec(where=("area_um2 <= baseline",), baseline=(("n", "8"),)))


def test_more_points_than_numbers_are_refused() -> None:
    many = range(1, 1 << 20)
    narrow = Space.of("int", {"bits": (4, 8)})
    wide = replace(narrow, axes={**narrow.axes, "m": many, "n": many, "k": range(1, 1 << 10)})
    made = make_plan([wide], [scene()])
    assert made.parts > 1 << 30
    assert made.point(made.size - 1)[3] == wide.point(wide.size - 1)
    assert next(made.blocks_of(made.parts - 1))[:2] == (0, 0)
    with pytest.raises(HwgenError, match=r"must have at most 2\^62 points, not some 10\^22; give fewer values"):
        make_plan([replace(wide, axes={**wide.axes, "depth": many})] * 4, [scene()])


def test_memory_does_not_grow_with_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept is a front and a sample, of one part as of all of them."""
    monkeypatch.setattr(dse.part, "SAMPLE_ROWS", 100)
    axes = {"m": range(1, 33), "n": range(4, 260, 4), "k": (4, 8, 16), "post_lanes": (0,)}
    space = Space.of("int", axes)
    made = make_plan(
        [space], [scene(layers=(Layer("x", 4, 64, 64),), clocks=(1.0,))], chunk_points=512, part_pairs=1 << 9
    )
    assert made.parts > 6
    running = Running(made)
    for at in range(made.parts):
        part = evaluate_part(made, at)
        assert part.points is None
        assert part.sample.num_rows == min(part.legal, 100)
        running.add(part)
        assert running.sample._count < 40_000
    assert running.looked_at == made.size
    assert len(running.sample.at) == 100 < running.legal // 10
