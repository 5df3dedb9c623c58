"""Verilog benches: a trace of all cycles against any number of modules, and accesses against two register blocks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hwgen.accelerator.registers import BUS_PORTS, RegisterMap
from tests.accelerator.register_model import Ports, ports, pulses


def _bits(map: RegisterMap, direction: str) -> dict[str, int]:
    bus = {name: bits for name, (way, bits) in BUS_PORTS.items() if way == direction}
    return bus | ports(map, direction)


def _vector(values: Mapping[str, int], bits: Mapping[str, int]) -> str:
    """Values as one hexadecimal number, the first name in the lowest bits."""
    word = place = 0
    for name, count in bits.items():
        word |= (values.get(name, 0) & ((1 << count) - 1)) << place
        place += count
    return f"{word:0{-(-place // 4)}x}"


def _slices(bits: Mapping[str, int], vector: str) -> list[str]:
    ends = itertools.accumulate(bits.values())
    return [f".{name}({vector}[{end - 1}:{end - bits[name]}])" for name, end in zip(bits, ends, strict=True)]


def cycle_bench(map: RegisterMap, modules: Sequence[str], cycles: Iterable[tuple[Ports, Ports]]) -> dict[str, str]:
    """A bench ``bench`` with its data; it prints a module's name and the cycle in which it first differs."""
    inputs, outputs = _bits(map, "input"), _bits(map, "output")
    played = list(cycles)
    ones = dict.fromkeys(outputs, -1)
    count, wide_in, wide_out = len(played), sum(inputs.values()), sum(outputs.values())
    files = {
        "inputs.hex": "\n".join(_vector(given, inputs) for given, _ in played),
        "due.hex": "\n".join(_vector(due, outputs) for _, due in played),
        "care.hex": "\n".join(
            _vector({name: value for name, value in ones.items() if name in due}, outputs) for _, due in played
        ),
    }
    lines = [
        "module bench;",
        f"  reg [{wide_in - 1}:0] inputs [0:{count - 1}];",
        f"  reg [{wide_out - 1}:0] due [0:{count - 1}];",
        f"  reg [{wide_out - 1}:0] care [0:{count - 1}];",
        f"  reg [{wide_in - 1}:0] drive = 0;",
        "  reg clk = 0, rst = 1;",
        "  integer cycle;",
        "  always #5 clk = ~clk;",
    ]
    for number, module in enumerate(modules):
        joined = ", ".join([".clk(clk)", ".rst(rst)", *_slices(inputs, "drive"), *_slices(outputs, f"seen{number}")])
        lines += [
            f"  wire [{wide_out - 1}:0] seen{number};",
            f"  reg bad{number} = 0;",
            f"  {module} dut{number}({joined});",
        ]
    lines += [
        "  initial begin",
        *(f'    $readmemh("{name}.hex", {name});' for name in ("inputs", "due", "care")),
        "    repeat (3) @(negedge clk);",
        "    rst = 0;",
        f"    for (cycle = 0; cycle < {count}; cycle = cycle + 1) begin",
        "      drive = inputs[cycle];",
        "      #4;",
    ]
    for number, module in enumerate(modules):
        lines += [
            f"      if (!bad{number} && (seen{number} & care[cycle]) !== (due[cycle] & care[cycle])) begin",
            f'        $display("{module} %0d", cycle);',
            f"        bad{number} = 1;",
            "      end",
        ]
    lines += ["      @(negedge clk);", "    end", '    $display("done");', "    $finish;", "  end", "endmodule"]
    return files | {"bench.v": "\n".join(lines) + "\n"}


PLAYER = """
// Plays accesses of access.hex on one register block and prints what it answers. One access at a time: hardware's
// inputs change and its strobes act before it, and in all its cycles too where the access says so.
module NAME;
  reg finished = 0;
  reg clk = 0, rst = 1;
  always #5 clk = ~clk;
  reg [IN-1:0] hw_in = 0, values [0:COUNT-1], strobes [0:0];
  reg [127:0] accesses [0:COUNT-1], access;
  wire [OUT-1:0] hw_out;
  reg [OUT-1:0] high = 0, twice = 0, low = 0;
  reg [11:0] addr = 0;
  reg [31:0] wdata = 0, data;
  reg [3:0] wstrb = 0;
  reg awvalid = 0, wvalid = 0, bready = 0, arvalid = 0, rready = 0;
  wire awready, wready, bvalid, arready, rvalid;
  wire [1:0] bresp, rresp;
  wire [31:0] rdata;
  reg [1:0] resp;
  integer i, n;
  BLOCK dut(clk, rst, addr, awvalid, awready, wdata, wstrb, wvalid, wready, bresp, bvalid, bready,
            arvalid, arready, rdata, rresp, rvalid, rready, hw_in, hw_out);
  always @(posedge clk) begin
    high <= high | hw_out;
    twice <= twice | (high & hw_out);
    low <= low | ~hw_out;
  end
  task shake_aw(input integer wait_cycles);
    begin
      repeat (wait_cycles) @(negedge clk);
      awvalid = 1;
      #4;
      while (!awready) begin @(negedge clk); #4; end
      @(negedge clk) awvalid = 0;
    end
  endtask
  task shake_w(input integer wait_cycles);
    begin
      repeat (wait_cycles) @(negedge clk);
      wvalid = 1;
      #4;
      while (!wready) begin @(negedge clk); #4; end
      @(negedge clk) wvalid = 0;
    end
  endtask
  initial begin
    $readmemh("access.hex", accesses);
    $readmemh("values.hex", values);
    $readmemh("strobes.hex", strobes);
    repeat (3) @(negedge clk);
    rst = 0;
    for (i = 0; i < COUNT; i = i + 1) begin
      access = accesses[i];
      addr = access[11:0];
      wdata = access[63:32];
      wstrb = access[15:12];
      hw_in = values[i];
      @(negedge clk) if (!access[17]) hw_in = hw_in & ~strobes[0];
      @(negedge clk);
      high = 0;
      twice = 0;
      low = 0;
      data = 0;
      if (access[16]) begin
        fork
          shake_aw(access[23:20]);
          shake_w(access[27:24]);
        join
        repeat (access[31:28]) @(negedge clk);
        bready = 1;
        #4;
        while (!bvalid) begin @(negedge clk); #4; end
        resp = bresp;
        @(negedge clk) bready = 0;
      end else begin
        repeat (access[23:20]) @(negedge clk);
        arvalid = 1;
        #4;
        while (!arready) begin @(negedge clk); #4; end
        @(negedge clk) arvalid = 0;
        repeat (access[31:28]) @(negedge clk);
        rready = 1;
        #4;
        while (!rvalid) begin @(negedge clk); #4; end
        resp = rresp;
        data = rdata;
        @(negedge clk) rready = 0;
      end
      repeat (3) @(negedge clk);
      hw_in = hw_in & ~strobes[0];
      $display("NAME %h %h %h %h %h %h", resp, data, hw_out, high, twice, low);
    end
    finished = 1;
  end
endmodule
"""

