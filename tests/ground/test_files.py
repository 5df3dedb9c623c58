"""Outputs: what lies at a path decides how it is written, and nothing good is lost."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from hwgen.cli import main
from hwgen.errors import GroundError, HwgenError
from hwgen.files import replacing, write_all

EMIT = ["emit", "--pe", "int", "--m", "1", "--n", "1", "--k", "4"]


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(one) for one in arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_a_link_stays_and_what_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "core.v", tmp_path / "core.v"
    link.symlink_to(real)
    # First a link that leads to nothing yet, then one to a file.
    for _ in range(2):
        assert run(*EMIT, "-o", link) == 0
        assert link.is_symlink()
        assert "module int_tile" in real.read_text()
        real.write_text("old") if _ == 0 else None
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["core.v", "core.v", "there"]


def test_the_mode_of_a_file_is_kept_and_a_protected_one_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "core.v"
    file.write_text("old")
    file.chmod(0o640)
    assert run(*EMIT, "-o", file) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    file.write_text("keep")
    file.chmod(0o440)
    assert run(*EMIT, "-o", file) == 2
    assert capsys.readouterr().err == f"hwgen: emit: --output: cannot write {str(file)!r}: it is read-only\n"
    assert file.read_text() == "keep"


def test_a_device_is_written_through() -> None:
    before = os.stat("/dev/null")
    assert run(*EMIT, "-o", "/dev/null", "--manifest", "/dev/null") == 0
    after = os.stat("/dev/null")
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)


def test_a_full_device_is_the_grounds_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*EMIT, "-o", "/dev/full", "--sdc", tmp_path / "x.sdc") == 1
    assert capsys.readouterr().err == "hwgen: int: cannot write '/dev/full': No space left on device\n"
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_written_if_somebody_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert run(*EMIT, "-o", pipe) == 2
    assert capsys.readouterr().err == f"hwgen: int: cannot write {str(pipe)!r}: No such device or address\n"
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    assert run(*EMIT, "-o", pipe) == 0
    reader.join(timeout=10)
    assert "module int_tile" in read[0]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("second", ["x.v", "./x.v", "link.v"])
def test_two_outputs_are_two_files(second: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "link.v").symlink_to("x.v")
    assert run(*EMIT, "-o", tmp_path / "x.v", "--sdc", tmp_path / "x.sdc", "--manifest", tmp_path / second) == 2
    assert "must end in .json" in capsys.readouterr().err
    assert run(*EMIT, "-o", tmp_path / "x", "--sdc", f"{tmp_path}/./x") == 2
    expected = f"hwgen: emit: --sdc and --output must be different files, not both '{tmp_path}/x'\n"
    assert capsys.readouterr().err == expected
    assert [path.name for path in tmp_path.iterdir()] == ["link.v"]


def test_an_output_is_no_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = tmp_path / "cells"
    cells.write_text("library")
    assert run("synth", "--pe", "int", "--liberty", cells, "--netlist", cells) == 2
    assert "--netlist and --liberty must be different files" in capsys.readouterr().err
    assert cells.read_text() == "library"


def test_a_sweep_without_a_point_leaves_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "points.parquet"
    sweep = ["sweep", "--pe", "int", "--layer", "8x64x128", "-o", file]
    assert run(*sweep, "--n", "2,4") == 0
    good = file.read_bytes()
    assert run(*sweep, "--n", "2,4", "--clk-period-ns", "0.001") == 2
    assert "none of the " in capsys.readouterr().err
    assert file.read_bytes() == good
    assert [path.name for path in tmp_path.iterdir()] == ["points.parquet"]


def test_a_sweep_is_written_as_its_suffix_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ["sweep", "--pe", "int", "--layer", "8x64x128", "--n", "2,4", "-o"]
    assert run(*sweep, tmp_path / "points.csv") == 0
    lines = (tmp_path / "points.csv").read_text().splitlines()
    assert lines[0].startswith("pe,m,n,k,")
    assert len(lines) > 2
    assert run(*sweep, tmp_path / "points.xlsx") == 2
    assert "sweep: --output must end in .parquet or .csv, not" in capsys.readouterr().err


def test_all_or_none_and_what_was_there_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("old")
    whole = os.replace

    def second_fails(source: object, target: object) -> None:
        if str(target).endswith("last"):
            raise OSError(errno.ENOSPC, "No space left on device")
        whole(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", second_fails)
    with pytest.raises(GroundError, match=r"x: cannot write '.*last': No space left on device"):
        write_all({old: "changed", new: "new", tmp_path / "sub" / "last": "x"}, "x", folders=[tmp_path / "sub"])
    assert old.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("old")

    def fails() -> None:
        with replacing(file, "x") as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(GroundError, match="cannot write"):
        fails()
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_two_names_of_one_file_are_refused_by_the_writer_too(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(HwgenError, match="are one file, each needs its own"):
        write_all({tmp_path / "x": "1", tmp_path / "sub" / ".." / "x": "2"}, "x")
    assert [path.name for path in tmp_path.iterdir()] == ["sub"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["emit", "--pe", "bitmod", "--specials", "a,b"], "format: special values must be numbers separated by commas"),
        (["emit", "--pe", "bitmod", "--specials", "nan,1,2,3"], "format: special values must be finite numbers"),
        (["emit", "--pe", "int", "-o", "x/"], "emit: --output must be a file, not 'x/'"),
        (
            ["sweep", "--pe", "int", "--layer", "8x64x128", "--axis", "n=1:1000000000:1"],
            "axis n: a range must have at most ",
        ),
        (
            [
                "sweep",
                "--pe",
                "int",
                "--layer",
                "8x64x128",
                "--n",
                "1:256:1",
                "--m",
                "1:256:1",
                "--k",
                "1:256:1",
                "--depth",
                "1:64:1",
                # A file holds all points; without one, or in a folder, there may be any number.
                "-o",
                "x.parquet",
            ],
            "sweep: must have at most ",
        ),
        (
            ["synth", "--pe", "int", "--liberty", __file__, "--liberty", __file__],
            f"synth: --liberty: {__file__!r} must be given once, not twice",
        ),
        (
            ["calibrate", "-o", "x.toml", "--node-nm", "-1"],
            "calibrate: Invalid value for '--node-nm': must be a number",
        ),
        (["demo", "--max-perplexity", "nan"], "demo: Invalid value for '--max-perplexity': must be a number above 0"),
        (["synth", "--pe", "int", "--timeout-s", "nan"], "synth: Invalid value for '--timeout-s': must be a number"),
        (["verify", "--pe", "int", "--seed", "-1"], "verify: Invalid value for '--seed': -1 is not in the range"),
    ],
)
def test_what_misled_or_came_late(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    assert capsys.readouterr().err.startswith(f"hwgen: {message}")
    assert list(tmp_path.iterdir()) == []
