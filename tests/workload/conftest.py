from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parent / "data"


def data(name: str) -> dict[str, Any]:
    """The models of a file of ``data``."""
    models: dict[str, Any] = json.loads((DATA / name).read_text(encoding="utf-8"))["models"]
    return models


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A small Llama's config.json, to be changed."""
    path = tmp_path / "tiny" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps(data("checkpoints.json")["llama"]["config"]))
    return path
