"""A library cut down to what mapping reads: it is parsed for every block, and most of a Liberty file is power.

Kept are cells that a design may use, their pins and functions, and the delay tables of gates: ABC's own dump of the
result is that of the whole library. Wire loads are left out with the power, as all figures are without wires.

It is written in the one way that Yosys and ABC read: a pin and a related pin a group, tables over slew and load in this
order, one pair of units, defaults said at each pin. What they could not use is refused here, by its name and place.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from hwgen.errors import HwgenError
from hwgen.simulators.cache import cached, digest, locked, read_kept, write_kept
from hwgen.synth._liberty_text import Group
from hwgen.synth._logic import function
from hwgen.synth._tables import slew_load
from hwgen.synth._yosys import finished, yosys
from hwgen.synth.liberty import FALLING, Head, Library, capacitance_of, direction_of, library_groups, pins_of

__all__ = ["Slim", "resettable", "slimmed"]

_VERSION = "liberty 6"
"""Part of the name in the cache: to be raised with every change of what is kept."""

_LEFT_OUT = "*lpflow* *probe* *macro_sparecell*"
"""Cells that no design should use by itself: power switches and isolation of sky130."""

_FLIP_FLOPS = r"""
module \ff
  wire input 1 \c
  wire input 2 \d
  wire input 3 \e
  wire output 4 \q
  wire output 5 \r
  cell $_DFF_P_ \plain
    connect \C \c
    connect \D \d
    connect \Q \q
  end
  cell $_DFFE_PP_ \enabled
    connect \C \c
    connect \D \d
    connect \E \e
    connect \Q \r
  end
end
"""

_RESETTABLE = r"""
module \ff
  wire input 1 \c
  wire input 2 \d
  wire input 3 \r
  wire output 4 \q
  cell $_DFF_PP0_ \cleared
    connect \C \c
    connect \D \d
    connect \R \r
    connect \Q \q
  end
end
"""

_DELAYS = {"cell_rise", "cell_fall", "rise_transition", "fall_transition"}
_GROUPS = {"ff", "latch"}
_TIMES_NS = {1.0: "1ns", 1e-3: "1ps", 1e-2: "10ps", 1e-1: "100ps"}
_LOADS_PF = {1.0: "(1, pf)", 1e-3: "(1, ff)"}
"""Units that ABC reads."""
_LOADS = {"capacitance", "rise_capacitance", "fall_capacitance", "max_capacitance"}

_KEPT = {
    "library": {
        "delay_model",
        "nom_process",
        "nom_voltage",
        "nom_temperature",
        "default_max_transition",
    },
    "cell": {"area", "cell_leakage_power"},
    "pin": {
        "direction",
        "function",
        "capacitance",
        "rise_capacitance",
        "fall_capacitance",
        "max_capacitance",
        "max_transition",
        "clock",
        "three_state",
        "nextstate_type",
    },
    "timing": {"related_pin", "timing_sense", "timing_type", "when"},
    "leakage_power": {"value"},
}
"""Attributes by kind of group; of other kinds all are kept."""


@dataclass(frozen=True)
class Slim:
    """Files in ``folder``: ``cells`` for ABC, whose binary copy lies beside, and ``shapes`` for Yosys itself."""

    folder: Path

    @property
    def cells(self) -> Path:
        """Usable cells with the delays of gates."""
        return self.folder / "cells.lib"

    @property
    def shapes(self) -> Path:
        """The same cells: areas, pins, functions and states."""
        return self.folder / "shapes.lib"

    @property
    def flip_flops(self) -> tuple[str, ...]:
        """Names of the flip-flops that Yosys takes of this library, with and without an enable."""
        return tuple((self.folder / "flip_flops").read_text().split())

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of flip-flops at the falling edge that Yosys would have taken for tiles, with an inverted clock."""
        return tuple((self.folder / "left_out").read_text().split())


def _rises(library: Library, name: str) -> bool:
    """Whether a flip-flop takes data at the rising edge."""
    held = library.cells[name].flip_flop
    return held is not None and held.lacks != FALLING


