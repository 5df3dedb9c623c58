"""Operands of a layer without a model: from array files, or random of a stated distribution."""

from __future__ import annotations

import re
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import HwgenError, os_error, suggest
from hwgen.schedule import Layer

__all__ = ["DISTRIBUTIONS", "SUFFIXES", "is_operand_file", "operand_path", "random_operands", "read_matrix"]

SUFFIXES = (".npy", ".npz", ".safetensors")
_PLACE = re.compile(r"(?P<path>.*\.(?:npy|npz|safetensors))(?::(?P<name>.+))?", re.IGNORECASE | re.DOTALL)

MOST_ELEMENTS = 2**28
"""Elements of one operand: 1 GiB of float32, above every linear layer of today's models but large vocabularies."""

DAMAGE = (
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    SyntaxError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What numpy and zipfile raise for damaged, encrypted or pickled arrays: headers are Python literals, archives zip."""

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def _outliers(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Normal, but 1 % of the inputs (at least one), the same for every row, are twenty times as large."""
    values = rng.normal(size=shape)
    count = max(1, shape[1] // 100)
    values[:, rng.choice(shape[1], count, replace=False)] *= 20.0
    return values


DISTRIBUTIONS: dict[str, tuple[str, Draw]] = {
    "normal": ("normal, mean 0, standard deviation 1", lambda rng, shape: rng.normal(size=shape)),
    "laplace": (
        "Laplace, mean 0, standard deviation 1",
        lambda rng, shape: rng.laplace(scale=np.sqrt(0.5), size=shape),
    ),
    "uniform": ("uniform from -1 to 1", lambda rng, shape: rng.uniform(-1.0, 1.0, size=shape)),
    "outliers": (
        "weights normal (mean 0, standard deviation 1); activations normal too, "
        "1 % of the inputs (at least one) 20 times as large in every token",
        _outliers,
    ),
}
"""What is drawn, in words, and how; of ``outliers`` the weights are ``normal``, as they are in language models."""


def random_operands(layer: Layer, distribution: str = "normal", seed: object = 1) -> tuple[np.ndarray, np.ndarray, str]:
    """Draw weights [N, K] and activations [tokens, K], float32, and say in words what was drawn.

    The two come from separate streams of one seed, so that the weights do not depend on the number of tokens.

    Raises:
        HwgenError: for an unknown distribution, a seed that is no whole number from 0, or operands beyond
            ``MOST_ELEMENTS``.
    """
    if distribution not in DISTRIBUTIONS:
        raise HwgenError(
            f"random operands: the distribution must be {', '.join(DISTRIBUTIONS)}, not {distribution!r}"
            f"{suggest(distribution, DISTRIBUTIONS)}"
        )
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise HwgenError(f"random operands: seed must be a whole number from 0, not {seed!r}")
    for what, rows in (("weights", layer.n), ("activations", layer.m)):
        if rows * layer.k > MOST_ELEMENTS:
            raise HwgenError(
                f"random operands: {what} must have at most {MOST_ELEMENTS} elements, not {rows} x {layer.k}"
            )
    words, draw = DISTRIBUTIONS[distribution]
    of_weights, of_acts = (np.random.default_rng(child) for child in np.random.SeedSequence(int(seed)).spawn(2))
    weight_draw = DISTRIBUTIONS["normal"][1] if distribution == "outliers" else draw
    weights = weight_draw(of_weights, (layer.n, layer.k)).astype(np.float32)
    acts = draw(of_acts, (layer.m, layer.k)).astype(np.float32)
    return weights, acts, f"random: {words}; seed {seed}"


def is_operand_file(text: str) -> bool:
    """Whether a text names an array file, with or without ``:name`` behind it."""
    return _PLACE.fullmatch(text) is not None


def operand_path(text: str) -> str:
    """The file in ``x.npz:name``; other texts as they are."""
    match = _PLACE.fullmatch(text)
    return match["path"] if match else text


def read_matrix(place: str | Path, what: str = "operand") -> np.ndarray:
    """Read a matrix from ``x.npy``, ``x.npz:name`` or ``x.safetensors:name``; the name may be left out where one is.

    Any float type is read, Fortran order too, and comes as float32, or float64 where it is wider than that; pickled
    objects are never loaded.

    Raises:
        HwgenError: if the file cannot be read, is damaged, or holds no finite float matrix of that name.
    """
    match = _PLACE.fullmatch(str(place))
    if match is None:
        raise HwgenError(f"{what} {str(place)!r}: must be a file {', '.join(SUFFIXES)}, with :NAME for one of several")
    path, name = Path(match["path"]), match["name"]
    if path.is_dir():
        raise HwgenError(f"{what} {path}: must be a file, not a folder")
    kind = path.suffix.lower()
    if kind == ".npy" and name is not None:
        raise HwgenError(f"{what} {path}: a .npy file holds one array without a name, not {name!r}")
    try:
        with warnings.catch_warnings():
            # A damaged header is tried again as one of Python 2, with a warning; its values are checked as all are.
            warnings.simplefilter("ignore")
            values = {".npy": _npy, ".npz": _npz, ".safetensors": _safetensors}[kind](path, name, what)
    except OSError as error:
        raise os_error(f"{what} {path}: cannot be read", error) from error
    except DAMAGE as error:
        # numpy's words name its own options ("allow_pickle"), which the reader of this sentence cannot set.
        pickled = any(word in str(error).lower() for word in ("pickle", "python objects"))
        reason = "holds Python objects, which are not loaded" if pickled else f"is truncated or no {kind} file"
        raise HwgenError(f"{what} {path}: {reason}; save a float matrix with numpy.save") from error
    if values.dtype.kind != "f" or values.ndim != 2 or 0 in values.shape:
        raise HwgenError(
            f"{what} {place}: must be a float matrix with at least one row and column, "
            f"not {values.dtype} of shape {list(values.shape)}"
        )
    if values.size > MOST_ELEMENTS:
        raise HwgenError(
            f"{what} {place}: must have at most {MOST_ELEMENTS} elements, not {' x '.join(map(str, values.shape))}"
        )
    wide = np.float64 if values.dtype.itemsize > 4 else np.float32
    matrix = np.ascontiguousarray(values, dtype=wide)
    finite = np.isfinite(matrix)
    if not finite.all():
        row, column = (int(index) for index in np.argwhere(~finite)[0])
        raise HwgenError(f"{what} {place}: must be finite, not {matrix[row, column]} at [{row}, {column}]")
    return matrix


def _npy(path: Path, name: str | None, what: str) -> np.ndarray:
    """The array, mapped: a header that promises more than the file has is refused before memory is taken."""
    values: np.ndarray = np.lib.format.open_memmap(path, mode="r")
    return values


def _npz(path: Path, name: str | None, what: str) -> np.ndarray:
    """One array of an archive."""
    # numpy leaves a file open that it opened and could not read; this one is closed in any case.
    with path.open("rb") as file:
        archive: Any = np.load(file, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError("an array, not an archive")
        chosen = _choose(path, name, list(archive.files), what)
        size = archive.zip.getinfo(chosen if chosen in archive.zip.namelist() else f"{chosen}.npy").file_size
        if size > 8 * MOST_ELEMENTS + 4096:
            raise HwgenError(f"{what} {path}:{chosen}: must have at most {MOST_ELEMENTS} elements, not {size} bytes")
        values: np.ndarray = np.asarray(archive[chosen])
        return values


def _safetensors(path: Path, name: str | None, what: str) -> np.ndarray:
    """One tensor of a model file."""
    from sim.models.weights import open_model

    model = open_model(path)
    return model.float32(_choose(path, name, list(model.tensors), what))


def _choose(path: Path, name: str | None, names: list[str], what: str) -> str:
    """The name that is asked for, or the only one there is."""
    if name is None and len(names) == 1:
        return names[0]
    if name is not None and name in names:
        return name
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    if name is None:
        raise HwgenError(f"{what} {path}: holds {len(names)} arrays; say which, as {path}:NAME ({shown})")
    raise HwgenError(f"{what} {path}: holds no {name!r}, but {shown}{suggest(name, names)}")
