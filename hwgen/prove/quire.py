"""Sums that are quires: exact sums of posits, of which a word of its own says that one of the operands was NaR.

A quire is more than the word that is put out: it may be in parts that are added up only there, and has a flag for NaR.
Its registers are those that the output is made of within a cycle. Three things are proved of them, which together, by
induction over the steps of a group, make the sum that the manifest says:

* *reading*: the output is 100..0 with the flag, and without it the sum of the parts, each a signed word with a weight;
* *a step*: every part gets, modulo its width, what its lanes add by the definition of their format, and each lane is in
  one part; the flag is that a NaR came in since `i_first`; all else that the output depends on is the mode's constant;
* *bounds*: parts that are added up only at the output never leave their width within `depth` products.

A lane of up to 20 bits of codes is compared for all of its codes. In a wider one the product of the significands is
found, a word of the text that is proved to be the product X(a) · Y(b) of two functions of one code each (`_product`).
What else the lane depends on, signs and places, has a few hundred values for all codes. For each pair of these what the
lane adds is a multiple of the product's word (`_multiples`), and X and the multiples are compared with the format's
definition for all codes of one operand, and of the other.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from hwgen.formats import get
from hwgen.prove.abc import never
from hwgen.prove.algebra import Lane, OutOfTimeError, Rewriting
from hwgen.prove.graph import AND, MUX, PLUS, SUM, VAR, XOR, Graph
from hwgen.prove.netlist import Bit
from hwgen.prove.reference import UnknownError
from hwgen.prove.tables import all_patterns, bits_of, cone, evaluate, shape, word_of
from hwgen.prove.tile import Counterexample, Found, Step, Sums
from hwgen.prove.unroll import Unrolled

__all__ = ["Quire", "QuireProver", "quire_of", "quire_range"]

Manifest = Mapping[str, Any]
Terms = list[tuple[tuple[int, ...], int]]

_BEFORE = 64
_EXHAUSTIVE_BITS = 20
_PRODUCT_TERMS = 4_000
_UNKNOWN = -2
_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_SAMPLES = 16
"""Words of 64 random cases each."""


# ---------------------------------------------------------------------- the reference


@dataclass(frozen=True)
class Quire:
    """What the products of a mode are: whole numbers by code, None for NaR; a product's are ``1 << raised`` units."""

    acts: tuple[int | None, ...]
    weights: tuple[int | None, ...]
    raised: int
    bits: int
    depth: int

    @property
    def code_bits(self) -> int:
        """Bits of a pair of codes."""
        return (len(self.acts) - 1).bit_length() + (len(self.weights) - 1).bit_length()

    def product(self, act: int, weight: int) -> int | None:
        """What a pair of codes adds, None for NaR."""
        a, w = self.acts[act], self.weights[weight]
        return None if a is None or w is None else a * w << self.raised

    @property
    def most(self) -> int:
        """The largest magnitude of a product."""
        return max(abs(a or 0) for a in self.acts) * max(abs(w or 0) for w in self.weights) << self.raised


@functools.cache
def _places(name: str, nar: int | None) -> tuple[tuple[int | None, ...], int]:
    """Values of a format's codes as whole numbers of the unit 2**e, None for NaR, and e."""
    form = get(name)
    values: list[Fraction | None] = []
    for code in range(1 << form.code_bits):
        value = form.decode_scalar(code)
        if isinstance(value, float) and value != 0:
            if value == value or code != nar:
                raise UnknownError(f"{name} has values that are no numbers and not NaR")
            values.append(None)
        else:
            values.append(Fraction(value))
    if nar is not None and values[nar] is not None:
        raise UnknownError(f"{name} says that {values[nar]} is NaR")
    least = min(0, *(1 - value.denominator.bit_length() for value in values if value is not None))
    scaled = [None if value is None else value * Fraction(2) ** -least for value in values]
    if any(value is not None and value.denominator != 1 for value in scaled):
        raise UnknownError(f"{name} has values that are no multiples of a power of two")
    return tuple(None if value is None else int(value) for value in scaled), least


def quire_of(manifest: Manifest, mode: int) -> Quire:
    """Products of a mode from the manifest and `Format.decode_scalar`."""
    rule = manifest["arithmetic"][mode]
    if rule["kind"] != "quire":
        raise UnknownError(f"arithmetic of kind {rule['kind']!r}")
    if rule["words"]["count"] != 1 or rule["outputs"] != 1:
        raise UnknownError("quires of several words or sums a cell")
    sides = []
    for role in ("acts", "weights"):
        name = rule[role]["encoding"]
        nar = manifest["encodings"][name].get("nar")
        if nar is not None and rule["nar"] != "100..0":
            raise UnknownError(f"NaR as {rule['nar']!r}")
        sides.append(_places(name, nar))
    (acts, act_unit), (weights, weight_unit) = sides
    raised = act_unit + weight_unit - rule["unit_exp"]
    if raised < 0:
        raise UnknownError(f"products that are no multiples of 2**{rule['unit_exp']}")
    accumulator = rule["accumulator"]
    return Quire(acts, weights, raised, accumulator["bits"], accumulator["depth"])


