"""What is emitted depends on what is asked for, not on what the process did before."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hwgen.emit import emit
from hwgen.frame.spec import TileSpec
from hwgen.pe import family
from hwgen.yosys import run_passes

ALONE = "import sys; from hwgen.emit import emit; from hwgen.pe import family; sys.stdout.write(emit({}).verilog)"
EMPTY = "module \\top\nend\n"


def small() -> TileSpec:
    return family("int")(m=1, n=1, k=1, group=1, bits=2)


def test_a_tile_after_others_is_the_tile_alone() -> None:
    # Names of the first come up again in another order, and with more digits, in the second.
    texts = [emit(spec).verilog for spec in (family("mx")(), small(), family("mx")(), small())]
    assert texts[:2] == texts[2:]
    for call, text in zip(('family("mx")()', 'family("int")(m=1, n=1, k=1, group=1, bits=2)'), texts[:2], strict=True):
        alone = subprocess.run([sys.executable, "-c", ALONE.format(call)], capture_output=True, text=True, check=True)
        assert alone.stdout == text


def test_threads_and_forks_have_their_own_turn() -> None:
    wanted = emit(small()).verilog
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(emit(small()).verilog)) for _ in range(4)]
    for thread in threads:
        thread.start()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found += [one.verilog for one in pool.map(emit, [small()] * 4)]
    for thread in threads:
        thread.join()
    assert found == [wanted] * 8


def test_what_yosys_refuses_is_told_and_the_next_run_is_not_harmed(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="No such command: nonesuch"):
        run_passes(EMPTY, ["nonesuch"], write="write_rtlil")
    assert "module \\top" in run_passes(EMPTY, [], write="write_rtlil")
    assert capfd.readouterr() == ("", "")


def test_a_folder_with_a_json_module_is_not_where_modules_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(3)\n")
    monkeypatch.chdir(tmp_path)
    # A process of its own, so that the one that forks is new too.
    code = "import sys; sys.path.remove(''); " + ALONE.format('family("int")()')
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "module int_tile" in done.stdout