def slimmed(library: Library) -> Slim:
    """The cells of a library that mapping may use as one file, made once and kept in the cache.

    Of several files the first gives the units, and the defaults as ABC takes them when it merges. Raises `HwgenError`
    where the library lacks what mapping needs: a buffer and an inverter, and delays of its gates that can be read.
    """

    def make(folder: Path) -> None:
        files = list(library_groups(library))
        _check(library, {group.name for _, cells in files for group in cells if _usable(group, library)})
        made = Slim(folder)
        dropped: set[str] = set()
        while True:
            kept = [(head, [group for group in cells if group.name not in dropped]) for head, cells in files]
            made.cells.write_text(_text(library, kept, timed=True))
            made.shapes.write_text(_text(library, kept, timed=False))
            taken = _flip_flops(library, made)
            # Yosys takes what is clocked at the other edge with an inverter before it, which tiles do not.
            falling = set(taken) - {name for name in taken if _rises(library, name)}
            if not falling:
                break
            dropped |= falling
        (folder / "flip_flops").write_text("\n".join(taken))
        (folder / "left_out").write_text("\n".join(sorted(dropped)))

    found = Slim(cached(digest([_VERSION, library.sha256]), make))
    _read_once(found, library)
    return found


_BINARY = ".later"
"""In the folder of a library: sums of the binary copy that ABC reads instead of the text."""

_GATE = r"""
module \gate
  wire input 1 \a
  wire output 2 \y
  cell $_NOT_ \not
    connect \A \a
    connect \Y \y
  end
end
"""


def _read_once(made: Slim, library: Library) -> None:
    """Have ABC keep its binary copy of the cells, whole, before anything is mapped.

    Of several mappings that find none each would write it, and read what another has half written; ABC takes a damaged
    one as it is. Where ABC cannot read the library there is none, and mapping says why.
    """
    if _intact(made.folder):
        return
    with locked(made.folder / f"{_BINARY}.lock"):
        if _intact(made.folder):
            return
        with tempfile.TemporaryDirectory(prefix=".scl-", dir=made.folder) as name:
            folder = Path(name)
            (folder / "gate.il").write_text(_GATE)
            steps = [
                f"read_rtlil {folder / 'gate.il'}",
                f"libcache -scl -dir {folder}",
                f"abc -liberty {made.cells}",
                "",
            ]
            (folder / "gate.ys").write_text("\n".join(steps))
            finished(folder / "gate.ys", f"a gate to {library.name}", 60)
            for path in folder.glob("*.scl"):
                path.replace(made.folder / path.name)
        write_kept(made.folder / _BINARY, _binary_sums(made.folder))


def _binary_sums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.scl")}


def _intact(folder: Path) -> bool:
    return (folder / _BINARY).exists() and read_kept(folder / _BINARY) == _binary_sums(folder)


_PAIRS = ({(1, 1)}, {(0, 0), (0, 1), (1, 0)}, {(0, 1), (1, 0), (1, 1)}, {(0, 0)})
"""Where AND, NAND, OR and NOR of two inputs are 1."""


def _check(library: Library, used: Collection[str]) -> None:
    """Whether cells that mapping may use suffice for ABC, which otherwise ends without a word."""
    gates = [library.cells[name] for name in used if library.cells[name].flip_flop is None]
    if not any(cell.functions for cell in gates):
        raise HwgenError(
            f"liberty {library.name}: the library must have gates with delays of all their inputs "
            "(cell_rise, cell_fall, rise_transition, fall_transition), which it has not"
        )
    needed = {
        "a buffer": any(cell.name in used for cell in library.drivers(inverted=False)),
        "an inverter": any(cell.name in used for cell in library.drivers(inverted=True)),
        "an AND, NAND, OR or NOR of two inputs": any(
            _ones(text) in _PAIRS for cell in gates if len(cell.input_pf) == 2 for text in cell.functions.values()
        ),
    }
    for what, has in needed.items():
        if not has:
            raise HwgenError(f"liberty {library.name}: the library must have {what} that may be used, which it has not")


def _ones(text: str) -> set[tuple[int, ...]]:
    return {(int(row[0]), *map(int, row[1:])) for row in np.argwhere(function(text).truth())}


def _flip_flops(library: Library, made: Slim) -> list[str]:
    """What `dfflibmap` makes of the two kinds of flip-flop that tiles have."""
    script = _flip_flop_script(made.folder, made.shapes, _FLIP_FLOPS)
    yosys(script, f"a flip-flop to {library.name}", 60)
    return _taken(made.folder, library)


def _flip_flop_script(folder: Path, shapes: Path, rtlil: str) -> Path:
    """A script that maps the flip-flops of a module ``ff`` and counts what they become."""
    (folder / "ff.il").write_text(rtlil)
    steps = [
        f"read_rtlil {folder / 'ff.il'}",
        f"dfflibmap -liberty {shapes}",
        f"tee -o {folder / 'ff.json'} stat -json",
    ]
    (folder / "ff.ys").write_text("\n".join([*steps, ""]))
    return folder / "ff.ys"


