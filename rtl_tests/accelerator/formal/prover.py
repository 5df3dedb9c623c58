"""Claims about a netlist, proved or refuted: Yosys makes an AIGER file of it, the ABC that comes with Yosys decides.

A claim is an output of one bit that must never be high. It holds in all cycles where property-directed reachability
(``pdr``) finds an inductive invariant, and up to a depth where bounded model checking (``bmc3``) finds nothing. No
register has a value in the beginning but those named ``formal_begun``, which are 0; a counterexample is a run from such
a state.
"""

from __future__ import annotations

import math
import re
import resource
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rtl_tests.faults.mutation import yosys

__all__ = ["BEGUN", "Netlist", "Verdict", "decide", "netlist"]

BEGUN = "formal_begun"
"""Name of registers that are 0 in the first cycle."""
_TIDY = ("scleanup", "dc2", "scorr", "dc2", "scleanup")
# One proves in seconds what takes the other many minutes, either way: shares of the time for each.
_ENGINES = (("pdr", 0.05), ("pdr -s -f", 0.2), ("pdr", 0.75))


@dataclass(frozen=True)
class Netlist:
    """And-inverter graph in AIGER format; ``outputs`` are the claims' names in the order of its outputs."""

    aiger: bytes
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """What became of a claim: ``proved`` in all cycles; else ``broken`` in cycle ``depth``, or held through ``depth``
    cycles from the first one. Neither with ``depth`` 0: nothing was found out in time.
    """

    proved: bool
    broken: bool
    depth: int

    def __str__(self) -> str:
        if self.proved:
            return "proved"
        return f"broken in cycle {self.depth}" if self.broken else f"checked for {self.depth} cycles"


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


def _abc(folder: Path, commands: Sequence[str], limit: float) -> str:
    import pyosys

    program = Path(pyosys.__file__).parent / "yosys-abc"
    # Processor time: on a busy machine as much is proved as on a free one. Who is out of it says nothing.
    allowed = max(1, math.ceil(limit))
    done = subprocess.run(
        [program, "-q", "; ".join(commands)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=partial(resource.setrlimit, resource.RLIMIT_CPU, (allowed, allowed + 5)),
    )
    return done.stdout + done.stderr


def decide(graph: Netlist, claim: str, *, seconds: float = 60, depth: int = 0) -> Verdict:
    """Decide one claim within so many seconds of processor time; with ``depth`` only for so many cycles."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "claim.aig").write_bytes(_alone(graph, claim))
        read = ("read_aiger claim.aig", "scleanup", "logic", "undc", "strash", "zero", *_TIDY)
        if depth:
            return _bounded(_abc(Path(folder), (*read, f"bmc3 -F {depth}"), seconds))
        for engine, share in _ENGINES:
            said = _abc(Path(folder), (*read, engine), share * seconds)
            if "is combinational" in said:
                # All registers were found to be constant.
                said = _abc(Path(folder), (*read, "sat"), seconds)
                return Verdict(False, True, 0) if "UNSATISFIABLE" not in said else Verdict(True, False, 0)
            if "Property proved" in said:
                return Verdict(True, False, 0)
            found = _bounded(said)
            if found.broken:
                return found
        return Verdict(False, False, 0)


def _bounded(said: str) -> Verdict:
    found = re.search(r"asserted in frame (\d+)", said)
    if found:
        return Verdict(False, True, int(found[1]))
    reached = re.search(r"No output asserted in (\d+) frames", said)
    return Verdict(False, False, int(reached[1]) if reached else 0)
