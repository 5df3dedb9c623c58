"""BitMoD: the golden layer, the tile's reference and a third description over Python integers agree."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from hwgen.errors import HwgenError
from hwgen.formats import get
from hwgen.pe import TileSpec, family
from hwgen.pe.bitmod import Bitmod
from hwgen.quantize import acts_for
from hwgen.reference import run_steps
from hwgen.schedule import Layer, Schedule, Steps
from sim.epilogue import apply_outer, epilogue
from sim.golden import BitmodLinear, golden_layer
from sim.golden.bitmod import weight_terms
from tests.formats import oracle
from tests.golden.operands import codes

SMALL: dict[str, Any] = {"m": 2, "n": 2, "k": 4, "group": 16, "post_lanes": 0}
K, OUTPUTS, TOKENS = 52, 5, 3  # three groups of 16, or two of 24, and a ragged one of 4
BITS = (8, 6, 5, 4, 3)


def tile(**values: Any) -> Bitmod:
    spec = family("bitmod").from_values(SMALL | values)
    assert isinstance(spec, Bitmod)
    return spec


def operands(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights and activations of many magnitudes, cancellation and outliers among them."""
    rng = np.random.default_rng(seed)
    w = rng.standard_t(4, size=(OUTPUTS, K)).astype(np.float32)
    x = (rng.normal(size=(TOKENS, K)) * 2.0 ** rng.integers(-10, 6, size=(TOKENS, K))).astype(np.float32)
    x[0, ::3] = 0
    # What a step adds it takes away again, nearly.
    x[1, 4:8] = -x[1, :4] * np.float32(1.01)
    w[:, 4:8] = w[:, :4]
    return w, x


