"""Weights of one bit and ternary ones: scales by the mean magnitude, as the papers have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from hwgen.errors import HwgenError
from hwgen.quantize import integer, minifloat, ternary
from tests.quantize import slow


def sign_mean(w: torch.Tensor) -> torch.Tensor:
    """XNOR-Net, rows of ``w``: sign times mean magnitude."""
    return torch.where(w > 0, 1.0, -1.0) * w.abs().mean(dim=-1, keepdim=True)


def absmean(w: torch.Tensor) -> torch.Tensor:
    """BitNet b1.58, rows of ``w``: RoundClip(w / mean) times the mean."""
    mean = w.abs().mean(dim=-1, keepdim=True)
    return (w / mean).round().clamp(-1, 1) * mean


def by_largest(w: torch.Tensor, bits: int) -> torch.Tensor:
    """One bit or ternary by the largest magnitude, which the mean replaces."""
    largest = w.abs().amax(dim=-1, keepdim=True)
    return (torch.where(w > 0, 1.0, -1.0) if bits == 1 else (w / largest).round()) * largest


def loss(got: torch.Tensor, want: torch.Tensor) -> float:
    return float((got - want).norm() / want.norm())


def layer(seed: int, kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights [64, 512] and activations [32, 512]; those of ``heavy`` have the tails of a trained layer."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(64, 512)) if kind == "normal" else rng.standard_t(4, (64, 512))
    return torch.from_numpy(w.astype(np.float32)), torch.from_numpy(rng.normal(size=(32, 512)).astype(np.float32))


@pytest.mark.parametrize("group", [0, 128, 96])
@pytest.mark.parametrize("kind", ["normal", "heavy"])
@pytest.mark.parametrize(
    ("scheme", "bits", "original"), [("bipolar", 1, sign_mean), ("ternary", 2, absmean)], ids=["xnor", "bitnet"]
)
def test_the_papers_two_lines(scheme: str, bits: int, original: Callable[..., Any], kind: str, group: int) -> None:
    w, _ = layer(5, kind)
    # Groups of 96 leave a shorter last one.
    parts = torch.split(w.double(), group or 512, dim=1)
    want = torch.cat([original(part) for part in parts], dim=1)
    got = torch.from_numpy(integer(w.numpy(), bits, group, scheme, "fp32").dequantize())
    # The mean is rounded to the format of scales, and nothing else differs.
    torch.testing.assert_close(got, want, rtol=2.0**-24, atol=0)
    coarse = torch.from_numpy(integer(w.numpy(), bits, group, scheme).dequantize())
    torch.testing.assert_close(coarse, want, rtol=2.0**-11, atol=0)


@pytest.mark.parametrize(
    ("scheme", "bits", "kind", "error", "before"),
    [
        # Relative error of the outputs, and what scaling by the largest magnitude had.
        ("bipolar", 1, "normal", 0.602, 2.12),
        ("bipolar", 1, "heavy", 0.703, 4.42),
        ("ternary", 2, "normal", 0.509, 0.745),
        ("ternary", 2, "heavy", 0.641, 0.785),
    ],
)
def test_output_errors(scheme: str, bits: int, kind: str, error: float, before: float) -> None:
    w, x = layer(6, kind)
    got = torch.from_numpy(integer(w.numpy(), bits, 128, scheme).dequantize()).float()
    assert loss(x @ got.T, x @ w.T) == pytest.approx(error, abs=0.002)
    largest = torch.cat([by_largest(part, bits) for part in torch.split(w, 128, dim=1)], dim=1)
    assert loss(x @ largest.T, x @ w.T) == pytest.approx(before, abs=0.005)


@pytest.mark.parametrize(("group", "scale"), [(32, "fp16"), (0, "bf16"), (16, "fp8_e4m3"), (7, "e8m0")])
def test_ternary_is_its_definition(group: int, scale: str) -> None:
    x = slow.samples(7)
    given = ternary(x, group, scale)
    slow.check(given, x, lambda part: slow.ternary(part, 2, scale))
    assert (given.format.name, given.scale_format.name) == ("int2", scale)
    assert set(given.values().ravel().tolist()) <= {-1.0, 0.0, 1.0}
    assert integer(x, 2, group, "ternary", scale) == given
    # The same codes under the format that has no -2.
    other = minifloat(x, "ternary", group, scale)
    assert (other.format.name, other.codes.tolist()) == ("ternary", given.codes.tolist())
    assert other.scale_codes.tolist() == given.scale_codes.tolist()


def test_ternary_ties_and_ends() -> None:
    # The mean is 1: 0.5 is a tie and goes to 0, 1.5 rounds to 2 and is clipped.
    given = ternary([[0.5, -0.5, 1.5, -1.5, 0.75, -0.75, 2.5, 0.0]])
    assert given.scales.tolist() == [[1.0]]
    assert given.values().tolist() == [[0.0, 0.0, 1.0, -1.0, 1.0, -1.0, 1.0, 0.0]]
    assert given.codes.tolist() == [[0, 0, 1, 3, 1, 3, 1, 0]]


def test_threshold_rule() -> None:
    # Mean 1, threshold 0.7; the scale is the mean of what lies above it.
    x = np.array([[0.7, -0.7, 0.75, -0.5, 2.35, -1.0]])
    given = ternary(x, rule="twn", scale_format="fp32")
    assert given.values().tolist() == [[0.0, 0.0, 1.0, 0.0, 1.0, -1.0]]
    assert given.scales[0, 0] == np.float32((0.75 + 2.35 + 1.0) / 3)
    # It has the smaller square error on Gaussian weights: the rule was made for that.
    w, _ = layer(8, "normal")
    by_rule = {rule: loss(torch.from_numpy(ternary(w.numpy(), rule=rule).dequantize()), w) for rule in RULES}
    assert by_rule["twn"] < by_rule["absmean"] < 0.53


RULES = ("absmean", "twn")


@pytest.mark.parametrize("rule", RULES)
def test_ternary_extremes(rule: str) -> None:
    zero = ternary(np.zeros((2, 3)), rule=rule)
    assert (zero.scales.tolist(), zero.codes.any()) == ([[0.0], [0.0]], False)
    assert ternary(np.zeros((1, 3)), scale_format="e8m0", rule=rule).scales.tolist() == [[2.0**-127]]
    huge = ternary([[1.7e308, -1.7e308, 1.7e308]], scale_format="bf16", rule=rule)
    assert huge.values().tolist() == [[1.0, -1.0, 1.0]]
    assert np.isfinite(huge.dequantize()).all()
    tiny = ternary([[5e-324, -5e-324]], rule=rule)
    assert (tiny.values().tolist(), tiny.scales.tolist()) == ([[1.0, -1.0]], [[2.0**-24]])
    one = ternary([[-3.0]], rule=rule)
    assert one.dequantize().tolist() == [[-3.0]]


def test_one_scale_for_the_tensor() -> None:
    x = np.random.default_rng(9).normal(size=(4, 40))
    given = ternary(x, scale_format="fp32", per_tensor=True)
    assert given.scales[0, 0] == np.float32(np.abs(x).mean())
    assert given.values().tolist() == np.clip(np.rint(x / np.abs(x).mean()), -1, 1).tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ternary([[1.0]], format="int3"), "ternary: format must be int2 or ternary, not int3"),
        (lambda: ternary([[1.0]], format="uint2"), "ternary: format must be int2 or ternary, not uint2"),
        (
            lambda: ternary([[1.0]], rule="abs_mean"),
            "ternary: rule must be one of absmean, twn, not 'abs_mean'; did you mean 'absmean'?",
        ),
        (lambda: ternary([[1.0, float("inf")]]), "ternary: x must be finite, not inf at [0, 1]"),
        (
            lambda: ternary([[1.0]], scale_format="int8"),
            "ternary: scale_format must be floating point such as fp16 or e8m0, not int8",
        ),
    ],
)
def test_wrong_input(call: Any, message: str) -> None:
    with pytest.raises(HwgenError) as caught:
        call()
    assert str(caught.value) == message
