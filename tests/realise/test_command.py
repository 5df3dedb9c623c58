"""``hwgen realise`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from hwgen.cli import _run
from hwgen.cli.realise import command

SMALL = ("--pe", "int", "--m", "1", "--n", "1", "--k", "4", "--bits", "4")


def hwgen(capfd: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    status = _run(["realise", *map(str, words)])
    said = capfd.readouterr()
    return status, said.out, said.err


def test_flags_and_a_stored_point_make_the_same(capfd: pytest.CaptureFixture[str], tmp_path: Path, sweep: Path) -> None:
    status, text, told = hwgen(capfd, sweep, "--point", "2", "--no-energy", "-o", tmp_path / "stored")
    assert status == 0, told
    assert [line.partition(":")[0] for line in told.splitlines()] == [
        "[1/5] emit",
        "[2/5] verify",
        "[3/5] synth",
        "[4/5] run",
    ]
    assert "point 2 of" in text
    assert "its layer, the first of 2" in text
    assert "outputs and golden PyTorch layer, bit for bit: equal" in text
    report = json.loads((tmp_path / "stored" / "realised.json").read_text())
    assert report["ok"] is True
    assert report["point"]["point"] == 2
    assert {path.name for path in (tmp_path / "stored").iterdir()} == {
        "int_tile.v",
        "int_tile.json",
        "int_tile_mapped.v",
        "realised.json",
    }
    point = report["parameters"]
    assert (point["n"], point["bits"]) == (2, 2)
    flags = [word for name, value in point.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    words = ["--pe", "int", *flags, "--clk-period-ns", str(report["clk_period_ns"]), "--layer", "up:2x4x64"]
    status, text, told = hwgen(capfd, *words, "--no-energy", "--json", "-o", tmp_path / "flags")
    assert status == 0, told
    again = json.loads(text)
    assert {**again, "point": None} == {**report, "point": None}
    assert (tmp_path / "flags" / "int_tile.v").read_text() == (tmp_path / "stored" / "int_tile.v").read_text()


def test_what_differs_is_status_1(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hwgen.verify import Finding
    from sim.realise import tile

    monkeypatch.setattr(tile, "check_contract", lambda spec, engine: [Finding("corners: values", False, "beat 3")])
    status, text, _ = hwgen(capfd, *SMALL, "--layer", "2x2x64", "--no-energy", "-o", tmp_path / "out")
    assert status == 1
    assert "FAIL corners: values: beat 3" in text
    assert json.loads((tmp_path / "out" / "realised.json").read_text())["ok"] is False


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["SWEEP"], "realise: a sweep must come with --point N, the number of a point; hwgen pareto SWEEP lists them"),
        (["SWEEP", "--point", "8"], "sweep 'SWEEP': point must be from 0 to 7, as it has 8 points, not 8; its front "),
        (["SWEEP", "--point", "two"], "realise: --point must be the number of a point, not 'two'"),
        (
            ["SWEEP", "--point", "2", "--bits", "8"],
            "realise: --bits of point 2 is 2, and must not be '8'; leave it out, or give a point of your own by --pe",
        ),
        (["SWEEP", "--point=2", "--pe=lut"], "realise: --pe of point 2 is int, and must not be 'lut'; "),
        (["SWEEP", "--point=2", "--clk-period-ns", "7"], "realise: --clk-period-ns of point 2 is 1.0, and must not "),
        (["SWEEP", "--point=2", "--level", "accelerator"], "realise: --level of point 2 is tile, and must not be "),
        (["OTHER", "--point", "2"], "sweep 'OTHER': must be Parquet that hwgen sweep wrote (-o FILE.parquet), not "),
        (["missing.parquet", "--point", "2"], "sweep 'missing.parquet': there is no such file; hwgen sweep -o "),
        ([*SMALL, "--point", "2"], "realise: --point goes with a sweep, as in hwgen realise points.parquet --point 17"),
        (["itn", "--layer", "2x2x64"], "no PE family 'itn'; did you mean 'int'?"),
        (SMALL, "realise: --layer must be given, as MxNxK with random operands, e.g. 8x64x576, or as a layer of the "),
        ([*SMALL, "--layer", "2x2"], "--layer: must be MxNxK (tokens, outputs, inputs), e.g. 8x1536x576 or "),
        ([*SMALL, "--layer", "2x2x64", "--tokens", "3"], "realise: --tokens goes with a layer by name"),
        ([*SMALL, "--layer", "blk.0.attn_k", "--seed", "3"], "realise: --seed goes with a layer by sizes, whose "),
        (
            [*SMALL, "--layer", "2x2x64", "--tech", "sky130hd"],
            "realise: --tech sky130hd needs --liberty with sky130hd_tt_025C_1v80.lib.gz, on which it was calibrated, ",
        ),
        (
            [*SMALL, "--layer", "2x2x64", "--tech", "horowitz45"],
            "realise: --tech must be a technology that was calibrated on a library, not horowitz45, of published ",
        ),
        (
            [*SMALL, "--layer", "2x2x64", "--weight-ring", "16"],
            "realise: --weight-ring goes with --level accelerator, ",
        ),
    ],
)
def test_a_mistake_is_one_line(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, sweep: Path, words: list[str], message: str
) -> None:
    other = tmp_path / "other.parquet"
    other.write_text("no Parquet")
    named = {"SWEEP": str(sweep), "OTHER": str(other)}
    for name, path in named.items():
        message = message.replace(name, path)
    status, text, told = hwgen(capfd, *(named.get(word, word) for word in words), "-o", tmp_path / "out")
    assert (status, text) == (2, "")
    assert told.startswith(f"hwgen: {message}")
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_flag_that_says_the_same_is_no_contradiction(sweep: Path) -> None:
    from dse.point import read_point
    from hwgen.cli.realise import _words

    point = read_point(sweep, 2)
    plain = _words(point, ["-o", "out"])
    assert _words(point, ["--bits", "2", "--clk-period-ns=1", "-o", "out"]) == plain
    assert "--layer" in plain
    assert plain[plain.index("--layer") + 1] == "up:2x4x64"
    own = _words(point, ["--layer", "1x1x64"])
    assert own.count("--layer") == 1


def test_help_says_both_ways() -> None:
    said = CliRunner().invoke(command, ["--help"], prog_name="hwgen realise")
    assert "[--pe FAMILY | SWEEP --point N] [OPTIONS]" in said.output
