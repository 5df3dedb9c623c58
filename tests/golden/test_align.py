"""Alignment on values in torch, against the fields of the codes in exact rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from hwgen.errors import HwgenError
from hwgen.formats import QTensor, get
from sim.golden import align
from tests.golden import oracle
from tests.golden.oracle import Formats


def tensor(codes: np.ndarray, form: str = "fp16") -> QTensor:
    ones = np.full((len(codes), 1), 127)
    return QTensor.build(codes, get(form), scale_codes=ones, scale_format=get("e8m0"))


def all_fp16(seed: int) -> np.ndarray:
    """Every fp16 code once, infinities and NaN included, in random order: rows of 64."""
    return np.random.default_rng(seed).permutation(np.arange(1 << 16, dtype=np.uint32)).reshape(-1, 64)


@pytest.mark.parametrize("rounding", ["rne", "truncate"])
@pytest.mark.parametrize(("scope", "guard"), [("step", 0), ("step", 3), ("group", 0), ("group", 8), ("row", 3)])
def test_every_fp16_code(scope: str, guard: int, rounding: str) -> None:
    codes = all_fp16(guard)[:: 8 if scope == "step" else 4]
    q = Formats(align=scope, align_guard=guard, align_rounding=rounding, group=24, step=5)
    found = align(tensor(codes), scope, q.group, q.step, guard, rounding)
    values = [
        [integer * Fraction(2) ** unit for integer, unit in zip(*row, strict=True)]
        for row in zip(found.ints.tolist(), found.unit.tolist(), strict=True)
    ]
    assert values == oracle.activations(tensor(codes), q)
    assert found.lowest == -24 - guard
    assert int(found.unit.min()) >= found.lowest


def test_equal_exponents_lose_nothing() -> None:
    """All codes of one exponent, of both signs, are integers of their significand."""
    codes = np.concatenate([np.arange(0x3C00, 0x4000), np.arange(0xBC00, 0xC000)])[None].astype(np.uint32)
    found = align(tensor(codes), "row", 1, 1, 0, "truncate")
    want = np.concatenate([np.arange(1024, 2048), -np.arange(1024, 2048)])
    assert found.ints.tolist() == [want.tolist()]
    assert set(found.unit.flatten().tolist()) == {-10}


def test_dropped_bits_saturate_when_rounded_up() -> None:
    """1 + 1023/1024 with ten bits dropped has one bit left: 2 does not fit, 1 does; truncation gives 1 as well."""
    codes = np.array([[0x3FFF, 0xBFFF, 0x3C00, 0x3800]], np.uint32)
    assert align(tensor(codes), "row", 4, 4, -10, "rne").ints.tolist() == [[1, -1, 1, 0]]
    assert align(tensor(codes), "row", 4, 4, -9, "rne").ints.tolist() == [[3, -3, 2, 1]]


def test_infinity_and_nan_are_the_largest_magnitude_with_their_sign() -> None:
    codes = np.array([[0x7C00, 0xFC00, 0x7E00, 0xFE00, 0x7BFF]], np.uint32)
    assert align(tensor(codes), "row", 5, 5, 0, "rne").ints.tolist() == [[2047, -2047, 2047, -2047, 2047]]


def test_other_formats_align_by_their_own_bias() -> None:
    values = torch.tensor([[1.0, -0.75, 2.0**-100, 0.0]])
    for form in ("bf16", "fp8_e4m3", "fp8_e5m2"):
        codes = get(form).encode(values.numpy())
        found = align(tensor(codes, form), "row", 4, 4, 8, "truncate")
        assert (found.ints * 2.0**found.unit).tolist() == [[1.0, -0.75, 0.0, 0.0]]


@pytest.mark.parametrize(
    ("form", "scope", "guard", "rounding", "message"),
    [
        (
            "fp16",
            "stop",
            0,
            "rne",
            "golden layer: align must be one of step, group, row, not 'stop'; did you mean 'step'?",
        ),
        ("fp16", "row", 0, "floor", "golden layer: align_rounding must be one of rne, truncate, not 'floor'"),
        ("fp16", "row", 42, "rne", "golden layer: align_guard must be -10 to 41 for fp16, not 42"),
        ("fp16", "row", -11, "rne", "golden layer: align_guard must be -10 to 41 for fp16, not -11"),
        (
            "int8",
            "row",
            0,
            "rne",
            "golden layer: acts must be signed floating point to be aligned, not int8; try fp16",
        ),
    ],
)
def test_what_cannot_be_aligned(form: str, scope: str, guard: int, rounding: str, message: str) -> None:
    with pytest.raises(HwgenError) as error:
        align(tensor(np.zeros((1, 4), np.uint32), form), scope, 4, 4, guard, rounding)
    assert str(error.value) == message
