"""Measure tiles: every block mapped by itself, and the energy of each while the tile runs layers of a real model."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np

from hwgen.errors import HwgenError
from hwgen.pe import TileSpec
from hwgen.simulators.cache import cache_dir, digest, read_kept, write_kept
from hwgen.synth import Library, SynthOptions, TileResult, synthesise
from hwgen.synth._parts import parts
from hwgen.synth._run import version_for
from hwgen.synth._yosys import yosys_version
from sim.activity import active_cycles_per_step
from sim.energy import EnergyReport, measure_energy
from sim.tech._calibrated import QUANTITIES, SCALED, TILE, Measured, parse_row

__all__ = ["RECIPES", "TARGET_NS", "Wanted", "measure", "measure_all", "measure_speed"]

RECIPES = ("plain", "noalumacc", "booth_noalumacc")
"""Recipes of a calibration, of which each block's smallest result counts (`hwgen.synth.synthesise`, ``smallest``)."""

TARGET_NS = 0.001
"""Blocks are mapped for area and then sized for speed as far as that goes."""

_FAST = ("plain_fast", "noalumacc_fast")
"""Recipes that map for speed."""
_SPEED_BLOCKS, _SPEED_CELLS = 40, 200
"""So many blocks, of at least so many cells where there are any, tell what mapping for speed does."""

_VERSION = "3"
"""Part of the names in the cache: to be raised with every change of what is measured."""

Progress = Callable[[int, int], None]
Wanted = tuple[TileSpec, bool]
"""A tile, and whether it is measured as one flat netlist (else block by block)."""


def measure(spec: TileSpec, library: Library, *, flat: bool, timeout_s: float = 600) -> list[Measured]:
    """Measurements of a tile's blocks, or of the whole tile as one netlist. Raises `HwgenError` as its parts do."""
    result = synthesise(
        spec,
        library,
        options=SynthOptions(
            clk_period_ns=TARGET_NS, only_flat=flat, smallest=True, recipes=RECIPES, timeout_s=timeout_s
        ),
    )
    energy = measure_energy(spec, library, result)
    return [_whole(spec, result, energy)] if flat else _blocks(spec, result, energy)


def _blocks(spec: TileSpec, result: TileResult, energy: EnergyReport) -> list[Measured]:
    # A step of the pre block is one of its beats, in which all of it works.
    spent = {block.kind: block for block in (*energy.blocks, *energy.pre_blocks)}
    active = active_cycles_per_step(spec)
    rows = []
    for block in result.blocks:
        kind = block.kind
        values: dict[str, float | None] = dict.fromkeys(QUANTITIES)
        values["area_um2"] = block.mapped.area * result.library.unit_um2
        values["min_clk_period_ns"] = block.min_clk_period_ns
        if kind in spent:
            one, copies = spent[kind], block.count
            values["clock_pj"] = one.clock_pj_per_cycle / copies
            per_step = one.register_pj_per_step + one.combinational_pj_per_step
            # A group that is longer than a stream ends with it: lanes work more often than the tile's own groups say.
            rare = kind == "post" and not 0 < int(spec.sum_group(spec.p)) <= energy.steps * int(spec.layer_k(spec.p))
            values["active_pj"] = per_step / active[kind] / copies if active[kind] and not rare else None
            values["leakage_uw"] = one.leakage_nw / 1000 / copies
        rows.append(
            Measured(
                spec=spec,
                kind=kind,
                copies=block.count,
                recipe=block.mapped.recipe,
                cells=block.mapped.cells,
                flip_flops=block.flip_flops(result.library) // block.count,
                values=values,
            )
        )
    return rows


def _whole(spec: TileSpec, result: TileResult, energy: EnergyReport) -> Measured:
    """A tile in one piece; its ``active_pj`` is per step, its other energies as those of blocks."""
    flat = result.flat
    assert flat is not None
    return Measured(
        spec=spec,
        kind=TILE,
        copies=1,
        recipe=flat.mapped.recipe,
        cells=flat.mapped.cells,
        flip_flops=flat.flip_flops(result.library),
        values={
            "area_um2": flat.mapped.area * result.library.unit_um2,
            "min_clk_period_ns": flat.min_clk_period_ns,
            "clock_pj": sum(block.clock_pj_per_cycle for block in energy.blocks),
            "active_pj": energy.register_pj_per_step + energy.combinational_pj_per_step,
            "leakage_uw": sum(block.leakage_nw for block in energy.blocks) / 1000,
        },
    )


