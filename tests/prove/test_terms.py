"""Steps that add a term of each weight a cycle: the reference against the family's, proofs, and faults refused."""

from __future__ import annotations

import itertools
import random
from functools import cache
from typing import Any

import numpy as np
import pytest

from hwgen.emit import Emission, emit
from hwgen.pe import family
from hwgen.prove import Subject
from hwgen.prove.bench import BENCH, counterexample_bench
from hwgen.prove.cycles import term_range
from hwgen.prove.graph import Graph
from hwgen.prove.mutants import refuting
from hwgen.prove.reference import lane_table
from hwgen.prove.tables import evaluate, word_of
from hwgen.prove.terms import Fields, activations, exponent_bound, lookup, placed, update, updated, weights
from hwgen.simulators import run_testbench

SMALL = {"m": 1, "n": 1, "k": 2, "group": 16, "depth": 16, "post_lanes": 0}
TILES: dict[str, dict[str, Any]] = {
    "normalised": SMALL | {"n": 2},
    "one": SMALL | {"k": 1, "group": 8, "depth": 8, "guard_bits": 0},
    "wide": SMALL | {"acc_mantissa": 20, "stages": 2},
    "bf16": SMALL | {"acts": "bf16"},
    "exact": SMALL | {"accumulator": "exact"},
    "saturate": SMALL | {"accumulator": "exact", "overflow": "saturate"},
    "int8": SMALL | {"n": 2, "acts": "int8"},
    "lanes": SMALL | {"n": 2, "post_lanes": 2},
}


@cache
def emitted(name: str) -> Emission:
    return emit(family("bitmod").from_values(TILES[name]))


def subject_of(name: str) -> Subject:
    emission = emitted(name)
    return Subject(emission.verilog, emission.manifest)


def proved(name: str, begins: str, seconds: float = 300) -> dict[str, Any]:
    return {one.name: one.proved(seconds) for one in subject_of(name).obligations() if one.name.startswith(begins)}


# ---------------------------------------------------------------------- proofs


def test_a_step_of_terms_is_proved() -> None:
    """One activation, two terms of FP3, into a sum that is normalised."""
    found = proved("one", "step.sums.fp3") | proved("one", "range.") | proved("one", "idle.")
    assert {name: result.status for name, result in found.items()} == dict.fromkeys(found, "proved")
    assert set(found) == {"step.sums.fp3", "range.sums", "idle.sums"}


def test_integers_are_added_whole() -> None:
    found = proved("int8", "step.sums.int5") | proved("int8", "range.") | proved("int8", "idle.")
    assert {result.status for result in found.values()} == {"proved"}
    assert len(found) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", TILES)
def test_tiles_are_proved(name: str) -> None:
    found = proved(name, "step.") | proved(name, "range.") | proved(name, "idle.")
    assert {result.status for result in found.values()} == {"proved"}, found
    assert len(found) == (6 if name == "saturate" else 7)


def test_several_partial_sums_are_open() -> None:
    emission = emit(family("bitmod").from_values(SMALL | {"k": 1, "adder_stages": 2, "group": 8, "depth": 8}))
    for one in Subject(emission.verilog, emission.manifest).obligations():
        if one.name.startswith(("step.", "idle.")):
            found = one.proved(20)
            assert (found.status, found.detail) == ("open", "several partial sums in turn"), one.name


def test_a_narrow_exponent_is_open() -> None:
    manifest = emitted("normalised").manifest
    assert term_range(manifest, 21)[0] == "proved"
    assert term_range(manifest, 20) == ("open", f"an exponent of at most {exponent_bound(manifest, 0, 16)}, below 32")


# ---------------------------------------------------------------------- the reference


@pytest.mark.few(1)
@pytest.mark.parametrize("acts", ["fp16", "bf16"])
def test_fields_are_the_formats(acts: str) -> None:
    spec = family("bitmod").from_values(SMALL | {"acts": acts})
    form = activations(emit(spec).manifest, 0)
    values = np.where(form.sign == 1, -1.0, 1.0) * np.ldexp(form.significand.astype(float), form.exponent)
    wanted = spec.act_format.decode(np.arange(1 << 16))
    ratio = values[0x3C00 if acts == "fp16" else 0x3F80]
    largest = np.max(wanted[np.isfinite(wanted)])
    clipped = np.where(np.isfinite(wanted), wanted, np.where(np.arange(1 << 16) >> 15, -largest, largest))
    assert (values == clipped * ratio).all()


@pytest.mark.parametrize("mode", range(5))
def test_terms_are_the_familys(mode: int) -> None:
    """All codes of weights, with all special values."""
    spec = family("bitmod").from_values(SMALL)
    found = weights(emitted("normalised").manifest, mode)
    codes = np.arange(1 << found.code_bits + found.special_bits)
    code, special = codes & (1 << found.code_bits) - 1, codes >> found.code_bits
    own = spec._weight_terms(code[:, None], special, mode)
    assert len(own) == len(found.phases)
    for term, (sign, man, exp, bsig) in zip(found.phases, own, strict=True):
        there = term.there == 1
        assert (man[:, 0] == term.there).all()
        assert (sign[:, 0][there] == term.sign[there]).all()
        assert (exp[:, 0][there] == term.exp[there]).all()
        assert bsig == term.bsig


def test_integers_times_terms_are_products() -> None:
    manifest = emitted("int8").manifest
    table = lane_table(manifest, 2)
    for act, weight in itertools.product(range(-128, 128), range(-16, 16)):
        assert table[(weight & 31) << 8 | act & 255] == 2 * act * weight


