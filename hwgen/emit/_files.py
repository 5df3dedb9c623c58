"""Write files so that nobody ever sees half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hwgen.errors import HwgenError

__all__ = ["make_folder", "write_atomic"]


def write_atomic(path: str | Path, content: str | bytes, what: str) -> None:
    """Write ``content`` to a temporary name beside ``path``, then rename.

    Raises `HwgenError` naming ``what`` and the path when the folder is missing or not writable; nothing is left behind.
    """
    target = Path(path)
    raw = content.encode() if isinstance(content, str) else content
    if target.is_dir():
        raise HwgenError(f"{what}: output must be a file, not the folder {str(target)!r}")
    if target.exists() and not target.is_file():
        # A device or a pipe cannot be renamed over: write through it.
        try:
            target.write_bytes(raw)
        except OSError as error:
            raise HwgenError(f"{what}: cannot write {str(target)!r}: {error.strerror}") from error
        return
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise HwgenError(f"{what}: cannot write {str(target)!r}: {error.strerror}") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(raw)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, target)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise HwgenError(f"{what}: cannot write {str(target)!r}: {error.strerror}") from error
        raise


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
