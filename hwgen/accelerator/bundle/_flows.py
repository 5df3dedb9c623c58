"""Configurations of the flows from Verilog to a layout: SDC, LibreLane, OpenROAD-flow-scripts."""

from __future__ import annotations

import json
import math

from hwgen.accelerator.bundle._macros import MACRO, MACRO_SIZE, macro_instances, macro_verilog
from hwgen.accelerator.bundle._names import CLOCK, macro_names, ports
from hwgen.accelerator.emission import Emission
from hwgen.emit import constraints

__all__ = ["flow_files"]

# Space for wires and power straps between macros, and around all of them, um.
_CHANNEL, _MARGIN = 60.0, 100.0
# Share of the core that macros take; the logic has the rest.
_MACRO_SHARE = 0.35


def flow_files(emission: Emission, clk_period_ns: float) -> dict[str, str]:
    """``top``.sdc, ``top``_sram_sky130.v, and the folders librelane and orfs."""
    top = emission.top
    about = "The reset is synchronous: it is\n# timed like any other input and is no false path."
    timed = [port for port in ports(emission) if port.name != CLOCK]
    text = constraints(top, top, timed, CLOCK, clk_period_ns, outside=emission.kind, about=about)
    return {
        f"{top}.sdc": text,
        f"{top}_sram_sky130.v": macro_verilog(emission),
        "librelane/config.json": json.dumps(_librelane(emission, clk_period_ns), indent=2) + "\n",
        "orfs/config.mk": _orfs(emission),
        "orfs/sram_blackbox.v": _stubs(emission),
    }


def _librelane(emission: Emission, clk_period_ns: float) -> dict[str, object]:
    top = emission.top
    instances = macro_instances(emission)
    config: dict[str, object] = {
        "meta": {"version": 2, "flow": "Classic"},
        "DESIGN_NAME": top,
        "VERILOG_FILES": [f"dir::../{top}.v", f"dir::../{top}_sram_sky130.v"],
        "CLOCK_PORT": CLOCK,
        "CLOCK_PERIOD": clk_period_ns,
        "PNR_SDC_FILE": f"dir::../{top}.sdc",
        "SIGNOFF_SDC_FILE": f"dir::../{top}.sdc",
        "FP_CORE_UTIL": 40,
    }
    if not instances:
        return config
    views = "pdk_dir::libs.ref/sky130_sram_macros"
    across = math.ceil(math.sqrt(len(instances)))
    pitch = [side + _CHANNEL for side in MACRO_SIZE]
    places = {
        name: {
            "location": [
                round(_MARGIN + index % across * pitch[0], 2),
                round(_MARGIN + index // across * pitch[1], 2),
            ],
            "orientation": "N",
        }
        for index, name in enumerate(instances)
    }
    width = 2 * _MARGIN + across * pitch[0]
    height = max(
        2 * _MARGIN + math.ceil(len(instances) / across) * pitch[1],
        len(instances) * math.prod(MACRO_SIZE) / _MACRO_SHARE / width,
    )
    del config["FP_CORE_UTIL"]
    return {
        **config,
        "FP_SIZING": "absolute",
        "DIE_AREA": [0, 0, math.ceil(width), math.ceil(height)],
        "MACROS": {
            MACRO: {
                "gds": [f"{views}/gds/{MACRO}.gds"],
                "lef": [f"{views}/lef/{MACRO}.lef"],
                "nl": [f"{views}/verilog/{MACRO}.v"],
                "lib": {"*": [f"{views}/lib/{MACRO}_TT_1p8V_25C.lib"]},
                "instances": places,
            }
        },
        "PDN_MACRO_CONNECTIONS": [f"{name} VPWR VGND vccd1 vssd1" for name in instances],
    }


def _orfs(emission: Emission) -> str:
    top = emission.top
    boxes = " ".join(macro_names(emission))
    return f"""# {top} in OpenROAD-flow-scripts: make DESIGN_CONFIG=<this file>, in its folder flow.
HERE := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))

export PLATFORM        ?= sky130hd
export DESIGN_NAME      = {top}
export SDC_FILE         = $(HERE)/../{top}.sdc
export CORE_UTILIZATION ?= 40
export PLACE_DENSITY_LB_ADDON ?= 0.2

# Memories are black boxes once SRAM_LEFS names the macros that they are: one a module, of the same name and ports.
# Without, they become flip-flops, for a first look only.
ifneq ($(strip $(SRAM_LEFS)),)
export VERILOG_FILES    = $(HERE)/../{top}.v $(HERE)/sram_blackbox.v
export SYNTH_BLACKBOXES = {boxes}
export ADDITIONAL_LEFS  = $(SRAM_LEFS)
export ADDITIONAL_LIBS  = $(SRAM_LIBS)
export ADDITIONAL_GDS   = $(SRAM_GDS)
else
export VERILOG_FILES    = $(HERE)/../{top}.v $(HERE)/../{top}_sram.v
export SYNTH_MEMORY_MAX_BITS ?= {_most_bits(emission)}
endif
"""


def _most_bits(emission: Emission) -> int:
    """Bits of the largest memory: what synthesis must not refuse to make of flip-flops."""
    return max((words * bits for words, bits in emission.memories), default=0)


def _stubs(emission: Emission) -> str:
    """Modules of the memories with ports alone."""
    parts = [f"// Memories of {emission.top} as black boxes: the ports of {emission.top}_sram.v.\n"]
    for name, (words, bits) in macro_names(emission).items():
        address = max((words - 1).bit_length(), 1)
        parts.append(
            f"(* blackbox *)\nmodule {name} (w_addr, w_data, r_en, r_addr, clk, r_data, w_en);\n"
            "  input clk, w_en, r_en;\n"
            f"  input [{address - 1}:0] w_addr, r_addr;\n"
            f"  input [{bits - 1}:0] w_data;\n"
            f"  output [{bits - 1}:0] r_data;\n"
            "endmodule\n"
        )
    return "\n".join(parts)
