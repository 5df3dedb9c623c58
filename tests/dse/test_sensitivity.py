"""Sensitivity: changes move fronts as they would by hand, and whatever errors do to a front is among what is said."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dse.sensitivity
from dse.designs import AROUND
from dse.explore import explore
from dse.pareto import front_mask, objective_values
from dse.plan import LevelSpec
from dse.sensitivity import EFFECTS, Change, Standing, changed, changes, moves, standings, unstated
from dse.space import Space
from dse.stored import StoredSweep, open_sweep
from dse.tiles import METRICS
from hwgen.cli import main
from hwgen.errors import HwgenError
from sim.held_out import HeldOut
from tests.dse.sweeps import plan, scene

OBJECTIVES = ("area_um2", "latency_us")
PERIODS: Mapping[str, Any] = {"clk_period_ns": 2.0, "min_clk_period_ns": 1.9}


def sweep(rows: list[dict[str, Any]], objectives: tuple[str, ...] = OBJECTIVES, **about: Any) -> StoredSweep:
    points = pd.DataFrame([{"extrapolated": "", **PERIODS, **row} for row in rows])
    known = points.dropna(subset=[name.removeprefix("-") for name in objectives])
    mask = front_mask(objective_values(known, objectives))
    metadata = {"tech": "here", "clk_period_ns": [2.0], "rows": len(points), **about}
    return StoredSweep(Path("x"), known[mask], points, objectives, (), metadata)


def state(monkeypatch: pytest.MonkeyPatch, errors: Mapping[str, tuple[float, float, float]]) -> None:
    """State largest errors of area, energy and period, by family; medians are half of them."""

    def stated(tech: str, name: str) -> HeldOut | None:
        if name not in errors:
            return None
        largest = dict(zip(("area", "energy", "period"), errors[name], strict=True))
        return HeldOut(9, {quantity: error / 2 for quantity, error in largest.items()}, largest)

    monkeypatch.setattr(dse.sensitivity, "_stated", stated)


THREE = [
    {"pe": "int", "area_um2": 100.0, "latency_us": 10.0, "energy_pj": 5.0},
    {"pe": "lut", "area_um2": 120.0, "latency_us": 8.0, "energy_pj": 5.0},
    {"pe": "int", "area_um2": 150.0, "latency_us": 9.0, "energy_pj": 5.0},
]


def test_moves_by_hand() -> None:
    """Points 0 and 1 are on the front; with lut tiles 30 % smaller 1 is the only one, and with larger ones 2 enters."""
    found = {(one.change.cost, round(one.change.factor, 2)): one for one in moves(sweep(THREE))}
    assert len(found) == 2 * (3 + 2 * 3)
    smaller, larger = found["area of lut tiles", 0.7], found["area of lut tiles", 1.3]
    assert (smaller.left, smaller.entered, smaller.stayed) == ((0,), (), 1)
    assert smaller.changed_picks == {"knee": (0, 1), "area_um2": (0, 1)}
    # 120 · 1.3 = 156 is more than the 150 of point 2.
    assert (larger.left, larger.entered) == ((), (2,))
    assert (found["area of int tiles", 0.7].left, found["area of int tiles", 0.7].entered) == ((), (2,))
    assert found["area of int tiles", 1.3].left == (0,)
    for name in ("area", "energy", "energy of int tiles"):
        assert not found[name, 1.3].left
    # 1.9 · 1.3 is more than 2 ns: all of them miss their clock.
    late = found["period", 1.3]
    assert (late.left, late.late, late.stayed) == ((0, 1), 2, 0)
    assert late.picks["area_um2"] == (0, None)
    late = found["period of int tiles", 1.3]
    assert (late.left, late.late, late.entered) == ((0,), 1, ())
    assert found["period", 0.7].stayed == 2


def test_a_clock_of_its_own_follows_the_period() -> None:
    own = sweep(THREE, clk_period_ns=[None])
    found = {(one.change.cost, round(one.change.factor, 2)): one for one in moves(own)}
    # Latencies of int: 10 · 0.7 = 7 and 9 · 0.7 = 6.3.
    assert found["period of int tiles", 0.7].left == (1,)
    assert found["period of int tiles", 0.7].entered == (2,)
    assert found["period of int tiles", 0.7].late == 0
    assert found["period", 1.3].stayed == 2


def test_blocks_by_hand() -> None:
    about = {"area_um2": 100.0, "tile_area_um2": 60.0, "around_area_um2": 10.0, "sram_area_um2": 30.0}
    energy = {"energy_pj": 8.0, "tile_energy_pj": 4.0, "around_energy_pj": 2.0, "sram_energy_pj": 2.0}
    other = {"area_um2": 110.0, "tile_area_um2": 100.0, "around_area_um2": 10.0, "sram_area_um2": 0.0}
    rows = [
        {"pe": "int", "latency_us": 10.0, "edp_pj_us": 80.0, "memory_cycle_ns": 1.0, **about, **energy},
        {"pe": "int", "latency_us": 11.0, "edp_pj_us": 88.0, "memory_cycle_ns": 1.0, **other, **energy},
    ]
    made = sweep(rows)
    names = [one.cost for one in changes(made)]
    assert names[::2] == [
        *("area", "area of tiles", "area around tiles", "area of memories"),
        *("energy", "energy of tiles", "energy around tiles", "energy of memories"),
        "period",
    ]
    found, late = changed(made.sample, Change("area", 1.5, "sram"), made.metadata)
    assert not late.any()
    assert found["area_um2"].tolist() == pytest.approx([115.0, 110.0], rel=1e-14)
    assert found["sram_area_um2"].tolist() == [45.0, 0.0]
    assert found["tile_area_um2"].tolist() == [60.0, 100.0]
    moved = {(one.change.cost, one.change.factor): one for one in moves(made, 0.5)}
    assert (moved["area of memories", 1.5].entered, moved["area of memories", 1.5].left) == ((1,), ())
    found, _ = changed(made.sample, Change("energy", 2.0, "tile"), made.metadata)
    assert found["energy_pj"].tolist() == [12.0, 12.0]
    assert found["edp_pj_us"].tolist() == [120.0, 132.0]


def test_constraints_hold_for_what_is_changed() -> None:
    made = sweep(THREE, constraints=["area_um2 <= 125", "pe != mx", "latency_us <= 1.1 baseline", "baseline pe=int"])
    found = {(one.change.cost, round(one.change.factor, 2)): one for one in moves(made)}
    assert found["area", 1.3].left == (0, 1)
    assert found["area", 1.3].late == 0
    assert found["area", 0.7].stayed == 2


def drawn(seed: int, rows: int = 40, *, around: bool = False) -> list[dict[str, Any]]:
    """Points of two families in two technologies whose columns belong together."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(rows):
        area, energy = rng.uniform(50, 100, 3), rng.uniform(1, 2, 3)
        # Some rows lie near an earlier one.
        if number % 3 and found:
            near = found[-1]
            area = np.array([near[f"{one}_area_um2"] for one in ("tile", "around", "sram")]) * rng.uniform(0.9, 1.1, 3)
        latency = float(rng.uniform(1, 3))
        row = {"pe": str(rng.choice(["int", "lut"])), "tech": str(rng.choice(["here", "there"]))}
        row |= {"area_um2": area.sum(), "energy_pj": energy.sum(), "latency_us": latency}
        row |= {
            "edp_pj_us": energy.sum() * latency,
            "tokens_per_s": 1 / latency,
            "tops_per_mm2": 7 / area.sum() / latency,
        }
        row |= {"power_mw": energy.sum() / latency, "tops_per_w": 3 / energy.sum(), "cycles": int(rng.integers(5, 9))}
        for at, one in enumerate(("tile", "around", "sram")):
            row |= {f"{one}_area_um2": area[at], f"{one}_energy_pj": energy[at]}
        row |= {"memory_cycle_ns": 0.5} if around else {}
        found.append(row)
    if not around:
        for row in found:
            for name in [name for name in row if name.startswith(("tile_", "around_", "sram_"))]:
                del row[name]
    return found


