"""Methods that change the common input, or add a thin product to what it gives."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from hwgen.errors import HwgenError
from sim.accuracy.methods import Inputs, Layer, MethodResult, method
from sim.accuracy.methods.awq import Awq, Scaled, scales_of_inputs
from sim.accuracy.methods.hadamard import Hadamard, Rotation, hadamard_matrix, rotation
from sim.accuracy.methods.lowrank import LowRank, truncated
from sim.accuracy.operand import operand_format


def outliers(k: int = 48, t: int = 160, seed: int = 0) -> Inputs:
    """Rows with a few inputs that are far larger than the others, mixed a little."""
    generator = torch.Generator().manual_seed(seed)
    size = torch.ones(k)
    size[torch.randperm(k, generator=generator)[:3]] = 25.0
    mixing = torch.eye(k) + 0.1 * torch.randn(k, k, generator=generator)
    return Inputs((torch.randn(t, k, generator=generator) @ mixing) * size)


def layers(k: int = 48, *names: str) -> list[Layer]:
    generator = torch.Generator().manual_seed(9)
    forms = names or ("int3/16",)
    return [
        Layer(f"l{place}", torch.randn(6 + 4 * place, k, generator=generator) * 0.1, operand_format(name))
        for place, name in enumerate(forms)
    ]


def outputs(result: MethodResult, rows: torch.Tensor, place: int = 0) -> torch.Tensor:
    """What takes the place of a layer gives, its input as it is."""
    x = rows if result.before is None else result.before(rows)
    y = x @ result.weights[place].T
    if result.low_rank:
        a, b = result.low_rank[place]
        y = y + x @ a.T @ b.T
    return y


def error(result: MethodResult, given: list[Layer], rows: torch.Tensor) -> float:
    return sum(
        float((outputs(result, rows, place) - rows @ layer.weights.T).square().sum())
        for place, layer in enumerate(given)
    )


# ---------------------------------------------------------------------- AWQ


def test_awq_is_the_best_of_its_grid() -> None:
    """The paper's search written out on rows: all powers, all layers of the input."""
    given, inputs = layers(48, "int3/16", "int4.asymmetric/16"), outliers()
    x = inputs.rows.double().numpy()
    magnitude = np.abs(x).mean(axis=0)
    errors, kept = [], []
    for step in range(20):
        scales = magnitude ** (step / 20)
        scales = (scales / np.sqrt(scales.max() * scales.min())).astype(np.float32)
        stored = [layer.form.nearest(layer.weights * torch.from_numpy(scales)) for layer in given]
        errors.append(
            sum(
                np.sum((x @ (own.double().numpy() / scales - layer.weights.double().numpy()).T) ** 2)
                for own, layer in zip(stored, given, strict=True)
            )
        )
        kept.append((scales, stored))
    best = int(np.argmin(errors))
    assert 0 < best < 19
    result = Awq().quantise(given, None, inputs)
    assert isinstance(result.before, Scaled)
    assert np.allclose(result.before.scales.numpy(), kept[best][0], rtol=1e-5)
    # Scales may part in the last bit, and hence a code next to a tie: weights within a step of the search's.
    for found, wanted in zip(result.weights, kept[best][1], strict=True):
        assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-6)
    assert error(result, given, inputs.rows) < 0.8 * errors[0]
    assert np.isclose(error(result, given, inputs.rows), errors[best], rtol=1e-3)


def test_awq_of_one_step_is_rounding() -> None:
    given, inputs = layers(), outliers()
    result = method("awq(steps=1)").quantise(given, None, inputs)
    assert torch.equal(result.weights[0], given[0].form.nearest(given[0].weights))
    assert torch.equal(outputs(result, inputs.rows), inputs.rows @ result.weights[0].T)


def test_awq_keeps_inputs_that_are_always_0() -> None:
    scales = scales_of_inputs(torch.tensor([4.0, 0.0, 1.0]), 0.5)
    assert torch.allclose(scales, torch.tensor([2.0, 1.0, 1.0]) / torch.tensor([2.0**0.5, 1.0, 2.0**0.5]))
    assert torch.equal(scales_of_inputs(torch.zeros(3), 0.5), torch.ones(3))
    given, rows = layers(), outliers().rows.clone()
    rows[:, 5] = 0.0
    assert torch.isfinite(method("awq").quantise(given, None, Inputs(rows)).weights[0]).all()


