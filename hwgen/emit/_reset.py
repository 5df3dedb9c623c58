"""The reset of emitted modules: synchronous or asynchronous, active high or low."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hwgen.errors import HwgenError
from hwgen.frame.ports import PortInfo

__all__ = ["ACTIVE", "KINDS", "Reset", "clock_ports", "reset_names"]

KINDS = ("sync", "async")
ACTIVE = ("high", "low")


@dataclass(frozen=True)
class Reset:
    """How a module is reset. The default is what every command emits where it is not told otherwise.

    ``kind``: "sync" is looked at by rising clock edges only; "async" takes effect at once, and must be released so long
    before a rising edge as the cells ask for (a synchroniser outside the tile sees to that). ``active``: level that
    resets. Registers that hold data only have no reset in either form.
    """

    kind: str = "sync"
    active: str = "high"

    def __post_init__(self) -> None:
        for name, value, legal in (("kind", self.kind, KINDS), ("active level", self.active, ACTIVE)):
            if value not in legal:
                raise HwgenError(f"reset: {name} must be {legal[0]} or {legal[1]}, not {value!r}{_hint(value)}")

    @property
    def port(self) -> str:
        """Name of the port."""
        return "rst" if self.active == "high" else "rst_n"

    @property
    def level(self) -> int:
        """Value of the port that resets."""
        return int(self.active == "high")

    @property
    def words(self) -> str:
        """The kind and the level in words."""
        return f"{'synchronous' if self.kind == 'sync' else 'asynchronous'} reset, active {self.active}"


def clock_ports(reset: Reset) -> list[PortInfo]:
    """Clock and reset, which every module has and which come before its own ports in every list."""
    return [
        PortInfo("clk", "input", 1, "clock, rising edge", role="clock"),
        PortInfo(reset.port, "input", 1, reset.words, role="reset"),
    ]


def reset_names() -> list[str]:
    """Names that the reset's port may have."""
    return [Reset(active=active).port for active in ACTIVE]


def _hint(value: object) -> str:
    """Both options, where both are named in one word."""
    words = re.split(r"[^a-z]+", str(value).lower())
    kind = next((word for word in KINDS if word in words), None)
    level = next((word for word in ACTIVE if word in words), None)
    return f"; say --reset {kind} --reset-active {level}" if kind and level else ""
