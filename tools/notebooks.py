"""``python -m tools.notebooks [NAME...]``: run the notebooks of ``docs/notebooks`` and keep what they put out."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

from hwgen.files import write_atomic

__all__ = ["FOLDER", "SECONDS", "executed", "main", "texts"]

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
SECONDS = 300
"""Longest time of a cell."""
_PLAIN = "text/plain"


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook, run from its first cell in an empty folder; raises what nbclient raises where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    root = str(FOLDER.parents[1])
    # The checkout in which the notebook lies, whatever is installed.
    known = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            timeout=SECONDS,
            kernel_name="python3",
            coalesce_streams=True,
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": folder}},
        )
        client.execute(env={**os.environ, "PYTHONPATH": known})
    for cell in notebook.cells:
        cell.get("metadata", {}).pop("execution", None)
    return notebook


def texts(notebook: Mapping[str, Any]) -> list[list[str]]:
    """What each cell put out as text; of pictures that there is one."""
    found = []
    for cell in notebook["cells"]:
        said = []
        for output in cell.get("outputs", []):
            if output["output_type"] == "stream":
                said.append(output["text"])
            elif "image/png" in output.get("data", {}):
                said.append("a picture")
            else:
                said.append(output.get("data", {}).get(_PLAIN, ""))
        found.append(said)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them and write them back."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    known = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    parser.add_argument("names", nargs="*", help=f"default: all; {', '.join(known)}")
    for name in parser.parse_args(arguments).names or known:
        path = FOLDER / f"{name}.ipynb"
        print(name, file=sys.stderr, flush=True)
        write_atomic(path, nbformat.writes(executed(path)) + "\n", name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
