"""The Verilog ports of a tile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwgen.frame.ports import PortInfo, element_port
from hwgen.frame.spec import TileSpec

__all__ = ["tile_ports"]


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
