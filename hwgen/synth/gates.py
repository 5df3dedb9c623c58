"""Simulation of mapped netlists, bit-parallel: 64 streams a word, all streams in step, no Python per cell.

A netlist is read from the Verilog that mapping writes (`hwgen.synth.tile_netlist`) and flattened; each cell knows its
block. Gates are ordered by level and grouped by function, so that a cycle is a few numpy operations a group. Delays are
zero: a net has one value a cycle, and toggles are those between the settled values of consecutive cycles, without
glitches (`hwgen.synth.glitches` has those).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwgen.errors import HwgenError
from hwgen.synth._characterised import CellPower
from hwgen.synth._logic import Function

__all__ = [
    "ONE",
    "ZERO",
    "Activity",
    "Cells",
    "GateNetlist",
    "GateSim",
    "Node",
    "net_levels",
    "nodes_of",
    "pack_streams",
    "read_netlist",
    "unpack_streams",
]

Words = npt.NDArray[np.uint64]
Nets = npt.NDArray[np.int64]

ZERO, ONE = 0, 1
"""Nets that are constant."""

_SETTLING = 8
"""How often set and reset of flip-flops may change what they are computed from."""


@dataclass(frozen=True)
class Cells:
    """All cells of one type: ``nets`` by pin [cells], and the index of each one's block in `GateNetlist.blocks`."""

    nets: Mapping[str, Nets]
    block: Nets

    def __len__(self) -> int:
        return len(self.block)


@dataclass(frozen=True)
class GateNetlist:
    """A flat netlist. Nets are numbers, 0 and 1 are the constants; ports are nets, lowest bit first.

    ``cells`` by type; ``blocks`` are pairs (kind, instance name), the first is the top itself.
    """

    top: str
    nets: int
    inputs: Mapping[str, Nets]
    outputs: Mapping[str, Nets]
    cells: Mapping[str, Cells]
    blocks: tuple[tuple[str, str], ...]

    @property
    def size(self) -> int:
        """Number of cells."""
        return sum(len(cells) for cells in self.cells.values())


# ---------------------------------------------------------------------------------------------------- reading

_ID = r"(?:\\\S+\s|[A-Za-z_$][\w$]*)"
_MODULE = re.compile(rf"^module\s+({_ID})\s*\((.*?)\)\s*;(.*?)^endmodule", re.M | re.S)
_DECLARED = re.compile(rf"^\s*(input|output|wire|reg)\s+(?:signed\s+)?(?:\[(\d+):(\d+)\]\s*)?({_ID})\s*;", re.M)
_INSTANCE = re.compile(rf"^\s*({_ID})\s*({_ID})\s*\(\s*(\..*?)\)\s*;", re.M | re.S)
_PIN = re.compile(rf"\.({_ID})\s*\(([^()]*)\)")
_ASSIGN = re.compile(r"^\s*assign\s+(.*?)\s=\s(.*?);\s*$", re.M | re.S)
_PART = re.compile(
    rf"\s*(?:(?P<size>\d+)'s?(?P<base>[bhdo])(?P<digits>[\w?]+)"
    rf"|(?P<name>{_ID})\s*(?:\[(?P<high>\d+)(?::(?P<low>\d+))?\])?|[{{}},])\s*"
)


