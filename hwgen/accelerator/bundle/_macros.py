"""Memories from macros of OpenRAM, as the open sky130 kit has them: the worked example of how to replace ours."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hwgen.accelerator.bundle._names import macro_names, module_texts
from hwgen.accelerator.emission import Emission

__all__ = ["MACRO", "MACRO_SIZE", "macro_instances", "macro_verilog"]

MACRO = "sky130_sram_1kbyte_1rw1r_32x256_8"
MACRO_WORDS, MACRO_BITS = 256, 32
MACRO_SIZE = (479.78, 397.5)
"""Width and height in um."""
FEWEST_WORDS = 33
"""Memories of fewer words are smaller as flip-flops than as macros of 256."""


def _tiles(words: int, bits: int) -> tuple[int, int]:
    """Macros below and beside each other."""
    return -(-words // MACRO_WORDS), -(-bits // MACRO_BITS)


def macro_verilog(emission: Emission) -> str:
    """Modules of the same names and behaviour as ``top``_sram.v; those of many words around `MACRO`."""
    texts = module_texts(emission.verilog)
    parts = [
        f"// Memories of {emission.top} around macros {MACRO},\n"
        f"// in place of {emission.top}_sram.v. Those of fewer than {FEWEST_WORDS} words stay flip-flops.\n"
    ]
    for name, (words, bits) in macro_names(emission).items():
        parts.append(_wrapper(name, words, bits) if words >= FEWEST_WORDS else texts[name])
    return "\n".join(parts)


def _wrapper(name: str, words: int, bits: int) -> str:
    rows, columns = _tiles(words, bits)
    address, padded = max((words - 1).bit_length(), 1), columns * MACRO_BITS
    w_low, r_low = _low("w_addr", address), _low("r_addr", address)
    data = "w_data" if padded == bits else f"{{{padded - bits}'d0, w_data}}"
    lines = [
        f"module {name} (w_addr, w_data, r_en, r_addr, clk, r_data, w_en);",
        "  input clk, w_en, r_en;",
        f"  input [{address - 1}:0] w_addr, r_addr;",
        f"  input [{bits - 1}:0] w_data;",
        f"  output [{bits - 1}:0] r_data;",
        f"  wire [{padded - 1}:0] into = {data};",
        f"  wire [{padded - 1}:0] {', '.join(f'from{row}' for row in range(rows))};",
    ]
    if rows > 1:
        lines += [
            f"  reg [{address - 9}:0] row;",
            "  always @(posedge clk) if (r_en) row <= r_addr[" + f"{address - 1}:8];",
        ]
    chosen = "from0"
    for row in range(1, rows):
        chosen = f"row == {address - 8}'d{row} ? from{row} : {chosen}"
    lines += [
        "  // The macro gives a word only in the cycle after a read: here it stays.",
        "  reg fresh;",
        f"  reg [{bits - 1}:0] kept;",
        f"  wire [{padded - 1}:0] word = {chosen};",
        f"  assign r_data = fresh ? word[{bits - 1}:0] : kept;",
        "  always @(posedge clk) begin",
        "    fresh <= r_en;",
        f"    if (fresh) kept <= word[{bits - 1}:0];",
        "  end",
    ]
    for row in range(rows):
        here = {way: _here(way, row, rows, address) for way in ("w", "r")}
        for column in range(columns):
            low = column * MACRO_BITS
            lines.append(
                f"  {MACRO} bank_{row}_{column} (\n"
                f"    .clk0(clk), .csb0({_off('w_en', here['w'])}), .web0(1'b0), .wmask0(4'hf), .addr0({w_low}),\n"
                f"    .din0(into[{low + MACRO_BITS - 1}:{low}]), .dout0(),\n"
                f"    .clk1(clk), .csb1({_off('r_en', here['r'])}), .addr1({r_low}),\n"
                f"    .dout1(from{row}[{low + MACRO_BITS - 1}:{low}])\n"
                "  );"
            )
    return "\n".join([*lines, "endmodule", ""])


def _low(name: str, bits: int) -> str:
    """The macro's eight address bits."""
    if bits > 8:
        return f"{name}[7:0]"
    return name if bits == 8 else f"{{{8 - bits}'d0, {name}}}"


def _here(way: str, row: int, rows: int, address: int) -> str:
    return "" if rows == 1 else f"{way}_addr[{address - 1}:8] == {address - 8}'d{row}"


def _off(enable: str, here: str) -> str:
    return f"!({enable} && {here})" if here else f"!{enable}"


def macro_instances(emission: Emission) -> list[str]:
    """Paths of all macros in the flat netlist, by the hierarchy of the Verilog."""
    memories = macro_names(emission)
    texts = module_texts(emission.verilog)
    pattern = re.compile(r"^  (\w+) +(\w+) +\($", re.M)

    def below(module: str, path: str) -> Iterator[str]:
        if module in memories:
            words, bits = memories[module]
            if words >= FEWEST_WORDS:
                rows, columns = _tiles(words, bits)
                yield from (f"{path}bank_{row}_{column}" for row in range(rows) for column in range(columns))
            return
        for kind, name in pattern.findall(texts[module]):
            if kind in texts:
                yield from below(kind, f"{path}{name}.")

    return list(below(emission.top, ""))
