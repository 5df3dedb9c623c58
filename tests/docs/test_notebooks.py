"""The notebooks run from their first cell to the last, and put out what they show."""

from __future__ import annotations

import nbformat
import pytest

from tools.notebooks import FOLDER, executed, texts

NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


@pytest.mark.few(1)
@pytest.mark.parametrize("name", NAMES)
def test_notebook(name: str) -> None:
    path = FOLDER / f"{name}.ipynb"
    shown = texts(nbformat.read(path, as_version=4))
    assert sum(map(len, shown)) >= 3, "a notebook without what it puts out; python -m tools.notebooks"
    assert texts(executed(path)) == shown
