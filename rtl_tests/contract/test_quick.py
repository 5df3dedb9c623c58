"""The contract on the small tiles whose mutations say what it catches: `reports/results/fast_suite.md`."""

from __future__ import annotations

import re

import pytest

from hwgen.pe import families, family
from hwgen.verify import check_contract
from rtl_tests.faults.quick import LEAST, PAGE
from rtl_tests.faults.report import TILES


@pytest.mark.parametrize("name", TILES)
def test_contract(name: str) -> None:
    kind, values = TILES[name]
    failed = [finding for finding in check_contract(family(kind).from_values(values)) if not finding.ok]
    assert not failed, "\n".join(f"{finding.check}: {finding.detail}" for finding in failed)


def test_every_family_is_here_and_its_faults_are_caught() -> None:
    assert {kind for kind, _ in TILES.values()} == set(families())
    shares = dict(re.findall(r"^\| ([\w-]+) \|.*\| ([\d.]+)% \|$", PAGE.read_text(), re.M))
    assert shares.keys() == TILES.keys()
    assert min(map(float, shares.values())) >= 100 * LEAST
