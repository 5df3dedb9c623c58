"""The MixPE tile's reference against plain integers and fractions, and its golden layers against both."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import QTensor
from hwgen.pe import TileSpec, family
from hwgen.pe._aligned import FLOATS
from hwgen.pe.mixpe import Mixpe
from hwgen.reference import run_steps
from hwgen.schedule import Layer, Schedule, Steps
from rtl_tests.arith.oracle import fp32_nearest
from sim.epilogue import epilogue
from sim.golden import golden_layer
from tests.golden.operands import acts, codes, weights
from tests.golden.oracle import add, product
from tests.pe import lut_oracle as oracle

SMALL: dict[str, Any] = {"m": 2, "n": 3, "k": 4, "group": 16, "depth": 16}
ACTS = ("int4", "int8", "int16", *FLOATS)
CHANNEL = {"dequant": "channel", "group": 0}
BEFORE = {"dequant": "before"}


def tile(**values: Any) -> Mixpe:
    return family("mixpe").from_values(SMALL | values)  # type: ignore[return-value]


def shift_and_add(x: int, code: int, bits: int, signed: bool) -> int:
    """−(x≪W−1)·w_{W−1} + … + x·w0, or all of them added."""
    terms = [(x << bit) * (code >> bit & 1) for bit in range(bits)]
    return sum(terms[:-1]) + (-terms[-1] if signed else terms[-1])


def steps_of(spec: Mixpe, seed: int, count: int = 12) -> Steps:
    """Steps that are groups of their own, with activations whose exponents differ by little."""
    rng = np.random.default_rng(seed)
    form = spec.act_format
    a = rng.choice(np.array(form.corners, np.uint32), (count, spec.m, spec.k))
    near = rng.integers(0, 1 << form.code_bits, (count, spec.m, 1)) ^ rng.integers(0, 8, (count, spec.m, spec.k))
    a = np.where(rng.random(a.shape) < 0.3, a, near).astype(np.uint32)
    w = rng.integers(0, 1 << spec.bits, (count, spec.n, spec.k), dtype=np.uint32)
    w[0], w[1] = 0, (1 << spec.bits) - 1
    w[2] = 1 << (spec.bits - 1)
    col = {
        name: rng.integers(0, 1 << side.bits, (count, spec.n), dtype=np.int64) for name, side in spec.col_side().items()
    }
    ones = np.ones(count, bool)
    return Steps(a, w, {}, col, ones, ones, ones)


@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric", "minimum"])
@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("name", ACTS)
def test_steps_are_sums_of_shifted_activations(name: str, bits: int, scheme: str) -> None:
    scope = "step" if name in FLOATS and name != "bf16" else "group"
    spec = tile(acts=name, bits=bits, scheme=scheme, align_scope=scope, guard_bits=bits % 4)
    steps = steps_of(spec, bits)
    beats = run_steps(spec, steps)
    assert beats.rows.any() == (scheme != "symmetric")
    # Activations that were aligned before the buffer are integers already.
    lowest = Fraction(2) ** spec.lsb_exp if spec.act_format.name == name and name in FLOATS else Fraction(1)
    for step, row in np.ndindex(len(steps), spec.m):
        given = steps.acts[step, row].tolist()
        ints, unit = oracle.aligned(spec.act_format, given, given, spec.guard_bits, "rne")
        scale = unit / lowest
        if scheme != "symmetric":
            assert int(beats.rows[step, row]) == scale * sum(ints)
        for column in range(spec.n):
            pairs = zip(ints, steps.weights[step, column].tolist(), strict=True)
            total = sum(shift_and_add(x, code, bits, scheme == "symmetric") for x, code in pairs)
            assert int(beats.sums[step, row, column, 0]) == scale * total


@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric"])
@pytest.mark.parametrize("bits", range(2, 9))
def test_two_level_weights_are_eight_bits_wide(bits: int, scheme: str) -> None:
    spec = tile(bits=bits, scheme=scheme, **BEFORE)
    assert not spec.has_row_sums
    steps = steps_of(spec, bits, count=200)
    sums = run_steps(spec, steps).sums[..., 0]
    zeros = steps.col.get("group_zero", np.zeros((200, spec.n), np.int64))
    for step, row, column in np.ndindex(*sums.shape):
        total = 0
        for a, code in zip(steps.acts[step, row].tolist(), steps.weights[step, column].tolist(), strict=True):
            x, q = (a + 128) % 256 - 128, code
            if scheme == "symmetric" and code >> (bits - 1):
                q -= 1 << bits
            level = (q - int(zeros[step, column])) * int(steps.col["group_scale"][step, column])
            total += x * ((level + 128) % 256 - 128)
        assert int(sums[step, row, column]) == total


def test_sums_of_a_long_row_of_wide_integers_are_exact() -> None:
    """fp16 in steps with 8 guard bits: sums are longer than 64 bits."""
    spec = tile(
        acts="fp16", align_scope="step", guard_bits=8, bits=8, scheme="symmetric", depth=1 << 17, k=32, group=32
    )
    assert int(spec.acc_bits(spec.p)) > 64
    steps = steps_of(spec, 3, count=64)
    largest = np.full_like(steps.acts, 0x7BFF)
    lowest = np.full_like(steps.weights, 0x80)
    first, last = np.arange(64) == 0, np.arange(64) == 63
    sums = run_steps(spec, Steps(largest, lowest, {}, {}, first, last, last)).sums
    assert int(sums[0, 0, 0, 0]) == 64 * 32 * (2047 << 8) * (1 << 29) * -128


# ---------------------------------------------------------------------- layers


def quantised(spec: TileSpec, seed: int, k: int = 36) -> tuple[QTensor, QTensor, Any, Any]:
    w, x = weights(seed, 5, k), acts(seed + 1, 3, k)
    return spec.quantize_weights(w.numpy()), spec.quantize_acts(x.numpy()), w, x


def outputs(spec: TileSpec, w: QTensor, x: QTensor) -> tuple[np.ndarray, np.ndarray | None]:
    """FP32 codes [T, N] of the reference of the tile and what follows it, and its raw sums, [G, T, N]."""
    schedule = Schedule(spec, Layer("layer", x.shape[0], *w.shape))
    beats = run_steps(spec, schedule.lower(x, w))
    if beats.y is not None:
        return schedule.collect(beats.y), None
    sums, rows = schedule.collect(beats.sums)[..., 0], schedule.collect_rows(beats.rows)
    return epilogue(spec, sums, rows, x, w), sums


def compare(spec: TileSpec, seed: int = 1) -> None:
    w, x, _, given = quantised(spec, seed)
    y, sums = outputs(spec, w, x)
    layer = golden_layer(w, spec.quantization())
    assert codes(layer(given)).tolist() == y.tolist()
    assert np.unique(y).size > 3
    if sums is not None and not spec.has_row_sums:
        assert np.asarray(layer.group_sums(given)).tolist() == sums.tolist()


@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric", "minimum"])
@pytest.mark.parametrize("dequant", [{}, CHANNEL], ids=["group", "channel"])
@pytest.mark.parametrize("name", ACTS)
def test_golden_layers(name: str, dequant: dict[str, Any], scheme: str) -> None:
    bits = 2 + ACTS.index(name)
    compare(tile(acts=name, scheme=scheme, bits=bits, depth=64, **dequant), bits)


@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric"])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize(
    "values", [{}, {"acts": "fp16", "align_scope": "row"}, {"acts": "fp8_e5m2", "align_scope": "step"}]
)
def test_golden_layers_with_two_level_weights(values: dict[str, Any], bits: int, scheme: str) -> None:
    compare(tile(bits=bits, scheme=scheme, depth=64, **BEFORE, **values), bits)


@pytest.mark.parametrize("dequant", [{}, CHANNEL, BEFORE], ids=["group", "channel", "before"])
@pytest.mark.parametrize("name", ["fp8_e4m3", "fp16"])
def test_golden_layers_with_alignment_in_steps(name: str, dequant: dict[str, Any]) -> None:
    compare(tile(acts=name, align_scope="step", bits=3, depth=64, **dequant))


@pytest.mark.parametrize("values", [{}, {"acts": "fp16"}, {"scheme": "symmetric", "acts": "bf16"}])
def test_golden_layers_with_lanes(values: dict[str, Any]) -> None:
    compare(tile(k=2, m=1, post_lanes=1, **values))


@pytest.mark.parametrize("dequant", [{}, CHANNEL, BEFORE], ids=["group", "channel", "before"])
def test_layers_are_what_plain_integers_say(dequant: dict[str, Any]) -> None:
    """Y = Σ_g s_g·(Σ_k X·Q − z_g·Σ_k X), one channel, or Σ_k X·((q − z)·s1) and a channel's scale; ragged groups."""
    spec = tile(depth=64, **dequant)
    w, x, _, _ = quantised(spec, 5)
    y, _ = outputs(spec, w, x)
    assert w.zero is not None
    assert w.zero.any()
    ints = x.format.decode(x.codes).astype(int).tolist()
    row_scales = [Fraction(v) for v in x.scales[:, 0].tolist()]
    spans = [part for part in w.group_slices if dequant is not BEFORE]
    assert [part.stop - part.start for part in w.group_slices] == ([36] if dequant is CHANNEL else [16, 16, 4])
    for t, n in np.ndindex(*y.shape):
        code = 0
        for g, part in enumerate(spans):
            zero, scale = int(w.zero[n, g]), Fraction(float(w.scales[n, g]))
            pairs = list(zip(ints[t][part], w.codes[n, part].tolist(), strict=True))
            total = sum(a * q for a, q in pairs) - zero * sum(a for a, _ in pairs)
            code = add(code, product(Fraction(total), row_scales[t], scale))
        if dequant is BEFORE:
            total = 0
            for g, part in enumerate(w.group_slices):
                level = [(q - int(w.zero[n, g])) * int(w.scale_codes[n, g]) for q in w.codes[n, part].tolist()]
                assert all(-128 <= value <= 127 for value in level)
                total += sum(a * v for a, v in zip(ints[t][part], level, strict=True))
            assert w.outer is not None
            first = np.uint32(product(Fraction(total), row_scales[t])).view(np.float32)
            exact = Fraction(float(first)) * Fraction(float(w.outer[n, 0]))
            code = fp32_nearest(exact) if exact else 0
        assert int(y[t, n]) == code


