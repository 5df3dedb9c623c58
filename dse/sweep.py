"""Evaluate spaces as arrays: points in, columns out, stored as Parquet, resumed where it stopped.

What a point is, its level (`dse.level`) says: a tile (`dse.tiles`) or an accelerator around one (`dse.designs`). A row
holds the family, all parameters, the level's metrics, and what stands behind them: ``basis`` says where the numbers of
the family come from, ``extrapolated`` what of the tile lies beyond all measured ones.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dse.footer import MARK, footer, is_whole
from dse.level import ACCURACY, Chunk, Clock, Level, Missed
from dse.pareto import column_of, front, objective_values
from dse.provenance import commit, content_hash, source_hash, versions
from dse.rows import rows_schema, rows_table
from dse.space import Space
from dse.tiles import TILES
from hwgen.errors import HwgenError, os_error
from hwgen.files import replacing
from hwgen.schedule import Layer
from hwgen.simulators.cache import read_kept, write_kept
from sim.clock import clock_of
from sim.tech import DEFAULT, Tech, load

__all__ = ["Sweep", "clocks_of", "run_sweep", "sweep_hash"]

MOST_POINTS = 1 << 25
"""Most points of a sweep: its rows are in memory at once, some 300 to 500 bytes each."""
_PART_ROWS = 1 << 20
_PART_SECONDS = 20.0

Progress = Callable[[int, int], None]
"""Called with (points done, points in all)."""


@dataclass(frozen=True)
class Sweep:
    """Result of a sweep.

    ``points`` is the table of legal points, ``front`` its non-dominated rows ordered by the objectives, ``skipped``
    the number of points by reason ("family: reason"), ``looked_at`` all points of the spaces, ``seconds`` the time
    spent in evaluation. ``resumed`` says how many of them were taken from an earlier run.
    """

    points: pd.DataFrame
    front: pd.DataFrame
    objectives: tuple[str, ...]
    skipped: Mapping[str, int]
    looked_at: int
    seconds: float
    resumed: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)
    missed: Missed = field(default_factory=Missed)

    @property
    def legal(self) -> int:
        """Points that are legal and meet the constraints."""
        return len(self.points)

    @property
    def unmeasured(self) -> int:
        """Those of them whose accuracy was not measured, where it is a column."""
        return int(self.points["perplexity"].isna().sum()) if "perplexity" in self.points else 0

    @property
    def points_per_second(self) -> float:
        """Points looked at per second of evaluation, those of an earlier run left out; 0 when nothing was evaluated."""
        return (self.looked_at - self.resumed) / self.seconds if self.seconds else 0.0


def sweep_hash(
    spaces: Sequence[Space], layers: Sequence[Layer], tech: Tech, clocks: Sequence[Clock], level: Level = TILES
) -> str:
    """SHA-256 of all that the rows depend on: spaces, layers, technology table, clocks and the code of the formulas."""
    return content_hash(
        {
            "level": [level.name, sorted(level.metrics), list(level.constraints)],
            "spaces": [
                [space.family, {name: list(values) for name, values in space.axes.items()}, sorted(space.named)]
                for space in spaces
            ],
            "layers": [[layer.name, layer.m, layer.n, layer.k, layer.count] for layer in layers],
            "tech": tech.digest,
            "clocks": [[clock.period_ns, clock.named] for clock in clocks],
            "source": source_hash((space.family for space in spaces), level.sources),
        }
    )


@dataclass
class _State:
    """How far a sweep has come."""

    chunks: int = 0
    looked_at: int = 0
    seconds: float = 0.0
    skipped: dict[str, int] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file of rows: the checksums of Parquet's pages leave its footer out."""
    missed: Missed = field(default_factory=Missed)
    """Of the points of this run; not kept."""

    def add(self, chunk: Chunk) -> None:
        self.chunks += 1
        self.looked_at += chunk.looked_at
        self.missed += chunk.missed
        for reason, count in chunk.skipped.items():
            self.skipped[reason] = self.skipped.get(reason, 0) + count


