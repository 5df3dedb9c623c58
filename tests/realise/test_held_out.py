"""The errors that the model states are those of the committed measurements."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from reports.stated_errors import text
from sim.held_out import AROUND, FILE, QUANTITIES, held_out
from sim.tech import CalibratedTech, load

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["sky130hd", "generic45"])
def test_a_family_is_derived_again(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    tech = load(name)
    assert isinstance(tech, CalibratedTech)
    assert text(tech, ["int"]) in FILE.read_text()


@pytest.mark.slow
def test_all_of_it_is_derived_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name in json.loads((ROOT / "reports/results/held_out_wide_tiles.json").read_text())["libraries"]:
        tech = load(name)
        assert isinstance(tech, CalibratedTech)
        assert text(tech).strip() in FILE.read_text()


def test_they_are_those_of_the_page() -> None:
    """The page was written by other code from the same tiles."""
    page = (ROOT / "reports/results/held_out_wide.md").read_text()
    section = page.partition("## sky130hd")[2].partition("## ")[0].partition("All:")[2]
    for name in ("bitmod", "int", "lut", "minifloat", "mixpe", "mx", "posit"):
        line = re.search(rf"^\| {name} \| (\d+) \| (\d+) \| (.*) \|$", section, re.M)
        assert line is not None
        held = held_out("sky130hd", name)
        assert held is not None
        assert held.designs == int(line[1]) - int(line[2])
        for quantity, cell in zip(QUANTITIES, line[3].split(" | "), strict=True):
            median, largest = (float(one.strip(" %")) / 100 for one in cell.split("/"))
            assert held.median[quantity] == pytest.approx(median, abs=6e-4)
            assert held.largest[quantity] == pytest.approx(largest, abs=6e-4)


def test_what_was_not_held_out_is_not_stated() -> None:
    assert held_out("sky130hd", "no_such_family") is None
    assert held_out("no_such_technology", "int") is None
    assert held_out("asap7", AROUND) is None
    assert held_out("sky130hd", AROUND) is not None
