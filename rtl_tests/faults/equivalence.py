"""Is a mutation that no vector caught the same machine? Proofs by Yosys' SAT solver, on netlists with registers cut.

Both netlists become one function (state, inputs) → (next state, outputs). Let the tile run ``frames`` cycles from any
state whatever; then let tile and mutant, in the same state and with the same inputs, do one more. The claim is that
next states and outputs agree (data outputs where ``o_valid`` is, or was, high; ``i_ready`` where a step is on
offer). By induction over cycles the mutant never leaves the tile's path; its first cycles, which have a shorter past,
are proved from the reset state. What tile and mutant make of registers without a reset may differ there, so that
otherwise it is enough that both, with these at 0, have the same outputs for ``frames`` cycles and the same state then.

A pipeline whose registers keep their values may be in states that no step ever brought about, in any number of frames.
So the first attempt takes the registers within the logic of blocks as wires: where tile and mutant are the same machine
then, all that flows through these registers is the same too.

Inputs follow the protocol: a step on offer stays until it is accepted or the tile is reset. Where equal states are too
much to ask, `Prover.prove` looks for one of four weaker relations, each of which is part of what is then proved:

* idle: a register is compared only where a one-bit register says that it is in use;
* unused: some bits of a register are compared only where a one-bit register says that it is in use and one of a few
  bits, such as the mode, is not a certain value; one proof for each value of the two;
* apart: some bits of registers are not compared. Tile and mutant run side by side, those bits of the mutant with any
  value at first, and the others agree up to the last cycle: then they agree after it, and so do outputs;
* zeros: bits of registers that are always 0 in the tile, itself proved by induction.

The last one says nothing about sums before the first group: there registers start at 0.
"""

from __future__ import annotations

import itertools
import re
import resource
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hwgen.frame.interface import tile_ports
from hwgen.frame.ports import PortInfo
from rtl_tests.faults.mutation import GATES, TOP, Mutants, Mutation, OutOfTimeError, yosys

__all__ = ["Proof", "Prover"]

_FLIP_FLOP = re.compile(r"^  cell \$dff (?P<name>\S+)\n(?P<body>(?:    .*\n)*?)  end\n", re.M)
# Most processor time, in seconds, of a proof step, and of either search for a relation (which finishes its last step).
_TIMEOUT_S = 20
_SEARCH_S = 120
_FRAMES = (0, 1, 3)


