"""Find a technology by name or file."""

from __future__ import annotations

import functools
from pathlib import Path

from hwgen.errors import HwgenError, suggest
from sim.tables import FOLDER, read_toml
from sim.tech._calibrated import read_calibrated
from sim.tech._structure import Tech
from sim.tech._table import PrimitiveTech, read_primitives

__all__ = ["DEFAULT", "calibrated_on", "load", "names", "published"]

DEFAULT = "sky130hd"
"""The technology that is used when none is named."""


def names() -> tuple[str, ...]:
    """Names of the technologies that come with the package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml") if "node_nm" in read_toml(path)))


def calibrated_on(library_sha256: str) -> str | None:
    """Name of the technology that was measured on a library, or None."""
    for name in names():
        if read_toml(FOLDER / f"{name}.toml").get("calibration", {}).get("library_sha256") == library_sha256:
            return name
    return None


@functools.cache
def load(name: str = DEFAULT) -> Tech:
    """The technology of that name, or the one in the file of that path (ending in ``.toml``).

    Raises `HwgenError` for an unknown name and for a file that is no technology table.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not name.endswith(".toml") and name not in names():
        known = names()
        raise HwgenError(
            f"no technology table {name!r}{suggest(name, known)}; tables: {', '.join(known)}, or a .toml file"
        )
    return read_calibrated(path) if "calibration" in read_toml(path) else read_primitives(path)


def published(name: str) -> PrimitiveTech:
    """The shipped table of published operations of that name. Raises `HwgenError` for any other name."""
    tech = load(name)
    if not isinstance(tech, PrimitiveTech):
        raise HwgenError(f"technology {name} must be a table of published operations, which it is not")
    return tech
