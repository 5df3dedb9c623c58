"""Synthesis with a Liberty library: area by block, cells, flip-flops, longest path; all of it pre-layout.

Tiles are mapped by `synthesise`, anybody's Verilog by the same recipes in `synthesise_verilog`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwgen.emit._reset import Reset
from hwgen.errors import HwgenError, suggest
from hwgen.options import option
from hwgen.pe import TileSpec
from hwgen.synth._gate import gate_delay_ns
from hwgen.synth._parts import FLAT, Part, parts
from hwgen.synth._run import FAST, RECIPES, SMALL, Job, Mapped, Runs, netlist
from hwgen.synth._slim import resettable, slimmed
from hwgen.synth._verilog import VerilogUnit, check_registers, read_unit
from hwgen.synth._yosys import yosys_version
from hwgen.synth.liberty import Library, generic_library, read_library

__all__ = [
    "NOISE",
    "RECIPES",
    "BlockResult",
    "Library",
    "Mapped",
    "Result",
    "SynthOptions",
    "TileResult",
    "Try",
    "UnitResult",
    "VerilogUnit",
    "gate_delay_ns",
    "generic_library",
    "read_library",
    "read_unit",
    "synthesise",
    "synthesise_unit",
    "synthesise_verilog",
    "tile_netlist",
]

Progress = Callable[[int, int], None]

NOISE = 0.1
"""How much area and path of one block move with the recipe and the target, relative: do not rank designs by less.

Measured on multiply-accumulate units of 2 to 8 bits in 45 nm, where wider ones came out faster by this much.
"""

_BOOTH_SAVES = 0.05
"""Share by which other mappings have to be larger for Booth's recoding to be a smallest mapping: where it saves next to
nothing it can cost much energy (an int cell of 8 products, 6 by 4 bits, sky130hd: 2.4 % smaller, 69 % more energy).
"""
_SEARCH_STEPS = 6
"""Targets that the search for the fastest clock tries for a block after the first."""
_SEARCH_ENDS = 0.02
"""Relative width of what is left between a path that was reached and one that was not, at which it ends."""


@dataclass(frozen=True)
class Try:
    """One mapping of a block: by what recipe, for what longest path (``aim_ns``), and what came of it."""

    kind: str
    aim_ns: float
    mapped: Mapped
    min_clk_period_ns: float


@dataclass(frozen=True)
class BlockResult:
    """One kind of block: how many the tile has, one copy mapped, and the shortest clock period that it allows.

    ``aim_ns`` is the longest path that ABC was asked for. ``of_tile`` is False for what is beside the tile: the block
    before the activation buffer, and companions.
    """

    kind: str
    count: int
    mapped: Mapped
    min_clk_period_ns: float
    aim_ns: float
    of_tile: bool

    @property
    def area(self) -> float:
        """Area of all copies in the library's unit."""
        return self.count * self.mapped.area

    def flip_flops(self, library: Library) -> int:
        """Flip-flop bits of all copies."""
        return self.count * sum(
            count for name, count in self.mapped.cell_types.items() if library.cells[name].flip_flop
        )


