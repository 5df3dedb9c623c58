"""Few tiles that together visit all sweep values of a family, or all pairs of them."""

from __future__ import annotations

import itertools
import random
from typing import Any

from hwgen.errors import HwgenError
from hwgen.frame.spec import TileSpec

__all__ = ["covering_specs"]

Choice = tuple[tuple[str, Any], ...]


def _choices(axes: dict[str, tuple[Any, ...]], strength: int) -> list[Choice]:
    return [
        choice
        for names in itertools.combinations(axes, strength)
        for choice in itertools.product(*[[(name, value) for value in axes[name]] for name in names])
    ]


def _build(family: type[TileSpec], values: dict[str, Any]) -> TileSpec | None:
    try:
        return family(**values)
    except HwgenError:
        return None


def covering_specs(
    family: type[TileSpec], strength: int = 1, seed: int = 1, tries: int = 60, **fixed: Any
) -> tuple[list[TileSpec], list[Choice]]:
    """Legal tiles that cover every combination of ``strength`` sweep values.

    ``fixed`` parameters keep their value. Returns the tiles and the combinations for which no legal tile was found
    (those that contradict each other). Deterministic for a seed.
    """
    rng = random.Random(seed)
    axes = {name: p.sweep for name, p in family.parameters().items() if p.sweep and name not in fixed}
    open_choices = dict.fromkeys(_choices(axes, strength))
    specs: list[TileSpec] = []
    impossible: list[Choice] = []
    while open_choices:
        target = next(iter(open_choices))
        best: tuple[int, TileSpec | None, list[Choice]] = (0, None, [])
        for attempt in range(tries * 10):
            if attempt >= tries and best[1] is not None:
                break
            values = {name: rng.choice(options) for name, options in axes.items()}
            # Late attempts stay close to the defaults, where contradictions are rare.
            if attempt > tries:
                for name in axes:
                    if rng.random() < 0.7:
                        values.pop(name)
            spec = _build(family, {**fixed, **values, **dict(target)})
            if spec is None:
                continue
            full = {name: getattr(spec, name) for name in axes}
            covered = [choice for choice in open_choices if all(full[name] == value for name, value in choice)]
            if len(covered) > best[0]:
                best = (len(covered), spec, covered)
        if best[1] is None:
            impossible.append(target)
            del open_choices[target]
            continue
        specs.append(best[1])
        for choice in best[2]:
            del open_choices[choice]
    return specs, impossible
