"""Hardware generator and co-design simulator for quantised accelerators.

>>> import hwgen
>>> tile = hwgen.tile("lut", bits=2)
>>> tile.emit().verilog.count("endmodule") > 3
True
"""

from __future__ import annotations

from typing import Any

from hwgen.errors import HwgenError
from hwgen.version import __version__

__all__ = ["HwgenError", "__version__", "families", "tile"]


def tile(family: str, *, clk_period_ns: float | str | None = None, tech: str | None = None, **parameters: Any) -> Any:
    """A tile of a PE family by name, e.g. ``hwgen.tile("lut", bits=2, acts="int8")``.

    With a clock period (of ``tech``, or of the default technology; with ``tech`` alone its default clock) the tile gets
    the fewest registers that keep it, as `sim.clock.at_clock` says.

    Returns a `hwgen.api.TileHandle` with ``emit()``, ``reference()``, ``verify()``, ``estimate(layer)`` and
    ``run(...)``. Raises `HwgenError` for an unknown family or parameter and for values that are not legal.
    """
    from hwgen.api import TileHandle

    return TileHandle.from_values(family, parameters, clk_period_ns, tech)


def families() -> tuple[str, ...]:
    """Names of all PE families that can be found."""
    from hwgen.pe import family_names

    return tuple(family_names())
