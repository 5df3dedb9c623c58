"""The page on rates beside ZigZag: what it says of a run, and an environment that has no ZigZag."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from bench.zigzag import Rate, page, zigzag
from hwgen.errors import HwgenError
from reports.system_mappers import peer_file


def test_ratios_are_of_a_core_s_seconds() -> None:
    peer = Rate("peer", 28, 56.0, 50.0, 1)
    text = page(peer, [Rate("ours", 4_000_000, 2.0, 4.0, 2)], peer_file("zigzag"))
    (row,) = (line for line in text.splitlines() if line.startswith("| ours"))
    assert [cell.strip() for cell in row.split("|")[2:-1]] == ["2", "4,000,000", "2e+06", "1e+06", "1.8e+06×"]
    assert "that are committed: yes" in text


def test_other_cycles_than_the_committed_ones_are_told() -> None:
    found = peer_file("zigzag")
    found["rows"][0]["cycles"] += 1
    assert "that are committed: NO" in page(Rate("peer", 28, 56.0, 50.0, 1), [], found)


@pytest.mark.parametrize(
    ("python", "said"),
    [(sys.executable, "PYTHON must have the package"), ("/nowhere/python", "PYTHON must be an interpreter")],
)
def test_an_environment_without_it(python: str, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HwgenError, match=re.escape(said)):
        zigzag(python, tmp_path)
