"""How long a job takes, as array code: pipeline fill, the slowest of compute and streams in each phase, and drain.

The statements are those of `hwgen.accelerator.exact`, taken together: where it walks every cycle, here the times for
which something is needed are added up, and what is ready last counts.

The outer loop of a job is over blocks of the operand that stays, the inner one over those of the other. What stays is
needed once in an outer iteration if it is held, else in each block; the other operand is needed in the first outer
iteration only if it is held. So phases end with the first sum, the first block, the first outer iteration, and the job;
no phase needs more of the memory than those before it. What the unit behind the tile reads for each channel holds up
results, and the tile only when as many of them wait as there is room for.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.accelerator.design import OPERANDS, PAGE_BYTES, Design
from hwgen.accelerator.exact import FIRST_CLEAR, LAST_WORDS, Memory
from hwgen.accelerator.flow import RING, Clock, Flow, asking
from hwgen.accelerator.geometry import Geometry, job_arrays
from hwgen.accelerator.job import Job
from hwgen.accelerator.stream import STREAMS
from hwgen.frame.numbers import Num, ceil_div

__all__ = ["REGIMES", "ClosedCycles", "closed", "closed_job_cycles"]

REGIMES = ("compute", "channel", "flight", "ring", "write")
"""What bounds a job: the tile; the read channel; a stream's bursts in flight; room in a ring; the write channel."""
_COMPUTE, _CHANNEL, _FLIGHT, _RING, _WRITE = range(len(REGIMES))


@dataclass(frozen=True)
class ClosedCycles:
    """``cycles`` of jobs; ``exact``: whether they are what `exact` says for certain; ``regime``: which of `REGIMES`
    sets them, by place.
    """

    cycles: np.ndarray
    exact: np.ndarray
    regime: np.ndarray


def closed(design: Design, job: Job, memory: Memory) -> ClosedCycles:
    """Cycles of one job."""
    return closed_job_cycles(Geometry.of(design), job_arrays([job]), memory.latency, *memory.beats)


def closed_job_cycles(
    geometry: Geometry, job: Mapping[str, Num], latency: Num, share: Num = 1, cycles: Num = 1
) -> ClosedCycles:
    """Cycles of jobs; every argument may be a scalar or an array, which are broadcast.

    ``job``: counts and flags of `Job` by name, addresses too where they are not 0. ``latency``, and ``share`` beats in
    ``cycles``: those of `Memory`.
    """
    clock, latency = Clock(share, cycles), np.asarray(latency)
    compute = _Compute(geometry, job)
    flows = {name: Flow(name, geometry, job, clock, latency, compute.block) for name in STREAMS}
    reads = _Reads(geometry, clock, latency, flows)
    marks, regime = _phases(geometry, compute, reads)
    writes = _Writes(geometry, job, clock, latency, compute, marks)
    found = np.ceil(np.maximum(writes.all, writes.last)) + latency + 1 + LAST_WORDS
    certain = (writes.all <= writes.last) & (regime == _COMPUTE) & writes.certain & reads.certain(compute)
    # What stands before a ring is not in the phases.
    found = found + np.asarray(geometry.pre)
    certain = certain & (np.asarray(geometry.pre) == 0)
    shape = np.broadcast_shapes(found.shape, certain.shape)
    return ClosedCycles(
        np.broadcast_to(found, shape).astype(np.int64),
        np.broadcast_to(certain, shape),
        np.broadcast_to(np.where(writes.bound > writes.last, _WRITE, regime), shape),
    )


