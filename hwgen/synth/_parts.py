"""The parts of a design that are mapped one by one: each block once, what is left of the tile, and the whole of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hwgen.emit._names import pre_name
from hwgen.emit._reset import Reset
from hwgen.errors import HwgenError, suggest
from hwgen.pe import TileSpec

__all__ = ["FLAT", "Part", "box", "closure", "modules_of", "parts"]

FLAT = "flat"
"""Kind of the part that is the whole tile."""

_MODULE = re.compile(r"^module \\(\S+)\n.*?^end\n", re.M | re.S)
_CELL = re.compile(r"^ *cell (\S+) ", re.M)
_PORT = re.compile(r"^ *wire .*(?:input|output) \d+ .*\n", re.M)

_CLOCKED = re.compile(r"\$(?:a|al|s)?dff|\$mem")
"""Flip-flops, and memories, which become some."""

_BOOTH = {"$mul", "$macc", "$macc_v2"}
_ALUMACC = _BOOTH | {"$add", "$sub", "$neg", "$lt", "$le", "$gt", "$ge"}


@dataclass(frozen=True)
class Part:
    """One kind of block: its module ``top``, how many copies the tile has, and its RTLIL.

    The RTLIL holds the module and what it instantiates; modules in ``boxes`` are there as ports only, and are no part
    of its area. It says nothing about the rest of the tile, so equal blocks of different tiles have equal RTLIL.
    ``of_tile`` is False for what is beside the tile: the block before the activation buffer, and companions.
    """

    kind: str
    top: str
    count: int
    rtlil: str
    boxes: tuple[str, ...]
    of_tile: bool

    @property
    def clocked(self) -> bool:
        """Whether it has registers of its own."""
        return any(_CLOCKED.match(kind) for kind in _CELL.findall(self.rtlil))

    def distinct(self, recipes: Sequence[str], options: Mapping[str, str]) -> tuple[str, ...]:
        """Those of ``recipes`` that may give different netlists, by the names of the simplest ones with their effect.

        Booth's recoding needs a multiplier, and ``-noalumacc`` something that adds or compares.
        """
        cells = set(_CELL.findall(self.rtlil))
        idle = {flag for flag, needs in (("-booth", _BOOTH), ("-noalumacc", _ALUMACC)) if not cells & needs}
        by_effect = {frozenset(flags.split()): name for name, flags in options.items()}
        return tuple(dict.fromkeys(by_effect[frozenset(options[name].split()) - idle] for name in recipes))


def parts(spec: TileSpec, *, flat: bool = False, kinds: Sequence[str] = (), reset: Reset | None = None) -> list[Part]:
    """Parts of a tile in the order of its modules.

    Parameters
    ----------
    flat: also the whole tile as one part. kinds: only these; the emitted blocks beside the tile (``companions``) are
        among the parts only if they are named here. reset: of all of them; synchronous and active high when None.

    Raises `HwgenError` for a kind that the tile does not have.
    """
    from hwgen.emit._rtlil import component_rtlil, design_rtlil, pre_rtlil
    from hwgen.frame.assembly import Tile
    from hwgen.frame.interface import tile_ports

    top, reset = f"{spec.family}_tile", reset or Reset()
    rtlil = design_rtlil(lambda place: Tile(spec, place), top, tile_ports(spec), reset=reset)
    found = _design(rtlil, top, top, "control", flat)
    pre = spec.pre()
    if pre is not None:
        found += _design(pre_rtlil(pre, pre_name(top), reset), pre_name(top), top, "pre_control", False)
    companions = {
        name: _design(component_rtlil(companion.build(), f"{top}_{name}", reset), f"{top}_{name}", top, name, False)
        for name, companion in spec.companions().items()
        if name in kinds
    }
    found += [part for listed in companions.values() for part in listed]
    known = list(dict.fromkeys([*(part.kind for part in found if part.kind != FLAT), *spec.companions()]))
    for kind in kinds:
        if kind not in known:
            raise HwgenError(
                f"{spec.family}: block must be one of {', '.join(known)}, not {kind!r}{suggest(kind, known)}"
            )
    return [part for part in found if not kinds or part.kind in (*kinds, FLAT)]


def _design(rtlil: str, top: str, prefix: str, rest: str, flat: bool) -> list[Part]:
    """Parts of one design whose blocks are modules of their own; ``rest`` is the kind of what is left in its top."""
    modules = modules_of(rtlil)
    inside = _CELL.findall(modules[top])
    blocks = [name for name in modules if name.startswith(f"{top}_") and f"\\{name}" in inside]
    of_tile = top == prefix
    result = [
        Part(name.removeprefix(f"{prefix}_"), name, inside.count(f"\\{name}"), closure(modules, name), (), of_tile)
        for name in blocks
    ]
    boxes = "\n".join(box(name, modules[name]) for name in blocks)
    others = {name: text for name, text in modules.items() if name not in blocks}
    result.append(Part(rest, top, 1, closure(others, top) + boxes, tuple(blocks), of_tile))
    if flat:
        result.append(Part(FLAT, top, 1, closure(modules, top), (), of_tile))
    return result


def modules_of(rtlil: str) -> dict[str, str]:
    """Text of each module of a design by its name."""
    return {match[1]: match[0] for match in _MODULE.finditer(rtlil if rtlil.endswith("\n") else rtlil + "\n")}


def closure(modules: Mapping[str, str], top: str) -> str:
    """A module and all that it instantiates, in the order of the design."""
    wanted = [top]
    for name in wanted:
        inside = {cell.removeprefix("\\") for cell in _CELL.findall(modules[name])}
        wanted += [inner for inner in modules if inner in inside and inner not in wanted]
    return "\n".join(text for name, text in modules.items() if name in wanted)


def box(name: str, text: str) -> str:
    """RTLIL of a module of which only the ports are there."""
    return f"attribute \\blackbox 1\nmodule \\{name}\n" + "".join(_PORT.findall(text)) + "end\n"
