from __future__ import annotations

from pathlib import Path

import pytest

from tests.models import tiny


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder in place of the user's."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(folder))
    return folder


@pytest.fixture(scope="session")
def llama_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny llama."""
    return tiny.write_llama(tmp_path_factory.mktemp("models") / "tiny.gguf")
