"""docs/accelerator.md says what the code says."""

from __future__ import annotations

import re

import pytest

from hwgen.accelerator import Design
from reports.accelerator_page import PAGE, PICTURE, example, page


def test_page_is_generated_from_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "run python -m reports.accelerator_page"


def test_a_stale_page_is_seen() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page(text.replace("| `--bus-bits` |", "| `--bus` |")) == text
    with pytest.raises(ValueError, match="no place for registers"):
        page(text.replace("<!-- registers: generated -->", ""))


def test_picture_shows_the_streams() -> None:
    drawn = PICTURE.read_text(encoding="utf-8")
    for name in example().streams:
        assert f"{name.replace('_', ' ')} ring" in re.sub(r"<!-- (.*?) -->", r"\1", drawn)
    assert set(Design.parameters()) >= {"bus_bits", "weight_ring", "act_ring"}