SETS = [
    OBJECTIVES,
    ("area_um2", "energy_pj", "latency_us"),
    ("edp_pj_us", "area_um2"),
    ("-tops_per_mm2", "-tops_per_w"),
    ("power_mw", "-tokens_per_s"),
    ("cycles", "-tops_per_w", "area_um2"),
]


@pytest.mark.parametrize("around", [False, True])
@pytest.mark.parametrize("objectives", SETS)
def test_nothing_changes_by_nothing(objectives: tuple[str, ...], around: bool) -> None:
    for clocks in ([2.0], [None]):
        made = sweep(drawn(1, 15, around=around), objectives, clk_period_ns=clocks, constraints=["area_um2 <= 280"])
        for one in moves(made, 0.0):
            # What misses the constraint is not stored otherwise.
            kept = made.front["area_um2"] <= 280
            assert one.stayed == kept.sum()
            assert one.late == 0
        for one in changes(made, 0.0):
            found, late = changed(made.sample, one, made.metadata)
            assert found.equals(made.sample)
            assert not late.any()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("objectives", SETS)
def test_a_common_factor_moves_no_front(objectives: tuple[str, ...], seed: int) -> None:
    made = sweep(drawn(seed, around=seed % 2 == 1), objectives, clk_period_ns=[None])
    for quantity in ("area", "energy", "period"):
        for factor in (0.7, 1.3, 3.0):
            found, _ = changed(made.sample, Change(quantity, factor), made.metadata)
            own = [name.removeprefix("-") for name in objectives]
            assert factor == 1 or not found[list(EFFECTS.keys() & made.sample)].equals(
                made.sample[list(EFFECTS.keys() & made.sample)]
            )
            mask = front_mask(objective_values(found, objectives))
            assert found.index[mask].tolist() == made.front.index.tolist(), own


