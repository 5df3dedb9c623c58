"""Install the pinned torch as a CPU build: ask pip what it would bring, and take PyTorch's CPU index if that is CUDA.

Run by `make venv` with the Python of the virtual environment; needs nothing but pip.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Verdict", "judge", "main", "pinned"]

_GPU_PACKAGE = re.compile(r"nvidia[-_.]|cuda[-_.]|(pytorch[-_.])?triton($|[-_.])", re.IGNORECASE)
_GPU_BUILD = re.compile(r"\+(cu|rocm|xpu)")


@dataclass(frozen=True)
class Verdict:
    """What pip would bring: ``version`` of torch, None if it is installed already, and the packages for GPUs."""

    version: str | None
    gpu_packages: tuple[str, ...]

    @property
    def is_cpu(self) -> bool:
        """True for a build that needs no GPU package."""
        return not self.gpu_packages and not (self.version and _GPU_BUILD.search(self.version))


def judge(report: Mapping[str, Any]) -> Verdict:
    """Read an installation report of pip (format version 1).

    Raises:
        ValueError: The report has another format version.
    """
    if report.get("version") != "1":
        raise ValueError(f"pip report: version must be '1', not {report.get('version')!r}")
    packages = {item["metadata"]["name"]: item["metadata"]["version"] for item in report["install"]}
    gpu_packages = sorted(name for name in packages if _GPU_PACKAGE.match(name))
    return Verdict(packages.get("torch"), tuple(gpu_packages))


def pinned(constraints: str) -> str:
    """Return the requirement of torch in the text of a constraints file, such as ``"torch==2.13.0"``.

    Raises:
        ValueError: It has no line ``torch==...``.
    """
    found = re.search(r"^torch==[^\s#;]+", constraints, re.MULTILINE)
    if found is None:
        raise ValueError("constraints: needs a line 'torch==...'")
    return found.group()


def _pip(arguments: Sequence[str]) -> int:
    return subprocess.call([sys.executable, "-m", "pip", *arguments])


def main(arguments: Sequence[str] | None = None, pip: Callable[[Sequence[str]], int] = _pip) -> int:
    """Install torch and return the exit status; ``pip`` runs pip with the given arguments and returns its status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--constraints", type=Path, required=True, help="file with the line torch==...")
    parser.add_argument("--index-url", required=True, help="package index that has the CPU build")
    options = parser.parse_args(arguments)
    torch = pinned(options.constraints.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        status = pip(["install", "--dry-run", "--quiet", "--report", str(path), torch])
        if status:
            print(f"install_torch: pip cannot tell what {torch} would bring; its message is above", file=sys.stderr)
            return status
        verdict = judge(json.loads(path.read_text(encoding="utf-8")))
    if verdict.is_cpu:
        if verdict.version is None:
            print(f"install_torch: {torch} is installed already")
            return 0
        print(f"install_torch: pip brings the CPU build torch {verdict.version}")
        return pip(["install", "-c", str(options.constraints), torch])
    print(
        f"install_torch: pip would bring a GPU build of torch {verdict.version} with {len(verdict.gpu_packages)} GPU "
        f"packages ({', '.join(verdict.gpu_packages[:3]) or 'none named'}, ...); taking the CPU build from "
        f"{options.index_url} instead (make TORCH_CPU_INDEX=... for another index)"
    )
    # No dependencies from there: that index has few versions of them, and `pip install .[all]` brings the pinned ones.
    return pip(["install", "--no-deps", "--index-url", options.index_url, torch])


if __name__ == "__main__":
    sys.exit(main())
