"""A cocotb bench of a tile for its user: the bench, its vectors, a Makefile and a runner, with the Verilog."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hwgen.emit import Emission
from hwgen.schedule import Steps
from hwgen.verify._bench import Vectors, stimuli, tile_vectors

__all__ = ["bench_text", "cocotb_files", "vectors_document"]

_MAKEFILE = """# `make` runs the bench on Icarus Verilog, `make SIM=verilator` on Verilator; needs cocotb 2.
SIM ?= icarus
TOPLEVEL_LANG ?= verilog
VERILOG_SOURCES = $(CURDIR)/{top}.v
COCOTB_TOPLEVEL = {top}
COCOTB_TEST_MODULES = test_{top}
# Registers of data have no reset: until they are written they may hold anything.
ifeq ($(SIM),verilator)
EXTRA_ARGS += -Wno-fatal
endif
include $(shell cocotb-config --makefiles)/Makefile.sim
"""

_RUNNER = '''"""Run the bench: `python run_{top}.py [icarus|verilator]`; exit status 0 if every beat is right."""

from __future__ import annotations

import sys
from pathlib import Path

from cocotb_tools.runner import get_results, get_runner

here = Path(__file__).resolve().parent
simulator = sys.argv[1] if len(sys.argv) > 1 else "icarus"
runner = get_runner(simulator)
runner.build(
    sources=[here / "{top}.v"],
    hdl_toplevel="{top}",
    build_dir=here / "sim_build",
    build_args=["-Wno-fatal"] if simulator == "verilator" else [],
    timescale=("1ns", "1ps"),
    always=True,
)
results = runner.test(
    hdl_toplevel="{top}",
    test_module="test_{top}",
    test_dir=here,
    build_dir=here / "sim_build",
    results_xml=str(here / "results.xml"),
)
tests, failed = get_results(results)
print(f"{{tests - failed}} of {{tests}} tests passed")
sys.exit(1 if failed or not tests else 0)
'''


def bench_text() -> str:
    """The bench itself, which is the same for every tile."""
    return Path(__file__).with_name("_cocotb_bench.py").read_text(encoding="utf-8")


def vectors_document(manifest: Mapping[str, Any], vectors: Vectors) -> dict[str, Any]:
    """What the bench reads: the manifest, and numbers in hexadecimal by port."""
    return {
        "manifest": manifest,
        "inputs": {name: _hexadecimal(words) for name, words in vectors.inputs.items()},
        "idle": [int(cycles) for cycles in vectors.idle],
        "outputs": {name: _hexadecimal(words) for name, words in vectors.outputs.items()},
        "cycles": [int(cycle) for cycle in vectors.cycles],
    }


def _hexadecimal(words: np.ndarray) -> list[str]:
    """Words [.., w] of 32 bits, least significant first, as one number a row."""
    return [f"{int.from_bytes(row.astype('<u4').tobytes(), 'little'):x}" for row in words]


def cocotb_files(emission: Emission, *runs: Steps) -> dict[str, str]:
    """A folder that runs on its own, text by file name: ``TOP.v``, ``test_TOP.py``, ``TOP.json``, ``Makefile``,
    ``run_TOP.py``.

    ``runs`` as in `hwgen.verify.bench_files`, whose stimuli these are without any; a block before the activation buffer
    has its own bench there.
    """
    top, spec = emission.top, emission.spec
    document = vectors_document(emission.manifest, tile_vectors(spec, runs or stimuli(spec)))
    return {
        f"{top}.v": emission.verilog,
        f"test_{top}.py": bench_text(),
        f"{top}.json": json.dumps(document) + "\n",
        "Makefile": _MAKEFILE.format(top=top),
        f"run_{top}.py": _RUNNER.format(top=top),
    }
