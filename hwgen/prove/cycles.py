"""Obligations about sums that a step changes in several cycles, each by a rule of its own: floating-point terms.

In each cycle a sum is compared with what the manifest's words make of the sum before it and of the cycle's terms, as
gates beside the text's own. Words of the text that are what the words speak of (aligned magnitudes, their sum, its
exponent) are found by what they are for random inputs, whatever their names; each is proved, and what rests on it is
proved for any value of it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hwgen.prove.abc import never
from hwgen.prove.algebra import Lane, prove_sum
from hwgen.prove.graph import SUM, VAR, Graph
from hwgen.prove.netlist import Bit
from hwgen.prove.reference import UnknownError
from hwgen.prove.tables import cone, evaluate, shape
from hwgen.prove.terms import (
    Activations,
    Fields,
    Update,
    Weights,
    Word,
    activations,
    exponent_bound,
    magnitude_bound,
    number,
    placed,
    update,
    updated,
    weights,
)
from hwgen.prove.tile import BEFORE, Counterexample, Found, Step, Sums
from hwgen.prove.unroll import Unrolled

__all__ = ["METHOD", "RANGE_METHOD", "SOLVER", "CycleProver", "cycles_sentence", "range_sentence", "term_range"]

METHOD = "satisfiability, cycle by cycle; sums of aligned numbers by rewriting"
SOLVER = "ABC fraig, iprove; hwgen"

_WORDS = 256
"""Random assignments, in words of 64."""
_KNOWN: set[str] = set()
"""Digests of literals that were proved to be 0 for all values of their variables, in any graph."""


def cycles_sentence(mode: Mapping[str, Any], count: int) -> str:
    """What is proved of a step that changes sums in each of its cycles."""
    return (
        f"each of a step's {mode['cycles_per_step']} terms makes of each of {count} sums, whatever these are, what the "
        "manifest's definition says, bit for bit (an exponent modulo its width): aligned to the largest exponent and "
        "cut off, added, and normalised and cut off where it says so; in order, one a cycle, the last one "
        f"{mode['latency']} cycles after the step is taken, the first one onto zero with i_first, whatever the state "
        "of the control; nothing before or after the step has a part in that, and cycles in which it waits change "
        "nothing"
    )


RANGE_METHOD = "bounds of all terms, and of what is rounded down"


def range_sentence(rule: Mapping[str, Any]) -> str:
    """What is said of the bounds of sums of terms."""
    what = "has an exponent below 0, or one that its bits do not hold" if "mantissa_bits" in rule else "leaves its bits"
    return f"no sum of a group of at most {rule['depth']} products {what}, whatever is cut off of them"


def term_range(manifest: Mapping[str, Any], bits: int) -> tuple[str, str]:
    """Whether the sums of all modes stay within ``bits`` bits; open where the bound says nothing."""
    most = []
    for mode, rule in enumerate(manifest["arithmetic"]):
        own = rule["accumulator"]
        if "mantissa_bits" in own:
            most.append((exponent_bound(manifest, mode, own["depth"]), 1 << bits - own["mantissa_bits"]))
        else:
            most.append((magnitude_bound(manifest, mode, own["depth"]), 1 << bits - 1))
    status = "proved" if all(one < limit for one, limit in most) else "open"
    what = "an exponent" if "mantissa_bits" in manifest["arithmetic"][0]["accumulator"] else "a magnitude"
    return status, f"{what} of at most {max(one for one, _ in most)}, below {min(limit for _, limit in most)}"


@contextlib.contextmanager
def _free(graph: Graph, literals: Sequence[int]) -> Iterator[None]:
    """Nodes as variables for a while: any values instead of what they are made of."""
    nodes = {literal >> 1 for literal in literals if literal > 1}
    before = {node: (graph.kind[node], graph.fanin[node]) for node in nodes}
    for node in nodes:
        graph.kind[node], graph.fanin[node] = VAR, ()
    try:
        yield
    finally:
        for node, (kind, fanin) in before.items():
            graph.kind[node], graph.fanin[node] = kind, fanin


def _differ(graph: Graph, a: Sequence[int], b: Sequence[int]) -> int:
    return graph.any_([graph.xor(x, y) for x, y in zip(a, b, strict=True)])


class _Found:
    """Nodes of a text's cone by their values for random inputs."""

    def __init__(self, graph: Graph, word: Sequence[int], patterns: dict[int, np.ndarray]) -> None:
        self.graph, self.patterns = graph, patterns
        self.nodes = [node for node in cone(graph, word) if graph.kind[node] != VAR]
        self.values = np.array(evaluate(graph, [2 * node for node in self.nodes], patterns))
        self._places: dict[bytes, list[int]] = {}
        for node, value in zip(self.nodes, self.values, strict=True):
            self._places.setdefault(value.tobytes(), []).append(2 * node)
            self._places.setdefault((~value).tobytes(), []).append(2 * node + 1)

    def word(self, wanted: Sequence[int], sums: bool = False) -> Word | None:
        """Literals that are as the wanted ones, as far as seen: the first of each, whole adders' bits before others if
        ``sums``. Later ones are within adders.
        """
        found = []
        for literal, value in zip(wanted, evaluate(self.graph, wanted, self.patterns), strict=True):
            if literal < 2 or not value.any():
                found.append(literal & 1)
                continue
            choices = self._places.get(value.tobytes())
            if not choices:
                return None
            found.append(min(choices, key=lambda one: (sums and self.graph.kind[one >> 1] != SUM, one)))
        return found

    def where(self, wanted: int, condition: int) -> list[int]:
        """All literals that are as the wanted one where a condition holds, as far as seen."""
        value, care = evaluate(self.graph, [wanted, condition], self.patterns)
        differs = (self.values ^ value) & care
        same = [2 * self.nodes[at] for at in np.flatnonzero(~differs.any(axis=1))]
        return same + [2 * self.nodes[at] + 1 for at in np.flatnonzero(~(differs ^ care).any(axis=1))]


