"""The space of a sweep as a TOML file: families and axes, workloads, technologies and clocks, constraints, objectives.

pe = ["int", "mx"]                       # families; all without it
level = "accelerator"                    # or tile
tech = ["sky130hd", "asap7"]
clk_period_ns = [4, 8]                   # or "own"
objectives = ["area_um2", "-tokens_per_s"]
format = ["mine.toml"]                   # number formats from files, instead of axes of formats
where = ["power_mw <= 500"]              # constraints, also as a table of columns below
layers = ["8x1536x576"]                  # or workloads, each a table of its own

[axes]                                   # of every family that has them
n = "8:64:*2"                            # first:last:step, first:last:*factor, or a list of values
bits = [4, 8]

[axes.mx]                                # of one family alone, in place of those above
weights = ["mxfp4", "mxfp8_e4m3"]

[[workload]]
model = "smollm2-135m"
phase = ["prefill", "decode"]

[constraints]
area_um2 = "<= 1e6"

[baseline]                               # what `… baseline` in a constraint is
pe = "int"
bits = 8
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dse.space import OWN, parse_values
from hwgen.errors import HwgenError, os_error, suggest
from sim.clock import OWN as OWN_CLOCK

__all__ = ["EXAMPLES", "Axes", "SpaceFile", "WorkloadAsked", "example_names", "read_space", "space_path"]

EXAMPLES = Path(__file__).with_name("examples")
"""Folder of the spaces that come with the package."""
_MOST_BYTES = 1 << 20

Axes = Mapping[str, tuple[str, ...] | None]
"""Values of parameters as texts; None for a family's own sweep values."""


@dataclass(frozen=True)
class WorkloadAsked:
    """A workload of a space: a model in some phases, with sizes where they are given, or layers as texts."""

    model: str | None = None
    phases: tuple[str | None, ...] = (None,)
    sizes: Mapping[str, int] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    dims: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    name: str | None = None


@dataclass(frozen=True)
class SpaceFile:
    """What a space's file says; what it does not say is empty or None.

    ``axes`` are those of every family, ``axes_of`` those of one family alone.
    """

    families: tuple[str, ...] = ()
    level: str | None = None
    axes: Axes = field(default_factory=dict)
    axes_of: Mapping[str, Axes] = field(default_factory=dict)
    full: bool = False
    techs: tuple[str, ...] = ()
    clk_period_ns: tuple[float, ...] | str | None = None
    workloads: tuple[WorkloadAsked, ...] = ()
    objectives: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    baseline: Mapping[str, str] = field(default_factory=dict)
    accuracy: bool = False
    formats: tuple[str, ...] = ()


_KEYS = (
    *("pe", "format", "level", "full", "tech", "clk_period_ns", "objectives", "where", "accuracy"),
    *("layers", "axes", "workload", "constraints", "baseline"),
)
_OF_WORKLOAD = ("name", "model", "phase", "tokens", "context", "batch", "steps", "roles", "dims", "layers")
_SIZES = ("tokens", "context", "batch", "steps")


def example_names() -> tuple[str, ...]:
    """Names of the spaces that come with the package."""
    return tuple(sorted(path.stem for path in EXAMPLES.glob("*.toml")))


def space_path(name: str | Path) -> Path:
    """File of a space: the one of that name that comes with the package, whatever lies here by that name, or the path.

    Raises `HwgenError` for an unknown name.
    """
    path, known = Path(name), example_names()
    if str(name) not in known:
        if path.suffix == ".toml" or path.exists():
            return path
        shown = str(name) if len(str(name)) < 100 else f"{str(name)[:40]}…"
        raise HwgenError(
            f"space {shown!r}: must be a .toml file, or one of those that come with hwgen: {', '.join(known)}"
            f"{suggest(name, known)}"
        )
    return EXAMPLES / f"{name}.toml"


