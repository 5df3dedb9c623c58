"""Accelerators between streams: results of whole jobs, whatever sources and sink do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cocotb_tools.runner import get_runner

from hwgen.accelerator import emit_accelerator, streamed_bytes, unpack_results
from hwgen.accelerator.emission import AcceleratorEmission
from hwgen.simulators import find, lint
from hwgen.verify import CompiledAccelerator, Task
from rtl_tests.accelerator.cases import CASES, PRE_CASES, RESULT_CASES, Case, expected_results, tasks

pytestmark = [pytest.mark.rtl, pytest.mark.cocotb]

icarus = pytest.mark.skipif(find("iverilog") is None, reason="Icarus Verilog is not installed")
SHOWN = [CASES[3], CASES[14], RESULT_CASES[0], RESULT_CASES[6], PRE_CASES[0]]
"""Finished results and raw sums, side information of both operands, results narrower than the bus, channels, and
activations that become blocks.
"""


def run(emission: AcceleratorEmission, task: Task, folder: Path, pauses: float, verilog: str = "") -> list[np.ndarray]:
    """Bytes of the results of a job that is done twice; raises `SystemExit` where the bench fails."""
    image, job = CompiledAccelerator(emission.design).image(task)
    streams = {
        name: streamed_bytes(emission.design, job, name, image[job.address(name) :]).tobytes().hex()
        for name in emission.design.streams
    }
    at = {register.name: register.offset for register in emission.registers.registers}
    beats = sum(len(text) for text in streams.values()) // 2 // emission.design.bus_bytes
    work = {
        "streams": streams,
        "writes": emission.job_words(job),
        "start": at["CONTROL"],
        "jobs": 2,
        "pauses": pauses,
        "limit": 20_000 + 200 * beats,
    }
    (folder / "work.json").write_text(json.dumps(work))
    (folder / "design.v").write_text(verilog or emission.verilog)
    runner = get_runner("icarus")
    runner.build(
        sources=[folder / "design.v"],
        hdl_toplevel=emission.top,
        build_dir=folder / "build",
        timescale=("1ns", "1ps"),
        log_file=folder / "build.log",
    )
    runner.test(
        test_module="rtl_tests.accelerator.stream_bench",
        hdl_toplevel=emission.top,
        build_dir=folder / "build",
        extra_env={"HWGEN_STREAM_FOLDER": str(folder)},
        log_file=folder / "run.log",
        results_xml=str(folder / "results.xml"),
        seed=1,
    )
    return [np.frombuffer(bytes.fromhex(text), np.uint8) for text in json.loads((folder / "result.json").read_text())]


def wrong(emission: AcceleratorEmission, task: Task, found: np.ndarray) -> list[str]:
    """Ports whose results are not those of the reference."""
    results = unpack_results(emission.design, task.schedule, task.job, found)
    wanted = expected_results(emission.design, task)
    return [
        name
        for name, got in results.items()
        if not np.array_equal(got.astype(object), np.asarray(wanted[name]).reshape(got.shape).astype(object))
    ]


@icarus
@pytest.mark.few(1)
@pytest.mark.parametrize("pauses", [0, 0.4], ids=["steady", "pauses"])
@pytest.mark.parametrize("case", SHOWN, ids=lambda case: case.name)
def test_results(case: Case, pauses: float, tmp_path: Path) -> None:
    emission = emit_accelerator(case.build(), streamed=True)
    for number, task in enumerate(tasks(case, 2, seed=5)):
        folder = tmp_path / str(number)
        folder.mkdir()
        for found in run(emission, task, folder, pauses):
            assert wrong(emission, task, found) == []


@icarus
def test_a_fault_is_seen(tmp_path: Path) -> None:
    case = SHOWN[0]
    emission = emit_accelerator(case.build(), streamed=True)
    task = tasks(case, 1, seed=5)[0]
    broken = emission.verilog.replace("assign m_axis_result_tdata = ", "assign m_axis_result_tdata = ~", 1)
    assert broken != emission.verilog
    found = run(emission, task, tmp_path, 0, broken)
    assert wrong(emission, task, found[0]) != []


def test_lint_is_clean() -> None:
    emission = emit_accelerator(SHOWN[2].build(), streamed=True)
    assert {warning.code for warning in lint(emission.verilog, emission.top)} <= {"UNUSEDSIGNAL"}
