"""Folders of tests are run once a commit, and again where something failed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PASSES = "def test_it():\n    pass\n"
FAILS = "def test_it():\n    assert False\n"


def run(folder: Path, commit: str = "abc") -> subprocess.CompletedProcess[str]:
    pytest_command = f"{sys.executable} -m pytest -q -p no:cacheprovider -p no:xdist"
    arguments = ["--commit", commit, "--folder", "junit", "--pytest", pytest_command, "tests"]
    command = [sys.executable, str(ROOT / "tools" / "test_parts.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in {"good/test_good.py": PASSES, "bad/test_bad.py": FAILS, "test_alone.py": PASSES}.items():
        path = tmp_path / "tests" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_what_passed_is_not_run_again(project: Path) -> None:
    first = run(project)
    assert first.returncode == 1
    assert "failed: tests/bad" in first.stderr
    again = run(project)
    assert "tests/good: done before on abc" in again.stdout
    assert "tests/test_alone.py: done before on abc" in again.stdout
    assert "tests/bad: failed in" in again.stdout
    (project / "tests/bad/test_bad.py").write_text(PASSES)
    assert run(project).returncode == 0
    assert "tests/bad: done before on abc" in run(project).stdout


def test_another_commit_and_changes_that_are_not_committed_run_all(project: Path) -> None:
    run(project)
    for commit in ("abd", "abc, with changes that are not committed"):
        assert "done before" not in run(project, commit).stdout


def test_a_damaged_file_is_run_again_and_an_old_one_goes(project: Path) -> None:
    run(project)
    (project / "junit/tests.good.xml").write_text("<testsuites>")
    (project / "junit/tests.gone.xml").write_text("<testsuites/>")
    assert "tests/good: passed in" in run(project).stdout
    assert not (project / "junit/tests.gone.xml").exists()
