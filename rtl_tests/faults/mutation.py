"""Mutations of a tile's netlist: made by Yosys, all in one build, chosen at run time, compared with the reference.

`make_mutants` flattens the RTLIL of a tile (so that one cell of one instance changes), lets Yosys draw mutations and
puts all of them into one Verilog module behind the input ``mutsel`` (0 is the tile as it is). `run_mutants` streams the
vectors of the contract suite through each: corners, random groups back to back, abandoned groups, idle cycles, and
resets in every phase; outputs and their cycles must be those of the reference. What survives is for `equivalence` to
decide.

Yosys ends the process on an error, so it runs in children.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwgen.emit._rtlil import design_rtlil
from hwgen.frame.assembly import Tile
from hwgen.frame.interface import tile_ports
from hwgen.pe import TileSpec
from hwgen.reference import run_steps
from hwgen.schedule import Steps
from hwgen.simulators import Port, StreamProtocol, build, pack_words
from hwgen.verify import corner_steps, port_words, random_steps
from hwgen.verify._compiled import skew_slices
from hwgen.verify._contract import abandoned_steps, timeline
from hwgen.verify._stimuli import full_steps, reset_runs, scale_steps

__all__ = [
    "Mutants",
    "Mutation",
    "OutOfTimeError",
    "Outcome",
    "Vectors",
    "make_mutants",
    "run_mutants",
    "vectors",
    "yosys",
]

TOP = "dut"
_CUT_BITS = 16
# A mutated $pmux may have two selects on, for which Yosys defines no value: simulation and proof get the gates that
# synthesis makes of it.
GATES = "techmap t:$pmux"
_CHILD = """import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[2]), int(sys.argv[2]) + 5))
from pyosys import libyosys as y
y.run_pass('script ' + sys.argv[1], y.Design())"""


@dataclass(frozen=True)
class Mutation:
    """One line of ``mutate -list``: ``mode`` at bit ``bit`` of a cell's port; ``wire`` is the name a reader knows."""

    mode: str
    cell: str
    port: str
    bit: int
    control: int | None
    wire: str

    @property
    def command(self) -> str:
        """Arguments of Yosys' ``mutate`` without its control signal."""
        text = f"-mode {self.mode} -module {TOP} -cell {self.cell} -port {self.port} -portbit {self.bit}"
        return text if self.control is None else f"{text} -ctrlbit {self.control}"

    def __str__(self) -> str:
        control = "" if self.control is None else f" by bit {self.control}"
        return f"{self.mode} of {self.wire} at {self.cell}.{self.port}[{self.bit}]{control}"


@dataclass(frozen=True)
class Mutants:
    """A tile with its mutations: ``rtlil`` flat and unchanged, ``verilog`` with all of them behind ``mutsel``."""

    spec: TileSpec
    mutations: tuple[Mutation, ...]
    rtlil: str
    verilog: str

    @property
    def select_bits(self) -> int:
        """Width of ``mutsel``."""
        return len(self.mutations).bit_length()


@dataclass(frozen=True)
class Vectors:
    """Input words by port, idle cycles [S], expected words of each beat by port and the cycle of each beat [B]."""

    inputs: dict[str, np.ndarray]
    idle: np.ndarray
    expected: dict[str, np.ndarray]
    cycles: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """Per mutation what gave it away ("value", "cycle", "missing" or "extra"), or "" for a survivor."""

    mutants: Mutants
    reasons: tuple[str, ...]

    @property
    def survivors(self) -> tuple[Mutation, ...]:
        """Mutations that no vector told from the tile."""
        return tuple(m for m, reason in zip(self.mutants.mutations, self.reasons, strict=True) if not reason)


class OutOfTimeError(RuntimeError):
    """A run of Yosys took more processor time than it was given."""


