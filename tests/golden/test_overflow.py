"""Sums that saturate or wrap: layers that the golden layer defines run bit for bit, all others are refused."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.frame.spec import TileSpec
from hwgen.pe import family
from hwgen.quantize import acts_for, weights_for
from hwgen.reference import run_steps
from hwgen.schedule import Layer, Schedule
from sim.golden import golden_layer
from sim.run import run_layer

TILES: dict[str, tuple[str, dict[str, Any]]] = {
    "int saturates": ("int", {"bits": 4, "overflow": "saturate"}),
    "int wraps": ("int", {"bits": 4, "overflow": "wrap"}),
    "bipolar saturates": ("int", {"bits": 1, "overflow": "saturate"}),
    "ternary wraps": ("int", {"bits": 2, "scheme": "ternary", "overflow": "wrap"}),
    "bitserial wraps": ("bitserial", {"bits": 4, "overflow": "wrap"}),
    "bitserial, all planes at once, saturates": ("bitserial", {"bits": 4, "planes": 4, "overflow": "saturate"}),
    "bitplane wraps": ("bitplane", {"bits": 4, "acts": "int4", "overflow": "wrap"}),
    "bitplane, all pairs at once, saturates": (
        "bitplane",
        {"bits": 2, "acts": "int4", "weight_planes": 2, "act_planes": 4, "overflow": "saturate"},
    ),
    "mx saturates": ("mx", {"group": 32, "overflow": "saturate", "post_lanes": 1}),
    "mx wraps": ("mx", {"group": 32, "overflow": "wrap", "post_lanes": 1}),
    "minifloat saturates": ("minifloat", {"overflow": "saturate"}),
    "ant saturates": ("ant", {"overflow": "saturate", "weights": "flint4", "acts": "flint4"}),
    "ant wraps": ("ant", {"overflow": "wrap", "weights": "pot4", "acts": "pot4"}),
    "complex saturates": ("complex", {"overflow": "saturate"}),
    "complex wraps": ("complex", {"mapping": "widely", "overflow": "wrap"}),
    "minifloat wraps": ("minifloat", {"overflow": "wrap"}),
}
K = 70


def tile(label: str) -> TileSpec:
    name, values = TILES[label]
    return family(name).from_values({"m": 1, "n": 2, "k": 4, "group": 32, "depth": 4, **values})


def operands() -> tuple[np.ndarray, np.ndarray]:
    # Of one sign, so that sums grow; the last rows of the other.
    rng = np.random.default_rng(1)
    weights, acts = np.abs(rng.normal(1, 0.2, (4, K))), np.abs(rng.normal(1, 0.2, (3, K)))
    weights[-1] *= -1
    return weights, acts


@pytest.mark.parametrize("label", TILES)
def test_reference_and_golden_layer_agree_on_what_is_bounded(label: str) -> None:
    spec = tile(label)
    weights, acts = operands()
    formats = spec.quantization()
    q_weights, q_acts = weights_for(formats, weights), acts_for(formats, acts)
    schedule = Schedule(spec, Layer("l", 3, 4, K))
    beats = run_steps(spec, schedule.lower(q_acts, q_weights))
    golden = golden_layer(q_weights, formats)
    if spec.lanes:
        got = schedule.collect(beats.y).astype(np.uint32)
        want = golden(q_acts).numpy().view(np.uint32)
    else:
        got = schedule.collect(beats.sums)[..., 0]
        want = np.asarray(golden.group_sums(q_acts))
    assert np.array_equal(got, want)
    # The bound was in effect: sums that nothing bounds are others.
    free = type(spec)(**{**spec.p, "overflow": "refuse", "depth": 64})
    assert not np.array_equal(
        np.asarray(golden_layer(q_weights, free.quantization()).group_sums(q_acts)),
        np.asarray(golden.group_sums(q_acts)),
    )


def test_a_saturating_sum_by_hand() -> None:
    spec = family("int")(m=1, n=1, k=2, group=8, depth=2, bits=4, overflow="saturate")
    low, high = -(1 << (int(spec.acc_bits(spec.p)) - 1)), (1 << (int(spec.acc_bits(spec.p)) - 1)) - 1
    weights, acts = np.array([[7.0, 7, 7, 7, 7, 7, -7, -7]]), np.array([[127.0] * 8])
    formats = spec.quantization()
    total = Fraction(0)
    for begin in range(0, 8, 2):
        step = sum(
            Fraction(w) * Fraction(a) for w, a in zip(weights[0][begin:], acts[0][begin : begin + 2], strict=False)
        )
        total = min(max(total + step, Fraction(low)), Fraction(high))
    q_weights, q_acts = weights_for(formats, weights), acts_for(formats, acts)
    assert int(np.asarray(golden_layer(q_weights, formats).group_sums(q_acts)).item()) == total == high - 2 * 7 * 127


@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
@pytest.mark.parametrize("name", ["int", "lut", "mixpe", "bitserial", "bitplane"])
def test_zero_points_do_not_correct_sums_that_are_bounded(name: str, overflow: str) -> None:
    values = {"m": 1, "n": 1, "k": 4, "group": 64, "depth": 8, "bits": 4, "scheme": "asymmetric", "overflow": overflow}
    with pytest.raises(HwgenError) as refused:
        family(name).from_values(values)
    assert str(refused.value) == (
        f"{name}: group must fit depth (8) where activation sums correct for zero points, not 64: sums that {overflow} "
        "cannot be corrected; use a larger --depth or a smaller --group"
    )
    # What fits is never bounded.
    family(name).from_values({**values, "depth": 64})


def test_layers_of_whole_rows_are_refused_where_no_golden_layer_is_defined() -> None:
    rows = {"m": 1, "n": 1, "k": 4, "group": 0, "depth": 8, "bits": 4, "overflow": "saturate"}
    spec = family("int").from_values({**rows, "scheme": "asymmetric"})
    with pytest.raises(HwgenError, match=r"must fit depth \(8\) of the int tile, where activation sums correct"):
        Schedule(spec, Layer("l", 1, 1, 64))
    Schedule(spec, Layer("l", 1, 1, 8))
    for name, more in (
        ("lut", {"scheme": "symmetric", "planes": "twos_complement", "symmetry": "none"}),
        ("mixpe", {"scheme": "symmetric", "dequant": "channel"}),
    ):
        spec = family(name).from_values({**rows, **more})
        # The tile has a cost and a reference, a layer no golden one.
        Schedule(spec, Layer("l", 1, 1, 64))
        with pytest.raises(HwgenError, match="whose sums saturate in a way that no layer is defined for"):
            run_layer(spec, np.ones((1, 64)), np.ones((1, 64)))


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        (
            "lut",
            {"bits": 2, "group": 256},
            "lut: group must fit depth (128), not 256; the smallest depth that works is 256: use --depth 256 or a "
            "smaller --group",
        ),
        (
            "mx",
            {"depth": 8},
            "mx: group must fit depth (8), not 32; the smallest depth that works is 32: use --depth 32 or a smaller "
            "--group",
        ),
        (
            "int",
            {"group": 64, "depth": 8},
            "int: group must fit depth (8), not 64; the smallest depth that works is 64: use --depth 64 or a smaller "
            "--group",
        ),
        (
            "bitmod",
            {"group": 4096, "acc_mantissa": 12},
            "bitmod: group must fit depth (128), not 4096; no depth of this tile is large enough (depth must be at "
            "most k · 2^(acc_mantissa − 6) with a normalised accumulator): use a smaller --group",
        ),
        ("int", {"group": 0, "depth": 2}, "int: depth must hold the products of a step (4), not 2"),
    ],
)
def test_a_group_longer_than_depth_is_refused(name: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(HwgenError) as refused:
        family(name).from_values(values)
    assert str(refused.value) == message


@pytest.mark.parametrize("name", ["nvfp4", "nvint4", "hif4"])
@pytest.mark.parametrize("group", [8, 32, 128])
def test_a_fixed_block_is_what_its_format_says(name: str, group: int) -> None:
    block = 64 if name == "hif4" else 16
    with pytest.raises(HwgenError, match=f"group must be {block}, the block of {name}, not {group}"):
        family("mx").from_values({"weights": name, "group": group, "depth": 128})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mx", {"m": 8, "n": 16}),
        ("mx", {"m": 8, "n": 16, "weights": "nvfp4"}),
        # Five modes, bit-serial: minutes. Its lanes that wait also run in the layers of test_padding.
        pytest.param(
            "bitmod", {"m": 4, "n": 2, "post_lanes": 1, "group": 16}, marks=pytest.mark.slow, id="bitmod-values2"
        ),
        ("int", {"m": 3, "n": 4, "k": 8, "group": 8, "bits": 4, "post_lanes": 1}),
        ("lut", {"m": 2, "n": 8, "k": 4, "group": 4, "post_lanes": 2}),
    ],
)
def test_few_lanes_are_shared_over_time(name: str, values: dict[str, Any]) -> None:
    from hwgen.verify import check_contract

    spec = family(name).from_values(values)
    schedule = Schedule(spec, Layer("l", 9, 19, 130))
    assert schedule.exact() == schedule.closed()
    group = int(spec.sum_group(spec.p)) // int(spec.layer_k(spec.p)) * int(spec.layer_cycles(spec.p))
    assert int(spec.post_cycles(spec.p)) > group, "the lanes are not what is waited for"
    if spec.m * spec.n <= 16:
        assert [finding for finding in check_contract(spec) if not finding.ok] == []


@pytest.mark.parametrize(("name", "n", "lanes"), [("mx", 2, 2), ("mx", 6, 3), ("bitmod", 3, 3), ("bitmod", 8, 4)])
def test_lanes_that_are_not_named_divide_the_columns(name: str, n: int, lanes: int) -> None:
    assert family(name).from_values({"n": n}).lanes == lanes


def test_no_bound_is_claimed_of_what_is_bounded() -> None:
    spec = tile("int saturates")
    weights, acts = operands()
    formats = spec.quantization()
    golden = golden_layer(weights_for(formats, weights), formats)
    with pytest.raises(HwgenError) as caught:
        golden.bound(acts_for(formats, acts))
    assert str(caught.value) == (
        "QuantLinear: bound must be asked of a layer whose sums are exact, not of overflow saturate"
    )
