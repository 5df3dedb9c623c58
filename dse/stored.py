"""Read what a sweep left behind: front, sample, points, objectives, and where they come from."""

from __future__ import annotations

import functools
import itertools
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dse.footer import MARK, is_whole
from dse.pareto import column_of, front, objective_values
from dse.store import MANIFEST, TABLES, checksum, read_manifest, read_table
from hwgen.errors import HwgenError, os_error
from hwgen.schedule import Layer
from hwgen.version import __version__

__all__ = ["StoredSweep", "open_sweep", "techs_of"]

_USUAL_OBJECTIVES = ("area_um2", "latency_us")
"""Those of `dse.sweep.run_sweep`, for files that do not name theirs."""
_NEEDED = ("command", "commit", "versions", "level", "status", "tech", "clk_period_ns", "layers", "looked_at", "rows")


@dataclass(frozen=True)
class StoredSweep:
    """A finished sweep, read back.

    ``front`` are the non-dominated rows by ``objectives``, ``sample`` rows that stand for all (of a folder: each for
    ``stands_for`` of them; of a file: all of them, and ``front`` keeps their index). ``axes``: what each value of each
    axis came to, None of a file. ``files`` are those of all rows, none where they are not stored. ``metadata`` holds
    what the sweep said of itself: command, commit, versions, technology, clocks, level, objectives, constraints,
    status of the numbers, points that were looked at and skipped.
    """

    path: Path
    front: pd.DataFrame
    sample: pd.DataFrame
    objectives: tuple[str, ...]
    layers: tuple[Layer, ...]
    metadata: Mapping[str, Any]
    axes: pd.DataFrame | None = None
    files: tuple[Path, ...] = ()
    workload: str | None = None

    @functools.cached_property
    def points(self) -> pd.DataFrame | None:
        """All rows, where they are stored; of a folder they are read when they are asked for."""
        if self.axes is None:
            return self.sample
        if not self.files:
            return None
        self.check_points()
        rows = pa.concat_tables([read_table(file) for file in self.files]).unify_dictionaries().to_pandas()
        return rows if self.workload is None else _of_workload(rows, self.workload)

    def check_points(self) -> None:
        """Raise `HwgenError` for a file of points that is not what was written."""
        for file in self.files if self.axes is not None else ():
            if checksum(file) != self.metadata["parts"][file.name]:
                raise HwgenError(f"sweep {str(self.path)!r}: {file.name} is damaged or gone; run the sweep again")

    @property
    def count(self) -> int:
        """Legal points of the sweep, stored or not."""
        return int(self.metadata["rows"])

    @property
    def workloads(self) -> tuple[str, ...]:
        """Names of the workloads whose points it has; none of a file."""
        return tuple(self.metadata.get("workloads", ()))

    def of(self, workload: str | None = None) -> StoredSweep:
        """The points of one workload, with its layers: by a part of its name that no other has, or the first.

        Raises `HwgenError` for a name that is none, or of several.
        """
        known = self.workloads
        what = f"sweep {str(self.path)!r}: workload"
        if workload is not None and not known:
            raise HwgenError(f"{what} must not be named of a file, which has one, not {workload!r}")
        found = [name for name in known if workload is None or workload in name]
        exact = [name for name in found if name == workload]
        if not found and known:
            raise HwgenError(f"{what} must be (a part of) one of {'; '.join(known)}, not {workload!r}")
        if workload is not None and len(exact or found) > 1:
            raise HwgenError(f"{what} must be told apart from the others, {workload!r} is in {'; '.join(found)}")
        if len(known) < 2:
            return self
        name = (exact or found)[0]
        assert self.axes is not None
        own = self.axes[self.axes["workload"].astype(str) == name]
        legal = int(own.loc[own["axis"] == own["axis"].iloc[0], "points"].sum()) if len(own) else 0
        layers = self.metadata["workloads"][name]
        about = {
            **self.metadata,
            "workloads": {name: layers},
            "looked_at": int(self.metadata["looked_at"]) // len(known),
            "rows": legal,
        }
        return replace(
            self,
            front=_of_workload(self.front, name),
            sample=_of_workload(self.sample, name),
            layers=tuple(Layer(**one) for one in layers),
            metadata=about,
            axes=own,
            workload=name,
        )

    def by(self, objectives: Sequence[str]) -> StoredSweep:
        """The same sweep with the front of other objectives.

        Raises `HwgenError` for a column that is none, or of which nothing is known, and where not all points are
        stored.
        """
        if tuple(objectives) == self.objectives:
            return self
        what, points = f"sweep {str(self.path)!r}", self.points
        if points is None:
            raise HwgenError(
                f"{what}: its front is of {', '.join(self.objectives)}; fronts of other objectives need a sweep that "
                "stores all points (hwgen sweep --store all)"
            )
        return replace(self, front=_front(what, points, objectives), objectives=tuple(objectives))


