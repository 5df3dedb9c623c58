"""What of a model gets a format of its own: single layers, layers with a common input, or blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hwgen.errors import HwgenError, suggest
from hwgen.options import MIX_BY
from sim.accuracy.stored import embedded, groups_of

__all__ = ["Unit", "by_name", "units_of"]


@dataclass(frozen=True)
class Unit:
    """Layers of block ``block`` that have one format; ``shapes`` [N, K] are those of ``layers``' weights."""

    name: str
    block: int
    layers: tuple[str, ...]
    shapes: tuple[tuple[int, int], ...]

    @property
    def elements(self) -> int:
        """Weights of all its layers."""
        return sum(n * k for n, k in self.shapes)


def by_name(by: str) -> str:
    """What is told of units. Raises `HwgenError` for what is none."""
    if by not in MIX_BY:
        raise HwgenError(f"mixed: by must be one of {', '.join(MIX_BY)}, not {by!r}{suggest(by, MIX_BY)}")
    return by


@torch.inference_mode()
def units_of(model: Any, by: str) -> tuple[Unit, ...]:
    """Units of the linear layers in a model's blocks, in running order.

    ``model`` is what `sim.accuracy.stored.store` takes; ``by`` is "layer", "group" (all with a common input) or
    "block". Raises `HwgenError` for anything else.
    """
    by_name(by)
    x = embedded(model, torch.zeros(2, device=model.token_embd.weight.device).long())
    found: list[Unit] = []
    for index, block in enumerate(model.blk):
        groups = groups_of(block, x)
        every = [name for group in groups for name in group]
        parts: list[Sequence[str]]
        parts = [[name] for name in every] if by == "layer" else [*groups] if by == "group" else [every]
        for names in parts:
            full = tuple(f"blk.{index}.{name}" for name in names)
            shapes = tuple(tuple(block.get_submodule(name).weight.shape) for name in names)
            own = "" if by == "block" else f".{'+'.join(names)}"
            found.append(Unit(f"blk.{index}{own}", index, full, shapes))
    return tuple(found)
