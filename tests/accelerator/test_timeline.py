"""Timelines: what the cycle model records adds up to what it counts, and the trace and the picture show it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

from hwgen.accelerator import Design, Job, Memory, exact, placed
from hwgen.accelerator.recording import Recording, TileState
from hwgen.accelerator.timeline import TILE_WORDS, Timeline, chrome_trace, timeline
from hwgen.cli.estimate import command
from hwgen.errors import HwgenError
from hwgen.pe import family
from reports.timeline import _shares, save_timeline, timeline_figure

MEMORY = Memory(30, (2, 3))


@cache
def case() -> tuple[Design, Job]:
    tile = family("int").from_values({"m": 2, "n": 8, "k": 4, "bits": 4, "group": 16, "post_lanes": 2})
    design = Design(tile=tile, weight_ring=32, act_ring=64, burst=8)
    return design, placed(design, Job(3, 6, 18, 5, order=1, hold_acts=1))[0]


@cache
def shown() -> Timeline:
    return timeline(*case(), MEMORY)


def test_recording_changes_nothing_and_adds_up() -> None:
    design, job = case()
    found = Recording()
    cycles = exact(design, job, MEMORY, recording=found)
    plain = exact(design, job, MEMORY)
    assert (cycles.cycles, cycles.waits, cycles.read_beats) == (plain.cycles, plain.waits, plain.read_beats)
    assert sum(found.writes) == cycles.write_beats
    for name, stream in design.streams.items():
        assert found.beats.count(stream.index) == cycles.read_beats[name]
    assert found.tile.count(TileState.BUSY) == job.blocks * job.k_steps
    # The first reason of several is recorded: weights.
    assert found.tile.count(TileState.WAITS_WEIGHTS) == cycles.waits["weights"]


def test_the_begin_of_a_long_job() -> None:
    design, job = case()
    found = Recording(100)
    cycles = exact(design, job, MEMORY, recording=found)
    assert cycles.cycles == exact(design, job, MEMORY).cycles
    assert len(found) == 100
    assert {len(one) for one in (found.beats, found.bursts, found.held, found.tile, found.writes, found.waiting)} == {
        100
    }


def test_trace_has_every_track_and_its_beats() -> None:
    trace = json.loads(json.dumps(chrome_trace(shown(), "core")))
    names = {event["tid"]: event["args"]["name"] for event in trace["traceEvents"] if event["name"] == "thread_name"}
    assert {"tile", "reads of weights", "reads of activations", "writes of results"} <= set(names.values())
    spent = dict.fromkeys(names.values(), 0)
    for event in trace["traceEvents"]:
        if event["ph"] == "X":
            assert event["dur"] > 0
            spent[names[event["tid"]]] += event["dur"]
    beats = shown().job
    assert spent["reads of weights"] == beats.read_beats["weights"]
    assert spent["writes of results"] == beats.write_beats
    assert spent["tile"] == shown().end - shown().begin
    levels = {event["name"] for event in trace["traceEvents"] if event["ph"] == "C"}
    assert "ring of weights" in levels


def test_levels_stay_within_their_rings() -> None:
    for level in shown().levels:
        assert min(value for _, value in level.changes) >= 0
        assert max(value for _, value in level.changes) <= level.most


def test_shares_of_pixels() -> None:
    import numpy as np

    assert _shares([(2, 3), (5, 9)], np.array([0.0, 4.0, 8.0, 12.0])).tolist() == [0.25, 0.75, 0.25]
    assert _shares([], np.array([0.0, 4.0])).tolist() == [0.0]


def test_picture(tmp_path: Path) -> None:
    figure = timeline_figure(shown(), "a job")
    assert round(figure.get_figwidth() * figure.dpi) == 1600
    assert figure.axes[0].get_ylabel() == "tile"
    legend = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {TILE_WORDS[TileState.BUSY], "beats"} <= legend
    path = tmp_path / "job.png"
    save_timeline(figure, path)
    assert int.from_bytes(path.read_bytes()[16:20]) == 1600


FLAGS = ["--pe", "int", "--bits", "4", "--clk-period-ns", "own", "--layer", "4x16x64"]


def run(*more: str) -> str:
    result = CliRunner().invoke(command, [*FLAGS, *more], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_command(tmp_path: Path) -> None:
    trace = tmp_path / "job.json"
    text = run("--level", "accelerator", "--weight-ring", "64", "--memory-beats", "1/2", "--timeline", str(trace))
    assert "weight ring 64" in text
    assert "1 beat in 2 cycles" in text
    assert json.loads(trace.read_text())["otherData"]["cycles"] > 0
    best = json.loads(run("--level", "accelerator", "--json"))
    every = json.loads(run("--level", "accelerator", "--json", "--all"))
    jobs = every["layers"][0]["jobs"]
    assert len(jobs) > 1
    assert best["layers"][0]["jobs"][0] == min(jobs, key=lambda one: (one["cycles"], sum(one["read_bytes"].values())))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--bus-bits", "64"], "--bus-bits goes with --level accelerator, not with --level tile"),
        (["--all"], "--all goes with --level accelerator"),
        (["--level", "accelerator", "--bus-bits", "65"], "bus_bits must be 64, 128, 256 or 512, not 65"),
        (["--level", "accelerator", "--memory-beats", "half"], "must be beats and cycles as N/D"),
        (["--level", "accelerator", "--memory-beats", "3/2"], "beats must be a share of the cycles"),
        (["--level", "accelerator", "--layer", "1x2x8", "--timeline", "x.png"], "shows one layer, not 2"),
    ],
)
def test_mistakes(flags: list[str], message: str) -> None:
    with pytest.raises(HwgenError, match=message):
        run(*flags)