def quire_range(manifest: Manifest, bits: int) -> tuple[bool, str]:
    """Whether no group of at most depth products leaves ``bits`` bits or is 100..0, which is NaR; and its bounds."""
    most = 0
    for mode in range(len(manifest["modes"])):
        quire = quire_of(manifest, mode)
        most = max(most, quire.depth * quire.most)
    return most < 1 << bits - 1, f"-2**{most.bit_length() - 1} to 2**{most.bit_length() - 1}" if (
        most & most - 1 == 0
    ) else f"{-most} to {most}"


def _literal(literal: int) -> Terms:
    """A bit as a polynomial."""
    node = literal >> 1
    if not node:
        return [((), 1)] if literal else []
    return [((), 1), ((node,), -1)] if literal & 1 else [((node,), 1)]


# ---------------------------------------------------------------------- reading


@dataclass(frozen=True)
class _View:
    """How the output is made of registers in a mode: parts (bits, the lowest first) and the place of their lowest bits,
    and the bit that says NaR; ``whole`` where one part is the output itself.
    """

    parts: tuple[tuple[Bit, ...], ...]
    place: int
    nar: Bit | None
    whole: bool


class _Bounded(Rewriting):
    """Words of adders are their values where these fit, whatever the terms are that they are made of."""

    flipped: frozenset[int] = frozenset()
    """Nodes of whose complements a polynomial is of positive terms."""

    def forget_names(self) -> None:
        """Of words that have names nothing is to be known."""
        self._ends = {}

    def in_literals(self, terms: Iterable[tuple[tuple[int, ...], int]]) -> dict[tuple[int, ...], int]:
        """A polynomial in the complements of flipped nodes, from one in nodes, or the other way round."""
        found: dict[tuple[int, ...], int] = {}
        for key, coefficient in terms:
            kept, own = tuple(n for n in key if n not in self.flipped), [n for n in key if n in self.flipped]
            for size in range(len(own) + 1):
                for chosen in itertools.combinations(own, size):
                    one = tuple(sorted((*kept, *chosen)))
                    found[one] = found.get(one, 0) + coefficient * (-1) ** size
        return found

    def _lemma(self, word: tuple[int, ...], signed: bool) -> Terms | None:
        size = len(word)
        bits = [(k, c << place) for place, literal in enumerate(word) for k, c in _literal(literal)]
        terms = self.rewritten(bits, size, _PRODUCT_TERMS)
        half = 1 << size - 1 if signed else 0
        whole = self.in_literals(terms.items())
        found = [(key, ((c + half) & ((1 << size) - 1)) - half) for key, c in whole.items()]
        low, high = (sum(sign(c, 0) if key else c for key, c in found) for sign in (min, max))
        fits = -half <= low and high < (1 << size) - half
        return list(self.in_literals(found).items()) if fits else None


class _Narrow(Rewriting):
    """Without lemmas about words, which need the values of a whole lane."""

    def _lemma(self, word: tuple[int, ...], signed: bool) -> Terms | None:
        return None


def _registers(step: Step, nets: Sequence[Bit]) -> list[Bit]:
    """Registers that nets are made of within a cycle, word by word as they are met."""
    netlist, seen, words = step.netlist, set[Bit](), dict[str, dict[int, Bit]]()
    stack = list(reversed(nets))
    while stack:
        bit = stack.pop()
        if bit in seen or bit in ("0", "1"):
            continue
        seen.add(bit)
        if bit not in netlist.driver:
            raise UnknownError("quires that an input has a part in within a cycle")
        cell, place = netlist.driver[bit]
        if cell.output == "Q":
            words.setdefault(cell.name, {})[place] = bit
        else:
            stack += [one for port, bits in cell.ports.items() if port != cell.output for one in reversed(bits)]
    return [word[place] for word in words.values() for place in sorted(word)]


def _no_input(port: str, place: int, cycle: int) -> int:
    raise UnknownError(f"quires of which {port} is a part within a cycle")