class _Module:
    """One module's nets, numbered from 0 with the constants first, its cells and its instances."""

    def __init__(self, name: str, body: str) -> None:
        self.name = name
        self.first: dict[str, tuple[int, int, int]] = {}
        self.ports: dict[str, str] = {}
        self.count = 2
        for kind, high, low, identifier in _DECLARED.findall(body):
            identifier = identifier.strip()
            left, right = (int(high), int(low)) if high else (0, 0)
            if identifier not in self.first:
                self.first[identifier] = (self.count, left, right)
                self.count += abs(left - right) + 1
            if kind in ("input", "output"):
                self.ports[identifier] = kind
        self.instances: list[tuple[str, str, dict[str, list[int]]]] = []
        for kind, instance, pins in _INSTANCE.findall(body):
            found = {_plain(pin): self.bits(text) for pin, text in _PIN.findall(pins)}
            self.instances.append((_plain(kind), instance.strip(), found))
        self.aliases = [
            pair
            for left, right in _ASSIGN.findall(body)
            for pair in zip(self.bits(left), self.bits(right), strict=True)
        ]

    def bits(self, text: str) -> list[int]:
        """Nets of an expression, lowest bit first."""
        parts: list[list[int]] = []
        place = 0
        while place < len(text):
            match = _PART.match(text, place)
            if match is None:
                raise HwgenError(f"netlist {self.name}: an expression must be made of nets and constants, not {text!r}")
            place = match.end()
            if match["size"]:
                parts.append(_constant(int(match["size"]), match["base"], match["digits"]))
            elif match["name"]:
                parts.append(self._slice(match["name"].strip(), match["high"], match["low"]))
        return [net for part in reversed(parts) for net in part]

    def _slice(self, name: str, high: str | None, low: str | None) -> list[int]:
        if name not in self.first:
            raise HwgenError(f"netlist {self.name}: the net {name} must be declared, which it is not")
        first, left, right = self.first[name]
        step = 1 if left >= right else -1
        nets = [first + index for index in range(abs(left - right) + 1)]
        if high is None:
            return nets
        begin = (int(low if low is not None else high) - right) * step
        end = (int(high) - right) * step
        return nets[begin : end + 1]


def _plain(identifier: str) -> str:
    """A name without the backslash and the blank of an escaped one."""
    return identifier.strip().removeprefix("\\")


def _constant(size: int, base: str, digits: str) -> list[int]:
    text = re.sub(r"[xXzZ?]", "0", digits)
    value = int(text, {"b": 2, "h": 16, "d": 10, "o": 8}[base])
    return [ONE if value >> index & 1 else ZERO for index in range(size)]


def read_netlist(
    verilog: str,
    cells: Mapping[str, CellPower],
    top: str | None = None,
    boxes: Mapping[str, Collection[str]] | None = None,
) -> GateNetlist:
    """Read and flatten mapped Verilog.

    Parameters
    ----------
    verilog: one or several modules of cells, instances and plain assignments. cells: what the library has.
    top: the module to flatten; None is the one that no other module has an instance of.
    boxes: modules that are not there, and which of their pins are outputs: pins of an instance ``a.b`` become ports
        ``a.b.pin``, outputs of the instance inputs of the netlist.

    Modules below the top are blocks; a block's kind is its module's name without that of the top. Raises `HwgenError`
    for an unknown cell, for nets without a driver or with two, and for Verilog that is no such netlist.
    """
    modules = {}
    for name, _, body in _MODULE.findall(verilog):
        modules[_plain(name)] = _Module(_plain(name), body)
    if not modules:
        raise HwgenError("netlist: the text must have a Verilog module, which it has not")
    if top is None:
        used = {kind for module in modules.values() for kind, _, _ in module.instances}
        tops = [name for name in modules if name not in used]
        if len(tops) != 1:
            raise HwgenError(f"netlist: one module must be the top, not {', '.join(tops) or 'none'}")
        top = tops[0]
    return _Flattening(modules, cells, top, boxes or {}).netlist()


