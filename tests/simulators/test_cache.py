from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hwgen.errors import HwgenError
from hwgen.simulators.cache import cache_dir, cached, digest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path))
    return tmp_path.resolve()


def test_the_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HWGEN_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == (tmp_path / "xdg" / "hwgen").resolve()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_dir() == (tmp_path / "home" / ".cache" / "hwgen").resolve()
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path / "mine"))
    assert cache_dir() == (tmp_path / "mine").resolve()


def test_an_unusable_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(taken))
    message = (
        f"cache: {taken} must be a writable folder, not usable here (File exists); set HWGEN_CACHE_DIR to one that is"
    )
    with pytest.raises(HwgenError, match=f"^{re.escape(message)}$"):
        cache_dir()


def test_an_entry_is_made_once_and_a_failed_one_never_appears(folder: Path) -> None:
    made = []

    def make(work: Path) -> None:
        made.append(work)
        (work / "file").write_text("x")
        if len(made) == 1:
            raise HwgenError("no luck")

    with pytest.raises(HwgenError, match=r"^no luck$"):
        cached("entry", make)
    assert [path for path in folder.iterdir() if path.is_dir()] == []
    assert (cached("entry", make) / "file").read_text() == "x"
    assert cached("entry", make) == folder / "entry"
    assert len(made) == 2


def test_two_processes_make_an_entry_once(folder: Path) -> None:
    script = (
        "import time\n"
        "from hwgen.simulators.cache import cached\n"
        "def make(work):\n"
        "    print('made', flush=True)\n"
        "    time.sleep(1)\n"
        "    (work / 'file').write_text('x')\n"
        "assert (cached('entry', make) / 'file').read_text() == 'x'\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment) for _ in range(2)]
    printed = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert b"".join(printed) == b"made\n"


def test_digests_keep_parts_apart() -> None:
    assert digest(["ab", "c"]) != digest(["a", "bc"])
    assert digest(["ab", "c"]) == digest(iter(["ab", "c"]))
