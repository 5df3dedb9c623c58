"""Products, blocks, widths and special cases of MX tiles against gfloat and exact fractions."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import gfloat.formats
import numpy as np
import pytest
from amaranth.hdl import Const, Module, Signal

from hwgen.errors import HwgenError
from hwgen.formats import block_format, block_names
from hwgen.pe import family
from hwgen.pe.mx import Mx
from hwgen.schedule import Steps
from hwgen.verify import simulate
from rtl_tests.arith.comb import Block, Runner, compile_blocks
from tests.golden import oracle

pytestmark = pytest.mark.rtl

GFLOAT = {
    "mxint8": gfloat.formats.format_info_ocp_int8,
    "mxfp8_e4m3": gfloat.formats.format_info_ocp_e4m3,
    "mxfp8_e5m2": gfloat.formats.format_info_ocp_e5m2,
    "mxfp6_e2m3": gfloat.formats.format_info_ocp_e2m3,
    "mxfp6_e3m2": gfloat.formats.format_info_ocp_e3m2,
    "mxfp4": gfloat.formats.format_info_ocp_e2m1,
    "nvfp4": gfloat.formats.format_info_ocp_e2m1,
}
LARGEST = {"mxfp8_e4m3": 448, "mxfp8_e5m2": 57344}
UNITS = {"mxint8": -6, "mxfp8_e4m3": -9, "mxfp8_e5m2": -16, "mxfp6_e2m3": -3, "mxfp6_e3m2": -4, "mxfp4": -1}
UNITS |= {"nvfp4": -1, "nvint4": 0, "hif4": -2}
"""Exponents of the smallest steps of the elements."""
CHUNK = 32
PAIRS = [(a, w) for a in block_names() for w in block_names() if block_format(a).pairs_with(block_format(w))]
SINGLE = [pair for pair in PAIRS if pair != ("hif4", "hif4")]


def tile(acts: str, weights: str, **values: Any) -> Mx:
    return family("mx").from_values({"m": 1, "n": 2, "post_lanes": 1, "acts": acts, "weights": weights, **values})  # type: ignore[return-value]


def elements(name: str) -> list[int]:
    """Every element in units of its smallest step, by code; infinities and NaN as the largest of their sign."""
    if name == "nvint4":
        return [*range(8), -7, *range(-7, 0)]
    info, values = GFLOAT[name], []
    for code in range(1 << block_format(name).element.code_bits):
        value = gfloat.decode_float(info, code).fval
        if not np.isfinite(value):
            value = LARGEST[name] * (-1 if code & 0x80 else 1)
        values.append(int(Fraction(value) / Fraction(2) ** UNITS[name]))
    return values


def word(code: int) -> list[int]:
    """The four elements of a HiF4 word in quarters."""
    doubled = 2 ** (code >> 16).bit_count()
    nibbles = [code >> place & 15 for place in range(0, 16, 4)]
    return [(-1 if nibble & 8 else 1) * (nibble & 7) * doubled for nibble in nibbles]


def cell(spec: Mx) -> Block:
    """A row's, a column's and a cell's logic for one word and zeros: the sum of its products in chunks."""

    def build(m: Module, signals: dict[str, Signal]) -> dict[str, Any]:
        zero = Const(0, 1)
        acts, weights = (
            [code, *[Const(0, bits)] * (count - 1)]
            for code, (count, bits) in zip(
                signals.values(), (spec.act_port(spec.p), spec.weight_port(spec.p)), strict=True
            )
        )
        row = spec.build_row(m, acts, {}, zero, zero)
        col = spec.build_col(m, weights, {}, zero, zero)
        [addend] = spec.build_cell(m, row, col, zero, zero)
        value = Signal(addend.value.shape(), name="value")
        m.d.comb += value.eq(addend.value)
        chunks = {f"y{at}": value.as_unsigned()[at : at + CHUNK] for at in range(0, len(value), CHUNK)}
        return {**chunks, **({} if addend.carry is None else {"carry": addend.carry})}

    return Block({"a": spec.act_format.code_bits, "w": spec.weight_format.code_bits}, build)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], Runner]:
    blocks = {f"{a} {w}": cell(tile(a, w, k=4 if a == "hif4" else 1)) for a, w in PAIRS}
    # Where there are several products, they are negated before they are shifted.
    blocks |= {f"{a} {w} of two": cell(tile(a, w, k=2, stages=2)) for a, w in SINGLE}
    runners = compile_blocks(blocks, tmp_path_factory.mktemp("products"))
    return {tuple(name.split(" ", 2)): runner for name, runner in runners.items()}


