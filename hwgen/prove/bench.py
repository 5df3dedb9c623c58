"""A counterexample as a test: a Verilog bench that brings the tile there and shows what its sum is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwgen.prove.lanes import Piece, pieces
from hwgen.prove.netlist import Netlist

__all__ = ["BENCH", "counterexample_bench"]

BENCH = "counterexample_tb"


def counterexample_bench(netlist: Netlist, manifest: Mapping[str, Any], example: Mapping[str, Any]) -> str:
    """Module `BENCH` for a counterexample of a certificate.

    It prints ``DIFFERS`` where the sum is what the certificate says it is, and not what it should be; ``AGREES`` where
    it is what it should be. For a lane or an adder it forces its inputs.
    """
    for piece in pieces(netlist, manifest):
        if piece.name == example["element"]:
            return _piece_bench(netlist, manifest, example, piece)
    reset, top = manifest["reset"], manifest["top"]
    ports = {port["name"]: port for port in manifest["ports"]}
    cycles = {int(cycle): words for cycle, words in example["cycles"].items()}
    inputs = [
        name for name, port in ports.items() if port["direction"] == "input" and name not in ("clk", reset["port"])
    ]
    port, place, seen = ports.get(example["element"]), example["place"], example["cycle"]
    if port is not None and "packing" not in port:
        got, bits = str(example["element"]), 1
    elif port is not None:
        bits = port["packing"]["element_bits"]
        got = f"{example['element']}[{place * bits} +: {bits}]"
    else:
        nets = list(netlist.names.items())
        names = [name for name, _ in nets if name.endswith("_sums") and name.startswith(("cell", "rowsum"))]
        got, bits = f"dut.{names[place]}", len(netlist.names[names[place]])
    active = int(reset["active"] == "high")
    lines = [f"module {BENCH};", "  reg clk = 0;", f"  reg {reset['port']} = {active};"]
    for name, one in ports.items():
        if name in inputs and name != reset["port"]:
            lines.append(f"  reg [{one['width'] - 1}:0] {name} = 0;")
        elif one["direction"] == "output":
            lines.append(f"  wire [{one['width'] - 1}:0] {name};")
    lines.append(f"  {top} dut(" + ", ".join(f".{name}({name})" for name in ports) + ");")
    lines += ["  task tick; begin #1 clk = 1; #1 clk = 0; #1; end endtask", "  initial begin", "    tick; tick;"]
    lines.append(f"    {reset['port']} = {1 - active};")
    first, kept = min(*cycles, 0), int(example["before"], 16)
    for cycle in range(first, seen + 1):
        for name in inputs:
            value = int(cycles.get(cycle, {}).get(name, "0"), 16)
            lines.append(f"    {name} = {ports[name]['width']}'h{value:x};")
        lines.append("    #1;")
        if example["nets"] and cycle == seen - example["updates"]:
            names = _aliases(netlist, example["nets"])
            lines += [f"    force dut.{name} = {bits}'h{kept:x};" for name in names]
            lines += [f"    #1 release dut.{name};" for name in names]
        if cycle == seen - example["updates"]:
            for name, value in example.get("registers", {}).items():
                names, size = _aliases(netlist, name), len(netlist.names[name])
                lines += [f"    force dut.{one} = {size}'h{int(value, 16):x};" for one in names]
                lines += [f"    #1 release dut.{one};" for one in names]
        if cycle < seen:
            lines.append("    tick;")
    found, wanted = int(example["found"], 16), int(example["wanted"], 16)
    lines += [
        f'    if ({got} === {bits}\'h{wanted:x}) $display("AGREES");',
        f'    else if ({got} === {bits}\'h{found:x}) $display("DIFFERS");',
        f'    else $display("OTHER %h", {got});',
        "    $finish;",
        "  end",
        "endmodule",
    ]
    return "\n".join(lines) + "\n"


def _piece_bench(netlist: Netlist, manifest: Mapping[str, Any], example: Mapping[str, Any], piece: Piece) -> str:
    """A bench that holds the inputs of a lane or an adder until what it makes of them is there."""
    reset = manifest["reset"]
    active = int(reset["active"] == "high")
    words: dict[str, int] = {}
    for role, value in example["cycles"]["0"].items():
        name, place = piece.wires[role]
        words[name] = words.get(name, 0) | int(value, 16) << place
    if piece.high:
        words[piece.wires["high"][0]] = (1 << len(piece.high)) - 1
    lines = [f"module {BENCH};", "  reg clk = 0;", f"  reg {reset['port']} = {active};"]
    ports = [f".clk(clk), .{reset['port']}({reset['port']})"]
    for port in manifest["ports"]:
        if port["direction"] == "input" and port["name"] not in ("clk", reset["port"]):
            ports.append(f".{port['name']}({port['width']}'d0)")
    lines.append(f"  {manifest['top']} dut({', '.join(ports)});")
    lines += ["  task tick; begin #1 clk = 1; #1 clk = 0; #1; end endtask", "  initial begin", "    tick; tick;"]
    lines.append(f"    {reset['port']} = {1 - active};")
    lines += [f"    force dut.{name} = {len(netlist.names[name])}'h{word:x};" for name, word in words.items()]
    lines += ["    tick;"] * (piece.cycles + 1)
    got, (found, wanted) = f"dut.{piece.wires[''][0]}", (int(example[name], 16) for name in ("found", "wanted"))
    bits = len(piece.output)
    lines += [
        f'    if ({got} === {bits}\'h{wanted:x}) $display("AGREES");',
        f'    else if ({got} === {bits}\'h{found:x}) $display("DIFFERS");',
        f'    else $display("OTHER %h", {got});',
        "    $finish;",
        "  end",
        "endmodule",
    ]
    return "\n".join(lines) + "\n"


def _aliases(netlist: Netlist, name: str) -> list[str]:
    """Names within instances that a word of registers has."""
    nets = netlist.names.get(name)
    return [other for other, bits in netlist.names.items() if bits == nets and "." in other]
