"""How long a job takes, to the cycle: the registers of the design and what they wait for, without their data.

Nothing but counts moves here, so that a cycle is a few dozen integer operations; and as soon as the state of all parts
comes back with only the places in the loops of the job moved on, as many periods as fit are taken at once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from hwgen.accelerator.accelerator import ASKING_ORDER
from hwgen.accelerator.block_plan import BlockPlan
from hwgen.accelerator.block_quantiser import OUT_AFTER, READ_AFTER
from hwgen.accelerator.design import PAGE_BYTES, Design
from hwgen.accelerator.job import Job
from hwgen.accelerator.recording import Recording, TileState
from hwgen.accelerator.results import unit_registers
from hwgen.accelerator.stream import Stream
from hwgen.emit import INPUT_DEPTH, result_depth
from hwgen.errors import HwgenError

__all__ = ["JobCycles", "Memory", "exact"]

FIRST_CLEAR = 4
"""Cycle in which a job begins, counted from the cycle in which the write that starts it is accepted."""
LAST_WORDS = 2
"""Cycles from the one in which all results are written to the interrupt."""


@dataclass(frozen=True)
class Memory:
    """A memory that answers in order: ``latency`` cycles from an address to its first beat (from the last beat to the
    response of a write), and ``beats[0]`` beats of reads, and as many of writes, in ``beats[1]`` cycles.
    """

    latency: int = 20
    beats: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if self.latency < 1:
            raise HwgenError(f"memory: latency must be at least 1 cycle, not {self.latency}")
        if not 1 <= self.beats[0] <= self.beats[1]:
            raise HwgenError(
                f"memory: beats must be a share of the cycles, from 1 in many to all, not {self.beats[0]} in "
                f"{self.beats[1]}"
            )


@dataclass(frozen=True)
class JobCycles:
    """What a job takes.

    ``cycles`` from the accepted write of the start to the first cycle of the interrupt. ``waits``: cycles in which the
    tile waited for weights, for activations and for results to leave, as the counters of the design have them.
    ``read_beats`` by stream and ``write_beats`` are bus beats.
    """

    cycles: int
    waits: dict[str, int]
    read_beats: dict[str, int]
    write_beats: int
    jumps: int = 0


class _Loop:
    """Place in the nested loops of a job: blocks of a window, times that the window passes, windows."""

    def __init__(self, blocks: int, times: int, windows: int) -> None:
        self.inner, self.outer, self.total = blocks, blocks * times, blocks * times * windows
        self.done = 0

    def bound(self, before: int, step: int) -> int:
        """Places below which loops turn alike, period for period of ``step``, from the place ``before`` on."""
        if step % self.outer == 0:
            return self.total - self.outer
        if step % self.inner == 0:
            return (before // self.outer + 1) * self.outer - self.inner
        return (before // self.inner + 1) * self.inner


class _Reader:
    """Engine and ring of a stream; see `hwgen.accelerator.read_engine` and `hwgen.accelerator.ring`."""

    def __init__(self, stream: Stream, job: Job) -> None:
        passage = job.passage(stream.name)
        self.index, self.burst = stream.index, stream.burst
        self.words, self.entries = passage.words, stream.entries(passage.words)
        self.per_entry, self.entry_beats = stream.words_per_entry, stream.beats_per_entry
        self.beats = stream.beats(passage.words)
        self.asking = _Loop(passage.blocks, passage.fetches, passage.windows)
        self.giving = _Loop(passage.blocks, passage.uses, passage.windows * passage.fetches)
        self.page = PAGE_BYTES * 8 // stream.bus_bits
        self.window_beats = self.beats * passage.blocks
        # Engine: places within pages are in beats.
        self.at = self.window_at = job.address(stream.name) * 8 // stream.bus_bits % self.page
        self.left, self.space, self.flying = self.beats, stream.capacity, 0
        self.active, self.ready, self.length = True, False, 0
        # Ring.
        self.held = self.ahead = self.part = self.place = self.entries_done = self.words_done = 0
        self.have = self.full = False
        self.got = 0

    def state(self) -> tuple[Any, ...]:
        """All but places in loops and counts of what is over."""
        return (
            *(self.active, self.ready, self.length, self.left, self.space, self.flying, self.at, self.window_at),
            *(self.held, self.ahead, self.have, self.full, self.part, self.entries_done, self.words_done, self.place),
        )

    def granted(self) -> int:
        """A burst is asked for; returns its beats."""
        asked = self.length
        self.ready = False
        self.space -= asked
        self.flying += 1
        self.got += asked
        self.at = (self.at + asked) % self.page
        self.left -= asked
        if self.left == 0:
            self.left = self.beats
            loop = self.asking
            loop.done += 1
            if loop.done % loop.inner == 0:
                if loop.done % loop.outer == 0:
                    self.window_at = self.at
                    self.active = loop.done < loop.total
                else:
                    self.at = self.window_at
        return asked

    def prepare(self) -> None:
        """Work the next burst out."""
        self.ready = True
        self.length = min(self.left, self.burst, self.page - self.at)

    def read(self, full: bool) -> bool:
        """An entry is read; returns whether it is free again. ``full``: another one is written."""
        loop = self.giving
        self.entries_done += 1
        final = loop.done // loop.inner % (loop.outer // loop.inner) == loop.outer // loop.inner - 1
        rewinds = False
        if self.entries_done == self.entries:
            self.entries_done = 0
            loop.done += 1
            rewinds = not final and loop.done % loop.inner == 0
        self.held += full - final
        self.ahead = self.held if rewinds else self.ahead + full - 1
        return final

    def take(self) -> bool:
        """A word is taken; returns whether its entry is used up."""
        self.words_done += 1
        last = self.words_done == self.words
        if last:
            self.words_done = 0
        self.place += 1
        if last or self.place == self.per_entry:
            self.place = 0
            return True
        return False


class _Pre:
    """Block before the ring of activations; see `hwgen.accelerator.block_quantiser`."""

    def __init__(self, plan: BlockPlan, beats: int) -> None:
        self.beats, self.group, self.per_entry = beats, plan.group_beats, plan.beats_per_word
        # Beats of the row's blocks that came, of the block at hand, when the last one so far is read, what leaves when.
        self.came = self.waits = self.read = 0
        self.leaves: deque[int] = deque()

    def state(self, now: int) -> tuple[Any, ...]:
        """All of it, with times from ``now`` on."""
        return (self.came, self.waits, max(self.read - now, 0), *(time - now for time in self.leaves))

    def beat(self, now: int) -> None:
        """A beat comes."""
        self.came += 1
        self.waits += 1
        ends_row = self.came == self.beats
        if not ends_row and self.waits < self.group:
            return
        for number in range(self.waits):
            self.read = max(self.read + 1, now + READ_AFTER)
            if number % self.per_entry == self.per_entry - 1:
                self.leaves.append(self.read + OUT_AFTER)
        self.waits = 0
        if ends_row:
            self.came = 0

    def entry(self, now: int) -> bool:
        """Whether an entry leaves."""
        if self.leaves and self.leaves[0] == now:
            self.leaves.popleft()
            return True
        return False

    def jump(self, cycles: int) -> None:
        """Time goes on."""
        self.read += cycles
        self.leaves = deque(time + cycles for time in self.leaves)


class _Tile:
    """The tile behind its streams: queues of two, phases of a step, folding, lanes and credit."""

    def __init__(self, design: Design, job: Job) -> None:
        tile = design.tile
        p = tile.p
        self.step, self.busy, self.folds = int(tile.layer_cycles(p)), int(tile.post_cycles(p)), tile.folds
        self.drain, self.beats = int(tile.drain(p)), design.beats_per_result
        self.lanes = tile.lanes > 0
        self.credit = result_depth(tile)
        self.steps, self.sum_steps = job.k_steps, design.sum_steps or job.k_steps
        # Flags of the steps that wait, and how many weights do.
        self.acts: deque[tuple[bool, bool]] = deque()
        self.weights = 0
        self.phase = self.wait = self.folding = 0
        self.steps_in = 0
        self.coming: deque[int] = deque()
        self.results = self.beat = 0

    def state(self, now: int) -> tuple[Any, ...]:
        """All of it, with times from ``now`` on."""
        return (
            *(tuple(self.acts), self.weights, self.phase, self.wait, self.folding, self.credit, self.steps_in),
            *(tuple(time - now for time in self.coming), self.results, self.beat),
        )


class _Periods:
    """States that were seen as a block was done: where one comes back, the periods between need not be walked."""

    def __init__(self, loops: list[_Loop]) -> None:
        self.loops = loops
        self.jumps = 0
        # By state: when, places in the loops, counts.
        self._seen: dict[tuple[Any, ...], tuple[int, tuple[int, ...], tuple[int, ...]]] = {}

    def skip(self, state: tuple[Any, ...], now: int, counts: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        """Move the loops on by as many periods as turn alike; returns their cycles and what is counted in them."""
        places = tuple(loop.done for loop in self.loops)
        before = self._seen.get(state)
        self._seen[state] = (now, places, counts)
        if before is None:
            return 0, ()
        then, old_places, old_counts = before
        steps = [new - old for new, old in zip(places, old_places, strict=True)]
        times = min(
            (loop.bound(old, step) - 1 - new) // step
            for loop, new, old, step in zip(self.loops, places, old_places, steps, strict=True)
            if step
        )
        if times < 1:
            return 0, ()
        self.jumps += times
        for loop, step in zip(self.loops, steps, strict=True):
            loop.done += times * step
        self._seen.clear()
        return times * (now - then), tuple(times * (new - old) for new, old in zip(counts, old_counts, strict=True))


def _tile_state(tile: _Tile, works: bool, all_in: bool) -> TileState:
    """What a tile does that has the queues of this cycle's begin."""
    if works:
        return TileState.BUSY
    if all_in:
        return TileState.DONE
    if not tile.weights:
        return TileState.WAITS_WEIGHTS
    if not tile.acts:
        return TileState.WAITS_ACTS
    is_last, done = tile.acts[0]
    ends = (is_last and done) if tile.lanes else is_last
    return TileState.WAITS_RESULTS if ends and tile.credit < tile.beats else TileState.FOLDS