def _read(step: Step, nets: tuple[Bit, ...], state: Sequence[Bit], constant: Mapping[Bit, int], until: float) -> _View:
    """The view of an output, where ``constant`` says what some registers are; `UnknownError` if none is found."""

    def word(given: Mapping[Bit, int]) -> tuple[Graph, list[int], dict[int, Bit]]:
        graph = Graph()
        free = {bit: given.get(bit, -1) for bit in state}
        free = {bit: graph.var(bit) if value < 0 else value for bit, value in free.items()}
        unrolled = Unrolled(step.netlist, graph, _no_input, 0, lambda bit, cycle: free.get(bit))
        return graph, unrolled.word(nets, 0), {literal >> 1: bit for bit, literal in free.items() if literal > 1}

    size = len(nets)
    nan = [0] * (size - 1) + [1]
    alone = [bit for bit in state if bit not in constant and len(step.netlist.driver[bit][0].ports["Q"]) == 1]
    flags = [bit for bit in alone if word({**constant, bit: 1})[1] == nan]
    if len(flags) > 1:
        raise UnknownError("quires with several flags of NaR")
    nar = flags[0] if flags else None
    graph, found, of = word({**constant, **dict.fromkeys(flags, 0)})
    low = next((place for place, literal in enumerate(found) if literal), size)
    top = size
    while top > low + 1 and found[top - 2] == found[top - 1]:
        top -= 1
    width = top - low
    terms = [(k, c << place) for place, one in enumerate(found[low:top]) for k, c in _literal(one)]
    left = _Bounded(graph, [], until).rewritten(terms, width)
    if any(len(key) != 1 or graph.kind[key[0]] != VAR for key in left):
        raise UnknownError("quires that are not read as a sum of words")
    factor = {of[key[0]]: c for key, c in left.items()}
    parts: list[tuple[Bit, ...]] = []
    own: list[Bit] = []
    bits = [bit for bit in state if bit in factor]
    for bit in bits:
        wanted = 1 << len(own)
        own.append(bit)
        if factor[bit] == (1 << width) - wanted:
            parts.append(tuple(own))
            own = []
        elif factor[bit] != wanted:
            raise UnknownError("quires that are not read as a sum of words")
    # Words without a sign, or parts whose sum is longer than what is read of it.
    if own or (len(parts) > 1 and sum(1 << len(part) - 1 for part in parts) > 1 << width - 1):
        raise UnknownError("quires that are not read as a sum of signed words")
    return _View(tuple(parts), low, nar, low == 0 and len(parts) == 1 and len(parts[0]) == size)


# ---------------------------------------------------------------------- wide lanes


def _below(graph: Graph, node: int) -> Sequence[int]:
    if graph.kind[node] == SUM:
        number, place = graph.fanin[node]
        return (graph.ripple(number)[place],)
    return graph.fanin[node]


def _cut_cone(graph: Graph, ends: Sequence[int], leaf: Any) -> tuple[list[int], list[int]]:
    """Nodes that nodes are made of, each after its own, and the leaves at which that stops."""
    order: list[int] = []
    leaves: list[int] = []
    done: set[int] = {0}
    stack = list(ends)
    while stack:
        node = stack[-1]
        if node in done:
            stack.pop()
            continue
        if leaf(node):
            done.add(node)
            leaves.append(node)
            continue
        waiting = [literal >> 1 for literal in _below(graph, node) if literal >> 1 not in done]
        if waiting:
            stack += waiting
        else:
            done.add(node)
            order.append(node)
            stack.pop()
    return order, leaves


