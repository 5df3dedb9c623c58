"""An accelerator made real: tile, engines, rings and registers, with memories that are models."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwgen.accelerator import (
    Design,
    Job,
    JobCycles,
    Memory,
    emit_accelerator,
    memory_acts,
    placed,
)
from hwgen.accelerator.best import walked_jobs
from hwgen.accelerator.bundle import bundle_files
from hwgen.accelerator.emission import AcceleratorEmission
from hwgen.accelerator.use import ORDERS, Use
from hwgen.errors import HwgenError
from hwgen.frame.numbers import Num
from hwgen.schedule import Layer, Schedule
from hwgen.synth import tile_netlist
from hwgen.synth.accelerator import AcceleratorResult, synthesise_accelerator
from hwgen.verify import (
    AcceleratorRun,
    CompiledAccelerator,
    Task,
    accelerator_bench_files,
    reference_results,
)
from sim.accelerator.cost import AcceleratorCost, cost
from sim.accelerator.energy import drawn_channels, measure_job
from sim.accelerator.prices import read_table
from sim.epilogue import outputs
from sim.held_out import AROUND, HeldOut, held_out
from sim.realise.asked import Asked, ByBlock, LayerData, check_tools, synth_options
from sim.realise.result import NOT_SHORTEST, Realised, Row, kept, stated
from sim.realise.tile import contract
from sim.tech import PJ_PER_UW_NS

__all__ = ["MOST_CYCLES", "realise_accelerator"]

MOST_CYCLES = 20_000
"""Longest job whose toggles are counted; of a longer one it is that of fewer rows and columns, or a shorter K."""
_CHANNELS_SEED = 1


@dataclass(frozen=True, eq=False)
class _Planned:
    """A layer's best job on a design, with its addresses."""

    schedule: Schedule
    job: Job
    cycles: JobCycles


def realise_accelerator(design: Design, use: Use, data: LayerData, asked: Asked) -> Realised:
    """Emit, verify, map and run an accelerator, and put what is predicted beside what is measured.

    Raises `HwgenError` as `sim.realise.tile.realise_tile`, for a layer without a legal job, and for a design whose
    activations pass a block before their ring, which has no price.
    """
    check_tools()
    if design.pre != "none":
        raise HwgenError(
            f"realise: pre must be none, as the block before the ring has no price yet, not {design.pre!r}"
        )
    spec, tech, watch = design.tile, asked.tech, asked.watch
    memory, by_block = use.memory, ByBlock.of(tech)
    planned = _plan(design, data.layer, use)
    said = cost(design, by_block, asked.clk_period_ns, job=planned.job, cycles=planned.cycles)
    period = float(said.clk_period_ns)
    for_speed = _for_speed(design, asked, said)

    watch.doing("emit", f"emitting {spec.family} accelerator", 0, 0)
    emission = emit_accelerator(design)
    files = _bundle(emission, asked)
    watch.done("emit", f"{emission.top}, {len(emission.verilog.splitlines()):,} lines of Verilog, {len(files)} files")
    findings = contract(spec, asked)

    result = _mapped(design, asked, for_speed)
    run, values, compared = _run(design, planned, memory, data, emission)
    watch.done("run", f"{data.name}: {run.cycles:,} cycles, job {_job_words(planned.job)}")
    rows = [
        Row("cycles", planned.cycles.cycles, run.cycles, exact=True),
        *(
            Row(f"wait_{name}_cycles", planned.cycles.waits[name], count, exact=True)
            for name, count in run.waits.items()
        ),
        Row("read_beats", sum(planned.cycles.read_beats.values()), sum(run.read_beats.values()), exact=True),
        Row("write_beats", planned.cycles.write_beats, run.write_beats, exact=True),
    ]
    counted, energy_said, spent = "", said, None
    if asked.energy:
        small = _shorter(design, data.layer, use)
        watch.doing("energy", f"counting toggles in {small.cycles.cycles:,} cycles", 0, 0)
        energy_said = cost(design, by_block, asked.clk_period_ns, job=small.job, cycles=small.cycles)
        spent = _spent(result, small, data, memory, period)
        sizes = small.schedule.layer
        counted = f"the job of {sizes.m}x{sizes.n}x{sizes.k}, {small.cycles.cycles:,} cycles, on the netlist of it all"
        watch.done("energy", f"{counted}; results equal the reference")
    return Realised(
        level="accelerator",
        family=spec.family,
        parameters=spec.p,
        design=design.p,
        tech=tech.name,
        library=asked.library.name,
        clk_period_ns=period,
        layer=data.layer,
        operands=data.words,
        findings=findings,
        values=values,
        compared=compared,
        rows=[*rows, *_costs(design, asked, said, energy_said, result, spent, for_speed)],
        mapping=_mapping_words(for_speed),
        meets=kept(asked, _meets(said), result.min_clk_period_ns <= period),
        energy=counted,
        extrapolated=[str(one) for one in tech.outside(type(spec), spec.p)],
        versions=result.versions,
        files={**files, f"{emission.top}_mapped.v": tile_netlist(result)},
    )


