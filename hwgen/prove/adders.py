"""An FP32 adder proved for all pairs of codes, case by case of how far their exponents are apart."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from hwgen.prove.abc import decide
from hwgen.prove.cut import rebuilt
from hwgen.prove.fp32 import Case, adder_cases, differs_from_sum, sum_code
from hwgen.prove.graph import VAR, Graph
from hwgen.prove.lanes import Found, Piece
from hwgen.prove.netlist import Netlist
from hwgen.prove.tables import cone, evaluate, patterns_of, word_of

__all__ = ["prove_adder"]

_TRIES = 1 << 8
"""Words of 64 random pairs each that are tried before an adder is proved."""


def prove_adder(piece: Piece, netlist: Netlist, seconds: float) -> Found:
    """Prove that an adder is one.

    It is proved first that it makes the same of ``a``, ``b`` as of ``b``, ``a``: then only cases in which the first
    exponent is not the smaller one are left.
    """
    until = time.monotonic() + seconds
    graph, word, words = piece.function(netlist)
    a, b = words["a"], words["b"]
    inputs = {literal >> 1 for literal in [*a, *b]}
    if any(graph.kind[node] == VAR and node not in inputs for node in cone(graph, word)):
        return Found("refuted", f"what comes after {piece.cycles} cycles is made of inputs of other ones")
    refused = _tried(graph, word, words)
    if refused is not None:
        return refused
    listed = adder_cases()
    same, _ = decide(graph, _asymmetry(graph, word, a, b), seconds=until - time.monotonic())
    cases = [case for case in listed if not (same and case.swapped)]
    for number, case in enumerate(cases):
        bad = differs_from_sum(graph, word, a, b, case)
        right, values = decide(graph, bad, seconds=until - time.monotonic())
        if right is None:
            return Found("open", f"{number} of {len(cases)} cases are proved; not {case}")
        if not right:
            return _refuted(graph, word, words, values, case)
    by = f"{len(cases)} cases" + (", the others by exchanging a and b" if same else "")
    return Found("proved", by)


def _asymmetry(g: Graph, word: Sequence[int], a: Sequence[int], b: Sequence[int]) -> int:
    """Whether the sum is another one with ``a`` and ``b`` exchanged."""
    given = {x >> 1: y for x, y in zip([*a, *b], [*b, *a], strict=True)}
    other = rebuilt(g, word, g, given)
    return g.any_([g.xor(x, y) for x, y in zip(word, other, strict=True)])


def _tried(g: Graph, word: Sequence[int], words: Mapping[str, Sequence[int]]) -> Found | None:
    """Random pairs, most of them of exponents that are not far apart, whose sum is another one."""
    rng, count = np.random.default_rng(9), 64 * _TRIES
    a = rng.integers(0, 1 << 32, count, dtype=np.uint64)
    a[::8] &= np.uint64(0x80FFFFFF)
    a[1::8] |= np.uint64(0x7F000000)
    top = np.clip((a >> np.uint64(23) & np.uint64(255)).astype(int) + rng.integers(-28, 29, count), 0, 255)
    b = rng.integers(0, 1 << 32, count, dtype=np.uint64) & np.uint64(0x807FFFFF) | top.astype(np.uint64) << np.uint64(
        23
    )
    b[::16] = a[::16] ^ np.uint64(1 << 31)
    patterns: dict[int, np.ndarray] = {}
    for codes, name in ((a, "a"), (b, "b")):
        for place, literal in enumerate(words[name]):
            bits = (codes >> np.uint64(place) & np.uint64(1)).astype(np.uint8)
            patterns[literal >> 1] = np.packbits(bits, bitorder="little").view(np.uint64)
    with np.errstate(all="ignore"):
        total = a.astype(np.uint32).view(np.float32) + b.astype(np.uint32).view(np.float32)
    wanted = np.where(np.isnan(total), 0x7FC00000, total.view(np.uint32).astype(np.int64))
    found = word_of(evaluate(g, word, patterns), count)
    for at in np.flatnonzero(found != wanted):
        x, y = int(a[at]), int(b[at])
        if sum_code(x, y) == wanted[at]:
            told = f"{x:#010x} + {y:#010x} is {int(found[at]):#010x} and not {int(wanted[at]):#010x}"
            return Found("refuted", told, {"a": x, "b": y}, int(found[at]), int(wanted[at]))
    return None


def _refuted(
    g: Graph, word: Sequence[int], words: Mapping[str, Sequence[int]], values: Mapping[int, int], case: Case
) -> Found:
    patterns = patterns_of(g, values)
    ends = {name: [int(one[0]) & 1 for one in evaluate(g, own, patterns)] for name, own in [*words.items(), ("", word)]}
    example = {name: sum(bit << place for place, bit in enumerate(bits)) for name, bits in ends.items()}
    found = example.pop("")
    wanted = sum_code(example["a"], example["b"])
    told = f"{case}: {example['a']:#010x} + {example['b']:#010x} is {found:#010x} and not {wanted:#010x}"
    return Found("refuted", told, example, found, wanted)
