"""The page of format files: its tiles are those of the command line, and every obligation is counted and shown."""

from __future__ import annotations

import pytest

from hwgen.formats import read_format
from hwgen.formats.file import example_names
from reports.format_files import body, hardware, tasks_of, tile_of


@pytest.mark.rtl
@pytest.mark.slow
def test_a_file_is_checked_proved_and_shown() -> None:
    form = read_format("fp4_special")
    found = hardware(form, limit_s=120.0)
    assert found.held == found.checks > 5
    assert found.counts["proved"] == len(found.obligations) >= 5
    page = body([("fp4_special", form, found)], [], "about")
    row = next(line for line in page.splitlines() if form.canonical in line)
    assert f"| {found.checks} of {found.checks} | {found.counts['proved']} | 0 | 0 |" in row
    assert page.partition("## Obligations")[2].count("| proved |") == len(found.obligations)


@pytest.mark.parametrize("name", example_names())
def test_what_is_measured_is_what_the_file_and_its_tile_say(name: str) -> None:
    form = read_format(name)
    alone, pair = (task.document()["formats"] for task in tasks_of(form))
    spec = tile_of(form)[0]
    assert (spec.m, spec.n) == (1, 2)
    assert set(alone) == {"weights"}
    assert set(pair) == {"weights", "acts"}
    # Values of NF4 are no multiples of a small step: its tile rounds them.
    assert (pair["weights"] == alone["weights"]) == (name != "nf4")
