from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from dse.space import Space
from dse.sweep import Sweep, run_sweep
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.schedule import Layer
from reports import table
from reports.plot import formats_of, pareto_figure, point_label, save


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
    assert words[:4] == ["int", "lut", "W2 × int8", "W4 × int8"]
    assert words[-1] == "chosen point"
    assert ("extrapolated" in words) == bool((result.front["extrapolated"].astype(str) != "").any())
    beyond = result.front.assign(extrapolated="n")
    axes = pareto_figure(result.points, beyond, x="area_um2", y="latency_us", title="t", chosen=2).axes[0]
    assert "extrapolated" in [text.get_text() for text in axes.get_legend().get_texts()]
    assert "chosen: " + point_label(result.front.iloc[2]) in [text.get_text() for text in figure.axes[0].texts]


def test_names_stand_inside_and_apart(result: Sweep) -> None:
    """Each family and pair of formats of the front has one name; none leaves the axes or covers another."""
    figure = pareto_figure(
        result.points,
        result.front,
        x="energy_pj_per_mac",
        y="-tops_per_mm2",
        title="t",
        chosen=1,
        errors={"lut": (0.1, 0.1)},
    )
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    kinds = result.front["pe"].astype(str) + formats_of(result.front)
    assert len(axes.texts) == kinds.nunique()
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    frame = axes.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)
    assert all(frame.y0 <= box.y0 and box.y1 <= frame.y1 for box in boxes)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert "median error of the model" in " ".join(text.get_text() for text in axes.get_legend().get_texts())


def test_axes_hold_a_decade_around_the_front(result: Sweep) -> None:
    far = pd.concat([result.points, result.points.tail(1).assign(area_um2=1e12)], ignore_index=True)
    axes = pareto_figure(far, result.front, x="area_um2", y="latency_us", title="t").axes[0]
    assert axes.get_xlim()[1] < 20 * result.front["area_um2"].max()


def test_formats_by_the_family_s_own_names() -> None:
    points = pd.DataFrame(
        {
            "weight_bits": [4, 4, 8, 8],
            "weights": [None, "mxfp4", None, None],
            "acts": ["int8", "mxint8", None, None],
            "operands": [None, None, "p8", None],
        }
    )
    assert formats_of(points).tolist() == ["W4 × int8", "mxfp4 × mxint8", "p8", "W8"]


def test_families_and_formats_look_different(result: Sweep) -> None:
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
    cuts = {name for pe in ("int", "lut") for name in family(pe).cut_parameters()}
    columns = [name for name in table.columns_of(result.points, result.objectives) if name not in cuts]
    assert columns[:6] == ["pe", "weight_bits", "m", "n", "k", "planes_per_cycle"]
    assert columns[6:] == ["area_um2", "latency_us", "energy_pj_per_mac", "power_mw", "utilization"]


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
    assert str(caught.value) == "table: output must end in .md, .csv or .tex, not 'front.txt'"
