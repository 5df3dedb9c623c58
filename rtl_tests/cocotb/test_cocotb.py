"""cocotb on the emitted Verilog, driven by its manifest: slices of real layers against the golden PyTorch layer."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cocotb_tools.runner import get_runner

from hwgen.emit import Emission, Reset, emit
from hwgen.errors import HwgenError
from hwgen.pe import TileSpec, families, family
from hwgen.simulators import cocotb_environment, find, pack_words
from hwgen.verify import covering_specs, port_words
from hwgen.verify._bench import Vectors
from hwgen.verify._cocotb import bench_text, vectors_document
from hwgen.verify._contract import timeline
from rtl_tests.cocotb.layers import Slice, layer_slice

pytestmark = [pytest.mark.rtl, pytest.mark.cocotb, pytest.mark.model]

LEAST_STEPS = 1000
CI = os.environ.get("CI") == "true"


def or_skip(reason: str) -> None:
    """Fail in CI, skip on a laptop."""
    if CI:
        pytest.fail(reason)
    pytest.skip(reason)


def environment(simulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the runner the simulator, or leave the test."""
    if simulator == "icarus":
        if find("iverilog") is None or find("vvp") is None:
            pytest.skip("Icarus Verilog is not installed")
        return
    try:
        settings = cocotb_environment()
    except HwgenError as error:
        or_skip(str(error))
        return
    # The design is small: compiling the simulator takes longer than running it.
    settings["MAKEFLAGS"] += " OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
    for name in ("PATH", "VERILATOR_ROOT", "MAKEFLAGS"):
        monkeypatch.setenv(name, settings[name])


def real_slice(spec: TileSpec, least: int = LEAST_STEPS) -> Slice:
    try:
        return layer_slice(spec, least)
    except HwgenError as error:
        if "fetch" not in str(error):
            raise
        or_skip(str(error))
        raise


def write_vectors(folder: Path, emission: Emission, work: Slice) -> dict[str, int]:
    """Leave manifest and vectors for the bench; returns what it has to count."""
    spec, steps = emission.spec, work.steps
    rng = np.random.default_rng(7)
    idle = rng.integers(1, 2 * spec.step_cycles_max + 2, size=len(steps)) * (rng.random(len(steps)) < 0.05)
    idle[0] = 0
    cycles = timeline(spec, steps, idle)[1]
    outputs = {
        port["name"]: pack_words(work.beats[port["role"]].reshape(len(cycles), -1), port["packing"]["element_bits"])
        for port in emission.manifest["ports"]
        if port["role"] in work.beats
    }
    document = vectors_document(emission.manifest, Vectors(port_words(spec, steps), idle, outputs, cycles))
    (folder / f"{emission.top}.json").write_text(json.dumps(document))
    (folder / f"test_{emission.top}.py").write_text(bench_text())
    return {"steps": len(steps), "beats": len(cycles), "cycles": int(cycles[-1]) + 1}


def simulate(simulator: str, verilog: str, top: str, folder: Path) -> None:
    """Build and run; the runner exits the process when the bench fails."""
    (folder / "design.v").write_text(verilog)
    runner = get_runner(simulator)
    args = ["-Wno-fatal", "--x-initial", "0", "--x-assign", "0"] if simulator == "verilator" else []
    build = folder / "sim_build"
    runner.build(
        sources=[folder / "design.v"],
        hdl_toplevel=top,
        build_dir=build,
        build_args=args,
        timescale=("1ns", "1ps"),
        log_file=folder / "build.log",
    )
    runner.test(
        test_module=f"test_{top}",
        test_dir=folder,
        hdl_toplevel=top,
        build_dir=build,
        extra_env={"PYTHONWARNINGS": "error"},
        log_file=folder / "run.log",
        results_xml=str(folder / "results.xml"),
        seed=1,
    )


def check(
    spec: TileSpec,
    simulator: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    reset: Reset | None = None,
    least: int = LEAST_STEPS,
) -> None:
    environment(simulator, monkeypatch)
    emission = emit(spec, reset=reset)
    due = write_vectors(folder, emission, real_slice(spec, least))
    assert due["steps"] >= least
    simulate(simulator, emission.verilog, emission.top, folder)
    assert json.loads((folder / f"{emission.top}.counted.json").read_text()) == due