def _spent() -> float:
    """Processor time of child processes so far, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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
    registers: Mapping[str, Register]


@dataclass(frozen=True)
class _Relation:
    """How the mutant's state relates to the tile's, beyond being equal; register cells by name."""

    idle: Mapping[str, str | None] = field(default_factory=dict)
    unused: Mapping[str, tuple[int, str, int, str]] = field(default_factory=dict)
    apart: Mapping[str, int] = field(default_factory=dict)
    zeros: Mapping[str, int] = field(default_factory=dict)


_WITHIN = re.compile(r"\.(inner|adder\d+)\.\w+_s\d+$")
"""Registers that cuts and loops of several cycles put into the logic of a block."""


def _cut(rtlil: str, numbers: dict[str, str], module: str, through: Collection[str] = ()) -> _Cut:
    """``through``: registers that are wires, by the names of their cells."""
    registers = {}

    def replace(match: re.Match[str]) -> str:
        body = dict(re.findall(r"^    (?:connect|parameter) \\(\w+) (.*)$", match["body"], re.M))
        if match["name"] in through:
            return f"  connect {body['Q']} {body['D']}\n"
        label, width = numbers.setdefault(match["name"], str(len(numbers))), int(body["WIDTH"])
        registers[match["name"]] = Register(label, width, body["Q"].lstrip("\\"))
        port = 1000 + 2 * int(label)
        return (
            f"  wire width {width} input {port} \\q{label}\n  wire width {width} output {port + 1} \\d{label}\n"
            f"  connect {body['Q']} \\q{label}\n  connect \\d{label} {body['D']}\n"
        )

    text = _FLIP_FLOP.sub(replace, rtlil)
    return _Cut(text.replace(f"module \\{TOP}\n", f"module \\{module}\n"), registers)


def _mixed(width: int, mask: int, plain: str, other: str) -> str:
    """Bits of ``plain``, where ``mask`` is set those of ``other``: a concatenation, which costs the solver nothing."""
    return f"{{{', '.join(f'{other if mask >> bit & 1 else plain}[{bit}]' for bit in reversed(range(width)))}}}"


def _late(port: PortInfo) -> dict[int, int]:
    """Bits of a data output by the cycles that they come after ``o_valid``, as masks."""
    found: dict[int, int] = {}
    for index, late in enumerate(port.delays()):
        found[late] = found.get(late, 0) | (((1 << port.bits) - 1) << (index * port.bits))
    return found


def _seen(frame: int, from_reset: bool) -> str:
    """Whether data count that go with ``o_valid`` of a frame: of one before the first it is not known, but for a reset,
    which no beat is older than.
    """
    if frame >= 0:
        return f"f{frame}_o_valid"
    return "1'b0" if from_reset else "1'b1"


def _differs(port: PortInfo, frame: int, other: str, from_reset: bool) -> str:
    """Whether an output of the mutant, whose name begins with ``other``, is seen to differ from the tile's."""
    apart = f"({other}{port.name} ^ f{frame}_{port.name})"
    if port.name == "i_ready":
        return f"f{frame}_i_valid & ({apart} != 0)"
    if port.role not in ("sums", "row_sums", "y"):
        return f"{apart} != 0"
    terms = (
        f"({_seen(frame - late, from_reset)} & (({apart} & {port.width}'h{mask:x}) != 0))"
        for late, mask in _late(port).items()
    )
    return " | ".join(terms)


class _Bench:
    """Verilog around the cut tile: `frames` + 1 cycles in a row from a first state."""

    def __init__(
        self,
        prover: Prover,
        frames: int,
        from_reset: bool,
        relation: _Relation,
        from_zero: bool = False,
    ) -> None:
        self.prover, self.registers = prover, prover.gold.registers
        self.ports: list[str] = []
        self.lines: list[str] = []
        self.legal: list[str] = ["1'b1"]
        self.bad: dict[str, str] = {}
        self.flags: dict[str, str] = {}
        for name, r in self.registers.items():
            known = prover.resets.get(name, 0 if from_zero or relation.zeros else None)
            if from_reset and known is not None:
                self.wire(f"s0_{r.label}", r.width, f"{r.width}'d{known}")
            else:
                self.ports.append(f"input [{r.width - 1}:0] s0_{r.label}")
        for frame in range(frames + 1):
            self._frame(frame, relation)

    def wire(self, name: str, width: int, value: str = "") -> None:
        self.lines.append(f"  wire [{width - 1}:0] {name}{f' = {value}' if value else ''};")

    def fix(self, name: str, width: int, value: int) -> None:
        """Make a first state, which is an input so far, a constant."""
        port = f"input [{width - 1}:0] {name}"
        if port in self.ports:
            self.ports.remove(port)
            self.lines.insert(0, f"  wire [{width - 1}:0] {name} = {width}'d{value};")
        else:
            self.legal.append(f"{name} == {value}")

    def _frame(self, frame: int, relation: _Relation) -> None:
        inputs, outputs = self.prover.inputs, self.prover.outputs
        self.ports += [f"input [{port.width - 1}:0] f{frame}_{port.name}" for port in inputs]
        self.ports.append(f"input f{frame}_rst")
        for port in outputs:
            self.wire(f"f{frame}_{port.name}", port.width)
        for r in self.registers.values():
            self.wire(f"s{frame + 1}_{r.label}", r.width)
        states = {name: f"s{frame}_{r.label}" for name, r in self.registers.items()}
        self.instance("gold", f"frame{frame}", frame, states, f"s{frame + 1}_", f"f{frame}_")
        for name, mask in relation.zeros.items():
            r = self.registers[name]
            self.legal.append(f"(s{frame}_{r.label} & {r.width}'h{mask:x}) == 0")
        for name in () if frame else self.prover.offered:
            self.legal.append(f"(f0_i_valid | s0_{self.registers[name].label} == {self.prover.resets[name]})")
        if frame:
            before = f"f{frame - 1}"
            held = " & ".join(f"f{frame}_{port.name} == {before}_{port.name}" for port in inputs)
            self.legal.append(f"(!({before}_i_valid & !{before}_i_ready & !{before}_rst) | ({held}))")

    def instance(self, module: str, name: str, frame: int, state: Mapping[str, str], to: str, out: str) -> None:
        pins = [f".{port.name}(f{frame}_{port.name})" for port in self.prover.inputs]
        pins += [f".{port.name}({out}{port.name})" for port in self.prover.outputs]
        pins.append(f".rst(f{frame}_rst)")
        for register, signal in state.items():
            label = self.registers[register].label
            pins += [f".q{label}({signal})", f".d{label}({to}{label})"]
        self.lines.append(f"  {module} {name}({', '.join(pins)});")

    def text(self) -> str:
        # Outputs, or optimisation would take them away before they can be shown.
        shown = [f"  assign {name} = {value};" for name, value in self.bad.items()]
        ends = [f"  assign legal = {' & '.join(f'({term})' for term in self.legal)};"]
        ends.append(f"  assign bad = {' | '.join(self.bad)};")
        ends += [f"  assign {name} = {value};" for name, value in self.flags.items()]
        outputs = [f"output {name}" for name in ("legal", "bad", *self.bad, *self.flags)]
        head = f"module miter({', '.join([*self.ports, *outputs])});"
        return "\n".join([head, *self.lines, *shown, *ends, "endmodule"]) + "\n"


