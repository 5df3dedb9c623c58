"""``hwgen sweep``: layers in technologies at clocks, from flags and from a space's file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hwgen.cli._layer import parse_layer
from hwgen.cli._workload import PhaseOptions, asked
from hwgen.errors import HwgenError, suggest

if TYPE_CHECKING:
    from dse.plan import Scene
    from dse.space_file import WorkloadAsked
    from hwgen.schedule import Layer
    from sim.workload import Phase

__all__ = ["Work", "of_file", "of_layers", "of_model", "scenes"]

_MOST_PRODUCTS = 1024
"""Most different products of a model in a sweep."""

Work = tuple[str, list["Layer"], "int | None"]
"""Title, layers, and tokens of one pass over them, where they are those of a whole language model."""


def of_layers(texts: Sequence[str], name: str | None = None) -> Work:
    """Layers as a workload."""
    return name or f"layer {', '.join(texts)}", [parse_layer(text) for text in texts], None


def of_model(workload: str, phase: PhaseOptions, dims: Sequence[str], name: str | None = None) -> Work:
    """Products of a model in a phase, equal ones once.

    Raises `HwgenError` for more different products than a sweep is good for: every point is evaluated on each.
    """
    model, chosen = asked(workload, phase, dims)
    different = sum(1 if not run.grows else run.steps for run in model.runs(chosen))
    if different > _MOST_PRODUCTS:
        raise HwgenError(
            f"sweep: {model.name}, {chosen}, has {different:,} different products, more than {_MOST_PRODUCTS}; "
            "sweep --phase decode at the middle of the contexts, or `hwgen estimate` the generation on one tile"
        )
    layers = model.layers(chosen)
    if not layers:
        raise HwgenError(f"sweep: workload {model.name} holds no product")
    return name or f"{model.name}, {chosen}", layers, None if phase.roles else _tokens(chosen)


def _tokens(phase: Phase) -> int | None:
    """Tokens that a phase reads or makes; None for a model of something else."""
    from sim.workload import Decode, Generation, Prefill

    if isinstance(phase, Prefill):
        return phase.tokens * phase.batch
    if isinstance(phase, Decode):
        return phase.batch
    return phase.steps * phase.batch if isinstance(phase, Generation) else None


def of_file(workloads: Sequence[WorkloadAsked]) -> list[Work]:
    """Workloads of a space's file. Raises `HwgenError` as the flags do, and for an unknown phase."""
    from sim.workload import PHASES

    found = []
    for one in workloads:
        if one.model is None:
            found.append(of_layers(one.layers, one.name))
            continue
        for phase in one.phases:
            if phase is not None and phase not in PHASES:
                known = ", ".join(PHASES)
                raise HwgenError(f"space: phase must be one of {known}, not {phase!r}{suggest(phase, PHASES)}")
            sizes = {name: one.sizes.get(name) for name in ("tokens", "context", "batch", "steps")}
            # A size goes to the phases that have it: several phases share a table.
            if phase is not None and len(one.phases) > 1:
                takes = PHASES[phase].__dataclass_fields__
                sizes = {name: value if name in takes else None for name, value in sizes.items()}
            name = f"{one.name}, {phase}" if one.name and len(one.phases) > 1 else one.name
            found.append(of_model(one.model, PhaseOptions(phase, **sizes, roles=one.roles), one.dims, name))
    return found


def scenes(
    works: Sequence[Work], techs: Sequence[str], clk_period_ns: tuple[float, ...] | str | None
) -> tuple[Scene, ...]:
    """Each workload in each technology, at the clocks that are asked for or at its default."""
    from dse.plan import Scene
    from dse.sweep import clocks_of
    from sim.tech import load

    tables = [load(name) for name in dict.fromkeys(techs)]
    return tuple(
        Scene(title, tuple(layers), tech, clocks_of(clk_period_ns, tech), tokens)
        for title, layers, tokens in works
        for tech in tables
    )
