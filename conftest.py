"""Fixtures that several test folders share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hwgen.errors import HwgenError


@pytest.fixture(scope="session")
def real_model() -> Path:
    """The default model; its absence is an error in CI and a skip elsewhere."""
    from sim.models.fetch import default_model

    try:
        return default_model()
    except HwgenError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))
