"""Quantisers whose originals keep FP32 scales, against their arithmetic by torch: every scale, zero point and code."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hwgen.formats import QTensor
from hwgen.quantize import integer, minifloat, per_token
from hwgen.quantize._groups import divide

VALUES = {"fp32": lambda x: x, "bf16": lambda x: x.bfloat16().float(), "fp16": lambda x: x.half().float()}
EVERY = pytest.mark.parametrize("kind", VALUES)


def values(kind: str, rows: int = 256) -> torch.Tensor:
    """[rows, 512]; values of few significant bits, whose quotients are ties now and then."""
    x = torch.from_numpy(np.random.default_rng(71).normal(0, 0.05, (rows, 512)).astype(np.float32))
    return VALUES[kind](x)


def numbers(given: QTensor) -> torch.Tensor:
    return torch.from_numpy(given.values()).float()


@EVERY
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_asymmetric_as_gptq(kind: str, bits: int) -> None:
    x, top = values(kind), 2**bits - 1
    groups = x.reshape(len(x), 4, 128)
    low, high = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
    scale = (high - low) / top
    zero = torch.round(-low / scale)
    codes = torch.clamp(torch.round(groups / scale[..., None]) + zero[..., None], 0, top).reshape(x.shape)
    given = integer(x, bits, 128, "asymmetric", "fp32")
    assert given.zero is not None
    assert torch.equal(torch.from_numpy(given.scales.copy()).float(), scale)
    assert given.zero.tolist() == zero.tolist()
    assert given.codes.tolist() == codes.tolist()


def int8(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """INT8 per token: scale [N, 1] and codes."""
    scale = x.abs().amax(-1, keepdim=True) / 127
    return scale, torch.round(x / scale).clamp(-127, 127)


@EVERY
def test_int8_per_token(kind: str) -> None:
    x = values(kind)
    scale, codes = int8(x)
    given = per_token(x, "int8")
    assert given.outer is not None
    assert given.outer.tolist() == scale.tolist()
    assert torch.equal(numbers(given), codes)
    assert torch.equal(numbers(integer(x, 8, 0, "symmetric", "fp32")), codes)


@EVERY
def test_fp8_of_a_tensor(kind: str) -> None:
    x = values(kind)
    for name, dtype, top in (("fp8_e4m3", torch.float8_e4m3fn, 448), ("fp8_e5m2", torch.float8_e5m2, 57344)):
        scale = x.abs().amax() / top
        given = minifloat(x, name, 0, "fp32", per_tensor=True)
        assert given.scales[0, 0] == scale.item()
        assert torch.equal(numbers(given), (x / scale).clamp(-top, top).to(dtype).float())


def test_a_division_in_float64_would_be_seen() -> None:
    """It does not see the ties: their quotient is beside them by the error of the scale."""
    x = values("bf16")
    scale, codes = int8(x)
    wide = np.rint(divide(x.double().numpy(), scale.double().expand_as(x).numpy()))
    assert 1e-4 < (wide != codes.numpy()).mean() < 1e-2


@pytest.mark.parametrize("kind", ["bf16", "fp16"])
@pytest.mark.parametrize("name", ["fp16", "bf16"])
@pytest.mark.parametrize("bits", [4, 8])
def test_short_scales_give_the_codes_of_fp32(kind: str, name: str, bits: int) -> None:
    """With scales of 11 bits and fewer the division is float64; originals in FP32 have the same codes."""
    x, top = values(kind), 2 ** (bits - 1) - 1
    given = integer(x, bits, 128, "symmetric", name)
    scale = torch.from_numpy(given.scales.copy()).float().repeat_interleave(128, dim=1)
    assert torch.equal(numbers(given), torch.round(x / scale).clamp(-top, top))
    ideal = x.reshape(len(x), 4, 128).abs().amax(-1) / top
    stored = ideal.half() if name == "fp16" else ideal.bfloat16()
    assert torch.equal(torch.from_numpy(given.scales.copy()).float(), stored.float())
