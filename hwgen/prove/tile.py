"""Obligations about a tile's sums: what a step does to each accumulator, and that nothing else does."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.prove.abc import never
from hwgen.prove.algebra import Lane, Proof, Terms, prove_sum
from hwgen.prove.graph import VAR, Graph
from hwgen.prove.netlist import Bit, Netlist
from hwgen.prove.reference import UnknownError, lane_table, packed, row_table, selectors
from hwgen.prove.tables import cone, shape
from hwgen.prove.unroll import Unrolled

__all__ = ["BEFORE", "Counterexample", "Found", "Step", "SumProver", "Sums", "sums_of"]

Manifest = Mapping[str, Any]

_TOTAL = "_total"
"""How a wire's name ends that has a sum before it stops at its ends."""
BEFORE = 64
"""Cycles before a step from which on a sum may depend on what came in."""


@dataclass(frozen=True)
class Counterexample:
    """Inputs by cycle (port: number); the sum ``updates`` cycles before ``cycle``, in registers of the name ``nets``,
    and what it is and should be then.
    """

    cycles: Mapping[int, Mapping[str, int]]
    element: str
    place: int
    before: int
    cycle: int
    updates: int
    nets: str
    found: int
    wanted: int
    registers: Mapping[str, int] = field(default_factory=dict)
    """What registers of other names are then, where a sum is made of several."""

    def document(self) -> dict[str, Any]:
        """As JSON has it: numbers of hundreds of bits are hexadecimal text."""
        found = dataclasses.asdict(self)
        found["cycles"] = {
            str(cycle): {name: hex(value) for name, value in words.items()} for cycle, words in self.cycles.items()
        }
        found["registers"] = {name: hex(value) for name, value in self.registers.items()}
        return found | {name: hex(getattr(self, name)) for name in ("before", "found", "wanted")}


@dataclass(frozen=True)
class Found:
    """What became of one sum."""

    proved: bool
    why: str = ""
    counterexample: Counterexample | None = None
    lemmas: int = 0


@dataclass(frozen=True)
class Sums:
    """The accumulators behind an output: ``elements`` nets by place, ``delays`` cycles after ``o_valid``."""

    name: str
    wires: str
    elements: tuple[tuple[Bit, ...], ...]
    places: tuple[tuple[int, ...], ...]
    delays: tuple[int, ...]


def _ports(manifest: Manifest) -> dict[str, Any]:
    return {port["name"]: port for port in manifest["ports"]}


def sums_of(netlist: Netlist, manifest: Manifest, rows: bool) -> Sums | None:
    """The sums of cells or of rows; None where there are none.

    Behind post lanes they are the wires that the tile gives its cells' sums.
    """
    ports = _ports(manifest)
    name = "o_row_sums" if rows else "o_sums"
    if name in ports:
        port = ports[name]
        bits, shape = port["packing"]["element_bits"], port["packing"]["shape"]
        nets = netlist.outputs[name]
        elements = tuple(tuple(nets[at : at + bits]) for at in range(0, len(nets), bits))
        places = tuple(tuple(int(n) for n in place) for place in np.ndindex(*shape))
        delay = port.get("delay_cycles")
        late = tuple({"m": place[0], "m+n": sum(place[:2])}.get(delay, 0) for place in places)
        return Sums(name, name, elements, places, late)
    if manifest["post"] is None or (rows and manifest["correction"] is None):
        return None
    m = ports["i_acts"]["packing"]["shape"][0]
    n = ports["i_weights"]["packing"]["shape"][0]
    places = tuple((i,) for i in range(m)) if rows else tuple((i, j) for i in range(m) for j in range(n))
    names = [f"rowsum{i}_sums" for (i,) in places] if rows else [f"cell{i}_{j}_sums" for i, j in places]
    if any(one not in netlist.names for one in names):
        return None
    return Sums(name, "sums", tuple(netlist.names[one] for one in names), places, (0,) * len(places))


