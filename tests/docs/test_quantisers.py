"""docs/quantisers.md has a row for every quantiser and every scheme of a layer."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import hwgen.quantize as package
from hwgen.pe import families

PAGE = (Path(__file__).parents[2] / "docs/quantisers.md").read_text(encoding="utf-8")
HELPERS = {"acts_for", "weights_for", "per_row", "default_anchor", "signed_scheme", "two_level_limit"}


def test_every_quantiser_has_its_row() -> None:
    functions = {name for name in package.__all__ if inspect.isfunction(getattr(package, name))} - HELPERS
    assert set(re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE)) == functions


def test_every_scheme_of_a_family_is_named() -> None:
    for name, family in families().items():
        scheme = family.parameters().get("scheme")
        legal = scheme.legal if scheme is not None and isinstance(scheme.legal, tuple) else ()
        for choice in legal:
            assert f"`{choice}`" in PAGE, (name, choice)


def test_every_rule_is_named() -> None:
    assert all(f"`{rule}`" in PAGE for rule in package.NV_RULES if rule != "division")