def truths(
    made: StoredSweep, errors: Mapping[str, tuple[float, float, float]], rng: np.random.Generator, *, common: bool
) -> pd.DataFrame:
    """Rows as they would be if the model erred by as much as it states, at random: truth is model / (1 + error)."""
    rows = made.sample.copy()
    keys = rows["pe"] + rows["tech"]
    blocks = [name for name in ("tile", "around", "sram") if f"{name}_area_um2" in rows]

    def factor(quantity: int, block: str) -> np.ndarray:
        sizes = np.array([errors[pe if block == "tile" else "around"][quantity] for pe in rows["pe"]])
        # The ends are where fronts move most.
        draws = rng.choice([-1.0, 1.0, rng.uniform(-1, 1)], len(rows))
        if common:
            kinds = keys if block == "tile" else rows["tech"]
            draws = kinds.map({kind: draws[at] for at, kind in enumerate(kinds)}).to_numpy(float)
        return 1 / (1 + sizes * draws) if block != "sram" else np.ones(len(rows))

    area, energy, period = rows["area_um2"].to_numpy(), rows["energy_pj"].to_numpy(), factor(2, "tile")
    new_area, new_energy = (
        sum(rows[f"{block}_{unit}"].to_numpy() * factor(at, block) for block in blocks)
        if blocks
        else rows[unit].to_numpy() * factor(at, "tile")
        for at, unit in enumerate(("area_um2", "energy_pj"))
    )
    ratios = (np.asarray(new_area) / area, np.asarray(new_energy) / energy, period)
    for name, powers in EFFECTS.items():
        if name in rows:
            for ratio, power in zip(ratios, powers, strict=True):
                rows[name] = rows[name] * ratio**power
    return rows


