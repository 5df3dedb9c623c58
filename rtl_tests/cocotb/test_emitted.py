"""``hwgen emit --cocotb FOLDER``: a folder that runs on its own and finds a fault."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hwgen.cli import main
from hwgen.simulators import cocotb_environment, find

TILES = {
    "systolic": ["--pe", "int", "--m", "2", "--n", "2", "--transport", "systolic"],
    "lanes": ["--pe", "mx", "--m", "1", "--n", "2", "--post-lanes", "1", "--reset", "async", "--reset-active", "low"],
    "modes": ["--pe", "posit", "--m", "1", "--n", "1", "--k", "1", "--group", "64"],
}


def emitted(folder: Path, label: str) -> Path:
    with pytest.raises(SystemExit) as caught:
        main(["emit", *TILES[label], "--top", "dut", "--cocotb", str(folder), "-o", str(folder.with_suffix(".v"))])
    assert caught.value.code == 0
    assert {path.name for path in folder.iterdir()} == {"dut.v", "dut.json", "test_dut.py", "run_dut.py", "Makefile"}
    assert (folder / "dut.v").read_text() == folder.with_suffix(".v").read_text()
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    # Nothing of the project can be reached from the folder.
    environment = {**os.environ, **cocotb_environment()}
    environment.pop("PYTHONPATH", None)
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.cocotb
@pytest.mark.parametrize(
    "label", ["systolic", pytest.param("lanes", marks=pytest.mark.slow), pytest.param("modes", marks=pytest.mark.slow)]
)
def test_it_runs_on_its_own(tmp_path: Path, label: str) -> None:
    assert find("iverilog")
    folder = emitted(tmp_path / "bench", label)
    done = run(folder, sys.executable, "run_dut.py", "icarus")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "1 of 1 tests passed"
    text = (folder / "dut.v").read_text()
    assert " + " in text
    (folder / "dut.v").write_text(text.replace(" + ", " - ", 1))
    done = run(folder, sys.executable, "run_dut.py", "icarus")
    assert done.returncode == 1
    assert "PASS=0 FAIL=1" in done.stdout


@pytest.mark.cocotb
@pytest.mark.slow
def test_make_and_verilator(tmp_path: Path) -> None:
    folder = emitted(tmp_path / "bench", "systolic")
    done = run(folder, "make")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS=1 FAIL=0" in done.stdout
    done = run(folder, sys.executable, "run_dut.py", "verilator")
    assert done.returncode == 0, done.stdout + done.stderr
