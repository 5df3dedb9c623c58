"""Synthesis of tiles with a Liberty library: area by block, cells, flip-flops, longest path; all of it pre-layout."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from hwgen.errors import HwgenError, suggest
from hwgen.pe import TileSpec
from hwgen.synth._parts import FLAT, parts
from hwgen.synth._run import RECIPES, Job, Mapped, known_result, netlist, run_job, yosys_version
from hwgen.synth.liberty import Library, generic_library, read_library

__all__ = [
    "RECIPES",
    "BlockResult",
    "Library",
    "Mapped",
    "TileResult",
    "generic_library",
    "read_library",
    "synthesise",
    "tile_netlist",
]

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class BlockResult:
    """One kind of block: how many the tile has, one copy mapped, and the shortest clock period that it allows.

    ``of_tile`` is False for the block before the activation buffer, which is beside the tile.
    """

    kind: str
    count: int
    mapped: Mapped
    min_clk_period_ns: float
    of_tile: bool

    @property
    def area(self) -> float:
        """Area of all copies in the library's unit."""
        return self.count * self.mapped.area


@dataclass(frozen=True)
class TileResult:
    """A tile mapped to a library, block by block and, where asked for, as one flat netlist.

    ``flip_flops`` counts flip-flop bits of all blocks. The clock period of a block is its longest path plus
    clock-to-output and setup time of its most frequent flip-flop; that of the tile is the longest of its blocks (or of
    the flat netlist). Of ``mappings``, ``from_cache`` had been done before.
    """

    spec: TileSpec
    library: Library
    target_clk_period_ns: float
    blocks: tuple[BlockResult, ...]
    flat: BlockResult | None
    flip_flops: int
    versions: str
    mappings: int
    from_cache: int

    @property
    def area(self) -> float:
        """Area in the library's unit: sum over blocks, or over the flat netlist and what is beside the tile."""
        return sum(block.area for block in self.whole)

    @property
    def whole(self) -> tuple[BlockResult, ...]:
        """What makes up the result: the flat netlist instead of the tile's blocks where there is one."""
        if self.flat is None:
            return self.blocks
        return (self.flat, *(block for block in self.blocks if not block.of_tile))

    @property
    def min_clk_period_ns(self) -> float:
        """Shortest clock period, without wires and clock skew."""
        return max(block.min_clk_period_ns for block in self.whole)

    @property
    def meets(self) -> bool:
        """Whether the target clock period is met."""
        return self.min_clk_period_ns <= self.target_clk_period_ns

    def document(self) -> dict[str, Any]:
        """JSON-serialisable form; units are in the names, ``area`` is in ``area_unit``."""

        def entry(block: BlockResult) -> dict[str, Any]:
            return {
                "count": block.count,
                "area": block.mapped.area,
                "sequential_area": block.mapped.sequential_area,
                "cells": block.mapped.cells,
                "path_ns": block.mapped.path_ns,
                "min_clk_period_ns": block.min_clk_period_ns,
                "recipe": block.mapped.recipe,
                "cell_types": block.mapped.cell_types,
            }

        return {
            "family": self.spec.family,
            "parameters": self.spec.p,
            "library": self.library.name,
            "library_sha256": self.library.sha256,
            "voltage_v": self.library.voltage_v,
            "temperature_c": self.library.temperature_c,
            "area_unit": self.library.area_unit,
            "basis": "pre-layout: no wires, no clock tree",
            "timer": "ABC",
            "target_clk_period_ns": self.target_clk_period_ns,
            "min_clk_period_ns": self.min_clk_period_ns,
            "meets_target": self.meets,
            "area": self.area,
            "flip_flop_bits": self.flip_flops,
            "blocks": {block.kind: entry(block) for block in self.blocks},
            "flat": entry(self.flat) if self.flat else None,
            "versions": self.versions,
        }


def _period(mapped: Mapped, library: Library) -> float:
    used = {name: count for name, count in mapped.cell_types.items() if library.cells[name].flip_flop}
    if not used:
        return mapped.path_ns
    most = library.cells[max(used, key=lambda name: (used[name], name))].flip_flop
    assert most is not None
    return mapped.path_ns + most.clk_to_q_ns + most.setup_ns


