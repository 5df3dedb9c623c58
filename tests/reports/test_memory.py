"""The page of memory costs: its figures follow from the tables, its plot shows them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.errors import HwgenError
from reports import memory
from sim.memory import sram
from sim.memory._table import QUANTITIES, load
from sim.memory.fit import Points


def shipped() -> Points:
    table = load()
    values = {
        (node, int(capacity), int(width), ports): {name: float(grid[name][c, w]) for name in QUANTITIES}
        for (node, ports), grid in table.grids.items()
        for c, capacity in enumerate(table.capacities)
        for w, width in enumerate(table.widths)
        if not np.isnan(grid["read_pj"][c, w])
    }
    return Points(values, (2,), table.data_sha256)


def test_points_must_be_those_of_the_table() -> None:
    points = shipped()
    memory._check(points)
    points.values[45, 32768, 64, "1rw"]["read_pj"] *= 1.001
    with pytest.raises(HwgenError) as caught:
        memory._check(points)
    assert str(caught.value) == (
        "memory: sim/memory/sram.toml must hold the points of the CSV file; `python -m sim.memory.fit CSV` makes it"
    )


def test_the_plot_has_a_line_a_node_and_the_points_as_dots() -> None:
    drawn = memory.figure(shipped())
    assert len(drawn.axes) == 2
    for axes, width in zip(drawn.axes, (64, 256), strict=True):
        assert [line.get_label() for line in axes.lines] == ["65 nm", "45 nm", "28 nm", "22 nm"]
        dots = [np.asarray(dot.get_offsets()) for dot in axes.collections]
        assert len(dots) == 4
        assert len(dots[0]) == 13
        for x, y in dots[1]:
            assert y == sram(45, int(x), width).read_pj_per_bit
        line = axes.lines[1]
        assert line.get_ydata()[0] == sram(45, 1024, width).read_pj_per_bit
        assert line.get_ydata()[-1] == sram(45, 1 << 22, width).read_pj_per_bit
    assert not memory.figure().axes[0].collections


def test_rows() -> None:
    assert memory.error_rows()[0][:2] == ["energy of a read", "4.0% / 20.5% / 37.9%"]
    assert memory.sram_rows()[1][:3] == ["32 KiB", "0.389 / 0.350", "0.233 / 0.198"]
    by_name = {row[0]: row[1:] for row in memory.published_rows()}
    # 0.2 pJ over 0.07 pJ; the method's 18 is 6.3 times that.
    assert by_name["mul_int8"] == [0.2, 0.07, "2.9", "18.0", "6.3"]
    assert not any(name.startswith("dram") for name in by_name)


def test_the_page_can_be_made_without_the_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "RESULT", tmp_path / "memory.md")
    memory.main([])
    text = (tmp_path / "memory.md").read_text()
    assert text.startswith("# Memory costs and node scaling\n\nMade by `python -m reports.memory`.\nCommit: ")
    assert "598 banks. The CSV file" in text
    assert {path.name for path in tmp_path.iterdir()} == {"memory.md", "memory.png", "memory.svg"}
    with pytest.raises(SystemExit) as caught:
        memory.main([str(tmp_path / "absent.csv")])
    assert caught.value.code == 2
    assert "must be a readable CSV file: No such file" in capsys.readouterr().err
