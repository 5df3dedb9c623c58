# amaranth: UnusedElaboratable=no
"""Posit decoding (all codes) and rounding to posits and FP16, against fractions, softposit and numpy."""

from __future__ import annotations

import warnings
from fractions import Fraction

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal, Value, signed

from hwgen.arith import round_to_fp32, scale_multiply, scale_round_reference, scale_round_scalar
from hwgen.arith.posit import (
    fp32_to_fp16,
    fp32_to_fp16_reference,
    fp32_to_posit,
    fp32_to_posit_reference,
    posit_unpack,
    posit_unpack_reference,
)
from hwgen.formats import MinifloatFormat, PositFormat, get
from rtl_tests.arith.comb import Block, Runner, compile_blocks, simulate
from rtl_tests.arith.oracle import fp32_value
from tests.formats import posit_model as model

with warnings.catch_warnings():
    # Its wrapper was generated before Python warned of types without a module.
    warnings.simplefilter("ignore", DeprecationWarning)
    import softposit

pytestmark = pytest.mark.rtl

FORMATS = [(2, 0), (2, 2), (3, 0), (3, 1), (4, 0), (4, 1), (5, 3), (6, 2), (8, 0), (8, 1), (8, 2), (12, 2), (16, 0)]
FORMATS += [(16, 1), (16, 2), (16, 3)]


def form(bits: int, es: int) -> PositFormat:
    found = get(f"posit{bits}_{es}")
    assert isinstance(found, PositFormat)
    return found


