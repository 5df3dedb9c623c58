"""Points of stored sweeps, by their numbers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from dse.designs import ACCELERATORS, AROUND
from dse.point import read_point
from dse.space import Space
from dse.sweep import run_sweep
from hwgen.accelerator import Design
from hwgen.accelerator.use import Use
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.schedule import Layer
from sim.estimate import estimate


def test_every_row_makes_the_tile_that_was_swept(sweep: Path) -> None:
    rows = pd.read_parquet(sweep)
    assert len(rows) == 8
    for number in range(8):
        point = read_point(sweep, number)
        row = rows.iloc[number]
        assert (point.level, point.family, point.tech) == ("tile", row["pe"], "generic45")
        tile = family(point.family).from_values(point.values)
        assert tile.p == point.values
        reports = [estimate(tile, layer, "generic45", point.clk_period_ns) for layer in point.layers]
        assert sum(one.cycles for one in reports) == row["cycles"] == point.predicted["cycles"]
        assert reports[0].total_area_um2 == pytest.approx(row["area_um2"])
        assert reports[0].total_energy_pj + reports[1].total_energy_pj == pytest.approx(row["energy_pj"])


def test_flags_are_all_parameters(sweep: Path) -> None:
    point = read_point(sweep, 7)
    flags = point.flags()
    assert {one.flag for one in family("lut").parameters().values()} < {*flags}
    assert flags["--pe"] == ("lut", "lut")
    assert flags["--clk-period-ns"] == (repr(point.clk_period_ns), point.clk_period_ns)
    known = family("lut").parameters()
    assert all(known[name].parse(flags[known[name].flag][0]) == value for name, value in point.values.items())


def test_an_accelerator_has_memory_around_it(tmp_path: Path) -> None:
    path = tmp_path / "points.parquet"
    tile = {"m": (1,), "n": (2,), "k": (4,), "bits": (4,), "group": (16,)}
    space = Space.of("int", tile).beside(AROUND, {"weight_ring": (16, 32), "memory_latency": (10,)})
    layer = Layer("up", 2, 4, 64)
    result = run_sweep([space], [layer], tech="generic45", level=ACCELERATORS, output=path, command="hwgen sweep")
    for number in range(2):
        point = read_point(path, number)
        assert point.level == "accelerator"
        assert {*point.around} == {*Design.parameters(), *Use.parameters()}
        assert point.around["weight_ring"] == result.points.iloc[number]["weight_ring"]
        assert point.flags()["--memory-latency"] == ("10", 10)
        assert point.flags()["--outer"][0] == "false"


def test_a_number_that_is_none(sweep: Path) -> None:
    with pytest.raises(HwgenError) as caught:
        read_point(sweep, 8)
    assert str(caught.value).startswith(
        f"sweep '{sweep}': point must be from 0 to 7, as it has 8 points, not 8; its front is "
    )


def test_numbered_points_are_found_by_their_column(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in folders, whose rows carry numbers and whose sample is not all of them."""
    import dataclasses

    from dse import point as module

    real = module.open_sweep(sweep)
    numbered = real.points.assign(point=[100 + 7 * row for row in range(8)]) if real.points is not None else None
    assert numbered is not None
    stored = dataclasses.replace(
        real, front=numbered.iloc[:1], sample=numbered.iloc[:3], axes=numbered.iloc[:0], files=()
    )
    monkeypatch.setattr(module, "open_sweep", lambda path: stored)
    assert read_point(sweep, 114).values == real.points.iloc[2].pipe(lambda row: read_values(row))
    with pytest.raises(HwgenError, match=r"point must be one that is kept, of the 1 on the front \(100\)"):
        read_point(sweep, 149)


def read_values(row: pd.Series) -> dict[str, object]:  # type: ignore[type-arg]
    known = family(str(row["pe"])).parameters()
    return {name: one.type(row[name]) for name, one in known.items()}
