"""Products, sums, widths and refusals of minifloat tiles against ml_dtypes, numpy's float32 and exact fractions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from amaranth.hdl import Cat, Const, Module, Signal, unsigned
from amaranth.lib import data

from hwgen.errors import HwgenError
from hwgen.formats import get
from hwgen.pe import family
from hwgen.pe.minifloat import Minifloat
from hwgen.reference import run_steps
from hwgen.schedule import Layer, Schedule, layer_constraints
from hwgen.verify import check_contract
from hwgen.verify._stimuli import random_steps
from rtl_tests.arith.comb import Block, Runner, compile_blocks
from tests.golden import oracle

pytestmark = pytest.mark.rtl

DTYPES: dict[str, Any] = {
    "fp4_e2m1": ml_dtypes.float4_e2m1fn,
    "fp6_e2m3": ml_dtypes.float6_e2m3fn,
    "fp6_e3m2": ml_dtypes.float6_e3m2fn,
    "fp8_e4m3": ml_dtypes.float8_e4m3fn,
    "fp8_e5m2": ml_dtypes.float8_e5m2,
    "fp16": np.float16,
    "bf16": ml_dtypes.bfloat16,
}
LARGEST = {"fp8_e4m3": 448.0, "fp8_e5m2": 57344.0, "fp16": 65504.0, "bf16": float.fromhex("0x1.fep127")}
UNITS = {"fp4_e2m1": -1, "fp6_e2m3": -3, "fp6_e3m2": -4, "fp8_e4m3": -9, "fp8_e5m2": -16, "fp16": -24, "bf16": -133}
EXHAUSTIVE = [
    ("fp8_e4m3", "fp8_e4m3"),
    ("fp8_e5m2", "fp8_e5m2"),
    ("fp8_e4m3", "fp8_e5m2"),
    ("fp6_e3m2", "fp8_e4m3"),
    ("fp4_e2m1", "fp6_e2m3"),
    ("fp4_e2m1", "fp4_e2m1"),
]
WIDE = [("fp16", "fp16"), ("bf16", "bf16"), ("fp16", "bf16"), ("bf16", "fp8_e4m3"), ("fp16", "fp4_e2m1")]
CHUNK = 32
BY_BITS = ("fp4_e2m1", "fp6_e2m3", "fp8_e4m3", "fp16")


def tile(**values: Any) -> Minifloat:
    return family("minifloat").from_values({"m": 1, "n": 1, "k": 1, "group": 0, **values})  # type: ignore[return-value]


def product(spec: Minifloat) -> Block:
    """Codes of one pair, beside zeros → what its cell adds, in chunks of 32 bits, and the carry."""

    def build(m: Module, i: dict[str, Signal]) -> dict[str, Any]:
        sides = [
            data.View(data.ArrayLayout(unsigned(len(code)), spec.k), Cat(code, Const(0, len(code) * (spec.k - 1))))
            for code in i.values()
        ]
        row = spec.build_row(m, sides[0], {}, Const(0, 1), Const(0, 1))
        col = spec.build_col(m, sides[1], {}, Const(0, 1), Const(0, 1))
        (addend,) = spec.build_cell(m, row, col, Const(0, 1), Const(0, 1))
        value = Signal(addend.value.shape(), name="value")
        m.d.comb += value.eq(addend.value)
        chunks = {f"y{at}": value.as_unsigned()[at : at + CHUNK] for at in range(0, len(value), CHUNK)}
        return {**chunks, **({} if addend.carry is None else {"carry": addend.carry})}

    return Block({"a": get(spec.acts).code_bits, "w": get(spec.weights).code_bits}, build)


PAIRS = [(*pair, kind) for pair in EXHAUSTIVE + WIDE for kind in ("exact", "fp32")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runner]:
    blocks = {f"{a} {w} {kind}": product(tile(acts=a, weights=w, accumulator=kind)) for a, w, kind in PAIRS}
    # Where there are several products, they are negated before they are shifted.
    blocks |= {f"{a} {w} of two": product(tile(acts=a, weights=w, k=2, stages=2)) for a, w in EXHAUSTIVE + WIDE}
    return compile_blocks(blocks, tmp_path_factory.mktemp("products"))


def decode(name: str, codes: np.ndarray) -> np.ndarray:
    """float64 values by ml_dtypes."""
    words = codes.astype(np.uint16 if DTYPES[name] in (np.float16, ml_dtypes.bfloat16) else np.uint8)
    # A signalling NaN draws a warning.
    with np.errstate(invalid="ignore"):
        return words.view(DTYPES[name]).astype(np.float64)


def pairs(a: str, w: str) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of codes where there are at most 2^16, else all pairs of corners, and random ones of every kind."""
    left, right = get(a), get(w)
    if left.code_bits + right.code_bits <= 16:
        grids = np.meshgrid(np.arange(1 << left.code_bits), np.arange(1 << right.code_bits))
        return grids[0].ravel(), grids[1].ravel()
    rng = np.random.default_rng(7)
    corners = np.meshgrid(np.array(left.corners), np.array(right.corners))
    columns = []
    for form, corner in zip((left, right), corners, strict=True):
        mantissa = getattr(form, "mantissa_bits", 0)
        whole = rng.integers(0, 1 << form.code_bits, 20_000)
        subnormal = rng.integers(0, 1 << mantissa, 5_000) | rng.integers(0, 2, 5_000) << form.code_bits - 1
        columns.append(np.concatenate([corner.ravel(), whole, subnormal, np.roll(whole, 1)[:5_000]]))
    return columns[0], columns[1]


