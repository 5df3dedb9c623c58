"""A point made real: emitted, verified, mapped, run, and what was predicted of it beside what was measured.

`realise_tile` and `realise_accelerator` do the steps `STEPS` with the parts that the single commands have, and both
sides of each row answer one question: areas, energies and periods are those of the mapping that the technology's
calibration measured (each block's smallest one, sized for speed), or, where the model prices a block as mapped for
speed to keep the clock, of the smallest mapping that keeps it. Energy is that of the layer which was run: the mapped
netlist does its steps, clock and leakage last for the cycles that the testbench counted. Memories are no logic; what
the model says of them has nothing beside it.
"""

from __future__ import annotations

from sim.realise.accelerator import realise_accelerator
from sim.realise.asked import STEPS, Asked, LayerData, Watch
from sim.realise.result import Realised, Row
from sim.realise.tile import realise_tile

__all__ = ["STEPS", "Asked", "LayerData", "Realised", "Row", "Watch", "realise_accelerator", "realise_tile"]
