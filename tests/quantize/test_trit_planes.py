"""Two ternary planes: the chosen ratio against a search of scales, and free scales, which must be better by little."""

from __future__ import annotations

import numpy as np

from hwgen.formats import get
from hwgen.quantize import ternary, trit_planes


def loss(x: np.ndarray, stored: np.ndarray) -> float:
    return float(((x - stored) ** 2).sum())


def test_no_ratio_and_scale_is_much_better() -> None:
    x = np.random.default_rng(3).normal(size=(6, 64))
    found = trit_planes(x, 16, "fp32")
    form = get("trit_planes")
    ours = (found.dequantize() - x) ** 2
    for row, group in np.ndindex(6, 4):
        part = slice(16 * group, 16 * group + 16)
        given, best = x[row, part], np.inf
        for side in range(8):
            levels = form.decode(form.codes(), side)
            for scale in np.linspace(0.1, 1.2, 221) * np.abs(given).max():
                best = min(best, ((given[:, None] - scale * levels) ** 2).min(axis=1).sum())
        # Alternation stops where it is.
        assert ours[row, part].sum() <= 1.6 * best + 1e-12
    assert found.selector is not None
    assert len(set(found.selector.ravel().tolist())) >= 3


def test_sums_of_two_planes_are_had_exactly() -> None:
    rng = np.random.default_rng(4)
    planes, ratio = rng.integers(-1, 2, (2, 8, 32)), np.array([1, 2, 3, 4, 5, 6, 7, 8])[:, None] / 8
    x = 0.5 * (planes[0] + ratio * planes[1])
    x[:, 0], x[:, 1], x[:, 2] = 0.5 * (1 + ratio[:, 0]), 0.5, -0.5 * ratio[:, 0]
    found = trit_planes(x, 0)
    assert loss(x, found.dequantize()) == 0
    assert found.scales.ravel().tolist() == [0.5] * 8


def test_better_than_one_plane() -> None:
    x = np.random.default_rng(5).normal(size=(16, 512))
    one, two = (loss(x, found.dequantize()) for found in (ternary(x, 128), trit_planes(x, 128)))
    # 5.8 and 15.3 dB.
    assert 8 < one / two < 10
