"""Liberty text: one tokenizer and one tree of groups, for every use of a cell library.

A statement is ``name : value;``, ``name (arguments);``, ``name = value;`` or ``name (arguments) { statements }``.
White space, comments (``/* */`` and, as many tools have it, ``//``), a backslash at the end of a line and stray
semicolons may stand between any two tokens; a simple value ends at its semicolon, or at the end of its line where that
is missing. What is no statement is refused with its place: nothing is skipped. ``include_file`` is followed.
"""

from __future__ import annotations

import gc
import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from hwgen.errors import HwgenError

__all__ = ["Group", "Source", "group_at", "library_of", "source_of", "sources_of", "unpacked", "whole_text"]

_COMMENT = r"/\*(?:[^*]|\*(?!/))*+\*/|//[^\n]*+"
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_BREAK = r"\\[ \t\r]*\n"
_GAP = rf"(?:\s|{_COMMENT}|{_BREAK})*+"
_STATEMENT = re.compile(
    rf"""
    (?:[\s;]|{_COMMENT}|{_BREAK})*+
    (?:
      (?P<word>[A-Za-z_][\w.\-]*+) {_GAP}
      (?:
        [:=]{_GAP} (?P<value>(?:[^;{{}}\n"/\\]++|{_STRING}|{_COMMENT}|{_BREAK}|/(?![*/])|\\.)*+)
      | \( (?P<arguments>(?:[^()"/\\]++|{_STRING}|{_COMMENT}|/(?![*/])|\\.)*+) \)
        (?:{_GAP}(?P<open>\{{))?
      )
    | (?P<close>\}})
    | (?P<end>\Z)
    )
    """,
    re.X | re.S,
)
_BETWEEN = re.compile(rf"(?:[\s;]|{_COMMENT}|{_BREAK})*+", re.S)
_WORD, _VALUE, _ARGUMENTS, _OPEN, _CLOSE = 1, 2, 3, 4, 5

_PIECE = re.compile(rf"(?P<string>{_STRING})|{_COMMENT}|(?P<break>{_BREAK})|(?P<other>\\.|.)", re.S)
_ARGUMENT = re.compile(rf"(?P<string>{_STRING})|{_COMMENT}|{_BREAK}|(?P<bare>(?:\\.|[^,\s\"/\\]|/(?![*/]))+)", re.S)
_BETWEEN_NUMBERS = str.maketrans('",', "  ", "")


def unpacked(path: Path) -> bytes:
    """Content of a file that is plain or gzip."""
    raw = path.read_bytes()
    return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw


@dataclass(frozen=True, eq=False)
class Source:
    """A file and its text."""

    path: Path
    text: str


def source_of(path: Path) -> Source:
    """Read a file, or remember it; raises `HwgenError` for one that is no text of a library."""
    try:
        state = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return _source(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=8)
def _source(path: Path, _time: int, _size: int) -> Source:
    try:
        data = unpacked(path)
    except (OSError, EOFError, gzip.BadGzipFile) as error:
        raise _unreadable(path, error) from error
    if not data.strip():
        raise HwgenError(f"liberty: {path} must be a Liberty file, not an empty one")
    return Source(path, data.decode("utf-8", errors="replace"))


def _unreadable(path: Path, error: Exception) -> HwgenError:
    reason = getattr(error, "strerror", None) or str(error)
    return HwgenError(f"liberty: {path} must be a readable Liberty file, plain or gzip ({reason})")


