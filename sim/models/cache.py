"""The folder that keeps what is slow to get: downloaded models and captured activations."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from hwgen.errors import os_error

__all__ = ["placed", "read_array", "write_array"]

_CHECKSUM_BYTES = hashlib.sha256().digest_size


@contextmanager
def placed(target: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``target``; what the block leaves there under its name becomes ``target``.

    The rename is atomic, so that ``target`` is whole or absent whatever ends the block.

    Raises:
        HwgenError: if the folder of ``target`` cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".partial-") as folder:
            yield Path(folder)
            os.replace(Path(folder) / target.name, target)
    except OSError as error:
        hint = "set HWGEN_CACHE_DIR to another folder"
        raise os_error(f"cache folder {target.parent}: cannot be written", error, hint) from error


def write_array(path: Path, values: np.ndarray) -> None:
    """Write an array as .npy, followed by the SHA-256 of all that."""
    buffer = io.BytesIO()
    np.save(buffer, values)
    content = buffer.getvalue()
    path.write_bytes(content + hashlib.sha256(content).digest())


def read_array(path: Path) -> np.ndarray | None:
    """Array that `write_array` wrote; None if it is not there, or anything in the file is not as it was written."""
    try:
        stored = path.read_bytes()
        content, checksum = stored[:-_CHECKSUM_BYTES], stored[-_CHECKSUM_BYTES:]
        if hashlib.sha256(content).digest() != checksum:
            return None
        values: np.ndarray = np.load(io.BytesIO(content), allow_pickle=False)
        return values
    except (OSError, ValueError, EOFError):
        return None
