"""Obligations about post lanes: a lane, an adder of FP32 numbers, and which of them gets what, when."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from hwgen.formats import get
from hwgen.prove.abc import never
from hwgen.prove.adders import prove_adder
from hwgen.prove.control import SUMS_VALID
from hwgen.prove.exhaustive import compare_all
from hwgen.prove.graph import VAR, Graph
from hwgen.prove.lanes import Found, Piece, Rule, adders, lanes, prove_lane
from hwgen.prove.netlist import Bit, Netlist
from hwgen.prove.reference import UnknownError, lane_table, products_of_lane, row_table
from hwgen.prove.rounding import scale_of
from hwgen.prove.tables import cone
from hwgen.prove.tile import Counterexample
from hwgen.prove.unroll import Unrolled

__all__ = ["Post"]

_KNOWN: dict[tuple[str, ...], str] = {}
"""What was proved of functions in this process, by their digest and what they are to be."""
_MOST_INPUTS = 32
_DOUBLE = 53
"""Bits of a product that a double holds exactly."""

Told = tuple[str, str]


class Post:
    """The post lanes of a tile."""

    def __init__(self, verilog: str, manifest: Mapping[str, Any], netlist: Netlist) -> None:
        self.verilog, self.manifest, self.netlist = verilog, manifest, netlist
        self.ports = {port["name"]: port for port in manifest["ports"]}
        self.refuted: tuple[Piece, Found] | None = None
        """The lane or adder that was refuted last, and how."""

    def _scaled(self) -> Mapping[str, Any]:
        """What the manifest says of lanes. Raises `UnknownError` for others than sums times scales."""
        rule: Mapping[str, Any] = self.manifest["post"]
        if rule["kind"] != "scales":
            raise UnknownError(f"lanes of kind {rule['kind']!r}")
        return rule

    def _plain(self) -> Mapping[str, Any]:
        """The same. Raises `UnknownError` where it is no FP32 number that leaves."""
        if self.manifest["outputs"]["o_y"].get("encoding") != "fp32":
            raise UnknownError("results that are rounded once more, into something else than FP32 numbers")
        return self._scaled()

    # ------------------------------------------------------------------ a lane

    def lane(self, seconds: float) -> Told:
        """Each lane's function, for all its inputs; lanes that are the same function are proved once."""
        rule = self._scaled()
        until = time.monotonic() + seconds
        pieces = lanes(self.netlist, self.manifest)
        distinct = {piece.digest(self.netlist): piece for piece in reversed(pieces)}
        detail = ""
        for digest, piece in reversed(distinct.items()):
            key = digest, repr(sorted(rule.items(), key=str)), repr(self._bounds(rule))
            if key not in _KNOWN:
                found = self._lane(piece, rule, until - time.monotonic())
                if found.status != "proved":
                    return self._stopped(piece, found)
                _KNOWN[key] = found.detail
            detail = _KNOWN[key]
        return "proved", f"{detail}; {len(pieces)} lanes" + _distinct(len(distinct))

    def _stopped(self, piece: Piece, found: Found) -> Told:
        if found.status == "refuted" and found.inputs is not None:
            self.refuted = piece, found
        return found.status, f"{piece.name}: {found.detail}"

    def example(self) -> Counterexample | None:
        """The lane or adder that was refuted last: its inputs by name, and what it makes of them, and should."""
        if self.refuted is None:
            return None
        piece, found = self.refuted
        return Counterexample({0: found.inputs or {}}, piece.name, 0, 0, piece.cycles, 0, "", found.found, found.wanted)

    def _lane(self, piece: Piece, rule: Mapping[str, Any], seconds: float) -> Found:
        names = [name for name in ("row_scale", "col_scale") if rule.get(name)]
        try:
            scales = {name: scale_of(rule[name]["encoding"]) for name in names}
        except UnknownError:
            return self._run_through(piece, rule, seconds)
        odd, nar = rule["rounding"].startswith("to odd"), "NaR" in rule["specials"]
        low, high = self._bounds(rule)
        return prove_lane(piece, self.netlist, Rule(scales, rule["unit_exp"], low, high, odd, nar), seconds)

    def _bounds(self, rule: Mapping[str, Any]) -> tuple[int, int] | tuple[None, None]:
        """Bounds of a group's sum less its zero point's share; None where sums may be anything."""
        kept = self.manifest["arithmetic"][0].get("accumulator", {})
        if not rule.get("zero") or "depth" not in kept or kept.get("overflow") != "refuse":
            return None, None
        zero = self.manifest["correction"]["zero_point"]
        if (zero["times"], zero["plus"]) != (1, 0) or self.manifest["correction"]["row_sum_unit_exp"] != rule[
            "unit_exp"
        ]:
            raise UnknownError("lanes that correct in other units than those of the sum")
        low = high = 0
        for mode in range(len(self.manifest["modes"])):
            products, acts = lane_table(self.manifest, mode), row_table(self.manifest, mode)
            if products_of_lane(self.manifest, mode) != 1 or len(products) % len(acts):
                raise UnknownError("lanes that correct sums of several products a code")
            products = products.reshape(-1, len(acts))
            for value in (range(*zero["values"])[0], range(*zero["values"])[-1]):
                corrected = products - value * acts
                low = min(low, kept["depth"] * int(corrected.min()))
                high = max(high, kept["depth"] * int(corrected.max()))
        return low, high

    def _run_through(self, piece: Piece, rule: Mapping[str, Any], seconds: float) -> Found:
        """All inputs of a lane, if these are few."""
        graph, word, words = piece.function(self.netlist)
        scales = {name: rule[name]["encoding"] for name in ("row_scale", "col_scale") if rule.get(name)}
        if set(words) != {"total", *scales}:
            raise UnknownError(f"lanes of {', '.join(sorted(words))}")
        names = ["total", *scales]
        variables = [literal >> 1 for name in names for literal in words[name]]
        if len(variables) > _MOST_INPUTS:
            raise UnknownError(
                f"lanes of {len(variables)} bits of inputs; up to {_MOST_INPUTS} all of them are run through"
            )
        body = self._definition(words, scales, rule["unit_exp"])
        inputs = set(variables)
        if any(graph.kind[node] == VAR and node not in inputs for node in cone(graph, word)):
            return Found("refuted", f"what comes after {piece.cycles} cycles is made of inputs of other ones")
        found = compare_all(graph, word, variables, body, seconds)
        if found.differs is not None:
            return Found("refuted", f"inputs {found.differs:#x} of {', '.join(names)}")
        if not found.complete:
            return Found("open", f"{found.count:,} of 2^{len(variables)} inputs agree")
        return Found("proved", f"all 2^{len(variables)} inputs")

    @staticmethod
    def _definition(words: Mapping[str, Sequence[int]], scales: Mapping[str, str], unit_exp: int) -> str:
        """C++ of the exact product in a double, rounded once into a float."""
        bits = len(words["total"])
        lines, place = (
            [f"int64_t total = (int64_t)(x << {64 - bits}) >> {64 - bits};", "double y = (double)total;"],
            bits,
        )
        exact, low, high = bits, unit_exp, unit_exp + bits
        for name, encoding in scales.items():
            form = get(encoding)
            values = [form.decode_scalar(code) for code in range(1 << form.code_bits)]
            numbers = [Fraction(value) for value in values if not isinstance(value, float) and value]
            exact += max(_size(number) for number in numbers)
            low, high = low + min(map(_exponent, numbers)), high + max(map(_exponent, numbers))
            table = ", ".join(_double(value) for value in values)
            lines.append(f"static const double {name}[{len(values)}] = {{{table}}};")
            lines.append(f"y *= {name}[x >> {place} & {len(values) - 1}];")
            place += form.code_bits
        if exact > _DOUBLE or low < -1000 or high > 1000:
            raise UnknownError(f"lanes whose products have {exact} bits, or exponents beyond those of a double")
        lines.append(f"y = std::ldexp(y, {unit_exp});")
        lines.append("if (y != y) return 0x7fc00000;")
        lines.append("if (y == 0) return 0;")
        lines.append("float z = (float)y; uint32_t code; std::memcpy(&code, &z, 4); return code;")
        return "\n".join(lines)

    # ------------------------------------------------------------------ an adder

    def adder(self, seconds: float) -> Told:
        """Each adder's function, for all pairs of codes; those that are the same function are proved once."""
        until = time.monotonic() + seconds
        pieces = adders(self.netlist, self.manifest)
        distinct = {piece.digest(self.netlist): piece for piece in reversed(pieces)}
        detail = ""
        for digest, piece in reversed(distinct.items()):
            if (digest,) not in _KNOWN:
                found = prove_adder(piece, self.netlist, until - time.monotonic())
                if found.status != "proved":
                    return self._stopped(piece, found)
                _KNOWN[digest,] = found.detail
            detail = _KNOWN[digest,]
        return "proved", f"{detail}; {len(pieces)} adders" + _distinct(len(distinct))

    # ------------------------------------------------------------------ which gets what

    def order(self, seconds: float) -> Told:
        """Lanes and adders get what they are to, whatever they make of it."""
        self._plain()
        until = time.monotonic() + seconds
        timing = self.manifest["timing"]
        if len(self.manifest["modes"]) > 1 or timing["cycles_per_step"] > 1 or timing["skew"] or timing["fold_cycles"]:
            raise UnknownError("lanes behind steps of several cycles, folding or skew")
        if SUMS_VALID not in self.netlist.names:
            raise UnknownError("lanes that no net of a known name tells of a group")
        furthest = timing["post_cycles"] + timing["post_latency"] + timing["post_beats"] + 2
        checked = 0
        for apart in range(timing["post_cycles"], furthest + 1):
            window = _Window(self, apart)
            for what, bad in window.claims():
                left = until - time.monotonic()
                found = never(window.graph, bad, seconds=left) if left > 0 else None
                if found is not True:
                    where = f"{what}, groups {apart} cycles apart"
                    return "open" if found is None else "refuted", f"{where}; {checked} claims are proved"
                checked += 1
        return "proved", f"{checked} claims, groups {timing['post_cycles']} to {furthest} cycles apart and then at rest"