class Group:
    """``kind (head) { … }``. Values are kept as they are written; the accessors clean, check and convert them."""

    __slots__ = ("_attributes", "groups", "head", "kind", "source", "start")

    def __init__(self, kind: str, head: str, source: Source, start: int) -> None:
        self.kind, self.head, self.source, self.start = kind, head, source, start
        self._attributes: dict[str, str] = {}
        self.groups: list[Group] = []

    @property
    def names(self) -> tuple[str, ...]:
        """What stands in its parentheses: names without quotes and escapes."""
        return tuple(_arguments(self.head))

    @property
    def name(self) -> str:
        """The first name, empty without one."""
        return next(iter(self.names), "")

    def of(self, kind: str) -> Iterator[Group]:
        """Groups of one kind within, in their order."""
        return (group for group in self.groups if group.kind == kind)

    def __contains__(self, name: str) -> bool:
        return name in self._attributes

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the attributes that are given."""
        return tuple(self._attributes)

    def raw(self, name: str) -> str:
        """An attribute as it is written."""
        return self._attributes[name]

    def text(self, name: str, default: str = "") -> str:
        """A simple attribute: its text without comments and quotes."""
        value = self._attributes.get(name)
        return default if value is None else _cleaned(value)

    def flag(self, name: str) -> bool:
        """Whether an attribute says true."""
        return self.text(name).lower() in ("true", "1")

    def listed(self, name: str) -> list[str]:
        """Arguments of a complex attribute: names without quotes and escapes."""
        return _arguments(self._attributes.get(name, ""))

    def number(self, name: str) -> float | None:
        """A number, None where it is not given; raises `HwgenError` for what is none."""
        value = self._attributes.get(name)
        if value is None:
            return None
        text = _cleaned(value)
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not np.isfinite(number) or "_" in text:
            raise self.error(name, "must be a number", text)
        return number

    def numbers(self, name: str) -> np.ndarray | None:
        """A list of numbers [count], None where it is not given; raises `HwgenError` where one is none."""
        value = self._attributes.get(name)
        if value is None:
            return None
        plain = _uncommented(value).replace("\\", " ").translate(_BETWEEN_NUMBERS)
        parts = plain.split()
        try:
            found = np.array(parts, dtype=np.float64)
        except ValueError:
            found = np.array([np.nan])
        if not np.isfinite(found).all() or "_" in plain:
            wrong = next((part for part in parts if not _finite(part)), plain.strip())
            raise self.error(name, "must be numbers", wrong)
        return found

    def error(self, name: str, must: str, given: str) -> HwgenError:
        """What is said of an attribute: its place, what it must be, what it is."""
        return HwgenError(f"liberty: {self.place(name)}: {name} {must}, not {_short(given)}")

    def place(self, name: str = "") -> str:
        """Where the group or one of its attributes is written: file, line, cell and pin."""
        above: list[str] = []
        where = self.start
        inside = False
        for match, depth in _walk(self.source.text):
            start = match.start(_WORD)
            if match.lastindex == _OPEN and start <= self.start:
                del above[depth:]
                above.append(_called(match[_WORD], match[_ARGUMENTS]))
                inside = start == self.start
                level = depth + 1
            elif inside and match.lastindex in (_VALUE, _ARGUMENTS) and depth == level and match[_WORD] == name:
                where = start
            elif match.lastindex == _CLOSE and inside and depth == level:
                break
        line = self.source.text.count("\n", 0, where) + 1
        return ", ".join([f"{self.source.path.name} line {line}", *filter(None, above)])


def _walk(text: str) -> Iterator[tuple[re.Match[str], int]]:
    """Statements and how many groups are open before each."""
    depth = 0
    for match in _STATEMENT.finditer(text):
        yield match, depth
        if match.lastindex == _OPEN:
            depth += 1
        elif match.lastindex == _CLOSE:
            depth -= 1


def _called(kind: str, head: str) -> str:
    """A group as places name it; tables and timings by their kind only, the library not at all."""
    if kind == "library":
        return ""
    named = ("cell", "pin", "bus", "bundle", "operating_conditions", "lu_table_template", "power_lut_template")
    return f"{kind} {', '.join(_arguments(head))}" if kind in named else kind


def _finite(part: str) -> bool:
    try:
        return bool(np.isfinite(float(part))) and "_" not in part
    except ValueError:
        return False


def _short(text: str) -> str:
    shown = " ".join(text.split())
    return repr(shown if len(shown) <= 60 else shown[:57] + "...")


def _uncommented(text: str) -> str:
    if "/*" not in text and "//" not in text:
        return text
    return "".join(
        match[0] if match["string"] or match["break"] or match["other"] else " " for match in _PIECE.finditer(text)
    )


def _cleaned(value: str) -> str:
    text = _uncommented(value)
    if "\\" in text:
        text = re.sub(_BREAK, " ", text)
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] == '"' and '"' not in text[1:-1].replace('\\"', ""):
        text = text[1:-1].replace('\\"', '"').strip()
    return text


def _arguments(text: str) -> list[str]:
    found = []
    for match in _ARGUMENT.finditer(text):
        if match["string"]:
            found.append(re.sub(r"\\(.)", r"\1", re.sub(_BREAK, " ", match["string"][1:-1]), flags=re.S).strip())
        elif match["bare"]:
            found.append(re.sub(r"\\(.)", r"\1", match["bare"]))
    return found


def library_of(source: Source) -> Group:
    """The library group of a file with everything in it.

    Raises `HwgenError` for text that is no Liberty, and as `source_of` for files that it includes.
    """
    collecting = gc.isenabled()
    # Nothing of the tree is garbage: looking for some takes a third of the time.
    gc.disable()
    try:
        root = Group("file", "", source, 0)
        _fill([root], source, (source.path,))
    finally:
        if collecting:
            gc.enable()
    found = list(root.of("library"))
    if len(found) != 1:
        raise _not_one(source)
    return found[0]


def _not_one(source: Source) -> HwgenError:
    return HwgenError(f"liberty: {source.path} must be a Liberty file with one complete library group, which it is not")


def _fill(stack: list[Group], source: Source, including: tuple[Path, ...]) -> None:
    """Read a text's statements into the innermost open group."""
    depth = len(stack)
    end = 1 if source.text.startswith("\ufeff") else 0
    group = stack[-1]
    for match in _STATEMENT.finditer(source.text, end):
        if match.start() != end:
            break
        end = match.end()
        which = match.lastindex
        if which == _VALUE:
            group._attributes[match[_WORD]] = match[_VALUE]
        elif which == _OPEN:
            inner = Group(match[_WORD], match[_ARGUMENTS], source, match.start(_WORD))
            group.groups.append(inner)
            stack.append(inner)
            group = inner
        elif which == _CLOSE:
            if len(stack) == depth:
                raise _not_one(source)
            stack.pop()
            group = stack[-1]
        elif which == _ARGUMENTS:
            word = match[_WORD]
            if word == "include_file":
                _include(stack, source, match, including)
            elif word == "voltage_map":
                # The one that stands there several times: by its rail.
                word = f"{word} {next(iter(_arguments(match[_ARGUMENTS])), '')}"
            group._attributes[word] = match[_ARGUMENTS]
    if end != len(source.text):
        if not any(one.kind == "library" for one in (*stack, *stack[0].groups)):
            raise _not_one(source)
        between = _BETWEEN.match(source.text, end)
        begin = between.end() if between else end
        line = source.text.count("\n", 0, begin) + 1
        shown = _short(source.text[begin:].split("\n", 1)[0])
        raise HwgenError(f"liberty: {source.path.name} line {line} must be a Liberty statement, not {shown}")
    if len(stack) != depth:
        raise _not_one(source)