def _bundle(emission: AcceleratorEmission, asked: Asked) -> dict[str, str | bytes]:
    bench = accelerator_bench_files(emission)
    return bundle_files(emission, asked.target_ns, clock=asked.clock, bench=bench)


def _plan(design: Design, layer: Layer, use: Use) -> _Planned:
    schedule = Schedule(design.tile, layer)
    walked = walked_jobs(design, schedule, use.memory, ORDERS[use.order])
    job, cycles = walked[0]
    return _Planned(schedule, placed(design, job)[0], cycles)


def _shorter(design: Design, layer: Layer, use: Use) -> _Planned:
    """The layer's job, or one of fewer blocks of rows and columns, then of a shorter K, that is short enough."""
    tile = design.tile
    outputs_of_block, inner = tile.n * int(tile.layer_outputs(tile.p)), max(tile.group, int(tile.layer_k(tile.p)))
    while True:
        planned = _plan(design, layer, use)
        if planned.cycles.cycles <= MOST_CYCLES:
            return planned
        if layer.m > 2 * tile.m:
            layer = dataclasses.replace(layer, m=layer.m // 2)
        elif layer.n > 2 * outputs_of_block:
            layer = dataclasses.replace(layer, n=layer.n // 2)
        elif layer.k > 2 * inner:
            layer = dataclasses.replace(layer, k=layer.k // 2 // inner * inner)
        else:
            return planned


def _for_speed(design: Design, asked: Asked, said: AcceleratorCost) -> bool:
    """Whether the model prices a block, of the tile or around it, as mapped for speed."""
    if asked.clk_period_ns is None:
        return False
    smallest = cost(design, ByBlock.of(asked.tech))
    return any(said.area_um2[name] != area for name, area in smallest.area_um2.items())


def _meets(said: AcceleratorCost) -> bool | None:
    """Whether the logic keeps the clock; memories are beside it."""
    return None if said.min_clk_period_ns is None else bool(said.min_clk_period_ns <= said.clk_period_ns)


def _mapped(design: Design, asked: Asked, for_speed: bool) -> AcceleratorResult:
    name, watch = f"mapping {design.tile.family} accelerator to {asked.library.name}", asked.watch
    watch.doing("synth", name, 0, 0)
    result = synthesise_accelerator(
        design,
        asked.library,
        synth_options(asked, for_speed),
        progress=lambda done, of: watch.doing("synth", name, done, of),
    )
    cached = f", {result.from_cache} of {result.mappings} mappings from the cache" if result.from_cache else ""
    watch.done("synth", f"{_mapping_words(for_speed)}{cached}")
    return result


def _mapping_words(for_speed: bool) -> str:
    how = "the smallest that keeps the clock" if for_speed else "the smallest, sized for speed, as calibrations map"
    return f"block by block, memories left out: {how}"


def _job_words(job: Job) -> str:
    stays = ("weights", "activations")[job.order]
    held = [name for name, one in (("weights", job.hold_weights), ("activations", job.hold_acts)) if one]
    return f"{stays} stay, {' and '.join(held) if held else 'nothing'} held"


def _channels(design: Design, outputs_count: int) -> dict[str, np.ndarray] | None:
    return drawn_channels(design, outputs_count, np.random.default_rng(_CHANNELS_SEED))


def _run(
    design: Design, planned: _Planned, memory: Memory, data: LayerData, emission: AcceleratorEmission
) -> tuple[AcceleratorRun, str, str]:
    """The layer on the compiled Verilog, where its results differ first, and from what."""
    schedule, spec = planned.schedule, design.tile
    values = schedule.whole_words(data.acts)
    acts, weights = memory_acts(design, values), spec.quantize_weights(schedule.whole_words(data.weights))
    channels = _channels(design, schedule.layer.n)
    compiled = CompiledAccelerator(design, emission)
    (run,) = compiled.run([Task(schedule, acts, weights, planned.job, memory, channels)])
    wanted = reference_results(design, schedule, acts, weights, channels)
    for port, got in run.results.items():
        expected = np.asarray(wanted[port]).reshape(len(got), -1).astype(object)
        wrong = np.argwhere(got.reshape(len(got), -1).astype(object) != expected)
        if len(wrong):
            beat, place = (int(one) for one in wrong[0])
            return run, f"{port}, beat {beat}, element {place}: differs from the reference", "reference"
    if design.result != "tile" or channels is not None:
        # What the unit behind the tile makes of sums, no golden layer knows.
        return run, "", "reference of tile and result unit"
    import torch

    from sim.golden import golden_layer

    golden = golden_layer(weights, spec.quantization())
    want = golden(torch.from_numpy(np.ascontiguousarray(values))).detach().numpy()
    found = outputs(spec, [(schedule, run.results)], acts, weights)
    differ = np.argwhere(found.view(np.uint32) != want.view(np.uint32))
    if len(differ):
        at = tuple(int(one) for one in differ[0])
        return run, f"y{list(at)}: RTL {found[at]}, golden {want[at]}", "golden PyTorch layer"
    return run, "", "golden PyTorch layer"


def _spent(
    result: AcceleratorResult, planned: _Planned, data: LayerData, memory: Memory, clk_period_ns: float
) -> dict[str, float]:
    """Energy of a job by block, memories left out, in pJ."""
    layer = planned.schedule.layer
    acts, weights = data.acts[None, : layer.m, : layer.k], data.weights[None, : layer.n, : layer.k]
    channels = [_channels(result.design, layer.n)]
    found = measure_job(result, planned.schedule, planned.job, acts, weights, channels, memory=memory)
    cycles = found.cycles.cycles
    return {
        name: one.switching_pj + cycles * (one.clock_pj + one.leakage_uw * clk_period_ns * PJ_PER_UW_NS)
        for name, one in found.blocks.items()
    }


def _costs(
    design: Design,
    asked: Asked,
    said: AcceleratorCost,
    energy_said: AcceleratorCost,
    result: AcceleratorResult,
    spent: Mapping[str, float] | None,
    for_speed: bool,
) -> list[Row]:
    tech, spec = asked.tech, design.tile
    flattening = read_table().flattening
    outside: Sequence[object] = tech.outside(type(spec), spec.p)
    held = {
        "tile": None if for_speed else held_out(tech.name, spec.family),
        "around": None if for_speed else held_out(tech.name, AROUND),
    }
    speed = ", mapped for speed" if for_speed else ""
    status = {
        "tile": said.tile_status + speed + (", extrapolated" if outside else ""),
        "around": said.status + speed,
    }
    rows = []
    for part in ("tile", "around"):
        # The price around the tile is that of one piece; what was mapped are its blocks.
        once = flattening["area_um2"] if part == "around" else 1.0
        area = sum(block.area for block in result.blocks if _part(block.kind) == part) * asked.library.unit_um2
        predicted = _of(said.area_um2, part) / once
        rows.append(Row(f"{part}_area_um2", predicted, area, error=stated(held[part], "area"), status=status[part]))
    rows.append(_period(said, result, design, asked, held, status, flattening["min_clk_period_ns"], for_speed))
    for part in ("tile", "around"):
        pj = None if spent is None else sum(value for name, value in spent.items() if _part(name) == part)
        why = "" if asked.energy else "not measured: --no-energy; "
        predicted = _of(energy_said.energy_pj, part)
        error, words = stated(held[part], "energy"), why + status[part]
        rows.append(Row(f"{part}_energy_pj", predicted, pj, error=error, status=words))
    why = f"{said.memory_status}; not measured: memories are no logic"
    rows.append(Row("sram_area_um2", _of(said.area_um2, "sram"), None, status=why))
    rows.append(Row("sram_energy_pj", _of(energy_said.energy_pj, "sram"), None, status=why))
    if said.memory_cycle_ns is not None:
        rows.append(Row("memory_cycle_ns", float(said.memory_cycle_ns), None, status=why))
    return rows


def _period(
    said: AcceleratorCost,
    result: AcceleratorResult,
    design: Design,
    asked: Asked,
    held: Mapping[str, HeldOut | None],
    status: Mapping[str, str],
    flattening: float,
    for_speed: bool,
) -> Row:
    """The slowest block: predicted without what paths across blocks add, which no block by itself has."""
    tile = design.tile
    structure = ByBlock.of(asked.tech).structure(type(tile), tile.p, asked.clk_period_ns)
    assert said.min_clk_period_ns is not None
    assert structure.min_clk_period_ns is not None
    of_tile = float(structure.min_clk_period_ns)
    whole = float(said.min_clk_period_ns)
    around = whole / flattening if whole > of_tile else 0.0
    part = "around" if around > of_tile else "tile"
    error = stated(held[part], "period")
    words = f"{status[part]}; the slowest block is {'of the tile' if part == 'tile' else 'around the tile'}"
    words += NOT_SHORTEST * for_speed
    return Row("min_clk_period_ns", max(of_tile, around), result.min_clk_period_ns, error=error, status=words)


def _of(values: Mapping[str, Num], part: str) -> float:
    return sum((float(value) for name, value in values.items() if _part(name) == part), start=0.0)


def _part(name: str) -> str:
    """Which part of an accelerator a block belongs to."""
    return "sram" if name.endswith("_sram") else "tile" if name.startswith("tile_") else "around"