class _Compute:
    """What the tile needs, and how the loops of jobs are; arrays.

    ``steps`` of a block, ``first_sum`` those of its first sum, which takes ``start`` cycles; ``block``: cycles of a
    block, ``slow_block`` where results wait for room; ``unwaited``: what the very first block takes less. ``results``
    of a block, ``number`` of the job; ``ahead``: so many blocks' results wait at most.
    """

    def __init__(self, g: Geometry, job: Mapping[str, Num]) -> None:
        order, self.steps = np.asarray(job["order"]), np.asarray(job["k_steps"])
        m, n = np.asarray(job["m_blocks"]), np.asarray(job["n_blocks"])
        self.outer, self.inner = np.where(order == 0, n, m), np.where(order == 0, m, n)
        sums = np.where(g.sum_steps > 0, g.sum_steps, self.steps)
        full, ragged = self.steps // sums, self.steps % sums
        # Ends of sums lie so far apart as `hwgen.schedule.closed_cycles` says.
        whole = np.maximum(sums * g.step + g.fold, g.busy)
        rest = np.where(ragged > 0, np.maximum(ragged * g.step + g.fold, g.busy), 0)
        self.block = full * whole + rest
        self.shortest = np.where((ragged > 0) & ((rest < whole) | (full == 0)), rest, whole)
        self.first_sum = np.where(full > 0, sums, ragged)
        self.start = self.first_sum * g.step
        self.unwaited = np.maximum(self.start + g.fold, g.busy) - self.start
        self.results = np.where(g.every > 0, full + (ragged > 0), 1)
        self.number = self.outer * self.inner * self.results
        # A result is begun when the one before it by as many as the queue has room for has left the queue.
        back = (g.drain + 1 + g.step + (g.beats - 1) * (g.per_word - 1)) * g.beats / g.credit
        waits = self.number * g.beats > g.credit
        self.ahead = g.credit // g.beats
        self.slow_block = np.where(waits, np.maximum(self.block, back * self.results), self.block)


