"""Liberty cell libraries: the facts that synthesis needs, read from one or several files (plain or gzip).

A library must have gates, a buffer or inverter to drive inputs, and a flip-flop; what is read of it are areas,
capacitances, and the delay tables of its flip-flops. Times are ns, capacitances pF, areas the library's own unit.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hwgen.errors import HwgenError

__all__ = ["Cell", "FlipFlop", "Library", "generic_library", "library_group", "read_library", "unpacked"]

GENERIC = Path(__file__).with_name("generic.lib")
"""The library that is used when none is named."""

GE_UM2 = 0.798
"""Area of a gate equivalent of the generic 45 nm library in µm²: NAND2_X1 of the Nangate 45 nm open cell library."""

_TOKEN = re.compile(
    r"""
    (?P<comment>/\*.*?\*/|//[^\n]*)
  | (?P<group>[A-Za-z_]\w*)\s*\(\s*(?P<name>(?:"[^"]*"|[^()"])*)\)\s*\{
  | (?P<close>\})
  | (?P<attribute>[A-Za-z_]\w*)\s*:\s*(?P<value>"[^"]*"|[^;{}\n]*)
  | (?P<complex>[A-Za-z_]\w*)\s*\(\s*(?P<arguments>(?:"[^"]*"|[^()"])*)\)\s*;?
    """,
    re.X | re.S,
)


@dataclass
class _Group:
    kind: str
    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    groups: list[_Group] = field(default_factory=list)

    def of(self, kind: str) -> Iterator[_Group]:
        return (group for group in self.groups if group.kind == kind)

    def number(self, name: str, default: float = 0.0) -> float:
        try:
            return float(self.attributes.get(name, default))
        except ValueError:
            return default


@dataclass(frozen=True)
class FlipFlop:
    """Timing of a flip-flop in ns: clock to output and setup, at the library's second slew, loaded with four of its own
    data inputs.
    """

    clk_to_q_ns: float
    setup_ns: float


@dataclass(frozen=True)
class Cell:
    """One cell: area in the library's unit, input capacitances in pF, output functions, and what kind it is."""

    name: str
    area: float
    input_pf: dict[str, float]
    functions: dict[str, str]
    flip_flop: FlipFlop | None
    usable: bool


@dataclass(frozen=True)
class Library:
    """Cells by name, with where they came from. ``area_unit`` is "um2" or "GE"."""

    name: str
    files: tuple[Path, ...]
    sha256: str
    area_unit: str
    voltage_v: float
    temperature_c: float
    cells: dict[str, Cell]

    @property
    def buffer(self) -> Cell:
        """The driver of inputs: the second smallest usable buffer, or inverter where there is no buffer."""
        for wanted in (lambda pin: pin, lambda pin: f"!{pin}"):
            fitting = [
                cell
                for cell in self.cells.values()
                if cell.usable
                and len(cell.input_pf) == 1
                and [_plain(f) for f in cell.functions.values()] == [wanted(next(iter(cell.input_pf)))]
            ]
            if fitting:
                return sorted(fitting, key=lambda cell: (cell.area, cell.name))[min(1, len(fitting) - 1)]
        raise HwgenError(f"liberty {self.name}: the library must have a buffer or an inverter, which it has not")

    @property
    def unit_um2(self) -> float:
        """One unit of the library's areas in µm²."""
        return GE_UM2 if self.area_unit == "GE" else 1.0

    @property
    def load_pf(self) -> float:
        """Load of outputs: four inputs of the driver."""
        return 4 * next(iter(self.buffer.input_pf.values()))


def _plain(function: str) -> str:
    text = function.strip('"').replace(" ", "").replace("(", "").replace(")", "")
    return f"!{text[:-1]}" if text.endswith("'") else text


def unpacked(path: Path) -> bytes:
    """Content of a file that is plain or gzip."""
    raw = path.read_bytes()
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


def _text(path: Path) -> str:
    try:
        data = unpacked(path)
    except (OSError, EOFError, gzip.BadGzipFile) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise HwgenError(f"liberty: {path} must be a readable Liberty file, plain or gzip ({reason})") from error
    if not data.strip():
        raise HwgenError(f"liberty: {path} must be a Liberty file, not an empty one")
    return data.decode("utf-8", errors="replace")


def _parse(text: str, path: Path) -> _Group:
    root = _Group("file", str(path))
    stack = [root]
    for token in _TOKEN.finditer(text):
        if token["group"]:
            group = _Group(token["group"], token["name"].strip().strip('"'))
            stack[-1].groups.append(group)
            stack.append(group)
        elif token["close"]:
            if len(stack) == 1:
                break
            stack.pop()
        elif token["attribute"]:
            stack[-1].attributes[token["attribute"]] = token["value"].strip().strip('"').strip()
        elif token["complex"]:
            stack[-1].attributes[token["complex"]] = token["arguments"]
    found = list(root.of("library"))
    if len(found) != 1 or len(stack) != 1:
        raise HwgenError(f"liberty: {path} must be a Liberty file with one complete library group, which it is not")
    return found[0]


def library_group(path: Path) -> _Group:
    """The library group of a file with everything in it; raises `HwgenError` as `read_library`."""
    return _parse(_text(path), path)


def _numbers(text: str) -> np.ndarray:
    return np.array([float(part) for part in re.findall(r"[-+.\deE]+", text)])