def totals(run: Runner, a: np.ndarray, w: np.ndarray) -> list[int]:
    """Sums of products, put together from chunks and the carry that is left to the accumulator."""
    found = run(a=a, w=w)
    bits = sum(shape.width for name, shape in run.outputs.items() if name != "carry")
    words = sum(found[name].astype(object) << int(name[1:]) for name in found if name != "carry")
    values = [value - (1 << bits) if value >> (bits - 1) else value for value in np.asarray(words).tolist()]
    carries = found["carry"].tolist() if "carry" in found else [0] * len(values)
    return [value + carry for value, carry in zip(values, carries, strict=True)]


@pytest.mark.parametrize(("acts", "weights"), SINGLE)
def test_every_product(acts: str, weights: str, cells: dict[tuple[str, ...], Runner]) -> None:
    left, right = elements(acts), elements(weights)
    a, w = (grid.ravel() for grid in np.meshgrid(np.arange(len(left)), np.arange(len(right)), indexing="ij"))
    products = [x * y for x in left for y in right]
    assert totals(cells[acts, weights], a, w) == products
    assert totals(cells[acts, weights, "of two"], a, w) == products


def test_every_element_of_every_hif4_word(cells: dict[tuple[str, ...], Runner]) -> None:
    """All words against words with a single 1: each product shows one element, from either side."""
    words = np.arange(1 << 18)
    expected = [word(code) for code in words.tolist()]
    for place in range(4):
        # A quarter, without its micro-exponents.
        one = np.full(words.shape, 1 << 4 * place)
        wanted = [values[place] for values in expected]
        assert totals(cells["hif4", "hif4"], words, one) == wanted
        assert totals(cells["hif4", "hif4"], one, words) == wanted


def test_hif4_dot_products(cells: dict[tuple[str, ...], Runner]) -> None:
    rng = np.random.default_rng(1)
    a, w = rng.integers(0, 1 << 18, (2, 20_000))
    a[:2], w[:2] = 0x37777, (0x37777, 0x3FFFF)
    pairs = zip(a.tolist(), w.tolist(), strict=True)
    expected = [sum(x * y for x, y in zip(word(x), word(y), strict=True)) for x, y in pairs]
    assert expected[:2] == [4 * 28 * 28, -4 * 28 * 28]
    assert totals(cells["hif4", "hif4"], a, w) == expected


def values_of(name: str, words: np.ndarray) -> list[Fraction]:
    unit = Fraction(2) ** UNITS[name]
    if name == "hif4":
        return [value * unit for code in words.tolist() for value in word(code)]
    table = elements(name)
    return [table[code] * unit for code in words.tolist()]


