"""Rates of (layer x design) pairs with cycles, bytes, energies and areas, in sweeps and in the system view."""

from __future__ import annotations

import itertools
import math
import multiprocessing
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dse.designs import ACCELERATORS, AROUND
from dse.level import Clock, Level
from dse.space import Space
from dse.tiles import TILES
from hwgen.accelerator import Design
from hwgen.pe import family
from hwgen.schedule import Layer
from reports.command_line import without_options
from sim.system import Array, OffChip, System, estimate_arrays
from sim.tech import load
from sim.workload import Prefill, load_workload

__all__ = ["CASES", "COUNTS", "ManyRate", "Spent", "accelerator_pairs", "many_rates", "many_rows", "side_by_side"]

COUNTS = (10**5, 10**6, 10**7)
"""Pairs, of which each case evaluates at least so many."""
_MODEL, _PHASE = "llama-2-7b", Prefill(256)
_TECH, _PERIOD_NS = "sky130hd", 8.0
_PIECE = 1 << 18
"""Points that `estimate_arrays` is given at once."""
_TILE: Mapping[str, Any] = {"bits": 4, "group": 64, "post_lanes": 2}
_AXES: Mapping[str, Sequence[int]] = {
    "m": (1, 2, 3, 4, 6, 8, 12, 16),
    "n": tuple(range(4, 100, 4)),
    "weight_ring": (64, 128, 256, 512, 1024, 2048),
    "act_ring": (64, 128, 256, 512, 1024, 2048),
    "bus_bits": (64, 128, 256),
    "burst": (8, 16, 32, 64),
    "outstanding": (2, 4, 8),
}
"""Every one of them is seen by the cycles: no two points are one design."""


@dataclass(frozen=True)
class ManyRate:
    """``pairs`` of a layer and a design by one process: ``rate`` of them a second, ``alone`` in a second of a core, and
    the most memory that the process had, in MiB.
    """

    pairs: int
    rate: float
    alone: float
    most_mib: float


def layers() -> list[Layer]:
    """Products of the prefill, equal ones once."""
    runs = {(run.m, run.n, run.k): run for run in load_workload(_MODEL).runs(_PHASE)}
    return [Layer(run.role, run.m, run.n, run.k, run.total_count) for run in runs.values()]


def sweep_pairs(level: Level, space: Space, least: int, wanted: Sequence[Layer], name: str = _TECH) -> int:
    """Blocks of a sweep of so many layers until there are as many pairs; how many there were."""
    tech, clock, done = load(name), Clock(_PERIOD_NS, named=False), 0
    blocks = itertools.chain.from_iterable(space.chunks(level.block_points(wanted)) for _ in itertools.count())
    while done < least:
        # No block is kept while the next one is evaluated.
        points = level.evaluate(space, next(blocks), wanted, tech, clock).looked_at
        done += points * len(wanted)
    return done


def accelerator_pairs(least: int, wanted: Sequence[Layer]) -> int:
    """`sweep_pairs` of accelerators: all columns of rows."""
    tile = {name: values for name, values in _AXES.items() if name in ("m", "n")}
    around = {name: values for name, values in _AXES.items() if name not in tile}
    fixed = {name: (value,) for name, value in _TILE.items()}
    return sweep_pairs(ACCELERATORS, Space.of("int", {**tile, **fixed}).beside(AROUND, around), least, wanted)


def _accelerators(least: int) -> int:
    """Sweep of accelerators."""
    return accelerator_pairs(least, layers())


def _tiles(least: int, tech: str = "tpuv4i7") -> int:
    """Sweep of tiles, priced by a table of published operations."""
    axes = {"m": range(1, 65), "n": range(1, 257), "k": (2, 4, 8), "bits": (2, 3, 4, 6, 8), "depth": (1024, 2048)}
    return sweep_pairs(TILES, Space.of("int", {**axes, "group": (64,)}), least, layers(), tech)


def _measured_tiles(least: int) -> int:
    """The same, priced by regressions over measured blocks: most of the time goes into them."""
    return _tiles(least, _TECH)


def _grid(axes: Mapping[str, Sequence[int]], points: int) -> Iterator[dict[str, np.ndarray]]:
    """Points of a product of axes in pieces, from the first again where there are not enough."""
    shape = tuple(map(len, axes.values()))
    for begin in range(0, points, _PIECE):
        places = np.unravel_index(np.arange(begin, min(begin + _PIECE, points)) % math.prod(shape), shape)
        yield {name: np.array(values)[own] for (name, values), own in zip(axes.items(), places, strict=True)}


