from __future__ import annotations

import json
from pathlib import Path

from hwgen.pe import families, family
from reports.held_out import MEASURED, Checked, calibrated_specs, checked, merged, page, summary, verdicts
from reports.held_out_wide import draw
from sim.tech import CalibratedTech, load
from sim.tech._calibrated import parse_row

ROOT = Path(__file__).parents[2]


def rows(worst: float) -> list[Checked]:
    int_tile, lut_tile = family("int").from_values({"bits": 3}), family("lut").from_values({"bits": 2, "k": 2})
    errors = {"area": 0.01, "energy": -0.02, "period": 0.03}
    return [
        Checked(int_tile, 100, True, errors),
        Checked(int_tile, 2000, False, {**errors, "area": -0.04}),
        Checked(lut_tile, 300, True, {**errors, "area": worst}),
    ]


def test_the_summary_is_by_family_and_in_all() -> None:
    assert summary(rows(0.2)) == [
        "| family | tiles | area median / max | energy median / max | period median / max |",
        "|---|---|---|---|---|",
        "| int | 2 | 2.5% / 4.0% | 2.0% / 2.0% | 3.0% / 3.0% |",
        "| lut | 1 | 20.0% / 20.0% | 2.0% / 2.0% | 3.0% / 3.0% |",
        "| all | 3 | 4.0% / 20.0% | 2.0% / 2.0% | 3.0% / 3.0% |",
    ]


def test_bounds_that_are_missed_are_said() -> None:
    assert verdicts(rows(0.2))[0] == (
        "* area: median 4.0% (bound 5%), max 20.0% (bound 15%): not met, 1 tiles above the bound."
    )
    assert verdicts(rows(0.1))[0] == "* area: median 4.0% (bound 5%), max 10.0% (bound 15%): met."
    assert verdicts(rows(0.1))[2] == "* period: median 3.0% (bound 10%), max 3.0% (bound 25%): met."


def test_the_page_names_every_tile() -> None:
    text = page([("sky130hd", rows(0.1), [])])
    assert "3 tiles of 100 to 2,000 cells; 2 of them have a parameter value that is in no calibration tile" in text
    assert "| int | bits=3 | 2,000 | -4.0% | -2.0% | +3.0% |" in text
    assert "| lut | k=2 | 300 | +10.0% | -2.0% | +3.0% |" in text


def test_some_families_are_measured_beside_those_that_are_known() -> None:
    before = {"commit": "old", "tiles": [{"family": "int"}, {"family": "lut"}], "noise": [{"tile": "a"}]}
    after = merged(before, [{"family": "lut", "tile": "new"}], [{"tile": "b"}], ["lut"])
    assert after["tiles"] == [{"family": "int"}, {"family": "lut", "tile": "new"}]
    assert after["noise"] == [{"tile": "a"}, {"tile": "b"}]
    assert after["commit"] == "old"
    assert list(after["later"]) == ["lut"]
    assert "later" not in merged(before, [{"family": "lut"}], [], ())


def test_tiles_of_a_new_family_are_blind() -> None:
    shares: dict[str, object] = {}
    rows = draw(shares, "bitserial", 2)
    assert [row["set"] for row in rows] == ["blind", "blind"]
    assert all(family("bitserial")(**row["tile"]).family == "bitserial" for row in rows)
    assert set(shares) == {"bitserial"}


def test_what_is_stored_makes_the_page_again() -> None:
    """A file of another shape than the code's ended in a traceback, unnoticed."""
    stored = json.loads((ROOT / MEASURED).read_text())
    text = (ROOT / MEASURED.with_suffix(".md")).read_text()
    for name, entry in stored.items():
        tech = load(name)
        assert isinstance(tech, CalibratedTech)
        rows = [parse_row(row) for row in entry["tiles"]]
        assert {row.spec.family for row in rows} == set(families())
        for line in summary(checked(tech, rows, calibrated_specs(tech))):
            assert line in text