def _taken(folder: Path, library: Library) -> list[str]:
    used = json.loads((folder / "ff.json").read_text())["modules"]["\\ff"]["num_cells_by_type"]
    return sorted(name for name in used if name in library.cells and library.cells[name].flip_flop)


def resettable(library: Library) -> tuple[str, ...]:
    """Names of the flip-flops of tiles with an asynchronous reset: those without one, and those that have it; none
    where the library has none of these.
    """
    made = slimmed(library)
    with tempfile.TemporaryDirectory(prefix="hwgen-reset-") as name:
        script = _flip_flop_script(Path(name), made.shapes, _RESETTABLE)
        if finished(script, f"a flip-flop to {library.name}", 60).returncode:
            return ()
        found = [name for name in _taken(Path(name), library) if _rises(library, name)]
    return (*made.flip_flops, *found) if found else ()


@dataclass(frozen=True)
class _Scale:
    """What numbers of a file are multiplied by to be in the units that are written."""

    ns: float
    pf: float


_OWN_TEMPLATE = (
    "  lu_table_template (hwgen) {",
    "    variable_1 : input_net_transition;",
    "    variable_2 : total_output_net_capacitance;",
    '    index_1 ("0, 1");',
    '    index_2 ("0, 1");',
    "  }",
)
"""ABC takes indices of a table only where it has a template."""


def _text(library: Library, files: Sequence[tuple[Head, list[Group]]], *, timed: bool) -> str:
    units = files[0][0].units
    ns, pf = (units.ns, units.pf) if units.ns in _TIMES_NS and units.pf in _LOADS_PF else (1e-3, 1e-3)
    lines = [
        f"library ({_quoted(library.name)}) {{",
        f"  time_unit : {_TIMES_NS[ns]};",
        f"  capacitive_load_unit {_LOADS_PF[pf]};",
        *_attributes(files[0][0].group, "  ", _Scale(units.ns / ns, units.pf / pf)),
    ]
    if "nom_voltage" not in files[0][0].group:
        lines.append(f"  nom_voltage : {library.voltage_v / units.volt!r};")
    if timed:
        lines += _OWN_TEMPLATE
    for index, (head, cells) in enumerate(files):
        scale = _Scale(head.units.ns / ns, head.units.pf / pf)
        renamed = {name: f"{name}_{index}" for name in head.templates}
        if timed:
            for group in head.templates.values():
                if group.kind == "lu_table_template" and scale.ns == scale.pf == 1:
                    lines += _template(group, renamed[group.name])
        for group in cells:
            if _usable(group, library):
                lines += _Writer(head, scale, renamed).cell(group, timed=timed and not _holds_state(group))
    return "\n".join([*lines, "}", ""])


def _usable(cell: Group, library: Library) -> bool:
    if not library.cells[cell.name].usable or any(fnmatchcase(cell.name, pattern) for pattern in _LEFT_OUT.split()):
        return False
    return _holds_state(cell) or (bool(library.cells[cell.name].functions) and _is_timed(cell))


def _holds_state(cell: Group) -> bool:
    return any(group.kind in ("ff", "latch") for group in cell.groups)


def _delays(pin: Group) -> Iterator[Group]:
    """Timings that are delays from an input to an output, not checks."""
    return (one for one in pin.of("timing") if one.text("timing_type", "combinational").startswith("combinational"))


def _is_timed(cell: Group) -> bool:
    """Whether a gate has delays of every input to every output that depends on it, which ABC takes for granted."""
    for name, pin in pins_of(cell):
        if "function" not in pin or direction_of(pin) in ("input", "internal"):
            continue
        known: dict[str, set[str]] = {}
        for timing in _delays(pin):
            tables = {table.kind for table in timing.groups} & _DELAYS
            related = _related(timing)
            if tables and not related:
                raise HwgenError(f"liberty: {timing.place()}: a delay of pin {name} must have a related_pin, not none")
            for source in related:
                known.setdefault(source, set()).update(tables)
        if any(known.get(source) != _DELAYS for source in function(pin.text("function")).inputs):
            return False
    return True


def _related(timing: Group) -> list[str]:
    return [name.replace("\\", "") for name in re.split(r"[\s,]+", timing.text("related_pin")) if name]


def _template(group: Group, name: str) -> Iterator[str]:
    yield f"  {group.kind} ({_quoted(name)}) {{"
    yield from _attributes(group, "    ", _Scale(1, 1))
    yield "  }"


