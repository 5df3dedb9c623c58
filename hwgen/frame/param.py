"""Declare a parameter once; flags, help, manifest, documentation and sweep axes are read from here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np

from hwgen.errors import HwgenError, suggest
from hwgen.formats.base import whole

__all__ = ["Names", "Param", "Range", "again", "check", "param", "parameters", "plain", "resolve", "whole_number"]


def whole_number(value: object) -> int | None:
    """``value`` as an int: an integer of any type (numpy's and torch's too); None for all else, bool included."""
    kept = plain(value)
    # A tensor of one element would do, whatever its shape; a list of one number is no number.
    return None if getattr(kept, "ndim", 0) else whole(kept)


def plain(value: Any) -> Any:
    """A number, truth value or name of numpy or torch as Python's own; anything else as it is.

    Parameters are written into manifests, hashes and messages, where a type of another package would show.
    """
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value)
    scalar: Any = getattr(value, "item", None)
    if isinstance(value, np.generic) or (scalar is not None and getattr(value, "ndim", None) == 0):
        return scalar()
    return value


@dataclass(frozen=True)
class Range:
    """Whole numbers from ``low`` to ``high`` inclusive."""

    low: int
    high: int

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a whole number from {self.low} to {self.high}"


class Names(tuple[str, ...]):
    """Legal names, and more that are in no list: those for which ``reads`` gives the name by which they are kept.

    ``reads`` gives None for a text that is none, and raises `HwgenError` for one that is wrong in itself; ``more`` says
    in words what is legal beside the list.
    """

    reads: Callable[[str], str | None]
    more: str

    def __new__(cls, names: Iterable[str], reads: Callable[[str], str | None], more: str) -> Self:
        """Listed ``names`` and what ``reads`` knows."""
        made = super().__new__(cls, names)
        made.reads, made.more = reads, more
        return made

    def kept(self, name: str) -> str:
        """The name by which a legal one is kept; any other as it is. Raises `HwgenError` as ``reads`` does."""
        return name if super().__contains__(name) else self.reads(name) or name

    def __contains__(self, value: object) -> bool:
        return super().__contains__(value) or (isinstance(value, str) and self.reads(value) == value)


@dataclass(frozen=True)
class Param:
    """One parameter of a PE family as every consumer sees it."""

    name: str
    type: type
    default: Any
    doc: str
    unit: str
    legal: Range | tuple[Any, ...] | None
    sweep: tuple[Any, ...]
    spellings: Mapping[Any, Any] = dataclasses.field(default_factory=dict)
    cuts: tuple[str, ...] = ()
    loop: bool = False

    @property
    def flag(self) -> str:
        """Command-line spelling."""
        return "--" + self.name.replace("_", "-")

    @property
    def allowed(self) -> str:
        """What is legal, as a phrase that completes "must be"."""
        if isinstance(self.legal, Range):
            return " or ".join([str(self.legal), *map(str, self.spellings)])
        if self.legal is None:
            return {int: "a whole number", str: "a name", bool: "true or false"}[self.type]
        words = [str(value) for value in self.legal]
        if isinstance(self.legal, Names):
            words.append(self.legal.more)
        return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"

    def plain(self, value: Any) -> Any:
        """A value as it is kept: of Python's own type, and by its first spelling."""
        value = plain(value)
        if isinstance(value, str) and isinstance(self.legal, Names):
            return self.legal.kept(value)
        if isinstance(value, int | str) and not isinstance(value, bool):
            return self.spellings.get(value, value)
        return value

    def parse(self, text: str) -> Any:
        """Turn command-line text into a value; text that is no such value is returned for `check` to refuse."""
        if self.type is int:
            try:
                return int(text, 0)
            except ValueError:
                return text
        if self.type is bool and text.lower() in ("true", "false", "yes", "no", "1", "0"):
            return text.lower() in ("true", "yes", "1")
        return text


def param(
    default: Any,
    doc: str,
    *,
    legal: Range | Iterable[Any] | None = None,
    sweep: Iterable[Any] = (),
    unit: str = "",
    spellings: Mapping[Any, Any] | None = None,
    cuts: Iterable[str] = (),
    loop: bool = False,
) -> Any:
    """Declare a field of a `TileSpec`.

    Parameters
    ----------
    default: value when nothing is said.
    doc: one line, shown as help and in the documentation.
    legal: a `Range`, or the tuple of legal values; ``None`` where the family checks the value itself.
    sweep: values that tests and sweeps visit; empty for a parameter that sweeps leave alone.
    unit: unit of the value, empty for counts and names.
    spellings: other ways to write a value, as other tools do, and the value that they stand for.
    cuts: kinds of blocks in which it puts registers; loop: it is the number of cycles of a loop in them.
    """
    bounds = legal if legal is None or isinstance(legal, Range | Names) else tuple(legal)
    info: dict[str, Any] = {"doc": doc, "legal": bounds, "sweep": tuple(sweep), "unit": unit}
    info |= {"spellings": dict(spellings or {}), "cuts": tuple(cuts), "loop": loop}
    return dataclasses.field(default=default, metadata={"hwgen": info})


_SAME: Any = object()


def again(
    base: type, name: str, *, default: Any = _SAME, sweep: Iterable[Any] | None = None, legal: Iterable[Any] = ()
) -> Any:
    """Inherit parameter ``name`` of ``base`` with another default, other sweep values or other legal names."""
    field = next(field for field in dataclasses.fields(base) if field.name == name)
    info = dict(field.metadata["hwgen"])
    if sweep is not None:
        info["sweep"] = tuple(sweep)
    if legal:
        info["legal"] = legal if isinstance(legal, Names) else tuple(legal)
    return dataclasses.field(default=field.default if default is _SAME else default, metadata={"hwgen": info})


_KNOWN: WeakKeyDictionary[type, Mapping[str, Param]] = WeakKeyDictionary()


def parameters(spec: type) -> Mapping[str, Param]:
    """Parameters of a family in declaration order, by name."""
    if spec in _KNOWN:
        return _KNOWN[spec]
    found: dict[str, Param] = {}
    for field in dataclasses.fields(spec):
        if "hwgen" in field.metadata:
            info = field.metadata["hwgen"]
            found[field.name] = Param(name=field.name, type=type(field.default), default=field.default, **info)
    return _KNOWN.setdefault(spec, MappingProxyType(found))


def check(family: str, known: Mapping[str, Param], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as they are kept (`Param.plain`); refuses those that are not legal on their own.

    Combinations are the family's own `validate`.
    """
    kept = {name: known[name].plain(value) for name, value in values.items()}
    for name, value in kept.items():
        p = known[name]
        right_type = isinstance(value, p.type) and (p.type is bool or not isinstance(value, bool))
        if not right_type or (p.legal is not None and value not in p.legal):
            near = (
                suggest(value, [str(v) for v in p.legal])
                if isinstance(value, str) and isinstance(p.legal, tuple)
                else ""
            )
            raise HwgenError(f"{family}: {name} must be {p.allowed}, not {_shown(value)}{near}")
    return kept


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:
        return "a number of thousands of digits"  # which Python refuses to write


def resolve(family: str, known: Mapping[str, Param], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` with every name known, or raise with the nearest name."""
    for name in values:
        if name not in known:
            raise HwgenError(f"{family}: no parameter {name!r}{suggest(name, known)}; it has {', '.join(known)}")
    return dict(values)
