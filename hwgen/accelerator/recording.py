"""What the parts of an accelerator do in each cycle, as the cycle model sees it: the source of timelines."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

__all__ = ["Recording", "TileState"]


class TileState(IntEnum):
    """What the tile does in a cycle; of several reasons to wait the first one."""

    BUSY = 0
    WAITS_WEIGHTS = 1
    WAITS_ACTS = 2
    WAITS_RESULTS = 3
    FOLDS = 4
    """Sums are folded or the lanes are busy with the group before."""
    DONE = 5
    """All steps are in; results are on their way."""


@dataclass
class Recording:
    """The first ``most`` cycles of a job; ``first`` is the cycle of the first entry, counted as `JobCycles.cycles`.

    One entry a cycle: ``beats``, AXI id of the stream of which a beat comes, and ``bursts``, of which one is asked for
    (-1: none); ``held``, entries in the rings that are not released, by stream; ``tile``; ``writes``, whether a beat
    leaves, and ``waiting``, beats of results in the buffer.
    """

    most: int = 1 << 20
    first: int = 0
    beats: list[int] = field(default_factory=list)
    bursts: list[int] = field(default_factory=list)
    held: list[tuple[int, ...]] = field(default_factory=list)
    tile: list[TileState] = field(default_factory=list)
    writes: list[bool] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.beats)
