"""``hwgen synth`` in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["command"]


def command(*arguments: str, name: str = "synth") -> subprocess.CompletedProcess[str]:
    """Run it, or the command ``name``, to its end, whatever that is."""
    return subprocess.run(
        [sys.executable, "-m", "hwgen", name, *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        cwd=Path(__file__).parents[2],
    )
