"""``hwgen estimate`` and ``hwgen sweep`` from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hwgen.accelerator import Design
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
        "--m=2",
        "--k=4",
    ]
    files = ["-o", "s.parquet", "--plot", "s.png", "--table", "s.md"]
    objectives = ["--objective", "area_um2", "--objective", "energy_pj_per_mac", "--objective", "-weight_bits"]
    run = hwgen("sweep", *arguments, *objectives, "--layer", "4x64x128", *files, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.md", "s.parquet", "s.png", "s.svg"]
    # int: 3 n x 2 bits, lut: x 2 planes, mx: 4 bits only.
    assert "points looked at" in run.stdout
    assert "skipped 3: mx: bits must be 4, 6 or 8, not 2" in run.stdout
    table = pq.read_table(tmp_path / "s.parquet").to_pandas()
    assert table["pe"].value_counts().to_dict() == {"int": 6, "lut": 12, "mx": 3}
    assert set(table["weight_bits"]) == {2, 4}
    again = hwgen("sweep", *arguments, *objectives, "--layer", "4x64x128", "-o", "s.parquet", "--json", cwd=tmp_path)
    document = json.loads(again.stdout)
    assert (document["points"], document["front_points"]) == (21, len((tmp_path / "s.md").read_text().splitlines()) - 2)
    assert document["command"].startswith("hwgen sweep --pe int")


def test_sweep_without_axes_varies_shape_and_width() -> None:
    document = json.loads(hwgen("sweep", "--pe", "int", "--layer", "4x64x128", "--json").stdout)
    known = family("int").parameters()
    assert document["looked_at"] == len(known["m"].sweep) * len(known["n"].sweep) * len(known["k"].sweep) * len(
        known["bits"].sweep
    )


def test_an_axis_takes_only_its_own_place() -> None:
    """--bits 4 leaves the shape axes alone; --full leaves none at its default."""
    known = family("int").parameters()
    shapes = len(known["m"].sweep) * len(known["n"].sweep) * len(known["k"].sweep)
    for given in (["--bits", "4"], ["--axis", "bits=4"], ["--bits", "4", "--acts", "int8"]):
        document = json.loads(hwgen("sweep", "--pe", "int", *given, "--layer", "4x64x128", "--json").stdout)
        assert document["looked_at"] == shapes


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "given",
    [
        ["--n", "4", "--n", "8"],
        ["--axis", "n=4", "--axis", "n=8"],
        ["--axis", "n=4", "--n=8,4"],
        ["--n=4:8:*2"],
    ],
)
def test_values_of_a_repeated_axis_add_up(given: list[str]) -> None:
    fixed = ["--m", "1", "--k", "4", "--bits", "8"]
    document = json.loads(hwgen("sweep", "--pe", "int", *fixed, *given, "--layer", "4x64x128", "--json").stdout)
    assert sorted(row["n"] for row in document["front"]) == [4, 8]
    assert document["looked_at"] == 2


def test_what_is_not_counted_is_said(tmp_path: Path) -> None:
    said = "off-chip memory is not counted: neither the time nor the energy of its accesses\n"
    shape = ["--pe", "int", "--m", "1", "--n", "4", "--k", "4", "--bits", "8", "--layer", "4x64x100"]
    assert said in hwgen("estimate", *shape).stdout
    assert said in hwgen("sweep", *shape).stdout
    for command in ("estimate", "sweep"):
        document = json.loads(hwgen(command, *shape, "--json").stdout)
        assert document["off_chip_memory"] == "not counted: neither the time nor the energy of its accesses"


def test_whole_rows_as_other_tools_write_them() -> None:
    shape = ["--pe", "int", "--layer", "4x64x100", "--json"]
    rows = [hwgen("estimate", *shape, "--group", group).stdout for group in ("-1", "0")]
    assert json.loads(rows[0]) == json.loads(rows[1])
    swept = hwgen("sweep", *shape, "--m", "1", "--n", "4", "--k", "4", "--bits", "8", "--group", "-1,0,64").stdout
    assert json.loads(swept)["looked_at"] == 2


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            "8x64x" + "9" * 5000,
            "--layer: k must be at most 9223372036854775807, which 64 bits hold, not a number of 5000",
        ),
        ("8x64x9223372036854775808", "layer 8x64x9223372036854775808: k must be at most 9223372036854775807, which 64"),
        ("4294967296x4294967296x1", "layer 4294967296x4294967296x1: m·n·k·count must be at most 9223372036854775807, "),
    ],
)
@pytest.mark.parametrize("command", ["estimate", "sweep"])
def test_layers_beyond_64_bits(command: str, layer: str, message: str) -> None:
    run = hwgen(command, "--pe", "int", "--layer", layer)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith(f"hwgen: {message}")
    assert run.stderr.count("\n") == 1


@pytest.mark.few(6)
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
            "sweep: none of the 45 points is legal: 45 × int: group must be a multiple of k",
        ),
        (
            ["--pe", "int", "--axis", "n=1:1000000000:1"],
            "axis n: a range must have at most 2,097,152 values, not 1,000,000,000",
        ),
        (
            ["--pe", "int", "--m=1:256", "--n=1:1024", "--k=1:256", "--bits=8", "-o", "points.parquet"],
            "sweep: must have at most 33,554,432 points, not 67,108,864; give fewer values, or several sweeps",
        ),
        (["--pe", "int", "--plot", "x.pdf"], "sweep: --plot must end in .png or .svg, not 'x.pdf'"),
        (
            ["--pe", "int", "--plot", "x.png", "--objective", "area_um2"],
            "sweep: --plot needs two objectives, not area_um2",
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


AROUND = ["--pe", "int", "--m", "1", "--n", "4", "--k", "4", "--bits", "4", "--level", "accelerator"]


def test_sweep_of_accelerators_writes_all_that_it_promises(tmp_path: Path) -> None:
    files = ["-o", "s.csv", "--plot", "s.png", "--table", "s.md"]
    axes = ["--bus-bits", "64,128", "--axis", "weight_ring=16:64:*2", "--memory-latency=5,50", "--act-ring", "32"]
    given = [*AROUND, *axes, "--objective", "area_um2", "--objective", "cycles", "--layer", "4x16x64"]
    run = hwgen("sweep", *given, *files, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.csv", "s.md", "s.png", "s.svg"]
    assert "12 points looked at" in run.stdout
    assert "cycles are by closed form, exact where cycles_exact says so" in run.stdout
    assert "points of the front do not keep the clock: logic" in run.stdout
    rows = (tmp_path / "s.csv").read_text().splitlines()
    assert len(rows) == 13
    assert {"bus_bits", "memory_latency", "cycles_exact", "bound", "jobs"} <= set(rows[0].split(","))
    heads = (tmp_path / "s.md").read_text().splitlines()[0]
    assert all(name in heads for name in ("bus_bits", "cycles_exact", "bound"))


def test_rings_and_bus_are_swept_where_no_axis_names_them() -> None:
    document = json.loads(hwgen("sweep", *AROUND, "--weight-ring", "32", "--layer", "4x16x64", "--json").stdout)
    known = Design.parameters()
    assert document["looked_at"] == len(known["bus_bits"].sweep) * len(known["act_ring"].sweep)
    assert document["off_chip_memory"] == "counted in cycles and bytes; the energy of its accesses is not"


@pytest.mark.few(3)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--bus-bits", "96"], "accelerator: bus_bits must be 64, 128, 256 or 512, not 96"),
        (["--level", "tile", "--bus-bits", "64"], "sweep: --bus-bits goes with --level accelerator, not with --level "),
        (["--level", "chip"], "sweep: --level must be tile or accelerator, not 'chip'"),
        (["--memory-beats", "2/1"], "memory: beats must be a share of the cycles, from 1 in many to all, not 2 in 1"),
        (["--order", "rows"], "accelerator: order must be best, weights or acts, not 'rows'"),
        (["--bus-bitz", "64"], "sweep: no parameter 'bus_bitz' in int; did you mean 'bus_bits'?; they have m, n, k, "),
        (
            ["--count-bits", "8", "--layer", "4096x4x4"],
            "sweep: none of the 36 points is legal: 36 × int: blocks, steps",
        ),
        (["--clk-period-ns", "4"], "sweep: none of the 36 points is legal: "),
        (["--objective", "bound"], "pareto: objective must be one of m, n, k, "),
    ],
)
def test_mistakes_of_accelerators_are_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    run = hwgen("sweep", *AROUND, "--layer", "4x64x128", *arguments, cwd=tmp_path)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith(f"hwgen: {message}")
    assert run.stderr.count("\n") == 1
