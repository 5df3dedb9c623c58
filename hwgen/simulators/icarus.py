"""Run a plain, self-checking Verilog testbench and return what it prints."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from hwgen.errors import HwgenError
from hwgen.simulators import _process
from hwgen.simulators._verilator import compile_model
from hwgen.simulators.cache import digest
from hwgen.simulators.toolchain import find, require

__all__ = ["run_testbench"]

_SIMULATORS = ("auto", "icarus", "verilator")


def run_testbench(files: Mapping[str, str], top: str, *, simulator: str = "auto", timeout_s: float = 600) -> str:
    """Compile and run a testbench until its ``$finish``.

    Args:
        files: Text of each file by name; names that end in ``.v`` or ``.sv`` are compiled, the others (``$readmemh``
            data) lie beside them in the folder in which the simulation runs.
        top: The testbench module, without ports.
        simulator: "icarus", "verilator", or "auto": Icarus where it is installed (it starts at once), else Verilator.
        timeout_s: Most seconds for the simulation itself.

    Returns:
        Standard output of the simulation.

    Raises:
        HwgenError: The simulator is missing, refuses the Verilog, fails (``$fatal``), or does not end in time.
    """
    if simulator not in _SIMULATORS:
        raise HwgenError(f"testbench: simulator must be {', '.join(_SIMULATORS[:-1])} or verilator, not {simulator!r}")
    for name in files:
        if Path(name).name != name or name in ("", ".", ".."):
            raise HwgenError(f"testbench: file names must not have folders, not {name!r}")
    if simulator == "auto":
        simulator = "icarus" if find("iverilog") and find("vvp") else "verilator"
    with tempfile.TemporaryDirectory(prefix="hwgen-bench-") as name:
        folder = Path(name)
        for name, text in files.items():
            (folder / name).write_text(text)
        sources = [folder / name for name in files if name.endswith((".v", ".sv"))]
        if not sources:
            raise HwgenError(f"testbench: files must hold at least one .v or .sv, not {', '.join(files) or 'none'}")
        compiled = _icarus(sources, top, folder) if simulator == "icarus" else _verilator(sources, top, folder)
        finished = _process.run(compiled, cwd=folder, timeout_s=timeout_s)
    if finished.returncode is None:
        raise HwgenError(f"{top}: the testbench must end within timeout_s ({timeout_s:g} s), but did not")
    if finished.returncode != 0:
        raise HwgenError(f"{top}: the testbench stopped with status {finished.returncode}: {finished.complaint}")
    return finished.stdout


def _icarus(sources: list[Path], top: str, folder: Path) -> list[str | Path]:
    """Compile with Icarus Verilog and return the command that runs the result."""
    command: list[str | Path] = [
        require("iverilog"),
        "-g2012",
        "-s",
        top,
        "-o",
        "bench.vvp",
        *(path.name for path in sources),
    ]
    simulate = require("vvp")
    finished = _process.run(command, cwd=folder)
    if finished.returncode != 0:
        raise HwgenError(f"{top}: Icarus Verilog refuses the testbench: {finished.complaint}")
    return [simulate, "-n", "bench.vvp"]


def _verilator(sources: list[Path], top: str, folder: Path) -> list[str | Path]:
    """Compile with Verilator, delays and all, and return the command that runs the result."""
    work = folder / "verilator"
    work.mkdir()
    compile_model(
        sources,
        top,
        work,
        folder / "bench",
        what=top,
        verilator_flags=["--timing", "--timescale", "1ns/1ps"],
        opt_fast=["-O1"],
        shim=None,
        driver=None,
        log_name=f"{top[:40]}-{digest(path.read_text() for path in sources)[:16]}",
    )
    return [folder / "bench"]
