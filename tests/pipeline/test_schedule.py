"""Placing of registers against exhaustive search, and the netlists that come of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed

from hwgen.emit._widen import widen
from hwgen.pipeline import pipelined
from hwgen.pipeline.delays import delay, libraries
from hwgen.pipeline.netlist import SOURCE, Graph
from hwgen.pipeline.schedule import places, shortest_period
from hwgen.yosys import run_passes

CELLS = 7


def random_graph(seed: int) -> Graph:
    """A graph of few cells: each takes up to two nets of ports or of cells before it."""
    rng = np.random.default_rng(seed)
    delays = tuple(float(x) for x in rng.integers(1, 6, CELLS))
    producers = [sorted({int(x) for x in rng.integers(-1, index, 2)}) for index in range(CELLS)]
    edges = tuple(
        tuple((p, delays[index] - float(rng.integers(0, 2)) / 2) for p in listed if p != SOURCE)
        for index, listed in enumerate(producers)
    )
    takers: dict[int, set[int]] = {index: set() for index in range(SOURCE, CELLS)}
    for index, listed in enumerate(producers):
        for producer in listed:
            takers[producer].add(index)
    for index in range(CELLS):
        if not takers[index] or rng.random() < 0.2:
            takers[index].add(CELLS)
    uses = []
    for producer, consumers in takers.items():
        if consumers:
            bits = int(rng.integers(1, 9))
            uses.append((producer, tuple(sorted(consumers)), tuple(range(bits))))
    return Graph(tuple(map(str, range(CELLS))), delays, edges, tuple(uses))


def period_of(graph: Graph, cycles: tuple[int, ...]) -> float:
    done: list[float] = []
    for index, ways in enumerate(graph.edges):
        done.append(max([graph.delays[index], *(done[p] + w for p, w in ways if cycles[p] == cycles[index])]))
    return max(done)


def bits_of(graph: Graph, cycles: tuple[int, ...], cuts: int) -> int:
    total = 0
    for producer, consumers, bits in graph.uses:
        last = max(cuts if consumer == CELLS else cycles[consumer] for consumer in consumers)
        total += len(bits) * (last - (0 if producer == SOURCE else cycles[producer]))
    return total


def rest_of(graph: Graph, cycles: tuple[int, ...], cuts: int) -> float:
    """Longest path within the last cycle to an output."""
    outputs = [p for p, consumers, _ in graph.uses if CELLS in consumers and p != SOURCE and cycles[p] == cuts]
    done: list[float] = []
    for index, ways in enumerate(graph.edges):
        done.append(max([graph.delays[index], *(done[p] + w for p, w in ways if cycles[p] == cycles[index])]))
    return max((done[p] for p in outputs), default=0.0)


@pytest.mark.parametrize("tail", [0.0, 3.0, 8.0, np.inf])
@pytest.mark.parametrize("cuts", [1, 2])
@pytest.mark.parametrize("seed", range(8))
def test_placing_with_logic_behind_is_the_best_of_all(seed: int, cuts: int, tail: float) -> None:
    graph = random_graph(seed)
    legal = [
        cycles
        for cycles in itertools.product(range(cuts + 1), repeat=CELLS)
        if all(cycles[p] <= cycles[index] for index, ways in enumerate(graph.edges) for p, _ in ways)
    ]

    def period(cycles: tuple[int, ...]) -> float:
        rest = rest_of(graph, cycles, cuts)
        return max(period_of(graph, cycles), rest + tail if rest else 0.0)

    best = min(map(period, legal))
    found_period = shortest_period(graph, cuts, tail)
    assert abs(found_period - best) <= 0.01
    found = tuple(int(x) for x in places(graph, cuts, found_period, tail))
    assert found in legal
    assert period(found) <= found_period + 0.01
    assert bits_of(graph, found, cuts) == min(
        bits_of(graph, cycles, cuts) for cycles in legal if period(cycles) <= found_period + 0.01
    )


@pytest.mark.parametrize("cuts", [1, 2])
@pytest.mark.parametrize("seed", range(12))
def test_placing_is_the_best_of_all(seed: int, cuts: int) -> None:
    graph = random_graph(seed)
    legal = [
        cycles
        for cycles in itertools.product(range(cuts + 1), repeat=CELLS)
        if all(cycles[p] <= cycles[index] for index, ways in enumerate(graph.edges) for p, _ in ways)
    ]
    best = min(period_of(graph, cycles) for cycles in legal)
    period = shortest_period(graph, cuts)
    assert best <= period <= best + 0.01
    found = tuple(int(x) for x in places(graph, cuts, period))
    assert found in legal
    assert period_of(graph, found) <= period + 0.01
    assert bits_of(graph, found, cuts) == min(
        bits_of(graph, cycles, cuts) for cycles in legal if period_of(graph, cycles) <= period + 0.01
    )


def module(build: Callable[[Module, Any, Any, Any], Value]) -> str:
    """RTLIL of ``y`` of two signed bytes and a bit."""
    m = Module()
    a, b, s = Signal(signed(8), name="a"), Signal(signed(8), name="b"), Signal(name="s")
    value = build(m, a, b, s)
    y = Signal(len(value), name="y")
    m.d.comb += y.eq(value)
    return widen(str(rtlil.convert(m, name="top", ports=[a, b, s, y], emit_src=False)))


Ints = np.ndarray
A, B = (np.repeat(np.arange(256), 256), np.tile(np.arange(256), 256))
S = (A * 7 + B * 3) >> 2 & 1
"""All pairs of bytes, and a bit."""


def signed_of(x: Ints, bits: int) -> Ints:
    return (x ^ 1 << bits - 1) - (1 << bits - 1)


SA, SB = signed_of(A, 8), signed_of(B, 8)
LOGIC: dict[str, tuple[Callable[[Module, Any, Any, Any], Value], Ints]] = {
    "product": (lambda m, a, b, s: a * b, SA * SB),
    "unsigned product": (lambda m, a, b, s: a.as_unsigned() * b.as_unsigned(), A * B),
    "mixed product": (lambda m, a, b, s: a * b.as_unsigned(), SA * B),
    "product and sum": (
        lambda m, a, b, s: Mux(s, a * b, a - b) + (a * b)[:9].as_signed(),
        np.where(S, SA * SB, SA - SB) + signed_of(SA * SB & 511, 9),
    ),
    "wires and constants": (lambda m, a, b, s: Cat(a[:3], 1, 0, s, b), A & 7 | 8 | S << 5 | B << 6),
    "comparisons": (
        lambda m, a, b, s: Cat(a < b, a == b, a.any(), b.xor(), s),
        (SA < SB) | (A == B) << 1 | (A != 0) << 2 | np.array([bin(x).count("1") & 1 for x in B]) << 3 | S << 4,
    ),
}
"""Logic, and what it gives."""


def word(nets: dict[Any, Ints], bits: list[Any], is_signed: bool = False) -> Ints:
    total = np.zeros(len(A), np.int64)
    for place, bit in enumerate(bits):
        total |= (nets[bit] if isinstance(bit, int) else np.full(len(A), bit == "1")).astype(np.int64) << place
    return signed_of(total, len(bits)) if is_signed else total


def value_of(cell: dict[str, Any], nets: dict[Any, Ints]) -> Ints:
    """Output of a cell; a register is a wire."""
    kind, pins = cell["type"], cell["connections"]
    is_signed = all(int(str(v), 2) for k, v in cell["parameters"].items() if k.endswith("_SIGNED"))
    a = word(nets, pins["D" if kind == "$dff" else "A"], is_signed)
    b = word(nets, pins["B"], is_signed) if "B" in pins else a
    own = {
        "$dff": lambda: a,
        "$pos": lambda: a,
        "$not": lambda: ~a,
        "$and": lambda: a & b,
        "$or": lambda: a | b,
        "$xor": lambda: a ^ b,
        "$add": lambda: a + b,
        "$sub": lambda: a - b,
        "$mul": lambda: a * b,
        "$lt": lambda: a < b,
        "$eq": lambda: a == b,
        "$mux": lambda: np.where(word(nets, pins["S"]) != 0, b, a),
        "$reduce_or": lambda: a != 0,
        "$reduce_bool": lambda: a != 0,
        "$reduce_xor": lambda: np.array([bin(x).count("1") & 1 for x in a & (1 << 40) - 1]),
    }
    return np.asarray(own[kind]())


@pytest.mark.parametrize("cuts", [1, 2, 5])
@pytest.mark.parametrize("name", LOGIC)
def test_every_way_has_all_registers_and_the_function_stays(name: str, cuts: int) -> None:
    build, want = LOGIC[name]
    cut = pipelined(module(build), "top", cuts)
    document = json.loads(run_passes(cut.rtlil, (), write="write_json"))["modules"]["top"]
    registers = [cell for cell in document["cells"].values() if cell["type"] == "$dff"]
    assert sum(len(cell["connections"]["D"]) for cell in registers) == cut.register_bits
    # Values, and the registers on the way to them: the same from whichever input.
    nets: dict[Any, Ints] = {}
    late: dict[int, int] = {}
    for port, values in (("a", A), ("b", B), ("s", S)):
        for place, bit in enumerate(document["ports"][port]["bits"]):
            nets[bit], late[bit] = values >> place & 1, 0
    waiting = dict(document["cells"])
    while waiting:
        before = len(waiting)
        for cell_name, cell in list(waiting.items()):
            ways = cell["port_directions"]
            pins = {pin: bits for pin, bits in cell["connections"].items() if ways[pin] == "input" and pin != "CLK"}
            inputs = [bit for bits in pins.values() for bit in bits if isinstance(bit, int)]
            if not all(bit in late for bit in inputs):
                continue
            del waiting[cell_name]
            stages = {late[bit] for bit in inputs}
            assert len(stages) <= 1
            result = value_of(cell, nets)
            for place, bit in enumerate(cell["connections"]["Q" if cell["type"] == "$dff" else "Y"]):
                nets[bit] = result >> place & 1 if result.dtype != bool else result.astype(np.int64) * (place == 0)
                late[bit] = max(stages, default=0) + (cell["type"] == "$dff")
        assert len(waiting) < before
    bits = document["ports"]["y"]["bits"]
    assert {late[bit] for bit in bits if isinstance(bit, int)} == {cuts}
    assert np.array_equal(word(nets, bits), want & (1 << len(bits)) - 1)


def test_more_cuts_are_never_slower() -> None:
    text = module(LOGIC["product and sum"][0])
    periods = [pipelined(text, "top", cuts).period for cuts in range(6)]
    assert periods == sorted(periods, reverse=True)
    assert periods[5] < periods[0] / 3


def test_delays_grow_with_widths() -> None:
    assert set(libraries()) == {"sky130hd", "asap7"}
    for primitive in ("add", "lt", "eq", "or", "mask", "mux", "mul"):
        values = [delay(primitive, width) for width in (1, 2, 4, 8, 16, 32, 64, 128)]
        assert values == sorted(values), primitive
        assert values[0] > 0