def _work(
    spaces: Sequence[Space], clocks: Sequence[Clock], points: int
) -> Iterator[tuple[Space, dict[str, Any], Clock]]:
    for space in spaces:
        for p in space.chunks(points):
            for clock in clocks:
                yield space, p, clock


def clocks_of(given: float | str | Sequence[float | str] | None, tech: Tech) -> tuple[Clock, ...]:
    """Clock periods of a sweep."""
    listed = [given] if given is None or isinstance(given, str | float | int) else list(given)
    return tuple(dict.fromkeys(Clock(clock_of(tech, one), named=one is not None) for one in listed))


def _check(
    spaces: Sequence[Space], layers: Sequence[Layer], clocks: Sequence[Clock], objectives: Sequence[str], level: Level
) -> None:
    for layer in layers:
        if not isinstance(layer, Layer):
            raise HwgenError(f"sweep: layers must be of the class hwgen.schedule.Layer, not {layer!r}")
    points = len(clocks) * sum(space.size for space in spaces)
    if points > MOST_POINTS:
        raise HwgenError(
            f"sweep: must have at most {MOST_POINTS:,} points, not {points:,}; "
            "give fewer values, or several sweeps with an output each"
        )
    if not spaces or not layers:
        raise HwgenError(f"sweep: needs at least one family and one layer, not {len(spaces)} and {len(layers)}")
    for space in spaces:
        if space.around is not level.around:
            raise HwgenError(f"sweep: spaces must be of the level {level.name}, not that of {space.family}")
    for clock in clocks:
        if clock.period_ns is not None and not 0 < clock.period_ns < float("inf"):
            raise HwgenError(f"sweep: clk_period_ns must be above 0, not {clock.period_ns:g}")
    columns = pd.DataFrame(
        {field.name: np.zeros(0) for field in rows_schema(spaces, level) if not pa.types.is_dictionary(field.type)}
    )
    objective_values(columns, objectives)


def run_sweep(
    spaces: Sequence[Space],
    layers: Sequence[Layer],
    *,
    objectives: Sequence[str] = ("area_um2", "latency_us"),
    tech: Tech | str = DEFAULT,
    clk_period_ns: float | str | Sequence[float | str] | None = None,
    output: str | Path | None = None,
    command: str = "",
    progress: Progress | None = None,
    chunk_points: int | None = None,
    level: Level = TILES,
) -> Sweep:
    """Evaluate every point of the spaces on the layers.

    Parameters
    ----------
    objectives: numeric columns, minimised, of the front.
    clk_period_ns: clock period, or several, each for all points; None is the technology's default, "own" each tile's
        own shortest one. Tiles get the registers that a clock asks for, unless axes place them.
    output: Parquet file, written when all is done. While the sweep runs its parts lie in a folder beside it; the same
        sweep goes on from there after an interruption, and a finished file of the same sweep is read instead of
        evaluated again.
    command: how the sweep was started, for the file's metadata.
    progress: called after each block with the points done and the points in all.
    chunk_points: points that are evaluated at once; None leaves it to the level.
    level: what a point is; spaces must be of it (`Space.beside`).

    Raises `HwgenError` for an empty sweep, for more points than `MOST_POINTS`, an unknown objective and an output that
    cannot be written.
    """
    table = load(tech) if isinstance(tech, str) else tech
    clocks = clocks_of(clk_period_ns, table)
    _check(spaces, layers, clocks, objectives, level)
    digest = sweep_hash(spaces, layers, table, clocks, level)
    points_at_once = level.block_points(layers) if chunk_points is None else chunk_points
    job = _Job(spaces, layers, objectives, table, clocks, command, points_at_once, digest, level)
    if output is None:
        return _run(job, progress)
    target = Path(output)
    if target.is_dir() or not target.parent.is_dir():
        why = "a file, not a folder" if target.is_dir() else "in an existing folder"
        raise HwgenError(f"sweep: output must be {why}, not {str(target)!r}")
    stored = _stored(target)
    points = _rows(target) if stored is not None and stored.get("sweep_sha256") == digest else None
    if stored is not None and points is not None and points.num_rows == stored["rows"]:
        points = points.to_pandas()
        return Sweep(
            points,
            _front(points, objectives),
            tuple(objectives),
            stored["skipped"],
            stored["looked_at"],
            0.0,
            stored["looked_at"],
            stored,
        )
    folder = target.parent / f".{target.name}.{digest[:12]}.parts"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise os_error(f"sweep: cannot write beside {str(target)!r}", error) from error
    with _alone(folder, target):
        return _run(replace(job, target=target, folder=folder), progress)