class _Writer:
    """Writes cells of one file; ``renamed`` are its templates: another file's may have other axes."""

    def __init__(self, head: Head, scale: _Scale, renamed: Mapping[str, str]) -> None:
        self.head, self.scale, self.renamed = head, scale, renamed

    def cell(self, group: Group, *, timed: bool) -> Iterator[str]:
        """A cell as text; ``timed`` is whether delays are wanted, which nobody reads of cells that hold state."""
        yield f"  cell ({_quoted(group.name)}) {{"
        yield from _attributes(group, "    ", self.scale)
        for inner in group.groups:
            if inner.kind == "leakage_power" and "when" not in inner:
                yield "    leakage_power () {"
                yield from _attributes(inner, "      ", self.scale)
                yield "    }"
            elif inner.kind in _GROUPS:
                yield f"    {inner.kind} ({', '.join(_quoted(name) for name in inner.names)}) {{"
                yield from _attributes(inner, "      ", self.scale)
                yield "    }"
            elif inner.kind == "pin":
                for name in inner.names:
                    yield from self._pin(inner, name, timed=timed)
        yield "  }"

    def _pin(self, pin: Group, name: str, *, timed: bool) -> Iterator[str]:
        yield f"    pin ({_quoted(name)}) {{"
        yield from _attributes(pin, "      ", self.scale)
        direction = direction_of(pin)
        if direction == "input" and "capacitance" not in pin:
            value = capacitance_of(pin, self.head, mean=False) or 0.0
            yield f"      capacitance : {value * self.scale.pf!r};"
        default = self.head.group.number("default_max_capacitance")
        if direction == "output" and "max_capacitance" not in pin and default is not None:
            yield f"      max_capacitance : {default * self.scale.pf!r};"
        for timing in pin.of("timing") if timed else ():
            for source in _related(timing) or [""]:
                yield "      timing () {"
                yield from _attributes(timing, "        ", self.scale, related_pin=source)
                for table in timing.groups:
                    if table.kind in _DELAYS:
                        yield from self._table(table)
                yield "      }"
        yield "    }"

    def _table(self, table: Group) -> Iterator[str]:
        slews, loads, values = slew_load(table, self.head.templates)
        template = self.head.templates.get(table.name)
        known = template is not None and _axes_of(template) == ["slew", "load"]
        scale = self.scale
        if scale.ns == scale.pf == 1 and (values.size == 1 or (known and min(values.shape) > 1)):
            yield f"        {table.kind} ({_quoted(self.renamed.get(table.name, table.name))}) {{"
            yield from _attributes(table, "          ", scale)
        else:
            # A table over one axis is written over both.
            rows, columns = _at_least_two(slews), _at_least_two(loads)
            grid = np.broadcast_to(values, (rows.size if slews.size == 1 else slews.size, values.shape[1]))
            grid = np.broadcast_to(grid, (grid.shape[0], columns.size)) if loads.size == 1 else grid
            yield f"        {table.kind} (hwgen) {{"
            yield f'          index_1 ("{_numbers(rows * scale.ns)}");'
            yield f'          index_2 ("{_numbers(columns * scale.pf)}");'
            rowed = ", ".join(f'"{_numbers(row * scale.ns)}"' for row in grid)
            yield f"          values ({rowed});"
        yield "        }"


def _axes_of(template: Group) -> list[str]:
    given = [template.text(f"variable_{number}") for number in (1, 2) if f"variable_{number}" in template]
    return ["slew" if "transition" in name else "load" for name in given]


def _at_least_two(points: np.ndarray) -> np.ndarray:
    return points if points.size > 1 else np.array([points[0], points[0] + 1.0])


def _numbers(values: np.ndarray) -> str:
    return ", ".join(repr(float(value)) for value in values)


def _attributes(group: Group, indent: str, scale: _Scale, related_pin: str = "") -> Iterator[str]:
    kept = _KEPT.get(group.kind)
    for name in group.attributes:
        if kept is not None and name not in kept:
            continue
        factor = scale.pf if name in _LOADS else scale.ns if name.endswith("max_transition") else 1.0
        if name in ("values", "index_1", "index_2"):
            yield f"{indent}{name} ({_quoted_list(group.raw(name))});"
        elif factor != 1:
            yield f"{indent}{name} : {(group.number(name) or 0.0) * factor!r};"
        else:
            value = related_pin if name == "related_pin" else group.text(name)
            if name in _LOADS or name in ("area", "max_transition"):
                group.number(name)
            yield f"{indent}{name} : {_quoted(value)};"


def _quoted_list(raw: str) -> str:
    """A list of numbers: as it is written, without comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", raw, flags=re.S)


def _quoted(value: str) -> str:
    plain = value.strip().strip('"').strip()
    return plain if re.fullmatch(r"[\w.+-]+", plain) else f'"{plain}"'
