"""What OpenROAD-flow-scripts needs to lay a design out: its configuration, constraints and the Verilog."""

from __future__ import annotations

import re

from hwgen.emit import Reset, constraints, emit, sdc
from hwgen.pe import TileSpec
from hwgen.synth._verilog import VerilogUnit
from hwgen.synth.liberty import Library
from hwgen.yosys import run_passes

__all__ = ["layout_files", "platform", "unit_files", "unit_sdc"]

_PLATFORMS: dict[str, tuple[str, str]] = {
    r"sky130_fd_sc_hd__": ("sky130hd", "ns"),
    r"sky130_fd_sc_hs__": ("sky130hs", "ns"),
    r"asap7sc7p5t": ("asap7", "ps"),
    r"(?i:NangateOpenCellLibrary)": ("nangate45", "ns"),
    r"sg13g2_stdcell": ("ihp-sg13g2", "ns"),
    r"gf180mcu": ("gf180", "ns"),
}
"""Names of libraries as they begin, with the flow's name of the process and the time unit of its first library."""


def platform(library: Library) -> tuple[str, str] | None:
    """The flow's platform of a library and the time unit in which it reads constraints; None for an unknown one."""
    found = [known for pattern, known in _PLATFORMS.items() if re.match(pattern, library.name)]
    return found[0] if found else None


def layout_files(spec: TileSpec, library: Library, clk_period_ns: float, reset: Reset | None = None) -> dict[str, str]:
    """Files of a design folder by name; `make DESIGN_CONFIG=FOLDER/config.mk` in the flow's folder lays it out.

    Raises `HwgenError` as `hwgen.emit.sdc`.
    """
    emission = emit(spec, reset=reset)
    unit = _time_unit(library)
    text = sdc(spec, emission.top, clk_period_ns, time_unit=unit, reset=reset)
    return _files(f"{spec.family} tile", "A tile", emission.top, emission.verilog, text, library)


def unit_files(unit: VerilogUnit, library: Library, clk_period_ns: float) -> dict[str, str]:
    """As `layout_files`, of Verilog of anybody's: what was read of it, as one flat module."""
    verilog = run_passes(unit.part.rtlil, [], write="write_verilog -noattr")
    text = unit_sdc(unit, clk_period_ns, time_unit=_time_unit(library))
    return _files(unit.top, "A small unit", unit.top, verilog, text, library)


def unit_sdc(unit: VerilogUnit, clk_period_ns: float, *, time_unit: str = "ns") -> str:
    """Constraints of Verilog of anybody's. Raises `HwgenError` as `hwgen.emit.sdc`."""
    return constraints(
        unit.top,
        unit.top,
        unit.data_ports,
        unit.clock,
        clk_period_ns,
        time_unit=time_unit,
        outside="unit",
        falling=unit.falling,
    )


def _time_unit(library: Library) -> str:
    known = platform(library)
    return known[1] if known else library.time_unit


def _files(title: str, what: str, top: str, verilog: str, constraint: str, library: Library) -> dict[str, str]:
    known = platform(library)
    lines = [
        f"# No platform of the flow is known for the library {library.name}: name one here, and give constraint.sdc",
        f"# the time unit of its first library (it is in {_time_unit(library)}, this one's).",
        "# export PLATFORM = sky130hd",
    ]
    if known:
        lines = [f"export PLATFORM = {known[0]}"]
    config = [
        f"# {title} for OpenROAD-flow-scripts: make DESIGN_CONFIG=<this file> in its flow folder.",
        *lines,
        f"export DESIGN_NAME = {top}",
        f"export DESIGN_NICKNAME = {top}",
        f"export VERILOG_FILES = $(dir $(DESIGN_CONFIG)){top}.v",
        "export SDC_FILE = $(dir $(DESIGN_CONFIG))constraint.sdc",
        "",
        f"# {what} has many ports for its area; lower the utilisation when they do not fit around it.",
        "export CORE_UTILIZATION = 40",
        "export PLACE_DENSITY_LB_ADDON = 0.20",
    ]
    return {"config.mk": "\n".join([*config, ""]), "constraint.sdc": constraint, f"{top}.v": verilog}