@pytest.mark.parametrize("around", [False, True])
@pytest.mark.parametrize("objectives", SETS)
def test_whatever_errors_do_is_said(objectives: tuple[str, ...], around: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = {"int": (0.05, 0.03, 0.08), "lut": (0.1, 0.06, 0.04), "around": (0.02, 0.05, 0.01)}
    state(monkeypatch, errors)
    made = sweep(drawn(7, around=around), objectives, clk_period_ns=[None])
    found, entering = standings(made)
    by_number = {one.point: one for one in found}
    assert sorted(by_number) == sorted(made.front.index)
    rng = np.random.default_rng(0)
    fell = {False: 0, True: 0}
    for common in (False, True):
        entered: set[int] = set()
        for _ in range(30):
            rows = truths(made, errors, rng, common=common)
            mask = front_mask(objective_values(rows, objectives))
            now = set(rows.index[mask])
            for number in set(by_number) - now:
                fell[common] += 1
                assert (by_number[number].common if common else by_number[number].independent) is not None
            entered |= now - set(by_number)
            if not common:
                own = rows.loc[made.front.index]
                values = objective_values(own, objectives)
                for at, name in enumerate(objectives):
                    column = values[:, at]
                    places = 1 + (column < column[:, np.newaxis]).sum(axis=1)
                    for place, number in zip(places, own.index, strict=True):
                        _, best, worst = by_number[number].ranks[name]
                        assert best <= place <= worst
        assert len(entered) <= entering[""][common]
    # Errors do move these fronts, and leave some points alone.
    assert fell[False]
    assert {one.verdict for one in found} - {"robust"}


def test_standings_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"pe": "int", "area_um2": 100.0, "latency_us": 10.0, "energy_pj": 5.0},
        {"pe": "lut", "area_um2": 112.0, "latency_us": 8.0, "energy_pj": 5.0},
        {"pe": "int", "area_um2": 119.0, "latency_us": 8.5, "energy_pj": 5.0},
        {"pe": "lut", "area_um2": 200.0, "latency_us": 4.0, "energy_pj": 5.0},
        {"pe": "lut", "area_um2": 400.0, "latency_us": 4.5, "energy_pj": 5.0, "extrapolated": "n"},
    ]
    state(monkeypatch, {"int": (0.05, 0.0, 0.0), "lut": (0.05, 0.0, 0.1)})
    found, entering = standings(sweep(rows))
    # 100 / 0.95 = 105.3 is less than 112 / 1.05 = 106.7: not even point 1 may be smaller than 0.
    assert found == [
        Standing(0, "", None, None, {"area_um2": (1, 1, 1), "latency_us": (3, 3, 3)}, False, True, False),
        Standing(1, "", None, None, {"area_um2": (2, 2, 2), "latency_us": (2, 2, 2)}, False, True, True),
        Standing(3, "", None, None, {"area_um2": (3, 3, 3), "latency_us": (1, 1, 1)}, False, True, True),
    ]
    # Point 2 may have 119 / 1.05 = 113.3 where point 1 has 112 / 0.95.
    assert entering == {"": (1, 1)}
    state(monkeypatch, {"int": (0.06, 0.0, 0.0), "lut": (0.06, 0.0, 0.0)})
    first = standings(sweep(rows))[0][0]
    # 100 / 0.94 = 106.4 and 112 / 1.06 = 105.7.
    assert (first.independent, first.common, first.verdict) == (1, 1, "within common errors")
    assert first.ranks["area_um2"] == (1, 1, 2)
    halves, entering = standings(sweep(rows), largest=False)
    assert {one.verdict for one in halves} == {"robust"}
    assert entering == {"": (0, 0)}
    # Of one family both err alike.
    state(monkeypatch, {"int": (0.06, 0.0, 0.0)})
    alike = standings(sweep([row | {"pe": "int"} for row in rows]))[0][0]
    assert (alike.independent, alike.common, alike.verdict) == (1, None, "within independent errors")
    state(monkeypatch, {})
    assert {one.verdict for one in standings(sweep(rows))[0]} == {"not known"}
    assert unstated(sweep(rows)) == ["tiles of int in here", "tiles of lut in here"]


