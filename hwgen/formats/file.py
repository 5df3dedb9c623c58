"""A number format from a TOML file: a codebook, a small float with special values, or a block format of any size.

`KEYS` says what a file may hold; ``hwgen/formats/examples`` has one of each kind. What is read has a name that says all
of it (`hwgen.formats.blocks`, `hwgen.formats.catalogue`), so that other processes, manifests and caches need no file.
The file's own ``name`` is known to `get` and `block_format` from then on in the process that read it, until another
file of that name is read.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hwgen.errors import HwgenError, os_error, suggest
from hwgen.formats import blocks, catalogue
from hwgen.formats.base import Format
from hwgen.formats.blocks import BlockFormat, own_block, rules_of
from hwgen.formats.codebook import CodebookFormat
from hwgen.formats.minifloat import E8M0Format, MinifloatFormat
from hwgen.formats.table import TableFormat, with_special

__all__ = [
    "EXAMPLES",
    "KEYS",
    "FormatFile",
    "Key",
    "block_format",
    "example_names",
    "get",
    "is_format_file",
    "kept_name",
    "read_format",
]

EXAMPLES = Path(__file__).with_name("examples")
"""Folder of the files that come with the package."""
_MOST_BYTES = 1 << 20
_MOST_VALUES = 256
_SPECIALS = (1, 2, 4, 8, 16)
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True)
class Key:
    """What a file may say under one name. ``needs``: the keys of which one has to be there with it."""

    name: str
    what: str
    doc: str
    needs: tuple[str, ...] = ()


KEYS: tuple[Key, ...] = (
    Key("name", "a text", "name of the format: small letters, digits and _ (the file's own name)"),
    Key("about", "a text", "what it is, in a sentence"),
    Key("values", "a list of numbers", "codebook: what the codes mean, code 0 first; 2, 4, 8 … 256 different numbers"),
    Key("element", "a text", "format of single numbers, such as fp4_e2m1, e3m1, int4, where there are no values"),
    Key(
        "specials",
        "a list of numbers",
        "1, 2, 4, 8 or 16 numbers, of which each group has one in place of the element's -0",
        ("element",),
    ),
    Key(
        "group", "a whole number", "elements of weights that share a scale; 0 is the row (128)", ("values", "specials")
    ),
    Key("block", "a whole number", "block format: elements that share a scale, of both operands", ("element",)),
    Key(
        "scale",
        "a text",
        "format of scales, such as fp16, e8m0, ue5m3, fp8_e4m3 (fp16 for groups, e8m0 for blocks)",
        ("values", "specials", "block"),
    ),
    Key("rule", "a text", "how scales of blocks are rounded: floor or ceil (e8m0), nearest or ceil", ("block",)),
    Key(
        "tensor_scale", "true or false", "whether an FP32 scale of the tensor stands above those of blocks", ("block",)
    ),
)
"""All that a file may say; what is in brackets holds where it says nothing."""


@dataclass(frozen=True, kw_only=True)
class FormatFile:
    """What a file says.

    Attributes
    ----------
    format : what a code means. block : the block format, where it is one.
    group : elements that share a scale, 0 for a row. scale : format of the scales.
    """

    path: str
    name: str
    about: str
    format: Format
    group: int
    scale: Format
    block: BlockFormat | None = None

    @property
    def canonical(self) -> str:
        """The name that says all of the format, for `get` or `block_format` of any process."""
        return self.format.name if self.block is None else self.block.name

    @property
    def operand(self) -> str:
        """How numbers are stored, as ``hwgen accuracy`` reads it."""
        return self.canonical if self.block else f"{self.canonical}/{self.group or 'row'}@{self.scale}"


_LOADED: dict[str, FormatFile] = {}
"""Files that this process has read, by the names in them: the last one of each."""


def example_names() -> tuple[str, ...]:
    """Names of the files that come with the package."""
    return tuple(sorted(path.stem for path in EXAMPLES.glob("*.toml")))


def is_format_file(name: object) -> bool:
    """Whether ``name`` is that of a file: ends in .toml."""
    return isinstance(name, str) and name.endswith(".toml")


def get(name: str) -> Format:
    """`hwgen.formats.catalogue.get`, which takes a file too, or the name in one that was read before."""
    if is_format_file(name):
        return read_format(name).format
    return _LOADED[name].format if name in _LOADED else catalogue.get(name)


def block_format(name: str) -> BlockFormat:
    """`hwgen.formats.blocks.block_format`, which takes a file too, or the name in one that was read before.

    Raises `HwgenError` for a file of another kind, too.
    """
    found = read_format(name) if is_format_file(name) else _LOADED.get(name)
    if found is None:
        return blocks.block_format(name)
    if found.block is None:
        raise HwgenError(f"{found.path}: must be a block format, with element and block, to be taken here")
    return found.block


def kept_name(name: str) -> str:
    """The name that says all of a format, for a file or the name in one that was read; any other name as it is."""
    if is_format_file(name):
        return read_format(name).canonical
    return _LOADED[name].canonical if name in _LOADED else name


def read_format(name: str | Path) -> FormatFile:
    """The format in a file, or in one that comes with the package by its name.

    Raises `HwgenError` for what cannot be read, and with the line for everything that is wrong in it.
    """
    path, known = Path(name), example_names()
    if str(name) in known:
        path = EXAMPLES / f"{name}.toml"
    elif path.suffix != ".toml":
        raise HwgenError(
            f"format {str(name)!r}: must be a .toml file, or one of those that come with hwgen: {', '.join(known)}"
            f"{suggest(name, known)}"
        )
    try:
        with path.open("rb") as handle:
            data = handle.read(_MOST_BYTES + 1)
    except OSError as error:
        raise os_error(f"format {str(path)!r}: cannot be read", error) from error
    if len(data) > _MOST_BYTES:
        raise HwgenError(f"format {str(path)!r}: must be a TOML file of at most {_MOST_BYTES:,} bytes")
    found = _Reader(path, data).format()
    _LOADED[found.name] = found
    return found


class _Reader:
    """One file, and where in it what stands."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path = path
        try:
            self.text = data.decode()
            self.raw = tomllib.loads(self.text)
        except UnicodeDecodeError as error:
            self._refuse(data[: error.start].count(b"\n") + 1, "must be UTF-8 text")
        except tomllib.TOMLDecodeError as error:
            said = str(error)
            at = re.search(r" \(at line (\d+), column \d+\)$", said)
            line = int(at[1]) if at else self.text.count("\n") + 1
            self._refuse(line, f"must be TOML: {said[: at.start()] if at else said}")
        except RecursionError:
            self._refuse(1, "must be TOML: it is nested too deeply")

    # ------------------------------------------------------------------ lines

    def _refuse(self, line: int | None, what: str) -> NoReturn:
        raise HwgenError(f"{self.path}{'' if line is None else f', line {line}'}: {what}")

    def _start(self, key: str) -> re.Match[str] | None:
        word = re.escape(key)
        return re.search(
            rf"^[ \t]*(?:\[+[ \t]*)?(?:{word}|\"{word}\"|'{word}')(?![\w-])[ \t]*", self.text, re.MULTILINE
        )

    def line(self, key: str, item: int | None = None) -> int | None:
        """Line of a key, or of an item of its list; None where it does not stand there."""
        start = self._start(key)
        if start is None:
            return None
        at = start.end()
        if item is not None and (opening := re.compile(r"=[ \t]*\[").match(self.text, at)):
            words = re.compile(r"#[^\n]*|[^\s,\[\]#]+").finditer(self.text, opening.end())
            places = (word.start() for word in words if not word[0].startswith("#"))
            at = next((place for count, place in enumerate(places) if count == item), at)
        return self.text.count("\n", 0, at) + 1

    def _wrong(self, key: str, what: str, item: int | None = None) -> NoReturn:
        self._refuse(self.line(key, item), f"{key} must {what}")

    # ------------------------------------------------------------------ values of keys

    def _text(self, key: str, default: str) -> str:
        value = self.raw.get(key, default)
        if not isinstance(value, str):
            self._wrong(key, f"be a text in quotes, not {value!r}")
        return value

    def _whole(self, key: str, default: int, low: int, high: int) -> int:
        value = self.raw.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self._wrong(key, f"be a whole number from {low} to {high}, not {value!r}")
        return value

    def _numbers(self, key: str) -> list[float]:
        values = self.raw[key]
        if not isinstance(values, list):
            self._wrong(key, f"be a list of numbers, not {values!r}")
        for place, value in enumerate(values):
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                self._wrong(key, f"be finite numbers, not {value!r}", place)
            if not abs(value) <= 2.0**64:
                self._wrong(key, f"be numbers of at most 2**64, not {value!r}", place)
        if len(values) > _MOST_VALUES:
            self._wrong(key, f"be at most {_MOST_VALUES} numbers, not {len(values)}", _MOST_VALUES)
        for place, value in enumerate(values):
            if value in values[:place]:
                line = self.line(key, values.index(value))
                self._wrong(key, f"be different numbers, not {value!r} again, which is in line {line}", place)
        return [float(value) for value in values]

    def _get(self, key: str, default: str) -> Format:
        name = self._text(key, default)
        return self._of(key, lambda: catalogue.get(name))

    def _of(self, key: str, made: Callable[[], Format]) -> Format:
        try:
            return made()
        except HwgenError as error:
            self._refuse(self.line(key), f"{key}: {error}")

    # ------------------------------------------------------------------ the whole

    def format(self) -> FormatFile:
        """What the file says. Raises `HwgenError`."""
        names = [key.name for key in KEYS]
        for key in self.raw:
            if key not in names:
                self._refuse(self.line(key), f"no key {key!r}{suggest(key, names)}; keys: {', '.join(names)}")
        kinds = [key for key in ("values", "element") if key in self.raw]
        if not kinds:
            self._refuse(None, "must have values, or element with block or with specials")
        if len(kinds) > 1:
            self._refuse(self.line("element"), "element does not go with values")
        for one in KEYS:
            if one.name in self.raw and one.needs and not any(need in self.raw for need in one.needs):
                self._refuse(self.line(one.name), f"{one.name} goes with {' or '.join(one.needs)}")
        if "specials" in self.raw and "block" in self.raw:
            self._refuse(self.line("specials"), "specials do not go with block")
        about = self._text("about", "")
        if "values" in self.raw:
            found = self._codebook()
        else:
            found = self._special() if "specials" in self.raw else self._block()
        name = self._named(found)
        return FormatFile(path=str(self.path), name=name, about=about, **found)

    def _named(self, found: dict[str, Any]) -> str:
        name = self._text("name", re.sub(r"\W", "_", self.path.stem.lower()))
        if not _NAME.fullmatch(name):
            self._wrong("name", f"be small letters, digits and _, at most 40, a letter first, not {name!r}")
        try:
            taken: object = catalogue.get(name)
        except HwgenError:
            taken = None
        if taken is None and name in blocks.block_names():
            taken = name
        if taken is not None and (taken != found["format"] or found.get("block") is not None):
            self._wrong("name", f"not be {name!r}, which is another format")
        return name

    def _codebook(self) -> dict[str, Any]:
        values = self._numbers("values")
        if len(values) & (len(values) - 1) or len(values) < 2:
            self._wrong("values", f"be 2, 4, 8 … {_MOST_VALUES} numbers, not {len(values)}")
        table = tuple(values)
        form = CodebookFormat(levels=table) if table == tuple(sorted(table)) else TableFormat(tables=(table,))
        if form.padding is None or not form.min_value < 0 < form.max_value:
            self._wrong("values", "have zero, positive and negative numbers")
        return {"format": form, **self._groups()}

    def _special(self) -> dict[str, Any]:
        element, specials = self._get("element", ""), self._numbers("specials")
        if len(specials) not in _SPECIALS:
            self._wrong("specials", f"be 1, 2, 4, 8 or 16 numbers, not {len(specials)}")
        if not element.min_value < 0 < element.max_value:
            self._wrong("element", f"have positive and negative values, which {element} has not")
        form = self._of("element", lambda: with_special(element, specials))
        return {"format": form, **self._groups()}

    def _groups(self) -> dict[str, Any]:
        scale = self._get("scale", "fp16")
        if not isinstance(scale, MinifloatFormat | E8M0Format):
            self._wrong("scale", f"be floating point, such as fp16, not {scale}")
        return {"group": self._whole("group", 128, 0, 1 << 20), "scale": scale}

    def _block(self) -> dict[str, Any]:
        element, scale = self._get("element", ""), self._get("scale", "e8m0")
        if "block" not in self.raw:
            self._refuse(self.line("element"), "element needs block or specials")
        block = self._whole("block", 0, 2, blocks.LONGEST)
        outer = self.raw.get("tensor_scale", False)
        if not isinstance(outer, bool):
            self._wrong("tensor_scale", f"be true or false, not {outer!r}")
        rule = self._text("rule", rules_of(scale, outer)[0])
        try:
            form = own_block(block, element, scale, rule, outer)
        except HwgenError as error:
            # The sentence begins with the key.
            sentence = str(error).removeprefix("block format: ")
            self._refuse(self.line(sentence.split()[0]), sentence)
        return {"format": element, "group": block, "scale": scale, "block": form}