@pytest.mark.few(4)
@pytest.mark.parametrize(("a", "w"), EXHAUSTIVE + WIDE)
def test_fp32_products_equal_float32(run: dict[str, Runner], a: str, w: str) -> None:
    x, y = pairs(a, w)
    got = run[f"{a} {w} fp32"](a=x, w=y)["y0"]
    with np.errstate(all="ignore"):
        want = decode(a, x).astype(np.float32) * decode(w, y).astype(np.float32)
    codes = np.where(np.isnan(want), np.uint32(0x7FC00000), want.view(np.uint32))
    wrong = np.flatnonzero(got != codes)
    assert not wrong.size, [f"{x[i]:#x} · {y[i]:#x} = {got[i]:08x}, not {codes[i]:08x}" for i in wrong[:5]]


def test_bf16_products_reach_both_ends_of_fp32() -> None:
    x, y = pairs("bf16", "bf16")
    with np.errstate(all="ignore"):
        exact = np.abs(decode("bf16", x) * decode("bf16", y))
        rounded = exact.astype(np.float32)
    assert (np.isfinite(exact) & np.isinf(rounded)).sum() > 1000
    assert ((rounded > 0) & (rounded < 2.0**-126)).sum() > 100
    assert ((exact > 0) & (rounded == 0)).sum() > 1000
    assert ((rounded > 0) & (rounded < 2.0**-126) & (rounded != exact)).sum() > 50


@pytest.mark.parametrize(("kind", "k"), [("exact", 1), ("of two", 2)])
@pytest.mark.parametrize(("a", "w"), EXHAUSTIVE + WIDE)
def test_exact_products_equal_fractions(run: dict[str, Runner], a: str, w: str, kind: str, k: int) -> None:
    x, y = pairs(a, w)
    outputs = run[f"{a} {w} {kind}"](a=x, w=y)
    unit = Fraction(2) ** (UNITS[a] + UNITS[w])
    count = len(x) if get(a).code_bits + get(w).code_bits <= 16 else 4_000
    left, right = clipped(a, x), clipped(w, y)
    chunks = [values.tolist() for name, values in outputs.items() if name != "carry"]
    carries = outputs.get("carry", np.zeros(len(x), np.int64))
    bits = int(tile(acts=a, weights=w, k=k).addend_bits(tile(acts=a, weights=w, k=k).p))
    for index in range(count):
        word = sum(chunk[index] << CHUNK * place for place, chunk in enumerate(chunks))
        value = word - (1 << bits if word >> (bits - 1) else 0) + int(carries[index])
        want = Fraction(left[index]) * Fraction(right[index]) / unit
        assert value == want, f"{x[index]:#x} · {y[index]:#x} = {value}, not {want}"