def techs_of(points: pd.DataFrame, about: Mapping[str, Any]) -> np.ndarray:
    """Names of the technologies of points [points]; ``about``: the metadata of their sweep."""
    if "tech" in points:
        named: np.ndarray = points["tech"].astype(str).to_numpy(object)
        return named
    return np.full(len(points), str(about["tech"]), object)


def _of_workload(rows: pd.DataFrame, workload: str) -> pd.DataFrame:
    return rows[rows["workload"].astype(str) == workload].reset_index(drop=True)


def open_sweep(path: str | Path) -> StoredSweep:
    """The sweep in a folder that `hwgen sweep -o FOLDER` wrote, or in a file of `hwgen sweep -o FILE.parquet`.

    Raises `HwgenError` for a missing, foreign, damaged, unfinished or newer one, and for a sweep that has no front.
    """
    file = Path(path)
    what = f"sweep {str(file)!r}"
    if not str(path) or not file.exists():
        raise HwgenError(f"{what}: there is no such file; hwgen sweep -o {shlex.quote(str(file))} writes it")
    return _folder(file, what) if file.is_dir() else _file(file, what)


def _folder(folder: Path, what: str) -> StoredSweep:
    about = read_manifest(folder)
    if about is None:
        if (folder / "state.json").exists():
            raise HwgenError(f"{what}: is not finished; the command that began it goes on from where it stopped")
        why = "its manifest.json is damaged" if (folder / MANIFEST).exists() else "it has no manifest.json"
        raise HwgenError(f"{what}: must be a folder that hwgen sweep wrote: {why}")
    _check_age(what, about)
    tables = {}
    for name in TABLES:
        file = folder / f"{name}.parquet"
        if checksum(file) != about["files"].get(file.name):
            raise HwgenError(f"{what}: {file.name} is damaged or gone; run the sweep again")
        tables[name] = read_table(file).to_pandas()
    files = tuple(folder / "points" / name for name in sorted(about["parts"])) if about["stored"] else ()
    layers = tuple(Layer(**one) for one in about["layers"])
    objectives = tuple(about["objectives"])
    return StoredSweep(folder, tables["front"], tables["sample"], objectives, layers, about, tables["axes"], files)


def _file(file: Path, what: str) -> StoredSweep:
    about, table = _read(file, what)
    points = table.to_pandas()
    objectives = _objectives(about)
    layers = tuple(Layer(**one) for one in about["layers"])
    return StoredSweep(file, _front(what, points, objectives), points, objectives, layers, about, None, (file,))


def _front(what: str, points: pd.DataFrame, objectives: Sequence[str]) -> pd.DataFrame:
    """The front of the points whose objectives are known."""
    objective_values(points.iloc[:0], objectives)
    known = points.dropna(subset=[column_of(name) for name in objectives])
    if not len(known):
        why = "no point" if not len(points) else f"no point whose {', '.join(objectives)} are known"
        raise HwgenError(f"{what}: holds {why}, so that it has no front")
    return front(known, objectives)


def _read(file: Path, what: str) -> tuple[dict[str, Any], pa.Table]:
    """Metadata and rows."""
    try:
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
    if MARK not in marks:
        raise HwgenError(f"{what}: must be Parquet that hwgen sweep wrote, not of another program: it has no metadata")
    if not is_whole(schema, marks):
        raise damaged
    about: dict[str, Any] = json.loads(marks[MARK])
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
