"""Constant matrices: whole numbers, of a size that an adder graph can be found for."""

from __future__ import annotations

import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError, os_error, suggest

__all__ = ["MOST_BITS", "MOST_ELEMENTS", "SUFFIXES", "constant_matrix", "read_constant"]

MOST_ELEMENTS = 16384
"""Elements of a matrix, 128 x 128: sharing takes seconds for 64 x 64 and grows with more than the square of them."""
MOST_BITS = 16
"""Bits of a weight: magnitudes below 2**16."""
SUFFIXES = (".npy", ".npz", ".csv")

_DAMAGE = (ValueError, TypeError, KeyError, EOFError, SyntaxError, OverflowError, zipfile.BadZipFile, zlib.error)
"""What numpy and zipfile raise for damaged or pickled arrays."""


def constant_matrix(values: npt.ArrayLike, what: str = "constant") -> npt.NDArray[np.int64]:
    """Return ``values`` as int64 [outputs, inputs]. Floats are taken where each is a whole number.

    Raises `HwgenError`, which names ``what``, for what is no matrix of whole numbers, holds no weight but zero, or is
    beyond `MOST_ELEMENTS` or `MOST_BITS`.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "iufb":
        raise HwgenError(f"{what}: the matrix must hold whole numbers, not {array.dtype}")
    if array.ndim != 2 or 0 in array.shape:
        raise HwgenError(
            f"{what}: the matrix must have outputs as rows and inputs as columns, at least one of each, "
            f"not shape {list(array.shape)}"
        )
    if array.size > MOST_ELEMENTS:
        raise HwgenError(
            f"{what}: the matrix must have at most {MOST_ELEMENTS} elements, not {array.shape[0]} x {array.shape[1]}; "
            "cut it into blocks and add their results"
        )
    if array.dtype.kind == "f":
        wrong = ~np.isfinite(array) | (array != np.rint(array))
        if wrong.any():
            row, column = (int(index) for index in np.argwhere(wrong)[0])
            raise HwgenError(
                f"{what}: the matrix must hold whole numbers, not {array[row, column]} at [{row}, {column}]; "
                "weights of a model are quantised with --layer"
            )
    most = (1 << MOST_BITS) - 1
    beyond = (array > most) | (array < -most) if array.dtype.kind != "b" else np.zeros(array.shape, bool)
    if beyond.any():
        row, column = (int(index) for index in np.argwhere(beyond)[0])
        raise HwgenError(
            f"{what}: weights must be from -{most} to {most}, not {array[row, column]:.0f} at [{row}, {column}]"
        )
    whole = array.astype(np.int64)
    if not whole.any():
        raise HwgenError(f"{what}: the matrix must have a weight that is not zero, but all {whole.size} are")
    return whole


def read_constant(place: str | Path, what: str = "constant") -> npt.NDArray[np.int64]:
    """Read a matrix [outputs, inputs] from ``x.npy``, ``x.npz`` (``x.npz:NAME`` of several) or ``x.csv``.

    Pickled objects are never loaded. Raises `HwgenError` for a file that cannot be read or is damaged, and as
    `constant_matrix`.
    """
    path, name = Path(place), None
    if path.suffix.lower() not in SUFFIXES and ":" in path.name:
        file, _, name = str(place).rpartition(":")
        path = Path(file)
    kind = path.suffix.lower()
    if kind not in SUFFIXES or (name is not None and kind != ".npz"):
        raise HwgenError(f"{what} {str(place)!r}: must be a file {', '.join(SUFFIXES)}, or x.npz:NAME")
    if path.is_dir():
        raise HwgenError(f"{what} {path}: must be a file, not a folder")
    readers: dict[str, Any] = {".npy": _npy, ".npz": _npz, ".csv": _csv}
    try:
        with warnings.catch_warnings():
            # Of empty files and of damaged headers; what comes of them is checked.
            warnings.simplefilter("ignore")
            values = readers[kind](path, name, what)
    except OSError as error:
        raise os_error(f"{what} {path}: cannot be read", error) from error
    except _DAMAGE as error:
        hint = "comma-separated whole numbers" if kind == ".csv" else "an array of numpy.save or numpy.savez"
        raise HwgenError(f"{what} {path}: must hold {hint}, which it does not") from error
    return constant_matrix(values, f"{what} {place}")


def _npy(path: Path, name: str | None, what: str) -> np.ndarray:
    # Mapped: a header that promises more than the file has is refused before memory is taken.
    values: np.ndarray = np.lib.format.open_memmap(path, mode="r")
    return values


def _npz(path: Path, name: str | None, what: str) -> np.ndarray:
    with path.open("rb") as file:
        archive: Any = np.load(file, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError("an array, not an archive")
        names = list(archive.files)
        if name is None and len(names) != 1:
            raise HwgenError(
                f"{what} {path}: holds {len(names)} arrays; say which, as {path}:NAME ({', '.join(names[:8])})"
            )
        if name is not None and name not in names:
            raise HwgenError(
                f"{what} {path}: holds no {name!r}, but {', '.join(names[:8]) or 'nothing'}{suggest(name, names)}"
            )
        chosen = name or names[0]
        size = archive.zip.getinfo(chosen if chosen in archive.zip.namelist() else f"{chosen}.npy").file_size
        if size > 16 * MOST_ELEMENTS + 4096:
            raise HwgenError(f"{what} {path}: the matrix must have at most {MOST_ELEMENTS} elements, not {size} bytes")
        values: np.ndarray = np.asarray(archive[chosen])
        return values


def _csv(path: Path, name: str | None, what: str) -> np.ndarray:
    if path.stat().st_size > 32 * MOST_ELEMENTS:
        raise HwgenError(f"{what} {path}: the matrix must have at most {MOST_ELEMENTS} elements, which is no such file")
    return np.loadtxt(path, delimiter=",", ndmin=2, encoding="utf-8")
