"""Claims about a netlist, proved or refuted: Yosys makes an AIGER file of it, the ABC that comes with Yosys decides.

A claim is an output of one bit that must never be high. It holds in all cycles where property-directed reachability
(``pdr``) finds an inductive invariant, and up to a depth where bounded model checking (``bmc3``) finds nothing. No
register has a value in the beginning but those named ``formal_begun``, which are 0; a counterexample is a run from such
a state.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hwgen.prove.abc import Verdict, decide_aiger
from rtl_tests.faults.mutation import yosys

__all__ = ["BEGUN", "Netlist", "Verdict", "decide", "netlist"]

BEGUN = "formal_begun"
"""Name of registers that are 0 in the first cycle."""


@dataclass(frozen=True)
class Netlist:
    """And-inverter graph in AIGER format; ``outputs`` are the claims' names in the order of its outputs."""

    aiger: bytes
    outputs: tuple[str, ...]


def netlist(rtlil: str, top: str, outputs: Sequence[str]) -> Netlist:
    """AIGER of module ``top``, whose outputs claim_<name>, in this order, are its claims."""
    passes = (
        f"hierarchy -check -top {top}",
        # Before anything else, or a register that only ever becomes 1 is taken for the constant.
        f"setattr -set init 1'0 w:{BEGUN}",
        "proc",
        "flatten",
        "opt -nodffe -nosdff",
        "memory_map",
        "dffunmap",
        "techmap",
        "aigmap",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "claims.aig")
        Path(folder, "claims.il").write_text(rtlil, encoding="utf-8")
        # In a process of its own: the order of what it writes follows from all that Yosys has seen before, and how long
        # a proof takes from that order.
        yosys(("read_rtlil claims.il", *passes, "write_aiger -map map claims.aig"), Path(folder))
        lines = Path(folder, "map").read_text(encoding="utf-8").splitlines()
        # Kind, place among its kind, bit, name. Those that are constant are missing: they are the others, in any order.
        found = {int(words[1]): words[3] for words in map(str.split, lines) if words[0] == "output"}
        named = {place: name.removeprefix("claim_") for place, name in found.items()}
        constant = [name for name in outputs if name not in named.values()]
        graph = Netlist(
            path.read_bytes(), tuple(named[at] if at in named else constant.pop() for at in range(len(outputs)))
        )
    *_, ends = _parts(graph)
    others = {ends[at] for at in range(len(outputs)) if at not in named}
    assert len(others) < 2, "claims that are constant but not equal"
    return graph


def _parts(graph: Netlist) -> tuple[list[int], list[bytes], list[bytes]]:
    """Numbers of a graph's head, lines of its latches and outputs; what follows is the last line."""
    # "aig M I L O A", a line for each latch, one for each output, then gates.
    head, _, rest = graph.aiger.partition(b"\n")
    numbers = [int(word) for word in head.split()[1:6]]
    lines = rest.split(b"\n", numbers[2] + numbers[3])
    return numbers, lines[: numbers[2]], lines[numbers[2] :]


def _alone(graph: Netlist, claim: str) -> bytes:
    """The same graph with one of its outputs."""
    (most, inputs, count, _, gates), latches, others = _parts(graph)
    kept = [*latches, others[graph.outputs.index(claim)], others[-1]]
    return b"\n".join([f"aig {most} {inputs} {count} 1 {gates}".encode(), *kept])


def decide(graph: Netlist, claim: str, *, seconds: float = 60, depth: int = 0) -> Verdict:
    """Decide one claim within so many seconds of processor time; with ``depth`` only for so many cycles."""
    return decide_aiger(_alone(graph, claim), seconds=seconds, depth=depth)
