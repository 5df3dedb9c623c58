"""Obligations about post lanes: a lane, an adder of FP32 numbers, and which of them gets what, when."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from hwgen.errors import HwgenError
from hwgen.formats import get
from hwgen.prove.abc import never
from hwgen.prove.control import SUMS_VALID
from hwgen.prove.exhaustive import compare_all
from hwgen.prove.fp32 import adder_cases, differs_from_sum
from hwgen.prove.graph import VAR, Graph
from hwgen.prove.netlist import Bit, Netlist, read_verilog
from hwgen.prove.reference import UnknownError
from hwgen.prove.tables import cone
from hwgen.prove.unroll import Unrolled

__all__ = ["Post"]

_MOST_INPUTS = 32
_DOUBLE = 53
"""Bits of a product that a double holds exactly."""

Told = tuple[str, str]


class _Module:
    """A module of the text alone: its inputs variables of one cycle, its outputs some cycles later."""

    def __init__(self, verilog: str, name: str) -> None:
        try:
            self.netlist = read_verilog(verilog, name)
        except HwgenError as error:
            raise UnknownError(f"the text has no module {name}: registers within lanes and adders are 0") from error
        self.graph = Graph()
        self._variables: dict[tuple[str, int, int], int] = {}

    def drive(self, port: str, place: int, cycle: int) -> int:
        if port == "clk":
            return 0
        key = port, place, cycle
        if key not in self._variables:
            self._variables[key] = self.graph.var(key)
        return self._variables[key]

    def input(self, name: str) -> list[int]:
        """Literals of an input in cycle 0."""
        return [self.drive(name, place, 0) for place in range(len(self.netlist.inputs[name]))]

    def output(self, name: str, cycle: int) -> list[int]:
        """Literals of an output."""
        unrolled = Unrolled(self.netlist, self.graph, self.drive, -64)
        return unrolled.word(self.netlist.outputs[name], cycle)


class Post:
    """The post lanes of a tile."""

    def __init__(self, verilog: str, manifest: Mapping[str, Any], netlist: Netlist) -> None:
        self.verilog, self.manifest, self.netlist = verilog, manifest, netlist
        self.top: str = manifest["top"]
        values = manifest["parameters"]
        self.lane_cycles = 2 + values["post_cuts"]
        self.adder_cycles = values["post_adder_stages"] - 1
        self.ports = {port["name"]: port for port in manifest["ports"]}

    def _plain(self) -> Mapping[str, Any]:
        """What the manifest says of lanes. Raises `UnknownError` for others than sums times scales into FP32."""
        rule: Mapping[str, Any] = self.manifest["post"]
        if rule["kind"] != "scales" or self.manifest["outputs"]["o_y"].get("encoding") != "fp32":
            raise UnknownError("lanes that make something else than FP32 numbers")
        return rule

    # ------------------------------------------------------------------ a lane

    def lane(self, seconds: float) -> Told:
        """A lane's function, for all its inputs."""
        rule = self._plain()
        module = _Module(self.verilog, f"{self.top}_post_lane")
        if "total" not in module.netlist.inputs:
            raise UnknownError("lanes of sums that are no whole numbers")
        names = ["total", *[name for name in module.netlist.inputs if name not in ("clk", "total")]]
        words = {name: module.input(name) for name in names}
        variables = [literal >> 1 for name in names for literal in words[name]]
        scales = {name: rule[name]["encoding"] for name in ("row_scale", "col_scale") if rule.get(name)}
        if set(names) - {"total", *scales} or rule.get("zero"):
            raise UnknownError("lanes that correct for zero points")
        if len(variables) > _MOST_INPUTS:
            raise UnknownError(
                f"lanes of {len(variables)} bits of inputs; up to {_MOST_INPUTS} all of them are run through"
            )
        body = self._definition(words, scales, rule["unit_exp"])
        word = module.output("fp32", self.lane_cycles)
        inputs = set(variables)
        if any(module.graph.kind[node] == VAR and node not in inputs for node in cone(module.graph, word)):
            return "refuted", f"what comes after {self.lane_cycles} cycles is made of inputs of other ones"
        found = compare_all(module.graph, word, variables, body, seconds)
        if found.differs is not None:
            return "refuted", f"inputs {found.differs:#x} of {', '.join(names)}"
        if not found.complete:
            return "open", f"{found.count:,} of 2^{len(variables)} inputs agree"
        return "proved", f"all 2^{len(variables)} inputs"

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
        """An adder's function, for all pairs of codes."""
        until = time.monotonic() + seconds
        cases = adder_cases()
        for number, case in enumerate(cases):
            module = _Module(self.verilog, f"{self.top}_post_adder")
            a, b = module.input("a"), module.input("b")
            bad = differs_from_sum(module.graph, module.output("sum", self.adder_cycles), a, b, case)
            left = until - time.monotonic()
            found = never(module.graph, bad, seconds=left) if left > 0 else None
            if found is None:
                return "open", f"{number} of {len(cases)} cases are proved; not {case}"
            if not found:
                return "refuted", str(case)
        return "proved", f"{len(cases)} cases"

    # ------------------------------------------------------------------ which gets what

    def order(self, seconds: float) -> Told:
        """Lanes and adders get what they are to, whatever they make of it."""
        self._plain()
        until = time.monotonic() + seconds
        timing = self.manifest["timing"]
        if len(self.manifest["modes"]) > 1 or timing["cycles_per_step"] > 1 or timing["skew"] or timing["fold_cycles"]:
            raise UnknownError("lanes behind steps of several cycles, folding or skew")
        if SUMS_VALID not in self.netlist.names or "post.lane0.fp32" not in self.netlist.names:
            raise UnknownError("lanes without registers within")
        if not self.adder_cycles:
            raise UnknownError("adders without registers within")
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
        watched = [f"post.lane{lane}.fp32" for lane in range(self.lanes)]
        watched += [f"post.adder{lane}.sum" for lane in range(self.lanes)]
        watched += [f"cell{i}_{j}_sums" for i in range(self.m) for j in range(self.n)]
        for name in [SUMS_VALID, *watched]:
            for place, bit in enumerate(names[name]):
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

    def _word(self, name: str, cycle: int) -> list[int]:
        return self.unrolled.word(self.post.netlist.names[name], cycle)

    def _differ(self, a: Sequence[int], b: Sequence[int]) -> int:
        return self.graph.any_([self.graph.xor(x, y) for x, y in zip(a, b, strict=True)])

    def _port(self, name: str, index: int, cycle: int) -> list[int]:
        bits = self.post.ports[name]["packing"]["element_bits"]
        return [self._drive(name, index * bits + place, cycle) for place in range(bits)]

    def claims(self) -> Iterator[tuple[str, int]]:
        """What must not be, with its name."""
        graph, post = self.graph, self.post
        rule = post.manifest["post"]
        into_adder = 2 + post.lane_cycles
        fresh = self._variable(("i_done", 0, -self.apart))
        bad: dict[str, list[int]] = {"sums": [], "scales": [], "addends": [], "results so far": [], "results": []}
        for beat in range(self.beats):
            for lane in range(self.lanes):
                at = beat * self.lanes + lane
                i, j = divmod(at, self.n)
                taken = self.told + 1 + beat
                bad["sums"].append(
                    self._differ(
                        self._word(f"post.lane{lane}.total", taken), self._word(f"cell{i}_{j}_sums", self.told)
                    )
                )
                for side, index in (("row_scale", i), ("col_scale", j)):
                    if rule.get(side):
                        wanted = self._port(rule[side]["port"], index, 0)
                        bad["scales"].append(self._differ(self._word(f"post.lane{lane}.{side}", taken), wanted))
                added = self.told + beat + into_adder
                made = self._word(f"post.lane{lane}.fp32", taken + post.lane_cycles)
                bad["addends"].append(self._differ(self._word(f"post.adder{lane}.b", added), made))
                before = self._word(f"post.adder{lane}.sum", added - self.apart + post.adder_cycles)
                base = [graph.and_(bit, fresh ^ 1) for bit in before]
                bad["results so far"].append(self._differ(self._word(f"post.adder{lane}.a", added), base))
                total = self._word(f"post.adder{lane}.sum", added + post.adder_cycles)
                out = self.told + post.manifest["timing"]["post_latency"] + beat
                nets = post.netlist.outputs["o_y"][32 * lane : 32 * lane + 32]
                bad["results"].append(self._differ(self.unrolled.word(nets, out), total))
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
