"""Compiled layers against golden layers and against the tiles' own reference: every bit."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pytest
import torch

from hwgen.errors import HwgenError
from hwgen.formats import QTensor, get
from hwgen.pe import families, family
from hwgen.quantize import weights_for
from hwgen.reference import run_steps
from hwgen.schedule import Layer, Schedule
from hwgen.simulators import library
from hwgen.verify import covering_specs
from rtl_tests.arith.oracle import fp32_nearest
from sim.accuracy.arithmetic import _library, compiled_layer
from sim.accuracy.arithmetic._kernels import KERNELS, NotCoveredError, kernel_of, not_covered
from sim.accuracy.arithmetic._library import Packed
from sim.epilogue import apply_outer, epilogue
from sim.golden import ARITHMETICS, QuantLinear, golden_layer
from tests.accuracy.layers import OUTPUTS, TILES, TOKENS, any_codes, cancelling, operands, said, tile
from tests.golden.operands import codes
from tests.golden.oracle import Formats
from tests.golden.test_fp32 import Fp32Formats

LENGTHS = (9, 131)


def test_every_arithmetic_has_a_kernel() -> None:
    assert set(KERNELS) == set(ARITHMETICS)
    given = {tile(name).quantization().arithmetic for name in TILES}
    assert given == set(KERNELS)
    assert {kernel_of(tile(name).quantization()) for name in TILES} >= set(KERNELS.values())


@pytest.mark.parametrize("name", list(families()))
def test_families(name: str) -> None:
    """Tiles that cover every sweep value: all of them are compiled, and equal."""
    specs, _ = covering_specs(family(name), 1, depth=1024)
    for index, spec in enumerate([family(name)(), *specs]):
        w, x = operands(spec, LENGTHS[index % 2], index)
        layer = compiled_layer(w, spec.quantization())
        assert layer.compiled, (spec, layer.reason)
        assert codes(layer(x)).tolist() == codes(golden_layer(w, spec.quantization())(x)).tolist(), spec


@pytest.mark.parametrize("name", TILES)
def test_arithmetics(name: str) -> None:
    """Every option that changes arithmetic, on numbers of a layer and on any codes, scales and selectors."""
    spec = tile(name)
    q = spec.quantization()
    assert not_covered(operands(spec, 8, 1)[0], q) is None
    w, x = cancelling(spec)
    assert codes(compiled_layer(w, q)(x)).tolist() == codes(golden_layer(w, q)(x)).tolist()
    for k in LENGTHS:
        w, x = operands(spec, k, 1)
        layer = compiled_layer(w, q)
        result = layer(x)
        assert layer.compiled
        assert result.shape == (TOKENS, OUTPUTS)
        assert codes(result).tolist() == codes(golden_layer(w, q)(x)).tolist()
        acts = golden_layer(w, q).quantize(x)
        # Golden layers take long for sums of any length.
        for seed in range(3 if k == LENGTHS[0] else 0):
            # Dequantised weights of two levels would not fit their range.
            other = w if q.arithmetic == "two_level" else any_codes(w, seed, finite=q.arithmetic != "posit")
            given = any_codes(acts, seed + 10, finite=seed > 0, scales=seed != 1)
            want = said(lambda o=other, g=given: golden_layer(o, q)(g))
            assert said(lambda o=other, g=given: compiled_layer(o, q)(g)) == want, seed
            assert seed == 0 or not isinstance(want, str), want


@pytest.mark.parametrize("name", list(families()))
def test_tiles(name: str) -> None:
    """The tile's own reference, step by step, with its post lanes or the epilogue."""
    spec = family(name).from_values({"m": 2, "n": 2, "group": 32})
    schedule = Schedule(spec, Layer("layer", TOKENS, OUTPUTS, 70))
    w, x = operands(spec, 70, 5)
    acts = spec.quantize_acts(x.numpy())
    beats = run_steps(spec, schedule.lower(acts, w))
    if beats.y is None:
        want = epilogue(spec, schedule.collect(beats.sums)[..., 0], schedule.collect_rows(beats.rows), acts, w)
    else:
        values = spec.result_values(schedule.collect(beats.y).astype(np.uint32))
        want = apply_outer(np.ascontiguousarray(values), acts, w)
    layer = compiled_layer(w, spec.quantization())
    assert layer.compiled
    assert codes(layer(x)).tolist() == want.tolist()
    assert np.unique(want).size > 3


