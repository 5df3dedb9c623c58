"""Scaling of area, energy and delay between process nodes, by one published method, only where it is called.

The method is Stillmaker and Baas, Integration 58 (2017) 74-81: area factors, and polynomials in the supply voltage that
they fitted to simulated circuits on predictive models. It gives no leakage, and was made for logic, not for memories.

Warning: sources disagree. From 45 to 7 nm this method divides energy by 18; the table of Jouppi et al. (ISCA 2021)
divides the energies of logic operations by 2 to 4 and those of SRAM by 1.3 to 7. A scaled number must not be mixed with
numbers that another source gives for the target node. No table of this project is scaled unless it says so itself.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.errors import HwgenError, suggest
from hwgen.frame.numbers import Num

__all__ = ["KINDS", "METHOD", "factor", "nodes", "nominal_volts", "scale"]

METHOD = "Stillmaker and Baas, Integration 58 (2017) 74-81"
KINDS = ("area", "energy", "delay")


@functools.cache
def _table() -> Mapping[str, Any]:
    table: dict[str, Any] = tomllib.loads(Path(__file__).with_name("stillmaker.toml").read_text(encoding="utf-8"))
    return table


def nodes() -> tuple[int, ...]:
    """Nodes of the method in nm, largest first."""
    return tuple(_table()["nodes"])


def _node(name: str, nm: float) -> Mapping[str, Any]:
    if nm not in nodes():
        raise HwgenError(
            f"scaling: {name} must be one of {', '.join(map(str, nodes()))}, not {nm!r}; {METHOD} have no other node"
        )
    entry: Mapping[str, Any] = _table()["node"][str(int(nm))]
    return entry


def nominal_volts(nm: float) -> float:
    """Supply voltage at which `scale` takes a node unless it is told another, in V."""
    return float(_node("node", nm)["volts"])


def factor(
    kind: str, from_nm: float, to_nm: float, *, from_volts: float | None = None, to_volts: float | None = None
) -> float:
    """What `scale` multiplies by; area factors have two digits, and do not depend on the voltages."""
    if kind not in KINDS:
        raise HwgenError(f"scaling: kind must be {', '.join(KINDS)}, not {kind!r}{suggest(str(kind), KINDS)}")
    source, target = _node("from_nm", from_nm), _node("to_nm", to_nm)
    if kind == "area":
        return float(source["area"][nodes().index(int(to_nm))])
    found = []
    for name, nm, entry, volts in (("from_volts", from_nm, source, from_volts), ("to_volts", to_nm, target, to_volts)):
        supply = entry["volts"] if volts is None else volts
        value = float(np.polyval(entry[kind], supply)) if supply > 0 else 0.0
        if not value > 0:
            raise HwgenError(
                f"scaling: {name} must be a voltage at which the {kind} of {nm:g} nm is above 0 in the fit, not "
                f"{supply!r}; the nominal voltage is {entry['volts']:g}"
            )
        found.append(value)
    return found[1] / found[0]


def scale(
    value: Num,
    kind: str,
    from_nm: float,
    to_nm: float,
    *,
    from_volts: float | None = None,
    to_volts: float | None = None,
) -> Num:
    """A number of one node on another node, by the method of this module.

    Parameters
    ----------
    value: scalar or array. kind: ``area``, ``energy`` (of one switching) or ``delay``.
    from_nm, to_nm: nodes of the method (there is no 28 nm and no 22 nm).
    from_volts, to_volts: supplies in V, for energy and delay; the nodes' nominal ones if None. The ranges over which
        the polynomials were fitted are not checked.

    Raises `HwgenError` for a node that the method lacks and where a polynomial is not above 0.
    """
    return value * factor(kind, from_nm, to_nm, from_volts=from_volts, to_volts=to_volts)
