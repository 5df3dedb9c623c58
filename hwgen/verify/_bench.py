"""Self-checking plain Verilog benches with ``$readmemh`` vectors: no Python needed to run them.

A bench drives steps from ``<top>_tb_in.hex`` and compares every beat, and the cycle in which it comes, with
``<top>_tb_out.hex``. It prints one line that begins with ``PASS`` or ``FAIL``. Verilog-2005 cannot set the exit status
of a simulator, so look at that line. While no step is offered the data ports carry the complement of the next one, so
that a tile that looks at them then is found out.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError

if TYPE_CHECKING:
    from hwgen.emit._emit import Emission
    from hwgen.emit._reset import Reset
    from hwgen.frame.ports import PortInfo
    from hwgen.frame.pre import PreSpec
    from hwgen.pe import TileSpec
    from hwgen.schedule import Steps

__all__ = ["Vectors", "bench_files", "stimuli", "tile_vectors"]

_CONTROL = ("i_valid", "i_ready", "o_valid")
_COUNT_BITS = 32
_SEED = 1
# Longest group in the vectors, in steps: a tile may allow a million, of which the bench would learn nothing new.
_LONGEST_STEPS = 64
# Cycles after the last beat in which one more is an error.
_SETTLE_CYCLES = 32

Words = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Vectors:
    """Words [S, w] per input, empty cycles [S] before each step; words [B, w] per output, cycle [B] of each beat."""

    inputs: Mapping[str, Words]
    idle: npt.NDArray[np.int64]
    outputs: Mapping[str, Words]
    cycles: npt.NDArray[np.int64]


def bench_files(emission: Emission, *runs: Steps) -> dict[str, str]:
    """Benches of a tile, and of its ``_pre`` block where it has one: text by file name.

    The files of a module ``top`` are ``top_tb.v``, ``top_tb_in.hex`` and ``top_tb_out.hex``; the simulation must run in
    the folder in which they lie. Works on Icarus Verilog (``-g2005`` and later) and Verilator (``--binary --timing``).

    Parameters
    ----------
    emission: the tile; its Verilog is not among the files.
    runs: steps to drive, of which the last one ends an output; without any, corners against corners and seeded random
        groups in every mode. Empty cycles lie between some of the steps.

    Raises `HwgenError` when a run ends no output.
    """
    from hwgen.emit._names import pre_name
    from hwgen.frame.interface import tile_ports

    spec, top = emission.spec, emission.top
    reset = emission.reset
    files = _files(top, tile_ports(spec), tile_vectors(spec, runs or stimuli(spec)), reset)
    pre = spec.pre()
    if pre is not None:
        files |= _files(pre_name(top), pre.ports(), _pre_vectors(pre, emission), reset)
    return files


# ---------------------------------------------------------------------- vectors


def stimuli(spec: TileSpec) -> list[Steps]:
    """Corners against corners, and seeded random groups, in every mode."""
    from hwgen.verify._stimuli import corner_steps, random_steps

    shorter = dataclasses.replace(spec, depth=min(spec.depth, _LONGEST_STEPS * spec.k))
    runs = []
    for mode in range(len(spec.modes())):
        runs += [corner_steps(shorter, _SEED, mode), random_steps(shorter, _SEED + 1, groups=24, mode=mode)]
    return runs


def tile_vectors(spec: TileSpec, runs: Sequence[Steps]) -> Vectors:
    """Vectors of runs one after the other, with empty cycles between some of the steps."""
    from hwgen.frame.interface import tile_ports
    from hwgen.reference import run_steps
    from hwgen.simulators import pack_words
    from hwgen.verify._compiled import port_words
    from hwgen.verify._contract import timeline

    rng = np.random.default_rng(_SEED)
    outs = [port for port in tile_ports(spec) if port.direction == "output" and port.name not in _CONTROL]
    inputs, idles, outputs, cycles = [], [], [], []
    begin = 0
    for run in runs:
        idle = rng.integers(0, 2 * spec.step_cycles_max + 3, size=len(run)) * (rng.random(len(run)) < 0.25)
        # The run before has drained when this one starts, so that the cycles of one do not depend on the other.
        idle[0] = int(spec.drain(spec.p)) + 2
        accepted, beats = timeline(spec, run, idle)
        if not len(beats):
            raise HwgenError(f"{spec.family}: each run of a bench must end at least one output, not none")
        want = run_steps(spec, run)
        values = {"y": want.y, "sums": want.sums, "row_sums": want.rows}
        inputs.append(port_words(spec, run))
        outputs.append(
            {port.name: pack_words(np.asarray(values[port.role]).reshape(len(beats), -1), port.bits) for port in outs}
        )
        idles.append(idle)
        cycles.append(beats + begin)
        begin += int(accepted[-1]) + 1 + int(idle[0])
    return Vectors(_joined(inputs), np.concatenate(idles), _joined(outputs), np.concatenate(cycles))


def _joined(parts: list[dict[str, Words]]) -> dict[str, Words]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _pre_vectors(pre: PreSpec, emission: Emission) -> Vectors:
    from hwgen.formats import QTensor, get
    from hwgen.simulators import pack_words
    from hwgen.verify._pre import expected_beats

    rng = np.random.default_rng(_SEED)
    source = get(pre.source)
    # Two whole scopes and a ragged one, for two blocks of rows of which the second is not full.
    columns = min(2 * pre.group + pre.k, _LONGEST_STEPS * pre.k) if pre.align == "group" and pre.group else 24 * pre.k
    shape = (2 * pre.m - 1, columns)
    codes = rng.integers(0, 1 << source.code_bits, size=shape, dtype=np.uint32)
    corners = rng.choice(np.array(source.corners, np.uint32), size=shape)
    acts = QTensor(
        codes=np.where(rng.random(shape) < 0.25, corners, codes),
        format=source,
        group_size=columns,
        granularity="channel",
        scale_codes=np.full((shape[0], 1), 127, np.uint32),
        scale_format=get("e8m0"),
    )
    beats = pre.lower(acts.codes)
    count = len(beats["acts"])
    idle = rng.integers(1, 4, size=count) * (rng.random(count) < 0.25)
    accepted = np.arange(count) + np.cumsum(idle) - idle[0]
    words, scale = expected_beats(pre, acts)
    values = {"i_acts": beats["acts"], "i_observe": beats["observe"], "i_first": beats["first"], "o_acts": words}
    if scale is not None:
        values["o_scale"] = scale
    packed = {}
    for port in pre.ports():
        if port.name not in _CONTROL:
            rows = values[port.name].astype(np.int64)
            packed[port.name] = pack_words(rows.reshape(len(rows), -1), port.bits or 1)
    inputs = {name: value for name, value in packed.items() if name.startswith("i_")}
    outputs = {name: value for name, value in packed.items() if name.startswith("o_")}
    return Vectors(inputs, idle, outputs, accepted[~beats["observe"]] + pre.latency)


# ---------------------------------------------------------------------- text


def _hex(ports: list[PortInfo], words: Mapping[str, Words], counts: npt.NDArray[np.int64]) -> str:
    """One line a row: the ports side by side, the first one lowest, a count above them."""
    width = sum(port.width for port in ports)
    digits = -(-(width + _COUNT_BITS) // 4)
    lines = []
    for row, count in enumerate(counts.tolist()):
        line, offset = 0, 0
        for port in ports:
            line |= int.from_bytes(words[port.name][row].astype("<u4").tobytes(), "little") << offset
            offset += port.width
        lines.append(f"{line | count << offset:0{digits}x}\n")
    return "".join(lines)


def _range(width: int) -> str:
    return "" if width == 1 else f"[{width - 1}:0] "


def _files(top: str, ports: list[PortInfo], vectors: Vectors, reset: Reset) -> dict[str, str]:
    from hwgen.emit._names import bench_name

    name = bench_name(top)
    ins = [port for port in ports if port.direction == "input" and port.name not in _CONTROL]
    outs = [port for port in ports if port.direction == "output" and port.name not in _CONTROL]
    return {
        f"{name}.v": _bench(name, top, ins, outs, vectors, reset),
        f"{name}_in.hex": _hex(ins, vectors.inputs, vectors.idle),
        f"{name}_out.hex": _hex(outs, vectors.outputs, vectors.cycles),
    }


def _aligned(ports: list[PortInfo]) -> tuple[int, list[str]]:
    """Longest delay of an output element, and the parts, lowest first, that bring all elements of a beat together."""
    from hwgen.verify._compiled import skew_slices

    slices = skew_slices(ports)
    skew = max((part.delay for part in slices), default=0)
    if not skew:
        return 0, ["now"]
    late = {(part.port, part.lsb): part.delay for part in slices}
    parts, base = [], 0
    for port in ports:
        for index in range(int(np.prod(port.shape, dtype=np.int64))):
            ago = skew - late.get((port.name, index * port.bits), 0)
            low = base + index * port.bits
            source = f"past{ago}" if ago else "now"
            parts.append(f"{source}[{low + port.bits - 1}:{low}]" if port.bits > 1 else f"{source}[{low}]")
        base += port.width
    return skew, parts


def _bench(name: str, top: str, ins: list[PortInfo], outs: list[PortInfo], vectors: Vectors, reset: Reset) -> str:
    steps, beats = len(vectors.idle), len(vectors.cycles)
    in_bits, out_bits = sum(port.width for port in ins), sum(port.width for port in outs)
    skew, parts = _aligned(outs)
    rst, on = reset.port, f"{reset.level}"
    # Whether the module is in reset, and not.
    resetting, running = (rst, f"!{rst}") if reset.level else (f"!{rst}", rst)
    released = "reset_left != 0" if reset.level else "reset_left == 0"
    declare = [f"  wire {_range(port.width)}{port.name};" for port in [*ins, *outs]]
    declare += [f"  reg {_range(port.width)}{kind}_{port.name};" for port in outs for kind in ("want", "got")]
    history = [f"  reg [{out_bits - 1}:0] past{ago};" for ago in range(1, skew + 1)]
    history += [f"  reg valid{ago};" for ago in range(1, skew + 1)]
    pasts = ["now", *(f"past{ago}" for ago in range(1, skew + 1))]
    valids = ["o_valid", *(f"valid{ago}" for ago in range(1, skew + 1))]
    shift = [f"    {late} <= {early};" for early, late in itertools.pairwise(pasts)]
    shift += [f"    {late} <= {resetting} ? 1'b0 : {early};" for early, late in itertools.pairwise(valids)]
    moved = "  always @(posedge clk) begin\n" + "\n".join(shift) + "\n  end\n" if shift else ""
    connect = ["clk", rst, *_CONTROL, *(port.name for port in [*ins, *outs])]
    compare = "".join(
        f"""\
          if (!stopped && got_{port.name} !== want_{port.name}) begin
            $display("FAIL: {top}: beat %0d, {port.name}: got %h, expected %h",
                     beat, got_{port.name}, want_{port.name});
            stopped = 1;
          end
