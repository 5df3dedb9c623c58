"""Reports refuse what they would ignore: every program among them reads its command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted(
    path.relative_to(ROOT)
    for folder in ("reports", "rtl_tests", "bench")
    for path in (ROOT / folder).rglob("*.py")
    if 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
)
READERS = ("without_options(", "parse_args(", "click.", "sys.argv")


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_programs_read_their_command_line(program: Path) -> None:
    text = (ROOT / program).read_text(encoding="utf-8")
    assert any(reader in text for reader in READERS), f"{program} ignores what is typed behind its name"


@pytest.mark.parametrize(("words", "status", "said"), [(["--help"], 0, "picture of docs"), (["x"], 2, "arguments: x")])
def test_a_report_without_options_starts_for_no_word(words: list[str], status: int, said: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "reports.layout", *words]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": ""}, check=False
    )
    assert (done.returncode, said in done.stdout + done.stderr) == (status, True), done.stderr
    assert not list(tmp_path.iterdir())
