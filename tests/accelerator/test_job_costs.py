"""`hwgen estimate --level accelerator`: area and energy of what it says it takes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from hwgen.accelerator import Design, Memory, best_job
from hwgen.pe import family
from hwgen.schedule import Layer, Schedule
from sim.accelerator.cost import cost

TILE = {"m": 2, "n": 4, "k": 4, "bits": 4, "group": 32}
LAYER = (8, 16, 64)


def estimate(*words: str) -> str:
    tile = [text for name, value in TILE.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "hwgen", "estimate", "--pe", "int", *tile, "--level", "accelerator"]
    layer = ["--layer", "x".join(map(str, LAYER)), "--clk-period-ns", "20"]
    done = subprocess.run([*command, *layer, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_costs_are_those_of_the_model() -> None:
    found = json.loads(estimate("--json"))["cost"]
    design = Design(tile=family("int").from_values({**TILE, "stages": 1}))
    job, cycles = best_job(design, Schedule(design.tile, Layer("x", *LAYER)), Memory())
    wanted = cost(design, "sky130hd", 20, job=job, cycles=cycles)
    assert found["area_um2"]["total"] == pytest.approx(float(wanted.total_area_um2))
    assert found["energy_pj"]["total"] == pytest.approx(float(wanted.total_energy_pj))
    assert found["power_mw"] == pytest.approx(float(wanted.power_mw))


def test_energy_counts_every_layer() -> None:
    one = json.loads(estimate("--json"))["cost"]["energy_pj"]["total"]
    two = json.loads(estimate("--json", "--layer", "x".join(map(str, LAYER))))["cost"]["energy_pj"]["total"]
    assert two == pytest.approx(2 * one)


def test_a_table_and_what_stands_behind_it() -> None:
    shown = estimate()
    assert "weights engine" in shown
    assert "measured on 12 accelerators" in shown
    assert "clock: 20 ns; logic needs" in shown


def test_results_of_another_form_are_priced() -> None:
    shown = estimate("--post-lanes", "2", "--result", "fp16", "--bias", "true")
    assert "result unit" in shown
    assert "channels ring" in shown
