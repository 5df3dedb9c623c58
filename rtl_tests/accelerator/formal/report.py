"""``python -m rtl_tests.accelerator.formal.report``: every claim about the AXI rules, and how far it was proved."""

from __future__ import annotations

import sys
from pathlib import Path

from hwgen.accelerator.emission import emit_accelerator
from hwgen.prove.accelerator import decided, meaning, parts, sought
from reports.command_line import without_options
from reports.families import table
from reports.provenance import provenance, write_result
from rtl_tests.accelerator.cases import CASES, Case
from rtl_tests.accelerator.formal.device import DESIGN, emitted
from rtl_tests.accelerator.formal.faults import FAULTS
from rtl_tests.accelerator.formal.paths import paths

__all__ = ["PARTS", "RESULT", "main"]

PARTS = parts(DESIGN.streams)
RESULT = Path("reports/results/axi_rules.md")


def main() -> None:
    """Decide all claims and write the page."""
    rows = []
    for part, make in PARTS.items():
        graph = make(emitted())
        for claim in graph.outputs:
            verdict = decided(graph, claim)
            fault = FAULTS.get(part, {}).get(claim)
            seeded = "–" if fault is None else str(sought(make(emitted(fault)), claim))
            rows.append([part, claim, meaning(claim), str(verdict), seeded])
            print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)
    found = [name for case in CASES for name, inputs in _paths(case).items() if inputs]
    design = ", ".join(f"{name} {value}" for name, value in DESIGN.p.items())
    body = [
        f"Claims about the Verilog of a small design ({design}; tile `{DESIGN.tile.family}`), read back, as "
        "`hwgen prove --level accelerator` proves them, all registers without a value before the first reset. "
        "*proved*: property-directed reachability found an inductive invariant, which ABC has verified. "
        "*checked for N cycles*: bounded model checking from the first cycle on. *accelerator* is the whole device "
        "with any tile, any memory and any software; the others are parts with anything around them. The last column "
        "is the same claim with a mistake in the source (`faults.py`); what is claimed of each stream alike is broken "
        "in that of weights.",
        table(["part", "claim", "what it says", "verdict", "with a fault"], rows),
        f"Outputs that follow from an input within a cycle, in {len(CASES)} accelerators of all families: "
        f"{len(found)}.",
    ]
    write_result(RESULT, "AXI rules", "python -m rtl_tests.accelerator.formal.report", "\n\n".join(body), provenance())


def _paths(case: Case) -> dict[str, set[str]]:
    emission = emit_accelerator(case.build())
    return paths(emission.verilog, emission.top)


if __name__ == "__main__":
    without_options(main, __doc__)
