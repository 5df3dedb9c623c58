"""``hwgen estimate`` and ``hwgen sweep`` from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hwgen.cli._layer import needs, parse_layer
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.schedule import Layer, Schedule

ROOT = Path(__file__).parents[2]


def hwgen(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from hwgen.cli import main; main()", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        check=False,
    )


@pytest.mark.parametrize(
    ("text", "layer"),
    [
        ("8x1536x576", Layer("8x1536x576", 8, 1536, 576)),
        ("8,1536,576", Layer("8x1536x576", 8, 1536, 576)),
        ("up:8x1536x576*30", Layer("up", 8, 1536, 576, 30)),
    ],
)
def test_layers(text: str, layer: Layer) -> None:
    assert parse_layer(text) == layer


@pytest.mark.parametrize("text", ["8x1536", "axbxc", "", "8x8x8x8", "8x8x8*"])
def test_bad_layers(text: str) -> None:
    with pytest.raises(HwgenError) as caught:
        parse_layer(text)
    assert str(caught.value) == (
        f"--layer: must be MxNxK (tokens, outputs, inputs), e.g. 8x1536x576 or up:8x1536x576*30, not {text!r}"
    )


def test_a_missing_extra_is_named() -> None:
    needs("sweep", "dse", "json")
    with pytest.raises(HwgenError) as caught:
        needs("sweep", "dse", "json", "no_such_module")
    assert str(caught.value) == (
        "sweep: needs the package no_such_module, which is not installed; pip install 'hwgen[dse]'"
    )


def test_estimate() -> None:
    run = hwgen("estimate", "--pe", "lut", "--bits", "2", "--layer", "8x96x576", "--layer", "2x64x128", "--json")
    assert run.returncode == 0, run.stderr
    report = json.loads(run.stdout)
    tile = family("lut").from_values({"bits": 2})
    layers = [Layer("a", 8, 96, 576), Layer("b", 2, 64, 128)]
    assert report["cycles"] == sum(Schedule(tile, layer).exact() for layer in layers)
    assert report["status"] == "measured"
    assert report["buffer_status"] == "published"
    assert report["area_um2"]["total"] == pytest.approx(sum(v for k, v in report["area_um2"].items() if k != "total"))
    text = hwgen("estimate", "--pe", "lut", "--bits", "2", "--layer", "8x96x576").stdout
    assert f"cycles: {Schedule(tile, layers[0]).exact():,} (exact)" in text
    assert "areas, energies and periods are measured, pre-layout (sky130hd)" in text


def test_estimate_and_sweep_do_without_torch() -> None:
    script = "import sys, sim.estimate, dse.sweep, reports.plot, reports.table; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_sweep_writes_all_that_it_promises(tmp_path: Path) -> None:
    arguments = [
        "--pe",
        "int",
        "--pe",
        "lut",
        "--pe",
        "mx",
        "--bits",
        "2,4",
        "--axis",
        "n=4:16:*2",
        "--planes-per-cycle=1,2",
    ]
    files = ["-o", "s.parquet", "--plot", "s.png", "--table", "s.md"]
    objectives = ["--objective", "area_um2", "--objective", "energy_pj_per_mac", "--objective", "-weight_bits"]
    run = hwgen("sweep", *arguments, *objectives, "--layer", "4x64x128", *files, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.md", "s.parquet", "s.png", "s.svg"]
    # int: 3 n x 2 bits, lut: x 2 planes, mx: 4 bits only, and 16 columns are too many for its lanes.
    assert "points looked at" in run.stdout
    assert "skipped 3: mx: bits must be 4, 6 or 8, not 2" in run.stdout
    table = pq.read_table(tmp_path / "s.parquet").to_pandas()
    assert table["pe"].value_counts().to_dict() == {"int": 6, "lut": 12, "mx": 2}
    assert set(table["weight_bits"]) == {2, 4}
    again = hwgen("sweep", *arguments, *objectives, "--layer", "4x64x128", "-o", "s.parquet", "--json", cwd=tmp_path)
    document = json.loads(again.stdout)
    assert (document["points"], document["front_points"]) == (20, len((tmp_path / "s.md").read_text().splitlines()) - 2)
    assert document["command"].startswith("hwgen sweep --pe int")


def test_sweep_without_axes_varies_shape_and_width() -> None:
    document = json.loads(hwgen("sweep", "--pe", "int", "--layer", "4x64x128", "--json").stdout)
    known = family("int").parameters()
    assert document["looked_at"] == len(known["m"].sweep) * len(known["n"].sweep) * len(known["k"].sweep) * len(
        known["bits"].sweep
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pe", "intt"], "no PE family 'intt'; did you mean 'int'?; known families: "),
        (["--pe", "int", "--bits", "99"], "int: bits must be a whole number from 1 to 16, not 99"),
        (["--pe", "int", "--pe", "mx", "--bits", "8,99"], "int: bits must be a whole number from 1 to 16, not 99"),
        (
            ["--pe", "int", "--bitz", "2"],
            "sweep: no parameter 'bitz' in int; did you mean 'bits'?; they have m, n, k, ",
        ),
        (["--pe", "int", "--bits"], "sweep: --bits needs values, e.g. --bits 2,4,8"),
        (["--pe", "int", "stray"], "sweep: unexpected argument 'stray'; families are given as --pe FAMILY"),
        (["--pe", "int", "--objective", "speed"], "pareto: objective must be one of m, n, k, "),
        (
            ["--pe", "int", "--tech", "tsmc"],
            "no technology table 'tsmc'; tables: asap7, generic45, horowitz45, sky130hd, tpuv4i7, or a .toml file",
        ),
        (
            ["--pe", "int", "--axis", "k=128", "--axis", "group=64"],
            "sweep: none of the 1 points is legal: 1 × int: group must be a multiple of k",
        ),
        (["--pe", "int", "--plot", "x.pdf"], "sweep: --plot must end in .png or .svg, not 'x.pdf'"),
        (
            ["--pe", "int", "--plot", "x.png", "--objective", "area_um2"],
            "sweep: --plot needs two objectives to minimise first, not area_um2",
        ),
        (["--pe", "int", "--table", "x.txt"], "sweep: --table must end in .md or .csv, not 'x.txt'"),
        (
            ["--pe", "int", "-o", "absent/x.parquet"],
            "sweep: --output: cannot write 'absent/x.parquet': No such file or directory",
        ),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    run = hwgen("sweep", *arguments, "--layer", "4x64x128", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith(f"hwgen: {message}")
    assert run.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