"""
        for port in outs
    )
    limit = int(vectors.cycles[-1]) + skew + 2 * _SETTLE_CYCLES
    lines = [
        f"// {name}: self-checking bench of {top}, {steps} steps, {beats} beats. Run it where its two .hex files are;",
        f"// {top}.v stands for the file that holds the module:",
        f"//   $ iverilog -g2005 -s {name} -o {name}.vvp {top}.v {name}.v && vvp -n {name}.vvp",
        f"//   $ verilator --binary --timing --timescale 1ns/1ps --top-module {name} {top}.v {name}.v"
        f" && ./obj_dir/V{name}",
        "// It prints one line that begins with PASS or FAIL; the exit status is 0 for both.",
        "",
        f"module {name};",
        f"  reg clk, {rst}, i_valid;",
        "  wire i_ready, o_valid;",
        *declare,
        "",
        "  // A word of the vectors: the ports side by side, the first lowest; above them the empty cycles before a",
        "  // step, or the cycle of a beat. Cycle 0 is the first with i_valid.",
        f"  reg [{in_bits + _COUNT_BITS - 1}:0] stimuli [0:{steps - 1}];",
        f"  reg [{out_bits + _COUNT_BITS - 1}:0] expected [0:{beats - 1}];",
        f"  reg [{in_bits - 1}:0] offered;",
        f"  assign {{{', '.join(port.name for port in reversed(ins))}}} = i_valid ? offered : ~offered;",
        "",
        f"  {top} dut (",
        ",\n".join(f"    .{port}({port})" for port in connect),
        "  );",
        "",
        "  integer reset_left, step, idle, beat, cycle, want_cycle, quiet;",
        "  reg started, accepted, stopped;",
        "",
        f"  wire [{out_bits - 1}:0] now = {{{', '.join(port.name for port in reversed(outs))}}};",
        *history,
        f"  wire [{out_bits - 1}:0] whole = {{\n    {_wrapped(parts)}\n  }};",
        "",
        "  initial begin",
        f'    $readmemh("{name}_in.hex", stimuli);',
        f'    $readmemh("{name}_out.hex", expected);',
        "    clk = 0;",
        f"    {rst} = {on};",
        "    i_valid = 0;",
        f"    offered = stimuli[0][{in_bits - 1}:0];",
        "    reset_left = 3;",
        "    step = 0;",
        "    idle = 0;",
        "    beat = 0;",
        "    cycle = 0;",
        "    quiet = 0;",
        "    started = 0;",
        "    accepted = 0;",
        "    stopped = 0;",
        "  end",
        "",
        "  always #5 clk = ~clk;",
    ]
    text = f"""
{moved}
  // Inputs change on the falling edge; a step is held until it was accepted.
  always @(negedge clk)
    if (reset_left != 0) begin
      reset_left = reset_left - 1;
      {rst} = {released};
      i_valid = reset_left == 0;
    end else begin
      if (accepted) begin
        step = step + 1;
        i_valid = 0;
        if (step < {steps}) begin
          idle = stimuli[step][{in_bits + _COUNT_BITS - 1}:{in_bits}];
          offered = stimuli[step][{in_bits - 1}:0];
        end
      end else if (idle != 0)
        idle = idle - 1;
      if (step < {steps} && idle == 0)
        i_valid = 1;
    end

  // Everything is looked at just before the rising edge.
  always @(posedge clk)
    if ({running} && !stopped) begin
      accepted = i_valid && i_ready;
      if (i_valid)
        started = 1;
      if (o_valid !== 1'b0 && o_valid !== 1'b1) begin
        $display("FAIL: {top}: cycle %0d, o_valid: got %b, expected 0 or 1", cycle, o_valid);
        stopped = 1;
      end
      if (!stopped && {valids[-1]}) begin
        if (beat == {beats}) begin
          $display("FAIL: {top}: beat %0d in cycle %0d, expected {beats} beats", beat, cycle - {skew});
          stopped = 1;
        end else begin
          {{{", ".join(f"want_{port.name}" for port in reversed(outs))}}} = expected[beat][{out_bits - 1}:0];
          {{{", ".join(f"got_{port.name}" for port in reversed(outs))}}} = whole;
          want_cycle = expected[beat][{out_bits + _COUNT_BITS - 1}:{out_bits}];
{compare}\
          if (!stopped && cycle - {skew} != want_cycle) begin
            $display("FAIL: {top}: beat %0d, cycle: got %0d, expected %0d", beat, cycle - {skew}, want_cycle);
            stopped = 1;
          end
          beat = beat + 1;
          quiet = 0;
        end
      end
      if (!stopped && beat == {beats} && step == {steps} && quiet == {_SETTLE_CYCLES}) begin
        $display("PASS: {top}: {beats} beats, %0d cycles", want_cycle + 1);
        stopped = 1;
      end
      if (!stopped && cycle == {limit}) begin
        $display("FAIL: {top}: %0d beats, expected {beats}; %0d of {steps} steps accepted after %0d cycles",
                 beat, step, cycle);
        stopped = 1;
      end
      if (stopped)
        $finish;
      quiet = quiet + 1;
      if (started)
        cycle = cycle + 1;
    end
endmodule
"""
    return "\n".join(lines) + "\n" + text


def _wrapped(parts: list[str], per_line: int = 6) -> str:
    """Parts of a concatenation, highest first, several a line."""
    high_first = parts[::-1]
    lines = [", ".join(high_first[begin : begin + per_line]) for begin in range(0, len(parts), per_line)]
    return ",\n    ".join(lines)
