"""Reading a sweep back, and what is said of files that are none."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dse.stored
from dse.explore import explore
from dse.footer import MARK, footer
from dse.plan import Scene, make_plan
from dse.space import Space
from dse.stored import StoredSweep, open_sweep
from dse.sweep import clocks_of, run_sweep
from hwgen.errors import HwgenError
from hwgen.schedule import Layer
from reports.page.model import page_model
from sim.tech import load


def changed(source: Path, target: Path, **about: Any) -> Path:
    """A file of the same rows whose metadata is another, told as a sweep tells it; None takes a name away."""
    table = pq.read_table(source)
    found = json.loads(table.schema.metadata[MARK]) | about
    found = {name: value for name, value in found.items() if value is not None}
    marks = footer(table.schema, json.dumps(found).encode())
    pq.write_table(table.replace_schema_metadata(marks), target)
    return target


def test_a_workload_of_several(tmp_path: Path) -> None:
    """Its rows, its layers, its counts; together the workloads are the sweep."""
    tech = load("sky130hd")
    layers = {"one at once": (Layer("a", 1, 64, 64),), "many": (Layer("b", 8, 128, 64), Layer("c", 8, 64, 64))}
    scenes = [Scene(name, own, tech, clocks_of((4.0,), tech)) for name, own in layers.items()]
    plan = make_plan([Space.of("int", {"bits": (2, 4, 8), "n": (8, 16), "m": (1, 2)})], scenes, keep=True)
    explore(plan, tmp_path / "x")
    whole = open_sweep(tmp_path / "x")
    assert whole.workloads == tuple(layers)
    parts = [whole.of(name) for name in layers]
    assert [one.layers for one in parts] == list(layers.values())
    assert sum(len(one.front) for one in parts) == len(whole.front)
    assert sum(one.count for one in parts) == whole.count
    assert sum(one.metadata["looked_at"] for one in parts) == whole.metadata["looked_at"]
    for one, name in zip(parts, layers, strict=True):
        assert one.points is not None
        assert set(one.points["workload"].astype(str)) == set(one.front["workload"].astype(str)) == {name}
        assert len(one.points) == one.count
        model = page_model(one, most=100)
        assert (model["title"], len(model["layers"])) == (name, len(layers[name]))
    assert whole.of().workload == "one at once"
    assert whole.of("any").workload == "many"
    with pytest.raises(HwgenError, match="must be told apart from the others, 'n' is in one at once; many"):
        whole.of("n")
    with pytest.raises(HwgenError, match=r"workload must be .a part of. one of one at once; many, not 'three'"):
        whole.of("three")


def test_technologies_side_by_side(tmp_path: Path) -> None:
    """Each point is taken apart by the prices of its own technology, and its commands name it."""
    techs = [load(name) for name in ("sky130hd", "generic45")]
    layers = (Layer("a", 8, 64, 64),)
    scenes = [Scene("w", layers, tech, clocks_of((4.0,), tech)) for tech in techs]
    plan = make_plan([Space.of("int", {"bits": (2, 4), "n": (4, 8)})], scenes, keep=True)
    explore(plan, tmp_path / "x")
    sweep = open_sweep(tmp_path / "x")
    model = page_model(sweep, most=100)
    assert model["drift"] < 1e-9
    named = [model["data"]["tech"]["texts"][place] for place in model["data"]["tech"]["places"]]
    flags = [model["flags"]["tech"]["texts"][place] for place in model["flags"]["tech"]["places"]]
    assert sorted(set(named)) == ["generic45", "sky130hd"]
    assert flags == ["" if name == "sky130hd" else f"--tech {name}" for name in named]
    assert all("{clock} {tech} " in one["command"] for one in model["commands"])
    # Files are asked for by what they call themselves, and one that is none of the sweep's is refused.
    assert page_model(sweep, most=100, techs=techs[1:])["drift"] < 1e-9
    with pytest.raises(HwgenError, match="report: --tech must be of one of sky130hd, generic45, not 'asap7'"):
        page_model(sweep, most=100, techs=[load("asap7")])


def test_a_sweep_comes_back_as_it_was(tmp_path: Path) -> None:
    spaces, layers = [Space.of("int", {"n": (4, 8), "bits": (2, 4)})], [Layer("up", 8, 64, 128), Layer("x", 1, 8, 8, 4)]
    file = tmp_path / "points.parquet"
    command = "hwgen sweep --objective area_um2 --objective=-weight_bits --objective area_um2"
    made = run_sweep(spaces, layers, objectives=("area_um2", "-weight_bits"), output=file, command=command)
    found = open_sweep(str(file))
    assert found.objectives == ("area_um2", "-weight_bits")
    assert found.layers == tuple(layers)
    assert found.points is not None
    pd.testing.assert_frame_equal(found.points, made.points)
    pd.testing.assert_frame_equal(found.front, made.front)
    assert found.count == len(made.points) == 4
    assert found.metadata["versions"] == made.metadata["versions"]


def test_objectives_are_those_that_are_said(tiles: StoredSweep, tmp_path: Path) -> None:
    assert open_sweep(changed(tiles.path, tmp_path / "a.parquet", command="")).objectives == ("area_um2", "latency_us")
    named = changed(tiles.path, tmp_path / "b.parquet", objectives=["power_mw", "-tops_per_mm2"])
    assert open_sweep(named).objectives == ("power_mw", "-tops_per_mm2")


def test_fronts_of_other_objectives(tiles: StoredSweep) -> None:
    other = tiles.by(("area_um2", "perplexity"))
    assert tiles.points is not None
    known = tiles.points.dropna(subset=["perplexity"])
    rows = known[["area_um2", "perplexity"]].to_numpy()
    best = [one for one in rows if not any((two <= one).all() and (two < one).any() for two in rows)]
    assert {tuple(one) for one in other.front[["area_um2", "perplexity"]].to_numpy()} == {tuple(one) for one in best}
    assert tiles.by(tiles.objectives) is tiles
    with pytest.raises(HwgenError, match=r"objective must be one of .*, not 'areas'; did you mean 'area_um2'\?"):
        tiles.by(("areas",))


def refused(file: Path) -> str:
    with pytest.raises(HwgenError) as caught:
        open_sweep(file)
    assert caught.value.status == 2
    return str(caught.value).replace(repr(str(file)), "FILE").replace(str(file), "FILE")


def test_what_is_no_sweep(tiles: StoredSweep, tmp_path: Path) -> None:
    missing = tmp_path / "no.parquet"
    assert refused(missing) == "sweep FILE: there is no such file; hwgen sweep -o FILE writes it"
    assert refused(tmp_path) == "sweep FILE: must be a folder that hwgen sweep wrote: it has no manifest.json"
    csv = tmp_path / "points.csv"
    csv.write_text("pe,m\nint,4\n")
    assert refused(csv) == (
        "sweep FILE: must be Parquet that hwgen sweep wrote (-o FILE.parquet), not another file; CSV does not say "
        "where its numbers come from"
    )
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"a": [1]}), foreign)
    assert refused(foreign) == (
        "sweep FILE: must be Parquet that hwgen sweep wrote, not of another program: it has no metadata"
    )
    newer = changed(tiles.path, tmp_path / "newer.parquet", versions={"hwgen": "0.10.0"})
    assert re.fullmatch(
        r"sweep FILE: was written by hwgen 0\.10\.0, newer than this one, \S+; update hwgen", refused(newer)
    )
    older = changed(tiles.path, tmp_path / "older.parquet", layers=None, status=None)
    assert refused(older).endswith("and does not say status, layers; run the sweep again")


def read_or_refused(file: Path) -> StoredSweep | str:
    try:
        return open_sweep(file)
    except HwgenError as error:
        return str(error)


def test_damage_is_seen(tiles: StoredSweep, tmp_path: Path) -> None:
    """Anywhere in the file; a byte that changes nothing that is read is no damage (some statistics are not)."""
    raw = tiles.path.read_bytes()
    file = tmp_path / "damaged.parquet"
    seen = 0
    for place in np.linspace(4, len(raw) - 1, 60).astype(int).tolist():
        file.write_bytes(raw[:place] + bytes([raw[place] ^ 0x5A]) + raw[place + 1 :])
        found = read_or_refused(file)
        if isinstance(found, str):
            # Of the footer also what says whose file it is.
            assert re.search(r": is damaged; the sweep has to be run again$|: it has no metadata$", found), place
            seen += 1
        else:
            pd.testing.assert_frame_equal(found.points, tiles.points)
            assert found.metadata == tiles.metadata
    assert seen > 20
    file.write_bytes(raw[: len(raw) // 2])
    assert refused(file) == "sweep FILE: is damaged; the sweep has to be run again"


def test_a_sweep_without_a_front(tiles: StoredSweep, tmp_path: Path) -> None:
    table = pq.read_table(tiles.path)
    pq.write_table(table.slice(0, 0), tmp_path / "none.parquet")
    assert refused(tmp_path / "none.parquet") == "sweep FILE: holds no point, so that it has no front"
    points = tiles.points
    assert points is not None
    unknown = points["perplexity"].isna().to_numpy()
    some = changed(tiles.path, tmp_path / "some.parquet", objectives=["perplexity"])
    pq.write_table(pq.read_table(some).filter(pa.array(unknown)), tmp_path / "unknown.parquet")
    assert refused(tmp_path / "unknown.parquet") == (
        "sweep FILE: holds no point whose perplexity are known, so that it has no front"
    )


@pytest.mark.parametrize(("one", "other"), [("0.1.0", "0.2"), ("0.9.1", "0.10"), ("1.0.0", "1.0.1")])
def test_versions_are_compared_as_numbers(one: str, other: str) -> None:
    assert dse.stored._numbers(one) < dse.stored._numbers(other)
    assert dse.stored._numbers(one) == dse.stored._numbers(f"{one}+local.3")