def test_placements_approximate_the_same_layer() -> None:
    errors = {}
    for name, dequant in (("group", {}), ("channel", CHANNEL), ("before", BEFORE)):
        spec = tile(bits=4, depth=64, **dequant)
        w, x, float_w, float_x = quantised(spec, 7)
        y, _ = outputs(spec, w, x)
        wanted = float_x.double().numpy() @ float_w.double().numpy().T
        error = np.ascontiguousarray(y).view(np.float32) - wanted
        errors[name] = float(np.linalg.norm(error) / np.linalg.norm(wanted))
    assert errors["group"] < 0.1
    # Groups have scales of their own with both; integer ones are a little coarser.
    assert errors["group"] < errors["channel"]
    assert errors["before"] < 0.15


# ---------------------------------------------------------------------- formulas and refusals


def test_formulas_take_arrays() -> None:
    """Widths and primitives of many tiles at once are those of each."""
    ks, bits = np.array([1, 3, 8, 16]), np.array([2, 3, 8, 4])
    for values in ({}, BEFORE, {"acts": "fp16", "align_scope": "step"}, {"scheme": "symmetric"}):
        spec = tile(group=48, depth=48, **values)
        arrays = spec.p | {"k": ks, "bits": bits}
        for index, (k, b) in enumerate(zip(ks.tolist(), bits.tolist(), strict=True)):
            one = spec.p | {"k": k, "bits": b}
            for formula in (Mixpe.addend_bits, Mixpe.acc_bits, Mixpe.row_bus_bits, Mixpe.col_bus_bits):
                found = np.broadcast_to(formula(arrays), ks.shape)
                assert found[index] == formula(one)
            many, single = Mixpe.blocks(arrays), Mixpe.blocks(one)
            for block, primitive in itertools.product(single, ("add", "and", "xor", "mux2", "ff")):
                found = np.broadcast_to(many[block].primitives.get(primitive, 0), ks.shape)
                assert found[index] == single[block].primitives.get(primitive, 0), (block, primitive)


