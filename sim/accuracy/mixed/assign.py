"""Who chooses a format for every unit, so that the sum of sensitivities is least and that of costs within a limit.

A multiple-choice knapsack. What a model loses is taken as the sum of what its units lose alone, which is the second
order of the loss without terms between units.

* `ilp`: the optimum, by integer programming, as HAWQ-V3 (Yao et al., ICML 2021, section 4.2, with PULP) and
  OHQ (Huang et al., IJCAI 2024) assign bits; here by HiGHS, to its tolerances.
* `greedy`: from the cheapest formats up, always the step with the largest gain for its cost; the usual heuristic for
  this knapsack (Sinha and Zoltners, Operations Research 27, 1979). SliM-LLM (Huang et al., ICML 2025) too looks for a
  balance of more and fewer bits around a mean, but among the groups of one layer.
* `uniform`: one format for all, the best that the budget allows.

FLIQS (Dotzel et al., AutoML 2024) searches by reinforcement learning, with a model measured in each step: not done
here, where a model is measured once for each unit and format.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import highspy
import numpy as np

# What `highspy.Highs` is made of; that one prints a header before it can be told not to.
from highspy._core import _Highs
from numpy.typing import NDArray

from hwgen.errors import HwgenError
from hwgen.options import ASSIGN

__all__ = ["ASSIGNERS", "Assignment", "Problem", "greedy", "ilp", "uniform"]

SLACK = 1e-9
"""How far above the limit, relatively, the sum of costs may be: sums of one format round differently."""


@dataclass(frozen=True)
class Problem:
    """``sensitivity`` and ``cost`` of each unit in each format, float64 [U, F], and the ``limit`` of the summed cost.

    ``unit`` is what the cost is counted in. Raises `HwgenError` for what is no problem: nothing to choose from, numbers
    that are not finite, and a limit that the cheapest formats exceed.
    """

    sensitivity: NDArray[np.float64]
    cost: NDArray[np.float64]
    limit: float
    unit: str = "bits a weight"

    def __post_init__(self) -> None:
        if self.sensitivity.ndim != 2 or not self.sensitivity.size:
            raise HwgenError("mixed: must be given at least one format and one layer to choose for")
        if self.cost.shape != self.sensitivity.shape:
            raise HwgenError(
                f"mixed: costs must be of {self.sensitivity.shape[0]} units in {self.sensitivity.shape[1]} formats, as "
                f"the sensitivities are, not of shape {self.cost.shape}"
            )
        for name, values in (("sensitivity", self.sensitivity), ("cost", self.cost)):
            if not np.isfinite(values).all():
                raise HwgenError(f"mixed: {name} must be finite numbers")
        least = math.fsum(self.cost.min(axis=1))
        if not least <= self.most:
            raise HwgenError(
                f"mixed: budget must be at least {least:.6g} {self.unit}, which the cheapest formats take, "
                f"not {self.limit:.6g}"
            )

    @property
    def most(self) -> float:
        """The limit with what rounding may add."""
        return self.limit + SLACK * abs(self.limit)

    def assignment(self, chosen: NDArray[np.int64]) -> Assignment:
        """The sums of a choice [U]."""
        unit = np.arange(len(chosen))
        return Assignment(
            tuple(int(one) for one in chosen),
            math.fsum(self.sensitivity[unit, chosen]),
            math.fsum(self.cost[unit, chosen]),
        )


@dataclass(frozen=True)
class Assignment:
    """Numbers of the chosen formats, by unit, and the sums of their sensitivities and costs."""

    chosen: tuple[int, ...]
    predicted: float
    cost: float


def ilp(problem: Problem) -> Assignment:
    """The assignment with the least sum of sensitivities. Raises `HwgenError` where HiGHS finds none."""
    # Largest numbers of 1: HiGHS' tolerances are absolute. A constant of each unit does not change what is best.
    loss = problem.sensitivity - problem.sensitivity.min(axis=1, keepdims=True)
    loss = loss / (loss.max() or 1.0)
    scale = np.abs(problem.cost).max() or 1.0
    room = problem.most / scale
    while True:
        found = problem.assignment(_solve(loss, problem.cost / scale, room))
        if found.cost <= problem.most:
            return found
        # Within HiGHS' tolerance and still above the limit: the next one down.
        room -= (found.cost - problem.most) / scale + 1e-12


def _solve(loss: NDArray[np.float64], cost: NDArray[np.float64], room: float) -> NDArray[np.int64]:
    """The choice [U] of the integer program."""
    units, formats = loss.shape
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = loss.size, units + 1
    program.col_cost_ = loss.ravel()
    program.col_lower_, program.col_upper_ = np.zeros(loss.size), np.ones(loss.size)
    program.integrality_ = [highspy.HighsVarType.kInteger] * loss.size
    # A row for each unit, whose choices are 1 in all, and the one of the budget.
    program.row_lower_ = np.append(np.ones(units), -highspy.kHighsInf)
    program.row_upper_ = np.append(np.ones(units), room)
    program.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    program.a_matrix_.start_ = np.append(np.arange(units + 1) * formats, 2 * loss.size)
    program.a_matrix_.index_ = np.tile(np.arange(loss.size), 2)
    program.a_matrix_.value_ = np.append(np.ones(loss.size), cost.ravel())
    model = _Highs()
    for name, value in _HIGHS.items():
        model.setOptionValue(name, value)
    model.passModel(program)
    model.run()
    status = model.getModelStatus()
    if status != highspy.HighsModelStatus.kOptimal:
        raise HwgenError(f"mixed: HiGHS found no best assignment: {model.modelStatusToString(status)}")
    values = np.array(model.getSolution().col_value, np.float64).reshape(units, formats)
    chosen: NDArray[np.int64] = values.argmax(axis=1)
    return chosen


_HIGHS: Mapping[str, str | float | bool] = {
    "output_flag": False,
    # The same answer on every machine: no race between threads, and no gap that is good enough.
    "parallel": "off",
    "mip_rel_gap": 0.0,
    "mip_abs_gap": 0.0,
    "primal_feasibility_tolerance": 1e-10,
    "dual_feasibility_tolerance": 1e-10,
    "mip_feasibility_tolerance": 1e-10,
}


def greedy(problem: Problem) -> Assignment:
    """From the cheapest formats, one step after the other, each the one with the largest gain for its cost."""
    sensitivity, cost = problem.sensitivity, problem.cost
    unit = np.arange(len(cost))
    chosen = np.lexsort((sensitivity, cost), axis=1)[:, 0]
    while True:
        more = cost - cost[unit, chosen][:, None]
        gain = sensitivity[unit, chosen][:, None] - sensitivity
        allowed = (gain > 0.0) & (math.fsum(cost[unit, chosen]) + more <= problem.most)
        if not allowed.any():
            return problem.assignment(chosen)
        # What costs nothing more comes first.
        rate = np.where(more > 0.0, gain / np.where(more > 0.0, more, 1.0), np.inf)
        row, column = np.unravel_index(np.where(allowed, rate, -np.inf).argmax(), rate.shape)
        chosen[row] = column


def uniform(problem: Problem) -> Assignment:
    """The one format for all with the least sum. Raises `HwgenError` where none is within the limit."""
    found = [problem.assignment(np.full(len(problem.cost), index)) for index in range(problem.cost.shape[1])]
    within = [one for one in found if one.cost <= problem.most]
    if not within:
        raise HwgenError(
            f"mixed: budget must be at least {min(one.cost for one in found):.6g} {problem.unit} for one format for "
            f"all layers, not {problem.limit:.6g}"
        )
    return min(within, key=lambda one: (one.predicted, one.cost))


ASSIGNERS: Mapping[str, Callable[[Problem], Assignment]] = dict(zip(ASSIGN, (ilp, greedy, uniform), strict=True))
"""By name."""