class _Flattening:
    def __init__(
        self,
        modules: Mapping[str, _Module],
        cells: Mapping[str, CellPower],
        top: str,
        boxes: Mapping[str, Collection[str]],
    ) -> None:
        self.modules, self.known, self.top, self.boxes = modules, cells, top, boxes
        self.boxed: dict[str, dict[str, list[int]]] = {"input": {}, "output": {}}
        self.parent = [ZERO, ONE]
        self.blocks: list[tuple[str, str]] = []
        self.pins: dict[str, list[list[int]]] = {}
        self.of_block: dict[str, list[int]] = {}

    def netlist(self) -> GateNetlist:
        kind = "control" if any(kind in self.modules for kind, _, _ in self.modules[self.top].instances) else "flat"
        base = self._place(self.top, kind, "")
        module = self.modules[self.top]
        driver = self._resolved()
        ports: dict[str, dict[str, Nets]] = {"input": {}, "output": {}}
        for name, direction in module.ports.items():
            ports[direction][name] = driver[np.array(module.bits(name), np.int64) + base]
        for direction, pins in self.boxed.items():
            for name, nets in pins.items():
                ports[direction][name] = driver[np.array(nets, np.int64)]
        grids = {
            kind: driver[np.array(rows, np.int64)].reshape(len(rows), -1) for kind, rows in sorted(self.pins.items())
        }
        used = np.unique(
            np.concatenate(
                [np.array([ZERO, ONE]), *ports["input"].values(), *ports["output"].values()]
                + [grid.ravel() for grid in grids.values()]
            )
        )
        number = np.zeros(len(driver), np.int64)
        number[used] = np.arange(len(used))
        cells = {
            kind: Cells(
                {pin: number[grid[:, index]] for index, pin in enumerate(_pins(self.known[kind]))},
                np.array(self.of_block[kind], np.int64),
            )
            for kind, grid in grids.items()
        }
        netlist = GateNetlist(
            self.top,
            len(used),
            {name: number[nets] for name, nets in ports["input"].items()},
            {name: number[nets] for name, nets in ports["output"].items()},
            cells,
            tuple(self.blocks),
        )
        _check_drivers(netlist, self.known)
        return netlist

    def _resolved(self) -> Nets:
        driver = np.array(self.parent, np.int64)
        for _ in range(64):
            further = driver[driver]
            if np.array_equal(further, driver):
                return driver
            driver = further
        raise HwgenError(f"netlist {self.top}: assignments must not go round in a circle, which they do")

    def _place(self, name: str, kind: str, path: str) -> int:
        """Add one instance of a module; returns what its net numbers are offset by."""
        module = self.modules[name]
        base = len(self.parent)
        self.parent += range(base, base + module.count)
        self.parent[base + ZERO], self.parent[base + ONE] = ZERO, ONE
        for left, right in module.aliases:
            self.parent[base + left] = base + right
        block = len(self.blocks)
        self.blocks.append((kind, path))
        for cell, instance, pins in module.instances:
            if cell in self.modules:
                inner = self.modules[cell]
                own = cell.removeprefix(f"{self.top}_")
                offset = self._place(cell, own, f"{path}.{instance}" if path else instance)
                for port, direction in inner.ports.items():
                    # A blank ends an escaped name.
                    for inside, outside in zip(inner.bits(f"{port} "), pins.get(_plain(port), []), strict=False):
                        if direction == "input":
                            self.parent[offset + inside] = base + outside
                        else:
                            self.parent[base + outside] = offset + inside
                continue
            if cell in self.boxes:
                where = f"{path}.{instance}" if path else instance
                for pin, nets in pins.items():
                    direction = "input" if pin in self.boxes[cell] else "output"
                    self.boxed[direction][f"{where}.{pin}"] = [base + net if net > ONE else net for net in nets]
                continue
            if cell not in self.known:
                raise HwgenError(f"netlist {name}: the library must have the cell {cell}, which it has not")
            for pin in pins:
                if pin not in _pins(self.known[cell]):
                    raise HwgenError(f"netlist {name}: the cell {cell} must have the pin {pin}, which it has not")
            row = []
            for pin in _pins(self.known[cell]):
                nets = pins.get(pin, [])
                if not nets:
                    # An output that nobody reads has a net all the same.
                    nets = [len(self.parent) - base]
                    self.parent.append(len(self.parent))
                row.append(base + nets[0])
            self.pins.setdefault(cell, []).append(row)
            self.of_block.setdefault(cell, []).append(block)
        return base


def _pins(cell: CellPower) -> tuple[str, ...]:
    return (*cell.input_pf, *cell.functions)


def _check_drivers(netlist: GateNetlist, known: Mapping[str, CellPower]) -> None:
    drivers = np.zeros(netlist.nets, np.int64)
    read = np.zeros(netlist.nets, bool)
    drivers[[ZERO, ONE]] = 1
    for nets in netlist.inputs.values():
        drivers[nets] += 1
    for nets in netlist.outputs.values():
        read[nets] = True
    for name, cells in netlist.cells.items():
        for pin in known[name].functions:
            np.add.at(drivers, cells.nets[pin], 1)
        for pin in known[name].input_pf:
            read[cells.nets[pin]] = True
    if (drivers > 1).any():
        raise HwgenError(f"netlist {netlist.top}: every net must have one driver; {(drivers > 1).sum()} have more")
    if (read & (drivers == 0)).any():
        count = int((read & (drivers == 0)).sum())
        raise HwgenError(f"netlist {netlist.top}: every net that is read must have a driver; {count} have none")