class Prover:
    """Proofs about the mutants of one tile."""

    def __init__(self, mutants: Mutants, through: Collection[str] = ()) -> None:
        self.mutants, self._through = mutants, through
        ports = tile_ports(mutants.spec)
        self.inputs = [port for port in ports if port.direction == "input"]
        self.outputs = [port for port in ports if port.direction == "output"]
        self._numbers: dict[str, str] = {}
        self.gold = self._netlist(None, self._numbers)
        self.resets = {name: value for name, value in self._reset_values().items() if name in self.gold.registers}
        spec = mutants.spec
        cuts = sum(getattr(spec, name) - p.default for name, p in spec.cut_parameters().items())
        # What is in a pipeline of so many registers more was made by the tile after so many cycles more.
        self.frames = (*_FRAMES, *((_FRAMES[-1] + cuts,) if cuts else ()))
        self.offered: tuple[str, ...] = ()
        self.offered = tuple(name for name in self.resets if self._means_an_offer(name))

    def _netlist(self, mutation: Mutation | None, numbers: dict[str, str]) -> _Cut:
        return _cut(self._plain(mutation), numbers, "gate" if mutation else "gold", self._through)

    def _plain(self, mutation: Mutation | None) -> str:
        """The netlist, mutated, with plain flip-flops: enables and resets are logic."""
        with tempfile.TemporaryDirectory(prefix="hwgen-prove-") as name:
            folder = Path(name)
            (folder / "flat.il").write_text(self.mutants.rtlil)
            change = [] if mutation is None else [f"mutate {mutation.command}"]
            yosys(["read_rtlil flat.il", *change, GATES, "dffunmap", "write_rtlil -selected plain.il"], folder)
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

    def _solve(self, bench: _Bench, gate: _Cut | None = None) -> list[str] | None:
        """Names in ``bench.bad`` and ``bench.flags`` that a counterexample sets (none: proved); None: it did not
        finish.
        """
        with tempfile.TemporaryDirectory(prefix="hwgen-prove-") as name:
            folder = Path(name)
            (folder / "gold.il").write_text(self.gold.text)
            (folder / "gate.il").write_text(gate.text if gate else "")
            (folder / "miter.v").write_text(bench.text())
            shown = " ".join(f"-show {signal}" for signal in bench.bad)
            flags = " ".join(f"-show {signal}" for signal in bench.flags)
            commands = ["read_rtlil gold.il", "read_rtlil gate.il", "read_verilog miter.v", "hierarchy -top miter"]
            commands += ["proc", "flatten", "opt -full", "opt_merge -share_all"]
            commands.append(f"sat -set legal 1 -prove bad 0 {shown} {flags} miter")
            try:
                log = yosys(commands, folder, cpu_s=_TIMEOUT_S)
            except OutOfTimeError:
                return None
        if "no model found: SUCCESS" in log:
            return []
        assert "model found: FAIL" in log, log[-2000:]
        return re.findall(r"^\s*\\(\w+)\s+1\b", log, re.M)

    def _means_an_offer(self, name: str) -> bool:
        """Whether a register leaves its reset value only while a step is on offer: so by the protocol, by induction."""
        r = self.gold.registers[name]
        bench = _Bench(self, 1, False, _Relation())
        bench.legal.append(f"f0_i_valid | s0_{r.label} == {self.resets[name]}")
        bench.bad["idle"] = f"!f1_i_valid & s1_{r.label} != {self.resets[name]}"
        return self._solve(bench) == []

    @cached_property
    def _flags(self) -> list[str]:
        return [name for name, r in self.gold.registers.items() if r.width == 1]

    # ------------------------------------------------------------------ one claim

    def check(self, gate: _Cut, frames: int, from_reset: bool, relation: _Relation) -> list[str] | None:
        """What a counterexample sets (none: proved; None: the solver gave up): diff_<label of a register, or output>,
        and set_<label> of one-bit registers that are then set."""
        registers = sorted({name for _, *names in relation.unused.values() for name in names if isinstance(name, str)})
        for values in itertools.product(*(range(1 << self.gold.registers[name].width) for name in registers)):
            known = dict(zip(registers, values, strict=True))
            found = self._solve(self._claim(frames, from_reset, relation, known), gate)
            if found != []:
                return found
        return []

    def _claim(self, frames: int, from_reset: bool, relation: _Relation, known: Mapping[str, int]) -> _Bench:
        """Tile and mutant, and what must be 0 for `check`; in the last frame registers ``known`` have these values."""
        registers = self.gold.registers
        bench = _Bench(self, frames, from_reset, relation)
        self._run_beside(bench, frames, from_reset, relation)
        state = {name: f"s{frames}_{r.label}" for name, r in registers.items()}

        def flag(name: str, frame: int) -> str:
            return f"s{frame}_{registers[name].label}"

        for name, condition in relation.idle.items():
            r = registers[name]
            bench.ports.append(f"input [{r.width - 1}:0] free_{r.label}")
            used = "1'b0" if condition is None else flag(condition, frames)
            bench.wire(f"g_{r.label}", r.width, f"{used} ? {state[name]} : free_{r.label}")
            state[name] = f"g_{r.label}"

        def unused(name: str, frame: int) -> str:
            mask, selector, value, used = relation.unused[name]
            width = registers[name].width
            return f"({width}'h{mask:x} & {{{width}{{!{flag(used, frame)} | {flag(selector, frame)} == {value}}}}})"

        for name in relation.unused:
            r, (mask, selector, value, used) = registers[name], relation.unused[name]
            bench.ports.append(f"input [{r.width - 1}:0] free_{r.label}")
            free = f"!{flag(used, frames)} | {flag(selector, frames)} == {value}"
            bench.wire(f"other_{r.label}", r.width, f"({free}) ? free_{r.label} : s{frames}_{r.label}")
            bench.wire(f"g_{r.label}", r.width, _mixed(r.width, mask, f"s{frames}_{r.label}", f"other_{r.label}"))
            state[name] = f"g_{r.label}"
        state |= self._apart(frames, relation)
        for r in registers.values():
            bench.wire(f"n_{r.label}", r.width)
        for port in self.outputs:
            bench.wire(f"g_{port.name}", port.width)
        bench.instance("gate", "mutant", frames, state, "n_", "g_")
        after = frames + 1
        for name, r in registers.items():
            want, used = f"s{after}_{r.label}", "1'b1"
            if name in relation.idle:
                condition = relation.idle[name]
                used = "1'b0" if condition is None else flag(condition, after)
            compared = self._compared(name, relation)
            if name in relation.unused:
                compared = f"~{unused(name, after)}"
            bench.bad[f"diff_{r.label}"] = f"{used} & (((n_{r.label} ^ {want}) & {compared}) != 0)"
        for port in self.outputs:
            bench.bad[f"diff_{port.name}"] = _differs(port, frames, "g_", from_reset)
        for name, number in known.items():
            bench.fix(f"s{frames}_{registers[name].label}", registers[name].width, number)
        bench.flags = {f"set_{registers[name].label}": flag(name, after) for name in self._flags}
        return bench

    def _compared(self, name: str, relation: _Relation) -> str:
        """Mask of the bits of a register that are not ``apart``."""
        width = self.gold.registers[name].width
        return f"{width}'h{((1 << width) - 1) & ~relation.apart.get(name, 0):x}"

    def _apart(self, frame: int, relation: _Relation) -> dict[str, str]:
        """State of the mutant in a frame, where it may differ from the tile's."""
        return {
            name: _mixed(r.width, mask, f"s{frame}_{r.label}", f"a{frame}_{r.label}")
            for name, mask in relation.apart.items()
            for r in (self.gold.registers[name],)
        }

    def _run_beside(self, bench: _Bench, frames: int, from_reset: bool, relation: _Relation) -> None:
        """The mutant in the cycles before the last one, agreeing with the tile in all that is not ``apart``."""
        if not relation.apart:
            return
        registers = self.gold.registers
        for name in relation.apart:
            r = registers[name]
            if from_reset and name in self.resets:
                bench.wire(f"a0_{r.label}", r.width, f"{r.width}'d{self.resets[name]}")
            else:
                bench.ports.append(f"input [{r.width - 1}:0] a0_{r.label}")
        for frame in range(frames):
            for port in self.outputs:
                bench.wire(f"b{frame}_{port.name}", port.width)
            for r in registers.values():
                bench.wire(f"a{frame + 1}_{r.label}", r.width)
            state = {name: f"s{frame}_{r.label}" for name, r in registers.items()} | self._apart(frame, relation)
            bench.instance("gate", f"beside{frame}", frame, state, f"a{frame + 1}_", f"b{frame}_")
            for name, r in registers.items():
                mask = self._compared(name, relation)
                bench.legal.append(f"((a{frame + 1}_{r.label} ^ s{frame + 1}_{r.label}) & {mask}) == 0")

    def _holds(self, gate: _Cut, frames: int, relation: _Relation) -> bool:
        """Induction step and the first cycles after a reset."""
        if self.check(gate, frames, False, relation) != []:
            return False
        if all(self.check(gate, shorter, True, relation) == [] for shorter in range(frames)):
            return True
        return relation == _Relation() and self._solve(self._beginning(frames), gate) == []

    def _beginning(self, frames: int) -> _Bench:
        """Tile and mutant each on its own from the reset on: the same outputs, and the same state at the end."""
        bench = _Bench(self, frames - 1, True, _Relation(), from_zero=True)
        state = {name: f"s0_{r.label}" for name, r in self.gold.registers.items()}
        for frame in range(frames):
            for port in self.outputs:
                bench.wire(f"b{frame}_{port.name}", port.width)
                bench.bad[f"diff{frame}_{port.name}"] = _differs(port, frame, f"b{frame}_", True)
            for r in self.gold.registers.values():
                bench.wire(f"t{frame + 1}_{r.label}", r.width)
            bench.instance("gate", f"beside{frame}", frame, state, f"t{frame + 1}_", f"b{frame}_")
            state = {name: f"t{frame + 1}_{r.label}" for name, r in self.gold.registers.items()}
        for r in self.gold.registers.values():
            bench.bad[f"diff_{r.label}"] = f"t{frames}_{r.label} != s{frames}_{r.label}"
        return bench

    # ------------------------------------------------------------------ the search

    def prove(self, mutation: Mutation) -> Proof:
        """Prove a mutation equivalent, with as few frames and as simple a relation as will do."""
        gate = self._netlist(mutation, dict(self._numbers))
        assert gate.registers.keys() == self.gold.registers.keys(), "a mutation must keep the registers"
        if self._without_cuts is not None:
            found_so = self._without_cuts.prove(mutation)
            if found_so.equivalent:
                return Proof(True, f"{found_so.how}; with registers within blocks as wires")
        problem = ""
        deadline = _spent() + _SEARCH_S
        for frames in _FRAMES if self._through else self.frames:
            found = self.check(gate, frames, False, _Relation())
            if found is None:
                problem = f"the solver gave up after {_TIMEOUT_S} s with {frames} frames"
                break
            if not found and self._holds(gate, frames, _Relation()):
                return Proof(True, self._explain(frames, _Relation()))
            differing = [name.removeprefix("diff_") for name in found if name.startswith("diff_")]
            problem = f"differs in {', '.join(self._names(differing))} after {frames} frames"
            if frames == 1:
                continue
            refuted = {name for name in self._flags if f"set_{self.gold.registers[name].label}" in found}
            for relation in self._relations(mutation, frames, differing, refuted):
                if _spent() > deadline:
                    break
                if self._holds(gate, frames, relation):
                    return Proof(True, self._explain(frames, relation))
        deadline = _spent() + _SEARCH_S
        for frames, relation in self._bitwise(gate):
            if self._holds(gate, frames, relation):
                return Proof(True, self._explain(frames, relation))
            if _spent() > deadline:
                break
        return Proof(False, problem)

    @cached_property
    def _without_cuts(self) -> Prover | None:
        """Proofs about the same netlists without registers within blocks; None where there are none."""
        within = [name for name, r in self.gold.registers.items() if _WITHIN.search(r.wire.split(" ")[0])]
        return Prover(self.mutants, through=within) if within else None

    def _bitwise(self, gate: _Cut) -> Iterator[tuple[int, _Relation]]:
        """Relations about just those bits that one cycle can set apart, with their frames."""
        masks = self._first_differences(gate)
        if masks:
            yield from ((0, relation) for relation in self._unused(masks))
            yield from ((frames, _Relation(apart=masks)) for frames in (1, 2, 3))

    def _unused(self, masks: Mapping[str, int]) -> Iterator[_Relation]:
        """Relations in which bits are unused while a register of two or three bits has one of its values."""
        for selector, r in self.gold.registers.items():
            if selector not in masks and r.width in (2, 3):
                for value, used in itertools.product(range(1 << r.width), self._flags):
                    if used in self.resets and used not in masks:
                        yield _Relation(unused={name: (mask, selector, value, used) for name, mask in masks.items()})

    def _first_differences(self, gate: _Cut) -> dict[str, int]:
        """Masks of the register bits that one cycle from equal states can set apart; empty where outputs show it too,
        or where the solver gave up."""
        cells = {r.label: name for name, r in self.gold.registers.items()}
        masks: dict[str, int] = {}
        while True:
            bench = self._claim(0, False, _Relation(), {})
            for name, mask in masks.items():
                r = self.gold.registers[name]
                del bench.bad[f"diff_{r.label}"]
                for bit in (bit for bit in range(r.width) if not mask >> bit & 1):
                    bench.bad[f"bit_{r.label}_{bit}"] = f"n_{r.label}[{bit}] ^ s1_{r.label}[{bit}]"
            found = self._solve(bench, gate)
            if found is None:
                return {}
            signals = [name.split("_", 1) for name in found if not name.startswith("set_")]
            if not signals:
                return masks
            for kind, rest in signals:
                label, _, bit_text = rest.partition("_")
                if label not in cells:
                    return {}
                masks[cells[label]] = masks.get(cells[label], 0) | (1 << int(bit_text) if kind == "bit" else 0)

    def _relations(self, mutation: Mutation, frames: int, found: list[str], refuted: set[str]) -> Iterator[_Relation]:
        """Weaker relations that may hold where registers ``found`` (labels, or outputs by name) differ while the
        one-bit registers ``refuted`` are set."""
        cells = {r.label: name for name, r in self.gold.registers.items()}
        names = [cells[label] for label in found if label in cells]
        if frames and mutation.control is not None and mutation.cell in self.gold.registers:
            # What a bit of the register controls does not matter where that bit is never set.
            zeros = self._zeros([mutation.cell], frames)
            if zeros:
                yield _Relation(zeros=zeros)
        if not names or len(names) != len(found) or len(names) > 2:
            return
        if frames:
            # First, for there is but one.
            zeros = self._zeros(names, frames)
            if zeros:
                yield _Relation(zeros=zeros)
        for condition in (None, *self._flags):
            if condition not in names and condition not in refuted:
                yield _Relation(idle=dict.fromkeys(names, condition))

    def _zeros(self, names: list[str], frames: int) -> dict[str, int]:
        """Bits of registers that stay 0 once all registers are 0: the largest set that induction proves."""
        registers = self.gold.registers
        masks = {name: (1 << registers[name].width) - 1 for name in names}
        while any(masks.values()):
            # From the reset state first: it refutes most, and is the base of the induction.
            for from_reset in (True, False):
                relation = _Relation(zeros={name: mask for name, mask in masks.items() if mask})
                bench = _Bench(self, frames, from_reset, relation)
                for name, mask in relation.zeros.items():
                    r = registers[name]
                    for bit in (bit for bit in range(r.width) if mask >> bit & 1):
                        bench.bad[f"set_{r.label}_{bit}"] = f"s{frames + 1}_{r.label}[{bit}]"
                found = self._solve(bench)
                if found is None:
                    return {}
                if found:
                    break
            if not found:
                return {name: mask for name, mask in masks.items() if mask}
            for signal in found:
                _, label, bit_text = signal.split("_")
                name = next(cell for cell in masks if registers[cell].label == label)
                masks[name] &= ~(1 << int(bit_text))
        return {}

    def _names(self, differences: list[str]) -> list[str]:
        wires = {r.label: r.wire for r in self.gold.registers.values()}
        return [wires.get(label, label) for label in differences]

    def _explain(self, frames: int, relation: _Relation) -> str:
        registers = self.gold.registers
        how = (
            "same next state and outputs in every state"
            if not frames
            else f"the same after {frames} cycles from any state"
        )
        for name, condition in relation.idle.items():
            used = "is never looked at" if condition is None else f"matters only with {registers[condition].wire}"
            how += f"; {registers[name].wire} {used}"
        for name, (mask, selector, value, used) in relation.unused.items():
            how += f"; bits {mask:#x} of {registers[name].wire} matter only with {registers[used].wire} and "
            how += f"{registers[selector].wire} other than {value}"
        for name, mask in relation.apart.items():
            how += f"; bits {mask:#x} of {registers[name].wire} may differ, which changes nothing"
        for name, mask in relation.zeros.items():
            how += f"; bits {mask:#x} of {registers[name].wire} are always 0"
        return how
