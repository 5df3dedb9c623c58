"""Count the primitives of an accelerator's blocks with Yosys: ``python accelerator_netlist.py OUT CASE...``.

Runs as a child process of the test, as ``tests/estimate/netlist.py``, which has the counting.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from hwgen.synth._parts import Part
from hwgen.synth.accelerator import accelerator_parts
from rtl_tests.accelerator.cases import CASES, RESULT_CASES
from tests.estimate.netlist import primitives

# What nothing reads is no register: a weight feeder has no use for the ends of sums.
RAW = ["proc -noopt -norom", "flatten", "opt_clean", "memory_collect", "memory_map", "opt_clean"]
FOLDED = [
    *("proc -norom", "flatten", "opt_expr", "opt_clean", "memory -nomap", "memory_map"),
    *("opt_dff", "opt_expr -mux_undef", "opt_clean"),
    *4 * ["wreduce", "opt_clean"],
]


def counted(part: Part, passes: list[str]) -> dict[str, int]:
    """One-bit primitives of a block."""
    from pyosys import libyosys as yosys

    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "part.il"), Path(folder, "part.json")
        source.write_text(part.rtlil)
        design = yosys.Design()
        for command in (f"read_rtlil {source}", f"hierarchy -top {part.top}", *passes, f"write_json {result}"):
            yosys.run_pass(f"tee -q {command}", design)
        return primitives(json.loads(result.read_text())["modules"][part.top])


if __name__ == "__main__":
    answers = []
    for index in map(int, sys.argv[2:]):
        parts = accelerator_parts((*CASES, *RESULT_CASES)[index].build(), tile=False)
        answers.append({part.kind: {**counted(part, FOLDED), "ff": counted(part, RAW)["ff"]} for part in parts})
    Path(sys.argv[1]).write_text(json.dumps(answers))