# ---------------------------------------------------------------------------------------------------- simulating


@dataclass(frozen=True)
class Node:
    """Gates of one function at one level: ``nets`` by input [gates], ``out`` [gates], and what the caller wanted to be
    kept with each input (`nodes_of`).
    """

    function: Function
    nets: tuple[Nets, ...]
    out: Nets
    level: int
    kept: tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class _FlipFlops:
    """Flip-flops of one type: rows of their inputs, outputs and hidden states."""

    cell: CellPower
    cells: Cells
    state: Nets


@dataclass(frozen=True)
class Activity:
    """Counts over ``vectors`` = streams x cycles: changes of every net between consecutive cycles, cycles with a one.

    ``both`` counts by type of flip-flop, and by pair (data pin, state), cycles in which both are one [cells].
    """

    vectors: int
    toggles: npt.NDArray[np.int64]
    ones: npt.NDArray[np.int64]
    both: Mapping[str, Mapping[tuple[str, str], npt.NDArray[np.int64]]]


def nodes_of(
    netlist: GateNetlist,
    known: Mapping[str, CellPower],
    keep: Callable[[str, str, str], np.ndarray] | None = None,
) -> list[Node]:
    """Gates by level and function, in an order in which they can be evaluated.

    ``keep`` gives values [cells] for a cell type, an output and an input pin of it. Raises `HwgenError` for a
    combinational loop.
    """
    functions: dict[str, Function] = {}
    ins: dict[str, list[np.ndarray]] = {}
    outs: dict[str, list[Nets]] = {}
    kept: dict[str, list[np.ndarray]] = {}
    for name, cells in netlist.cells.items():
        cell = known[name]
        if cell.state is not None:
            continue
        for pin, what in cell.functions.items():
            # Same function, same source: pins are taken by their place in it.
            key = f"{len(what.inputs)} {what.source}"
            functions.setdefault(key, what)
            shape = (len(what.inputs), len(cells))
            ins.setdefault(key, []).append(np.array([cells.nets[i] for i in what.inputs], np.int64).reshape(shape))
            outs.setdefault(key, []).append(cells.nets[pin])
            values = np.zeros(shape) if keep is None else np.array([keep(name, pin, i) for i in what.inputs])
            kept.setdefault(key, []).append(values.reshape(shape))
    grids = {key: np.concatenate(parts, axis=1) for key, parts in ins.items()}
    targets = {key: np.concatenate(parts) for key, parts in outs.items()}
    level = _levels(netlist, [(grids[key], targets[key]) for key in grids])
    nodes = []
    for key, what in functions.items():
        values = np.concatenate(kept[key], axis=1)
        own = level[targets[key]]
        for value in np.unique(own):
            chosen = own == value
            nodes.append(
                Node(
                    what,
                    tuple(row[chosen] for row in grids[key]),
                    targets[key][chosen],
                    int(value),
                    tuple(row[chosen] for row in values),
                )
            )
    return sorted(nodes, key=lambda node: (node.level, node.function.source))


def net_levels(netlist: GateNetlist, known: Mapping[str, CellPower]) -> Nets:
    """Gates between the ports or flip-flops and each net, at most; 0 at a source."""
    level = np.zeros(netlist.nets, np.int64)
    for node in nodes_of(netlist, known):
        level[node.out] = node.level
    return level


def _levels(netlist: GateNetlist, gates: Sequence[tuple[Nets, Nets]]) -> Nets:
    """Levels of nets from pairs of input nets [pins, gates] and output nets [gates]."""
    level = np.zeros(netlist.nets, np.int64)
    for _ in range(netlist.nets + 2):
        changed = False
        for grid, out in gates:
            new = level[grid].max(axis=0) + 1 if len(grid) else np.ones(len(out), np.int64)
            if not np.array_equal(new, level[out]):
                level[out] = new
                changed = True
        if not changed:
            return level
    raise HwgenError(f"netlist {netlist.top}: gates must not form a loop, which they do")