@contextlib.contextmanager
def _alone(folder: Path, target: Path) -> Iterator[None]:
    """Refuse while another process works in the folder; at the end remove it if it is empty: nothing to go on from."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise HwgenError(
            f"sweep: the same sweep is being written to {str(target)!r} now; wait for it, or name another output"
        ) from error
    try:
        yield
    finally:
        os.close(handle)
        with contextlib.suppress(OSError):
            folder.rmdir()


def _read(file: Path, reader: Callable[[Path], Any]) -> Any:
    """What a reader of Parquet gives.

    Raises `HwgenError` if the file is gone or damaged: readers do not say what they raise then (UnicodeDecodeError and
    KeyError were seen).
    """
    try:
        return reader(file)
    except Exception as error:
        raise HwgenError(f"sweep: {str(file)!r} is damaged") from error


def _rows(file: Path) -> pa.Table | None:
    """Rows of a Parquet file; None if it is gone or damaged: pages carry checksums."""
    try:
        return _read(file, functools.partial(pq.read_table, page_checksum_verification=True))
    except HwgenError:
        return None


def _sum(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _part(file: Path, known: str) -> pa.Table | None:
    """Rows of a part; None if it is not the file that was written."""
    try:
        return _rows(file) if _sum(file) == known else None
    except OSError:
        return None


def _stored(target: Path) -> dict[str, Any] | None:
    """Metadata of a finished sweep's file, or None for any other file and for one whose metadata is damaged."""
    if not target.is_file():
        return None
    try:
        schema = _read(target, pq.read_schema)
    except HwgenError:
        return None
    metadata = schema.metadata or {}
    if not is_whole(schema, metadata):
        return None
    found: dict[str, Any] = json.loads(metadata[MARK])
    return found


def _load_state(folder: Path, chunk_points: int) -> _State:
    file = folder / "state.json"
    if not file.exists():
        return _State()
    kept = read_kept(file)
    # Blocks are counted: with another block size the count would mean other points. What is damaged is done again.
    if not isinstance(kept, dict) or kept.pop("chunk_points", None) != chunk_points:
        return _State()
    try:
        # An earlier version listed the parts without their sums.
        return _State(**kept) if isinstance(kept.get("parts"), dict) else _State()
    except TypeError:
        return _State()


def _save(folder: Path, state: _State, tables: list[pa.Table], chunk_points: int) -> None:
    """Write the rows since the last time as one part, then the state that names it."""
    if tables:
        name = f"part{len(state.parts):05d}.parquet"
        with replacing(folder / name, "sweep") as temporary:
            pq.write_table(pa.concat_tables(tables).unify_dictionaries(), temporary, compression="zstd")
            state.parts[name] = _sum(temporary)
        tables.clear()
    kept = {name: value for name, value in vars(state).items() if name != "missed"}
    write_kept(folder / "state.json", {**kept, "chunk_points": chunk_points})


@dataclass(frozen=True)
class _Job:
    """A sweep as it is run: what `run_sweep` was given, what it is known by, and where its parts lie meanwhile."""

    spaces: Sequence[Space]
    layers: Sequence[Layer]
    objectives: Sequence[str]
    tech: Tech
    clocks: Sequence[Clock]
    command: str
    chunk_points: int
    digest: str
    level: Level
    target: Path | None = None
    folder: Path | None = None


