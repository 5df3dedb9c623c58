"""Power of mapped tiles by OpenSTA at measured activity, and where its figures differ from ours.

Compared apart from each other:

* the whole tile with measured activity on its input ports, as OpenSTA's users would do it;
* its gates alone (`without_registers`): flip-flops are cut out, their outputs are ports with measured activity. OpenSTA
  still propagates activity through gates: pins are independent of each other, and every change of an input passes on
  its own. `propagated` does the same with our netlist;
* how it adds up internal energies (`as_opensta`), found on single cells: each arc of an output counts rise and fall for
  every toggle, where Liberty has one of both, and gates of several inputs weight each arc by a half, however many
  there are. `internal_factor` measures it on a flip-flop whose data never change.

Libraries are read without their default wire load, as our figures have no wires.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from hwgen.errors import HwgenError
from hwgen.simulators import _process, toolchain
from hwgen.synth import Library, TileResult, tile_netlist
from hwgen.synth._characterised import CellPower, Energy, characterised
from hwgen.synth._sta import _BAD, _SIGNED
from hwgen.synth.gates import ONE, ZERO, Activity, Cells, GateNetlist, nodes_of
from hwgen.synth.liberty import unpacked
from hwgen.synth.power import Loading, power

__all__ = [
    "StaPower",
    "gates_energy",
    "gates_power",
    "internal_factor",
    "propagated",
    "tile_power",
    "without_registers",
]

_ROW = re.compile(r"^(Sequential|Combinational|Total)\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)", re.M)


@dataclass(frozen=True)
class StaPower:
    """pJ per cycle of flip-flops and of gates: (internal, switching); leakage of all in nW."""

    sequential_pj: tuple[float, float]
    combinational_pj: tuple[float, float]
    leakage_nw: float

    @property
    def dynamic_pj(self) -> float:
        """All of it but leakage."""
        return sum(self.sequential_pj) + sum(self.combinational_pj)


def _run(library: Library, verilog: str, top: str, period_ns: float, commands: Sequence[str]) -> StaPower:
    program = toolchain.require("opensta")
    with tempfile.TemporaryDirectory(prefix="hwgen-sta-") as name:
        folder = Path(name)
        (folder / "netlist.v").write_text(_SIGNED.sub(r"\1 ", verilog))
        lines = []
        for index, path in enumerate(library.files):
            # A library's default wire load would be added to every net.
            text = re.sub(rb"\bdefault_wire_load\s*:[^;]*;", b"", unpacked(path))
            (folder / f"{index}.lib").write_bytes(text)
            lines.append(f"read_liberty {folder / f'{index}.lib'}")
        lines += [
            "set_cmd_units -time ns -capacitance pF",
            f"read_verilog {folder / 'netlist.v'}",
            f"link_design {top}",
            f"create_clock -name clk -period {period_ns:.6g} [get_ports clk]",
            "set_output_delay -clock clk 0 [all_outputs]",
            f"set_load {library.load_pf:.6g} [all_outputs]",
            *commands,
            "report_power -digits 8",
            "exit",
        ]
        (folder / "power.tcl").write_text("\n".join([*lines, ""]))
        command: list[str | Path] = [program, "-no_init", "-no_splash", "-exit", folder / "power.tcl"]
        done = _process.run(command, cwd=folder, timeout_s=600)
    complaint = _BAD.search(done.text)
    rows = {match[1]: [float(text) for text in match.groups()[1:]] for match in _ROW.finditer(done.stdout)}
    if done.returncode or complaint or len(rows) != 3:
        said = complaint[0].strip() if complaint else f"exit status {done.returncode}"
        raise HwgenError(f"report: OpenSTA must report the power of {top}, but said: {said}")
    # 1 W for 1 ns is 1000 pJ.
    cycle = period_ns * 1000
    flip_flops, gates = rows["Sequential"], rows["Combinational"]
    return StaPower(
        (flip_flops[0] * cycle, flip_flops[1] * cycle), (gates[0] * cycle, gates[1] * cycle), rows["Total"][2] * 1e9
    )


def tile_power(result: TileResult, netlist: GateNetlist, activity: Activity) -> StaPower:
    """OpenSTA's report of a tile whose input ports toggle as they were counted."""
    commands = [f"set_driving_cell -lib_cell {result.library.buffer.name} [all_inputs]"]
    for port, nets in netlist.inputs.items():
        if port == "clk":
            continue
        commands.append(f"set_input_delay -clock clk 0 [get_ports {{{port}{'[*]' if len(nets) > 1 else ''}}}]")
        for bit, net in enumerate(nets.tolist()):
            pin = f"{port}[{bit}]" if len(nets) > 1 else port
            toggles, ones = activity.toggles[net] / activity.vectors, activity.ones[net] / activity.vectors
            commands.append(f"set_power_activity -input_ports {{{pin}}} -activity {toggles:.6f} -duty {ones:.6f}")
    return _run(result.library, tile_netlist(result), netlist.top, result.target_clk_period_ns, commands)


