"""Standard streams that fail by a sentence: closed, full, without a reader, or without the letters of the text."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast

from hwgen.errors import GroundError

__all__ = ["ClosedPipe", "drop_output", "guarded_streams", "say_error"]

_PLAIN = {
    letter: plain
    for plain, letters in {
        "u": "µμ",
        "x": "×",
        "+-": "±",
        "*": "·•",
        "...": "…",
        "deg ": "°",
        "sum": "Σ",
        "2": "²",
        "3": "³",
        ">=": "≥",
        "<=": "≤",
        "!=": "≠",
        "==": "≡",
        "~": "≈",
        "->": "→",
        "<-": "←",
        "sqrt": "√",
        "-": "–—−━─╸╺",
        "'": "‘’′",
        '"': "“”",
        "|": "│┃",
    }.items()
    for letter in letters
}
"""How letters that a terminal lacks are written with those that every terminal has."""


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    letter = error.object[error.start]
    # Bytes of a file's name that are no text come as lone surrogates.
    return _PLAIN.get(letter, "?"), error.start + 1


codecs.register_error("hwgen.plain", _plain)


class ClosedPipe(BaseException):
    """The reader of standard output has seen enough.

    No ``BrokenPipeError``: rich ends the program with status 1 for that, and there is nothing wrong.
    """


class _Guarded:
    """A text stream that writes what its encoding has, and whose failures are `GroundError` and `ClosedPipe`.

    Failures of standard error are nothing: what is said there (progress, what went wrong) is not what was asked for.
    """

    # What click and rich see: any text may be written. With "ascii" click would write UTF-8 past this class.
    encoding = "utf-8"
    errors = "strict"

    def __init__(self, stream: TextIO, name: str = "") -> None:
        self._stream, self._name = stream, name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            if not self._name:
                return
            if isinstance(error, BrokenPipeError):
                raise ClosedPipe from error
            reason = getattr(error, "strerror", None) or error
            raise GroundError(f"{self._name}: cannot be written: {reason}") from error

    def write(self, text: str) -> int:
        with self._told():
            encoding = self._stream.encoding or "utf-8"
            self._stream.write(text.encode(encoding, "hwgen.plain").decode(encoding))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with self._told():
            self._stream.flush()


def _open_low_descriptors() -> None:
    """Give the descriptors 0, 1 and 2 something that is not the next file opened, where they are closed.

    Writing to a closed standard output fails, as it does for other programs; a closed standard error swallows.
    """
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            handle = os.open(os.devnull, mode)
            if handle != number:
                os.dup2(handle, number)
                os.close(handle)
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False)


@contextlib.contextmanager
def guarded_streams() -> Iterator[None]:
    """Guard standard output and standard error inside the block."""
    _open_low_descriptors()
    before = sys.stdout, sys.stderr
    sys.stdout = cast(TextIO, _Guarded(before[0], "standard output"))
    sys.stderr = cast(TextIO, _Guarded(before[1]))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def say_error(line: str) -> None:
    """Write a line to standard error; where that is closed or full nobody can be told."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def drop_output() -> None:
    """Point standard output, which cannot be written, to nowhere: Python flushes it once more at its end."""
    with contextlib.suppress(OSError, ValueError):
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, sys.stdout.fileno())
        os.close(sink)
