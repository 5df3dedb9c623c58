# amaranth: UnusedElaboratable=no
"""Unpacking (all codes) and alignment of floating-point codes against ml_dtypes and exact rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from amaranth.hdl import Module, Signal, Value, signed, unsigned

from hwgen.arith import (
    FloatLayout,
    align_fixed,
    align_reference,
    aligned_bits,
    float_layout,
    fp_unpack,
    max_exponent,
    unpack_reference,
)
from hwgen.errors import HwgenError
from hwgen.formats import get
from rtl_tests.arith.comb import Block, Runner, compile_blocks, simulate

pytestmark = pytest.mark.rtl

DTYPES = {
    "fp16": np.float16,
    "bf16": ml_dtypes.bfloat16,
    "fp8_e4m3": ml_dtypes.float8_e4m3fn,
    "fp8_e5m2": ml_dtypes.float8_e5m2,
    "fp6_e2m3": ml_dtypes.float6_e2m3fn,
    "fp6_e3m2": ml_dtypes.float6_e3m2fn,
    "fp4_e2m1": ml_dtypes.float4_e2m1fn,
    "e8m0": ml_dtypes.float8_e8m0fnu,
    "e3m4": ml_dtypes.float8_e3m4,
}
# Without a dtype elsewhere: decoded by hwgen's own formats, which have oracles of their own.
OWN = ("ue4m3fn", "e1m2", "e4m0fn", "hif4_scale")
LAYOUTS = {name: float_layout(get(name)) for name in (*DTYPES, *OWN) if name != "e3m4"}
LAYOUTS["e3m4"] = FloatLayout(exponent_bits=3, mantissa_bits=4, bias=3, specials="ieee")
SCOPE = 4
ALIGNMENTS = [
    ("fp16", 0, "truncate", False), ("fp16", 0, "rne", False), ("fp16", 3, "truncate", False),
    ("fp16", 3, "rne", True), ("fp16", -4, "truncate", True), ("fp16", -4, "rne", False), ("fp16", -10, "rne", False),
    ("fp16", 29, "rne", False), ("bf16", 0, "truncate", True), ("bf16", 1, "rne", False), ("bf16", 3, "rne", True),
    ("fp8_e4m3", 14, "truncate", False), ("fp8_e5m2", 1, "rne", False), ("fp8_e5m2", -1, "rne", True),
    ("fp4_e2m1", 0, "rne", False), ("e3m4", 2, "rne", True),
]  # fmt: skip


def align_block(name: str, guard: int, rounding: str, normalise: bool) -> Block:
    layout = LAYOUTS[name]

    def build(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
        raw = [fp_unpack(m, code, layout, f"raw{n}", normalise=False) for n, code in enumerate(i.values())]
        shared = max_exponent(m, [value.exponent for value in raw], "shared")
        ints = {}
        for n, code in enumerate(i.values()):
            value = fp_unpack(m, code, layout, f"value{n}", normalise=normalise)
            ints[f"x{n}"] = align_fixed(m, value, shared, f"aligned{n}", guard=guard, rounding=rounding)
        return {**ints, "shared": shared}

    return Block({f"c{n}": layout.code_bits for n in range(SCOPE)}, build)


def unpack_block(name: str, normalise: bool) -> Block:
    layout = LAYOUTS[name]

    def build(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
        return fp_unpack(m, i["code"], layout, "x", normalise=normalise)._asdict()

    return Block({"code": layout.code_bits}, build)


UNPACKS = {f"{name} {normalise}": unpack_block(name, normalise) for name in LAYOUTS for normalise in (False, True)}
ALIGNS = {" ".join(map(str, case)): align_block(*case) for case in ALIGNMENTS}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runner]:
    return compile_blocks({**UNPACKS, **ALIGNS}, tmp_path_factory.mktemp("minifloat"))


def values_of(name: str, codes: np.ndarray) -> np.ndarray:
    """Decoded by numpy or ml_dtypes; infinity and NaN as the largest finite magnitude with their sign, float64."""
    negative = (codes >> (LAYOUTS[name].code_bits - 1) & LAYOUTS[name].signed) == 1
    if name in OWN:
        values, largest = get(name).decode(codes), get(name).max_value
    else:
        dtype = np.dtype(DTYPES[name])
        with np.errstate(all="ignore"):
            values = codes.astype(f"uint{8 * dtype.itemsize}").view(dtype).astype(np.float64)
            largest = float(ml_dtypes.finfo(dtype).max)
    return np.where(np.isfinite(values), values, np.where(negative, -largest, largest))


def all_codes(name: str) -> np.ndarray:
    return np.arange(1 << LAYOUTS[name].code_bits, dtype=np.uint32)


@pytest.mark.few(8)
@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("normalise", [False, True])
def test_unpack_every_code(run: dict[str, Runner], name: str, normalise: bool) -> None:
    layout, codes = LAYOUTS[name], all_codes(name)
    runner = run[f"{name} {normalise}"]
    got = runner(code=codes)
    value = got["significand"] * np.exp2((got["exponent"] - layout.bias - layout.mantissa_bits).astype(np.float64))
    expected = values_of(name, codes)
    assert np.array_equal(np.where(got["sign"] == 1, -value, value), expected)
    assert np.array_equal(got["is_zero"] == 1, expected == 0)
    assert runner.outputs["significand"].width == layout.mantissa_bits + 1
    raw = codes >> layout.mantissa_bits & ((1 << layout.exponent_bits) - 1)
    if normalise:
        assert np.array_equal(got["significand"] >> layout.mantissa_bits == 1, expected != 0)
    elif layout.subnormals:
        # Subnormals: exponent 1, no hidden bit.
        assert np.array_equal(got["significand"] >> layout.mantissa_bits == 1, raw > 0)
        assert np.all(got["exponent"][raw == 0] == 1)
    for key, want in unpack_reference(codes, layout, normalise=normalise)._asdict().items():
        assert np.array_equal(got[key], want), key


def test_unpack_shapes_of_fp16(run: dict[str, Runner]) -> None:
    assert run["fp16 True"].outputs["exponent"] == signed(6)
    assert run["fp16 False"].outputs["exponent"] == unsigned(5)
    smallest = unpack_reference(np.array([1]), get("fp16"))
    assert (smallest.exponent[0], smallest.significand[0]) == (-9, 1 << 10)


@pytest.mark.parametrize(
    ("name", "code", "same_as"),
    [
        pytest.param("fp16", 0x7C00, 0x7BFF, id="fp16 inf is 65504"),
        pytest.param("fp16", 0xFC00, 0xFBFF, id="fp16 -inf is -65504"),
        pytest.param("fp16", 0xFE01, 0xFBFF, id="fp16 NaN is the largest, with its sign"),
        pytest.param("bf16", 0x7FC0, 0x7F7F, id="bf16 NaN"),
        pytest.param("fp8_e4m3", 0xFF, 0xFE, id="e4m3 NaN is -448"),
        pytest.param("fp8_e5m2", 0x7C, 0x7B, id="e5m2 inf is 57344"),
        pytest.param("e8m0", 0xFF, 0xFE, id="e8m0 NaN is 2**127"),
    ],
)
def test_special_values_unpack_as_the_largest(run: dict[str, Runner], name: str, code: int, same_as: int) -> None:
    for normalise in (False, True):
        got = run[f"{name} {normalise}"](code=np.array([code, same_as]))
        assert all(values[0] == values[1] for values in got.values())


def scopes(name: str, count: int) -> np.ndarray:
    """Codes [4 * count, SCOPE]: corners, any codes, codes of near exponents (every distance), subnormals."""
    layout = LAYOUTS[name]
    rng = np.random.default_rng(len(name) * 100 + layout.mantissa_bits)
    sign, step = 1 << (layout.code_bits - 1), 1 << layout.mantissa_bits
    corners = np.array([0, 1, step - 1, step, step + 1, sign - 1, sign - 2, sign - step, sign - step - 1])
    corners = np.concatenate([corners, corners + sign]) % (1 << layout.code_bits)
    anywhere = rng.integers(0, 1 << layout.code_bits, (count, SCOPE))
    base = rng.integers(0, sign, (count, 1))
    near = np.clip(base - rng.integers(0, 8 * step, (count, SCOPE)), 0, sign - 1)
    near = near + sign * rng.integers(0, 2, (count, SCOPE))
    low = rng.integers(0, 3 * step, (count, SCOPE)) % sign
    return np.concatenate([rng.choice(corners, (count, SCOPE)), anywhere, near, low])


def exact(name: str, codes: np.ndarray, guard: int, rounding: str) -> list[int]:
    """One scope by the definition, with Fractions."""
    layout = LAYOUTS[name]
    values = [Fraction(float(value)) for value in values_of(name, codes)]
    # Exponent of the largest magnitude, not below that of subnormals.
    top = max((int(np.frexp(float(abs(value)))[1]) - 1 for value in values if value), default=-layout.bias)
    unit = Fraction(2) ** (max(top, 1 - layout.bias) - layout.mantissa_bits - guard)
    limit = (1 << (layout.mantissa_bits + 1 + guard)) - 1
    rule = int if rounding == "truncate" else round
    return [max(min(rule(value / unit), limit), -limit) for value in values]


@pytest.mark.parametrize("case", ALIGNMENTS, ids=lambda case: " ".join(map(str, case)))
def test_align(run: dict[str, Runner], case: tuple[str, int, str, bool]) -> None:
    name, guard, rounding, _ = case
    codes = scopes(name, 4000)
    runner = run[" ".join(map(str, case))]
    got = runner(**{f"c{n}": codes[:, n] for n in range(SCOPE)})
    ints, shared = align_reference(codes, LAYOUTS[name], guard=guard, rounding=rounding)
    assert shared.shape == (len(codes), 1)
    assert np.array_equal(got["shared"], shared[:, 0])
    for n in range(SCOPE):
        assert np.array_equal(got[f"x{n}"], ints[:, n])
        assert runner.outputs[f"x{n}"] == signed(aligned_bits(LAYOUTS[name], guard))
    for row in range(0, len(codes), 20):
        assert ints[row].tolist() == exact(name, codes[row], guard, rounding), codes[row]


def test_alignment_vectors_reach_ties_and_saturation() -> None:
    codes = scopes("fp16", 4000)
    fine, _ = align_reference(codes, get("fp16"), guard=29)
    coarse, _ = align_reference(codes, get("fp16"), guard=-4, rounding="rne")
    assert np.count_nonzero(np.abs(fine) % (1 << 33) == 1 << 32) > 100
    assert np.count_nonzero(np.abs(fine) >= (127 << 33) + (1 << 32)) > 100
    assert np.max(np.abs(coarse)) == 127


def test_align_reference_scope_is_any_axes() -> None:
    codes = scopes("bf16", 60).reshape(-1, 6, SCOPE)
    ints, shared = align_reference(codes, get("bf16"), axis=(1, 2), guard=3)
    assert shared.shape == (len(codes), 1, 1)
    flat, _ = align_reference(codes.reshape(len(codes), -1), get("bf16"), guard=3)
    assert np.array_equal(ints.reshape(len(codes), -1), flat)
    given, _ = align_reference(codes, get("bf16"), guard=3, shared=shared)
    assert np.array_equal(given, ints)


def test_amaranth_simulator_agrees(run: dict[str, Runner]) -> None:
    for case in ALIGNMENTS[3], ALIGNMENTS[5]:
        key = " ".join(map(str, case))
        codes = scopes(case[0], 30)
        arrays = {f"c{n}": codes[:, n] for n in range(SCOPE)}
        compiled, simulated = run[key](**arrays), simulate(ALIGNS[key], **arrays)
        assert all(np.array_equal(compiled[name], simulated[name]) for name in compiled)


def test_errors() -> None:
    codes = np.array([0])
    with pytest.raises(HwgenError) as error:
        align_reference(codes, get("fp16"), guard=0, rounding="up")
    assert str(error.value) == "align: rounding must be one of truncate, rne, not 'up'"
    with pytest.raises(HwgenError) as error:
        align_reference(codes, get("fp16"), guard=-11)
    assert str(error.value) == "align: guard must be -10 to 50 for 10 mantissa bits, not -11"
    m, code = Module(), Signal(16)
    with pytest.raises(HwgenError) as error:
        align_fixed(m, fp_unpack(m, code, get("fp16"), "x"), Signal(5), "y", guard=51)
    assert str(error.value) == "align: guard must be -10 to 50 for 10 mantissa bits, not 51"
    with pytest.raises(HwgenError) as error:
        float_layout(get("int8"))
    assert str(error.value) == (
        "format int8: a floating-point format is needed here, such as fp16, bf16, fp8_e4m3 or e8m0"
    )
    with pytest.raises(HwgenError) as error:
        FloatLayout(exponent_bits=1, mantissa_bits=2, bias=0, specials="ieee")
    assert str(error.value) == (
        "format e1m2: exponent_bits must be at least 2 with specials 'ieee', not 1; try specials 'none'"
    )
    with pytest.raises(ValueError, match="shared: the maximum of no exponents is not defined"):
        max_exponent(m, [], "shared")
