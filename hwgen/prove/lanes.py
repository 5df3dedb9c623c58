"""Post lanes and their adders as functions: where they lie in a text, and what a lane makes of its inputs."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from hwgen.prove.abc import decide
from hwgen.prove.cut import Function, bit_product, gates
from hwgen.prove.graph import VAR, Graph
from hwgen.prove.netlist import Bit, Netlist
from hwgen.prove.reference import UnknownError
from hwgen.prove.rounding import Scale, magnitude, nonzero, product, scaled
from hwgen.prove.tables import bits_of, cone, evaluate, patterns_of, shape
from hwgen.prove.unroll import Unrolled

__all__ = ["Found", "Piece", "Rule", "adders", "lanes", "pieces", "prove_lane"]

_BEFORE = 64
_CUT_S = 60.0
_TRIES = 1 << 8
"""Words of 64 random inputs each that are tried before a lane is proved."""


@dataclass(frozen=True)
class Piece:
    """Logic between words of nets, ``cycles`` from one to the other.

    Nets in ``high`` are 1 when the inputs are there; ports in ``still`` are what it says in all cycles.
    """

    name: str
    inputs: Mapping[str, tuple[Bit, ...]]
    output: tuple[Bit, ...]
    cycles: int
    high: tuple[Bit, ...] = ()
    still: Mapping[str, int] = field(default_factory=dict)
    wires: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """Where the inputs are, the output (``""``) and what is high (``high``): a name, and the lowest place."""

    def function(self, netlist: Netlist) -> tuple[Graph, list[int], dict[str, list[int]]]:
        """The output in a graph, and variables for the inputs by name."""
        graph = Graph()
        words = {name: [graph.var((name, place)) for place in range(len(bits))] for name, bits in self.inputs.items()}
        given = {bit: word[at] for name, word in words.items() for at, bit in enumerate(self.inputs[name])}
        given |= dict.fromkeys(self.high, 1)
        others: dict[object, int] = {}

        def other(*key: object) -> int:
            if key not in others:
                others[key] = graph.var(key)
            return others[key]

        def drive(port: str, place: int, cycle: int) -> int:
            return self.still[port] if port in self.still else other(port, place, cycle)

        def cut(bit: Bit, cycle: int) -> int | None:
            if bit not in given:
                return None
            return given[bit] if cycle == 0 else other(bit, cycle)

        unrolled = Unrolled(netlist, graph, drive, -_BEFORE, cut, frozenset(given))
        return graph, unrolled.word(self.output, self.cycles), words

    def cells(self, netlist: Netlist) -> set[str]:
        """Names of the cells between inputs and output."""
        ends = {bit for bits in self.inputs.values() for bit in bits} | set(self.high)
        seen: set[Bit] = set()
        found: set[str] = set()
        stack = list(self.output)
        while stack:
            bit = stack.pop()
            if bit in ends or bit in seen or bit not in netlist.driver:
                continue
            seen.add(bit)
            cell, _ = netlist.driver[bit]
            found.add(cell.name)
            stack += [net for port, bits in cell.ports.items() if port != cell.output for net in bits]
        return found

    def digest(self, netlist: Netlist) -> str:
        """Equal for pieces that are the same functions of their inputs by name."""
        graph, word, words = self.function(netlist)
        roles = {literal >> 1: (name, place) for name, own in words.items() for place, literal in enumerate(own)}
        return shape(graph, word, roles)


def _lane_count(manifest: Mapping[str, Any]) -> int:
    port = next(port for port in manifest["ports"] if port["name"] == "o_y")
    return int(port["packing"]["shape"][0])


def _still(manifest: Mapping[str, Any]) -> dict[str, int]:
    reset = manifest["reset"]
    return {"clk": 0, reset["port"]: int(reset["active"] != "high")}


def lanes(netlist: Netlist, manifest: Mapping[str, Any]) -> list[Piece]:
    """Each lane: ``total``, and those of ``row_sum``, ``col_zero`` and scales that it has, to FP32.

    Raises `UnknownError` where they are not found.
    """
    names, found = netlist.names, []
    cuts = manifest["parameters"]["post_cuts"]
    for lane in range(_lane_count(manifest)):
        inside = f"post.lane{lane}."
        if f"{inside}fp32" in names:
            inputs = {name: names[f"{inside}{name}"] for name in _SIDES if f"{inside}{name}" in names}
            wires = {name: (f"{inside}{name}", 0) for name in inputs} | {"": (f"{inside}fp32", 0)}
            found.append(Piece(f"lane{lane}", inputs, names[f"{inside}fp32"], 2 + cuts, (), _still(manifest), wires))
        elif f"post.lane{lane}_round" in names and "post.sums_copy" in names and not cuts:
            wires, inputs = _copies(names, manifest, lane)
            wires |= {"": (f"post.lane{lane}_round", 0), "high": ("post.active", 0)}
            high, out = names["post.active"], names[f"post.lane{lane}_round"]
            found.append(Piece(f"lane{lane}", inputs, out, 2, high, _still(manifest), wires))
        else:
            raise UnknownError("lanes that are neither modules nor between registers of known names")
        if "total" not in found[-1].inputs:
            raise UnknownError("lanes of sums that are no whole numbers")
    return found


_SIDES = ("total", "row_sum", "col_zero", "row_scale", "col_scale")


def _copies(
    names: Mapping[str, tuple[Bit, ...]], manifest: Mapping[str, Any], lane: int
) -> tuple[dict[str, tuple[str, int]], dict[str, tuple[Bit, ...]]]:
    """What comes to the front of rings for a lane without registers of its own: where, and the nets."""
    ports = {port["name"]: port for port in manifest["ports"]}
    m, n = (ports[name]["packing"]["shape"][0] for name in ("i_acts", "i_weights"))
    counts = {"total": ("sums", m * n), "row_sum": ("row_sums", m)}
    counts |= {name: (name, m if name.startswith("row") else n) for name in _SIDES[2:]}
    wires, found = {}, {}
    for name, (ring, count) in counts.items():
        bits = names.get(f"post.{ring}_copy")
        if bits is None or (name == "row_sum" and "post.col_zero_copy" not in names):
            continue
        size = len(bits) // count
        at = 0 if name.startswith("row") else lane
        wires[name] = f"post.{ring}_copy", at * size
        found[name] = bits[at * size : (at + 1) * size]
    return wires, found


def adders(netlist: Netlist, manifest: Mapping[str, Any]) -> list[Piece]:
    """Each adder: ``a`` and ``b`` to their sum. Raises `UnknownError` where they are not found."""
    names, found = netlist.names, []
    cycles = manifest["parameters"]["post_adder_stages"] - 1
    for lane in range(_lane_count(manifest)):
        inside = f"post.adder{lane}."
        if f"{inside}sum" in names:
            wires = {"a": (f"{inside}a", 0), "b": (f"{inside}b", 0), "": (f"{inside}sum", 0)}
        elif f"post.lane{lane}_add" in names and not cycles:
            wires = {"a": (f"post.lane{lane}_base", 0), "b": (f"post.lane{lane}_rounded", 0)}
            wires[""] = f"post.lane{lane}_add", 0
        else:
            raise UnknownError("adders that are neither modules nor between nets of known names")
        inputs = {name: names[wires[name][0]] for name in "ab"}
        found.append(Piece(f"adder{lane}", inputs, names[wires[""][0]], cycles, (), _still(manifest), wires))
    return found


def pieces(netlist: Netlist, manifest: Mapping[str, Any]) -> list[Piece]:
    """Lanes and adders that are found."""
    found: list[Piece] = []
    for kind in (lanes, adders) if manifest["post"] is not None else ():
        with contextlib.suppress(UnknownError):
            found += kind(netlist, manifest)
    return found


# ---------------------------------------------------------------------- a lane


@dataclass(frozen=True)
class Rule:
    """What a lane is to make of its inputs.

    ``low`` and ``high`` bound a corrected sum of a group, None where any sum may be; ``odd`` and ``nar`` as in
    `rounding.scaled`.
    """

    scales: Mapping[str, Scale]
    unit_exp: int
    low: int | None = None
    high: int | None = None
    odd: bool = False
    nar: bool = False


@dataclass(frozen=True)
class Found:
    """``status``, what there is to say, and where it is refuted the inputs by name, what comes out and what should."""

    status: str
    detail: str
    inputs: Mapping[str, int] | None = None
    found: int = 0
    wanted: int = 0


def _corrected(g: Graph, known: Mapping[str, Sequence[int]], width: int) -> list[int]:
    """The sum less its zero point's share, in so many bits."""
    share = product(g, known["col_zero"], known["row_sum"], signed=True)
    words = [[*word, *[word[-1]] * width][:width] for word in (known["total"], share)]
    return gates(g, g.add([(1, words[0]), (-1, words[1])], 0, width))


