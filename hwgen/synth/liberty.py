"""Liberty cell libraries: the facts that synthesis needs, read from one or several files (plain or gzip).

A library must have gates, a buffer or inverter to drive inputs, and a flip-flop; what is read of it are areas,
capacitances, and the delay tables of its flip-flops. Times are ns, capacitances pF, areas the library's own unit.
Defaults of the library are applied; what it does not say is refused, never taken as 0.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hwgen.errors import HwgenError
from hwgen.synth._liberty_text import Group, group_at, library_of, source_of, sources_of, unpacked, whole_text
from hwgen.synth._logic import function
from hwgen.synth._tables import Units, constraint, other_axes, slew_load, templates_of, units_of

__all__ = [
    "FALLING",
    "Cell",
    "FlipFlop",
    "Head",
    "Library",
    "cell_group",
    "generic_library",
    "library_groups",
    "pins_of",
    "read_library",
    "unpacked",
]

GENERIC = Path(__file__).with_name("generic.lib")
"""The library that is used when none is named."""

GE_UM2 = 0.798
"""Area of a gate equivalent of the generic 45 nm library in µm²: NAND2_X1 of the Nangate 45 nm open cell library."""

_NOT_PLAIN = ("bus", "bundle", "ff_bank", "latch_bank", "statetable", "memory")
"""Groups of a cell that no gate and no flip-flop of one bit has."""

_SPECIAL = (
    "clock_gating_integrated_cell",
    "is_isolation_cell",
    "is_level_shifter",
    "is_macro_cell",
    "is_memory",
    "pad_cell",
    "retention_cell",
    "switch_cell_type",
)
"""Attributes of cells that only a person or a power intent may place."""

FALLING = "takes data at the falling edge"
"""What tiles lack of a flip-flop that is right in every other way."""
_DIRECTIONS = ("input", "output", "inout", "internal")


@dataclass(frozen=True)
class FlipFlop:
    """Timing of a flip-flop in ns: clock to output, at the library's second slew, loaded with four of its own data
    inputs; setup at that slew of the clock and the first slew of the data. ``lacks`` is why a tile cannot use it,
    empty where it can.
    """

    clk_to_q_ns: float
    setup_ns: float
    lacks: str = ""


@dataclass(frozen=True)
class Cell:
    """One cell: area in the library's unit, input capacitances in pF, output functions, and what kind it is; ``timed``
    is whether it has delay tables. ``lacks`` is why it is left out though it is a gate or a flip-flop, empty where it
    is not.
    """

    name: str
    area: float
    input_pf: dict[str, float]
    functions: dict[str, str]
    flip_flop: FlipFlop | None
    usable: bool
    timed: bool = True
    lacks: str = ""


@dataclass(frozen=True)
class Head:
    """What a file says for all of its cells. ``group`` is its library group without them, ``other_axes`` are the
    templates of tables that nobody reads here, with their variables.
    """

    path: Path
    group: Group
    units: Units
    templates: Mapping[str, Group]
    other_axes: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Library:
    """Cells by name, with where they came from. ``area_unit`` is "um2" or "GE", ``time_unit_ns`` the unit in which the
    first file gives times: tools read constraints in it.
    """

    name: str
    files: tuple[Path, ...]
    sha256: str
    area_unit: str
    voltage_v: float
    temperature_c: float
    cells: dict[str, Cell]
    time_unit_ns: float = 1.0
    places: Mapping[str, tuple[Head, Path, int]] = field(default_factory=dict, repr=False, compare=False)

    def drivers(self, *, inverted: bool) -> list[Cell]:
        """Buffers or inverters that may be used, with delays where some have them."""
        found = [
            cell
            for cell in self.cells.values()
            if cell.usable
            and len(cell.input_pf) == 1
            and [_plain(f) for f in cell.functions.values()] == [f"{'!' * inverted}{next(iter(cell.input_pf))}"]
        ]
        return [cell for cell in found if cell.timed] or found

    @property
    def buffer(self) -> Cell:
        """The driver of inputs: the second smallest usable buffer, or inverter where there is no buffer."""
        for inverted in (False, True):
            fitting = self.drivers(inverted=inverted)
            if fitting:
                return sorted(fitting, key=lambda cell: (cell.area, cell.name))[min(1, len(fitting) - 1)]
        raise HwgenError(f"liberty {self.name}: the library must have a buffer or an inverter, which it has not")

    @property
    def nand_area(self) -> float | None:
        """Area of the smallest NAND of two inputs that may be used, in the library's unit; None where there is none.

        It is the gate equivalent of the library.
        """
        ones = np.array([[1, 1], [1, 0]], dtype=bool)
        gates = [
            cell.area
            for cell in self.cells.values()
            if cell.usable
            and not cell.flip_flop
            and len(cell.input_pf) == 2
            and len(cell.functions) == 1
            and np.array_equal(function(*cell.functions.values()).truth(), ones)
        ]
        return min(gates, default=None)

    @property
    def left_out(self) -> dict[str, str]:
        """Cells that nobody can use here though their library means them to be used, and what about them is so."""
        return {name: cell.lacks for name, cell in self.cells.items() if cell.lacks}

    @property
    def unit_um2(self) -> float:
        """One unit of the library's areas in µm²."""
        return GE_UM2 if self.area_unit == "GE" else 1.0

    @property
    def load_pf(self) -> float:
        """Load of outputs: four inputs of the driver."""
        return 4 * next(iter(self.buffer.input_pf.values()))

    @property
    def time_unit(self) -> str:
        """The unit of its times as constraints name it: ns, ps, 10ps."""
        for unit, scale in (("ns", 1.0), ("ps", 1e-3), ("fs", 1e-6)):
            count = round(self.time_unit_ns / scale, 9)
            if count >= 1:
                return unit if count == 1 else f"{count:g}{unit}"
        raise AssertionError(self.time_unit_ns)