def _best(tries: Sequence[Mapped], library: Library, target_ns: float) -> Mapped:
    """The smallest that meets the target; where none does, the fastest."""
    meeting = [mapped for mapped in tries if _period(mapped, library) <= target_ns]
    if meeting:
        return min(meeting, key=lambda mapped: (mapped.area, mapped.recipe))
    return min(tries, key=lambda mapped: (_period(mapped, library), mapped.area, mapped.recipe))


def synthesise(
    spec: TileSpec,
    library: Library | None = None,
    *,
    clk_period_ns: float = 1.0,
    flat: bool = False,
    recipes: Sequence[str] = tuple(RECIPES),
    jobs: int = 1,
    timeout_s: float = 600,
    progress: Progress = lambda done, of: None,
) -> TileResult:
    """Map a tile; the best of several recipes for each block: the smallest that meets the target, else the fastest.

    Parameters
    ----------
    library: None is the project's generic one. clk_period_ns: target. flat: also the whole tile as one netlist.
    jobs: child processes at a time. timeout_s: of one child. progress: told (done, all) after each.

    Raises `HwgenError` for an unknown recipe, a target that is not above 0, and as `run_job` does.
    """
    if not 0 < clk_period_ns < float("inf"):
        raise HwgenError(f"synth: clk_period_ns must be above 0, not {clk_period_ns:g}")
    for recipe in recipes:
        if recipe not in RECIPES:
            raise HwgenError(
                f"synth: recipe must be one of {', '.join(RECIPES)}, not {recipe!r}{suggest(recipe, RECIPES)}"
            )
    library = library or generic_library()
    wanted = parts(spec, flat=flat)
    todo = {
        (part.kind, recipe): Job(part, recipe, clk_period_ns, timeout_s)
        for part in wanted
        for recipe in part.distinct(recipes, RECIPES)
    }
    done, from_cache = _run_all(todo, library, jobs, progress)
    results = {}
    for part in wanted:
        best = _best([mapped for (kind, _), mapped in done.items() if kind == part.kind], library, clk_period_ns)
        results[part.kind] = BlockResult(part.kind, part.count, best, _period(best, library), part.of_tile)
    flattened = results.pop(FLAT, None)
    bits = sum(
        block.count * count
        for block in results.values()
        for name, count in block.mapped.cell_types.items()
        if library.cells[name].flip_flop
    )
    versions = f"Yosys {yosys_version()} with its ABC"
    return TileResult(
        spec=spec,
        library=library,
        target_clk_period_ns=clk_period_ns,
        blocks=tuple(results.values()),
        flat=flattened,
        flip_flops=bits,
        versions=versions,
        mappings=len(todo),
        from_cache=from_cache,
    )


def _run_all(
    todo: Mapping[tuple[str, str], Job], library: Library, jobs: int, progress: Progress
) -> tuple[dict[tuple[str, str], Mapped], int]:
    """Results of all jobs, and how many of them the cache had."""
    known = {key: known_result(job, library) for key, job in todo.items()}
    done = {key: mapped for key, mapped in known.items() if mapped is not None}
    from_cache = len(done)
    progress(len(done), len(todo))
    stop = threading.Event()
    pool = ThreadPoolExecutor(max_workers=max(jobs, 1))
    try:
        running = {pool.submit(run_job, job, library, stop): key for key, job in todo.items() if key not in done}
        for future in as_completed(running):
            done[running[future]] = future.result()
            progress(len(done), len(todo))
    except BaseException:
        stop.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return done, from_cache


def tile_netlist(result: TileResult) -> str:
    """Mapped Verilog of a result, all its modules."""
    wanted = {part.kind: part for part in parts(result.spec, flat=result.flat is not None)}
    jobs = [Job(wanted[b.kind], b.mapped.recipe, result.target_clk_period_ns, 0.0) for b in result.whole]
    return "\n".join(netlist(job, result.library) for job in jobs)
