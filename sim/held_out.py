"""What the cost model says of its own errors: those on tiles and accelerators that no calibration measured.

The numbers lie in ``tech/held_out.toml``; ``python -m reports.stated_errors`` derives them from the committed
measurements, those of the pages `reports.held_out_wide` and `reports.accelerator_cost`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.tables import read_toml

__all__ = ["AROUND", "FILE", "QUANTITIES", "HeldOut", "held_out"]

FILE = Path(__file__).parent / "tech" / "held_out.toml"
QUANTITIES = ("area", "energy", "period")
AROUND = "around"
"""In place of a family: what is around the tile of an accelerator."""


@dataclass(frozen=True)
class HeldOut:
    """Absolute relative errors (model over measurement - 1) by quantity, and on how many designs.

    ``median`` and ``largest`` are by `QUANTITIES`; designs that the model marks as extrapolated are not among them.
    """

    designs: int
    median: Mapping[str, float]
    largest: Mapping[str, float]


def held_out(tech: str, family: str) -> HeldOut | None:
    """Errors of a family's tiles (or `AROUND`) in a technology; None where none were held out."""
    found: dict[str, Any] | None = read_toml(FILE).get(tech, {}).get(family)
    if found is None:
        return None
    median, largest = ({name: float(found[name][place]) for name in QUANTITIES} for place in (0, 1))
    return HeldOut(int(found["designs"]), median, largest)
