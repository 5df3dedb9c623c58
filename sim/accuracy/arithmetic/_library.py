"""The compiled kernels: built on first use, loaded once, called with numpy arrays."""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwgen.simulators.library import shared_library

__all__ = ["Packed", "call", "sources"]

_FOLDER = Path(__file__).with_name("kernels")
_HEADER = "common.h"


def sources(name: str) -> Mapping[str, str]:
    """Text of the files that the kernel ``name`` is made of, by name."""
    return {file: (_FOLDER / file).read_text() for file in (_HEADER, f"{name}.cpp")}


@functools.cache
def _load(path: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(path))


@functools.cache
def _built(name: str) -> Path:
    return shared_library(f"arithmetic-{name}", f"{name}.cpp", sources(name))


def _argument(value: npt.NDArray[Any] | Packed | float | None) -> Any:
    if value is None:
        return ctypes.c_void_p()
    if isinstance(value, Packed):
        return value.handle
    if isinstance(value, int | np.integer):
        return ctypes.c_int64(int(value))
    if isinstance(value, float):
        return ctypes.c_double(value)
    assert value.flags.c_contiguous
    return value.ctypes.data_as(ctypes.c_void_p)


def call(library: str, function: str, *arguments: npt.NDArray[Any] | Packed | float | None) -> int:
    """Call a function of a kernel: arrays by pointer, whole numbers as int64, others as double; what it returns.

    Raises `HwgenError` where the kernel cannot be built.
    """
    found = getattr(_load(_built(library)), function)
    found.restype = ctypes.c_int64
    return int(found(*map(_argument, arguments)))


class Packed:
    """Weights as a kernel ``library`` stores them, which it frees with the object."""

    def __init__(self, library: str, *arguments: npt.NDArray[Any] | float | None) -> None:
        """What ``{library}_new`` makes of the arguments."""
        self.library = library
        self.handle = ctypes.c_void_p(call(library, f"{library}_new", *arguments))
        free = _load(_built(library))[f"{library}_free"]
        free.restype = None
        weakref.finalize(self, free, self.handle)

    def call(self, function: str, *arguments: npt.NDArray[Any] | float | None) -> int:
        """Call ``{library}_{function}`` on these weights."""
        return call(self.library, f"{self.library}_{function}", self, *arguments)