def internal_factor(library: Library, name: str) -> float:
    """OpenSTA's internal energy per clock cycle of a flip-flop whose data are still, over rise plus fall of its table.

    Only for a flip-flop whose clock has one entry without condition.
    """
    cell = characterised(library, [name])[name]
    (data,) = [pin for pin in cell.input_pf if pin != cell.clock]
    (output,) = cell.functions
    verilog = (
        "module one(clk, d, q);\n  input clk;\n  input d;\n  output q;\n"
        f"  {name} r (.{cell.clock}(clk), .{data}(d), .{output}(q));\nendmodule\n"
    )
    still = [
        "set_input_delay -clock clk 0 [get_ports d]",
        "set_power_activity -input_ports d -activity 0 -duty 0",
    ]
    found = _run(library, verilog, "one", 10.0, still)
    (entry,) = cell.hidden[cell.clock or ""]
    none = np.zeros(())
    return found.sequential_pj[0] / float(entry.rise.at(none, none) + entry.fall.at(none, none))


@dataclass(frozen=True)
class _Signal:
    """Probability of a one and changes per cycle; operators as OpenSTA has them for the parts of a function."""

    duty: np.ndarray
    density: np.ndarray

    def __invert__(self) -> _Signal:
        return _Signal(1 - self.duty, self.density)

    def __and__(self, other: _Signal) -> _Signal:
        return _Signal(self.duty * other.duty, self.density * other.duty + other.density * self.duty)

    def __or__(self, other: _Signal) -> _Signal:
        return ~(~self & ~other)

    def __xor__(self, other: _Signal) -> _Signal:
        return (self & ~other) | (~self & other)


def propagated(netlist: GateNetlist, known: Mapping[str, CellPower], activity: Activity) -> Activity:
    """Activity of the nets of a netlist of gates from that of its input ports as OpenSTA propagates it."""
    duty, density = np.zeros(netlist.nets), np.zeros(netlist.nets)
    duty[ONE] = 1
    for nets in netlist.inputs.values():
        duty[nets] = activity.ones[nets] / activity.vectors
        density[nets] = activity.toggles[nets] / activity.vectors
    one = _Signal(np.ones(()), np.zeros(()))
    for node in nodes_of(netlist, known):
        found = node.function.call(one, *(_Signal(duty[nets], density[nets]) for nets in node.nets))
        duty[node.out], density[node.out] = found.duty, found.density
    vectors = activity.vectors
    rounded = np.rint(density * vectors).astype(np.int64), np.rint(duty * vectors).astype(np.int64)
    return replace(activity, toggles=rounded[0], ones=rounded[1])


def without_registers(netlist: GateNetlist, known: Mapping[str, CellPower]) -> GateNetlist:
    """The gates of a netlist: outputs of flip-flops become an input port ``held``, gates that they or ports read
    ``wanted``.
    """
    gates = {name: cells for name, cells in netlist.cells.items() if known[name].state is None}
    driven = np.zeros(netlist.nets, bool)
    held, wanted = [], [*netlist.outputs.values()]
    for name, cells in netlist.cells.items():
        for pin, nets in cells.nets.items():
            if pin in known[name].functions:
                driven[nets] = name in gates
                held += [nets] if name not in gates else []
            elif name not in gates:
                wanted.append(nets)
    leaving = np.unique(np.concatenate(wanted))
    inputs = {port: nets for port, nets in netlist.inputs.items() if port != "clk"}
    return replace(
        netlist,
        inputs=inputs | {"held": np.concatenate(held)},
        outputs={"wanted": leaving[driven[leaving]]},
        cells=gates,
    )


