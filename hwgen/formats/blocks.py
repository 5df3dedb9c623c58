"""Block formats: elements that share a scale (OCP Microscaling v1.0, NVFP4 and NVINT4, HiF4)."""

from __future__ import annotations

from dataclasses import dataclass

from hwgen.errors import HwgenError, suggest
from hwgen.formats.base import Format
from hwgen.formats.catalogue import get

__all__ = ["BlockFormat", "block_format", "block_names"]


@dataclass(frozen=True, kw_only=True)
class BlockFormat:
    """``block`` elements along K with one scale; a value is scale · element.

    Attributes
    ----------
    scheme : name of the quantiser in `hwgen.quantize` (and of the weight scheme of a layer).
    outer : whether a second-level scale in FP32, one for the tensor, multiplies all values.
    repeated_bits : bits of a block's words that repeat other bits of it and take no memory.
    """

    name: str
    element: Format
    scale: Format
    block: int
    scheme: str
    outer: bool = False
    repeated_bits: int = 0

    @property
    def bits_per_element(self) -> float:
        """Storage in bit per element of a full block, with the element's share of the scale; no second-level scale."""
        shared = self.scale.code_bits - self.repeated_bits
        return self.element.code_bits / self.element.elements + shared / self.block

    def pairs_with(self, other: BlockFormat) -> bool:
        """Whether a tile can take one operand in this format and one in the other: blocks and scales alike."""
        mine, others = ((form.block, form.scale, form.outer, form.element.elements) for form in (self, other))
        return mine == others


def _family(
    scheme: str, block: int, scale: str, elements: dict[str, str], *, outer: bool = False, repeated_bits: int = 0
) -> dict[str, BlockFormat]:
    return {
        name: BlockFormat(
            name=name,
            element=get(element),
            scale=get(scale),
            block=block,
            scheme=scheme,
            outer=outer,
            repeated_bits=repeated_bits,
        )
        for name, element in elements.items()
    }


_BLOCKS = {
    **_family(
        "mx",
        32,
        "e8m0",
        {
            "mxint8": "mxint8",
            "mxfp8_e4m3": "fp8_e4m3",
            "mxfp8_e5m2": "fp8_e5m2",
            "mxfp6_e2m3": "fp6_e2m3",
            "mxfp6_e3m2": "fp6_e3m2",
            "mxfp4": "fp4_e2m1",
        },
    ),
    **_family("nv", 16, "fp8_e4m3", {"nvfp4": "fp4_e2m1", "nvint4": "nvint4"}, outer=True),
    # A level-2 bit is in both words of 4 elements that it belongs to: 64 / 8 bits of a block are repeated.
    **_family("hif4", 64, "hif4_scale", {"hif4": "hif4"}, repeated_bits=8),
}


def block_names() -> tuple[str, ...]:
    """Names of all block formats."""
    return tuple(_BLOCKS)


def block_format(name: str) -> BlockFormat:
    """Block format by name. Raises `HwgenError` for an unknown one."""
    if name not in _BLOCKS:
        raise HwgenError(
            f"block format: name must be one of {', '.join(_BLOCKS)}, not {name!r}{suggest(name, _BLOCKS)}"
        )
    return _BLOCKS[name]
