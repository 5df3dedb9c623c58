"""The golden layer against exact rational arithmetic, bit for bit."""

from __future__ import annotations

import ast
import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from hwgen.formats import QTensor, get
from sim.golden import QuantLinear
from tests.golden import oracle
from tests.golden.operands import TOKENS, K, acts, build, codes, weights
from tests.golden.oracle import Formats, weight_name

SCHEMES = ("symmetric", "asymmetric", "minimum", "bipolar")
BITS = (1, 2, 3, 4, 8)


def check(layer: QuantLinear, x: QTensor, q: Formats) -> np.ndarray:
    got = codes(layer(x))
    assert got.tolist() == oracle.layer(layer.weights, x, q).tolist()
    return got


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("group", [0, 16])
def test_integer_activations(scheme: str, bits: int, group: int) -> None:
    q = Formats(scheme=scheme, weights=weight_name(scheme, bits), group=group)
    layer, x = build(q, bits)
    got = check(layer, layer.quantize(x), q)
    assert codes(layer(x)).tolist() == got.tolist()
    assert not got[1].any()
    assert np.unique(got).size > 2


@pytest.mark.parametrize("rounding", ["rne", "truncate"])
@pytest.mark.parametrize("scope", ["step", "group", "row"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("bits", "guard", "group"), [(2, 0, 16), (8, 3, 16), (3, 8, 0)])
def test_aligned_activations(scheme: str, bits: int, guard: int, group: int, scope: str, rounding: str) -> None:
    q = Formats(
        acts="fp16",
        act_scale="e8m0",
        scheme=scheme,
        weights=weight_name(scheme, bits),
        group=group,
        align=scope,
        align_guard=guard,
        align_rounding=rounding,
    )
    layer, x = build(q, bits)
    check(layer, layer.quantize(x), q)


@pytest.mark.parametrize("rule", ["floor", "ceil"])
@pytest.mark.parametrize("other", ["mxint8", "mxfp4", "mxfp6_e2m3", "mxfp8_e5m2"])
@pytest.mark.parametrize("element", ["mxint8", "mxfp4", "mxfp6_e3m2", "mxfp8_e4m3", "mxfp8_e5m2"])
def test_blocks(element: str, other: str, rule: str) -> None:
    q = Formats(acts=element, weights=other, scheme="mx", act_scale="e8m0", weight_scale="e8m0", block_rule=rule)
    layer, x = build(q)
    check(layer, layer.quantize(x), q)


@pytest.mark.parametrize("other", ["nvfp4", "nvint4"])
@pytest.mark.parametrize("element", ["nvfp4", "nvint4"])
def test_blocks_below_a_scale_of_the_tensor(element: str, other: str) -> None:
    q = Formats(acts=element, weights=other, scheme="nv", act_scale="fp8_e4m3", weight_scale="fp8_e4m3")
    layer, x = build(q)
    given = layer.quantize(x)
    assert given.outer is not None
    assert layer.weights.outer is not None
    check(layer, given, q)


def test_blocks_of_three_levels() -> None:
    q = Formats(acts="hif4", weights="hif4", scheme="hif4", act_scale="hif4_scale", weight_scale="hif4_scale")
    layer, x = build(q)
    given = layer.quantize(x)
    words = [*given.codes.ravel().tolist(), *layer.weights.codes.ravel().tolist()]
    assert {word >> 16 for word in words} == {0, 1, 2, 3}
    check(layer, given, q)


def test_unaligned_floating_point_is_exact() -> None:
    q = Formats(acts="fp8_e4m3", weights="uint4", scheme="asymmetric")
    layer, x = build(q)
    check(layer, layer.quantize(x), q)


def test_every_fp16_corner() -> None:
    """Infinities and NaN of both signs, subnormals, zeros and the ends of the range, in every scope."""
    corners = np.array(get("fp16").corners, np.uint32)
    rng = np.random.default_rng(3)
    for scope in ("step", "group", "row"):
        q = Formats(acts="fp16", act_scale="e8m0", weights="int8", align=scope, align_guard=3)
        layer, x = build(q)
        x = dataclasses.replace(layer.quantize(x), codes=rng.choice(corners, (TOKENS, K)))
        got = check(layer, x, q)
        assert np.isfinite(got.view(np.float32)).all()


def scaled(layer: QuantLinear, x: QTensor, rows: list[int], columns: list[int]) -> tuple[QuantLinear, QTensor]:
    """The layer and its activations with other scales: code words of each token, and of all groups of each output."""
    groups = layer.weights.groups
    column_codes = np.repeat(np.array(columns, np.uint32)[:, None], groups, axis=1)
    changed = QuantLinear(dataclasses.replace(layer.weights, scale_codes=column_codes), layer.quantization)
    return changed, dataclasses.replace(x, scale_codes=np.array(rows, np.uint32)[:, None])


BF16_TINY, BF16_HUGE = 0x0080, 0x7F00
FP16_TINY, FP16_ONE, FP16_INFINITE, FP16_NAN = 0x0001, 0x3C00, 0x7C00, 0x7E00


@pytest.mark.parametrize("scheme", SCHEMES)
def test_ends_of_fp32_and_scales_that_are_no_numbers(scheme: str) -> None:
    q = Formats(scheme=scheme, weights=weight_name(scheme, 4))
    seen: set[str] = set()
    for seed, rows in enumerate([[0x1F80, BF16_TINY, 0x0001], [BF16_HUGE, 0x7F7F, 0x3F80], [0x7F80, 0x7FC0, 0xFF80]]):
        layer, _ = build(q, seed)
        x = layer.quantize(torch.randn(TOKENS, K, generator=torch.Generator().manual_seed(seed)))
        for columns in ([FP16_TINY, FP16_ONE, 0x8003], [FP16_INFINITE, 0, FP16_NAN], [0xFC00, 0x0000, 0x03FF]):
            changed, given = scaled(layer, x, rows, columns)
            magnitude = check(changed, given, q) & 0x7FFFFFFF
            kinds = {"subnormal": magnitude > 0, "infinite": magnitude == 0x7F800000, "nan": magnitude == oracle.NAN}
            kinds["subnormal"] &= magnitude < 0x00800000
            seen |= {name for name, mask in kinds.items() if mask.any()}
    assert seen == {"subnormal", "infinite", "nan"}


def test_sums_beyond_53_bits() -> None:
    """Alignment in steps with eight guard bits: a sum times its scale is too long for float64."""
    q = Formats(acts="fp16", act_scale="e8m0", weights="uint8", scheme="asymmetric", align="step", align_guard=8)
    layer = QuantLinear.from_linear(weights(5), q)
    given = layer.quantize(acts(6, spread=20) * 2.0**11)
    # The largest number in one step, the smallest in the next.
    largest_and_smallest = given.codes.copy()
    largest_and_smallest[0, :8] = [0x7BFF] * 4 + [0x0001] * 4
    given = dataclasses.replace(given, codes=largest_and_smallest)
    check(layer, given, q)
    sums, scales = layer.group_sums(given)[0, 0].tolist(), layer.weights.scales[:, 0]
    assert max(abs(total) for total in sums) > 2**53
    exact = [Fraction(total) * Fraction(scale) for total, scale in zip(sums, scales, strict=True)]
    assert any(Fraction(float(value)) != value for value in exact)


def test_the_scope_and_the_rounding_matter() -> None:
    """Seven layers that differ in one field of the alignment differ in their outputs."""
    base = Formats(acts="fp16", act_scale="e8m0", weights="int8", align="group", align_guard=3)
    variants = [
        base,
        dataclasses.replace(base, align="row"),
        dataclasses.replace(base, align="step"),
        dataclasses.replace(base, align="step", step=2),
        dataclasses.replace(base, align_guard=2),
        dataclasses.replace(base, align_rounding="truncate"),
        dataclasses.replace(base, align=None),
    ]
    x = acts(2)
    results = {codes(QuantLinear.from_linear(weights(1), q)(x)).tobytes() for q in variants}
    assert len(results) == len(variants)


def test_group_sums_are_the_documented_integers() -> None:
    q = Formats(weights="uint4", scheme="asymmetric")
    layer, x = build(q)
    given = layer.quantize(x)
    a = given.format.decode(given.codes).astype(object)
    w = layer.weights.codes.astype(object) - np.asarray(layer.weights.zeros, object)[:, layer.weights.group_of_k]
    want = [(a[:, part] @ w[:, part].T).astype(int).tolist() for part in layer.weights.group_slices]
    assert layer.group_sums(x).tolist() == want
    values = np.array(want) * given.scales.T[:, :, None]
    assert layer.group_values(x).tolist() == values.tolist()


@pytest.mark.parametrize("scope", ["step", "group", "row"])
def test_group_values_are_the_exact_sums(scope: str) -> None:
    q = Formats(acts="fp16", act_scale="e8m0", weights="int4", align=scope, align_guard=3)
    layer, x = build(q)
    given = layer.quantize(x)
    values = oracle.activations(given, q)
    w = [[Fraction(value) for value in row] for row in layer.weights.values().tolist()]
    want = [
        [[sum(a * b for a, b in zip(row[part], column[part], strict=True)) for column in w] for row in values]
        for part in layer.weights.group_slices
    ]
    assert layer.group_values(x).tolist() == want


def test_group_sums_of_aligned_activations_count_the_units_of_their_scope() -> None:
    """An activation of 1.5 and weights of 1: E = 15; the unit is 2**(15 - 25 - 3) over a group, 2**-27 over a step."""
    form = get("int4")
    ones = QTensor.build(
        np.ones((1, 4), np.uint32), form, scale_codes=np.full((1, 1), FP16_ONE), scale_format=get("fp16")
    )
    for scope, unit in (("group", 2.0**-13), ("row", 2.0**-13), ("step", 2.0**-27)):
        q = Formats(acts="fp16", act_scale="e8m0", weights="int4", group=0, align=scope, align_guard=3)
        layer = QuantLinear(ones, q)
        x = torch.tensor([[1.5, 0.0, 0.0, 0.0]])
        assert layer.group_sums(x).tolist() == [[[1.5 / unit]]]
        assert layer.group_values(x).tolist() == [[[1.5]]]
        assert layer(x).tolist() == [[1.5]]


def test_a_module_of_any_leading_shape() -> None:
    q = Formats()
    linear = torch.nn.Linear(K, 5, bias=False)
    layer = QuantLinear.from_linear(linear, q)
    x = torch.randn(2, 3, K, generator=torch.Generator().manual_seed(0))
    for mode in ("exact", "fake"):
        result = layer(x, mode=mode)
        assert result.shape == (2, 3, 5)
        assert result.dtype == torch.float32
        assert not result.requires_grad
        assert torch.equal(result[1], layer(x[1], mode=mode))
    assert torch.equal(layer.half()(x), layer(x))
    formats = "acts=int8, weights=int4, scheme=symmetric, group=16"
    assert repr(layer) == f"QuantLinear(in_features=36, out_features=5, {formats})"


def test_golden_layers_use_no_arithmetic_of_the_tiles() -> None:
    folder = Path(__file__).parents[2] / "sim" / "golden"
    files = sorted(folder.glob("*.py"))
    assert len(files) >= 4
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top, _, rest = name.partition(".")
                assert top != "hwgen" or rest.split(".")[0] in ("errors", "formats", "quantize"), f"{path.name}: {name}"
