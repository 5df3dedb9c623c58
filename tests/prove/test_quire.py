from __future__ import annotations

import hashlib
import random
from typing import Any

import numpy as np
import pytest

from hwgen.emit import emit
from hwgen.pe import family
from hwgen.prove import Subject, quire
from hwgen.prove.bench import BENCH, counterexample_bench
from hwgen.prove.graph import Graph
from hwgen.prove.mutants import faulty, refuting
from hwgen.prove.quire import QuireProver, quire_of, quire_range
from hwgen.prove.tables import all_patterns, evaluate, word_of
from hwgen.prove.unroll import deep
from hwgen.simulators import run_testbench

SMALL = {"m": 1, "n": 1, "k": 1, "group": 8, "depth": 8}
SINGLE: dict[str, dict[str, Any]] = {
    "posit4_1": {"format": "posit", "posit_bits": 4, "es": 1, "k": 2},
    "posit5_2": {"format": "posit", "posit_bits": 5, "es": 2},
    "posit6_0": {"format": "posit", "posit_bits": 6, "es": 0, "k": 2},
    "fp4": {"format": "fp4", "k": 2},
}


def tile_of(values: dict[str, Any]) -> tuple[Any, Subject]:
    spec = family("posit").from_values(SMALL | values)
    emission = emit(spec)
    return spec, Subject(emission.verilog, emission.manifest)


@pytest.fixture(scope="module")
def simd() -> tuple[Any, Subject]:
    return tile_of({})


def proved(subject: Subject, prefix: str) -> None:
    with deep():
        results = {one.name: one.proved(100) for one in subject.obligations() if one.name.startswith(prefix)}
    assert results
    assert {name: result.detail for name, result in results.items() if result.status != "proved"} == {}


# ---------------------------------------------------------------------- the reference


def same_products(spec: Any, manifest: dict[str, Any], mode: int) -> None:
    """All products of the numpy reference, NaR among them, beside those from `Format.decode_scalar`."""
    own = quire_of(manifest, mode)
    acts, weights = (np.arange(len(side))[:, None] for side in (own.acts, own.weights))
    terms = spec.terms(acts, weights, {}, {}, mode)[0, :, :, 0]
    nar = -(1 << manifest["arithmetic"][mode]["words"]["bits"] - 1)
    for act in range(len(acts)):
        for weight in range(len(weights)):
            found = own.product(act, weight)
            assert terms[act, weight] == (nar if found is None else found), (act, weight)


@pytest.mark.parametrize("name", SINGLE)
def test_products_are_those_of_the_reference(name: str) -> None:
    spec, subject = tile_of(SINGLE[name])
    same_products(spec, subject.manifest, 0)


@pytest.mark.parametrize("mode", [1, 2, 3])
def test_products_of_modes_are_those_of_the_reference(simd: tuple[Any, Subject], mode: int) -> None:
    spec, subject = simd
    if mode == 1:
        # Codes of p8 in steps of some: 2^16 products take long.
        own = quire_of(subject.manifest, 1)
        codes = np.array([*range(0, 256, 5), 127, 128, 129])
        terms = spec.terms(codes[:, None], codes[:, None], {}, {}, 1)[0, :, :, 0]
        for at, act in enumerate(codes):
            for place, weight in enumerate(codes):
                found = own.product(int(act), int(weight))
                assert terms[at, place] == (-(1 << own.bits - 1) if found is None else found)
        return
    same_products(spec, subject.manifest, mode)


def test_codes_of_the_wide_mode_are_those_of_the_reference(simd: tuple[Any, Subject]) -> None:
    spec, subject = simd
    own = quire_of(subject.manifest, 0)
    numbers, nar = spec._integers(np.arange(1 << 16), 0)
    assert [None if flag else int(number) for number, flag in zip(numbers, nar, strict=True)] == list(own.acts)
    assert own.acts == own.weights
    assert own.raised == 0


def test_nar_is_said_by_the_manifest(simd: tuple[Any, Subject]) -> None:
    _, subject = simd
    own = quire_of(subject.manifest, 1)
    assert [code for code, value in enumerate(own.acts) if value is None] == [128]
    wrong = dict(subject.manifest)
    wrong["encodings"] = {name: {**one, "nar": 129} for name, one in wrong["encodings"].items()}
    with pytest.raises(quire.UnknownError, match="not NaR"):
        quire_of(wrong, 1)


def test_bounds_are_of_the_largest_products(simd: tuple[Any, Subject]) -> None:
    _, subject = simd
    # 8 products of (2**28)**2 in units of 2**-56.
    assert quire_range(subject.manifest, 117) == (True, "-2**115 to 2**115")
    assert not quire_range(subject.manifest, 116)[0]


# ---------------------------------------------------------------------- adders of segments


@pytest.mark.parametrize("known", [False, True])
def test_adders_taken_apart_are_the_same(known: bool) -> None:
    rng = random.Random(5)
    for _ in range(60):
        graph = Graph()
        variables = [graph.var(at) for at in range(5)]
        width = rng.randrange(1, 9)
        words = [[rng.choice([0, 1, *variables, variables[0] ^ 1]) for _ in range(width)] for _ in range(2)]
        for place in range(width):
            if rng.random() < 0.4:
                words[1][place] = words[0][place]
        carry = rng.choice([0, 1, variables[1]])
        plain = graph.add([(1, word) for word in words], carry, width)
        graph.segmented = True
        graph.known = list if known else None
        apart = graph.add([(1, word) for word in words], carry, width)
        values = [
            word_of(evaluate(graph, literals, all_patterns([one >> 1 for one in variables])), 32)
            for literals in (plain, apart)
        ]
        assert np.array_equal(*values), (words, carry)


