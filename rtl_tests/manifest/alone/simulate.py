"""A module in Icarus Verilog: steps in, a line for every cycle out."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, NamedTuple

Ports = list[dict[str, Any]]
CONTROL = ("i_valid", "i_ready", "o_valid")


class Cycle(NamedTuple):
    """One cycle from the first offer on: a step was accepted, the output is valid, binary digits by port."""

    accepted: bool
    valid: bool
    outputs: dict[str, str]


BENCH = """
module alone_tb;
  reg clk = 0, rst = {on}, i_valid = 0, started = 0;
  wire i_ready, o_valid;
{wires}
  reg [{word}:0] steps [0:{last}];
  reg [{data}:0] held;
  integer at, idle, cycle;
  assign {{{inputs}}} = i_valid ? held : ~held;
  {top} dut ({pins});
  always #5 clk = ~clk;
  initial begin
    $readmemh("steps.hex", steps);
    at = 0; cycle = 0; idle = steps[0][{word}:{count}]; held = steps[0][{data}:0];
    repeat (3) @(negedge clk);
    rst = {off};
    i_valid = 1; started = 1;
    forever begin
      #4;
      $display("%b %b {formats}", i_valid && i_ready, o_valid, {outputs});
      cycle = cycle + 1;
      if (cycle == {cycles}) $finish;
      if (i_valid && i_ready) begin
        @(negedge clk);
        at = at + 1; i_valid = 0;
        if (at <= {last}) begin idle = steps[at][{word}:{count}]; held = steps[at][{data}:0]; end
      end else begin
        @(negedge clk);
        if (!i_valid && idle != 0) idle = idle - 1;
      end
      if (at <= {last} && idle == 0) i_valid = 1;
    end
  end
endmodule
"""


def simulate(
    module: dict[str, Any],
    verilog: str,
    steps: list[dict[str, int]],
    idle: list[int],
    cycles: int,
    folder: Path,
    tools: tuple[str, str],
) -> list[Cycle]:
    """Drive ``steps`` (words by port) with empty cycles before each; cycle 0 is the first with an offer."""
    ports: Ports = module["ports"]
    reset = module["reset"]
    ins = [port for port in ports if port["direction"] == "input" and port["role"] not in ("clock", "reset")]
    ins = [port for port in ins if port["name"] not in CONTROL]
    outs = [port for port in ports if port["direction"] == "output" and port["name"] not in CONTROL]
    data = sum(port["width"] for port in ins)
    lines = []
    for gap, step in zip(idle, steps, strict=True):
        word, place = 0, 0
        for port in ins:
            assert 0 <= step[port["name"]] < 1 << port["width"], port["name"]
            word |= step[port["name"]] << place
            place += port["width"]
        lines.append(f"{word | gap << data:x}")
    names = [port["name"] for port in ports]
    clock = next(port["name"] for port in ports if port["role"] == "clock")
    pins = {clock: "clk", reset["port"]: "rst"}
    text = BENCH.format(
        on=int(reset["active"] == "high"),
        off=int(reset["active"] != "high"),
        wires="\n".join(f"  wire [{port['width'] - 1}:0] {port['name']};" for port in [*ins, *outs]),
        word=data + 15,
        count=data,
        data=data - 1,
        last=len(steps) - 1,
        inputs=", ".join(port["name"] for port in reversed(ins)),
        top=module["top"],
        pins=", ".join(f".{name}({pins.get(name, name)})" for name in names),
        formats=" ".join("%b" for _ in outs),
        outputs=", ".join(port["name"] for port in outs),
        cycles=cycles,
    )
    (folder / "steps.hex").write_text("\n".join(lines) + "\n")
    found = []
    for line in _run(text, verilog, folder, tools):
        accepted, valid, *words = line.split()
        if len(words) != len(outs) or valid not in "01":
            continue
        # Digits are x before anything was put out, and while a systolic tile fills.
        values = {port["name"]: word for port, word in zip(outs, words, strict=True)}
        found.append(Cycle(accepted == "1", valid == "1", values))
    return found


CLOCKED = """
module alone_tb;
  reg clk = 0, rst = {on};
  reg [{data}:0] steps [0:{last}];
  reg [{data}:0] held;
{wires}
  integer at;
  assign {{{inputs}}} = held;
  {top} dut ({pins});
  initial begin
    $readmemh("steps.hex", steps);
    held = 0;
    repeat (2) begin #5 clk = 1; #5 clk = 0; end
    rst = {off};
    for (at = 0; at <= {last}; at = at + 1) begin
      held = steps[at];
      #4 $display("{formats}", {outputs});
      #1 clk = 1; #5 clk = 0;
    end
    $finish;
  end
endmodule
"""


def clocked(
    module: dict[str, Any], verilog: str, vectors: list[dict[str, int]], folder: Path, tools: tuple[str, str]
) -> list[dict[str, int]]:
    """Words of the outputs before each rising edge, for a module without a stream."""
    ports: Ports = [port for port in module["ports"] if port["name"] != "clk" and port["role"] != "reset"]
    ins = [port for port in ports if port["direction"] == "input"]
    outs = [port for port in ports if port["direction"] == "output"]
    lines = []
    for words in vectors:
        word, place = 0, 0
        for port in ins:
            word |= words[port["name"]] << place
            place += port["width"]
        lines.append(f"{word:x}")
    reset = module["reset"]
    pins = {"clk": "clk", reset["port"]: "rst"}
    text = CLOCKED.format(
        on=int(reset["active"] == "high"),
        off=int(reset["active"] != "high"),
        data=sum(port["width"] for port in ins) - 1,
        last=len(vectors) - 1,
        wires="\n".join(f"  wire [{port['width'] - 1}:0] {port['name']};" for port in ports),
        inputs=", ".join(port["name"] for port in reversed(ins)),
        top=module["top"],
        pins=", ".join(f".{port['name']}({pins.get(port['name'], port['name'])})" for port in module["ports"]),
        formats=" ".join("%h" for _ in outs),
        outputs=", ".join(port["name"] for port in outs),
    )
    (folder / "steps.hex").write_text("\n".join(lines) + "\n")
    found = []
    for line in _run(text, verilog, folder, tools):
        words = line.split()
        if len(words) == len(outs):
            found.append({port["name"]: int(word, 16) for port, word in zip(outs, words, strict=True)})
    return found


def _run(bench: str, verilog: str, folder: Path, tools: tuple[str, str]) -> list[str]:
    """Lines that a bench prints."""
    (folder / "alone_tb.v").write_text(bench)
    (folder / "design.v").write_text(verilog)
    compiler, runner = tools
    printed = ""
    for command in (
        [compiler, "-g2005", "-s", "alone_tb", "-o", "alone.vvp", "design.v", "alone_tb.v"],
        [runner, "-n", "alone.vvp"],
    ):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr + done.stdout)
        printed = done.stdout
    return printed.splitlines()
