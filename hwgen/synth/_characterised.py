"""What a Liberty library says of single cells for power and delays: read on demand, only of cells that are asked for.

Energies are pJ, capacitances pF, times ns, leakages nW. Energy tables are in the library's capacitance unit times its
voltage unit squared. They leave out what charges the load: a rise and a fall together cost rise + fall + C V².
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hwgen.errors import HwgenError
from hwgen.synth._logic import Function, function
from hwgen.synth.liberty import _TOKEN, Library, _Group, _load_pf, _numbers, _text, _time_ns

__all__ = ["Arc", "CellPower", "Energy", "Table", "characterised"]


@dataclass(frozen=True)
class Table:
    """Values over input slew [ns] and load [pF]: linear between its points, constant beyond its ends."""

    slews: np.ndarray
    loads: np.ndarray
    values: np.ndarray

    def at(self, slew: np.ndarray, load: np.ndarray) -> np.ndarray:
        """Values at arrays of slews and loads."""
        row, up = _between(self.slews, slew)
        column, right = _between(self.loads, load)
        values = self.values
        below = values[row, column] * (1 - right) + values[row, np.minimum(column + 1, values.shape[1] - 1)] * right
        after = np.minimum(row + 1, values.shape[0] - 1)
        above = values[after, column] * (1 - right) + values[after, np.minimum(column + 1, values.shape[1] - 1)] * right
        result: np.ndarray = below * (1 - up) + above * up
        return result


def _between(axis: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if axis.size < 2:
        return np.zeros(np.shape(place), np.int64), np.zeros(np.shape(place))
    index = np.clip(np.searchsorted(axis, place, side="right") - 1, 0, axis.size - 2)
    return index, np.clip((place - axis[index]) / (axis[index + 1] - axis[index]), 0.0, 1.0)


@dataclass(frozen=True)
class Energy:
    """Energies of a rising and a falling edge, while ``when`` holds (None: in all states that have no entry of their
    own); tables of different ``rail`` add up.
    """

    rail: str
    when: Function | None
    rise: Table
    fall: Table


@dataclass(frozen=True)
class Arc:
    """From one input pin to one output pin: internal energies, and the mean of rise and fall of delay and slew."""

    source: str
    energies: tuple[Energy, ...]
    delays: tuple[Table, ...]
    slews: tuple[Table, ...]


@dataclass(frozen=True)
class CellPower:
    """One cell. ``hidden`` are the energies of input pins by themselves; ``state`` and its complement name the state of
    a flip-flop, None for gates.
    """

    name: str
    leakage_nw: float
    input_pf: Mapping[str, float]
    functions: Mapping[str, Function]
    arcs: Mapping[str, tuple[Arc, ...]]
    hidden: Mapping[str, tuple[Energy, ...]]
    clock: str | None
    next_state: Function | None
    state: tuple[str, str] | None


_START = re.compile(r"""\bcell\s*\(\s*"?([^\s"()]+)"?\s*\)\s*\{""")


@functools.lru_cache(maxsize=8)
def _file(path: Path) -> tuple[str, Mapping[str, int], _Group]:
    """Text of a file, where each cell begins, and the library group without its cells."""
    text = _text(path)
    places = {match[1]: match.start() for match in _START.finditer(text)}
    head = text[: min(places.values(), default=len(text))]
    return text, places, _group(head, 0)


def _group(text: str, start: int) -> _Group:
    """The group that begins at a place; whatever is still open at the end of the text ends there."""
    stack: list[_Group] = [_Group("", "")]
    for token in _TOKEN.finditer(text, start):
        if token["group"]:
            group = _Group(token["group"], token["name"].strip().strip('"'))
            stack[-1].groups.append(group)
            stack.append(group)
        elif token["close"]:
            stack.pop()
            if len(stack) == 1:
                break
        elif token["attribute"]:
            stack[-1].attributes[token["attribute"]] = token["value"].strip().strip('"').strip()
        elif token["complex"]:
            stack[-1].attributes[token["complex"]] = token["arguments"]
    return stack[0].groups[0]


_KNOWN: dict[tuple[str, str], CellPower] = {}
"""Cells that have been read, by the library's digest and their name."""


def characterised(library: Library, names: Iterable[str]) -> dict[str, CellPower]:
    """Cells of a library by name.

    Raises `HwgenError` for a name that it does not have and for functions and units that cannot be read.
    """
    for name in names:
        if (library.sha256, name) not in _KNOWN:
            _KNOWN[library.sha256, name] = _find(library, name)
    return {name: _KNOWN[library.sha256, name] for name in names}


def _find(library: Library, name: str) -> CellPower:
    for path in library.files:
        text, places, head = _file(path)
        if name in places:
            return _Reader(head, path).cell(_group(text, places[name]))
    raise HwgenError(f"liberty {library.name}: the library must have the cell {name}, which it has not")


def _power_nw(text: str, path: Path) -> float:
    found = re.fullmatch(r"([\d.]+)\s*(pW|nW|uW|mW)", text.strip())
    if found is None:
        raise HwgenError(f"liberty: {path} must give its leakage_power_unit in pW, nW, uW or mW, not {text!r}")
    return float(found[1]) * {"pW": 1e-3, "nW": 1.0, "uW": 1e3, "mW": 1e6}[found[2]]


