"""The reference of complex tiles against Python's complex numbers, layers against complex128, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.pe.complex import Complex
from hwgen.reference import run_steps
from hwgen.schedule import Layer, Schedule, Steps
from sim.golden import golden_layer


def tile(**values: Any) -> Complex:
    return family("complex").from_values({"m": 2, "n": 3, "k": 4, "group": 16, "depth": 16, **values})  # type: ignore[return-value]


@pytest.mark.parametrize("mapping", ["linear", "widely"])
@pytest.mark.parametrize("acts", ["int4", "int8", "int16"])
def test_steps_are_complex_products(acts: str, mapping: str) -> None:
    spec = tile(acts=acts, mapping=mapping)
    rng = np.random.default_rng(3)
    bits, codes = spec.act_format.code_bits, spec.weight_format.codes()
    a = rng.integers(0, 1 << bits, (12, spec.m, spec.k), dtype=np.uint32)
    w = rng.choice(codes, (12, spec.n, spec.k // 2))
    a[:2], w[0], w[1] = 1 << (bits - 1), 0, codes[-1]
    ones = np.ones(12, bool)
    sums = run_steps(spec, Steps(a, w, {}, {}, ones, ones, ones)).sums
    assert sums.shape == (12, spec.m, spec.n, 2)
    for step, row, column in np.ndindex(*sums.shape[:3]):
        ints = [int(x) - (int(x) >> (bits - 1) << bits) for x in a[step, row]]
        total = 0j
        for code, re, im in zip(w[step, column].tolist(), ints[::2], ints[1::2], strict=True):
            total += 1j ** (code % 4) * complex(re, im)
            if mapping == "widely":
                total += 1j ** (code // 4) * complex(re, -im)
        assert sums[step, row, column].tolist() == [total.real, total.imag]


@pytest.mark.parametrize("mapping", ["linear", "widely"])
@pytest.mark.parametrize(("outputs", "k", "group"), [(8, 24, 0), (5, 20, 8)])
def test_layers_are_complex_layers(mapping: str, outputs: int, k: int, group: int) -> None:
    """A tile's sums, the golden layer's, and torch's complex product of what was quantised."""
    spec = tile(mapping=mapping, group=group, depth=32)
    rng = np.random.default_rng(k)
    w, x = rng.normal(size=(outputs, k)), rng.normal(size=(7, k))
    weights, acts = spec.quantize_weights(w), spec.quantize_acts(x)
    schedule = Schedule(spec, Layer("layer", 7, outputs, k))
    found = schedule.collect(run_steps(spec, schedule.lower(acts, weights)).sums)[..., 0]
    golden = golden_layer(weights, spec.quantization())
    assert found.tolist() == golden.group_sums(acts).tolist()
    z = torch.view_as_complex(torch.from_numpy(acts.values()).reshape(7, -1, 2))
    words = torch.from_numpy(weights.codes[::2].astype(np.int64))
    for index, part in enumerate(weights.group_slices):
        pairs = slice(part.start // 2, -(-part.stop // 2))
        unit = torch.tensor([1, 1j, -1, -1j], dtype=torch.complex128)
        y = z[:, pairs] @ unit[words[:, pairs] & 3].T
        if mapping == "widely":
            y = y + z[:, pairs].conj() @ unit[words[:, pairs] >> 2].T
        assert torch.view_as_real(y).reshape(7, -1)[:, :outputs].long().tolist() == found[index].tolist()


def test_a_column_is_two_outputs() -> None:
    spec = tile(n=2)
    assert (spec.layer_outputs(spec.p), spec.coded_outputs(spec.p), spec.code_columns(0)) == (2, 1, (4, 2))
    assert Schedule(spec, Layer("layer", 2, 8, 16)).col_blocks == 2
    assert spec.weight_stored_bits(spec.p) == 0.5
    wide = tile(mapping="widely")
    assert wide.weight_stored_bits(wide.p) == 1


def test_sums_fit_exactly() -> None:
    """64 pairs of -128 are 8192, one more than 14 bits hold."""
    spec = tile(depth=128)
    assert int(spec.acc_bits(spec.p)) == 15
    assert int(spec.acc_bits(tile(depth=126).p)) == 14
    assert int(spec.acc_bits(tile(depth=128, mapping="widely").p)) == 16


def test_bits_name_the_mapping() -> None:
    assert tile(bits=2).mapping == "linear"
    assert tile(bits=4).mapping == "widely"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"bits": 3}, "complex: bits must be 2 with mapping linear or 4 with widely, not 3"),
        (
            {"bits": 4, "mapping": "linear"},
            "complex: bits must be 2 with mapping linear or 4 with widely, not 4",
        ),
        ({"k": 3, "group": 15}, "complex: k must be even, not 3; two inputs are one complex number"),
        ({"depth": 17}, "complex: depth must be even, not 17; two inputs are one complex number"),
    ],
)
def test_refusals(values: dict[str, Any], text: str) -> None:
    with pytest.raises(HwgenError) as caught:
        tile(**values)
    assert str(caught.value) == text


def test_rows_that_are_no_pairs_are_refused() -> None:
    spec = tile()
    weights = spec.quantize_weights(np.random.default_rng(1).normal(size=(4, 8)))
    codes = weights.codes.copy()
    codes[1, 2] ^= 1
    schedule = Schedule(spec, Layer("layer", 2, 4, 8))
    with pytest.raises(HwgenError) as caught:
        schedule.weight_blocks(dataclasses.replace(weights, codes=codes))
    assert str(caught.value) == (
        "complex: weights must be roots4 or roots4_widely with two outputs a complex one, as "
        "hwgen.quantize.fourth_roots makes them; rows of imaginary parts say other weights"
    )
