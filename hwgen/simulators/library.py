"""Compile C++ into a shared library for this machine's processor, and keep it in the cache."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path

from hwgen.errors import HwgenError
from hwgen.simulators import _process
from hwgen.simulators.cache import cache_dir, cached, digest
from hwgen.simulators.toolchain import require, version

__all__ = ["library_state", "shared_library"]

_MACHINE = "-march=native"
_FLAGS = (
    *("-std=c++17", "-O3", "-fPIC", "-shared", "-pthread"),
    # Every operation rounds as IEEE 754 says: none is joined to another. That nobody asks for errno or for the
    # processor's exception flags changes no value, and lets loops become vector instructions.
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
    "-w",
)


@functools.cache
def _processor() -> str:
    """What the compiler knows of this processor: all macros that it defines for it, instruction sets among them."""
    made = _process.run([require("g++"), _MACHINE, "-dM", "-E", "-x", "c++", "/dev/null"], timeout_s=60)
    if made.returncode != 0:
        raise HwgenError(f"g++: cannot compile for this processor: {made.complaint}")
    return made.stdout


def _entry(name: str, main: str, files: Mapping[str, str]) -> str:
    """Name of a library's place in the cache. Raises `HwgenError` without g++."""
    require("g++")
    parts = [part for item in sorted(files.items()) for part in item]
    key = digest(["library", main, *parts, version("g++"), *_FLAGS, _processor()])
    return f"{name[:40]}-{key[:32]}"


def library_state(name: str, main: str, files: Mapping[str, str]) -> str:
    """What is known of a library without building it: whether it is there, or why it was refused.

    Raises `HwgenError` without g++, or a cache that can be read.
    """
    entry = _entry(name, main, files)
    if (cache_dir() / entry / "library.so").is_file():
        return "built"
    log = cache_dir() / f"{entry}.log"
    return f"refused by g++, see {log}" if log.is_file() else "built on first use"


def shared_library(name: str, main: str, files: Mapping[str, str]) -> Path:
    """Return the shared library made of the text ``files[main]``, which may include the other ``files`` by name.

    It uses the instructions that this processor has; a cache that another processor shares gets one of its own.

    Raises:
        HwgenError: g++ is missing, or refuses; the first error line is quoted.
    """
    entry = _entry(name, main, files)

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="hwgen-build-") as work:
            for file, text in files.items():
                Path(work, file).write_text(text)
            made = _process.run(["g++", *_FLAGS, _MACHINE, main, "-o", folder / "library.so"], cwd=Path(work))
        if made.returncode != 0:
            log = cache_dir() / f"{entry}.log"
            log.write_text(made.text)
            raise HwgenError(f"{name}: the library cannot be built: {made.complaint} (whole log: {log})")

    return cached(entry, make) / "library.so"
