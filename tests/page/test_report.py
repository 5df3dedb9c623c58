"""``hwgen report``: pages, figures, tables, and refusals."""

from __future__ import annotations

import re
import shutil
import zlib
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import reports.page.html
from dse.stored import StoredSweep
from hwgen.cli import main
from hwgen.errors import HwgenError
from reports import table
from reports.page.figure import WIDTHS_IN, front_figure, picture


@pytest.fixture
def folder(tiles: StoredSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a sweep in it, which is worked in."""
    shutil.copy(tiles.path, tmp_path / "points.parquet")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["report", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_all_at_once(folder: Path, tiles: StoredSweep, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["-o", "a.html", "--figure", "front.pdf", "--table", "front.tex", "--title", "Our tiles", "--points", "40"]
    assert report("points.parquet", *flags) == 0
    said = capsys.readouterr().out.splitlines()
    count = len(tiles.front)
    assert re.fullmatch(
        rf"40 of {tiles.count} points, {count} of them the front of area_um2, latency_us; 0\.\d MB", said[0]
    )
    assert said[1:] == ["wrote front.pdf", "wrote front.tex", "wrote a.html"]
    page = (folder / "a.html").read_text(encoding="utf-8")
    assert "<h1>Our tiles</h1>" in page
    assert "{{" not in re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)


def test_a_page_that_would_be_too_large_has_fewer_points(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report("points.parquet", "-o", "a.html") == 0
    whole = (folder / "a.html").stat().st_size
    monkeypatch.setattr(reports.page.html, "MOST_BYTES", int(0.97 * whole))
    assert report("points.parquet", "-o", "b.html") == 0
    shown = int(capsys.readouterr().out.splitlines()[-2].split()[0])
    assert 10 <= shown < 46
    assert (folder / "b.html").stat().st_size <= 0.97 * whole


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["points.parquet"], "report: must be given -o FILE.html, --figure FILE or --table FILE"),
        (["points.parquet", "-o", "x.pdf"], "report: --output must end in .html, not 'x.pdf'"),
        (["points.parquet", "--figure", "x.html"], "report: --figure must end in .pdf or .svg or .png, not 'x.html'"),
        (
            ["no.parquet", "-o", "x.html"],
            "sweep 'no.parquet': there is no such file; hwgen sweep -o no.parquet writes it",
        ),
        (
            ["points.parquet", "--figure", "x.pdf", "--objective", "area_um2"],
            "report: --figure needs two objectives, not area_um2; add --objective",
        ),
        (
            ["points.parquet", "-o", "x.html", "--tech", "sky"],
            "no technology table 'sky'; did you mean 'sky130hd'?; tables: ",
        ),
    ],
)
def test_refusals(folder: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(*arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"hwgen: {said}")
    assert len(error.splitlines()) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["points.parquet"]


@pytest.mark.parametrize("columns", [1, 2])
def test_figures_have_the_width_of_columns(tiles: StoredSweep, columns: int, tmp_path: Path) -> None:
    figure = front_figure(tiles, columns)
    made = {kind: picture(figure, f"x.{kind}", ["command: c"]) for kind in ("pdf", "svg", "png")}
    assert made == {kind: picture(front_figure(tiles, columns), f"x.{kind}", ["command: c"]) for kind in made}
    (tmp_path / "x.png").write_bytes(made["png"])
    with Image.open(tmp_path / "x.png") as image:
        assert image.width == pytest.approx(300 * WIDTHS_IN[columns], abs=1)
    (width,) = re.findall(rb'width="([\d.]+)pt"', made["svg"])
    assert float(width) == pytest.approx(72 * WIDTHS_IN[columns], abs=0.1)
    # No text that a reader's fonts would draw: outlines in SVG, TrueType inside PDF and no Type 3.
    assert b"<text" not in made["svg"]
    assert b"/FontFile2" in made["pdf"]
    assert b"/Type3" not in made["pdf"]
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", made["pdf"], re.S)
    assert any(b"Tj" in zlib.decompress(one) or b"TJ" in zlib.decompress(one) for one in streams if one[:1] == b"x")
    axes = figure.axes[0]
    assert axes.get_xlabel() == "area [µm²]"
    assert axes.get_ylabel() == "latency [µs]"


def test_a_figure_needs_two_objectives(tiles: StoredSweep) -> None:
    with pytest.raises(HwgenError, match="--figure needs two objectives, not area_um2"):
        front_figure(tiles.by(("area_um2",)))


def test_latex() -> None:
    points = pd.DataFrame({"pe": ["a_b", "50% & #x"], "area_um2": [1.5, float("nan")], "weights": ["~^\\", "{×}"]})
    assert table.latex(points, ["pe", "area_um2", "weights"]) == (
        "\\begin{tabular}{lrl}\n\\toprule\npe & area\\_um2 & weights \\\\\n\\midrule\n"
        "a\\_b & 1.5 & \\textasciitilde{}\\textasciicircum{}\\textbackslash{} \\\\\n"
        "50\\% \\& \\#x & -- & \\{$\\times$\\} \\\\\n\\bottomrule\n\\end{tabular}\n"
    )