def gates_energy(
    netlist: GateNetlist, library: Library, activity: Activity, loaded: Loading, *, as_opensta: bool = False
) -> tuple[float, float]:
    """Ours for a netlist of gates, pJ per cycle: internal, and switching of what the gates drive.

    ``as_opensta`` adds up internal energies in its way.
    """
    known = characterised(library, netlist.cells)
    half = library.voltage_v**2 / 2
    rate = activity.toggles / activity.vectors
    pins = switching = internal = 0.0
    for name, cells in netlist.cells.items():
        cell = known[name]
        for pin, farad in cell.input_pf.items():
            pins += float(rate[cells.nets[pin]].sum()) * half * farad
            internal += float((rate[cells.nets[pin]] * _both(cell.hidden[pin], cells, pin, None, loaded)).sum()) / 2
        for pin in cell.functions:
            out = cells.nets[pin]
            switching += float((rate[out] * loaded.load_pf[out]).sum()) * half
            arcs = [arc for arc in cell.arcs[pin] if arc.energies]
            for arc in arcs:
                each = _both(arc.energies, cells, arc.source, loaded.load_pf[out], loaded)
                internal += float((rate[out] * each).sum()) * (0.5 if len(arcs) > 1 else 1.0)
    if not as_opensta:
        internal = power(netlist, library, activity, loaded).dynamic_pj - pins
    return internal, switching


def _both(energies: Sequence[Energy], cells: Cells, pin: str, load: np.ndarray | None, loaded: Loading) -> np.ndarray:
    """Rise plus fall, mean over conditions."""
    slew = loaded.slew_ns[cells.nets[pin]]
    loads = np.zeros(len(cells)) if load is None else load
    total = np.zeros(len(cells))
    for energy in energies:
        total += (energy.rise.at(slew, loads) + energy.fall.at(slew, loads)) / len(energies)
    return total


def gates_power(
    netlist: GateNetlist, library: Library, activity: Activity, loaded: Loading, period_ns: float
) -> StaPower:
    """OpenSTA's report of a netlist of gates whose inputs toggle as they were counted, at the loads of the tile."""
    known = characterised(library, netlist.cells)
    entering = np.unique(np.concatenate([*netlist.inputs.values()]))
    leaving = netlist.outputs["wanted"]
    inside = np.zeros(netlist.nets)
    lines = []
    for name, cells in netlist.cells.items():
        for pin, farad in known[name].input_pf.items():
            np.add.at(inside, cells.nets[pin], farad)
        pins = list(cells.nets)
        for index, row in enumerate(np.stack([cells.nets[pin] for pin in pins], axis=1).tolist()):
            ends = ", ".join(f".{pin}({_net(net)})" for pin, net in zip(pins, row, strict=True))
            lines.append(f"  {name} {name}_{index} ({ends});")
    names = [_net(net) for net in [*entering.tolist(), *leaving.tolist()]]
    verilog = "\n".join(
        [
            f"module gates(clk, {', '.join(names)});",
            "  input clk;",
            *(f"  input {_net(net)};" for net in entering.tolist()),
            *(f"  output {_net(net)};" for net in leaving.tolist()),
            *lines,
            "endmodule\n",
        ]
    )
    commands = [f"set_driving_cell -lib_cell {library.buffer.name} [all_inputs]"]
    for net in leaving.tolist():
        outside = loaded.load_pf[net] - inside[net]
        commands.append(f"set_load {max(outside, 0.0):.8f} [get_ports {_net(net)}]")
    for net in entering.tolist():
        toggles, ones = activity.toggles[net] / activity.vectors, activity.ones[net] / activity.vectors
        commands.append(f"set_input_delay -clock clk 0 [get_ports {_net(net)}]")
        commands.append(f"set_power_activity -input_ports {_net(net)} -activity {toggles:.6f} -duty {ones:.6f}")
    return _run(library, verilog, "gates", period_ns, commands)


def _net(net: int) -> str:
    return f"1'b{net}" if net in (ZERO, ONE) else f"n{net}"