# ---------------------------------------------------------------------- proofs


@pytest.mark.parametrize("name", SINGLE)
def test_tiles_of_one_format_are_proved(name: str) -> None:
    _, subject = tile_of(SINGLE[name])
    for prefix in ("step.", "idle.", "range."):
        proved(subject, prefix)


def test_all_modes_are_proved(simd: tuple[Any, Subject]) -> None:
    for prefix in ("step.", "idle.", "range."):
        proved(simd[1], prefix)


@pytest.mark.slow
@pytest.mark.parametrize(
    "values",
    [
        {"n": 2, "k": 3, "group": 12, "stages": 2, "cell_cuts": 1},
        {"quire": "xr_npe", "depth": 127, "group": 64, "k": 2},
    ],
)
def test_other_tiles_are_proved(values: dict[str, Any]) -> None:
    _, subject = tile_of({"depth": 12, **values})
    for prefix in ("step.", "idle.", "range."):
        proved(subject, prefix)


# ---------------------------------------------------------------------- faults


def with_fault(subject: Subject, old: str, new: str) -> Subject:
    assert subject.verilog.count(old) >= 1, old
    text = subject.verilog.replace(old, new, 1)
    return Subject(text, {**subject.manifest, "verilog_sha256": hashlib.sha256(text.encode()).hexdigest()})


def runs(subject: Subject, wrong: Subject, example: Any) -> None:
    """A counterexample differs in the text that has the fault, and in no other."""
    bench = counterexample_bench(wrong.netlist, wrong.manifest, example.document())
    assert run_testbench({"tile.v": wrong.verilog, "tb.v": bench}, BENCH).strip() == "DIFFERS"
    assert run_testbench({"tile.v": subject.verilog, "tb.v": bench}, BENCH).strip() == "AGREES"


FAULTS = {
    # NaR is forgotten by the next step.
    "nar": ("step.sums.p8", "nar0 <= ", "nar0 <= 1'h0 & "),
    "clear": ("step.sums.p4", "assign quire_base = quire & ", "assign quire_base = quire | "),
    "joined": ("step.sums.p8", "joined <= ", "joined <= ~"),
    "partial": ("step.sums.p16", "13'h0000, col[5:3] }", "13'h0000, col[4:3], col[5] }"),
    "masked": ("step.sums.p8", "row[8:6] & { whole, whole, whole }", "row[8:6] | { whole, whole, whole }"),
    "shift": ("step.sums.p16", "lane0_shift0[4] ? ", "lane0_shift0[3] ? "),
    "amount": ("step.sums.fp4", "lane0_magnitude_amount1[2] ? ", "lane0_magnitude_amount1[3] ? "),
    "sign": ("step.sums.p4", "lane0_sign3 = row[16] ^ col[16]", "lane0_sign3 = row[16] & col[16]"),
    "guard": ("step.sums.p4", "lane0_sign1 = row[14] ^ col[14]", "lane0_sign1 = row[14] | col[15]"),
}
QUICK = ("nar", "clear", "joined")


@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(one, marks=pytest.mark.slow) for one in sorted(FAULTS.keys() - {*QUICK}))]
)
def test_a_fault_in_the_text_is_refuted_by_an_example_that_runs(simd: tuple[Any, Subject], name: str) -> None:
    obligation, old, new = FAULTS[name]
    wrong = with_fault(simd[1], old, new)
    result = next(one for one in wrong.obligations() if one.name == obligation).proved(60)
    assert result.status == "refuted"
    assert result.counterexample is not None
    runs(simd[1], wrong, result.counterexample)


def test_a_wrong_product_of_wide_codes_is_not_proved(
    simd: tuple[Any, Subject], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the random cases the lemmas alone refuse a reference in which one code of 2^16 is another number."""
    _, subject = simd
    right = quire_of(subject.manifest, 0)
    acts = list(right.acts)
    acts[0x7FFF] = (acts[0x7FFF] or 0) * 2
    monkeypatch.setattr(quire, "quire_of", lambda manifest, mode: quire.replace(right, acts=tuple(acts)))
    monkeypatch.setattr(QuireProver, "_refuted", lambda self, case, was, word: None)
    found = next(one for one in subject.obligations() if one.name == "step.sums.p16").proved(60)
    assert found.status == "open"
    assert "lane 0" in found.detail


@pytest.mark.slow
def test_seeded_faults_are_refused(simd: tuple[Any, Subject]) -> None:
    _, subject = simd
    names = [one.name for one in subject.obligations() if not one.name.startswith("control.")]
    cells = [one for one in subject.netlist.cells if one.kind in ("$and", "$xor", "$add", "$mux", "$dff", "$not")]
    random.Random(2).shuffle(cells)
    for cell in cells[:8]:
        with deep():
            results = dict(refuting(subject, cell, names, 60))
        assert faulty(subject.netlist, cell) != subject.netlist
        assert any(one.status == "refuted" for one in results.values()) or all(
            one.status == "proved" for one in results.values()
        ), (cell, results)