@pytest.mark.slow
@pytest.mark.parametrize("name", families())
def test_verilator(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(families()[name](m=2, n=4), "verilator", tmp_path, monkeypatch)


def test_another_reset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(family("int")(m=2, n=4), "icarus", tmp_path, monkeypatch, Reset("async", "low"))


SLOW = pytest.mark.slow
TILES = [
    pytest.param("int", {"scheme": "asymmetric", "bits": 4, "transport": "systolic"}, id="int-systolic"),
    pytest.param("int", {"bits": 4, "post_lanes": 2}, id="int-lanes", marks=SLOW),
    pytest.param("lut", {"bits": 1, "scheme": "bipolar"}, id="lut-w1", marks=SLOW),
    pytest.param("lut", {"bits": 3, "transport": "systolic"}, id="lut-w3-systolic"),
    pytest.param("lut", {"bits": 4, "post_lanes": 2, "planes_per_cycle": 2}, id="lut-w4-lanes", marks=SLOW),
    pytest.param("lut", {"bits": 8}, id="lut-w8", marks=SLOW),
    pytest.param("lut", {"bits": 2, "acts": "fp16", "align_scope": "group"}, id="lut-fp16-group"),
    pytest.param("lut", {"bits": 2, "acts": "fp16", "align_scope": "step"}, id="lut-fp16-step"),
    pytest.param("bitmod", {"bits": 8, "post_lanes": 0}, id="bitmod-int8"),
    pytest.param("bitmod", {"bits": 3, "acts": "bf16"}, id="bitmod-fp3", marks=SLOW),
    pytest.param("mx", {"acts": "mxint8", "weights": "mxfp4"}, id="mx-mixed"),
    pytest.param("mx", {"acts": "mxint8", "weights": "mxint8"}, id="mx-int8", marks=SLOW),
    pytest.param("mx", {"acts": "hif4", "weights": "hif4"}, id="mx-hif4"),
    pytest.param("mx", {"acts": "nvint4", "weights": "nvfp4"}, id="mx-nv", marks=SLOW),
    pytest.param("mx", {"acts": "mxfp8_e5m2", "weights": "mxfp8_e5m2"}, id="mx-e5m2", marks=SLOW),
    pytest.param("int", {"transport": "systolic", "front_cuts": 1, "cell_cuts": 3}, id="int-cut-systolic"),
    pytest.param("lut", {"bits": 2, "tables": 2, "front_cuts": 2, "cell_cuts": 1}, id="lut-cut", marks=SLOW),
    pytest.param("lut", {"bits": 2, "acts": "fp16", "cell_cuts": 2, "pre_cuts": 4}, id="lut-pre-cut", marks=SLOW),
    pytest.param("mixpe", {"bits": 4, "cell_cuts": 4, "transport": "systolic"}, id="mixpe-cut", marks=SLOW),
    pytest.param(
        "bitserial", {"bits": 3, "planes": 2, "cell_cuts": 2, "post_lanes": 2}, id="bitserial-cut", marks=SLOW
    ),
    pytest.param("bitplane", {"bits": 1}, id="bitplane-binary", marks=SLOW),
    pytest.param(
        "mx", {"cell_cuts": 2, "post_lanes": 1, "post_cuts": 6, "post_adder_stages": 6}, id="mx-cut-lanes", marks=SLOW
    ),
    pytest.param(
        "bitmod",
        {"front_cuts": 2, "cell_cuts": 3, "adder_stages": 5, "post_lanes": 1, "post_cuts": 5, "post_adder_stages": 4},
        id="bitmod-ring",
        marks=SLOW,
    ),
    pytest.param(
        "minifloat",
        {"bits": 16, "accumulator": "fp32", "cell_cuts": 6, "adder_stages": 6, "interleave": "ring"},
        id="minifloat-ring",
    ),
    pytest.param(
        "posit", {"k": 2, "front_cuts": 3, "cell_cuts": 3, "group": 64, "depth": 64}, id="posit-cut", marks=SLOW
    ),
]


@pytest.mark.few(1)
@pytest.mark.parametrize(("name", "values"), TILES)
def test_icarus(name: str, values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(family(name).from_values({"m": 2, "n": 4, **values}), "icarus", tmp_path, monkeypatch)


def sweep_tiles(name: str) -> list[TileSpec]:
    """Few tiles that visit all sweep values, with groups that fit every accumulator depth."""
    parameters = families()[name].parameters()
    group = min([parameters["group"].default, *parameters["depth"].sweep])
    # A family that sweeps its groups has some that fit.
    fixed = {} if parameters["group"].sweep else {"group": group}
    specs, impossible = covering_specs(families()[name], **fixed)
    assert not impossible
    # Sums over a whole row need an accumulator that is made for them.
    return [spec if int(spec.sum_group(spec.p)) else dataclasses.replace(spec, depth=1024) for spec in specs]


SWEEP = [
    pytest.param(spec, id=f"{name}-{number}") for name in families() for number, spec in enumerate(sweep_tiles(name))
]


@pytest.mark.slow
@pytest.mark.parametrize("spec", SWEEP)
def test_sweep_values_on_icarus(spec: TileSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # An event-driven simulator follows every glitch: without a register on the way a step of floating-point tables and
    # cells takes a second.
    check(spec, "icarus", tmp_path, monkeypatch, least=LEAST_STEPS if spec.stages else LEAST_STEPS // 20)


# Each fault: what is looked for in the Verilog, what it becomes, and what the bench must say.
FAULTS = {
    "value": (" + ", " - ", "expected 0x"),
    "latency": ("o_valid <= _", "o_valid <= i_last; // _", "beat 0 came in cycle"),
    "no beats": ("o_valid <= _", "o_valid <= 1'b0; // _", "0 of"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bench_finds_a_fault(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment("icarus", monkeypatch)
    old, new, message = FAULTS[fault]
    emission = emit(family("int")(m=2, n=2))
    write_vectors(tmp_path, emission, real_slice(emission.spec))
    assert old in emission.verilog
    with pytest.raises(SystemExit):
        simulate("icarus", emission.verilog.replace(old, new, 1), emission.top, tmp_path)
    assert message in (tmp_path / "run.log").read_text()
    assert not list(tmp_path.glob("*.counted.json"))
