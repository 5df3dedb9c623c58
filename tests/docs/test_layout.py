"""The picture of the house names what is there."""

from __future__ import annotations

import re

import pytest

from hwgen.errors import HwgenError
from reports import layout


def test_every_box_is_a_file_or_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [text.get_text() for text in layout.figure().axes[0].texts]
    assert all(title in texts for title in layout.WAYS)
    assert layout.PICTURE.is_file()
    gone = {"a way": ((("hwgen/gone.py", "nothing"),),)}
    monkeypatch.setattr(layout, "WAYS", gone)
    with pytest.raises(HwgenError, match=r"layout: hwgen/gone\.py must be a file or folder"):
        layout.figure()


def test_rooms_of_the_page_are_there() -> None:
    page = (layout.ROOT / "docs" / "layout.md").read_text()
    rooms = [
        name
        for row in page.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`([^`]+)`", row.split("|")[1])
    ]
    assert len(rooms) > 15
    assert [name for name in rooms if not (layout.ROOT / name).exists()] == []
