"""Scaling of integer sums into FP32: logic against reference, reference against exact rational arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Signal, Value, signed

from hwgen.arith import FP32_NAN, round_to_fp32, scale_multiply, scale_round_reference, scale_round_scalar
from hwgen.errors import HwgenError
from hwgen.formats import Format, get
from rtl_tests.arith.comb import Block, Runner, compile_blocks, simulate
from rtl_tests.arith.oracle import INFINITY, fp32_nearest

pytestmark = pytest.mark.rtl

DTYPES = {
    "fp32": np.float32,
    "fp16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "fp8_e4m3": ml_dtypes.float8_e4m3fn,
    "fp8_e5m2": ml_dtypes.float8_e5m2,
    "e8m0": ml_dtypes.float8_e8m0fnu,
}


@dataclass(frozen=True)
class Case:
    bits: int
    row: str | None
    col: str | None
    lsb_exp: int

    @property
    def formats(self) -> tuple[Format | None, Format | None]:
        return tuple(None if name is None else get(name) for name in (self.row, self.col))  # type: ignore[return-value]

    @property
    def id(self) -> str:
        return f"{self.bits} {self.row} {self.col} {self.lsb_exp}"

    def block(self) -> Block:
        row, col = self.formats
        widths = {"row": row.code_bits if row else 1, "col": col.code_bits if col else 1}

        def build(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
            product = scale_multiply(m, i["total"], i["row"], row, i["col"], col)
            return {"y": round_to_fp32(m, product, self.lsb_exp)}

        return Block({"total": signed(self.bits), **widths}, build)


CASES = [
    Case(20, "fp16", "fp16", -24),
    Case(24, "bf16", "fp16", 0),
    Case(28, "bf16", "bf16", -24),
    Case(16, "e8m0", "e8m0", -12),
    Case(33, "e8m0", "e8m0", 0),
    Case(12, None, "e8m0", 0),
    Case(17, "hif4_scale", "hif4_scale", -4),
    Case(20, "hif4_scale", "e8m0", 0),
    Case(18, "fp32", "fp8_e4m3", -3),
    Case(40, "fp16", "fp16", 0),
    Case(30, "fp16", "fp16", 80),
    Case(30, "fp16", None, -120),
    Case(6, "fp8_e4m3", None, 0),
    Case(22, "fp8_e4m3", None, 0),
    Case(9, "fp8_e5m2", "fp8_e5m2", -2),
    Case(24, None, None, 0),
    Case(25, None, None, 0),
    Case(26, None, None, -150),
    Case(26, None, None, 110),
    Case(1, "fp16", "e8m0", 0),
]
BY_ID = {case.id: case for case in CASES}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runner]:
    return compile_blocks({case.id: case.block() for case in CASES}, tmp_path_factory.mktemp("scale"))


def scale_codes(rng: np.random.Generator, fmt: Format | None, count: int) -> np.ndarray:
    """Corners, any codes, powers of two (for ties), and the lowest and highest exponents."""
    if fmt is None:
        return np.zeros(count, np.int64)
    size, sign = 1 << fmt.code_bits, 1 << (fmt.code_bits - 1)
    step = 1 if fmt.name == "e8m0" else 1 << getattr(fmt, "mantissa_bits", 0)
    choices = np.stack(
        [
            rng.choice(np.array(fmt.corners), count),
            rng.integers(0, size, count),
            rng.integers(0, size // step, count) * step,
            rng.integers(0, 3 * step, count) % size,
            (sign - 1 - rng.integers(0, 3 * step, count)) % size,
        ]
    )
    return choices[rng.integers(0, len(choices), count), np.arange(count)]


def vectors(case: Case, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(case.bits * 1000 + abs(case.lsb_exp))
    low, high = -(1 << (case.bits - 1)), (1 << (case.bits - 1)) - 1
    corners = np.array([0, low, high, low // 2, min(1, high), -1, max(low + 1, -1), high // 2])
    # Short sums times few-bit scales hit exact values and ties; long ones everything else.
    short = rng.integers(low, high + 1, count) >> rng.integers(0, case.bits, count)
    kinds = np.stack([rng.choice(corners, count), short, rng.integers(low, high + 1, count)])
    totals = kinds[rng.integers(0, len(kinds), count), np.arange(count)]
    row, col = case.formats
    return totals, scale_codes(rng, row, count), scale_codes(rng, col, count)


def expected(case: Case, total: int, row: int, col: int) -> int:
    """By the definition: ml_dtypes decodes, Fractions multiply, one search finds the nearest FP32."""
    scales = []
    for name, code in ((case.row, row), (case.col, col)):
        if name == "hif4_scale":
            # E6M2 without subnormals; no package has it.
            scales.append(math.nan if code == 255 else (1 + code % 4 / 4) * 2.0 ** (code // 4 - 48))
        elif name is not None:
            dtype = np.dtype(DTYPES[name])
            scales.append(float(np.array([code], f"uint{8 * dtype.itemsize}").view(dtype)[0]))
    factors = [float(total), *scales]
    if any(math.isnan(x) for x in factors) or (any(math.isinf(x) for x in factors) and 0.0 in factors):
        return FP32_NAN
    negative = sum(x < 0 for x in factors) % 2 << 31
    if any(math.isinf(x) for x in factors):
        return negative | INFINITY
    product = Fraction(2) ** case.lsb_exp * total
    for scale in scales:
        product *= Fraction(scale)
    # A nonzero product that rounds to zero keeps its sign.
    return fp32_nearest(product) if product else 0


@pytest.mark.few(8)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_logic_equals_reference(run: dict[str, Runner], case: Case) -> None:
    totals, rows, cols = vectors(case, 30_000 if case.bits < 34 else 6000)
    got = run[case.id](total=totals, row=rows, col=cols)["y"]
    want = scale_round_reference(totals, rows, case.formats[0], cols, case.formats[1], case.lsb_exp)
    wrong = np.nonzero(got != want)[0]
    assert not wrong.size, [f"{totals[i]} {rows[i]:x} {cols[i]:x}: {got[i]:08x}, not {want[i]:08x}" for i in wrong[:5]]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_reference_equals_exact_product(case: Case) -> None:
    totals, rows, cols = vectors(case, 400)
    fast = scale_round_reference(totals, rows, case.formats[0], cols, case.formats[1], case.lsb_exp)
    for total, row, col, code in zip(totals.tolist(), rows.tolist(), cols.tolist(), fast.tolist(), strict=True):
        want = expected(case, total, row, col)
        assert code == want, (total, row, col)
        assert scale_round_scalar(total, row, case.formats[0], col, case.formats[1], case.lsb_exp) == want


def test_vectors_reach_every_kind_of_result() -> None:
    seen = {"tie": 0, "subnormal": 0, "underflow": 0, "overflow": 0}
    for case in CASES:
        totals, rows, cols = vectors(case, 400)
        fast = scale_round_reference(totals, rows, case.formats[0], cols, case.formats[1], case.lsb_exp)
        magnitude = fast & 0x7FFFFFFF
        seen["subnormal"] += np.count_nonzero((magnitude > 0) & (magnitude < 1 << 23))
        seen["underflow"] += np.count_nonzero(fast == 0x80000000)
        if case.row == case.col and case.row in (None, "e8m0"):
            seen["overflow"] += np.count_nonzero(magnitude == INFINITY)
        if case.id == "26 None None -150":
            # Units of 2**-150: odd sums lie half way between two subnormals.
            seen["tie"] += np.count_nonzero(totals % 2)
    assert all(count > 20 for count in seen.values()), seen


ONE_FP16, INF_FP16, NAN_FP16 = 0x3C00, 0x7C00, 0x7E00


@pytest.mark.parametrize(
    ("case", "total", "row", "col", "want"),
    [
        pytest.param("20 fp16 fp16 -24", -1, ONE_FP16, ONE_FP16, 0xB3800000, id="-2**-24"),
        pytest.param("20 fp16 fp16 -24", 5, ONE_FP16, 0x8000, 0x00000000, id="times -0 is +0"),
        pytest.param("20 fp16 fp16 -24", 0, 0xBC00, ONE_FP16, 0x00000000, id="0 times -1 is +0"),
        pytest.param("20 fp16 fp16 -24", 5, 0xFC00, ONE_FP16, 0xFF800000, id="-inf scale is -inf"),
        pytest.param("20 fp16 fp16 -24", -5, INF_FP16, 0xFC00, 0x7F800000, id="signs of infinite scales multiply"),
        pytest.param("20 fp16 fp16 -24", 0, INF_FP16, ONE_FP16, FP32_NAN, id="0 times inf is NaN"),
        pytest.param("20 fp16 fp16 -24", 3, INF_FP16, 0x0000, FP32_NAN, id="inf times zero scale is NaN"),
        pytest.param("20 fp16 fp16 -24", 3, 0xFE00, INF_FP16, FP32_NAN, id="NaN loses its sign"),
        pytest.param("20 fp16 fp16 -24", -(1 << 19), 0x0001, 0x0001, 0xA5000000, id="subnormal scales are exact"),
        pytest.param("16 e8m0 e8m0 -12", 1, 0xFF, 127, FP32_NAN, id="e8m0 0xff is NaN"),
        pytest.param("16 e8m0 e8m0 -12", 1, 0, 127, 0x00000400, id="e8m0 0 is 2**-127, result 2**-139 is subnormal"),
        pytest.param("16 e8m0 e8m0 -12", 1, 254, 254, 0x7F800000, id="overflow is inf"),
        pytest.param("16 e8m0 e8m0 -12", -1, 0, 0, 0x80000000, id="underflow keeps its sign"),
        pytest.param("16 e8m0 e8m0 -12", 0, 254, 254, 0x00000000, id="zero does not overflow"),
        pytest.param("17 hif4_scale hif4_scale -4", 16, 0xC3, 0xC1, 0x400C0000, id="1.75 times 1.25"),
        pytest.param("17 hif4_scale hif4_scale -4", 16, 0, 0, 0x0F800000, id="E6M2 code 0 is 2**-48 and not zero"),
        pytest.param("17 hif4_scale hif4_scale -4", 0, 0xFF, 0xC0, FP32_NAN, id="E6M2 0xff is NaN"),
        pytest.param("17 hif4_scale hif4_scale -4", -16, 0xFE, 0xFE, 0xCF100000, id="the largest E6M2 squared"),
        pytest.param("25 None None 0", (1 << 24) - 1, 0, 0, 0x4B7FFFFF, id="24 bits are exact"),
        pytest.param("25 None None 0", -(1 << 24), 0, 0, 0xCB800000, id="the lowest sum"),
        pytest.param("26 None None 110", (1 << 25) - 1, 0, 0, 0x7F800000, id="below 2**135"),
        pytest.param("26 None None -150", 1, 0, 0, 0x00000000, id="half the smallest goes to even"),
        pytest.param("26 None None -150", 3, 0, 0, 0x00000002, id="one and a half goes to even"),
        pytest.param("26 None None -150", (1 << 24) - 1, 0, 0, 0x00800000, id="rounds up into the smallest normal"),
    ],
)
def test_named_cases(run: dict[str, Runner], case: str, total: int, row: int, col: int, want: int) -> None:
    got = run[case](total=np.array([total]), row=np.array([row]), col=np.array([col]))["y"][0]
    assert got == want, f"{got:08x}"


def test_reference_takes_sums_of_any_size() -> None:
    totals = np.array([[10**30], [-(3 << 70)]], dtype=object)
    codes = np.array([ONE_FP16, NAN_FP16])
    got = scale_round_reference(totals, codes, get("fp16"), 0, None, -40)
    want = np.array([10.0**30 / 2**40, -3.0 * 2**30], np.float32).view(np.uint32)
    assert got.tolist() == [[want[0], FP32_NAN], [want[1], FP32_NAN]]


def test_reference_of_nothing_is_nothing() -> None:
    assert scale_round_reference(np.zeros((0, 3), np.int64), 0, None, 0, None, 0).shape == (0, 3)


def test_scale_must_be_floating_point() -> None:
    with pytest.raises(HwgenError) as error:
        scale_round_reference(np.array([1]), 1, get("int8"), 0, None, 0)
    assert str(error.value) == (
        "format int8: a floating-point format is needed here, such as fp16, bf16, fp8_e4m3 or e8m0"
    )


@pytest.mark.parametrize(
    ("case", "multipliers", "subnormals"),
    [
        pytest.param("16 e8m0 e8m0 -12", 0, True, id="power-of-two scales"),
        pytest.param("24 None None 0", 0, False, id="no scales"),
        pytest.param("12 None e8m0 0", 0, True, id="one power of two"),
        pytest.param("1 fp16 e8m0 0", 0, True, id="a one-bit sum is a mask"),
        pytest.param("30 fp16 None -120", 1, True, id="one scale"),
        pytest.param("17 hif4_scale hif4_scale -4", 2, False, id="E6M2 scales cannot reach subnormals"),
        pytest.param("20 hif4_scale e8m0 0", 1, True, id="a power of two beside E6M2"),
        pytest.param("20 fp16 fp16 -24", 2, False, id="fp16 scales cannot reach subnormals"),
        pytest.param("28 bf16 bf16 -24", 2, True, id="bf16 scales can"),
    ],
)
def test_no_logic_that_cannot_be_reached(case: str, multipliers: int, subnormals: bool) -> None:
    m, inputs, outputs = BY_ID[case].block().module()
    text = rtlil.convert(m, name="block", ports=[*inputs.values(), *outputs.values()], emit_src=False)
    assert text.count("cell $mul") == multipliers
    assert ("round_subnormal" in text) == subnormals


def test_amaranth_simulator_agrees() -> None:
    for key in ("28 bf16 bf16 -24", "16 e8m0 e8m0 -12", "20 fp16 fp16 -24"):
        case = BY_ID[key]
        totals, rows, cols = vectors(case, 120)
        got = simulate(case.block(), total=totals, row=rows, col=cols)["y"]
        want = scale_round_reference(totals, rows, case.formats[0], cols, case.formats[1], case.lsb_exp)
        assert np.array_equal(got, want)
