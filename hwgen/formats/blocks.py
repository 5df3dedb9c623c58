"""Block formats: elements that share a power-of-two scale (OCP Microscaling v1.0, table 1)."""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.errors import HwgenError, suggest
from hwgen.formats.base import Format
from hwgen.formats.catalogue import get

__all__ = ["BlockFormat", "block_format", "block_names"]


@dataclass(frozen=True, kw_only=True)
class BlockFormat:
    """``block`` elements along K with one scale; a value is scale · element."""

    name: str
    element: Format
    scale: Format
    block: int

    @property
    def bits_per_element(self) -> float:
        """Storage in bit per element, with the element's share of the scale."""
        return self.element.code_bits / self.element.elements + self.scale.code_bits / self.block


_ELEMENTS = {
    "mxint8": "mxint8",
    "mxfp8_e4m3": "fp8_e4m3",
    "mxfp8_e5m2": "fp8_e5m2",
    "mxfp6_e2m3": "fp6_e2m3",
    "mxfp6_e3m2": "fp6_e3m2",
    "mxfp4": "fp4_e2m1",
}


def block_names() -> tuple[str, ...]:
    """Names of all block formats."""
    return tuple(_ELEMENTS)


def block_format(name: str) -> BlockFormat:
    """Block format by name. Raises `HwgenError` for an unknown one."""
    if name not in _ELEMENTS:
        raise HwgenError(
            f"block format: name must be one of {', '.join(_ELEMENTS)}, not {name!r}{suggest(name, _ELEMENTS)}"
        )
    return BlockFormat(name=name, element=get(_ELEMENTS[name]), scale=get("e8m0"), block=32)