def _at(table: _Group, templates: dict[str, _Group], slew_index: int, load_pf: float, scale_pf: float) -> float:
    """Value of a table at an index of its first axis and a load on its second (linear, kept within its ends)."""
    values = _numbers(table.attributes.get("values", ""))
    template = templates.get(table.name, table)
    axis_1 = _numbers(table.attributes.get("index_1", template.attributes.get("index_1", "")))
    axis_2 = _numbers(table.attributes.get("index_2", template.attributes.get("index_2", "")))
    if values.size <= 1 or not axis_1.size:
        return float(values[0]) if values.size else 0.0
    grid = values.reshape(axis_1.size, -1)
    row = grid[min(slew_index, len(grid) - 1)]
    return float(np.interp(load_pf / scale_pf, axis_2, row)) if axis_2.size == row.size else float(row[0])


def _flip_flop(group: _Group, templates: dict[str, _Group], scale_ns: float, scale_pf: float) -> FlipFlop | None:
    state = next(group.of("ff"), None)
    if state is None or "preset" in state.attributes or "clear" in state.attributes:
        return None
    pins = {pin.name: pin for pin in group.of("pin")}
    data = [pins[name] for name in re.findall(r"\w+", state.attributes.get("next_state", "")) if name in pins]
    if not data:
        return None
    load_pf = 4 * max(pin.number("capacitance") for pin in data) * scale_pf
    delays, setups = [0.0], [0.0]
    for pin in pins.values():
        for timing in pin.of("timing"):
            kind = timing.attributes.get("timing_type", "")
            for table in timing.groups:
                if kind.endswith("_edge") and table.kind in ("cell_rise", "cell_fall"):
                    delays.append(_at(table, templates, 1, load_pf, scale_pf))
                elif kind.startswith("setup") and table.kind in ("rise_constraint", "fall_constraint"):
                    setups.append(_at(table, templates, 1, 0.0, scale_pf))
    return FlipFlop(max(delays) * scale_ns, max(setups) * scale_ns)


def _cell(group: _Group, templates: dict[str, _Group], scale_ns: float, scale_pf: float) -> Cell:
    inputs: dict[str, float] = {}
    functions: dict[str, str] = {}
    for pin in group.of("pin"):
        if pin.attributes.get("direction") == "input":
            inputs[pin.name] = pin.number("capacitance") * scale_pf
        elif "function" in pin.attributes:
            functions[pin.name] = pin.attributes["function"]
    usable = group.attributes.get("dont_use", "false").lower() != "true" and group.number("area") > 0
    flip_flop = _flip_flop(group, templates, scale_ns, scale_pf)
    return Cell(group.name, group.number("area"), inputs, functions, flip_flop, usable)


def _time_ns(text: str, path: Path) -> float:
    found = re.fullmatch(r"(\d+)\s*(ps|ns)", text.strip())
    if found is None:
        raise HwgenError(f"liberty: {path} must give its time_unit in ps or ns, not {text!r}")
    return int(found[1]) * {"ps": 1e-3, "ns": 1.0}[found[2]]


def _load_pf(text: str, path: Path) -> float:
    found = re.fullmatch(r"([\d.]+)\s*,\s*\"?(ff|pf)\"?", text.strip().lower())
    if found is None:
        raise HwgenError(f"liberty: {path} must give its capacitive_load_unit in ff or pf, not {text!r}")
    return float(found[1]) * {"ff": 1e-3, "pf": 1.0}[found[2]]


def read_library(paths: Sequence[Path]) -> Library:
    """Read Liberty files as one library.

    Raises `HwgenError` for a file that cannot be read, is empty or is not Liberty, for files of different voltages, and
    for a library without cells, without a flip-flop, or without a gate.
    """
    if not paths:
        raise HwgenError("liberty: at least one Liberty file must be given")
    return _read(tuple(Path(path).resolve() for path in paths))


@functools.cache
def _read(paths: tuple[Path, ...]) -> Library:
    cells: dict[str, Cell] = {}
    sha = hashlib.sha256()
    corners = set()
    names = []
    unit = "um2"
    for path in paths:
        text = _text(path)
        sha.update(text.encode())
        library = _parse(text, path)
        scale_ns = _time_ns(library.attributes.get("time_unit", "1ns"), path)
        scale_pf = _load_pf(library.attributes.get("capacitive_load_unit", "1,pf"), path)
        templates = {group.name: group for group in library.of("lu_table_template")}
        for group in library.of("cell"):
            cells[group.name] = _cell(group, templates, scale_ns, scale_pf)
        corners.add((library.number("nom_voltage"), library.number("nom_temperature")))
        names.append(library.name)
        unit = "GE" if library.attributes.get("hwgen_area_unit") == "GE" else unit
    listed = ", ".join(path.name for path in paths)
    if not cells:
        raise HwgenError(f"liberty: {listed} must have cells, not none")
    if len(corners) > 1:
        shown = ", ".join(f"{volt:g} V {degree:g} °C" for volt, degree in sorted(corners))
        raise HwgenError(f"liberty: {listed} must be of one corner, not {shown}")
    if not any(cell.flip_flop for cell in cells.values()):
        raise HwgenError(f"liberty: {listed} must have a flip-flop without set and reset, not only other cells")
    if not any(cell.functions and not cell.flip_flop and cell.usable for cell in cells.values()):
        raise HwgenError(f"liberty: {listed} must have gates, not only flip-flops")
    voltage, temperature = corners.pop()
    return Library(_common(names), paths, sha.hexdigest(), unit, voltage, temperature, cells)


def _common(names: Sequence[str]) -> str:
    """One name for several files: the first one's, up to where they begin to differ."""
    if len(names) == 1:
        return names[0]
    count = next((i for i, letters in enumerate(zip(*names, strict=False)) if len(set(letters)) > 1), len(names[0]))
    return names[0][:count].rstrip("_-") or names[0]


def generic_library() -> Library:
    """The project's own small library: areas in gate equivalents, delays by logical effort."""
    return read_library([GENERIC])
