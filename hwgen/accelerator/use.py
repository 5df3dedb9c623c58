"""`Use`: what an accelerator meets where it is put, and how its jobs are chosen; sweeps vary it beside the design."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from hwgen.accelerator.exact import Memory
from hwgen.errors import HwgenError
from hwgen.frame.param import Param, Range, check, param, parameters, resolve

__all__ = ["ORDERS", "Use"]

ORDERS = {"best": (0, 1), "weights": (0,), "acts": (1,)}
"""Orders of jobs (`Job.order`) that a choice allows, by what stays."""
_BEATS = re.compile(r"(\d{1,6})/(\d{1,6})")
_USUAL = Memory()


@dataclass(frozen=True, kw_only=True)
class Use:
    """The memory behind an accelerator's port, and what stays in its jobs. Raises `HwgenError` for illegal values."""

    memory_latency: int = param(
        _USUAL.latency,
        "cycles from an address to its first beat",
        legal=Range(1, 1 << 20),
        sweep=(10, 20, 60, 200),
        unit="cycles",
    )
    memory_beats: str = param(
        "{}/{}".format(*_USUAL.beats),
        "beats of reads, and as many of writes, in how many cycles, e.g. 1/2",
        sweep=("1/1", "1/2", "1/4"),
    )
    order: str = param(
        "best",
        "what stays while the other operand passes: weights, activations, or what is best for each layer",
        legal=tuple(ORDERS),
    )

    def __post_init__(self) -> None:
        for name, value in check("accelerator", self.parameters(), vars(self)).items():
            object.__setattr__(self, name, value)
        # Memories refuse shares that are none.
        _ = self.memory

    @classmethod
    def parameters(cls) -> Mapping[str, Param]:
        """Declared parameters by name, in declaration order."""
        return parameters(cls)

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Build from a mapping; raises `HwgenError` for an unknown name or an illegal value."""
        return cls(**resolve("accelerator", cls.parameters(), values))

    @property
    def memory(self) -> Memory:
        """The memory."""
        match = _BEATS.fullmatch(self.memory_beats)
        if match is None:
            raise HwgenError(
                "accelerator: memory_beats must be beats and cycles as N/D, e.g. 1/2 for one in two, "
                f"not {self.memory_beats!r}"
            )
        return Memory(self.memory_latency, (int(match[1]), int(match[2])))
