"""Where a result comes from: commit, versions, and a hash of everything that it depends on."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hwgen.frame.parameters import family_module
from hwgen.pe import family
from hwgen.provenance import ROOT, commit
from hwgen.version import __version__

__all__ = ["commit", "content_hash", "source_hash", "versions"]

_PACKAGES = ("moocore", "numpy", "pandas", "pyarrow")
_SOURCES = (
    "hwgen/pe",
    "hwgen/frame",
    "hwgen/formats",
    "hwgen/arith",
    "hwgen/schedule.py",
    "sim/activity.py",
    "sim/clock.py",
    "sim/estimate.py",
    "sim/memory",
    "sim/tables.py",
    "sim/tech",
    "dse/derived.py",
    "dse/level.py",
    "dse/part.py",
    "dse/rows.py",
    "dse/running.py",
    "dse/space.py",
    "dse/sweep.py",
    "dse/tiles.py",
    "dse/where.py",
)


def versions(more: Iterable[str] = ()) -> dict[str, str]:
    """Versions of Python, hwgen and the packages that numbers pass through, ``more`` among them."""
    found = {name: importlib.metadata.version(name) for name in sorted({*_PACKAGES, *more})}
    return {"hwgen": __version__, "python": ".".join(map(str, sys.version_info[:3])), **found}


@functools.cache
def _tree_hash(sources: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for source in (*_SOURCES, *sources):
        path = ROOT / source
        # Tables of prices lie beside the code that reads them, kernels beside the code that compiles them.
        files = [file for kind in ("*.py", "*.toml", "*.cpp") for file in path.rglob(kind)]
        for file in sorted(files) if path.is_dir() else [path]:
            digest.update(file.relative_to(ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def source_hash(families: Iterable[str], sources: tuple[str, ...] = ()) -> str:
    """SHA-256 of the code that the cost of these families comes from, whichever folder a family is in, and of more
    ``sources``.
    """
    digest = hashlib.sha256(_tree_hash(sources).encode())
    for name in sorted(set(families)):
        file = sys.modules[family_module(family(name))].__file__
        if file is not None:
            # A family is a file, or a folder of them.
            path = Path(file)
            for part in sorted(path.parent.glob("*.py")) if path.stem == "__init__" else [path]:
                digest.update(part.read_bytes())
    return digest.hexdigest()


def content_hash(content: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON-serialisable description."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