def _plain(text: str) -> str:
    text = text.strip('"').replace(" ", "").replace("(", "").replace(")", "")
    return f"!{text[:-1]}" if text.endswith("'") else text


def pins_of(cell: Group) -> Iterator[tuple[str, Group]]:
    """Pins of a cell by name: a group may give several."""
    for group in cell.of("pin"):
        for name in group.names:
            yield name, group


def direction_of(pin: Group) -> str:
    """Direction of a pin, empty where it has none; raises `HwgenError` for a word that is none."""
    found = pin.text("direction").lower()
    if found and found not in _DIRECTIONS:
        raise pin.error("direction", f"must be one of {', '.join(_DIRECTIONS)}", found)
    return found


def capacitance_of(pin: Group, head: Head, *, mean: bool) -> float | None:
    """Capacitance of a pin in the library's unit: its own, the mean of its edges (with ``mean`` before its own), or the
    library's default; None where nothing is said.
    """
    own = pin.number("capacitance")
    edges = [pin.number(f"{edge}_capacitance") for edge in ("rise", "fall")]
    given = [own if edge is None else edge for edge in edges]
    known = [value for value in given if value is not None]
    if own is not None and not mean:
        return own
    if known:
        return sum(known) / len(known)
    kind = "inout" if direction_of(pin) == "inout" else "input"
    return head.group.number(f"default_{kind}_pin_cap")


def _flip_flop(group: Group, head: Head, area: float) -> FlipFlop | None:
    state = next(group.of("ff"), None)
    if state is None:
        return next((FlipFlop(0.0, 0.0, "holds several bits") for _ in group.of("ff_bank")), None)
    odd = _odd_tables(group, head)
    if odd:
        return FlipFlop(0.0, 0.0, odd)
    pins = dict(pins_of(group))
    inside = state.text("next_state")
    data = [pins[name] for name in re.findall(r"[\w\[\]]+", inside) if name in pins]
    delays, setups = [0.0], [0.0]
    if data:
        load = 4 * max(capacitance_of(pin, head, mean=False) or 0.0 for pin in data)
        for pin in pins.values():
            for timing in pin.of("timing"):
                kind = timing.text("timing_type")
                for table in timing.groups:
                    if kind.endswith("_edge") and table.kind in ("cell_rise", "cell_fall"):
                        slews, loads, values = slew_load(table, head.templates)
                        delays.append(float(np.interp(load, loads, values[min(1, slews.size - 1)])))
                    elif kind.startswith("setup") and table.kind in ("rise_constraint", "fall_constraint"):
                        setups.append(constraint(table, head.templates))
    lacks = _lacks(group, state, pins, area)
    return FlipFlop(max(delays) * head.units.ns, max(setups) * head.units.ns, lacks)


def _lacks(group: Group, state: Group, pins: Mapping[str, Group], area: float) -> str:
    """Why tiles cannot use a flip-flop: those take one bit at an edge of a clock pin, from one pin or by an enable."""
    if not area > 0:
        return "has no area above 0"
    if group.flag("dont_use"):
        return "is marked dont_use"
    if not _ordinary(group):
        return "holds its state in other ways too"
    inside = state.text("next_state")
    if not inside:
        return "has no next_state"
    clock = re.sub(r"[\s()]", "", state.text("clocked_on"))
    if clock.strip("!'") not in pins:
        return f"is clocked by {state.text('clocked_on') or 'nothing'}"
    if clock != clock.strip("!'"):
        return FALLING
    try:
        read = set(function(inside).inputs)
    except HwgenError:
        return f"takes {inside}, which is no function of pins"
    if len(read - set(state.names)) != 1 and not read & set(state.names):
        return f"takes {inside}, not one data pin"
    return ""


