from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from dse.pareto import choose, front, front_mask
from hwgen.errors import HwgenError


def by_definition(values: np.ndarray) -> np.ndarray:
    """O(n²): nothing else is at least as good everywhere and better somewhere; of equal points the first."""
    kept = []
    for index, point in enumerate(values):
        beaten = any((other <= point).all() and (other < point).any() for other in values)
        repeated = any((other == point).all() for other in values[:index])
        kept.append(not beaten and not repeated)
    return np.array(kept, dtype=bool)


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_front_is_the_definition(objectives: int) -> None:
    rng = np.random.default_rng(objectives)
    for levels in (3, 8, 1000):
        values = rng.integers(0, levels, (150, objectives)).astype(float)
        assert front_mask(values).tolist() == by_definition(values).tolist()


def test_slices_do_not_change_the_front() -> None:
    rng = np.random.default_rng(7)
    points = pd.DataFrame(rng.integers(0, 30, (500, 3)), columns=["a", "b", "c"])
    whole, sliced = (front(points, ["a", "b", "c"], slice_points=size) for size in (10_000, 37))
    pd.testing.assert_frame_equal(whole, sliced)
    assert set(whole.index) == set(np.flatnonzero(by_definition(points.to_numpy())))


def test_a_minus_maximises() -> None:
    points = pd.DataFrame({"area": [1.0, 2.0, 3.0, 3.0], "bits": [2.0, 2.0, 8.0, 4.0]})
    assert front(points, ["area"]).index.tolist() == [0]
    assert front(points, ["area", "-bits"]).index.tolist() == [0, 2]
    # 1/2 against 3/8.
    assert choose(points, ["area", "-bits"]) == 2
    assert choose(points, ["area", "bits"]) == 0


def test_nothing_has_no_front() -> None:
    assert front(pd.DataFrame({"a": [], "b": []}, dtype=float), ["a", "b"]).empty


def test_mistakes() -> None:
    points = pd.DataFrame({"area": [1.0, 0.0], "pe": ["int", "lut"]})
    with pytest.raises(HwgenError) as caught:
        front(points, ["aera"])
    assert str(caught.value) == "pareto: objective must be one of area, not 'aera'; did you mean 'area'?"
    with pytest.raises(HwgenError, match="pareto: objective must be one of area, not 'pe'"):
        front(points, ["pe"])
    with pytest.raises(HwgenError, match="pareto: objectives must name at least one column"):
        front(points, [])
    with pytest.raises(HwgenError, match="pareto: objectives must be numbers, not NaN"):
        front_mask(np.array([[1.0, np.nan]]))
    with pytest.raises(HwgenError, match="pareto: objectives must be above 0 to choose by their product: area"):
        choose(points, ["area"])
