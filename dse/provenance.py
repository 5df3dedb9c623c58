"""Where a result comes from: commit, versions, and a hash of everything that it depends on."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import inspect
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import hwgen
from hwgen.pe import family

__all__ = ["commit", "content_hash", "source_hash", "versions"]

_PACKAGES = ("moocore", "numpy", "pandas", "pyarrow")
_ROOT = Path(hwgen.__file__).parents[1]
_SOURCES = (
    "hwgen/pe",
    "hwgen/formats",
    "hwgen/arith",
    "hwgen/schedule.py",
    "sim/estimate.py",
    "dse/space.py",
    "dse/sweep.py",
)


def commit() -> str:
    """Abbreviated commit of the source tree, ``-dirty`` with local changes; ``unknown`` for an installed package."""
    try:
        run = subprocess.run(
            ["git", "-C", str(_ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        inside = subprocess.run(
            ["git", "-C", str(_ROOT), "ls-files", "--error-unmatch", "hwgen/__init__.py"],
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    # A folder of some other repository around an installed package says nothing about this one.
    return run.stdout.strip() if run.returncode == 0 and inside.returncode == 0 else "unknown"


def versions() -> dict[str, str]:
    """Versions of Python, hwgen and the packages that numbers pass through."""
    found = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"hwgen": hwgen.__version__, "python": ".".join(map(str, sys.version_info[:3])), **found}


@functools.cache
def _tree_hash() -> str:
    digest = hashlib.sha256()
    for source in _SOURCES:
        path = _ROOT / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.relative_to(_ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def source_hash(families: Iterable[str]) -> str:
    """SHA-256 of the code that the cost of these families comes from, whichever folder a family is in."""
    digest = hashlib.sha256(_tree_hash().encode())
    for name in sorted(set(families)):
        file = inspect.getsourcefile(family(name))
        if file is not None:
            digest.update(Path(file).read_bytes())
    return digest.hexdigest()


def content_hash(content: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON-serialisable description."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
