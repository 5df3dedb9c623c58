"""The text of an accelerator with claims beside parts of it, as one machine for ABC.

Yosys reads the Verilog, and nothing of what made it. Parts are modules of the text, or its top: what a part places of
modules that are left out (memories, the tile behind its streams) becomes its ports, so that anything may stand there.
Nets are known by their names in the text: a member that a part's port is named after has `_NAMES` for the others that
it goes by. A net of none of these names is an error, and the claim is open.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Signal, Value
from amaranth.hdl._ast import AnySeq

from hwgen.accelerator import Design
from hwgen.prove.abc import Verdict, decide_aiger
from hwgen.prove.reference import UnknownError
from hwgen.yosys import run_passes

__all__ = ["BEGUN", "Device", "Machine", "Part"]

BEGUN = "formal_begun"
"""Name of registers that are 0 in the first cycle."""
CLAIMS = "claims"
"""Name of the module of claims."""
_SUB = "."
_NAMES = {
    "active": ("active", "to_ask"),
    "addr": ("addr", "next_address"),
    "aw_addr": ("aw_addr", "asked"),
    "aw_length": ("aw_length", "asked_length"),
    "aw_valid": ("aw_valid", "asking"),
    "length": ("length", "burst_length"),
    "queued": ("queued", "waiting"),
    "take": ("take", "entry_taken"),
    "valid": ("valid", "have"),
}
"""Names of a member's net in the text, where several nets are one."""
# Where the text leaves a value open (x), the other way of a choice is taken. `Device.closed` proves that it makes no
# difference; what is still open is anything.
_CLOSE = ("opt_expr -mux_undef", "setundef -anyseq")


class Part:
    """A part of the device as an instance in a module of claims, its outputs as attributes.

    Inputs that are not driven are anything in each cycle, but for clock and reset.
    """

    def __init__(self, m: Module, name: str, module: str, ports: Mapping[str, tuple[str, int]]) -> None:
        self.module, self._m, self._ports = module, m, ports
        self._signals = {port: Signal(width, name=f"{name}_{port}") for port, (_, width) in ports.items()}
        self._driven = {port for port, (way, _) in ports.items() if way == "output"}
        for port, value in (("clk", ClockSignal()), ("aclk", ClockSignal()), ("rst", ResetSignal())):
            if port in ports:
                m.d.comb += self._signals[port].eq(value)
                self._driven.add(port)
        connected = {f"{ports[port][0][0]}_{port}": signal for port, signal in self._signals.items()}
        m.submodules[name] = Instance(module, **connected)

    def _name(self, name: str) -> str:
        for one in _alike(name):
            if one in self._ports:
                return one
        raise UnknownError(f"{self.module} has no net {name} in the text")

    def net(self, name: str) -> Signal:
        """An output, or an input. Raises `UnknownError` for a net that the text has not."""
        return self._signals[self._name(name)]

    def __getattr__(self, name: str) -> Signal:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.net(name)

    def drive(self, **values: Value) -> None:
        """Give inputs values."""
        for name, value in values.items():
            port = self._name(name)
            self._driven.add(port)
            self._m.d.comb += self._signals[port].eq(value)

    def memory(self, place: str) -> None:
        """At the ports of a memory that is left out: any value after a read, which stays until the next one."""
        data = self.net(f"{place}r_data")
        kept = Signal(len(data), reset_less=True, name="any_data")
        with self._m.If(self.net(f"{place}r_en")):
            self._m.d.sync += kept.eq(AnySeq(len(data)))
        self.drive(**{f"{place}r_data": kept})

    def close(self) -> None:
        """All other inputs are anything."""
        for port, signal in self._signals.items():
            if port not in self._driven:
                self._m.d.comb += signal.eq(AnySeq(len(signal)))


def _alike(name: str) -> tuple[str, ...]:
    place, dot, last = name.rpartition(_SUB)
    return tuple(f"{place}{dot}{one}" for one in _NAMES.get(last, (last,)))


