"""Accelerators between the register master and the memory of another project, whatever software does; and the fast
bench gives what that one gives.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from cocotb_tools.runner import get_runner

from hwgen.errors import HwgenError
from hwgen.simulators import cocotb_environment, find
from hwgen.simulators.bus import BusJob, MemoryModel, Op, Read, Reset, Start, Wait, WaitIrq, Write
from hwgen.verify import CompiledAccelerator, Task
from rtl_tests.accelerator.cases import CASES, Case, tasks
from rtl_tests.accelerator.cocotb_bench import FOLDER_VARIABLE
from rtl_tests.accelerator.programs import Script, mistakes, tour

pytestmark = [pytest.mark.rtl, pytest.mark.cocotb]

RAW, SYSTOLIC = CASES[0], CASES[4]
SIDES = CASES[13]
"""Side information on both operands, several results in a bus beat."""
CHOSEN = {"raw": RAW, "systolic": SYSTOLIC, "sides": SIDES, "large": CASES[3], "bitmod": CASES[8], "posit": CASES[22]}


def environment(simulator: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the runner the simulator, or leave the test."""
    if simulator == "icarus":
        if find("iverilog") is None or find("vvp") is None:
            pytest.skip("Icarus Verilog is not installed")
        return
    try:
        settings = cocotb_environment()
    except HwgenError as error:
        pytest.skip(str(error))
    for name in ("PATH", "VERILATOR_ROOT", "MAKEFLAGS"):
        monkeypatch.setenv(name, settings[name])


def operation(op: Op) -> list[object]:
    """An operation as the bench reads it."""
    match op:
        case Write() | Start():
            return ["write", op.address, op.data]
        case Read():
            return ["read", op.address]
        case WaitIrq():
            return ["irq", op.limit]
        case Wait():
            return ["wait", op.cycles]
        case Reset():
            return ["reset", op.cycles]


def simulate(
    compiled: CompiledAccelerator,
    job: BusJob,
    folder: Path,
    *,
    simulator: str = "icarus",
    pauses: float = 0.3,
    mixed: bool = False,
    seed: int = 1,
    verilog: str = "",
) -> tuple[list[int], np.ndarray]:
    """Values of the reads and the memory afterwards; `SystemExit` where the bench fails."""
    model = job.memory
    work = {
        "ops": [operation(op) for op in job.script],
        "base": model.base,
        "bad_reads": model.bad_reads,
        "bad_writes": model.bad_writes,
        "pauses": pauses,
        "mixed": mixed,
        "seed": seed,
    }
    (folder / "work.json").write_text(json.dumps(work))
    (folder / "memory.bin").write_bytes(job.image.tobytes())
    (folder / "design.v").write_text(verilog or compiled.emission.verilog)
    top, build = compiled.emission.top, folder / "build"
    runner = get_runner(simulator)
    runner.build(
        sources=[folder / "design.v"],
        hdl_toplevel=top,
        build_dir=build,
        build_args=["-Wno-fatal"] if simulator == "verilator" else [],
        timescale=("1ns", "1ps"),
        log_file=folder / "build.log",
    )
    runner.test(
        test_module="rtl_tests.accelerator.cocotb_bench",
        hdl_toplevel=top,
        build_dir=build,
        # The other project uses names that cocotb is about to rename.
        extra_env={FOLDER_VARIABLE: str(folder), "PYTHONWARNINGS": "ignore", "COCOTB_LOG_LEVEL": "WARNING"},
        log_file=folder / "run.log",
        results_xml=str(folder / "results.xml"),
        seed=seed,
    )
    return json.loads((folder / "reads.json").read_text()), np.fromfile(folder / "memory.bin", np.uint8)


def prepared(case: Case) -> tuple[CompiledAccelerator, list[Task]]:
    """The accelerator and three tasks, the largest last."""
    drawn = sorted(tasks(case, 8, seed=1), key=lambda task: task.job.blocks * task.job.k_steps)
    return CompiledAccelerator(case.build()), [drawn[1], drawn[0], drawn[5]]


def compared(compiled: CompiledAccelerator, script: Script, folder: Path, **more: object) -> list[str]:
    """What either bench finds, and whether they differ."""
    reads, memory = simulate(compiled, script.bus_job(), folder, **more)  # type: ignore[arg-type]
    found = script.complaints(reads, memory)
    (fast,) = compiled.simulator.run_many([script.bus_job(MemoryModel(latency=6, seed=1))], raising=False)
    found += [f"fast bench: {text}" for text in script.judged(fast)]
    if not np.array_equal(script.settled(memory), script.settled(fast.memory[0])):
        found.append("the benches leave different memories")
    return found


@pytest.mark.parametrize("name", ["raw", "sides"])
def test_a_part_of_what_can_happen(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment("icarus", monkeypatch)
    compiled, drawn = prepared(CHOSEN[name])
    assert compared(compiled, tour(compiled, drawn, every=9), tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("mixed", [False, True], ids=("in order", "ids mixed"))
@pytest.mark.parametrize("name", CHOSEN)
def test_all_that_can_happen(name: str, mixed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment("icarus", monkeypatch)
    compiled, drawn = prepared(CHOSEN[name])
    assert compared(compiled, tour(compiled, drawn), tmp_path, mixed=mixed, seed=3, pauses=0.2 + 0.3 * mixed) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["raw", "sides", "systolic"])
def test_all_that_can_happen_on_verilator(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment("verilator", monkeypatch)
    compiled, drawn = prepared(CHOSEN[name])
    assert compared(compiled, tour(compiled, drawn), tmp_path, simulator="verilator", mixed=True, seed=4) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", CHOSEN)
def test_without_a_pause(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment("icarus", monkeypatch)
    compiled, drawn = prepared(CHOSEN[name])
    assert compared(compiled, tour(compiled, drawn, every=3), tmp_path, pauses=0) == []


# Each fault: what is looked for in the Verilog, what it becomes, and what the bench must say.
FAULTS = {
    "an address gives way to the next": (r"(assign ar_free = )[^;]*;", r"\g<1>1'h1;", "m_axi_ar changed before"),
    "errors are overlooked": (r"m_axi_rvalid & m_axi_rresp\[1\]", "1'h0", "STATUS is 0x100, expected 0x200"),
}


@pytest.mark.few(1)
@pytest.mark.parametrize("fault", FAULTS)
def test_bench_finds_a_fault(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment("icarus", monkeypatch)
    pattern, replacement, message = FAULTS[fault]
    compiled, drawn = prepared(RAW)
    broken, count = re.subn(pattern, replacement, compiled.emission.verilog)
    assert count == 1
    script = Script(compiled)
    for mistake in list(mistakes(script, drawn[0]))[11:14]:
        script.bad(mistake)
    try:
        reads, memory = simulate(compiled, script.bus_job(), tmp_path, verilog=broken, pauses=0.5)
    except SystemExit:
        assert message in (tmp_path / "run.log").read_text()
    else:
        assert any(message in text for text in script.complaints(reads, memory))
