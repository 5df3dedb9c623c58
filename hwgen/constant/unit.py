"""A constant matrix as hardware: y = W x, one vector a cycle, whole numbers without rounding."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from amaranth.hdl import Cat, Const, Module, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.constant.csd import csd_graph
from hwgen.constant.graph import ZERO, AdderGraph, Sum
from hwgen.constant.matrix import constant_matrix
from hwgen.constant.place import Placed, place
from hwgen.constant.shared import shared_graph
from hwgen.emit import Reset, component_rtlil, to_verilog
from hwgen.emit._manifest import package_versions, port_entry
from hwgen.emit._names import KEYWORDS, LONGEST_TOP
from hwgen.emit._reset import clock_ports
from hwgen.errors import HwgenError, suggest
from hwgen.formats import IntFormat, get
from hwgen.frame.ports import PortInfo, element_port

__all__ = ["METHODS", "ConstantEmission", "ConstantUnit", "checked_name", "emit_constant"]

METHODS = {
    "shared": "common subexpressions once (da4ml)",
    "csd": "each weight in canonical signed digits, nothing shared",
}
MOST_ACT_BITS = 16
MOST_LEVELS = 1000
_PORTS = ("i_valid", "i_x", "o_valid", "o_y")


@dataclass(frozen=True, eq=False)
class ConstantUnit:
    """A matrix [outputs, inputs] with what its hardware depends on. Made by `of`, which checks.

    ``acts``: format of the inputs, ``intN`` or ``uintN``. ``levels``: adders between registers. ``extra_levels``: of
    `hwgen.constant.shared.shared_graph`.
    """

    matrix: npt.NDArray[np.int64]
    acts: str = "int8"
    method: str = "shared"
    levels: int = 3
    extra_levels: int | None = None

    @classmethod
    def of(
        cls,
        matrix: npt.ArrayLike,
        acts: str = "int8",
        method: str = "shared",
        levels: int = 3,
        extra_levels: int | None = None,
    ) -> ConstantUnit:
        """A unit. Raises `HwgenError` as `constant_matrix`, and for a value that is not allowed."""
        cls.check(acts, method, levels, extra_levels)
        return cls(constant_matrix(matrix), acts, method, levels, extra_levels)

    @staticmethod
    def check(acts: str, method: str, levels: int, extra_levels: int | None) -> None:
        """Raise `HwgenError` for a value that is not allowed."""
        if method not in METHODS:
            raise HwgenError(
                f"constant: method must be {' or '.join(METHODS)}, not {method!r}{suggest(method, METHODS)}"
            )
        if re.fullmatch(r"u?int([1-9]|1[0-6])", acts) is None:
            raise HwgenError(f"constant: acts must be intN or uintN, N from 1 to {MOST_ACT_BITS}, not {acts!r}")
        for name, value, least in (("levels", levels, 1), ("extra_levels", extra_levels, 0)):
            if value is None:
                continue
            if type(value) is not int or not least <= value <= MOST_LEVELS:
                raise HwgenError(
                    f"constant: {name} must be a whole number from {least} to {MOST_LEVELS}, not {value!r}"
                )
        if method == "csd" and extra_levels is not None:
            raise HwgenError("constant: extra_levels is of method shared; the trees of csd have the least levels")

    @property
    def outputs(self) -> int:
        """Elements of y."""
        return int(self.matrix.shape[0])

    @property
    def inputs(self) -> int:
        """Elements of x."""
        return int(self.matrix.shape[1])

    @cached_property
    def act_format(self) -> IntFormat:
        """Format of the inputs."""
        found = get(self.acts)
        assert isinstance(found, IntFormat)
        return found

    @property
    def act_range(self) -> tuple[int, int]:
        """Least and largest input."""
        bits = self.act_format.code_bits
        return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if self.act_format.twos_complement else (0, (1 << bits) - 1)

    @cached_property
    def graph(self) -> AdderGraph:
        """Its adders; multiplied out, they are the matrix. Raises `HwgenError` where they are not."""
        if self.method == "csd":
            graph = csd_graph(self.matrix)
        else:
            graph = shared_graph(self.matrix, *self.act_range, self.extra_levels)
        if not np.array_equal(graph.matrix, self.matrix):
            raise HwgenError(f"constant: method {self.method} gave adders that are not the matrix; take another method")
        return graph

    @cached_property
    def ranges(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Least and largest of each value of the graph."""
        return self.graph.ranges(*self.act_range)

    def shape(self, value: int) -> Shape:
        """Width and sign of a value of the graph."""
        low, high = (int(end[value]) for end in self.ranges)
        return _shape(low, high)

    @cached_property
    def widths(self) -> npt.NDArray[np.int64]:
        """Bits of each value of the graph."""
        return np.array([self.shape(value).width for value in range(len(self.ranges[0]))], np.int64)

    @cached_property
    def y_bits(self) -> int:
        """Bits of each output, signed: those of the widest."""
        low, high = self.act_range
        up, down = np.maximum(self.matrix, 0).sum(axis=1), np.minimum(self.matrix, 0).sum(axis=1)
        least, most = int((up * low + down * high).min()), int((up * high + down * low).max())
        width: int = Shape.cast(range(min(least, -1), max(most, 0) + 1)).width
        return width

    @cached_property
    def placed(self) -> Placed:
        """Where its registers stand."""
        return place(self.graph, self.levels, self.widths)

    @property
    def latency(self) -> int:
        """Cycles from a vector (``i_valid``) to its result (``o_valid``); a vector is taken in every cycle."""
        return self.placed.count

    def adder_bits(self, one: Sum, value: int) -> int:
        """Bits of a sum that an adder makes: those below the shifted side are the other side's."""
        return int(self.widths[value]) - _through(one)

    def costs(self) -> dict[str, int]:
        """Adders (of these, those that only negate), their bits, adders on the longest way, bits of all registers.

        Also digits of the matrix that are not zero in canonical signed digits, which is what adders are saved from.
        """
        graph, first = self.graph, self.inputs
        bits = sum(self.adder_bits(one, value) for value, one in enumerate(graph.sums, first))
        held = sum(int(self.widths[end.value]) for end in graph.outputs if end.value != ZERO)
        return {
            "adders": len(graph.sums),
            "negations": sum(one.left == ZERO for one in graph.sums),
            "adder_bits": bits,
            "depth": graph.depth,
            "register_bits": self.placed.bits(self.widths) + self.latency,
            "output_bits": held,
            "nonzero_weights": int(np.count_nonzero(self.matrix)),
        }

    def reference(self, x: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """y [vectors, outputs] of x [vectors, inputs], by numpy."""
        found: npt.NDArray[np.int64] = np.asarray(x, np.int64) @ self.matrix.T
        return found

    def ports(self) -> list[PortInfo]:
        """Ports without clock and reset."""
        act = self.act_format
        return [
            PortInfo("i_valid", "input", 1, "i_x is there; may be high in every cycle"),
            element_port("i_x", "input", "inputs", (self.inputs,), act.code_bits, "acts", signed=act.twos_complement),
            PortInfo("o_valid", "output", 1, "o_y is there; cannot be held back"),
            element_port("o_y", "output", "outputs", (self.outputs,), self.y_bits, "result", signed=True),
        ]


def _shape(low: int, high: int) -> Shape:
    return Shape.cast(range(min(low, 0), max(high, 0) + 1)) if low or high else Shape(1)


def _through(one: Sum) -> int:
    """Low bits of a sum that are those of one side, as the other's are zero there."""
    if one.left == ZERO:
        return 0
    return one.right_shift if one.subtract else max(one.left_shift, one.right_shift)


class _Unit(wiring.Component):
    """The logic."""

    def __init__(self, unit: ConstantUnit) -> None:
        self._unit = unit
        super().__init__({port.name: (In if port.direction == "input" else Out)(port.width) for port in unit.ports()})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        unit, graph = self._unit, self._unit.graph
        stages = unit.placed.stages
        bits = unit.act_format.code_bits
        made: list[Value] = []
        for column in range(unit.inputs):
            word = self.i_x[column * bits : (column + 1) * bits]
            made.append(word.as_signed() if unit.act_format.twos_complement else word)
        held: list[list[Value]] = [[value] for value in made]

        def at(value: int, stage: int) -> Value:
            """A value as it is in a stage."""
            line = held[value]
            while len(line) <= stage - stages[value]:
                register = Signal(line[0].shape(), name=f"v{value}_{len(line)}", reset_less=True)
                m.d.sync += register.eq(line[-1])
                line.append(register)
            return line[stage - stages[value]]

        for value, one in enumerate(graph.sums, unit.inputs):
            right = at(one.right, stages[value])
            left = Const(0, 1) if one.left == ZERO else at(one.left, stages[value])
            total = Signal(unit.shape(value), name=f"v{value}")
            m.d.comb += total.eq(_sum(one, left, right))
            held.append([total])
        for row, output in enumerate(graph.outputs):
            place = self.o_y[row * unit.y_bits : (row + 1) * unit.y_bits]
            if output.value == ZERO:
                continue
            value = at(output.value, unit.latency + 1)
            moved = value.shift_left(output.shift) if output.shift >= 0 else value.shift_right(-output.shift)
            m.d.comb += place.eq(moved)
        valid: Value = self.i_valid
        for stage in range(1, unit.latency + 1):
            register = Signal(name=f"valid_{stage}")
            m.d.sync += register.eq(valid)
            valid = register
        m.d.comb += self.o_valid.eq(valid)
        return m


def _sum(one: Sum, left: Value, right: Value) -> Value:
    """Sum of two shifted values; low bits that only one of them has go past the adder."""
    if one.left_shift > 0 and not one.subtract:
        left, right, shift = right, left, one.left_shift
    else:
        left, shift = left.shift_left(one.left_shift), one.right_shift
    if not shift or one.left == ZERO:
        right = right.shift_left(shift)
        return left - right if one.subtract else left + right
    # A narrow left side has its sign above.
    wide = left if len(left) > shift else Cat(left, *[_sign(left)] * (shift - len(left)))
    above = left.shift_right(shift) if len(left) > shift else _sign_value(left)
    high = above - right if one.subtract else above + right
    joined = Cat(wide[:shift], high)
    return joined.as_signed() if high.shape().signed else joined


def _sign(value: Value) -> Value:
    return value[-1] if value.shape().signed else Const(0, 1)


def _sign_value(value: Value) -> Value:
    """What is left of a value when all its bits are shifted out: 0 or -1."""
    return value[-1:].as_signed() if value.shape().signed else Const(0, 1)


@dataclass(frozen=True, eq=False)
class ConstantEmission:
    """A unit as Verilog module ``top``, with its manifest."""

    unit: ConstantUnit
    top: str
    verilog: str
    reset: Reset

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Parameters, weights, ports, timing, costs, versions and the hash of the Verilog; JSON-serialisable."""
        unit = self.unit
        versions = package_versions()
        if unit.method == "shared":
            import importlib.metadata

            versions["da4ml"] = importlib.metadata.version("da4ml")
        return {
            "manifest_version": 1,
            "kind": "constant",
            "summary": f"y = W x of {unit.outputs} x {unit.inputs} weights that are wires, {unit.acts} inputs, exact",
            "top": self.top,
            "parameters": {
                "acts": unit.acts,
                "method": unit.method,
                "levels": unit.levels,
                "extra_levels": unit.extra_levels,
            },
            "matrix": unit.matrix.tolist(),
            "timing": {"latency": unit.latency, "interval": 1},
            "costs": unit.costs(),
            "reset": {"port": self.reset.port, "kind": self.reset.kind, "active": self.reset.active},
            "ports": [port_entry(port) for port in [*clock_ports(self.reset), *unit.ports()]],
            "versions": versions,
            "verilog_sha256": hashlib.sha256(self.verilog.encode()).hexdigest(),
        }


def emit_constant(unit: ConstantUnit, top: str | None = None, reset: Reset | None = None) -> ConstantEmission:
    """Emit a unit as module ``top`` (default: ``constant``).

    Raises `HwgenError` for a name that no module can have, and as `ConstantUnit.graph`.
    """
    reset = reset or Reset()
    name = checked_name(top, reset)
    text = to_verilog(component_rtlil(_Unit(unit), name, reset))
    return ConstantEmission(unit, name, _header(unit, name, reset) + text, reset)


def checked_name(top: str | None, reset: Reset) -> str:
    """The module's name, ``constant`` for None. Raises `HwgenError` for one that no module can have."""
    name = "constant" if top is None else top
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name, re.ASCII) is None or len(name) > LONGEST_TOP or "__" in name:
        raise HwgenError(
            f"constant: top must be a letter, then letters, digits and single underscores, at most {LONGEST_TOP}, "
            f"not {name[:40]!r}"
        )
    if name in KEYWORDS or name in {"clk", reset.port, *_PORTS}:
        raise HwgenError(f"constant: top must be no reserved word of Verilog and no port, not {name!r}")
    return name


def _header(unit: ConstantUnit, top: str, reset: Reset) -> str:
    from hwgen.version import __version__

    costs = unit.costs()
    digest = hashlib.sha256(np.ascontiguousarray(unit.matrix, "<i8").tobytes()).hexdigest()[:16]
    return (
        f"// {top}: y = W x by hwgen {__version__}, W of {unit.outputs} x {unit.inputs} constants (sha256 {digest})\n"
        f"// acts={unit.acts} method={unit.method} levels={unit.levels}: {costs['adders']} adders, "
        f"latency {unit.latency}\n"
        f"// One clock, {reset.words}. i_x element i at bits i*{unit.act_format.code_bits} up, o_y element j at bits "
        f"j*{unit.y_bits} up, signed.\n\n"
    )
