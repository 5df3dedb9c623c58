"""Claims about machines, decided by the ABC that comes with Yosys, from AIGER files.

A claim is an output of one bit that must never be high. It holds in all cycles where property-directed reachability
(``pdr``) finds an inductive invariant, and up to a depth where bounded model checking (``bmc3``) finds nothing.
"""

from __future__ import annotations

import math
import re
import resource
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from hwgen.prove.graph import AND, MUX, PLUS, SUM, VAR, XOR, Graph
from hwgen.prove.tables import cone

__all__ = ["Verdict", "aiger", "decide", "decide_aiger", "never"]

_TIDY = ("scleanup", "dc2", "scorr", "dc2", "scleanup")
# One proves in seconds what takes the other many minutes, either way: shares of the time for each.
_ENGINES = (("pdr", 0.05), ("pdr -s -f", 0.2), ("pdr", 0.75))


@dataclass(frozen=True)
class Verdict:
    """What became of a claim: ``proved`` in all cycles; else ``broken`` in cycle ``depth``, or held through ``depth``
    cycles from the first one. Neither with ``depth`` 0: nothing was found out in time.
    """

    proved: bool
    broken: bool
    depth: int
    inputs: tuple[Mapping[str, int], ...] = field(default=(), compare=False)
    """Where it is broken, and the inputs have names: what they were, cycle by cycle."""

    def __str__(self) -> str:
        if self.proved:
            return "proved"
        return f"broken in cycle {self.depth}" if self.broken else f"checked for {self.depth} cycles"


def aiger(graph: Graph, outputs: Sequence[int], latches: Mapping[int, int]) -> bytes:
    """Literals as an AIGER file; ``latches`` gives what follows for each variable (node) that is a register, 0 in the
    first cycle. The other variables are inputs, called n and their node's number.
    """
    order = cone(graph, [*outputs, *latches.values()])
    inputs = [node for node in order if graph.kind[node] == VAR and node not in latches]
    number = {node: 2 * at for at, node in enumerate([0, *inputs, *latches])}
    gates: list[tuple[int, int]] = []
    base = len(number)

    def gate(a: int, b: int) -> int:
        if a < b:
            a, b = b, a
        if b == 0 or a == b ^ 1:
            return 0
        if b == 1 or a == b:
            return a
        gates.append((a, b))
        return 2 * (base + len(gates) - 1)

    def either(a: int, b: int) -> int:
        return gate(a ^ 1, b ^ 1) ^ 1

    def of(literal: int) -> int:
        return number[literal >> 1] ^ (literal & 1)

    for node in order:
        kind, fanin = graph.kind[node], graph.fanin[node]
        if kind == VAR:
            continue
        if kind == SUM:
            number[node] = of(graph.ripple(fanin[0])[fanin[1]])
            continue
        ends = [of(literal) for literal in fanin]
        if kind == AND:
            number[node] = gate(*ends)
        elif kind == PLUS:
            number[node] = either(*ends)
        elif kind == XOR:
            a, b = ends
            number[node] = either(gate(a, b ^ 1), gate(a ^ 1, b))
        else:
            assert kind == MUX
            choice, yes, no = ends
            number[node] = either(gate(choice, yes), gate(choice ^ 1, no))
    head = f"aig {base - 1 + len(gates)} {len(inputs)} {len(latches)} {len(outputs)} {len(gates)}\n"
    lines = "".join(f"{of(literal)}\n" for literal in [*latches.values(), *outputs])
    packed = bytearray()
    for at, (a, b) in enumerate(gates):
        for delta in (2 * (base + at) - a, a - b):
            while delta > 127:
                packed.append(delta & 127 | 128)
                delta >>= 7
            packed.append(delta)
    names = "".join(f"i{at} n{node}\n" for at, node in enumerate(inputs))
    return head.encode() + lines.encode() + bytes(packed) + names.encode()


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


def decide_aiger(text: bytes, *, seconds: float = 60, depth: int = 0) -> Verdict:
    """Decide the claim that is the one output of an AIGER file within so many seconds of processor time; with
    ``depth`` only for so many cycles.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "claim.aig").write_bytes(text)
        read = ("read_aiger claim.aig", "scleanup", "logic", "undc", "strash", "zero", *_TIDY)
        if depth:
            return _bounded(_abc(Path(folder), (*read, f"bmc3 -F {depth}"), seconds))
        for engine, share in _ENGINES:
            said = _abc(Path(folder), (*read, engine, "write_cex -n example"), share * seconds)
            if "is combinational" in said:
                # All registers were found to be constant.
                said = _abc(Path(folder), (*read, "sat"), seconds)
                return Verdict(False, True, 0) if "UNSATISFIABLE" not in said else Verdict(True, False, 0)
            if "Property proved" in said:
                return Verdict(True, False, 0)
            found = _bounded(said)
            if found.broken:
                return replace(found, inputs=_example(Path(folder, "example"), found.depth))
        return Verdict(False, False, 0)


def _example(path: Path, depth: int) -> tuple[Mapping[str, int], ...]:
    """Inputs by cycle of the file that ABC writes; what registers begin with is there too, by names of no input."""
    cycles: list[dict[str, int]] = [{} for _ in range(depth + 1)]
    if path.is_file():
        for name, cycle, value in re.findall(r"^(\w+)@(\d+)=(\d)", path.read_text(), re.M):
            if int(cycle) <= depth:
                cycles[int(cycle)][name] = int(value)
    return tuple(cycles)


def never(graph: Graph, bad: int, *, seconds: float) -> bool | None:
    """Whether a literal of a graph is 0 for all values of its variables; None where that is not found out in time."""
    return decide(graph, bad, seconds=seconds)[0]


def decide(graph: Graph, bad: int, *, seconds: float) -> tuple[bool | None, dict[int, int]]:
    """`never`, and where it says no values of variables (nodes; others are 0) for which the literal is 1."""
    if bad < 2:
        return not bad, {}
    if seconds <= 0:
        return None, {}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "claim.aig").write_bytes(aiger(graph, [bad], {}))
        script = ("read_aiger claim.aig", "strash", "&get -n", "&fraig -y", "&put", "iprove", "write_cex -n example")
        said = _abc(Path(folder), script, seconds)
        values = _example(Path(folder, "example"), 0)[0]
    if "UNSATISFIABLE" in said:
        return True, {}
    return (False, {int(name[1:]): value for name, value in values.items()}) if "SATISFIABLE" in said else (None, {})


def _bounded(said: str) -> Verdict:
    found = re.search(r"asserted in frame (\d+)", said)
    if found:
        return Verdict(False, True, int(found[1]))
    reached = re.search(r"No output asserted in (\d+) frames", said)
    return Verdict(False, False, int(reached[1]) if reached else 0)
