"""Count the primitives of an elaborated tile with Yosys: ``python netlist.py`` reads specs as JSON and writes counts.

Runs as a child process of the test: Yosys echoes its passes to stdout and keeps global state.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ADDERS = {"$add", "$sub", "$neg", "$lt", "$le", "$gt", "$ge", "$alu"}


def _bits(value: str | int) -> int:
    return int(value, 2) if isinstance(value, str) else int(value)


def _cells(module: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, dict[str, int]]]:
    for cell in module["cells"].values():
        widths = {name: _bits(value) for name, value in cell["parameters"].items() if name.endswith("WIDTH")}
        yield cell, cell["type"], widths


def primitives(module: dict[str, Any]) -> dict[str, int]:
    """One-bit primitives of one module, its instances left out."""
    found = dict.fromkeys(("ff", "add", "mul", "mux2", "and"), 0)
    at_work = module["ports"].get("en", {"bits": []})["bits"]
    for cell, kind, width in _cells(module):
        if "dff" in kind:
            found["ff"] += width["WIDTH"]
            if "sdff" in kind and cell["connections"]["SRST"] == at_work:
                # Zero without the enable: an AND in front.
                found["and"] += width["WIDTH"]
        elif kind == "$mul":
            found["mul"] += width["A_WIDTH"] * width["B_WIDTH"]
        elif kind in ADDERS:
            found["add"] += (
                max(width["A_WIDTH"], width.get("B_WIDTH", 0)) if width["Y_WIDTH"] == 1 else width["Y_WIDTH"]
            )
        elif kind in ("$and", "$or"):
            found["and"] += width["Y_WIDTH"]
        elif kind == "$mux":
            # A choice between a value and zero is an AND.
            masks = any(set(cell["connections"][port]) == {"0"} for port in "AB")
            found["and" if masks else "mux2"] += width["WIDTH"]
        elif kind == "$pmux":
            found["mux2"] += width["WIDTH"] * width["S_WIDTH"]
        elif kind in ("$shl", "$shr", "$sshr", "$shift", "$shiftx"):
            found["mux2"] += width["Y_WIDTH"] * width["B_WIDTH"]
    return found


def _modules(text: str, passes: list[str]) -> dict[str, dict[str, int]]:
    from pyosys import libyosys as yosys

    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "tile.il"), Path(folder, "tile.json")
        source.write_text(text)
        design = yosys.Design()
        for command in (f"read_rtlil {source}", *passes, f"write_json {result}"):
            yosys.run_pass(f"tee -q {command}", design)
        modules = json.loads(result.read_text())["modules"]
    counted = {name: primitives(module) for name, module in modules.items()}
    # Logic with cuts in it is a module of its own within a block: the block's.
    for name, module in modules.items():
        for _, kind, _ in _cells(module):
            if kind in inner(counted):
                for primitive, number in counted[kind].items():
                    counted[name][primitive] += number
    return {name: found for name, found in counted.items() if name not in inner(counted)}


def inner(names: Iterable[str]) -> set[str]:
    """Modules of logic with cuts, by their names: a block's with what it is behind."""
    blocks = {name for name in names if name.count("_") <= 1}
    return {name for name in names if name not in blocks and any(name.startswith(f"{one}_") for one in blocks)}


def count(family: str, values: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Primitives of each module (``tile`` the top): flip-flops as elaborated, the others after constants are folded."""
    from hwgen.emit._rtlil import design_rtlil, pre_rtlil
    from hwgen.frame.assembly import Tile
    from hwgen.frame.interface import tile_ports
    from hwgen.pe import family as find

    spec = find(family).from_values(values)
    text = design_rtlil(lambda place: Tile(spec, place), "tile", tile_ports(spec))
    pre = spec.pre()
    if pre is not None:
        text += "\n" + pre_rtlil(pre, "pre")
    raw = _modules(text, ["proc -noopt -norom"])
    folded = _modules(
        text,
        # How far one `wreduce` narrows a chain of multiplexers depends on the order in which it meets them.
        ["proc -norom", "opt_expr", "opt_clean", "opt_dff", "opt_expr -mux_undef", "opt_clean"]
        + 8 * ["wreduce", "opt_clean"],
    )
    return {name: {**folded[name], "ff": raw[name]["ff"]} for name in raw}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    requests = json.load(sys.stdin)
    answers = [count(family, values) for family, values in requests]
    Path(sys.argv[1]).write_text(json.dumps(answers))
