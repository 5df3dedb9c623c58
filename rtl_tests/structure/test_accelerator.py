"""What an elaborated accelerator is made of: flip-flops as the inventory has them, other primitives nearly so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hwgen.accelerator.inventory import accelerator_blocks, kind_of
from rtl_tests.accelerator.cases import CASES, RESULT_CASES

pytestmark = [pytest.mark.rtl, pytest.mark.slow, pytest.mark.xdist_group("structure of accelerators")]

ROOT = Path(__file__).parents[2]
DESIGNS = (*CASES, *RESULT_CASES)
INDICES = (0, 3, 9, 14, 19, 20, 24, 25, 27, 30, 31, 33, 36)
"""Of `DESIGNS`: narrow and wide, raw sums and finished results, both transports, with and without side information;
floats with all that channels may have, and with parts of it; integers.
"""
BAND = {"add": 0.06, "mux2": 0.2, "and": 0.6, "mul": 0.02}
"""Largest part by which the others of a block with at least 20 of them may be off."""

Counts = dict[str, dict[str, int]]


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Counts]:
    """Primitives of the blocks of each design."""
    answer = tmp_path_factory.mktemp("netlist") / "counts.json"
    run = subprocess.run(
        [
            sys.executable,
            str(ROOT / "rtl_tests/structure/accelerator_netlist.py"),
            str(answer),
            *map(str, INDICES),
        ],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return dict(zip(INDICES, json.loads(answer.read_text()), strict=True))


@pytest.mark.parametrize("index", INDICES)
def test_flip_flops_are_exact(index: int, counted: dict[int, Counts]) -> None:
    design = DESIGNS[index].build()
    blocks = accelerator_blocks(type(design.tile), design.tile.p, design.p)
    derived = {name: int(block.primitives["ff"]) for name, block in blocks.items() if block.count}
    assert derived == {name: found["ff"] for name, found in counted[index].items()}


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("primitive", BAND)
def test_other_primitives_lie_in_a_band(index: int, primitive: str, counted: dict[int, Counts]) -> None:
    design = DESIGNS[index].build()
    blocks = accelerator_blocks(type(design.tile), design.tile.p, design.p)
    for name, found in counted[index].items():
        # Yosys draws the writing of a queue as multiplexers, here it is the flip-flops' enable; and what a packer
        # fills up with zeros as synchronous resets.
        if kind_of(name) in ("queue", "packer") or found[primitive] < 20:
            continue
        got = blocks[name].primitives.get(primitive, 0)
        assert abs(got / found[primitive] - 1) <= BAND[primitive], (name, got, found[primitive])
