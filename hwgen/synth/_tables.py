"""Units and tables of a Liberty library: what a number means, and which axis of a table is which.

Axes are told apart by the variables of the table's template, never by their order; indices of the table itself come
before those of the template. Templates and units hold for the whole library, wherever they stand in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hwgen.errors import HwgenError
from hwgen.synth._liberty_text import Group

__all__ = ["Units", "constraint", "other_axes", "slew_load", "templates_of", "units_of"]

_TEMPLATES = ("lu_table_template", "power_lut_template")
_DELAY_AXES = ("input_net_transition", "total_output_net_capacitance")
_WAVEFORM = "normalized_voltage"
"""Variable of templates that are of no pin's table."""
_CONSTRAINT_AXES = ("related_pin_transition", "constrained_pin_transition")


@dataclass(frozen=True)
class Units:
    """What 1 of the library's times, capacitances, voltages and leakages is, in ns, pF, V and nW."""

    ns: float
    pf: float
    volt: float
    nw: float


def units_of(library: Group) -> Units:
    """Units of a library group, however they are spelled; raises `HwgenError` for one that is none.

    A unit that is not given is 1 ns, 1 pF, 1 V or 1 nW.
    """
    return Units(
        ns=_unit(library, "time_unit", {"fs": 1e-6, "ps": 1e-3, "ns": 1.0, "us": 1e3}),
        pf=_unit(library, "capacitive_load_unit", {"ff": 1e-3, "pf": 1.0, "nf": 1e3}),
        volt=_unit(library, "voltage_unit", {"uV": 1e-6, "mV": 1e-3, "V": 1.0}),
        nw=_unit(library, "leakage_power_unit", {"fW": 1e-6, "pW": 1e-3, "nW": 1.0, "uW": 1e3, "mW": 1e6, "W": 1e9}),
    )


_DEFAULT = {"time_unit": "1ns", "capacitive_load_unit": "1pf", "voltage_unit": "1V", "leakage_power_unit": "1nW"}


def _unit(library: Group, name: str, allowed: Mapping[str, float]) -> float:
    text = " ".join(library.listed(name)) if name in library else _DEFAULT[name]
    # (1, pf), (pf, 1), "1pf", 1.0PF: a number and a unit in any order, without a number 1.
    plain = re.sub(r"[\s,]", "", text).lower()
    number = r"[\d.]+(?:e[-+]?\d+)?"
    found = re.fullmatch(rf"(?P<size>{number})?(?P<unit>[a-z]+)|(?P<last>[a-z]+?)(?P<count>{number})", plain)
    units = {unit.lower(): scale for unit, scale in allowed.items()}
    scale = units.get(found["unit"] or found["last"], 0.0) if found else 0.0
    try:
        value = float((found["size"] or found["count"] or "1") if found else "0")
    except ValueError:
        value = 0.0
    if not 0 < value * scale < float("inf"):
        *some, last = allowed
        raise HwgenError(
            f"liberty: {library.source.path} must give its {name} in {', '.join(some)} or {last}, not {text!r}"
        )
    return value * scale


def templates_of(library: Group) -> dict[str, Group]:
    """Table templates by name."""
    return {group.name: group for group in library.groups if group.kind in _TEMPLATES}


def _axes(
    table: Group, templates: Mapping[str, Group], usual: Sequence[str]
) -> tuple[list[str], list[np.ndarray], np.ndarray]:
    """Variables and points of a table's axes in their order, and its values in the shape that these give."""
    values = table.numbers("values")
    if values is None or not values.size:
        raise HwgenError(f"liberty: {table.place()} must have values, which it has not")
    template = templates.get(table.name)
    names: list[str] = []
    points: list[np.ndarray] = []
    for number in ("1", "2", "3"):
        own = table.numbers(f"index_{number}")
        given = own if own is not None else template.numbers(f"index_{number}") if template is not None else None
        if given is None or not given.size:
            continue
        if (np.diff(given) <= 0).any():
            raise (table if own is not None else template or table).error(
                f"index_{number}", "must grow from point to point", " ".join(f"{point:g}" for point in given)
            )
        default = usual[int(number) - 1] if int(number) <= len(usual) else ""
        names.append(template.text(f"variable_{number}", default) if template is not None else default)
        points.append(given)
    if template is None and not names and table.name not in ("", "scalar") and values.size > 1:
        raise HwgenError(f"liberty: {table.place()} must have a template or indices; {table.name!r} is not defined")
    shape = [axis.size for axis in points]
    if values.size != np.prod(shape, dtype=np.int64):
        wanted = " × ".join(map(str, shape)) or "1"
        raise table.error("values", f"must be {wanted} numbers", f"{values.size} numbers")
    return names, points, values.reshape(shape)


def _arranged(
    table: Group, found: tuple[list[str], list[np.ndarray], np.ndarray], kinds: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of two axes, and values [first, second]; an axis that the table has not is one point, 0."""
    names, points, values = found
    for index, name in enumerate(names):
        if name not in kinds or name in names[:index]:
            raise HwgenError(f"liberty: {table.place()} must be over {kinds[0]} and {kinds[1]}, not {', '.join(names)}")
    axes = [points[names.index(kind)] if kind in names else np.zeros(1) for kind in kinds]
    if list(kinds) == [*reversed(names)]:
        values = values.T
    return axes[0], axes[1], values.reshape(axes[0].size, axes[1].size)


def _kind(variable: str) -> str:
    """Slew or load, where a variable is one of them."""
    return "slew" if "transition" in variable else "load" if "cap" in variable else variable


def other_axes(templates: Mapping[str, Group]) -> dict[str, list[str]]:
    """Variables of the templates, by name, whose tables are neither of `slew_load` nor of `constraint`: over another
    output's load, say.
    """
    found = {}
    for name, template in templates.items():
        names = [one for one in (template.text(f"variable_{number}") for number in ("1", "2", "3")) if one]
        read = (_distinct(map(_kind, names), ("slew", "load")), _distinct(names, _CONSTRAINT_AXES))
        if not any(read) and _WAVEFORM not in names:
            found[name] = names
    return found


def _distinct(names: Iterable[str], allowed: Sequence[str]) -> bool:
    """Whether all names are allowed ones, and none comes twice."""
    given = list(names)
    return set(given) <= set(allowed) and len(set(given)) == len(given)


def slew_load(table: Group, templates: Mapping[str, Group]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A table of delays, slews or energies in the library's units: slews, loads, values [slews, loads].

    Raises `HwgenError` for values that are no numbers or too few, and for other variables.
    """
    names, points, values = _axes(table, templates, _DELAY_AXES)
    return _arranged(table, ([_kind(name) for name in names], points, values), ("slew", "load"))


def constraint(table: Group, templates: Mapping[str, Group]) -> float:
    """A setup time in the library's unit: at its second slew of the clock and its first of the data."""
    related, _, values = _arranged(table, _axes(table, templates, _CONSTRAINT_AXES), _CONSTRAINT_AXES)
    return float(values[min(1, related.size - 1), 0])