@dataclass(frozen=True)
class Result(ABC):
    """What was mapped to a library, block by block and, where asked for, as one flat netlist.

    The clock period of a block is its longest path plus clock-to-output and setup time of its most frequent flip-flop;
    that of the whole is the longest of its blocks (or of the flat netlist). ``kinds`` names the blocks that were asked
    for, empty for all of it. ``tries`` are all mappings behind a search for the fastest clock, else empty. Of
    ``mappings``, ``from_cache`` had been done before. ``parts`` are what was mapped.
    """

    library: Library
    target_clk_period_ns: float
    kinds: tuple[str, ...]
    blocks: tuple[BlockResult, ...]
    flat: BlockResult | None
    tries: tuple[Try, ...]
    versions: str
    mappings: int
    from_cache: int
    parts: tuple[Part, ...] = field(repr=False)

    @property
    @abstractmethod
    def title(self) -> str:
        """What is said to have been mapped."""

    @property
    @abstractmethod
    def clock(self) -> str | None:
        """Its clock port, None without one."""

    @property
    def falling(self) -> bool:
        """Whether its flip-flops take the falling edge of the clock."""
        return False

    @abstractmethod
    def about(self) -> dict[str, Any]:
        """The first entries of `document`: what was mapped."""

    @property
    def whole(self) -> tuple[BlockResult, ...]:
        """What makes up the result: the flat netlist instead of the tile's blocks where there is one."""
        if self.flat is None:
            return self.blocks
        return (self.flat, *(block for block in self.blocks if not block.of_tile))

    @property
    def area(self) -> float:
        """Area in the library's unit: sum over blocks, or over the flat netlist and what is beside the tile."""
        return sum(block.area for block in self.whole)

    @property
    def gate_equivalents(self) -> float | None:
        """Area in two-input NANDs, the smallest of the library; None where it has none."""
        nand = self.library.nand_area
        return self.area / nand if nand else None

    @property
    def flip_flops(self) -> int:
        """Flip-flop bits of all blocks."""
        return sum(block.flip_flops(self.library) for block in self.blocks)

    @property
    def slowest(self) -> BlockResult:
        """The block that limits the clock."""
        return max(self.whole, key=lambda block: block.min_clk_period_ns)

    @property
    def min_clk_period_ns(self) -> float:
        """Shortest clock period, without wires and clock skew."""
        return self.slowest.min_clk_period_ns

    @property
    def meets(self) -> bool:
        """Whether the target clock period is met."""
        return self.min_clk_period_ns <= self.target_clk_period_ns

    @property
    def max_frequency_mhz(self) -> float | None:
        """The highest clock frequency that a search found; None without a search."""
        return 1000 / self.min_clk_period_ns if self.tries and self.min_clk_period_ns else None

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
                "flip_flop_bits": block.flip_flops(self.library) // block.count,
                "recipe": block.mapped.recipe,
                "aim_ns": block.aim_ns,
                "cell_types": block.mapped.cell_types,
            }

        return self.about() | {
            "library": self.library.name,
            "library_sha256": self.library.sha256,
            "voltage_v": self.library.voltage_v,
            "temperature_c": self.library.temperature_c,
            "area_unit": self.library.area_unit,
            "basis": "pre-layout: no wires, no clock tree",
            "timer": "ABC",
            "mapping_noise": NOISE,
            "target_clk_period_ns": self.target_clk_period_ns,
            "min_clk_period_ns": self.min_clk_period_ns,
            "meets_target": self.meets,
            "max_frequency_mhz": self.max_frequency_mhz,
            "limited_by": self.slowest.kind,
            "area": self.area,
            "gate_equivalents": self.gate_equivalents,
            "flip_flop_bits": self.flip_flops,
            "only_blocks": list(self.kinds) or None,
            "blocks": {block.kind: entry(block) for block in self.blocks},
            "flat": entry(self.flat) if self.flat else None,
            "search": [
                {
                    "block": step.kind,
                    "aim_ns": step.aim_ns,
                    "recipe": step.mapped.recipe,
                    "area": step.mapped.area,
                    "min_clk_period_ns": step.min_clk_period_ns,
                }
                for step in self.tries
            ],
            "versions": self.versions,
        }


@dataclass(frozen=True)
class TileResult(Result):
    """A tile or some of its blocks; ``reset`` is that of all of them."""

    spec: TileSpec
    reset: Reset = field(default_factory=Reset)

    @property
    def title(self) -> str:
        return self.spec.family

    @property
    def clock(self) -> str | None:
        return "clk"

    def about(self) -> dict[str, Any]:
        return {
            "family": self.spec.family,
            "parameters": self.spec.p,
            "reset": {"kind": self.reset.kind, "active": self.reset.active},
        }


@dataclass(frozen=True)
class UnitResult(Result):
    """Verilog of anybody's, as one block."""

    unit: VerilogUnit

    @property
    def title(self) -> str:
        return self.unit.top

    @property
    def clock(self) -> str | None:
        return self.unit.clock

    @property
    def falling(self) -> bool:
        return self.unit.falling

    def about(self) -> dict[str, Any]:
        return self.unit.document()


def _overhead(mapped: Mapped, library: Library) -> float:
    """Clock-to-output and setup time of a block's most frequent flip-flop in ns, 0 without one."""
    used = {name: count for name, count in mapped.cell_types.items() if library.cells[name].flip_flop}
    if not used:
        return 0.0
    most = library.cells[max(used, key=lambda name: (used[name], name))].flip_flop
    assert most is not None
    return most.clk_to_q_ns + most.setup_ns


def _aim(part: Part, library: Library, clk_period_ns: float, registers: Sequence[str] = ()) -> float:
    """The longest path that leaves a flip-flop its time in a clock period, in whole ps as ABC takes it.

    ``registers`` are the flip-flops in use, where they are not those of tiles.
    """
    names = registers or slimmed(library).flip_flops
    times = [library.cells[name].flip_flop for name in names] if part.clocked else []
    left = clk_period_ns - max((time.clk_to_q_ns + time.setup_ns for time in times if time), default=0.0)
    return max(round(left, 3), 0.001)


