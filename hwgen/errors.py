"""The one exception that users see, and the sentence fragments that it is made of."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["HwgenError", "suggest"]


class HwgenError(Exception):
    """A user's mistake or a missing tool, told in one sentence.

    The sentence names the object, the parameter, what is allowed and what was given, and ends with a hint where one
    exists. The command line prints it on one line and exits with status 2.
    """


def suggest(name: object, options: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the option nearest to ``name``, or ``""`` when none is near."""
    near = difflib.get_close_matches(str(name), list(options), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