@pytest.mark.parametrize("acts", ACTS)
@pytest.mark.parametrize("scope", ["step", "group", "row"])
@pytest.mark.parametrize("dequant", [{}, CHANNEL, BEFORE], ids=["group", "channel", "before"])
def test_rules_take_arrays_even_of_what_is_refused(dequant: dict[str, Any], scope: str, acts: str) -> None:
    p = tile(**dequant, align_scope="row").p | {"acts": acts, "align_scope": scope}
    arrays = {"group": np.array([0, 16, 128]), "guard_bits": np.array([0, 3, 8]), "depth": np.array([16, 128, 1 << 20])}
    for index in range(3):
        one = p | {name: int(values[index]) for name, values in arrays.items()}
        many = [np.broadcast_to(ok, 3)[index] for ok, _ in Mixpe.constraints(p | arrays)]
        assert many == [ok for ok, _ in Mixpe.constraints(one)]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"dequant": "channel"},
            "mixpe: group must be 0 with dequant channel, not 16; a row has one scale",
        ),
        (
            {"group": 0},
            "mixpe: group must be positive with dequant group, not 0; one scale a row is --dequant channel",
        ),
        (
            {"group": 0, **BEFORE},
            "mixpe: group must be positive with dequant before, not 0; one scale a row is --dequant channel",
        ),
        (
            {"post_lanes": 1, **CHANNEL},
            "mixpe: post_lanes must be 0 with dequant channel, not 1; "
            "the sum of a whole row is scaled once, after the tile",
        ),
        (
            {"post_lanes": 1, **BEFORE},
            "mixpe: post_lanes must be 0 with dequant before, not 1; "
            "the sum of a whole row is scaled once, after the tile",
        ),
        (
            {"scheme": "minimum", **BEFORE},
            "mixpe: scheme must be asymmetric or symmetric with dequant before, not minimum; "
            "cells take integers below an integer scale of their group",
        ),
        (
            {"scheme": "ternary", **BEFORE},
            "mixpe: scheme must be asymmetric or symmetric with dequant before, not ternary; "
            "cells take integers below an integer scale of their group",
        ),
        (
            {"acts": "fp16", **BEFORE},
            "mixpe: align_scope must be step or row with dequant before, not group; "
            "a sum over the whole row has no exponents of groups",
        ),
        (
            {"acts": "bf16", "align_scope": "step"},
            "mixpe: align_scope must be group or row with acts bf16, not step; "
            "sums in the unit of the smallest number would be 250 bits longer",
        ),
        (
            {"acts": "fp16", "align_scope": "step", "guard_bits": 8, "depth": 1 << 20},
            "mixpe: depth must leave activation sums within 62 bits, not 1048576 with align_scope step and "
            "guard_bits 8; use --align-scope group",
        ),
    ],
)
def test_refusals(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HwgenError) as caught:
        tile(**values)
    assert str(caught.value) == sentence
