"""``python -m reports.energy LIBERTY...``: energy of tiles of every family on operands of a real model.

One page for a library: energy by part, glitches by three models of delay, and OpenSTA's figures beside ours where it is
installed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwgen.pe import TileSpec, family
from hwgen.simulators import find, toolchain
from hwgen.synth import Library, SynthOptions, TileResult, read_library, synthesise
from hwgen.synth._characterised import characterised
from hwgen.synth.gates import GateSim
from hwgen.synth.power import loading, power
from reports import opensta_power as sta
from reports.provenance import provenance, write_result
from reports.whole_layer import settings
from sim.energy import (
    LAYERS,
    EnergyReport,
    Operands,
    layer_operands,
    mapped_netlist,
    measure_energy,
    measure_glitches,
    run_workload,
    workload,
)

__all__ = ["GLITCHES", "OPENSTA", "TILES", "main"]

RECIPE = "booth_noalumacc"

TILES: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("lut", {"bits": 2, "m": 1, "n": 2}),
    ("int", {"bits": 8, "m": 1, "n": 2}),
    ("int", {"bits": 4, "m": 1, "n": 2}),
    ("mixpe", {"bits": 4, "m": 1, "n": 2}),
    ("minifloat", {"acts": "fp8_e4m3", "weights": "fp8_e4m3", "m": 1, "n": 2}),
    ("bitmod", {"bits": 4, "m": 1, "n": 2, "post_lanes": 2}),
    ("mx", {"acts": "mxint8", "weights": "mxfp4", "m": 1, "n": 2, "post_lanes": 1}),
    ("posit", {"operands": "p8", "m": 1, "n": 2}),
    ("int", {"bits": 4, "acts": "fp16", "m": 1, "n": 2}),
    ("bitserial", {"bits": 4, "m": 1, "n": 2}),
    ("bitplane", {"bits": 4, "m": 1, "n": 2}),
    ("bitfusion", {"bits": 4, "m": 1, "n": 2}),
    ("shiftadd", {"m": 1, "n": 2}),
    ("lmul", {"m": 1, "n": 2}),
    ("codebook", {"weights": "nf4", "m": 1, "n": 2}),
    ("ant", {"m": 1, "n": 2}),
    ("olive", {"m": 1, "n": 2}),
    ("complex", {"m": 1, "n": 2}),
)
"""Small tiles of every family, so that mapping takes seconds."""

GLITCHES = range(5)
"""Which of `TILES` are run with glitches: five tiles of four families."""

OPENSTA = range(2)
"""Which of `TILES` OpenSTA reports."""


def _row(result: TileResult, report: EnergyReport, seconds: float) -> str:
    spec = result.spec
    parts = (
        report.clock_pj_per_step,
        report.register_pj_per_step,
        report.combinational_pj_per_step,
        report.leakage_pj_per_step,
        report.pj_per_step,
        report.pj_per_mac,
        report.idle_pj_per_cycle,
    )
    cells = sum(block.cells for block in report.blocks)
    shown = " | ".join(f"{part:.3g}" for part in parts)
    return (
        f"| {spec.family} | {spec.m}×{spec.n}×{spec.k} | {settings(spec)} | {cells:,} | {report.cycles_per_step:g} | "
        f"{shown} | {report.beats * report.streams:,} | {report.vectors / seconds:,.0f} |"
    )


def _energy(results: Sequence[TileResult], operands: Sequence[Operands]) -> list[str]:
    lines = [
        "| family | tile M×N×K | settings | cells | cycles/step | clock | registers | gates | leakage "
        "| all [pJ/step] | pJ/MAC | idle [pJ/cycle] | beats = reference | vectors/CPU s |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    blocks = ["| family | settings | " + " | ".join(_KINDS) + " |", "|---|---|" + "---|" * len(_KINDS)]
    for result in results:
        spec = result.spec
        report = measure_energy(spec, result=result, operands=operands, streams=1024)
        netlist = mapped_netlist(result)
        work = workload(spec, operands, streams=1024)
        sim = GateSim(netlist, characterised(result.library, netlist.cells), work.streams)
        # Of this process alone, whatever else the machine does.
        begin = time.process_time()
        run_workload(spec, sim, work, idle=0)
        lines.append(_row(result, report, time.process_time() - begin))
        each = {b.kind: b.step_pj(report.cycles_per_step, report.clk_period_ns) for b in report.blocks}
        shown = " | ".join(f"{each[kind]:.3g}" if kind in each else "" for kind in _KINDS)
        blocks.append(f"| {spec.family} | {settings(spec)} | {shown} |")
        print(lines[-1], flush=True)
    return [*lines, "", "By block, pJ a step:", "", *blocks]


_KINDS = ("row", "col", "cell", "rowsum", "post", "control")


def _glitches(results: Sequence[TileResult], operands: Sequence[Operands]) -> list[str]:
    lines = [
        "| family | settings | toggles/cycle: zero delay | unit delay | library's delays | gates [pJ/step]: zero delay "
        "| unit delay | library's delays | none swallowed | times as much: unit delay | library's delays |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        found = measure_glitches(result.spec, result=result, operands=operands, streams=64, every=12)
        toggles = [f"{found.toggles_per_cycle[name]:,.0f}" for name in ("zero", "unit", "timed")]
        joules = [f"{found.combinational_pj_per_step[name]:.3g}" for name in ("zero", "unit", "timed", "timed_raw")]
        factors = [f"{found.factor(name):.2f}" for name in ("unit", "timed")]
        cells = " | ".join([*toggles, *joules, *factors])
        lines.append(f"| {result.spec.family} | {settings(result.spec)} | {cells} |")
        print(lines[-1], flush=True)
    return lines


def _opensta(results: Sequence[TileResult], operands: Sequence[Operands]) -> list[str]:
    lines = [
        "| family | settings | what | ours, toggles counted | OpenSTA | ours, toggles as OpenSTA propagates them "
        "| and energies as it adds them up |",
        "|---|---|---|---|---|---|---|",
    ]
    for result in results:
        spec, library = result.spec, result.library
        netlist = mapped_netlist(result)
        known = characterised(library, netlist.cells)
        loaded = loading(netlist, known, library)
        work = workload(spec, operands)
        counted = run_workload(spec, GateSim(netlist, known, work.streams), work, idle=0).activity
        ours = power(netlist, library, counted, loaded)
        whole = sta.tile_power(result, netlist, counted)
        gates = sta.without_registers(netlist, known)
        cut = sta.gates_power(gates, library, counted, loaded, result.target_clk_period_ns)
        passed = sta.propagated(gates, known, counted)
        measured = sta.gates_energy(gates, library, counted, loaded)
        same_activity = sta.gates_energy(gates, library, passed, loaded)
        same_sums = sta.gates_energy(gates, library, passed, loaded, as_opensta=True)
        start = f"| {spec.family} | {settings(spec)} |"
        comparable = ours.dynamic_pj + ours.output_load_pj - ours.input_port_pj - ours.clock_net_pj
        lines += [
            f"{start} tile, activity at its ports [pJ/cycle] | {comparable:.4g} | {whole.dynamic_pj:.4g} | | |",
            f"{start} tile, leakage [nW] | {ours.leakage_nw:.6g} | {whole.leakage_nw:.6g} | | |",
        ]
        for index, what in enumerate(("internal", "switching")):
            lines.append(
                f"{start} gates alone, {what} [pJ/cycle] | {measured[index]:.4g} | {cut.combinational_pj[index]:.4g} | "
                f"{same_activity[index]:.4g} | {same_sums[index]:.4g} |"
            )
    return lines


def _simple_flip_flop(library: Library) -> str | None:
    """A flip-flop whose clock has one internal energy, without conditions; None where there is none."""
    names = [
        name
        for name, cell in library.cells.items()
        if cell.flip_flop and len(cell.input_pf) == 2 and len(cell.functions) == 1 and cell.usable
    ]
    for name in sorted(names):
        cell = characterised(library, [name])[name]
        entries = cell.hidden.get(cell.clock or "", ())
        if len(entries) == 1 and entries[0].when is None:
            return name
    return None


def _explained(library: Library, flip_flop: str) -> str:
    factor = sta.internal_factor(library, flip_flop)
    return (
        "OpenSTA is given the activity that was counted: of the tile's input ports, and with the flip-flops cut out "
        "also of their outputs. It propagates it through gates as if pins had nothing to do with each other, and every "
        "change of an input passed on by itself; an adder's or a multiplier's nets then toggle several times a cycle, "
        "and through registers with an enable the activity grows with every pass. With its rule on our netlist (fourth "
        "column) the switching energies agree to a few percent, which is the larger of a pin's rise and fall "
        "capacitance in place of our mean. Internal energies differ in addition: this version counts rise and fall "
        f"for every toggle ({factor:.3f} times what the table says for a flip-flop whose data are still), and weights "
        "each of several arcs by a half. Added up in that way ours agree as well (last column). Leakage is equal. "
        "OpenSTA leaves out what input ports and the clock net charge; so do ours in this table."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(prog="python -m reports.energy", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="LIBERTY", help="Liberty files, plain or gzip")
    parser.add_argument("--clk-period-ns", type=float, default=1.0)
    given = parser.parse_args(arguments)
    library = read_library(given.files)
    operands = [layer_operands(name) for name in LAYERS]
    results = []
    for name, values in TILES:
        spec: TileSpec = family(name).from_values(dict(values))
        results.append(
            synthesise(spec, library, options=SynthOptions(clk_period_ns=given.clk_period_ns, recipes=[RECIPE]))
        )
        print(f"mapped {name} {settings(spec)}", flush=True)
    facts = provenance()
    body = [
        f"Library {library.name} ({library.voltage_v:g} V, {library.temperature_c:g} °C, SHA-256 "
        f"{library.sha256[:16]}…), clock period {given.clk_period_ns:g} ns, recipe {RECIPE}. Operands of "
        f"{', '.join(LAYERS)} of SmolLM2-135M; every output beat of the mapped netlist is compared with the reference. "
        "Pre-layout: no wires, no clock tree.",
        "## Energy without glitches",
        "\n".join(_energy(results, operands)),
        "## Glitches",
        "Energy of gates when nets may change more than once a cycle. Unit delay: every gate takes one step. Library's "
        "delays: arcs at the netlist's slews and loads, rise and fall averaged; pulses shorter than a gate's delay are "
        "swallowed. All start at the flip-flops' clock-to-output delays.",
        "\n".join(_glitches([results[index] for index in GLITCHES], operands)),
    ]
    flip_flop = _simple_flip_flop(library)
    if find("opensta") and flip_flop is not None:
        facts["versions"] += f", OpenSTA {toolchain.version('opensta')}"
        body += [
            "## OpenSTA",
            _explained(library, flip_flop),
            "\n".join(_opensta([results[index] for index in OPENSTA], operands)),
        ]
    names = " ".join(path.name for path in given.files)
    command = f"python -m reports.energy {names} --clk-period-ns {given.clk_period_ns:g}"
    write_result(Path(f"reports/results/energy_{library.name}.md"), "Energy", command, "\n\n".join(body), facts)


if __name__ == "__main__":
    main()
