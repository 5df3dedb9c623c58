"""The emitted Verilog of the registers: equal to the model in every cycle, clean, and faults in it are caught."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cocotb_tools.runner import get_runner

from hwgen.accelerator.registers import RegisterMap, accelerator_map, verilog
from hwgen.emit import Reset
from hwgen.simulators import find, lint, run_testbench
from tests.accelerator.register_bench import cycle_bench
from tests.accelerator.register_model import EVERY_KIND, trace

pytestmark = pytest.mark.rtl

MAPS = {"every kind": EVERY_KIND, "accelerator": accelerator_map(48, 20)}


def played(map: RegisterMap, sources: dict[str, str], cycles: int = 3000) -> dict[str, int]:
    """Cycle in which each module first differs, for those that do."""
    files = cycle_bench(map, list(sources), trace(map, 2, cycles))
    out = run_testbench({**files, "design.v": "\n".join(sources.values())}, "bench")
    assert "done" in out.splitlines()
    return {name: int(cycle) for name, cycle in re.findall(r"^(\w+) (\d+)$", out, re.M)}


@pytest.mark.parametrize("label", MAPS)
def test_verilog_is_equal_in_every_cycle(label: str) -> None:
    assert played(MAPS[label], {"top": verilog(MAPS[label], "top")}) == {}


def _mutants(text: str) -> dict[str, tuple[str, str]]:
    """Copies of a module with one operator or constant changed each, by module name, with what was changed."""
    sites: list[tuple[int, int, str]] = []
    for pattern, new in (
        (r" & ", " | "),
        (r" \| ", " & "),
        (r" == ", " != "),
        (r"(?<= )~(?=\w)", ""),
        (r" \? (\S+) : (\S+);", r" ? \2 : \1;"),
        (r"<= 1'h1;", "<= 1'h0;"),
        (r"<= 1'h0;", "<= 1'h1;"),
    ):
        sites += [(m.start(), m.end(), m.expand(new)) for m in re.finditer(pattern, text)]
    found = {}
    for number, (start, end, new) in enumerate(sorted(sites)):
        name = f"mutant{number}"
        mutant = text[:start] + new + text[end:]
        line = text.count("\n", 0, start)
        found[name] = (mutant.replace("module top(", f"module {name}(", 1), mutant.split("\n")[line])
    return found


@pytest.mark.slow
def test_faults_in_the_verilog_are_caught() -> None:
    mutants = _mutants(verilog(EVERY_KIND, "top"))
    assert len(mutants) > 100
    caught = played(EVERY_KIND, {name: text for name, (text, _) in mutants.items()}, 1000)
    missed = [line for name, (_, line) in mutants.items() if name not in caught]
    assert missed == []


@pytest.mark.parametrize("label", MAPS)
def test_lint_finds_only_the_inputs_that_the_protocol_has_and_nobody_needs(label: str) -> None:
    found = {warning.text for warning in lint(verilog(MAPS[label], "top"), "top")}
    assert found == {
        "Signal is not used: 's_axi_awprot'",
        "Signal is not used: 's_axi_arprot'",
        "Bits of signal are not used: 's_axi_araddr'[1:0]",
        "Bits of signal are not used: 'write_address'[1:0]",
    }


def test_the_reset_may_be_another() -> None:
    text = verilog(EVERY_KIND, reset=Reset("async", "low"))
    assert text.startswith("module every_kind_registers(")
    assert "negedge rst_n" in text


def _cocotb(verilog_text: str, folder: Path) -> None:
    """Drive the registers through cocotb; raises `SystemExit` where the bench fails."""
    (folder / "design.v").write_text(verilog_text)
    runner = get_runner("icarus")
    runner.build(
        sources=[folder / "design.v"],
        hdl_toplevel="top",
        build_dir=folder / "build",
        timescale=("1ns", "1ps"),
        log_file=folder / "build.log",
    )
    runner.test(
        test_module="tests.accelerator.register_cocotb",
        hdl_toplevel="top",
        build_dir=folder / "build",
        log_file=folder / "run.log",
        results_xml=str(folder / "results.xml"),
        seed=1,
    )


@pytest.mark.cocotb
@pytest.mark.skipif(find("iverilog") is None, reason="Icarus Verilog is not installed")
def test_a_master_of_another_project(tmp_path: Path) -> None:
    text = verilog(EVERY_KIND, "top")
    _cocotb(text, tmp_path)
    strobes = " : s_axi_wstrb;"
    assert strobes in text
    with pytest.raises(SystemExit):
        _cocotb(text.replace(strobes, " : {s_axi_wstrb[3:1], 1'b1};"), tmp_path)