def _include(stack: list[Group], source: Source, match: re.Match[str], including: tuple[Path, ...]) -> None:
    for name in _arguments(match[_ARGUMENTS]):
        path = (source.path.parent / name).resolve()
        line = source.text.count("\n", 0, match.start(_WORD)) + 1
        if path in including:
            raise HwgenError(f"liberty: {source.path.name} line {line}: include_file must not include {name} in itself")
        if not path.is_file():
            raise HwgenError(f"liberty: {source.path.name} line {line}: include_file must name a file, not {name!r}")
        _fill(stack, source_of(path), (*including, path))


def group_at(source: Source, start: int) -> Group:
    """The group that begins at a place of a text that was read as a whole before."""
    stack: list[Group] = []
    for match in _STATEMENT.finditer(source.text, start):
        which = match.lastindex
        if which == _VALUE:
            stack[-1]._attributes[match[_WORD]] = match[_VALUE]
        elif which == _OPEN:
            inner = Group(match[_WORD], match[_ARGUMENTS], source, match.start(_WORD))
            if stack:
                stack[-1].groups.append(inner)
            stack.append(inner)
        elif which == _CLOSE:
            done = stack.pop()
            if not stack:
                return done
        elif which == _ARGUMENTS:
            stack[-1]._attributes[match[_WORD]] = match[_ARGUMENTS]
    raise _not_one(source)


def sources_of(path: Path) -> tuple[Source, ...]:
    """A file and those that it includes, as far as they are there."""
    source = source_of(path)
    found = [source]
    for match in _includes(source):
        for name in _arguments(match[_ARGUMENTS]):
            inner = (path.parent / name).resolve()
            found += sources_of(inner) if inner.is_file() and inner != path else ()
    return tuple(found)


def _includes(source: Source) -> Iterator[re.Match[str]]:
    if "include_file" not in source.text:
        return
    for match, _ in _walk(source.text):
        if match.lastindex == _ARGUMENTS and match[_WORD] == "include_file":
            yield match


def whole_text(path: Path) -> str:
    """A file's text with those that it includes in their places, for tools that read it in another folder."""
    source = source_of(path)
    parts, end = [], 0
    for match in _includes(source):
        parts.append(source.text[end : match.start(_WORD)])
        parts += [whole_text((path.parent / name).resolve()) for name in _arguments(match[_ARGUMENTS])]
        end = match.end()
    return "".join([*parts, source.text[end:]]) if parts else source.text
