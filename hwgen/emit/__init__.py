"""From a `TileSpec` to files: Verilog, manifest, testbench, constraints."""

from __future__ import annotations

from hwgen.emit._emit import Emission, emit
from hwgen.emit._files import write_atomic

__all__ = ["Emission", "emit", "write_atomic"]