def clipped(name: str, codes: np.ndarray) -> list[float]:
    """Values; infinities and NaN are the largest finite one with their sign."""
    values = decode(name, codes)
    if name not in LARGEST:
        return values.tolist()
    negative = codes >> get(name).code_bits - 1 == 1
    largest = np.where(negative, -LARGEST[name], LARGEST[name])
    return np.where(np.isfinite(values), values, largest).tolist()


def sums_of(spec: Minifloat, seed: int) -> tuple[list[tuple[list[Any], list[Any]]], list[int]]:
    """Decoded operands (activations, weights) of each group of cell (0, 0), K after K, and the reference's sums."""
    steps = random_steps(spec, seed)
    ends = np.flatnonzero(steps.last)
    starts = np.flatnonzero(steps.first)
    groups = []
    for start, end in zip(starts, ends, strict=True):
        a = steps.acts[start : end + 1, 0].ravel().tolist()
        w = steps.weights[start : end + 1, 0].ravel().tolist()
        groups.append((a, w))
    return groups, run_steps(spec, steps).sums[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    "values",
    [
        {"bits": 4},
        {"bits": 16, "k": 2},
        {"acts": "bf16", "weights": "bf16"},
        {"acts": "e3m4", "weights": "e1m3", "k": 3},
        {"acts": "fp8_e5m2", "weights": "e4m0"},
    ],
)
def test_exact_sums_equal_fractions(values: dict[str, Any]) -> None:
    spec = tile(**values, depth=24)
    groups, sums = sums_of(spec, 3)
    unit = Fraction(2) ** spec.lsb_exp
    forms = (spec.act_format, spec.weight_format)
    for (a, w), total in zip(groups, sums, strict=True):
        decoded = [[finite(form, code) for code in side] for form, side in zip(forms, (a, w), strict=True)]
        assert total == sum((x * y for x, y in zip(*decoded, strict=True)), Fraction(0)) / unit
    assert max(abs(total) for total in sums) < 1 << int(spec.acc_bits(spec.p)) - 1


def finite(form: Any, code: int) -> Fraction:
    value = form.decode_scalar(code)
    if isinstance(value, float) and not math.isfinite(value):
        return Fraction(form.max_value) * (-1 if code >> form.code_bits - 1 else 1)
    return Fraction(value)


def tree_of(level: list[int]) -> int:
    while len(level) > 1:
        odd = level[-1:] if len(level) % 2 else []
        level = [oracle.add(x, y) for x, y in zip(level[::2], level[1::2], strict=False)] + odd
    return level[0]


@pytest.mark.parametrize("interleave", ["none", "ring"])
@pytest.mark.parametrize(
    ("a", "w", "k", "stages"), [("fp16", "fp16", 4, 3), ("fp8_e4m3", "fp8_e5m2", 3, 2), ("bf16", "bf16", 1, 5)]
)
def test_fp32_sums_equal_the_stated_order(a: str, w: str, k: int, stages: int, interleave: str) -> None:
    spec = tile(acts=a, weights=w, k=k, adder_stages=stages, interleave=interleave, accumulator="fp32", depth=36)
    groups, sums = sums_of(spec, 4)
    partials = stages if interleave == "ring" else 1
    finished = 0
    for (acts, weights), total in zip(groups, sums, strict=True):
        values = zip(acts, weights, strict=True)
        products = [oracle.product(Fraction(1), get(a).decode_scalar(x), get(w).decode_scalar(y)) for x, y in values]
        parts = [0] * partials
        updates = len(products) // k
        for number in range(updates):
            update = tree_of(products[number * k : (number + 1) * k])
            parts[number % partials] = oracle.add(parts[number % partials], update)
        want = tree_of(parts[updates % partials :] + parts[: updates % partials])
        assert total == want
        finished += want & 0x7FFFFFFF < 0x7F800000
    assert finished > len(groups) // 2


