"""From a `TileSpec` to files: Verilog, manifest, constraints."""

from __future__ import annotations

from hwgen.emit._emit import Emission, emit
from hwgen.emit._reset import Reset
from hwgen.emit._sdc import constraints, sdc

__all__ = ["Emission", "Reset", "constraints", "emit", "sdc"]
