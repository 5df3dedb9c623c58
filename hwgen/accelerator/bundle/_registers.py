"""The registers for software and for other tools: SystemRDL, C header, JSON, pages."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hwgen.accelerator.bundle._names import kept_map
from hwgen.accelerator.emission import Emission
from hwgen.accelerator.registers import as_json, c_header, html, systemrdl

__all__ = ["register_files"]


def register_files(emission: Emission, pages: bool) -> dict[str, str | bytes]:
    """Register descriptions by file name; with ``pages`` those of ``registers.html`` too.

    Raises `HwgenError` where a package of the extra ``soc`` is missing.
    """
    top, map = emission.top, kept_map(emission)
    found: dict[str, str | bytes] = {
        f"{top}.rdl": systemrdl(map),
        f"{top}.h": c_header(map),
        f"{top}_registers.json": json.dumps(as_json(map), indent=2) + "\n",
    }
    if pages:
        with tempfile.TemporaryDirectory(prefix="hwgen-registers-") as work:
            folder = Path(work) / "registers.html"
            html(map, folder)
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    found[f"registers.html/{path.relative_to(folder).as_posix()}"] = path.read_bytes()
    return found