class _Reads:
    """All streams of jobs on the read channel; ``filled``: the first cycle in which the tile has a step."""

    _latest: tuple[tuple[Flow, Any, Any], list[tuple[str, Any]]] | None = None

    def __init__(self, g: Geometry, clock: Clock, latency: Any, flows: Mapping[str, Flow]) -> None:
        self.g, self.clock, self.flows = g, clock, flows
        # Two cycles after the start engines ask; the beat comes a latency after the cycle in which the address is out.
        self.begin = FIRST_CLEAR + 3 + latency
        ahead, slots = asking(flows)
        self.begins = {name: self.begin + slot for name, slot in slots.items()}
        came = [np.zeros(1)]
        for name in OPERANDS:
            flow = flows[name]
            entry = flow.geo.beats
            one = np.maximum(clock.nth(self.begin, ahead[name] + entry), clock.nth(self.begins[name], entry))
            came.append(np.where(flow.beats > 0, one, 0))
        self.filled = np.maximum.reduce(np.broadcast_arrays(*came)) + RING

    def delivered(self, needs: Mapping[str, Any], steps: Any) -> list[Any]:
        """Cycle of the last of so many beats' steps, of which the block has so many: by the channel, by bursts in
        flight, by rings.
        """
        found: list[Any] = [np.zeros(1)] * 3
        every = self.clock.nth(self.begin, sum(needs.values()))
        for name in OPERANDS:
            flow, need = self.flows[name], needs[name]
            behind = RING + flow.left(steps) * self.g.step - 1
            each = self._there(flow, need, needs)
            found = [np.maximum(old, np.where(need > 0, new + behind, 0)) for old, new in zip(found, each, strict=True)]
        found[0] = np.maximum(found[0], every + RING + self.g.step - 1)
        return found

    def finished(self, needs: Mapping[str, Any], blocks: Any, behind: Any) -> list[Any]:
        """Cycle that is ``behind`` the first in which results of so many blocks may leave for what their channels have:
        by the channel, by bursts in flight, by rings.
        """
        flow = self.flows["channels"]
        if not np.any(flow.geo.there):
            return [np.zeros(1)] * 3
        need = flow.until(blocks)
        return [np.where(need > 0, one + RING - 1 + behind, 0) for one in self._there(flow, need, needs)]

    def _there(self, flow: Flow, need: Any, needs: Mapping[str, Any]) -> tuple[Any, Any, Any]:
        """When so many beats of a stream are there: by the channel, by bursts in flight, by its ring."""
        rounds, head = flow.rounds(need)
        flight = self._channel(flow, head, needs) + rounds * flow.trip
        flight = flight + self._held(flow, head, needs, rounds, flow.trip)
        flight = np.maximum(flight, flow.by_engine(self.begins[flow.name], need))
        hops, head = flow.hops(need)
        ring = self._channel(flow, head, needs) + hops * flow.ring_trip
        ring = ring + self._held(flow, head, needs, hops, flow.ring_trip)
        return self._channel(flow, need, needs), flight, ring

    def _channel(self, flow: Flow, need: Any, needs: Mapping[str, Any]) -> Any:
        """When so many beats of a stream are there if nothing but the channel, which serves all, holds them up."""
        beats = need
        for _, beside in self._beside(flow, need, needs):
            beats = beats + beside
        return self.clock.nth(self.begin, np.floor(beats))

    def _beside(self, flow: Flow, need: Any, needs: Mapping[str, Any]) -> list[tuple[str, Any]]:
        """Beats of each other stream before so many of one: it gets on meanwhile, as far as its ring lets it."""
        # Half of the work of the closed form, and asked for twice in turn.
        asked = (flow, need, needs)
        if self._latest is None or any(one is not other for one, other in zip(asked, self._latest[0], strict=True)):
            begun = flow.begun(need)
            found = []
            for name, other in self.flows.items():
                if other is not flow and flow.there and other.there:
                    most = np.minimum(needs[name] + other.capacity, other.fetched)
                    # Designs without the other stream are as they are alone, whatever designs they stand beside.
                    found.append((name, np.where(other.geo.there > 0, np.minimum(most, other.beside(flow, begun)), 0)))
            self._latest = asked, found
        return self._latest[1]

    def _held(self, flow: Flow, head: Any, needs: Mapping[str, Any], rounds: Any, trip: Any) -> Any:
        """Cycles for which others' bursts keep the channel longer than a stream leaves it idle: those that do not come
        before its first beats, and no more of them than may be ahead in so many rounds.
        """
        idle = trip - flow.flight / self.clock.rate
        found: Any = np.zeros(1)
        for name, beside in self._beside(flow, head, needs):
            other = self.flows[name]
            more = np.maximum(needs[name] - beside, 0)
            number = np.minimum(more, rounds * other.flight) / other.length
            longer = np.maximum(other.length / self.clock.rate - idle, 0)
            found = found + number * longer
        return np.where(idle > 0, found, 0)

    def certain(self, compute: _Compute) -> Any:
        """Whether no step but the first waits, whatever the order in which bursts come."""
        total = sum(flow.fetched for flow in self.flows.values())
        found: Any = np.ones(1, bool)
        for flow in self.flows.values():
            # Every burst is asked for without waiting for another one, and none is cut short by a page.
            waits = (flow.fetched > flow.capacity) | (flow.fetched > flow.length * flow.most) | flow.crosses
            # The second entry comes before its step though all that others want comes first; so does each later one.
            steps = np.minimum(flow.geo.words, (flow.words - 1) % flow.geo.words + 1) * flow.word_steps * self.g.step
            first, few = 2, flow.fetched <= flow.geo.beats
            if flow.name == "channels":
                # The first is needed only when the first block is done.
                first, few = 1, np.zeros(1, bool)
                steps = np.minimum(compute.start, compute.shortest)
            late = self.clock.nth(self.begin, total - flow.fetched + first * flow.geo.beats) + RING
            slow = np.ceil(flow.geo.beats / self.clock.rate) > steps
            found = found & ((flow.beats == 0) | (~waits & (few | ~((late > self.filled + steps) | slow))))
        return found


_Marks = list[tuple[Any, Any]]
"""Cycle in which a phase's last step is over, and results till then."""


