"""What of a model is stored how, and by which method its weights get there."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from hwgen.errors import HwgenError, suggest
from hwgen.options import AccuracyOptions
from sim.accuracy.methods import Method, method
from sim.accuracy.methods.base import Inputs, Layer
from sim.accuracy.operand import ROW, OperandFormat, operand_format

__all__ = ["ROLES", "Recipe", "recipe", "try_weights"]

ROLES: Mapping[str, str] = AccuracyOptions.roles()
"""Roles of numbers in a model, and what they are."""

_BY_ROW = ("acts", "queries", "keys", "values", "shares", "head_acts")
"""Roles with one scale a row, unless a format's name says otherwise; keys and values have one a token and head."""


@dataclass(frozen=True)
class Recipe:
    """Formats by role; a role without one stays float32. ``layers`` overrides ``weights`` for layers by name."""

    formats: Mapping[str, OperandFormat] = field(default_factory=dict)
    method: Method = field(default_factory=lambda: method("rtn"))
    layers: Mapping[str, OperandFormat] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """All that it says, as JSON has it: the key of what was measured with it."""
        return {
            "formats": {role: self.formats[role].name for role in ROLES if role in self.formats},
            "method": str(self.method),
            "layers": {name: form.name for name, form in sorted(self.layers.items())},
        }

    def __str__(self) -> str:
        words = [f"{role}={form}" for role, form in self.document()["formats"].items()]
        more = [f"{len(self.layers)} layers of their own"] if self.layers else []
        return " ".join([*words, *more, str(self.method)]) if words or more else "float32"

    def digest_text(self) -> str:
        """The document as canonical text."""
        return json.dumps(self.document(), sort_keys=True)

    def weights_of(self, layer: str) -> OperandFormat | None:
        """Format of a layer's weights."""
        return self.layers.get(layer, self.formats.get("weights"))

    def with_layers(self, layers: Mapping[str, OperandFormat]) -> Recipe:
        """This one with formats for single layers."""
        return dataclasses.replace(self, layers=dict(layers))


def recipe(formats: Mapping[str, str], by: str = "rtn", layers: Mapping[str, str] | None = None) -> Recipe:
    """A recipe from names. Raises `HwgenError` for a role, format or method that is none."""
    for role in formats:
        if role not in ROLES:
            raise HwgenError(f"role: must be one of {', '.join(ROLES)}, not {role!r}{suggest(role, ROLES)}")
    found = {
        role: operand_format(name, ROW) if role in _BY_ROW else operand_format(name) for role, name in formats.items()
    }
    return Recipe(found, method(by), {name: operand_format(text) for name, text in (layers or {}).items()})


def try_weights(asked: Recipe, columns: int) -> None:
    """Quantise a few random weights of so many columns, so that what a method refuses is known before a model is read.

    Raises `HwgenError` as the method does; other layers of a model may still be refused for their own columns.
    """
    forms = [form for form in (asked.formats.get("weights"), *asked.layers.values()) if form is not None]
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(16, columns, generator=generator)
    for form in dict.fromkeys(forms):
        layer = Layer(f"of {columns} columns", rows[:2], form)
        asked.method.quantise([layer], asked.formats.get("acts"), Inputs(rows) if asked.method.calibrated else None)