class GateSim:
    """A netlist in simulation: ``streams`` independent copies, one cycle at a time.

    All inputs and states are 0 at first. A cycle: `set` inputs, `settle`, look at nets with `get`, `clock`.
    """

    def __init__(self, netlist: GateNetlist, cells: Mapping[str, CellPower], streams: int) -> None:
        self.netlist, self.known, self.streams = netlist, cells, streams
        self.words = -(-streams // 64)
        self.flip_flops = list(_flip_flops(netlist, cells))
        nodes = nodes_of(netlist, cells)
        # Rows in the order of evaluation, so that what a group of gates computes is one slice.
        order = np.concatenate([np.array([ZERO, ONE]), _sources(netlist, cells), *(node.out for node in nodes)])
        self.row = np.full(netlist.nets, -1, np.int64)
        self.row[order] = np.arange(len(order))
        self.order = order
        self._plan = []
        for node in nodes:
            begin = int(self.row[node.out[0]])
            rows = tuple(self.row[nets] for nets in node.nets)
            self._plan.append((node.function.call, rows, slice(begin, begin + len(node.out))))
        self.values: Words = np.zeros((len(order), self.words), np.uint64)
        self.one = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
        self.values[ONE] = self.one
        self.states: Words = np.zeros((sum(len(f.state) for f in self.flip_flops), self.words), np.uint64)
        self._mask = np.full(self.words, self.one)
        if streams % 64:
            self._mask[-1] = np.uint64((1 << streams % 64) - 1)
        self._before = self.values.copy()
        # Most are tied off.
        self._forced = [part for part in self.flip_flops if _has_sets(part)]
        self._outputs()
        self.reset_counts()

    def reset_counts(self) -> None:
        """Start counting anew."""
        self.cycles = 0
        self._toggles = np.zeros(len(self.order), np.int64)
        self._ones = np.zeros(len(self.order), np.int64)
        self._both: dict[str, dict[tuple[str, str], npt.NDArray[np.int64]]] = {
            part.cell.name: {pair: np.zeros(len(part.state), np.int64) for pair in _pairs(part.cell)}
            for part in self.flip_flops
        }

    def set(self, port: str, planes: npt.ArrayLike) -> None:
        """Drive an input port with bit planes [width, words]."""
        self.values[self.row[self.netlist.inputs[port]]] = planes

    def get(self, port: str) -> Words:
        """Bit planes [width, words] of an output port."""
        found: Words = self.values[self.row[self.netlist.outputs[port]]]
        return found

    def settle(self) -> None:
        """Evaluate all gates, and set and reset of flip-flops that have them."""
        self._evaluate()
        for _ in range(_SETTLING):
            changed = [self._force(part) for part in self._forced]
            if not any(changed):
                return
            self._outputs()
            self._evaluate()
        raise HwgenError(f"netlist {self.netlist.top}: set and reset must settle, which they do not")

    def _evaluate(self) -> None:
        values, one = self.values, self.one
        for call, rows, target in self._plan:
            values[target] = call(one, *(values.take(row, axis=0) for row in rows))

    def _force(self, part: _FlipFlops) -> bool:
        """Set and reset a type of flip-flop; returns whether a state changed."""
        before = self.states[part.state]
        after = self._with_sets(part, before)
        self.states[part.state] = after
        return not np.array_equal(before, after)

    def _with_sets(self, part: _FlipFlops, state: Words) -> Words:
        for what, value in ((part.cell.clear, False), (part.cell.preset, True)):
            if what is not None:
                active = what.call(self.one, *(self._at(part, pin) for pin in what.inputs))
                state = state | active if value else state & ~active
        return state

    def count(self) -> None:
        """Count the settled cycle: toggles against the settled cycle before it."""
        changed = (self.values ^ self._before) & self._mask
        self._toggles += np.bitwise_count(changed).sum(axis=1, dtype=np.int64)
        self._ones += np.bitwise_count(self.values & self._mask).sum(axis=1, dtype=np.int64)
        for part in self.flip_flops:
            for (data, output), counts in self._both[part.cell.name].items():
                pair = self._at(part, data) & self._at(part, output) & self._mask
                counts += np.bitwise_count(pair).sum(axis=1, dtype=np.int64)
        self.cycles += 1

    def clock(self) -> None:
        """The rising edge: flip-flops take their next states."""
        self._before[:] = self.values
        for part in self.flip_flops:
            function = part.cell.next_state
            assert function is not None
            state = function.call(self.one, *(self._at(part, pin) for pin in function.inputs))
            self.states[part.state] = self._with_sets(part, state) if part in self._forced else state
        self._outputs()

    def _at(self, part: _FlipFlops, pin: str) -> Words:
        assert part.cell.state is not None
        if pin in part.cell.state:
            state: Words = self.states[part.state]
            return state if pin == part.cell.state[0] else ~state
        found: Words = self.values[self.row[part.cells.nets[pin]]]
        return found

    def _outputs(self) -> None:
        for part in self.flip_flops:
            for pin, function in part.cell.functions.items():
                words = function.call(self.one, *(self._at(part, name) for name in function.inputs))
                self.values[self.row[part.cells.nets[pin]]] = words

    def activity(self) -> Activity:
        """What was counted, by net."""
        toggles = np.zeros(self.netlist.nets, np.int64)
        ones = np.zeros(self.netlist.nets, np.int64)
        toggles[self.order], ones[self.order] = self._toggles, self._ones
        return Activity(self.streams * self.cycles, toggles, ones, self._both)


def _has_sets(part: _FlipFlops) -> bool:
    """Whether set or reset of a type of flip-flop are anything but tied to a level that does nothing."""
    for what in (part.cell.clear, part.cell.preset):
        if what is None:
            continue
        levels = [part.cells.nets[pin] for pin in what.inputs]
        if not all((nets <= ONE).all() for nets in levels) or (what.call(1, *levels) & 1).any():
            return True
    return False


def _pairs(cell: CellPower) -> list[tuple[str, str]]:
    """Pairs of data pin and state that conditions on internal energies speak of, by whatever outputs name the state."""
    if cell.state is None:
        return []
    named: dict[str, None] = {}
    entries = [*cell.hidden.values(), *(arc.energies for arcs in cell.arcs.values() for arc in arcs)]
    for energy in (one for energies in entries for one in energies):
        pins = energy.when.inputs if energy.when else ()
        if any(pin in cell.functions or pin in cell.state for pin in pins):
            named.update(dict.fromkeys(pin for pin in pins if pin in cell.input_pf and pin != cell.clock))
    return [(pin, cell.state[0]) for pin in cell.input_pf if pin in named]


def _flip_flops(netlist: GateNetlist, known: Mapping[str, CellPower]) -> list[_FlipFlops]:
    clocks = {int(net) for name in ("clk", "aclk") for net in netlist.inputs.get(name, np.zeros(0, np.int64))}
    found, first = [], 0
    for name, cells in netlist.cells.items():
        cell = known[name]
        if cell.state is None:
            continue
        if cell.clock is None or cell.clock not in cell.input_pf:
            raise HwgenError(
                f"netlist {netlist.top}: the flip-flop {name} must take data at a rising edge of one pin, "
                f"not at {cell.clock or 'none'}"
            )
        if not set(np.unique(cells.nets[cell.clock]).tolist()) <= clocks:
            raise HwgenError(
                f"netlist {netlist.top}: every flip-flop must be clocked by clk, which some of {name} are not"
            )
        found.append(_FlipFlops(cell, cells, np.arange(first, first + len(cells))))
        first += len(cells)
    return found


def _sources(netlist: GateNetlist, known: Mapping[str, CellPower]) -> Nets:
    """Nets that are driven by ports and flip-flops."""
    parts = [*netlist.inputs.values()]
    for name, cells in netlist.cells.items():
        if known[name].state is not None:
            parts += [cells.nets[pin] for pin in known[name].functions]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def pack_streams(bits: npt.NDArray[np.generic]) -> Words:
    """Bits [..., streams] of 0 and 1 → words [..., ceil(streams / 64)], stream 0 in the lowest bit."""
    streams = bits.shape[-1]
    padded = np.zeros((*bits.shape[:-1], -(-streams // 64) * 64), np.uint8)
    padded[..., :streams] = bits
    packed = np.packbits(padded, axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u8").astype(np.uint64)


def unpack_streams(words: Words, streams: int) -> npt.NDArray[np.uint8]:
    """The other way round: words [..., W] → bits [..., streams]."""
    octets = np.ascontiguousarray(words.astype("<u8")).view(np.uint8)
    return np.unpackbits(octets, axis=-1, bitorder="little")[..., :streams]
