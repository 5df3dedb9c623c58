from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dse.space import Space
from dse.sweep import Sweep, run_sweep
from hwgen.errors import HwgenError
from hwgen.schedule import Layer
from reports import table
from reports.plot import pareto_figure, point_label, save


@pytest.fixture(scope="module")
def result() -> Sweep:
    spaces = [
        Space.of("int", {"n": (4, 8, 16), "bits": (2, 4)}),
        Space.of("lut", {"n": (4, 8, 16), "bits": (2, 4), "planes_per_cycle": (1, 2)}),
    ]
    return run_sweep(spaces, [Layer("up", 8, 64, 128)], objectives=("area_um2", "latency_us", "-weight_bits"))


def test_plot_says_what_it_shows(result: Sweep) -> None:
    figure = pareto_figure(result.points, result.front, x="area_um2", y="latency_us", title="layer up; t", chosen=2)
    axes = figure.axes[0]
    assert axes.get_title() == "layer up; t\nareas, energies and periods: measured, pre-layout"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("area of the tile [µm²]", "latency [µs]")
    legend = axes.get_legend()
    assert legend is not None
    words = [text.get_text() for text in legend.get_texts()]
    assert words[:4] == ["int", "lut", "2-bit weights", "4-bit weights"]
    assert words[-1] == "chosen point"
    assert ("extrapolated" in words) == bool((result.front["extrapolated"].astype(str) != "").any())
    beyond = result.front.assign(extrapolated="n")
    axes = pareto_figure(result.points, beyond, x="area_um2", y="latency_us", title="t", chosen=2).axes[0]
    assert "extrapolated" in [text.get_text() for text in axes.get_legend().get_texts()]
    labels = [text.get_text() for text in figure.axes[0].texts]
    assert "chosen: " + point_label(result.front.iloc[2]) in labels
    assert {"2-bit", "4-bit"} <= set(labels)


def test_families_and_widths_look_different(result: Sweep) -> None:
    axes = pareto_figure(result.points, result.front, x="area_um2", y="latency_us", title="t").axes[0]
    groups = result.points.groupby([result.points["pe"].astype(str), "weight_bits"]).ngroups
    shown = axes.collections[:groups]
    assert len({tuple(np.ravel(item.get_facecolor())[:3]) for item in shown}) == 2
    assert len({len(item.get_paths()[0].vertices) for item in shown}) == 2
    assert sum(len(item.get_offsets()) for item in shown) == len(result.points)


def test_files_are_written_and_repeatable(result: Sweep, tmp_path: Path) -> None:
    contents = []
    for name in ("a.png", "b.svg", "c"):
        figure = pareto_figure(result.points, result.front, x="area_um2", y="energy_pj_per_mac", title="t", chosen=0)
        png, svg = save(figure, tmp_path / name)
        assert (png.suffix, svg.suffix) == (".png", ".svg")
        contents.append((png.read_bytes(), svg.read_bytes()))
    assert contents[0] == contents[1] == contents[2]
    assert contents[0][0].startswith(b"\x89PNG")
    assert b"<svg" in contents[0][1]


def test_plot_mistakes(result: Sweep, tmp_path: Path) -> None:
    figure = pareto_figure(result.points, result.front, x="area_um2", y="latency_us", title="t")
    with pytest.raises(HwgenError) as caught:
        save(figure, tmp_path / "a.pdf")
    assert str(caught.value) == "plot: output must end in .png or .svg, not 'a.pdf'"
    with pytest.raises(HwgenError) as caught:
        pareto_figure(result.points, result.front, x="area", y="latency_us", title="t")
    assert str(caught.value) == "plot: axis 'area' must be a column of numbers above 0"
    with pytest.raises(HwgenError, match="plot: cannot write"):
        save(figure, tmp_path / "absent" / "a.png")


def test_columns_are_those_that_differ(result: Sweep) -> None:
    columns = table.columns_of(result.points, result.objectives)
    assert columns[:6] == ["pe", "weight_bits", "m", "n", "k", "planes_per_cycle"]
    assert columns[6:] == ["area_um2", "latency_us", "energy_pj_per_mac", "cycles", "utilization"]


def test_markdown() -> None:
    points = pd.DataFrame(
        {
            "pe": ["int", "lut"],
            "n": [4, 8],
            "planes": [float("nan"), 2.0],
            "area_um2": [12345.6, 0.12345],
            "utilization": [1.0, 0.5],
        }
    )
    assert table.markdown(points, list(points.columns)) == (
        "| pe | n | planes | area_um2 | utilization |\n"
        "|---|---:|---:|---:|---:|\n"
        "| int | 4 | – | 12346 | 100.0% |\n"
        "| lut | 8 | 2 | 0.1235 | 50.0% |\n"
    )


def test_tables_are_files(result: Sweep, tmp_path: Path) -> None:
    table.save(result.front, tmp_path / "front.csv", [])
    read = pd.read_csv(tmp_path / "front.csv")
    assert list(read.columns) == list(result.front.columns)
    assert read["area_um2"].tolist() == result.front["area_um2"].tolist()
    table.save(result.front, tmp_path / "front.md", ["pe", "n"])
    assert (tmp_path / "front.md").read_text(encoding="utf-8").count("\n") == len(result.front) + 2
    with pytest.raises(HwgenError) as caught:
        table.save(result.front, tmp_path / "front.txt", ["pe"])
    assert str(caught.value) == "table: output must end in .md or .csv, not 'front.txt'"