def _best(tries: Sequence[Try], clk_period_ns: float, booth_saves: float = 0.0) -> Try:
    """The smallest that meets a clock period, by Booth's recoding only where others are larger by ``booth_saves``;
    where none does, the fastest.
    """

    def rank(one: Try) -> tuple[float, str, float]:
        needed = 1 + booth_saves if "booth" in RECIPES[one.mapped.recipe] else 1.0
        return one.mapped.area * needed, one.mapped.recipe, one.aim_ns

    meeting = [one for one in tries if one.min_clk_period_ns <= clk_period_ns]
    if meeting:
        return min(meeting, key=rank)
    return min(tries, key=lambda one: (one.min_clk_period_ns, one.mapped.area, one.mapped.recipe))


@dataclass(frozen=True)
class SynthOptions:
    """How a tile is mapped.

    ``only_flat``: the whole tile, and no block by itself. ``kinds`` is also the way to blocks beside the tile
    (``companions``). ``fastest``: bisection over the target, starting at ``clk_period_ns``; every block is then the
    smallest of all its mappings that allows the period that was found. ``smallest``: every block's smallest mapping,
    sized for the target, whatever period it allows; one with Booth's recoding only where all others are 5 % larger.
    ``recipes``: without any all that map for area, and where none of them meets the target all others too.
    """

    clk_period_ns: float = option(1.0, "target clock period", hidden=True)
    kinds: Sequence[str] = option((), "only these blocks (row, cell, ...)", flag="--block", metavar="KIND...")
    fastest: bool = option(False, "look for the highest clock frequency, from the target on", flag="--fmax")
    flat: bool = option(False, "also map the whole tile as one netlist (paths across blocks)")
    only_flat: bool = option(False, "the whole tile alone", hidden=True)
    smallest: bool = option(False, "the smallest mappings", hidden=True)
    recipes: Sequence[str] = option((), f"only these of {', '.join(RECIPES)}", flag="--recipe", metavar="NAME...")
    jobs: int = option(1, "child processes at a time", most=4096)
    timeout_s: float = option(600.0, "longest time of one child")


def synthesise(
    spec: TileSpec,
    library: Library | None = None,
    options: SynthOptions | None = None,
    *,
    reset: Reset | None = None,
    progress: Progress = lambda done, of: None,
) -> TileResult:
    """Map a tile; the best of several recipes for each block: the smallest that meets the target, else the fastest.

    Parameters
    ----------
    library: None is the project's generic one. reset: of the tile, as `hwgen.emit.emit` has it. progress: told (done,
    all so far) after each mapping.

    What is done lies in the cache, so a run that was interrupted goes on where it stopped. Raises `HwgenError` for an
    unknown recipe or block, a target that is not above 0, blocks and ``flat`` together, a reset for which the library
    has no flip-flop, and as `run_job` does.
    """
    options, library, reset = options or SynthOptions(), library or generic_library(), reset or Reset()
    _check(options)
    if options.flat and options.kinds:
        raise HwgenError(f"synth: flat must be of the whole tile, not of {', '.join(options.kinds)} only")
    registers = resettable(library) if reset.kind == "async" else ()
    if reset.kind == "async" and not registers:
        raise HwgenError(
            f"synth: reset must be sync with {library.name}, which has no flip-flop with an asynchronous one, not async"
        )
    wanted = parts(spec, flat=options.flat or options.only_flat, kinds=options.kinds, reset=reset)
    if options.only_flat:
        wanted = [part for part in wanted if part.kind == FLAT]
    return TileResult(spec=spec, reset=reset, **_mapped(wanted, library, options, progress, registers))


def synthesise_verilog(
    files: Sequence[Path | str],
    top: str,
    library: Library | None = None,
    options: SynthOptions | None = None,
    *,
    include: Sequence[Path | str] = (),
    defines: Sequence[str] = (),
    parameters: Mapping[str, object] | None = None,
    progress: Progress = lambda done, of: None,
) -> UnitResult:
    """Map Verilog of anybody's as one netlist, by the recipes of tiles.

    Parameters
    ----------
    files, top, include, defines, parameters: as `read_unit`. library, progress: as `synthesise`.

    A unit without flip-flops has no clock: its period is its longest path. Raises `HwgenError` as `read_unit` and
    `synthesise`, for flip-flops that the library has not, and for options that choose blocks.
    """
    timeout_s = (options or SynthOptions()).timeout_s
    unit = read_unit(files, top, include=include, defines=defines, parameters=parameters, timeout_s=timeout_s)
    return synthesise_unit(unit, library, options, progress=progress)