def measure_all(
    wanted: Sequence[Wanted],
    library: Library,
    *,
    jobs: int = 1,
    timeout_s: float = 600,
    progress: Progress = lambda done, of: None,
) -> tuple[list[Measured], int]:
    """Measurements of many tiles in their order, and how many tiles the cache had.

    What is measured lies in the cache, so that an interrupted run goes on where it stopped. Raises `HwgenError` as
    `measure` does.
    """

    def one(spec: TileSpec, flat: bool) -> tuple[list[Measured], bool]:
        path = cache_dir("calibrate") / f"{_key(spec, library, flat)}.json"
        kept = read_kept(path)
        if isinstance(kept, list):
            with contextlib.suppress(HwgenError, KeyError, TypeError, ValueError):
                return [parse_row(row) for row in kept], True
        rows = measure(spec, library, flat=flat, timeout_s=timeout_s)
        write_kept(path, [row.row() for row in rows])
        # As they are read back: the first run and one that goes on give the same bytes.
        return [parse_row(row.row()) for row in rows], False

    found: dict[int, list[Measured]] = {}
    from_cache = 0
    pool = ThreadPoolExecutor(max_workers=max(jobs, 1))
    try:
        running = {pool.submit(one, spec, flat): index for index, (spec, flat) in enumerate(wanted)}
        for future in as_completed(running):
            try:
                found[running[future]], known = future.result()
            except HwgenError as error:
                spec, _ = wanted[running[future]]
                raise HwgenError(f"calibrate: {spec!r} must be measured: {error}") from error
            from_cache += known
            progress(len(found), len(wanted))
    finally:
        pool.shutdown(cancel_futures=True)
    return [row for index in range(len(wanted)) for row in found[index]], from_cache


def _key(spec: TileSpec, library: Library, flat: bool) -> str:
    rtlil: Iterable[str] = (part.rtlil for part in parts(spec, flat=flat))
    how = [_VERSION, version_for(library), yosys_version(), str(flat), *RECIPES, str(TARGET_NS)]
    return digest([*how, repr(spec), library.sha256, *rtlil])


def measure_speed(
    measured: Sequence[Measured], library: Library, *, jobs: int = 1, timeout_s: float = 600
) -> dict[str, float]:
    """What mapping for speed makes of measured blocks: medians of the factors of period and area, and of how many."""
    blocks = [row for row in measured if row.kind != TILE and row.recipe != SCALED and row.values["min_clk_period_ns"]]
    pool = [row for row in blocks if row.cells >= _SPEED_CELLS] or blocks
    random.Random(1).shuffle(pool)

    def one(row: Measured) -> tuple[float, float] | None:
        options = SynthOptions(clk_period_ns=TARGET_NS, recipes=_FAST, kinds=(row.kind,), timeout_s=timeout_s)
        try:
            (block,) = synthesise(row.spec, library, options=options).blocks
        except HwgenError:
            # ABC gives up on some blocks with some libraries: they tell nothing.
            return None
        period, area = row.values["min_clk_period_ns"] or 1.0, row.values["area_um2"] or 1.0
        return block.min_clk_period_ns / period, block.mapped.area * library.unit_um2 / area

    with ThreadPoolExecutor(max_workers=max(jobs, 1)) as workers:
        found = np.array([ratio for ratio in workers.map(one, pool[:_SPEED_BLOCKS]) if ratio]).reshape(-1, 2)
    if not len(found):
        return {"period": 1.0, "area": 1.0, "blocks": 0}
    # Who maps for speed takes the faster one.
    period, area = np.median(np.minimum(found[:, 0], 1.0)), np.median(found[:, 1])
    return {"period": float(f"{period:.3g}"), "area": float(f"{max(area, 1.0):.3g}"), "blocks": len(found)}
