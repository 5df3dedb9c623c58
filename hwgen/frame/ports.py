"""Verilog ports: names, widths, meaning and how codes are packed into them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib.wiring import In

from hwgen.frame.facts import Companion

__all__ = ["PortInfo", "component_ports", "element_port"]


@dataclass(frozen=True)
class PortInfo:
    """One port. Element ``index`` (row-major over ``shape``) sits at bits ``index * bits`` upwards.

    ``encoding`` names the format of side information and results that are codes, ``values`` what side information may
    be where not everything is legal. ``delay`` says where an output element of a systolic tile appears: "m+n" cycles
    after ``o_valid``, else "0".
    """

    name: str
    direction: str
    width: int
    meaning: str
    shape: tuple[int, ...] = ()
    bits: int = 0
    signed: bool = False
    role: str = "control"
    delay: str = "0"
    encoding: str = ""
    values: range | None = None

    def delays(self) -> list[int]:
        """Cycles after ``o_valid`` in which each element of an output is there, in the order of the elements."""
        places = itertools.product(*map(range, self.shape))
        return [{"0": 0, "m": place[0], "m+n": sum(place[:2])}[self.delay] for place in places]


def element_port(
    name: str, direction: str, meaning: str, shape: tuple[int, ...], bits: int, role: str, **more: object
) -> PortInfo:
    """A port of ``shape`` elements of ``bits`` bits."""
    width = bits
    for size in shape:
        width *= size
    return PortInfo(name, direction, width, meaning, shape, bits, role=role, **more)  # type: ignore[arg-type]


def component_ports(companion: Companion) -> list[PortInfo]:
    """Ports of a companion, in the order of its meanings, without ``clk`` and ``rst``."""
    component: Any = companion.build()
    # Only asked for its ports: tell Amaranth that it need not be elaborated.
    component._MustUse__used = True
    members = component.signature.members
    ways = {name: "input" if member.flow == In else "output" for name, member in members.items()}
    found = []
    for name, meaning in companion.ports.items():
        width = Shape.cast(members[name].shape).width
        count, encoding = companion.elements.get(name, (0, ""))
        shape, bits = ((count,), width // count) if count else ((), 0)
        found.append(PortInfo(name, ways[name], width, meaning, shape, bits, encoding=encoding))
    return found