def _of_number(g: Graph, known: Mapping[str, Sequence[int]]) -> list[Sequence[int]]:
    return [known[name] for name in ("total", "col_zero", "row_sum")]


def _number_terms(words: Sequence[Sequence[int]]) -> list[tuple[tuple[int, ...], int]]:
    """The same as a polynomial of bits, the last one of each word its sign."""
    total, zero, row_sum = words

    def weight(word: Sequence[int], place: int) -> int:
        return (-1 if place == len(word) - 1 else 1) << place

    listed = [(bit_product(bit), weight(total, at)) for at, bit in enumerate(total)]
    for (i, x), (j, y) in itertools.product(enumerate(zero), enumerate(row_sum)):
        listed.append((bit_product(x, y), -weight(zero, i) * weight(row_sum, j)))
    return [(key, factor) for key, factor in listed if key is not None]


def _widths(known: Mapping[str, Sequence[int]], rule: Rule) -> list[int]:
    """Bits that a corrected sum may have in a lane: all that it needs for any inputs, or for those of a group."""
    total, share = len(known["total"]), len(known["col_zero"]) + len(known["row_sum"])
    found = [max(total, share) + 1]
    if rule.low is not None and rule.high is not None:
        least = max(rule.high.bit_length(), (-rule.low - 1).bit_length()) + 1
        found = [*range(max(least, total), found[0] + 1)]
    return found


