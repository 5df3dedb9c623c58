"""The one exception that users see, the one warning, and the sentence fragments that it is made of."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from typing import ClassVar

__all__ = ["GroundError", "HwgenError", "HwgenWarning", "os_error", "suggest"]


class HwgenError(Exception):
    """A user's mistake or a missing tool, told in one sentence.

    The sentence names the object, the parameter, what is allowed and what was given, and ends with a hint where one
    exists. The command line prints it on one line and exits with ``status``.
    """

    status: ClassVar[int] = 2


class GroundError(HwgenError):
    """What hwgen stands on gave way: a full disk, a broken disk, a standard output that takes nothing, no memory.

    The same command may work elsewhere or later; the exit status is 1.
    """

    status: ClassVar[int] = 1


class HwgenWarning(UserWarning):
    """Something that users should know, though all goes on: one sentence, which the command line prints on one line."""


_GROUND = frozenset(
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EMFILE", "ENFILE", "ENOMEM", "EAGAIN", "EROFS", "ESTALE")
)
"""Errors of the operating system that say something about the machine, not about what was asked for."""


def os_error(sentence: str, error: OSError, hint: str = "") -> HwgenError:
    """Return ``sentence`` with the system's reason: a `GroundError` for a full disk and the like, else a `HwgenError`.

    ``hint`` follows the reason, after a semicolon.
    """
    kind = GroundError if error.errno in _GROUND else HwgenError
    return kind(f"{sentence}: {error.strerror or error}{'; ' + hint if hint else ''}")


def suggest(name: object, options: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the option nearest to ``name``, or ``""`` when none is near."""
    near = difflib.get_close_matches(str(name), list(options), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
