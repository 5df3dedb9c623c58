"""Claims about the wrapper behind AXI4-Stream, against a machine beside it that knows the manifest alone.

That machine counts words, steps and beats: what each queue holds, and what the tile has been promised room for. The
tile in it takes steps and gives results in the cycles that the manifest says (``control.ready`` and ``control.valid``
prove that of the tile's own text), and its data outputs are anything. What the wrapper may do follows from the
counts, to the cycle. That a word comes out whole and in its turn is proved of one word, any one, which is watched
from where it goes in: there are as many before it as were there, each that leaves is one less, and when there are
none left it is the one that is shown.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from hwgen.errors import HwgenError
from hwgen.prove.abc import Verdict, aiger, decide_aiger, never
from hwgen.prove.control import Control
from hwgen.prove.graph import VAR, Graph
from hwgen.prove.netlist import Bit, Cell, Netlist, read_verilog
from hwgen.prove.tables import cone, evaluate, shape
from hwgen.prove.tile import Counterexample
from hwgen.prove.unroll import Unrolled

__all__ = ["STREAM_CLAIMS", "Wrapper", "steps_bound", "wrapper_netlist"]

_PDR = "property-directed reachability"
_INPUTS = ("acts", "weights")
_EXACT = ("offer", "progress")
"""Claims of the whole machine; the others are proved of the loose one."""
_RESTS = {
    "ready": ("room",),
    "valid": ("room",),
    "offer": ("room", "valid"),
    "beats": ("room", "valid"),
    "stable": ("room", "valid", "beats"),
}
_OF_TILE = "with a tile that keeps control.ready and control.valid"

STREAM_CLAIMS: Mapping[str, tuple[str, str, str]] = {
    "wiring": (
        "all registers and the tile have the clock and the reset of the wrapper; no path leads from one interface to "
        "another, or to the tile, without a register",
        "search of the netlist",
        "hwgen",
    ),
    "room": (
        f"{_OF_TILE}, each beat of a result finds room in the result queue, whatever the sink does: places taken by "
        "steps that end a result are the beats on their way and those in the queue",
        "induction over cycles, by satisfiability",
        "ABC fraig, iprove",
    ),
    "ready": (
        f"{_OF_TILE}, tready of an operand stream is high where fewer words than operand_queue_words of it wait for "
        "their step, and in no other cycle",
        _PDR,
        "ABC pdr",
    ),
    "valid": (
        f"{_OF_TILE}, m_axis_result_tvalid is high where a beat of the tile's has been there for a cycle and is not "
        "taken yet, and in no other cycle",
        _PDR,
        "ABC pdr",
    ),
    "offer": (
        f"{_OF_TILE}, a step is offered to it in every cycle in which a word of both streams is there, but for one "
        "that ends a result while fewer places than the result's beats are free of result_queue_beats, and in no other "
        "cycle",
        _PDR,
        "ABC pdr",
    ),
    "first": (
        f"{_OF_TILE}, i_first comes with the step after a reset and after one with i_last, and with no other",
        _PDR,
        "ABC pdr",
    ),
    "held": (
        f"{_OF_TILE}, a step that is offered stays so, with all that belongs to it, until it is taken: what the tile "
        "asks of its surroundings",
        _PDR,
        "ABC pdr",
    ),
    "steps": (
        f"{_OF_TILE}, the n-th step that is taken has the n-th word of each operand stream since the reset, every "
        "element, tlast and tuser where the manifest puts them: none is lost, doubled or overtaken, under any "
        "gaps and back-pressure",
        _PDR,
        "ABC pdr",
    ),
    "beats": (
        f"{_OF_TILE}, the n-th beat that is shown is the n-th one of the tile since the reset, each element of it "
        "delay_cycles after o_valid, extended by its sign, where the manifest puts it; tlast is high with the last "
        "beat of each result and no other: none is lost, doubled or overtaken, under any back-pressure",
        _PDR,
        "ABC pdr",
    ),
    "stable": (
        f"{_OF_TILE}, m_axis_result_tvalid, once high, stays so, with tdata and tlast, until tready",
        "from stream.valid and stream.beats: what is shown is the first beat that is not taken",
        "ABC pdr",
    ),
    "progress": (
        f"{_OF_TILE}, a step whose words are both there is taken within {{bound}} cycles of a sink that is ready",
        _PDR,
        "ABC pdr",
    ),
}
"""Sentence, method and solver by name; ``{bound}`` is a number of the tile."""


def wrapper_netlist(verilog: str, manifest: Mapping[str, Any]) -> Netlist:
    """The wrapper of a text, its queues as registers, the tile in it not looked into."""
    return read_verilog(verilog, manifest["axi_stream"]["top"], memories=True, opaque=manifest["top"])


def _results(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    ports = {port["name"]: port for port in manifest["ports"]}
    return [ports[field["port"]] for field in manifest["axi_stream"]["tdata"]["m_axis_result"]]


def _delays(port: Mapping[str, Any]) -> list[int]:
    delay = port.get("delay_cycles")
    places = np.ndindex(*port["packing"]["shape"])
    return [int({"m": place[0], "m+n": sum(place[:2])}.get(str(delay), 0)) for place in places]


def _latest(manifest: Mapping[str, Any]) -> int:
    """Cycles after `o_valid` in which the last element of a beat is there."""
    return max(max(_delays(port)) for port in _results(manifest))


def steps_bound(manifest: Mapping[str, Any]) -> int:
    """Cycles in which a step is taken whose words are both there, if the sink is ready in all of them: those in which
    all beats on their way come and leave, and those that the tile may make it wait.
    """
    timing, own = manifest["timing"], manifest["axi_stream"]["timing"]
    steps = [mode["latency"] + max(mode["cycles_per_step"], timing["interval"]) for mode in manifest["modes"]]
    beats = own["result_queue_beats"] + own["beats_per_result"] + _latest(manifest)
    waits = timing["post_latency"] + timing["fold_cycles"] + timing["post_cycles"]
    return int(beats + waits + max(steps))


@dataclass(frozen=True)
class _Claim:
    """``bad`` must never be 1; ``net`` and ``place`` is the bit that it is about."""

    bad: int
    net: str
    place: int = 0
    holds: tuple[int, int] | None = None
    """An invariant that may do: now, and in the next cycle."""


@dataclass(frozen=True)
class _Watch:
    """One word of a queue: ``start`` where it goes in, ``shown`` where it is the first of the queue; ``seen`` once it
    is in, ``gone`` once it has left, with so many ``ahead`` between.
    """

    start: int
    shown: int
    seen: int
    gone: int
    ahead: tuple[int, ...]


class Wrapper(Control):
    """The wrapper with counters and claims beside it, as one machine.

    The ``loose`` one has less in it, and does all that the other one can: steps are taken in any cycle in which both
    words are there, and beats come in any cycle in which there is room for them.
    """

    def __init__(self, netlist: Netlist, manifest: Mapping[str, Any], *, loose: bool = False) -> None:
        self._loosely = loose
        self.wrapper, self.manifest, self.entry = netlist, manifest, manifest["axi_stream"]
        self.instance = next((name[: -len(".i_valid")] for name in netlist.outputs if name.endswith(".i_valid")), "")
        if not self.instance:
            raise HwgenError(f"{netlist.top}: must have an instance of {manifest['top']}, but has none")
        inside = {
            name.removeprefix(f"{self.instance}."): bits
            for name, bits in netlist.outputs.items()
            if name.startswith(f"{self.instance}.")
        }
        # The counters ask for the tile's inputs by name; what drives these is the wrapper.
        self.netlist = replace(netlist, inputs=inside)
        self.graph = Graph()
        self.latches: dict[int, int] = {}
        self._registers: dict[Bit, int] = {}
        self._latch_of: dict[Bit, int] = {}
        self._inputs: dict[tuple[str, int], int] = {}
        self._proved: set[str] = set()
        self._held: dict[str, bool] = {}
        # `valid` says what this is, of the loose machine.
        cut = frozenset() if loose else frozenset(netlist.outputs["m_axis_result_tvalid"])
        self._unrolled = Unrolled(netlist, self.graph, self._outside, 0, self._cut, cut)
        self._shown = cut
        self._begun = self._latch(lambda _: 1)
        self.reset = self._outside("aresetn", 0, 0) ^ 1
        self._build()

    # ------------------------------------------------------------------ the machine

    def _outside(self, port: str, place: int, cycle: int) -> int:
        """What comes from outside of the wrapper, or out of the tile."""
        if port == "aclk":
            return 0
        given = {f"{self.instance}.i_ready": "taken", f"{self.instance}.o_valid": "expected"}.get(port)
        if given is not None:
            if given not in self.__dict__:
                raise HwgenError(f"{self.wrapper.top}: what is offered to the tile must not depend on {port}, but does")
            return int(self.__dict__[given])
        if (port, place) not in self._inputs:
            self._inputs[port, place] = self.graph.var((port, place))
        return self._inputs[port, place]

    def _cut(self, bit: Bit, cycle: int) -> int:
        return self.graph.any_(self.level) if bit in self._shown else super()._cut(bit, cycle)

    @cached_property
    def loose(self) -> Wrapper:
        """The machine with less in it."""
        return self if self._loosely else Wrapper(self.wrapper, self.manifest, loose=True)

    def _drive(self, port: str, place: int, cycle: int) -> int:
        """Literal of an input of the tile."""
        return self._unrolled.bit(self.netlist.inputs[port][place], cycle)

    def _assume(self, offered: int, held: Sequence[int], legal: int) -> None:
        self._legal = self.graph.or_(offered ^ 1, legal)

    def _since_reset(self, good: int) -> int:
        """Whether a promise was kept in all cycles since the last reset, this one included, and it is no reset now."""
        graph = self.graph
        lost = graph.var("latch")
        self.latches[lost >> 1] = graph.and_(self.reset ^ 1, graph.or_(lost, good ^ 1))
        begins_badly = graph.var("latch")
        first = graph.and_(self._begun ^ 1, self.reset ^ 1)
        self.latches[begins_badly >> 1] = graph.or_(begins_badly, first)
        return graph.and_(
            graph.and_(self._begun, begins_badly ^ 1), graph.and_(lost ^ 1, graph.and_(good, self.reset ^ 1))
        )

    def _keep(self, literal: int) -> int:
        """What a literal was in the cycle before."""
        found = self.graph.var("latch")
        self.latches[found >> 1] = literal
        return found

    def _sum(self, word: Sequence[int], *terms: tuple[int, int, int]) -> list[int]:
        """A counter and numbers, each where a literal is 1: (sign, number, literal)."""
        size = len(word)
        operands = [(1, list(word))]
        operands += [(sign, [bit and literal for bit in self._number(n, size)]) for sign, n, literal in terms]
        return self.graph.add(operands, 0, size)

    def _least(self, word: Sequence[int], number: int) -> int:
        """Whether a number is at least another one."""
        size = max(len(word), number.bit_length()) + 1
        word = [*word, *[0] * (size - len(word))]
        return self.graph.add([(1, word), (-1, self._number(number, size))], 0, size)[-1] ^ 1

    def _build(self) -> None:
        graph, entry = self.graph, self.entry["timing"]
        self.depth, self.beats = entry["result_queue_beats"], entry["beats_per_result"]
        self.most = entry["operand_queue_words"]
        self.sink = self._outside("m_axis_result_tready", 0, 0)
        self.waits = {name: self._register(self.most.bit_length()) for name in _INPUTS}
        self.free = self._register(self.depth.bit_length())
        self.level = self._register(self.depth.bit_length())
        last, done = self._input("i_last"), self._input("i_done")
        self.ends = graph.and_(last, done)
        self.both = graph.and_(*(graph.any_(word) for word in self.waits.values()))
        room = graph.or_(self.ends ^ 1, self._least(self.free, self.beats))
        self.offered = graph.and_(self.both, room)
        if self._loosely:
            self.offered = self.both
            self.taken = graph.and_(self.both, graph.var("taken"))
            self.expected, self._legal = graph.var("expected"), 1
        else:
            self._counters(self.offered, last, done)
        self.accepts = {}
        for name, word in self.waits.items():
            accepts = graph.and_(self._outside(f"s_axis_{name}_tvalid", 0, 0), self._is(word, self.most) ^ 1)
            self.accepts[name] = accepts
            self._set(word, self._sum(word, (1, 1, accepts), (-1, 1, self.taken)))
        self.latest = _latest(self.manifest)
        self.coming = []
        arrived = self.expected
        for _ in range(self.latest):
            late = self._register(1)
            self._set(late, [arrived])
            self.coming += late
            (arrived,) = late
        self.arrives = arrived
        self.pops = graph.and_(self.sink, graph.any_(self.level))
        self._set(self.level, self._sum(self.level, (1, 1, arrived), (-1, 1, self.pops)))
        ended = graph.and_(self.taken, self.ends)
        left = self._sum(self.free, (1, 1, self.pops), (-1, self.beats, ended))
        for place, literal in enumerate(self.free):
            self.latches[literal >> 1] = graph.mux(self.reset, self.depth >> place & 1, left[place])
        # That no beat comes to a full queue is claim `room`.
        full = graph.and_(arrived, self._is(self.level, self.depth))
        self._fits = graph.and_(self._legal, full ^ 1)
        self.bound = steps_bound(self.manifest)

    @cached_property
    def _under_fits(self) -> int:
        return self._since_reset(self._fits)

    # ------------------------------------------------------------------ claims

    def claims(self, name: str) -> Iterator[_Claim]:
        """Claims behind a name of `STREAM_CLAIMS`, one after the other, as large as a register machine can be small."""
        graph, tile = self.graph, self.instance
        if name == "ready":
            for stream, word in self.waits.items():
                port = f"s_axis_{stream}_tready"
                ready = self._unrolled.word(self.wrapper.outputs[port], 0)[0]
                yield self._fitting(graph.xor(ready, self._is(word, self.most) ^ 1), port)
        elif name == "offer":
            yield self._fitting(graph.xor(self._input("i_valid"), self.offered), f"{tile}.i_valid")
        elif name == "first":
            begins = graph.var("latch")
            following = graph.mux(self.taken, self._input("i_last"), begins)
            self.latches[begins >> 1] = graph.or_(self.reset, following)
            yield self._fitting(graph.and_(self.offered, graph.xor(self._input("i_first"), begins)), f"{tile}.i_first")
        elif name == "held":
            waited = self._keep(graph.and_(graph.and_(self.offered, self.taken ^ 1), self.reset ^ 1))
            yield self._fitting(graph.and_(waited, self.offered ^ 1), f"{tile}.i_valid")
            for port, bits in self._of_steps():
                for place in range(len(bits)):
                    literal = self._drive(port, place, 0)
                    changes = graph.xor(literal, self._keep(literal))
                    yield self._fitting(graph.and_(waited, changes), f"{tile}.{port}", place)
        elif name == "steps":
            yield from self._steps_claims()
        elif name == "valid":
            shown = self._unrolled.word(self.wrapper.outputs["m_axis_result_tvalid"], 0)[0]
            yield self._fitting(graph.xor(shown, graph.any_(self.level)), "m_axis_result_tvalid")
        elif name == "beats":
            yield from self._beats_claims()
        elif name == "stable":
            # What is shown is the first beat that is not taken: that is the same one until it is taken.
            there = graph.any_(self.level)
            waited = self._keep(graph.and_(graph.and_(there, self.sink ^ 1), self.reset ^ 1))
            yield self._fitting(graph.and_(waited, there ^ 1), "m_axis_result_tvalid")
        elif name == "progress":
            count = self._register(self.bound.bit_length())
            stays = graph.and_(graph.and_(self.both, self.sink), self.taken ^ 1)
            more = self._sum(count, (1, 1, self._is(count, self.bound) ^ 1))
            self._set(count, [graph.and_(stays, bit) for bit in more])
            yield self._fitting(graph.and_(stays, self._is(count, self.bound - 1)), f"{tile}.i_valid")

    def _fitting(self, bad: int, net: str, place: int = 0) -> _Claim:
        return _Claim(self.graph.and_(bad, self._under_fits), net, place)

    def _of_steps(self) -> Iterator[tuple[str, Sequence[Bit]]]:
        """Inputs of the tile that belong to a step, but for `i_valid`."""
        others = ("clk", self.manifest["reset"]["port"], "i_valid")
        yield from ((port, bits) for port, bits in self.netlist.inputs.items() if port not in others)

    def _watched(self, goes_in: int, there: Sequence[int], pops: int) -> _Watch:
        graph = self.graph
        seen, gone, ahead = self._register(1), self._register(1), self._register(len(there))
        start = graph.and_(graph.and_(goes_in, graph.var("watched")), seen[0] ^ 1)
        first = graph.and_(seen[0], self._is(ahead, 0))
        self._set(seen, [graph.or_(seen[0], start)])
        self._set(gone, [graph.or_(gone[0], graph.and_(first, pops))])
        less = graph.and_(graph.and_(seen[0], pops), first ^ 1)
        self._set(ahead, self._choose(start, self._sum(there, (-1, 1, pops)), self._sum(ahead, (-1, 1, less))))
        return _Watch(start, graph.and_(first, gone[0] ^ 1), seen[0], gone[0], tuple(ahead))

    def _shadow(self, watch: _Watch, source: int) -> int:
        """A bit of the word that is watched."""
        kept = self.graph.var("latch")
        self.latches[kept >> 1] = self.graph.mux(watch.start, source, kept)
        return kept

    def _steps_claims(self) -> Iterator[_Claim]:
        graph = self.graph
        placed: set[tuple[str, int]] = set()
        for stream in _INPUTS:
            watch = self._watched(self.accepts[stream], self.waits[stream], self.taken)
            shown = graph.and_(watch.shown, self.offered)
            for port, place, source in self._sources(stream):
                placed.add((port, place))
                differs = graph.xor(self._drive(port, place, 0), self._shadow(watch, source))
                yield self._fitting(graph.and_(shown, differs), f"{self.instance}.{port}", place)
        for port, bits in self._of_steps():
            if port != "i_first" and not placed >= {(port, place) for place in range(len(bits))}:
                raise HwgenError(f"{self.wrapper.top}: the manifest must say where {port} lies, but does not")

    def _sources(self, stream: str) -> Iterator[tuple[str, int, int]]:
        """(port of the tile, place, literal of the stream that it is) of an operand stream's word."""
        prefix = f"s_axis_{stream}_"
        for kind in ("tdata", "tuser"):
            for field in self.entry[kind].get(f"s_axis_{stream}", ()):
                for element in range(field["elements"]):
                    for bit in range(field["element_bits"]):
                        at = field["bit"] + element * field["stride"] + bit
                        place = element * field["element_bits"] + bit
                        yield field["port"], place, self._outside(f"{prefix}{kind}", at, 0)
        if stream == "acts":
            yield "i_last", 0, self._outside(f"{prefix}tlast", 0, 0)

    def _beats_claims(self) -> Iterator[_Claim]:
        graph = self.graph
        watch = self._watched(self.arrives, self.level, self.pops)
        found = self._unrolled.word(self.wrapper.outputs["m_axis_result_tdata"], 0)
        beat = self._register(max((self.beats - 1).bit_length(), 1))
        final = self._is(beat, self.beats - 1)
        following = self._sum(beat, (1, 1, self.arrives))
        self._set(beat, [graph.and_(bit, graph.and_(final, self.arrives) ^ 1) for bit in following])

        names = self.wrapper.names
        alike: list[tuple[Sequence[Bit], Sequence[int]]] = [
            (names.get(f"came_late{hop}", ()), [late]) for hop, late in enumerate(self.coming)
        ]

        def claim(literal: int, shadow: int, kept: int, net: str, place: int) -> _Claim:
            found = self._fitting(graph.and_(watch.shown, graph.xor(literal, shadow)), net, place)
            return replace(found, holds=self._queue(watch, kept, shadow, alike))

        fields, ports = self.entry["tdata"]["m_axis_result"], _results(self.manifest)
        last = self._unrolled.word(self.wrapper.outputs["m_axis_result_tlast"], 0)[0]
        size = sum(field["elements"] * field["element_bits"] for field in fields)
        if self.beats > 1:
            alike.append((names.get("beat", ()), beat))
        yield claim(last, self._shadow(watch, final), size, "m_axis_result_tlast", 0)
        begin, always = 0, len(self.coming)
        for field, port in zip(fields, ports, strict=True):
            bits = field["element_bits"]
            for element, delay in enumerate(_delays(port)):
                shadows = []
                del alike[always:]
                for bit in range(bits):
                    source = self._outside(f"{self.instance}.{field['port']}", element * bits + bit, 0)
                    for hop in range(self.latest - delay):
                        source = self._keep(source)
                        own = names.get(f"{field['port']}{element}_late{hop}", ())
                        alike.append((own[bit : bit + 1], [source]))
                    shadows.append(self._shadow(watch, source))
                shadows += [shadows[-1] if field["signed"] else 0] * (field["stride"] - bits)
                for bit, shadow in enumerate(shadows):
                    at = field["bit"] + element * field["stride"] + bit
                    yield claim(found[at], shadow, begin + min(bit, bits - 1), "m_axis_result_tdata", at)
                begin += bits

    def _queue(
        self, watch: _Watch, place: int, shadow: int, alike: Sequence[tuple[Sequence[Bit], Sequence[int]]]
    ) -> tuple[int, int] | None:
        """What relates the result queue's registers, where these have the names that it gives them, to the counters
        and to a bit of the word that is watched, which it keeps at ``place``: now, and in the next cycle. Registers on
        the way there are ``alike`` those beside them.

        Nothing rests on that: it is an invariant, or the claim is left to others.
        """
        names = self.wrapper.names
        words = [names.get(f"result.{name}", ()) for name in ("level", "consume", "produce")]
        storage = [names.get(f"result.storage[{at}]", ()) for at in range(self.depth)]
        if not shadow or not all(words) or any(len(word) <= place for word in storage):
            return None
        stored = [word[place] for word in storage]
        if any(len(bits) != len(own) for bits, own in alike):
            return None
        texts = [*words, stored, [bit for bits, _ in alike for bit in bits]]
        now = [[self._unrolled.bit(bit, 0) for bit in word] for word in texts]
        self._close()
        if not all(bit in self._latch_of for word in texts for bit in word):
            return None
        after = [[self.latches[self._latch_of[bit] >> 1] for bit in word] for word in texts]
        own = [self.level, list(watch.ahead), [watch.seen, watch.gone, shadow]]
        own.append([literal for _, literals in alike for literal in literals])
        later = [[self.latches[literal >> 1] for literal in word] for word in own]
        return self._related(now, own), self._related(after, later)

    def _related(self, texts: Sequence[Sequence[int]], own: Sequence[Sequence[int]]) -> int:
        graph, depth = self.graph, self.depth
        level, consume, produce, stored, theirs = texts
        counted, ahead, (seen, gone, shadow), beside = own
        size = (2 * depth).bit_length() + 1

        def turned(*terms: Sequence[int]) -> list[int]:
            total = graph.add([(1, [*word, *[0] * (size - len(word))]) for word in terms], 0, size)
            less = graph.add([(1, total), (-1, self._number(depth, size))], 0, size)
            return self._choose(less[-1], total, less)

        def same(a: Sequence[int], b: Sequence[int]) -> int:
            longer = max(len(a), len(b))
            words = [[*word, *[0] * (longer - len(word))] for word in (a, b)]
            return graph.any_([graph.xor(x, y) for x, y in zip(*words, strict=True)]) ^ 1

        waits = graph.and_(seen, gone ^ 1)
        at = turned(consume, ahead)
        wrong = [graph.and_(self._is(at, i), graph.xor(bit, shadow)) for i, bit in enumerate(stored)]
        less = graph.add([(1, [*ahead, 0]), (-1, [*counted, 0])], 0, len(ahead) + 1)[-1]
        holds = [
            same(theirs, beside),
            same(level, counted),
            same(produce, turned(consume, level)),
            self._least(consume, depth) ^ 1,
            self._least(level, depth + 1) ^ 1,
            graph.and_(waits, graph.or_(less ^ 1, graph.any_(wrong))) ^ 1,
        ]
        return graph.any_([literal ^ 1 for literal in holds]) ^ 1

    # ------------------------------------------------------------------ answers

    def decide(self, name: str, seconds: float) -> Verdict:
        """Decide the claims behind a name, one for all that are the same machine."""
        return self.decided(name, seconds)[0]

    def decided(self, name: str, seconds: float) -> tuple[Verdict, _Claim | None, int]:
        """(verdict of the first claim that is not proved, or proved; that claim; number of machines)."""
        until, count = time.monotonic() + seconds, 0
        for claim in self.claims(name):
            self._close()
            latches = self._part(claim.bad)
            digest = self._digest(claim.bad, latches)
            if digest in self._proved:
                continue
            left = until - time.monotonic()
            verdict = Verdict(False, False, 0)
            if left > 0 and claim.holds is not None and self._by_induction(claim, left):
                verdict = Verdict(True, False, 0)
            elif left > 0:
                verdict = decide_aiger(aiger(self.graph, [claim.bad], latches), seconds=left)
            if not verdict.proved:
                return verdict, claim, count
            self._proved.add(digest)
            count += 1
        self._held[name] = True
        return Verdict(True, False, 0), None, count

    def _by_induction(self, claim: _Claim, seconds: float) -> bool:
        """Whether an invariant holds after a reset, goes on to hold, and leaves no room for what must not be."""
        assert claim.holds is not None
        graph, (now, after) = self.graph, claim.holds
        before = graph.or_(self.reset, graph.and_(graph.and_(now, self._begun), self._fits))
        breaks = graph.and_(before, after ^ 1)
        bad = graph.and_(graph.and_(claim.bad, graph.and_(self._begun, self.reset ^ 1)), now)
        return bool(never(graph, breaks, seconds=seconds) and never(graph, bad, seconds=seconds))

    def _part(self, bad: int) -> dict[int, int]:
        """The registers that a claim depends on, in the order in which they are met, with what follows for each."""
        found: dict[int, int] = {}
        waiting = [bad]
        while waiting:
            met = [node for node in cone(self.graph, waiting) if node in self.latches and node not in found]
            waiting = [self.latches[node] for node in met]
            found |= {node: self.latches[node] for node in met}
        return found

    def _digest(self, bad: int, latches: Mapping[int, int]) -> str:
        """Equal for claims that are the same machine but for names."""
        roles = {node: ("latch", at) for at, node in enumerate(latches)}
        return shape(self.graph, [bad, *latches.values()], roles)

    def example(self, name: str, verdict: Verdict, claim: _Claim | None = None) -> Any:
        """Inputs by cycle that break a claim, the first one in a reset, and what the claim's bit is in the last."""
        assert claim is not None
        graph, latches = self.graph, self._part(claim.bad)
        bits = self.wrapper.outputs[claim.net]
        seen = self._unrolled.word(bits, 0)[claim.place]
        for literal in (seen, self.taken, self.expected):
            latches |= self._part(literal)
        inputs = {literal >> 1: port for port, literal in self._inputs.items()}
        variables = [node for node, kind in enumerate(graph.kind) if kind == VAR]
        state = dict.fromkeys(latches, 0)
        cycles: dict[int, dict[str, int]] = {}
        value = 0
        for cycle, found in enumerate(verdict.inputs):
            values = {node: found.get(f"n{node}", 0) for node in variables} | state
            patterns = {node: np.full(1, one, np.uint64) for node, one in values.items()}
            words = {port: 0 for port in self.wrapper.inputs if port != "aclk" and "_" in port}
            words = {port: 0 for port in words if port not in (f"{self.instance}.i_ready", f"{self.instance}.o_valid")}
            for node, (port, place) in inputs.items():
                if port in words:
                    words[port] |= values[node] << place
            words["aresetn"] = values[self._inputs["aresetn", 0] >> 1]
            cycles[cycle] = words
            own = [seen, self.taken, self.expected]
            following = [int(one[0]) & 1 for one in evaluate(graph, [*own, *latches.values()], patterns)]
            value = following[0]
            if self._loosely:
                # The tile takes steps and gives beats in cycles that are no counters' business.
                words |= {f"{self.instance}.i_ready": following[1], f"{self.instance}.o_valid": following[2]}
            state = dict(zip(latches, following[3:], strict=True))
        return Counterexample(cycles, claim.net, claim.place, 0, verdict.depth, 0, "", value, 1 - value)

    # ------------------------------------------------------------------ room

    def room(self, seconds: float) -> bool | None:
        """Whether no beat comes to a full queue, by an invariant of the counters alone; None where that is not known.

        The invariant: places that are not free are the beats that are due, those on their way and those in the queue;
        a beat that is due later than a step's first one keeps the next group off for so long.
        """
        graph, timing = self.graph, self.manifest["timing"]
        begins = {
            mode["latency"] + (timing["post_latency"] if timing["post_beats"] else 0) for mode in self.manifest["modes"]
        }
        if len(begins) > 1:
            return None
        (begin,) = begins
        words = [self.line, self.coming, self.level, self.free, self.waiting]
        now = self._invariant(begin, *words)
        after = self._invariant(begin, *([self.latches[literal >> 1] for literal in word] for word in words))
        stays = never(graph, graph.and_(after ^ 1, graph.or_(self.reset, now)), seconds=seconds)
        full = graph.and_(self.arrives, self._is(self.level, self.depth))
        fits = never(graph, graph.and_(now, full), seconds=seconds)
        return None if stays is None or fits is None else stays and fits

    def _invariant(
        self,
        begin: int,
        line: Sequence[int],
        coming: Sequence[int],
        level: Sequence[int],
        free: Sequence[int],
        waiting: Sequence[int],
    ) -> int:
        graph, timing = self.graph, self.manifest["timing"]
        size = (self.depth + len(line) + len(coming)).bit_length() + 2
        terms = [*([literal] for literal in [*line, *coming]), list(level), list(free)]
        total = graph.add([(1, [*word, *[0] * (size - len(word))]) for word in terms], 0, size)
        holds = [self._is(total, self.depth), self._least(free, self.depth + 1) ^ 1]
        for place in range(begin, len(line)):
            waits = timing["post_cycles"] - self.beats + 1 + place - begin
            long = self._least(waiting, waits) if waiting else int(waits <= 0)
            holds.append(graph.or_(line[place] ^ 1, long))
        return graph.any_([literal ^ 1 for literal in holds]) ^ 1

    # ------------------------------------------------------------------ wiring

    def wiring(self) -> str:
        """What is wrong with clocks, resets and paths without registers; empty where nothing is."""
        clock = self.wrapper.inputs["aclk"]
        for cell in self.wrapper.registers():
            if cell.kind != "$dff" or cell.ports["CLK"] != clock or not cell.parameters["CLK_POLARITY"]:
                return f"register {cell.name} has another clock"
        reset = self.manifest["reset"]
        if self.netlist.inputs["clk"] != clock:
            return "the tile has another clock"
        wanted = self.reset if reset["active"] == "high" else self.reset ^ 1
        if self._drive(reset["port"], 0, 0) != wanted:
            return "the tile has another reset"
        reached = self._straight({bit: name for name, bits in self.wrapper.inputs.items() for bit in bits})
        for name, bits in self.wrapper.outputs.items():
            if name not in (f"{self.instance}.clk", f"{self.instance}.{reset['port']}"):
                for bit in bits:
                    if bit in reached:
                        return f"a path leads from {reached[bit]} to {name}"
        return ""

    def _straight(self, starts: Mapping[Bit, str]) -> dict[Bit, str]:
        """Nets that are reached from ports without a register, and from which port."""
        users: dict[Bit, list[Cell]] = {}
        for cell in self.wrapper.cells:
            for port, bits in cell.ports.items():
                if port != cell.output and cell.output != "Q":
                    for bit in bits:
                        users.setdefault(bit, []).append(cell)
        found = dict(starts)
        stack = list(starts)
        while stack:
            bit = stack.pop()
            for cell in users.get(bit, ()):
                for out in cell.ports[cell.output]:
                    if out not in found:
                        found[out] = found[bit]
                        stack.append(out)
        return found

    # ------------------------------------------------------------------ all

    def proved(self, name: str, seconds: float) -> tuple[str, str, Counterexample | None]:
        """(status, detail, counterexample) of a name of `STREAM_CLAIMS`."""
        if name == "wiring":
            wrong = self.wiring()
            return ("refuted" if wrong else "proved"), wrong or f"{len(self.wrapper.registers())} registers", None
        if name == "room":
            found = self._has_room(seconds)
            if found is None:
                return "open", "modes of different latencies, or not decided in time", None
            return ("proved" if found else "open"), f"{self.depth} places, {self.beats} a result", None
        machine = self if name in _EXACT else self.loose
        verdict, claim, count = machine.decided(name, seconds)
        if verdict.proved:
            # What a claim rests on must be proved, or be said not to be.
            missing = [one for one in self._rests_on(name) if not self._holds(one, seconds)]
            if missing:
                return "open", f"it rests on stream.{missing[0]}, which is not proved", None
            return "proved", f"{count} machines, all cycles", None
        assert claim is not None
        where = f"{claim.net}[{claim.place}]: {verdict}"
        if not verdict.broken:
            return "open", where, None
        return "refuted", where, machine.example(name, verdict, claim) if verdict.inputs else None

    def _rests_on(self, name: str) -> Sequence[str]:
        return _RESTS.get(name, ("room", "valid", "offer"))

    def _holds(self, name: str, seconds: float) -> bool:
        machine = self if name in _EXACT else self.loose
        if name not in self._held:
            self._held[name] = bool(
                self._has_room(seconds)
                if name == "room"
                else machine._held.get(name) or machine.decided(name, seconds)[0].proved
            )
        return self._held[name]

    def _has_room(self, seconds: float) -> bool | None:
        if "room" not in self._held:
            found = self.room(seconds)
            if found is None:
                return None
            self._held["room"] = found
        return self._held["room"]