def _run(job: _Job, progress: Progress | None) -> Sweep:
    schema = rows_schema(job.spaces, job.level)
    state = _State() if job.folder is None else _load_state(job.folder, job.chunk_points)
    kept: list[pa.Table] = (
        [] if job.folder is None else [_part(job.folder / name, known) for name, known in state.parts.items()]
    )
    if any(part is None for part in kept):
        # A part that is gone or damaged is done again, and as blocks are counted all of them are.
        state, kept = _State(), []
    done = state.chunks
    resumed = state.looked_at
    earlier = state.seconds
    total = len(job.clocks) * sum(space.size for space in job.spaces)
    tables: list[pa.Table] = []
    rows, saved = 0, time.monotonic()
    for space in job.spaces:
        job.tech.prepare(space.family)
    for number, (space, p, clock) in enumerate(_work(job.spaces, job.clocks, job.chunk_points)):
        if number < done:
            continue
        started = time.perf_counter()
        chunk = job.level.evaluate(space, p, job.layers, job.tech, clock)
        state.seconds += time.perf_counter() - started
        state.add(chunk)
        if chunk.columns:
            made = rows_table(space, chunk, schema, job.tech, job.level)
            kept.append(made)
            tables.append(made)
            rows += made.num_rows
        if job.folder is not None and (rows >= _PART_ROWS or time.monotonic() - saved > _PART_SECONDS):
            _save(job.folder, state, tables, job.chunk_points)
            rows, saved = 0, time.monotonic()
        if progress is not None:
            progress(state.looked_at, total)
    skipped = dict(state.skipped)
    for space in job.spaces:
        for reason, count in space.dropped.items():
            skipped[reason] = skipped.get(reason, 0) + len(job.clocks) * count
    looked_at = state.looked_at + len(job.clocks) * sum(sum(space.dropped.values()) for space in job.spaces)
    everything = pa.concat_tables(kept).unify_dictionaries() if kept else schema.empty_table()
    metadata = {
        "sweep_sha256": job.digest,
        "command": job.command,
        "commit": commit(),
        "versions": versions(),
        "level": job.level.name,
        "objectives": list(job.objectives),
        "constraints": list(job.level.constraints),
        **job.level.about(job.tech, [space.family for space in job.spaces]),
        "tech": job.tech.name,
        "clk_period_ns": [clock.period_ns for clock in job.clocks],
        "layers": [vars(layer) for layer in job.layers],
        "skipped": skipped,
        "looked_at": looked_at,
        "rows": everything.num_rows,
        "seconds": state.seconds,
    }
    # A sweep without a point is the caller's to refuse: what lies at the output stays.
    if job.target is not None and job.folder is not None and everything.num_rows:
        about = footer(schema, json.dumps(metadata).encode())
        _write(everything.replace_schema_metadata(about), job.target)
    if job.folder is not None:
        shutil.rmtree(job.folder, ignore_errors=True)
    points = everything.to_pandas()
    best = _front(points, job.objectives)
    return Sweep(
        points,
        best,
        tuple(job.objectives),
        skipped,
        looked_at,
        state.seconds - earlier,
        resumed,
        metadata,
        state.missed,
    )


def _front(points: pd.DataFrame, objectives: Sequence[str]) -> pd.DataFrame:
    """The front of the points whose accuracy is known, where accuracy is an objective.

    Raises `HwgenError` where it is known of none.
    """
    asked = [name for name in map(column_of, objectives) if name in ACCURACY]
    known = points.dropna(subset=asked) if asked else points
    if len(points) and not len(known):
        raise HwgenError(
            f"sweep: {asked[0]} was measured of no point's formats; --measure measures them, or leave the objective out"
        )
    return front(known, objectives)


def _write(table: pa.Table, target: Path) -> None:
    """As the suffix says: .csv is CSV, anything else Parquet (the command line refuses what promises another)."""
    with replacing(target, "sweep") as temporary:
        if target.suffix.lower() == ".csv":
            table.to_pandas().to_csv(temporary, index=False, lineterminator="\n")
        else:
            pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
