"""How a tile takes second operands of another format than its weights': in another of its modes, or digit by digit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from hwgen.accelerator import Design
from hwgen.errors import HwgenError
from hwgen.formats import get
from hwgen.formats.integers import IntFormat
from hwgen.frame.numbers import ceil_div
from hwgen.frame.param import Range
from hwgen.pe import TileSpec

__all__ = ["Variant", "variant"]

_MOST_VALUES = 32


@dataclasses.dataclass(frozen=True)
class Variant:
    """A design as it takes a format: its tile in the mode for it, and how many digits a value has, each of which is an
    element along K. ``words`` say how.
    """

    design: Design
    passes: int
    words: str


def variant(design: Design, form: str) -> Variant:
    """The design for second operands in a format; "" is the tile's own.

    An integer that is wider than the tile's integer weights is so many digits of them: along K one after the other, in
    groups whose scales differ by a power of two, so that the tile adds them up. Raises `HwgenError` for a format that
    the tile cannot take, with those that it can.
    """
    tile = design.tile
    own = tile.weight_format.name
    if not form or form == own:
        return Variant(design, 1, own)
    for other in _modes(tile):
        if other.weight_format.name == form:
            return Variant(dataclasses.replace(design, tile=other), 1, f"{form}, in the tile's mode for it")
    wanted, held = get(form), tile.weight_format
    if isinstance(wanted, IntFormat) and isinstance(held, IntFormat):
        passes = int(ceil_div(wanted.code_bits, held.code_bits))
        if passes == 1:
            return Variant(design, 1, f"{form}, in codes of {own}")
        if not tile.group:
            raise HwgenError(
                f"system: group of the tile must be positive for {form} as {passes} digits of {own}, whose scales "
                "differ, not 0"
            )
        return Variant(design, passes, f"{form}, as {passes} digits of {own}")
    known = list(dict.fromkeys([own, *(other.weight_format.name for other in _modes(tile))]))
    integers = " or a wider integer" if isinstance(held, IntFormat) else ""
    raise HwgenError(
        f"system: a second operand must be {', '.join(known)}{integers} on this {tile.family} tile, not {form}"
    )


def _modes(tile: TileSpec) -> Iterator[TileSpec]:
    """The same tile in its other modes: with one parameter changed, by which the hardware stays as it is."""
    modes = tile.modes()
    if len(modes) < 2:
        return
    for name, one in tile.parameters().items():
        values = range(one.legal.low, one.legal.high + 1) if isinstance(one.legal, Range) else one.legal or ()
        if len(values) > _MOST_VALUES or name in ("m", "n", "k"):
            continue
        for value in values:
            if value == tile.p[name]:
                continue
            try:
                other = type(tile)(**{**tile.p, name: value})
            except HwgenError:
                continue
            same = other.modes() == modes and other.act_format == tile.act_format
            if same and other.weight_format.name != tile.weight_format.name:
                yield other