@dataclass(frozen=True)
class Machine:
    """And-inverter graph in AIGER format; ``outputs`` are the claims' names in the order of its outputs."""

    aiger: bytes
    outputs: tuple[str, ...]

    def decide(self, claim: str, *, seconds: float = 60, depth: int = 0) -> Verdict:
        """Decide one claim within so many seconds of processor time; with ``depth`` only for so many cycles."""
        return decide_aiger(self._alone(claim), seconds=seconds, depth=depth)

    def parts(self) -> tuple[list[int], list[bytes], list[bytes]]:
        """Numbers of the head, lines of latches and outputs; what follows is the last line."""
        # "aig M I L O A", a line for each latch, one for each output, then gates.
        head, _, rest = self.aiger.partition(b"\n")
        numbers = [int(word) for word in head.split()[1:6]]
        lines = rest.split(b"\n", numbers[2] + numbers[3])
        return numbers, lines[: numbers[2]], lines[numbers[2] :]

    def _alone(self, claim: str) -> bytes:
        """The same graph with one of its outputs."""
        (most, inputs, count, _, gates), latches, others = self.parts()
        kept = [*latches, others[self.outputs.index(claim)], others[-1]]
        return b"\n".join([f"aig {most} {inputs} {count} 1 {gates}".encode(), *kept])


@dataclass(frozen=True)
class Device:
    """Verilog of an accelerator: module ``top`` with its parts; modules of memories need not be there."""

    verilog: str
    top: str
    design: Design

    @cached_property
    def modules(self) -> dict[str, str]:
        """Text of each module, by name, memories as empty ones."""
        found = dict(re.findall(r"^(?=module (\w+))(.*?^endmodule)$", self.verilog, re.M | re.S))
        sizes = re.findall(rf"^  ({self.top}_sram_(\d+)x(\d+)) +\w+ \(", self.verilog, re.M)
        return found | {name: _memory(name, int(depth), int(bits)) for name, depth, bits in sizes}

    def module(self, part: str) -> str:
        """Name of the module of a part. Raises `UnknownError` where the text has none."""
        name = f"{self.top}_{part}"
        if name not in self.modules:
            raise UnknownError(f"{self.top} has no module {name} in the text")
        return name

    @property
    def memories(self) -> list[str]:
        """Names of the modules of its memories."""
        return [name for name in self.modules if name.startswith(f"{self.top}_sram_")]

    @cached_property
    def tile(self) -> str:
        """Name of the module of the tile behind its streams."""
        return self.module("tile_axis")

    def part(self, m: Module, name: str, part: str, watched: Sequence[str] = ()) -> Part:
        """A part of the accelerator on its own, in module ``m``; a memory's ports are its own ports sram.*, and nets
        that are ``watched`` are outputs.
        """
        module = self.module(part)
        return Part(m, name, module, self._ports(module, watched))

    def whole(self, m: Module, name: str, watched: Sequence[str]) -> Part:
        """The accelerator without its memories, its tile and its registers, in module ``m``; nets of its parts that are
        ``watched``, as part.net, are outputs.
        """
        return Part(m, name, self.top, self._ports(self.top, watched))

    def instance(self, module: str) -> str:
        """Name of the one instance of a module in the top."""
        found = re.findall(rf"^  {module} +(\w+) +\(", self.modules[self.top], re.M)
        if len(found) != 1:
            raise UnknownError(f"{self.top} must place one {module}, not {len(found)}")
        return str(found[0])

    # ------------------------------------------------------------------ Yosys

    @property
    def inner(self) -> list[str]:
        """Names of the modules of the accelerator itself: without those of its tile and its memories."""
        return [name for name in self.modules if not name.startswith((f"{self.top}_tile", f"{self.top}_sram_"))]

    def _prepared(self, module: str, left_out: Sequence[str], watched: Sequence[str] = ()) -> tuple[str, list[str]]:
        """Verilog of a part, and the passes that make ports of what it leaves out and of what is watched."""
        kept = [self.modules[name] for name in self.inner if name not in left_out]
        there = [name for name in left_out if re.search(rf"^  {name} +\w", "\n".join(kept), re.M)]
        text = "\n".join([*kept, *(_empty(self.modules[name]) for name in there)])
        passes = [f"hierarchy -check -top {module}", "proc -norom"]
        # Of what is left out, what this part places is still there.
        names = " ".join(there)
        if there:
            passes.append(f"setattr -mod -set keep_hierarchy 1 {names}")
        passes.append("flatten")
        if there:
            passes += ["expose -evert " + " ".join(f"{module}/t:{name}" for name in there), f"delete {names}"]
        if watched:
            passes.append("expose " + " ".join(f"{module}/w:{one}" for one in watched))
        return text, [*passes, f"setattr -mod -unset top {module}"]

    def _watched(self, module: str, name: str) -> str:
        """A net of a module, or of one of the top's parts as part.net, by the name that the text has for it."""
        place, dot, last = name.rpartition(_SUB)
        home = self.module(place) if place else module
        for one in _NAMES.get(last, (last,)):
            if re.search(rf"^  (wire|reg) .*?\b{one};", self.modules[home], re.M):
                return f"{place}{dot}{one}"
        raise UnknownError(f"{home} has no net {last} in the text")

    def _ports(self, module: str, watched: Sequence[str] = ()) -> dict[str, tuple[str, int]]:
        text = self._rtlil(module, [self._watched(module, name) for name in watched])
        ports = json.loads(run_passes(text, (), write="write_json"))["modules"][module]["ports"]
        return {name: (port["direction"], len(port["bits"])) for name, port in ports.items()}

    def _rtlil(self, module: str, watched: Sequence[str] = ()) -> str:
        if module not in self._made:
            left_out = [*self.memories, *([self.tile, self.module("registers")] if module == self.top else [])]
            text, passes = self._prepared(module, left_out, watched)
            self._made[module] = run_passes(text, [*passes, *_CLOSE], read="read_verilog", write="write_rtlil")
        return self._made[module]

    @cached_property
    def _made(self) -> dict[str, str]:
        """RTLIL of parts, by module."""
        return {}

    def closed(self, module: str) -> Machine:
        """That what the text of a module leaves open reaches no register and no port: a machine without registers, of
        which the one output, trigger, is high where it does.
        """
        text, passes = self._prepared(module, [name for name in self.modules if name != module])
        both = (
            f"expose -evert-dff {module}/t:$dff",
            f"rename {module} open",
            "copy open closed",
            "opt_expr -mux_undef closed",
            "setundef -zero closed",
            "setundef -anyseq open",
            "miter -equiv -flatten open closed both",
            "hierarchy -top both",
        )
        return _aiger(text, [*passes, *both], "read_verilog", ["trigger"])

    def machine(self, claims: str, parts: Sequence[str], outputs: Sequence[str]) -> Machine:
        """The machine of claims, RTLIL of module `CLAIMS` with the outputs claim_<name>, and of the parts it places."""
        return _machine("\n".join([*(self._rtlil(part) for part in dict.fromkeys(parts)), claims]), outputs)