class _Window:
    """Two groups, the second one ending in cycle 0 and the first ``apart`` cycles before, as the lanes see them."""

    def __init__(self, post: Post, apart: int) -> None:
        self.post, self.apart, self.graph = post, apart, Graph()
        manifest, names = post.manifest, post.netlist.names
        timing = manifest["timing"]
        self.told = timing["latency"]
        self.lanes = post.ports["o_y"]["packing"]["shape"][0]
        self.beats, self.spacing = timing["post_beats"], timing["post_cycles"]
        self.m = post.ports["i_acts"]["packing"]["shape"][0]
        self.n = post.ports["i_weights"]["packing"]["shape"][0]
        self._variables: dict[object, int] = {}
        self._net: dict[Bit, tuple[str, int]] = {}
        self.pieces = lanes(post.netlist, manifest), adders(post.netlist, manifest)
        watched = {piece.name: piece.output for own in self.pieces for piece in own}
        watched |= {name: names[name] for name in (f"cell{i}_{j}_sums" for i in range(self.m) for j in range(self.n))}
        if "row_sum" in self.pieces[0][0].inputs:
            watched |= {f"rowsum{i}_sums": names[f"rowsum{i}_sums"] for i in range(self.m)}
        for name, bits in {SUMS_VALID: names[SUMS_VALID], **watched}.items():
            for place, bit in enumerate(bits):
                self._net[bit] = name, place
        self._reset: int | None = None
        self.unrolled = self._unroll()

    def _unroll(self) -> Unrolled:
        begin = -self.apart - 3 * self.spacing - 64
        opaque = frozenset(self._net)
        return Unrolled(self.post.netlist, self.graph, self._drive, begin, self._given, opaque)

    def _variable(self, key: object) -> int:
        if key not in self._variables:
            self._variables[key] = self.graph.var(key)
        return self._variables[key]

    def _drive(self, port: str, place: int, cycle: int) -> int:
        reset = self.post.manifest["reset"]
        if port == "clk":
            return 0
        if port == reset["port"]:
            return int((reset["active"] == "high") == (cycle == self._reset))
        if port in ("i_valid", "i_last") and cycle in (0, -self.apart):
            return 1
        return self._variable((port, place, cycle))

    def _given(self, bit: Bit, cycle: int) -> int | None:
        """What comes out of what is not looked into."""
        if bit in self._net:
            name, place = self._net[bit]
            if name == SUMS_VALID:
                return self._told_of(cycle)
            return self._variable((name, place, cycle))
        # The counter that keeps groups apart: a group that ends finds it at rest.
        if bit in self._waits and cycle in (0, -self.apart):
            return 0
        return None

    @property
    def _waits(self) -> frozenset[Bit]:
        if not hasattr(self, "_waiting"):
            from hwgen.prove.control import looping

            self._waiting = frozenset(looping(self.post.netlist, self.post.netlist.outputs["i_ready"]))
        return self._waiting

    def _told_of(self, cycle: int) -> int:
        """Whether the lanes are told of a group: of these two, of none between, of any far enough away."""
        second, first = self.told, self.told - self.apart
        if cycle in (first, second):
            return 1
        if first - self.spacing < cycle < second + self.spacing:
            return 0
        return self._variable((SUMS_VALID, 0, cycle))

    # ------------------------------------------------------------------ claims

    def _word(self, nets: Sequence[Bit], cycle: int) -> list[int]:
        return self.unrolled.word(nets, cycle)

    def _differ(self, a: Sequence[int], b: Sequence[int]) -> int:
        return self.graph.any_([self.graph.xor(x, y) for x, y in zip(a, b, strict=True)])

    def _port(self, name: str, index: int, cycle: int) -> list[int]:
        bits = self.post.ports[name]["packing"]["element_bits"]
        return [self._drive(name, index * bits + place, cycle) for place in range(bits)]

    def claims(self) -> Iterator[tuple[str, int]]:
        """What must not be, with its name."""
        graph, post = self.graph, self.post
        rule = post.manifest["post"]
        names = post.netlist.names
        fresh = self._variable(("i_done", 0, -self.apart))
        listed = ("told", "sums", "row sums", "zero points", "scales", "addends", "results so far", "results")
        bad: dict[str, list[int]] = {name: [] for name in listed}
        for beat in range(self.beats):
            for number, (lane, adder) in enumerate(zip(*self.pieces, strict=True)):
                i, j = divmod(beat * self.lanes + number, self.n)
                taken = self.told + 1 + beat
                bad["told"] += [bit ^ 1 for bit in self._word(lane.high, taken)]

                def met(what: str, name: str, wanted: Sequence[int], lane: Piece = lane, taken: int = taken) -> None:
                    bad[what].append(self._differ(self._word(lane.inputs[name], taken), wanted))

                met("sums", "total", self._word(names[f"cell{i}_{j}_sums"], self.told))
                if "row_sum" in lane.inputs:
                    met("row sums", "row_sum", self._word(names[f"rowsum{i}_sums"], self.told))
                if rule.get("zero"):
                    met("zero points", "col_zero", self._port(rule["zero"], j, 0))
                for side, index in (("row_scale", i), ("col_scale", j)):
                    if rule.get(side):
                        met("scales", side, self._port(rule[side]["port"], index, 0))
                added = taken + lane.cycles + 1
                made = self._word(lane.output, taken + lane.cycles)
                bad["addends"].append(self._differ(self._word(adder.inputs["b"], added), made))
                before = self._word(adder.output, added - self.apart + adder.cycles)
                base = [graph.and_(bit, fresh ^ 1) for bit in before]
                bad["results so far"].append(self._differ(self._word(adder.inputs["a"], added), base))
                total = self._word(adder.output, added + adder.cycles)
                out = self.told + post.manifest["timing"]["post_latency"] + beat
                nets = post.netlist.outputs["o_y"][32 * number : 32 * number + 32]
                bad["results"].append(self._differ(self._word(nets, out), total))
        yield from ((name, graph.any_(found)) for name, found in bad.items() if found)
        if self.apart == self._furthest():
            yield "at rest", self._moves()
            yield "after a reset", self._stale()

    def _furthest(self) -> int:
        timing = self.post.manifest["timing"]
        return int(timing["post_cycles"] + timing["post_latency"] + timing["post_beats"] + 2)

    def _moves(self) -> int:
        """Whether anything that lanes keep changes in the cycle before they are told of the second group."""
        nets = self.post.netlist.names
        kept = [bit for name, bits in nets.items() if name.startswith("post.") and name.endswith(KEPT) for bit in bits]
        if not kept:
            raise UnknownError("lanes whose results are in registers of other names")
        cycle = self.told
        return self._differ(self.unrolled.word(kept, cycle), self.unrolled.word(kept, cycle - 1))

    def _stale(self) -> int:
        """Whether lanes would add to what was there before a reset."""
        self._reset = -self.apart - self.spacing
        fresh = self._unroll().word(self.post.netlist.names.get("post.fresh", ()), self._reset + 1)
        self._reset = None
        if not fresh:
            raise UnknownError("lanes whose results are in registers of other names")
        return fresh[0] ^ 1


def _distinct(count: int) -> str:
    return "" if count == 1 else f", {count} functions"


KEPT = ("_results", "fresh")
"""How the names end of what lanes keep from group to group."""


def _size(number: Fraction) -> int:
    """Bits between a number's first and last one."""
    whole = abs(number.numerator)
    return (whole // (whole & -whole)).bit_length()


def _exponent(number: Fraction) -> int:
    return number.numerator.bit_length() - number.denominator.bit_length()


def _double(value: Fraction | float) -> str:
    number = float(value)
    if number != number:
        return "NAN"
    if number in (float("inf"), float("-inf")):
        return "INFINITY" if number > 0 else "-INFINITY"
    return number.hex()
