"""Claims about a tile's control, against counters beside it that know the manifest alone.

Whatever stood in the registers before, and with any steps, gaps and resets from then on: a step is taken in the cycle
that the manifest says, and in no other; results are valid in the cycles that it says, and in no other. Surroundings
keep what the stream asks of them: what is offered stays until it is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from hwgen.prove.abc import Verdict, aiger, decide_aiger
from hwgen.prove.graph import VAR, Graph
from hwgen.prove.netlist import Bit, Netlist
from hwgen.prove.tables import evaluate
from hwgen.prove.unroll import Unrolled

__all__ = ["CLAIMED", "CLAIMS", "SUMS_VALID", "Control", "looping"]

CLAIMS: Mapping[str, str] = {
    "ready": "a step is taken after the manifest's cycles_per_step, and later only while fold_cycles or post_cycles of "
    "the group before it are not over; none is taken twice or dropped",
    "valid": "o_valid is high the manifest's latency after the end of a group (post_latency and post_beats included), "
    "and in no other cycle",
    "sums": "the post lanes are told of a group the manifest's latency after its end, and in no other cycle",
}
CLAIMED: Mapping[str, str] = {"ready": "i_ready", "valid": "o_valid"}
"""Outputs that claims are about."""
SUMS_VALID = "post.valid"
"""Net that tells post lanes of a group."""


class Control:
    """The control of a tile with counters and claims beside it, as one machine."""

    def __init__(self, netlist: Netlist, manifest: Mapping[str, Any]) -> None:
        self.netlist, self.manifest = netlist, manifest
        self.graph = Graph()
        self.latches: dict[int, int] = {}
        self._registers: dict[Bit, int] = {}
        self._latch_of: dict[Bit, int] = {}
        self._inputs: dict[tuple[str, int], int] = {}
        self._unrolled = Unrolled(netlist, self.graph, self._drive, 0, self._cut)
        graph = self.graph
        reset = manifest["reset"]
        rst = self._drive(reset["port"], 0, 0)
        self.reset = rst if reset["active"] == "high" else rst ^ 1
        self._begun = self._latch(lambda _: 1)
        ready, valid = (self._unrolled.word(netlist.outputs[name], 0)[0] for name in ("i_ready", "o_valid"))
        self.ready = ready
        offered, last, done = (self._input(name) for name in ("i_valid", "i_last", "i_done"))
        self._counters(offered, last, done)
        self.bad = {
            "ready": self._claimed(graph.and_(offered, graph.xor(ready, self.taken))),
            "valid": self._claimed(graph.xor(valid, self.expected)),
        }
        if manifest["post"] is not None and SUMS_VALID in netlist.names:
            sums_valid = self._unrolled.word(netlist.names[SUMS_VALID], 0)[0]
            self.bad["sums"] = self._claimed(graph.xor(sums_valid, self.sums_expected))
        self._close()

    # ------------------------------------------------------------------ the machine

    def _drive(self, port: str, place: int, cycle: int) -> int:
        if port == "clk":
            return 0
        if (port, place) not in self._inputs:
            self._inputs[port, place] = self.graph.var((port, place))
        return self._inputs[port, place]

    def _input(self, port: str) -> int:
        return self._drive(port, 0, 0) if port in self.netlist.inputs else 1

    def _cut(self, bit: Bit, cycle: int) -> int:
        """A register: what it was made, or anything in the first cycle."""
        if bit not in self._registers:
            latch = self._latch_of[bit] = self.graph.var(("register", bit))
            self._registers[bit] = self.graph.mux(self._begun, latch, self.graph.var(("first", bit)))
        return self._registers[bit]

    def _latch(self, following: Any) -> int:
        """A register that is 0 in the first cycle."""
        literal = self.graph.var("latch")
        self.latches[literal >> 1] = following(literal)
        return literal

    def _close(self) -> None:
        """What follows for every register that was met, and for those met by doing so."""
        closed: set[Bit] = set()
        while waiting := [bit for bit in self._latch_of if bit not in closed]:
            for bit in waiting:
                closed.add(bit)
                cell, place = self.netlist.driver[bit]
                self.latches[self._latch_of[bit] >> 1] = self._unrolled.bit(cell.ports["D"][place], 0)

    # ------------------------------------------------------------------ counters

    def _register(self, size: int) -> list[int]:
        return [self.graph.var("latch") for _ in range(size)]

    def _set(self, register: Sequence[int], value: Sequence[int]) -> None:
        """What a counter becomes: 0 in a reset."""
        for literal, following in zip(register, value, strict=True):
            self.latches[literal >> 1] = self.graph.and_(self.reset ^ 1, following)

    def _is(self, word: Sequence[int], number: int) -> int:
        return self.graph.any_([bit ^ (number >> place & 1) for place, bit in enumerate(word)]) ^ 1

    def _choose(self, choice: int, yes: Sequence[int], no: Sequence[int]) -> list[int]:
        return [self.graph.mux(choice, a, b) for a, b in zip(yes, no, strict=True)]

    def _number(self, value: int, size: int) -> list[int]:
        return [value >> place & 1 for place in range(size)]

    def _set_down(self, register: Sequence[int], load: int, cycles: int) -> None:
        """A counter becomes ``cycles`` after ``load``, and ends at 0."""
        size = len(register)
        less = self.graph.add([(1, register), (1, [1] * size)], 0, size)
        busy = self.graph.any_(register)
        counted = [self.graph.and_(busy, bit) for bit in less]
        self._set(register, self._choose(load, self._number(cycles, size), counted))

    def _counters(self, offered: int, last: int, done: int) -> None:
        graph, timing, modes = self.graph, self.manifest["timing"], self.manifest["modes"]
        mode = [self._drive("i_mode", place, 0) for place in range(len(self.netlist.inputs.get("i_mode", ())))]
        chosen = [self._is(mode, at) if mode else 1 for at in range(len(modes))]
        lengths = [max(one["cycles_per_step"], timing["interval"]) for one in modes]
        folds, waits = timing["fold_cycles"], max(timing["post_cycles"] - 1, 0)
        folding, waiting = self._register(folds.bit_length()), self._register(waits.bit_length())
        size = max((max(lengths) - 1).bit_length(), 1)
        self.count = self._register(size)
        at_end = graph.any_(
            [graph.and_(one, self._is(self.count, length - 1)) for one, length in zip(chosen, lengths, strict=True)]
        )
        works = graph.and_(offered, graph.any_(folding) ^ 1)
        self.taken = graph.and_(graph.and_(works, at_end), graph.and_(last, graph.any_(waiting)) ^ 1)
        more = graph.add([(1, self.count)], 1, size)
        counted = self._choose(graph.and_(works, at_end ^ 1), more, self.count)
        self._set(self.count, [graph.and_(self.taken ^ 1, bit) for bit in counted])
        ended = graph.and_(self.taken, last)
        self.waiting = waiting
        self._set_down(folding, ended, folds)
        self._set_down(waiting, ended, waits)
        self.expected = self._expected(ended, chosen, done)
        held = [self._input("i_first"), last, *mode, *([done] if "i_done" in self.netlist.inputs else [])]
        self.at_begin = graph.and_(works, self._is(self.count, 0))
        self._assume(offered, held, graph.any_(chosen))

    def _expected(self, ended: int, chosen: Sequence[int], done: int) -> int:
        """Whether a result is due in this cycle: a line of cycles, into which each group puts its own."""
        timing, modes, graph = self.manifest["timing"], self.manifest["modes"], self.graph
        beats = timing["post_beats"]
        puts: dict[int, list[int]] = {}
        sums: dict[int, list[int]] = {}
        for one, mode in zip(chosen, modes, strict=True):
            begin = mode["latency"] + (timing["post_latency"] if beats else 0)
            here = graph.and_(ended, one)
            sums.setdefault(mode["latency"], []).append(here)
            ends = graph.and_(here, done if beats else 1)
            for cycle in range(begin, begin + max(beats, 1)):
                puts.setdefault(cycle, []).append(ends)
        self.sums_expected = self._line(sums)[0]
        self.line = self._line(puts)
        return self.line[0]

    def _line(self, puts: Mapping[int, Sequence[int]]) -> list[int]:
        """A line of cycles, the one that is due first; ``puts`` gives what is put in by the cycles until it is due."""
        graph = self.graph
        line = self._register(max(puts))
        for at, literal in enumerate(line):
            # Place ``at`` is due in ``at`` cycles; what is put in now is a cycle nearer when it is there.
            following = [line[at + 1]] if at + 1 < len(line) else []
            self._set([literal], [graph.any_([*following, *puts.get(at + 1, [])])])
        return line

    def _assume(self, offered: int, held: Sequence[int], legal: int) -> None:
        """What the surroundings keep to, since the last reset."""
        graph = self.graph
        waits = graph.and_(graph.and_(offered, self.ready ^ 1), self.reset ^ 1)
        waited = graph.var("latch")
        self.latches[waited >> 1] = waits
        changed = []
        for literal in held:
            before = graph.var("latch")
            self.latches[before >> 1] = literal
            changed.append(graph.xor(before, literal))
        broken = graph.and_(waited, graph.any_([offered ^ 1, *changed]))
        good = graph.and_(broken ^ 1, graph.or_(offered ^ 1, legal))
        lost = graph.var("latch")
        # The machine begins with a reset; a broken promise is forgotten by the next one.
        first = graph.and_(self._begun ^ 1, self.reset ^ 1)
        begins_badly = graph.var("latch")
        self.latches[begins_badly >> 1] = graph.or_(begins_badly, first)
        self.latches[lost >> 1] = graph.and_(self.reset ^ 1, graph.or_(lost, good ^ 1))
        self._under = graph.and_(
            graph.and_(self._begun, begins_badly ^ 1), graph.and_(lost ^ 1, graph.and_(good, self.reset ^ 1))
        )

    def _claimed(self, bad: int) -> int:
        return self.graph.and_(bad, self._under)

    # ------------------------------------------------------------------ answers

    @cached_property
    def looping(self) -> list[Bit]:
        """Registers that decide when a step is taken and keep something: those that depend on themselves."""
        return looping(self.netlist, self.netlist.outputs["i_ready"])

    def decide(self, name: str, seconds: float) -> Verdict:
        """Decide a claim of `CLAIMS`."""
        return self._decided(self.bad[name], seconds)

    def example(self, name: str, verdict: Verdict) -> tuple[dict[int, dict[str, int]], int]:
        """Ports' words by cycle that break a claim, the first one in a reset, and what `CLAIMED` is in the last one."""
        graph, inputs = self.graph, {node: place for place, node in ((k, v >> 1) for k, v in self._inputs.items())}
        state = dict.fromkeys(self.latches, 0)
        words: dict[int, dict[str, int]] = {}
        seen = self._unrolled.word(self.netlist.outputs[CLAIMED[name]], 0)[0]
        value = 0
        for cycle, found in enumerate(verdict.inputs):
            values = {node: found.get(f"n{node}", 0) for node, kind in enumerate(graph.kind) if kind == VAR} | state
            patterns = {node: np.full(1, one, np.uint64) for node, one in values.items()}
            words[cycle] = {port: 0 for port in self.netlist.inputs if port != "clk"}
            for node, (port, place) in inputs.items():
                words[cycle][port] |= values[node] << place
            following = evaluate(graph, [seen, *self.latches.values()], patterns)
            value = int(following[0][0]) & 1
            state = {node: int(one[0]) & 1 for node, one in zip(self.latches, following[1:], strict=True)}
        return words, value

    def zero_at_begin(self, bit: Bit, seconds: float) -> Verdict:
        """Decide whether a register is 0 when a step begins."""
        bad = self._claimed(self.graph.and_(self.at_begin, self._cut(bit, 0)))
        self._close()
        return self._decided(bad, seconds)

    def _decided(self, bad: int, seconds: float) -> Verdict:
        return decide_aiger(aiger(self.graph, [bad], self.latches), seconds=seconds)