@dataclass
class CycleProver:
    """Proves what a step of terms does to sums, cycle by cycle; one by one, in one graph."""

    step: Step
    sums: Sums
    rows: bool
    _form: Activations = field(init=False)
    _weights: Weights = field(init=False)
    _fields: Fields = field(init=False)

    def __post_init__(self) -> None:
        manifest, mode = self.step.manifest, self.step.mode
        rule = manifest["arithmetic"][mode]
        if self.rows or rule["accumulator"].get("partials", 1) != 1:
            raise UnknownError("several partial sums in turn")
        self._form, self._weights = activations(manifest, mode), weights(manifest, mode)
        self._rule, self._fields = rule, Fields(self.step.graph)

    # ------------------------------------------------------------------ what is wanted

    def _special(self, column: int) -> Word:
        port, bits = self._rule["weights"]["special"], self._weights.special_bits
        return [self.step.variable(port, column * bits + place, 0) for place in range(bits)]

    def _terms(self, place: tuple[int, ...], phase: int) -> Update:
        codes, term = self.step.codes, self._weights.phases[phase]
        own = codes["acts"][place[0]], codes["weights"][place[1]], self._special(place[1])
        return update(self._fields, *own, self._form, term, self._rule["step"])

    def _begun(self, state: Word, phase: int) -> Word:
        """The sum that a phase adds to: nothing where a group begins."""
        first = self.step.variable("i_first", 0, 0)
        return [self.step.graph.and_(bit, first ^ 1) for bit in state] if phase == 0 else list(state)

    def _made(self, state: Word, added: Word, level: Word, phase: int) -> Word:
        """What a sum becomes where ``added`` is added to it, at the exponent that says where."""
        graph, rule = self.step.graph, self._rule["accumulator"]
        base = self._begun(state, phase)
        if self._rule["sum"] == "normalised":
            return updated(graph, base, added, level, rule["mantissa_bits"], rule["frame_bits"])
        bsig = self._weights.phases[phase].bsig
        return placed(graph, base, added, level, bsig, rule["overflow"] == "saturate")

    def _level(self, terms: Update, phase: int) -> Word:
        """The exponent of the top place of what is added, or where its lowest one goes."""
        if self._rule["sum"] != "normalised":
            return terms.top
        above = self._weights.phases[phase].bsig + len(terms.added) - 1
        most = int(self._form.exponent.max() + self._weights.phases[phase].exp.max()) + above
        size = most.bit_length()
        graph, top = self.step.graph, terms.top
        return graph.add([(1, [*top, *[0] * (size - len(top))]), (1, number(above, size))], 0, size)

    # ------------------------------------------------------------------ one sum

    def _unrolled(self, nets: tuple[Bit, ...], at: int, tag: object) -> Unrolled:
        """The text with a sum of any value in a cycle."""
        step, before = self.step, dict[Bit, int]()

        def cut(bit: Bit, cycle: int) -> int | None:
            if cycle == at and bit in nets:
                if bit not in before:
                    before[bit] = step.graph.var(("before", nets.index(bit), tag))
                return before[bit]
            return step.control_cut(bit, cycle)

        return Unrolled(step.netlist, step.graph, step.drive, -BEFORE, cut)

    def prove(self, index: int, seconds: float) -> Found:
        """One sum, within so many seconds."""
        until, step = time.monotonic() + seconds, self.step
        nets, place = self.sums.elements[index], self.sums.places[index]
        seen = step.cycles - 1 + step.latency + self.sums.delays[index]
        begin = seen - step.busy
        terms = [self._terms(place, phase) for phase in range(len(self._weights.phases))]
        changes = []
        for cycle in range(begin, seen):
            unrolled = self._unrolled(nets, cycle, cycle)
            word, state = unrolled.word(nets, cycle + 1), unrolled.word(nets, cycle)
            # Else the step waits.
            if word != state:
                changes.append((unrolled, word, state))
        wholes = []
        if len(changes) == len(terms):
            for phase, (_, word, state) in enumerate(changes):
                one = terms[phase]
                made = self._made(state, one.added, self._level(one, phase), phase)
                wholes.append(_differ(step.graph, word, made))
            digest = shape(step.graph, wholes, {})
            if digest in _KNOWN:
                return Found(True)
        example = self._refuted(index, terms, begin, seen)
        if example is not None:
            return Found(False, "random values", example)
        if not wholes:
            return Found(False, f"{len(changes)} cycles change the sum, and there are {len(terms)} terms")
        self._lemmas = 0
        for phase, (unrolled, word, state) in enumerate(changes):
            why = self._cycle(word, state, terms[phase], phase, wholes[phase], unrolled, until)
            if why:
                return Found(False, f"term {phase}: {why}")
        _KNOWN.add(digest)
        return Found(True, lemmas=self._lemmas)

    def _never(self, bad: int, until: float) -> bool:
        graph = self.step.graph
        if bad < 2:
            return not bad
        digest = shape(graph, [bad], {})
        if digest not in _KNOWN:
            left = until - time.monotonic()
            if left <= 0 or never(graph, bad, seconds=left) is not True:
                return False
            _KNOWN.add(digest)
            self._lemmas += 1
        return True

    def _cycle(
        self, word: Word, state: Word, terms: Update, phase: int, whole: int, unrolled: Unrolled, until: float
    ) -> str:
        """Why a cycle is not proved to make of a sum what its terms say; nothing where it is."""
        graph = self.step.graph
        found, exponent = _Found(graph, word, self._patterns()), self._level(terms, phase)
        added, level = found.word(terms.added, sums=True), self._same(found, exponent, until)
        if added is None or level is None:
            return "" if self._never(whole, until) else "its terms are not found in the text"
        why = self._dot(added, terms, found, unrolled, until)
        if why:
            return why
        made = self._made(state, added, level, phase)
        with _free(graph, [*added, *level]):
            proved = self._never(_differ(graph, word, made), until)
        return "" if proved or self._never(whole, until) else "what is made of the sum"

    def _same(self, found: _Found, wanted: Word, until: float) -> Word | None:
        """A word of the text that is proved to be the wanted one; None where there is none."""
        graph, word = self.step.graph, found.word(wanted, sums=True)
        if word is None:
            return None
        return word if self._never(_differ(graph, word, wanted), until) else None

    def _dot(self, added: Word, terms: Update, found: _Found, unrolled: Unrolled, until: float) -> str:
        """Why a word is not proved to be the sum of the aligned numbers; nothing where it is."""
        graph = self.step.graph
        lanes: list[tuple[Word, int]] = []
        cuts: list[int] = []
        inside = set(cone(graph, added))
        for wanted, sign in zip(terms.aligned, terms.negative, strict=True):
            own, some = found.word(wanted), graph.any_(wanted)
            if own is None or not self._never(_differ(graph, own, wanted), until):
                break
            signs = sorted(one for one in found.where(sign, some) if one >> 1 in inside)
            mine = next((one for one in signs if self._never(graph.and_(graph.xor(one, sign), some), until)), None)
            if mine is None:
                break
            lanes.append((own, mine))
            cuts += [*own, mine]
        if len(lanes) == len(terms.aligned):
            unrolled.name_words()
            nodes = {literal >> 1 for literal in cuts}
            with _free(graph, cuts):
                if all(graph.kind[node] != VAR or node in nodes for node in cone(graph, added)):
                    left = until - time.monotonic()
                    if prove_sum(graph, added, [self._lane(*lane) for lane in lanes], [], left).proved:
                        return ""
        return "" if self._never(_differ(graph, added, terms.added), until) else "the sum of aligned numbers"

    @staticmethod
    def _lane(aligned: Word, sign: int) -> Lane:
        """A number of sign and magnitude, by the values of its nodes."""
        literals = [literal for literal in [*aligned, sign] if literal > 1]
        codes = np.arange(1 << len(literals))
        bits = iter(codes >> at & 1 ^ (literal & 1) for at, literal in enumerate(literals))
        magnitude = np.zeros(len(codes), np.int64)
        for place, literal in enumerate(aligned):
            magnitude += (next(bits) if literal > 1 else literal) << place
        negative = next(bits) if sign > 1 else sign
        return Lane(tuple(literal >> 1 for literal in literals), np.where(negative == 1, -magnitude, magnitude))

    # ------------------------------------------------------------------ counterexamples

    def _patterns(self) -> dict[int, np.ndarray]:
        """Random values of all variables; in half of them exponents are near each other."""
        graph, rng = self.step.graph, np.random.default_rng(1)
        nodes = [node for node, kind in enumerate(graph.kind) if kind == VAR]
        patterns = {node: rng.integers(0, 1 << 64, _WORDS, dtype=np.uint64) for node in nodes}
        encoding = self.step.manifest["encodings"][self._rule["acts"]["encoding"]]
        shared = rng.integers(0, 1 << 64, (encoding["bits"], _WORDS), dtype=np.uint64)
        for codes in self.step.codes["acts"]:
            for code in codes:
                for place in range(encoding["mantissa_bits"] + 2, encoding["bits"] - 1):
                    patterns[code[place] >> 1][_WORDS // 2 :] = shared[place][_WORDS // 2 :]
        return patterns

    def _refuted(self, index: int, terms: Sequence[Update], begin: int, seen: int) -> Counterexample | None:
        """Random inputs for which a sum is another number after the whole step."""
        step, graph = self.step, self.step.graph
        nets = self.sums.elements[index]
        unrolled = self._unrolled(nets, begin, "step")
        word, state = unrolled.word(nets, seen), unrolled.word(nets, begin)
        wanted = list(state)
        for phase, one in enumerate(terms):
            wanted = self._made(wanted, one.added, self._level(one, phase), phase)
        patterns = self._patterns()
        first = step.variable("i_first", 0, 0) >> 1
        for (_, _, cycle), literal in step._variables.items():
            # Half of the time nothing comes in but the step.
            if cycle:
                patterns[literal >> 1][::2] = np.uint64(0)
        for fresh in (1, 0):
            if fresh and first in patterns:
                kept, patterns[first] = patterns[first], np.full(_WORDS, (1 << 64) - 1, np.uint64)
            bad = evaluate(graph, [_differ(graph, word, wanted)], patterns)[0]
            if fresh and first in patterns:
                patterns = {**patterns, first: patterns[first]} if bad.any() else {**patterns, first: kept}
            if bad.any():
                at = int(np.flatnonzero(bad)[0])
                bit = (int(bad[at]) & -int(bad[at])).bit_length() - 1
                values = {node: int(one[at]) >> bit & 1 for node, one in patterns.items()}
                return self._example(index, values, [word, state, wanted], seen)
        return None

    def _example(self, index: int, values: dict[int, int], words: Sequence[Word], seen: int) -> Counterexample:
        graph, nets = self.step.graph, self.sums.elements[index]
        patterns = {node: np.full(1, value, np.uint64) for node, value in values.items()}
        found, before, wanted = (
            sum((int(one[0]) & 1) << at for at, one in enumerate(evaluate(graph, word, patterns))) for word in words
        )
        names = self.step.netlist.names.items()
        name = next((name for name, bits in names if bits == nets and "." in name), "")
        inputs = self.step.cycle_words(values)
        return Counterexample(inputs, self.sums.name, index, before, seen, self.step.busy, name, found, wanted)
