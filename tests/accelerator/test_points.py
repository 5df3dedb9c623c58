"""Points of a mesh: what is worked out for few combinations, and taken, is what each point has."""

from __future__ import annotations

import numpy as np
import pytest

from hwgen.accelerator.points import Points
from hwgen.frame.numbers import first_places, ranked

RNG = np.random.default_rng(3)


@pytest.mark.parametrize(
    "values",
    [
        RNG.integers(-5, 9, 100),
        RNG.integers(0, 1 << 60, 50),
        np.array([1 << 62, -(1 << 62), 1 << 62]),
        RNG.choice((0.5, 0.25, 3.0), 20),
        np.array([7]),
        np.array([], np.int64),
    ],
    ids=("near", "far", "ends", "reals", "one", "none"),
)
def test_ranks_are_those_of_numpy(values: np.ndarray) -> None:
    found, places = ranked(values)
    wanted, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    assert found.dtype == wanted.dtype
    assert np.array_equal(found, wanted)
    assert np.array_equal(places, inverse)
    assert np.array_equal(first_places(places), first)


def drawn(count: int) -> tuple[dict[str, object], dict[str, object]]:
    kinds = RNG.integers(3, size=count)
    together = {"m": np.array([1, 2, 2])[kinds], "n": np.array([8, 8, 16])[kinds], "name": "x", "k": 4}
    return together, {"ring": RNG.choice((32, 64), count), "bus": RNG.choice((64, 128, 256), count), "burst": 8}


def test_a_mesh_of_few_combinations() -> None:
    together, alone = drawn(400)
    points, p, d = Points.of(together, alone)
    # Three tiles, not the four that their parameters would make.
    assert points.shape == (3, 2, 3)
    assert not points.alone
    assert (p["name"], p["k"], d["burst"]) == ("x", 4, 8)
    for given, mesh in ((together, p), (alone, d)):
        for name, value in given.items():
            assert np.array_equal(points(mesh[name]), value), name
    product = points(p["m"] * d["bus"])
    assert np.array_equal(product, together["m"] * alone["bus"])  # type: ignore[operator]
    # A dimension before the mesh, and what has none of its own there.
    layers = np.array([3, 5]).reshape(2, 1, 1, 1)
    assert np.array_equal(points.rows(layers * p["m"]), np.array([[3], [5]]) * together["m"])
    assert points.rows(layers).tolist() == [[3], [5]]
    part = points.part(slice(100, 250))
    assert part.count == 150
    assert np.array_equal(part(p["n"] + d["ring"]), (together["n"] + alone["ring"])[100:250])  # type: ignore[operator]


def test_points_with_nothing_in_common_are_a_mesh_of_their_own() -> None:
    values = {"m": np.arange(50), "n": np.arange(50)[::-1]}, {"ring": np.arange(50) * 3}
    points, p, d = Points.of(*values)
    assert points.shape == (50,)
    assert points.alone
    assert np.array_equal(points(p["n"] * d["ring"]), values[0]["n"] * values[1]["ring"])
    single, p, _ = Points.of({"m": 3}, {"ring": 5})
    assert (single.count, p["m"], single(p["m"])) == (1, 3, 3)


def test_all_of_a_mesh_in_another_order() -> None:
    """As many points as the mesh has are not the mesh."""
    values = np.array([[1, 8], [0, 4], [1, 4], [0, 8]]).T
    points, _, d = Points.of({}, {"a": values[0], "b": values[1]})
    assert points.shape == (2, 2)
    assert np.array_equal(points(10 * d["a"] + d["b"]), 10 * values[0] + values[1])


def test_legal_points_of_a_block() -> None:
    a, b = np.arange(4).reshape(-1, 1), np.arange(3)
    legal = (a + b) % 2 == 0
    points = Points.where(legal)
    assert np.array_equal(points(a), np.broadcast_to(a, (4, 3))[legal])
    assert np.array_equal(points(a * b), (a * b)[legal])
    assert Points.where(np.array(True)).count == 1
    assert np.array_equal(Points.where(legal | True)(a * b), (a * b).reshape(-1))
