"""What a Liberty library says of single cells for power and delays: read on demand, only of cells that are asked for.

Energies are pJ, capacitances pF, times ns, leakages nW. Energy tables are in the library's capacitance unit times V²,
whatever its voltage unit. They leave out what charges the load: a rise and a fall together cost rise + fall + C V².
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwgen.synth._liberty_text import Group
from hwgen.synth._logic import Function, function
from hwgen.synth._tables import slew_load
from hwgen.synth.liberty import Head, Library, capacitance_of, cell_group, direction_of, pins_of

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
    a flip-flop, None for gates; ``clear`` and ``preset`` are when it is 0 and 1 whatever its clock does.
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
    clear: Function | None = None
    preset: Function | None = None


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
    head, group = cell_group(library, name)
    return _Reader(head).cell(group)


class _Reader:
    """Reads cells with one file's units, templates and defaults."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self.ns, self.pf, self.nw = head.units.ns, head.units.pf, head.units.nw

    def cell(self, group: Group) -> CellPower:
        pins = dict(pins_of(group))
        inputs = {name: pin for name, pin in pins.items() if direction_of(pin) == "input"}
        outputs = {name: pin for name, pin in pins.items() if "function" in pin and direction_of(pin) != "internal"}
        functions = {name: function(pin.text("function")) for name, pin in outputs.items()}
        state = next(group.of("ff"), None)
        names = None
        if state is not None:
            first, second = (*state.names, "", "")[:2]
            names = (first, second)
        clock = None if state is None else re.sub(r"[\s()]", "", state.text("clocked_on"))
        arcs = {
            name: self._arcs(pin, [clock] if clock else list(functions[name].inputs)) for name, pin in outputs.items()
        }
        return CellPower(
            name=group.name,
            leakage_nw=self._leakage(group) * self.nw,
            input_pf={
                name: (capacitance_of(pin, self.head, mean=True) or 0.0) * self.pf for name, pin in inputs.items()
            },
            functions=functions,
            arcs=arcs,
            hidden={
                name: tuple(self._energy(g) for g in pin.of("internal_power") if not _sources(g))
                for name, pin in inputs.items()
            },
            clock=clock,
            next_state=None if state is None else function(state.text("next_state", "0")),
            state=names,
            clear=self._set(state, "clear"),
            preset=self._set(state, "preset"),
        )

    @staticmethod
    def _set(state: Group | None, name: str) -> Function | None:
        return function(state.text(name)) if state is not None and name in state else None

    def _leakage(self, group: Group) -> float:
        """Over all states: as the cell says, else its entry without condition, else the mean of its entries, else as
        the library has it for all cells or for their areas.
        """
        own = group.number("cell_leakage_power")
        if own is not None:
            return own
        by_rail: dict[str, list[Group]] = {}
        for entry in group.of("leakage_power"):
            by_rail.setdefault(entry.text("related_pg_pin"), []).append(entry)
        total = 0.0
        for entries in by_rail.values():
            general = [entry for entry in entries if "when" not in entry] or entries
            total += sum(entry.number("value") or 0.0 for entry in general) / len(general)
        if by_rail:
            return total
        default = self.head.group.number("default_cell_leakage_power")
        if default is not None:
            return default
        return (self.head.group.number("default_leakage_power_density") or 0.0) * (group.number("area") or 0.0)

    def _table(self, group: Group | None, unit: float) -> Table:
        if group is None:
            return Table(np.zeros(1), np.zeros(1), np.zeros((1, 1)))
        slews, loads, values = slew_load(group, self.head.templates)
        return Table(slews * self.ns, loads * self.pf, values * unit)

    def _energy(self, group: Group) -> Energy:
        tables = {table.kind: table for table in group.groups}
        both = tables.get("power")
        return Energy(
            rail=group.text("related_pg_pin"),
            when=function(group.text("when")) if "when" in group else None,
            rise=self._table(tables.get("rise_power", both), self.pf),
            fall=self._table(tables.get("fall_power", both), self.pf),
        )

    def _arcs(self, pin: Group, causes: Sequence[str]) -> tuple[Arc, ...]:
        """Arcs to an output; energies that name no input are of all ``causes`` that have none of their own."""
        energies: dict[str, list[Energy]] = {}
        delays: dict[str, list[tuple[bool, Table, Table]]] = {}
        general: list[Energy] = []
        for group in pin.of("internal_power"):
            energy = self._energy(group)
            for source in _sources(group):
                energies.setdefault(source, []).append(energy)
            if not _sources(group):
                general.append(energy)
        for source in causes if general else ():
            energies.setdefault(source, general)
        for group in pin.of("timing"):
            kind = group.text("timing_type", "combinational")
            if not (kind.startswith("combinational") or kind.endswith("_edge")):
                continue
            tables = {table.kind: table for table in group.groups}
            for source in _sources(group):
                for edge in ("rise", "fall"):
                    if f"cell_{edge}" in tables:
                        entry = (
                            "when" not in group,
                            self._table(tables[f"cell_{edge}"], self.ns),
                            self._table(tables.get(f"{edge}_transition"), self.ns),
                        )
                        delays.setdefault(source, []).append(entry)
        arcs = []
        for source in dict.fromkeys([*energies, *delays]):
            entries = delays.get(source, [])
            plain = [entry for entry in entries if entry[0]] or entries
            arcs.append(
                Arc(
                    source,
                    tuple(energies.get(source, [])),
                    tuple(delay for _, delay, _ in plain),
                    tuple(slew for _, _, slew in plain),
                )
            )
        return tuple(arcs)


def _sources(group: Group) -> list[str]:
    """Pins that a group relates to."""
    return [name.replace("\\", "") for name in re.split(r"[\s,]+", group.text("related_pin")) if name]
