"""A sweep as a folder: written while it runs, so that whenever it is killed the next run goes on from there.

``front.parquet``, ``sample.parquet``, ``axes.parquet`` and, with all rows stored, ``points/part….parquet`` lie in it;
``manifest.json``, written last, says what they are of and holds the SHA-256 of each. Until then ``state.json`` and the
tables that it names hold what the first parts came to. Files are replaced whole; one that is not what was written is
done again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dse.plan import Plan
from dse.running import Running
from hwgen.errors import HwgenError, os_error
from hwgen.files import make_folder, replacing, write_atomic
from hwgen.simulators.cache import read_kept, write_kept

__all__ = ["MANIFEST", "SCHEMA_VERSION", "Store", "checksum", "read_manifest", "read_table"]

SCHEMA_VERSION = 1
"""Of what lies in a folder; a newer one is refused."""
MANIFEST = "manifest.json"
TABLES = ("front", "sample", "axes")
_STATE = "state.json"
_POINTS = "points"
_OURS = re.compile(
    r"manifest\.json|state\.json|points|(?:front|sample|axes)(?:\.\d+)?\.parquet|\.hwgen-.*\.(?:tmp|old)"
)
_PART = re.compile(r"part\d{7,}\.parquet|\.hwgen-.*\.(?:tmp|old)")


_locks: set[int] = set()
"""Open folders that this process alone writes."""


def _let_go() -> None:
    # A worker that outlives its parent by a moment must not hold the lock.
    for handle in _locks:
        os.close(handle)
    _locks.clear()


os.register_at_fork(after_in_child=_let_go)


def checksum(file: Path) -> str | None:
    """SHA-256 of a file, None where it cannot be read."""
    try:
        with file.open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError:
        return None


def read_table(file: Path) -> pa.Table:
    """A table of a sweep. Raises `HwgenError` where it is gone or damaged."""
    try:
        # Readers do not say what they raise for a damaged file (UnicodeDecodeError and KeyError were seen).
        return pq.read_table(file, page_checksum_verification=True, partitioning=None)
    except Exception as error:
        raise HwgenError(
            f"sweep: {str(file)!r} is damaged or gone; run the sweep again, which makes it anew"
        ) from error


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a finished sweep; None where there is none, or it is damaged.

    Raises `HwgenError` for one of a newer version.
    """
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("kind") != "hwgen sweep":
        return None
    version = found.get("schema_version")
    if not isinstance(version, int):
        return None
    if version > SCHEMA_VERSION:
        raise HwgenError(
            f"sweep: {str(folder)!r} is of a newer hwgen: its layout must be version {SCHEMA_VERSION} at most, not "
            f"{version}; update hwgen, or name another output"
        )
    own = found.pop("manifest_sha256", None)
    return found if own == _sum_of(found) else None


