"""Which source tree made a result."""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["ROOT", "commit"]

ROOT = Path(__file__).parents[1]


_RESULTS = "reports/results"


def commit() -> str:
    """Abbreviated commit of the source tree; ``unknown`` for an installed package.

    ``-dirty`` with local changes, but for those of results: one page that is made after another comes from the same
    source.
    """
    try:
        named = _git("describe", "--always", "--abbrev=12", "--exclude=*")
        inside = _git("ls-files", "--error-unmatch", "hwgen/__init__.py")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", f":(exclude){_RESULTS}")
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    # A folder of some other repository around an installed package says nothing about this one.
    if named.returncode or inside.returncode:
        return "unknown"
    return named.stdout.strip() + ("-dirty" if changed.stdout.strip() or changed.returncode else "")


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
