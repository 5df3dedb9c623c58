"""Searches: genomes stand for a plan's points, points come to what a sweep of all makes of them, fronts are near."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dse.search
from dse.explore import explore
from dse.genome import Genomes
from dse.pareto import front, front_mask, hypervolume_ratio, objective_values
from dse.plan import LevelSpec, Plan, Search, make_plan
from dse.point import read_point
from dse.query import ask
from dse.running import Running
from dse.search import Points, search_words
from dse.space import Space
from dse.stored import open_sweep
from hwgen.cli import main
from hwgen.errors import HwgenError
from reports import search as page
from tests.dse.sweeps import DAMAGE, LAYERS, OBJECTIVES, content, plan, scene

SEARCH = Search(evaluations=150, population=20, seed=3)


def text(frame: pd.DataFrame) -> pd.DataFrame:
    names = {name: str for name in frame if not pd.api.types.is_numeric_dtype(frame[name])}
    return frame.astype(names).reset_index(drop=True)


def two_workloads(**more: Any) -> Plan:
    return plan(scenes=[scene(), scene("y", LAYERS[:1], (3.0,))], chunk_points=None, **more)


def test_genomes_are_the_points_of_their_workload() -> None:
    made = two_workloads()
    own = {name: Genomes(made, name) for name in ("x", "y")}
    rng = np.random.default_rng(0)
    seen = {}
    for name, genomes in own.items():
        drawn = genomes.random(30_000, rng)
        assert (drawn >= 0).all()
        assert (drawn < genomes.sizes).all()
        np.testing.assert_array_equal(genomes.canonical(drawn), drawn)
        numbers = genomes.numbers(drawn)
        seen[name] = set(numbers.tolist())
        # One genome a point: as many different ones as numbers.
        assert len(np.unique(drawn, axis=0)) == len(seen[name])
    assert sorted(seen["x"]) == list(range(560))
    assert sorted(seen["y"]) == list(range(560, made.size))


def test_a_gene_means_the_same_in_every_space() -> None:
    spaces = [Space.of("int", {"n": (4, 8, 12), "m": (1, 2)}), Space.of("lut", {"n": (12, 40, 4)})]
    made = make_plan(spaces, [scene(clocks=(3.0,))])
    genomes = Genomes(made, "x")
    # Genes: space, m, n (4, 8, 12, 40).
    assert genomes.sizes.tolist() == [2, 2, 4]

    def values(*genome: int) -> tuple[str, Any, Any]:
        canonical = genomes.canonical(np.array([genome]))
        _, _, space, point = made.point(int(genomes.numbers(canonical)[0]))
        return space.family, point["n"], point["m"]

    default = spaces[1].axes["m"][0]
    assert [values(0, 1, n) for n in range(4)] == [("int", 4, 2), ("int", 8, 2), ("int", 12, 2), ("int", 12, 2)]
    # Eight is as far from four as from twelve: that which comes first.
    assert [values(1, 1, n)[1:] for n in range(4)] == [(4, default), (12, default), (12, default), (40, default)]


def test_places_are_what_points_are() -> None:
    made = two_workloads()
    numbers = np.arange(made.size)
    for number, (at, clock, space, place) in enumerate(zip(*made.places(numbers), strict=True)):
        of, period, own, point = made.point(number)
        assert (made.scenes[at], of.clocks[clock], made.spaces[space]) == (of, period, own)
        assert own.point(int(place)) == point


WHERE = ("area_um2 <= 4e4", "n != 8", "latency_us < 30", "transport == systolic")


@pytest.mark.parametrize("where", [(), WHERE[:1], WHERE[1:3], WHERE[3:]])
def test_scattered_points_come_to_what_all_do(where: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dse.search, "_BLOCK_POINTS", 7)
    made = plan(kind=LevelSpec(where=where), keep=True, chunk_points=None)
    whole, running = explore(made), Running(made)
    points = Points(made)
    numbers = np.random.default_rng(0).permutation(made.size)
    found = points.evaluate(numbers[:300])
    rest = points.evaluate(numbers[300:])
    part = points.tally.part(0, 0.0)
    running.add(part)
    assert (running.looked_at, running.legal) == (whole.looked_at, whole.legal)
    assert running.skipped == dict(whole.skipped)
    assert (running.missed.legal, running.missed.met) == (part.missed.legal, part.missed.met)
    pd.testing.assert_frame_equal(text(running.front_table().to_pandas()), text(whole.front))
    pd.testing.assert_frame_equal(text(running.sample_table().to_pandas()), text(whole.sample))
    # Sums have another order.
    pd.testing.assert_frame_equal(text(running.axes_table().to_pandas()), text(whole.axes), rtol=1e-12)
    # The sample holds all points of so small a space.
    values = np.concatenate([found.values, rest.values])
    violations = np.concatenate([found.violations, rest.violations])
    legal = whole.sample["point"].to_numpy()
    order = np.argsort(numbers)[legal]
    np.testing.assert_array_equal(values[order], objective_values(whole.sample, OBJECTIVES))
    good = np.zeros(made.size, bool)
    good[legal] = True
    np.testing.assert_array_equal((violations == 0).all(axis=1), good[numbers])
    np.testing.assert_array_equal(np.isnan(values).any(axis=1), ~good[numbers])


def test_a_limit_that_is_met_by_a_hair_is_no_limit_that_is_missed() -> None:
    area = float(explore(plan(chunk_points=None)).front["area_um2"].iloc[1])
    for op, ok in (("<=", True), ("<", False), ("!=", False), ("==", True)):
        made = plan(kind=LevelSpec(where=(f"area_um2 {op} {area!r}",)), chunk_points=None)
        found = Points(made).evaluate(np.arange(made.size))
        met = (found.violations == 0).all(axis=1)
        assert met.any()
        assert (found.values[met, 0] == area).any() == ok


def test_a_search_is_its_seed(tmp_path: Path) -> None:
    seen = []
    for name, search in {"a": SEARCH, "b": SEARCH, "c": Search(150, 20, 4)}.items():
        done: list[tuple[int, int]] = []
        found = explore(
            two_workloads(search=search, keep=True), tmp_path / name, progress=lambda *at, to=done: to.append(at)
        )
        assert found.looked_at == 300
        assert done[-1] == (300, 300)
        assert [after > before for (before, _), (after, _) in itertools.pairwise(done)].count(False) == 0
        stored = open_sweep(tmp_path / name)
        assert stored.points is not None
        assert stored.points["point"].is_unique
        assert len(stored.points) == found.legal
        seen.append(set(stored.points["point"]))
        for of in ("x", "y"):
            own = stored.points[stored.points["workload"] == of]
            best = front(own, OBJECTIVES)["point"].tolist()
            assert sorted(best) == sorted(stored.front[stored.front["workload"] == of]["point"])
    assert content(tmp_path / "a") == content(tmp_path / "b")
    assert seen[0] == seen[1] != seen[2]


def test_parts_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = plan(search=SEARCH, keep=True, chunk_points=None)
    explore(made, tmp_path / "whole")
    monkeypatch.setattr(dse.search, "_PART_POINTS", 30)
    explore(made, tmp_path / "parts")
    whole, parts = (open_sweep(tmp_path / name) for name in ("whole", "parts"))
    assert (len(whole.files), len(parts.files)) == (1, 4)
    assert whole.points is not None
    assert parts.points is not None
    pd.testing.assert_frame_equal(text(whole.front), text(parts.front))
    pd.testing.assert_frame_equal(text(whole.sample), text(parts.sample))
    assert sorted(whole.points["point"]) == sorted(parts.points["point"])


def large(**more: Any) -> Plan:
    space = Space.of(
        "int",
        {
            "m": (1, 2, 3, 4),
            "n": tuple(range(2, 34, 2)),
            "k": (4, 8, 12, 24),
            "bits": (2, 3, 4, 8),
            "post_lanes": (0, 1),
        },
    )
    return plan(spaces=[space], objectives=("area_um2", "latency_us", "energy_pj"), chunk_points=None, **more)


def test_a_search_finds_nearly_the_front_of_all_points() -> None:
    """A seventh of the points, nine tenths of the volume and more than at random: here 0.996."""
    whole = explore(large())
    assert whole.looked_at == 4096
    found = explore(large(search=Search(600, 50, 1)))
    ratio = hypervolume_ratio(found.front, whole.front, whole.objectives, logarithmic=True)
    made = large()
    numbers = np.random.default_rng(1).permutation(made.size)[:600]
    values = Points(made).evaluate(numbers).values
    known = values[~np.isnan(values).any(axis=1)]
    drawn = pd.DataFrame(known[front_mask(known)], columns=list(made.objectives))
    chance = hypervolume_ratio(drawn, whole.front, whole.objectives, logarithmic=True)
    assert chance < ratio, (chance, ratio)
    assert 0.9 < ratio <= 1


def test_constraints_lead_the_search() -> None:
    # Few points meet all.
    where = ("area_um2 <= 8e3", "latency_us <= 9", "energy_pj <= 2e5")
    kind = LevelSpec(where=where)
    whole = explore(large(kind=kind))
    found = explore(large(kind=kind, search=Search(300, 30, 0)))
    assert 0 < whole.legal / whole.looked_at < 0.1
    assert found.legal / 300 > 2 * whole.legal / whole.looked_at
    assert (found.front["area_um2"] <= 8e3).all()
    assert hypervolume_ratio(found.front, whole.front, whole.objectives) > 0.7


def test_what_reads_sweeps_reads_searches(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "x"
    made = plan(search=SEARCH, keep=True, chunk_points=None)
    found = explore(made, folder, command="hwgen sweep --search")
    stored = open_sweep(folder)
    about = stored.metadata["search"]
    assert about == {
        "method": about["method"],
        "exhaustive": False,
        "points": 560,
        "evaluations": 150,
        "evaluations_each_workload": 150,
        "population": 20,
        "seed": 3,
    }
    assert about["method"].startswith("NSGA-II of pymoo 0.")
    assert stored.metadata["versions"]["pymoo"] in about["method"]
    words = search_words(stored.metadata)
    assert words is not None
    assert words.startswith("searched, not exhaustive: 150 of 560 points evaluated by NSGA-II of pymoo")
    number = int(stored.front["point"].iloc[-1])
    assert read_point(folder, number).number == number
    assert ask(stored, "select count(*) from points").rows == [(found.legal,)]
    assert len(stored.by(("area_um2",)).front) == 1
    with pytest.raises(SystemExit) as ended:
        main(["pareto", str(folder), "--knee"])
    assert ended.value.code == 0
    assert words in capsys.readouterr().out
    # Again: it is read. As a sweep of all points, or of another seed: refused.
    assert explore(made, folder).wall_seconds < found.wall_seconds + 1
    assert explore(made, folder).metadata == stored.metadata
    for other in (plan(keep=True, chunk_points=None), plan(search=Search(150, 20, 4), keep=True, chunk_points=None)):
        with pytest.raises(HwgenError, match="holds another sweep"):
            explore(other, folder)


@pytest.mark.parametrize("damage", DAMAGE[1:3])
@pytest.mark.parametrize("name", ["front.parquet", "points/part0000000.parquet"])
def test_a_damaged_search_is_done_again(damage: Callable[[Path], None], name: str, tmp_path: Path) -> None:
    made = plan(search=SEARCH, keep=True, chunk_points=None)
    explore(made, tmp_path / "x")
    before = content(tmp_path / "x")
    damage(tmp_path / "x" / name)
    explore(made, tmp_path / "x")
    assert content(tmp_path / "x") == before


def test_nothing_is_left_of_an_interrupted_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dse.search, "_PART_POINTS", 30)
    made = plan(search=SEARCH, keep=True, chunk_points=None)

    def stop(done: int, total: int) -> None:
        if done > 100:
            assert list((tmp_path / "x").rglob("*.parquet"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explore(made, tmp_path / "x", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_no_point_is_found(tmp_path: Path) -> None:
    made = plan(search=SEARCH, kind=LevelSpec(where=("area_um2 <= 1",)), chunk_points=None)
    with pytest.raises(
        HwgenError, match=r"legal points meets the constraint 'area_um2 <= 1': the nearest has area_um2"
    ):
        explore(made, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
    illegal = Space.of("int", {"k": (128, 256), "group": (32, 64), "n": (4, 8), "m": tuple(range(1, 9))})
    with pytest.raises(HwgenError, match=r"none of the 20 points that were evaluated is legal: 20 × int: group must"):
        explore(plan(spaces=[illegal], search=Search(20, 10), chunk_points=None))


def test_a_search_ends_where_nothing_is_new() -> None:
    # Of 24 points all but one can be asked for.
    space = Space.of("int", {"n": (4, 8, 12), "m": (1, 2), "k": (4, 8)})
    found = explore(plan(spaces=[space], search=Search(23, 5), chunk_points=None))
    assert found.looked_at == 23


@pytest.mark.parametrize(
    ("search", "message"),
    [
        (Search(19, 20), "sweep: --evaluations must be at least --population, 20, not 19"),
        (Search(20, 3), "sweep: --population must be at least 4, not 3"),
        (Search(100, 20, -1), "sweep: --seed must be from 0 to 18446744073709551615, not -1"),
        (
            Search(560, 20),
            "sweep: --evaluations must be fewer than the points of the space, 560 on 'x', not 560; without --search "
            "every point is evaluated",
        ),
    ],
)
def test_mistakes_of_a_search(search: Search, message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        plan(search=search)
    assert str(caught.value) == message


ONE = ["sweep", "--pe", "int", "--layer", "4x64x128", "--tech", "tpuv4i7", "--clk-period-ns", "1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--search", "--n", "8", "--m", "1", "--k", "4", "--bits", "4"],
            "sweep: --evaluations must be fewer than the",
        ),
        (["--seed", "1"], "sweep: --seed goes with --search"),
        (["--evaluations", "100"], "sweep: --evaluations goes with --search"),
        (["--search", "--evaluations", "9"], "sweep: --evaluations must be at least --population, 200, not 9"),
        (["--search", "--seed=-1"], "sweep: Invalid value for '--seed': -1 is not in the range 0<=x<=1844674407"),
        (["--search", "--population", "0"], "sweep: Invalid value for '--population': 0 is not in the range 1<=x<="),
        (["--search", "--objective", "speed"], "pareto: objective must be one of m, n, k, "),
        (["--search", "-o", "x.parquet"], "sweep: --search writes a folder, not a file; name a folder: -o x"),
        (["--search", "--jobs", "2"], "sweep: --jobs goes with sweeps of all points, not with --search, each of whose"),
        (["--search", "--engine", "dask"], "sweep: --engine dask goes with sweeps of all points, not with --search"),
    ],
)
def test_mistakes_of_the_command_are_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([*ONE, *arguments])
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert err.startswith(f"hwgen: {message}")
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_command_searches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    few = ["--search", "--evaluations", "60", "--population", "12", "--seed", "5", "--n", "4:64:4", "--bits", "2,4"]
    for more in (["-o", "x"], ["--json"]):
        with pytest.raises(SystemExit) as ended:
            main([*ONE, *few, *more])
        assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "searched, not exhaustive: 60 of 288 points evaluated by NSGA-II of pymoo" in out
    document = json.loads(out[out.index("{") :])
    stored = open_sweep("x")
    assert document["search"] == stored.metadata["search"]
    assert document["front_points"] == len(stored.front)
    assert stored.points is not None


def test_hypervolumes_by_hand() -> None:
    whole = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [4.0, 2.0, 1.0]})
    # Scaled: (0, 1), (1/3, 1/3), (1, 0), up to 1.1.
    own = 1.1 * 0.1 + (1.1 - 1 / 3) * (1 - 1 / 3)
    assert hypervolume_ratio(whole, whole, ("a", "b")) == 1
    assert hypervolume_ratio(whole.iloc[:2], whole, ("a", "b")) == pytest.approx(own / (own + 0.1 / 3), rel=1e-12)
    # Logarithms: (0, 1), (1/2, 1/2), (1, 0).
    own = 1.1 * 0.1 + 0.6 * 0.5
    found = hypervolume_ratio(whole.iloc[:2], whole, ("a", "b"), logarithmic=True)
    assert found == pytest.approx(own / (own + 0.1 * 0.5), rel=1e-12)
    # What is maximised, and what lies beyond the end of the volume.
    turned = whole.assign(b=1 / whole["b"])
    assert hypervolume_ratio(turned.iloc[:2], turned, ("a", "-b"), logarithmic=True) == pytest.approx(found, rel=1e-12)
    assert hypervolume_ratio(pd.DataFrame({"a": [9.0], "b": [0.1]}), whole, ("a", "b")) == 0
    assert hypervolume_ratio(whole.iloc[:1], whole, ("a",)) == 1
    with pytest.raises(HwgenError, match="of fronts of at least one point"):
        hypervolume_ratio(whole.iloc[:0], whole, ("a", "b"))


def test_the_page_says_what_was_found() -> None:
    case = page.Case(
        "small", ("area_um2", "latency_us"), {"m": (1, 2), "n": tuple(range(4, 36, 4)), "k": (4, 8), "bits": (2, 4)}
    )
    found = page.compared(case, evaluations=(20, 60), seeds=(0, 1), population=20)
    assert found.exhaustive
    assert found.points == 256
    later, earlier = (found.ratios(count, searched=True, logarithmic=True) for count in (60, 20))
    assert len(later) == 2
    assert sum(earlier) < sum(later) <= 2
    said = page.page([found])
    assert "## Small\n\n256 points, " in said
    assert f"| 60 | 0.23 | {np.median(found.ratios(60, searched=True, logarithmic=False)):.4f} (" in said
    (axes,) = page.figure([found]).axes
    assert axes.lines[0].get_ydata().tolist() == [np.median(earlier), np.median(later)]
