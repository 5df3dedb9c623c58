"""``hwgen calibrate`` as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TINY = ["--pe", "int", "--tiles", "1", "--seed", "4"]


def command(*arguments: str, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if cache is not None:
        environment["HWGEN_CACHE_DIR"] = str(cache)
    return subprocess.run(
        [sys.executable, "-m", "hwgen", "calibrate", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_a_calibration_goes_on_and_prices_tiles(tmp_path: Path) -> None:
    output = tmp_path / "mine.toml"
    first = command(*TINY, "-o", str(output))
    assert first.returncode == 0, first.stderr
    assert f"wrote {output}" in first.stdout
    document = tomllib.loads(output.read_text())
    assert document["calibration"]["library_sha256"]
    assert document["calibration"]["flat_tiles_measured"] == 2
    assert document["memory"] == "generic45"
    again = command(*TINY, "-o", str(output))
    assert "4 measurements of 2 tiles, 4 of them from an earlier run" in again.stdout
    assert tomllib.loads(output.read_text())["models"] == document["models"]

    priced = subprocess.run(
        [sys.executable, "-m", "hwgen", "estimate", "--pe", "int", "--layer", "4x64x256", "--tech", str(output)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert priced.returncode == 0, priced.stderr
    # Two tiles, one drawn over sweep values and one over legal ones, are no measurement of a family.
    assert "periods are modelled on 2 measured tiles, pre-layout (mine); cycles are exact" in priced.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "mine.csv"], "hwgen: calibrate: --output must end in .toml, not 'mine.csv'"),
        (
            ["-o", "no/folder/mine.toml"],
            "hwgen: calibrate: --output: cannot write 'no/folder/mine.toml': No such file or directory",
        ),
        (
            ["-o", "mine.toml", "--tiles", "0"],
            "hwgen: calibrate: Invalid value for '--tiles': 0 is not in the range 1<=x<=100000.",
        ),
        (
            ["-o", "mine.toml", "--memory", "asap"],
            "hwgen: calibrate: memory must be one of generic45, sky130hd, asap7, not 'asap'; did you mean 'asap7'?",
        ),
        (["-o", "mine.toml", "--pe", "intt"], "hwgen: no PE family 'intt'; did you mean 'int'?"),
        (
            ["-o", "mine.toml", "--liberty", "none.lib"],
            "none.lib must be a readable Liberty file, plain or gzip (No such file or directory)",
        ),
    ],
)
def test_errors_are_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hwgen", "calibrate", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1
    assert message in lines[0]
    assert not list(tmp_path.iterdir())
