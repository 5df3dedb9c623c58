from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.cli._tech import DEFAULT_TECH
from hwgen.errors import HwgenError
from hwgen.pe import families, family
from hwgen.schedule import Layer
from hwgen.synth import generic_library
from sim.calibrate import KINDS, nand2_area, plan, toml_text
from sim.calibrate.fit import SPREAD, fit_any, fit_family, fit_kernel, fit_trend, left_out
from sim.calibrate.plan import calibration_tiles, held_out_tiles
from sim.estimate import estimate, estimate_arrays
from sim.tables import read_toml
from sim.tech import DEFAULT, CalibratedTech, load
from sim.tech._calibrated import QUANTITIES, TILE, Measured, parse_row, read_rows
from sim.tech._model import Features, Kernel, Regression, block_features, squares, trend_value

CALIBRATED = ("asap7", "generic45", "sky130hd")
MEASURED = ("bitmod", "int", "lut", "minifloat", "mixpe", "mx", "posit")
"""Families that are in every table that comes with hwgen."""


def blocks(count: int, seed: int = 1) -> tuple[list[Features], np.ndarray]:
    """Cells of int tiles and an area that is exactly structural."""
    rng = np.random.default_rng(seed)
    spec = family("int")
    found, values = [], []
    for _ in range(count):
        drawn = {"k": int(rng.integers(1, 9)), "bits": int(rng.integers(1, 9)), "group": 840, "depth": 840}
        tile = spec.from_values(drawn)
        features = block_features(spec, tile.p, "cell", tile.modules(tile.p)["cell"])
        found.append(features)
        values.append(30.0 * features.counts["ff"] + 20.0 * features.counts["add"])
    return found, np.array(values)


def test_the_default_is_the_one_of_the_command_line() -> None:
    assert DEFAULT == DEFAULT_TECH


def test_a_trend_finds_its_coefficients() -> None:
    found, values = blocks(30)
    trend = fit_trend(found, values, ("one", "ff", "add", "mul"))
    assert trend["ff"] == pytest.approx(30, rel=1e-3)
    assert trend["add"] == pytest.approx(20, rel=1e-3)


def test_a_trend_of_periods_finds_path_and_loop() -> None:
    """Path and loop shared by cuts, but for the loop, which no cut makes shorter."""
    found, values = [], []
    for cuts in range(7):
        for k in (2, 4, 8, 16):
            spec = family("int").from_values({"k": k, "cell_cuts": cuts})
            features = block_features(type(spec), spec.p, "cell", spec.modules(spec.p)["cell"])
            path, loop = 1.5 * np.log2(1 + k), 0.6 * np.log2(1 + float(features.numbers["acc_bits"]))
            found.append(features)
            values.append(0.4 + max((path + loop) / (cuts + 1), loop))
    terms = ("one", "path.log.k", "loop.log.acc_bits")
    trend = fit_trend(found, np.array(values), terms)
    assert [trend[term] for term in terms] == pytest.approx([0.4, 1.5, 0.6], rel=1e-3)
    assert [float(trend_value(trend, one)) for one in found] == pytest.approx(values)
    # The last one is all loop: a fit that took every period for a path would miss it.
    assert values[-1] == values[-5]


def test_measured_blocks_are_met_and_far_ones_follow_the_trend() -> None:
    found, values = blocks(12)
    values = values * np.random.default_rng(2).uniform(0.8, 1.25, len(values))
    trend = fit_trend(found, values, ("ff", "add"))
    model = Regression(found, values, trend, Kernel(0.3, 1e-4, {"numbers.k": 10.0, "numbers.bits": 10.0}))
    different = {repr(f): i for i, f in enumerate(found)}
    for index in different.values():
        assert float(model.predict(found[index])) == pytest.approx(values[index], rel=0.3)
    single = Regression(found[:1], values[:1], trend, Kernel(0.3, 1e-6, {"numbers.k": 1.0}))
    assert float(single.predict(found[0])) == pytest.approx(values[0], rel=1e-6)
    # Beyond the edge the ratio to the trend is that of the edge.
    edge = max(found, key=lambda f: float(f.numbers["k"]))
    for times in (1, 10, 1000):
        far = replace(
            edge,
            counts={name: times * count for name, count in edge.counts.items()},
            numbers=dict(edge.numbers) | {"k": edge.numbers["k"] * times},
        )
        ratio = float(model.predict(far)) / float(trend_value(trend, far))
        assert ratio == pytest.approx(float(model.predict(edge)) / float(trend_value(trend, edge)), rel=1e-9)


