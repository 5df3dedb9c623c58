"""L-Mul products by their definition in fractions, sums of them, and the golden layer against the tile's reference."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from hwgen.errors import HwgenError
from hwgen.formats import get
from hwgen.formats.minifloat import MinifloatFormat
from hwgen.pe import family
from hwgen.pe.lmul import Lmul
from hwgen.reference import run_steps
from hwgen.schedule import Layer, Schedule, Steps
from sim.epilogue import epilogue
from sim.golden import golden_layer
from sim.golden.lmul import lmul
from tests.golden.operands import acts, codes, weights

SMALL: dict[str, Any] = {"m": 2, "n": 3, "k": 4, "group": 16, "depth": 16}
NAN = 0x7FC00000


def tile(**values: Any) -> Lmul:
    return family("lmul").from_values(SMALL | values)  # type: ignore[return-value]


def form(name: str) -> MinifloatFormat:
    found = get(name)
    assert isinstance(found, MinifloatFormat)
    return found


def split(value: Fraction) -> tuple[int, Fraction]:
    """(e, f) of a positive number (1 + f)·2**e."""
    exponent = math.floor(math.log2(value))
    exponent += (value >= Fraction(2) ** (exponent + 1)) - (value < Fraction(2) ** exponent)
    return exponent, value / Fraction(2) ** exponent - 1


def product(x: Fraction, y: Fraction, mantissa: int) -> Fraction:
    """The product by its definition, with the carry into the exponent."""
    if x == 0 or y == 0:
        return Fraction(0)
    (a, f), (b, g) = split(abs(x)), split(abs(y))
    total, exponent = f + g + Fraction(1, 2 ** {1: 1, 2: 2, 3: 3, 4: 3}.get(mantissa, 4)), a + b
    while total >= 1:
        total, exponent = total - 1, exponent + 1
    return (1 + total) * Fraction(2) ** exponent * (-1 if (x < 0) != (y < 0) else 1)


def operand(code: int, name: str, subnormals: str) -> Fraction:
    """What a code counts as where sums are exact."""
    found, value = form(name), float(form(name).decode(np.array([code]))[0])
    if not math.isfinite(value):
        value = math.copysign(found.max_value, -1 if code >> (found.code_bits - 1) else 1)
    assert found.bias is not None
    return Fraction(0 if subnormals == "flush" and abs(value) < 2.0 ** (1 - found.bias) else value)


def sums_of(spec: Lmul, a: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Sums of steps that are groups of their own, [steps, M, N]."""
    ones = np.ones(len(a), bool)
    return run_steps(spec, Steps(a.astype(np.uint32), w.astype(np.uint32), {}, {}, ones, ones, ones)).sums[..., 0]


@pytest.mark.few(6)
@pytest.mark.parametrize("subnormals", ["flush", "normalise"])
@pytest.mark.parametrize(
    ("left", "right"),
    [("fp4_e2m1", "fp4_e2m1"), ("fp6_e2m3", "fp6_e3m2"), ("e2m4", "fp4_e2m1"), ("e1m3", "e3m0"), ("e2m5", "e2m2")],
)
def test_every_product_of_small_formats(left: str, right: str, subnormals: str) -> None:
    spec = tile(m=1, n=1, k=1, acts=left, weights=right, subnormals=subnormals, group=0)
    bits = max(form(left).mantissa_bits, form(right).mantissa_bits)
    pairs = list(itertools.product(range(1 << form(left).code_bits), range(1 << form(right).code_bits)))
    a, w = (np.array(side).reshape(-1, 1, 1) for side in zip(*pairs, strict=True))
    found = sums_of(spec, a, w)[:, 0, 0].tolist()
    unit = Fraction(2) ** spec.lsb_exp
    wanted = [product(operand(x, left, subnormals), operand(y, right, subnormals), bits) / unit for x, y in pairs]
    assert found == wanted
    low, high = spec.product_range(spec.p)
    assert max(found) == high == -low


@pytest.mark.parametrize("subnormals", ["flush", "normalise"])
@pytest.mark.parametrize(
    ("left", "right"), [("fp8_e4m3", "fp8_e5m2"), ("fp16", "fp8_e4m3"), ("fp16", "fp16"), ("bf16", "fp6_e3m2")]
)
def test_sums_are_those_of_products(left: str, right: str, subnormals: str) -> None:
    spec = tile(acts=left, weights=right, subnormals=subnormals)
    rng = np.random.default_rng(len(left) + len(right))
    a = rng.integers(0, 1 << form(left).code_bits, (20, spec.m, spec.k))
    w = rng.integers(0, 1 << form(right).code_bits, (20, spec.n, spec.k))
    a[:4] &= (1 << (form(left).code_bits - 1)) | 7
    a[4] = np.resize(np.array(form(left).corners), a[4].shape)
    w[4] = np.resize(np.array(form(right).corners), w[4].shape)
    bits = max(form(left).mantissa_bits, form(right).mantissa_bits)
    unit, found = Fraction(2) ** spec.lsb_exp, sums_of(spec, a, w)
    for step, row, column in np.ndindex(*found.shape):
        pairs = zip(a[step, row].tolist(), w[step, column].tolist(), strict=True)
        total = sum(product(operand(x, left, subnormals), operand(y, right, subnormals), bits) for x, y in pairs)
        assert int(found[step, row, column]) == total / unit


