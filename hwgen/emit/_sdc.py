"""Timing constraints of a tile in SDC, which synthesis and static timing analysis of all vendors read."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hwgen.emit._reset import Reset, clock_ports
from hwgen.errors import HwgenError
from hwgen.frame.interface import tile_ports
from hwgen.frame.ports import PortInfo
from hwgen.frame.spec import TileSpec

__all__ = ["constraints", "sdc"]


_PER_NS = {"fs": 1e6, "ps": 1e3, "ns": 1.0, "us": 1e-3}


def sdc(
    spec: TileSpec,
    top: str,
    clk_period_ns: float,
    io_fraction: float = 0.2,
    *,
    time_unit: str = "ns",
    reset: Reset | None = None,
) -> str:
    """Constraints of the module ``top`` (and of its ``_pre`` block, which has the same clock and reset).

    Parameters
    ----------
    clk_period_ns: period of the one clock.
    io_fraction: part of the period that logic outside the tile takes before inputs and after outputs, 0 to below 1.
    time_unit: of the times in the text, as libraries name it (ns, ps, 10ps); tools take them in the unit of their first
        library.
    reset: of the module; synchronous and active high when None.

    Raises `HwgenError` for a period or a fraction out of range, and for a unit that is none.
    """
    ports = tile_ports(spec)
    clock, reset_port = clock_ports(reset or Reset())
    about = "The reset is synchronous: it is\n# timed like any other input and is no false path."
    if reset is not None and reset.kind == "async":
        about = "The reset is\n# asynchronous: its release is timed (recovery and removal) and is no false path."
    return constraints(
        spec.family, top, [reset_port, *ports], clock.name, clk_period_ns, io_fraction, time_unit=time_unit, about=about
    )


def constraints(
    title: str,
    top: str,
    ports: Sequence[PortInfo],
    clock: str | None,
    clk_period_ns: float,
    io_fraction: float = 0.2,
    *,
    time_unit: str = "ns",
    outside: str = "tile",
    about: str = "",
    falling: bool = False,
) -> str:
    """As `sdc`, of any module: ``title`` is named in errors, ``ports`` are those without ``clock``.

    Without a clock port the constraints have a clock of their own. ``outside`` and ``about`` are words of the comment
    on ports: outside of what, and what else. ``falling`` is whether the module takes the falling edge.
    """
    unit = re.fullmatch(r"([\d.]*)([fpnu]s)", time_unit)
    if unit is None:
        raise HwgenError(f"{title}: time_unit must be fs, ps, ns or us, with a number or without, not {time_unit!r}")
    if not 0 < clk_period_ns < float("inf"):
        raise HwgenError(f"{title}: clk_period_ns must be a positive number, not {clk_period_ns:g}")
    if not 0 <= io_fraction < 1:
        raise HwgenError(f"{title}: io_fraction must be at least 0 and below 1, not {io_fraction:g}")
    period = clk_period_ns * _PER_NS[unit[2]] / float(unit[1] or 1)
    delay = f"-clock clk {'-clock_fall ' if falling else ''}{period * io_fraction:.6g}"
    inputs = [_bits(port) for port in ports if port.direction == "input"]
    outputs = [_bits(port) for port in ports if port.direction == "output"]
    at = f" [get_ports {clock}]" if clock else ""
    lines = [
        f"# Timing constraints of {top}; times in {time_unit}, which the reading tool's unit must be.",
        f"create_clock -name clk -period {period:.6g}{at}",
        "",
        f"# Logic outside the {outside} has {io_fraction:.6g} of the period on either side. {about}".rstrip(),
        *(f"set_input_delay {delay} [get_ports {name}]" for name in inputs),
        *(f"set_output_delay {delay} [get_ports {name}]" for name in outputs),
        "",
        "# Drivers and loads depend on the cell library, for example:",
        "#   set_driving_cell -lib_cell BUF_X2 [all_inputs]",
        "#   set_load 0.0038 [all_outputs]",
    ]
    return "\n".join(lines) + "\n"


def _bits(port: PortInfo) -> str:
    """A port, or every bit of a bus, as `get_ports` takes it."""
    return f"{{{port.name}[*]}}" if port.width > 1 else port.name