def test_a_table_in_gates() -> None:
    rng = np.random.default_rng(2)
    table = rng.integers(0, 8, 64)
    graph = Graph()
    bits = [graph.var(place) for place in range(6)]
    patterns = _patterns(bits, np.arange(64)[None])
    assert (word_of(evaluate(graph, lookup(graph, bits, table, 3), patterns), 64) == table).all()


def _patterns(bits: list[int], codes: np.ndarray) -> dict[int, np.ndarray]:
    """Values of variables: codes [operand][assignment], bits of the operands one after the other."""
    size = len(bits) // len(codes)
    found = {}
    for at, literal in enumerate(bits):
        own = (codes[at // size] >> at % size & 1).astype(np.uint8)
        found[literal >> 1] = np.packbits(own, bitorder="little").view(np.uint64)
    return found


@pytest.mark.few(2)
@pytest.mark.parametrize("name", ["normalised", "one", "wide", "bf16", "exact"])
@pytest.mark.parametrize("mode", [0, 3])
def test_cycles_in_gates_are_the_familys(name: str, mode: int) -> None:
    """Random activations, weights and sums, exponents near each other: all phases of a step, one after the other."""
    spec, manifest, rng = family("bitmod").from_values(TILES[name]), emitted(name).manifest, np.random.default_rng(mode)
    count, k, rule = 4096, spec.k, manifest["arithmetic"][mode]
    form, found = activations(manifest, mode), weights(manifest, mode)
    acts = rng.integers(0, 1 << 16, (count, 1, k))
    acts[::2] = acts[::2] & 0x9FFF | 0x2000
    codes = rng.integers(0, 1 << found.code_bits, (count, 1, k))
    special = rng.integers(0, 64, (count, 1))
    terms = spec.terms(acts, codes, {}, {"special": special}, mode)[..., 0]
    graph = Graph()
    words = {"a": [_word(graph, 16) for _ in range(k)], "w": [_word(graph, found.code_bits) for _ in range(k)]}
    port = _word(graph, found.special_bits)
    patterns = _patterns([bit for word in words["a"] for bit in word], acts[:, 0].T)
    patterns |= _patterns([bit for word in words["w"] for bit in word], codes[:, 0].T)
    patterns |= _patterns(port, special.T) if port else {}
    width = int(spec.acc_bits(spec.p))
    sums = [0] * width
    wanted: np.ndarray = np.zeros((count, 1, 1), terms.dtype)
    for phase, term in enumerate(found.phases):
        one = update(Fields(graph), words["a"], words["w"], port, form, term, rule["step"])
        if rule["sum"] == "normalised":
            above = number_of(graph, one.top, term.bsig + len(one.added) - 1)
            own = rule["accumulator"]
            sums = updated(graph, sums, one.added, above, own["mantissa_bits"], own["frame_bits"])
        else:
            sums = placed(graph, sums, one.added, one.top, term.bsig, saturate=False)
        wanted = spec.accumulate(wanted, terms[phase])
        values = word_of(evaluate(graph, sums, patterns), count)
        assert (values == (wanted.reshape(-1) & (1 << width) - 1)).all()


def number_of(graph: Graph, word: list[int], more: int) -> list[int]:
    size = len(word) + 2
    return graph.add([(1, [*word, 0, 0]), (1, [more >> place & 1 for place in range(size)])], 0, size)


def _word(graph: Graph, size: int) -> list[int]:
    return [graph.var(place) for place in range(size)]


# ---------------------------------------------------------------------- faults


FAULTS = {
    "alignment": ("assign aligned0_by2 = distance0[1] ? ", "assign aligned0_by2 = distance0[0] ? "),
    "normaliser": ("acc0_add_raised = _", "acc0_add_raised = ~_"),
}


@pytest.mark.few(1)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_text_is_refuted_by_an_example_that_runs(fault: str) -> None:
    emission = emitted("normalised")
    verilog, manifest = emission.verilog, emission.manifest
    old, new = FAULTS[fault]
    begin = verilog.index("module bitmod_tile_cell(")
    assert old in verilog[begin:]
    wrong = verilog[:begin] + verilog[begin:].replace(old, new, 1)
    subject = Subject(wrong, manifest)
    found = next(one for one in subject.obligations() if one.name == "step.sums.fp4").proved(60)
    assert found.status == "refuted"
    assert found.counterexample is not None
    bench = counterexample_bench(subject.netlist, manifest, found.counterexample.document())
    assert run_testbench({"tile.v": wrong, "tb.v": bench}, BENCH).strip() == "DIFFERS"
    assert run_testbench({"tile.v": verilog, "tb.v": bench}, BENCH).strip() == "AGREES"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["normalised", "exact", "int8"])
def test_seeded_faults_are_refused(name: str) -> None:
    subject = subject_of(name)
    names = [one.name for one in subject.obligations() if one.name != "companions"]
    kinds = ("$and", "$or", "$xor", "$mux", "$add", "$dff", "$not")
    cells = [one for one in subject.netlist.cells if one.kind in kinds and one.name.startswith(("cell", "col", "row"))]
    refused = 0
    for cell in random.Random(5).sample(cells, 12):
        results = dict(refuting(subject, cell, names, 60))
        statuses = {result.status for result in results.values()}
        assert "refuted" in statuses or statuses == {"proved"}, cell
        refused += "refuted" in statuses
        for result in results.values():
            # What it should be is what the text makes.
            if result.counterexample is not None:
                bench = counterexample_bench(subject.netlist, subject.manifest, result.counterexample.document())
                assert run_testbench({"tile.v": subject.verilog, "tb.v": bench}, BENCH).strip() == "AGREES"
    assert refused >= 8
