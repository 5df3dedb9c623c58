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
import math
import os
import warnings
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
from hwgen.accelerator.points import Points
from hwgen.accelerator.stream import STREAMS
from hwgen.errors import HwgenError, HwgenWarning
from hwgen.frame.numbers import Num

__all__ = [
    "JOB_COUNTS",
    "MOST_SHOWN",
    "Forms",
    "best_jobs",
    "cores",
    "job_cycles",
    "kernel",
    "kernel_state",
    "loaded",
    "sources",
    "total_jobs",
]

P = Mapping[str, Any]

_OF_STREAM = ("beats", "bursts", "entries", "words")
_OF_JOB = ("one", "cycles", "steps", "groups", "results", "write_beats", "write_bursts")
JOB_COUNTS = (*_OF_JOB, *(f"{stream}_{what}" for stream in STREAMS for what in _OF_STREAM))
"""Counts of what a job makes an accelerator do, and the number one: `sim.accelerator.activity.JobCounts` by name."""
Forms = Mapping[str, Mapping[str, Num]]
"""Numbers that grow with counts of jobs: by name how much each of `JOB_COUNTS` adds on each design."""

_MEMORY = ("latency", "share", "cycles")
_NUMBERS = tuple(one.name for one in fields(Geometry) if one.name != "streams")
_STREAM_NUMBERS = tuple(one.name for one in fields(StreamGeometry))
_INPUTS = (*COUNTS, *_MEMORY, *_NUMBERS)
_RESULT = "result"
_OUTPUTS = ("cycles", "reads", "regime", "exact", *FLAGS, *STREAMS, _RESULT)
_MOST_TERMS = 256
MOST_SHOWN = 21
"""Layers whose jobs `total_jobs` tells, at most: so many choices a whole number of 64 bits holds."""
_LIBRARY = "closed-form", "closed.cpp"
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
            f"enum {{ {', '.join(map(_camel, REGIMES))}, kRegimes }};",
            f"constexpr int kAsking[kStreams] = {{{', '.join(map(_camel, ASKING_ORDER))}}};",
            f"constexpr int kTurn[kStreams] = {{{', '.join(map(str, turns))}}};",
            f"enum {{ {', '.join(f'{_camel(name)}Out' for name in _OUTPUTS)} }};",
            f"enum {{ {', '.join(f'{_camel(name)}Count' for name in _OF_JOB)}, kStreamCounts }};",
            f"enum {{ {', '.join(f'{_camel(name)}OfStream' for name in _OF_STREAM)}, kOfStream }};",
            f"constexpr int kCounts = {len(JOB_COUNTS)}, kMostTerms = {_MOST_TERMS}, kShown = {MOST_SHOWN};",
            f"struct StreamGeometry {{ V {', '.join(_STREAM_NUMBERS)}; }};",
            f"struct Inputs {{ V {', '.join(_INPUTS)}; StreamGeometry streams[kStreams]; }};\n",
        )
    )


def sources() -> dict[str, str]:
    """Text of the files that the kernel is made of, by name."""
    text = Path(__file__).with_name("kernels").joinpath("closed.cpp").read_text()
    return {"closed.cpp": text, "declared.h": _declared()}


class _Numbers(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("row", ctypes.c_int64),
        ("lane", ctypes.c_int64),
        ("places", ctypes.c_void_p),
    )


class _Term(ctypes.Structure):
    _fields_ = (("form", ctypes.c_int64), ("count", ctypes.c_int64), ("factor", _Numbers))


def loaded(files: Mapping[str, str]) -> ctypes.CDLL:
    """A kernel made of `sources`. Raises `HwgenError` where it cannot be built."""
    from hwgen.simulators.library import shared_library

    library = ctypes.CDLL(str(shared_library(*_LIBRARY, files)))
    library.closed_jobs.restype = library.closed_best.restype = library.closed_totals.restype = ctypes.c_int64
    return library


@functools.cache
def kernel() -> ctypes.CDLL | None:
    """The compiled kernel, built on first use; None where it cannot be, of which a `HwgenWarning` says why."""
    try:
        return loaded(sources())
    except (HwgenError, OSError) as error:
        # No compiler, no cache that can be written: the array code needs neither.
        warnings.warn(
            f"accelerator: cycles of many designs come from array code, many times slower, as the compiled code cannot "
            f"be used: {error}; see hwgen doctor",
            HwgenWarning,
            stacklevel=2,
        )
        return None


def kernel_state() -> str:
    """Whether the compiled kernel is there, for a list of tools; it is not built. Raises `HwgenError` without g++."""
    from hwgen.simulators.library import library_state

    return library_state(*_LIBRARY, sources())


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _of_design(geometry: Geometry) -> list[Num]:
    """In the order of the inputs."""
    found = [getattr(geometry, name) for name in _NUMBERS]
    return found + [getattr(geometry.streams[stream], name) for stream in STREAMS for name in _STREAM_NUMBERS]


def _address(array: np.ndarray) -> int:
    """Where its numbers are; ``ctypes`` says the same, in several times as long."""
    address: int = array.__array_interface__["data"][0]
    return address


