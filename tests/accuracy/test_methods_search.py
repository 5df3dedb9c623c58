"""Searches of scales against all that could have been chosen."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hwgen.errors import HwgenError
from hwgen.formats import get
from sim.accuracy.methods import Inputs, Layer, method
from sim.accuracy.methods.clip import Clip, clipped
from sim.accuracy.methods.grid import Grid
from sim.accuracy.methods.scales import BlockScales
from sim.accuracy.operand import operand_format

E2M1 = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])
E2M1 = np.concatenate([-E2M1[:0:-1], E2M1])


def heavy(n: int, k: int, seed: int = 0) -> torch.Tensor:
    """Weights with tails, where clipping pays."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, k, generator=generator).pow(3) * 0.02


def nearest(x: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """By all distances."""
    return levels[np.abs(x[..., None] - levels).argmin(axis=-1)]


def test_clip_is_the_best_of_its_shares() -> None:
    weights, chosen = heavy(6, 40), Clip(least=0.2, steps=16)
    found = chosen.quantise([Layer("a", weights, operand_format("int4/16"))], None, None).weights[0].double().numpy()
    w = weights.double().numpy()
    for n in range(6):
        for group in (slice(0, 16), slice(16, 32), slice(32, 40)):
            x = w[n, group]
            errors = []
            for share in chosen.shares():
                scale = float(np.float16(np.abs(x).max() * share / 7))
                errors.append(np.sum((np.clip(np.rint(x / scale), -7, 7) * scale - x) ** 2))
            assert np.isclose(np.sum((found[n, group] - x) ** 2), min(errors), rtol=1e-6)


FORMATS = (
    *("int4/32", "int3.asymmetric/32", "int4.minimum/32", "int2/row", "int4.two_level_asymmetric/32", "bipolar2/32"),
    *("bipolar1/32", "ternary/32", "e3m2/32", "nf4/32", "posit8_0/32", "bitmod_fp3/32", "mxfp4", "nvfp4", "hif4"),
)


@pytest.mark.parametrize("name", FORMATS)
def test_clip_makes_no_group_worse_and_stays_in_the_format(name: str) -> None:
    layer = Layer("a", heavy(8, 112), operand_format(name))
    found = method("clip").quantise([layer], None, None).weights[0]
    grid, scales = clipped(layer, Clip().shares())
    indices = grid.indices(layer.weights, scales)
    assert np.array_equal(grid.qtensor(indices, scales).dequantize().astype(np.float32), found.numpy())
    before = grid.fold(grid.nearest(layer.weights, grid.scales(layer.weights)) - layer.weights)
    after = grid.fold(found - layer.weights)
    assert (grid.squares(after) <= grid.squares(before) * (1 + 1e-6)).all()
    # One plane has its best scale by rule; powers of two, and HiF4's exponents, have few others that are near.
    if name not in ("bipolar1/32", "mxfp4", "posit8_0/32", "hif4"):
        assert after.square().sum() < before.square().sum()


@pytest.mark.parametrize("name", ["clip(least=0.2,steps=16,weigh=True)", "scales(octaves=8,weigh=True)"])
def test_errors_may_be_weighed_by_the_inputs(name: str) -> None:
    """Of two candidates of a block the one is taken that the loud inputs want."""
    generator = torch.Generator().manual_seed(8)
    layer = Layer("a", heavy(6, 64, seed=6), operand_format("e2m1/32@e8m0"))
    rows = torch.randn(50, 64, generator=generator) * torch.exp(2 * torch.randn(64, generator=generator))
    weight = rows.double().square().mean(dim=0).numpy()
    chosen = method(name)
    assert chosen.calibrated
    assert not method(name.partition("(")[0]).calibrated
    found = chosen.quantise([layer], None, Inputs(rows)).weights[0].double().numpy()
    w = layer.weights.double().numpy()
    for n in range(6):
        for block in (slice(0, 32), slice(32, 64)):
            x = w[n, block]
            tried = [nearest(x / scale, E2M1) * scale for scale in 2.0 ** np.arange(-20, 4)]
            errors = [np.sum(weight[block] * (one - x) ** 2) for one in tried]
            mine = np.sum(weight[block] * (found[n, block] - x) ** 2)
            assert mine >= min(errors) * (1 - 1e-9)
            if name.startswith("scales"):
                assert np.isclose(mine, min(errors), rtol=1e-6)
    plain = method(name.replace(",weigh=True", "")).quantise([layer], None, None).weights[0].double().numpy()
    assert np.sum(weight * (found - w) ** 2) < np.sum(weight * (plain - w) ** 2)
    with pytest.raises(HwgenError, match="needs a calibration text"):
        chosen.quantise([layer], None, None)


def test_clip_of_what_is_not_scaled_is_rounding() -> None:
    layer = Layer("a", heavy(3, 20), operand_format("bf16"))
    assert torch.equal(method("clip").quantise([layer], None, None).weights[0], layer.form.nearest(layer.weights))


def test_four_six_against_its_definition() -> None:
    weights = heavy(5, 64, seed=4)
    found = method("scales(rule=four_six)").quantise([Layer("a", weights, operand_format("nvfp4"))], None, None)
    w, scales = weights.numpy(), get("fp8_e4m3")
    outer = np.float32(np.abs(w).max()) / np.float32(6 * 256)
    wanted, fours = np.zeros_like(w), 0
    for n in range(5):
        for start in range(0, 64, 16):
            x = w[n, start : start + 16]
            tried = []
            for top in (6.0, 4.0):
                scale = float(scales.decode(scales.encode(float(np.abs(x).max() / np.float32(top) / outer))))
                step = scale * float(outer)
                tried.append(nearest(x.astype(np.float64) / step, E2M1) * step)
            errors = [np.sum((one - x) ** 2) for one in tried]
            fours += errors[1] < errors[0]
            wanted[n, start : start + 16] = tried[int(errors[1] < errors[0])]
    assert 0 < fours < 20
    assert np.array_equal(found.weights[0].numpy(), wanted)


@pytest.mark.parametrize(("name", "block", "octaves"), [("mxfp4", 32, 8), ("nvfp4", 16, 1), ("e2m1/32@e8m0", 32, 8)])
def test_search_is_the_best_of_all_codes(name: str, block: int, octaves: int) -> None:
    weights = heavy(3, 64, seed=5)
    layer = Layer("a", weights, operand_format(name))
    found = BlockScales(octaves=octaves).quantise([layer], None, None).weights[0].double().numpy()
    w, own = weights.double().numpy(), layer.form.quantise(weights.numpy())
    form = own.scale_format
    outer = 1.0 if own.outer is None else float(own.outer[0, 0])
    # All of them: for nvfp4 those that are near enough, which the best ones are.
    every = form.decode(np.arange(255 if name != "nvfp4" else 127, dtype=np.uint32))
    for n in range(3):
        for start in range(0, 64, block):
            x = w[n, start : start + block]
            errors = [
                np.sum((nearest(x / (scale * outer), E2M1) * scale * outer - x) ** 2) for scale in every if scale > 0
            ]
            assert np.isclose(np.sum((found[n, start : start + block] - x) ** 2), min(errors), rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["mxfp4", "mxint8", "mxfp8_e4m3", "nvfp4", "nvint4", "hif4", "posit8_0/32", "e2m1/32@e8m0"]
)
@pytest.mark.parametrize("k", [64, 112])
def test_search_makes_no_block_worse_and_stays_in_the_format(name: str, k: int) -> None:
    layer = Layer("a", heavy(6, k), operand_format(name))
    grid, scales = BlockScales().search(layer)
    found = BlockScales().quantise([layer], None, None).weights[0]
    stored = grid.qtensor(grid.indices(layer.weights, scales), scales)
    assert np.array_equal(stored.dequantize().astype(np.float32), found.numpy())
    before = grid.fold(layer.form.nearest(layer.weights) - layer.weights)
    after = grid.fold(found - layer.weights)
    assert (grid.squares(after) <= grid.squares(before) * (1 + 1e-6)).all()


def test_search_takes_blocks_of_zeros_as_they_are() -> None:
    weights = heavy(2, 64)
    weights[0, :32] = 0.0
    for name in ("nvfp4", "mxfp4", "hif4"):
        found = method("scales").quantise([Layer("a", weights, operand_format(name))], None, None).weights[0]
        assert not found[0, :32].any()
        assert torch.isfinite(found).all()
    nothing = Layer("a", torch.zeros(2, 32), operand_format("nvfp4"))
    for rule in ("search", "four_six"):
        assert not method(f"scales(rule={rule})").quantise([nothing], None, None).weights[0].any()


@pytest.mark.parametrize(
    "name", ["int4", "nf4", "int4.asymmetric@e8m0", "bitmod_fp4", "bf16", "int4.two_level_symmetric"]
)
def test_search_refuses_other_scales(name: str) -> None:
    layer = Layer("mlp.up", heavy(2, 64), operand_format(name))
    with pytest.raises(
        HwgenError, match=r"block scales of at most 3 mantissa bits.*layer mlp.up.*clip searches others"
    ):
        method("scales").quantise([layer], None, None)


@pytest.mark.parametrize("name", ["mxfp4", "nvint4", "int4"])
def test_four_six_is_of_nvfp4_only(name: str) -> None:
    layer = Layer("a", heavy(2, 64), operand_format(name))
    with pytest.raises(HwgenError, match="rule four_six must have the format nvfp4, not"):
        method("scales(rule=four_six)").quantise([layer], None, None)


def test_own_scale_beats_equals() -> None:
    """A block that every scale stores exactly keeps the format's own."""
    weights = torch.zeros(1, 32)
    weights[0, 0] = 1.0
    layer = Layer("a", weights, operand_format("mxfp4"))
    _, scales = BlockScales().search(layer)
    assert scales.codes.item() == Grid(layer.form, 1, 32).scales(weights).codes.item()