@pytest.mark.parametrize(("acts", "weights"), PAIRS)
def test_whole_blocks_of_the_reference(acts: str, weights: str) -> None:
    """Random blocks and the largest one: exact sums, and their one rounding below two scales."""
    form = block_format(acts)
    spec = tile(acts, weights, k=4)
    assert (spec.group, spec.depth) == (form.block, form.block)
    rng = np.random.default_rng(2)
    shape = (40, form.block // form.element.elements)
    a = rng.integers(0, 1 << spec.act_format.code_bits, shape)
    w = rng.integers(0, 1 << spec.weight_format.code_bits, shape)
    for codes, side in ((a, spec.act_format), (w, spec.weight_format)):
        codes[0] = side.encode_scalar(Fraction(side.max_value))
        codes[1] = side.encode_scalar(Fraction(side.min_value))
    exact = [
        sum((x * y for x, y in zip(values_of(acts, u), values_of(weights, v), strict=True)), Fraction(0))
        for u, v in zip(a, w, strict=True)
    ]
    sums = spec.terms(a[:, None], w[:, None], {}, {}, 0)[0, :, 0, 0, 0]
    unit = Fraction(2) ** (UNITS[acts] + UNITS[weights])
    assert [int(total) * unit for total in sums] == exact
    bits = int(spec.acc_bits(spec.p))
    assert max(abs(int(total)).bit_length() for total in sums[:2]) == bits - 1

    scales = block_format(acts).scale
    codes = rng.integers(0, 1 << scales.code_bits, (2, len(sums)))
    codes[0, 2:6], codes[1, 4:8] = 0, (1 << scales.code_bits) - 1
    got = spec.scale_sums(sums[:, None, None], np.zeros((len(sums), 1)), codes[0][:, None], codes[1][:, None], None)
    wanted = [
        oracle.product(total, scales.decode_scalar(row), scales.decode_scalar(col))
        for total, row, col in zip(exact, *codes.tolist(), strict=True)
    ]
    assert got.ravel().tolist() == wanted


# ---------------------------------------------------------------------- widths

TERMS = (1, 16, 32, 64, 128, 256, 512, 1024, 4096)
WIDTHS = {
    # Two's-complement bits of sums of TERMS products: 12 · 12 = 144 halves squared need 9, and so on.
    ("mxfp4", "mxfp4"): (9, 13, 14, 15, 16, 17, 18, 19, 21),
    ("mxfp6_e2m3", "mxfp6_e2m3"): (13, 17, 18, 19, 20, 21, 22, 23, 25),
    ("mxfp6_e3m2", "mxfp6_e3m2"): (19, 23, 24, 25, 26, 27, 28, 29, 31),
    ("mxfp8_e4m3", "mxfp8_e4m3"): (37, 41, 42, 43, 44, 45, 46, 47, 49),
    ("mxfp8_e5m2", "mxfp8_e5m2"): (65, 69, 70, 71, 72, 73, 74, 75, 77),
    ("mxint8", "mxint8"): (16, 20, 21, 22, 23, 24, 25, 26, 28),
    ("nvint4", "nvint4"): (7, 11, 12, 13, 14, 15, 16, 17, 19),
    ("nvfp4", "nvfp4"): (9, 13, 14, 15, 16, 17, 18, 19, 21),
    ("mxfp8_e4m3", "mxfp4"): (23, 27, 28, 29, 30, 31, 32, 33, 35),
    ("mxint8", "mxfp4"): (12, 16, 17, 18, 19, 20, 21, 22, 24),
}


@pytest.mark.parametrize("pair", WIDTHS)
def test_accumulators_are_as_wide_as_their_sums(pair: tuple[str, str]) -> None:
    for acts, weights in {pair, pair[::-1]}:
        known = tile(acts, weights, k=1).p
        assert tuple(int(Mx.acc_bits({**known, "depth": depth})) for depth in TERMS) == WIDTHS[pair]
        p = {**known, "depth": np.array(TERMS), "k": np.array(TERMS)}
        assert tuple(Mx.acc_bits(p).tolist()) == tuple(Mx.addend_bits(p).tolist()) == WIDTHS[pair]


def test_accumulators_of_whole_blocks() -> None:
    wanted = {"mxfp4": 14, "mxfp8_e5m2": 70, "nvfp4": 13, "nvint4": 11, "hif4": 17}
    specs = {name: tile(name, name, k=4) for name in wanted}
    assert {name: int(spec.acc_bits(spec.p)) for name, spec in specs.items()} == wanted
    assert specs["mxfp8_e5m2"].sum_dtype is object


# ---------------------------------------------------------------------- special cases, through the tile

ONE = {"mxfp4": 2, "nvfp4": 2, "hif4": 4}
MINUS_ONE = {"mxfp4": 10, "nvfp4": 10, "hif4": 12}


def results(name: str, *groups: tuple[int, int, int]) -> list[int]:
    """FP32 codes of the tile for blocks of one step: (activation, row scale, column scale) times a weight of 1."""
    spec = tile(name, name, k=4)
    columns, count = spec.code_columns(0)[0], len(groups)
    acts = np.zeros((count, 1, columns), np.uint32)
    weights = np.zeros((count, 2, columns), np.uint32)
    acts[:, 0, 0], weights[:, :, 0] = [act for act, _, _ in groups], ONE[name]
    every = np.ones(count, bool)
    done = np.arange(count) == count - 1
    row = {"scale": np.array([[scale] for _, scale, _ in groups])}
    col = {"scale": np.array([[scale, scale] for _, _, scale in groups])}
    found = simulate(spec, Steps(acts, weights, row, col, every, every, done, 0)).y.ravel().tolist()
    assert found[0] == found[1]
    return [int(code) for code in found[:1]]


INFINITE, NAN = 0x7F800000, 0x7FC00000


@pytest.mark.parametrize(("name", "code", "unit"), [("mxfp4", 255, 127), ("nvfp4", 0x7F, 0x38), ("hif4", 255, 48 * 4)])
def test_a_scale_that_is_nan_gives_nan(name: str, code: int, unit: int) -> None:
    assert results(name, (ONE[name], unit, unit)) == [0x3F800000]
    assert results(name, (ONE[name], code, unit)) == results(name, (ONE[name], unit, code)) == [NAN]
    # Of an empty block too, and for good.
    assert results(name, (0, code, unit), (ONE[name], unit, unit)) == [NAN]


def test_overflow_gives_infinity() -> None:
    assert results("mxfp4", (ONE["mxfp4"], 254, 127)) == [0x7F000000]
    assert results("mxfp4", (ONE["mxfp4"], 254, 128)) == [INFINITE]
    assert results("mxfp4", (MINUS_ONE["mxfp4"], 254, 254)) == [INFINITE | 1 << 31]
    assert results("mxfp4", (ONE["mxfp4"], 254, 254), (MINUS_ONE["mxfp4"], 254, 254)) == [NAN]


def test_subnormal_results_are_kept() -> None:
    one = ONE["mxfp4"]
    assert results("mxfp4", (one, 0, 127)) == [0x00400000]
    # 2**-149, a tie at half of it to even zero, and one and a half of it to even two.
    assert results("mxfp4", (one, 0, 105)) == [1]
    assert results("mxfp4", (one, 0, 104)) == [0]
    assert results("mxfp4", (5, 0, 104)) == [2]
    # What rounds to -0 is added to the +0 with which a result begins.
    assert results("mxfp4", (MINUS_ONE["mxfp4"], 0, 104)) == [0]


def test_blocks_are_added_in_k_order() -> None:
    """2**24 + 1 - 2**24 in FP32 is 0 in this order and 1 in another."""
    one, minus = ONE["mxfp4"], MINUS_ONE["mxfp4"]
    large, small = (one, 127 + 24, 127), (one, 127, 127)
    assert results("mxfp4", large, small, (minus, 127 + 24, 127)) == [0]
    assert results("mxfp4", large, (minus, 127 + 24, 127), small) == [0x3F800000]


def test_scales_with_a_mantissa_multiply() -> None:
    # 1.875 · 1.625 (E4M3), 1.75 · 1.25 (E6M2), both exact.
    assert results("nvfp4", (ONE["nvfp4"], 0x3F, 0x3D)) == [np.float32(1.875 * 1.625).view(np.uint32)]
    assert results("hif4", (ONE["hif4"], 48 * 4 + 3, 48 * 4 + 1)) == [np.float32(1.75 * 1.25).view(np.uint32)]
    # The smallest scale of HiF4 is no zero; that of NVFP4 is.
    assert results("hif4", (ONE["hif4"], 0, 0)) == [np.float32(2.0**-96).view(np.uint32)]
    assert results("nvfp4", (ONE["nvfp4"], 0, 0x38)) == [0]


# ---------------------------------------------------------------------- parameters


def test_a_format_brings_its_block_and_its_partner() -> None:
    for given in ({"weights": "hif4"}, {"acts": "hif4"}, {"acts": "hif4", "weights": "hif4"}):
        spec = family("mx").from_values({"n": 4, **given})
        assert (spec.acts, spec.weights, spec.group, spec.depth) == ("hif4", "hif4", 64, 64)  # type: ignore[attr-defined]
    assert family("mx").from_values({"weights": "nvint4", "acts": "nvfp4"}).group == 16
    assert family("mx").from_values({"weights": "nvint4", "depth": 64}).depth == 64
    assert family("mx").from_values({"bits": 6}).weights == "mxfp6_e2m3"  # type: ignore[attr-defined]
    assert [family("mx").from_values({"bits": bits}).weights for bits in (4, 8)] == ["mxfp4", "mxint8"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"acts": "nvfp4", "weights": "mxfp4"},
            "mx: acts must have blocks and scales like the weights' (mxfp4), not nvfp4",
        ),
        (
            {"weights": "nvfp4", "block_rule": "ceil"},
            "mx: block_rule must be floor for nvfp4, whose scales are no powers of two, not ceil",
        ),
        ({"weights": "hif4", "k": 2}, "mx: k must be a multiple of 4 with hif4, not 2"),
        ({"weights": "hif4", "group": 32}, "mx: group must be 64, the block of hif4, not 32"),
        ({"weights": "nvfp4", "group": 128}, "mx: group must be 16, the block of nvfp4, not 128"),
        ({"weights": "nvfp4", "group": 128, "depth": 128}, "mx: group must be 16, the block of nvfp4, not 128"),
        ({"weights": "nvint4", "group": 8}, "mx: group must be 16, the block of nvint4, not 8"),
        ({"weights": "hif4", "group": 128, "depth": 128}, "mx: group must be 64, the block of hif4, not 128"),
        ({"bits": 5}, "mx: bits must be 4, 6 or 8, not 5"),
    ],
)
def test_refusals(values: dict[str, Any], message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        family("mx").from_values(values)
    assert str(caught.value) == message