def _odd_tables(group: Group, head: Head) -> str:
    """Which of a cell's tables are over other axes than slew and load, empty where none is."""
    for pin in group.of("pin") if head.other_axes else ():
        for about in pin.groups:
            for table in about.groups:
                if table.name in head.other_axes:
                    return f"has {table.kind} over {', '.join(head.other_axes[table.name])}"
    return ""


def _ordinary(group: Group) -> bool:
    """Whether a cell is a gate, a latch or a flip-flop of one bit, with all of its pins by themselves."""
    kinds = {inner.kind for inner in group.groups}
    if kinds.intersection(_NOT_PLAIN) or {"ff", "latch"} <= kinds:
        return False
    if any(group.text(name, "false").lower() not in ("false", "") for name in _SPECIAL):
        return False
    return not any("three_state" in pin for pin in group.of("pin"))


def _cell(group: Group, head: Head) -> Cell:
    inputs: dict[str, float] = {}
    functions: dict[str, str] = {}
    area = group.number("area") or 0.0
    usable = not group.flag("dont_use") and area > 0 and _ordinary(group)
    for name, pin in pins_of(group):
        direction = direction_of(pin)
        if direction == "input":
            inputs[name] = (capacitance_of(pin, head, mean=False) or 0.0) * head.units.pf
        elif "function" in pin and direction != "internal":
            functions[name] = pin.text("function")
    timed = any(table.kind == "cell_rise" for table in _timings(group))
    odd = _odd_tables(group, head) if usable else ""
    return Cell(group.name, area, inputs, functions, _flip_flop(group, head, area), usable and not odd, timed, odd)


def read_library(paths: Sequence[Path]) -> Library:
    """Read Liberty files as one library.

    Raises `HwgenError` for a file that cannot be read, is empty or is not Liberty, for numbers that are none, with
    their place, for files of different voltages, for a file or a cell that is given twice, and for a library without
    cells, without a flip-flop that tiles can use, without a gate, without delays, or without a voltage.
    """
    if not paths:
        raise HwgenError("liberty: at least one Liberty file must be given")
    found = tuple(Path(path).resolve() for path in paths)
    for index, path in enumerate(found):
        if path in found[:index]:
            raise HwgenError(f"liberty: {path.name} must be given once, not twice ({path})")
    return _read(found, tuple(sources_of(path) for path in found))


@functools.lru_cache(maxsize=8)
def _read(paths: tuple[Path, ...], sources: tuple[object, ...]) -> Library:
    cells: dict[str, Cell] = {}
    places: dict[str, tuple[Head, Path, int]] = {}
    heads: list[Head] = []
    sha = hashlib.sha256()
    timed = False
    unknown: tuple[Group, str] | None = None
    listed = ", ".join(path.name for path in paths)
    for path, (head, groups) in zip(paths, _groups(paths), strict=True):
        sha.update(whole_text(path).encode())
        heads.append(head)
        for group in groups:
            name = group.name
            if name in places:
                _, other, start = places[name]
                before = group_at(source_of(other), start).place()
                raise HwgenError(f"liberty: cell {name} must be defined once, not twice: {before} and {group.place()}")
            cells[name] = _cell(group, head)
            places[name] = (head, group.source.path, group.start)
            if unknown is None and cells[name].usable and cells[name].functions:
                unknown = next(((group, pin) for pin in _without_capacitance(group, head)), None)
            timed = timed or (cells[name].usable and cells[name].timed)
    if not cells:
        raise HwgenError(f"liberty: {listed} must have cells, not none")
    _check_flip_flops(listed, cells)
    gates = [cell for cell in cells.values() if cell.functions and not cell.flip_flop and cell.usable]
    odd = next((f"{name} {cell.lacks}" for name, cell in cells.items() if cell.lacks and not cell.flip_flop), "")
    if not gates and odd:
        raise HwgenError(f"liberty: {listed} must have gates whose tables are over slew and load, not none: {odd}")
    if not gates:
        raise HwgenError(f"liberty: {listed} must have gates, not only flip-flops")
    if not timed:
        raise HwgenError(f"liberty: {listed} must have delay tables of its gates (cell_rise and cell_fall), not none")
    if unknown is not None:
        raise HwgenError(
            f"liberty: {unknown[0].place()}: pin {unknown[1]} must have a capacitance, its own or "
            "default_input_pin_cap, not none"
        )
    if not any(any(cell.input_pf.values()) for cell in gates):
        raise HwgenError(f"liberty: {listed} must have capacitances above 0 at the inputs of its gates, not all 0")
    voltage, temperature = _corner(listed, heads)
    unit = "GE" if any(head.group.text("hwgen_area_unit") == "GE" for head in heads) else "um2"
    name = _common([head.group.name for head in heads])
    return Library(name, paths, sha.hexdigest(), unit, voltage, temperature, cells, heads[0].units.ns, places)


