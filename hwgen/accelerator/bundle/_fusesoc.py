"""A core file for FuseSoC (CAPI2): lint by Verilator, simulation by the self-checking bench."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from hwgen.accelerator.emission import Emission
from hwgen.version import __version__

__all__ = ["core_file"]

STYLE = ("UNUSEDSIGNAL",)
"""Codes of Verilator that are style: unread bits of a field or an adder, which synthesis drops."""


def core_file(emission: Emission, bench: Iterable[str]) -> str:
    """The text of ``top``.core; with the files of a ``bench`` it has a target ``sim``."""
    top = emission.top
    version = ".".join(re.findall(r"\d+", __version__)[:3])
    quiet = [f"-Wno-{code}" for code in (*STYLE, "DECLFILENAME")]
    names = list(bench)
    # YAML takes JSON, which says how text is to be quoted.
    lines = [
        "CAPI=2:",
        f"name: {json.dumps(f'hwgen:{emission.kind}:{top}:{version}')}",
        f"description: {json.dumps(emission.summary)}",
        "",
        "filesets:",
        "  rtl:",
        f"    files: {json.dumps([f'{top}.v', f'{top}_sram.v'])}",
        "    file_type: verilogSource-2005",
    ]
    if names:
        data = [{name: {"file_type": "user", "copyto": name}} for name in names if not name.endswith(".v")]
        lines += [
            "  bench:",
            f"    files: {json.dumps([name for name in names if name.endswith('.v')])}",
            "    file_type: verilogSource-2005",
            "  vectors:",
            f"    files: {json.dumps(data)}",
        ]
    lines += [
        "",
        "targets:",
        "  default: &default",
        "    filesets: [rtl]",
        f"    toplevel: {json.dumps(top)}",
        "  lint:",
        "    <<: *default",
        "    flow: lint",
        "    flow_options:",
        "      tool: verilator",
        f"      verilator_options: {json.dumps(['-Wall', *quiet])}",
    ]
    if names:
        timing = ["--timing", "--timescale", "1ns/1ps", "-Wno-fatal"]
        lines += [
            "  sim:",
            "    filesets: [rtl, bench, vectors]",
            f"    toplevel: {json.dumps(f'{top}_tb')}",
            "    flow: sim",
            "    flow_options:",
            "      tool: icarus",
            "      iverilog_options: [-g2005]",
            "      mode: binary",
            f"      verilator_options: {json.dumps(timing)}",
        ]
    return "\n".join(lines) + "\n"
