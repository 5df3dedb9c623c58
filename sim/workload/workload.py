"""`Workload`: the operators of one model, and what they are in a phase."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from types import MappingProxyType

from hwgen.errors import HwgenError, suggest
from hwgen.schedule import Layer
from sim.workload.operators import Operator, Run
from sim.workload.phases import PHASES, Phase, Stretch

__all__ = ["LANGUAGE", "Beside", "Listing", "Workload", "check_phase", "matching", "merged", "to_layers"]

LANGUAGE = ("prefill", "decode", "generation")
"""Phases of a language model."""


@dataclass(frozen=True)
class Beside:
    """Something of a model that is in no operator: ``count`` of it; ``macs`` multiply-accumulates of all of them for a
    token of a model or a pass of a graph, None where they are not known.
    """

    what: str
    count: int
    macs: int | None = None


class Listing:
    """Collects what is in no operator."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, int | None]] = {}

    def add(self, what: str, count: int = 1, macs: int | None = None) -> None:
        """Count ``what``, with multiply-accumulates of all ``count`` of it."""
        before, known = self._found.get(what, (0, None))
        self._found[what] = before + count, known if macs is None else macs + (known or 0)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def entries(self) -> tuple[Beside, ...]:
        """All of it, most frequent first."""
        ordered = sorted(self._found.items(), key=lambda item: -item[1][0])
        return tuple(Beside(what, count, macs) for what, (count, macs) in ordered)


@dataclass(frozen=True)
class Workload:
    """A model as matrix products.

    Parameters
    ----------
    phases: names of the phases that it has. context: most tokens that it was made for, None where nothing says so.
    others: parameters that are in no operator (embeddings, norms, biases), by name.
    beside: what a file holds that was not understood, or is no product. source: where the sizes come from.
    published: number of parameters as published, None where none is known.
    """

    name: str
    operators: tuple[Operator, ...]
    phases: tuple[str, ...] = LANGUAGE
    context: int | None = None
    others: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    beside: tuple[Beside, ...] = ()
    source: str = ""
    published: int | None = None

    @property
    def parameters(self) -> int:
        """Weights of all operators, tied ones once, and all other parameters."""
        return sum(one.weights for one in self.operators if not one.tied) + sum(self.others.values())

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles in the order of the operators, each once."""
        return tuple(dict.fromkeys(one.role for one in self.operators))

    def only(self, patterns: Sequence[str]) -> Workload:
        """The operators whose role one of the patterns matches, and no other parameters.

        Raises `HwgenError` for a pattern without a match.
        """
        wanted = {role for pattern in patterns for role in matching(self, pattern)}
        kept = tuple(one for one in self.operators if one.role in wanted)
        return replace(self, operators=kept, others=MappingProxyType({}), published=None)

    def runs(self, phase: Phase) -> tuple[Run, ...]:
        """What every operator does in a phase, in order.

        Raises `HwgenError` for a phase that the model does not have, and for a context beyond the model's.
        """
        return tuple(run for _, _, run in self.steps(phase))

    def steps(self, phase: Phase) -> Iterator[tuple[Stretch, Operator, Run]]:
        """The runs of a phase, each with its stretch and operator; raises as `runs` does."""
        check_phase(self, phase)
        for stretch in phase.stretches:
            for one in self.operators:
                for run in one.runs(stretch):
                    yield stretch, one, run

    def layers(self, phase: Phase) -> list[Layer]:
        """The phase as layers: equal products are one, with their count; see `runs`."""
        return to_layers(self.runs(phase))

    def macs(self, phase: Phase) -> int:
        """Multiply-accumulates of a phase, exact."""
        return sum(run.macs for run in self.runs(phase))


def matching(workload: Workload, pattern: str) -> list[str]:
    """Roles that a pattern such as ``attn.*`` matches. Raises `HwgenError` when there is none."""
    found = [role for role in workload.roles if fnmatchcase(role, pattern)]
    if not found:
        raise HwgenError(
            f"workload {workload.name}: no role matches {pattern!r}{suggest(pattern, workload.roles)}; "
            f"it has {', '.join(workload.roles)}"
        )
    return found


def check_phase(workload: Workload, phase: Phase) -> None:
    """Raise `HwgenError` for a phase that a model does not have, and for a context beyond the model's."""
    if not isinstance(phase, tuple(PHASES.values())):
        raise HwgenError(f"workload {workload.name}: phase must be one of sim.workload's, not {phase!r}")
    if phase.name not in workload.phases:
        raise HwgenError(f"workload {workload.name}: phase must be {' or '.join(workload.phases)}, not {phase.name}")
    if workload.context is not None and phase.context > workload.context:
        raise HwgenError(
            f"workload {workload.name}: context must be at most {workload.context:,}, which the model was made for, "
            f"not {phase.context:,}"
        )


def merged(runs: Iterable[Run]) -> list[Run]:
    """Runs of the same sizes as one, whose name and role list theirs, in the order of the first."""
    groups: dict[object, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.shape, []).append(run)
    found = []
    for same in groups.values():
        first = same[0]
        names, roles, operands = ("+".join(dict.fromkeys(words)) for words in zip(*map(_words, same), strict=True))
        if first.grows:
            count, steps = sum(run.count for run in same), first.steps
        else:
            count, steps = sum(run.total_count for run in same), 1
        found.append(replace(first, name=names, role=roles, operand=operands, count=count, steps=steps))
    return found


def _words(run: Run) -> tuple[str, str, str]:
    return run.name, run.role, run.operand


def to_layers(runs: Iterable[Run]) -> list[Layer]:
    """Runs as layers, equal products as one layer with their count, also steps of one that are equal to another's."""
    shapes: dict[tuple[int, int, int], tuple[list[str], int]] = {}
    for run in merged(runs):
        for layer in run.layers():
            names, count = shapes.setdefault((layer.m, layer.n, layer.k), ([], 0))
            shapes[layer.m, layer.n, layer.k] = ([*names, layer.name], count + layer.count)
    return [
        Layer("+".join(dict.fromkeys("+".join(names).split("+"))), *shape, count)
        for shape, (names, count) in shapes.items()
    ]
