"""Block formats: elements that share a scale (OCP Microscaling v1.0, NVFP4 and NVINT4, HiF4, and a user's own).

The name of a user's own says all of it: ``blockB:ELEMENT:SCALE:RULE``, such as ``block24:fp4_e2m1:ue5m3:nearest``, and
``:tensor`` behind it where one FP32 scale of the tensor stands above. Whoever has the name has the format.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from hwgen.errors import HwgenError, suggest
from hwgen.formats.base import Format
from hwgen.formats.catalogue import get
from hwgen.formats.integers import IntFormat
from hwgen.formats.minifloat import E8M0Format, MinifloatFormat

__all__ = ["BlockFormat", "block_format", "block_names", "own_block", "rules_of", "says_itself"]

LONGEST = 1024
"""Elements of the longest block."""
_OWN = re.compile(r"block(\d{1,4}):([\w-]+):([\w-]+):([a-z]+)(:tensor)?")


@dataclass(frozen=True, kw_only=True)
class BlockFormat:
    """``block`` elements along K with one scale; a value is scale · element.

    Attributes
    ----------
    scheme : name of the quantiser in `hwgen.quantize` (and of the weight scheme of a layer).
    outer : whether a second-level scale in FP32, one for the tensor, multiplies all values.
    repeated_bits : bits of a block's words that repeat other bits of it and take no memory.
    rule : how scales are rounded, where that is part of the format (`rules_of`); None where a quantiser is told.
    """

    name: str
    element: Format
    scale: Format
    block: int
    scheme: str
    outer: bool = False
    repeated_bits: int = 0
    rule: str | None = None

    @property
    def fixed(self) -> bool:
        """Whether blocks have the format's length and no other; OCP defines MX for any."""
        return self.scheme != "mx" or self.rule is not None

    @property
    def bits_per_element(self) -> float:
        """Storage in bit per element of a full block, with the element's share of the scale; no second-level scale."""
        shared = self.scale.code_bits - self.repeated_bits
        return self.element.code_bits / self.element.elements + shared / self.block

    def pairs_with(self, other: BlockFormat) -> bool:
        """Whether a tile can take one operand in this format and one in the other: blocks and scales alike."""
        mine, others = (
            (form.block, form.scale, form.outer, form.element.elements, form.rule) for form in (self, other)
        )
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


def rules_of(scale: Format, outer: bool) -> tuple[str, ...]:
    """Rules by which scales of a format may be rounded, the usual one first.

    floor and ceil are those of `hwgen.quantize.mx`, for powers of two; nearest is the nearest scale to amax / max, and
    ceil the least one with which nothing saturates. Below a scale of the tensor (``outer``) they are the nearest.
    """
    if isinstance(scale, E8M0Format):
        return ("floor", "ceil")
    return ("nearest",) if outer else ("nearest", "ceil")


def own_block(block: int, element: Format, scale: Format, rule: str, outer: bool = False) -> BlockFormat:
    """A user's own block format; its name says it all. Raises `HwgenError` for parts that make none."""
    name = f"block{block}:{element}:{scale}:{rule}{':tensor' if outer else ''}"
    if not 2 <= block <= LONGEST:
        raise HwgenError(f"block format: block must be 2 to {LONGEST} elements, not {block}")
    floating = isinstance(element, MinifloatFormat) and element.sign_bit
    whole = isinstance(element, IntFormat) and element.twos_complement
    if not (floating or whole) or not 2 <= element.code_bits <= 8:
        raise HwgenError(
            f"block format: element must be a signed minifloat or intN of 2 to 8 bits, such as fp4_e2m1, not {element}"
        )
    if not isinstance(scale, E8M0Format) and not (isinstance(scale, MinifloatFormat) and scale.code_bits <= 16):
        raise HwgenError(
            f"block format: scale must be e8m0 or a minifloat of up to 16 bits, such as ue5m3, not {scale}"
        )
    if outer and isinstance(scale, E8M0Format):
        raise HwgenError("block format: tensor_scale must be false with scale e8m0, whose range needs none")
    rules = rules_of(scale, outer)
    if rule not in rules:
        raise HwgenError(
            f"block format: rule must be {' or '.join(rules)} with scale {scale}"
            f"{' below a scale of the tensor' if outer else ''}, not {rule!r}{suggest(rule, rules)}"
        )
    scheme = "mx" if isinstance(scale, E8M0Format) else "nv" if outer else "block"
    return BlockFormat(name=name, element=element, scale=scale, block=block, scheme=scheme, outer=outer, rule=rule)


def says_itself(name: str) -> bool:
    """Whether a name is that of a user's own format."""
    return _OWN.fullmatch(name) is not None


@functools.cache
def block_format(name: str) -> BlockFormat:
    """Block format by name, a user's own too. Raises `HwgenError` for an unknown one."""
    if name in _BLOCKS:
        return _BLOCKS[name]
    own = _OWN.fullmatch(name)
    if own is None:
        raise HwgenError(
            f"block format: name must be one of {', '.join(_BLOCKS)}, not {name!r}{suggest(name, _BLOCKS)}"
        )
    found = own_block(int(own[1]), get(own[2]), get(own[3]), own[4], own[5] is not None)
    # Parts that have several names are called by the first: block32:e2m1:e8m0:floor has fp4_e2m1.
    return found if found.name == name else block_format(found.name)