def _and(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    found = np.where(x == y, x, np.int16(_UNKNOWN))
    found = np.where((x == (y ^ 1)) & (x >= 0), np.int16(0), found)
    found = np.where(x == 1, y, np.where(y == 1, x, found))
    result: np.ndarray = np.where((x == 0) | (y == 0), np.int16(0), found)
    return result


def _xor(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    found = np.where((x == y) & (x >= 0), np.int16(0), np.int16(_UNKNOWN))
    found = np.where((x == (y ^ 1)) & (x >= 0), np.int16(1), found)
    found = np.where((x >= 0) & (x < 2), y ^ x, found)
    result: np.ndarray = np.where((y >= 0) & (y < 2), x ^ y, found)
    return result


def _mux(choice: np.ndarray, yes: np.ndarray, no: np.ndarray) -> np.ndarray:
    found = np.where((yes == no) & (yes >= 0), yes, np.int16(_UNKNOWN))
    result: np.ndarray = np.where(choice == 1, yes, np.where(choice == 0, no, found))
    return result


def _by_cases(graph: Graph, order: Sequence[int], leaves: Mapping[int, np.ndarray], cases: int) -> Any:
    """Nodes in many cases at once: 0, 1, or 2·i + 2 for variable i and 2·i + 3 for its complement; else negative."""
    values: dict[int, np.ndarray] = {0: np.zeros(cases, np.int16), **leaves}

    def get(literal: int) -> np.ndarray:
        value = values[literal >> 1]
        # Unknown is -2 or -1.
        return value ^ np.int16(1) if literal & 1 else value

    for node in order:
        kind, fanin = graph.kind[node], _below(graph, node)
        if kind == AND:
            values[node] = _and(get(fanin[0]), get(fanin[1]))
        elif kind == PLUS:
            values[node] = _and(get(fanin[0] ^ 1), get(fanin[1] ^ 1)) ^ np.int16(1)
        elif kind == XOR:
            values[node] = _xor(get(fanin[0]), get(fanin[1]))
        elif kind == MUX:
            values[node] = _mux(*(get(literal) for literal in fanin))
        elif kind == SUM:
            values[node] = get(fanin[0])
        else:
            raise UnknownError("lanes that depend on more than their codes")
    return get


@dataclass(frozen=True)
class _Product:
    """A word (literals) that is X(a) · Y(b), for all codes."""

    word: tuple[int, ...]
    x: np.ndarray
    y: np.ndarray


def _product(graph: Graph, word: tuple[int, ...], sides: Sequence[tuple[int, ...]], until: float) -> _Product | None:
    """A word as the product of a function of one code and one of the other, if it is."""
    size = len(word)
    if size > 62:
        return None
    empty = np.zeros(0, np.int64)
    halves = [Lane(side, empty) for side in sides]
    rewriting = _Bounded(graph, halves, until)
    rewriting.forget_names()
    masks = [_mask(rewriting, side) for side in sides]

    def alone(node: int) -> bool:
        return not all(rewriting.support(node) & mask for mask in masks)

    order, _ = _cut_cone(graph, [literal >> 1 for literal in word], alone)
    ands = [node for node in order if graph.kind[node] == AND]
    rewriting.flipped = frozenset(
        literal >> 1 for node in ands for literal in graph.fanin[node] if literal & 1 and alone(literal >> 1)
    )
    terms = [(k, c << place) for place, literal in enumerate(word) for k, c in _literal(literal)]
    try:
        left = rewriting.rewritten(terms, size, _PRODUCT_TERMS)
    except OutOfTimeError:
        if time.monotonic() > until:
            raise
        return None
    by_weight: dict[tuple[int, ...], list[tuple[tuple[int, ...], int]]] = {}
    for key, coefficient in rewriting.in_literals(left.items()).items():
        if not coefficient & (1 << size) - 1:
            continue
        of = [rewriting.lane_of(rewriting.support(node)) for node in key]
        if sorted(set(of)) != [0, 1]:
            return None
        act = tuple(node for node, side in zip(key, of, strict=True) if side == 0)
        weight = tuple(node for node, side in zip(key, of, strict=True) if side == 1)
        by_weight.setdefault(weight, []).append((act, coefficient))
    if not by_weight:
        return None
    mask = (1 << size) - 1
    columns = {key: _total(graph, own, sides[0], mask, rewriting.flipped) for key, own in by_weight.items()}
    # The column of the least factor; all others are multiples of it by powers of two.
    base = min(columns.values(), key=lambda column: int(column.max()))
    if not base.any():
        return None
    at = int(base.argmax())
    factors = {}
    for key, column in columns.items():
        factor = int(column[at]) // int(base[at])
        if factor <= 0 or np.any(column != base * factor):
            return None
        factors[key] = factor
    y = _total(graph, list(factors.items()), sides[1], mask, rewriting.flipped)
    return _Product(word, base, y) if int(base.max()) * int(y.max()) <= mask else None


def _total(graph: Graph, terms: Terms, variables: tuple[int, ...], mask: int, flipped: frozenset[int]) -> np.ndarray:
    """Values of a polynomial for all values of variables; it is one in the complements of flipped nodes."""
    count = 1 << len(variables)
    nodes = sorted({node for key, _ in terms for node in key})
    packed = dict(
        zip(nodes, evaluate(graph, [2 * n + (n in flipped) for n in nodes], all_patterns(variables)), strict=True)
    )
    total = np.zeros(count, np.int64)
    for key, coefficient in terms:
        chosen = packed[key[0]]
        for node in key[1:]:
            chosen = chosen & packed[node]
        total += bits_of(chosen, count).astype(np.int64) * (coefficient & mask)
        total &= mask
    return total


def _mask(rewriting: Rewriting, variables: Sequence[int]) -> int:
    total = 0
    for node in variables:
        total |= rewriting.support(node)
    return total


def _wide_lane(
    graph: Graph,
    rewriting: Rewriting,
    terms: Terms,
    lane: Lane,
    named: Collection[tuple[int, ...]],
    quire: Quire,
    width: int,
    until: float,
) -> str:
    """Why terms of one lane are not its product for all codes modulo 2**width, or nothing; ``named`` are words that may
    be products of significands.
    """
    acts = (len(quire.acts) - 1).bit_length()
    sides = lane.variables[:acts], lane.variables[acts:]
    masks = [_mask(rewriting, side) for side in sides]
    nodes = sorted({node for key, _ in terms for node in key})
    if nodes and nodes[0] < 0:
        return "a lane that is read through lemmas"

    def mixed(node: int) -> bool:
        support = rewriting.support(node)
        return all(support & mask for mask in masks)

    # A product's word has a name in the text, or is that of an adder.
    cone, _ = _cut_cone(graph, nodes, lambda node: not mixed(node))
    inside = set(cone)
    words = []
    for word in named:
        size = len(word)
        while size and not word[size - 1]:
            size -= 1
        if 2 < size <= 62 and word[size - 1] >> 1 in inside:
            words.append(word[:size])
    for number in sorted({graph.fanin[node][0] for node in cone if graph.kind[node] == SUM}):
        adder = graph.adders[number]
        words.append(tuple(2 * (adder.first + place) for place in range(adder.width)))
    # The last one first, and those that end with a bit of an adder before others.
    ends = {word: (graph.kind[word[-1] >> 1] != SUM, -max(literal >> 1 for literal in word)) for word in words}
    for word in sorted(ends, key=lambda word: (*ends[word], -len(word))):
        product = _product(graph, word, sides, until)
        if product is not None:
            why = _multiples(graph, rewriting, terms, product, sides, masks, quire, width)
            if why is not None:
                return why
    return "no word of the text is a product of which a lane is a multiple"


def _multiples(
    graph: Graph,
    rewriting: Rewriting,
    terms: Terms,
    product: _Product,
    sides: Sequence[tuple[int, ...]],
    masks: Sequence[int],
    quire: Quire,
    width: int,
) -> str | None:
    """Why terms that depend on a product are not what they should be; nothing if they are, and None where they depend
    on more than it and functions of one code.
    """
    places = {literal >> 1: place for place, literal in enumerate(product.word) if literal > 1}
    if any(literal & 1 for literal in product.word):
        return None

    def leaf(node: int) -> bool:
        support = rewriting.support(node)
        return node in places or not all(support & mask for mask in masks)

    order, leaves = _cut_cone(graph, sorted({node for key, _ in terms for node in key}), leaf)
    classes: list[np.ndarray] = []
    kinds: list[np.ndarray] = []
    given: dict[int, np.ndarray] = {}
    for side, mask in zip(sides, masks, strict=True):
        own = [node for node in leaves if node not in places and not rewriting.support(node) & ~mask]
        if len(own) > 62:
            return None
        found = evaluate(graph, [2 * node for node in own], all_patterns(side))
        kind, of = np.unique(word_of(found, 1 << len(side)), return_inverse=True)
        kinds.append(kind)
        classes.append(of.reshape(-1))
        for at, node in enumerate(own):
            given[node] = (kind >> at & 1).astype(np.int16)
    counts = len(kinds[0]), len(kinds[1])
    cases = counts[0] * counts[1]
    if cases > 1 << 17 or any(node not in given and node not in places for node in leaves):
        return None
    values: dict[int, np.ndarray] = {}
    for node, value in given.items():
        first = not rewriting.support(node) & ~masks[0]
        values[node] = np.repeat(value, counts[1]) if first else np.tile(value, counts[0])
    for node, place in places.items():
        values[node] = np.full(cases, 2 * place + 2, np.int16)
    get = _by_cases(graph, order, values, cases)
    # [case, 0 for the constant and i + 1 for bit i of the product]
    factors = np.zeros((cases, len(product.word) + 1), object)
    rows = np.arange(cases)
    for key, coefficient in terms:
        value = np.ones(cases, np.int16)
        for node in key:
            value = _and(value, get(2 * node))
        if np.any(value < 0):
            return None
        # v has the constant 0 and the factor 1, ~v the constant 1 and the factor -1, and 1 the constant.
        variable, flip = value >> 1, (value & 1).astype(object)
        factors[:, 0] += flip * coefficient
        factors[rows, variable] += np.where(variable > 0, 1 - 2 * flip, 0).astype(object) * coefficient
    return _compared(factors, product, classes, counts, quire, width)


def _scales(values: Sequence[int | None], words: np.ndarray, classes: np.ndarray, count: int) -> Any:
    """For each class of codes what their word is to be multiplied by (None: nothing is known of it), and the largest
    word; or a text where codes of a class differ.
    """
    scales: list[Fraction | None] = [None] * count
    most = [0] * count
    for code, value in enumerate(values):
        if value is None:
            continue
        of, word = int(classes[code]), int(words[code])
        most[of] = max(most[of], word)
        if not word:
            if value:
                return f"code {code} has no significand"
            continue
        scale = Fraction(value, word)
        if scales[of] is None:
            scales[of] = scale
        elif scales[of] != scale:
            return f"code {code} is decoded to another number"
    return scales, most


def _compared(
    factors: np.ndarray,
    product: _Product,
    classes: Sequence[np.ndarray],
    counts: tuple[int, int],
    quire: Quire,
    width: int,
) -> str:
    """Why factors of a product's bits are not those of the format's definition, or nothing."""
    mask = (1 << width) - 1
    known = []
    for values, words, of, count in zip(
        (quire.acts, quire.weights), (product.x, product.y), classes, counts, strict=True
    ):
        scales = _scales(values, words, of, count)
        if isinstance(scales, str):
            return scales
        # Classes of NaR alone are not looked at: the flag says what comes of them.
        finite = {int(of[code]) for code, value in enumerate(values) if value is not None}
        known.append((*scales, finite))
    (act_scales, act_most, act_finite), (weight_scales, weight_most, weight_finite) = known
    for act in act_finite:
        for weight in weight_finite:
            row = factors[act * counts[1] + weight]
            if row[0] & mask:
                return "a lane adds a constant"
            most = act_most[act] * weight_most[weight]
            if not most:
                continue
            wanted = act_scales[act] * weight_scales[weight] * (1 << quire.raised)
            if wanted.denominator != 1:
                return "a lane adds less than a unit"
            for place in range(most.bit_length()):
                if (row[place + 1] - (wanted.numerator << place)) & mask:
                    return "a lane adds another number"
    return ""


# ---------------------------------------------------------------------- steps


@dataclass(frozen=True)
class _Case:
    """One quire and a step: its registers (``state``), what they are before and ``after``, and how they are read."""

    index: int
    seen: int
    state: tuple[Bit, ...]
    before: Mapping[Bit, int]
    after: Mapping[Bit, int]
    lanes: Sequence[Lane]
    view: _View | None
    named: Collection[tuple[int, ...]]
    """Words that have names in the text."""


class QuireProver:
    """Proves what a step, or a cycle without one, does to quires; one by one, in one graph."""

    def __init__(self, step: Step, sums: Sums) -> None:
        self.step, self.sums = step, sums
        self.quire = quire_of(step.manifest, step.mode)
        self._shapes: set[str] = set()
        """Digests of functions that are proved: cells are alike."""
        self._values: dict[int, int] = {}
        """What literals are: themselves, or constants."""
        self._known: tuple[np.ndarray, np.ndarray] | None = None
        step.graph.segmented = True
        if not step.idle and self.quire.code_bits <= _EXHAUSTIVE_BITS:
            step.graph.known = self._of_lane

    def _of_lane(self, word: Sequence[int]) -> list[int]:
        """A word, of which bits that are the same for all codes of a lane are constants."""
        graph = self.step.graph
        new = [one for one in dict.fromkeys(word) if graph.kind[one >> 1] == SUM and one not in self._values]
        if new:
            nodes = cone(graph, new)
            rng = np.random.default_rng(len(nodes))
            some = {node: rng.integers(0, 1 << 64, 4, dtype=np.uint64) for node in nodes if graph.kind[node] == VAR}
            for one, value in zip(new, evaluate(graph, new, some), strict=True):
                self._values[one] = one
                if np.any(value != value[0]) or value[0] not in (np.uint64(0), _ONES):
                    continue
                variables = [node for node in cone(graph, [one]) if graph.kind[node] == VAR]
                if len(variables) <= _EXHAUSTIVE_BITS:
                    (all_values,) = evaluate(graph, [one], all_patterns(variables))
                    if not np.any(all_values != value[0]):
                        self._values[one] = int(value[0] != 0)
        return [self._values.get(one, one) for one in word]

    def _lanes(self, place: tuple[int, ...]) -> list[Lane]:
        if self.step.idle:
            return []
        codes = self.step.codes
        empty = np.zeros(0, np.int64)
        return [
            Lane(tuple(literal >> 1 for literal in [*act, *weight]), empty)
            for act, weight in zip(codes["acts"][place[0]], codes["weights"][place[1]], strict=True)
        ]

    def prove(self, index: int, seconds: float) -> Found:
        """One quire, within so many seconds."""
        until = time.monotonic() + seconds
        step, graph = self.step, self.step.graph
        nets, place = self.sums.elements[index], self.sums.places[index]
        seen = step.cycles - 1 + step.latency + self.sums.delays[index]
        state = _registers(step, nets)
        before = {bit: graph.var(("before", at)) for at, bit in enumerate(state)}

        def cut(bit: Bit, cycle: int) -> int | None:
            if cycle == seen - step.busy and bit in before:
                return before[bit]
            return step.control_cut(bit, cycle)

        unrolled = Unrolled(step.netlist, graph, step.drive, -_BEFORE, cut)
        after = dict(zip(state, unrolled.word(state, seen), strict=True))
        was, word = unrolled.word(nets, seen - step.busy), unrolled.word(nets, seen)
        roles: dict[int, object] = {literal >> 1: ("before", at) for at, literal in enumerate(before.values())}
        if not step.idle:
            roles[step.variable("i_first", 0, 0) >> 1] = "first"
        lanes = self._lanes(place)
        for lane_at, lane in enumerate(lanes):
            roles = {node: ("lane", lane_at, at) for at, node in enumerate(lane.variables)} | roles
        digest = shape(graph, [*after.values(), *was, *word], roles)
        if digest in self._shapes:
            return Found(True)
        view, why, words = None, "", 0
        if not step.idle:
            try:
                view = _read(step, nets, state, {bit: one for bit, one in after.items() if one < 2}, until)
            except (UnknownError, OutOfTimeError) as error:
                why = str(error)
        named = unrolled.named_words() if self.quire.code_bits > _EXHAUSTIVE_BITS else ()
        case = _Case(index, seen, tuple(state), before, after, lanes, view, named)
        example = self._refuted(case, was, word)
        if example is not None:
            return Found(False, "random values", example)
        try:
            if step.idle:
                why = self._kept(case, until)
            elif view is not None:
                why, words = self._stepped(case, view, until)
        except OutOfTimeError as error:
            why = str(error)
        if not why:
            self._shapes.add(digest)
        return Found(not why, why, lemmas=words)

    def _never(self, literal: int, until: float) -> bool:
        return not literal or never(self.step.graph, literal, seconds=max(until - time.monotonic(), 1)) is True

    def _kept(self, case: _Case, until: float) -> str:
        graph = self.step.graph
        differs = graph.any_([graph.xor(case.after[bit], literal) for bit, literal in case.before.items()])
        return "" if self._never(differs, until) else "a register may change"

    def _stepped(self, case: _Case, view: _View, until: float) -> tuple[str, int]:
        """Why a step is not proved, or nothing; and how many words were proved."""
        graph, lanes, first = self.step.graph, case.lanes, self.step.variable("i_first", 0, 0)
        any_nan = graph.any_([self._nar(lane) for lane in lanes])
        if view.nar is not None:
            wanted = graph.or_(graph.and_(case.before[view.nar], first ^ 1), any_nan)
            if not self._never(graph.xor(case.after[view.nar], wanted), until):
                return "the flag of NaR is another function", 0
        elif any_nan:
            return "no register says that an operand was NaR", 0
        placed: dict[int, int] = {}
        proved = 0
        for number, part in enumerate(view.parts):
            why, own, words = self._part(part, view.place, case, until)
            proved += words
            if why:
                return f"part {number} of {len(view.parts)}: {why}", proved
            if placed.keys() & set(own):
                return "a lane is in two parts", proved
            placed |= dict.fromkeys(own, number)
        if len(placed) != len(lanes):
            return "a lane is in no part", proved
        if not view.whole:
            for number, part in enumerate(view.parts):
                own = [lane for lane, where in placed.items() if where == number]
                # In the order of K, codes of a step first.
                count = sum(-(-max(self.quire.depth - lane, 0) // len(lanes)) for lane in own)
                if count * self.quire.most >= 1 << len(part) - 1 + view.place:
                    return f"part {number} may leave its {len(part)} bits", proved
        return "", proved

    def _nar(self, lane: Lane) -> int:
        """Whether an operand of a lane is NaR."""
        graph, acts = self.step.graph, (len(self.quire.acts) - 1).bit_length()
        sides = (self.quire.acts, lane.variables[:acts]), (self.quire.weights, lane.variables[acts:])
        return graph.any_(
            [
                graph.any_([2 * node ^ (code >> at & 1) for at, node in enumerate(variables)]) ^ 1
                for values, variables in sides
                for code, value in enumerate(values)
                if value is None
            ]
        )

    def _part(self, part: tuple[Bit, ...], place: int, case: _Case, until: float) -> tuple[str, list[int], int]:
        """Why a step does not add products to a part; else the lanes that it has, and how many words were proved."""
        graph, width, lanes = self.step.graph, len(part), case.lanes
        first = self.step.variable("i_first", 0, 0) >> 1
        terms: Terms = []
        for at, bit in enumerate(part):
            node = case.before[bit] >> 1
            terms += [(key, c << at) for key, c in _literal(case.after[bit])]
            terms += [((node,), -1 << at), (tuple(sorted({node, first})), 1 << at)]
        if self.quire.code_bits <= _EXHAUSTIVE_BITS:
            rewriting = Rewriting(graph, lanes, until)
            return self._exhaustive(rewriting, rewriting.rewritten(terms, width), place, width)
        rewriting = _Narrow(graph, lanes, until)
        of_lane: dict[int, Terms] = {}
        for key, coefficient in rewriting.rewritten(terms, width).items():
            support = 0
            for node in key:
                support |= rewriting.support(node)
            lane = rewriting.lane_of(support) if key else -1
            if lane < 0:
                return "terms of several lanes are left", [], 0
            of_lane.setdefault(lane, []).append((key, coefficient))
        if place > self.quire.raised:
            return "a lane adds less than a unit", [], 0
        quire = replace(self.quire, raised=self.quire.raised - place)
        for lane, own in of_lane.items():
            digest = _lane_digest(graph, own, lanes[lane], width)
            if digest not in self._shapes:
                why = _wide_lane(graph, rewriting, own, lanes[lane], case.named, quire, width, until)
                if why:
                    return f"lane {lane}: {why}", [], 0
                self._shapes.add(digest)
        return "", list(of_lane), len(of_lane)

    def _products(self) -> tuple[np.ndarray, np.ndarray]:
        """Products of all pairs of codes before they are raised, and which are not NaR; activation code fastest."""
        if self._known is None:
            a, w = (np.array([value or 0 for value in side], object) for side in (self.quire.acts, self.quire.weights))
            known = [np.array([value is not None for value in side]) for side in (self.quire.acts, self.quire.weights)]
            self._known = np.multiply.outer(w, a).reshape(-1), np.logical_and.outer(known[1], known[0]).reshape(-1)
        return self._known

    def _exhaustive(self, rewriting: Rewriting, left: Any, place: int, width: int) -> tuple[str, list[int], int]:
        split = rewriting.split(left, width)
        if split is None:
            return "terms of several lanes are left", [], 0
        constant, tables = split
        products, known = self._products()
        wanted, mask = products << self.quire.raised, (1 << width) - 1
        if np.any(wanted & ((1 << place) - 1)):
            return "a lane adds less than a unit", [], 0
        for lane, found in tables.items():
            difference = ((found.astype(object) - (wanted >> place)) & mask)[known]
            if np.any(difference != difference[0]):
                return f"lane {lane} adds another number", [], 0
            constant += int(difference[0])
        if constant & mask:
            return "the sum differs by a constant", [], 0
        return "", list(tables), rewriting.proved_words

    # ------------------------------------------------------------------ counterexamples

    def _refuted(self, case: _Case, was: list[int], word: list[int]) -> Counterexample | None:
        """Inputs for which the output is another one, of many random ones."""
        step, graph, size = self.step, self.step.graph, len(word)
        rng = np.random.default_rng(1)
        count = 64 * _SAMPLES
        nodes = [node for node, kind in enumerate(graph.kind) if kind == VAR]
        patterns = {node: rng.integers(0, 1 << 64, _SAMPLES, dtype=np.uint64) for node in nodes}
        for node in nodes:
            label = graph.label[node]
            # Half of the time nothing comes in but the step.
            if isinstance(label, tuple) and len(label) == 3 and str(label[0]).startswith("i_") and label[2]:
                patterns[node][::2] = np.uint64(0)
        acts = (len(self.quire.acts) - 1).bit_length()
        codes: list[list[np.ndarray]] = []
        for lane in case.lanes:
            codes.append([])
            for side, values in ((lane.variables[:acts], self.quire.acts), (lane.variables[acts:], self.quire.weights)):
                own = _codes(rng, values, count)
                patterns |= dict(zip(side, _packed(own, len(side)), strict=True))
                codes[-1].append(own)
        if not step.idle:
            self._begin(case, patterns, rng)
        found, kept = (word_of(evaluate(graph, one, patterns), count).astype(object) for one in (word, was))
        nar, mask = 1 << size - 1, (1 << size) - 1
        begins = np.zeros(count, np.uint8)
        if not step.idle:
            begins = bits_of(patterns[step.variable("i_first", 0, 0) >> 1], count)
        for at in range(count):
            wanted: int | None = 0 if begins[at] else int(kept[at])
            if wanted == nar and not step.idle:
                wanted = None
            for act, weight in codes:
                product = self.quire.product(int(act[at]), int(weight[at]))
                wanted = None if wanted is None or product is None else wanted + product
            final = nar if wanted is None else wanted & mask
            if int(found[at]) != final:
                assigned = {node: int(patterns[node][at >> 6]) >> (at & 63) & 1 for node in nodes}
                return Counterexample(
                    step.cycle_words(assigned),
                    self.sums.name,
                    case.index,
                    int(kept[at]),
                    case.seen,
                    step.busy,
                    "",
                    int(found[at]),
                    final,
                    self._forced(case, assigned),
                )
        return None

    def _begin(self, case: _Case, patterns: dict[int, np.ndarray], rng: np.random.Generator) -> None:
        """What a quire is before a step: nothing that the groups of its mode do not make, or it is cleared."""
        full = np.uint64(0xFFFFFFFFFFFFFFFF)
        if case.view is None:
            patterns[self.step.variable("i_first", 0, 0) >> 1][:] = full
            return
        for bit, literal in case.before.items():
            if case.after[bit] < 2:
                patterns[literal >> 1][:] = full if case.after[bit] else np.uint64(0)
            elif bit == case.view.nar:
                # Rarely.
                flag = rng.integers(0, 1 << 64, (4, _SAMPLES), dtype=np.uint64)
                finite = all(value is not None for value in (*self.quire.acts, *self.quire.weights))
                patterns[literal >> 1] = flag[0] * np.uint64(0) if finite else np.bitwise_and.reduce(flag)
        for part in case.view.parts if not case.view.whole else ():
            for bit in part[-4:]:
                # Far from its ends.
                patterns[case.before[bit] >> 1] = patterns[case.before[part[-1]] >> 1]

    def _forced(self, case: _Case, values: Mapping[int, int]) -> dict[str, int]:
        """The registers of a quire by the names that they have in the text, instance and all."""
        found: dict[str, int] = {}
        netlist = self.step.netlist
        for cell in dict.fromkeys(netlist.driver[bit][0].name for bit in case.state):
            word = next(one for one in netlist.cells if one.name == cell).ports["Q"]
            number = sum(
                values.get(case.before[bit] >> 1, 0) << at for at, bit in enumerate(word) if bit in case.before
            )
            name = next((name for name, bits in netlist.names.items() if bits == word and "." in name), None)
            if name is not None:
                found[name] = number
        return found


def _codes(rng: np.random.Generator, values: Sequence[int | None], count: int) -> np.ndarray:
    """Random codes, of which many begin with a long run of equal bits; few are NaR."""
    size = (len(values) - 1).bit_length()
    codes = rng.integers(-(1 << size - 1), 1 << size - 1, count) >> rng.integers(0, size, count)
    found: np.ndarray = np.where(rng.integers(0, 2, count) > 0, codes, codes ^ ((1 << size - 1) - 1)) & (1 << size) - 1
    nars = [code for code, value in enumerate(values) if value is None]
    found[np.isin(found, nars)] = 0
    if nars:
        found[rng.integers(0, 64, count) == 0] = nars[0]
    return found


def _packed(numbers: np.ndarray, size: int) -> list[np.ndarray]:
    """Bits of numbers as packed words."""
    return [
        np.packbits((numbers >> at & 1).astype(np.uint8), bitorder="little").view("<u8").astype(np.uint64)
        for at in range(size)
    ]


def _lane_digest(graph: Graph, terms: Terms, lane: Lane, width: int) -> str:
    """Equal for terms of lanes that are equal functions of their codes."""
    nodes = sorted({node for key, _ in terms for node in key})
    numbers = {node: at for at, node in enumerate(nodes)}
    own = [([numbers[node] for node in key], coefficient) for key, coefficient in terms]
    roles = {node: at for at, node in enumerate(lane.variables)}
    return f"{shape(graph, [2 * node for node in nodes], roles)} {width} {own}"
