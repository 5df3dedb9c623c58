"""The page on matrices of constants: published numbers beside ours, and ours beside a tile."""

from __future__ import annotations

import numpy as np

from reports.constant import DEPTHS, PUBLISHED, Counted, Mapped, counted, page, random_matrix


def test_matrices_are_drawn_as_published() -> None:
    drawn = random_matrix(np.random.default_rng(1), 60)
    assert drawn.min() == 129
    assert drawn.max() == 255


def test_published_depths_are_in_order() -> None:
    for by_depth in PUBLISHED.values():
        assert set(by_depth) == set(DEPTHS)
        adders, levels = zip(
            *((by_depth[name][0], by_depth[name][1]) for name in ("any", "2 more", "least")), strict=True
        )
        assert list(adders) == sorted(adders)
        assert list(levels) == sorted(levels, reverse=True)


def test_counts_are_near_the_published_ones() -> None:
    for depth in DEPTHS:
        one = counted(4, depth, 20)
        assert abs(one.adders / PUBLISHED[4][depth][0] - 1) < 0.1
        assert one.adders < one.plain


def test_rows() -> None:
    maps = [
        Mapped("w", "shared", 10, 99, 2, 88, {"x": (50.0, 1.5)}),
        Mapped("w", "tile", 0, 0, 0, 0, {"x": (200.0, 2.5)}),
    ]
    text = page([Counted(8, "any", 98.1, 9.0, 196.2)], maps, {"x": "µm²"})
    assert "| 8 x 8 | any | 98.1 | 9.3 | 96.3 | 11.9 | 98.1 | 9.0 | 196.2 | +0.0% | 50% |" in text
    assert "| w | shared | 10 | 99 | 2 | 88 | 50 (1.50) | 0.25 |" in text
    assert "| w | tile |  |  |  |  | 200 (2.50) |  |" in text