# Bits of one product, and of exact sums of as many of the largest ones.
WIDTHS = {
    ("fp4_e2m1", "fp4_e2m1"): (9, {16: 13, 32: 14, 64: 15, 128: 16, 256: 17, 512: 18, 1024: 19, 4096: 21}),
    ("fp6_e2m3", "fp6_e2m3"): (13, {16: 17, 32: 18, 64: 19, 128: 20, 256: 21, 512: 22, 1024: 23, 4096: 25}),
    ("fp6_e3m2", "fp6_e3m2"): (19, {16: 23, 32: 24, 64: 25, 128: 26, 256: 27, 512: 28, 1024: 29, 4096: 31}),
    ("fp8_e4m3", "fp8_e4m3"): (37, {16: 41, 32: 42, 64: 43, 128: 44, 256: 45, 512: 46, 1024: 47, 4096: 49}),
    ("fp8_e5m2", "fp8_e5m2"): (65, {16: 69, 32: 70, 64: 71, 128: 72, 256: 73, 512: 74, 1024: 75, 4096: 77}),
    ("fp8_e4m3", "fp4_e2m1"): (23, {32: 28, 128: 30, 1024: 33}),
}


@pytest.mark.parametrize(("pair", "product_bits", "widths"), [(key, *value) for key, value in WIDTHS.items()])
def test_widths(pair: tuple[str, str], product_bits: int, widths: dict[int, int]) -> None:
    for a, w in {pair, pair[::-1]}:
        p = tile(acts=a, weights=w).p
        assert int(Minifloat.acc_bits({**p, "depth": 1})) == product_bits
        assert {depth: int(Minifloat.acc_bits({**p, "depth": depth})) for depth in widths} == widths
        depths = np.array(list(widths))
        assert Minifloat.acc_bits({**p, "depth": depths}).tolist() == list(widths.values())


def test_widths_of_sixteen_bits() -> None:
    """FP16: (2^11 − 1)² · 2^58 · 128 < 2^87. BF16: (2^8 − 1)² · 2^506 · 128 < 2^529."""
    assert int(tile(bits=16, depth=128).acc_bits(tile(bits=16, depth=128).p)) == 88
    bf16 = tile(acts="bf16", weights="bf16", depth=128)
    assert int(bf16.acc_bits(bf16.p)) == 530
    assert int(bf16.addend_bits({**bf16.p, "k": 4})) == 523 + 2
    longest = tile(acts="e8m7b0", weights="e8m7b0", depth=1 << 20)
    assert int(longest.acc_bits(longest.p)) <= 550


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "values",
    [
        {"acts": "bf16", "weights": "bf16", "depth": 8},
        {"acts": "e1m0", "weights": "e1m14", "k": 2, "depth": 8},
        {"bits": 8, "k": 3, "accumulator": "fp32", "adder_stages": 3, "depth": 24, "stages": 2},
        {"bits": 4, "k": 3, "accumulator": "fp32", "adder_stages": 2, "interleave": "ring", "depth": 24},
        {"acts": "e8m3", "weights": "e8m2b100", "accumulator": "fp32", "depth": 8},
        {"bits": 4, "n": 2, "accumulator": "fp32", "adder_stages": 3, "interleave": "ring", "depth": 8, "stages": 0},
    ],
)
def test_contract_of_unusual_tiles(values: dict[str, Any]) -> None:
    failed = [finding for finding in check_contract(tile(**values)) if not finding.ok]
    assert not failed, "\n".join(f"{finding.check}: {finding.detail}" for finding in failed)


@pytest.mark.parametrize(("stages", "fold"), [(1, 0), (2, 3), (3, 8), (4, 11), (5, 19), (8, 31)])
@pytest.mark.parametrize("k", [1, 3, 4])
def test_timing_as_derived(stages: int, fold: int, k: int) -> None:
    for interleave, interval in (("none", stages), ("ring", 1)):
        spec = tile(k=k, accumulator="fp32", adder_stages=stages, interleave=interleave, stages=2)
        folding = fold if interleave == "ring" else 0
        assert (spec.folds, int(spec.interval(spec.p)), int(spec.step_cycles(spec.p))) == (folding, interval, interval)
        # The idle cycles of a step run beside the adder.
        last = 1 if interleave == "ring" else stages - (interval - 1)
        assert int(spec.latency(spec.p)) == 2 + last + folding


@dataclass(frozen=True, kw_only=True)
class Twice(Minifloat):
    """A cell that adds its products in each of two updates a step."""

    @classmethod
    def cycles_per_step(cls, p: Mapping[str, Any], mode: int = 0) -> Any:
        return 2 * cls.update_cycles(p)

    def terms(self, *operands: Any) -> np.ndarray:
        once = super().terms(*operands)
        return np.concatenate([once, once])