def test_arrays_are_predicted_like_single_blocks_however_many_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    found, values = blocks(12)
    kernel = Kernel(0.3, 0.01, {"counts.ff": 0.5, "numbers.k": 1.0, "numbers.bits": 2.0})
    model = Regression(found, values * 1.1, {"ff": 30.0}, kernel)
    points, _ = blocks(7, seed=9)
    many = replace(
        points[0],
        counts={name: np.array([p.counts[name] for p in points]) for name in points[0].counts},
        numbers={name: np.array([p.numbers[name] for p in points]) for name in points[0].numbers},
    )
    single = [float(model.predict(point)) for point in points]
    for held in (1, 30, 1 << 18):
        monkeypatch.setattr("sim.tech._model._AT_ONCE", held)
        assert model.predict(many) == pytest.approx(single, rel=1e-12)


def test_left_out_errors_are_those_of_leaving_out() -> None:
    found, values = blocks(10, seed=3)
    found = list({repr(f): f for f in found}.values())
    values = values[: len(found)] * np.random.default_rng(4).uniform(0.7, 1.4, len(found))
    trend = {"ff": 30.0, "mul": 18.0}
    ratios = np.log(values / [float(trend_value(trend, f)) for f in found])
    square = 0.3 * sum(squares(found).values())
    quick = left_out(ratios, square, 0.05)
    gram = SPREAD**2 * np.exp(-square / 2)
    for index in range(len(found)):
        rest = [i for i in range(len(found)) if i != index]
        inverse = np.linalg.inv(gram[np.ix_(rest, rest)] + 0.05**2 * np.eye(len(rest)))
        assert quick[index] == pytest.approx(ratios[index] - gram[index, rest] @ inverse @ ratios[rest], abs=1e-9)


def test_a_kernel_is_chosen_that_predicts() -> None:
    found, values = blocks(20, seed=5)
    smooth = values * (1 + 0.1 * np.array([f.numbers["k"] for f in found]))
    _, errors = fit_kernel(found, smooth, {"ff": 30.0, "mul": 20.0})
    assert np.median(np.abs(errors)) < 0.05


# Drawing candidates takes seconds: a process does it once for a family.
NAMES = [pytest.param(name, marks=pytest.mark.xdist_group(f"plans of {name}")) for name in sorted(families())]


@pytest.mark.slow
@pytest.mark.xdist_group("plans of int")
def test_a_seed_makes_a_plan() -> None:
    assert calibration_tiles("int", 6) != calibration_tiles("int", 6, seed=3)


@pytest.mark.slow
@pytest.mark.xdist_group("plans of lut")
def test_a_plan_is_the_same_in_every_process() -> None:
    program = "from sim.calibrate.plan import calibration_tiles; print(calibration_tiles('lut', 60))"
    plans = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    ]
    assert plans[0] == plans[1]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_plans_are_seeded_and_disjoint(name: str) -> None:
    chosen = calibration_tiles(name, 6)
    assert chosen == calibration_tiles(name, 6)
    assert len(set(map(repr, chosen))) == len(chosen)
    # One more for a value that the six do not have.
    assert len(chosen) in (6, 7)
    assert any(spec.lanes for spec in chosen) == ("post_lanes" in family(name).parameters())
    held = held_out_tiles(name, 4)
    assert not set(map(repr, held)) & set(map(repr, chosen))


@pytest.mark.few(1)
@pytest.mark.parametrize("name", NAMES)
def test_a_calibration_has_every_sweep_value(name: str) -> None:
    tiles = calibration_tiles(name, 60)
    for parameter, p in family(name).parameters().items():
        # Shapes and lanes enter the model by counts alone, cuts are drawn up to more than sweeps have.
        if parameter not in ("m", "n", "post_lanes") and not p.cuts:
            assert set(p.sweep) <= {getattr(spec, parameter) for spec in tiles}, parameter


