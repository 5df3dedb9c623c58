"""Sweeps as folders: killed, damaged, foreign, newer, full: the next run gives what the first would have given."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import dse.explore
from dse.engines import Processes
from dse.explore import explore
from dse.plan import LevelSpec, Plan
from dse.stored import open_sweep
from hwgen.errors import GroundError, HwgenError
from tests.dse.sweeps import DAMAGE, LAYERS, content, plan, scene, spaces


@pytest.fixture(autouse=True)
def _kept_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dse.explore, "_KEEP_S", 0.0)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A sweep with all rows that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole") / "x"
    explore(plan(keep=True), folder)
    return folder


def small() -> Plan:
    """A sweep of few parts."""
    return plan(spaces=spaces()[:1], keep=True, part_pairs=300)


def killed_at(call: int, folder: Path, *, before: bool) -> bool:
    """Run the sweep in a process that is killed at its ``call``-th file; whether there was one."""
    child = os.fork()
    if child == 0:
        replace, calls = os.replace, 0

        def replacing(*arguments: object) -> None:
            nonlocal calls
            calls += 1
            if calls == call and before:
                os.kill(os.getpid(), signal.SIGKILL)
            replace(*arguments)  # type: ignore[arg-type]
            if calls == call:
                os.kill(os.getpid(), signal.SIGKILL)

        os.replace = replacing  # type: ignore[assignment]
        try:
            explore(small(), folder)
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("before", [False, True])
def test_a_killed_sweep_goes_on_to_the_same_bytes(before: bool, tmp_path: Path) -> None:
    made = small()
    assert made.parts > 2
    explore(made, tmp_path / "whole")
    wanted = content(tmp_path / "whole")
    call = 0
    while killed_at(call := call + 1, tmp_path / "x", before=before):
        again = explore(made, tmp_path / "x")
        assert content(tmp_path / "x") == wanted, call
        assert (again.resumed > 0) == (call > 5 or (call == 5 and not before))
        shutil.rmtree(tmp_path / "x")
    # Each part is a file of points, three tables and the state; in the end there are three tables and the manifest.
    assert call == 5 * made.parts + 4 + 1


def test_what_was_done_is_not_done_again(tmp_path: Path) -> None:
    made = plan(keep=True)

    class Stopped(Exception):
        pass

    def stop(done: int, of: int) -> None:
        if done > of // 2:
            raise Stopped

    with pytest.raises(Stopped):
        explore(made, tmp_path / "x", progress=stop)
    assert not (tmp_path / "x" / "manifest.json").exists()
    with pytest.raises(HwgenError, match="is not finished; the command that began it goes on from where it stopped"):
        open_sweep(tmp_path / "x")
    again = explore(made, tmp_path / "x")
    assert again.looked_at // 2 < again.resumed < again.looked_at
    done = explore(made, tmp_path / "x")
    assert (done.resumed, done.points_per_second) == (done.looked_at, 0)
    assert len(done.front) == len(again.front)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize(
    "name", ["front.parquet", "sample.parquet", "axes.parquet", "manifest.json", "points/part0000002.parquet"]
)
def test_what_is_damaged_is_made_again(damage: Callable[[Path], None], name: str, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, folder := tmp_path / "x")
    damage(folder / name)
    assert Path(name).name in refusal(folder)
    explore(plan(keep=True), folder)
    assert content(folder) == content(whole)


def refusal(folder: Path) -> str:
    try:
        assert open_sweep(folder).points is not None
    except HwgenError as error:
        return str(error)
    return "none"


def test_a_part_of_another_sweep_is_made_again(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, folder := tmp_path / "x")
    explore(plan(keep=True, scenes=[scene(layers=LAYERS[:1])]), tmp_path / "other")
    name = "points/part0000001.parquet"
    shutil.copy(tmp_path / "other" / name, folder / name)
    shutil.copy(folder / name, folder / "points" / "part0009999.parquet")
    with pytest.raises(HwgenError, match=r"part0000001\.parquet is damaged or gone"):
        _ = open_sweep(folder).points
    explore(plan(keep=True), folder)
    assert content(folder) == content(whole)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["state.json", "front.*.parquet", "sample.*.parquet", "points/part0000000.parquet"])
def test_an_interrupted_sweep_goes_on_from_damage(
    damage: Callable[[Path], None], name: str, whole: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "x"

    def stop(done: int, of: int) -> None:
        if done > of // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explore(plan(keep=True), folder, progress=stop)
    (file,) = folder.glob(name)
    damage(file)
    explore(plan(keep=True), folder)
    assert content(folder) == content(whole)


def test_a_folder_of_something_else_is_left_alone(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("keep")
    with pytest.raises(HwgenError, match=r"must be new, empty, or of this sweep; it holds 'chapter.tex'"):
        explore(plan(), tmp_path / "thesis")
    shutil.copytree(whole, folder := tmp_path / "x")
    before = content(folder)
    with pytest.raises(HwgenError, match="holds another sweep, or one of other code; name another folder"):
        explore(plan(scenes=[scene(layers=LAYERS[:1])]), folder)
    (folder / "points" / "notes.txt").write_text("keep")
    with pytest.raises(HwgenError, match=r"it holds 'points/notes.txt'"):
        explore(plan(keep=True), folder)
    (folder / "points" / "notes.txt").unlink()
    assert content(folder) == before
    (tmp_path / "file").write_text("keep")
    with pytest.raises(HwgenError, match=r"must be a folder, or end in .parquet or .csv, not the file"):
        explore(plan(), tmp_path / "file")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "thesis", "x"]


def test_a_newer_layout_is_refused(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, folder := tmp_path / "x")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "schema_version": 2}))
    for what in (lambda: explore(plan(keep=True), folder), lambda: open_sweep(folder)):
        with pytest.raises(HwgenError, match="is of a newer hwgen: its layout must be version 1 at most, not 2"):
            what()
    assert content(folder) == content(whole)


def test_two_sweeps_in_one_folder(tmp_path: Path) -> None:
    told: list[str] = []

    def meanwhile(done: int, of: int) -> None:
        if not told:
            with pytest.raises(HwgenError) as caught:
                explore(plan(), tmp_path / "x")
            told.append(str(caught.value))

    explore(plan(), tmp_path / "x", progress=meanwhile)
    assert told == [
        f"sweep: another process is writing a sweep to {str(tmp_path / 'x')!r}; wait for it, or name another output"
    ]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    """A limit on the size of files stands for it: writing fails half-way."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
        try:
            explore(plan(), tmp_path / "x")
        except GroundError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    said = os.read(read, 1000).decode()
    os.close(read)
    assert said.startswith(f"sweep: cannot write '{tmp_path}/x/")
    assert said.endswith("File too large")
    assert "\n" not in said
    explore(plan(), tmp_path / "x")
    explore(plan(), tmp_path / "y")
    assert content(tmp_path / "x") == content(tmp_path / "y")


def test_a_sweep_that_comes_to_nothing_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(HwgenError, match=r"none of the .* legal points meets the constraint"):
        explore(plan(kind=LevelSpec(where=("area_um2 <= 1",)), keep=True), tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    """Workers that outlive a killed sweep by a moment do not keep the next one out."""
    child = os.fork()
    if child == 0:

        def end(done: int, of: int) -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        try:
            explore(plan(), tmp_path / "x", engine=Processes(2), progress=end)
        finally:
            sys.stderr.flush()
            os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    explore(plan(), tmp_path / "x")
    explore(plan(), tmp_path / "y")
    assert content(tmp_path / "x") == content(tmp_path / "y")


def test_what_is_stored_comes_back(whole: Path) -> None:
    found, direct = open_sweep(whole), explore(plan())
    assert found.objectives == direct.objectives
    assert found.layers == LAYERS
    assert found.front["point"].tolist() == direct.front["point"].tolist()
    assert found.sample["point"].tolist() == direct.sample["point"].tolist()
    assert found.points is not None
    assert found.count == len(found.points) == direct.legal
    assert {"objectives", "layers", "command", "commit", "versions", "constraints"} <= set(found.metadata)
    assert found.metadata["schema_version"] == 1
