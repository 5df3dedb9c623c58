# amaranth: UnusedElaboratable=no
"""Products of posit tiles in RTL, from codes to quire, against the definition: all pairs where there are 2**16."""

from __future__ import annotations

import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Const, Module, Signal, Value, unsigned
from amaranth.lib import data

from hwgen.formats import get
from hwgen.pe import family
from hwgen.pe.posit import Posit
from hwgen.reference import run_steps
from hwgen.schedule import Steps
from hwgen.verify._pysim import simulate as simulate_tile
from rtl_tests.arith.comb import Block, Runner, compile_blocks
from tests.formats import posit_model as model

with warnings.catch_warnings():
    # Its wrapper was generated before Python warned of types without a module.
    warnings.simplefilter("ignore", DeprecationWarning)
    import softposit

pytestmark = pytest.mark.rtl

FP4 = [0, 1, 2, 3, 4, 6, 8, 12]


def tile(**values: Any) -> Posit:
    spec = family("posit").from_values({"m": 1, "n": 1, "k": 1, "depth": 32, "group": 0, **values})
    assert isinstance(spec, Posit)
    return spec


def cell(spec: Posit) -> Block:
    """Front-ends and product of a tile with one lane; the addend in words of 32 bits."""
    bits = int(spec.act_port(spec.p)[1])
    shape = data.ArrayLayout(unsigned(bits), 1)

    def build(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
        mode, phase = i["mode"], Const(0, 1)
        row = spec.build_row(m, data.View(shape, i["act"]), {}, phase, mode)
        col = spec.build_col(m, data.View(shape, i["weight"]), {}, phase, mode)
        (addend,) = spec.build_cell(m, row, col, phase, mode)
        value = addend.value.as_unsigned()
        found = {f"w{index}": value[32 * index : 32 * index + 32] for index in range(-(-len(value) // 32))}
        return found if addend.carry is None else {**found, "carry": addend.carry}

    return Block({"act": bits, "weight": bits, "mode": 2}, build)


SINGLE = {
    "posit4_0": (4, 0), "posit4_1": (4, 1), "posit8_0": (8, 0), "posit8_1": (8, 1), "posit8_2": (8, 2),
    "posit8_3": (8, 3), "posit5_2": (5, 2), "posit2_0": (2, 0), "posit3_1": (3, 1), "posit7_1": (7, 1),
}  # fmt: skip
SPECS = {name: tile(format="posit", posit_bits=bits, es=es) for name, (bits, es) in SINGLE.items()}
SPECS |= {"fp4": tile(format="fp4"), "simd": tile()}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runner]:
    return compile_blocks({name: cell(spec) for name, spec in SPECS.items()}, tmp_path_factory.mktemp("products"))


def bundles(runner: Runner, act: np.ndarray, weight: np.ndarray, mode: int = 0) -> list[int]:
    """Addends as Python integers, with the carry of a single format on top."""
    got = runner(act=act, weight=weight, mode=np.full(len(act), mode))
    width = sum(shape.width for name, shape in runner.outputs.items() if name != "carry")
    carry = got.pop("carry", np.zeros(len(act), np.int64))
    total = sum(words.astype(object) << 32 * index for index, words in enumerate(got.values()))
    return [int(value) | int(top) << width for value, top in zip(total.tolist(), carry.tolist(), strict=True)]


def to_signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (value >> (bits - 1) << bits)


@pytest.mark.slow
@pytest.mark.parametrize("name", SINGLE)
def test_all_pairs_of_short_posits(run: dict[str, Runner], name: str) -> None:
    bits, es = SINGLE[name]
    spec = SPECS[name]
    act, weight = (grid.ravel() for grid in np.meshgrid(np.arange(1 << bits), np.arange(1 << bits)))
    width = int(spec._dot_bits(spec.p))
    values = [model.value(code, bits, es) for code in range(1 << bits)]
    unit = Fraction(2) ** spec.lsb_exp
    for a, w, bundle in zip(act.tolist(), weight.tolist(), bundles(run[name], act, weight), strict=True):
        left, right = values[a], values[w]
        nar, carry = bundle >> width & 1, bundle >> (width + 1)
        assert nar == (left is None or right is None)
        if left is not None and right is not None:
            assert (to_signed(bundle, width) + carry) * unit == left * right


@pytest.mark.slow
def test_all_pairs_of_fp4(run: dict[str, Runner]) -> None:
    act, weight = (grid.ravel() for grid in np.meshgrid(np.arange(16), np.arange(16)))
    width = int(SPECS["fp4"]._dot_bits(SPECS["fp4"].p))
    for a, w, bundle in zip(act.tolist(), weight.tolist(), bundles(run["fp4"], act, weight), strict=True):
        sign = (-1) ** (a >> 3 ^ w >> 3)
        assert to_signed(bundle, width) + (bundle >> width) == sign * FP4[a & 7] * FP4[w & 7]


def parts(bundle: int) -> tuple[list[int], int]:
    """Quarters of a SIMD addend with their carries, and NaR."""
    size = int(SPECS["simd"]._segment_bits(SPECS["simd"].p))
    carries = bundle >> 4 * size
    values = [
        to_signed((bundle >> size * index & ((1 << size) - 1)) + (carries >> index & 1), size) for index in range(4)
    ]
    return values, carries >> 4 & 1


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "name", "count"), [(1, "posit8_0", 2), (2, "posit4_1", 4), (3, "fp4_e2m1", 4)])
def test_all_pairs_in_every_part_of_a_lane(run: dict[str, Runner], mode: int, name: str, count: int) -> None:
    """Each part sees all pairs of codes while the others see pairs in other orders."""
    bits = get(name).code_bits
    pairs = np.arange(1 << 2 * bits)
    rng = np.random.default_rng(mode)
    orders = [pairs, *(rng.permutation(pairs) for _ in range(count - 1))]
    act = sum((order >> bits) << bits * index for index, order in enumerate(orders))
    weight = sum((order & ((1 << bits) - 1)) << bits * index for index, order in enumerate(orders))
    values = get(name).decode(get(name).codes())
    unit = 2.0**12
    for index, bundle in enumerate(bundles(run["simd"], act, weight, mode)):
        chosen = [int(order[index]) for order in orders]
        wanted = [values[pair >> bits] * values[pair & ((1 << bits) - 1)] * unit for pair in chosen]
        found, nar = parts(bundle)
        assert nar == any(np.isnan(wanted))
        places = range(0, 4, 4 // count)
        for place, want in zip(places, wanted, strict=True):
            if not np.isnan(want):
                assert found[place] == want
        assert [found[place] for place in range(4) if place not in places] == [0] * (4 - count)


@pytest.mark.slow
def test_long_posits(run: dict[str, Runner]) -> None:
    """Corners against corners, regimes of every length against each other, random pairs."""
    rng = np.random.default_rng(5)
    corners = [0, 1, 2, 3, 0x3FFF, 0x4000, 0x4001, 0x7FFE, 0x7FFF, 0x8000, 0x8001, 0xBFFF, 0xC000, 0xC001, 0xFFFF]
    corners += [1 << place for place in range(15)] + [0x7FFF ^ (1 << place) for place in range(15)]
    pairs = np.array([(a, w) for a in corners for w in corners])
    act = np.concatenate([pairs[:, 0], rng.integers(0, 1 << 16, 4000)])
    weight = np.concatenate([pairs[:, 1], rng.integers(0, 1 << 16, 4000)])
    size = int(SPECS["simd"]._segment_bits(SPECS["simd"].p))
    unit = Fraction(2) ** -56
    for a, w, bundle in zip(act.tolist(), weight.tolist(), bundles(run["simd"], act, weight, 0), strict=True):
        left, right = model.value(a, 16, 1), model.value(w, 16, 1)
        assert bundle >> 4 * size + 4 & 1 == (left is None or right is None)
        if left is not None and right is not None:
            assert (to_signed(bundle, 4 * size) + (bundle >> 4 * size & 1)) * unit == left * right


# ---------------------------------------------------------------------- sums


def steps_of(spec: Posit, acts: np.ndarray, weights: np.ndarray, mode: int) -> Steps:
    """Sums [S] of products [S, K] as groups on a tile of one cell."""
    columns = spec.code_columns(mode)[0]
    count, k = acts.shape
    per = k // columns
    a, w = (codes.reshape(-1, 1, columns).astype(np.uint32) for codes in (acts, weights))
    place = np.tile(np.arange(per), count)
    ones = np.full((count * per, 1), 127)
    sides = {"scale": ones} if spec.lanes else {}
    last = place == per - 1
    return Steps(a, w, sides, sides, place == 0, last, last, mode)


@pytest.mark.parametrize(("bits", "quire", "make"), [
    (8, softposit.quire8, softposit.posit8), (16, softposit.quire16, softposit.posit16),
])  # fmt: skip
def test_sums_as_the_quires_of_softposit(bits: int, quire: Any, make: Any) -> None:
    """A tile whose results are posits, with scales of 1, puts out what a quire rounds to."""
    rng = np.random.default_rng(bits)
    acts, weights = rng.integers(0, 1 << bits, (2, 300, 32))
    # Small magnitudes and their negatives, so that sums are not all near maxpos; no NaR.
    acts = np.where(rng.random(acts.shape) < 0.5, acts % (1 << (bits - 2)), acts)
    acts, weights = (np.where(codes == 1 << (bits - 1), 0, codes) for codes in (acts, weights))
    spec = tile(format="posit", posit_bits=bits, es=int(bits == 16), post_lanes=1, readout="posit", depth=64, k=4)
    steps = steps_of(spec, acts, weights, 0)
    wanted = []
    for left, right in zip(acts.tolist(), weights.tolist(), strict=True):
        q = quire()
        for a, w in zip(left, right, strict=True):
            q.qma(make(bits=a), make(bits=w))
        wanted.append(q.toPosit().v.v)
    y = run_steps(spec, steps).y
    assert y is not None
    assert y[:, 0].tolist() == wanted
    few = steps_of(spec, acts[:25], weights[:25], 0)
    assert simulate_tile(spec, few).y[:, 0].tolist() == wanted[:25]


@pytest.mark.parametrize(("operands", "mode", "depth"), [("p16", 0, 128), ("p8", 1, 126), ("p4", 2, 124)])
@pytest.mark.parametrize("quire", ["exact", "xr_npe"])
def test_depth_products_of_maxpos_squared(operands: str, mode: int, depth: int, quire: str) -> None:
    """The largest and the lowest sum that a quire is built for, in RTL."""
    limit = min(depth, 127) if quire == "xr_npe" else depth
    spec = tile(operands=operands, quire=quire, depth=limit)
    columns = spec.code_columns(mode)[0]
    form = get(spec.mode_formats(mode)[0].name)
    top, bottom = form.encode_scalar(form.max_value), form.encode_scalar(form.min_value)
    products = limit // columns * columns
    acts = np.full((2, products), top)
    weights = np.stack([np.full(products, top), np.full(products, bottom)])
    steps = steps_of(spec, acts, weights, mode)
    largest = products * Fraction(form.max_value) ** 2 / Fraction(2) ** spec.lsb_exp
    assert simulate_tile(spec, steps).sums.ravel().tolist() == [largest, -largest]


def test_smallest_products_and_cancellation() -> None:
    """minpos² is one unit; maxpos² − maxpos² + minpos² leaves it."""
    spec = tile(operands="p16", depth=16)
    top, low, negative = 0x7FFF, 0x0001, 0x8001
    acts = np.array([[low, 0, 0], [top, top, low], [0, 0x8000 - 1, 0]])
    weights = np.array([[low, 0, 0], [top, negative, low], [low, 0, top]])
    assert simulate_tile(spec, steps_of(spec, acts, weights, 0)).sums.ravel().tolist() == [1, 1, 0]


@pytest.mark.parametrize("mode", [0, 1, 2])
@pytest.mark.parametrize("place", [0, 1, 3])
def test_nar_sticks_until_the_next_clear(mode: int, place: int) -> None:
    spec = tile(operands="p8", depth=32)
    columns = spec.code_columns(mode)[0]
    form = spec.mode_formats(mode)[0]
    one, nar = form.encode_scalar(1.0), form.nan_code
    assert nar is not None
    acts = np.full((3, 4 * columns), one)
    acts[1, place * columns + columns - 1] = nar
    steps = steps_of(spec, acts, np.full(acts.shape, one), mode)
    # A weight of zero does not help.
    steps.weights[4 + place] = 0
    clean = 4 * columns * 2**56
    got = simulate_tile(spec, steps).sums.ravel().tolist()
    assert got == [clean, -(1 << int(spec.acc_bits(spec.p)) - 1), clean]
    assert run_steps(spec, steps).sums.ravel().tolist() == got


def test_nar_along_n_is_of_its_own_output() -> None:
    spec = tile(simd_along="n", depth=32)
    bits = int(spec.acc_bits(spec.p))
    one, nar = 0x40, 0x80
    steps = Steps(
        np.full((1, 1, 1), one, np.uint32), np.array([[[one, nar]]], np.uint32), {}, {},
        np.ones(1, bool), np.ones(1, bool), np.ones(1, bool), 1,
    )  # fmt: skip
    assert simulate_tile(spec, steps).sums.ravel().tolist() == [2**12, 0, -(1 << bits - 1), 0]
