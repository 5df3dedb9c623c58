"""A counterexample about the wrapper behind AXI4-Stream as a test: inputs by cycle, and a behavioural scoreboard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

__all__ = ["STREAM_BENCH", "stream_bench"]

STREAM_BENCH = "stream_tb"


def stream_bench(manifest: Mapping[str, Any], example: Mapping[str, Any], tile: str = "tile") -> str:
    """Module `STREAM_BENCH` for a counterexample of an obligation ``stream.*``.

    It prints ``DIFFERS`` where something is shown that breaks a rule of `hwgen.prove.stream`, told by queues of its
    own, and ``AGREES`` where all is as it should be. What the tile makes of its operands is put aside: its data outputs
    are what the counterexample says.
    """
    entry = manifest["axi_stream"]
    ports = {port["name"]: port for port in entry["ports"]}
    timing, inner = entry["timing"], {port["name"]: port for port in manifest["ports"]}
    cycles = {int(cycle): words for cycle, words in example["cycles"].items()}
    lines = [f"module {STREAM_BENCH};", "  reg aclk = 0; reg broken = 0; integer i;"]
    for name, one in ports.items():
        if name != "aclk":
            kind = "reg" if one["direction"] == "input" else "wire"
            lines.append(f"  {kind} [{one['width'] - 1}:0] {name}{' = 0' if kind == 'reg' else ''};")
    lines.append(f"  {entry['top']} dut(" + ", ".join(f".{name}({name})" for name in ports) + ");")
    words = {stream: _word(entry, inner, stream, tile) for stream in ("acts", "weights")}
    for stream, (_, _, size) in words.items():
        lines.append(f"  reg [{size - 1}:0] {stream}_queue [0:4095]; integer {stream}_in = 0, {stream}_out = 0;")
    outputs = [inner[field["port"]] for field in entry["tdata"]["m_axis_result"]]
    size = ports["m_axis_result_tdata"]["width"]
    depth, beats = timing["result_queue_beats"], timing["beats_per_result"]
    lines += [
        f"  reg [{size}:0] result_queue [0:4095]; integer came = 0, arrived = 0, left = 0, free = {depth};",
        f"  wire taken = dut.{tile}.i_valid & dut.{tile}.i_ready;",
        f"  wire ends = dut.{tile}.i_last" + (f" & dut.{tile}.i_done;" if "i_done" in inner else ";"),
        "  reg begins = 1, waited = 0; reg [63:0] late = 0;",
        "  wire both = acts_in > acts_out && weights_in > weights_out;",
        "  task check; begin",
    ]
    most = timing["operand_queue_words"]
    for stream, (_, found, _) in words.items():
        lines += [
            f"    if (s_axis_{stream}_tready !== ({stream}_in - {stream}_out < {most})) broken = 1;",
            f"    if (both && {found} !== {stream}_queue[{stream}_out]) broken = 1;",
        ]
    latest = max(max(_delays(port)) for port in outputs)
    shown = "{m_axis_result_tlast, m_axis_result_tdata}"
    lines += [
        f"    if (dut.{tile}.i_valid !== (both && (!ends || free >= {beats}))) broken = 1;",
        f"    if (dut.{tile}.i_valid && dut.{tile}.i_first !== begins) broken = 1;",
        "    if (m_axis_result_tvalid !== (arrived > left)) broken = 1;",
        f"    if (arrived > left && {shown} !== result_queue[left]) broken = 1;",
        "  end endtask",
        # What a rising edge makes of the queues, from what is there before it.
        "  task edge_; begin",
        "    if (!aresetn) begin",
        "      acts_in = 0; acts_out = 0; weights_in = 0; weights_out = 0;",
        f"      came = 0; arrived = 0; left = 0; free = {depth}; begins = 1; late = 0;",
        "    end else begin",
        f"      if (taken && ends) free = free - {beats};",
        "      if (arrived > left && m_axis_result_tready) begin left = left + 1; free = free + 1; end",
        f"      late = late << 1 | dut.{tile}.o_valid;",
    ]
    lines += [f"      {text}" for text in _kept(entry, outputs, tile, size, beats)]
    lines += [
        f"      if (late[{latest}]) arrived = arrived + 1;",
        f"      came = came + dut.{tile}.o_valid;",
        f"      if (taken) begins = dut.{tile}.i_last;",
        "      if (taken) begin acts_out = acts_out + 1; weights_out = weights_out + 1; end",
    ]
    for stream, (given, _, _) in words.items():
        keeps = f"{stream}_queue[{stream}_in] = {given}; {stream}_in = {stream}_in + 1;"
        lines.append(f"      if (accepts_{stream}) begin {keeps} end")
    lines += ["    end", "  end endtask"]
    for stream in words:
        at = next(index for index, line in enumerate(lines) if line.startswith("  task check"))
        lines.insert(
            at,
            f"  wire accepts_{stream} = s_axis_{stream}_tvalid && {stream}_in - {stream}_out < {most};",
        )
    lines.append("  initial begin")
    for cycle in sorted(cycles):
        for name, value in cycles[cycle].items():
            number = int(value, 16)
            if name in ports:
                lines.append(f"    {name} = {ports[name]['width']}'h{number:x};")
            elif name.startswith(f"{tile}."):
                port = name.removeprefix(f"{tile}.")
                # A tile takes nothing that is not offered.
                only = f" & dut.{tile}.i_valid" if port == "i_ready" else ""
                lines.append(f"    force dut.{name} = {inner[port]['width']}'h{number:x}{only};")
        # Takes are counted before the words that come in the same cycle.
        lines += ["    #1; if (aresetn) check;", "    edge_; #1 aclk = 1; #1 aclk = 0; #1;"]
    lines += ['    if (broken) $display("DIFFERS"); else $display("AGREES");', "    $finish;", "  end", "endmodule"]
    return "\n".join(lines) + "\n"


def _delays(port: Mapping[str, Any]) -> list[int]:
    places = np.ndindex(*port["packing"]["shape"])
    return [int({"m": place[0], "m+n": sum(place[:2])}.get(str(port.get("delay_cycles")), 0)) for place in places]


def _word(entry: Mapping[str, Any], inner: Mapping[str, Any], stream: str, tile: str) -> tuple[str, str, int]:
    """(what a stream brings, what the tile gets, bits) of a word, its fields one behind the other."""
    given, found, size = [], [], 0
    for kind in ("tdata", "tuser"):
        for field in entry[kind].get(f"s_axis_{stream}", ()):
            width = field["elements"] * field["element_bits"]
            given.append(f"s_axis_{stream}_{kind}[{field['bit']} +: {width}]")
            found.append(f"dut.{tile}.{field['port']}")
            size += width
    if stream == "acts":
        given.append("s_axis_acts_tlast")
        found.append(f"dut.{tile}.i_last")
        size += 1
    return "{" + ", ".join(given) + "}", "{" + ", ".join(found) + "}", size


def _kept(entry: Mapping[str, Any], outputs: list[Any], tile: str, size: int, beats: int) -> Iterator[str]:
    """What puts the elements of a beat into the queue, each when it is there; ``late[d]``: `o_valid` d cycles ago."""
    yield f"if (dut.{tile}.o_valid) result_queue[came][{size}] = came % {beats} == {beats - 1};"
    for field, port in zip(entry["tdata"]["m_axis_result"], outputs, strict=True):
        bits = field["element_bits"]
        for element, delay in enumerate(_delays(port)):
            source = f"dut.{tile}.{field['port']}[{element * bits} +: {bits}]"
            top = f"dut.{tile}.{field['port']}[{element * bits + bits - 1}]" if field["signed"] else "1'b0"
            rest = field["stride"] - bits
            value = f"{{{{{rest}{{{top}}}}}, {source}}}" if rest else source
            # Of beats that have come since, those after this one.
            number = "came" + "".join(f" - late[{hop}]" for hop in range(1, delay + 1))
            at = field["bit"] + element * field["stride"]
            yield f"if (late[{delay}]) result_queue[{number}][{at} +: {field['stride']}] = {value};"
