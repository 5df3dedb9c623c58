"""What a model costs on a chip: copies of an accelerator, the memory that they share, phases of a workload on them."""

from __future__ import annotations

from sim.system.array import Array
from sim.system.estimate import estimate_system
from sim.system.many import estimate_arrays
from sim.system.off_chip import OffChip
from sim.system.report import PartReport, Report
from sim.system.system import System

__all__ = ["Array", "OffChip", "PartReport", "Report", "System", "estimate_arrays", "estimate_system"]