class _Inputs:
    """Pointers and strides of what broadcasts to a shape of [rows, lanes], and the arrays, which must outlive them.

    ``points``: numbers broadcast over its mesh, with rows before it where they have as many dimensions more.
    """

    def __init__(self, shape: tuple[int, int], swapped: bool = False, points: Points | None = None) -> None:
        self.shape, self.swapped, self.points = shape, swapped, points
        self.kept: list[np.ndarray] = []

    def number(self, value: Num, dtype: type = np.int64, mesh: bool = True) -> _Numbers:
        """Where a number is."""
        array: np.ndarray = np.asarray(value, dtype)
        if mesh and self.points is not None and array.ndim:
            return self._of_mesh(np.ascontiguousarray(array), self.points)
        array = np.broadcast_to(array, self.shape)
        self.kept.append(array)
        row, lane = (
            stride // array.itemsize if size > 1 else 0 for stride, size in zip(array.strides, self.shape, strict=True)
        )
        return _Numbers(_address(array), *((lane, row) if self.swapped else (row, lane)), None)

    def _of_mesh(self, array: np.ndarray, points: Points) -> _Numbers:
        over = array.shape[array.ndim - len(points.shape) :] if array.ndim > len(points.shape) else array.shape
        size = math.prod(over)
        row = size if array.size > size else 0
        self.kept.append(array)
        if size == 1:
            return _Numbers(_address(array), row, 0, None)
        index = points.index(over)
        self.kept.append(index)
        return _Numbers(_address(array), row, 1, _address(index))

    def numbers(self, values: Sequence[Num], apart: Sequence[Num] = ()) -> Any:
        """Where several are; those ``apart``, which come first, are not over the mesh."""
        found = [*(self.number(value, mesh=False) for value in apart), *map(self.number, values)]
        return (_Numbers * len(found))(*found)

    def terms(self, forms: Forms) -> Any:
        """Terms of forms, in their order."""
        found = [
            _Term(place, JOB_COUNTS.index(count), self.number(factor, np.float64))
            for place, terms in enumerate(forms.values())
            for count, factor in terms.items()
        ]
        if len(found) > _MOST_TERMS:
            raise ValueError(f"{len(found)} terms of forms are more than {_MOST_TERMS}")
        return (_Term * len(found))(*found)


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
    inputs = _Inputs((1, count))
    found = [np.empty(count, np.int64) for _ in range(3)]
    unsure = library.closed_jobs(
        inputs.numbers(flat),
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
    points: Points | None = None,
    apart: bool = False,
    forms: Forms | None = None,
    wanted: Sequence[str] = _OUTPUTS,
    threads: int | None = None,
    library: Any = None,
) -> dict[str, np.ndarray] | None:
    """What `hwgen.accelerator.best.DesignArrays.best_of_sizes` finds, by name; None where the kernel cannot say.

    ``counts``: `COUNTS` by name, ``memory``: latency, share and cycles; all broadcast to ``shape`` [layers, designs],
    or, with ``points``, over their mesh, unless they are ``apart`` from it. ``forms``: are summed over the jobs'
    counts, and found by their names. ``threads``: None are as many as there are cores.
    """
    library = kernel() if library is None else library
    if library is None or not 1 <= len(shape) <= 2:
        return None
    layers, designs = shape if len(shape) == 2 else (1, shape[0])
    # Lanes of vectors lie along the longer side.
    swapped = layers > designs and points is None
    rows, lanes = (designs, layers) if swapped else (layers, designs)
    inputs, forms = _Inputs((layers, designs), swapped, points), forms or {}
    found = {name: np.empty(shape, np.int64) for name in wanted}
    sums = {name: np.empty(shape) if terms else np.zeros(shape) for name, terms in forms.items()}
    terms = inputs.terms(forms)
    strides = (1, designs) if swapped else (designs, 1)
    of_jobs, of_designs = [*(counts[name] for name in COUNTS), *memory], _of_design(geometry)
    unsure = library.closed_best(
        inputs.numbers(of_designs, of_jobs) if apart else inputs.numbers([*of_jobs, *of_designs]),
        *(ctypes.c_int64(one) for one in (rows, lanes, sum(1 << order for order in set(orders)))),
        (ctypes.c_void_p * len(_OUTPUTS))(*(found[name].ctypes.data if name in found else None for name in _OUTPUTS)),
        *(ctypes.c_int64(one) for one in strides),
        terms,
        ctypes.c_int64(len(terms)),
        (ctypes.c_void_p * len(sums))(*(one.ctypes.data for one in sums.values())),
        ctypes.c_int64(_threads(layers * designs) if threads is None else threads),
    )
    return None if unsure else found | sums


def total_jobs(
    geometry: Geometry,
    counts: P,
    memory: tuple[Num, Num, Num],
    times: np.ndarray,
    designs: int,
    orders: Sequence[int],
    forms: Forms,
    *,
    points: Points | None = None,
    library: Any = None,
) -> dict[str, np.ndarray] | None:
    """What the best jobs of all layers take together on each design, `times` [layers] each; None where the kernel
    cannot say.

    Arguments as of `best_jobs`. ``cycles``, ``exact`` (of all), ``regime`` (of most cycles), ``choices`` (of the first
    `MOST_SHOWN` layers the flags, three bits each), and forms by name; arrays [designs].
    """
    library = kernel() if library is None else library
    if library is None:
        return None
    inputs = _Inputs((len(times), designs), points=points)
    found = {name: np.empty(designs, np.int64) for name in ("cycles", "exact", "regime", "choices")}
    sums = {name: np.empty(designs) if terms else np.zeros(designs) for name, terms in forms.items()}
    terms, weights = inputs.terms(forms), np.ascontiguousarray(times, np.float64)
    unsure = library.closed_totals(
        inputs.numbers([*(counts[name] for name in COUNTS), *memory, *_of_design(geometry)]),
        *(ctypes.c_int64(one) for one in (len(times), designs, sum(1 << order for order in set(orders)))),
        ctypes.c_void_p(weights.ctypes.data),
        *(ctypes.c_void_p(one.ctypes.data) for one in found.values()),
        terms,
        ctypes.c_int64(len(terms)),
        (ctypes.c_void_p * len(sums))(*(one.ctypes.data for one in sums.values())),
        ctypes.c_int64(_threads(len(times) * designs)),
    )
    return None if unsure else found | sums
