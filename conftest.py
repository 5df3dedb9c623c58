"""Fixtures that several test folders share."""

from __future__ import annotations

import os
from collections.abc import Callable
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


@pytest.fixture(scope="session")
def fetched() -> Callable[[str], None]:
    """Demands what ``hwgen model fetch NAME`` fetches; its absence is an error in CI and a skip elsewhere."""
    from sim.accuracy.fetchable import fetchable
    from sim.models.fetch import fetch_members

    def demand(name: str) -> None:
        try:
            fetch_members(fetchable()[name])
        except HwgenError as error:
            if os.environ.get("CI") == "true":
                pytest.fail(str(error))
            pytest.skip(str(error))

    return demand


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Cases beyond those that ``few`` keeps are slow, before ``-m`` looks at them."""
    cases: dict[tuple[str, str], list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("few") and not item.get_closest_marker("slow"):
            cases.setdefault((str(item.path), getattr(item, "originalname", item.name)), []).append(item)
    for found in cases.values():
        mark = found[0].get_closest_marker("few")
        assert mark is not None
        count = min(mark.args[0], len(found))
        kept = {round(index * (len(found) - 1) / max(count - 1, 1)) for index in range(count)}
        for index, item in enumerate(found):
            if index not in kept:
                item.add_marker(pytest.mark.slow)