def _below(netlist: Netlist, bits: Sequence[Bit]) -> set[Bit]:
    """Registers' bits that nets depend on within a cycle."""
    found: set[Bit] = set()
    seen: set[Bit] = set()
    stack = list(bits)
    while stack:
        bit = stack.pop()
        if bit in seen or bit not in netlist.driver:
            continue
        seen.add(bit)
        cell, place = netlist.driver[bit]
        if cell.output == "Q":
            found.add(bit)
            continue
        bitwise = cell.kind in ("$and", "$or", "$xor", "$xnor", "$not", "$mux", "$pos")
        for port, own in cell.ports.items():
            if port != cell.output:
                one = bitwise and port != "S"
                stack += [own[min(place, len(own) - 1)]] if one else list(own)
    return found


def looping(netlist: Netlist, ends: Sequence[Bit]) -> list[Bit]:
    """Bits of registers that nets depend on, in any cycle, and that depend on themselves."""
    below: dict[Bit, set[Bit]] = {}
    waiting = list(_below(netlist, ends))
    while waiting:
        bit = waiting.pop()
        if bit in below:
            continue
        cell, place = netlist.driver[bit]
        below[bit] = _below(netlist, [cell.ports["D"][place]])
        waiting += below[bit]
    found = []
    for bit in below:
        reached: set[Bit] = set()
        stack = list(below[bit])
        while stack:
            one = stack.pop()
            if one not in reached:
                reached.add(one)
                stack += below[one]
        if bit in reached:
            found.append(bit)
    return sorted(found, key=str)