@pytest.mark.few(2)
@pytest.mark.parametrize("interleave", ["none", "ring"])
@pytest.mark.parametrize("stages", [1, 2, 3])
def test_several_updates_a_step(stages: int, interleave: str) -> None:
    spec = Twice(
        m=1, n=1, k=1, group=0, depth=12, accumulator="fp32", adder_stages=stages, interleave=interleave, stages=2
    )
    assert int(spec.step_cycles(spec.p)) == (2 * stages if interleave == "none" else 2)
    failed = [finding for finding in check_contract(spec) if not finding.ok]
    assert not failed, "\n".join(f"{finding.check}: {finding.detail}" for finding in failed)


@pytest.mark.parametrize("interleave", ["none", "ring"])
@pytest.mark.parametrize("stages", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 4])
def test_cycles_of_layers(k: int, stages: int, interleave: str) -> None:
    """Recurrence and closed form; FP32 sums may be longer than ``depth``."""
    for group in (0, 256):
        spec = tile(m=2, n=4, k=k, group=group, accumulator="fp32", adder_stages=stages, interleave=interleave)
        schedule = Schedule(spec, Layer("layer", 5, 9, 640))
        assert max(schedule.sum_lengths) > spec.depth
        # Three by three blocks of groups of 640, or of 256, 256 and 128 elements; the last sums come after a latency.
        steps, groups = 9 * 640 // k, 9 * (3 if group else 1)
        folding = spec.folds * (groups - 1)
        want = steps * (1 if interleave == "ring" else stages) + folding + int(spec.latency(spec.p))
        assert schedule.exact() == schedule.closed() == want
        assert all(bool(np.all(holds)) for holds, _ in layer_constraints(Minifloat, spec.p, 640))
    with pytest.raises(HwgenError, match=r"^layer layer: a group of 640 products must fit depth \(128\)"):
        Schedule(tile(m=2, n=4, k=k), Layer("layer", 5, 9, 640))


def test_bits_name_formats() -> None:
    formats = {bits: (tile(bits=bits).acts, tile(bits=bits).weights) for bits in (4, 6, 8, 16)}
    assert formats == {bits: (name, name) for bits, name in zip((4, 6, 8, 16), BY_BITS, strict=True)}
    assert (tile(bits=4, acts="fp16").acts, tile(bits=4, acts="fp16").weights) == ("fp16", "fp4_e2m1")


REFUSED = {
    "bits": ({"bits": 5}, "minifloat: bits must be 4, 6, 8 or 16, not 5"),
    "integers": (
        {"acts": "int8"},
        "minifloat: acts must be a signed floating-point format of at most 16 bits, such as fp16, bf16, fp8_e4m3 or "
        "e3m4, not 'int8'",
    ),
    "unsigned": (
        {"weights": "ue4m3"},
        "minifloat: weights must be a signed floating-point format of at most 16 bits, such as fp16, bf16, fp8_e4m3 "
        "or e3m4, not 'ue4m3'",
    ),
    "long": (
        {"weights": "fp32"},
        "minifloat: weights must be a signed floating-point format of at most 16 bits, such as fp16, bf16, fp8_e4m3 "
        "or e3m4, not 'fp32'",
    ),
    "significands": (
        {"acts": "e2m13", "weights": "fp16", "accumulator": "fp32"},
        "minifloat: significands of acts and weights must have at most 24 bits together with accumulator fp32, not 25 "
        "(e2m13 and fp16); use accumulator exact",
    ),
    "overflow": (
        {"overflow": "wrap", "accumulator": "fp32"},
        "minifloat: overflow must be refuse with FP32 sums, which become infinite instead, not wrap",
    ),
    "lanes": (
        {"post_lanes": 1, "accumulator": "fp32", "group": 128},
        "minifloat: post_lanes must be 0 with FP32 sums, not 1; scale them in software",
    ),
    "stages": (
        {"adder_stages": 2},
        "minifloat: adder_stages must be 1 where sums are integers, not 2; --cell-cuts are before them",
    ),
    "interleave": (
        {"interleave": "ring"},
        "minifloat: interleave must be none without FP32 sums, not ring",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_one_sentence(name: str) -> None:
    values, message = REFUSED[name]
    with pytest.raises(HwgenError) as error:
        tile(**values)
    assert str(error.value) == message
