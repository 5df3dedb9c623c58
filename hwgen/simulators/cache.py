"""The folder of compiled simulators: content-addressed, safe for processes that build the same thing at once."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hwgen.errors import HwgenError, os_error

__all__ = ["cache_dir", "cache_path", "cached", "digest"]


def cache_path() -> Path:
    """Return ``$HWGEN_CACHE_DIR``, else ``$XDG_CACHE_HOME/hwgen``, else ``~/.cache/hwgen``; it may not exist yet.

    ``~`` means home in all of them.

    Raises:
        HwgenError: There is no home.
    """
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    chosen = Path(os.environ.get("HWGEN_CACHE_DIR") or f"{home}/hwgen")
    try:
        return chosen.expanduser()
    except RuntimeError as error:
        raise HwgenError(f"cache: {chosen}: there is no home folder; set HWGEN_CACHE_DIR to a folder") from error


def cache_dir() -> Path:
    """Return the cache folder (`cache_path`), made if missing.

    Raises:
        HwgenError: The folder cannot be made or written.
    """
    folder = cache_path()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(folder, error.strerror) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unusable(folder, "not writable")
    return folder.resolve()


_HINT = "set HWGEN_CACHE_DIR to another folder"


def _unusable(folder: Path, reason: str | None) -> HwgenError:
    return HwgenError(
        f"cache: {folder} must be a writable folder, not usable here ({reason}); set HWGEN_CACHE_DIR to one that is"
    )


def digest(parts: Iterable[str]) -> str:
    """Return the sha256 of ``parts`` as hexadecimal text; no two different sequences are joined to the same bytes."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode()
        sha.update(len(data).to_bytes(8, "little"))
        sha.update(data)
    return sha.hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """Return the cache entry ``name`` (a folder), calling ``make`` on a temporary folder when there is none yet.

    The folder appears under its name by one rename, after ``make`` returned: an interrupted build leaves no entry.
    A second process that asks for the same name waits for the first.
    """
    root = cache_dir()
    entry = root / name
    if entry.is_dir():
        return entry
    try:
        with _locked(root / f"{name}.lock"):
            if entry.is_dir():
                return entry
            work = Path(tempfile.mkdtemp(prefix=f"{name[:24]}.", suffix=".tmp", dir=root))
            try:
                make(work)
                work.rename(entry)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise os_error(f"cache folder {root}: cannot be written", error, _HINT) from error
    return entry
