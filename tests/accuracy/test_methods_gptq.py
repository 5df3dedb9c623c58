"""GPTQ against optimal brain quantisation written out: every inverse anew, row by row, no Cholesky factor."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from hwgen.errors import HwgenError
from sim.accuracy.methods import Inputs, Layer, method
from sim.accuracy.methods.gptq import Gptq
from sim.accuracy.operand import operand_format

Matrix = npt.NDArray[np.float64]


def case(n: int = 5, k: int = 24, t: int = 80, seed: int = 0) -> tuple[torch.Tensor, Inputs]:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(n, k, generator=generator) * 0.1
    mixing = torch.eye(k) + 0.3 * torch.randn(k, k, generator=generator)
    return weights, Inputs(torch.randn(t, k, generator=generator) @ mixing)


def damped(rows: torch.Tensor, damping: float) -> Matrix:
    """2 XᵀX / T with the damping of the original's code."""
    x = rows.double().numpy()
    hessian = 2.0 * x.T @ x / len(x)
    dead = np.diag(hessian) == 0
    hessian[dead, dead] = 1.0
    return hessian + damping * np.mean(np.diag(hessian)) * np.eye(len(hessian))


def int4_scale(group: Matrix) -> float:
    return float(np.float16(np.max(np.abs(group)) / 7.0))


def int4_round(value: float, scale: float) -> float:
    return scale * float(np.clip(np.rint(value / scale), -7, 7)) if scale else 0.0


def brain(weights: Matrix, hessian: Matrix, size: int, order: npt.NDArray[np.int64], static: bool) -> Matrix:
    """Optimal brain quantisation in a given order of columns, one row after the other.

    Each step inverts H of the columns that are not rounded yet, rounds the next one and moves the others by
    -(w - q) / [H⁻¹]_jj · H⁻¹_:j (equations 2 and 3 of GPTQ, of OBQ).
    """
    found = np.zeros_like(weights)
    for n, original in enumerate(weights):
        row = original.copy()
        scales: dict[int, float] = {}
        for step, j in enumerate(order):
            group = j // size
            if group not in scales:
                source = original if static else row
                scales[group] = int4_scale(source[group * size : (group + 1) * size])
            found[n, j] = int4_round(row[j], scales[group])
            rest = order[step:]
            inverse = np.linalg.inv(hessian[np.ix_(rest, rest)])
            row[rest] -= (row[j] - found[n, j]) / inverse[0, 0] * inverse[:, 0]
    return found


@pytest.mark.parametrize("size", [8, 24, 16])
@pytest.mark.parametrize("order", [False, True])
def test_equals_optimal_brain_quantisation(size: int, order: bool) -> None:
    weights, inputs = case()
    layer = Layer("a", weights, operand_format(f"int4/{size}"))
    found = Gptq(order=order, block=8).quantise([layer], None, inputs).weights[0]
    hessian = damped(inputs.rows, 0.01)
    places = np.argsort(-np.diag(hessian), kind="stable") if order else np.arange(24)
    wanted = brain(weights.double().numpy(), hessian, size, places, order)
    assert np.array_equal(found.numpy(), wanted.astype(np.float32))
    # And it is not what rounding to nearest gives.
    assert not torch.equal(found, layer.form.nearest(weights))


@pytest.mark.parametrize("name", ["int4/8", "int3.asymmetric/12", "nvfp4", "mxfp4", "hif4", "bitmod_fp3/16", "nf4/24"])
def test_blocks_are_speed_only(name: str) -> None:
    weights, inputs = case(k=96, t=200)
    layer = Layer("a", weights, operand_format(name))
    found = [Gptq(block=block).quantise([layer], None, inputs).weights[0] for block in (1, 10, 32, 128)]
    assert all(torch.equal(one, found[0]) for one in found[1:])


FORMATS = (
    *("int4/32", "int4/row", "int3.asymmetric/32", "int4.minimum/32", "int2.two_level_asymmetric/32"),
    *("int4.two_level_symmetric/32", "bipolar2/32", "bipolar1/32", "ternary/32", "fp8_e4m3/row", "e3m2/48"),
    *("bf16", "nf4/32", "posit8_0/32", "posit4_1/32", "bitmod_fp3/32", "bitmod_fp4/48", "mxfp4", "mxint8"),
    *("mxfp4.ceil", "nvfp4", "nvint4", "hif4"),
)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("order", [False, True])
def test_weights_are_those_of_a_qtensor_and_better_on_the_inputs(name: str, order: bool) -> None:
    weights, inputs = case(n=16, k=112, t=300)
    layer = Layer("a", weights, operand_format(name))
    chosen = Gptq(order=order)
    result = chosen.quantise([layer], None, inputs).weights[0]
    ((grid, indices, scales),) = chosen.codes([layer], inputs)
    stored = grid.qtensor(indices, scales)
    assert np.array_equal(stored.dequantize().astype(np.float32), result.numpy())
    assert result.dtype == torch.float32

    def error(kept: torch.Tensor) -> float:
        return float(((kept - weights) @ inputs.rows.T).square().sum())

    nearest = layer.form.nearest(weights)
    assert error(result) < error(nearest)


def test_layers_of_a_group_are_independent() -> None:
    weights, inputs = case(n=8)
    forms = [operand_format("int4/8"), operand_format("int3.asymmetric/12")]
    layers = [Layer("a", weights, forms[0]), Layer("b", weights[:3] * 2, forms[1])]
    both = Gptq().quantise(layers, None, inputs).weights
    for layer, found in zip(layers, both, strict=True):
        assert torch.equal(Gptq().quantise([layer], None, inputs).weights[0], found)


def test_dead_inputs_get_weights_of_zero() -> None:
    weights, inputs = case()
    rows = inputs.rows.clone()
    rows[:, [3, 17]] = 0.0
    layer = Layer("a", weights, operand_format("int4/8"))
    found = Gptq().quantise([layer], None, Inputs(rows)).weights[0]
    assert not found[:, [3, 17]].any()
    hollow = weights.clone()
    hollow[:, [3, 17]] = 0.0
    wanted = brain(hollow.double().numpy(), damped(rows, 0.01), 8, np.arange(24), False)
    assert np.array_equal(found.numpy(), wanted.astype(np.float32))
    silent = Gptq().quantise([layer], None, Inputs(torch.zeros(4, 24))).weights[0]
    assert not silent.any()


def test_without_damping_few_rows_are_refused() -> None:
    weights, inputs = case(t=6)
    layer = Layer("mlp.down", weights, operand_format("int4/8"))
    with pytest.raises(HwgenError, match=r"damping must be enough for the inputs of mlp.down.*not 0; try 0.01"):
        Gptq(damping=0.0).quantise([layer], None, inputs)
    assert torch.isfinite(Gptq().quantise([layer], None, inputs).weights[0]).all()


def test_more_damping_is_nearer_to_rounding() -> None:
    weights, inputs = case()
    layer = Layer("a", weights, operand_format("int4/8"))
    nearest = layer.form.nearest(weights)
    found = method("gptq(damping=10)").quantise([layer], None, inputs).weights[0]
    usual = method("gptq").quantise([layer], None, inputs).weights[0]
    assert (found != nearest).sum() < (usual != nearest).sum()
