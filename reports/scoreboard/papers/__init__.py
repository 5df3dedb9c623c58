"""Papers, a module each with one ``PAPER``; whatever lies in this folder is on the board."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from hwgen.errors import HwgenError, suggest
from reports.scoreboard.number import Paper

__all__ = ["chosen", "papers"]


@functools.cache
def papers() -> Mapping[str, Paper]:
    """All papers by name, in alphabetical order."""
    found: dict[str, Paper] = {}
    for _, module, _ in pkgutil.iter_modules([str(Path(__file__).parent)]):
        paper: Paper = importlib.import_module(f"{__name__}.{module}").PAPER
        found[paper.name] = paper
    return dict(sorted(found.items()))


def chosen(names: Sequence[str]) -> tuple[Paper, ...]:
    """The papers of these names, all without any. Raises `HwgenError` for a name that is none."""
    known = papers()
    for name in names:
        if name not in known:
            raise HwgenError(f"paper must be one of {', '.join(known)}, not {name!r}{suggest(name, known)}")
    return tuple(known[name] for name in dict.fromkeys(names)) if names else tuple(known.values())