def fp32_product(x: int, y: int, left: str, right: str, subnormals: str) -> int:
    """FP32 code of the product of two codes."""
    a, b = (float(form(name).decode(np.array([code]))[0]) for name, code in ((left, x), (right, y)))
    p, q = (
        operand(code, name, subnormals) if math.isfinite(value) else Fraction(1)
        for code, name, value in ((x, left, a), (y, right, b))
    )
    negative = (x >> (form(left).code_bits - 1)) ^ (y >> (form(right).code_bits - 1))
    if math.isnan(a) or math.isnan(b) or ((math.isinf(a) or math.isinf(b)) and (p == 0 or q == 0)):
        return NAN
    found = abs(product(p, q, max(form(left).mantissa_bits, form(right).mantissa_bits)))
    if math.isinf(a) or math.isinf(b) or found >= Fraction(2) ** 128:
        return 0x7F800000 | negative << 31
    if found < Fraction(2) ** -126:
        return negative << 31
    exponent, fraction = split(found)
    assert (fraction * 2**23).denominator == 1
    return negative << 31 | (exponent + 127) << 23 | int(fraction * 2**23)


@pytest.mark.few(3)
@pytest.mark.parametrize("subnormals", ["flush", "normalise"])
@pytest.mark.parametrize(("left", "right"), [("fp8_e4m3", "fp8_e5m2"), ("bf16", "bf16"), ("fp16", "bf16")])
def test_fp32_products(left: str, right: str, subnormals: str) -> None:
    spec = tile(m=1, n=1, k=1, acts=left, weights=right, subnormals=subnormals, accumulator="fp32", group=0)
    rng = np.random.default_rng(5)
    sides = []
    for name in (left, right):
        corners = np.array(form(name).corners)
        drawn = rng.integers(0, 1 << form(name).code_bits, 600)
        sides.append((corners, drawn))
    (ca, da), (cw, dw) = sides
    a = np.concatenate([np.repeat(ca, len(cw)), da]).reshape(-1, 1, 1)
    w = np.concatenate([np.tile(cw, len(ca)), dw]).reshape(-1, 1, 1)
    found = sums_of(spec, a, w)[:, 0, 0].tolist()
    pairs = zip(a[:, 0, 0].tolist(), w[:, 0, 0].tolist(), strict=True)
    wanted = [fp32_product(x, y, left, right, subnormals) for x, y in pairs]
    # A sum starts from +0.
    assert found == [0 if code == 1 << 31 else code for code in wanted]
    assert {0, NAN} < set(found) or left == "fp8_e4m3"


@pytest.mark.parametrize(
    ("mantissa", "mean", "largest"), [(1, 0.375, 0.5), (2, 0.147, 0.25), (3, 0.052, 0.125), (4, 0.051, 0.125)]
)
def test_the_published_errors(mantissa: int, mean: float, largest: float) -> None:
    """Relative errors over all pairs of mantissas; 1 times 1 is too large by the offset."""
    one = 1 + torch.arange(2**mantissa).double() / 2**mantissa
    exact = one[:, None] * one
    error = ((lmul(one[:, None], one, mantissa) - exact) / exact).abs()
    assert float(error.mean()) == pytest.approx(mean, abs=6e-4)
    assert float(error.max()) == largest


LAYERS: tuple[dict[str, Any], ...] = (
    {},
    {"weights": "fp4_e2m1", "acts": "fp6_e2m3", "subnormals": "normalise", "n": 4, "post_lanes": 2},
    {"bits": 16, "subnormals": "normalise"},
    {"acts": "bf16", "weights": "bf16", "group": 0, "depth": 64},
    {"acts": "bf16", "weights": "bf16", "subnormals": "normalise"},
    {"bits": 16, "accumulator": "fp32"},
    {"accumulator": "fp32", "k": 3, "group": 15, "adder_stages": 2, "interleave": "ring"},
    {"acts": "bf16", "weights": "bf16", "accumulator": "fp32", "subnormals": "normalise", "group": 0},
)


@pytest.mark.parametrize("values", LAYERS, ids=lambda values: "-".join(map(str, values.values())) or "default")
def test_layers(values: dict[str, Any]) -> None:
    spec = tile(**values)
    given = acts(6, 3, 36)
    w, x = spec.quantize_weights(weights(5, 5, 36).numpy()), spec.quantize_acts(given.numpy())
    schedule = Schedule(spec, Layer("layer", x.shape[0], *w.shape))
    beats = run_steps(spec, schedule.lower(x, w))
    layer = golden_layer(w, spec.quantization())
    if beats.y is not None:
        y = schedule.collect(beats.y)
    else:
        sums = schedule.collect(beats.sums)[..., 0]
        y = epilogue(spec, sums, schedule.collect_rows(beats.rows), x, w)
        words = layer.group_words(given)
        assert np.asarray(layer.group_sums(given) if words is None else words).tolist() == sums.tolist()
    assert codes(layer(given)).tolist() == y.tolist()
    assert np.unique(y).size > 3


def test_a_layer_is_not_that_of_exact_products() -> None:
    spec, plain = tile(bits=16), family("minifloat").from_values(SMALL | {"bits": 16})
    w, given = spec.quantize_weights(weights(5, 5, 36).numpy()), acts(6, 3, 36)
    ours, exact = (golden_layer(w, one.quantization())(given).double() for one in (spec, plain))
    error = float((ours - exact).norm() / exact.norm())
    assert 0.005 < error < 0.1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"weights": "e3m0", "acts": "e4m0"},
            "lmul: weights and acts must have a mantissa bit in one of them, not e3m0 and e4m0; products of powers of "
            "two need none of this, use --pe minifloat",
        ),
        (
            {"weights": "int8"},
            "lmul: weights must be a signed floating-point format of at most 16 bits, such as fp16, bf16, fp8_e4m3 or "
            "e3m4, not 'int8'",
        ),
        ({"bits": 7}, "lmul: bits must be 4, 6, 8 or 16, not 7"),
        ({"subnormals": "keep"}, "lmul: subnormals must be flush or normalise, not 'keep'"),
    ],
)
def test_what_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(HwgenError) as error:
        tile(**values)
    assert str(error.value).startswith(message)
