"""Faults put into the kernels, one at a time: the comparison with golden layers sees each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from torch import Tensor

from hwgen.formats import QTensor
from sim.accuracy.arithmetic import _library, compiled_layer
from sim.golden import golden_layer
from tests.accuracy.layers import any_codes, cancelling, operands, said, tile
from tests.accuracy.test_arithmetic import test_one_rounding_of_any_length as one_rounding

FAULTS: dict[str, tuple[str, str, str, str]] = {
    "a step's tree of another order": (
        "chain",
        "node[i] = node[2 * i] + node[2 * i + 1];\n        if (count % 2) node[count / 2]",
        "node[i] = node[i] + node[count / 2 + i];\n        if (count % 2) node[count / 2]",
        "minifloat, fp32, steps",
    ),
    "partial sums folded from the first": (
        "chain",
        "node[i] = sums[(updates + i) % partials]",
        "node[i] = sums[i]",
        "minifloat, fp32, ring",
    ),
    "a rounding for each scale": (
        "chain",
        "static_cast<float>(static_cast<double>(total[c]) * (row * factors[c]) + 0.0)",
        "static_cast<float>(static_cast<float>(static_cast<double>(total[c]) * row) * factors[c] + 0.0)",
        "minifloat, fp32, ring",
    ),
    "ties away from zero in the alignment": (
        "align",
        "std::nearbyint(quotient)",
        "std::round(quotient)",
        "lut, aligned steps",
    ),
    "a unit that subnormals share": (
        "align",
        "std::max(std::ilogb(largest), least)",
        "std::ilogb(largest)",
        "lut, bytes by 127, aligned",
    ),
    "entries rounded down": (
        "tables",
        "entry[key] = std::nearbyint(entry[key] / scale)",
        "entry[key] = std::floor(entry[key] / scale)",
        "lut, bytes",
    ),
    "halves of a table the other way round": (
        "tables",
        "const int64_t below = count / 2;",
        "const int64_t below = count - count / 2;",
        "lut, fp32, plain",
    ),
    "truncation towards minus infinity": (
        "bitmod",
        "const Vector part = down(all(static_cast<Lane>(magnitude[i])), top - height[i]);",
        "const Vector part = down((all(static_cast<Lane>(magnitude[i])) ^ minus) - minus, top - height[i]);",
        "bitmod",
    ),
    "an accumulator of one bit more": (
        "bitmod",
        "static_cast<Lane>(1 - form.width);",
        "static_cast<Lane>(-form.width);",
        "bitmod",
    ),
    "the lowest number of an exponent as the next one's": (
        "bitmod",
        "const Vector folded = total ^ (total >> (kBits - 1));",
        "const Vector folded = total < 0 ? -total : total;",
        "bitmod, step of 8",
    ),
    "sums that saturate at the end": ("bounded", "if (w.saturate) saturate(sums, low, high);", "", "int, saturating"),
    "limbs without a carry": (
        "exact",
        "carry = whole >> 32;",
        "carry = 0;",
        "minifloat, wide",
    ),
    "a sum rounded down, not to odd": ("common", "units += 1", "units += 0", "posit, posit results"),
    "a group's unit left out": (
        "exact",
        "w.scale[to] = std::ldexp(scale[from], w.unit[from]);",
        "w.scale[to] = scale[from];",
        "minifloat",
    ),
}


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Kernels are built anew in a test, and after it."""
    _library._built.cache_clear()
    yield monkeypatch
    _library._built.cache_clear()


def put(patch: pytest.MonkeyPatch, file: str, right: str, wrong: str) -> None:
    """Build kernels with other text in one of their files."""
    sources = _library.sources

    def changed(name: str) -> Mapping[str, str]:
        texts = dict(sources(name))
        if file in texts:
            assert right in texts[file]
            texts[file] = texts[file].replace(right, wrong)
        return texts

    patch.setattr(_library, "sources", changed)


def outcomes(case: str, layer_of: Callable[[QTensor, Any], Callable[[Any], Tensor]]) -> list[list[list[int]] | str]:
    """Results of layers of a tile: numbers of a layer, and all small; numbers that cancel; any codes."""
    spec = tile(case)
    q = spec.quantization()
    w, x = operands(spec, 131, 1)
    acts = golden_layer(w, q).quantize(x)
    given: list[tuple[QTensor, Any]] = [(w, x), (w, x * 2.0**-27), cancelling(spec)]
    given += [(any_codes(w, seed, finite=True), any_codes(acts, seed + 10, finite=True)) for seed in range(2)]
    return [said(lambda w=w, x=x: layer_of(w, q)(x)) for w, x in given]


@pytest.mark.few(3)
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen(name: str, fault: pytest.MonkeyPatch) -> None:
    kernel, right, wrong, case = FAULTS[name]
    want = outcomes(case, golden_layer)
    assert outcomes(case, compiled_layer) == want
    _library._built.cache_clear()
    put(fault, "common.h" if kernel == "common" else f"{kernel}.cpp", right, wrong)
    assert outcomes(case, compiled_layer) != want


def test_two_roundings_are_seen(fault: pytest.MonkeyPatch) -> None:
    put(fault, "common.h", "word + (move ? towards : 0)", "word")
    with pytest.raises(AssertionError):
        one_rounding()