def _phases(g: Geometry, compute: _Compute, reads: _Reads) -> tuple[_Marks, Any]:
    """Ends of the phases, and what sets the last one."""
    flows = reads.flows
    time: Any = reads.filled - 1 + compute.start
    regime: Any = np.zeros(np.shape(time), int)

    def later(time: Any, regime: Any, *bounds: list[Any]) -> tuple[Any, Any]:
        for bound in bounds:
            for place, one in zip((_CHANNEL, _FLIGHT, _RING), bound, strict=True):
                regime = np.where(one > time, place, regime)
                time = np.maximum(time, one)
        return time, regime

    def meet(time: Any, regime: Any, needs: Mapping[str, Any], steps: Any, blocks: Any) -> tuple[Any, Any]:
        # The last of a sum's steps begins when the result before it that it makes way for has left.
        room = reads.finished(needs, blocks - compute.ahead, g.beats + g.step - 1)
        return later(time, regime, reads.delivered(needs, steps), room)

    def leave(time: Any, regime: Any, needs: Mapping[str, Any], blocks: Any) -> tuple[Any, Any]:
        # As if the block ended when its results leave without waiting.
        return later(time, regime, reads.finished(needs, blocks, g.beats - g.drain - 2))

    needs = {name: flow.part(compute.first_sum) for name, flow in flows.items()}
    time, regime = meet(time, regime, needs, compute.first_sum, 0)
    first_sum = time
    time = time + compute.block - compute.start - compute.unwaited
    needs = {name: flow.beats for name, flow in flows.items()}
    time, regime = meet(time, regime, needs, compute.steps, 1)
    first_block, _ = leave(time, regime, needs, 1)
    time = time + (compute.inner - 1) * compute.slow_block
    needs = {name: flow.first for name, flow in flows.items()}
    time, regime = meet(time, regime, needs, compute.steps, compute.inner)
    first_outer, _ = leave(time, regime, needs, compute.inner)
    own = compute.inner * compute.slow_block
    pace = own + np.maximum.reduce(np.broadcast_arrays(*(flow.window_wait for flow in flows.values())))
    edges = np.maximum.reduce(np.broadcast_arrays(*(flow.window_time for flow in flows.values())))
    pace = np.maximum(pace, (compute.inner - 2) * compute.slow_block + edges)
    regime = np.where((pace > own) & (compute.outer > 1), _RING, regime)
    time = time + (compute.outer - 1) * pace
    needs = {name: flow.fetched for name, flow in flows.items()}
    blocks = compute.outer * compute.inner
    time, regime = meet(time, regime, needs, compute.steps, blocks)
    time, regime = leave(time, regime, needs, blocks)
    results = compute.results
    first = np.where((g.every > 0) & (flows["channels"].beats == 0), first_sum, first_block)
    return [
        (first, np.ones_like(results)),
        (first_block, results),
        (first_outer, compute.inner * results),
        (time, compute.number),
    ], regime