# ---------------------------------------------------------------------- SmoothQuant


def test_smoothquant_is_equation_4_over_all_layers() -> None:
    given, inputs = layers(48, "int8/row", "int8/row"), outliers()
    result = method("smoothquant(alpha=0.7)").quantise(given, operand_format("int8", 0), inputs)
    assert isinstance(result.before, Scaled)
    x, w = (np.abs(one).max(axis=0) for one in (inputs.rows.numpy(), torch.cat([one.weights for one in given]).numpy()))
    assert np.allclose(result.before.scales.numpy(), x**0.7 / w**0.3, rtol=1e-5)
    scales = result.before.scales
    for layer, found in zip(given, result.weights, strict=True):
        assert torch.equal(found, layer.form.nearest(layer.weights * scales))


def test_smoothquant_search_takes_the_format_of_the_input() -> None:
    given, inputs, acts = layers(48, "int8/row"), outliers(), operand_format("int4", 0)
    errors = []
    for step in range(5):
        one = method(f"smoothquant(alpha={step / 4})").quantise(given, acts, inputs)
        assert one.before is not None
        y = acts.nearest(one.before(inputs.rows)) @ one.weights[0].T
        errors.append(float((y - inputs.rows @ given[0].weights.T).square().sum()))
    found = method("smoothquant(steps=4)").quantise(given, acts, inputs)
    best = method(f"smoothquant(alpha={int(np.argmin(errors)) / 4})").quantise(given, acts, inputs)
    assert torch.equal(found.weights[0], best.weights[0])
    assert min(errors) < 0.5 * errors[0]
    free = method("smoothquant(steps=4)").quantise(given, None, inputs)
    assert not torch.equal(free.weights[0], found.weights[0])


def test_smoothquant_keeps_inputs_that_are_always_0() -> None:
    rows = outliers().rows.clone()
    rows[:, 7] = 0.0
    given = layers()
    given[0].weights[:, 9] = 0.0
    result = method("smoothquant").quantise(given, None, Inputs(rows))
    assert isinstance(result.before, Scaled)
    assert result.before.scales[7] == 1.0
    assert torch.isfinite(result.before.scales).all()
    assert (result.before.scales > 0).all()
    silent = method("smoothquant").quantise(given, None, Inputs(torch.zeros(3, 48)))
    assert torch.equal(silent.weights[0], given[0].form.nearest(given[0].weights))


# ---------------------------------------------------------------------- Hadamard


@pytest.mark.parametrize("order", [1, 2, 4, 8, 12, 20, 24, 28, 36, 60])
def test_hadamard_matrices(order: int) -> None:
    matrix = hadamard_matrix(order)
    assert np.array_equal(np.abs(matrix), np.ones((order, order)))
    assert np.array_equal(matrix @ matrix.T, order * np.eye(order))


@pytest.mark.parametrize("order", [3, 6, 16, 40])
def test_orders_without_paleys_matrix_are_refused(order: int) -> None:
    with pytest.raises(HwgenError, match=f"order must be .* not {order}"):
        hadamard_matrix(order)


