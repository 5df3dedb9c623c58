"""A tile made real."""

from __future__ import annotations

import json
from collections.abc import Mapping

from hwgen.emit import Emission, emit
from hwgen.pe import TileSpec
from hwgen.schedule import Schedule
from hwgen.synth import TileResult, synthesise, tile_netlist
from hwgen.verify import Finding, check_contract, choose_engine
from sim.estimate import Report, estimate
from sim.held_out import held_out
from sim.realise.asked import Asked, ByBlock, LayerData, check_tools, mapped_for_speed, synth_options
from sim.realise.energy import LayerEnergy, layer_energy
from sim.realise.result import NOT_SHORTEST, Realised, Row, kept, stated
from sim.run import LayerRun, run_layer

__all__ = ["contract", "realise_tile"]

WHOLE_GE = 12_000
"""Gate equivalents up to which a tile is mapped as one netlist, as tiles were on which the model was judged."""


def realise_tile(spec: TileSpec, data: LayerData, asked: Asked) -> Realised:
    """Emit, verify, map and run a tile, and put what is predicted beside what is measured.

    Raises `HwgenError` for a layer that does not fit, a tool that is missing, and where a netlist differs from the
    reference; values and cycles of the Verilog that differ are in the result.
    """
    check_tools()
    schedule, tech, watch = Schedule(spec, data.layer), asked.tech, asked.watch
    said = estimate(spec, data.layer, tech, asked.clk_period_ns)
    blocks_said = estimate(spec, data.layer, ByBlock.of(tech), asked.clk_period_ns)
    for_speed = asked.clk_period_ns is not None and mapped_for_speed(
        tech.structure(type(spec), spec.p, asked.clk_period_ns), tech.structure(type(spec), spec.p)
    )

    watch.doing("emit", f"emitting {spec.family}", 0, 0)
    emission = emit(spec, clock=asked.clock)
    watch.done("emit", f"{emission.top}, {len(emission.verilog.splitlines()):,} lines of Verilog")
    findings = contract(spec, asked)

    small = _of(said.area_um2, "tile") <= WHOLE_GE * said.nand2_um2
    whole = small if asked.whole is None else asked.whole
    result = _mapped(spec, asked, whole, for_speed)
    run = run_layer(
        spec,
        data.weights,
        data.acts,
        name=data.name,
        progress=lambda line: watch.doing("run", line, 0, 0),
    )
    watch.done("run", f"{data.name}: {run.cycles_counted + run.pre_cycles_counted:,} cycles, {run.steps:,} steps")
    found = None
    if asked.energy:
        watch.doing("energy", "counting toggles", 0, 0)
        found = layer_energy(result, schedule, data.weights, data.acts)
        watch.done("energy", _energy_words(found, schedule))
    own = said if whole else blocks_said
    return Realised(
        level="tile",
        family=spec.family,
        parameters=spec.p,
        design=None,
        tech=tech.name,
        library=asked.library.name,
        clk_period_ns=own.clk_period_ns,
        layer=data.layer,
        operands=data.words,
        findings=findings,
        values="" if run.golden_equal and run.reference_equal else run.detail or f"{run.mismatches} outputs differ",
        compared="golden PyTorch layer",
        rows=_rows(spec, asked, own, blocks_said, result, run, found, for_speed),
        mapping=_mapping_words(whole, for_speed),
        meets=kept(asked, own.meets_clock, result.min_clk_period_ns <= own.clk_period_ns),
        energy="" if found is None else _energy_words(found, schedule),
        extrapolated=said.extrapolated,
        versions=result.versions,
        files=_files(emission, result),
    )


def contract(spec: TileSpec, asked: Asked) -> list[Finding]:
    """Findings of the contract of a tile."""
    engine = choose_engine(spec)
    asked.watch.doing("verify", f"checking {spec.family} with {engine}", 0, 0)
    findings = check_contract(spec, engine=engine)
    held = sum(one.ok for one in findings)
    asked.watch.done("verify", f"{held} of {len(findings)} checks of the tile hold ({engine})")
    return findings


