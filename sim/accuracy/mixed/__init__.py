"""Mixed precision: which layer's weights have which format, under a budget of bits or of what a tile's work costs.

`sensitivities` says what every format does to the model where one unit of layers alone has it, `plan` gives formats to
units so that the sum is least, and `compare` measures what came of it.
"""

from __future__ import annotations

from sim.accuracy.mixed.assign import Assignment, Problem, greedy, ilp, uniform
from sim.accuracy.mixed.budget import WHAT, Budget, bits_budget, step_costs, stored_bits_budget
from sim.accuracy.mixed.plan import Comparison, Plan, compare, plan
from sim.accuracy.mixed.sensitivity import UNITS, Sensitivities, sensitivities
from sim.accuracy.mixed.units import Unit, units_of

__all__ = [
    "UNITS",
    "WHAT",
    "Assignment",
    "Budget",
    "Comparison",
    "Plan",
    "Problem",
    "Sensitivities",
    "Unit",
    "bits_budget",
    "compare",
    "greedy",
    "ilp",
    "plan",
    "sensitivities",
    "step_costs",
    "stored_bits_budget",
    "uniform",
    "units_of",
]
