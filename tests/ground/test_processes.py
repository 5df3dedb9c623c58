"""Whatever ends a command or its children, nothing of them is left; caches and homes fail by a sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hwgen.errors import GroundError, HwgenError
from hwgen.simulators import _process
from hwgen.simulators.cache import cache_dir, cache_path, cached


def test_a_killed_child_takes_its_temporary_files_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    script = "import tempfile, time; tempfile.mkdtemp(prefix='yosys-abc-'); time.sleep(60)"
    assert _process.run([sys.executable, "-c", script], timeout_s=1).returncode is None
    assert list(tmp_path.iterdir()) == []
    assert _process.run_all([[sys.executable, "-c", "import tempfile; tempfile.mkdtemp()"]])[0].returncode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("timeout_s", [float("nan"), 0.0, -1.0])
def test_a_time_must_be_a_number_above_0(timeout_s: float) -> None:
    with pytest.raises(HwgenError, match="timeout_s must be a number above 0, not "):
        _process.run(["true"], timeout_s=timeout_s)


@pytest.mark.parametrize("timeout_s", [float("inf"), 1e300])
def test_a_time_without_end_is_none(timeout_s: float) -> None:
    assert _process.run(["true"], timeout_s=timeout_s).returncode == 0


@pytest.mark.parametrize(("number", "status", "word"), [(2, 130, "interrupted"), (15, 143, "terminated")])
def test_a_signal_leaves_nothing(number: int, status: int, word: str, tmp_path: Path) -> None:
    temporary, work = tmp_path / "temporary", tmp_path / "work"
    temporary.mkdir()
    work.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "HWGEN_CACHE_DIR": str(tmp_path / "cache")}
    child = subprocess.Popen(
        [sys.executable, "-m", "hwgen", "synth", "--pe", "int", "--m", "2", "--n", "4", "--no-sta", "--netlist", "x.v"],
        cwd=work,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    # Until it has children at work.
    end = time.monotonic() + 60
    while not list(temporary.glob("hwgen-child-*")) and time.monotonic() < end and child.poll() is None:
        time.sleep(0.05)
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err.strip().splitlines()[-1]) == (status, "", f"hwgen: {word}")
    assert list(temporary.iterdir()) == []
    assert list(work.iterdir()) == []


def test_one_cache_folder_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in (("HWGEN_CACHE_DIR", "~/mine"), ("XDG_CACHE_HOME", "~/xdg")):
        monkeypatch.delenv("HWGEN_CACHE_DIR", raising=False)
        monkeypatch.setenv(name, value)
        assert cache_path().is_relative_to(tmp_path)
        assert cache_dir() == cache_path()
        assert cache_dir("texts") == cache_path("texts") == cache_path() / "texts"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "xdg"]


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nowhere)
    monkeypatch.delenv("HWGEN_CACHE_DIR", raising=False)
    with pytest.raises(HwgenError, match="there is no home folder; set HWGEN_CACHE_DIR to a folder"):
        cache_path()


def test_a_full_disk_under_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path))

    def make(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError(28, "No space left on device")

    with pytest.raises(GroundError, match=r"cache folder .* No space left on device; set HWGEN_CACHE_DIR to another"):
        cached("entry", make)
    assert [path.name for path in tmp_path.iterdir()] == ["entry.lock"]
