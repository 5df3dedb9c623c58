"""The folder of compiled simulators: content-addressed, safe for processes that build the same thing at once."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hwgen.errors import HwgenError, os_error

__all__ = ["FOLDERS", "cache_dir", "cache_path", "cached", "digest", "locked", "read_kept", "write_kept"]


FOLDERS = {
    "accelerator": "measurements of accelerators",
    "accuracy": "accuracy measurements",
    "calibrate": "calibration measurements",
    "captures": "activations of models",
    "realise": "energies of layers",
    "synth": "synthesis results",
    "tasks": "models of tasks",
    "texts": "texts",
}
"""Folders of the cache and what they hold; what else is in it has a digest in its name."""


def cache_path(folder: str | None = None) -> Path:
    """Return ``$HWGEN_CACHE_DIR``, else ``$XDG_CACHE_HOME/hwgen``, else ``~/.cache/hwgen``, or one of its `FOLDERS`.

    It may not exist yet. ``~`` means home in all of them.

    Raises:
        HwgenError: There is no home.
    """
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    chosen = Path(os.environ.get("HWGEN_CACHE_DIR") or f"{home}/hwgen")
    try:
        root = chosen.expanduser()
    except RuntimeError as error:
        raise HwgenError(f"cache: {chosen}: there is no home folder; set HWGEN_CACHE_DIR to a folder") from error
    return root if folder is None else root / _declared(folder)


def _declared(folder: str) -> str:
    assert folder in FOLDERS, f"{folder} is none of the cache's folders"
    return folder


def cache_dir(part: str | None = None) -> Path:
    """Return the cache folder (`cache_path`), made if missing, or one of its `FOLDERS`, which may be missing.

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
    return folder.resolve() if part is None else folder.resolve() / _declared(part)


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
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``, which is made if missing; other processes and threads that ask for it wait."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


_SUMS = ".sha256"
"""In an entry: the SHA-256 of each of its files."""


def _sums(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != _SUMS]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _whole(entry: Path) -> bool:
    """Whether an entry holds what it held when it was made, every file of it. Others may have come to it since."""
    try:
        sums: object = json.loads((entry / _SUMS).read_text())
        if not isinstance(sums, dict):
            return False
        return all(hashlib.sha256((entry / name).read_bytes()).hexdigest() == known for name, known in sums.items())
    except (OSError, ValueError):
        return False


def write_kept(path: Path, value: Any) -> None:
    """Keep a JSON value in the cache, with a sum by which `read_kept` knows whether it is what was written.

    Raises:
        HwgenError: The cache cannot be written.
    """
    from hwgen.files import write_atomic

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise os_error(f"cache folder {path.parent}: cannot be written", error, _HINT) from error
    write_atomic(path, json.dumps({"sha256": digest([json.dumps(value)]), "value": value}), "cache")


def read_kept(path: Path) -> Any:
    """The value that `write_kept` wrote; None if there is none, or if the file is not what was written.

    Files of earlier versions, which have no sum, are taken if they are JSON: some took hours to make.
    """
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if isinstance(document, dict) and document.keys() == {"sha256", "value"}:
        return document["value"] if digest([json.dumps(document["value"])]) == document["sha256"] else None
    return document


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """Return the cache entry ``name`` (a folder), calling ``make`` on a temporary folder when there is none yet.

    The folder appears under its name by one rename, after ``make`` returned: an interrupted build leaves no entry.
    A second process that asks for the same name waits for the first. An entry of which a file is gone, cut short or
    changed is made again.
    """
    root = cache_dir()
    entry = root / name
    if _whole(entry):
        return entry
    try:
        with locked(root / f"{name}.lock"):
            if _whole(entry):
                return entry
            work = Path(tempfile.mkdtemp(prefix=f"{name[:24]}.", suffix=".tmp", dir=root))
            try:
                make(work)
                (work / _SUMS).write_text(json.dumps(_sums(work)))
                if entry.is_dir():
                    # Damaged. Aside first: what still runs from it goes on, and a name is never half an entry.
                    entry.rename(damaged := work.with_suffix(".old.tmp"))
                    shutil.rmtree(damaged, ignore_errors=True)
                elif entry.exists():
                    entry.unlink()
                work.rename(entry)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise os_error(f"cache folder {root}: cannot be written", error, _HINT) from error
    return entry
