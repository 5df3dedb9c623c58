"""Write files so that nobody ever sees half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hwgen.errors import HwgenError

__all__ = ["make_folder", "write_all", "write_atomic"]


def write_atomic(path: str | Path, content: str | bytes, what: str) -> None:
    """Write ``content`` to a temporary name beside ``path``, then rename.

    Raises `HwgenError` naming ``what`` and the path when the folder is missing or not writable; nothing is left behind.
    """
    write_all({Path(path): content}, what)


def write_all(files: Mapping[Path, str | bytes], what: str) -> None:
    """Write several files, all or none: every one lies whole under a temporary name before the first is renamed.

    Raises `HwgenError` as `write_atomic`.
    """
    temporaries: dict[Path, str] = {}
    try:
        for target, content in files.items():
            raw = content.encode() if isinstance(content, str) else content
            if target.is_dir():
                raise HwgenError(f"{what}: output must be a file, not the folder {str(target)!r}")
            try:
                if target.exists() and not target.is_file():
                    # A device or a pipe cannot be renamed over: write through it.
                    target.write_bytes(raw)
                else:
                    temporaries[target] = _temporary(target, raw)
            except OSError as error:
                raise HwgenError(f"{what}: cannot write {str(target)!r}: {error.strerror}") from error
        for target, temporary in temporaries.items():
            os.replace(temporary, target)
    finally:
        for temporary in temporaries.values():
            Path(temporary).unlink(missing_ok=True)


def _temporary(target: Path, raw: bytes) -> str:
    """A file beside ``target`` with its content and the usual permissions; returns its name."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(raw)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return name


def make_folder(path: str | Path, what: str) -> Path:
    """Create a folder unless it is there; its parent must be.

    Raises `HwgenError` naming ``what`` and the path when that is not possible.
    """
    folder = Path(path)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise HwgenError(f"{what}: cannot make the folder {str(folder)!r}: {error.strerror}") from error
    return folder
