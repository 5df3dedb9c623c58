"""`Grid` against the quantisers of hwgen: at their scales it gives their numbers, and what it stores is a `QTensor`."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hwgen.errors import HwgenError
from hwgen.formats import get
from sim.accuracy.methods import grid as module
from sim.accuracy.methods.grid import Grid
from sim.accuracy.operand import OperandFormat, operand_format

EXACT = (
    *("int1", "int2", "int3", "int4", "int4/32", "int4/row", "int4@fp32", "int8", "int16"),
    *("int4.asymmetric", "int3.asymmetric/32@fp32", "int4.asymmetric@bf16"),
    *("int4.minimum", "int4.minimum/32", "int2.minimum@e8m0"),
    *("int4.two_level_asymmetric", "int3.two_level_asymmetric/32", "int4.two_level_symmetric/32"),
    *("bipolar1", "bipolar2", "bipolar4/32@fp32"),
    *("e2m1", "fp8_e4m3/row", "fp8_e4m3@fp32", "e2m3@e8m0", "e5m9", "fp16", "bf16", "fp32", "e8m10"),
    *("nf4", "nf4/64@bf16", "codebook(-1,0,0.5,1)", "codebook(-2,-1,1,3)", "table(0,1,2,5,0,-1,-2,-4)"),
    *("posit8_0", "posit8_1/32", "posit4_1", "posit8_2@fp16"),
    *("powers1_6", "powers2_2/32", "apot2_5@bf16"),
    *("bitmod_fp3", "bitmod_fp4/32", "bitmod_fp4@fp16", "bitmod_fp4(-5,5,-10,0)"),
    *("mxfp4", "mxfp4.ceil", "mxint8", "mxfp8_e4m3", "mxfp8_e5m2", "mxfp6_e2m3", "mxfp6_e3m2"),
    *("nvfp4", "nvint4", "hif4"),
    *("block24:fp4_e2m1:ue5m3:nearest", "block24:int4:fp8_e4m3:ceil", "block40:e3m2:bf16:ceil"),
    *("block20:int5:e8m0:ceil", "block16:fp4_e2m1:ue4m0:nearest:tensor"),
)
"""Formats whose quantisers round at the scales that they store."""


def matrix(n: int = 12, k: int = 300) -> torch.Tensor:
    """Weights with rows of zeros, of one sign, of ties and with outliers; K is no multiple of most groups."""
    generator = torch.Generator().manual_seed(3)
    weights = torch.randn(n, k, generator=generator) * 0.05
    weights[3] = 0.0
    weights[5, :128] = 0.0
    weights[7] = weights[7].abs()
    weights[8] = torch.round(weights[8] * 64) / 64
    weights[9, ::7] *= 20
    return weights


@pytest.mark.parametrize("name", EXACT)
def test_own_scales_give_the_quantisers_numbers(name: str) -> None:
    form, weights = operand_format(name), matrix()
    grid = Grid(form, *weights.shape)
    scales = grid.scales(weights)
    assert torch.equal(grid.nearest(weights, scales) + 0.0, form.nearest(weights) + 0.0)


@pytest.mark.parametrize("name", [*EXACT, "ternary", "ternary/32"])
def test_what_is_stored_is_what_a_qtensor_dequantises_to(name: str) -> None:
    weights = matrix()
    grid = Grid(operand_format(name), *weights.shape)
    scales = grid.scales(weights)
    if not grid.plain:
        scales = grid.scales(weights, scales.outer, torch.linspace(0.5, 1.2, grid.groups, dtype=torch.float64))
    indices = grid.indices(weights * 1.3, scales)
    stored = grid.qtensor(indices, scales)
    assert stored.shape == tuple(weights.shape)
    assert np.array_equal(stored.dequantize().astype(np.float32), grid.stored(indices, scales).numpy())


@pytest.mark.parametrize("name", EXACT)
def test_a_column_is_rounded_as_in_the_whole(name: str) -> None:
    weights = matrix()
    grid = Grid(operand_format(name), *weights.shape)
    scales = grid.scales(weights)
    whole, moved = grid.indices(weights + 0.004, scales), weights.double() + 0.004
    moved = (weights + 0.004).double()
    for place in (0, 1, 63, 130, 255, 299):
        shaped = grid.column(scales, place)
        index = grid.index(moved[:, place : place + 1], shaped)
        assert torch.equal(index[:, 0], whole[:, place])
        assert torch.equal(grid.values(index, shaped)[:, 0].float(), grid.stored(whole, scales)[:, place])


@pytest.mark.parametrize("name", EXACT)
def test_groups_that_are_scaled_one_by_one_join_to_the_whole(name: str) -> None:
    weights = matrix()
    grid = Grid(operand_format(name), *weights.shape)
    outer = grid.outer(weights)
    whole = grid.scales(weights, outer)
    parts = [grid.scales(weights[:, at : at + grid.size], outer) for at in range(0, grid.k, grid.size)]
    joined = grid.join(parts)
    for part in ("codes", "value", "divisor", "zero", "selector", "level_2", "level_3"):
        mine, theirs = getattr(joined, part), getattr(whole, part)
        assert (mine is None) == (theirs is None)
        assert mine is None or torch.equal(mine, theirs), part


@pytest.mark.parametrize("name", ["int4@fp32", "int3.asymmetric@fp32", "bipolar4@fp32", "e2m1@fp32", "fp8_e4m3@fp32"])
def test_ties_are_those_of_quotients_in_fp32(name: str) -> None:
    """Numbers that are ties after a division in FP32, as quantisers with such scales divide; few are in float64."""
    form, ends = operand_format(name), torch.rand(200, generator=torch.Generator().manual_seed(1)) + 0.5
    scales = torch.tensor(form.quantise(torch.stack([ends, torch.zeros(200)], dim=1)).scales).float()
    places = torch.arange(-6, 7) + (0.0 if name.startswith("bipolar") else 0.5)
    places = torch.where(places.abs() < 4, places / 2, places) if name.startswith("e2m1") else places
    places = places * 1.125 if name.startswith("fp8") else places
    weights = torch.cat([ends[:, None], scales * places], dim=1)
    weights = weights.clamp(-ends[:, None], ends[:, None])
    grid = Grid(form, *weights.shape)
    found = grid.nearest(weights, grid.scales(weights))
    assert torch.equal(found + 0.0, form.nearest(weights) + 0.0)
    grid._quotient = torch.float64
    assert not torch.equal(grid.nearest(weights, grid.scales(weights)), found)


@pytest.mark.parametrize("name", ["ternary", "ternary/32"])
def test_ternary_is_nearest_at_the_stored_scale(name: str) -> None:
    weights = matrix()
    grid = Grid(operand_format(name), *weights.shape)
    scales = grid.scales(weights)
    levels = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    spread = grid.folded(scales).value[..., None] * levels
    distance = (grid.fold(weights)[..., None] - spread).abs()
    found = grid.fold(grid.nearest(weights, scales))
    assert torch.allclose((grid.fold(weights) - found).abs(), distance.amin(dim=-1), atol=1e-7)
    # By far the most are the quantiser's too.
    assert (grid.nearest(weights, scales) != operand_format(name).nearest(weights)).float().mean() < 1e-3


@pytest.mark.parametrize(
    "name", ["fp4_e2m1", "fp8_e4m3", "nf4", "posit8_0", "posit4_1", "powers2_6", "bipolar4", "ternary", "e5m2"]
)
def test_thresholds_are_where_the_format_changes_its_mind(name: str) -> None:
    form = get(name)
    thresholds = module._thresholds(form).numpy()
    above, below = form.decode(form.encode(thresholds)), form.decode(form.encode(np.nextafter(thresholds, -np.inf)))
    levels = module._levels(form).numpy()
    assert np.array_equal(above, levels[1:])
    assert np.array_equal(below, levels[:-1])


def test_a_share_scales_to_less_than_the_largest() -> None:
    weights = matrix()
    grid = Grid(operand_format("int4@fp32"), *weights.shape)
    half = grid.scales(weights, None, 0.5)
    assert torch.allclose(half.value * 2, grid.scales(weights).value, rtol=1e-6)
    assert torch.equal(grid.scales(weights, None, 1.0).codes, grid.scales(weights).codes)


def test_choose_takes_each_group_from_one_of_two() -> None:
    weights = matrix(k=256)
    grid = Grid(operand_format("hif4"), *weights.shape)
    one, other = grid.scales(weights), grid.scales(weights, None, 0.4)
    first = torch.arange(grid.groups).expand(12, -1) % 2 == 0
    mixed = grid.folded(grid.choose(first, one, other))
    for part in ("value", "level_2", "level_3"):
        wanted = torch.where(first[..., None], getattr(grid.folded(one), part), getattr(grid.folded(other), part))
        assert torch.equal(getattr(mixed, part), wanted)


@pytest.mark.parametrize("name", ["int4.asymmetric", "int4.minimum", "bitmod_fp4", "int4.two_level_symmetric"])
def test_codes_alone_are_no_scales_where_groups_have_more(name: str) -> None:
    weights = matrix()
    grid = Grid(operand_format(name), *weights.shape)
    with pytest.raises(HwgenError, match="groups have more than a scale"):
        grid.at(weights, grid.scales(weights).codes)


def test_a_scheme_without_a_grid_is_refused() -> None:
    form = OperandFormat("x", "int4", "lattice", 128, "fp16")
    with pytest.raises(HwgenError, match=r"scheme must be one of symmetric, .* not 'lattice'"):
        Grid(form, 4, 128)


@pytest.mark.parametrize("name", ["razer_fp4", "trit_planes", "any4", "sherry", "roots4"])
def test_groups_that_choose_a_table_have_no_grid(name: str) -> None:
    with pytest.raises(HwgenError, match=r"have no grid; use method rtn$|scheme must be one of symmetric, "):
        Grid(operand_format(name), 4, 128)


def test_what_the_quantiser_refuses_is_refused() -> None:
    with pytest.raises(HwgenError, match="multiple of 4 columns, not 30"):
        Grid(operand_format("hif4"), 4, 30)