def outputs(spec: TileSpec, w: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """FP32 codes [T, N] of the tile's reference with what follows it, and its raw sums [G, T, N]."""
    q_w, q_x = spec.quantize_weights(w), spec.quantize_acts(x)
    schedule = Schedule(spec, Layer("layer", len(x), *w.shape))
    beats = run_steps(spec, schedule.lower(q_x, q_w))
    if beats.y is not None:
        return apply_outer(np.ascontiguousarray(schedule.collect(beats.y)), q_x, q_w), None
    sums, rows = schedule.collect(beats.sums)[..., 0], schedule.collect_rows(beats.rows)
    return epilogue(spec, sums, rows, q_x, q_w), sums


def compare(spec: TileSpec, seed: int) -> None:
    w, x = operands(seed)
    layer = golden_layer(spec.quantize_weights(w), spec.quantization())
    assert isinstance(layer, BitmodLinear)
    y, sums = outputs(spec, w, x)
    assert codes(layer(torch.from_numpy(x))).tolist() == y.tolist()
    assert np.unique(y).size > 8
    if sums is not None:
        words = layer.group_words(torch.from_numpy(x))
        assert words is not None
        assert words.tolist() == sums.tolist()


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("acts", ["fp16", "bf16", "int8"])
@pytest.mark.parametrize("lanes", [0, 2])
def test_golden_layer_equals_the_tile(bits: int, acts: str, lanes: int) -> None:
    # Groups that are long enough for the lanes; the last one (4 of 52) is not, and waits.
    compare(tile(bits=bits, acts=acts, post_lanes=lanes, group=24), bits)


@pytest.mark.parametrize(
    "values",
    [
        {"accumulator": "exact"},
        {"accumulator": "exact", "post_lanes": 1, "bits": 8},
        {"guard_bits": 0},
        {"guard_bits": 8, "acc_mantissa": 32, "bits": 8},
        {"acc_mantissa": 12, "depth": 64, "post_lanes": 1, "group": 24},
        {"k": 2, "bits": 3},
        {"k": 1, "acts": "bf16"},
        {"group": 0, "bits": 6},
        {"specials": "-2.5,12,8.5,0"},
        {"specials": "0,0,0,0", "bits": 3, "post_lanes": 2, "group": 20},
    ],
)
def test_golden_layer_with_other_parameters(values: dict[str, Any]) -> None:
    for seed in (1, 2):
        compare(tile(**values), seed)


# ---------------------------------------------------------------------- a third description, in Python integers


def float_fields(name: str, code: int) -> tuple[int, int, int]:
    """(sign, exponent field at least 1, significand) of a code; special values are the largest finite magnitude."""
    exponent_bits, mantissa_bits = {"fp16": (5, 10), "bf16": (8, 7)}[name]
    sign, rest = divmod(code, 1 << (exponent_bits + mantissa_bits))
    exponent, mantissa = divmod(rest, 1 << mantissa_bits)
    if exponent == (1 << exponent_bits) - 1:
        exponent, mantissa = exponent - 1, (1 << mantissa_bits) - 1
    return sign, max(exponent, 1), mantissa + (1 << mantissa_bits if exponent else 0)


BOOTH = {0: 0, 1: 1, 2: 1, 3: 2, 4: -2, 5: -1, 6: -1, 7: 0}


def serial_terms(bits: int, value: Fraction) -> list[tuple[int, int]]:
    """(t, bsig) of each phase: signed power of two or 0, and its place in halves."""
    if bits > 4:
        string = f"{int(value) & 0xFFF:012b}0"
        return [(BOOTH[int(string[-3 - 2 * i :][:3], 2)], 2 * i + 1) for i in range((bits + 1) // 2)]
    sign, halves = (-1 if value < 0 else 1), abs(int(2 * value))
    ones = [place for place in range(5) if halves >> place & 1]
    terms = [0, 0]
    for place in ones:
        # The largest one first, unless it is the half.
        first = place == max(ones) and place > 0
        terms[0 if first else 1] += sign * (1 << place) // (2 if first else 1)
    return [(terms[0], 1), (terms[1], 0)]


def word_of(spec: Bitmod, acts: list[int], weights: list[Fraction], bits: int) -> int:
    """Code word of a group's sum, step by step."""
    p, guard, k = spec.acc_mantissa, spec.guard_bits, spec.k
    significand = 2 ** {"fp16": 11, "bf16": 8}[spec.acts] - 1
    dot_bits = len(f"{k * significand * 2**guard:b}") + 1
    frame = max(dot_bits, p + 2)
    mantissa, exponent = 0, 0
    for start in range(0, len(acts), k):
        fields = [float_fields(spec.acts, code) for code in acts[start : start + k]]
        phases = [serial_terms(bits, w) for w in weights[start : start + k]]
        for phase in range(len(phases[0])):
            matched = [
                field[1] + abs(terms[phase][0]).bit_length() - 1 if terms[phase][0] else 0
                for field, terms in zip(fields, phases, strict=True)
            ]
            top = max(matched)
            dot = 0
            for (sign, _, sig), terms, e in zip(fields, phases, matched, strict=True):
                if terms[phase][0]:
                    dot += (sig * 2**guard // 2 ** (top - e)) * (-1) ** (sign + (terms[phase][0] < 0))
            if dot == 0:
                continue
            # Everything over the place of the last bit of the higher frame.
            unit = top + phases[0][phase][1]
            place = max(exponent + 1, unit + dot_bits) - frame
            total = Fraction(mantissa) * Fraction(2) ** (exponent - p + 1 - place)
            added = total.__floor__() + (Fraction(dot) * Fraction(2) ** (unit - place)).__floor__()
            if added == 0:
                mantissa, exponent = 0, 0
                continue
            size = min(n for n in range(1, 100) if -(1 << (n - 1)) <= added < 1 << (n - 1))
            exponent = place + size - 1
            mantissa = (Fraction(added) * Fraction(2) ** (p - size)).__floor__()
    return exponent * 2**p + mantissa % 2**p


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("values", [{}, {"acts": "bf16", "k": 2}, {"acc_mantissa": 11, "guard_bits": 1}])
def test_reference_equals_integers(bits: int, values: dict[str, Any]) -> None:
    spec = tile(**values, m=1, n=1, bits=bits, depth=32)
    mode = spec.layer_mode
    form = get(spec.acts)
    rng = np.random.default_rng(bits)
    count = 12
    base = rng.integers(0, 1 << form.code_bits, size=(count, 1, 32))
    near = (base & ~0x3FF) ^ rng.integers(0, 1 << 12, size=base.shape)
    acts = np.where(rng.random((count, 1, 1)) < 0.5, base, np.where(rng.random(base.shape) < 0.8, near[:, :, :1], near))
    weights = rng.integers(0, 1 << spec.weight_format.code_bits, size=(count, 1, 32))
    selectors = rng.integers(0, 4, size=count)
    for index in range(count):
        table = getattr(spec.weight_format, "specials", (0,) * 4)
        special = float(table[selectors[index]])
        side = int(2 * abs(special)) | (32 if special < 0 else 0)
        split = (32 // spec.k, 1, spec.k)
        first = np.arange(split[0]) == 0
        steps = Steps(
            acts[index].reshape(split).astype(np.uint32),
            weights[index].reshape(split).astype(np.uint32),
            {},
            {"special": np.full((split[0], 1), side)},
            first,
            first[::-1],
            first[::-1],
            mode,
        )
        got = int(run_steps(spec, steps).sums[0, 0, 0, 0])
        if bits > 4:
            values_of = [oracle.value(spec.weight_format, int(code)) for code in weights[index, 0]]
        else:
            levels = spec.weight_format.levels(int(selectors[index]))  # type: ignore[attr-defined]
            values_of = [Fraction(levels[code]) for code in weights[index, 0]]
        exact = [value for value in values_of if isinstance(value, Fraction)]
        assert got == word_of(spec, acts[index, 0].tolist(), exact, bits)


# ---------------------------------------------------------------------- what the arithmetic is


@pytest.mark.parametrize("bits", BITS)
def test_terms_of_every_code_and_selector_add_up(bits: int) -> None:
    """RTL terms (the reference's, which the contract compares with the RTL) and golden terms, against the value."""
    spec = tile(bits=bits, specials="")
    form, mode = spec.weight_format, spec.layer_mode
    for side in range(4):
        every = form.codes()
        special = np.array([0])
        values = form.decode(every, side) if form.side_bits else form.decode(every)
        if form.side_bits:
            value = form.specials[side]  # type: ignore[attr-defined]
            special = np.array([int(2 * abs(value)) | (32 if value < 0 else 0)])
        total = np.zeros(len(every))
        for sign, man, exp, bsig in spec._weight_terms(every[None], special, mode):
            assert set(np.unique(man)) <= {0, 1}
            assert exp.max() <= 3
            total += np.where(sign == 1, -1, 1)[0] * (man << exp << bsig)[0] / 2
        assert total.tolist() == values.tolist()
        for code, value in zip(every.tolist(), values.tolist(), strict=True):
            assert sum(t * 2**b for t, b in serial_terms(bits, Fraction(value))) == 2 * Fraction(value), code


def test_every_representable_special_value_decodes() -> None:
    spec = tile()
    for word in range(64):
        halves = word & 31
        magnitude = halves if bin(halves).count("1") <= 2 else None
        total = sum(
            int(np.where(sign == 1, -1, 1)[0, 0] * (man << exp << bsig)[0, 0])
            for sign, man, exp, bsig in spec._weight_terms(np.array([[8]]), np.array([word]), 3)
        )
        if magnitude is None:
            places = [1 << place for place in reversed(range(5)) if halves >> place & 1]
            magnitude = sum(places[:2])
        assert total == (-magnitude if word & 32 else magnitude)


def step_sums(spec: Bitmod, term: np.ndarray) -> np.ndarray:
    """d of each update; below it are the step's exponent and three bits of bsig."""
    return term >> (spec._match_bits(spec.p) + 3)


def test_a_minus_zero_with_an_unprogrammed_register_is_zero() -> None:
    spec = tile(m=1, n=1)
    acts = np.full((1, 1, 4), 0x3C00)
    for mode, code in ((3, 8), (4, 4)):
        term = spec.terms(acts, np.full((1, 1, 4), code), {}, {"special": np.zeros((1, 1), int)}, mode)
        assert (step_sums(spec, term) == 0).all()


def test_special_activations_and_subnormals() -> None:
    spec = tile(m=1, n=1, group=4)
    one = np.array([[[2, 0, 0, 0]]])  # weights 1, 0, 0, 0

    def value(code: int) -> float:
        steps = Steps(np.array([[[code, 0, 0, 0]]], np.uint32), one.astype(np.uint32), {},
                      {"special": np.zeros((1, 1), int)}, *[np.ones(1, bool)] * 3, 3)  # fmt: skip
        word = run_steps(spec, steps).sums[0, 0, 0, 0]
        mantissa, exponent = spec.fields(np.asarray(word))
        return float(mantissa) * 2.0 ** (int(exponent) + spec.lsb_exp)

    assert value(0x7C00) == value(0x7E00) == value(0x7FFF) == 65504.0
    assert value(0xFC00) == value(0xFE01) == -65504.0
    assert value(0x0001) == 2.0**-24
    assert value(0x83FF) == -1023 * 2.0**-24
    assert value(0x8000) == 0.0


def test_a_term_that_is_zero_does_not_cost_the_others_their_places() -> None:
    spec = tile(m=1, n=1, group=4)
    # 65504 · 0 + 2^-10 · 1: the large activation has no term.
    acts = np.array([[[0x7BFF, 0x1400, 0, 0]]], np.uint32)
    term = spec.terms(acts, np.array([[[0, 2, 0, 0]]]), {}, {"special": np.zeros((1, 1), int)}, 3)
    # 1 is the larger of its two terms.
    assert step_sums(spec, term).ravel().tolist() == [1024 * 8, 0]


def test_attention_runs_with_keys_and_values_as_weights() -> None:
    """Q·Kᵀ and P·V: K and V are quantised to int8 per group at run time and are the weight operand."""
    rng = np.random.default_rng(8)
    tokens, head = 24, 32
    q, keys, values = (rng.normal(size=(tokens, head)).astype(np.float32) for _ in range(3))
    spec = tile(bits=8, group=16)
    scores, sums = outputs(spec, keys, q)
    layer = golden_layer(spec.quantize_weights(keys), spec.quantization())
    assert codes(layer(torch.from_numpy(q))).tolist() == scores.tolist()
    got = scores.view(np.float32)
    want = q.astype(np.float64) @ keys.astype(np.float64).T
    assert np.linalg.norm(got - want) < 0.01 * np.linalg.norm(want)
    attention = np.exp(got / np.sqrt(head))
    attention = (attention / attention.sum(axis=1, keepdims=True)).astype(np.float32)
    # Groups run along the tokens; the last one is ragged (24 = 16 + 8).
    mixed, _ = outputs(spec, np.ascontiguousarray(values.T), attention)
    want = attention.astype(np.float64) @ values.astype(np.float64)
    assert np.linalg.norm(mixed.view(np.float32) - want) < 0.01 * np.linalg.norm(want)
    assert sums is not None
    assert sums.shape == (2, tokens, tokens)


def test_golden_terms_are_powers_of_two() -> None:
    for bits in BITS:
        spec = tile(bits=bits)
        q = spec.quantize_weights(operands(3)[0])
        terms, units = weight_terms(q)
        total = sum(t * 2.0**unit for t, unit in zip(terms, units, strict=True))
        assert torch.equal(torch.as_tensor(total), torch.from_numpy(q.values()))
        assert {abs(v) for t in terms for v in t.unique().tolist()} <= {0.0, 1.0, 2.0, 4.0, 8.0}


# ---------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"acts": "bf16", "accumulator": "exact"},
            "bitmod: accumulator must be normalised with acts bf16, not exact; fixed point would span 8 exponent bits",
        ),
        (
            {"overflow": "wrap"},
            "bitmod: overflow must be refuse with a normalised accumulator, not wrap; its exponent spans depth "
            "products",
        ),
        (
            {"depth": 2064, "group": 16},
            "bitmod: depth must be at most k · 2^(acc_mantissa − 6) with a normalised accumulator, not 2064; "
            "use a wider --acc-mantissa, a smaller --depth or --accumulator exact",
        ),
        ({"bits": 7}, "bitmod: bits must be 8, 6, 5, 4 or 3, not 7"),
    ],
)
def test_designs_that_cannot_be(values: dict[str, Any], message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        tile(**values)
    assert str(caught.value) == message


def test_the_smallest_group_that_is_named_works_and_a_smaller_one_does_not() -> None:
    tile(group=32, post_lanes=1, m=4, bits=3)
    with pytest.raises(HwgenError):
        tile(group=28, post_lanes=1, m=4, bits=3)


def test_golden_errors() -> None:
    w, x = operands(1)
    spec = tile(accumulator="exact", guard_bits=8, group=0, depth=64, bits=8)
    layer = golden_layer(spec.quantize_weights(w), spec.quantization())
    with pytest.raises(HwgenError) as caught:
        layer(torch.from_numpy(x))
    assert str(caught.value) == (
        "BitmodLinear: sums must fit 62 bits with an exact accumulator, not 64; use fewer guard bits or shorter groups"
    )
    with pytest.raises(HwgenError) as caught:
        layer.bound(torch.from_numpy(x))
    assert str(caught.value) == (
        "BitmodLinear: bound must be asked of a layer with exact sums, not of arithmetic bitmod"
    )
    assert acts_for(spec.quantization(), x).format.name == "fp16"