def exact(
    design: Design, job: Job, memory: Memory, *, most_cycles: int = 1 << 62, recording: Recording | None = None
) -> JobCycles:
    """Cycles of a job that runs alone, begun at a moment in which the memory's time is 0.

    ``recording`` gets what the parts do in the first cycles, as many as it wants. Raises `HwgenError` where a window
    that is to be held does not fit its ring, or the counts are none.
    """
    return _Run(design, job, memory).run(most_cycles, recording)


class _Run:
    """One job; a method for each part of a cycle would cost more than what it does."""

    def __init__(self, design: Design, job: Job, memory: Memory) -> None:
        for name in ("m_blocks", "n_blocks", "k_steps", "k_groups"):
            if getattr(job, name) < 1:
                raise HwgenError(f"job: {name} must be at least 1, not {getattr(job, name)}")
        for stream in design.streams.values():
            if not job.holds(stream):
                raise HwgenError(
                    f"job: a window of {stream.name} that is held must fit its ring of {stream.depth} entries, "
                    f"not take {job.window(stream)}; hold fewer or read it again"
                )
        self.design, self.job, self.memory = design, job, memory
        self.readers = {name: _Reader(stream, job) for name, stream in design.streams.items()}
        self.tile = _Tile(design, job)
        plan = design.block_plan
        self.pre = None if plan is None else _Pre(plan, self.readers["acts"].beats)
        self.blocks = _Loop(1, 1, job.blocks)
        loops = (loop for reader in self.readers.values() for loop in (reader.asking, reader.giving))
        self.periods = _Periods([self.blocks, *loops])

    def run(self, most_cycles: int, recording: Recording | None) -> JobCycles:
        design, job, memory, tile = self.design, self.job, self.memory, self.tile
        (share, cycles), latency = memory.beats, memory.latency
        readers, pre = list(self.readers.values()), self.pre
        asking = [self.readers[name] for name in ASKING_ORDER if name in self.readers]
        by_index = {reader.index: reader for reader in readers}
        weights, acts = self.readers["weights"], self.readers["acts"]
        weight_sides, act_sides = self.readers.get("weight_sides"), self.readers.get("act_sides")
        group_steps, steps = design.group_steps or job.k_steps, job.k_steps
        outstanding = design.outstanding
        # Bursts that are asked for: which, beats to come, cycle from which on.
        flying: deque[list[int]] = deque()
        weight_step = act_step = 0
        all_in = False
        pending = 0
        # Results on their way: what the packer holds, beats in the buffer, the write engine.
        gathers, per_word = design.result_words_per_beat, design.result_beats
        packed = 0
        depth, write_burst, page = design.write_depth, design.burst, PAGE_BYTES * 8 // design.bus_bits
        buffered, have = 0, False
        # The unit in between: its registers, results of the tile that still turn past its lanes, what it makes of one.
        unit = [False] * unit_registers(design.p)
        turning, per_result = 0, job.results(design)
        channels = self.readers.get("channels")
        at = job.result // design.bus_bytes % page
        waiting = writing = next_length = left = 0
        asked: list[int] | None = None
        answers: deque[int] = deque()
        waits = [0, 0, 0]
        written = 0
        now = FIRST_CLEAR + 1
        state = TileState.DONE
        if recording is not None:
            recording.first = now
        while True:
            # --- what the memory gives
            slot = (now + 1) * share // cycles > now * share // cycles
            here: _Reader | None = None
            last_beat = False
            if slot and flying and flying[0][2] <= now:
                burst = flying[0]
                here = by_index[burst[0]]
                burst[1] -= 1
                if burst[1] == 0:
                    last_beat = True
                    flying.popleft()
            answered = bool(answers) and answers[0] <= now
            if answered:
                answers.popleft()
            # --- feeders: what rings offer and queues take
            taken_entries: set[int] = set()
            push_weights = weights.have and tile.weights < INPUT_DEPTH
            if push_weights and weight_sides is not None:
                push_weights = weight_sides.have
            push_acts = acts.have and len(tile.acts) < INPUT_DEPTH
            if push_acts and act_sides is not None:
                push_acts = act_sides.have
            block_done = False
            flags = (False, False)
            if push_weights:
                weight_step += 1
                done = weight_step == steps
                if weights.take():
                    taken_entries.add(weights.index)
                if weight_sides is not None and (done or weight_step % group_steps == 0) and weight_sides.take():
                    taken_entries.add(weight_sides.index)
                if done:
                    weight_step = 0
            if push_acts:
                act_step += 1
                done = act_step == steps
                flags = (done or act_step % tile.sum_steps == 0, done)
                if acts.take():
                    taken_entries.add(acts.index)
                if act_sides is not None and (done or act_step % group_steps == 0) and act_sides.take():
                    taken_entries.add(act_sides.index)
                if done:
                    act_step = 0
                    block_done = True
            # --- the tile
            accepted = ends = is_last = False
            phase = tile.phase
            if tile.acts and tile.weights:
                is_last, done = tile.acts[0]
                ends = (is_last and done) if tile.lanes else is_last
                if ends and tile.credit < tile.beats:
                    waits[2] += not all_in
                elif not tile.folding:
                    last_phase = tile.phase == tile.step - 1
                    if not (is_last and last_phase and tile.wait):
                        accepted = last_phase
                        tile.phase = 0 if last_phase else tile.phase + 1
            if not all_in:
                waits[0] += not tile.weights
                waits[1] += not tile.acts
            if recording is not None:
                state = _tile_state(tile, accepted or tile.phase != phase, all_in)
            # --- results: from the tile's queue to the packer, from there to the buffer
            arrived = bool(tile.coming) and tile.coming[0] == now
            if arrived:
                tile.coming.popleft()
            all_out = all_in and pending == 0
            sent = buffered < depth and (packed == gathers if gathers > 1 else packed > 0)
            room = (packed != gathers or sent) if gathers > 1 else (packed == 0 or (packed == 1 and sent))
            if unit:
                all_out = all_out and not turning and True not in unit
                moves = not unit[-1] or room
                packs = unit[-1] and room
                there = tile.results > 0 and (channels is None or channels.have)
                if design.requantises:
                    enters = turning > 0
                    takes = there and (turning == 0 or (turning == 1 and moves))
                    turning = per_result if takes else turning - (enters and moves)
                else:
                    enters = there
                    takes = there and moves
                if moves:
                    unit = [enters, *unit[:-1]]
                if takes and channels is not None and tile.beat == tile.beats - 1 and channels.take():
                    taken_entries.add(channels.index)
            else:
                takes = packs = tile.results > 0 and room
            flushed = all_out and packed == 0
            if gathers > 1:
                packed = (0 if sent else packed) + (packs or (all_out and 0 < packed < gathers))
            else:
                packed = per_word if packs else packed - sent
            result_out = False
            if takes:
                tile.beat += 1
                if tile.beat == tile.beats:
                    tile.beat = 0
                    result_out = True
            # --- the write engine and the buffer, as they stand
            w_sent = have and left > 0 and slot
            reads_buffer = buffered > 0 and (not have or w_sent)
            most = min(write_burst, page - at)
            begins = (waiting >= most or (flushed and waiting > 0)) and next_length == 0 and writing < outstanding
            loads = next_length > 0 and (left == 0 or (left == 1 and w_sent))
            idle = writing == 0 and asked is None and next_length == 0 and left == 0
            if flushed and waiting == 0 and idle:
                break
            # --- rings
            freed: list[_Reader] = []
            for reader in readers:
                taken = reader.index in taken_entries
                if reader.ahead and (taken or not reader.have):
                    if reader.read(reader.full):
                        freed.append(reader)
                    reader.have = True
                else:
                    if taken:
                        reader.have = False
                    if reader.full:
                        reader.held += 1
                        reader.ahead += 1
                reader.full = False
            # --- engines: the first that wants to asks
            asks = -1
            for reader in asking:
                if reader.ready:
                    if asks < 0 and reader.space >= reader.length and reader.flying < outstanding:
                        flying.append([reader.index, reader.granted(), now + 1 + latency])
                        asks = reader.index
                elif reader.active:
                    reader.prepare()
            for reader in freed:
                reader.space += reader.entry_beats
            if here is not None:
                if pre is not None and here is acts:
                    pre.beat(now)
                else:
                    here.part += 1
                    if here.part == here.entry_beats:
                        here.part = 0
                        here.full = True
                here.flying -= last_beat
            if pre is not None and pre.entry(now):
                acts.full = True
            # --- the tile's registers
            tile.credit += takes
            if tile.folding:
                tile.folding = 0 if tile.folding == tile.folds else tile.folding + 1
            tile.wait -= tile.wait > 0
            if accepted:
                tile.acts.popleft()
                tile.weights -= 1
                if is_last:
                    tile.wait = max(tile.busy - 1, 0)
                    tile.folding = 1 if tile.folds else 0
                if ends:
                    tile.credit -= tile.beats
                    tile.coming.extend(range(now + tile.drain - tile.beats + 1, now + tile.drain + 1))
            tile.results += arrived - takes
            if push_weights:
                tile.weights += 1
            if push_acts:
                tile.acts.append(flags)
                pending += flags[1] if tile.lanes else flags[0]
            pending -= result_out
            # --- the write side's registers
            waiting += sent
            buffered += sent - reads_buffer
            if reads_buffer:
                have = True
            elif w_sent:
                have = False
            if w_sent:
                left -= 1
                written += 1
                if left == 0:
                    answers.append(now + latency)
            if loads:
                left = next_length
                next_length = 0
            asked = None
            if begins:
                length = min(most, waiting - sent)
                waiting -= length
                writing += 1
                next_length = length
                at = (at + length) % page
                asked = [length]
            writing -= answered
            if recording is not None:
                recording.tile.append(state)
                recording.beats.append(-1 if here is None else here.index)
                recording.bursts.append(asks)
                recording.held.append(tuple(reader.held for reader in readers))
                recording.writes.append(w_sent)
                recording.waiting.append(buffered)
                if len(recording) >= recording.most:
                    recording = None
            now += 1
            if now > most_cycles:
                raise HwgenError(f"job: must take at most {most_cycles} cycles")
            if block_done:
                self.blocks.done += 1
                all_in = self.blocks.done == self.blocks.total
                key = (
                    now % cycles,
                    *(reader.state() for reader in readers),
                    tile.state(now),
                    () if pre is None else pre.state(now),
                    *((burst[0], burst[1], max(burst[2] - now, 0)) for burst in flying),
                    *(weight_step, act_step, all_in, pending, packed, buffered, have, at, turning, *unit),
                    *(waiting, writing, next_length, left, asked is None),
                    *(time - now for time in answers),
                )
                counts = (*waits, written, *(reader.got for reader in readers))
                # Periods that are taken at once leave no record.
                jumped, moved = (0, ()) if recording is not None else self.periods.skip(key, now, counts)
                if jumped:
                    now += jumped
                    waits = [value + more for value, more in zip(waits, moved[:3], strict=True)]
                    written += moved[3]
                    for reader, more in zip(readers, moved[4:], strict=True):
                        reader.got += more
                    for burst in flying:
                        burst[2] += jumped
                    tile.coming = deque(time + jumped for time in tile.coming)
                    if pre is not None:
                        pre.jump(jumped)
                    answers = deque(time + jumped for time in answers)
        return JobCycles(
            cycles=now + LAST_WORDS,
            waits=dict(zip(("weights", "acts", "results"), waits, strict=True)),
            read_beats={name: reader.got for name, reader in self.readers.items()},
            write_beats=written,
            jumps=self.periods.jumps,
        )