def _without_capacitance(group: Group, head: Head) -> Iterator[str]:
    for name, pin in pins_of(group):
        if direction_of(pin) == "input" and capacitance_of(pin, head, mean=False) is None:
            yield name


def _timings(group: Group) -> Iterator[Group]:
    return itertools.chain.from_iterable(timing.groups for pin in group.of("pin") for timing in pin.of("timing"))


def _check_flip_flops(listed: str, cells: Mapping[str, Cell]) -> None:
    held = {name: cell.flip_flop for name, cell in cells.items() if cell.flip_flop}
    if not held:
        raise HwgenError(f"liberty: {listed} must have a flip-flop, not only other cells")
    if all(one.lacks for one in held.values()):
        said = [f"{name} {one.lacks}" for name, one in held.items()]
        shown = "; ".join([*said[:3], *([f"{len(said) - 3} more"] if len(said) > 3 else [])])
        raise HwgenError(f"liberty: {listed} must have a flip-flop that a tile can use, which it has not: {shown}")


def _corner(listed: str, heads: Sequence[Head]) -> tuple[float, float]:
    """Voltage and temperature of files that must be of one corner: nominal, else of the operating conditions."""
    volts: set[float] = set()
    degrees: set[float] = set()
    corners = set()
    for head in heads:
        conditions = list(head.group.of("operating_conditions"))
        default = head.group.text("default_operating_conditions")
        alike = len({(one.number("voltage"), one.number("temperature")) for one in conditions}) == 1
        chosen = [one for one in conditions if one.name == default] or (conditions if alike else [])
        volt = head.group.number("nom_voltage")
        degree = head.group.number("nom_temperature")
        for one in chosen[:1]:
            volt = one.number("voltage") if volt is None else volt
            degree = one.number("temperature") if degree is None else degree
        if volt is None:
            volt = _supply(head.group)
        if volt is not None:
            volts.add(volt * head.units.volt)
        if degree is not None:
            degrees.add(degree)
        corners.add((None if volt is None else volt * head.units.volt, degree))
    if not volts:
        raise HwgenError(
            f"liberty: {listed} must give a voltage (nom_voltage, operating_conditions or voltage_map), not none"
        )
    if len(volts) > 1 or len(degrees) > 1:
        whole = sorted((volt or 0.0, degree or 0.0) for volt, degree in corners)
        shown = ", ".join(f"{volt:g} V {degree:g} °C" for volt, degree in whole)
        raise HwgenError(f"liberty: {listed} must be of one corner, not {shown}")
    voltage = volts.pop()
    if not voltage > 0:
        raise HwgenError(f"liberty: {listed} must be of a voltage above 0, not {voltage:g} V")
    return voltage, degrees.pop() if degrees else 25.0


def _supply(group: Group) -> float | None:
    """The highest voltage of the rails."""
    found = []
    for name in group.attributes:
        if name.startswith("voltage_map "):
            text = group.listed(name)[-1]
            try:
                found.append(float(text))
            except ValueError:
                raise group.error(name, "must give a number", text) from None
    return max(found, default=None)


def _groups(paths: Sequence[Path]) -> Iterator[tuple[Head, list[Group]]]:
    for path in paths:
        library = library_of(source_of(path))
        cells = list(library.of("cell"))
        library.groups = [group for group in library.groups if group.kind != "cell"]
        templates = templates_of(library)
        yield Head(path, library, units_of(library), templates, other_axes(templates)), cells


def library_groups(library: Library) -> Iterator[tuple[Head, list[Group]]]:
    """The files of a library one by one: what each says for all cells, and its cells."""
    return _groups(library.files)


def cell_group(library: Library, name: str) -> tuple[Head, Group]:
    """One cell as it is written, and what its file says for all cells; raises `HwgenError` for an unknown one."""
    if name not in library.places:
        raise HwgenError(f"liberty {library.name}: the library must have the cell {name}, which it has not")
    head, path, start = library.places[name]
    return head, group_at(source_of(path), start)


def _common(names: Sequence[str]) -> str:
    """One name for several files: the first one's, up to where they begin to differ."""
    if len(names) == 1:
        return names[0]
    count = next((i for i, letters in enumerate(zip(*names, strict=False)) if len(set(letters)) > 1), len(names[0]))
    return names[0][:count].rstrip("_-") or names[0]


def generic_library() -> Library:
    """The project's own small library: areas in gate equivalents, delays by logical effort."""
    return read_library([GENERIC])