def test_layers_of_any_size() -> None:
    """Rows and columns that fill no block and more than one, whatever the number of threads."""
    spec = tile("int, zero points")
    rng = np.random.default_rng(1)
    for t, n in ((1, 1), (5, 31), (13, 32), (30, 33), (64, 130)):
        w, x = spec.quantize_weights(rng.standard_normal((n, 40))), torch.from_numpy(rng.standard_normal((t, 40)))
        want = codes(golden_layer(w, spec.quantization())(x)).tolist()
        for threads in (1, 2, 7):
            assert codes(compiled_layer(w, spec.quantization(), threads)(x)).tolist() == want, (t, n, threads)


def test_leading_dimensions() -> None:
    spec = tile("lut")
    w, x = operands(spec, 16, 1)
    layer = compiled_layer(w, spec.quantization())
    assert layer(x[None, None]).shape == (1, 1, TOKENS, OUTPUTS)
    assert torch.equal(layer(x[None])[0], layer(x))


def test_one_rounding_of_any_length() -> None:
    """Products beside a tie of FP32, which two roundings would miss, from sums of one to three limbs."""
    rng = np.random.default_rng(1)
    cases, factors = [], []
    for bits in (20, 40, 52):
        for _ in range(300):
            row, column = int(rng.integers(1 << 7, 1 << 8)) | 1, int(rng.integers(1 << 23, 1 << 24)) | 1
            # 25 significant bits, the last one set: a tie. The total is the nearest one whose product is there.
            tie = (int(rng.integers(1 << 23, 1 << 24)) * 2 + 1) << 60
            total = round(tie / (row * column) * 2.0 ** (bits - 53))
            cases.append(total * int(rng.choice([-1, 1])))
            factors.append((row, column))
    oracle_of = [fp32_nearest(total * row * column) for total, (row, column) in zip(cases, factors, strict=True)]
    totals = np.array(cases, dtype=np.float64)
    # One output: a weight of 1 or of the length of two limbs, whose share is taken back by a second element.
    for weight in (1.0, 2.0**40 + 1):
        packed = Packed("exact", 1, 2, 1, np.array([0, 2], dtype=np.int64))
        numbers = np.array([[1.0, weight]])
        for function in ("scan", "pack"):
            packed.call(function, 0, 1, numbers)
        got = []
        for total, (row, column) in zip(totals, factors, strict=True):
            packed.call("scales", np.array([[float(column)]]), None)
            out, acts = np.zeros((1, 1), np.float32), np.array([[total, 0.0]])
            packed.call("forward", 1, acts, np.array([[float(row)]]), 0, out, None, 1)
            got.append(int(out.view(np.uint32)[0, 0]))
        assert got == oracle_of
    twice = (totals * [float(row * column) for row, column in factors]).astype(np.float32).view(np.uint32)
    assert (twice != oracle_of).sum() > 3


@pytest.mark.parametrize(
    ("formats", "form"),
    [
        (Formats(acts="fp32", weights="fp16", scheme="element", group=0), "fp16"),
        (Formats(acts="fp16", weights="nf4", scheme="codebook", weight_scale="bf16"), "nf4"),
        (Formats(acts="int8", weights="uint4", scheme="minimum", weight_scale="fp32"), "uint4"),
    ],
)
def test_formats_of_no_tile(formats: Formats, form: str) -> None:
    """Numbers of any length: FP32 activations, codebooks, long scales and minima."""
    q = dataclasses.replace(Fp32Formats(), **vars(formats), arithmetic="exact", options=())
    rng = np.random.default_rng(1)
    w = weights_for(q, rng.standard_normal((OUTPUTS, 40)) * 2.0 ** rng.integers(-12, 12, (OUTPUTS, 40)))
    if w.zero is not None:
        w = dataclasses.replace(w, zero=rng.standard_normal(w.zero.shape).astype(np.float32))
    x = torch.from_numpy(rng.standard_normal((TOKENS, 40)) * np.exp2(rng.integers(-60, 60, (TOKENS, 40))))
    layer = compiled_layer(w, q)
    assert layer.compiled, layer.reason
    assert w.format == get(form)
    assert codes(layer(x)).tolist() == codes(golden_layer(w, q)(x)).tolist()