def yosys(commands: Sequence[str], folder: Path, cpu_s: int = 120) -> str:
    """Run Yosys commands in a child process in ``folder``; returns its log.

    Raises `OutOfTimeError` after ``cpu_s`` seconds of processor time, which other work on the machine does not shorten,
    and RuntimeError with the log's end for other failures.
    """
    (folder / "script.ys").write_text("\n".join(commands) + "\n")
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, "script.ys", str(cpu_s)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        raise OutOfTimeError(f"Yosys took more than {cpu_s} s")
    if done.returncode:
        raise RuntimeError(f"Yosys stopped with status {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


def _parse(line: str) -> Mutation:
    found = dict(re.findall(r"-(\w+) (\S+)", line))
    control = found.get("ctrlbit")
    return Mutation(
        found["mode"],
        found["cell"],
        found["port"],
        int(found["portbit"]),
        None if control is None else int(control),
        f"{found['wire']}[{found['wirebit']}]" if "wire" in found else "an unnamed wire",
    )


def make_mutants(spec: TileSpec, count: int, seed: int = 1) -> Mutants:
    """Draw ``count`` mutations, evenly over cells and wires, without clock pins (a clock tree is not this design's)."""
    source = design_rtlil(lambda place: Tile(spec, place), TOP, tile_ports(spec))
    # The passes of the emitter; flattened, so that an instance can differ from its siblings.
    flat = ["read_rtlil source.il", f"hierarchy -top {TOP}", "proc -norom", "opt_expr -keepdc", "opt_clean", "opt_dff"]
    flat += ["flatten", "opt_clean -purge", "write_rtlil flat.il"]
    with tempfile.TemporaryDirectory(prefix="hwgen-mutate-") as name:
        folder = Path(name)
        (folder / "source.il").write_text(source)
        # About one pin in thirty is a clock.
        yosys([*flat, f"mutate -list {count + count // 10 + 10} -seed {seed} -o list.txt"], folder)
        found = [_parse(line) for line in (folder / "list.txt").read_text().splitlines()]
        mutations = tuple(m for m in found if m.port != "CLK")[:count]
        bits = len(mutations).bit_length()
        apply = [f"mutate -ctrl mutsel {bits} {n} {m.command}" for n, m in enumerate(mutations, 1)]
        yosys(["read_rtlil flat.il", *apply, GATES, "opt_clean", "write_verilog -noattr -simple-lhs mutants.v"], folder)
        return Mutants(spec, mutations, (folder / "flat.il").read_text(), (folder / "mutants.v").read_text())


def vectors(spec: TileSpec, seed: int = 1, *, plain: bool = False) -> Vectors:
    """The stimuli of the contract suite in every mode as one stream; the input ``i_cut`` says when the bench resets.

    ``plain``: as many as `hwgen.verify.check_contract` runs, and no more.
    """
    modes = range(len(spec.modes()))
    # What normalising accumulators meet depends on more.
    groups = None if plain else (800 if spec.sums_add_up else 2400) // len(modes)
    resets = [run for mode in modes for run in reset_runs(spec, seed + 100 * mode, mode)[:-1]]
    parts = [part for mode in modes for part in _runs(spec, seed + 100 * mode, mode, groups)]
    rng = np.random.default_rng(seed + 2)
    for mode in modes:
        parts.append(random_steps(spec, seed + 1 + 100 * mode, mode=mode))
    sizes = [len(part) for part in parts]
    gaps = rng.integers(0, 2 * spec.step_cycles_max + 2, size=sum(sizes)) * (rng.random(sum(sizes)) < 0.5)
    gaps[: sum(sizes[: -len(modes)])] = 0
    runs: list[tuple[list[Steps], int | None]] = [([steps], cut) for steps, cut in resets]
    runs.append((parts, None))
    packed, idle, cuts, values, cycles = [], [], [], [], []
    begin = 0
    for group, cut in runs:
        accepted, predicted = timeline(spec, group[0], None if cut is not None else gaps, group[1:])
        # A step on offer in the cycle of the reset is dropped with all that follow it.
        offered = len(accepted) if cut is None else int((accepted < cut).sum()) + 1
        seen = len(predicted) if cut is None else int((predicted <= cut).sum())
        wanted = [run_steps(spec, steps) for steps in group]
        if spec.lanes:
            beats = {"o_y": np.concatenate([want.y for want in wanted if want.y is not None])}
        else:
            beats = {"o_sums": np.concatenate([want.sums for want in wanted])}
            beats["o_row_sums"] = np.concatenate([want.rows for want in wanted])
        words = [port_words(spec, steps) for steps in group]
        packed.append({name: np.concatenate([part[name] for part in words])[:offered] for name in words[0]})
        idle.append(np.zeros(offered, np.int64) if cut is not None else gaps)
        cuts.append(np.full((offered, 1), 0 if cut is None else cut + 1, np.uint32))
        values.append({name: beat[:seen].reshape(seen, beat[0].size) for name, beat in beats.items()})
        cycles.append(predicted[:seen] + begin)
        begin += 0 if cut is None else cut + 1
    inputs = {name: np.concatenate([part[name] for part in packed]) for name in packed[0]}
    outputs = {port.name: port for port in tile_ports(spec) if port.direction == "output"}
    expected = {
        name: pack_words(np.concatenate([part[name] for part in values]), outputs[name].bits)
        for name in values[0]
        if name in outputs
    }
    return Vectors(
        inputs | {"i_cut": np.concatenate(cuts)},
        np.concatenate(idle),
        expected,
        np.concatenate(cycles).astype(np.uint64),
    )


def _runs(spec: TileSpec, seed: int, mode: int, groups: int | None) -> list[Steps]:
    """What the tile runs in one mode without a break; without ``groups`` what the contract suite runs."""
    if groups is None:
        runs = [reset_runs(spec, seed, mode)[-1][0], corner_steps(spec, seed + 3, mode=mode)]
        runs += [random_steps(spec, seed + 4, mode=mode), abandoned_steps(spec, seed + 5, mode)]
        if spec.overflow == "refuse":
            runs.append(full_steps(spec, seed + 7, mode=mode))
        return [*runs, scale_steps(spec, seed + 6, mode=mode)] if spec.scales_by_lanes else runs
    runs = [
        reset_runs(spec, seed, mode)[-1][0],
        corner_steps(spec, seed + 3, mode=mode, peaks=4),
        random_steps(spec, seed + 4, groups=groups, mode=mode),
        abandoned_steps(spec, seed + 5, mode),
    ]
    return [*runs, scale_steps(spec, seed + 6, results=28800, mode=mode)] if spec.scales_by_lanes else runs


def _bench(spec: TileSpec, select_bits: int) -> tuple[str, list[Port]]:
    """A module around the mutants that resets them in cycle ``i_cut`` − 1 of a run and then takes the step on offer."""
    ports = [Port("clk", 1, "input"), Port("rst", 1, "input")]
    ports += [Port(p.name, p.width, "input" if p.direction == "input" else "output") for p in tile_ports(spec)]
    ports += [Port("i_cut", _CUT_BITS, "input"), Port("mutsel", select_bits, "input")]
    inner = {port.name: port.name for port in ports if port.name != "i_cut"} | {"rst": "rst | cut", "i_ready": "ready"}
    lines = ["module bench(" + ", ".join(port.name for port in ports) + ");"]
    lines += [f"  {port.direction} [{port.width - 1}:0] {port.name};" for port in ports]
    lines += [
        f"  reg [{_CUT_BITS - 1}:0] age;",
        "  wire ready;",
        "  wire cut = i_valid & (i_cut != 0) & (age + 1'b1 == i_cut);",
        "  assign i_ready = ready | cut;",
        "  always @(posedge clk) age <= rst | cut ? 0 : age + i_valid;",
        f"  {TOP} tile(" + ", ".join(f".{name}({value})" for name, value in inner.items()) + ");",
        "endmodule",
    ]
    return "\n".join(lines) + "\n", ports


def run_mutants(mutants: Mutants, stimuli: Vectors) -> Outcome:
    """Run every mutation until it first differs. Raises AssertionError when the tile itself differs."""
    bench, ports = _bench(mutants.spec, mutants.select_bits)
    protocol = StreamProtocol(skew=skew_slices(tile_ports(mutants.spec)))
    program = build(mutants.verilog + bench, "bench", ports, protocol, opt="-O1")
    found = program.run_many(
        stimuli.inputs,
        stimuli.expected,
        [{"mutsel": number} for number in range(len(mutants.mutations) + 1)],
        beat_cycles=stimuli.cycles,
        idle=stimuli.idle,
        max_cycles=64,
    )
    assert not found.caught[0], (
        f"the tile differs from its reference: {found.reasons[0]} of beat {found.first_mismatch[0]}"
    )
    return Outcome(mutants, found.reasons[1:])
