"""Streams of jobs as array code: how many beats pass, in bursts of what length, and what holds them up."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from hwgen.accelerator.accelerator import ASKING_ORDER
from hwgen.accelerator.design import PAGE_BYTES
from hwgen.accelerator.geometry import Geometry
from hwgen.accelerator.job import follows_weights
from hwgen.frame.numbers import Num, ceil_div

__all__ = ["RING", "Clock", "Flow", "asking", "first_slots"]

RING = 4
"""Cycles from an entry's last beat to the tile's first cycle with it: written, read, offered, queued."""


class Clock:
    """In which cycles a memory moves a beat: ``share`` in ``cycles``, as `Memory` has them."""

    def __init__(self, share: Num, cycles: Num) -> None:
        self.share, self.cycles = np.asarray(share), np.asarray(cycles)
        self.rate = self.share / self.cycles

    def nth(self, begin: Num, count: Num) -> Any:
        """Cycle of the ``count``-th beat that may come from cycle ``begin`` on."""
        return ceil_div((begin * self.share // self.cycles + count) * self.cycles, self.share) - 1

    def wait(self, cycles: Num) -> Any:
        """From one beat to the next one that may come after so many cycles."""
        return np.ceil(cycles * self.rate) / self.rate


class Flow:
    """One stream of jobs; arrays.

    Members
    -------
    beats: of a block. first, fetched: those in the first outer iteration and in the job. image: those in memory.
    capacity: beats that the ring holds. again: whether entries are released as they pass, not after several uses.
    length: of a burst, on average. crosses: whether pages cut bursts.
    flight: beats in flight at most. trip: cycles from the end of a burst to that of the one that it makes way for.
    hop, ring_trip: the same for what waits for the ring: beats from one to the other, and cycles.
    window_wait, window_time: where a window is held, cycles for which the next one comes too late for the ring, and
        those that its last use and its first one take at least.
    """

    def __init__(self, name: str, g: Geometry, job: Mapping[str, Num], clock: Clock, latency: Any, block: Any) -> None:
        self.name, self.geo, self.clock = name, g.streams[name], clock
        geo = self.geo
        order, steps = np.asarray(job["order"]), np.asarray(job["k_steps"])
        m, n = np.asarray(job["m_blocks"]), np.asarray(job["n_blocks"])
        outer, inner = np.where(order == 0, n, m), np.where(order == 0, m, n)
        of_weights, sides = follows_weights(name), name.endswith("sides")
        stays = (order == 0) == of_weights
        held = np.asarray(job["hold_weights" if of_weights else "hold_acts"]) > 0
        held &= np.where(stays, inner, outer) > 1
        words = np.asarray(job["k_groups"]) if sides else steps
        self.word_steps = np.where(g.group_steps > 0, g.group_steps, steps) if sides else np.ones_like(steps)
        if name == "channels":
            words, self.word_steps = np.ones_like(steps), steps
        self.words = words
        # Blocks of the job that need another word's worth of beats, and those after which no more come.
        self.share, self.last = np.where(held & stays, inner, 1), np.where(held & ~stays, inner, outer * inner)
        self.entries = ceil_div(words, geo.words)
        self.beats = geo.there * self.entries * geo.beats
        self.image = self.beats * np.where(stays, outer, inner)
        self.first = np.where(stays & held, self.beats, inner * self.beats)
        later = np.where(held, np.where(stays, self.beats, 0), inner * self.beats)
        self.fetched = self.first + (outer - 1) * later
        self.capacity = geo.there * geo.depth * geo.beats
        self.again = ~held
        self.most = g.outstanding
        self._bursts(g, job)
        # A burst that waits for another one's end is asked for in the next cycle, and comes a latency later.
        self.trip = clock.wait(latency + 2) + (self.length - 1) / clock.rate
        self.fit = np.maximum(np.floor(self.capacity / self.length), 1)
        self.flight = np.maximum(np.minimum(self.most, self.fit) * self.length, 1)
        self._ring(latency, block)
        # The next window comes into what is left of the ring, then as the last use of this one sets entries free.
        tight = geo.there * (held & stays & (geo.depth < 2 * self.entries))
        spare = np.minimum((geo.depth - self.entries) * geo.beats, self.beats)
        alone = np.maximum(self.trip / (self.most * self.length), 1 / clock.rate)
        self.window_time = tight * (self.beats - spare) * alone
        self.window_wait = tight * np.maximum(self._loop(latency) - geo.depth * block / np.maximum(self.entries, 1), 0)

    def _bursts(self, g: Geometry, job: Mapping[str, Num]) -> None:
        """A block takes full bursts and a rest, and one more where a page ends within one and both parts have rests.
        Where the first page ends is known; others may end anywhere.
        """
        burst, size = self.geo.burst, np.maximum(self.beats, 1)
        at = np.asarray(job.get(self.name, 0)) // (PAGE_BYTES // g.page) % g.page
        self.to_page = g.page - at
        within = self.to_page % size
        more = ceil_div(within, burst) + ceil_div(size - within, burst) - ceil_div(size, burst)
        crossings = np.maximum(ceil_div(at + self.image, g.page) - 1, 0)
        even = (size % burst == 0) & (at % burst == 0) & (g.page % burst == 0)
        usual = np.where(even, 0, (size - 1) % burst / burst)
        extra = np.minimum(crossings, 1) * more + np.maximum(crossings - 1, 0) * usual
        self.crosses = crossings > 0
        self.length = np.maximum(size / (ceil_div(size, burst) + extra / np.maximum(self.image / size, 1)), 1)

    def _loop(self, latency: Any) -> Any:
        """Cycles from asking for an entry to its release, if it is read at once."""
        return latency + RING + self.geo.beats / self.clock.rate

    def _ring(self, latency: Any, block: Any) -> None:
        """The burst that ends with beat A waits until beat A - capacity is taken, which came with a burst that ends
        ``hop`` beats before.
        """
        geo, size = self.geo, np.maximum(self.beats, 1)
        longest = np.minimum(geo.burst, size)
        # Entries are taken as they come or as the tile works, whichever is slower.
        pace = np.maximum(geo.beats / self.clock.rate, block / np.maximum(self.entries, 1))

        def back(place: Any, length: Any) -> tuple[Any, Any]:
            """Hop and cycles to a beat that has a place in a burst of a length."""
            return np.maximum(self.capacity - (length - 1 - place), 1), self._loop(latency) + place // geo.beats * pace

        ends = []
        for end in (longest, size):
            beat = (end - self.capacity - 1) % size
            place = beat % longest
            ends.append(back(place, np.minimum(longest, size - (beat - place))))
        # Of a block's first and last burst the slower one counts once a block; between them are full bursts.
        (hop, trip), (other_hop, other_trip) = ends
        slower = other_trip / other_hop > trip / hop
        hop, trip = np.where(slower, other_hop, hop), np.where(slower, other_trip, trip)
        inner_hop, inner_trip = back((-self.capacity - 1) % longest, longest)
        inner = np.maximum(size - hop, 0) / inner_hop
        self.hop = np.where(inner > 0, size / (1 + inner), hop)
        self.ring_trip = (trip + inner * inner_trip) / (1 + inner)

    # ------------------------------------------------------------------ some of its beats

    def part(self, steps: Any) -> Any:
        """Beats that so many steps of a block need."""
        entries = ceil_div(ceil_div(steps, self.word_steps), self.geo.words)
        return np.minimum(entries * self.geo.beats * self.geo.there, self.beats)

    def until(self, blocks: Any) -> Any:
        """Beats that so many blocks of the job need, in the order in which they are computed."""
        return self.beats * ceil_div(np.clip(blocks, 0, self.last), self.share)

    def left(self, steps: Any) -> Any:
        """Of so many steps of a block those that need the last entry."""
        entry = self.geo.words * self.word_steps
        return (steps - 1) % entry + 1

    @cached_property
    def there(self) -> bool:
        """Whether any of the designs has the stream."""
        return bool(np.any(self.geo.there))

    def begun(self, need: Any) -> tuple[Any, Any]:
        """Before so many beats are there: how often all bursts in flight are over, and those of the last time."""
        bursts = np.round(need / self.length)
        most = np.minimum(self.most, self.fit)
        rounds = np.maximum(np.ceil(bursts / most) - 1, 0)
        return rounds, bursts - rounds * most

    def beside(self, other: Flow, begun: tuple[Any, Any]) -> Any:
        """Beats of this stream that the channel serves before those of another one that has `begun` so many bursts:
        engines ask in turn until each has all in flight that it may, then as bursts come back.
        """
        rounds, last = begun
        # Of bursts that are asked for together, those of the stream that asks first come first.
        behind = ASKING_ORDER.index(self.name) > ASKING_ORDER.index(other.name)
        return rounds * self.flight + np.minimum((last - behind) * self.length, self.flight)

    def rounds(self, need: Any) -> tuple[Any, Any]:
        """How often all bursts in flight must be over before others are asked for until so many beats are there; and
        those that are asked for before.
        """
        bursts = np.round(need / self.length)
        rounds = np.maximum(np.ceil(bursts / self.most) - 1, 0)
        return rounds, np.minimum((bursts - rounds * self.most) * self.length, need)

    def hops(self, need: Any) -> tuple[Any, Any]:
        """The same where bursts wait for the ring."""
        hops = np.where(self.again, np.ceil(np.maximum(need - self.capacity, 0) / self.hop), 0)
        return hops, np.maximum(need - hops * self.hop, np.minimum(self.length, need))

    def first_bursts(self, count: Any) -> Any:
        """Beats of so many bursts from the begin: full ones and the rest of each block; the first page may cut one."""
        of_block = np.maximum(ceil_div(self.beats, self.geo.burst), 1)
        cut = np.where(count > 0, np.maximum(np.minimum(self.geo.burst, self.beats) - self.to_page, 0), 0)
        return count // of_block * self.beats + np.minimum(count % of_block * self.geo.burst, self.beats) - cut

    def by_engine(self, begins: Any, need: Any) -> Any:
        """When so many beats are there if nothing but the engine, which asks every other cycle, holds them up."""
        return begins + (np.round(need / self.length) - 1) * 2 + (self.length - 1) / self.clock.rate


def asking(flows: Mapping[str, Flow]) -> tuple[dict[str, Any], dict[str, Any]]:
    """As a job begins: beats that are ahead of the first one of each stream, and the cycles after which it is asked
    for.

    Each engine asks every other cycle, the first of those that want to is served: two that want to leave nothing to
    others until one of them has all in flight that it may.
    """
    most = {
        name: np.where(
            flow.beats > 0,
            np.minimum(np.minimum(flow.most, flow.fit), np.round(flow.fetched / flow.length)),
            0,
        )
        for name, flow in flows.items()
    }
    order = [name for name in ASKING_ORDER if name in flows]
    slots = dict(zip(order, first_slots(np.stack(np.broadcast_arrays(*(most[name] for name in order)))), strict=True))
    ahead: dict[str, Any] = {}
    for place, name in enumerate(order):
        ahead[name] = 0 * most[name]
        for other in order[:place]:
            before = np.minimum(np.maximum((slots[name] - slots[other] + 1) // 2, 0), most[other])
            ahead[name] = ahead[name] + flows[other].first_bursts(before)
    return ahead, slots


def first_slots(left: Any) -> Any:
    """Cycles in which each of several engines first asks, which have so many bursts to ask for, by their order.

    The first two that want to ask in turn until one of them is done; the other one and the next go on.
    """
    left = left.copy()
    places = np.arange(len(left)).reshape(-1, *[1] * (left.ndim - 1))
    slots, now, last = np.zeros_like(left), np.zeros_like(left[0]), np.full(left[0].shape, -1)
    begun = np.zeros(left.shape, bool)
    for _ in range(len(left)):
        wants = left > 0
        one = np.argmax(wants, axis=0)
        wants &= places != one
        other = np.argmax(wants, axis=0)
        pair = wants.any(axis=0)
        # Who asked last waits for a cycle.
        one, other = np.where(pair & (one == last), other, one), np.where(pair & (one == last), one, other)
        for place, at in ((one, now), (other, now + 1)):
            here = (places == place) & ~begun & (left > 0)
            slots = np.where(here, at, slots)
            begun |= here
        both = np.where(
            pair,
            np.minimum(*(np.take_along_axis(left, place[None], 0)[0] for place in (one, other))),
            0,
        )
        left -= np.where((places == one) | (places == other), both, 0)
        now, last = now + 2 * both, np.where(pair, other, last)
    return slots
