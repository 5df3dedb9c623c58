"""``hwgen calibrate`` as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hwgen.pe import families
from hwgen.synth import generic_library

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

    added = command("--pe", "mixpe", "--tiles", "1", "--seed", "4", "--add", "-o", str(output))
    assert added.returncode == 0, added.stderr
    both = tomllib.loads(output.read_text())
    assert both["models"]["int"] == document["models"]["int"]
    assert both["models"].keys() == {*document["models"], "mixpe"}
    said = both["calibration"]["more"]
    assert said.startswith("mixpe: 1 tiles of each, seed 4, at commit ")
    assert said.endswith(", by hwgen calibrate --pe mixpe --tiles 1 --seed 4 --add -o mine.toml")
    # Measured again, it takes the place of what was there.
    again = command("--pe", "mixpe", "--tiles", "1", "--seed", "4", "--add", "-o", str(output))
    assert "4 of them from an earlier run" in again.stdout
    assert tomllib.loads(output.read_text())["models"] == both["models"]


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
        (
            ["-o", "mine.toml", "--add"],
            "hwgen: calibrate: output must be a table and its .csv with add, not 'mine.toml'",
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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pe", "nothing"], "no PE family 'nothing'"),
        (["--memory", "asap7"], "memory must be that of the table with add, 'generic45', not 'asap7'"),
        (["--scale-from", "sky130hd"], "scale_from must be left out with add; the table says what it is scaled from"),
        (["--tiles", "0"], "'--tiles': 0 is not in the range"),
    ],
)
def test_what_cannot_be_added_leaves_the_table_as_it_was(arguments: list[str], message: str, tmp_path: Path) -> None:
    table = tmp_path / "generic45.toml"
    for suffix in (".toml", ".csv"):
        source = (ROOT / "sim/tech/tables/generic45.toml").with_suffix(suffix)
        table.with_suffix(suffix).write_bytes(source.read_bytes())
    before = table.read_bytes(), table.with_suffix(".csv").read_bytes()
    done = command(*arguments, "--add", "-o", str(table))
    assert done.returncode == 2
    assert message in done.stderr
    assert (table.read_bytes(), table.with_suffix(".csv").read_bytes()) == before


def test_a_table_of_another_library_takes_nothing_and_a_whole_one_neither(tmp_path: Path) -> None:
    table = tmp_path / "mine.toml"
    table.with_suffix(".csv").write_text("")
    models = "".join(f"[models.{name}]\n" for name in families())
    own = generic_library().sha256
    for sha256, more, message in (
        ("0", [], "not one of other.lib"),
        (own, [], "mine.toml has every family; name those to measure again with --pe"),
        (own, ["--quick"], "quick must be off with add where the table was measured, as mine.toml was"),
    ):
        table.write_text(f'[calibration]\nlibrary_files = "other.lib"\nlibrary_sha256 = "{sha256}"\n{models}')
        done = command(*more, "--add", "-o", str(table))
        assert done.returncode == 2
        assert message in done.stderr