class Step:
    """One step of a mode in a window of cycles: in cycle 0 it begins, in all others but its own inputs are anything.

    ``idle`` leaves cycle 0 without a step. ``state`` gives registers of the control in cycle 0: a number, or None for
    any value. ``last`` is the step's `i_last`, None for any.
    """

    def __init__(
        self,
        netlist: Netlist,
        manifest: Manifest,
        mode: int,
        *,
        idle: bool = False,
        state: Mapping[Bit, int | None] | None = None,
        last: int | None = None,
    ) -> None:
        self.netlist, self.manifest, self.mode, self.idle = netlist, manifest, mode, idle
        self.last = last
        self.state: dict[Bit, int] = {}
        self._given = dict(state or {})
        self.graph = Graph()
        self.ports = _ports(manifest)
        timing, own = manifest["timing"], manifest["modes"][mode]
        self.busy = 1 if idle else own["cycles_per_step"]
        self.cycles = 1 if idle else max(own["cycles_per_step"], timing["interval"])
        self.latency = own["latency"]
        self._variables: dict[tuple[str, int, int], int] = {}
        self._words: dict[str, list[int]] = {}
        self.codes: dict[str, list[list[list[int]]]] = {}
        if not idle:
            for role in ("acts", "weights"):
                self._operands(role)
        for bit, value in self._given.items():
            self.state[bit] = self.graph.var(("control", bit)) if value is None else value

    def _operands(self, role: str) -> None:
        manifest = self.manifest
        operand = manifest["operands"][self.mode][role]
        port = self.ports[f"i_{role}"]
        bits = port["packing"]["element_bits"]
        size = manifest["encodings"][operand["encoding"]]["bits"]
        planes = manifest["arithmetic"][self.mode].get("weights", {}).get("bits", 0)
        rows, word = [], []
        for row in range(port["packing"]["shape"][0]):
            codes = [
                [self.graph.var((role, row, k, place)) for place in range(size)]
                for k in range(operand["codes_per_step"])
            ]
            rows.append(codes)
            word += packed(self.graph, operand["packing"], codes, bits, planes, (role, row))
        self.codes[role], self._words[f"i_{role}"] = rows, word

    def settled(self) -> bool:
        """Whether it is known in which cycle the step is taken; the window is then as long."""
        short, self.cycles = self.cycles, BEFORE
        unrolled = Unrolled(self.netlist, self.graph, self.drive, -BEFORE, self.control_cut)
        ready = self.netlist.outputs["i_ready"][0]
        for cycle in range(BEFORE):
            literal = unrolled.bit(ready, cycle)
            if literal > 1:
                return False
            if literal:
                stops = cycle + 1 - short
                self.cycles, self.busy = cycle + 1, self.busy + max(stops, 0)
                return stops >= 0
        return False

    def control_cut(self, bit: Bit, cycle: int) -> int | None:
        """What a register of the control is given to be."""
        return self.state.get(bit) if cycle == 0 else None

    def variable(self, port: str, place: int, cycle: int) -> int:
        """Variable of an input that may be anything; the same in all cycles of the step."""
        key = port, place, 0 if 0 <= cycle < self.cycles else cycle
        if key not in self._variables:
            self._variables[key] = self.graph.var(key)
        return self._variables[key]

    def drive(self, port: str, place: int, cycle: int) -> int:
        """Literal of an input."""
        if port == "clk":
            return 0
        reset = self.manifest["reset"]
        if port == reset["port"]:
            return int(reset["active"] == "low")
        if 0 <= cycle < self.cycles:
            if port == "i_valid":
                return int(not self.idle)
            if port == "i_last" and self.last is not None:
                return self.last
            if not self.idle:
                if port in self._words:
                    return self._words[port][place]
                if port == "i_mode":
                    return self.mode >> place & 1
        return self.variable(port, place, cycle)

    def cycle_words(self, values: Mapping[int, int]) -> dict[int, dict[str, int]]:
        """Inputs by cycle for values of variables (nodes), others 0."""
        from hwgen.prove.tables import evaluate

        def value(literals: list[int]) -> int:
            patterns = {node: np.full(1, values.get(node, 0), np.uint64) for node in self._all_variables()}
            found = evaluate(self.graph, literals, patterns)
            return sum((int(one[0]) & 1) << place for place, one in enumerate(found))

        cycles = sorted({0, *range(self.cycles), *(cycle for _, _, cycle in self._variables)})
        names = [name for name in self.netlist.inputs if name not in ("clk", self.manifest["reset"]["port"])]
        wanted: dict[int, dict[str, int]] = {}
        for cycle in range(min(cycles), max(cycles) + 1):
            wanted[cycle] = {}
            for name in names:
                size = len(self.netlist.inputs[name])
                inside = 0 <= cycle < self.cycles
                literals = [
                    self.drive(name, place, cycle) if inside or (name, place, cycle) in self._variables else 0
                    for place in range(size)
                ]
                wanted[cycle][name] = value(literals)
        return wanted

    def _all_variables(self) -> list[int]:
        return [node for node, kind in enumerate(self.graph.kind) if kind == VAR]


