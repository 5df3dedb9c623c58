"""Which design to choose: spaces, sweeps, Pareto fronts."""

from __future__ import annotations