def unpack(bits: int, es: int) -> Block:
    def build(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
        return posit_unpack(m, i["code"], form(bits, es), "x")._asdict()

    return Block({"code": bits}, build)


def rounding(bits: int, es: int) -> Block:
    return Block({"code": 32}, lambda m, i: {"y": fp32_to_posit(m, i["code"], form(bits, es), "y")})


def quire(bits: int, bits_of_sum: int, lsb_exp: int, es: int | None) -> Block:
    """A fixed-point sum to a posit, or without es to FP16: rounded to odd into FP32, then again."""

    def build(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
        product = scale_multiply(m, i["total"], None, None, None, None)
        odd = round_to_fp32(m, product, lsb_exp, "odd", odd=True)
        return {
            "odd": odd,
            "y": fp32_to_fp16(m, odd, "y") if es is None else fp32_to_posit(m, odd, form(bits, es), "y"),
        }

    return Block({"total": signed(bits_of_sum)}, build)


QUIRES = {
    "posit8_0": (8, 33, -12, 0),
    "posit4_1": (4, 25, -8, 1),
    "posit8_2": (8, 60, -48, 2),
    "posit16_1": (16, 62, -50, 1),
    "posit16_1 small": (16, 62, -56, 1),
    "fp16": (16, 60, -45, None),
    "fp16 large": (16, 40, -10, None),
}
BLOCKS = {f"unpack {bits} {es}": unpack(bits, es) for bits, es in FORMATS}
BLOCKS |= {f"round {bits} {es}": rounding(bits, es) for bits, es in FORMATS}
BLOCKS |= {f"quire {name}": quire(*case) for name, case in QUIRES.items()}
BLOCKS["fp16"] = Block({"code": 32}, lambda m, i: {"y": fp32_to_fp16(m, i["code"], "y")})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runner]:
    return compile_blocks(BLOCKS, tmp_path_factory.mktemp("posit"))


@pytest.mark.few(5)
@pytest.mark.parametrize(("bits", "es"), FORMATS)
def test_unpack_every_code(run: dict[str, Runner], bits: int, es: int) -> None:
    codes = np.arange(1 << bits)
    got = run[f"unpack {bits} {es}"](code=codes)
    reference = posit_unpack_reference(codes, form(bits, es))._asdict()
    nonzero = got["significand"] != 0
    for name, want in reference.items():
        assert np.array_equal(np.where(nonzero, got[name], 0), np.where(nonzero, want, 0)) or name in ("sign", "nar")
        assert name == "shift" or np.array_equal(got[name], want), name
    lowest = Fraction(2) ** -form(bits, es).max_exp
    for code in codes.tolist() if bits <= 8 else codes[::13].tolist():
        sign, significand, shift, nar = (int(got[name][code]) for name in ("sign", "significand", "shift", "nar"))
        value = model.value(code, bits, es)
        assert nar == (value is None)
        assert (0 if value is None else value) == (-1) ** sign * significand * 2**shift * lowest
    assert np.array_equal(np.flatnonzero(~nonzero), [0, 1 << (bits - 1)])


def fp32_values(codes: np.ndarray) -> np.ndarray:
    """Values of FP32 codes, float64."""
    with np.errstate(invalid="ignore"):  # converting a signalling NaN
        return codes.astype(np.uint32).view(np.float32).astype(np.float64)


def fp32_codes(bits: int, es: int) -> np.ndarray:
    """Values and ties of the format with their neighbours in FP32, random and special codes."""
    rng = np.random.default_rng(bits + es)
    chosen = np.unique(np.concatenate([np.arange(1, min(1 << (bits - 1), 70)), rng.integers(1, 1 << (bits - 1), 400)]))
    values = [float(model.ladder(bits, es)[code - 1]) for code in chosen.tolist()]
    values += [float(model.tie(code, bits, es)) for code in chosen.tolist() if code + 1 < 1 << (bits - 1)]
    exact = np.array(values, np.float32).view(np.uint32).astype(np.int64)
    near = np.concatenate([exact, exact - 1, exact + 1])
    special = np.array([0, 1, 0x7FFFFF, 0x800000, 0x7F7FFFFF, 0x7F800000, 0x7FC00000, 0x7F800001])
    top = (127 + form(bits, es).max_exp) << 23
    ends = np.clip(np.array([top, top - 1, top + 1, top + (1 << 23)]), 0, 0x7FFFFFFF)
    middle = rng.integers(100 << 23, 155 << 23, 2000)
    found = np.concatenate([near, special, ends, middle, rng.integers(0, 1 << 31, 1000)])
    return np.concatenate([found, found | 1 << 31])


@pytest.mark.few(5)
@pytest.mark.parametrize(("bits", "es"), FORMATS)
def test_rounds_fp32_to_posits(run: dict[str, Runner], bits: int, es: int) -> None:
    codes = fp32_codes(bits, es)
    got = run[f"round {bits} {es}"](code=codes)["y"]
    values = fp32_values(codes)
    assert got.tolist() == [model.encode(value, bits, es) for value in values.tolist()]
    assert np.array_equal(got, fp32_to_posit_reference(codes, form(bits, es)))


@pytest.mark.parametrize(("bits", "es"), [(8, 0), (16, 1)])
def test_rounds_as_softposit(run: dict[str, Runner], bits: int, es: int) -> None:
    convert = {8: softposit.convertDoubleToP8, 16: softposit.convertDoubleToP16}[bits]
    codes = fp32_codes(bits, es)
    values = fp32_values(codes)
    assert run[f"round {bits} {es}"](code=codes)["y"].tolist() == [convert(value).v for value in values.tolist()]


def test_rounds_fp32_to_fp16_as_numpy(run: dict[str, Runner]) -> None:
    rng = np.random.default_rng(7)
    halves = np.arange(1 << 15, dtype=np.uint16).view(np.float16)[:0x7C00].astype(np.float32)
    exact = halves.view(np.uint32).astype(np.int64)
    between = np.concatenate([exact + (1 << 12), exact + (1 << 12) + 1, exact + (1 << 12) - 1, exact, exact[1:] - 1])
    # Ties of subnormals: odd multiples of 2**-25.
    ties = ((2 * np.arange(1100) + 1) * np.float32(2.0**-25)).astype(np.float32).view(np.uint32).astype(np.int64)
    special = np.array([0, 1, 0x7F7FFFFF, 0x7F800000, 0x7FC00000, 0x7F800001, 0x477FEFFF, 0x477FF000])
    codes = np.concatenate([between, ties, ties - 1, ties + 1, special, rng.integers(0, 1 << 31, 50_000)])
    codes = np.concatenate([codes, codes | 1 << 31])
    with np.errstate(over="ignore", invalid="ignore"):
        halves = codes.astype(np.uint32).view(np.float32).astype(np.float16)
    want = np.where(np.isnan(halves), 0x7E00, halves.view(np.uint16))
    assert np.array_equal(run["fp16"](code=codes)["y"], want)
    assert np.array_equal(fp32_to_fp16_reference(codes), want)


@pytest.mark.parametrize("name", QUIRES)
def test_a_sum_is_rounded_once(run: dict[str, Runner], name: str) -> None:
    """Against fractions; sums next to ties by less than FP32 can tell are where two roundings would differ."""
    bits, width, lsb_exp, es = QUIRES[name]
    rng = np.random.default_rng(width)
    short = rng.integers(-(1 << (width - 1)), 1 << (width - 1), 2000) >> rng.integers(0, width, 2000)
    spread = rng.integers(1, 1 << 14, 3000) << rng.integers(0, width - 15, 3000)
    near = np.concatenate([spread, spread + 1, spread - 1, -spread, 1 - spread])
    totals = np.concatenate([short, near, [0, 1, -1, (1 << (width - 1)) - 1, -(1 << (width - 1))]])
    got = run[f"quire {name}"](total=totals)
    unit = Fraction(2) ** lsb_exp
    if es is None:
        halves = get("fp16")
        assert isinstance(halves, MinifloatFormat)
        assert got["y"].tolist() == [halves.encode_scalar(total * unit, saturate=False) for total in totals.tolist()]
    else:
        assert got["y"].tolist() == [model.encode(total * unit, bits, es) for total in totals.tolist()]
    odd = scale_round_reference(totals, 0, None, 0, None, lsb_exp, odd=True)
    assert np.array_equal(got["odd"], odd)
    # To odd: exact, or the odd one of the two neighbours.
    for total, code in list(zip(totals.tolist(), odd.tolist(), strict=True))[::7]:
        exact, found = total * unit, fp32_value(code)
        assert code == scale_round_scalar(total, 0, None, 0, None, lsb_exp, odd=True)
        if exact != found:
            assert code % 2 == 1
            assert abs(fp32_value(code - 1)) < abs(exact) < abs(fp32_value(code + 1))


@pytest.mark.parametrize(("total", "lsb_exp", "want"), [(3, -150, 0x00000001), (-1, -170, 0x80000001),
    (1, 200, 0x7F7FFFFF), (-(1 << 40), 100, 0xFF7FFFFF), (0, 0, 0), (5, -149, 5), (1, 126, 0x7E800000),
])  # fmt: skip
def test_to_odd_at_the_ends_of_fp32(tmp_path: object, total: int, lsb_exp: int, want: int) -> None:
    def build(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
        product = scale_multiply(m, i["total"], None, None, None, None)
        return {"y": round_to_fp32(m, product, lsb_exp, odd=True)}

    assert simulate(Block({"total": signed(42)}, build), total=np.array([total]))["y"].tolist() == [want]
    assert scale_round_scalar(total, 0, None, 0, None, lsb_exp, odd=True) == want
    assert scale_round_reference(np.array([total]), 0, None, 0, None, lsb_exp, odd=True).tolist() == [want]


def test_posit4_1_has_no_significand_to_multiply() -> None:
    m, inputs, outputs = unpack(4, 1).module()
    assert len(outputs["significand"]) == 1
    text = rtlil.convert(m, name="block", ports=[*inputs.values(), *outputs.values()], emit_src=False)
    assert "$mul" not in text
