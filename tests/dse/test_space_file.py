"""Spaces as TOML files: what they say is what flags would say, and mistakes are one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dse.space import OWN
from dse.space_file import SpaceFile, WorkloadAsked, example_names, read_space, space_path
from hwgen.cli import main
from hwgen.errors import HwgenError

WHOLE = """
pe = ["int", "mx"]
level = "accelerator"
full = true
accuracy = true
tech = ["sky130hd", "asap7"]
clk_period_ns = [4, 8.5]
objectives = ["area_um2", "-tokens_per_s"]
where = ["power_mw <= 500"]
layers = ["8x1536x576"]
[axes]
n = "8:32:*2"
bits = [4, 8]
post-lanes = "sweep values"
transport = ["systolic", "sweep values"]
[axes.mx]
weights = "mxfp4"
[constraints]
area_um2 = ["<= 1e6", "within 5% of baseline"]
bits = 4
[[workload]]
name = "mine"
model = "smollm2-135m"
phase = ["prefill", "decode"]
context = 512
roles = "attn.*"
[baseline]
pe = "int"
bits = 8
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "space.toml"
    file.write_text(text)
    return file


def test_all_of_it_is_read(tmp_path: Path) -> None:
    assert read_space(written(tmp_path, WHOLE)) == SpaceFile(
        ("int", "mx"),
        "accelerator",
        {"n": ("8", "16", "32"), "bits": ("4", "8"), "post_lanes": None, "transport": ("systolic", OWN)},
        {"mx": {"weights": ("mxfp4",)}},
        True,
        ("sky130hd", "asap7"),
        (4.0, 8.5),
        (
            WorkloadAsked(layers=("8x1536x576",)),
            WorkloadAsked("smollm2-135m", ("prefill", "decode"), {"context": 512}, ("attn.*",), name="mine"),
        ),
        ("area_um2", "-tokens_per_s"),
        ("power_mw <= 500", "area_um2 <= 1e6", "area_um2 within 5% of baseline", "bits == 4"),
        {"pe": "int", "bits": "8"},
        True,
    )
    assert read_space(written(tmp_path, "pe = 'int'")) == SpaceFile(("int",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# nothing", "must say something, it is empty; keys: pe, format, level, "),
        ("axis = 4", "no key 'axis'; did you mean 'axes'?; keys: pe, format, level, "),
        ("axes = 4", "axes must be a table, [axes], not 4"),
        ("pe = [[1]]", "pe must be a text or a number, not [1]"),
        ("full = 1", "full must be true or false, not 1"),
        ("clk_period_ns = 'fast'", "clk_period_ns must be numbers above 0, or 'own', not 'fast'"),
        ("clk_period_ns = [0]", "clk_period_ns must be numbers above 0, or 'own', not 0"),
        ("clk_period_ns = []", "clk_period_ns must have a value at least"),
        ("[axes]\nn = []", "axes.n must have a value at least"),
        ("level = 3", "level must be tile or accelerator, not 3"),
        ("workload = 3", "workload must be tables, each [[workload]], not 3"),
        ("[[workload]]\nphase = 'decode'", "a workload must have a model or layers, not neither"),
        ("[[workload]]\nlayers = ['1x1x1']\nphase = 'decode'", "phase is for a workload with a model, not for layers"),
        ("[[workload]]\nmodel = 'x'\ntokens = 0", "workload tokens must be a whole number from 1 up, not 0"),
        ("[[workload]]\nmodle = 'x'", ", workload: no key 'modle'; did you mean 'model'?"),
        ("x = [", "must be a TOML file: "),
    ],
)
def test_mistakes(text: str, message: str, tmp_path: Path) -> None:
    file = written(tmp_path, text)
    with pytest.raises(HwgenError) as caught:
        read_space(file)
    assert str(caught.value).startswith(f"space {str(file)!r}")
    assert message in str(caught.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(HwgenError, match=r"space '.*absent.toml': cannot be read: No such file or directory"):
        read_space(tmp_path / "absent.toml")
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(HwgenError, match="must be a TOML file"):
        read_space(tmp_path / "x.toml")
    with pytest.raises(HwgenError, match=r"must be a .toml file, or one of those .* hwgen: decode, llama; "):
        read_space("decod")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    assert isinstance(caught.value.code, int)
    return caught.value.code


SMALL = """
pe = ["int", "lut"]
tech = "tpuv4i7"
clk_period_ns = [1.5, 3]
objectives = ["area_um2", "latency_us"]
layers = ["8x64x128"]
[axes]
m = 1
n = [4, 8]
k = 4
bits = [2, 4]
[axes.lut]
bits = 4
[constraints]
area_um2 = ">= 1"
"""


def test_a_file_is_what_flags_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(written(tmp_path, SMALL))
    assert run("sweep", file, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    # int: 2 n x 2 bits, lut: 2 n, at two clocks.
    assert (found["looked_at"], found["points"]) == (12, 12)
    assert found["constraints"] == ["area_um2 >= 1"]
    assert found["tech"] == "tpuv4i7"
    shared = [
        "--m",
        "1",
        "--n",
        "4,8",
        "--k",
        "4",
        "--layer",
        "8x64x128",
        "--tech",
        "tpuv4i7",
        "--clk-period-ns",
        "1.5,3",
    ]
    assert run("sweep", "--pe", "int", "--pe", "lut", *shared, "--bits", "4", "--json") == 0
    flags = json.loads(capsys.readouterr().out)
    assert run("sweep", "--space", file, "--bits", "4", "--json") == 0
    both = json.loads(capsys.readouterr().out)
    assert (both["front"], both["looked_at"]) == (flags["front"], 8)


def test_flags_take_the_place_of_what_a_file_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(written(tmp_path, SMALL))
    assert (
        run(
            "sweep",
            file,
            "--pe",
            "int",
            "--pe",
            "lut",
            "--n",
            "8",
            "--clk-period-ns",
            "2",
            "--layer",
            "4x32x64",
            "--json",
        )
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["looked_at"] == 3
    assert found["clk_period_ns"] == [2.0]
    assert [(one["m"], one["n"], one["k"]) for one in found["layers"]] == [(4, 32, 64)]
    assert run("sweep", file, "--where", "weight_bits > 2", "--objective", "area_um2", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["constraints"] == ["area_um2 >= 1", "weight_bits > 2"]
    assert found["objectives"] == ["area_um2"]
    assert found["points"] == 8


def test_mistakes_of_the_command_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(written(tmp_path, SMALL))
    rows = f"{tmp_path}/x.parquet"
    for arguments, message in (
        (["--space", "decode"], "sweep: one space must be given, not --space 'decode' and "),
        (["--scheduler", "tcp://x:1"], "sweep: --scheduler goes with --engine dask, as an address, not 'tcp://x:1'"),
        (["--store", "all"], "sweep: --store goes with -o FOLDER"),
        (["--jobs", "2", "-o", rows], "sweep: --jobs goes with a folder, as a file is made of rows in one process; "),
        (["--tech", "tpuv4i7,horowitz45", "-o", rows], "sweep: a file holds one workload in one technology, not 2 of "),
        (["--baseline", "int"], "sweep: --baseline must be NAME=VALUE words, e.g. 'pe=int n=8 bits=8', not 'int'"),
        (["-o", f"{tmp_path}/x.gguf"], "sweep: --output must end in .parquet or .csv, not "),
        (["--where", "area <= 5"], "constraint 'area <= 5': no column 'area'; did you mean "),
    ):
        arguments = [file, *arguments]
        assert run("sweep", *arguments) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(f"hwgen: {message}"), said.err
        assert said.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["space.toml"]
    assert run("sweep", "--print-space") == 2
    assert capsys.readouterr().err == "hwgen: sweep: --print-space goes with --space NAME, e.g. --space decode\n"
    other = str(written(tmp_path, SMALL.replace("axes.lut", "axes.ltu")))
    assert run("sweep", other) == 2
    assert capsys.readouterr().err.startswith("hwgen: no PE family 'ltu'; did you mean 'lut'?")


def test_the_examples_are_spaces(capsys: pytest.CaptureFixture[str]) -> None:
    assert example_names() == ("decode", "llama")
    for name in example_names():
        assert read_space(name).workloads
        assert run("sweep", "--space", name, "--print-space") == 0
        assert capsys.readouterr().out == space_path(name).read_text()


def test_the_example_runs_as_its_first_lines_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (line,) = [one for one in space_path("decode").read_text().splitlines() if one.startswith("# Run it:")]
    words = line.split("hwgen ")[1].split()
    assert words == ["sweep", "--space", "decode", "-o", "decode"]
    # The output has the name of the space, and is there when it is run again; so may a file be.
    assert run(*words) == 0, capsys.readouterr().err
    assert (tmp_path / "decode" / "manifest.json").is_file()
    assert run(*words) == 0, capsys.readouterr().err
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "decode").write_text("no space")
    monkeypatch.chdir(other)
    assert run("sweep", "--space", "decode", "--print-space") == 0
    assert run("sweep", "--space", "./decode", "--print-space") == 2


def test_a_space_of_ones_own_is_no_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = str(written(tmp_path, SMALL))
    before = Path(mine).read_bytes()
    assert run("sweep", "--space", mine, "-o", mine) == 2
    assert capsys.readouterr().err.startswith("hwgen: sweep: --output must end in")
    assert Path(mine).read_bytes() == before
