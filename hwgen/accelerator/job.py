"""What a job is: the counts and addresses that software gives, and what each part of the design takes from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hwgen.accelerator.design import Design
from hwgen.accelerator.stream import STREAMS, Stream
from hwgen.frame.numbers import Num, where

__all__ = ["ADDRESSES", "COUNTS", "FLAGS", "Job", "Passage", "follows_weights"]

ADDRESSES = ("weights", "weight_sides", "acts", "act_sides", "result", "channels")
"""What has an address: the streams, and the results."""
COUNTS = ("m_blocks", "n_blocks", "k_steps", "k_groups")
FLAGS = ("order", "hold_weights", "hold_acts")


def follows_weights(stream: str) -> bool:
    """Whether a stream brings something for each block of columns, as weights do; else it is one of activations."""
    return not stream.startswith("act")


@dataclass(frozen=True)
class Passage:
    """How a stream passes: blocks of ``words``, ``blocks`` of them a window, ``windows``; each window is read
    ``fetches`` times from memory and given ``uses`` times by the ring each time.
    """

    words: int
    blocks: int
    windows: int
    fetches: int
    uses: int


@dataclass(frozen=True)
class Job:
    """One matrix product, as the registers hold it.

    ``m_blocks`` of rows times ``n_blocks`` of columns, each of ``k_steps`` steps in ``k_groups`` groups. ``order`` 0
    takes all rows' blocks for a block of columns (weights stay), 1 all columns' blocks for a block of rows (activations
    stay). What is held is read once and replayed by its ring, in which a window must fit: of what stays its block, of
    the other operand all of it.
    """

    m_blocks: int
    n_blocks: int
    k_steps: int
    k_groups: int = 1
    order: int = 0
    hold_weights: int = 0
    hold_acts: int = 0
    weights: int = 0
    weight_sides: int = 0
    acts: int = 0
    act_sides: int = 0
    result: int = 0
    channels: int = 0

    @property
    def blocks(self) -> int:
        """Blocks of results."""
        return self.m_blocks * self.n_blocks

    def passage(self, stream: str) -> Passage:
        """How a stream passes."""
        of_weights = follows_weights(stream)
        blocks, uses = (self.n_blocks, self.m_blocks) if of_weights else (self.m_blocks, self.n_blocks)
        stays = of_weights == (self.order == 0)
        held = self.hold_weights if of_weights else self.hold_acts
        return Passage(
            words=1 if stream == "channels" else self.k_groups if stream.endswith("sides") else self.k_steps,
            blocks=1 if stays else blocks,
            windows=blocks if stays else 1,
            fetches=1 if held else uses,
            uses=uses if held else 1,
        )

    def window(self, stream: Stream) -> Num:
        """Entries of a stream's ring that its window must have at once: none where each word is given only once.

        Counts of the job and streams may be arrays over designs, as in all of the following.
        """
        passage = self.passage(stream.name)
        return where(passage.uses > 1, stream.entries(passage.words) * passage.blocks, 0)

    def holds(self, stream: Stream) -> Num:
        """Whether a window of a stream fits its ring, if it must."""
        return (self.window(stream) <= stream.depth) | (stream.there == 0)

    def fits(self, streams: Mapping[str, Stream]) -> Num:
        """Whether what is held fits the rings, and is used again: to hold what passes once changes nothing."""
        found: Num = True
        for stream in streams.values():
            of_weights = follows_weights(stream.name)
            if self.hold_weights if of_weights else self.hold_acts:
                found = found & (self.passage(stream.name).uses != 1) & self.holds(stream)
        return found

    def image_beats(self, streams: Mapping[str, Stream]) -> dict[str, Num]:
        """Bus beats that each stream's image has."""
        passages = {name: self.passage(name) for name in STREAMS if name in streams}
        return {
            name: streams[name].there * streams[name].beats(one.words) * one.blocks * one.windows
            for name, one in passages.items()
        }

    def read_beats(self, streams: Mapping[str, Stream]) -> dict[str, Num]:
        """Bus beats that each stream reads."""
        return {name: self.passage(name).fetches * beats for name, beats in self.image_beats(streams).items()}

    def address(self, name: str) -> int:
        """Where a stream or the results begin."""
        return int(getattr(self, name))

    def beats(self, design: Design) -> dict[str, int]:
        """Bus beats that each stream's image has, and the results."""
        found = self.image_beats(design.streams)
        words = self.blocks * self.results(design)
        found["result"] = -(-words // design.result_words_per_beat) * design.result_beats
        return found

    def results(self, design: Design) -> int:
        """Beats of results in memory that come of a block."""
        if design.requantises:
            return design.beats_per_block
        if design.tile.lanes:
            return design.beats_per_result
        return -(-self.k_steps // design.sum_steps) if design.sum_steps else 1