@pytest.mark.parametrize(
    ("k", "block", "small"), [(64, 0, 1), (576, 0, 36), (1536, 0, 12), (48, 16, 1), (96, 0, 12), (7, 0, 7), (10, 0, 5)]
)
def test_rotations_are_orthogonal(k: int, block: int, small: int) -> None:
    turn = rotation(k, block, 5)
    assert len(turn.small) == small
    matrix = turn(torch.eye(k, dtype=torch.float64))
    assert torch.allclose(matrix @ matrix.T, torch.eye(k, dtype=torch.float64), atol=1e-12)
    size = block or k
    blocks = torch.block_diag(*[torch.ones(size, size)] * (k // size)).bool()
    assert not matrix[~blocks].any()
    if small not in (5, 7):
        assert torch.allclose(matrix[blocks].abs(), torch.tensor(size**-0.5, dtype=torch.float64))
    # Kronecker factors in the order in which they are applied.
    own = torch.kron(turn.small, turn.power) * len(turn.power) ** -0.5
    assert torch.allclose(matrix[:size, :size], turn.signs[:size, None] * own, atol=1e-12)


def test_hadamard_leaves_the_product_and_spreads_outliers() -> None:
    given, inputs = layers(576, "fp32"), outliers(576)
    result = method("hadamard").quantise(given, None, inputs)
    assert isinstance(result.before, Rotation)
    wanted = inputs.rows @ given[0].weights.T
    assert torch.allclose(outputs(result, inputs.rows), wanted, atol=1e-4 * float(wanted.abs().max()))
    turned = result.before(inputs.rows)
    assert turned.dtype == torch.float32

    def peak(rows: torch.Tensor) -> float:
        return float((rows.abs().amax(dim=1) / rows.square().mean(dim=1).sqrt()).mean())

    assert peak(turned) < 0.5 * peak(inputs.rows)


def test_hadamard_is_seeded() -> None:
    given = layers(64)
    found = [Hadamard(seed=seed).quantise(given, None, None).weights[0] for seed in (0, 0, 1)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_hadamard_blocks_divide_the_inputs() -> None:
    with pytest.raises(HwgenError, match="block must divide the 48 inputs of l0, not 32"):
        method("hadamard(block=32)").quantise(layers(), None, None)


def test_weights_of_another_method_are_rotated_with_their_inputs() -> None:
    given, inputs = layers(64, "int3/16"), outliers(64)
    turn = rotation(64)
    turned = Layer("l0", turn(given[0].weights.double()).float(), given[0].form)
    wanted = method("gptq").quantise([turned], None, Inputs(turn(inputs.rows)))
    found = method("hadamard(by=gptq)").quantise(given, None, inputs)
    assert torch.equal(found.weights[0], wanted.weights[0])
    assert error(found, given, inputs.rows) < error(
        method("hadamard").quantise(given, None, inputs), given, inputs.rows
    )


# ---------------------------------------------------------------------- low rank


def test_truncated_is_the_singular_value_decomposition() -> None:
    generator = torch.Generator().manual_seed(2)
    for shape in ((7, 12), (12, 7), (5, 5)):
        matrix = torch.randn(*shape, generator=generator, dtype=torch.float64)
        u, s, v = torch.linalg.svd(matrix)
        for rank in (1, 3, 5):
            a, b = truncated(matrix, rank)
            assert torch.allclose(b @ a, u[:, :rank] * s[:rank] @ v[:rank], atol=1e-10)
    a, b = truncated(torch.zeros(4, 6, dtype=torch.float64), 2)
    assert not (b @ a).any()


def test_eora_is_the_best_correction_of_its_rank() -> None:
    """No other B·A of the rank has a smaller error on the inputs: by the singular values of ΔW times a root of XXᵀ."""
    given, inputs = layers(48, "int3/16"), outliers()
    result = method("lowrank(rank=3)").quantise(given, None, inputs)
    change = (given[0].weights - given[0].form.nearest(given[0].weights)).double()
    values = torch.linalg.svdvals(change @ inputs.rows.double().T)
    assert np.isclose(error(result, given, inputs.rows), float(values[3:].square().sum()), rtol=2e-3)
    plain = method("lowrank(rank=3,rule=error)").quantise(given, None, inputs)
    assert error(result, given, inputs.rows) < error(plain, given, inputs.rows)


def test_eora_leaves_out_directions_that_the_inputs_have_not() -> None:
    given, rows = layers(48, "int3/16"), outliers(t=10).rows
    result = method("lowrank(rank=10)").quantise(given, None, Inputs(rows))
    a, b = result.low_rank[0]
    assert torch.isfinite(a).all()
    assert torch.isfinite(b).all()
    assert error(result, given, rows) < 1e-3 * error(method("rtn").quantise(given, None, None), given, rows)
    silent = method("lowrank").quantise(given, None, Inputs(torch.zeros(3, 48)))
    assert not silent.low_rank[0][0].any()


@pytest.mark.parametrize("rule", ["eora", "error", "weights"])
def test_a_correction_is_stored_in_fp16_and_counted(rule: str) -> None:
    given, inputs = layers(48, "int3/16", "int4/16"), outliers()
    result = LowRank(rank=4, rule=rule).quantise(given, None, inputs)
    for (a, b), layer, bits in zip(result.low_rank, given, result.extra_bits, strict=True):
        n, k = layer.weights.shape
        assert (tuple(a.shape), tuple(b.shape)) == ((4, k), (n, 4))
        assert torch.equal(a, a.half().float())
        assert torch.equal(b, b.half().float())
        assert bits == 16 * 4 * (n + k) / (n * k)
    whole = LowRank(rank=100, rule=rule).quantise(given, None, inputs)
    assert error(whole, given, inputs.rows) < 1e-4 * error(
        method("rtn").quantise(given, None, None), given, inputs.rows
    )


def test_svdquant_quantises_what_is_left() -> None:
    given = layers(48, "int3/16")
    result = method("lowrank(rank=2,rule=weights)").quantise(given, None, None)
    a, b = result.low_rank[0]
    rest = (given[0].weights.double() - b.double() @ a.double()).float()
    assert torch.equal(result.weights[0], given[0].form.nearest(rest))
    u, s, v = torch.linalg.svd(given[0].weights.double())
    assert torch.allclose(b.double() @ a.double(), u[:, :2] * s[:2] @ v[:2], atol=1e-3)


@pytest.mark.parametrize("by", ["hadamard", "awq", "smoothquant", "hadamard(by=gptq)"])
def test_a_correction_behind_a_changed_input(by: str) -> None:
    given, inputs = layers(48, "int3/16"), outliers()
    alone = method(by).quantise(given, None, inputs)
    both = method(f"lowrank(rank=3,by={by})").quantise(given, None, inputs)
    assert torch.equal(alone.weights[0], both.weights[0])
    assert error(both, given, inputs.rows) < 0.8 * error(alone, given, inputs.rows)
    # The best there is, as in the input's own basis.
    x = inputs.rows.double()
    lost = x @ given[0].weights.double().T - outputs(alone, inputs.rows).double()
    found = error(both, given, inputs.rows)
    assert np.isclose(found, float(torch.linalg.svdvals(lost)[3:].square().sum()), rtol=1e-2)


def test_corrections_add_up() -> None:
    given, inputs = layers(48, "int3/16"), outliers()
    result = method("lowrank(rank=2,by=lowrank(rank=3))").quantise(given, None, inputs)
    assert result.low_rank[0][0].shape == (5, 48)
    assert np.isclose(result.extra_bits[0], 16 * 5 * (6 + 48) / (6 * 48))


def test_weights_first_keep_the_input() -> None:
    with pytest.raises(HwgenError, match=r"by must leave the input as it is.*say awq\(by=lowrank\(rule=weights\)\)"):
        method("lowrank(rule=weights,by=awq)").quantise(layers(), None, outliers())
    assert method("awq(by=lowrank(rule=weights))").quantise(layers(), None, outliers()).low_rank


# ---------------------------------------------------------------------- together


@pytest.mark.parametrize(
    ("outer", "inner"), [*itertools.product(["awq", "smoothquant", "hadamard"], ["gptq", "clip", "hadamard", "powers"])]
)
def test_methods_follow_each_other(outer: str, inner: str) -> None:
    given, inputs = layers(48, "int4/16"), outliers()
    chosen = method(f"{outer}(by={inner})")
    assert chosen.calibrated == (method(outer).calibrated or method(inner).calibrated)
    result = chosen.quantise(given, None, inputs if chosen.calibrated else None)
    wanted = inputs.rows @ given[0].weights.T
    assert float((outputs(result, inputs.rows) - wanted).norm() / wanted.norm()) < 0.15
    assert bool(result.stored_bits) == (inner == "powers")
