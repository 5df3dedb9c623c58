"""Measure the delays by which pipelines are cut: one cell at a time, mapped for speed with each of the libraries.

    python tools/measure_delays.py NAME=cells.lib.gz[,more.lib.gz] ... > hwgen/pipeline/delays.csv

Times are ABC's longest path without registers, the better of two recipes; pre-layout.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from hwgen.emit._widen import widen
from hwgen.synth import read_library
from hwgen.synth._gate import shortest_ns


def single(width: int, operands: int, result: Callable[..., Value]) -> str:
    """RTLIL of one operation on ``operands`` words and one bit."""
    m = Module()
    words = [Signal(width, name=f"word{index}") for index in range(operands)]
    bit = Signal(name="bit")
    value = result(*words, bit)
    y = Signal(len(value), name="y")
    m.d.comb += y.eq(value)
    return widen(str(rtlil.convert(m, name="top", ports=[*words, bit, y], emit_src=False)))


def levels_of(width: int, levels: int, result: Callable[..., Value]) -> str:
    """RTLIL of a chain of operations on one word, with a bit for each."""
    m = Module()
    value: Value = Signal(width, name="word")
    bits = [Signal(name=f"bit{index}") for index in range(levels)]
    ports = [value, *bits]
    for bit in bits:
        step = Signal(width)
        m.d.comb += step.eq(result(value, bit))
        value = step
    y = Signal(width, name="y")
    m.d.comb += y.eq(value)
    return widen(str(rtlil.convert(m, name="top", ports=[*ports, y], emit_src=False)))


def adders(width: int, levels: int) -> str:
    """RTLIL of a balanced tree of adders."""
    m = Module()
    words: list[Value] = [Signal(width, name=f"word{index}") for index in range(1 << levels)]
    ports = list(words)
    while len(words) > 1:
        sums = [Signal(width) for _ in words[::2]]
        for index, total in enumerate(sums):
            m.d.comb += total.eq(words[2 * index] + words[2 * index + 1])
        words = list(sums)
    y = Signal(width, name="y")
    m.d.comb += y.eq(words[0])
    return widen(str(rtlil.convert(m, name="top", ports=[*ports, y], emit_src=False)))


CASES: dict[str, tuple[tuple[int, ...], Callable[[int], str]]] = {
    "add": ((2, 4, 8, 12, 16, 24, 32, 48, 64, 96), lambda w: single(w, 2, lambda a, b, s: (a + b)[:w])),
    "lt": ((4, 8, 16, 32), lambda w: single(w, 2, lambda a, b, s: a < b)),
    "eq": ((4, 8, 16, 32), lambda w: single(w, 2, lambda a, b, s: a == b)),
    "or": ((2, 4, 8, 16, 32, 64), lambda w: single(w, 1, lambda a, s: a.any())),
    "rxor": ((2, 4, 8, 16, 32), lambda w: single(w, 1, lambda a, s: a.xor())),
    "and": ((1,), lambda w: single(w, 2, lambda a, b, s: a & b)),
    "xor": ((1,), lambda w: single(w, 2, lambda a, b, s: a ^ b)),
    "mask": ((1, 4, 16, 32, 64), lambda w: single(w, 1, lambda a, s: a & s.replicate(w))),
    "mux": ((1, 4, 16, 32, 64), lambda w: single(w, 2, lambda a, b, s: Mux(s, a, b))),
    "mul": ((2, 4, 8, 12, 16, 24), lambda w: single(w, 2, lambda a, b, s: a * b)),
}
"""Primitives by name: widths, and the RTLIL of one of them."""

LEVELS: dict[str, tuple[tuple[int, ...], Callable[[int, int], str]]] = {
    "add_after_add": ((8, 16, 24, 32), adders),
    "mux_data": ((8, 16, 32, 64), lambda w, n: levels_of(w, n, lambda a, s: Mux(s, Cat(a[1:], Const(0, 1)), a))),
}
"""What one level more adds to a path, from the first to the third: widths, and the RTLIL of so many levels."""


def main(arguments: list[str]) -> None:
    """Write the table to stdout."""
    libraries = {}
    for argument in arguments:
        name, files = argument.split("=")
        libraries[name] = read_library([Path(file) for file in files.split(",")])
    table = csv.writer(sys.stdout, lineterminator="\n")
    print("# Longest path in ns of one primitive mapped for speed, by library; pre-layout. tools/measure_delays.py")
    table.writerow(["primitive", "width", *libraries])
    for primitive, (widths, text) in CASES.items():
        for width in widths:
            times = [shortest_ns(text(width), library) for library in libraries.values()]
            table.writerow([primitive, width, *(f"{time:.4f}" for time in times)])
    for primitive, (widths, made) in LEVELS.items():
        for width in widths:
            ends = [[shortest_ns(made(width, levels), one) for levels in (1, 3)] for one in libraries.values()]
            table.writerow([primitive, width, *(f"{(last - first) / 2:.4f}" for first, last in ends)])


if __name__ == "__main__":
    main(sys.argv[1:])
