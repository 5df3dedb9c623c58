"""A library cut down to what mapping reads: it is parsed for every block, and most of a Liberty file is power.

Kept are cells that a design may use, their pins and functions, and the delay tables of gates: ABC's own dump of the
result is that of the whole library. Wire loads are left out with the power, as all figures are without wires.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from hwgen.errors import HwgenError
from hwgen.simulators.cache import cached, digest
from hwgen.synth._yosys import yosys
from hwgen.synth.liberty import Library, library_group
from hwgen.synth.liberty import _Group as Group

__all__ = ["Slim", "slimmed"]

_VERSION = "liberty 2"
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

_DELAYS = {"cell_rise", "cell_fall", "rise_transition", "fall_transition"}
_GROUPS = {"pin", "timing", "ff", "latch", *_DELAYS}
_UNITS = ("time_unit", "capacitive_load_unit")

_KEPT = {
    "library": {
        "delay_model",
        *_UNITS,
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


def slimmed(library: Library) -> Slim:
    """The cells of a library that mapping may use as one file, made once and kept in the cache.

    Of several files the first gives the defaults, as ABC takes them when it merges. Raises `HwgenError` for files of
    different units.
    """

    def make(folder: Path) -> None:
        files = [library_group(path) for path in library.files]
        made = Slim(folder)
        made.cells.write_text(_text(library, files, timed=True))
        made.shapes.write_text(_text(library, files, timed=False))
        (folder / "flip_flops").write_text("\n".join(_flip_flops(library, made)))

    return Slim(cached(digest([_VERSION, library.sha256]), make))


def _flip_flops(library: Library, made: Slim) -> list[str]:
    """What `dfflibmap` makes of the two kinds of flip-flop that tiles have."""
    (made.folder / "ff.il").write_text(_FLIP_FLOPS)
    script, stat = made.folder / "ff.ys", made.folder / "ff.json"
    lines = [f"read_rtlil {made.folder / 'ff.il'}", f"dfflibmap -liberty {made.shapes}", f"tee -o {stat} stat -json"]
    script.write_text("\n".join([*lines, ""]))
    yosys(script, f"a flip-flop to {library.name}", 60)
    used = json.loads(stat.read_text())["modules"]["\\ff"]["num_cells_by_type"]
    return sorted(name for name in used if name in library.cells and library.cells[name].flip_flop)


def _text(library: Library, files: Sequence[Group], *, timed: bool) -> str:
    units = {name: {re.sub(r"[\s\"]", "", file.attributes.get(name, "")) for file in files} for name in _UNITS}
    for name, values in units.items():
        if len(values) > 1:
            listed = ", ".join(path.name for path in library.files)
            raise HwgenError(f"liberty: {listed} must have one {name}, not {' and '.join(sorted(values))}")
    lines = [f"library ({_quoted(library.name)}) {{", *_attributes(files[0], "  ")]
    for index, file in enumerate(files):
        renamed = _templates(file, index)
        for group in file.groups:
            if group.kind == "cell" and _usable(group, library):
                lines += _lines(group, "  ", renamed, timed=timed and not _holds_state(group))
            elif group.kind == "lu_table_template" and timed:
                lines += _lines(group, "  ", renamed, timed=True)
    return "\n".join([*lines, "}", ""])


def _templates(file: Group, index: int) -> dict[str, str]:
    """New names of a file's table templates: those of another file may be the same with other axes."""
    return {group.name: f"{group.name}_{index}" for group in file.of("lu_table_template")}


def _usable(cell: Group, library: Library) -> bool:
    if not library.cells[cell.name].usable or any(fnmatchcase(cell.name, pattern) for pattern in _LEFT_OUT.split()):
        return False
    return _holds_state(cell) or bool(library.cells[cell.name].functions)


def _holds_state(cell: Group) -> bool:
    return any(group.kind in ("ff", "latch") for group in cell.groups)


def _lines(group: Group, indent: str, renamed: dict[str, str], *, timed: bool) -> Iterator[str]:
    """A group as text; ``timed`` is whether delays are wanted, which nobody reads of cells that hold state."""
    name = renamed.get(group.name, group.name)
    yield f"{indent}{group.kind} ({', '.join(_quoted(part) for part in name.split(',')) if name else ''}) {{"
    yield from _attributes(group, indent + "  ")
    for inner in group.groups:
        leakage = inner.kind == "leakage_power" and "when" not in inner.attributes
        if leakage or (inner.kind in _GROUPS and (timed or inner.kind != "timing")):
            yield from _lines(inner, indent + "  ", renamed, timed=timed)
    yield f"{indent}}}"


def _attributes(group: Group, indent: str) -> Iterator[str]:
    kept = _KEPT.get(group.kind)
    for name, value in group.attributes.items():
        if kept is not None and name not in kept:
            continue
        if name in ("values", "index_1", "index_2", "capacitive_load_unit"):
            yield f"{indent}{name} ({value});"
        else:
            yield f"{indent}{name} : {_quoted(value)};"


def _quoted(value: str) -> str:
    plain = value.strip().strip('"').strip()
    return plain if re.fullmatch(r"[\w.+-]+", plain) else f'"{plain}"'
