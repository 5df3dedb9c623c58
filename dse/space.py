"""The space of a sweep: values for every parameter of a family, visited as blocks of arrays."""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hwgen.errors import HwgenError, suggest
from hwgen.frame.param import check, plain
from hwgen.pe import Param, TileSpec, family
from sim.clock import by_hand

__all__ = ["OWN", "Around", "Blocks", "Space", "axis_target", "parse_axis", "parse_values", "reason_of"]

OWN = "sweep values"
"""Among the values of an axis: the family's own sweep values."""
_WIDTHS = range(1, 17)
"""Weight widths that are tried to find out what ``bits`` stands for."""
_RANGE = re.compile(r"(-?\d{1,20}):(-?\d{1,20})(?::(\*?)(\d{1,20}))?")
_MOST_VALUES = 1 << 21


def parse_axis(text: str) -> tuple[str, tuple[str, ...] | None]:
    """Name and values of ``NAME=VALUES``; no values (the family's own) for ``NAME`` alone.

    Raises `HwgenError` when there is no name, or nothing after the equals sign.
    """
    name, equals, values = text.partition("=")
    name = name.strip().replace("-", "_")
    if not name or (equals and not values.strip()):
        raise HwgenError(f"axis {text!r}: must be NAME=VALUES, e.g. n=8,16 or n=8:64:8 or n=8:64:*2, or NAME alone")
    return name, parse_values(name, values) if equals else None


def parse_values(name: str, text: str) -> tuple[str, ...]:
    """Values of ``2,3,4``, ``8:128:8`` (first, last, step) and ``8:128:*2`` (first, last, factor), and mixtures.

    Raises `HwgenError` for an empty item and for a range that is empty or does not advance.
    """
    found: list[str] = []
    for item in text.split(","):
        item = item.strip()
        if not item:
            raise HwgenError(f"axis {name}: an item must be a value or a range, not empty, in {text!r}")
        match = _RANGE.fullmatch(item)
        found += [item] if match is None else _range(name, item, match)
    return tuple(dict.fromkeys(found))


