"""``hwgen query`` and ``hwgen pareto``: what is asked of a finished sweep, and what comes with a point."""

from __future__ import annotations

import itertools
import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dse.command import point_commands, tech_of
from dse.explore import explore
from dse.picks import best_in, by_number, each_workload, knee
from dse.plan import make_plan
from dse.query import ask
from dse.space import Space
from dse.stored import StoredSweep, open_sweep
from dse.sweep import run_sweep
from hwgen.cli import main
from hwgen.errors import HwgenError
from hwgen.pe import family
from sim.clock import OWN, at_clock
from sim.tech import load
from tests.dse.sweeps import LAYERS, OBJECTIVES, plan, scene, spaces


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep with all of its points, of two workloads."""
    target = tmp_path_factory.mktemp("sweep") / "x"
    explore(plan(keep=True, scenes=[scene("one"), scene("two", LAYERS[:1])]), target)
    return target


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One in a file."""
    target = tmp_path_factory.mktemp("sweep") / "x.parquet"
    run_sweep(spaces(), LAYERS, objectives=OBJECTIVES, tech="tpuv4i7", clk_period_ns=1.5, output=target)
    return target


def test_tables_are_those_of_the_sweep(folder: Path, file: Path) -> None:
    stored = open_sweep(folder)
    for name, frame in {
        "front": stored.front,
        "sample": stored.sample,
        "points": stored.points,
        "axes": stored.axes,
    }.items():
        assert frame is not None
        assert ask(stored, f"select count(*) from {name}").rows == [(len(frame),)]
    found = ask(stored, "select pe, min(area_um2) as least from points group by pe order by pe")
    assert stored.points is not None
    assert found.columns == ("pe", "least")
    assert found.rows == list(stored.points.groupby(stored.points["pe"].astype(str))["area_um2"].min().items())
    assert ask(stored, "select round(sum(stands_for)) from sample").rows == [(stored.count,)]
    rows = open_sweep(file)
    assert ask(rows, "select count(*) from points").rows == [(rows.count,)]
    assert ask(rows, "select count(*) from front").rows == [(len(rows.front),)]


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select aera_um2 from front", "query: no column 'aera_um2'; did you mean 'area_um2'?; columns: point, "),
        ("select * from frnt", "query: no table 'frnt'; did you mean 'front'?; tables: front, sample, axes, points"),
        ("selec 1", "query: is no SQL: Parser Error: syntax error"),
        ("", "query: must be one select, e.g. "),
        ("select 1; select 2", "query: must be one select, e.g. "),
        ("copy (select 1) to 'x.csv'", "query: must be one select, e.g. "),
        ("create table x (a int)", "query: must be one select, e.g. "),
        ("select area_um2 / 'a' from front", "query: Conversion Error"),
    ],
)
def test_mistakes_of_a_query(sql: str, message: str, folder: Path) -> None:
    with pytest.raises(HwgenError) as caught:
        ask(open_sweep(folder), sql)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(one) for one in arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_an_answer_is_a_table_or_values(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sql = "select pe, count(*) as points, max(planes_per_cycle) as planes from sample group by pe order by pe"
    assert run("query", sql, folder) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["pe", "points", "planes"]
    assert shown[1].split()[0] == "int"
    assert run("query", sql, folder, "--format", "csv") == 0
    assert capsys.readouterr().out.splitlines()[0] == "pe,points,planes"
    assert run("query", sql, folder, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["pe"] for row in rows] == ["int", "lut"]
    assert (rows[0]["planes"], rows[1]["planes"]) == (None, 2)
    assert run("query", "select 1", folder / "absent") == 2
    assert "there is no such file; hwgen sweep -o" in capsys.readouterr().err


def test_points_that_are_not_kept_are_told(tmp_path: Path) -> None:
    explore(plan(), tmp_path / "x")
    stored = open_sweep(tmp_path / "x")
    assert stored.points is None
    with pytest.raises(
        HwgenError, match="no table points: the sweep keeps a front and a sample; --store all keeps points"
    ):
        ask(stored, "select * from points")
    with pytest.raises(
        HwgenError,
        match=r"point must be one that is kept, of the \d+ on the front .* not 9,999,999; .*--store all",
    ):
        by_number(stored, 9_999_999)


def test_the_knee_lies_below_the_others() -> None:
    front = pd.DataFrame({"a": [1.0, 2.0, 4.0, 100.0], "b": [100.0, 3.0, 2.0, 1.0]})
    assert knee(front, ("a", "b")) == 1
    # Maximised, and with a value of 0 on a linear scale.
    assert knee(pd.DataFrame({"a": [0.0, 1.0, 10.0], "b": [0.0, 9.0, 10.0]}), ("a", "-b")) == 1
    assert knee(front.iloc[[2]], ("a", "b")) == 0


def test_picks(folder: Path, file: Path) -> None:
    stored = open_sweep(folder)
    assert stored.points is not None
    assert [set(own["workload"]) for own in each_workload(stored.front)] == [{"one"}, {"two"}]
    assert best_in(stored.front, "area_um2") == int(np.argmin(stored.front["area_um2"]))
    assert best_in(stored.front, "-weight_bits") == int(np.argmax(stored.front["weight_bits"]))
    number = int(stored.points["point"].iloc[17])
    assert by_number(stored, number)["point"].tolist() == [number]
    rows = open_sweep(file)
    assert by_number(rows, 3)["area_um2"].tolist() == [rows.sample["area_um2"].iloc[3]]
    with pytest.raises(HwgenError, match=r"point must be from 0 to 119, as it has 120 points, not 99,999"):
        by_number(rows, 99_999)


def test_pareto_lists_and_picks(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored = open_sweep(folder)
    assert run("pareto", folder, "--json", "--top", "1000") == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["point"] for one in found["points"]] == stored.front["point"].tolist()
    assert found["commands"] == []
    least = float(stored.front["latency_us"].median())
    assert run("pareto", folder, "--cheapest", "area_um2", "--where", f"latency_us <= {least}", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert stored.points is not None
    for one in found["points"]:
        own = stored.points[(stored.points["workload"] == one["workload"]) & (stored.points["latency_us"] <= least)]
        # Through JSON, to fewer digits.
        assert one["area_um2"] == pytest.approx(own["area_um2"].min(), rel=1e-12)
    assert len(found["commands"]) == 2
    assert run("pareto", folder, "--knee") == 0
    shown = capsys.readouterr().out
    assert shown.count("hwgen emit --pe ") == shown.count("hwgen estimate --pe ") == 2
    assert run("pareto", folder, "--format", "csv") == 0
    assert capsys.readouterr().out.startswith("point,pe,weight_bits,m,n,k,")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cheapest", "aera_um2"], "pareto: no column 'aera_um2'; did you mean 'area_um2'?; columns: point, "),
        (["--cheapest", "pe"], "pareto: pe must be a column of numbers to be the cheapest in"),
        (["--where", "aera_um2 <= 5"], "constraint 'aera_um2 <= 5': no column 'aera_um2'; did you mean 'area_um2'?"),
        (["--where", "area_um2 <= 1"], "pareto: none of the "),
        (["--where", "area_um2 <= baseline"], "constraint 'area_um2 <= baseline': a finished sweep has no baseline; "),
        (["--where", "pe <= 5"], "constraint 'pe <= 5': pe holds names, so it is compared by == or !="),
        (["--knee", "--point", "3"], "pareto: one of --knee, --cheapest and --point must be given, not several"),
        (["--point", "3", "--where", "m == 1"], "pareto: --where picks among points, --point names one: "),
        (["--point", "99999999"], "sweep "),
    ],
)
def test_mistakes_of_pareto(
    arguments: list[str], message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("pareto", folder, *arguments) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith(f"hwgen: {message}")


def flags(command: str) -> dict[str, str]:
    words = shlex.split(command)
    return {
        word.removeprefix("--").replace("-", "_"): after
        for word, after in itertools.pairwise(words)
        if word.startswith("--")
    }


@pytest.mark.parametrize("clock", [4.0, 8.0, OWN])
def test_the_command_makes_the_tile(clock: float | str, tmp_path: Path) -> None:
    """Whatever a clock placed, the flags give the same tile."""
    made = [
        Space.of("int", {"k": (4, 8), "n": (4, 8), "bits": (2, 8)}),
        *Space.split("mx", {"weights": ("mxfp4",), "n": (4,), "k": (8,)}),
    ]
    found = run_sweep(made, LAYERS, clk_period_ns=clock).points
    assert len(found) > 5
    tech = load()
    for row in found.to_dict("records"):
        commands = point_commands(row, "tile", tech.name, tech, LAYERS, own_clock=clock == OWN)
        given = flags(commands["emit"])
        spec = family(given.pop("pe"))
        given.pop("o", None)
        asked = given.pop("clk_period_ns", None)
        period = None if asked is None else asked if asked == OWN else float(asked)
        values = {name: spec.parameters()[name].parse(text) for name, text in given.items()}
        tile = at_clock(spec, values, tech, period)
        assert {name: type(value)(row[name]) for name, value in tile.p.items()} == tile.p
        assert commands["estimate"].endswith("--layer up:5x96x576 --layer 'down:5x64x192*3'")


def test_the_technology_is_found_again(tmp_path: Path) -> None:
    assert tech_of("sky130hd", "hwgen sweep")[0] == "sky130hd"
    assert tech_of("mine", "hwgen sweep --tech gone.toml") == ("mine", None)


def test_a_sweep_of_several_is_asked_by_number(folder: Path) -> None:
    stored: StoredSweep = open_sweep(folder)
    made = make_plan(spaces(), [scene("one"), scene("two", LAYERS[:1])], OBJECTIVES, chunk_points=50, part_pairs=100)
    for row in stored.front.to_dict("records"):
        where, clock, space, _ = made.point(int(row["point"]))
        assert (row["workload"], row["clk_period_ns"], row["pe"]) == (where.workload, clock.period_ns, space.family)