def _empty(text: str) -> str:
    """The ports of a module, and nothing behind them."""
    lines = [line for line in text.splitlines() if re.match(r"module|  input|  output|, ", line)]
    return "\n".join([*lines, "endmodule"])


def _memory(name: str, depth: int, bits: int) -> str:
    """An empty module with the ports of `hwgen.accelerator.sram.Sram`."""
    address = max((depth - 1).bit_length(), 1)
    return (
        f"module {name}(clk, w_en, w_addr, w_data, r_en, r_addr, r_data);\n  input clk, w_en, r_en;\n"
        f"  input [{address - 1}:0] w_addr, r_addr;\n  input [{bits - 1}:0] w_data;\n  output [{bits - 1}:0] r_data;\n"
        "endmodule"
    )


def _machine(rtlil: str, outputs: Sequence[str]) -> Machine:
    passes = (
        f"hierarchy -check -top {CLAIMS}",
        # Before anything else, or a register that only ever becomes 1 is taken for the constant.
        f"setattr -set init 1'0 w:{BEGUN}",
        "proc",
        "flatten",
    )
    return _aiger(rtlil, passes, "read_rtlil", outputs)


def _aiger(text: str, passes: Sequence[str], read: str, outputs: Sequence[str]) -> Machine:
    """What passes make of a text, as gates; ``outputs`` is all that the module has, claim_ before each or not."""
    gates = ("opt -nodffe -nosdff", "memory_map", "dffunmap", "techmap", "aigmap")
    with tempfile.TemporaryDirectory() as folder:
        binary, names = Path(folder, "claims.aig"), Path(folder, "map")
        run_passes(text, [*passes, *gates, f"write_aiger -map {names} {binary}"], read=read, write="write_json")
        lines = names.read_text(encoding="utf-8").splitlines()
        graph = binary.read_bytes()
    # Kind, place among its kind, bit, name. Those that are constant are missing: they are the others, in any order.
    found = {int(words[1]): words[3] for words in map(str.split, lines) if words[0] == "output"}
    named = {place: name.removeprefix("claim_") for place, name in found.items()}
    constant = [name for name in outputs if name not in named.values()]
    machine = Machine(graph, tuple(named[at] if at in named else constant.pop() for at in range(len(outputs))))
    *_, ends = machine.parts()
    others = {ends[at] for at in range(len(outputs)) if at not in named}
    assert len(others) < 2, "claims that are constant but not equal"
    return machine
