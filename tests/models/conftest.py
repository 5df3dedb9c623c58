from __future__ import annotations

import os
from pathlib import Path

import pytest

from hwgen.errors import HwgenError
from sim.models.fetch import default_model
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


@pytest.fixture(scope="session")
def real_model() -> Path:
    """The default model; its absence is an error in CI and a skip elsewhere."""
    try:
        return default_model()
    except HwgenError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
