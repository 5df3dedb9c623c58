"""Whatever happens to a file that was kept, the next run makes it again and gives what the first gave."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from dse.space import Space
from dse.sweep import run_sweep
from hwgen.cli import main
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.schedule import Layer
from hwgen.simulators.cache import FOLDERS, cached, read_kept, write_kept
from hwgen.synth import SynthOptions, generic_library, synthesise
from sim.accuracy.fetchable import fetchable


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def junk(file: Path) -> None:
    file.write_bytes(b"[1, 2]")


def gone(file: Path) -> None:
    file.unlink()


DAMAGE = [cut, flip, empty, junk, gone]
Damage = Callable[[Path], None]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["sim", "more/data", ".sha256"])
def test_an_entry_is_made_again(damage: Damage, name: str) -> None:
    made = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "more").mkdir()
        for one in ("sim", "more/data"):
            (folder / one).write_bytes(bytes(range(100)))

    entry = cached("entry", make)
    assert cached("entry", make) == entry
    assert len(made) == 1
    damage(entry / name)
    assert cached("entry", make) == entry
    assert len(made) == 2
    assert (entry / "more" / "data").read_bytes() == bytes(range(100))
    assert sorted(path.name for path in entry.parent.iterdir()) == ["entry", "entry.lock"]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_kept_value_is_what_was_written_or_nothing(damage: Damage, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write_kept(file, {"area": 12.5, "cells": [1, 2, 3]})
    assert read_kept(file) == {"area": 12.5, "cells": [1, 2, 3]}
    damage(file)
    # JSON of another kind is an earlier version's, for its reader to judge.
    assert read_kept(file) in (None, [1, 2])


@pytest.mark.parametrize("damage", [flip, cut])
def test_synthesis_goes_on_from_damaged_results(damage: Damage, tmp_path: Path) -> None:
    spec, library = family("int")(m=1, n=1, k=1, group=1, bits=2), generic_library()
    first = synthesise(spec, library, options=SynthOptions(recipes=("plain",)))
    # Results, the library as Yosys reads it, and what ABC keeps of it.
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.suffix in (".json", ".lib", ".scl")]
    assert {path.suffix for path in kept} == {".json", ".lib", ".scl"}
    for file in kept:
        damage(file)
    again = synthesise(spec, library, options=SynthOptions(recipes=("plain",)))
    assert (again.area, again.min_clk_period_ns) == (first.area, first.min_clk_period_ns)
    assert again.from_cache == 0
    assert synthesise(spec, library, options=SynthOptions(recipes=("plain",))).from_cache == again.mappings


def space() -> list[Space]:
    return [Space.of("int", {"n": list(range(4, 68, 4)), "k": [4, 8], "m": [1, 2, 4, 8]})]


LAYERS = [Layer("x", 8, 64, 128)]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("which", ["state.json", "part00000.parquet"])
def test_an_interrupted_sweep_goes_on_from_damaged_parts(
    damage: Damage, which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "points.parquet"
    want = run_sweep(space(), LAYERS).points
    monkeypatch.setattr("dse.sweep._PART_ROWS", 1)

    def stop(done: int, of: int) -> None:
        if done >= of // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(space(), LAYERS, output=file, chunk_points=16, progress=stop)
    (folder,) = tmp_path.glob(".points.parquet.*.parts")
    damage(folder / which)
    done = run_sweep(space(), LAYERS, output=file, chunk_points=16)
    assert done.resumed == 0
    assert done.points["cycles"].tolist() == want["cycles"].tolist()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == ["points.parquet"]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_of_points_is_made_again(damage: Damage, tmp_path: Path) -> None:
    file = tmp_path / "points.parquet"
    want = run_sweep(space(), LAYERS, output=file).points
    damage(file)
    again = run_sweep(space(), LAYERS, output=file)
    assert again.points["cycles"].tolist() == want["cycles"].tolist()


def test_a_bit_of_a_sweep_s_file_never_changes_its_rows(tmp_path: Path) -> None:
    """Pages, dictionaries, names, counts: whichever bit turns over, the rows are those of before."""
    file = tmp_path / "points.parquet"
    want = run_sweep(space(), LAYERS, output=file).points
    good = file.read_bytes()
    known = 0
    for place in range(0, len(good), 307):
        raw = bytearray(good)
        raw[place] ^= 1 << place % 8
        file.write_bytes(raw)
        again = run_sweep(space(), LAYERS, output=file)
        known += again.resumed > 0
        pd.testing.assert_frame_equal(again.points, want, check_categorical=False)
    # Some bits mean nothing to a reader (statistics, who wrote the file).
    assert known < len(good) // 307 // 2
    assert run_sweep(space(), LAYERS, output=file).resumed


def test_two_sweeps_on_one_output(tmp_path: Path) -> None:
    """The second is refused, and the first ends as if it were alone."""
    file = tmp_path / "points.parquet"
    told = []

    def meanwhile(done: int, of: int) -> None:
        if not told:
            with pytest.raises(HwgenError) as caught:
                run_sweep(space(), LAYERS, output=file)
            told.append(str(caught.value))

    assert len(run_sweep(space(), LAYERS, output=file, progress=meanwhile).points)
    expected = f"sweep: the same sweep is being written to {str(file)!r} now; wait for it, or name another output"
    assert told == [expected]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["points.parquet"]


def test_the_lock_of_a_killed_process_is_nobodys(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        (tmp_path / "cache").mkdir()
        handle = os.open(tmp_path / "cache" / "entry.lock", os.O_CREAT | os.O_RDWR)
        fcntl.flock(handle, fcntl.LOCK_EX)
        os._exit(9)
    os.waitpid(child, 0)
    assert cached("entry", lambda folder: (folder / "x").touch()).is_dir()


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    assert isinstance(caught.value.code, int)
    return caught.value.code


def test_the_command_shows_and_clears(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cache") == 0
    assert capsys.readouterr().out == f"{tmp_path}/cache (does not exist yet)\n"
    cached("0" * 64, lambda folder: (folder / "x").touch())
    write_kept(tmp_path / "cache" / "calibrate" / "x.json", [1])
    (tmp_path / "cache" / "x.gguf").touch()
    for name in FOLDERS:
        write_kept(tmp_path / "cache" / name / "x.json", [1])
    assert run("cache", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert set(shown["kinds"]) > {"models", *FOLDERS.values()}
    assert run("cache", "--clear") == 0
    left = sorted(path.name for path in (tmp_path / "cache").iterdir())
    assert left == ["accelerator", "accuracy", "calibrate", "tasks", "texts", "x.gguf"]
    assert run("cache", "--all") == 2
    assert run("cache", "--clear", "--all") == 0
    assert list((tmp_path / "cache").iterdir()) == []


def test_all_that_is_fetched_lies_where_clearing_knows_it() -> None:
    for members in fetchable().values():
        for member in members:
            folder, _, rest = member.file.partition("/")
            assert (folder in FOLDERS) if rest else folder.endswith((".gguf", ".safetensors")), member.file


def test_a_folder_of_somebody_is_not_cleared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "thesis.tex").write_text("keep")
    assert run("cache", "--clear", "--all") == 2
    expected = f"hwgen: cache: {tmp_path}/cache must hold what hwgen made alone to be cleared, not 'thesis.tex'\n"
    assert capsys.readouterr().err == expected
    assert (tmp_path / "cache" / "thesis.tex").read_text() == "keep"
