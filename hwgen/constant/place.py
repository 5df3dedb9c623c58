"""Where registers stand in an adder graph: which stage each sum is in, with the fewest bits to hold.

A value that is made in stage s and last used in stage t passes t - s registers. Inputs are there from stage 1 on,
outputs are used behind the last stage.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwgen.constant.graph import ZERO, AdderGraph

__all__ = ["Placed", "place"]


@dataclass(frozen=True)
class Placed:
    """Stages of the values (inputs 1), how many there are, and how many registers each value passes."""

    stages: tuple[int, ...]
    count: int
    registers: tuple[int, ...]

    def bits(self, widths: npt.NDArray[np.int64]) -> int:
        """Bits that all registers hold, for widths of the values."""
        return int(np.dot(self.registers, widths))


def place(graph: AdderGraph, per_stage: int, widths: npt.NDArray[np.int64]) -> Placed:
    """Put ``per_stage`` levels of adders between registers.

    Levels come from a linear program that holds the fewest bits with one level a stage, and where sums as early as
    they can be hold fewer, from these. Differences of levels are its only constraints, so that its corners are whole.
    """
    count = max(-(-graph.depth // per_stage), 1)
    early = np.array(graph.levels, np.int64)
    found = [_placed(graph, per_stage, count, early)]
    if count > 1:
        found.append(_placed(graph, per_stage, count, _levels(graph, per_stage * count, widths)))
    return min(found, key=lambda one: one.bits(widths))


def _placed(graph: AdderGraph, per_stage: int, count: int, levels: npt.NDArray[np.int64]) -> Placed:
    stages = np.maximum(-(-levels // per_stage), 1)
    last = stages.copy()
    for where, one in enumerate(graph.sums, graph.inputs):
        for source in (one.left, one.right):
            if source != ZERO:
                last[source] = max(last[source], stages[where])
    for output in graph.outputs:
        if output.value != ZERO:
            last[output.value] = count + 1
    return Placed(tuple(stages.tolist()), count, tuple((last - stages).tolist()))


def _levels(graph: AdderGraph, most: int, widths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Levels from 1 to ``most`` (inputs 0) for which widths times lifetimes are least."""
    from scipy.optimize import linprog
    from scipy.sparse import coo_matrix

    # Of each value its level and the last level that uses it.
    size = graph.inputs + len(graph.sums)
    rows: list[tuple[int, int, int]] = []
    for where, one in enumerate(graph.sums, graph.inputs):
        for source in (one.left, one.right):
            if source != ZERO:
                rows += [(source, where, 1), (where, size + source, 0)]
    first = np.array([row[0] for row in rows])
    second = np.array([row[1] for row in rows])
    number = np.arange(len(rows))
    ones = np.ones(len(rows))
    left = coo_matrix(
        (np.concatenate([ones, -ones]), (np.concatenate([number, number]), np.concatenate([first, second]))),
        shape=(len(rows), 2 * size),
    )
    weights = widths.astype(float)
    ends = {output.value for output in graph.outputs}
    bounds = [(0, 0)] * graph.inputs + [(1, most)] * len(graph.sums)
    bounds += [(most + 1, most + 1) if value in ends else (0, most) for value in range(size)]
    solved = linprog(
        np.concatenate([-weights, weights]), left.tocsr(), [-row[2] for row in rows], bounds=bounds, method="highs"
    )
    if solved.x is None:
        return np.array(graph.levels, np.int64)
    found: npt.NDArray[np.int64] = np.rint(solved.x[:size]).astype(np.int64)
    return found
