"""Adder graphs: sums and differences of shifted values, from inputs to outputs; linear, hence exactly a matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

__all__ = ["ZERO", "AdderGraph", "Builder", "Scaled", "Sum"]

ZERO = -1
"""Source that is no value: 0."""


@dataclass(frozen=True)
class Sum:
    """``(left << left_shift) + (right << right_shift)``, or their difference; ``left`` may be `ZERO`, which negates."""

    left: int
    left_shift: int
    right: int
    right_shift: int
    subtract: bool


@dataclass(frozen=True)
class Scaled:
    """``±value * 2**shift``; ``value`` numbers inputs first, then sums. A negative shift drops bits that are zero."""

    value: int
    shift: int = 0
    negative: bool = False


@dataclass(frozen=True)
class AdderGraph:
    """``inputs`` values, then sums of values that stand before them; ``outputs`` are values, shifted, or `ZERO`."""

    inputs: int
    sums: tuple[Sum, ...]
    outputs: tuple[Scaled, ...]

    @cached_property
    def coefficients(self) -> npt.NDArray[np.int64]:
        """What each value is of the inputs, int64 [values, inputs]."""
        found = np.zeros((self.inputs + len(self.sums), self.inputs), np.int64)
        np.fill_diagonal(found, 1)
        for place, one in enumerate(self.sums, self.inputs):
            right = found[one.right] << one.right_shift
            left = found[one.left] << one.left_shift if one.left != ZERO else 0
            found[place] = left - right if one.subtract else left + right
        return found

    @property
    def matrix(self) -> npt.NDArray[np.int64]:
        """The matrix [outputs, inputs] that the graph is, exactly."""
        found = np.zeros((len(self.outputs), self.inputs), np.int64)
        for row, output in enumerate(self.outputs):
            if output.value != ZERO:
                of = self.coefficients[output.value]
                found[row] = of << output.shift if output.shift >= 0 else of >> -output.shift
        return found

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """Adders on the longest way from an input to each value."""
        found = [0] * self.inputs
        for one in self.sums:
            found.append(1 + max(found[one.right], found[one.left] if one.left != ZERO else 0))
        return tuple(found)

    @property
    def depth(self) -> int:
        """Adders on the longest way to an output."""
        return max(self.levels[output.value] for output in self.outputs if output.value != ZERO)

    def ranges(self, low: int, high: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Least and largest of each value for inputs from ``low`` to ``high``, each reached."""
        up, down = np.maximum(self.coefficients, 0).sum(axis=1), np.minimum(self.coefficients, 0).sum(axis=1)
        return up * low + down * high, up * high + down * low


class Builder:
    """Makes a graph: sums of signed, shifted values without an adder for a sign or a shift."""

    def __init__(self, inputs: int) -> None:
        self._inputs = inputs
        self._sums: list[Sum] = []

    def add(self, one: Scaled, other: Scaled) -> Scaled:
        """The sum of two: signs go outwards, as does the shift that both have."""
        shift = min(one.shift, other.shift)
        if one.negative and not other.negative:
            one, other = other, one
        left, right = one.shift - shift, other.shift - shift
        self._sums.append(Sum(one.value, left, other.value, right, one.negative != other.negative))
        return Scaled(self._inputs + len(self._sums) - 1, shift, one.negative)

    def build(self, outputs: Sequence[Scaled]) -> AdderGraph:
        """The graph with these outputs: sums that nothing needs are left out, signs of outputs are worked in.

        The sign of a difference that nothing else needs is turned by changing its sides; any other takes an adder.
        """
        sums, ends = list(self._sums), list(outputs)
        used = [one.left for one in sums] + [one.right for one in sums] + [end.value for end in ends]
        uses = np.bincount([value for value in used if value != ZERO], minlength=self._inputs + len(sums))
        turned: dict[int, int] = {}
        for row, end in enumerate(ends):
            if end.value == ZERO or not end.negative:
                continue
            at = end.value - self._inputs
            if at >= 0 and sums[at].subtract and uses[end.value] == 1:
                old = sums[at]
                sums[at] = Sum(old.right, old.right_shift, old.left, old.left_shift, True)
                ends[row] = Scaled(end.value, end.shift)
                continue
            if end.value not in turned:
                sums.append(Sum(ZERO, 0, end.value, 0, True))
                turned[end.value] = self._inputs + len(sums) - 1
            ends[row] = Scaled(turned[end.value], end.shift)
        return _needed(AdderGraph(self._inputs, tuple(sums), tuple(ends)))


def _needed(graph: AdderGraph) -> AdderGraph:
    """The graph without sums that no output needs."""
    wanted = {output.value for output in graph.outputs}
    for place in range(graph.inputs + len(graph.sums) - 1, graph.inputs - 1, -1):
        if place in wanted:
            wanted |= {graph.sums[place - graph.inputs].left, graph.sums[place - graph.inputs].right}
    new = {ZERO: ZERO, **{value: value for value in range(graph.inputs)}}
    sums: list[Sum] = []
    for place, one in enumerate(graph.sums, graph.inputs):
        if place in wanted:
            new[place] = graph.inputs + len(sums)
            sums.append(Sum(new[one.left], one.left_shift, new[one.right], one.right_shift, one.subtract))
    outputs = tuple(Scaled(new[end.value], end.shift) for end in graph.outputs)
    return AdderGraph(graph.inputs, tuple(sums), outputs)
