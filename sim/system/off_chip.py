"""`OffChip`: memory outside the chip as the system model sees it: a rate, an energy a bit, and room."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hwgen.errors import HwgenError
from sim.memory import dram

__all__ = ["GIB", "OffChip"]

GIB = 1 << 30
_ROUNDINGS = ("up", "down")


@dataclass(frozen=True)
class OffChip:
    """Memory outside the chip. Raises `HwgenError` for numbers that are not positive.

    Parameters
    ----------
    name: as it is shown. gb_per_s: rate in 10⁹ bytes a second, infinite where nothing waits for it.
    pj_per_bit: energy of a bit that is moved, None where it is not counted. gib: room in 2³⁰ bytes, None where
        everything fits. rounding: of the cycles in which bytes pass.
    """

    name: str
    gb_per_s: float
    pj_per_bit: float | None = None
    gib: float | None = None
    rounding: str = "up"

    def __post_init__(self) -> None:
        for what in ("gb_per_s", "pj_per_bit", "gib"):
            value = getattr(self, what)
            if value is not None and not value > 0:
                raise HwgenError(f"off-chip memory {self.name}: {what} must be more than 0, not {value!r}")
        if self.rounding not in _ROUNDINGS:
            raise HwgenError(
                f"off-chip memory {self.name}: rounding must be {' or '.join(_ROUNDINGS)}, not {self.rounding!r}"
            )

    @classmethod
    def of_type(cls, name: str, channels: int, gib: float) -> OffChip:
        """So many channels of a type of `sim.memory.dram_types`."""
        kind = dram(name)
        times = f"{channels} × " if channels > 1 else ""
        return cls(f"{times}{kind.title} ({kind.channel})", channels * kind.gb_per_s, kind.pj_per_bit, gib)

    def bytes_per_cycle(self, clk_period_ns: float) -> float:
        """Bytes that pass in a cycle; infinite where nothing waits."""
        return self.gb_per_s * clk_period_ns

    @property
    def waits(self) -> bool:
        """Whether anything waits for it."""
        return math.isfinite(self.gb_per_s)
