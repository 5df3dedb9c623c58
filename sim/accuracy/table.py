"""What formats cost the default model, as it was measured once: a table that comes with the package.

``tables/smollm2_135m.csv`` has a row for each recipe (`sim.accuracy.recipe`), ``tables/smollm2_135m.toml`` says on what
text, how many tokens, with which commit and versions. `python -m reports.accuracy` writes both. A format that is in no
row has no accuracy here: nothing is interpolated.
"""

from __future__ import annotations

import csv
import functools
import io
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen.errors import HwgenError
from sim.accuracy.recipe import Recipe

__all__ = ["TABLE", "Known", "known", "known_of", "provenance_of", "table_text"]

TABLE = Path(__file__).with_name("tables") / "smollm2_135m.csv"
_NUMBERS = ("bits_per_weight", "perplexity", "kl_nats", "agreement", "tokens")
_COLUMNS = ("recipe", *_NUMBERS)


@dataclass(frozen=True)
class Known:
    """A recipe's measurement: see `sim.accuracy.language.Measured`."""

    bits_per_weight: float
    perplexity: float
    kl_nats: float
    agreement: float
    tokens: int


@functools.cache
def known(path: Path = TABLE) -> Mapping[str, Known]:
    """All rows by the recipe's canonical text. Raises `HwgenError` for a table that is damaged."""
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
        found = {}
        for row in rows:
            numbers = {name: float(row[name]) for name in _NUMBERS}
            if not (numbers["perplexity"] >= 1.0 and 0.0 <= numbers["agreement"] <= 1.0 and numbers["tokens"] >= 1):
                raise ValueError(f"numbers of {row['recipe']!r}")
            tokens = int(numbers.pop("tokens"))
            found[row["recipe"]] = Known(**numbers, tokens=tokens)
        return found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HwgenError(f"table of accuracies {path}: cannot be read: {error}") from error


def known_of(recipe: Recipe, path: Path = TABLE) -> Known | None:
    """The measurement of a recipe; None where there is none."""
    return known(path).get(recipe.digest_text())


@functools.cache
def provenance_of(path: Path = TABLE) -> Mapping[str, Any]:
    """Model, text, windows, command, commit and versions of a table."""
    try:
        return tomllib.loads(path.with_suffix(".toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise HwgenError(f"table of accuracies {path}: cannot be read: {error}") from error


def table_text(rows: Sequence[tuple[Recipe, Known]]) -> str:
    """The CSV file of measurements."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for recipe, one in sorted(rows, key=lambda row: row[0].digest_text()):
        writer.writerow([recipe.digest_text(), *(getattr(one, name) for name in _NUMBERS)])
    return text.getvalue()
