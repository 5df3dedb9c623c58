"""docs/formats_from_files.md lists the keys that are declared, and names the files that come with hwgen."""

from __future__ import annotations

from pathlib import Path

from hwgen.formats.file import KEYS, example_names

TEXT = (Path(__file__).parents[2] / "docs/formats_from_files.md").read_text(encoding="utf-8")


def test_keys_are_those_declared() -> None:
    rows = ["| key | is | meaning |", "|---|---|---|"]
    rows += [f"| `{key.name}` | {key.what} | {key.doc} |" for key in KEYS]
    assert "\n".join(rows) in TEXT


def test_every_file_is_named() -> None:
    assert all(f"`{name}`" in TEXT for name in example_names())
