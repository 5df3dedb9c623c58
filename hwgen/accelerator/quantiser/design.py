"""`QuantiserDesign`: what is chosen of a quantiser, beside the design whose images it writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from hwgen.accelerator.design import Design
from hwgen.accelerator.quantiser.geometry import geometry
from hwgen.errors import HwgenError
from hwgen.frame.param import Param, Range, check, param, parameters, resolve

__all__ = ["QuantiserDesign"]

_WHAT = "quantiser"


@dataclass(frozen=True, kw_only=True)
class QuantiserDesign:
    """A quantiser for the weight images of ``design``, whose parameters are its own, too: the two share a memory.

    Raises `HwgenError` for illegal parameters, and for a design whose weights it cannot write (`geometry`).
    """

    design: Design
    elements: int = param(256, "values of the longest row, which is the largest head", legal=Range(2, (1 << 16) - 1))

    def __post_init__(self) -> None:
        own = {name: getattr(self, name) for name in parameters(type(self))}
        for name, value in check(_WHAT, parameters(type(self)), own).items():
            object.__setattr__(self, name, value)
        most = (1 << self.design.count_bits) - 1
        if self.elements > most:
            raise HwgenError(
                f"{_WHAT}: elements must be at most {most}, which count_bits ({self.design.count_bits}) hold, not "
                f"{self.elements}"
            )
        geometry(self.design)

    @classmethod
    def parameters(cls) -> Mapping[str, Param]:
        """Declared parameters by name: those of the design, and its own."""
        return {**Design.parameters(), **parameters(cls)}

    @classmethod
    def from_values(cls, tile: Any, values: Mapping[str, Any]) -> Self:
        """Build from a mapping; raises `HwgenError` for an unknown name or an illegal value."""
        given, own = resolve(_WHAT, cls.parameters(), values), parameters(cls)
        around = {name: value for name, value in given.items() if name not in own}
        return cls(design=Design.from_values(tile, around), **{name: given[name] for name in own if name in given})

    @property
    def p(self) -> dict[str, Any]:
        """Parameters, without those of the tile."""
        return {**self.design.p, **{name: getattr(self, name) for name in parameters(type(self))}}
