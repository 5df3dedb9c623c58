"""OpenSTA on mapped netlists: figures of its own, and a complaint that is not passed over."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.simulators import find
from hwgen.synth import SynthOptions, TileResult, synthesise
from hwgen.synth._sta import opensta
from tests.synth.command import command

SMALL = {"m": 1, "n": 2, "k": 1, "bits": 2, "depth": 16, "group": 16}


@pytest.fixture
def installed() -> None:
    """Leave the test where OpenSTA is missing; fail where .ci/run has found it."""
    if find("opensta") is None:
        if os.environ.get("HWGEN_CI_OPENSTA"):
            pytest.fail("OpenSTA was there when .ci/run looked, but `sta` is not found on PATH now")
        pytest.skip("OpenSTA is not installed")


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A program that says ``text`` in OpenSTA's place."""
    path = folder / "sta"
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


@pytest.fixture
def result() -> TileResult:
    return synthesise(family("int")(**SMALL), options=SynthOptions(clk_period_ns=2.0, recipes=["plain"]))


def test_blocks_and_the_tile_with_all_of_them(installed: None, result: TileResult) -> None:
    timed = opensta(result)
    periods = {part.kind: part.min_clk_period_ns for part in timed.parts}
    assert set(periods) == {"row", "col", "cell", "tile"}
    assert list(periods.values()) == sorted(periods.values())
    # Both timers read the same tables; only one of them knows slews and the real launching edge.
    by_abc = {block.kind: block.min_clk_period_ns for block in result.blocks}
    assert periods["cell"] == pytest.approx(by_abc["cell"], rel=0.15)
    assert periods["tile"] >= periods["cell"]
    (tile,) = (part for part in timed.parts if part.kind == "tile")
    assert re.fullmatch(r"(row|col)0/_\d+_", tile.startpoint)
    assert re.fullmatch(r"cell0_[01]/_\d+_", tile.endpoint)
    assert timed.document()["timer"] == f"OpenSTA {timed.version}"


def test_a_path_does_not_depend_on_the_target(installed: None, result: TileResult) -> None:
    import dataclasses

    relaxed = dataclasses.replace(result, target_clk_period_ns=20.0)
    for one, other in zip(opensta(result).parts, opensta(relaxed).parts, strict=True):
        assert one.min_clk_period_ns == pytest.approx(other.min_clk_period_ns, abs=2e-6)


def test_the_flat_tile_and_single_blocks(installed: None) -> None:
    spec = family("lut")(**{**SMALL, "k": 2}, precompute="external")
    flat = synthesise(spec, options=SynthOptions(clk_period_ns=2.0, recipes=["plain"], flat=True))
    assert {part.kind for part in opensta(flat).parts} == {"tile", "pre_row", "pre"}
    # What is left of a tile without its blocks cannot be timed.
    alone = synthesise(spec, options=SynthOptions(clk_period_ns=2.0, recipes=["plain"], kinds=["control", "col"]))
    assert {part.kind for part in opensta(alone).parts} == {"col"}


def test_a_complaint_is_an_error(result: TileResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, "Error: netlist.v line 7, syntax error.\nslack 1.0")
    with pytest.raises(HwgenError) as caught:
        opensta(result)
    assert str(caught.value) == ("synth: OpenSTA must time int, but said: Error: netlist.v line 7, syntax error.")


def test_a_missing_opensta(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = ["int", "--n", "1", "--m", "1", "--k", "1", "--recipe", "plain", "--block", "col"]
    done = command(*arguments, "--sta")
    assert done.returncode == 2
    assert done.stderr == (
        "hwgen: opensta: not found, but needed for timing of mapped netlists; "
        "install it with: sudo apt-get install opensta\n"
    )
    without = command(*arguments, "--json")
    assert json.loads(without.stdout)["opensta"] is None


def test_the_command_keeps_the_timers_apart(installed: None) -> None:
    arguments = ["int", "--n", "1", "--m", "1", "--k", "1", "--recipe", "plain", "--clk-period-ns", "2"]
    text = command(*arguments).stdout
    abc, sta = text.split("\nthe same netlists timed by OpenSTA ")
    assert "recipe" in abc
    assert re.search(r"^tile +\d+\.\d{3}  \S+ +\S+ *$", sta, re.M)
    assert text.splitlines()[-1].endswith("target 2 ns met")
    assert "OpenSTA" not in command(*arguments, "--no-sta").stdout
    document = json.loads(command(*arguments, "--json").stdout)
    assert document["timer"] == "ABC"
    assert set(document["opensta"]["parts"]) == {"row", "col", "cell", "tile"}