_BUS = """  input clk, input rst, input [11:0] addr, input awvalid, output awready, input [31:0] wdata,
  input [3:0] wstrb, input wvalid, output wready, output [1:0] bresp, output bvalid, input bready,
  input arvalid, output arready, output [31:0] rdata, output [1:0] rresp, output rvalid, input rready"""


@dataclass(frozen=True)
class Access:
    """One access with what hardware does around it; waits in cycles."""

    address: int
    hardware: Ports
    write: tuple[int, int] | None = None
    strobes_last: bool = False
    waits: tuple[int, int, int] = (0, 0, 0)

    @property
    def word(self) -> int:
        data, strobes = self.write or (0, 0)
        first, second, third = self.waits
        flags = (self.write is not None) << 16 | self.strobes_last << 17
        return self.address | strobes << 12 | flags | first << 20 | second << 24 | third << 28 | data << 32


@dataclass(frozen=True)
class Answer:
    """Response, data, hardware's outputs after it, and what was seen during it.

    ``pulses``: in how many cycles each pulse was high, at most 2. ``dropped``: fields that fell while they were set.
    """

    response: int
    data: int
    outputs: Ports
    pulses: Ports
    dropped: frozenset[str] = frozenset()


def flat(map: RegisterMap, name: str, instance: str, signals: Mapping[str, str]) -> str:
    """Module ``name`` with the ports of `PLAYER`'s block; hardware's join ``signals`` of ``instance``."""
    inputs, outputs = ports(map, "input"), ports(map, "output")
    lines = [
        f"module {name}(\n{_BUS}, input [{sum(inputs.values()) - 1}:0] hw_in, "
        f"output [{sum(outputs.values()) - 1}:0] hw_out);"
    ]
    for bits, vector, pattern in ((inputs, "hw_in", "assign {1} = {0};"), (outputs, "hw_out", "assign {0} = {1};")):
        place = 0
        for port, count in bits.items():
            lines.append("  " + pattern.format(f"{vector}[{place + count - 1}:{place}]", signals[port]))
            place += count
    return "\n".join([*lines[:1], instance, *lines[1:], "endmodule"]) + "\n"


def players(map: RegisterMap, blocks: Sequence[str], accesses: Sequence[Access]) -> dict[str, str]:
    """Players of some blocks with their data; the top is ``players``."""
    inputs, outputs = ports(map, "input"), ports(map, "output")
    text = PLAYER.replace("COUNT", str(len(accesses)))
    text = text.replace("IN-1", str(sum(inputs.values()) - 1)).replace("OUT-1", str(sum(outputs.values()) - 1))
    names = [f"player_{block}" for block in blocks]
    modules = [text.replace("NAME", name).replace("BLOCK", block) for name, block in zip(names, blocks, strict=True)]
    instances = "".join(f"  {name} p_{name}();\n" for name in names)
    finished = " && ".join(f"p_{name}.finished" for name in names)
    top = f"module players;\n{instances}  initial begin\n    wait ({finished});\n    $finish;\n  end\nendmodule\n"
    strobes = {name: -1 for name in inputs if name.endswith("_set")}
    return {
        "players.sv": "".join(modules) + top,
        "access.hex": "\n".join(f"{access.word:032x}" for access in accesses),
        "values.hex": "\n".join(_vector(access.hardware, inputs) for access in accesses),
        "strobes.hex": _vector(strobes, inputs),
    }


def answers(map: RegisterMap, block: str, accesses: Sequence[Access], printed: str) -> list[Answer]:
    """What the player of ``block`` printed."""
    lines = [line.split()[1:] for line in printed.splitlines() if line.startswith(f"player_{block} ")]
    found = []
    for access, line in zip(accesses, lines, strict=True):
        response, data, *vectors = (int(word, 16) for word in line)
        after, high, twice, low = (_ports(map, vector) for vector in vectors)
        held = {f"o_{name[2:-4]}" for name, value in access.hardware.items() if name.endswith("_set") and value}
        dropped = frozenset(name for name in held if low[name]) if access.strobes_last else frozenset()
        found.append(Answer(response, data, after, {name: high[name] + twice[name] for name in pulses(map)}, dropped))
    return found


def _ports(map: RegisterMap, vector: int) -> Ports:
    found = {}
    for name, bits in ports(map, "output").items():
        found[name] = vector & ((1 << bits) - 1)
        vector >>= bits
    return found
