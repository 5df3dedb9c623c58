"""The Verilog ports of a tile: names, widths, meaning and how codes are packed into them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Shape
from amaranth.lib.wiring import In

from hwgen.emit._reset import ACTIVE, Reset
from hwgen.pe._spec import Companion, TileSpec

__all__ = ["PortInfo", "clock_ports", "component_ports", "element_port", "reset_names", "tile_ports"]


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
    width = bits
    for size in shape:
        width *= size
    return PortInfo(name, direction, width, meaning, shape, bits, role=role, **more)  # type: ignore[arg-type]


def clock_ports(reset: Reset) -> list[PortInfo]:
    """Clock and reset, which every module has and which come before its own ports in every list."""
    return [
        PortInfo("clk", "input", 1, "clock, rising edge", role="clock"),
        PortInfo(reset.port, "input", 1, reset.words, role="reset"),
    ]


def reset_names() -> list[str]:
    """Names that the reset's port may have."""
    return [Reset(active=active).port for active in ACTIVE]


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


def _elements_signed(packing: Mapping[str, Any]) -> bool:
    """Whether an element of a port is one two's-complement number."""
    alone = packing.get("per_element", 1) == 1 and not packing.get("ignored_bits")
    return bool(packing.get("signed")) and alone


def _result_words(spec: TileSpec) -> str:
    if spec.result_format == "fp32":
        return "FP32 results"
    return f"{spec.result_format} results in the lowest bits of 32"


def tile_ports(spec: TileSpec) -> list[PortInfo]:
    """Ports of a tile in Verilog order, without ``clk`` and ``rst``."""
    p = spec.p
    acts, act_bits = spec.act_port(p)
    weights, weight_bits = spec.weight_port(p)
    packings = [(spec.act_packing(mode), spec.weight_packing(mode)) for mode in range(len(spec.modes()))]
    acts_signed, weights_signed = (
        all(_elements_signed(packing) for packing in side) for side in zip(*packings, strict=True)
    )
    ports = [
        PortInfo("i_valid", "input", 1, "a step is offered; hold all i_ ports until i_ready"),
        PortInfo("i_ready", "output", 1, "last cycle of the step: it is accepted at the next rising edge"),
        element_port(
            "i_acts",
            "input",
            f"activations [M][{acts}], {spec.act_port_meaning}",
            (spec.m, acts),
            act_bits,
            "acts",
            signed=acts_signed,
        ),
        element_port(
            "i_weights",
            "input",
            f"weights [N][{weights}], {spec.weight_port_meaning}",
            (spec.n, weights),
            weight_bits,
            "weights",
            signed=weights_signed,
        ),
    ]
    for name, side in spec.row_side().items():
        ports.append(
            element_port(
                f"i_row_{name}",
                "input",
                f"per row: {side.doc}",
                (spec.m,),
                side.bits,
                "row_side",
                signed=side.signed,
                encoding=side.encoding,
                values=side.values,
            )
        )
    for name, side in spec.col_side().items():
        ports.append(
            element_port(
                f"i_col_{name}",
                "input",
                f"per column: {side.doc}",
                (spec.n,),
                side.bits,
                "col_side",
                signed=side.signed,
                encoding=side.encoding,
                values=side.values,
            )
        )
    if spec.mode_bits:
        names = ", ".join(f"{index} {mode.name}" for index, mode in enumerate(spec.modes()))
        ports.append(PortInfo("i_mode", "input", spec.mode_bits, f"run-time mode: {names}", role="mode"))
    ports.append(PortInfo("i_first", "input", 1, "first step of a group: clears the sums"))
    ports.append(PortInfo("i_last", "input", 1, "last step of a group: its sums appear at the output"))
    if spec.lanes:
        ports.append(PortInfo("i_done", "input", 1, "with i_last: last group of the outputs"))
    ports.append(PortInfo("o_valid", "output", 1, "output ports are valid in this cycle (no back-pressure)"))
    delay = "m+n" if spec.transport == "systolic" else "0"
    if spec.lanes:
        ports.append(
            element_port(
                "o_y",
                "output",
                f"{_result_words(spec)}, {spec.lanes} a beat, row-major over [M][N]",
                (spec.lanes,),
                32,
                "y",
                encoding=spec.result_format,
            )
        )
        return ports
    shape = (spec.m, spec.n, int(spec.sums_of_cell(p)))
    ports.append(
        element_port(
            "o_sums",
            "output",
            f"{spec.sum_meaning} [M][N][P]",
            shape,
            int(spec.acc_bits(p)),
            "sums",
            signed=spec.sum_signed,
            delay=delay,
        )
    )
    if spec.has_row_sums:
        row_delay = "m" if spec.transport == "systolic" else "0"
        ports.append(
            element_port(
                "o_row_sums",
                "output",
                "sums of the rows' activations [M]",
                (spec.m,),
                int(spec.row_sum_bits(p)),
                "row_sums",
                signed=True,
                delay=row_delay,
            )
        )
    return ports