def synthesise_unit(
    unit: VerilogUnit,
    library: Library | None = None,
    options: SynthOptions | None = None,
    *,
    progress: Progress = lambda done, of: None,
) -> UnitResult:
    """As `synthesise_verilog`, of a unit that was read."""
    options = options or SynthOptions()
    _check(options)
    if options.flat or options.kinds:
        given = "block" if options.kinds else "flat"
        raise HwgenError(f"synth: Verilog of your own is mapped as one netlist and takes no {given}")
    library = library or generic_library()
    registers = check_registers(unit, library, options.timeout_s)
    return UnitResult(unit=unit, **_mapped([unit.part], library, options, progress, registers))


def _check(options: SynthOptions) -> None:
    if not 0 < options.clk_period_ns < float("inf"):
        raise HwgenError(f"synth: clk_period_ns must be above 0, not {options.clk_period_ns:g}")
    for recipe in options.recipes:
        if recipe not in RECIPES:
            raise HwgenError(
                f"synth: recipe must be one of {', '.join(RECIPES)}, not {recipe!r}{suggest(recipe, RECIPES)}"
            )


def _mapped(
    wanted: Sequence[Part],
    library: Library,
    options: SynthOptions,
    progress: Progress,
    registers: Sequence[str] = (),
) -> dict[str, Any]:
    """Fields of a `Result`; ``registers`` as `_aim`."""
    runs = Runs(library, options.jobs, progress)
    tries: list[Try] = []

    def run(which: Sequence[tuple[Part, float]], names: Sequence[str] = options.recipes or tuple(RECIPES)) -> None:
        asked = [
            (part, Job(part, recipe, aim_ns, options.timeout_s))
            for part, aim_ns in which
            for recipe in part.distinct(names, RECIPES)
        ]
        for (part, job), mapped in zip(asked, runs.run([job for _, job in asked]), strict=True):
            tries.append(Try(part.kind, job.aim_ns, mapped, mapped.path_ns + _overhead(mapped, library)))

    aims = [(part, _aim(part, library, options.clk_period_ns, registers)) for part in wanted]
    run(aims, options.recipes or SMALL)
    if not options.recipes and not options.smallest:
        met = {one.kind for one in tries if one.min_clk_period_ns <= options.clk_period_ns}
        run([(part, aim_ns) for part, aim_ns in aims if part.kind not in met], tuple(FAST))
    reached = float("inf") if options.smallest else options.clk_period_ns
    if options.fastest:
        limiting = [part for part in wanted if not (options.flat and part.of_tile) or part.kind == FLAT]
        reached = _search(limiting, tries, run)
    results = {}
    for part in wanted:
        best = _best(
            [one for one in tries if one.kind == part.kind], reached, _BOOTH_SAVES if options.smallest else 0.0
        )
        results[part.kind] = BlockResult(
            part.kind, part.count, best.mapped, best.min_clk_period_ns, best.aim_ns, part.of_tile
        )
    flattened = results.pop(FLAT, None)
    return {
        "library": library,
        "target_clk_period_ns": options.clk_period_ns,
        "kinds": tuple(options.kinds),
        "blocks": tuple(results.values()),
        "flat": flattened,
        "tries": tuple(tries) if options.fastest else (),
        "versions": f"Yosys {yosys_version()} with its ABC",
        "mappings": runs.mappings,
        "from_cache": runs.from_cache,
        "parts": tuple(wanted),
    }


def _search(wanted: Sequence[Part], tries: list[Try], run: Callable[[Sequence[tuple[Part, float]]], None]) -> float:
    """Shortest clock period in ns of all ``wanted``: always the slowest is tried with a shorter path.

    Bisection between the shortest path that was reached and the longest that was asked for in vain; ``run`` adds to
    ``tries``.
    """
    asked = {part.kind: 0 for part in wanted}
    missed = {part.kind: 0.0 for part in wanted}
    while True:
        found = {part.kind: [one for one in tries if one.kind == part.kind] for part in wanted}
        periods = {kind: min(one.min_clk_period_ns for one in listed) for kind, listed in found.items()}
        slowest = max(wanted, key=lambda part: periods[part.kind])
        kind = slowest.kind
        path = min(one.mapped.path_ns for one in found[kind])
        aim = max(round((path + missed[kind]) / 2, 3), 0.001)
        if asked[kind] == _SEARCH_STEPS or path - missed[kind] <= _SEARCH_ENDS * path or aim >= path:
            return periods[kind]
        asked[kind] += 1
        run([(slowest, aim)])
        if min(one.mapped.path_ns for one in tries if one.kind == kind and one.aim_ns == aim) > aim:
            missed[kind] = aim


def tile_netlist(result: Result) -> str:
    """Mapped Verilog of a result, all its modules."""
    wanted = {part.kind: part for part in result.parts}
    jobs = [Job(wanted[block.kind], block.mapped.recipe, block.aim_ns, 0.0) for block in result.whole]
    return "\n".join(netlist(job, result.library) for job in jobs)
