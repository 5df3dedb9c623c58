"""FP32 codes of shorter formats, and FP32 codes times powers of two: every code, or every exponent."""

from __future__ import annotations

import math

import numpy as np
import pytest
from amaranth.hdl import Module, Signal, Value

from hwgen.arith.widen import fp32_times_power, fp32_times_power_reference, fp32_widen
from hwgen.formats import get
from rtl_tests.arith.comb import Block, Runner, compile_blocks

pytestmark = pytest.mark.rtl

FORMATS = ("fp16", "bf16", "fp8_e4m3", "fp8_e5m2", "e2m3", "e5m2")


def widen(name: str) -> Block:
    form = get(name)

    def build(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
        return {"y": fp32_widen(m, i["code"], form, "act")}

    return Block({"code": form.code_bits}, build)


def power(overflows: bool) -> Block:
    def build(m: Module, i: dict[str, Signal]) -> dict[str, Value]:
        return {"y": fp32_times_power(m, i["code"], i["power"], "scaled", overflows=overflows)}

    return Block({"code": 32, "power": 3}, build)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runner]:
    blocks = {name: widen(name) for name in FORMATS} | {"any": power(True), "small": power(False)}
    return compile_blocks(blocks, tmp_path_factory.mktemp("widen"))


@pytest.mark.parametrize("name", FORMATS)
def test_every_code_keeps_its_value(name: str, compiled: dict[str, Runner]) -> None:
    form = get(name)
    codes = form.codes()
    got = compiled[name](code=codes)["y"].astype(np.uint32).view(np.float32)
    wanted = form.decode(codes)
    assert np.array_equal(np.isnan(got), np.isnan(wanted))
    numbers = ~np.isnan(wanted)
    assert np.array_equal(got[numbers].astype(np.float64), wanted[numbers])
    assert np.array_equal(np.signbit(got[numbers]), codes[numbers] >> (form.code_bits - 1) == 1)


def operands() -> np.ndarray:
    """Every exponent with the mantissas 0, 1, all ones and some others, of both signs."""
    rng = np.random.default_rng(3)
    mantissas = np.concatenate([[0, 1, (1 << 23) - 1, 1 << 22], rng.integers(0, 1 << 23, size=20)])
    codes = (np.arange(256)[:, None] << 23 | mantissas).ravel()
    return np.concatenate([codes, codes | 1 << 31]).astype(np.uint32)


@pytest.mark.parametrize("overflows", [True, False])
@pytest.mark.parametrize("by", range(8))
def test_powers_of_two_go_to_the_exponent(by: int, overflows: bool, compiled: dict[str, Runner]) -> None:
    codes = operands()
    exponent = codes >> 23 & 0xFF
    if not overflows:
        codes = codes[((exponent > 0) & (exponent < 240)) | (codes << 1 == 0) | (exponent == 255)]
    got = compiled["any" if overflows else "small"](code=codes, power=np.full(len(codes), by))["y"].astype(np.uint32)
    assert np.array_equal(got, fp32_times_power_reference(codes, by))
    for code, result in zip(codes.tolist(), got.tolist(), strict=True):
        value, scaled = (float(np.uint32(word).view(np.float32)) for word in (code, result))
        if math.isnan(value):
            assert math.isnan(scaled)
        elif abs(value) < 2.0**-126:
            assert scaled == 0
        elif abs(value) * 2.0**by >= 2.0**128:
            assert scaled == math.copysign(math.inf, value)
        else:
            assert scaled == value * 2.0**by
