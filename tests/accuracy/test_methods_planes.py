"""Sums of binary and of ternary planes against all sums that there are."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from hwgen.errors import HwgenError
from sim.accuracy.methods import Layer, method
from sim.accuracy.methods.common import Groups, nearest_level
from sim.accuracy.methods.powers import Powers, shifts
from sim.accuracy.methods.trits import PAIRS, Trits
from sim.accuracy.operand import operand_format


def layer(n: int = 10, k: int = 72, name: str = "int4/16", seed: int = 0) -> Layer:
    generator = torch.Generator().manual_seed(seed)
    return Layer("a", torch.randn(n, k, generator=generator) * 0.05, operand_format(name))


def groups(weights: torch.Tensor, size: int) -> list[np.ndarray]:
    return [row[at : at + size] for row in weights.double().numpy() for at in range(0, len(row), size)]


@pytest.mark.parametrize("planes", [1, 2, 3])
def test_powers_come_near_the_best_of_all(planes: int) -> None:
    given = layer()
    found = method(f"powers(planes={planes})").quantise([given], None, None).weights[0]
    signs = np.array(list(itertools.product((-1.0, 1.0), repeat=planes)))
    scales = np.array(list(itertools.combinations_with_replacement(2.0 ** np.arange(-14, 0), planes)))
    mine, best = [], []
    for x, kept in zip(groups(given.weights, 16), groups(found, 16), strict=True):
        levels = scales @ signs.T
        errors = np.square(np.abs(x[:, None] - levels[:, None, :]).min(axis=-1)).sum(axis=-1)
        best.append(errors.min())
        mine.append(np.sum((kept - x) ** 2))
    assert (np.array(mine) >= np.array(best) * (1 - 1e-6)).all()
    assert sum(mine) <= 1.02 * sum(best)
    assert np.isclose(mine, best, rtol=1e-6).mean() > 0.9


@pytest.mark.parametrize("terms", [1, 2])
@pytest.mark.parametrize("planes", [1, 2, 4])
def test_powers_are_what_their_codes_and_scales_say(planes: int, terms: int) -> None:
    given, chosen = layer(), Powers(planes=planes, terms=terms)
    result = chosen.quantise([given], None, None)
    scales, codes = chosen.fit(Groups.of(given), planes)
    powers = {0.0, *(2.0**e for e in range(-127, 128))}
    for scale in scales.unique().tolist():
        rest = [scale - sign * power for power in powers for sign in (-1, 1)] if terms == 2 else [scale]
        assert any(abs(one) in powers for one in rest)
    bits = codes[..., None] >> torch.arange(planes) & 1
    again = ((2.0 * bits - 1) * scales[:, None]).sum(dim=-1).reshape(10, -1)[:, :72]
    assert torch.equal(again.float(), result.weights[0])
    assert result.stored_bits == (planes + planes * (8 * terms + terms - 1) * 5 / 72,)


def test_more_terms_and_planes_are_nearer() -> None:
    given = layer(k=128, name="int4/128")

    def error(text: str) -> float:
        return float((method(text).quantise([given], None, None).weights[0] - given.weights).square().sum())

    errors = [error(f"powers(planes={planes})") for planes in (1, 2, 3, 4, 6)]
    assert errors == sorted(errors, reverse=True)
    assert error("powers(planes=2,terms=3)") < error("powers(planes=2)")
    assert error("powers") == error("powers(planes=4)")


def test_no_scale_of_a_plane_can_be_bettered_alone() -> None:
    """With the codes as they are: neither twice nor half of any of the powers of two."""
    given = layer(n=50, k=32, name="int4/8")
    part = Groups.of(given)
    for planes in (2, 3, 4):
        scales, codes = Powers(planes=planes, rounds=1000).fit(part, planes)
        signs = (2 * (codes[..., None] >> torch.arange(planes) & 1) - 1).double()

        def error(tried: torch.Tensor, signs: torch.Tensor = signs) -> torch.Tensor:
            return ((signs * tried[:, None]).sum(dim=-1) - part.weights).square().sum(dim=1)

        for plane in range(planes):
            for factor in (0.5, 2.0):
                tried = scales.clone()
                tried[:, plane] *= factor
                assert (error(tried) >= error(scales) * (1 - 1e-9)).all()


@pytest.mark.parametrize(
    ("x", "terms", "wanted"),
    [(1.0, 1, 1.0), (1.5, 1, 1.0), (1.51, 1, 2.0), (0.0, 1, 0.0), (0.7, 1, 0.5), (0.7, 2, 0.75), (0.7, 3, 0.6875)],
)
def test_shifts(x: float, terms: int, wanted: float) -> None:
    assert shifts(torch.tensor([x], dtype=torch.float64), terms).item() == wanted


def test_zeros_stay_zeros() -> None:
    given = layer()
    given.weights[2] = 0.0
    for name in ("powers", "powers(planes=1)", "trits"):
        assert not method(name).quantise([given], None, None).weights[0][2].any()


def test_as_many_planes_as_the_format_has_bits_or_a_refusal() -> None:
    assert method("powers").quantise([layer(name="hif4", k=128)], None, None).stored_bits == (4 + 4 * 8 * 2 / 128,)
    with pytest.raises(HwgenError, match="planes must be 1 to 8, not the 16 bits of bf16; say how many"):
        method("powers").quantise([layer(name="bf16")], None, None)


def test_trits_come_near_the_best_of_all() -> None:
    """All pairs of scales on a fine grid, with the best trits at each; Gaussian groups of 32."""
    given = layer(n=20, k=64, name="int4/32")
    found = method("trits").quantise([given], None, None).weights[0]
    mine, best = [], []
    for x, kept in zip(groups(given.weights, 32), groups(found, 32), strict=True):
        first = np.linspace(0.1, 1.0, 46)[:, None] * np.abs(x).max()
        scales = np.stack(np.broadcast_arrays(first, first * np.linspace(0.02, 1.0, 50)), axis=-1).reshape(-1, 2)
        levels = scales @ np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=2))).T
        errors = np.zeros(len(scales))
        for value in x:
            errors += np.square(np.abs(value - levels).min(axis=1))
        best.append(errors.min())
        mine.append(np.sum((kept - x) ** 2))
    assert sum(mine) <= 1.04 * sum(best)
    assert (np.array(mine) <= 1.5 * np.array(best)).all()


def test_trits_are_what_their_codes_and_scales_say() -> None:
    given, chosen = layer(), Trits()
    result = chosen.quantise([given], None, None)
    scales, pairs = chosen.fit(Groups.of(given))
    assert torch.equal(scales, scales.half().double())
    again = (PAIRS[pairs] * scales[:, None]).sum(dim=-1).reshape(10, -1)[:, :72].float()
    assert torch.equal(again, result.weights[0])
    assert result.stored_bits == (4 + 32 * 5 / 72,)
    # The ends of both alternations: neither the pairs nor the scales can be bettered alone.
    part = Groups.of(given)
    values = (PAIRS[pairs] * scales[:, None]).sum(dim=-1)
    distance = (part.weights - values).abs()
    every = (part.weights[..., None] - (scales @ PAIRS.T)[:, None]).abs().amin(dim=-1)
    assert torch.allclose(distance, every, atol=1e-6)


def test_trits_beat_one_plane_and_rounding_of_two_bits() -> None:
    given = layer(k=128, name="int2/128")

    def error(weights: torch.Tensor) -> float:
        return float((weights - given.weights).square().sum())

    found = error(method("trits").quantise([given], None, None).weights[0])
    assert found < 0.15 * error(operand_format("ternary/128").nearest(given.weights))
    assert found < 0.5 * error(method("powers(planes=2)").quantise([given], None, None).weights[0])


def test_nearest_level_in_any_order() -> None:
    generator = torch.Generator().manual_seed(1)
    x, levels = torch.randn(6, 50, generator=generator), torch.randn(6, 7, generator=generator)
    wanted = (x[..., None] - levels[:, None]).abs().argmin(dim=-1)
    assert torch.equal(nearest_level(x, levels), wanted)
