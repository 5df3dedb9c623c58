"""The quantiser to fourth roots of unity against complex numbers and their phases."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import RootsFormat, get
from hwgen.quantize import fourth_roots


def roots_of(codes: np.ndarray, root: int) -> np.ndarray:
    """Exponents of roots of the words of real parts."""
    return codes[::2].astype(np.int64) >> 2 * root & 3


def complex_parts(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """U and W with U·z + W·conj(z) what a real matrix makes of z, by what it makes of 1 and of i."""
    n, k = x.shape
    one = x[0::2, 0::2] + 1j * x[1::2, 0::2]
    i = x[0::2, 1::2] + 1j * x[1::2, 1::2]
    u, w = (one - 1j * i) / 2, (one + 1j * i) / 2
    assert u.shape == (n // 2, k // 2)
    return u, w


def by_phase(value: complex) -> int:
    """Exponent of the root by the phase, as the papers write it."""
    phase = cmath.phase(value)
    if -math.pi / 4 <= phase < math.pi / 4:
        return 0
    if math.pi / 4 <= phase < 3 * math.pi / 4:
        return 1
    return 3 if -3 * math.pi / 4 <= phase < -math.pi / 4 else 2


@pytest.mark.parametrize("name", ["roots4", "roots4_widely"])
@pytest.mark.parametrize("group", [0, 10])
def test_equals_its_definition(name: str, group: int) -> None:
    x = np.random.default_rng(1).normal(size=(6, 24))
    given = fourth_roots(x, name, group)
    form = given.format
    assert isinstance(form, RootsFormat)
    parts = complex_parts(x)[: form.roots]
    for root, part in enumerate(parts):
        assert roots_of(given.codes, root).tolist() == [[by_phase(value) for value in row] for row in part]
    size = (group or 24) // 2
    for index in range(given.groups):
        own = [part[:, index * size : (index + 1) * size] for part in parts]
        mean = np.mean([np.maximum(np.abs(part.real), np.abs(part.imag)).mean(axis=1) for part in own], axis=0)
        wanted = get("fp16").decode(get("fp16").encode(mean))
        assert given.scales[0::2, index].tolist() == given.scales[1::2, index].tolist() == wanted.tolist()
    # What a layer makes of inputs is the complex product.
    z = np.random.default_rng(2).normal(size=(12, 2))
    made = (given.values() @ z.reshape(-1)).reshape(-1, 2)
    inputs = z[:, 0] + 1j * z[:, 1]
    products = [1j ** roots_of(given.codes, 0) @ inputs]
    if form.widely:
        products.append(1j ** roots_of(given.codes, 1) @ inputs.conj())
    assert np.allclose(made[:, 0] + 1j * made[:, 1], np.sum(products, axis=0))


def test_corners_of_the_quadrants() -> None:
    """1 from -π/4 on, and so on round; 0 is 1."""
    values = np.array([1 - 1j, 1 + 1j, -1 + 1j, -1 - 1j, 0, 1, 1j, -1, -1j])
    blocks = np.stack([np.stack([values.real, -values.imag], -1), np.stack([values.imag, values.real], -1)])
    given = fourth_roots(blocks.reshape(2, -1))
    assert roots_of(given.codes, 0).tolist() == [[0, 1, 2, 3, 0, 0, 1, 2, 3]]


@pytest.mark.parametrize("name", ["roots4", "roots4_widely"])
def test_complex_layers_of_roots_are_exact(name: str) -> None:
    form = get(name)
    assert isinstance(form, RootsFormat)
    codes = np.random.default_rng(3).integers(0, 1 << form.code_bits, (4, 9), dtype=np.uint32)
    rows = [form.decode(words).reshape(4, -1) for words in (codes, form.turned(codes))]
    x = 0.25 * np.stack(rows, axis=1).reshape(8, -1)
    given = fourth_roots(x, name)
    assert given.dequantize().tolist() == x.tolist()
    assert given.codes[::2].tolist() == codes.tolist()


def test_a_real_layer_is_half_lost_without_conjugates() -> None:
    """Of normal weights: 1 - 1/π of the power is error with one root, and 1 - 2/π with two, as with one bit of sign.

    The scale is the best one.
    """
    x = np.random.default_rng(4).normal(size=(64, 256))
    loss = {}
    for name in ("roots4", "roots4_widely"):
        given = fourth_roots(x, name).dequantize()
        loss[name] = ((given - x) ** 2).mean()
        for factor in (0.98, 1.02):
            assert ((factor * given - x) ** 2).mean() > loss[name]
    assert loss == pytest.approx({"roots4": 1 - 1 / math.pi, "roots4_widely": 1 - 2 / math.pi}, rel=0.02)


def test_an_output_alone() -> None:
    x = np.random.default_rng(5).normal(size=(3, 8))
    alone, padded = fourth_roots(x), fourth_roots(np.vstack([x, np.zeros((1, 8))]))
    assert alone.shape == (3, 8)
    assert alone.dequantize().tolist() == padded.dequantize()[:3].tolist()


def test_refusals() -> None:
    for arguments, text in (
        (([[1.0, 2.0]], "int2"), "fourth_roots: format must be roots4 or roots4_widely, not int2"),
        (([[1.0]],), "fourth_roots: K must be a multiple of 2, not 1"),
        (([[1.0] * 4], "roots4", 3), "fourth_roots: group size must be a multiple of 2, not 3"),
    ):
        with pytest.raises(HwgenError) as caught:
            fourth_roots(*arguments)
        assert str(caught.value) == text
