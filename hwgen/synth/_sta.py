"""Timing of mapped netlists by OpenSTA, where it is installed: figures of their own, never mixed with those of ABC."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen.errors import HwgenError
from hwgen.simulators import _process, toolchain
from hwgen.synth import Result, tile_netlist
from hwgen.synth._liberty_text import whole_text
from hwgen.synth._parts import FLAT

__all__ = ["Timed", "TimedTile", "opensta"]

_WHOLE = {"control": "tile", "pre_control": "pre", FLAT: "tile"}
"""What the netlist of a part is once its boxes are filled."""

_SIGNED = re.compile(r"^(\s*(?:input|output|wire|inout|reg)) signed ", re.M)
"""OpenSTA 2.0 drops declarations that it cannot read, and goes on."""

_SLACK = re.compile(r"^\s*(-?[\d.]+)\s+slack", re.M)
_BAD = re.compile(r"^.*(?:Error|not found|not a verilog module|syntax error).*$", re.M)


@dataclass(frozen=True)
class Timed:
    """One part with everything in it: shortest clock period, and where its longest path begins and ends.

    Inputs arrive at the clock edge and outputs are wanted at the next one.
    """

    kind: str
    min_clk_period_ns: float
    startpoint: str
    endpoint: str


@dataclass(frozen=True)
class TimedTile:
    """OpenSTA's figures of a result, slowest last."""

    version: str
    parts: tuple[Timed, ...]

    def document(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return {
            "timer": f"OpenSTA {self.version}",
            "basis": "pre-layout: no wires, ideal clock",
            "parts": {
                part.kind: {
                    "min_clk_period_ns": part.min_clk_period_ns,
                    "startpoint": part.startpoint,
                    "endpoint": part.endpoint,
                }
                for part in self.parts
            },
        }


def opensta(result: Result, timeout_s: float = 600) -> TimedTile:
    """Time a result: each block by itself, and the tile with all of its blocks.

    Raises `HwgenError` when OpenSTA is not installed, when it complains, and when time is over.
    """
    program = toolchain.require("opensta")
    library = result.library
    wanted = {part.kind: part for part in result.parts}
    mapped = {wanted[block.kind].top for block in result.whole}
    shown = [wanted[block.kind] for block in result.whole if mapped.issuperset(wanted[block.kind].boxes)]
    text = _SIGNED.sub(r"\1 ", tile_netlist(result))
    with tempfile.TemporaryDirectory(prefix="hwgen-sta-") as name:
        folder = Path(name)
        (folder / "netlist.v").write_text(text)
        lines = []
        for index, path in enumerate(library.files):
            (folder / f"{index}.lib").write_text(whole_text(path).removeprefix("\ufeff"), encoding="utf-8")
            lines.append(f"read_liberty {folder / f'{index}.lib'}")
        lines.append("set_cmd_units -time ns -capacitance pF")
        for part in shown:
            lines += _commands(folder / "netlist.v", part.top, _ports(text, part.top), result)
        (folder / "time.tcl").write_text("\n".join([*lines, "exit", ""]))
        command: list[str | Path] = [program, "-no_init", "-no_splash", "-exit", folder / "time.tcl"]
        done = _process.run(command, cwd=folder, timeout_s=timeout_s)
    if done.returncode is None:
        raise HwgenError(f"synth: OpenSTA must end within {timeout_s:g} s, which it did not; raise --timeout-s")
    complaint = _BAD.search(done.text)
    if done.returncode or complaint:
        said = complaint[0].strip() if complaint else f"exit status {done.returncode}"
        raise HwgenError(f"synth: OpenSTA must time {result.title}, but said: {said}")
    reports = done.stdout.split(_MARK)[1:]
    timed = [_timed(part.kind, report, result) for part, report in zip(shown, reports, strict=True)]
    found = [part for part in timed if part is not None]
    return TimedTile(toolchain.version("opensta"), tuple(sorted(found, key=lambda part: part.min_clk_period_ns)))


_MARK = "hwgen: next part\n"


def _ports(text: str, top: str) -> list[str]:
    """Input ports of a module of the netlist, as `get_ports` takes them: a bus by its bits."""
    body = text[text.index(f"module {top}(") :]
    found = re.findall(r"^ *input (\[[^\]]*\] )?\\?([^\s;]+)", body[: body.index("endmodule")], re.M)
    return [f"{name}[*]" if bus else name for bus, name in found]


def _commands(netlist: Path, top: str, inputs: Sequence[str], result: Result) -> list[str]:
    period = f"{result.target_clk_period_ns:.6g}"
    clock = f" [get_ports {result.clock}]" if result.clock in inputs else ""
    others = " ".join(name for name in inputs if name != result.clock)
    # Whatever edge flip-flops take, a path has a whole period.
    edge = "-clock_fall " if result.falling else ""
    return [
        # Linking uses up the modules that were read.
        f"read_verilog {netlist}",
        f"link_design {top}",
        f"create_clock -name clk -period {period}{clock}",
        *([f"set_input_delay -clock clk {edge}0 [get_ports {{{others}}}]"] if others else []),
        f"set_output_delay -clock clk {edge}0 [all_outputs]",
        f"set_driving_cell -lib_cell {result.library.buffer.name} [all_inputs]",
        f"set_load {result.library.load_pf:.6g} [all_outputs]",
        f'puts -nonewline "{_MARK.strip()}\\n"',
        "report_checks -path_delay max -format full -digits 6",
    ]


def _timed(kind: str, report: str, result: Result) -> Timed | None:
    """A part's longest path, None where it has none; that of asynchronous resets is reported by itself."""
    paths = [path for path in re.split(r"^(?=Startpoint:)", report, flags=re.M) if _SLACK.search(path)]
    if not paths:
        return None
    slack, path = min(((float(_SLACK.findall(path)[0]), path) for path in paths), key=lambda one: one[0])
    ends = {
        word: match[1] if (match := re.search(rf"^{word}: (\S+)", path, re.M)) else ""
        for word in ("Startpoint", "Endpoint")
    }
    period = result.target_clk_period_ns - slack
    return Timed(_WHOLE.get(kind, kind), round(period, 6), ends["Startpoint"], ends["Endpoint"])