@pytest.mark.slow
def test_half_of_the_held_out_tiles_have_values_that_no_calibration_has() -> None:
    from reports.held_out import new_value

    tiles = [spec for name in sorted(families()) for spec in held_out_tiles(name, 9)]
    calibrated = [spec for name in sorted(families()) for spec in calibration_tiles(name, 60)]
    assert sum(new_value(spec, calibrated) for spec in tiles) >= len(tiles) / 2


@pytest.mark.slow
def test_a_plan_measures_some_tiles_in_one_piece() -> None:
    wanted = plan(["int"], 6, 1)
    blocks = len(calibration_tiles("int", 6, 1))
    # One tile in five more lies at the ends of what is legal, and as many again are drawn over all of it.
    # One of these has post lanes.
    ends, legal = [False], [False] * 7 + [True] * 3
    assert [flat for _, flat in wanted] == [False] * blocks + [True] * -(-blocks // 3) + ends + legal


def test_rows_survive_the_table() -> None:
    spec = family("lut").from_values({"bits": 2, "n": 4, "k": 2})
    entry = Measured(spec, "cell", 8, "plain", 100, 20, {**dict.fromkeys(QUANTITIES, 1.5), "active_pj": None})
    assert parse_row(entry.row()) == entry
    with pytest.raises(HwgenError) as caught:
        read_rows("family,tile\nlut,{}\n", "table")
    assert str(caught.value) == (
        "table: line 2: a measurement must have family, tile, kind, copies, recipe, cells, flip_flops, area_um2, "
        "min_clk_period_ns, clock_pj, active_pj, leakage_uw: 'kind'"
    )


def test_the_nand_of_a_library() -> None:
    assert nand2_area(generic_library()) == 1.0


def entries_of(name: str) -> list[Measured]:
    """Made-up measurements of a family."""
    rows = []
    for spec in calibration_tiles(name, 8):
        for kind, block in spec.modules(spec.p).items():
            size = 1.0 + sum(block.primitives.values())
            values: dict[str, float | None] = dict.fromkeys(QUANTITIES, size)
            # Without flip-flops there is no clock.
            values["clock_pj"] = float(block.primitives.get("ff", 0))
            rows.append(Measured(spec, kind, int(block.count), "plain", 1, 1, values))
        rows.append(Measured(spec, TILE, 1, "plain", 1, 1, dict.fromkeys(QUANTITIES, 1000.0)))
    return rows


def write_table(folder: Path, entries: list[Measured], **changes: Any) -> Path:
    import csv

    from sim.tech._calibrated import COLUMNS

    names = sorted({entry.spec.family for entry in entries})
    models = {name: fit_family([e for e in entries if e.spec.family == name], KINDS) for name in names}
    head = {"name": "mine", "title": "t", "node_nm": 130.0, "nand2_um2": 4.0, "memory": "sky130hd"}
    head |= {"default_clk_period_ns": 4.0, "speed": {"period": 0.7, "area": 1.2, "blocks": 5}}
    document = {
        **head,
        **changes,
        "calibration": {"command": "test"},
        "models": {**models, "any": fit_any(entries, KINDS)},
    }
    (folder / "mine.toml").write_text(toml_text(document))
    with (folder / "mine.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(entry.row() for entry in entries)
    return folder / "mine.toml"


def test_a_table_of_the_user(tmp_path: Path) -> None:
    tech = load(str(write_table(tmp_path, entries_of("int"))))
    assert isinstance(tech, CalibratedTech)
    assert (tech.name, tech.status, tech.buffer_status) == ("mine", "measured", "published")
    layer = Layer("up", 4, 64, 256)
    report = estimate(family("int")(), layer, tech)
    # Few tiles are no measurement of a family.
    tiles = len({repr(entry.spec) for entry in entries_of("int")})
    assert report.status == f"modelled on {tiles} measured tiles"
    assert report.min_clk_period_ns == report.clk_period_ns > 0
    assert report.meets_clock
    # A family that was not measured follows the trend of all others, and says so.
    other = estimate(family("lut").from_values({"bits": 2}), layer, tech)
    assert other.status == "modelled on other families"
    assert other.total_area_um2 > 0


def test_a_table_without_its_measurements(tmp_path: Path) -> None:
    file = write_table(tmp_path, entries_of("int"))
    (tmp_path / "mine.csv").unlink()
    with pytest.raises(HwgenError) as caught:
        load(str(file))
    assert str(caught.value) == (
        "technology mine: the measurements must lie beside the table as mine.csv, which is missing"
    )


def test_a_memory_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(HwgenError, match=r"technology mine: memory must be .*sky130hd.*, not 'sram'"):
        load(str(write_table(tmp_path, entries_of("int"), memory="sram")))


@pytest.mark.parametrize("name", CALIBRATED)
def test_shipped_tables_price_every_family(name: str) -> None:
    tech = load(name)
    assert isinstance(tech, CalibratedTech)
    for one in sorted(families()):
        spec = family(one)()
        report = estimate(spec, Layer("up", 4, 64, 2 * 1152), tech)
        # A family that came after a table says so until it is calibrated.
        in_table = one in read_toml(tech.toml)["models"]
        assert in_table or one not in MEASURED
        least = ("measured", "scaled from sky130hd by ") if in_table else "modelled on other families"
        assert report.status == tech.trust(one), one
        assert report.status.startswith(least), one
        assert all(value >= 0 for value in (*report.area_um2.values(), *report.energy_pj.values()))
        assert report.total_area_um2 > 0
        assert report.min_clk_period_ns is not None
        assert report.min_clk_period_ns > 0


@pytest.mark.parametrize("name", CALIBRATED)
def test_shipped_tables_are_those_of_their_measurements(name: str) -> None:
    """The regressions in a table follow from its measurements: nobody edited either."""
    tech = load(name)
    assert isinstance(tech, CalibratedTech)
    import tomllib

    document = tomllib.loads(tech.toml.read_text())
    entries = read_rows(tech.toml.with_suffix(".csv").read_text(), name)
    # Where blocks are scaled, nothing measured in one piece tells what flattening does.
    given = document["models"]["int"]["flattening"] if "scaled_from" in document["calibration"] else None
    again = fit_family([entry for entry in entries if entry.spec.family == "int"], KINDS, given)
    assert json.loads(json.dumps(again)) == document["models"]["int"]


def test_measured_tiles_are_predicted_as_they_were_measured() -> None:
    """Tiles of the table itself: the sum over their measured blocks, within the noise of the fit."""
    tech = load("sky130hd")
    assert isinstance(tech, CalibratedTech)
    entries = read_rows(tech.toml.with_suffix(".csv").read_text(), "sky130hd")
    errors = []
    for entry in entries:
        if entry.kind == "cell":
            parts = tech.structure(type(entry.spec), entry.spec.p)
            area = entry.values["area_um2"]
            assert area is not None
            errors.append(float(parts.area_um2["cell"]) / (area * entry.copies) - 1)
    assert np.median(np.abs(errors)) < 0.05
    assert np.max(np.abs(errors)) < 0.2


def test_tiles_that_cannot_meet_the_clock_say_so() -> None:
    layer = Layer("up", 4, 64, 256)
    free = estimate(family("int")(), layer)
    assert free.min_clk_period_ns is not None
    slow = estimate(family("int")(), layer, clk_period_ns=free.min_clk_period_ns / 2)
    assert slow.meets_clock is False
    assert slow.latency_us == pytest.approx(free.latency_us / 2)


def test_published_tables_need_a_clock() -> None:
    with pytest.raises(HwgenError) as caught:
        estimate(family("int")(), Layer("up", 4, 64, 256), "horowitz45")
    assert str(caught.value) == (
        "estimate: clk_period_ns must be given with technology horowitz45, which has no timing; try --clk-period-ns 1"
    )


def test_shorter_periods_leak_less() -> None:
    p = {**family("int")().p, "n": np.array([4, 8, 16])}
    fast, slow = (estimate_arrays("int", p, 8, 64, 128, "sky130hd", period) for period in (100.0, 10000.0))
    assert (slow["energy_pj"] > fast["energy_pj"]).all()
