"""The bit-plane tile's reference against single bits, pair by pair of planes, and its widths against all sums."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.pe.bitplane import Bitplane

PLAIN = ("symmetric", "asymmetric", "minimum")


def tile(**values: Any) -> Bitplane:
    return family("bitplane").from_values({"m": 2, "n": 3, "k": 4, "group": 16, "depth": 16} | values)  # type: ignore[return-value]


def one(code: int, plane: int, bits: int, kind: str) -> int:
    """What a plane of a code counts: kind "signs", "signed" or "unsigned"."""
    bit = code >> plane & 1
    if kind == "signs":
        return (1 if bit else -1) << plane
    return -(bit << plane) if kind == "signed" and plane == bits - 1 else bit << plane


def kinds(scheme: str) -> tuple[str, str]:
    """Of the weights and of the activations."""
    if scheme == "bipolar":
        return "signs", "signs"
    return "signed" if scheme == "symmetric" else "unsigned", "signed"


CASES = [
    *(
        (scheme, *case)
        for scheme in PLAIN
        for case in ((1, 2, 1, 1), (3, 4, 2, 3), (4, 4, 4, 4), (8, 8, 3, 5), (2, 8, 1, 2))
    ),
    *(("bipolar", *case) for case in ((1, 1, 1, 1), (2, 4, 1, 2), (3, 2, 3, 1), (8, 8, 4, 2))),
]


@pytest.mark.parametrize(("scheme", "bits", "act_bits", "weight_planes", "act_planes"), CASES)
def test_each_cycle_adds_its_pairs(scheme: str, bits: int, act_bits: int, weight_planes: int, act_planes: int) -> None:
    weight_planes = min(weight_planes, bits)
    acts_name = f"{'bipolar' if scheme == 'bipolar' else 'int'}{act_bits}"
    spec = tile(bits=bits, acts=acts_name, scheme=scheme, weight_planes=weight_planes, act_planes=act_planes)
    rng = np.random.default_rng(bits)
    acts = rng.integers(0, 1 << act_bits, (spec.m, spec.k), dtype=np.uint32)
    weights = rng.integers(0, 1 << bits, (spec.n, spec.k), dtype=np.uint32)
    weights[0], weights[1], acts[0] = 0, (1 << bits) - 1, 1 << (act_bits - 1)
    terms = spec.terms(acts, weights, {}, {}, 0)
    rounds = [
        (range(w, min(w + weight_planes, bits)), range(a, min(a + act_planes, act_bits)))
        for w in range(0, bits, weight_planes)
        for a in range(0, act_bits, act_planes)
    ]
    assert len(terms) == spec.cycles_per_step(spec.p) == len(rounds)
    weight_kind, act_kind = kinds(scheme)
    for cycle, m, n in np.ndindex(len(terms), spec.m, spec.n):
        want = 0
        for i, j in itertools.product(*rounds[cycle]):
            for a, w in zip(acts[m].tolist(), weights[n].tolist(), strict=True):
                want += one(w, i, bits, weight_kind) * one(a, j, act_bits, act_kind)
        assert terms[cycle, m, n, 0] == want
    assert np.array_equal(terms.sum(axis=0)[..., 0], spec.act_format.fixed(acts) @ spec.weight_format.fixed(weights).T)
    low, high = spec.product_range(spec.p)
    every = np.outer(*(form.fixed(np.arange(1 << form.code_bits)) for form in (spec.act_format, spec.weight_format)))
    assert (every.min(), every.max()) == (low, high)


@pytest.mark.parametrize("k", [1, 3, 4])
@pytest.mark.parametrize(("scheme", "bits", "act_bits", "weight_planes", "act_planes"), CASES)
def test_the_sum_of_a_cycle_fits_its_bits(
    scheme: str, bits: int, act_bits: int, weight_planes: int, act_planes: int, k: int
) -> None:
    """K equal products are the extremes; with one bit less they do not fit, or only less the carry."""
    if bits == act_bits == 8:
        bits, act_bits = 4, 6
        weight_planes, act_planes = min(weight_planes, 4), 5 if scheme != "bipolar" else 2
    weight_planes = min(weight_planes, bits)
    acts_name = f"{'bipolar' if scheme == 'bipolar' else 'int'}{act_bits}"
    spec = tile(
        bits=bits,
        acts=acts_name,
        scheme=scheme,
        weight_planes=weight_planes,
        act_planes=act_planes,
        k=k,
        group=12,
        depth=12,
    )
    weight_kind, act_kind = kinds(scheme)
    sums = []
    for w, a in itertools.product(range(0, bits, weight_planes), range(0, act_bits, act_planes)):
        digits = [
            {
                sum(one(code, plane, width, kind) for plane in range(at, min(at + each, width))) >> at
                for code in range(1 << width)
            }
            for at, each, width, kind in ((w, weight_planes, bits, weight_kind), (a, act_planes, act_bits, act_kind))
        ]
        sums += [k * x * y for x, y in itertools.product(*digits)]
    half = 1 << (int(spec._sum_bits(spec.p)) - 1)
    carry = int(spec.carry_bits(spec.p))
    assert -half <= min(sums) - carry
    assert max(sums) <= half - 1
    assert min(sums) - carry < -half // 2 or max(sums) > half // 2 - 1


def test_one_bit_on_both_sides_is_an_exclusive_nor() -> None:
    spec = tile(bits=1, k=8, group=16)
    assert (spec.acts, spec.scheme, spec.cycles_per_step(spec.p)) == ("bipolar1", "bipolar", 1)
    rng = np.random.default_rng(1)
    acts, weights = (rng.integers(0, 2, (rows, 8), dtype=np.uint32) for rows in (spec.m, spec.n))
    equal = (acts[:, None, :] == weights[None, :, :]).sum(axis=-1)
    assert spec.terms(acts, weights, {}, {}, 0)[0, ..., 0].tolist() == (2 * equal - 8).tolist()
    primitives = spec.cell_primitives(spec.p)
    assert primitives["mux2"] == 0
    assert primitives["and"] < 8 * 3


def test_formulas_take_arrays() -> None:
    values = {
        "bits": np.array([1, 2, 3, 4, 8, 8, 4, 4]),
        "weight_planes": np.array([1, 1, 2, 4, 3, 8, 2, 1]),
        "act_planes": np.array([1, 2, 4, 4, 3, 1, 2, 3]),
        "k": np.array([1, 2, 3, 4, 8, 4, 16, 4]),
    }
    count = len(values["bits"])
    for scheme, acts in (("symmetric", "int4"), ("asymmetric", "int5"), ("bipolar", "bipolar4")):
        p = {**tile(bits=4, acts=acts, scheme=scheme).p, **values}
        for index in range(count):
            single = {**p, **{name: int(value[index]) for name, value in values.items()}}
            for formula in ("addend_bits", "carry_bits", "cycles_per_step", "acc_bits", "row_bus_bits", "latency"):
                many = np.broadcast_to(getattr(Bitplane, formula)(p), count)
                assert many[index] == getattr(Bitplane, formula)(single), formula
            for counts in ("cell_primitives", "col_primitives", "row_primitives"):
                many, alone = getattr(Bitplane, counts)(p), getattr(Bitplane, counts)(single)
                assert {name: int(np.broadcast_to(value, count)[index]) for name, value in many.items()} == alone


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bits": 2, "weight_planes": 3}, "bitplane: weight_planes must be at most bits (2), not 3"),
        ({"acts": "int3", "act_planes": 4}, "bitplane: act_planes must be at most the bits of acts (3), not 4"),
        (
            {"scheme": "bipolar", "acts": "int4"},
            "bitplane: acts must be bipolarN with scheme bipolar, not int4; signs are multiplied by signs",
        ),
        (
            {"scheme": "symmetric", "acts": "bipolar4"},
            "bitplane: scheme must be bipolar with acts bipolar4, not symmetric; signs are multiplied by signs",
        ),
        (
            {"bits": 3, "scheme": "bipolar", "weight_planes": 2},
            "bitplane: weight_planes must divide bits (3) with scheme bipolar, not 2; a plane of signs cannot be empty",
        ),
        (
            {"bits": 2, "acts": "bipolar3", "act_planes": 2},
            "bitplane: act_planes must divide the bits of acts (3) with scheme bipolar, not 2; "
            "a plane of signs cannot be empty",
        ),
        ({"acts": "int9"}, "bitplane: acts must be int2, int3, "),
        ({"bits": 9, "scheme": "bipolar"}, "bitplane: bits must be a whole number from 1 to 8, not 9"),
    ],
)
def test_refusals(values: dict[str, Any], message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        tile(**values)
    assert str(caught.value).startswith(message)
