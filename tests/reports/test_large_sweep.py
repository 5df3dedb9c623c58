"""The page on the large sweep, of a small one."""

from __future__ import annotations

import re
from pathlib import Path

from dse.explore import explore
from dse.plan import Scene, make_plan
from dse.space import Space
from dse.stored import open_sweep
from dse.sweep import clocks_of
from hwgen.schedule import Layer
from reports.large_sweep import digests, page
from reports.timed import Took
from sim.tech import load


def test_the_page_counts_pairs(tmp_path: Path) -> None:
    tech = load("sky130hd")
    scenes = [
        Scene(name, (Layer("a", 8, 64, 64), Layer("b", 8, 128, 64)), tech, clocks_of((4.0, 8.0), tech))
        for name in ("one", "two")
    ]
    spaces = [Space.of("int", {"bits": (4, 8), "n": (8, 16), "m": (1,)})]
    columns = {"objectives": ("area_um2", "energy_pj_per_mac", "-weight_bits")}
    explore(make_plan(spaces, scenes, **columns), tmp_path / "x")
    sweep = open_sweep(tmp_path / "x")
    points = int(sweep.metadata["looked_at"])
    assert set(digests(tmp_path / "x")) == {"front.parquet", "sample.parquet", "axes.parquet"}
    text = page(sweep.by(sweep.objectives), Took(2.0, 3.0, 100.0), ["killed"], False)
    assert f"| {points} | {points} | 2 and 2 | {2 * points} | 2 |" in text
    assert "DIFFERENT" in text
    assert len(re.findall(r"^\| (?:one|two) \|", text, re.M)) == 4  # a knee for each workload and width