def _significand(g: Graph, known: Mapping[str, Sequence[int]], scales: Mapping[str, Scale]) -> list[list[int]]:
    return [scale.significand(g, known[name]) for name, scale in scales.items() if scale.fraction or scale.subnormals]


def prove_lane(piece: Piece, netlist: Netlist, rule: Rule, seconds: float) -> Found:
    """Prove a lane's function: the sum and what is multiplied by words, the rounding by where the leading one is.

    Raises `UnknownError` where the lane's inputs are not those of the rule.
    """
    until = time.monotonic() + seconds
    graph, word, words = piece.function(netlist)
    others = set(words) - {"total", "row_sum", "col_zero", *rule.scales}
    if others or set(rule.scales) - set(words) or ("col_zero" in words) != ("row_sum" in words):
        raise UnknownError(f"lanes of {', '.join(sorted(words))}")
    inputs = {literal >> 1 for own in words.values() for literal in own}
    if any(graph.kind[node] == VAR and node not in inputs for node in cone(graph, word)):
        return Found("refuted", f"what comes after {piece.cycles} cycles is made of inputs of other ones")
    whole = Function.of(graph, word, words)
    refused = _tried(whole, rule)
    if refused is not None:
        return refused
    at = whole
    if "col_zero" in words:
        met = None
        for width in _widths(words, rule):
            own = whole.cut("number", partial(_corrected, width=width), _left(until), _of_number, _number_terms)
            labels = {own.graph.label[node] for node in _variables(own)}
            # All of it is met, its sign too, and nothing else is made of what it is made of.
            if ("number", width - 1) in labels and not labels & _LABELS:
                met = own
                break
        if met is None:
            raise UnknownError("lanes whose corrected sum is not found in them")
        at = met
    at.known.setdefault("number", at.known["total"])
    at = at.cut("significand", lambda g, known: magnitude(g, known["number"]), _left(until))
    at.known["magnitude"] = at.known["significand"]
    factors = partial(_significand, scales=rule.scales)
    count = len(factors(at.graph, at.known))
    if count == 2:
        at = at.cut("factor", lambda g, known: product(g, *factors(g, known)), _left(until), factors)
    if count:
        at = at.cut(
            "significand", partial(_exact, scales=rule.scales), _left(until), partial(_pair, scales=rule.scales)
        )
    places: list[int | None] = [None, *range(len(at.known["significand"]))]
    for number, place in enumerate(places):
        case = _case(at, place)
        if case is None:
            continue
        wanted = scaled(case.graph, case.known, rule.scales, rule.unit_exp, place, odd=rule.odd, nar=rule.nar)
        bad = case.graph.any_([case.graph.xor(a, b) for a, b in zip(case.word, wanted, strict=True)])
        # A product is 0 where one of its factors is.
        some = nonzero(case.graph, case.known, rule.scales)
        bad = case.graph.and_(bad, some ^ int(place is None))
        right = decide(case.graph, bad, seconds=until - time.monotonic())[0]
        if right is False:
            # The words may be independent where they are cut, and are not.
            found = _uncut(whole, rule, place, until - time.monotonic())
            if isinstance(found, Found):
                return found
            right = found
        if right is not True:
            where = "zero" if place is None else f"a leading one at place {place}"
            return Found("open", f"{number} of {len(places)} cases are proved; not {where} of the exact product")
    return Found("proved", f"{len(places)} cases of the exact product's leading one")