def test_extrapolated_points_have_the_largest_error(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"pe": "int", "area_um2": 100.0, "latency_us": 10.0, "energy_pj": 5.0},
        {"pe": "int", "area_um2": 107.0, "latency_us": 9.0, "energy_pj": 5.0, "extrapolated": "n"},
    ]
    # Medians of 3 %: 97 to 103 and 103.9 to 110.3; with 6 % for the second, 100.9.
    state(monkeypatch, {"int": (0.06, 0.0, 0.0)})
    found = standings(sweep(rows), largest=False)[0]
    assert [(one.independent, one.extrapolated) for one in found] == [(1, False), (None, True)]
    assert [one.verdict for one in found] == ["within independent errors", "not known"]
    rows[1]["extrapolated"] = ""
    assert [one.independent for one in standings(sweep(rows), largest=False)[0]] == [None, None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sweeps")
    explore(plan(keep=True, objectives=OBJECTIVES, scenes=[scene(), scene("y")], chunk_points=None), path / "all")
    explore(plan(objectives=OBJECTIVES, kind=LevelSpec(where=("area_um2 <= 1e4",)), chunk_points=None), path / "front")
    return path


def called(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int | None, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["sensitivity", *arguments])
    assert not isinstance(ended.value.code, str)
    return ended.value.code, *capsys.readouterr()


def test_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "all"
    stored = open_sweep(path)
    code, out, err = called(capsys, str(path), "--by", "20", "--json")
    assert (code, err) == (0, "")
    document = json.loads(out)
    found = list(moves(stored, 0.2))
    assert len(document["changes"]) == len(found) == 2 * 2 * (3 + 3 * 2)
    for one, row in zip(found, document["changes"], strict=True):
        assert (row["cost"], row["left"], row["entered"]) == (one.change.cost, list(one.left), list(one.entered))
    assert [row["point"] for row in document["front"]] == [one.point for one in standings(stored)[0]]
    assert {row["workload"] for row in document["front"]} == {"x", "y"}
    assert {row["standing"] for row in document["front"]} == {"not known"}
    code, out, err = called(capsys, str(path), "--format", "csv")
    lines = out.splitlines()
    assert (code, lines[0]) == (0, "workload,cost,by,stay,leave,late,enter,knee,best area_um2,best latency_us")
    assert len(lines) == 1 + len(found)
    assert "no error is stated of tiles of int in tpuv4i7, tiles of lut in tpuv4i7, which count as exact" in err
    code, out, _ = called(capsys, str(path), "--format", "csv", "--points", "--objective", "energy_pj")
    assert out.splitlines()[0].startswith("workload,point,standing,independent: beaten by,common: beaten by,place by")
    assert len(out.splitlines()) == 3
    code, out, _ = called(capsys, str(folder / "front"), "--top", "2")
    assert code == 0
    assert "hwgen sweep --store all keeps all" in out
    assert "workload" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent"], "sweep 'absent': there is no such file; hwgen sweep -o absent writes it"),
        (["{all}", "--objective", "speed"], "pareto: objective must be one of "),
        (["{front}", "--objective", "energy_pj"], "sweep '{front}': its front is of area_um2, latency_us; fronts of"),
        (
            ["{all}", "--by", "100"],
            "sensitivity: Invalid value for '--by': must be a number above 0 and at most 99, not",
        ),
        (
            ["{all}", "--by", "x"],
            "sensitivity: Invalid value for '--by': must be a number above 0 and at most 99, not 'x'",
        ),
        (
            ["{all}", "--error", "mean"],
            "sensitivity: Invalid value for '--error': 'mean' is not one of 'largest', 'med",
        ),
    ],
)
def test_mistakes(arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = {name: str(folder / name) for name in ("all", "front")}
    code, out, err = called(capsys, *(word.format(**names) for word in arguments))
    assert (code, out) == (2, "")
    assert err.startswith(f"hwgen: {message.format(**names)}")
    assert err.count("\n") == 1


def test_bad_shares() -> None:
    with pytest.raises(HwgenError, match=r"--by must be from 0 to below 100 %, not 100 %"):
        list(moves(sweep(THREE), 1.0))


def test_every_column_that_costs_move_is_known() -> None:
    """A new column of a level that depends on a cost must be among `EFFECTS`."""
    free = {"weight_bits", "min_clk_period_ns", "cycles", "pre_cycles", "utilization"}
    assert set(METRICS) - EFFECTS.keys() == free


def test_accelerators(tmp_path: Path) -> None:
    space = Space.of("int", {"n": (4, 8), "m": (1, 2), "bits": (4,)}).beside(AROUND, {"weight_ring": (64, 128)})
    made = plan(spaces=[space], kind=LevelSpec("accelerator"), objectives=OBJECTIVES, keep=True, chunk_points=None)
    explore(made, tmp_path / "x")
    stored = open_sweep(tmp_path / "x")
    assert stored.points is not None
    for one in changes(stored, 0.3):
        found, _ = changed(stored.points, one, stored.metadata)
        if one.quantity != "period":
            unit = {"area": "area_um2", "energy": "energy_pj"}[one.quantity]
            whole = sum(found[f"{block}_{unit}"] for block in ("tile", "around", "sram"))
            np.testing.assert_allclose(found[unit], whole, rtol=1e-12)
    assert "memories of tpuv4i7" in unstated(stored)
