"""Primitives of each module of tiles, counted by Yosys in a child process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Counted", "count", "counted_by"]

ROOT = Path(__file__).parents[2]

Counted = dict[str, dict[str, int]]
"""Module name → primitive → one-bit primitives of it."""


def count(family: str, tiles: Iterable[Mapping[str, Any]], folder: Path) -> list[Counted]:
    """Counts of each tile of a family, given by its parameters; ``folder`` takes the answer."""
    answer = folder / "counts.json"
    run = subprocess.run(
        [sys.executable, str(ROOT / "tests/estimate/netlist.py"), str(answer)],
        input=json.dumps([(family, dict(values)) for values in tiles]),
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    counted: list[Counted] = json.loads(answer.read_text())
    return counted


def counted_by(family: str, tiles: Mapping[str, Mapping[str, Any]]) -> Any:
    """A fixture of a test file: counts of tiles by their names, in one process."""

    @pytest.fixture(scope="module")
    def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Counted]:
        return dict(zip(tiles, count(family, tiles.values(), tmp_path_factory.mktemp("netlist")), strict=True))

    return counted
