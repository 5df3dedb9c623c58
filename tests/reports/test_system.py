"""The page of models on chips: its tables of peers are what the code gives today."""

from __future__ import annotations

from reports import system
from reports.system import RESULT


def test_the_page_is_of_today() -> None:
    text = RESULT.read_text(encoding="utf-8")
    tables = [system.scale_sim(), *system.mixpe()]
    found, error = system.lut()
    for table in (*tables, found):
        assert table in text
    assert f"Mean absolute error of the 14 latencies: {error:.1%}" in text
    assert "NOT EQUAL" not in text
    assert text.count("6 of 6 equal") == 10
