"""Which tools are here, in which version, what needs them, and the command that installs a missing one."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hwgen.errors import HwgenError

__all__ = ["PACKAGES", "Package", "ToolStatus", "tools"]


@dataclass(frozen=True)
class ToolStatus:
    """One tool as this machine has it.

    ``found`` is its version, or None when it is missing. Without a ``required`` tool nothing works; without another
    one only what ``needed_by`` names does not.
    """

    name: str
    purpose: str
    needed_by: str
    found: str | None
    install_command: str
    required: bool


@dataclass(frozen=True)
class Package:
    """One Python distribution; ``extra`` is the extra of hwgen that brings it, None for a plain installation."""

    name: str
    purpose: str
    needed_by: str
    extra: str | None

    @property
    def install_command(self) -> str:
        """The command that installs hwgen together with this package."""
        return "pip install hwgen" if self.extra is None else f"pip install 'hwgen[{self.extra}]'"


PACKAGES = (
    Package("numpy", "codes, formats and reference arithmetic", "every command", None),
    Package("amaranth", "describes and simulates the hardware", "every command", None),
    Package("pyosys", "writes the Verilog, maps it to cells", "hwgen emit, verify, run, synth", None),
    Package("scipy", "linear programs that place registers; least squares", "--cell-cuts and the like", None),
    Package("threadpoolctl", "one BLAS thread where sums are to be the same", "calibrate, sweep", "dse"),
    Package("array-api-compat", "one code for numpy and torch", "hwgen estimate --level system", "sim"),
    Package("torch", "golden layers", "hwgen run, demo", "sim"),
    Package("onnx", "ONNX graphs as workloads", "hwgen workload, estimate, sweep", "sim"),
    Package("highspy", "integer programs that give formats to layers", "sim.accuracy.mixed", "sim"),
    Package("tokenizers", "tokenizer of the default model", "hwgen run, demo", "sim"),
    Package("pandas", "tables of design points", "hwgen sweep, demo", "dse"),
    Package("pyarrow", "Parquet files", "hwgen sweep, demo", "dse"),
    Package("moocore", "Pareto filter", "hwgen sweep, demo", "dse"),
    Package("pymoo", "multi-objective search", "hwgen sweep --search", "dse"),
    Package("duckdb", "SQL on sweeps", "hwgen query", "dse"),
    Package("distributed", "sweeps on a cluster", "hwgen sweep --engine dask", "dask"),
    Package("matplotlib", "plots", "hwgen sweep, report, demo", "dse"),
    Package("systemrdl-compiler", "reads SystemRDL", "registers as C header, HTML", "soc"),
    Package("peakrdl-cheader", "C header of registers", "registers as C header", "soc"),
    Package("peakrdl-html", "pages about registers", "registers as HTML", "soc"),
    Package("da4ml", "shared subexpressions of a matrix", "hwgen constant", "constant"),
    Package("scikit-learn", "pictures of digits", "accuracy task digits", "tasks"),
    Package("cocotb", "benches on the emitted Verilog", "make test", "test"),
    Package("pytest", "test runner", "make test", "test"),
    Package("ml_dtypes", "oracle of number formats", "make test", "test"),
    Package("gfloat", "oracle of number formats", "make test", "test"),
    Package("playwright", "drives a browser", "make test", "test"),
    Package("nbclient", "runs notebooks", "make test", "test"),
    Package("nbformat", "reads and writes notebooks", "make test", "test"),
    Package("ipykernel", "runs cells of notebooks", "make test", "test"),
    Package("peakrdl-regblock", "oracle of register blocks", "make test", "test"),
    Package("ruff", "linter", "make check", "test"),
    Package("mypy", "type checker", "make check", "test"),
)
"""The Python packages that hwgen uses, except those that the ``doctor`` command itself is made of."""

_NEEDED_BY = {
    "verilator": "hwgen run, demo; emit's lint; make test",
    "g++": "hwgen run, demo; fast sweeps of accelerators; make test",
    "make": "make demo, make test",
    "perl": "make test (cocotb on Verilator)",
    "iverilog": "emit --testbench; make test (cocotb on Icarus)",
    "vvp": "emit --testbench; make test (cocotb on Icarus)",
    "opensta": "hwgen synth (second timer)",
    "chromium": "make test (pages of hwgen report)",
    "nextpnr-ecp5": "hwgen synth --fpga ecp5",
    "nextpnr-ice40": "hwgen synth --fpga ice40",
}


def _package_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _packages() -> Iterator[ToolStatus]:
    for package in PACKAGES:
        found = _package_version(package.name)
        required = package.extra is None
        yield ToolStatus(package.name, package.purpose, package.needed_by, found, package.install_command, required)


def _programs() -> Iterator[ToolStatus]:
    from hwgen.simulators import toolchain

    for name, tool in toolchain.TOOLS.items():
        try:
            found = None if toolchain.find(name) is None else toolchain.version(name)
        except (HwgenError, OSError):  # there, but does not start: as good as missing
            found = None
        yield ToolStatus(name, tool.purpose, _NEEDED_BY[name], found, tool.install, False)


def _closed_form() -> ToolStatus:
    from hwgen.simulators import toolchain

    try:
        from hwgen.accelerator.compiled import kernel_state

        found = kernel_state()
    except (ImportError, HwgenError, OSError):  # a package, the compiler or the cache is missing: array code is taken
        found = None
    purpose, needed_by = "compiled cycles of many accelerators", "fast hwgen sweep, sim.system.estimate_arrays"
    return ToolStatus("closed form", purpose, needed_by, found, toolchain.TOOLS["g++"].install, False)


def _model() -> ToolStatus:
    from hwgen.simulators.cache import cache_dir

    try:
        files = sorted(path.name for path in cache_dir().glob("*.gguf"))
    except HwgenError:  # no usable cache folder holds no model
        files = []
    found = ", ".join(files) or None
    return ToolStatus("model", "real weights and activations", "hwgen run, demo", found, "hwgen model fetch", False)


def tools() -> list[ToolStatus]:
    """Return the state of every tool, those that nothing works without first.

    Starts each outside program once to ask for its version; imports no package that may be missing.
    """
    python = ToolStatus(
        "python", "runs everything", "every command", platform.python_version(), "sudo apt-get install python3", True
    )
    return [python, *_sorted([*_packages(), *_programs(), _closed_form(), _model()])]


def _sorted(found: Iterable[ToolStatus]) -> list[ToolStatus]:
    return sorted(found, key=lambda tool: not tool.required)
