"""Post lanes of all shapes: what is proved of them, and faults in lanes and adders that are found."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from hwgen.arith import scale_round_reference
from hwgen.arith.fp32 import fp32_add_reference
from hwgen.emit import emit
from hwgen.formats import get
from hwgen.pe import family
from hwgen.prove.bench import BENCH, counterexample_bench
from hwgen.prove.cut import Function
from hwgen.prove.fp32 import sum_code
from hwgen.prove.graph import Graph
from hwgen.prove.lanes import Rule, _whole
from hwgen.prove.mutants import score
from hwgen.prove.obligations import Subject
from hwgen.prove.post import Post
from hwgen.prove.reference import UnknownError
from hwgen.prove.rounding import magnitude, product, scale_of
from hwgen.prove.tables import evaluate, word_of
from hwgen.simulators import run_testbench

SMALL = {"m": 1, "n": 2, "k": 1, "group": 4, "depth": 4, "post_lanes": 2}


def post_of(kind: str, **values: Any) -> Post:
    emission = emit(family(kind).from_values({**SMALL, **values}))
    return Post(emission.verilog, emission.manifest, Subject(emission.verilog, emission.manifest).netlist)


# ---------------------------------------------------------------------- the definition


@pytest.mark.parametrize(
    ("encodings", "bits", "unit_exp", "odd"),
    [
        (("e8m0", "e8m0"), 9, -2, False),
        pytest.param(("bf16", "fp16"), 26, -30, False, marks=pytest.mark.slow),
        (("fp8_e4m3", "fp8_e5m2"), 12, 0, False),
        (("ue5m3", "fp8_e4m3"), 20, -110, False),
        (("e8m0", "e8m0"), 40, -56, True),
        ((None, "fp8_e4m3"), 30, 70, False),
        ((None, "fp8_e4m3"), 30, 90, True),
    ],
)
def test_the_definition_of_a_lane_is_the_reference(
    encodings: tuple[str | None, str], bits: int, unit_exp: int, odd: bool
) -> None:
    rng = np.random.default_rng(11)
    count = 1024
    names = {name: one for name, one in zip(("row_scale", "col_scale"), encodings, strict=True) if one}
    graph = Graph()
    known = {"total": [graph.var(("total", place)) for place in range(bits)]}
    totals = rng.integers(-(1 << bits - 1), 1 << bits - 1, count) >> rng.integers(0, bits, count)
    codes = {"total": totals}
    for name, encoding in names.items():
        size = get(encoding).code_bits
        known[name] = [graph.var((name, place)) for place in range(size)]
        codes[name] = rng.integers(0, 1 << size, count)
    patterns = {
        literal >> 1: np.packbits((codes[name] >> place & 1).astype(np.uint8), bitorder="little").view(np.uint64)
        for name, word in known.items()
        for place, literal in enumerate(word)
    }
    scales = {name: scale_of(encoding) for name, encoding in names.items()}
    wanted, legal = _whole(Function(graph, [], known), Rule(scales, unit_exp, odd=odd))
    assert legal == 1
    formats = [None if one is None else get(one) for one in encodings]
    right = scale_round_reference(
        totals, codes.get("row_scale", 0), formats[0], codes["col_scale"], formats[1], unit_exp, odd=odd
    )
    found = word_of(evaluate(graph, wanted, patterns), count)
    assert (found == right).all()
    assert len(set(right.tolist())) > 100


def test_a_sums_code_is_numpys() -> None:
    rng = np.random.default_rng(2)
    a = rng.integers(0, 1 << 32, 200, dtype=np.uint64)
    top = np.clip((a >> 23 & 255).astype(int) + rng.integers(-30, 30, 200), 0, 255).astype(np.uint64)
    b = rng.integers(0, 1 << 32, 200, dtype=np.uint64) & 0x807FFFFF | top << 23
    wanted = fp32_add_reference(a.astype(np.uint32), b.astype(np.uint32))
    assert [sum_code(int(x), int(y)) for x, y in zip(a, b, strict=True)] == wanted.tolist()


def test_scales_that_are_no_floating_point_numbers_are_not_known() -> None:
    with pytest.raises(UnknownError, match="scales of encoding 'int8'"):
        scale_of("int8")


# ---------------------------------------------------------------------- words met in functions


def ways(g: Graph, words: Any, way: str) -> list[int]:
    """A product in the order of the definition, in the other one, and with digits from -2 to 1."""
    a, b = words["a"], words["b"]
    if way != "digits":
        return product(g, a, b) if way == "same" else product(g, b, a)
    size = len(a) + len(b)
    total = [0] * size
    for place in range(0, len(b), 2):
        low, high = b[place], b[place + 1] if place + 1 < len(b) else 0
        row = [0] * place + [g.and_(bit, low) for bit in a] + [0] * size
        total = g.add([(1, total), (1, row[:size])], 0, size)
        row = [0] * (place + 2) + [g.and_(bit, high) for bit in a] + [0] * size
        total = g.add([(1, total), (1, row[:size])], 0, size)
        row = [0] * (place + 1) + [g.and_(bit, high) for bit in a] + [0] * size
        total = g.add([(1, total), (-1, row[:size])], 0, size)
    return total


@pytest.mark.parametrize(
    ("way", "bits"),
    [("same", (5, 5)), ("exchanged", (5, 5)), ("digits", (5, 5)), ("same", (14, 12)), ("exchanged", (14, 12))],
)
def test_a_product_is_met_and_cut(way: str, bits: tuple[int, int]) -> None:
    """Exhaustively, or by its polynomial."""
    graph = Graph()
    known = {name: [graph.var((name, place)) for place in range(size)] for name, size in zip("ab", bits, strict=True)}
    function = Function.of(graph, ways(graph, known, way), known)
    cut = function.cut("p", lambda g, words: product(g, words["a"], words["b"]), 20, lambda g, w: [w["a"], w["b"]])
    assert cut.word == cut.known["p"]
    assert {cut.graph.label[literal >> 1] for literal in cut.word} == {("p", place) for place in range(sum(bits))}


def test_what_is_alike_for_the_values_tried_and_no_more_is_not_cut() -> None:
    graph = Graph()
    known = {name: [graph.var((name, place)) for place in range(40)] for name in "ab"}
    rare = graph.any_([bit ^ 1 for word in known.values() for bit in word]) ^ 1
    wrong = [graph.xor(bit, rare) for bit in magnitude(graph, known["a"])]
    function = Function.of(graph, wrong, known)
    cut = function.cut("m", lambda g, words: magnitude(g, words["a"]), 20)
    assert any(literal not in cut.known["m"] for literal in cut.word)
    whole = evaluate(cut.graph, cut.word, {node: np.full(1, (1 << 64) - 1, np.uint64) for node in cut.graph.label})
    assert len(whole) == 40


# ---------------------------------------------------------------------- lanes


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("mx", {"k": 2, "group": 8, "depth": 8}),
        ("int", {"bits": 2, "acts": "int2", "scheme": "asymmetric"}),
    ],
)
def test_order_is_proved_without_registers_within_lanes(kind: str, values: dict[str, Any]) -> None:
    assert post_of(kind, **values).order(60)[0] == "proved"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("mx", {"k": 2, "group": 8, "depth": 8}),
        ("mx", {"k": 2, "group": 8, "depth": 8, "post_cuts": 1, "post_adder_stages": 2}),
        ("int", {"bits": 2, "acts": "int2", "scheme": "asymmetric"}),
        ("int", {"bits": 2, "acts": "int2"}),
        ("mixpe", {}),
    ],
)
def test_a_lane_is_proved(kind: str, values: dict[str, Any]) -> None:
    status, detail = post_of(kind, **values).lane(900)
    assert status == "proved", detail


# ---------------------------------------------------------------------- faults


FAULTS = {
    "lane": ("lane", {"post_cuts": 1, "post_adder_stages": 2}, "_post_lane", "round_kept"),
    "adder": ("adder", {"post_cuts": 1, "post_adder_stages": 2}, "_post_adder", "add_mantissa"),
    "lane without registers": ("lane", {}, "_post", "lane1_round_kept"),
    "adder without registers": ("adder", {}, "_post", "lane0_add_mantissa"),
}


def with_fault(verilog: str, module: str, wire: str) -> str:
    """The text with the lowest bit of a wire complemented."""
    begin = verilog.index(f"module {module}(")
    end = verilog.index("endmodule", begin)
    body = verilog[begin:end]
    found = re.search(rf"^  assign {wire} = (.*);$", body, re.M)
    assert found, wire
    wrong = body.replace(found[0], f"  assign {wire} = ({found[1]}) ^ 1;")
    return verilog[:begin] + wrong + verilog[end:]


@pytest.mark.few(2)
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_refuted_by_an_example_that_runs(name: str) -> None:
    block, values, module, wire = FAULTS[name]
    emission = emit(family("mx").from_values({**SMALL, "k": 2, "group": 8, "depth": 8, **values}))
    verilog, manifest = emission.verilog, emission.manifest
    wrong = with_fault(verilog, f"{manifest['top']}{module}", wire)
    subject = Subject(wrong, manifest)
    result = next(one for one in subject.obligations() if one.name == f"post.{block}").proved(60)
    assert result.status == "refuted"
    assert result.counterexample is not None
    bench = counterexample_bench(subject.netlist, manifest, result.counterexample.document())
    assert run_testbench({"tile.v": wrong, "tb.v": bench}, BENCH).strip() == "DIFFERS"
    assert run_testbench({"tile.v": verilog, "tb.v": bench}, BENCH).strip() == "AGREES"


@pytest.mark.slow
def test_gates_of_lanes_and_adders_are_seeded_with_faults() -> None:
    emission = emit(family("mx").from_values({**SMALL, "k": 2, "group": 8, "depth": 8}))
    subject = Subject(emission.verilog, emission.manifest)
    found = score(subject, ["post.lane", "post.adder"], 6, 600)
    assert found["seeded"] == 6
    # Each second one is of another block, of which these obligations say nothing.
    assert found["refuted"] >= 2
