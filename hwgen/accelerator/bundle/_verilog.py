"""Verilog of an accelerator or a quantiser in two files: the logic, and the memories that macros may replace."""

from __future__ import annotations

from hwgen.accelerator.bundle._names import macro_names, module_texts
from hwgen.accelerator.emission import Emission
from hwgen.version import __version__

__all__ = ["verilog_files"]


def verilog_files(emission: Emission) -> dict[str, str]:
    """``top``.v, ``top``_sram.v and the list ``top``.f of both, Verilog-2005."""
    top, design = emission.top, emission.design
    memories = macro_names(emission)
    texts = module_texts(emission.verilog)
    settings = " ".join(f"{name}={value}" for name, value in emission.parameters.items())
    tile = " ".join(f"{name}={value}" for name, value in design.tile.p.items())
    data = "data at *_axis_* (AXI4-Stream)" if emission.streamed else "memory at m_axi_* (AXI4)"
    head = (
        f"// {top}: {emission.heading} by hwgen {__version__}, "
        f"design hash {design.digest:08x}\n"
        f"// {settings}\n// tile: {tile}\n"
        f"// One clock, synchronous active-low reset. Registers at s_axi_* (AXI4-Lite), {data}.\n"
        f"// Its memories are in {top}_sram.v.\n\n"
    )
    sram_head = (
        f"// Memories of {top}, one module a size. In one a word is written at the rising edge with w_en; r_data\n"
        "// follows the edge with r_en and stays until the next one. No word is read in the cycle in which it is\n"
        "// written, and none before it was. Modules of the same names around macros may stand in for this file.\n\n"
    )
    logic = [text for name, text in texts.items() if name not in memories]
    return {
        f"{top}.v": head + "\n".join(logic),
        f"{top}_sram.v": sram_head + "\n".join(texts[name] for name in memories),
        f"{top}.f": f"{top}.v\n{top}_sram.v\n",
    }
