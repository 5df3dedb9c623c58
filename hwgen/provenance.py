"""Which source tree made a result."""

from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["ROOT", "commit"]

ROOT = Path(__file__).parents[1]


def commit() -> str:
    """Abbreviated commit of the source tree, ``-dirty`` with local changes; ``unknown`` for an installed package."""
    try:
        run = subprocess.run(
            ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
        inside = subprocess.run(
            ["git", "-C", str(ROOT), "ls-files", "--error-unmatch", "hwgen/__init__.py"],
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    # A folder of some other repository around an installed package says nothing about this one.
    return run.stdout.strip() if run.returncode == 0 and inside.returncode == 0 else "unknown"
