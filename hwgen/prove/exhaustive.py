"""Functions of a graph compared with a scalar definition for every value of their inputs, in a compiled program.

The gates become straight-line C++ on words of 64 assignments each; the definition is a C++ function of one
assignment.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Sequence
from dataclasses import dataclass

from hwgen.prove.graph import AND, MUX, PLUS, SUM, VAR, XOR, Graph
from hwgen.prove.tables import cone

__all__ = ["Compared", "compare_all"]

_CHUNK = 1 << 26
_MOST_BITS = 34
_HEAD = """#include <cstdint>
#include <cmath>
#include <cstring>
typedef uint64_t u64;
static const u64 LOW[6] = {0xAAAAAAAAAAAAAAAAull, 0xCCCCCCCCCCCCCCCCull, 0xF0F0F0F0F0F0F0F0ull,
                           0xFF00FF00FF00FF00ull, 0xFFFF0000FFFF0000ull, 0xFFFFFFFF00000000ull};
static inline u64 input(u64 block, int place) {
  return place < 6 ? LOW[place] : 0 - (block >> (place - 6) & 1);
}
static inline void transpose(u64 a[64]) {
  u64 mask = 0x00000000FFFFFFFFull;
  for (int j = 32; j; j >>= 1, mask ^= mask << j)
    for (int k = 0; k < 64; k = ((k | j) + 1) & ~j) {
      u64 t = ((a[k] >> j) ^ a[k | j]) & mask;
      a[k] ^= t << j;
      a[k | j] ^= t;
    }
}
"""


@dataclass(frozen=True)
class Compared:
    """Assignments that were compared, whether these are all, and the first one that differs, as a number."""

    count: int
    complete: bool
    differs: int | None = None


def _program(graph: Graph, word: Sequence[int], variables: Sequence[int], wanted: str) -> str:
    place = {node: at for at, node in enumerate(variables)}

    def of(literal: int) -> str:
        if literal < 2:
            return "~(u64)0" if literal else "(u64)0"
        return f"~n{literal >> 1}" if literal & 1 else f"n{literal >> 1}"

    lines = [_HEAD, "static inline u64 wanted(u64 x) {", wanted, "}"]
    lines += ['extern "C" u64 compare(u64 first, u64 blocks, u64 patterns) {', "u64 out[64];"]
    lines += ["for (u64 block = first; block < first + blocks; block++) {"]
    for node in cone(graph, word):
        kind, fanin = graph.kind[node], graph.fanin[node]
        if kind == VAR:
            text = f"input(block, {place[node]})"
        elif kind == SUM:
            text = of(graph.ripple(fanin[0])[fanin[1]])
        else:
            ends = [of(literal) for literal in fanin]
            if kind == MUX:
                text = f"({ends[0]} & {ends[1]}) | (~({ends[0]}) & {ends[2]})"
            else:
                text = f" {({AND: '&', XOR: '^', PLUS: '|'})[kind]} ".join(ends)
        lines.append(f"const u64 n{node} = {text};")
    lines.append("std::memset(out, 0, sizeof out);")
    lines += [f"out[{at}] = {of(literal)};" for at, literal in enumerate(word)]
    lines += ["transpose(out);", "for (u64 i = 0; i < patterns; i++)"]
    lines += ["if (out[i] != wanted(block << 6 | i)) return block << 6 | i;", "}", "return ~(u64)0;", "}"]
    return "\n".join(lines) + "\n"


def compare_all(graph: Graph, word: Sequence[int], variables: Sequence[int], wanted: str, seconds: float) -> Compared:
    """Compare a word of at most 64 literals with ``wanted``, the body of a C++ function of ``x``: the values of the
    variables (nodes), the first in the lowest bit.

    Raises `ValueError` for a word that depends on other variables, or for too many.
    """
    from hwgen.simulators.library import shared_library

    others = [node for node in cone(graph, word) if graph.kind[node] == VAR and node not in set(variables)]
    if others or len(variables) > _MOST_BITS or len(word) > 64:
        raise ValueError(f"{len(variables)} bits of inputs, {len(others)} other ones, {len(word)} of outputs")
    text = _program(graph, word, variables, wanted)
    library = ctypes.CDLL(str(shared_library("prove", "compare.cpp", {"compare.cpp": text})))
    library.compare.restype = ctypes.c_uint64
    library.compare.argtypes = [ctypes.c_uint64] * 3
    until = time.monotonic() + seconds
    total, done = 1 << len(variables), 0
    while done < total:
        if time.monotonic() > until:
            return Compared(done, False)
        size = min(_CHUNK, total - done)
        found = library.compare(done >> 6, max(size >> 6, 1), min(size, 64))
        if found != (1 << 64) - 1:
            return Compared(done, False, found)
        done += size
    return Compared(total, True)