def _mapped(spec: TileSpec, asked: Asked, whole: bool, for_speed: bool) -> TileResult:
    name, watch = f"mapping {spec.family} to {asked.library.name}", asked.watch
    watch.doing("synth", name, 0, 0)
    # What is beside the tile is mapped by itself, and then its blocks too.
    shape = {} if not whole else {"flat": True} if spec.pre() is not None else {"only_flat": True}
    result = synthesise(
        spec,
        asked.library,
        synth_options(asked, for_speed, **shape),
        progress=lambda done, of: watch.doing("synth", name, done, of),
    )
    cached = f", {result.from_cache} of {result.mappings} mappings from the cache" if result.from_cache else ""
    watch.done("synth", f"{_mapping_words(whole, for_speed)}{cached}")
    return result


def _mapping_words(whole: bool, for_speed: bool) -> str:
    how = "the smallest that keeps the clock" if for_speed else "the smallest, sized for speed, as calibrations map"
    return f"{'as one netlist' if whole else 'block by block'}: {how}"


def _energy_words(found: LayerEnergy, schedule: Schedule) -> str:
    positions = schedule.row_blocks * schedule.col_blocks
    return (
        f"{found.streams:,} of {positions:,} blocks of outputs, {found.steps:,} of {schedule.row_steps:,} steps each; "
        "outputs of the netlist equal the reference"
    )


def _rows(
    spec: TileSpec,
    asked: Asked,
    own: Report,
    blocks_said: Report,
    result: TileResult,
    run: LayerRun,
    found: LayerEnergy | None,
    for_speed: bool,
) -> list[Row]:
    """``own``: what is predicted of the mapping that was made; ``blocks_said``: of blocks by themselves."""
    held = None if for_speed else held_out(asked.tech.name, spec.family)
    status, unit = own.status + (", mapped for speed" if for_speed else ""), asked.library.unit_um2
    status += ", extrapolated" if own.extrapolated else ""
    cycles, period = run.cycles_counted + run.pre_cycles_counted, own.clk_period_ns
    rows = [Row("cycles", own.cycles, run.cycles_counted, exact=True)]
    has_pre = spec.pre() is not None
    if has_pre:
        rows.append(Row("pre_cycles", own.pre_cycles, run.pre_cycles_counted, exact=True))

    def area(of_tile: bool) -> float:
        return sum(block.area for block in result.whole if block.of_tile == of_tile) * unit

    rows.append(Row("area_um2", _of(own.area_um2, "tile"), area(True), error=stated(held, "area"), status=status))
    if has_pre:
        rows.append(Row("pre_area_um2", _of(blocks_said.area_um2, "pre"), area(False), status=status))
    assert own.min_clk_period_ns is not None
    periods = own.min_clk_period_ns, result.min_clk_period_ns
    rows.append(
        Row("min_clk_period_ns", *periods, error=stated(held, "period"), status=status + NOT_SHORTEST * for_speed)
    )
    spent = None if found is None else found.tile.pj(run.steps, cycles, period)
    why = "" if asked.energy else "not measured: --no-energy; "
    rows.append(Row("energy_pj", _of(own.energy_pj, "tile"), spent, error=stated(held, "energy"), status=why + status))
    pre = spec.pre()
    if pre is not None:
        beats = run.pre_cycles_counted - pre.latency
        pre_pj = None if found is None or found.pre is None else found.pre.pj(beats, cycles, period)
        rows.append(Row("pre_energy_pj", _of(blocks_said.energy_pj, "pre"), pre_pj, status=why + status))
    buffers = Row(
        "buffer_energy_pj",
        _of(own.energy_pj, "sram"),
        None,
        status=f"{own.buffer_status}; not measured: memories are no logic",
    )
    return [*rows, buffers]


def _of(values: Mapping[str, float], part: str) -> float:
    """Sum over the blocks of a part: the tile, its pre block, its buffers."""
    return float(sum(value for name, value in values.items() if _part(name) == part))


def _part(name: str) -> str:
    return "sram" if name.startswith("sram_") else "pre" if name.startswith("pre_") else "tile"


def _files(emission: Emission, result: TileResult) -> dict[str, str | bytes]:
    top = emission.top
    return {
        f"{top}.v": emission.verilog,
        f"{top}.json": json.dumps(emission.manifest, indent=2) + "\n",
        f"{top}_mapped.v": tile_netlist(result),
    }
