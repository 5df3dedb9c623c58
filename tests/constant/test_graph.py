"""Adder graphs are the matrix that they are made for, exactly, and are as small as is said."""

from __future__ import annotations

import dataclasses
import itertools
import sys

import numpy as np
import pytest

from hwgen.constant import ConstantUnit
from hwgen.constant.csd import csd_graph, digits
from hwgen.constant.graph import ZERO, AdderGraph, Builder, Scaled, Sum
from hwgen.constant.place import place
from hwgen.constant.shared import shared_graph
from hwgen.errors import HwgenError


def matrices() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    found = [rng.integers(-7, 8, (5, 6)), rng.integers(-127, 128, (9, 4)), rng.integers(0, 2, (12, 12)) * 4]
    holes = rng.integers(-31, 32, (6, 7))
    holes[2], holes[:, 3], holes[4] = 0, 0, -abs(holes[4])
    return [*found, holes, np.array([[-1]]), np.array([[96, 0], [0, -40]]), -rng.integers(1, 65536, (3, 3))]


def fewest(value: int, places: int) -> int:
    """Fewest signed digits of a value, by looking at all of them."""
    every = itertools.product((-1, 0, 1), repeat=places)
    return min(sum(map(abs, one)) for one in every if sum(d << p for p, d in enumerate(one)) == value)


def test_digits_are_canonical() -> None:
    for value in range(-40, 41):
        found = digits(value)
        assert sum(digit << at for at, digit in found) == value
        assert all(later - one > 1 for (one, _), (later, _) in itertools.pairwise(found))
        assert len(found) == fewest(value, 7)


@pytest.mark.parametrize("matrix", matrices(), ids=lambda matrix: "x".join(map(str, matrix.shape)))
def test_both_methods_are_the_matrix(matrix: np.ndarray) -> None:
    plain, shared = csd_graph(matrix), shared_graph(matrix, -128, 127)
    for graph in (plain, shared):
        np.testing.assert_array_equal(graph.matrix, matrix)
    # One adder less than digits, and one where a row has no positive digit.
    rows = [[digit for weight in row for _, digit in digits(weight)] for row in matrix.tolist()]
    assert len(plain.sums) == sum(max(len(row) - 1, 0) + (bool(row) and max(row) < 0) for row in rows)
    assert plain.depth >= max(int(np.ceil(np.log2(max(len(row), 1)))) for row in rows)


def test_sharing_saves_adders() -> None:
    matrix = np.random.default_rng(2).integers(-127, 128, (16, 16))
    plain, shared, flat = csd_graph(matrix), shared_graph(matrix, 0, 255), shared_graph(matrix, 0, 255, 0)
    assert len(shared.sums) < 0.6 * len(plain.sums)
    # No longer ways than the trees that share nothing have.
    assert flat.depth == plain.depth < shared.depth


def test_graph_of_a_shared_sum() -> None:
    made = Builder(2)
    both = made.add(Scaled(0), Scaled(1, 2))
    difference = made.add(Scaled(0, 1, True), Scaled(1, 3))
    graph = made.build(
        [both, Scaled(both.value, both.shift + 1, True), Scaled(difference.value, 0, True), Scaled(ZERO)]
    )
    np.testing.assert_array_equal(graph.matrix, [[1, 4], [-2, -8], [1, -4], [0, 0]])
    # The sum, the difference with its sides changed, and the sum's negative.
    assert graph.sums == (Sum(0, 0, 1, 2, False), Sum(0, 0, 1, 2, True), Sum(ZERO, 0, 2, 0, True))
    assert graph.levels == (0, 0, 1, 1, 2)


def test_sums_that_nothing_needs_are_left_out() -> None:
    made = Builder(2)
    made.add(Scaled(0), Scaled(1))
    wanted = made.add(Scaled(0), Scaled(1, 1))
    assert made.build([wanted]) == AdderGraph(2, (Sum(0, 0, 1, 1, False),), (Scaled(2),))


def test_ranges_are_reached() -> None:
    graph = csd_graph(np.array([[3, -5], [-2, 7]]))
    every = np.array(list(itertools.product(range(-4, 4), repeat=2)))
    values = every @ graph.coefficients.T
    low, high = graph.ranges(-4, 3)
    np.testing.assert_array_equal(low, values.min(axis=0))
    np.testing.assert_array_equal(high, values.max(axis=0))


@pytest.mark.parametrize("per_stage", [1, 2, 5, 50])
def test_registers_hold_what_is_used_later(per_stage: int) -> None:
    graph = shared_graph(np.random.default_rng(3).integers(-7, 8, (8, 8)), -8, 7)
    widths = np.arange(len(graph.levels)) % 5 + 3
    placed = place(graph, per_stage, widths)
    assert placed.count == max(-(-graph.depth // per_stage), 1)
    for value, one in enumerate(graph.sums, graph.inputs):
        sides = [one.right] if one.left == ZERO else [one.left, one.right]
        assert all(placed.stages[side] <= placed.stages[value] <= placed.count for side in sides)
        assert all(placed.registers[side] >= placed.stages[value] - placed.stages[side] for side in sides)
    for stage in range(1, placed.count + 1):
        # Chains of adders within a stage are no longer than is asked.
        chain: dict[int, int] = {}
        for value, one in enumerate(graph.sums, graph.inputs):
            if placed.stages[value] == stage:
                chain[value] = 1 + max(chain.get(one.left, 0), chain.get(one.right, 0))
        assert max(chain.values(), default=0) <= per_stage
    early = place(dataclasses.replace(graph), 10**6, widths)
    assert early.count == 1
    assert all(output.value == ZERO or placed.registers[output.value] for output in graph.outputs)


def test_a_linear_program_holds_fewer_bits() -> None:
    matrix = np.random.default_rng(4).integers(-7, 8, (16, 16))
    unit = ConstantUnit.of(matrix, levels=1)
    early = [max(level, 1) for level in unit.graph.levels]
    last = list(early)
    for value, one in enumerate(unit.graph.sums, unit.inputs):
        for side in (one.left, one.right):
            if side != ZERO:
                last[side] = max(last[side], early[value])
    for output in unit.graph.outputs:
        last[output.value] = unit.latency + 1
    held = sum((end - start) * width for start, end, width in zip(early, last, unit.widths, strict=True))
    assert unit.placed.bits(unit.widths) < held


def test_adders_that_are_not_the_matrix_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = csd_graph(np.array([[1, 2]]))
    monkeypatch.setattr("hwgen.constant.unit.csd_graph", lambda matrix: wrong)
    unit = ConstantUnit.of([[1, 3]], method="csd")
    with pytest.raises(HwgenError, match="method csd gave adders that are not the matrix"):
        _ = unit.graph


def test_without_da4ml_the_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("da4ml", "da4ml.cmvm"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(HwgenError, match=r"needs the package da4ml, .* 'hwgen\[constant\]', or take --method csd"):
        _ = ConstantUnit.of([[1, 3]]).graph


def test_published_counts_of_random_matrices() -> None:
    # da4ml, table 2: 8 x 8 matrices of whole numbers above 128 of 8 bits, 98.1 adders with any depth, 124.9 with the
    # least; means of 1,000 matrices, ours of 20.
    rng = np.random.default_rng(5)
    drawn = [np.floor(rng.random((8, 8)) * 127).astype(np.int64) + 129 for _ in range(20)]
    free, least = (np.mean([len(shared_graph(one, -128, 127, extra).sums) for one in drawn]) for extra in (None, 0))
    assert free == pytest.approx(98.1, rel=0.05)
    assert least == pytest.approx(124.9, rel=0.08)
