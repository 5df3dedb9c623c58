"""How many cycles the blocks of a tile work: what their energy is counted by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hwgen.frame.numbers import Num
from hwgen.pe import TileSpec

__all__ = ["active_cycles_per_step", "activity"]

P = Mapping[str, Any]


def activity(spec: type[TileSpec], p: P, steps: Num, groups: Num, pre_beats: Num) -> dict[str, Num]:
    """Active cycles of each kind of block in ``steps`` steps of ``groups`` groups; ``pre_beats`` of the pre block."""
    phases = spec.layer_cycles(p)
    beats = groups * spec.post_beats(p)
    return {
        "row": steps * phases if spec.row_per_phase else steps,
        "col": steps * phases if spec.col_per_phase else steps,
        "cell": steps * phases,
        "rowsum": steps,
        "control": steps * phases,
        "post": beats,
        "pre_row": pre_beats,
        "pre_control": pre_beats,
    }


def active_cycles_per_step(spec: TileSpec) -> dict[str, float]:
    """Active cycles of each kind of block of a tile in a step of a long layer."""
    group = int(spec.sum_group(spec.p)) or int(spec.layer_k(spec.p)) << 20
    steps = group // int(spec.layer_k(spec.p))
    return {kind: cycles / steps for kind, cycles in activity(type(spec), spec.p, steps, 1, steps).items()}