class _Writes:
    """Results on their way to memory; arrays.

    ``last``: when the last beat leaves if only the last burst counts, ``all``: if all of them do, ``bound``: if those
    before the last result do. ``certain``: whether ``last`` is the last beat's cycle where the last step's is known.
    """

    def __init__(
        self, g: Geometry, job: Mapping[str, Num], clock: Clock, latency: Any, compute: _Compute, marks: _Marks
    ) -> None:
        self.g, self.clock, self.marks, self.number = g, clock, marks, compute.number
        made = g.beats * g.made
        count = compute.number * made
        self.beats = ceil_div(count, g.gathers) * g.per_word
        self.own = made * g.per_word / g.gathers
        # Cycles from a result's last step to its first beat at the packer.
        self.behind = g.drain + g.unit - g.beats + 2
        self._bursts(job)
        self.trip = clock.wait(latency + 3) + (self.mean - 1) / clock.rate
        # The last bus beat is filled up, or the last result goes beat for beat, after those before it of its block.
        partial = count % g.gathers
        flush = np.where(g.gathers > 1, np.where(partial > 0, g.gathers - partial, 0) + 1, g.per_word)
        sent = np.ceil(marks[-1][0] + self.behind + (made - 1) * g.per_word + flush).astype(np.int64)
        # Counted, loaded, on the bus.
        self.last = clock.nth(sent + 3, self.rest)
        self.bound, self.all = self._with_all()
        apart = (compute.number == 1) | (compute.shortest >= made * g.per_word)
        self.certain = (self.bursts == 1) & (g.credit >= compute.number * g.beats) & apart

    def _bursts(self, job: Mapping[str, Num]) -> None:
        """Bursts end where pages do; ``rest``: beats of the last one, ``mean``: those of the others."""
        g = self.g
        self.burst = np.minimum(g.burst, g.page)
        at = np.asarray(job.get("result", 0)) // (PAGE_BYTES // g.page) % g.page
        head = np.minimum(g.page - at, self.beats)
        pages, tail = (self.beats - head) // g.page, (self.beats - head) % g.page
        self.bursts = ceil_div(head, self.burst) + pages * ceil_div(g.page, self.burst) + ceil_div(tail, self.burst)
        self.rest = (np.where(tail > 0, tail, np.where(pages > 0, g.page, head)) - 1) % self.burst + 1
        many = self.bursts > 1
        self.mean = np.where(many, (self.beats - self.rest) / np.maximum(self.bursts - 1, 1), self.beats)

    def _there(self, count: Any) -> Any:
        """When so many bus beats of results are in the buffer: results come evenly between the ends of phases."""
        g, marks = self.g, self.marks
        index = np.clip(np.ceil(count / self.own), 1, self.number)
        time = marks[0][0] + 0.0 * index
        for (begun, low), (ended, high) in itertools.pairwise(marks):
            part = np.clip((index - low) / np.maximum(high - low, 1), 0, 1)
            time = np.where(index > low, begun + part * (ended - begun), time)
        apart = np.where(g.gathers > 1, g.gathers, 1)
        return time + self.behind + (count - (index - 1) * self.own) * apart

    def _with_all(self) -> tuple[Any, Any]:
        """When the last beat leaves because of bursts that begin with a phase, and of those whose answers it awaits."""
        g = self.g
        heads = [np.maximum(np.floor((high - 1) * self.own / self.mean), 0) + 1 for _, high in self.marks[:-1]]
        of_result = np.maximum(np.ceil(np.ceil(self.own / self.burst) / g.outstanding) - 1, 0)
        of_job = np.maximum(np.ceil(self.bursts / g.outstanding) - 1, 0)
        heads += [np.where(of_job > 0, self.bursts - of_job * g.outstanding, 0)]
        bound: Any = np.zeros(1)
        for head in heads:
            bound = np.maximum(bound, self._from(head))
        found = bound
        for head in (
            np.maximum(np.floor((self.number - 1) * self.own / self.mean), 0) + 1,
            self.bursts - g.outstanding,
            self.bursts - of_result * g.outstanding,
        ):
            found = np.maximum(found, self._from(head))
        return bound, found

    def _from(self, head: Any) -> Any:
        """When the last beat leaves if the bursts from the ``head``-th on count."""
        g, rate = self.g, self.clock.rate
        more = self.bursts - head
        rounds = np.maximum(np.ceil((more + 1) / g.outstanding) - 1, 0)
        by_beats = (self.beats - (head - 1) * self.mean) / rate
        # A burst is begun every other cycle at most.
        by_bursts = np.maximum(rounds * self.trip, more * 2) + self.rest / rate
        ready = self._there(np.where(more > 0, head * self.mean, self.beats)) + 2
        return np.where((head > 0) & (more >= 0), ready + np.maximum(by_beats, by_bursts), 0)
