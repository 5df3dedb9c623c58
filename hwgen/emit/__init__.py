"""From a `TileSpec` to files: Verilog, manifest, testbench, constraints."""

from __future__ import annotations

from hwgen.emit._emit import Emission, emit
from hwgen.emit._files import make_folder, replacing, write_all, write_atomic
from hwgen.emit._reset import Reset
from hwgen.emit._sdc import sdc
from hwgen.emit._testbench import bench_files

__all__ = ["Emission", "Reset", "bench_files", "emit", "make_folder", "replacing", "sdc", "write_all", "write_atomic"]
