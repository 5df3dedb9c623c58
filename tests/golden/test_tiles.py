"""The golden layer against the tiles' reference and the epilogue: two implementations that share no arithmetic."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import QTensor
from hwgen.pe import TileSpec, family
from hwgen.quantize import acts_for
from hwgen.reference import run_steps
from hwgen.schedule import Layer, Schedule
from sim.epilogue import apply_outer, epilogue
from sim.golden import QuantLinear, golden_layer
from tests.golden.operands import K, acts, codes, weights

OUTPUTS = 5
SMALL: dict[str, Any] = {"m": 2, "n": 2, "k": 4, "group": 16}


def tile(name: str, **values: Any) -> TileSpec:
    return family(name).from_values(SMALL | values)


def run(spec: TileSpec, w: QTensor, x: QTensor) -> tuple[np.ndarray, np.ndarray | None]:
    """Output codes [T, N] of the tile and its epilogue, and the corrected sums [G, T, N] where it puts out sums."""
    schedule = Schedule(spec, Layer("layer", x.shape[0], *w.shape))
    beats = run_steps(spec, schedule.lower(x, w))
    if beats.y is not None:
        return apply_outer(schedule.collect(beats.y), x, w), None
    sums, rows = schedule.collect(beats.sums)[..., 0], schedule.collect_rows(beats.rows)
    zeros = spec.zero_points(w)
    if zeros is not None:
        zeros = np.broadcast_to(zeros, (w.shape[0], w.groups)).T
    return epilogue(spec, sums, rows, x, w), spec.correct(sums, rows, zeros)


def compare(spec: TileSpec, seed: int = 1) -> None:
    w, x = weights(seed, OUTPUTS), acts(seed + 1)
    layer = golden_layer(spec.quantize_weights(w.numpy()), spec.quantization())
    y, sums = run(spec, spec.quantize_weights(w.numpy()), spec.quantize_acts(x.numpy()))
    assert codes(layer(x)).tolist() == y.tolist()
    assert np.unique(y).size > 3
    if sums is not None and spec.quantization().arithmetic == "exact":
        finer = spec.row_lsb_exp + spec.weight_format.lsb_exp - spec.lsb_exp
        assert (layer.group_sums(x) << finer).tolist() == sums.tolist()


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric", "minimum", "bipolar"])
def test_int(scheme: str, bits: int) -> None:
    compare(tile("int", bits=bits, scheme=scheme), bits)


@pytest.mark.parametrize("values", [{"acts": "int4"}, {"acts": "int16"}, {"group": 0}, {"act_scale": "fp8_e4m3"}])
def test_int_with_other_parameters(values: dict[str, Any]) -> None:
    compare(tile("int", bits=4, scheme="asymmetric", **values))


@pytest.mark.parametrize("planes", [1, 2, 4])
@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric", "minimum", "bipolar"])
def test_bitserial(scheme: str, planes: int) -> None:
    compare(tile("bitserial", bits=4, scheme=scheme, planes=planes), planes)
    if scheme != "bipolar":
        compare(tile("bitserial", bits=5, scheme=scheme, planes=planes, acts="int4"), planes)


@pytest.mark.parametrize("values", [{}, {"weight_planes": 2, "act_planes": 3}, {"act_planes": 4, "group": 0}])
@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric", "minimum"])
def test_bitplane(scheme: str, values: dict[str, Any]) -> None:
    compare(tile("bitplane", bits=3, acts="int5", scheme=scheme, **values), 3)


@pytest.mark.parametrize(("bits", "acts"), [(1, "bipolar1"), (2, "bipolar2"), (1, "bipolar8"), (3, "bipolar2")])
def test_odd_integers_on_both_sides(bits: int, acts: str) -> None:
    compare(tile("bitplane", bits=bits, acts=acts), bits)


PLAIN = {"planes": "twos_complement", "symmetry": "none"}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("int", {}),
        ("int", {"post_lanes": 2}),
        ("lut", {}),
        ("lut", PLAIN),
        ("lut", {"entries": "int8"}),
        ("lut", {"acts": "fp16", "align_scope": "step"}),
        ("lut", {"acts": "fp16", "cell": "fp_add", **PLAIN}),
        ("bitserial", {}),
        ("bitserial", {"planes": 2, "post_lanes": 2}),
        ("bitplane", {"acts": "int4"}),
        ("mixpe", {}),
        ("mixpe", {"acts": "fp16", "post_lanes": 2}),
        ("mixpe", {"dequant": "channel", "group": 0}),
    ],
)
def test_ternary(name: str, values: dict[str, Any]) -> None:
    spec = tile(name, bits="1.58", **values)
    assert (spec.quantization().scheme, spec.quantization().weights) == ("ternary", "int2")
    w = weights(2, OUTPUTS).numpy()
    assert set(spec.quantize_weights(w).values().ravel().tolist()) == {-1.0, 0.0, 1.0}
    compare(spec, 2)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("shiftadd", {}),
        ("shiftadd", {"bits": 4, "post_lanes": 2}),
        ("shiftadd", {"bits": 5, "scheme": "apot", "acts": "fp16"}),
        ("shiftadd", {"bits": 6, "acts": "fp8_e4m3", "align_scope": "step"}),
        ("bitfusion", {"k": 1}),
        ("bitfusion", {"k": 1, "bits": 2, "acts": "int4"}),
        ("bitfusion", {"k": 1, "bits": 4, "acts": "int4", "scheme": "asymmetric", "post_lanes": 1}),
        ("bitfusion", {"k": 2, "bits": 8, "scheme": "asymmetric"}),
    ],
)
def test_sums_of_powers_and_fused_bricks(name: str, values: dict[str, Any]) -> None:
    compare(tile(name, **values))


@pytest.mark.parametrize("values", [{}, {"mapping": "widely", "group": 0}, {"acts": "int4", "group": 6, "k": 2}])
def test_complex_weights(values: dict[str, Any]) -> None:
    compare(tile("complex", **values))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("ant", {}),
        ("ant", {"weights": "pot4", "acts": "flint4", "group": 0}),
        ("ant", {"acts": "int8", "post_lanes": 2}),
        ("olive", {}),
        ("olive", {"acts": "int8", "post_lanes": 2}),
        ("olive", {"weights": "int8", "weight_scale": "fp32"}),
    ],
)
def test_border_decoders(name: str, values: dict[str, Any]) -> None:
    compare(tile(name, **values))


@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric"])
@pytest.mark.parametrize("name", ["int", "lut"])
def test_post_lanes(name: str, scheme: str) -> None:
    compare(tile(name, bits=4, scheme=scheme, post_lanes=2))


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric", "minimum", "bipolar"])
def test_lut_with_integers(scheme: str, bits: int) -> None:
    compare(tile("lut", bits=bits, scheme=scheme), bits)
    if scheme != "bipolar":
        compare(tile("lut", bits=bits, scheme=scheme, planes="twos_complement", symmetry="none"), bits)


@pytest.mark.parametrize("rounding", ["rne", "truncate"])
@pytest.mark.parametrize("scope", ["step", "group", "row"])
@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric", "minimum", "bipolar"])
@pytest.mark.parametrize(("bits", "guard"), [(2, 0), (8, 3)])
def test_lut_with_aligned_activations(scheme: str, bits: int, guard: int, scope: str, rounding: str) -> None:
    values = {"bits": bits, "scheme": scheme, "acts": "fp16", "guard_bits": guard}
    compare(tile("lut", align_scope=scope, align_rounding=rounding, **values), bits)


@pytest.mark.parametrize("tables", [2, 3, 4])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"planes_per_cycle": 3, "post_lanes": 2},
        {"scheme": "symmetric", "planes": "twos_complement", "symmetry": "none"},
        {"acts": "fp16", "align_scope": "step"},
        {"entries": "int8", "acts": "int16"},
        {"entries": "int8", "acts": "fp8_e4m3", "align_scope": "step"},
        {"entries": "int8", "entry_rule": "max127", "precompute": "external", "scheme": "bipolar"},
        {"cell": "fp_add", "acts": "fp16", "scheme": "bipolar", "planes_per_cycle": 3},
        {"cell": "fp_add", "acts": "bf16", **PLAIN, "scheme": "symmetric", "adder_stages": 2, "interleave": "ring"},
    ],
)
def test_lut_with_several_tables(values: dict[str, Any], tables: int) -> None:
    compare(tile("lut", k=2, bits=3, tables=tables, group=24, depth=24, **values), tables)


@pytest.mark.parametrize("scope", ["step", "group", "row"])
def test_lut_lanes_with_aligned_activations(scope: str) -> None:
    compare(tile("lut", bits=3, acts="fp16", align_scope=scope, post_lanes=2))


@pytest.mark.parametrize("rule", ["floor", "ceil"])
@pytest.mark.parametrize("other", ["mxint8", "mxfp4", "mxfp6_e2m3", "mxfp8_e5m2"])
@pytest.mark.parametrize("element", ["mxint8", "mxfp4", "mxfp6_e3m2", "mxfp8_e4m3", "mxfp8_e5m2"])
def test_mx(element: str, other: str, rule: str) -> None:
    compare(tile("mx", acts=element, weights=other, block_rule=rule, post_lanes=2))


@pytest.mark.parametrize("other", ["nvfp4", "nvint4"])
@pytest.mark.parametrize("element", ["nvfp4", "nvint4"])
def test_mx_with_a_scale_of_the_tensor(element: str, other: str) -> None:
    compare(tile("mx", acts=element, weights=other, post_lanes=2))


@pytest.mark.parametrize("acts", ["mxint8", "mxfp8_e4m3", "mxfp6_e3m2", "mxfp4"])
@pytest.mark.parametrize("mode_set", ["mx", "mx_narrow"])
def test_mx_with_modes(mode_set: str, acts: str) -> None:
    compare(tile("mx", acts=acts, mode_set=mode_set, post_lanes=2))
    compare(tile("mx", acts=acts, weights="mxfp6_e2m3", mode_set=mode_set, mode_pairs="any", post_lanes=2))
    compare(tile("mx", acts=acts, mode_set=mode_set, int8_products="parts", post_lanes=2))


def test_mx_with_scales_of_three_levels() -> None:
    compare(tile("mx", acts="hif4", weights="hif4", group=64, post_lanes=2))


def test_ends_of_fp32() -> None:
    """Scales that overflow, vanish or are no numbers: epilogue, lanes and golden layer agree on the codes."""
    for values in ({}, {"post_lanes": 2}, {"scheme": "minimum"}):
        spec = tile("int", **({"bits": 4, "scheme": "asymmetric"} | values))
        w = spec.quantize_weights(weights(1, OUTPUTS).numpy())
        scales = np.resize([0x0001, 0x7BFF, 0x7C00, 0x7E00, 0x3C00, 0x8001, 0], (OUTPUTS, 3))
        w = dataclasses.replace(w, scale_codes=scales)
        x = acts_for(spec.quantization(), acts(2).numpy())
        for scale in (0x0001, 0x0080, 0x7F7F, 0x7F80, 0x7FC0, 0xFF00):
            given = dataclasses.replace(x, scale_codes=np.full((3, 1), scale))
            y, _ = run(spec, w, given)
            assert codes(QuantLinear(w, spec.quantization())(given)).tolist() == y.tolist()


def test_the_epilogue_refuses_what_does_not_fit() -> None:
    spec = tile("int", bits=4, scheme="minimum")
    w, x = spec.quantize_weights(weights(1, OUTPUTS).numpy()), spec.quantize_acts(acts(2).numpy())
    sums, rows = np.zeros((3, 3, OUTPUTS), np.int64), np.zeros((3, 3), np.int64)
    with pytest.raises(HwgenError) as error:
        epilogue(spec, sums[..., None], rows, x, w)
    assert str(error.value) == "epilogue: sums must have shape [3, 3, 5], not [3, 3, 5, 1]"
    with pytest.raises(HwgenError) as error:
        epilogue(spec, sums, rows[:1], x, w)
    assert str(error.value) == "epilogue: rows must have shape [3, 3], not [1, 3]"
    scales = np.full((3, 2), 0x3F80)
    halves = QTensor.build(x.codes, x.format, group_size=18, scale_codes=scales, scale_format=x.scale_format)
    with pytest.raises(HwgenError) as error:
        epilogue(spec, sums, rows, halves, w)
    assert str(error.value) == "epilogue: acts must have 1 or 3 scales a token, not 2"
    assert w.zero is not None
    with pytest.raises(HwgenError) as error:
        epilogue(spec, sums, rows, x, dataclasses.replace(w, zero=w.zero + 2.0**-40))
    assert str(error.value) == "epilogue: minima must be fp16 numbers, like the scales"


def test_a_wrong_group_order_would_be_seen() -> None:
    """FP32 addition is not associative: on these operands the groups in another order give other codes."""
    spec = tile("int", bits=8)
    w, x = spec.quantize_weights(weights(1, OUTPUTS).numpy()), spec.quantize_acts(acts(2).numpy())
    schedule = Schedule(spec, Layer("layer", 3, OUTPUTS, K))
    sums = schedule.collect(run_steps(spec, schedule.lower(x, w)).sums)[..., 0]
    rows = np.zeros((3, 3), np.int64)
    backwards = dataclasses.replace(w, scale_codes=w.scale_codes[:, ::-1])
    right, wrong = epilogue(spec, sums, rows, x, w), epilogue(spec, sums[::-1], rows, x, backwards)
    assert codes(QuantLinear(w, spec.quantization())(x)).tolist() == right.tolist() != wrong.tolist()
    assert np.allclose(right.view(np.float32), wrong.view(np.float32), rtol=1e-5, atol=1e-5)
