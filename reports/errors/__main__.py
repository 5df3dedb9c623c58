"""``python -m reports.errors``: measure every family's error table, for reports/results/errors.md and errors.json."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from pathlib import Path

import reports.errors
from hwgen.files import write_atomic
from reports.command_line import without_options
from reports.families import ERRORS, table
from reports.provenance import provenance, write_result

__all__ = ["main"]

RESULT = Path("reports/results/errors.md")


def main() -> None:
    """Measure and write both files."""
    # First: what is written below makes the tree differ from its commit.
    facts = provenance()
    found: dict[str, tuple[str, list[dict[str, str]]]] = {}
    for module_info in pkgutil.iter_modules(reports.errors.__path__):
        if module_info.name.startswith("_"):
            continue
        module = importlib.import_module(f"reports.errors.{module_info.name}")
        rows = [{key: str(value) for key, value in row.items()} for row in module.error_table()]
        found[module_info.name] = (inspect.getdoc(module) or "", rows)
        print(f"{module_info.name}: {len(rows)} rows", flush=True)
    parts = []
    for name, (text, rows) in found.items():
        columns = list(rows[0])
        parts += [f"## {name}", text, table(columns, [[row[column] for column in columns] for row in rows])]
    kept = {name: {"text": text, "rows": rows} for name, (text, rows) in found.items()}
    write_atomic(ERRORS, json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "errors")
    write_result(RESULT, "Error of arithmetic", "python -m reports.errors", "\n\n".join(parts), facts)


if __name__ == "__main__":
    without_options(main, __doc__)
