"""One rounding of a long product into FP32: ties, near ties and subnormals, against exact rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from hwgen.errors import HwgenError
from rtl_tests.arith.oracle import fp32_nearest
from sim.golden import power_of_two, round_scaled
from sim.golden.rounding import is_long, round_long
from tests.golden.operands import build
from tests.golden.oracle import Formats


def rounded(totals: list[int], scale: float, exponent: int) -> list[int]:
    result = round_scaled(torch.tensor(totals), torch.tensor(scale).double(), torch.tensor(exponent))
    return result.numpy().view(np.uint32).tolist()


def exact(totals: list[int], scale: float, exponent: int) -> list[int]:
    values = [total * Fraction(scale) * Fraction(2) ** exponent for total in totals]
    return [fp32_nearest(value) if value else 0 for value in values]


def near_ties(scale: int, place: int) -> list[int]:
    """Totals whose products with ``scale`` are ties of FP32 or just beside one; ``place`` bits lie below the half."""
    totals = []
    for odd in (2**24 + 1, 2**24 + 3, 2**25 - 1, 0x15A5A5B):
        total = -(-(odd << place) // scale)
        totals += [total - 1, total, total + 1]
    return totals + [-total for total in totals]


# Scales of up to 22 bits; 3 · 5592405 = 2**24 - 1, so that exact ties occur with scales beside powers of two too.
SCALES = (1, 3, 5, 2**11 - 1, (2**11 - 1) ** 2, 2**22 - 1)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("place", [8, 26, 30, 36])
def test_near_ties(scale: int, place: int) -> None:
    totals = [total for total in near_ties(scale, place) if abs(total) <= 2**62]
    assert len(totals) > 12
    for exponent in (-100, -24 - place - 140, 0):
        assert rounded(totals, scale, exponent) == exact(totals, scale, exponent)


def test_rounding_twice_would_be_seen() -> None:
    """A float64 product rounded again to float32 is wrong on these vectors."""
    totals = near_ties(3, 36)
    twice = (torch.tensor(totals).double() * 3).float().numpy().view(np.uint32).tolist()
    assert twice != exact(totals, 3, 0)


def test_random_products_over_the_whole_range() -> None:
    rng = np.random.default_rng(11)
    for bits in (1, 30, 31, 32, 33, 52, 53, 54, 61, 62):
        totals = [int(total) for total in rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) + 1, 20)]
        for scale in (float(rng.integers(1, 2**22)) * 2.0**-30, -float(rng.integers(1, 2**22))):
            for exponent in (0, -bits - 20 - 140, 127 - 22 - bits):
                assert rounded(totals, scale, exponent) == exact(totals, scale, exponent)


@pytest.mark.parametrize("total", [2**62, -(2**62), 2**31, -(2**31), 2**31 - 1, 2**32 - 1, 2**53 + 1, 0, 1, -1])
def test_ends_of_the_halves(total: int) -> None:
    assert rounded([total], 2**22 - 1, -60) == exact([total], 2**22 - 1, -60)


@pytest.mark.parametrize("scale", [2**24 - 1, (2**24 - 1) * (2**11 - 1), 2**35 + 1, 3])
@pytest.mark.parametrize("place", [8, 30, 36])
def test_long_scales(scale: int, place: int) -> None:
    """FP32 scales by those of activations: as exact as short ones, which `round_scaled` refuses them for."""
    totals = [total for total in near_ties(scale, place) if abs(total) <= 2**62]
    totals += [0, 1, -1, 2**62, -(2**62)]
    for exponent in (-100, -24 - place - 160, 0, 127 - 60 - 36):
        got = round_long(np.array(totals), torch.tensor(scale, dtype=torch.float64), torch.tensor(exponent))
        assert got.numpy().view(np.uint32).tolist() == exact(totals, scale, exponent)
    assert is_long(torch.tensor(scale, dtype=torch.float64)) == (scale > 3)


def test_long_scales_that_are_no_numbers() -> None:
    totals = np.array([5, -5, 0, 2**70], dtype=object)
    got = round_long(totals, torch.tensor([torch.inf, torch.inf, torch.inf, 1.0]).double(), torch.zeros(4).long())
    assert got[:2].tolist() == [torch.inf, -torch.inf]
    assert got[2].isnan()
    assert got[3].item() == 2.0**70


def test_scales_that_are_no_numbers() -> None:
    got = round_scaled(torch.tensor([5, -5, 0, 2**40]), torch.tensor(torch.inf).double(), torch.tensor(0))
    assert got[:2].tolist() == [torch.inf, -torch.inf]
    assert got[2].isnan()
    assert got[3].item() == torch.inf
    assert round_scaled(torch.tensor([1]), torch.tensor(torch.nan).double(), torch.tensor(0)).isnan().all()


def test_a_scale_of_more_than_22_bits_is_refused() -> None:
    assert rounded([1], 2**22 - 1, 0) == exact([1], 2**22 - 1, 0)
    with pytest.raises(HwgenError) as error:
        rounded([1], 2**22 + 1, 0)
    assert str(error.value) == (
        "golden layer: the product of a row's and a column's scale must have at most 22 significand bits; "
        "use scale formats such as fp16 or bf16"
    )


def test_powers_of_two() -> None:
    exponents = list(range(-1022, 1024))
    assert power_of_two(torch.tensor(exponents)).tolist() == [2.0**exponent for exponent in exponents]


def test_flushed_subnormals_are_noticed() -> None:
    layer, x = build(Formats())
    layer(x)
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush subnormal numbers")
    try:
        with pytest.raises(HwgenError) as error:
            layer(x)
    finally:
        torch.set_flush_denormal(False)
    assert str(error.value) == (
        "golden layer: torch must keep subnormal numbers, not flush them to zero; call torch.set_flush_denormal(False)"
    )
