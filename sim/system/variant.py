"""How a tile takes second operands of another format than its weights': in another of its modes, or digit by digit."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from hwgen.accelerator import Design
from hwgen.accelerator.stream import padded_bits
from hwgen.errors import HwgenError
from hwgen.formats import get
from hwgen.formats.integers import IntFormat
from hwgen.frame.numbers import Num, ceil_div, where
from hwgen.frame.param import Range
from hwgen.pe import TileSpec

__all__ = ["Variant", "rings_in_mode", "variant"]

P = Mapping[str, Any]

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
            rings = rings_in_mode(type(tile), tile.p, other.p, design.p)
            made = Design(tile=other, **{**design.p, **{name: int(depth) for name, depth in rings.items()}})
            return Variant(made, 1, f"{form}, in the tile's mode for it")
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


def rings_in_mode(spec: type[TileSpec], p: P, other: P, d: P) -> dict[str, Num]:
    """Steps that the rings hold in another mode of the tile: the memories are the same, and its codes may be wider.

    p, other: parameters of the tile and of the same tile in the mode; numbers may be arrays over designs.
    """
    found = {}
    for place, (lines, ring) in enumerate((("m", "act_ring"), ("n", "weight_ring"))):
        before, after = (padded_bits(one[lines] * spec.code_bits(one)[place], d["bus_bits"]) for one in (p, other))
        found[ring] = where(after > before, d[ring] * before // after, d[ring])
    return found


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