class _Reader:
    """Reads cells with one library's units and templates."""

    def __init__(self, head: _Group, path: Path) -> None:
        self.head = head
        self.ns = _time_ns(head.attributes.get("time_unit", "1ns"), path)
        self.pf = _load_pf(head.attributes.get("capacitive_load_unit", "1,pf"), path)
        self.nw = _power_nw(head.attributes.get("leakage_power_unit", "1nW"), path)
        kinds = ("lu_table_template", "power_lut_template")
        self.templates = {group.name: group for group in head.groups if group.kind in kinds}

    def cell(self, group: _Group) -> CellPower:
        pins = {pin.name: pin for pin in group.of("pin")}
        inputs = {name: pin for name, pin in pins.items() if pin.attributes.get("direction") == "input"}
        outputs = {name: pin for name, pin in pins.items() if "function" in pin.attributes}
        state = next(group.of("ff"), None)
        names = None
        if state is not None:
            first, second = (part.strip().strip('"') for part in state.name.split(","))
            names = (first, second)
        return CellPower(
            name=group.name,
            leakage_nw=self._leakage(group) * self.nw,
            input_pf={name: self._capacitance(pin) for name, pin in inputs.items()},
            functions={name: function(pin.attributes["function"]) for name, pin in outputs.items()},
            arcs={name: self._arcs(pin) for name, pin in outputs.items()},
            hidden={
                name: tuple(self._energy(g) for g in pin.of("internal_power") if "related_pin" not in g.attributes)
                for name, pin in inputs.items()
            },
            clock=None if state is None else state.attributes.get("clocked_on", "").replace(" ", "").strip("()"),
            next_state=None if state is None else function(state.attributes.get("next_state", "0")),
            state=names,
        )

    def _capacitance(self, pin: _Group) -> float:
        """Mean of a rising and a falling edge, where both are given."""
        both = [pin.number(f"{edge}_capacitance", pin.number("capacitance")) for edge in ("rise", "fall")]
        return sum(both) / 2 * self.pf

    def _leakage(self, group: _Group) -> float:
        """Over all states: as the cell says, else its entry without condition, else the mean of its entries."""
        if "cell_leakage_power" in group.attributes:
            return group.number("cell_leakage_power")
        by_rail: dict[str, list[_Group]] = {}
        for entry in group.of("leakage_power"):
            by_rail.setdefault(entry.attributes.get("related_pg_pin", ""), []).append(entry)
        total = 0.0
        for entries in by_rail.values():
            general = [entry for entry in entries if "when" not in entry.attributes] or entries
            total += sum(entry.number("value") for entry in general) / len(general)
        return total if by_rail else self.head.number("default_cell_leakage_power")

    def _table(self, group: _Group | None, unit: float) -> Table:
        if group is None:
            return Table(np.zeros(1), np.zeros(1), np.zeros((1, 1)))
        values = _numbers(group.attributes.get("values", ""))
        template = self.templates.get(group.name, group)
        axes = {"slew": np.zeros(1), "load": np.zeros(1)}
        order = []
        usual = {"1": "input_transition_time", "2": "total_output_net_capacitance"}
        for index in ("1", "2"):
            points = _numbers(group.attributes.get(f"index_{index}", template.attributes.get(f"index_{index}", "")))
            if points.size and values.size > 1:
                is_load = "capacitance" in template.attributes.get(f"variable_{index}", usual[index])
                axes["load" if is_load else "slew"] = points * (self.pf if is_load else self.ns)
                order.append("load" if is_load else "slew")
        grid = values.reshape([axes[name].size for name in order] or [1]) * unit
        if order == ["load", "slew"]:
            grid = grid.T
        return Table(axes["slew"], axes["load"], grid.reshape(axes["slew"].size, axes["load"].size))

    def _energy(self, group: _Group) -> Energy:
        tables = {table.kind: table for table in group.groups}
        both = tables.get("power")
        when = group.attributes.get("when")
        return Energy(
            rail=group.attributes.get("related_pg_pin", ""),
            when=None if when is None else function(when),
            rise=self._table(tables.get("rise_power", both), self.pf),
            fall=self._table(tables.get("fall_power", both), self.pf),
        )

    def _arcs(self, pin: _Group) -> tuple[Arc, ...]:
        energies: dict[str, list[Energy]] = {}
        delays: dict[str, list[tuple[bool, Table, Table]]] = {}
        for group in pin.of("internal_power"):
            for source in group.attributes.get("related_pin", "").split():
                energies.setdefault(source, []).append(self._energy(group))
        for group in pin.of("timing"):
            kind = group.attributes.get("timing_type", "combinational")
            if not (kind.startswith("combinational") or kind.endswith("_edge")):
                continue
            tables = {table.kind: table for table in group.groups}
            for source in group.attributes.get("related_pin", "").split():
                for edge in ("rise", "fall"):
                    if f"cell_{edge}" in tables:
                        entry = (
                            "when" not in group.attributes,
                            self._table(tables[f"cell_{edge}"], self.ns),
                            self._table(tables.get(f"{edge}_transition"), self.ns),
                        )
                        delays.setdefault(source, []).append(entry)
        arcs = []
        for source in dict.fromkeys([*energies, *delays]):
            entries = delays.get(source, [])
            general = [entry for entry in entries if entry[0]] or entries
            arcs.append(
                Arc(
                    source,
                    tuple(energies.get(source, [])),
                    tuple(delay for _, delay, _ in general),
                    tuple(slew for _, _, slew in general),
                )
            )
        return tuple(arcs)
