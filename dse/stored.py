"""Read what a sweep left behind: points, front, objectives, and where they come from."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dse.level import ACCURACY
from dse.pareto import column_of, front

# Whoever writes a sweep says how its file is marked.
from dse.sweep import _FOOTER_SUM, _METADATA, _footer_sum
from hwgen.errors import HwgenError, os_error
from hwgen.schedule import Layer
from hwgen.version import __version__

__all__ = ["StoredSweep", "open_sweep"]

_USUAL_OBJECTIVES = ("area_um2", "latency_us")
"""Those of `dse.sweep.run_sweep`, for files that do not name theirs."""
_NEEDED = ("command", "commit", "versions", "level", "status", "tech", "clk_period_ns", "layers", "looked_at", "rows")


@dataclass(frozen=True)
class StoredSweep:
    """A finished sweep, read back.

    ``front`` are the non-dominated rows by ``objectives``, ``sample`` rows that stand for the others, ``points`` all
    rows where they are stored (then ``sample`` is all of them, and ``front`` keeps their index). ``metadata`` holds
    what the sweep said of itself: command, commit, versions, technology, clocks, level, status of the numbers, points
    that were looked at and skipped.
    """

    path: Path
    front: pd.DataFrame
    sample: pd.DataFrame
    points: pd.DataFrame | None
    objectives: tuple[str, ...]
    layers: tuple[Layer, ...]
    metadata: Mapping[str, Any]

    @property
    def count(self) -> int:
        """Legal points of the sweep, stored or not."""
        return int(self.metadata["rows"])


def open_sweep(path: str | Path) -> StoredSweep:
    """The sweep in a file that `hwgen sweep -o FILE.parquet` wrote.

    Raises `HwgenError` for a missing, foreign, damaged or newer file, and for a sweep that has no front.
    """
    file = Path(path)
    about, table = _read(file)
    points = table.to_pandas()
    objectives = _objectives(about)
    known = points.dropna(subset=[name for name in map(column_of, objectives) if name in ACCURACY])
    if not len(known):
        why = "no point" if not len(points) else f"no point whose {', '.join(objectives)} are known"
        raise HwgenError(f"sweep {str(file)!r}: holds {why}, so that it has no front")
    layers = tuple(Layer(**one) for one in about["layers"])
    return StoredSweep(file, front(known, objectives), points, points, objectives, layers, about)


def _read(file: Path) -> tuple[dict[str, Any], pa.Table]:
    """Metadata and rows."""
    what = f"sweep {str(file)!r}"
    try:
        if not file.exists():
            raise HwgenError(f"{what}: there is no such file; hwgen sweep -o {shlex.quote(str(file))} writes it")
        if file.is_dir():
            raise HwgenError(f"{what}: must be a file that hwgen sweep wrote, not a folder")
        with file.open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        raise os_error(f"{what}: cannot be read", error) from error
    if magic != b"PAR1":
        hint = "; CSV does not say where its numbers come from" if file.suffix.lower() == ".csv" else ""
        raise HwgenError(f"{what}: must be Parquet that hwgen sweep wrote (-o FILE.parquet), not another file{hint}")
    damaged = HwgenError(f"{what}: is damaged; the sweep has to be run again")
    try:
        schema = pq.read_schema(file)
    except Exception as error:  # readers do not say what they raise for a damaged file
        raise damaged from error
    marks = schema.metadata or {}
    if _METADATA not in marks:
        raise HwgenError(f"{what}: must be Parquet that hwgen sweep wrote, not of another program: it has no metadata")
    if marks.get(_FOOTER_SUM) != _footer_sum(schema, marks[_METADATA]):
        raise damaged
    about: dict[str, Any] = json.loads(marks[_METADATA])
    _check_age(what, about)
    try:
        table = pq.read_table(file, page_checksum_verification=True)
    except Exception as error:  # as above
        raise damaged from error
    return about, table


def _check_age(what: str, about: Mapping[str, Any]) -> None:
    """Refuse what this version cannot understand."""
    wrote = str(about.get("versions", {}).get("hwgen", ""))
    if _numbers(wrote) > _numbers(__version__):
        raise HwgenError(f"{what}: was written by hwgen {wrote}, newer than this one, {__version__}; update hwgen")
    missing = [name for name in _NEEDED if name not in about]
    if missing:
        by = f"hwgen {wrote}" if wrote else "another version of hwgen"
        raise HwgenError(f"{what}: was written by {by}, and does not say {', '.join(missing)}; run the sweep again")


def _numbers(version: str) -> tuple[int, ...]:
    """Release of a version, for comparison."""
    parts = version.partition("+")[0].split(".")
    return tuple(int(part) for part in parts if part.isdigit())


def _objectives(about: Mapping[str, Any]) -> tuple[str, ...]:
    """What the sweep was for: as it says, or else as its command does."""
    named = about.get("objectives")
    if named:
        return tuple(named)
    words = shlex.split(about["command"])
    found = [after for word, after in itertools.pairwise(words) if word == "--objective"]
    found += [word.partition("=")[2] for word in words if word.startswith("--objective=")]
    return tuple(dict.fromkeys(found)) or _USUAL_OBJECTIVES