def _products() -> int:
    return len({(run.m, run.n, run.k) for run in load_workload(_MODEL).runs(_PHASE)})


def _system(least: int) -> int:
    """The system view of accelerators."""
    model, design = load_workload(_MODEL), Design(tile=family("int").from_values({**_TILE, "depth": 1024}))
    system = System(core=design, clk_period_ns=_PERIOD_NS, tech=_TECH)
    points = -(-least // _products())
    for values in _grid(_AXES, points):
        p = {name: values.pop(name) for name in ("m", "n")}
        estimate_arrays(system, model, _PHASE, p, values)
    return points * _products()


def _arrays(least: int) -> int:
    """The system view of described arrays."""
    axes = {
        "rows": range(4, 132, 4),
        "columns": range(4, 132, 4),
        "weight_bits": (2, 3, 4, 6, 8),
        "weight_bytes": tuple(1 << one for one in range(12, 21)),
        "act_bytes": tuple(1 << one for one in range(12, 21)),
    }
    points = -(-least // _products())
    for values in _grid(axes, points):
        system = System(core=Array(**values), off_chip=OffChip("32 GB/s", 32.0, 8.0), clk_period_ns=1.0)
        estimate_arrays(system, load_workload(_MODEL), _PHASE)
    return points * _products()


CASES: Mapping[str, Callable[[int], int]] = {
    "sweep of accelerators": _accelerators,
    "system view of accelerators": _system,
    "system view of described arrays": _arrays,
    "sweep of tiles": _tiles,
    "sweep of tiles, measured technology": _measured_tiles,
}
"""What is evaluated; each case evaluates at least so many pairs and says how many."""

_WANTED = {name: f"wanted: at least {30 if 'tiles' in name else 10} M on two cores" for name in CASES}


@dataclass(frozen=True)
class Spent:
    """What a process evaluated, and what it took: seconds, seconds of a core, and its most memory in MiB."""

    pairs: int
    seconds: float
    cpu_s: float
    most_mib: float


def _measured(evaluate: Callable[[int], int], least: int, answers: Any) -> None:
    """Body of a process that evaluates at least so many pairs and answers with `Spent`."""
    # Tables are read and code is built before.
    evaluate(1)
    begin, own = time.perf_counter(), time.process_time()
    pairs = evaluate(least)
    seconds, spent = time.perf_counter() - begin, time.process_time() - own
    answers.put(Spent(pairs, seconds, spent, _most_mib()))


def _most_mib() -> float:
    """Most memory of this program; what `getrusage` says is that of who started it, if that had more."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def side_by_side(evaluate: Callable[[int], int], least: int, processes: int) -> list[Spent]:
    """What each of so many processes spent that evaluate at the same time; ``evaluate``: a function of a module."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    workers = [context.Process(target=_measured, args=(evaluate, least, answers)) for _ in range(processes)]
    for worker in workers:
        worker.start()
    found: list[Spent] = [answers.get() for _ in workers]
    for worker in workers:
        worker.join()
    return found


def many_rates(name: str, least: int, processes: int = 1) -> ManyRate:
    """Rates of a case over at least ``least`` pairs, in a process of its own, whose memory is its own too.

    ``processes``: so many of them side by side, each with as many pairs; rates are then those of all together.
    """
    found = side_by_side(CASES[name], least, processes)
    rate = sum(one.pairs / one.seconds for one in found)
    alone = float(np.mean([one.pairs / one.cpu_s for one in found]))
    return ManyRate(sum(one.pairs for one in found), rate, alone, max(one.most_mib for one in found))


def many_rows(counts: Sequence[int] = COUNTS, names: Sequence[str] = tuple(CASES)) -> Iterator[tuple[str, str, str]]:
    """Lines of the table: what, rate and note."""
    for name in names:
        for count in counts:
            found = many_rates(name, count)
            note = f"a core's second {found.alone / 1e6:.2f} M; most memory {found.most_mib:.0f} MiB; {_WANTED[name]}"
            yield f"{name}, {found.pairs:,} (layer x design)", f"{found.rate / 1e6:.2f} M pairs/s", note


def main() -> None:
    """Print the lines."""
    for what, value, note in many_rows():
        print(f"{what:70s} {value:>18s}  {note}", flush=True)


if __name__ == "__main__":
    without_options(main, __doc__)