_LABELS = {(name, place) for name in ("total", "row_sum", "col_zero") for place in range(512)}


def _variables(function: Function) -> list[int]:
    return [node for node in cone(function.graph, function.word) if function.graph.kind[node] == VAR]


def _left(until: float) -> float:
    return min(_CUT_S, until - time.monotonic())


def _pair(g: Graph, known: Mapping[str, Sequence[int]], scales: Mapping[str, Scale]) -> list[Sequence[int]]:
    """What the exact product is made of."""
    return [known["significand"], known["factor"] if "factor" in known else _significand(g, known, scales)[0]]


def _exact(g: Graph, known: Mapping[str, Sequence[int]], scales: Mapping[str, Scale]) -> list[int]:
    return product(g, *_pair(g, known, scales))[: _most_bits(known, scales)]


def _most_bits(known: Mapping[str, Sequence[int]], scales: Mapping[str, Scale]) -> int:
    """Bits of the largest exact product: the magnitude of the least number, times the largest significands."""
    most = 1 << len(known["number"]) - 1
    for scale in scales.values():
        most *= (1 << scale.fraction + 1) - 1
    return most.bit_length()


def _case(function: Function, place: int | None) -> Function | None:
    """The function where the leading one of the significand is at a place, None where it is 0 there."""
    word, values = function.known["significand"], dict[int, int]()
    for at, literal in enumerate(word):
        wanted = int(at == place)
        if place is not None and at < place:
            continue
        if literal < 2:
            if literal != wanted:
                return None
        elif values.setdefault(literal & ~1, wanted ^ literal & 1) != wanted ^ literal & 1:
            return None
    return function.with_values(values)


# ---------------------------------------------------------------------- any inputs


