"""From a `TileSpec` to files: Verilog, manifest, constraints."""

from __future__ import annotations

from hwgen.emit._axi_stream import (
    INPUT_DEPTH,
    LATENCY,
    Field,
    axi_stream_ports,
    axi_stream_rtlil,
    result_depth,
    streams,
)
from hwgen.emit._emit import Emission, emit, to_verilog
from hwgen.emit._names import axi_stream_name, module_name
from hwgen.emit._reset import Reset
from hwgen.emit._rtlil import component_rtlil, memory_rtlil, tile_rtlil
from hwgen.emit._sdc import constraints, sdc

__all__ = [
    "INPUT_DEPTH",
    "LATENCY",
    "Emission",
    "Field",
    "Reset",
    "axi_stream_name",
    "axi_stream_ports",
    "axi_stream_rtlil",
    "component_rtlil",
    "constraints",
    "emit",
    "memory_rtlil",
    "module_name",
    "result_depth",
    "sdc",
    "streams",
    "tile_rtlil",
    "to_verilog",
]
