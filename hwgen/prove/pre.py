"""Claims about the block before the activation buffer that aligns a scope of floating-point numbers, against the
manifest's rule and the scalar definition of their format.

A row's largest exponent is a register: what a beat makes of it, and what a beat makes with it, are functions of that
beat and of the register in one and the same cycle. By induction over beats it is the largest of a scope.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from hwgen.formats import get
from hwgen.prove.abc import never
from hwgen.prove.exhaustive import compare_all
from hwgen.prove.graph import AND, MUX, PLUS, SUM, VAR, XOR, Graph
from hwgen.prove.netlist import Netlist, read_verilog
from hwgen.prove.reference import UnknownError
from hwgen.prove.tables import cone, shape
from hwgen.prove.unroll import Unrolled

__all__ = ["PRE_CLAIMS", "PreBlock", "pre_proved"]

_SAT = "satisfiability"
_ABC = "ABC fraig, iprove"
PRE_CLAIMS: Mapping[str, tuple[str, str, str]] = {
    "valid": (
        "without a reset, o_valid is high the manifest's latency after a beat without i_observe, and in no other "
        "cycle; i_ready always is",
        _SAT,
        _ABC,
    ),
    "largest": (
        "a beat with i_observe makes each row's largest exponent E the larger one of it, or of 0 with i_first, and of "
        "the exponents of the row's activations; any other cycle leaves it as it is, or it is not looked at",
        _SAT,
        _ABC,
    ),
    "scale": ("with a beat's results comes, row by row, the E8M0 code of 2**(E - bias)", _SAT, _ABC),
    "lanes": (
        "of a beat without i_observe each activation becomes, the manifest's latency later, its value / 2**(E - bias - "
        "mantissa_bits - guard_bits), its magnitude rounded as the manifest says, for all codes and all E that are not "
        "less than its own exponent",
        "exhaustive compiled simulation",
        "g++",
    ),
}
"""Sentence, method and solver by name."""


def _fields(name: str) -> list[tuple[int, int, int]]:
    """(exponent, magnitude in units of 2**(exponent - bias - mantissa_bits), sign) of each code of a format."""
    form, found = get(name), []
    encoding = form.describe()
    bias, size = encoding["bias"], encoding["mantissa_bits"]
    values = [form.decode_scalar(code) for code in range(1 << form.code_bits)]
    most = max(value for value in values if isinstance(value, Fraction | int))
    for code, value in enumerate(values):
        sign = code >> form.code_bits - 1 & 1 if encoding["sign_bit"] else 0
        # -0.0, and infinities and NaN as the largest finite magnitude.
        number = abs(Fraction(value)) if not isinstance(value, float) else Fraction(0 if value == 0 else most)
        exponent = 1
        if number:
            place = number.numerator.bit_length() - number.denominator.bit_length()
            place -= Fraction(2) ** place > number
            exponent = max(place + bias, 1)
        units = number / Fraction(2) ** (exponent - bias - size)
        if units.denominator != 1:
            raise UnknownError(f"{name} has values of more than {size} mantissa bits")
        found.append((exponent, int(units), sign))
    return found


class PreBlock:
    """A block in a window of cycles around one beat, in cycle 0."""

    def __init__(self, netlist: Netlist, manifest: Mapping[str, Any]) -> None:
        self.netlist, self.manifest, self.entry = netlist, manifest, manifest["pre"]
        self.rule = self.entry["arithmetic"]
        self.align = self.rule["align"]
        ports = {port["name"]: port for port in self.entry["ports"]}
        self.encoding = manifest["encodings"][self.rule["source"]]
        if self.encoding["kind"] != "float" or not self.align:
            raise UnknownError("a block that aligns nothing")
        if self.align["guard_bits"] < 0:
            raise UnknownError("alignment that drops mantissa bits")
        self.rows, self.lanes = ports["i_acts"]["packing"]["shape"]
        self.bits = ports["o_acts"]["packing"]["element_bits"]
        self.code_bits = ports["i_acts"]["packing"]["element_bits"]
        if ports["o_acts"]["packing"]["shape"] != [self.rows, self.lanes]:
            raise UnknownError("a block that builds tables")
        self.latency = self.entry["timing"]["latency"]
        self.graph = Graph()
        self._inputs: dict[tuple[str, int, int], int] = {}
        self._largest: dict[tuple[int, int, int], int] = {}
        self.registers = [netlist.names.get(f"row{row}.largest", ()) for row in range(self.rows)]
        if not all(self.registers):
            raise UnknownError("a block whose largest exponents are no registers of that name")
        self.places = {bit: (row, at) for row, word in enumerate(self.registers) for at, bit in enumerate(word)}
        self._unrolled = Unrolled(netlist, self.graph, self._drive, -64, self._cut)

    def _drive(self, port: str, place: int, cycle: int) -> int:
        reset = self.manifest["reset"]
        if port == "clk":
            return 0
        if port == reset["port"]:
            return int(reset["active"] == "low")
        key = port, place, cycle
        if key not in self._inputs:
            self._inputs[key] = self.graph.var(key)
        return self._inputs[key]

    def _cut(self, bit: Any, cycle: int) -> int | None:
        if bit not in self.places:
            return None
        key = (*self.places[bit], cycle)
        if key not in self._largest:
            self._largest[key] = self.graph.var(key)
        return self._largest[key]

    def _word(self, row: int, cycle: int) -> list[int]:
        return [self._cut(bit, cycle) or 0 for bit in self.registers[row]]

    def _result(self, name: str, start: int, size: int) -> list[int]:
        """Bits of an output that belong to the beat, of which it is known that it is one to convert."""
        graph = self.graph
        word = self._unrolled.word(self.netlist.outputs[name][start : start + size], self.latency)
        converts = {self._drive("i_valid", 0, 0) >> 1: 1, self._drive("i_observe", 0, 0) >> 1: 0}
        return _given(graph, word, converts)

    def _cycle(self) -> int:
        """The cycle in which the beat meets its scope's largest exponent."""
        found = set()
        for row in range(self.rows):
            word = self._result("o_scale", row * 8, 8)
            own = {literal >> 1: cycle for (_, _, cycle), literal in self._largest.items()}
            found |= {own[node] for node in cone(self.graph, word) if node in own}
        if len(found) != 1:
            raise UnknownError(f"scales that depend on the largest exponents of {len(found)} cycles")
        return found.pop()

    def _code(self, row: int, lane: int) -> list[int]:
        start = (row * self.lanes + lane) * self.code_bits
        return [self._drive("i_acts", start + at, 0) for at in range(self.code_bits)]

    def _exponent(self, code: Sequence[int], size: int) -> list[int]:
        """The exponent of a code in gates, which ``lanes`` compares with the definition for all codes."""
        graph, form = self.graph, self.encoding
        field = list(code[form["mantissa_bits"] : form["mantissa_bits"] + form["exponent_bits"]])
        nothing = graph.any_(field) ^ 1
        special = graph.any_([bit ^ 1 for bit in field]) ^ 1 if form["specials"] == "ieee" else 0
        low = graph.and_(graph.or_(field[0], nothing), special ^ 1)
        return [low, *field[1:], *[0] * (size - len(field))]

    def _less(self, a: Sequence[int], b: Sequence[int]) -> int:
        size = max(len(a), len(b)) + 1
        words = [(sign, [*word, *[0] * (size - len(word))]) for sign, word in ((1, a), (-1, b))]
        return self.graph.add(words, 0, size)[-1]

    # ------------------------------------------------------------------ claims

    def proved(self, name: str, seconds: float) -> tuple[str, str]:
        """(status, detail) of a name of `PRE_CLAIMS`."""
        if name == "lanes":
            return self._lanes(seconds)
        graph, bad = self.graph, []
        if name == "valid":
            wanted = graph.and_(self._drive("i_valid", 0, 0), self._drive("i_observe", 0, 0) ^ 1)
            bad.append(graph.xor(self._unrolled.bit(self.netlist.outputs["o_valid"][0], self.latency), wanted))
            bad.append(self._unrolled.bit(self.netlist.outputs["i_ready"][0], 0) ^ 1)
        else:
            cycle = self._cycle()
            for row in range(self.rows):
                bad += self._scale(row, cycle) if name == "scale" else self._update(row, cycle)
        found = [never(graph, one, seconds=seconds) for one in bad]
        if False in found:
            return "refuted", f"bit {found.index(False)} of {len(found)}"
        return ("open" if None in found else "proved"), f"{self.rows} rows"

    def _scale(self, row: int, cycle: int) -> list[int]:
        graph = self.graph
        word = [*self._word(row, cycle), *[0] * 8][:8]
        offset = 127 - self.encoding["bias"]
        wanted = graph.add([(1, word), (1, [offset >> at & 1 for at in range(8)])], 0, 8)
        return [graph.xor(a, b) for a, b in zip(self._result("o_scale", row * 8, 8), wanted, strict=True)]

    def _update(self, row: int, cycle: int) -> list[int]:
        graph, before = self.graph, self._word(row, cycle)
        after = []
        for bit in self.registers[row]:
            cell, place = self.netlist.driver[bit]
            after.append(self._unrolled.bit(cell.ports["D"][place], cycle))
        most = [graph.and_(bit, self._drive("i_first", 0, 0) ^ 1) for bit in before]
        for lane in range(self.lanes):
            own = self._exponent(self._code(row, lane), len(before))
            less = self._less(most, own)
            most = [graph.mux(less, a, b) for a, b in zip(own, most, strict=True)]
        looks = graph.and_(self._drive("i_valid", 0, 0), self._drive("i_observe", 0, 0))
        return [
            graph.xor(found, graph.mux(looks, new, old)) for found, new, old in zip(after, most, before, strict=True)
        ]

    def _lanes(self, seconds: float) -> tuple[str, str]:
        graph, cycle = self.graph, self._cycle()
        known: set[str] = set()
        for row in range(self.rows):
            for lane in range(self.lanes):
                code, largest = self._code(row, lane), self._word(row, cycle)
                found = self._result("o_acts", (row * self.lanes + lane) * self.bits, self.bits)
                fits = self._less(largest, self._exponent(code, len(largest))) ^ 1
                word = [*(graph.and_(bit, fits) for bit in found), fits]
                variables = [literal >> 1 for literal in [*code, *largest]]
                digest = shape(graph, word, {node: at for at, node in enumerate(variables)})
                if digest in known:
                    continue
                others = {node for node in cone(graph, word) if graph.kind[node] == VAR} - set(variables)
                if others:
                    return "refuted", f"o_acts[{row}, {lane}] depends on {graph.label[min(others)]}"
                compared = compare_all(graph, word, variables, self._wanted(), seconds)
                if compared.differs is not None:
                    code_bits = compared.differs & (1 << self.code_bits) - 1
                    where = f"code {code_bits:#x} at E = {compared.differs >> self.code_bits}"
                    return "refuted", f"o_acts[{row}, {lane}]: {where}"
                if not compared.complete:
                    return "open", f"{compared.count} of {1 << len(variables)} inputs were compared"
                known.add(digest)
        return "proved", f"all 2^{self.code_bits + len(self.registers[0])} inputs of a lane"

    def _wanted(self) -> str:
        """Body of a C++ function of a code and E above it: the integer, and above it whether E is large enough."""
        fields = _fields(self.rule["source"])
        tables = [", ".join(str(one[at]) for one in fields) for at in range(3)]
        nearest = int(self.align["rounding"] == "nearest even")
        return f"""
static const int exponent[] = {{{tables[0]}}};
static const u64 magnitude[] = {{{tables[1]}}};
static const unsigned char sign[] = {{{tables[2]}}};
u64 code = x & {(1 << self.code_bits) - 1}ull;
long apart = (long)(x >> {self.code_bits}) - exponent[code];
if (apart < 0) return 0;
u64 frame = magnitude[code] << {self.align["guard_bits"]}, kept = apart > 62 ? 0 : frame >> apart;
if ({nearest} && apart && apart <= 62) {{
  u64 rest = frame - (kept << apart), half = 1ull << (apart - 1);
  if (rest > half || (rest == half && (kept & 1))) kept++;
}}
if (sign[code]) kept = 0 - kept;
return (kept & {(1 << self.bits) - 1}ull) | {1 << self.bits}ull;
"""


def _given(graph: Graph, word: Sequence[int], values: Mapping[int, int]) -> list[int]:
    """Literals where some variables (nodes) are what they are given to be."""
    made: dict[int, int] = {0: 0}

    def of(literal: int) -> int:
        return made[literal >> 1] ^ (literal & 1)

    for node in cone(graph, word):
        kind, fanin = graph.kind[node], graph.fanin[node]
        if kind == VAR:
            made[node] = values.get(node, 2 * node)
        elif kind == SUM:
            made[node] = of(graph.ripple(fanin[0])[fanin[1]])
        else:
            ends = [of(literal) for literal in fanin]
            builds: dict[int, Callable[..., int]]
            builds = {AND: graph.and_, XOR: graph.xor, PLUS: graph.or_, MUX: graph.mux}
            made[node] = builds[kind](*ends)
    return [of(literal) for literal in word]


def pre_proved(verilog: str, manifest: Mapping[str, Any], name: str, seconds: float) -> tuple[str, str, None]:
    """(status, detail, None) of a name of `PRE_CLAIMS`."""
    block = PreBlock(read_verilog(verilog, manifest["pre"]["top"]), manifest)
    return (*block.proved(name, seconds), None)