def read_space(name: str | Path) -> SpaceFile:
    """The space in a file. Raises `HwgenError` for what cannot be read, and for anything that is no part of a space."""
    path = space_path(name)
    what = f"space {str(path)!r}"
    try:
        with path.open("rb") as handle:
            raw_bytes = handle.read(_MOST_BYTES + 1)
    except OSError as error:
        raise os_error(f"{what}: cannot be read", error) from error
    if len(raw_bytes) > _MOST_BYTES:
        raise HwgenError(f"{what}: must be a TOML file of at most {_MOST_BYTES:,} bytes")
    try:
        raw = tomllib.loads(raw_bytes.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise HwgenError(f"{what}: must be a TOML file: {error}") from error
    if not raw:
        raise HwgenError(f"{what}: must say something, it is empty; keys: {', '.join(_KEYS)}")
    _known(what, raw, _KEYS)
    axes = _table(what, raw, "axes")
    single = {key: value for key, value in axes.items() if not isinstance(value, dict)}
    of = {key: value for key, value in axes.items() if isinstance(value, dict)}
    constraints = _table(what, raw, "constraints")
    conditions = [
        f"{column} {text if _compares(text) else f'== {text}'}"
        for column, given in constraints.items()
        for text in _texts(what, f"constraints.{column}", given)
    ]
    workloads = [_workload(what, one) for one in _tables(what, raw, "workload")]
    if "layers" in raw:
        workloads.insert(0, WorkloadAsked(layers=_texts(what, "layers", raw["layers"])))
    level = raw.get("level")
    if level is not None and not isinstance(level, str):
        raise HwgenError(f"{what}: level must be tile or accelerator, not {level!r}")
    return SpaceFile(
        _texts(what, "pe", raw.get("pe", [])),
        level,
        _axes(what, "axes", single),
        {family: _axes(what, f"axes.{family}", own) for family, own in of.items()},
        _truth(what, raw, "full"),
        _texts(what, "tech", raw.get("tech", [])),
        _clocks(what, raw.get("clk_period_ns")),
        tuple(workloads),
        _texts(what, "objectives", raw.get("objectives", [])),
        (*_texts(what, "where", raw.get("where", [])), *conditions),
        {name: _text(what, f"baseline.{name}", value) for name, value in _table(what, raw, "baseline").items()},
        _truth(what, raw, "accuracy"),
        _texts(what, "format", raw.get("format", [])),
    )


def _compares(text: str) -> bool:
    return text.lstrip()[:1] in ("<", ">", "=", "!") or text.lstrip().startswith("within")


def _known(what: str, raw: Mapping[str, Any], keys: tuple[str, ...]) -> None:
    for key in raw:
        if key not in keys:
            raise HwgenError(f"{what}: no key {key!r}{suggest(key, keys)}; keys: {', '.join(keys)}")


def _table(what: str, raw: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key, {})
    if not isinstance(value, dict):
        raise HwgenError(f"{what}: {key} must be a table, [{key}], not {value!r}")
    return value


def _tables(what: str, raw: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    value = raw.get(key, [])
    several = [value] if isinstance(value, dict) else value
    if not isinstance(several, list) or not all(isinstance(one, dict) for one in several):
        raise HwgenError(f"{what}: {key} must be tables, each [[{key}]], not {value!r}")
    return several


def _text(what: str, key: str, value: Any) -> str:
    """A text, number or truth value as text."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise HwgenError(f"{what}: {key} must be a text or a number, not {value!r}")
    return str(value)


def _texts(what: str, key: str, value: Any) -> tuple[str, ...]:
    return tuple(_text(what, key, one) for one in (value if isinstance(value, list) else [value]))


def _truth(what: str, raw: Mapping[str, Any], key: str) -> bool:
    value = raw.get(key, False)
    if not isinstance(value, bool):
        raise HwgenError(f"{what}: {key} must be true or false, not {value!r}")
    return value


def _axes(what: str, where: str, raw: Mapping[str, Any]) -> dict[str, tuple[str, ...] | None]:
    found: dict[str, tuple[str, ...] | None] = {}
    for name, given in raw.items():
        key = name.replace("-", "_")
        texts = _texts(what, f"{where}.{name}", given)
        if texts == (OWN,):
            found[key] = None
            continue
        values = [one for text in texts for one in ((OWN,) if text == OWN else parse_values(key, text))]
        if not values:
            raise HwgenError(f"{what}: {where}.{name} must have a value at least")
        found[key] = tuple(dict.fromkeys(values))
    return found


def _clocks(what: str, raw: Any) -> tuple[float, ...] | str | None:
    if raw is None:
        return None
    if raw == OWN_CLOCK:
        return OWN_CLOCK
    several = raw if isinstance(raw, list) else [raw]
    for one in several:
        if isinstance(one, bool) or not isinstance(one, int | float) or not 0 < one <= 1e9:
            raise HwgenError(f"{what}: clk_period_ns must be numbers above 0, or 'own', not {one!r}")
    if not several:
        raise HwgenError(f"{what}: clk_period_ns must have a value at least")
    return tuple(float(one) for one in several)


def _workload(what: str, raw: Mapping[str, Any]) -> WorkloadAsked:
    _known(f"{what}, workload", raw, _OF_WORKLOAD)
    if ("model" in raw) == ("layers" in raw):
        raise HwgenError(
            f"{what}: a workload must have a model or layers, not {'both' if 'model' in raw else 'neither'}"
        )
    extra = [key for key in raw if key not in ("layers", "name")] if "layers" in raw else []
    if extra:
        raise HwgenError(f"{what}: {extra[0]} is for a workload with a model, not for layers")
    sizes = {}
    for key in _SIZES:
        value = raw.get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31:
            raise HwgenError(f"{what}: workload {key} must be a whole number from 1 up, not {value!r}")
        sizes[key] = value
    phases: tuple[str | None, ...] = _texts(what, "workload phase", raw["phase"]) if "phase" in raw else (None,)
    return WorkloadAsked(
        _text(what, "workload model", raw["model"]) if "model" in raw else None,
        phases,
        sizes,
        _texts(what, "workload roles", raw.get("roles", [])),
        _texts(what, "workload dims", raw.get("dims", [])),
        _texts(what, "workload layers", raw.get("layers", [])),
        _text(what, "workload name", raw["name"]) if "name" in raw else None,
    )
