from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import PositFormat, get
from hwgen.quantize import default_anchor, posit
from tests.quantize import slow

FORMATS = [(4, 0), (4, 1), (8, 0), (8, 1), (8, 2), (16, 1), (11, 3), (3, 0)]


def anchor_of(bits: int, es: int, scale: str) -> float:
    form = get(f"posit{bits}_{es}")
    assert isinstance(form, PositFormat)
    return default_anchor(form, get(scale))


@pytest.mark.parametrize(("bits", "es"), FORMATS)
@pytest.mark.parametrize(("group", "scale"), [(32, "e8m0"), (0, "bf16"), (16, "fp8_e4m3"), (7, "fp16")])
def test_posit_is_its_definition(bits: int, es: int, group: int, scale: str) -> None:
    x = slow.samples(60 + bits)
    given = posit(x, f"posit{bits}_{es}", group, scale)
    anchor = Fraction(anchor_of(bits, es, scale))
    slow.check(given, x, lambda part: slow.posit(part, bits, es, scale, anchor))
    assert (given.format.name, given.scale_format.name) == (f"posit{bits}_{es}", scale)


@pytest.mark.parametrize("anchor", [0.5, 1.0, 3.0, 64.0])
def test_the_anchor_is_where_the_largest_goes(anchor: float) -> None:
    x = slow.samples(61)
    given = posit(x, "posit8_0", 32, "fp16", anchor)
    slow.check(given, x, lambda part: slow.posit(part, 8, 0, "fp16", Fraction(anchor)))
    assert posit([[6.0, -3.0]], "posit8_0", 0, "fp16", 2.0).values().tolist() == [[2.0, -1.0]]


def test_default_anchors() -> None:
    found = {(bits, es): (anchor_of(bits, es, "fp16"), anchor_of(bits, es, "e8m0")) for bits, es in FORMATS}
    assert found == {
        (4, 0): (2.0, 2.0),
        (4, 1): (4.0, 2.0),
        (8, 0): (2.0, 2.0),
        (8, 1): (4.0, 2.0),
        (8, 2): (16.0, 8.0),
        (16, 1): (4.0, 2.0),
        (11, 3): (256.0, 128.0),
        (3, 0): (2.0, 2.0),
    }


@pytest.mark.parametrize(("name", "scale", "decibel"), [
    ("posit4_1", "fp32", 14.84), ("posit8_0", "fp32", 43.3), ("posit8_1", "fp32", 38.7), ("posit16_1", "fp32", 86.84),
    ("posit8_0", "e8m0", 40.24), ("posit8_1", "e8m0", 37.47), ("posit8_2", "e8m0", 31.54),
])  # fmt: skip
def test_default_anchor_is_the_best_power_of_two(name: str, scale: str, decibel: float) -> None:
    # fp32 scales: within 0.15 dB of a separate run over real-valued scales in groups of 32 (14.87, 43.39, 38.69, 86.9).
    x = np.random.default_rng(0).normal(size=(1024, 128)).astype(np.float32)

    def qsnr(anchor: float | None) -> float:
        error = posit(x, name, 32, scale, anchor).dequantize() - x
        return float(10 * np.log10((x.astype(float) ** 2).sum() / (error**2).sum()))

    default = qsnr(None)
    assert default == pytest.approx(decibel, abs=0.15)
    anchors = [2.0**e for e in range(-2, 7) if 2.0**e <= get(name).max_value]
    assert default >= max(qsnr(anchor) for anchor in anchors) - 0.1


def test_only_zero_becomes_zero() -> None:
    x = np.array([[1.0, 1e-30, -1e-300, 0.0]])
    assert posit(x, "posit8_0").values()[0, 1:].tolist() == [1 / 64, -1 / 64, 0.0]
    assert posit(np.zeros((1, 3)), "posit8_0").dequantize().tolist() == [[0.0] * 3]


def test_never_nar() -> None:
    # The smallest E8M0 scale is 2**-127: quotients of subnormal groups are small, those of huge ones saturate.
    given = posit([[5e-324, 1e308, -1e308]], "posit8_0", 1)
    assert np.isfinite(given.values()).all()
    assert given.values()[0, 1:].tolist() == [64.0, -64.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: posit([[1.0]], "int8"), "posit: format must be a posit such as posit8_0, not int8"),
        (
            lambda: posit([[1.0]], "posit8_0", anchor=65.0),
            "posit: anchor must be positive and at most maxpos (64), not 65.0",
        ),
        (
            lambda: posit([[1.0]], "posit8_0", anchor=0.0),
            "posit: anchor must be positive and at most maxpos (64), not 0.0",
        ),
        (
            lambda: posit([[1.0]], "posit8_0", scale_format="int8"),
            "posit: scale_format must be floating point such as fp16 or e8m0, not int8",
        ),
    ],
)
def test_wrong_input(call: Any, message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        call()
    assert str(caught.value) == message
