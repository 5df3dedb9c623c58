"""Which cell works in which cycle: the shortest period that so many cycles allow, then the fewest register bits."""

from __future__ import annotations

import numpy as np

from hwgen.pipeline.netlist import SOURCE, Graph

__all__ = ["places", "shortest_period"]

_PRECISION = 1e-3
"""Gate delays to which the period is found."""
_AT_ONCE = 2048
"""Cells from which paths are followed at a time: 8 bytes times this times all cells."""


def _earliest(graph: Graph, period: float) -> np.ndarray:
    """Earliest cycle of each cell under a period that no single cell exceeds."""
    count = len(graph.cells)
    cycle, done = np.zeros(count, np.int64), np.zeros(count)
    for index in range(count):
        ways = graph.edges[index]
        first = max((int(cycle[producer]) for producer, _ in ways), default=0)
        # What comes out of a register is there at once.
        late = [done[producer] + way for producer, way in ways if cycle[producer] == first]
        end = max([graph.delays[index], *late])
        if end > period:
            first, end = first + 1, graph.delays[index]
        cycle[index], done[index] = first, end
    return cycle


def shortest_period(graph: Graph, cuts: int, tail: float = 0.0) -> float:
    """Shortest period in gate delays with ``cuts`` registers on every way from the inputs to the outputs.

    Outputs go through logic of ``tail`` gate delays in the cycle in which they come, which counts where it is shorter
    than a period; where it is longer, outputs come straight out of registers. ``cuts`` is at least 1 with a tail.
    """
    if not graph.cells:
        return 0.0

    def fits(period: float) -> bool:
        return bool((_earliest(graph, period) <= _latest(graph, cuts, period, tail)).all())

    low = max(graph.delays)
    high = _longest_path(graph)
    if fits(low):
        return low
    while high - low > _PRECISION:
        middle = (low + high) / 2
        if fits(middle):
            high = middle
        else:
            low = middle
    return high


def _longest_path(graph: Graph) -> float:
    done = np.zeros(len(graph.cells))
    for index, ways in enumerate(graph.edges):
        done[index] = max([graph.delays[index], *(done[producer] + way for producer, way in ways)])
    return float(done.max())


def _latest(graph: Graph, cuts: int, period: float, tail: float) -> np.ndarray:
    """Last cycle that each cell may work in: not in that of the outputs, where too much comes between."""
    if not tail:
        return np.full(len(graph.cells), cuts)
    # Longest path from a cell's inputs to the outputs, itself included; -inf where no output takes it.
    behind = np.full(len(graph.cells), -np.inf)
    for producer, consumers, _ in graph.uses:
        if producer != SOURCE and len(graph.cells) in consumers:
            behind[producer] = 0.0
    rest = behind + graph.delays
    for index in reversed(range(len(graph.cells))):
        rest[index] = max(rest[index], behind[index] + graph.delays[index])
        for producer, way in graph.edges[index]:
            behind[producer] = max(behind[producer], behind[index] + way)
    return np.where(rest > max(period - tail, 0.0) + _PRECISION, cuts - 1, cuts)


def _too_far(graph: Graph, period: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of cells that must not work in one cycle, without those that follow from others."""
    count = len(graph.cells)
    after: list[list[int]] = [[] for _ in range(count)]
    for index, ways in enumerate(graph.edges):
        for producer, _ in ways:
            after[producer].append(index)
    begins, ends = [], []
    for low in range(0, count, _AT_ONCE):
        rows = range(low, min(low + _AT_ONCE, count))
        # A start's successors are needed beside it, to leave out what follows from them.
        reach = np.full((len(rows), count), -np.inf)
        first = np.zeros((len(rows), count), bool)
        for index in range(low, count):
            ways = graph.edges[index]
            column = reach[:, index]
            seen = np.zeros(len(rows), bool)
            for producer, way in ways:
                if producer >= low:
                    np.maximum(column, reach[:, producer] + way, out=column)
                    seen |= reach[:, producer] > period
            if index in rows:
                column[index - low] = max(column[index - low], graph.delays[index])
            first[:, index] = (column > period) & ~seen
        for row, index in enumerate(rows):
            far = first[row].copy()
            for successor in after[index]:
                if successor in rows:
                    far &= ~(reach[successor - low] > period)
            found = np.flatnonzero(far)
            begins.append(np.full(len(found), index))
            ends.append(found)
    return np.concatenate(begins), np.concatenate(ends)


def places(graph: Graph, cuts: int, period: float, tail: float = 0.0) -> np.ndarray:
    """Cycle 0 … ``cuts`` of each cell: the fewest register bits of all that keep a period of at least
    `shortest_period`, whose ``tail`` this is.
    """
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    count = len(graph.cells)
    if not count or not cuts:
        return np.zeros(count, np.int64)
    rows: list[np.ndarray] = []
    cols: list[np.ndarray] = []
    values: list[np.ndarray] = []
    bound: list[float] = []
    cost = np.zeros(count + len(graph.uses))
    lower, upper = np.zeros(len(cost)), np.full(len(cost), float(cuts))
    upper[:count] = _latest(graph, cuts, period, tail)

    def less(left: int | None, right: int | None, by: float) -> None:
        """left - right <= by."""
        row = len(bound)
        for column, sign in ((left, 1.0), (right, -1.0)):
            if column is not None:
                rows.append(np.array([row]))
                cols.append(np.array([column]))
                values.append(np.array([sign]))
        bound.append(by)

    for number, (producer, consumers, bits) in enumerate(graph.uses, start=count):
        cost[number] += len(bits)
        if producer != SOURCE:
            cost[producer] -= len(bits)
        for consumer in consumers:
            if consumer == count:
                lower[number] = cuts
            else:
                less(consumer, number, 0.0)
                if producer != SOURCE:
                    less(producer, consumer, 0.0)
    for begin, end in zip(*_too_far(graph, period + _PRECISION), strict=True):
        less(int(begin), int(end), -1.0)
    matrix = coo_array(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(cols))), shape=(len(bound), len(cost))
    ).tocsr()
    # Every row is a difference, so the corners of the region are whole numbers.
    found = linprog(cost, A_ub=matrix, b_ub=bound, bounds=np.stack([lower, upper], axis=1), method="highs-ds")
    if found.x is None:
        raise RuntimeError(f"pipeline: no schedule of {cuts} cuts keeps {period:g} gate delays: {found.message}")
    result: np.ndarray = np.rint(found.x[:count]).astype(np.int64)
    return result
