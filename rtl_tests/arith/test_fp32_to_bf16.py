"""FP32 to BF16: every code of BF16 and its neighbours, against ml_dtypes."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from hwgen.arith import fp32_to_bf16, fp32_to_bf16_reference
from rtl_tests.arith.comb import Block, simulate


def _codes() -> np.ndarray:
    upper = np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)
    lower = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    return (upper[:, None] | lower).reshape(-1)


def test_reference_is_that_of_ml_dtypes() -> None:
    codes = _codes()
    with np.errstate(invalid="ignore", over="ignore"):
        wanted = codes.view(np.float32).astype(ml_dtypes.bfloat16).view(np.uint16).astype(np.uint32)
    nan = np.isnan(codes.view(np.float32))
    assert np.array_equal(fp32_to_bf16_reference(codes), np.where(nan, 0x7FC0, wanted))


def test_hardware_is_the_reference() -> None:
    block = Block({"code": 32}, lambda m, i: {"bf16": fp32_to_bf16(m, i["code"], "bf16")})
    tried = np.random.default_rng(1).choice(_codes(), 4000, replace=False)
    assert simulate(block, code=tried)["bf16"].tolist() == fp32_to_bf16_reference(tried).tolist()
