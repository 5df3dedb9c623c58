"""Claims about blocks that are emitted beside a tile, against what the manifest says that they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hwgen.prove.abc import Verdict, aiger, decide_aiger
from hwgen.prove.control import Control
from hwgen.prove.graph import Graph
from hwgen.prove.netlist import Bit, Netlist, read_verilog
from hwgen.prove.reference import UnknownError
from hwgen.prove.unroll import Unrolled

__all__ = ["RegisterFile", "companion_claims", "companion_proved"]

_SENTENCES = {
    "specials": "after a reset and any writes since, each element of specials is, in the same cycle, the value that "
    "was last written at the address that its selector is, and 0 where none was",
    "error": "error is high where a magnitude in one of the entries has more ones than its encoding allows, and in no "
    "other cycle",
}


def companion_claims(entry: Mapping[str, Any]) -> Mapping[str, str]:
    """Sentences by name of what is proved of a companion; none where its kind is not known here."""
    return _SENTENCES if entry.get("arithmetic", {}).get("kind") == "register file" else {}


class RegisterFile(Control):
    """A file of registers beside one that knows the manifest alone, from any state and a first reset on."""

    def __init__(self, netlist: Netlist, entry: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
        self.netlist, self.manifest, self.entry = netlist, manifest, entry
        self.graph = graph = Graph()
        self.latches: dict[int, int] = {}
        self._registers: dict[Bit, int] = {}
        self._latch_of: dict[Bit, int] = {}
        self._inputs: dict[tuple[str, int], int] = {}
        self._unrolled = Unrolled(netlist, graph, self._drive, 0, self._cut)
        reset = manifest["reset"]
        self.reset = self._drive(reset["port"], 0, 0) ^ int(reset["active"] == "low")
        self._begun = self._latch(lambda _: 1)
        self.size = entry["arithmetic"]["entries"]
        self.ports = {port["name"]: port for port in entry["ports"]}
        self.bits = self.ports["value"]["packing"]["element_bits"]
        address, value = self._port("address"), self._port("value")
        self.entries = [self._register(self.bits) for _ in range(self.size)]
        for at, word in enumerate(self.entries):
            here = graph.and_(self._port("write")[0], self._is(address, at))
            self._set(word, self._choose(here, value, word))

    def _port(self, name: str) -> list[int]:
        return [self._drive(name, place, 0) for place in range(self.ports[name]["width"])]

    def _wanted(self, name: str) -> list[int]:
        graph = self.graph
        if name == "specials":
            chosen, selectors = [], self._port("selectors")
            size = self.ports["selectors"]["packing"]["element_bits"]
            for start in range(0, len(selectors), size):
                own = [self._is(selectors[start : start + size], at) for at in range(self.size)]
                for bit in range(self.bits):
                    terms = [graph.and_(one, word[bit]) for one, word in zip(own, self.entries, strict=True)]
                    chosen.append(graph.any_(terms))
            return chosen
        encoding = self.manifest["encodings"][self.ports["value"]["encoding"]]
        if encoding["kind"] != "sign_magnitude":
            raise UnknownError(f"entries of kind {encoding['kind']!r}")
        size = self.bits.bit_length() + 1
        many = []
        for word in self.entries:
            ones = graph.add([(1, [bit, *[0] * (size - 1)]) for bit in word[:-1]], 0, size)
            less = graph.add([(1, ones), (-1, self._number(encoding["most_ones"] + 1, size))], 0, size)
            many.append(less[-1] ^ 1)
        return [graph.any_(many)]

    def claims(self, name: str) -> Iterator[int]:
        """What must never be 1, bit by bit of an output."""
        graph = self.graph
        found = self._unrolled.word(self.netlist.outputs[name], 0)
        first = graph.and_(self._begun ^ 1, self.reset ^ 1)
        badly = graph.var("latch")
        self.latches[badly >> 1] = graph.or_(badly, first)
        under = graph.and_(self._begun, badly ^ 1)
        for literal, wanted in zip(found, self._wanted(name), strict=True):
            yield graph.and_(under, graph.xor(literal, wanted))

    def decide(self, name: str, seconds: float) -> Verdict:
        """Whether an output is what it is to be, in all cycles."""
        for bad in list(self.claims(name)):
            self._close()
            verdict = decide_aiger(aiger(self.graph, [bad], self.latches), seconds=seconds)
            if not verdict.proved:
                return verdict
        return Verdict(True, False, 0)


def companion_proved(
    verilog: str, manifest: Mapping[str, Any], name: str, claim: str, seconds: float
) -> tuple[str, str, None]:
    """(status, detail, None) of a claim about a companion."""
    entry = manifest["companions"][name]
    block = RegisterFile(read_verilog(verilog, entry["top"], memories=True), entry, manifest)
    verdict = block.decide(claim, seconds)
    if verdict.proved:
        return "proved", f"{block.size} entries of {block.bits} bits, all cycles", None
    return ("refuted" if verdict.broken else "open"), str(verdict), None
