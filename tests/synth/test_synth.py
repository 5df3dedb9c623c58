"""Synthesis with the generic library: the netlist is the tile, its flip-flops are those of the inventory."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwgen.emit import Emission, emit
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.reference import run_steps
from hwgen.simulators import _process
from hwgen.synth import _BOOTH_SAVES, SynthOptions, Try, _best, generic_library, read_library, synthesise, tile_netlist
from hwgen.synth.liberty import GENERIC
from hwgen.verify import CompiledTile, random_steps
from tests.synth.command import command

SMALL = {"m": 1, "n": 2, "k": 2, "bits": 2, "depth": 16, "group": 16}


def test_blocks_add_up_and_flip_flops_are_those_of_the_inventory(fresh_cache: None) -> None:
    spec = family("minifloat")(m=1, n=2, k=2, depth=16, group=16)
    said: list[tuple[int, int]] = []
    result = synthesise(
        spec,
        options=SynthOptions(clk_period_ns=50.0, recipes=["plain", "booth"]),
        progress=lambda done, of: said.append((done, of)),
    )
    assert {block.kind: block.count for block in result.blocks} == {"row": 1, "col": 2, "cell": 2, "control": 1}
    # Only the cell has a multiplier for Booth's recoding.
    assert said == [(done, 5) for done in range(6)]
    inventory = type(spec).blocks(spec.p)
    assert result.flip_flops == sum(int(block.count * block.primitives.get("ff", 0)) for block in inventory.values())
    assert result.area == pytest.approx(sum(block.count * block.mapped.area for block in result.blocks))
    flip_flop = generic_library().cells["DFF_X1"].flip_flop
    assert flip_flop is not None
    cell = next(block for block in result.blocks if block.kind == "cell")
    assert cell.min_clk_period_ns > cell.mapped.path_ns + flip_flop.setup_ns > 0
    assert result.meets


@pytest.mark.slow
@pytest.mark.rtl
@pytest.mark.parametrize("flat", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_netlist_is_the_tile(flat: bool, tmp_path: Path) -> None:
    spec = family("lut")(**{**SMALL, "n": 1})
    result = synthesise(spec, options=SynthOptions(flat=flat, recipes=["booth_noalumacc"]))
    netlist = tile_netlist(result)
    assert "NAND2_X1" in netlist
    cells = tmp_path / "cells.v"
    script = tmp_path / "cells.ys"
    script.write_text(f"read_liberty {GENERIC}\nproc\nwrite_verilog -noattr {cells}\n")
    child = "import sys; from pyosys import libyosys as y; y.run_pass('script ' + sys.argv[1], y.Design())"
    subprocess.run([sys.executable, "-c", child, str(script)], check=True, capture_output=True)
    real = emit(spec)
    mapped = Emission(real.spec, real.top, netlist + cells.read_text())
    steps = random_steps(spec, 3, groups=60)
    got = CompiledTile(spec, mapped).run(steps, int(steps.last.sum()))
    assert np.array_equal(got.sums, run_steps(spec, steps).sums)


def test_a_target_that_cannot_be_met_gives_the_best() -> None:
    result = synthesise(family("int")(**SMALL), options=SynthOptions(clk_period_ns=0.01, recipes=["plain"]))
    assert not result.meets
    assert result.document()["meets_target"] is False
    assert 0.01 < result.min_clk_period_ns < 5


def test_a_second_time_comes_from_the_cache(fresh_cache: None, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = family("int")(**SMALL)
    first = synthesise(spec, options=SynthOptions(recipes=["plain"]))

    def never(*arguments: object, **more: object) -> None:
        raise AssertionError("a child was started")

    monkeypatch.setattr(_process, "run", never)
    again = synthesise(spec, options=SynthOptions(recipes=["plain"]))
    assert again.document() == first.document()
    assert (first.mappings, first.from_cache, again.from_cache) == (4, 0, 4)


def test_the_fastest_clock() -> None:
    spec = family("int")(**{**SMALL, "k": 1})
    asked = synthesise(spec, options=SynthOptions(clk_period_ns=2.0, recipes=["booth"]))
    assert asked.max_frequency_mhz is None
    result = synthesise(spec, options=SynthOptions(clk_period_ns=2.0, recipes=["booth"], fastest=True))
    period = result.min_clk_period_ns
    assert period < 0.97 * asked.min_clk_period_ns
    assert result.max_frequency_mhz == pytest.approx(1000 / period)
    # Only what limited the clock was tried again, and each block is the smallest that allows the period.
    for block in result.blocks:
        mine = [one for one in result.tries if one.kind == block.kind]
        fitting = [one for one in mine if one.min_clk_period_ns <= period]
        assert block.mapped.area == min(one.mapped.area for one in fitting)
        assert len(mine) <= 7
    assert result.slowest.kind == "cell"
    document = result.document()
    assert document["max_frequency_mhz"] == result.max_frequency_mhz
    assert len(document["search"]) == result.mappings == len(result.tries)
    # The period that was found is met when it is asked for.
    again = synthesise(spec, options=SynthOptions(clk_period_ns=period, recipes=["booth"], fastest=True))
    assert again.meets


@pytest.mark.parametrize(("area", "chosen"), [(96.0, "noalumacc"), (94.0, "booth_noalumacc")])
def test_booths_recoding_has_to_pay_in_a_smallest_mapping(area: float, chosen: str) -> None:
    mapped = (
        synthesise(family("int")(**SMALL), options=SynthOptions(kinds=["cell"], recipes=["noalumacc"])).blocks[0].mapped
    )
    tries = [
        Try("cell", 0.001, replace(mapped, recipe=recipe, area=found), 1.0)
        for recipe, found in (("noalumacc", 100.0), ("booth_noalumacc", area))
    ]
    assert _best(tries, float("inf"), _BOOTH_SAVES).mapped.recipe == chosen
    assert _best(tries, float("inf")).mapped.recipe == "booth_noalumacc"


def test_a_flip_flop_takes_its_time_of_the_period() -> None:
    spec = family("int")(**{**SMALL, "k": 1})
    result = synthesise(spec, options=SynthOptions(clk_period_ns=2.0, recipes=["plain"]))
    times = [cell.flip_flop for cell in generic_library().cells.values() if cell.flip_flop]
    most = max(time.clk_to_q_ns + time.setup_ns for time in times if time)
    assert {block.kind: block.aim_ns for block in result.blocks} == {
        block.kind: pytest.approx(2.0 - most, abs=1e-3) for block in result.blocks
    }


def test_some_blocks_only() -> None:
    spec = family("lut")(**SMALL, precompute="external")
    result = synthesise(spec, options=SynthOptions(kinds=["col", "pre_control"], recipes=["plain"]))
    assert {block.kind: block.count for block in result.blocks} == {"col": 2, "pre_control": 1}
    inventory = type(spec).blocks(spec.p)
    bits = sum(int(inventory[b.kind].count * inventory[b.kind].primitives.get("ff", 0)) for b in result.blocks)
    assert result.flip_flops == bits
    assert result.document()["only_blocks"] == ["col", "pre_control"]
    netlist = tile_netlist(result)
    assert [line.split("(")[0] for line in netlist.splitlines() if line.startswith("module")] == [
        "module lut_tile_col",
        "module lut_tile_pre",
    ]


def test_the_block_before_the_buffer_is_part_of_the_area() -> None:
    spec = family("lut")(**{**SMALL, "n": 1}, precompute="external")
    result = synthesise(spec, options=SynthOptions(flat=True, recipes=["plain"]))
    inventory = type(spec).blocks(spec.p)
    bits = sum(int(block.count * block.primitives.get("ff", 0)) for block in inventory.values())
    assert result.flip_flops == bits
    before = [block for block in result.blocks if block.kind in ("pre_row", "pre_control")]
    assert result.flat is not None
    assert result.area == pytest.approx(result.flat.area + sum(block.area for block in before))


def test_an_interrupted_run_goes_on(fresh_cache: None) -> None:
    spec = family("int")(**SMALL)

    def interrupt(done: int, of: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesise(spec, options=SynthOptions(recipes=["plain"]), progress=interrupt)
    result = synthesise(spec, options=SynthOptions(recipes=["plain"]))
    assert (result.mappings, result.from_cache) == (4, 2)


def test_time_that_is_over(fresh_cache: None) -> None:
    spec = family("int")(**SMALL)
    with pytest.raises(HwgenError) as caught:
        synthesise(spec, options=SynthOptions(recipes=["plain"], kinds=["cell"], timeout_s=0.01))
    assert str(caught.value) == (
        "synth: int_tile_cell must be mapped within 0.01 s, which it was not; raise --timeout-s"
    )


def test_blocks_and_flat_exclude_each_other() -> None:
    with pytest.raises(HwgenError) as caught:
        synthesise(family("int")(**SMALL), options=SynthOptions(flat=True, kinds=["cell", "row"]))
    assert str(caught.value) == "synth: flat must be of the whole tile, not of cell, row only"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clk-period-ns", "0"], "'--clk-period-ns': must be a number above 0 and at most 1e+09, not '0'"),
        (
            ["--recipe", "both"],
            "hwgen: synth: recipe must be one of plain, booth, noalumacc, booth_noalumacc, plain_fast, "
            "booth_fast, noalumacc_fast, booth_noalumacc_fast, not 'both'; "
            "did you mean 'booth'?",
        ),
        (["--timeout-s", "0.01", "--recipe", "plain"], "within 0.01 s, which it was not; raise --timeout-s"),
        (["--liberty", "none.lib"], "must be a readable Liberty file, plain or gzip (No such file or directory)"),
    ],
)
def test_errors_are_one_line(arguments: list[str], message: str, fresh_cache: None) -> None:
    done = command("int", "--n", "1", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1
    assert message in lines[0]


def test_the_command_prints_json() -> None:
    done = command("int", "--n", "1", "--m", "1", "--k", "1", "--recipe", "plain", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["area_unit"] == "GE"
    assert document["basis"] == "pre-layout: no wires, no clock tree"
    assert set(document["blocks"]) == {"row", "col", "cell", "control"}


def test_several_values_follow_one_option(tmp_path: Path) -> None:
    text = GENERIC.read_text()
    at = text.index("  cell (DFF_X1)")
    flip_flops, gates = tmp_path / "ff.lib", tmp_path / "gates.lib"
    flip_flops.write_text(text[: text.index("  cell (")] + text[at:])
    gates.write_text(text[:at] + "}\n")
    done = command(
        *("int", "--liberty", str(flip_flops), str(gates), "--n", "1", "--m", "1", "--block", "col", "row"),
        *("--recipe", "plain", "--json"),
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert list(document["blocks"]) == ["row", "col"]
    whole = synthesise(family("int")(n=1, m=1), options=SynthOptions(kinds=["col", "row"], recipes=["plain"]))
    assert document["area"] == pytest.approx(whole.area)


def test_a_target_that_must_be_met() -> None:
    arguments = [
        "int",
        "--n",
        "1",
        "--k",
        "1",
        "--recipe",
        "plain",
        "--block",
        "cell",
        "--clk-period-ns",
        "0.1",
        "--stages",
        "1",
    ]
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    found = re.fullmatch(r"clock: (\S+) ns \(.* MHz\); target 0.1 ns not met, best is (\S+) ns \(cell\)", lines[-1])
    assert found is not None
    assert found[1] == found[2]
    assert "mapping moves areas and periods by some 10%" in lines[-2]
    assert lines[0] == f"the clock of 0.1 ns cannot be met: the best is {found[1]} ns (cell)"
    assert "clock [ns]" in lines[2]
    strict = command(*arguments, "--strict")
    assert strict.returncode == 2
    assert "1 of 1 mappings from the cache" in strict.stdout.splitlines()
    assert strict.stderr == f"hwgen: synth: int must meet 0.1 ns, but its best clock period is {found[1]} ns (cell)\n"


def test_a_library_without_a_needed_cell(tmp_path: Path) -> None:
    text = GENERIC.read_text()
    cut = tmp_path / "one.lib"
    # A flip-flop and nothing that could make an adder.
    head, rest = text[: text.index("  cell (")], text[text.index("  cell (DFF_X1)") :]
    inverter = text[text.index("  cell (INV_X1)") : text.index("  cell (BUF_X1)")]
    cut.write_text(head + inverter + rest)
    with pytest.raises(HwgenError) as caught:
        synthesise(family("int")(**SMALL), read_library([cut]), options=SynthOptions(recipes=["plain"]))
    assert str(caught.value) == (
        "liberty hwgen_generic: the library must have a buffer that may be used, which it has not"
    )
