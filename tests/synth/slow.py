"""A simulator of gates that shares no code with the project's: one stream, one bit at a time, with dictionaries."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from hwgen.pe import family
from hwgen.synth import Library, SynthOptions, synthesise, tile_netlist
from hwgen.synth._characterised import CellPower, characterised
from hwgen.synth.liberty import GENERIC

__all__ = ["Slow", "cells_of", "flat_netlist"]


def cells_of(verilog: str, library: Library) -> dict[str, CellPower]:
    """The cells that a netlist uses."""
    names = [name for name in library.cells if re.search(rf"^\s*{name}\s", verilog, re.M)]
    return characterised(library, sorted(names))


def flat_netlist(cache: Path) -> str:
    """A small tile as one netlist."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HWGEN_CACHE_DIR", str(cache))
        spec = family("int")(m=1, n=1, k=2, bits=2, group=16, depth=16)
        return tile_netlist(synthesise(spec, options=SynthOptions(flat=True, recipes=["booth_noalumacc"])))


class Slow:
    """One stream, one bit at a time, with dictionaries: reads the flat Verilog and the Liberty text by itself."""

    def __init__(self, verilog: str) -> None:
        text = GENERIC.read_text()
        self.functions: dict[str, dict[str, str]] = defaultdict(dict)
        self.flip_flops: dict[str, str] = {}
        for block in re.split(r"\n  cell \(", text)[1:]:
            name = block[: block.index(")")]
            for pin, body in re.findall(r"pin \((\w+)\) \{\n(.*?)\n    \}", block, re.S):
                found = re.search(r'function : "(.*?)"', body)
                if found:
                    self.functions[name][pin] = self._python(found[1])
            state = re.search(r'next_state : "(.*?)"', block)
            if state:
                self.flip_flops[name] = self._python(state[1])
        body = verilog[verilog.index(");") :]
        ranges = re.findall(r"^\s*(?:wire|input|output) (?:signed )?(?:\[(\d+):(\d+)\] )?(\S+) ?;", body, re.M)
        self.range = {name: (int(high), int(low)) if high else None for high, low, name in ranges}
        self.same = {}
        for left, right in re.findall(r"^\s*assign (.*?) = (.*?);", body, re.M):
            self.same.update(zip(self._bits(left), self._bits(right), strict=True))
        self.gates = [
            (kind, dict(re.findall(r"\.(\w+)\(([^()]*)\)", pins)))
            for kind, pins in re.findall(r"^\s*(\w+) \w+ \((.*?)\);", body, re.M | re.S)
            if kind in self.functions
        ]
        self.gates = [(kind, {pin: self._bits(net)[0] for pin, net in pins.items()}) for kind, pins in self.gates]
        self.state: dict[int, bool] = defaultdict(bool)
        self.inputs: dict[str, bool] = {}

    def _bits(self, text: str) -> list[str]:
        """Names of the nets of an expression, lowest bit first."""
        result = []
        for part in reversed(text.replace("{", "").replace("}", "").split(",")):
            found = re.fullmatch(r"\s*(\S+?)\s*(?:\[(\d+)(?::(\d+))?\])?\s*", part)
            assert found
            name, high, low = found.groups()
            if name not in self.range:
                digits = re.fullmatch(r"(\d+)'h([\da-f]+)", name)
                assert digits
                result += [f"1'h{int(digits[2], 16) >> bit & 1}" for bit in range(int(digits[1]))]
                continue
            ends = self.range[name]
            if ends is None:
                result.append(name)
                continue
            top, bottom = ends if high is None else (int(high), int(low if low is not None else high))
            result += [f"{name}[{bit}]" for bit in range(bottom, top + 1)]
        return result

    @staticmethod
    def _python(text: str) -> str:
        for old, new in (("!", " not "), ("&", " and "), ("|", " or "), ("^", " != ")):
            text = text.replace(old, new)
        return text

    def settle(self) -> dict[str, bool]:
        """Values of all nets that cells drive."""
        driver = {
            pins[pin]: (index, pin)
            for index, (kind, pins) in enumerate(self.gates)
            for pin in self.functions[kind]
            if pin in pins
        }
        known = dict(self.inputs)

        def value(net: str) -> bool:
            if net in self.same:
                return value(self.same[net])
            if re.fullmatch(r"1'h[01]", net):
                return net.endswith("1")
            if net not in known:
                index, pin = driver[net]
                kind, pins = self.gates[index]
                if kind in self.flip_flops:
                    both = {"IQ": self.state[index], "IQN": not self.state[index]}
                    known[net] = bool(eval(self.functions[kind][pin], both))
                else:
                    names = re.findall(r"[A-Z]\w*", self.functions[kind][pin])
                    known[net] = bool(eval(self.functions[kind][pin], {name: value(pins[name]) for name in names}))
            return known[net]

        values = {net: value(net) for net in driver}
        self.next = {}
        for index, (kind, pins) in enumerate(self.gates):
            if kind in self.flip_flops:
                names = [name for name in re.findall(r"[A-Z]\w*", self.flip_flops[kind]) if name in pins]
                inside = {name: value(pins[name]) for name in names} | {"IQ": self.state[index]}
                self.next[index] = bool(eval(self.flip_flops[kind], inside))
        return values

    def clock(self) -> None:
        self.state.update(self.next)

    def unit_delay(self, before: dict[str, bool]) -> dict[str, int]:
        """Changes of every net from the settled values ``before``: all gates at once, step after step."""
        after = self.settle()
        held = [(self.functions[kind], pins) for kind, pins in self.gates if kind in self.flip_flops]
        flip_flops = {pins[pin] for functions, pins in held for pin in functions if pin in pins}
        now = {net: after[net] if net in flip_flops else before[net] for net in before}
        changes = {net: int(now[net] != before[net]) for net in before}

        def value(net: str) -> bool:
            if net in self.same:
                return value(self.same[net])
            if re.fullmatch(r"1'h[01]", net):
                return net.endswith("1")
            return self.inputs[net] if net in self.inputs else now[net]

        while True:
            new = {}
            for kind, pins in self.gates:
                if kind not in self.flip_flops:
                    for pin, text in self.functions[kind].items():
                        names = re.findall(r"[A-Z]\w*", text)
                        new[pins[pin]] = bool(eval(text, {name: value(pins[name]) for name in names}))
            moved = [net for net, bit in new.items() if bit != now[net]]
            if not moved:
                assert now == after
                return changes
            for net in moved:
                changes[net] += 1
            now.update(new)
