"""Is a mutation that no vector caught the same machine? A proof by Yosys' SAT solver, on the netlist with registers cut.

Both netlists become one function (state, inputs) → (next state, outputs). With G the tile, M the mutant and frames of
logic one after the other, the claim that is proved, for every state, is:

    the tile runs `frames` cycles from any state that it may start from; then G and M, in that same state and with the same
    inputs, give the same next state and the same outputs (data outputs only in cycles with o_valid).

By induction over cycles M then never leaves the path of G. That holds from reset on: the proof is made twice, with the first
state free (a state that has a past of `frames` cycles), and from the reset state for each shorter past, registers without
reset being free. Inputs follow the protocol: an offered step stays until it is accepted.

A register may be *idle*: compared only where a one-bit register says that it is in use. `prove` finds that one by trying.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hwgen.emit._ports import tile_ports
from rtl_tests.faults.mutation import TOP, Mutants, Mutation, yosys

__all__ = ["Proof", "prove"]

_FLIP_FLOP = re.compile(r"^  cell \$dff (?P<name>\S+)\n(?P<body>(?:    .*\n)*?)  end\n", re.M)
_TIMEOUT_S = 60


@dataclass(frozen=True)
class Register:
    """A flip-flop cell: ``label`` is its number in the netlists, ``wire`` what the design calls its output."""

    label: str
    width: int
    wire: str


@dataclass(frozen=True)
class Proof:
    """Whether a mutant is the tile, and how that was shown (or what differed in the last attempt)."""

    equivalent: bool
    how: str


@dataclass(frozen=True)
class _Cut:
    """A netlist as a combinational RTLIL module with inputs q<n> and outputs d<n>."""

    text: str
    registers: dict[str, Register] = field(default_factory=dict)


def _cut(rtlil: str, numbers: dict[str, str], module: str) -> _Cut:
    registers = {}

    def replace(match: re.Match[str]) -> str:
        body = dict(re.findall(r"^    (?:connect|parameter) \\(\w+) (.*)$", match["body"], re.M))
        label, width = numbers.setdefault(match["name"], str(len(numbers))), int(body["WIDTH"])
        registers[match["name"]] = Register(label, width, body["Q"].lstrip("\\"))
        port = 1000 + 2 * int(label)
        return (
            f"  wire width {width} input {port} \\q{label}\n  wire width {width} output {port + 1} \\d{label}\n"
            f"  connect {body['Q']} \\q{label}\n  connect \\d{label} {body['D']}\n"
        )

    text = _FLIP_FLOP.sub(replace, rtlil)
    return _Cut(text.replace(f"module \\{TOP}\n", f"module \\{module}\n"), registers)


class Prover:
    """Proofs about the mutants of one tile."""

    def __init__(self, mutants: Mutants) -> None:
        self.mutants = mutants
        self.ports = tile_ports(mutants.spec)
        self.inputs = [(port.name, port.width) for port in self.ports if port.direction == "input"]
        self.numbers: dict[str, str] = {}
        self.gold = _cut(self._plain(None), self.numbers, "gold")
        self.resets = self._reset_values()

    def _plain(self, mutation: Mutation | None) -> str:
        """The netlist, mutated, with plain flip-flops: enables and resets are logic."""
        with tempfile.TemporaryDirectory(prefix="hwgen-prove-") as name:
            folder = Path(name)
            (folder / "flat.il").write_text(self.mutants.rtlil)
            change = [] if mutation is None else [f"mutate {mutation.command}"]
            yosys(["read_rtlil flat.il", *change, "dffunmap", "write_rtlil -selected plain.il"], folder)
            return (folder / "plain.il").read_text()

    def _reset_values(self) -> dict[str, int]:
        """Registers that a reset sets, with their value."""
        found = {}
        cell = re.compile(r"^  cell \$sdff\w* (\S+)\n((?:    .*\n)*?)  end\n", re.M)
        for name, body in cell.findall(self.mutants.rtlil):
            value = re.search(r"SRST_VALUE \d+'([01]+)", body)
            assert value, f"reset value of {name}"
            found[name] = int(value[1], 2)
        return found

    # ------------------------------------------------------------------ the miter

    def _miter(self, gate: _Cut, frames: int, from_reset: bool, idle: dict[str, str | None]) -> tuple[str, list[str]]:
        """Verilog around the cut netlists; returns it and the names of its difference signals."""
        registers = self.gold.registers
        lines, ports, assumptions = [], [], []
        states = {name: f"s0_{r.label}" for name, r in registers.items()}
        for name, r in registers.items():
            if from_reset and name in self.resets:
                lines.append(f"  wire [{r.width - 1}:0] s0_{r.label} = {r.width}'d{self.resets[name]};")
            else:
                ports.append(f"input [{r.width - 1}:0] s0_{r.label}")
        for frame in range(frames + 1):
            ports += [f"input [{width - 1}:0] f{frame}_{name}" for name, width in self.inputs]
            ports.append(f"input f{frame}_rst")
            lines += [f"  wire [{port.width - 1}:0] f{frame}_{port.name};" for port in self.ports if port.direction != "input"]
            lines += [f"  wire [{r.width - 1}:0] s{frame + 1}_{r.label};" for r in registers.values()]
            lines.append(self._instance("gold", f"frame{frame}", frame, states, f"s{frame + 1}_", f"f{frame}_"))
            states = {name: f"s{frame + 1}_{r.label}" for name, r in registers.items()}
            if frame:
                held = [f"f{frame}_{name} == f{frame - 1}_{name}" for name, _ in self.inputs]
                before = f"f{frame - 1}"
                assumptions.append(f"(!({before}_i_valid & !{before}_i_ready & !{before}_rst) | ({' & '.join(held)}))")
        last = {name: f"s{frames}_{r.label}" for name, r in registers.items()}
        differences = []
        for name, condition in idle.items():
            r = registers[name]
            ports.append(f"input [{r.width - 1}:0] free_{r.label}")
            used = "1'b0" if condition is None else f"s{frames}_{registers[condition].label}"
            lines.append(f"  wire [{r.width - 1}:0] g_{r.label} = {used} ? s{frames}_{r.label} : free_{r.label};")
            last[name] = f"g_{r.label}"
        lines += [f"  wire [{r.width - 1}:0] n_{r.label};" for r in registers.values()]
        lines += [f"  wire [{port.width - 1}:0] g_{port.name};" for port in self.ports if port.direction != "input"]
        lines.append(self._instance("gate", "mutant", frames, last, "n_", "g_", gate))
        for name, r in registers.items():
            used = "1'b1"
            if name in idle:
                condition = idle[name]
                used = "1'b0" if condition is None else f"s{frames + 1}_{registers[condition].label}"
            differences.append(f"diff_{r.label}")
            lines.append(f"  wire diff_{r.label} = {used} & (n_{r.label} != s{frames + 1}_{r.label});")
        for port in self.ports:
            if port.direction == "output":
                seen = f"f{frames}_o_valid & " if port.role in ("sums", "row_sums", "y") else ""
                # i_ready says something about an offered step only.
                seen = f"f{frames}_i_valid & " if port.name == "i_ready" else seen
                differences.append(f"diff_{port.name}")
                lines.append(f"  wire diff_{port.name} = {seen}(g_{port.name} != f{frames}_{port.name});")
        lines.append("  assign legal = " + " & ".join(assumptions or ["1'b1"]) + ";")
        lines.append("  assign differs = " + " | ".join(differences) + ";")
        head = "module miter(" + ", ".join([*ports, "output legal", "output differs"]) + ");\n"
        return head + "\n".join(lines) + "\nendmodule\n", differences

    def _instance(
        self, module: str, name: str, frame: int, state: dict[str, str], to: str, out: str, cut: _Cut | None = None
    ) -> str:
        pins = [f".{port}(f{frame}_{port})" for port, _ in self.inputs]
        pins += [f".{port.name}({out}{port.name})" for port in self.ports if port.direction != "input"]
        pins.append(f".rst(f{frame}_rst)")
        for register, signal in state.items():
            label = self.gold.registers[register].label
            pins += [f".q{label}({signal})", f".d{label}({to}{label})"]
        return f"  {module} {name}({', '.join(pins)});"

    def check(self, gate: _Cut, frames: int, from_reset: bool, idle: dict[str, str | None]) -> list[str] | None:
        """Differences of a counterexample (none: proved); None when the solver did not finish."""
        text, differences = self._miter(gate, frames, from_reset, idle)
        with tempfile.TemporaryDirectory(prefix="hwgen-prove-") as name:
            folder = Path(name)
            (folder / "gold.il").write_text(self.gold.text)
            (folder / "gate.il").write_text(gate.text)
            (folder / "miter.v").write_text(text)
            shown = " ".join(f"-show {signal}" for signal in differences)
            log = yosys(
                [
                    "read_rtlil gold.il",
                    "read_rtlil gate.il",
                    "read_verilog miter.v",
                    "hierarchy -top miter",
                    "proc",
                    "flatten",
                    "opt -full",
                    "opt_merge -share_all",
                    f"sat -timeout {_TIMEOUT_S} -set legal 1 -prove differs 0 {shown} miter",
                ],
                folder,
                timeout_s=3 * _TIMEOUT_S,
            )
        if "no model found: SUCCESS" in log:
            return []
        if "model found: FAIL" not in log:
            return None
        return re.findall(r"^\s*\\(diff_\w+)\s+1\b", log, re.M)

    # ------------------------------------------------------------------ the search

    def prove(self, mutation: Mutation, deepest: int = 3) -> Proof:
        """Prove a mutation equivalent with as few frames and idle registers as will do."""
        gate = _cut(self._plain(mutation), dict(self.numbers), "gate")
        assert gate.registers.keys() == self.gold.registers.keys(), "a mutation must keep the registers"
        if gate.text.replace("module \\gate", "") == self.gold.text.replace("module \\gold", ""):
            return Proof(True, "the netlist is the same")
        problem = "not proved"
        for frames in range(deepest + 1):
            found = self.check(gate, frames, False, {})
            if found is None:
                return Proof(False, f"the solver gave up after {_TIMEOUT_S} s with {frames} frames")
            idle: dict[str, str | None] = {}
            if found:
                problem = f"differs in {', '.join(self._names(found))} after {frames} frames"
                idle = next(self._idle(gate, frames, found), {})
                if not idle:
                    continue
            if all(self.check(gate, shorter, True, idle) == [] for shorter in range(frames)):
                return Proof(True, self._explain(frames, idle))
        return Proof(False, problem)

    def _idle(self, gate: _Cut, frames: int, found: list[str]) -> Iterator[dict[str, str | None]]:
        """Idle registers with which the proof goes through."""
        labels = {r.label: name for name, r in self.gold.registers.items()}
        names = [labels[signal.removeprefix("diff_")] for signal in found if signal.removeprefix("diff_") in labels]
        if len(names) != len(found) or len(names) > 2:
            return
        flags = [name for name, r in self.gold.registers.items() if r.width == 1 and name not in names]
        for condition in (None, *flags):
            idle = dict.fromkeys(names, condition)
            if self.check(gate, frames, False, idle) == []:
                yield idle

    def _names(self, differences: list[str]) -> list[str]:
        wires = {f"diff_{r.label}": r.wire for r in self.gold.registers.values()}
        return [wires.get(signal, signal.removeprefix("diff_")) for signal in differences]

    def _explain(self, frames: int, idle: dict[str, str | None]) -> str:
        how = "same next state and outputs in every state" if not frames else f"the same after {frames} cycles from any state"
        for name, condition in idle.items():
            used = "is never looked at" if condition is None else f"matters only with {self.gold.registers[condition].wire}"
            how += f"; {self.gold.registers[name].wire} {used}"
        return how


def prove(mutants: Mutants, mutations: tuple[Mutation, ...]) -> dict[Mutation, Proof]:
    """Try to prove each of ``mutations`` equivalent to the tile."""
    prover = Prover(mutants)
    return {mutation: prover.prove(mutation) for mutation in mutations}
