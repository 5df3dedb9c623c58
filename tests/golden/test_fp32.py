"""The layer that accumulates in FP32, against exact rational arithmetic and against the tiles' reference."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from hwgen.errors import HwgenError
from hwgen.formats import QTensor, get
from hwgen.pe import family
from hwgen.quantize import integer, minifloat
from hwgen.reference import run_steps
from hwgen.schedule import Layer, Schedule
from sim.epilogue import epilogue
from sim.golden import Fp32Linear, golden_layer
from sim.golden.fp32 import interleaved_sum, tree_sum
from tests.golden import oracle
from tests.golden.operands import acts, codes, weights
from tests.golden.oracle import Formats

OUTPUTS, WIDE_K = 5, 40


@dataclasses.dataclass(frozen=True)
class Fp32Formats(Formats):
    """Formats of a layer with FP32 sums."""

    acts: str = "fp16"
    weights: str = "fp16"
    scheme: str = "element"
    arithmetic: str = "fp32"
    options: tuple[tuple[str, Any], ...] = ()


def oracle_tree(values: list[int]) -> int:
    while len(values) > 1:
        odd = values[-1:] if len(values) % 2 else []
        values = [oracle.add(a, b) for a, b in zip(values[::2], values[1::2], strict=False)] + odd
    return values[0]


def oracle_sum(a: list[Any], w: list[Any], step: int, partials: int) -> int:
    """FP32 code of a group's sum; operands are `Format.decode_scalar` values."""
    products = [oracle.product(Fraction(1), x, y) for x, y in zip(a, w, strict=True)]
    updates = [oracle_tree(products[start : start + step]) for start in range(0, len(products), step)]
    sums = [0] * partials
    for number, update in enumerate(updates):
        sums[number % partials] = oracle.add(sums[number % partials], update)
    return oracle_tree([sums[(len(updates) + index) % partials] for index in range(partials)])


def scalars(tensor: QTensor) -> list[list[Any]]:
    return [[tensor.format.decode_scalar(code) for code in row] for row in tensor.codes.tolist()]


def oracle_words(layer: Fp32Linear, x: QTensor, step: int, partials: int) -> list[list[list[int]]]:
    a, w = scalars(x), scalars(layer.weights)
    return [
        [[oracle_sum(row[part], column[part], step, partials) for column in w] for row in a]
        for part in layer.weights.group_slices
    ]


def oracle_layer(layer: Fp32Linear, x: QTensor, words: list[list[list[int]]]) -> list[list[int]]:
    result = np.zeros((x.shape[0], layer.weights.shape[0]), np.uint32)
    for g, group in enumerate(words):
        for t, n in np.ndindex(*result.shape):
            value = np.array(group[t][n], np.uint32).view(np.float32)
            scales = (float(x.scales[t, 0]), float(layer.weights.scales[n, g]))
            factors = [float(value), *scales]
            exact = [Fraction(v) if np.isfinite(v) else v for v in factors]
            result[t, n] = oracle.add(int(result[t, n]), oracle.product(Fraction(1), *exact))
    return result.tolist()


@pytest.mark.parametrize("partials", [1, 2, 3, 5])
@pytest.mark.parametrize(("step", "group"), [(1, 16), (4, 0), (3, 12)])
@pytest.mark.parametrize(
    ("acts_name", "weight_name"), [("fp16", "fp16"), ("bf16", "bf16"), ("fp8_e5m2", "fp8_e4m3"), ("fp16", "fp4_e2m1")]
)
def test_layers(acts_name: str, weight_name: str, step: int, group: int, partials: int) -> None:
    q = Fp32Formats(acts=acts_name, weights=weight_name, step=step, group=group, options=(("interleave", partials),))
    layer = golden_layer(minifloat(weights(3, k=36), weight_name, group), q)
    assert isinstance(layer, Fp32Linear)
    x = layer.quantize(acts(4, k=36))
    want = oracle_words(layer, x, step, partials)
    assert layer.group_words(x).tolist() == want
    assert codes(layer(x)).tolist() == oracle_layer(layer, x, want)


def test_the_order_matters() -> None:
    """Layers that differ in their step or in their partial sums give different results."""
    x = acts(2, k=36)
    results = set()
    for step, partials in ((1, 1), (2, 1), (4, 1), (1, 2), (1, 3), (4, 3)):
        q = Fp32Formats(step=step, group=0, options=(("interleave", partials),))
        results.add(codes(golden_layer(minifloat(weights(1, k=36), "fp16"), q)(x)).tobytes())
    assert len(results) == 6


def given(a: list[int], w: list[int], name: str, partials: int = 1) -> list[int]:
    """FP32 codes of the sums of one row and one column of codes, one product a step."""
    form, one = get(name), np.full((1, 1), 127, np.uint32)
    left, right = (QTensor.build(np.array([side]), form, scale_codes=one, scale_format=get("e8m0")) for side in (a, w))
    q = Fp32Formats(acts=name, weights=name, act_scale="e8m0", group=0, step=1, options=(("interleave", partials),))
    words = golden_layer(right, q).group_words(left)
    assert words is not None
    return [int(code) for code in words.ravel()]


ONE, MINUS, INF, NAN = 0x3F80, 0xBF80, 0x7F80, 0x7FC0


