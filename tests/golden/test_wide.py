"""Exact sums of any width against Python's integers and fractions."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from hwgen.errors import HwgenError
from hwgen.formats import get
from hwgen.quantize import minifloat
from sim.golden import QuantLinear
from sim.golden.wide import LIMB_BITS, Wide, exact_matmul
from tests.golden import oracle
from tests.golden.operands import acts, codes, weights
from tests.golden.oracle import Formats


def operands(rng: np.random.Generator, shape: tuple[int, int], bits: int) -> torch.Tensor:
    """Integers of up to 53 significant bits and ``bits`` bits altogether, dense and sparse ones, zeros among them."""
    places = max(bits - 53, 0) + 1
    significands = rng.integers(0, 1 << min(bits, 53), shape) >> rng.integers(0, min(bits, 53), shape)
    significands = np.where(rng.random(shape) < 0.3, (1 << min(bits, 53)) - 1, significands)
    signs = rng.choice([-1.0, 1.0], shape) * (rng.random(shape) < 0.9)
    return torch.from_numpy(np.ldexp(significands * signs, rng.integers(0, places, shape)))


def integers(values: torch.Tensor) -> np.ndarray:
    return np.array([[int(value) for value in row] for row in values.tolist()], dtype=object)


@pytest.mark.parametrize("left", [1, 20, 21, 53, 262, 900])
@pytest.mark.parametrize("right", [3, 40, 300])
def test_products_of_every_width(left: int, right: int) -> None:
    rng = np.random.default_rng(left + right)
    a, w = operands(rng, (3, 37), left), operands(rng, (4, 37), right)
    result = exact_matmul(a, w)
    assert result.integers().tolist() == (integers(a) @ integers(w).T).tolist()
    limbs = result.limbs[:-1]
    assert int(limbs.min()) >= 0
    assert int(limbs.max()) < 1 << LIMB_BITS


@pytest.mark.parametrize("sign", [1, -1])
def test_long_sums_of_the_largest_limbs(sign: int) -> None:
    """20,000 products of numbers that are all ones: the worst for limbs that are summed in float64."""
    ones = float(2**40 - 1)
    a, w = (torch.full((1, 20_000), value, dtype=torch.float64) for value in (ones, sign * ones))
    w[0, 7] = 1.0
    assert exact_matmul(a, w).integers().tolist() == [[sign * 19_999 * (2**40 - 1) ** 2 + 2**40 - 1]]


def test_stack_of_different_widths() -> None:
    rng = np.random.default_rng(5)
    parts = [(operands(rng, (2, 9), bits), operands(rng, (3, 9), bits)) for bits in (4, 200, 60)]
    both = Wide.stack([exact_matmul(a, w) for a, w in parts])
    assert (len(both), tuple(both.shape)) == (3, (3, 2, 3))
    for index, (a, w) in enumerate(parts):
        assert both[index].integers().tolist() == (integers(a) @ integers(w).T).tolist()
    assert both.double().tolist() == both.integers().astype(np.float64).tolist()


def nearest(total: int, scale: float, exponent: int) -> int:
    """FP32 code of the exact product, rounded once."""
    exact = Fraction(scale) if np.isfinite(scale) else scale
    return oracle.product(Fraction(total) * Fraction(2) ** exponent, exact)


def rounded(total: int, scale: float, exponent: int) -> int:
    """``total`` through `Wide.round_scaled`; it may have any number of significant bits."""
    limbs = []
    rest = total
    while rest not in (0, -1) or not limbs:
        limbs.append(rest & ((1 << LIMB_BITS) - 1))
        rest >>= LIMB_BITS
    wide = Wide(torch.tensor([*limbs, rest])[:, None])
    assert wide.integers().tolist() == [total]
    result = wide.round_scaled(torch.tensor([scale]).double(), torch.tensor([exponent]))
    return int(codes(torch.where(torch.isnan(result), torch.nan, result))[0])


def test_ties_and_their_neighbours() -> None:
    """Halves between two FP32 numbers, and one unit of any distance above and below them."""
    rng = np.random.default_rng(6)
    seen = set()
    for _ in range(400):
        bits = int(rng.integers(26, 560))
        lead = int(rng.integers(1 << 23, 1 << 24)) * 2 + 1
        delta = int(rng.choice([-1, 0, 1])) << int(rng.integers(0, bits - 25))
        total = int(rng.choice([-1, 1])) * ((lead << (bits - 25)) + delta)
        # Results of every size: subnormal, normal, beyond the end.
        exponent = int(rng.integers(-155, 150)) - bits
        got = rounded(total, 1.0, exponent)
        assert got == nearest(total, 1.0, exponent), (total, exponent)
        size = got & 0x7FFFFFFF
        seen.add("infinite" if size == 0x7F800000 else "normal" if size >= 0x00800000 else "small")
    assert seen == {"infinite", "normal", "small"}
    assert rounded((1 << 300) - 1, 1.0, -172) == 0x7F800000
    assert rounded((1 << 300) - (1 << 275) - 1, 1.0, -172) == 0x7F7FFFFF


def test_ties_of_a_product_with_its_scale() -> None:
    """The exact product decides: sums whose product with a scale of 22 bits lies at a tie or beside it."""
    rng = np.random.default_rng(7)
    for _ in range(300):
        factor = int(rng.integers(1 << 21, 1 << 22)) | 1
        bits = int(rng.integers(80, 400))
        tie = (int(rng.integers(1 << 23, 1 << 24)) * 2 + 1) << bits
        total = tie // factor + int(rng.integers(0, 2))
        scale = float(factor) * float(rng.choice([-1.0, 1.0])) * 2.0 ** int(rng.integers(-40, 40))
        exponent = -bits + int(rng.integers(-150, 60))
        assert rounded(total, scale, exponent) == nearest(total, scale, exponent)
        assert rounded(-total, scale, exponent) == nearest(-total, scale, exponent)


@pytest.mark.parametrize("total", [0, 1, -1, 5 << 200, -(5 << 200)])
@pytest.mark.parametrize("scale", [np.inf, -np.inf, np.nan, 0.0, -0.0, -2.0])
def test_special_scales(total: int, scale: float) -> None:
    assert rounded(total, scale, -190) == nearest(total, scale, -190)


def test_ends_of_the_exponent() -> None:
    assert rounded(-1, 1.0, -5000) == 0x80000000
    assert rounded(1, 1.0, 5000) == 0x7F800000
    assert rounded(0, 1.0, 5000) == 0


def test_long_scale_is_refused() -> None:
    with pytest.raises(HwgenError) as error:
        rounded(1 << 99, 1 + 2.0**-22, 0)
    assert str(error.value) == (
        "golden layer: the product of a row's and a column's scale must have at most 22 significand "
        "bits; use scale formats such as fp16 or bf16"
    )


@pytest.mark.parametrize(
    ("acts_name", "weight_name", "act_scale"),
    [("bf16", "bf16", "bf16"), ("fp16", "fp16", "bf16"), ("fp16", "bf16", "e8m0"), ("fp8_e5m2", "fp16", "bf16")],
)
@pytest.mark.parametrize("group", [0, 16])
def test_layers_of_wide_products(acts_name: str, weight_name: str, act_scale: str, group: int) -> None:
    q = Formats(acts=acts_name, weights=weight_name, scheme="element", act_scale=act_scale, group=group)
    # With scales, so that weights reach the ends of their format.
    layer = QuantLinear(minifloat(weights(1), weight_name, group), q)
    given = layer.quantize(acts(2) * 2.0**11)
    assert codes(layer(given)).tolist() == oracle.layer(layer.weights, given, q).tolist()
    sums = layer.group_sums(given)
    assert isinstance(sums, np.ndarray)
    a = [[Fraction(value) for value in row] for row in given.values().tolist()]
    w = [[Fraction(value) for value in row] for row in layer.weights.values().tolist()]
    unit = Fraction(2) ** (given.format.lsb_exp + get(weight_name).lsb_exp)
    for g, part in enumerate(layer.weights.group_slices):
        want = [[sum(s * t for s, t in zip(r[part], c[part], strict=True)) / unit for c in w] for r in a]
        assert sums[g].tolist() == want
    assert max(abs(int(value)) for value in sums.ravel()) > 2**62


@pytest.mark.parametrize("scheme", ["asymmetric", "minimum"])
def test_wide_alignment_over_a_step(scheme: str) -> None:
    """Twenty guard bits over a step: sums of about 2**72, and sums of activations beside them."""
    q = Formats(acts="fp16", act_scale="e8m0", weights="uint8", scheme=scheme, group=0, align="step", align_guard=20)
    layer = QuantLinear.from_linear(weights(1), q)
    given = layer.quantize(acts(2, spread=20) * 2.0**11)
    assert codes(layer(given)).tolist() == oracle.layer(layer.weights, given, q).tolist()
    assert max(abs(int(value)) for value in np.asarray(layer.group_sums(given)).ravel()) > 2**62
    assert torch.isfinite(layer.bound(given)).all()
    assert ((layer(given).double() - layer(given, mode="fake").double()).abs() <= layer.bound(given)).all()
