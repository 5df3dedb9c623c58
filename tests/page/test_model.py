"""Which points a page has, what it says of them, and that the commands it shows make them."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dse.explore import explore
from dse.plan import Search
from dse.space import Space
from dse.stored import StoredSweep, open_sweep, techs_of
from dse.sweep import run_sweep
from hwgen.cli import main
from hwgen.schedule import Layer
from reports.page import html, model
from reports.page.breakdown import break_down
from reports.page.choose import choose_points
from reports.page.columns import columns_of, direction, key_metrics, unit_of
from reports.page.model import dumps, page_model
from sim.tech import load
from tests.dse.sweeps import plan


def brute(points: pd.DataFrame, names: Sequence[str]) -> set[tuple[float, ...]]:
    """Values of the front, by comparing each with each."""
    signs = [-1.0 if name.startswith("-") else 1.0 for name in names]
    rows = (points[[name.removeprefix("-") for name in names]] * signs).to_numpy()
    better = (rows[:, None] <= rows).all(axis=2) & (rows[:, None] < rows).any(axis=2)
    return {tuple(one) for one in rows[~better.any(axis=0)]}


def cloud(count: int = 600) -> tuple[pd.DataFrame, np.ndarray]:
    generator = np.random.default_rng(3)
    points = pd.DataFrame(generator.random((count, 3)), columns=["a", "b", "c"])
    return points, generator.integers(0, 5, count)


@pytest.mark.parametrize("most", [40, 200, 599])
def test_fronts_that_are_called_whole_are(most: int) -> None:
    points, kinds = cloud()
    known = brute(points, "ab")
    best = np.flatnonzero([tuple(row) in known for row in points[["a", "b"]].to_numpy()])
    found = choose_points(points, best, ("a", "b"), ("-c",), kinds, most)
    shown = points.iloc[found.places]
    assert len(shown) == most
    assert (np.diff(found.places) > 0).all()
    assert found.places[found.front].tolist() == best.tolist()
    sets = {*found.whole, *found.whole_by_group}
    assert ("a", "b") in sets
    assert len(sets) > (1 if most > 40 else 0)
    for names in sets:
        assert brute(shown, names) == brute(points, names), names
    for names in found.whole_by_group:
        for group in range(5):
            mine = kinds[found.places] == group
            assert brute(shown[mine], names) == brute(points[kinds == group], names)
    again = choose_points(points, best, ("a", "b"), ("-c",), kinds, most)
    assert again.places.tolist() == found.places.tolist()


def test_every_group_is_in_the_sample() -> None:
    points, _ = cloud()
    kinds = np.array([0] * 580 + [1] * 15 + [2] * 5)
    found = choose_points(points, np.zeros(1, np.int64), ("a",), (), kinds, 60)
    assert np.bincount(kinds[found.places]).tolist() == [40, 15, 5]


def test_a_long_front_is_thinned_and_no_longer_whole() -> None:
    x = np.linspace(0, 1, 500)
    points = pd.DataFrame({"a": x, "b": 1 - x})
    found = choose_points(points, np.arange(500), ("a", "b"), (), np.zeros(500, np.int64), 50)
    assert len(found.places) == 50
    assert found.places[[0, -1]].tolist() == [0, 499]
    assert (found.whole, found.whole_by_group, found.front_points) == ((), (), 500)


def test_a_sample_says_nothing_of_other_fronts() -> None:
    points, kinds = cloud()
    found = choose_points(points, np.arange(3), ("a", "b"), ("c",), kinds, 300, complete=False)
    assert (found.whole, found.whole_by_group) == ((("a", "b"),), ())


def test_parts_add_up_and_a_change_of_prices_is_seen(tiles: StoredSweep, designs: StoredSweep) -> None:
    for sweep in (tiles, designs):
        assert sweep.points is not None
        for shift in (1.0, 1.01):
            points = sweep.points.assign(energy_pj=sweep.points["energy_pj"] * shift)
            names = techs_of(points, sweep.metadata)
            prices = {"sky130hd": load("sky130hd")}
            parts = break_down(points, sweep.layers, sweep.metadata["level"], names, prices)
            assert sorted(itertools.chain(*(one.rows.tolist() for one in parts.values()))) == list(range(len(points)))
            drift = max(one.drift for one in parts.values())
            assert drift < 1e-9 if shift == 1 else drift == pytest.approx(1 - 1 / 1.01)
    said = page_model(_with(tiles, energy_pj=tiles.points["energy_pj"] * 1.01), most=50)
    words = dict(said["provenance"])
    assert words["Parts"] == "prices have changed since the sweep: parts are up to 0.99% off the totals beside them"


def _with(sweep: StoredSweep, **columns: Any) -> StoredSweep:
    points = sweep.points.assign(**columns)
    return dataclasses.replace(sweep, sample=points)


def column(found: dict[str, Any], name: str) -> list[Any]:
    data = found["data"][name]
    if "same" in data:
        return [data["same"]] * found["counts"]["shown"]
    return data["numbers"] if "numbers" in data else [data["texts"][place] for place in data["places"]]


def commands(found: dict[str, Any], index: int) -> list[list[str]]:
    """As the page composes them."""
    said = {name: one["texts"][one["places"][index]] for name, one in found["flags"].items()}
    said["pe"] = column(found, "pe")[index]
    return [shlex.split(one["command"].format(**said))[1:] for one in found["commands"]]


def printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--json"])
    assert ended.value.code == 0, arguments
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def parts(found: dict[str, Any], index: int) -> tuple[dict[str, Any], int]:
    mine = found["parts"][column(found, "pe")[index]]
    return mine, mine["rows"].index(index)


def test_the_command_of_a_tile_prints_its_numbers_and_its_parts(
    models: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Among them tiles whose registers the clock placed, and one whose registers were named."""
    found = models["tiles"]
    cuts = np.array(column(found, "cell_cuts"))
    by_hand = [index for index in range(len(cuts)) if "--cell-cuts" in " ".join(commands(found, index)[0])]
    assert by_hand
    for index in [*by_hand[:2], *range(0, len(cuts), 9)]:
        told = printed(commands(found, index)[0], capsys)
        mine, place = parts(found, index)
        for name in ("area_um2", "energy_pj"):
            assert told[name]["total"] == pytest.approx(column(found, name)[index], rel=1e-8)
            blocks = {block: values[place] for block, values in mine[name].items() if values[place]}
            assert blocks == pytest.approx({b: v for b, v in told[name].items() if v and b != "total"}, rel=1e-4)
        assert sum(one[place] for one in mine["cycles"]) == told["cycles"] + told["pre_cycles"]
        assert told["latency_us"] == pytest.approx(column(found, "latency_us")[index], rel=1e-8)
        assert told["min_clk_period_ns"] == pytest.approx(column(found, "min_clk_period_ns")[index], rel=1e-8)