@dataclass
class SumProver:
    """Proves what a step, or a cycle without one, does to sums; one by one, in one graph."""

    step: Step
    sums: Sums
    rows: bool
    _table: np.ndarray | None = field(default=None)
    _saturates: bool = False
    _shapes: set[str] = field(default_factory=set)
    """Digests of functions that are proved: cells are alike."""

    def __post_init__(self) -> None:
        if not self.step.idle:
            manifest, mode = self.step.manifest, self.step.mode
            self._table = row_table(manifest, mode) if self.rows else lane_table(manifest, mode)
        overflow = self.step.manifest["arithmetic"][self.step.mode].get("accumulator", {}).get("overflow")
        self._saturates = overflow == "saturate" and not self.step.idle
        if self._saturates and self.step.busy > 1:
            raise UnknownError("sums that saturate within steps of several cycles")

    def lanes(self, place: tuple[int, ...]) -> list[Lane]:
        """Operands of a sum, pair by pair, and what says what they mean."""
        if self._table is None:
            return []
        codes, acts = self.step.codes, self.step.codes["acts"][place[0]]
        row = self._selected("acts", place[0])
        if self.rows:
            return [Lane(tuple(literal >> 1 for literal in [*act, *row]), self._table) for act in acts]
        weights, col = codes["weights"][place[1]], self._selected("weights", place[1])
        table = self._table if self._table.ndim == 1 else self._table[place[2]]
        # A complex weight takes two activations.
        each = len(acts) // len(weights)
        taken = [[bit for act in acts[at : at + each] for bit in act] for at in range(0, len(acts), each)]
        return [
            Lane(tuple(literal >> 1 for literal in [*act, *weight, *row, *col]), table)
            for act, weight in zip(taken, weights, strict=True)
        ]

    def _selected(self, role: str, index: int) -> list[int]:
        """Bits of the selector of a row or column; none where there is none."""
        port = selectors(self.step.manifest, self.step.mode).get(role)
        if port is None:
            return []
        bits = self.step.ports[port]["packing"]["element_bits"]
        return [self.step.variable(port, index * bits + place, 0) for place in range(bits)]

    def prove(self, index: int, seconds: float) -> Found:
        """One sum, within so many seconds."""
        begun = time.monotonic()
        step, graph = self.step, self.step.graph
        nets, place = self.sums.elements[index], self.sums.places[index]
        seen = step.cycles - 1 + step.latency + self.sums.delays[index]
        before: dict[Bit, int] = {}

        def cut(bit: Bit, cycle: int) -> int | None:
            if cycle == seen - step.busy and bit in nets:
                if bit not in before:
                    before[bit] = graph.var(("before", nets.index(bit)))
                return before[bit]
            return step.control_cut(bit, cycle)

        unrolled = Unrolled(step.netlist, graph, step.drive, -BEFORE, cut)
        word = unrolled.word(nets, seen)
        # Also those that the sum does not depend on.
        state = unrolled.word(nets, seen - step.busy)
        keep: Terms = [((literal >> 1,), 1 << at) for at, literal in enumerate(state)]
        if not step.idle:
            first = step.variable("i_first", 0, 0) >> 1
            keep += [(tuple(sorted({literal >> 1, first})), -1 << at) for at, literal in enumerate(state)]
        roles: dict[int, object] = {literal >> 1: ("before", at) for at, literal in enumerate(state)}
        if not step.idle:
            roles[step.variable("i_first", 0, 0) >> 1] = "first"
        for lane_at, lane in enumerate(self.lanes(place)):
            # What several lanes share is named by the first.
            roles = {node: ("lane", lane_at, at) for at, node in enumerate(lane.variables)} | roles
        # Sums of a cell differ in what is added to them.
        digest = shape(graph, [*word, *state], roles) + str(place[2:])
        if digest in self._shapes and not self._saturates:
            return Found(True)
        # Most faults show in a thousand random cases, and a sum that is wrong may never end to be rewritten.
        example = self._refuted(index, word, state, Proof(False), seen)
        if example is not None:
            return Found(False, "random values", example)
        unrolled.name_words()
        if self._saturates:
            return self._saturating(unrolled, nets, state, place, seen, seconds - (time.monotonic() - begun))
        proof = prove_sum(graph, word, self.lanes(place), keep, seconds - (time.monotonic() - begun))
        if proof.proved:
            self._shapes.add(digest)
            return Found(True, lemmas=proof.lemmas)
        example = self._refuted(index, word, state, proof, seen)
        return Found(False, proof.why, example)

    def _saturating(
        self,
        unrolled: Unrolled,
        nets: tuple[Bit, ...],
        state: list[int],
        place: tuple[int, ...],
        seen: int,
        seconds: float,
    ) -> Found:
        """A sum that stops at its ends: a wider total, which has a name, is the sum, and what is kept of it is the
        nearest number that there is.
        """
        step, graph, size = self.step, self.step.graph, len(nets)
        first = step.variable("i_first", 0, 0) >> 1
        keep: Terms = []
        for at, literal in enumerate(state):
            weight = (-1 if at == size - 1 else 1) << at
            keep += [((literal >> 1,), weight), (tuple(sorted({literal >> 1, first})), -weight)]
        lanes = self.lanes(place)
        low = sum(int(lane.table.min()) for lane in lanes) - (1 << size - 1)
        high = sum(int(lane.table.max()) for lane in lanes) + (1 << size - 1) - 1
        for name, total in step.netlist.names.items():
            half = 1 << len(total) - 1
            if not name.endswith(_TOTAL) or low < -half or high >= half or not self._stops(total, nets, seen, seconds):
                continue
            proof = prove_sum(graph, unrolled.word(total, seen - 1), lanes, keep, seconds)
            return Found(proof.proved, proof.why, lemmas=proof.lemmas)
        return Found(False, f"no wire *{_TOTAL} is the sum before it stops at its ends")

    def _stops(self, total: tuple[Bit, ...], nets: tuple[Bit, ...], seen: int, seconds: float) -> bool:
        """Whether a sum is the nearest number to ``total`` of the cycle before, whatever that is."""
        step, graph = self.step, self.step.graph
        free = {bit: graph.var(("total", at)) for at, bit in enumerate(dict.fromkeys(total))}

        def cut(bit: Bit, cycle: int) -> int | None:
            return free.get(bit) if cycle == seen - 1 and bit in free else step.control_cut(bit, cycle)

        unrolled = Unrolled(step.netlist, graph, step.drive, -BEFORE, cut, frozenset(free))
        found = unrolled.word(nets, seen)
        word = [int(bit) if bit in ("0", "1") else free[bit] for bit in total]
        spare, sign = word[len(nets) - 1 :], word[-1]
        over = graph.any_([graph.xor(bit, sign) for bit in spare])
        wanted = [graph.mux(over, sign ^ 1, bit) for bit in word[: len(nets) - 1]] + [sign]
        known = {0, *(literal >> 1 for literal in free.values())}
        if any(graph.kind[node] == VAR and node not in known for node in cone(graph, found)):
            return False
        differs = graph.any_([graph.xor(a, b) for a, b in zip(found, wanted, strict=True)])
        return never(graph, differs, seconds=seconds) is True

    def _bounded(self, total: Any, size: int) -> Any:
        """A total as a sum of so many bits has it."""
        if self._saturates:
            total = np.clip(total, -(1 << size - 1), (1 << size - 1) - 1)
        return total & (1 << size) - 1

    # ------------------------------------------------------------------ counterexamples

    def _wanted(self, values: Mapping[int, int], place: tuple[int, ...], before: int, width: int) -> int:
        if self.step.idle:
            return before
        total = 0 if values.get(self.step.variable("i_first", 0, 0) >> 1, 0) else before
        if self._saturates and total >> width - 1:
            total -= 1 << width
        for lane in self.lanes(place):
            code = sum(values.get(node, 0) << at for at, node in enumerate(lane.variables))
            total += int(lane.table[code])
        return int(self._bounded(total, width))

    def _refuted(self, index: int, word: list[int], state: list[int], proof: Proof, seen: int) -> Counterexample | None:
        """An assignment for which the sum is another number: the proof's own, or one of many random ones."""
        from hwgen.prove.tables import evaluate

        graph, place = self.step.graph, self.sums.places[index]
        nodes = self.step._all_variables()
        first = self.step.variable("i_first", 0, 0) >> 1
        rng = np.random.default_rng(1)
        guesses: list[dict[int, int]] = [] if proof.differs is None else [dict(proof.differs)]
        for start_afresh in (1, 0):
            patterns = {node: rng.integers(0, 1 << 64, 16, dtype=np.uint64) for node in nodes}
            for node in nodes:
                # Few ones, and many, in some of the words.
                patterns[node][4:8] &= rng.integers(0, 1 << 64, 4, dtype=np.uint64)
                patterns[node][8:12] |= rng.integers(0, 1 << 64, 4, dtype=np.uint64)
            for (_, _, cycle), literal in self.step._variables.items():
                # Half of the time nothing comes in but the step.
                if cycle:
                    patterns[literal >> 1][::2] = np.uint64(0)
            if start_afresh and not self.step.idle:
                patterns[first][:] = np.uint64(0xFFFFFFFFFFFFFFFF)
            guesses += self._random(word, state, place, patterns, nodes)
            if guesses:
                break
        for values in guesses:
            if proof.differs is not None and values == proof.differs:
                values = {**values, first: 1}
            patterns = {node: np.full(1, values.get(node, 0), np.uint64) for node in nodes}
            found, before = (
                sum((int(one[0]) & 1) << at for at, one in enumerate(evaluate(graph, literals, patterns)))
                for literals in (word, state)
            )
            wanted = self._wanted(values, place, before, len(word))
            if found != wanted:
                return Counterexample(
                    self.step.cycle_words(values),
                    self.sums.name,
                    index,
                    before,
                    seen,
                    self.step.busy,
                    self._registers(index),
                    found,
                    wanted,
                )
        return None

    def _registers(self, index: int) -> str:
        """A name that the registers of a sum have in the text, instance and all."""
        nets = self.sums.elements[index]
        return next((name for name, bits in self.step.netlist.names.items() if bits == nets and "." in name), "")

    def _random(
        self,
        word: list[int],
        state: list[int],
        place: tuple[int, ...],
        patterns: dict[int, np.ndarray],
        nodes: list[int],
    ) -> list[dict[int, int]]:
        from hwgen.prove.tables import bits_of, evaluate, word_of

        count = 64 * len(next(iter(patterns.values())))
        found = word_of(evaluate(self.step.graph, word, patterns), count).astype(object)
        before = word_of(evaluate(self.step.graph, state, patterns), count).astype(object)
        wanted = before.copy()
        if self._saturates:
            wanted = wanted - (wanted >> len(word) - 1) * (1 << len(word))
        if not self.step.idle:
            first = self.step.variable("i_first", 0, 0) >> 1
            wanted = wanted * (1 - bits_of(patterns[first], count).astype(object))
            for lane in self.lanes(place):
                code = word_of([patterns[node] for node in lane.variables], count).astype(np.int64)
                wanted = wanted + lane.table[code].astype(object)
        different = np.flatnonzero(found - self._bounded(wanted, len(word)))
        if not len(different):
            return []
        at = int(different[0])
        return [{node: int(patterns[node][at >> 6]) >> (at & 63) & 1 for node in nodes}]