# ---------------------------------------------------------------------- what is left to the golden layer


def left(**values: Any) -> tuple[QTensor, Any]:
    """A layer of FP8 with FP32 sums, changed."""
    q = dataclasses.replace(Fp32Formats(acts="fp8_e4m3", weights="fp8_e4m3", group=16, step=4), **values)
    return weights_for(q, np.random.default_rng(1).standard_normal((OUTPUTS, 40))), q


def _changed(name: str, **values: Any) -> tuple[QTensor, Any]:
    spec = tile(name)
    return operands(spec, 40, 1)[0], dataclasses.replace(spec.quantization(), **values)


LEFT = {
    "a format of tiny numbers": (lambda: left(acts="e4m3b400"), "numbers of e4m3b400"),
    "scales that are too long": (
        lambda: left(weight_scale="fp32", act_scale="fp32"),
        "FP32 sums with scales fp32 and fp32",
    ),
    "operands beyond FP32": (lambda: left(acts="e5m3b160"), "FP32 products of e5m3b160"),
    "sums of 63 bits": (
        lambda: _changed("int, saturating", sum_bits=63),
        "overflow saturate in 63 bits",
    ),
    "aligned sums that wrap": (
        lambda: _changed("lut, aligned", overflow="wrap", sum_bits=20),
        "overflow wrap of aligned activations or beside a minimum",
    ),
    "sums of another arithmetic that wrap": (
        lambda: _changed("mixpe, before", overflow="wrap", sum_bits=20),
        "overflow wrap with arithmetic two_level",
    ),
    "tables of nine": (
        lambda: _changed("lut, bytes", step=9, options=(("rule", "pow2"), ("tables", 1))),
        "tables of 9 / 1 activations",
    ),
    "long steps": (
        lambda: _changed("bitmod", step=80),
        "bitmod with 14 bits in steps of 80",
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_left_to_the_golden_layer(name: str) -> None:
    make, reason = LEFT[name]
    w, q = make()
    layer = compiled_layer(w, q)
    assert (layer.compiled, layer.reason) == (False, reason)
    x = torch.from_numpy(np.random.default_rng(2).standard_normal((TOKENS, 40)))
    assert said(lambda: layer(x)) == said(lambda: golden_layer(w, q)(x))


def test_terms_that_are_no_powers_of_two() -> None:
    """Which no format of ours has: the kernel counts them when they are packed."""
    packed = Packed("bitmod", 1, 3, 1, np.array([0, 3], dtype=np.int64), 1, np.zeros(1, dtype=np.int64))
    assert packed.call("pack", 0, 1, 0, np.array([[0.0, -2.0, 3.0]])) == 1


def test_an_arithmetic_of_another_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARITHMETICS, "theirs", QuantLinear)
    w, q = _changed("int", arithmetic="theirs")
    layer = compiled_layer(w, q)
    assert (layer.compiled, layer.reason) == (False, "arithmetic theirs")
    x = torch.from_numpy(np.random.default_rng(2).standard_normal((TOKENS, 40)))
    assert torch.equal(layer(x), golden_layer(w, q)(x))


def test_byte_tables_with_long_sums() -> None:
    """Sums beyond 2**53, which only some activations bring: those go to the golden layer."""
    spec = tile("lut, bytes, steps")
    w, _ = operands(spec, 56, 1)
    x = torch.full((2, 56), 2.0**-24)
    x[:, 30] = 65504.0
    layer = compiled_layer(w, spec.quantization())
    assert layer.compiled
    assert torch.equal(layer(x), golden_layer(w, spec.quantization())(x))


def test_long_lmul_sums() -> None:
    """Sums that one float64 number does not hold, rounded once; longer ones, which some numbers bring, are golden."""
    spec = family("lmul").from_values({"acts": "bf16", "weights": "bf16", "group": 16})
    w = spec.quantize_weights(np.random.default_rng(1).choice([-1.5, 1.0, 2.0**-20], (OUTPUTS, 32)))
    layer = compiled_layer(w, spec.quantization())
    for low in (2.0**-8, 2.0**-30, 2.0**-90):
        x = torch.from_numpy(np.random.default_rng(2).choice([1.0, -1.75, low, -3 * low], (TOKENS, 32)))
        assert codes(layer(x)).tolist() == codes(golden_layer(w, spec.quantization())(x)).tolist(), low
    kernel = layer._kernel
    assert kernel is not None
    with pytest.raises(NotCoveredError, match=r"^exact sums of L-Mul products that are too long$"):
        kernel.forward(layer._operands.quantize(x), 1)


def test_lmul_sums_beside_a_tie() -> None:
    """A product half way between two FP32 numbers, and one far below it, which says to which of them it goes."""
    packed = Packed("lmul", 1, 2, 1, np.array([0, 2], dtype=np.int64), 24, 4)
    packed.call("pack", 0, 1, np.ones((1, 2)))
    packed.call("scales", np.ones((1, 1)))
    rng = np.random.default_rng(1)
    for index in range(40):
        # 17 / 16 comes of the offset and two mantissas that are 0.
        tie, low = int(rng.integers(1 << 22, 1 << 23)) | 1, int(rng.choice([-1, 1])) * (index > 0)
        acts, out = np.array([[1 + tie * 2.0**-24, low * 2.0**-70]]), np.zeros((1, 1), np.float32)
        assert packed.call("exact", 1, acts, np.array([[2.0**76]]), out, 1) == 0
        total = (17 << 72) + (tie << 52) + low * (17 << 2)
        assert int(out.view(np.uint32)[0, 0]) == fp32_nearest(total), (tie, low)


def test_one_sentence() -> None:
    spec = tile("int")
    w, x = operands(spec, 16, 1)
    with pytest.raises(HwgenError, match=r"^compiled layer: threads must be at least 1, not 0$"):
        compiled_layer(w, spec.quantization(), 0)
    with pytest.raises(HwgenError, match=r"^QuantLinear: weights must be int4, not int8$"):
        compiled_layer(w, dataclasses.replace(spec.quantization(), weights="int4"))
    with pytest.raises(HwgenError, match=r"^QuantLinear: activations must have 16 columns, not shape \[7, 15\]$"):
        compiled_layer(w, spec.quantization())(x[:, :15])


@pytest.mark.slow
@pytest.mark.parametrize("processor", ["x86-64", "haswell"])
def test_other_processors(processor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the widest vectors, or any, the bits are the same."""
    if "__AVX2__" not in library._processor():
        pytest.skip("this processor has less than what is compared")
    try:
        _library._built.cache_clear()
        monkeypatch.setattr(library, "_MACHINE", f"-march={processor}")
        monkeypatch.setattr(library, "_processor", lambda: processor)
        for name in TILES:
            spec = tile(name)
            w, x = operands(spec, 131, 1)
            got = compiled_layer(w, spec.quantization())(x)
            assert codes(got).tolist() == codes(golden_layer(w, spec.quantization())(x)).tolist(), name
    finally:
        _library._built.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize("name", TILES)
def test_speed(name: str) -> None:
    """50 million MAC in a second of a core's time: 100 million on two cores."""
    spec = tile(name)
    rng = np.random.default_rng(1)
    schedule = Schedule(spec, Layer("layer", 256, 512, 576))
    w = spec.quantize_weights(schedule.whole_words(rng.standard_normal((512, 576))))
    layer = compiled_layer(w, spec.quantization())
    x = torch.from_numpy(schedule.whole_words(rng.standard_normal((256, 576)).astype(np.float32)))
    layer(x[:8])
    begin = time.process_time()
    layer(x)
    assert 256 * 512 * 576 / (time.process_time() - begin) > 50e6