def _range(name: str, item: str, match: re.Match[str]) -> list[str]:
    first, last, step = int(match[1]), int(match[2]), int(match[4] or 1)
    geometric = bool(match[3])
    if last < first or step < (2 if geometric else 1) or (geometric and first < 1):
        raise HwgenError(
            f"axis {name}: a range must be first:last:step or first:last:*factor and advance, not {item!r}"
        )
    if not geometric:
        # Counted before they are made: no parameter has so many values, and their list would fill the memory.
        if (count := (last - first) // step + 1) > _MOST_VALUES:
            raise HwgenError(f"axis {name}: a range must have at most {_MOST_VALUES:,} values, not {count:,}")
        return [str(value) for value in range(first, last + 1, step)]
    values = []
    while first <= last:
        values.append(str(first))
        first *= step
    return values


def reason_of(sentence: str) -> str:
    """The rule in a constraint's sentence, without the values of one instance."""
    rule = re.sub(r" \([^()]*\{[^()]*\)", "", re.split(r", not |; ", sentence)[0])
    return re.sub(r"\{(\w+)\}", r"\1", rule)


@dataclass(frozen=True)
class Around:
    """Parameters that stand beside a family's: of what is around its tiles.

    ``check`` gives a value of a parameter, by its name, as it is kept; it raises `HwgenError` for an illegal one.
    """

    parameters: Mapping[str, Param]
    check: Callable[[str, Any], Any]


@dataclass(frozen=True)
class Space:
    """Product of axes of one family, and of what is ``around`` its tiles.

    ``axes`` holds values for every parameter, one for those that stay fixed; ``dropped`` counts the points of axis
    values that the family does not have, by reason (`Space.of` with ``strict=False``). ``named`` are the parameters
    that an axis was given for, whatever its values.
    """

    family: str
    axes: Mapping[str, tuple[Any, ...]]
    dropped: Mapping[str, int] = field(default_factory=dict)
    named: tuple[str, ...] = ()
    around: Around | None = None

    @classmethod
    def of(cls, name: str, axes: Mapping[str, Sequence[Any] | None] | None = None, *, strict: bool = True) -> Space:
        """Space of family ``name``.

        Parameters
        ----------
        axes: values by parameter; a parameter that is missing keeps its default, and None stands for the family's own
            sweep values, as `OWN` does among other values. ``bits`` is the weight width of every family; values of
            two axes that stand for one parameter add up. Without axes every parameter takes its sweep values.
        strict: refuse values that are not legal; otherwise they are counted in ``dropped`` (several families share
            axes).

        Raises `HwgenError` for an unknown family or parameter, and for an illegal value when strict.
        """
        spec = family(name)
        known = spec.parameters()
        chosen: dict[str, tuple[Any, ...]] = {key: (p.default,) for key, p in known.items()}
        wanted: dict[str, Sequence[Any] | None] = dict.fromkeys(known) if axes is None else dict(axes)
        refused: dict[str, list[str]] = {}
        named: dict[str, None] = {}
        for key, values in wanted.items():
            target = axis_target(spec, key)
            if target is None:
                raise HwgenError(f"{name}: no parameter {key!r}{suggest(key, known)}; it has {', '.join(known)}")
            found: dict[Any, None] = dict.fromkeys(chosen[target] if target in named else ())
            named[target] = None
            own = known[target].sweep or (known[target].default,)
            for value in (OWN,) if values is None else _several(name, key, values):
                legal, messages = (own, []) if value == OWN else _legal(spec, known, key, target, value)
                if messages and strict:
                    raise HwgenError(messages[0])
                refused.setdefault(target, []).extend(messages)
                found |= dict.fromkeys(legal)
            chosen[target] = tuple(found)
        dropped: dict[str, int] = {}
        for target, messages in refused.items():
            others = math.prod(len(values) for key, values in chosen.items() if key != target)
            for message in messages:
                dropped[message] = dropped.get(message, 0) + others
        return cls(name, chosen, dropped, tuple(named))

    @classmethod
    def split(
        cls, name: str, axes: Mapping[str, Sequence[Any] | None] | None = None, *, strict: bool = True
    ) -> list[Space]:
        """Spaces that together hold ``axes``, as `of` takes them: one for each set of values that others bring along.

        A family's scheme may follow from ``bits`` (1.58 is ternary in two bits), its lanes from ``n``, its group from a
        block format. Where an axis names values of what a width brings, it keeps those that go with the width. Raises
        `HwgenError` as `of`, and where none does.
        """
        spec = family(name)
        known = spec.parameters()
        if axes is None:
            return [cls.of(name, strict=strict)]
        if "bits" not in axes or "bits" not in known:
            return [cls.of(name, chosen, strict=strict) for chosen in _following(spec, axes)]
        values = _values(spec, "bits", axes["bits"])
        widths: dict[tuple[tuple[str, tuple[Any, ...]], ...], list[Any]] = {}
        for width in values:
            brought = _brought(spec, width, axes)
            widths.setdefault(tuple(sorted(brought.items())), []).append(width)
        return [
            cls.of(name, each, strict=strict)
            for brought, chosen in widths.items()
            for each in _following(spec, {**axes, "bits": chosen, **dict(brought)})
        ]

    def beside(self, around: Around, axes: Mapping[str, Sequence[Any] | None], *, strict: bool = True) -> Space:
        """This space times one of what is around the tiles; ``axes`` and ``strict`` as in `of`.

        Raises `HwgenError` for an unknown parameter, and for an illegal value when strict.
        """
        known = around.parameters
        chosen: dict[str, tuple[Any, ...]] = {name: (p.default,) for name, p in known.items()}
        wrong: list[tuple[str, str]] = []
        for name, values in axes.items():
            if name not in known:
                listed = ", ".join(known)
                raise HwgenError(f"accelerator: no parameter {name!r}{suggest(name, known)}; it has {listed}")
            own = known[name].sweep or (known[name].default,)
            found: dict[Any, None] = {}
            for value in (OWN,) if values is None else _several(self.family, name, values):
                if value == OWN:
                    found |= dict.fromkeys(own)
                    continue
                try:
                    found[around.check(name, _parsed(known, name, value))] = None
                except HwgenError as error:
                    if strict:
                        raise
                    wrong.append((name, str(error)))
            chosen[name] = tuple(found)
        sizes = {name: len(values) for name, values in chosen.items()}
        dropped = {message: count * math.prod(sizes.values()) for message, count in self.dropped.items()}
        for name, message in wrong:
            others = self.size * math.prod(size for key, size in sizes.items() if key != name)
            dropped[message] = dropped.get(message, 0) + others
        return replace(self, axes={**self.axes, **chosen}, dropped=dropped, named=(*self.named, *axes), around=around)

    @functools.cached_property
    def spec(self) -> type[TileSpec]:
        """The family's spec class."""
        return family(self.family)

    @functools.cached_property
    def parameters(self) -> dict[str, Param]:
        """Parameters of the family and of what is around its tiles, by name."""
        return {**self.spec.parameters(), **(self.around.parameters if self.around else {})}

    @property
    def placed(self) -> bool:
        """Whether a named parameter places registers, so that no clock settles any."""
        return bool(by_hand(self.spec, self.named))

    @property
    def size(self) -> int:
        """Points of the product, legal or not, without the dropped ones."""
        return math.prod(len(values) for values in self.axes.values())

    @property
    def varying(self) -> tuple[str, ...]:
        """Parameters with more than one value."""
        return tuple(name for name, values in self.axes.items() if len(values) > 1)

    @functools.cached_property
    def strides(self) -> Mapping[str, int]:
        """How far two points lie apart whose values of a parameter are neighbours: `number` counts in the order of
        the axes, the last one fastest.
        """
        found: dict[str, int] = {}
        step = 1
        for name in reversed(tuple(self.axes)):
            found[name] = step
            step *= len(self.axes[name])
        return found

    def point(self, number: int) -> dict[str, Any]:
        """Values of the point of a number, from 0 to `size` - 1; legal or not."""
        return {name: values[number // self.strides[name] % len(values)] for name, values in self.axes.items()}

    def chunks(self, points: int) -> Iterator[dict[str, Any]]:
        """Blocks of at most ``points`` points, as parameters by name: scalars, and integer arrays that broadcast.

        Whole numbers with several values become one dimension each; names, and whole numbers that would make a block
        too large, stay scalars and are stepped through. The order is fixed.
        """
        yield from Blocks(self, points)


class Blocks(Sequence[dict[str, Any]]):
    """Blocks of a space, each made when it is asked for; what they are, `Space.chunks` says."""

    def __init__(self, space: Space, points: int) -> None:
        self.space = space
        axes, known = space.axes, space.parameters
        several = [name for name, p in known.items() if p.type is int and len(axes[name]) > 1]
        # The last axes are whole within a block, the one before them is cut, the first are stepped through.
        whole: list[str] = []
        left, block = list(several), 1
        while left and block * len(axes[left[-1]]) <= points:
            whole.insert(0, left.pop())
            block *= len(axes[whole[0]])
        cut = left.pop() if left and points // block > 1 else None
        self._looped = [*(name for name in known if name not in several), *left]
        self._dimensions = [name for name in (cut, *whole) if name is not None]
        self._length = points // block if cut is not None else 0
        self._pieces = 1 if cut is None else -(-len(axes[cut]) // self._length)
        self._cut = cut
        self._rounds = math.prod(len(axes[name]) for name in self._looped) if space.size else 0
        self._offsets: dict[int, np.ndarray] = {}
        self._places: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return self._rounds * self._pieces

    def _at(self, index: int) -> tuple[dict[str, int], slice]:
        """Places of the scalars of a block in their axes, and the piece of the axis that is cut."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        rest, piece = divmod(index, self._pieces)
        places: dict[str, int] = {}
        for name in reversed(self._looped):
            rest, places[name] = divmod(rest, len(self.space.axes[name]))
        return places, slice(piece * self._length, (piece + 1) * self._length)

    def _values(self, name: str, piece: slice) -> tuple[Any, ...]:
        values = self.space.axes[name]
        return values[piece] if name == self._cut else values

    def __getitem__(self, index: Any) -> Any:
        places, piece = self._at(index)
        p: dict[str, Any] = {name: self.space.axes[name][place] for name, place in places.items()}
        for at, name in enumerate(self._dimensions):
            values = np.array(self._values(name, piece), np.int64)
            p[name] = values.reshape((-1,) + (1,) * (len(self._dimensions) - 1 - at))
        return {name: p[name] for name in self.space.parameters}

    def axes(self, index: int) -> dict[str, tuple[Any, ...]]:
        """Values of each dimension of a block, in the order of its dimensions."""
        _, piece = self._at(index)
        return {name: self._values(name, piece) for name in self._dimensions}

    def numbers(self, index: int) -> np.ndarray:
        """Number of each point of a block, in C order; they ascend."""
        places, piece = self._at(index)
        strides = self.space.strides
        first = sum(place * strides[name] for name, place in places.items())
        if self._cut is not None:
            first += piece.start * strides[self._cut]
        sizes = [len(self._values(name, piece)) for name in self._dimensions]
        # Pieces of one length have the same offsets.
        key = sizes[0] if sizes else 0
        if key not in self._offsets:
            offsets = np.zeros((), np.int64)
            for name, size in zip(self._dimensions, sizes, strict=True):
                offsets = offsets[..., np.newaxis] + np.arange(size, dtype=np.int64) * strides[name]
            self._offsets[key] = offsets.reshape(-1)
        return self._offsets[key] + first

    def places(self, index: int, columns: Mapping[str, np.ndarray], rows: int) -> np.ndarray | None:
        """Where in a block, in C order, each of ``rows`` points lies whose parameters are in ``columns``; None for all
        points in their order.
        """
        _, piece = self._at(index)
        sizes = {name: len(self._values(name, piece)) for name in self._dimensions}
        if math.prod(sizes.values()) == rows:
            return None
        found = np.zeros(rows, np.int64)
        for name, size in sizes.items():
            key = (name, piece.start if name == self._cut else 0)
            if key not in self._places:
                values = np.array(self._values(name, piece), np.int64)
                order = np.argsort(values)
                self._places[key] = values[order], order
            values, order = self._places[key]
            found = found * size + order[np.searchsorted(values, columns[name])]
        return found


def axis_target(spec: type[TileSpec], name: str) -> str | None:
    """The parameter that an axis sets: its own name, or what ``bits`` stands for in this family; None without one."""
    known = spec.parameters()
    if name in known:
        return name
    for width in _WIDTHS:
        try:
            own = spec.aliases({name: width})
        except HwgenError:
            continue
        # What a family brings along anyway (lanes that fit the columns) is not what this name stands for.
        return None if name in own else next((key for key in own if key in known), None)
    return None


def _brought(spec: type[TileSpec], width: Any, axes: Mapping[str, Sequence[Any] | None]) -> dict[str, tuple[Any, ...]]:
    """What a weight width brings along: values of other parameters, and of their axes those that go with it."""
    known = spec.parameters()

    def aliases(**values: Any) -> dict[str, Any]:
        texts = {key: known[key].parse(value) if isinstance(value, str) else value for key, value in values.items()}
        return spec.aliases(texts)

    others = {key: known[key].sweep if listed is None else listed for key, listed in axes.items() if key in known}
    others.pop("bits")
    found: dict[str, tuple[Any, ...]] = {}
    for key, choices in others.items():
        kept, refusals = [], []
        for choice in choices:
            try:
                aliases(bits=width, **{key: choice})
                kept.append(choice)
            except HwgenError as error:
                refusals.append(error)
        if refusals and not kept:
            raise refusals[0]
        if refusals:
            found[key] = tuple(kept)
    single = {key: choices[0] for key, choices in others.items() if len(choices) == 1}
    return {key: (value,) for key, value in aliases(bits=width, **single).items() if key not in axes} | found


def _following(
    spec: type[TileSpec], axes: Mapping[str, Sequence[Any] | None]
) -> Iterator[Mapping[str, Sequence[Any] | None]]:
    """Axes that together hold ``axes``, each with what all of its points bring along for parameters without an axis."""
    known = spec.parameters()
    named = {axis_target(spec, key) for key in axes}
    values = {key: _values(spec, key, listed) for key, listed in axes.items()}

    def brought(point: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
        try:
            parsed = {key: _parsed(known, key, value) for key, value in point.items()}
            found = spec.aliases(parsed)
        except HwgenError:
            return ()
        return tuple(sorted((key, value) for key, value in found.items() if key in known and key not in named))

    first = {key: one[0] for key, one in values.items() if one}
    usual = brought(first)
    moving = [key for key in first if any(brought({**first, key: value}) != usual for value in values[key])]
    # The longest axis stays an axis, cut where what it brings changes; the others are stepped through.
    if not moving:
        yield {**axes, **{key: (value,) for key, value in usual}}
        return
    *others, last = sorted(moving, key=lambda key: len(values[key]))
    for fixed in itertools.product(*(values[key] for key in others)):
        point = dict(zip(others, fixed, strict=True))
        groups: dict[tuple[tuple[str, Any], ...], list[Any]] = {}
        for value in values[last]:
            groups.setdefault(brought({**first, **point, last: value}), []).append(value)
        for found, kept in groups.items():
            yield {
                **axes,
                **{key: (value,) for key, value in found},
                **{key: (value,) for key, value in point.items()},
                last: kept,
            }


def _values(spec: type[TileSpec], key: str, listed: Sequence[Any] | None) -> list[Any]:
    """Values of an axis, each once, with the family's own sweep values in place of `OWN`."""
    known = spec.parameters()
    own = known[key].sweep or (known[key].default,) if key in known else ()
    several = (OWN,) if listed is None else _several(spec.family, key, listed)
    return list(dict.fromkeys(one for value in several for one in (own if value == OWN else (value,))))


def _parsed(known: Mapping[str, Param], name: str, value: Any) -> Any:
    """A value of an axis as its parameter takes it; text as it may come from a command line."""
    if not isinstance(value, str):
        return value
    return known[name].parse(value) if name in known else int(value) if value.isdigit() else value


def _several(family_name: str, name: str, values: Any) -> list[Any]:
    """Values of an axis: any sequence, numpy array or tensor of one dimension. Raises `HwgenError` for others."""
    if hasattr(values, "tolist"):
        values = values.tolist()
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise HwgenError(f"{family_name}: values of axis {name} must be a list, not {values!r}")
    return [plain(value) for value in values]


def _legal(
    spec: type[TileSpec], known: Mapping[str, Param], name: str, target: str, value: Any
) -> tuple[tuple[Any, ...], list[str]]:
    """The value of parameter ``target`` that ``value`` of an axis stands for, or what is wrong with it."""
    try:
        kept = check(spec.family, known, spec.aliases({name: _parsed(known, name, value)}))
    except HwgenError as error:
        return (), [str(error)]
    return (kept[target],), []