def _whole(function: Function, rule: Rule) -> tuple[list[int], int]:
    """What is wanted of all inputs, and whether these may be of a group."""
    g, known = function.graph, dict(function.known)
    word = _product(g, known, rule)
    legal = 1
    if "col_zero" in known and rule.low is not None and rule.high is not None:
        spare = max(rule.high.bit_length(), (-rule.low - 1).bit_length())
        sign = known["number"][-1]
        legal = g.any_([g.xor(bit, sign) for bit in known["number"][spare:]]) ^ 1
    wanted = scaled(g, known, rule.scales, rule.unit_exp, None, odd=rule.odd, nar=rule.nar)
    leading = 0
    for place in reversed(range(len(word))):
        own = scaled(g, known, rule.scales, rule.unit_exp, place, odd=rule.odd, nar=rule.nar)
        here = g.and_(word[place], leading ^ 1)
        wanted = [g.mux(here, yes, no) for yes, no in zip(own, wanted, strict=True)]
        leading = g.or_(leading, word[place])
    return wanted, legal


def _product(g: Graph, known: dict[str, list[int]], rule: Rule) -> list[int]:
    """The significand of the exact product; what it is made of becomes known too."""
    known["number"] = known["total"]
    if "col_zero" in known:
        width = max(len(known["total"]), len(known["col_zero"]) + len(known["row_sum"])) + 1
        known["number"] = _corrected(g, known, width)
    word = known["magnitude"] = magnitude(g, known["number"])
    for factor in _significand(g, known, rule.scales):
        word = product(g, word, factor)
    known["significand"] = word[: _most_bits(known, rule.scales)]
    return known["significand"]


def _uncut(function: Function, rule: Rule, place: int | None, seconds: float) -> Found | bool | None:
    """A case of the whole function: whether it holds, or inputs for which it does not."""
    whole = Function.of(function.graph, function.word, function.known)
    g, known = whole.graph, dict(whole.known)
    wanted, legal = _whole(whole, rule)
    word = _product(g, known, rule)
    here = g.any_(word[0 if place is None else place + 1 :]) ^ 1
    if place is not None:
        here = g.and_(here, word[place])
    bad = g.any_([g.xor(a, b) for a, b in zip(whole.word, wanted, strict=True)])
    right, values = decide(g, g.and_(g.and_(here, legal), bad), seconds=seconds)
    if right is not False:
        return right
    patterns = patterns_of(g, values)
    return _example(whole, patterns, evaluate(g, [*whole.word, *wanted], patterns), 0)


def _tried(function: Function, rule: Rule) -> Found | None:
    """Random inputs for which a lane makes something else than it should."""
    whole = Function.of(function.graph, function.word, function.known)
    g = whole.graph
    wanted, legal = _whole(whole, rule)
    bad = g.and_(legal, g.any_([g.xor(a, b) for a, b in zip(whole.word, wanted, strict=True)]))
    rng = np.random.default_rng(3)
    patterns: dict[int, np.ndarray] = {}
    for name, word in whole.known.items():
        for place, literal in enumerate(word):
            pattern = rng.integers(0, 1 << 64, _TRIES, dtype=np.uint64)
            if name in ("total", "row_sum", "col_zero"):
                # Small numbers too: the higher half of the bits are their sign in half of the words.
                size = len(word) * 3 // 4
                if place > size and literal >> 1 != word[size] >> 1:
                    pattern[::2] = patterns[word[size] >> 1][::2]
            patterns[literal >> 1] = pattern
    ends = [bad, *whole.word, *wanted]
    values = evaluate(g, ends, patterns)
    hits = np.flatnonzero(bits_of(values[0], 64 * _TRIES))
    if not len(hits):
        return None
    return _example(whole, patterns, values[1:], int(hits[0]))


def _example(whole: Function, patterns: Mapping[int, np.ndarray], values: Sequence[np.ndarray], at: int) -> Found:
    """What is refuted by an assignment of many; ``values`` are those of what comes out, and of what should."""

    def of(arrays: Sequence[np.ndarray]) -> int:
        return sum((int(one[at >> 6]) >> (at & 63) & 1) << place for place, one in enumerate(arrays))

    example = {name: of([patterns[literal >> 1] for literal in word]) for name, word in whole.known.items()}
    got, right = of(values[:32]), of(values[32:])
    told = ", ".join(f"{name} {value:#x}" for name, value in example.items())
    return Found("refuted", f"{told}: {got:#010x} and not {right:#010x}", example, got, right)