def test_the_command_of_an_accelerator_prints_its_numbers_and_its_parts(
    models: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Cycles of the page are the closed form's, which is near the walk of the command; where both take the same jobs,
    so is all that follows from them.
    """
    found = models["designs"]
    alike = 0
    for index in range(0, found["counts"]["shown"], 7):
        told = printed(commands(found, index)[0], capsys)
        mine, place = parts(found, index)
        cost = told["cost"]
        assert cost["area_um2"]["total"] == pytest.approx(column(found, "area_um2")[index], rel=1e-8)
        blocks = {block: values[place] for block, values in mine["area_um2"].items() if values[place]}
        assert blocks == pytest.approx({b: v for b, v in cost["area_um2"].items() if v and b != "total"}, rel=1e-4)
        jobs = [layer["jobs"][0] for layer in told["layers"]]
        words = [f"{'wa'[one['order']]}:{'w' * one['hold_weights'] + 'a' * one['hold_acts'] or '-'}" for one in jobs]
        if " ".join(words) != column(found, "jobs")[index]:
            continue
        alike += 1
        near = 0.08  # small layers, of which fill and drain are much
        energy = {block: values[place] for block, values in mine["energy_pj"].items() if values[place]}
        assert energy == pytest.approx({b: v for b, v in cost["energy_pj"].items() if v and b != "total"}, rel=near)
        for at, layer in enumerate(told["layers"]):
            job, count = jobs[at], layer["count"]
            assert mine["cycles"][at][place] == pytest.approx(count * job["cycles"], rel=near)
            assert mine["busy"][at][place] / mine["cycles"][at][place] == pytest.approx(job["utilization"], rel=near)
            moved = max(sum(job["read_bytes"].values()), job["write_bytes"])
            assert mine["moved"][at][place] == pytest.approx(count * moved, rel=1e-4)
        bus = column(found, "bus_bits")[index]
        assert mine["rate"][place] == pytest.approx(bus / 8 / column(found, "clk_period_ns")[index], rel=1e-4)
    assert alike


def test_emit_takes_what_is_shown(models: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = models["tiles"]
    with pytest.raises(SystemExit) as ended:
        main(commands(found, found["chosen"])[1])
    assert ended.value.code == 0
    (file,) = tmp_path.iterdir()
    assert file.name == f"{column(found, 'pe')[found['chosen']]}_tile.v"


@pytest.mark.parametrize(("period", "flag"), [("own", "own"), (6.0, "6.0")])
def test_other_clocks(period: Any, flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "points.parquet"
    axes = {"n": (4, 8), "bits": (2, 4), "cell_cuts": (0, 1)} if period == "own" else {"n": (4, 8), "bits": (2, 4)}
    run_sweep([Space.of("int", axes)], [Layer("up", 8, 64, 128)], output=file, clk_period_ns=period)
    found = page_model(open_sweep(file), most=50)
    assert found["drift"] < 1e-9
    for index in range(0, found["counts"]["shown"], 3):
        arguments = commands(found, index)[0]
        assert arguments[arguments.index("--clk-period-ns") + 1] == flag
        told = printed(arguments, capsys)
        for name in ("area_um2", "energy_pj"):
            assert told[name]["total"] == pytest.approx(column(found, name)[index], rel=1e-8)
        assert told["clk_period_ns"] == pytest.approx(column(found, "clk_period_ns")[index], rel=1e-8)


def test_many_layers_are_told_as_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "MOST_LAYERS", 3)
    layers = [Layer(f"layer {n}", 4, 16 * n, 64) for n in (3, 1, 5, 2, 4)]
    file = tmp_path / "points.parquet"
    run_sweep([Space.of("int", {"n": (4, 8)})], layers, output=file)
    found = page_model(open_sweep(file), most=50)
    assert [one["name"] for one in found["layers"]] == ["layer 5", "layer 4", "3 smaller ones"]
    mine, place = parts(found, 0)
    assert sum(one[place] for one in mine["cycles"]) == column(found, "cycles")[0]
    assert all(f"layer_{n}:" in " ".join(commands(found, 0)[0]) for n in range(1, 6))


def test_columns_say_what_they_are(tiles: StoredSweep) -> None:
    assert tiles.points is not None
    found = {one.name: one for one in columns_of(tiles.points, ("area_um2", "-m"))}
    assert (found["area_um2"].label, found["area_um2"].unit, found["area_um2"].better) == ("area", "µm²", -1)
    assert (found["energy_pj_per_mac"].unit, found["tops_per_mm2"].better, found["m"].better) == ("pJ", 1, 1)
    assert found["cell_cuts"].doc
    assert "align_scope" in found
    assert "jobs" not in found
    assert [direction(name) for name in ("agreement", "perplexity", "weight_bits", "n")] == [1, -1, 0, 0]
    assert key_metrics(tiles.points, ("energy_pj", "-utilization"))[:3] == ["energy_pj", "utilization", "area_um2"]
    assert "energy_pj_per_mac" not in key_metrics(tiles.points, ("energy_pj",))
    assert [unit_of("pJ", number) for number in (9e3, 1e4, 2e10)] == [(1.0, "pJ"), (1e3, "nJ"), (1e9, "mJ")]


def test_data_cannot_end_its_element(tiles: StoredSweep) -> None:
    found = page_model(tiles, most=50, title="</script><b>&\u2028")
    text = html.page_html(found)
    assert "</script><b>" not in text
    (data,) = re.findall(r'id="model">(.*?)</script>', text, re.S)
    assert json.loads(data)["title"] == "</script><b>&\u2028"
    assert "\u2028" not in data
    assert "NaN" not in dumps(found)
    assert "&lt;/script&gt;&lt;b&gt;&amp;" in text


def test_modules_are_inlined_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = html.script.__wrapped__()
    assert text.index("// model.js") < text.index("// state.js") < text.index("// main.js")
    names = re.findall(r"^(?:async function|function|const|let) (\w+)", text, re.M)
    assert len(names) == len(set(names))
    monkeypatch.setattr(html, "_ASSETS", tmp_path)
    (tmp_path / "main.js").write_text('import { a } from "./a.js";\na();\n')
    (tmp_path / "a.js").write_text('import { b } from "./main.js";\nexport function a() {}\n')
    with pytest.raises(ValueError, match=r"main\.js imports itself by way of main\.js, a\.js"):
        html.script.__wrapped__()
    (tmp_path / "a.js").write_text("export default 3;\n")
    with pytest.raises(ValueError, match=r"a\.js: 'export default 3;' is a form that is not inlined"):
        html.script.__wrapped__()


def test_a_folder_of_a_sweep_is_shown_once(tmp_path: Path) -> None:
    """Points of the front that are in the sample, too, are one point of the page."""
    spaces = [Space.of("int", {"n": (2, 4, 8), "k": (2, 4)})]
    explore(plan(spaces=spaces), tmp_path / "space", command="hwgen sweep")
    sweep = open_sweep(tmp_path / "space")
    assert sweep.points is None
    made = page_model(sweep, most=100, command="hwgen report space")
    assert made["counts"]["shown"] == made["counts"]["points"] == sweep.count == 2 * 6  # two clocks


@pytest.mark.parametrize("search", [None, Search(8, 4)])
def test_a_folder_of_all_points_shows_its_own_front(search: Search | None, tmp_path: Path) -> None:
    spaces = [Space.of("int", {"n": (2, 4, 8), "k": (2, 4)})]
    explore(plan(spaces=spaces, keep=True, search=search, chunk_points=None), tmp_path / "space", command="hwgen sweep")
    sweep = open_sweep(tmp_path / "space")
    made = page_model(sweep, most=100, command="hwgen report space")
    shown = np.array(column(made, "area_um2"))[made["front"]]
    assert sorted(shown) == pytest.approx(sorted(sweep.front["area_um2"]), rel=1e-5)
    said = [text for name, text in made["provenance"] if name == "Points"]
    assert [text.partition(" by")[0] for text in said] == (
        [] if search is None else ["searched, not exhaustive: 8 of 12 points evaluated"]
    )
