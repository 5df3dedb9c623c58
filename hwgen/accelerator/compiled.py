"""The closed form as a compiled kernel: the same cycles as `hwgen.accelerator.closed`, bit for bit, on both cores.

The array code is the source of truth: `hwgen.accelerator.closed`, `flow`, what `hwgen.accelerator.job` says fits and is
read, and `image_addresses`. ``kernels/closed.cpp`` translates them statement by statement, and its numbers, orders and
inputs are written here from theirs; ``tests/accelerator/test_compiled.py`` compares both on random designs and jobs.
Where there is no g++, where the kernel does not build, or where a whole number may be too large for it, callers take
the array code.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.accelerator.accelerator import ASKING_ORDER
from hwgen.accelerator.closed import REGIMES, ClosedCycles
from hwgen.accelerator.design import PAGE_BYTES
from hwgen.accelerator.exact import FIRST_CLEAR, LAST_WORDS
from hwgen.accelerator.flow import RING
from hwgen.accelerator.geometry import Geometry, StreamGeometry
from hwgen.accelerator.job import COUNTS, FLAGS
from hwgen.accelerator.stream import STREAMS
from hwgen.errors import HwgenError
from hwgen.frame.numbers import Num

__all__ = ["best_jobs", "cores", "job_cycles", "kernel", "loaded", "sources"]

P = Mapping[str, Any]

_MEMORY = ("latency", "share", "cycles")
_NUMBERS = tuple(one.name for one in fields(Geometry) if one.name != "streams")
_STREAM_NUMBERS = tuple(one.name for one in fields(StreamGeometry))
_INPUTS = (*COUNTS, *_MEMORY, *_NUMBERS)
_RESULT = "result"
_OUTPUTS = ("cycles", "reads", "regime", "exact", *FLAGS, *STREAMS, _RESULT)
_LANES = 8
_FEW = 256
"""Pairs that are not worth a thread."""


def _camel(name: str) -> str:
    return "k" + "".join(word.capitalize() for word in name.split("_"))


def _declared() -> str:
    """Numbers, orders and inputs of the array code as C++."""
    numbers = {"RING": RING, "FIRST_CLEAR": FIRST_CLEAR, "LAST_WORDS": LAST_WORDS, "PAGE_BYTES": PAGE_BYTES}
    turns = (ASKING_ORDER.index(name) for name in STREAMS)
    return "\n".join(
        (
            *(f"constexpr double {name} = {value};" for name, value in numbers.items()),
            f"enum {{ {', '.join(map(_camel, STREAMS))}, kStreams }};",
            f"enum {{ {', '.join(map(_camel, REGIMES))} }};",
            f"constexpr int kAsking[kStreams] = {{{', '.join(map(_camel, ASKING_ORDER))}}};",
            f"constexpr int kTurn[kStreams] = {{{', '.join(map(str, turns))}}};",
            f"enum {{ {', '.join(f'{_camel(name)}Out' for name in _OUTPUTS)} }};",
            f"struct StreamGeometry {{ V {', '.join(_STREAM_NUMBERS)}; }};",
            f"struct Inputs {{ V {', '.join(_INPUTS)}; StreamGeometry streams[kStreams]; }};\n",
        )
    )


def sources() -> dict[str, str]:
    """Text of the files that the kernel is made of, by name."""
    text = Path(__file__).with_name("kernels").joinpath("closed.cpp").read_text()
    return {"closed.cpp": text, "declared.h": _declared()}


class _Input(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("row", ctypes.c_int64), ("lane", ctypes.c_int64))


def loaded(files: Mapping[str, str]) -> ctypes.CDLL:
    """A kernel made of `sources`. Raises `HwgenError` where it cannot be built."""
    from hwgen.simulators.library import shared_library

    library = ctypes.CDLL(str(shared_library("closed-form", "closed.cpp", files)))
    library.closed_jobs.restype = library.closed_best.restype = ctypes.c_int64
    return library


@functools.cache
def kernel() -> ctypes.CDLL | None:
    """The compiled kernel, built on first use; None where it cannot be."""
    try:
        return loaded(sources())
    except (HwgenError, OSError):
        # No compiler, no cache that can be written: the array code needs neither.
        return None


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _of_design(geometry: Geometry) -> list[Num]:
    """In the order of the inputs."""
    found = [getattr(geometry, name) for name in _NUMBERS]
    return found + [getattr(geometry.streams[stream], name) for stream in STREAMS for name in _STREAM_NUMBERS]


def _inputs(values: Sequence[Num], shape: tuple[int, int], swapped: bool) -> tuple[Any, list[np.ndarray]]:
    """Pointers and strides of what broadcasts to ``shape``; and the arrays, which must outlive them."""
    kept, found = [], []
    for value in values:
        array = np.broadcast_to(np.asarray(value, np.int64), shape)
        row, lane = (
            stride // array.itemsize if size > 1 else 0 for stride, size in zip(array.strides, shape, strict=True)
        )
        if swapped:
            row, lane = lane, row
        kept.append(array)
        found.append(_Input(array.ctypes.data, row, lane))
    return (_Input * len(found))(*found), kept


def _threads(pairs: int) -> int:
    return max(min(cores(), pairs // _FEW), 1)


def job_cycles(
    geometry: Geometry, job: P, latency: Num, share: Num = 1, cycles: Num = 1, *, library: Any = None
) -> ClosedCycles | None:
    """`hwgen.accelerator.closed.closed_job_cycles` by the kernel; None where it cannot say."""
    library = kernel() if library is None else library
    if library is None:
        return None
    bus_bytes = PAGE_BYTES // np.asarray(geometry.page)
    places = [np.asarray(job.get(name, 0)) // bus_bytes for name in (*STREAMS, _RESULT)]
    values = [*(job[name] for name in COUNTS), latency, share, cycles, *_of_design(geometry)]
    values += [*(job[name] for name in FLAGS), *places]
    shape = np.broadcast_shapes(*(np.shape(value) for value in values)) or (1,)
    count = int(np.prod(shape))
    flat = [np.broadcast_to(value, shape).reshape(-1) if np.ndim(value) else value for value in values]
    inputs, _kept = _inputs(flat, (1, count), False)
    found = [np.empty(count, np.int64) for _ in range(3)]
    unsure = library.closed_jobs(
        inputs,
        ctypes.c_int64(count),
        *(ctypes.c_void_p(one.ctypes.data) for one in found),
        ctypes.c_int64(_threads(count)),
    )
    if unsure:
        return None
    took, exact, regime = (one.reshape(shape) for one in found)
    return ClosedCycles(took, exact > 0, regime)


def best_jobs(
    geometry: Geometry,
    counts: P,
    memory: tuple[Num, Num, Num],
    shape: tuple[int, ...],
    orders: Sequence[int],
    *,
    library: Any = None,
) -> dict[str, np.ndarray] | None:
    """What `hwgen.accelerator.best.DesignArrays.best_of_sizes` finds, by name; None where the kernel cannot say.

    ``counts``: `COUNTS` by name, ``memory``: latency, share and cycles; all broadcast to ``shape`` [layers, designs].
    """
    library = kernel() if library is None else library
    if library is None or not 1 <= len(shape) <= 2:
        return None
    layers, designs = shape if len(shape) == 2 else (1, shape[0])
    # Lanes of vectors lie along the longer side.
    swapped = layers > designs
    rows, lanes = (designs, layers) if swapped else (layers, designs)
    values = [*(counts[name] for name in COUNTS), *memory, *_of_design(geometry)]
    inputs, _kept = _inputs(values, (layers, designs), swapped)
    found = {name: np.empty(shape, np.int64) for name in _OUTPUTS}
    pointers = (ctypes.c_void_p * len(_OUTPUTS))(*(found[name].ctypes.data for name in _OUTPUTS))
    strides = (1, designs) if swapped else (designs, 1)
    unsure = library.closed_best(
        inputs,
        *(ctypes.c_int64(one) for one in (rows, lanes, sum(1 << order for order in set(orders)))),
        pointers,
        *(ctypes.c_int64(one) for one in (*strides, _threads(layers * designs))),
    )
    return None if unsure else found
