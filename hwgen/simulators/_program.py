"""From Verilog and its ports to a cached program: what the compiled simulations have in common."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hwgen.errors import HwgenError, suggest
from hwgen.simulators._verilator import compile_model, fingerprint
from hwgen.simulators.cache import cached, digest

__all__ = ["Port", "build_program", "check_build", "check_names"]

_OPTS = ("-O0", "-O1", "-O2", "-O3")
# Registers without an initial value start at 0 and unknown bits are 0: two runs never differ.
_VERILATOR_FLAGS = ["--no-timing", "--x-assign", "0", "--x-initial", "0", "--no-assert"]


@dataclass(frozen=True)
class Port:
    """One port of the top module, ``width`` bits wide."""

    name: str
    width: int
    direction: Literal["input", "output"]

    @property
    def words(self) -> int:
        """32-bit words in which one value travels."""
        return -(-self.width // 32)


def check_build(opt: str, threads: int) -> None:
    """Raise `HwgenError` for an optimisation or a number of threads that `build_program` does not know."""
    if opt not in _OPTS:
        raise HwgenError(f"build: opt must be {', '.join(_OPTS[:-1])} or {_OPTS[-1]}, not {opt!r}")
    if threads < 1:
        raise HwgenError(f"build: threads must be at least 1, not {threads}")


def check_names(top: str, ports: Sequence[Port]) -> dict[str, Port]:
    """Return ``ports`` by name; raise `HwgenError` for names and widths that no port can have."""
    known: dict[str, Port] = {}
    for port in ports:
        # Verilator renames what C++ cannot spell; such names never come out of our emitter.
        if not re.fullmatch(r"[A-Za-z]\w*", port.name, re.ASCII) or "__" in port.name:
            raise HwgenError(f"{top}: port names must be letters, digits and single underscores, not {port.name!r}")
        if port.width < 1:
            raise HwgenError(f"{top}: port {port.name} must be at least 1 bit wide, not {port.width}")
        if port.name in known:
            raise HwgenError(f"{top}: port {port.name} is given twice")
        known[port.name] = port
    return known


def build_program(verilog: str, top: str, ports: Sequence[Port], driver: Path, opt: str, threads: int) -> Path:
    """Return the program made of the module and of the main in ``driver``; from the cache when it is there.

    Raises:
        HwgenError: The ports are not those of the module, a tool is missing, or the build failed.
    """
    verilator_flags = [*_VERILATOR_FLAGS, *(["--threads", str(threads)] if threads > 1 else [])]
    shim = _shim(ports, threads)
    key = digest([verilog, top, repr(tuple(ports)), shim, *verilator_flags, opt, *fingerprint(driver)])
    name = f"{top[:40]}-{key[:32]}"

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="hwgen-build-") as work:
            source = Path(work) / "design.v"
            source.write_text(verilog)
            compile_model(
                [source],
                top,
                Path(work),
                folder / "sim",
                what=top,
                verilator_flags=verilator_flags,
                opt_fast=[opt],
                shim=lambda header: _checked(top, ports, header, shim),
                driver=driver,
                log_name=name,
            )

    return cached(name, make) / "sim"


def _shim(ports: Sequence[Port], threads: int) -> str:
    """Return the part of the program that knows the module's ports: the functions of ``driver.h``."""
    table = "".join(f'    {{"{port.name}", {port.width}}},\n' for port in ports)
    cases = "".join(f"        case {index}: return &m.{port.name};\n" for index, port in enumerate(ports))
    return f"""\
#include "Vmodel.h"
#include "{Path(__file__).with_name("driver.h")}"

struct Instance {{
    VerilatedContext context;
    Vmodel* model;  // a smart pointer, not optimised here, would take a tenth of a small model's time
    Instance() {{
        context.threads({threads});
        model = new Vmodel(&context, "top");
    }}
    ~Instance() {{ delete model; }}
}};

const PortInfo model_ports[] = {{
{table}    {{nullptr, 0}},
}};
void* model_new() {{ return new Instance; }}
void model_delete(void* model) {{ delete static_cast<Instance*>(model); }}
void model_eval(void* model) {{ static_cast<Instance*>(model)->model->eval(); }}
void* model_port(void* model, uint32_t index) {{
    Vmodel& m = *static_cast<Instance*>(model)->model;
    switch (index) {{
{cases}    }}
    return nullptr;
}}
"""


def _checked(top: str, ports: Sequence[Port], header: str, shim: str) -> str:
    """Return ``shim`` when ``ports`` are what Verilator found in the Verilog (declared so in its header)."""
    found = {
        name: ("input" if kind == "IN" else "output", int(msb) - int(lsb) + 1)
        for kind, name, msb, lsb in re.findall(r"VL_(IN|OUT)(?:8|16|64|W)?\(&(\w+),(\d+),(\d+)", header)
    }
    given = {port.name: (port.direction, port.width) for port in ports}
    for name in sorted(found.keys() | given.keys()):
        if name not in found:
            raise HwgenError(f"{top}: the Verilog has no port {name}{suggest(name, found)}")
        if name not in given:
            raise HwgenError(f"{top}: ports must name every port of the Verilog, but {name} is missing")
        if found[name] != given[name]:
            raise HwgenError(
                f"{top}: port {name} is an {found[name][0]} of {found[name][1]} bits in the Verilog, "
                f"not an {given[name][0]} of {given[name][1]}"
            )
    return shim