@pytest.mark.parametrize(
    ("a", "w", "want"),
    [
        pytest.param([INF], [ONE], 0x7F800000, id="inf"),
        pytest.param([INF], [MINUS], 0xFF800000, id="-inf"),
        pytest.param([INF], [0x0000], 0x7FC00000, id="inf times 0 is NaN"),
        pytest.param([INF, INF], [ONE, MINUS], 0x7FC00000, id="inf - inf is NaN"),
        pytest.param([0xFFC1], [ONE], 0x7FC00000, id="NaN keeps neither sign nor payload"),
        pytest.param([0x8000], [ONE], 0x00000000, id="+0 + -0 is +0"),
        pytest.param([0x7F7F], [0x7F7F], 0x7F800000, id="a product beyond FP32 is inf"),
        pytest.param([0x0080], [0x3F00], 0x00400000, id="a product may be subnormal"),
        pytest.param([0x0080], [0x3401], 0x00000001, id="a product below half the smallest step up rounds to nearest"),
        pytest.param([0x0080], [0x3380], 0x00000000, id="a tie at half the smallest subnormal goes to zero"),
        pytest.param([0x0080], [0x3381], 0x00000001, id="above half the smallest subnormal"),
        pytest.param([0x0001], [0x0001], 0x00000000, id="subnormal times subnormal is zero"),
        pytest.param([0x7F7F, 0x7F7F], [ONE, ONE], 0x7F800000, id="a sum beyond FP32 is inf"),
    ],
)
def test_named_cases(a: list[int], w: list[int], want: int) -> None:
    # Weights that are no numbers are for tiles alone: the layer takes them as activations.
    assert given(a, w, "bf16") == [want]


def test_tree_and_partial_sums_by_hand() -> None:
    big = 2.0**24
    values = torch.tensor([big, 1.0, 1.0, -big, 1.0])
    # (big + 1) + (1 - big) + 1: the ones beside big are lost.
    assert tree_sum(values).item() == ((big + 0) + (-big + 1)) + 1
    updates = list(torch.tensor([[big], [1.0], [-big], [1.0]]))
    assert interleaved_sum(updates, 1).tolist() == [1.0]
    # big - big, then 1 + 1.
    assert interleaved_sum(updates, 2).tolist() == [2.0]
    # Three sums: the oldest is number 1 (1), then number 2 (-big), then number 0 (big + 1 = big).
    assert interleaved_sum(updates, 3).tolist() == [1.0]


@pytest.mark.parametrize(
    "values",
    [
        {"bits": 16, "adder_stages": 3, "interleave": "ring"},
        {"bits": 16, "adder_stages": 2, "interleave": "ring", "group": 0, "k": 8},
        {"bits": 8, "adder_stages": 2, "group": 12, "k": 3},
        {"acts": "bf16", "weights": "fp8_e5m2", "k": 1, "adder_stages": 3, "interleave": "ring"},
        {"acts": "bf16", "weights": "bf16"},
    ],
)
def test_tiles(values: dict[str, Any]) -> None:
    """Reference of the tile and its epilogue: two implementations that share no arithmetic."""
    spec = family("minifloat").from_values({"m": 2, "n": 2, "group": 16, "accumulator": "fp32", **values})
    k = 40 if spec.k != 3 else 36
    w, x = weights(1, OUTPUTS, k), acts(2, k=k)
    q_weights, q_acts = spec.quantize_weights(w.numpy()), spec.quantize_acts(x.numpy())
    layer = golden_layer(q_weights, spec.quantization())
    schedule = Schedule(spec, Layer("layer", x.shape[0], *w.shape))
    beats = run_steps(spec, schedule.lower(q_acts, q_weights))
    sums = schedule.collect(beats.sums)[..., 0]
    words = layer.group_words(x)
    assert words is not None
    assert sums.tolist() == words.tolist()
    rows = np.zeros(sums.shape[:2], np.int64)
    assert epilogue(spec, sums, rows, q_acts, q_weights).tolist() == codes(layer(x)).tolist()
    assert np.unique(sums).size > 3


CASES = {
    "options": (
        lambda: Fp32Linear(minifloat(weights(1), "fp16"), Fp32Formats(group=0, options=(("tree", "chain"),))),
        "Fp32Linear: options must be interleave alone, not tree",
    ),
    "alignment": (
        lambda: Fp32Linear(minifloat(weights(1), "fp16"), Fp32Formats(group=0, align="row")),
        "Fp32Linear: activations must not be aligned and weights have no zero point with arithmetic fp32, "
        "not align row and zero_kind 'none'",
    ),
    "zero point": (
        lambda: Fp32Linear(
            integer(np.ones((2, 8)), 4, 4, "asymmetric"),
            Fp32Formats(weights="uint4", scheme="asymmetric", group=4),
        ),
        "Fp32Linear: activations must not be aligned and weights have no zero point with arithmetic fp32, "
        "not align None and zero_kind 'integer'",
    ),
    "bound": (
        lambda: Fp32Linear(minifloat(weights(1), "fp16"), Fp32Formats(group=0)).bound(acts(1)),
        "Fp32Linear: bound must be asked of a layer with exact sums, not with arithmetic fp32",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_sentence(name: str) -> None:
    call, message = CASES[name]
    with pytest.raises(HwgenError) as error:
        call()
    assert str(error.value) == message