def _sum_of(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


class Store:
    """The folder of one sweep, while this process alone writes it (`open_store`)."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan
        self.points: dict[str, str] = {}
        """SHA-256 of each file of points."""
        self._number = 0

    @classmethod
    @contextlib.contextmanager
    def opened(cls, folder: Path, plan: Plan) -> Iterator[Store]:
        """The folder, made if it is missing, and gone again if nothing was kept in it.

        Raises `HwgenError` for a folder of something else, or of another sweep, and while another process writes it.
        """
        if folder.exists() and not folder.is_dir():
            raise HwgenError(
                f"sweep: output must be a folder, or end in .parquet or .csv, not the file {str(folder)!r}"
            )
        made = not folder.exists()
        make_folder(folder, "sweep")
        handle = os.open(folder, os.O_RDONLY)
        _locks.add(handle)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise HwgenError(
                    f"sweep: another process is writing a sweep to {str(folder)!r}; wait for it, or name another output"
                ) from error
            store = cls(folder, plan)
            store._check()
            yield store
        finally:
            _locks.discard(handle)
            os.close(handle)
            if made:
                with contextlib.suppress(OSError):
                    folder.rmdir()

    def _check(self) -> None:
        """Refuse what is not ours; remove what a killed process left half-written."""
        names = sorted(path.name for path in self.folder.iterdir())
        strange = [name for name in names if not _OURS.fullmatch(name)]
        if not strange and (self.folder / _POINTS).is_dir():
            inside = sorted(path.name for path in (self.folder / _POINTS).iterdir())
            strange = [f"{_POINTS}/{name}" for name in inside if not _PART.fullmatch(name)]
        if strange:
            raise HwgenError(
                f"sweep: output folder {str(self.folder)!r} must be new, empty, or of this sweep; it holds "
                f"{strange[0]!r}"
            )
        manifest, state = read_manifest(self.folder), read_kept(self.folder / _STATE)
        for found in (manifest, state):
            if isinstance(found, dict) and found.get("sweep_sha256") not in (None, self.plan.digest):
                command = found.get("command")
                raise HwgenError(
                    f"sweep: {str(self.folder)!r} holds another sweep{f' ({command})' if command else ''}, or one of "
                    "other code; name another folder, or remove that one"
                )
        for path in [*self.folder.glob(".hwgen-*"), *(self.folder / _POINTS).glob(".hwgen-*")]:
            path.unlink(missing_ok=True)

    def finished(self) -> dict[str, Any] | None:
        """The manifest where all but files of points is as it was written; None where the sweep is to be done."""
        found = read_manifest(self.folder)
        if found is None:
            return None
        whole = all(
            checksum(self.folder / f"{name}.parquet") == found["files"].get(f"{name}.parquet") for name in TABLES
        )
        if not whole or (self.plan.keep and not found["stored"]):
            return None
        self.points = dict(found["parts"])
        # Whoever wrote the manifest may have been killed before it was done with the rest.
        self._clear(found["stored"])
        return found

    def damaged(self) -> list[int]:
        """Parts of which the file of points is gone or is not what was written."""
        if not self.plan.keep:
            return []
        return [
            part
            for part, name in ((part, self._name(part)) for part in range(len(self.points)))
            if checksum(self.folder / _POINTS / name) != self.points.get(name)
        ]

    def resumed(self) -> Running:
        """How far an earlier run came."""
        fresh = Running(self.plan)
        kept = read_kept(self.folder / _STATE)
        if not isinstance(kept, dict) or kept.get("sweep_sha256") != self.plan.digest:
            return fresh
        if self.plan.keep and not kept.get("stored"):
            return fresh
        tables = {}
        for name, known in kept["files"].items():
            file = self.folder / name
            if checksum(file) != known:
                return fresh
            tables[name.partition(".")[0]] = read_table(file)
        self.points = dict(kept["parts"])
        self._number = kept["number"]
        return Running.resumed(self.plan, kept["counted"], tables)

    def keep(self, running: Running, command: str) -> None:
        """Write how far the sweep has come."""
        counted, tables = running.state()
        self._number += 1
        files = {}
        for name, table in tables.items():
            file = f"{name}.{self._number}.parquet"
            files[file] = self._write(self.folder / file, table)
        write_kept(
            self.folder / _STATE,
            {
                "sweep_sha256": self.plan.digest,
                "command": command,
                "stored": self.plan.keep,
                "number": self._number,
                "counted": counted,
                "files": files,
                "parts": self.points,
            },
        )
        self._forget(files)

    def _forget(self, but: Mapping[str, str]) -> None:
        for name in TABLES:
            for file in self.folder.glob(f"{name}.*.parquet"):
                if file.name not in but:
                    file.unlink(missing_ok=True)

    def _name(self, part: int) -> str:
        return f"part{part:07d}.parquet"

    def write_points(self, part: int, raw: bytes) -> None:
        """Write the rows of a part."""
        folder = make_folder(self.folder / _POINTS, "sweep")
        name = self._name(part)
        write_atomic(folder / name, raw, "sweep")
        self.points[name] = hashlib.sha256(raw).hexdigest()

    def _write(self, file: Path, table: pa.Table) -> str:
        with replacing(file, "sweep") as temporary:
            pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)
            found = checksum(temporary)
        if found is None:
            raise HwgenError(f"sweep: cannot read what was written to {str(file)!r}")
        return found

    def write(self, tables: Mapping[str, pa.Table], manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Write what a sweep came to, the manifest last; returns that."""
        files = {
            f"{name}.parquet": self._write(self.folder / f"{name}.parquet", table) for name, table in tables.items()
        }
        said = {
            "kind": "hwgen sweep",
            "schema_version": SCHEMA_VERSION,
            **manifest,
            "stored": self.plan.keep,
            "files": files,
            "parts": self.points,
        }
        # As it is read back: lists for tuples.
        whole: dict[str, Any] = json.loads(json.dumps(said))
        text = json.dumps({**whole, "manifest_sha256": _sum_of(whole)}, indent=1)
        write_atomic(self.folder / MANIFEST, text, "sweep")
        self._clear(self.plan.keep)
        return whole

    def _clear(self, stored: bool) -> None:
        """Remove what a finished sweep does not need."""
        self._forget({})
        (self.folder / _STATE).unlink(missing_ok=True)
        for file in (self.folder / _POINTS).glob("part*.parquet") if stored else ():
            if file.name not in self.points:
                file.unlink(missing_ok=True)

    def abandon(self) -> None:
        """Remove the traces of a sweep that came to nothing."""
        self._forget({})
        (self.folder / _STATE).unlink(missing_ok=True)
        for file in (self.folder / _POINTS).glob("part*.parquet"):
            file.unlink(missing_ok=True)
        try:
            if (self.folder / _POINTS).is_dir():
                (self.folder / _POINTS).rmdir()
        except OSError as error:
            raise os_error(f"sweep: cannot clear {str(self.folder)!r}", error) from error
