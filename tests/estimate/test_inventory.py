"""The structural inventory against the elaborated design, counted by Yosys in a child process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hwgen.pe import families, family

# One process counts for all tests of this file.
pytestmark = pytest.mark.xdist_group("inventory")

ROOT = Path(__file__).parents[2]
MODULES = {
    "row": "tile_row",
    "col": "tile_col",
    "cell": "tile_cell",
    "rowsum": "tile_rowsum",
    "control": "tile",
    "post": "tile_post",
    "pre_row": "pre_row",
    "pre_control": "pre",
}

SHAPE = {"m": 2, "n": 4}
UNPU = {"scheme": "symmetric", "planes": "twos_complement", "symmetry": "none"}
MAX127 = {"entries": "int8", "entry_rule": "max127", "precompute": "external"}
FP32 = {"accumulator": "fp32"}
FP32_TABLES = {"cell": "fp_add", "scheme": "bipolar"}
SPECS: list[tuple[str, dict[str, Any]]] = [
    ("int", SHAPE),
    ("int", {**SHAPE, "scheme": "asymmetric", "stages": 3, "post_lanes": 2}),
    ("int", {**SHAPE, "scheme": "asymmetric", "overflow": "wrap", "post_lanes": 1, "stages": 0}),
    ("int", {**SHAPE, "overflow": "saturate", "transport": "systolic", "stages": 2, "acts": "int16", "bits": 3}),
    ("lut", {**SHAPE, "bits": 2}),
    ("lut", {**SHAPE, "bits": 4, "transport": "systolic", "stages": 3}),
    ("lut", {**SHAPE, "bits": 3, "acts": "fp16", "post_lanes": 4}),
    ("lut", {**SHAPE, "bits": 4, "acts": "fp16", "align_scope": "step", "stages": 2}),
    ("lut", {**SHAPE, "precompute": "external", "post_lanes": 1}),
    ("lut", {**SHAPE, **UNPU, "bits": 4, "planes_per_cycle": 2}),
    ("lut", {**SHAPE, "symmetry": "none", "overflow": "saturate", "k": 8}),
    ("lut", {**SHAPE, "entries": "int8", "acts": "int16", "bits": 3}),
    ("lut", {**SHAPE, "entries": "int8", "acts": "fp16", "align_scope": "step", "stages": 2, "post_lanes": 1}),
    ("lut", {**SHAPE, **MAX127, "acts": "fp16", "stages": 3}),
    ("lut", {**SHAPE, **MAX127, "acts": "int16", "planes_per_cycle": 2, "stages": 2, "scheme": "bipolar"}),
    ("lut", {**SHAPE, "acts": "fp8_e4m3", "align_scope": "step", "k": 8}),
    ("lut", {**SHAPE, "acts": "bf16", "align_scope": "row"}),
    ("lut", {**SHAPE, "tables": 2, "bits": 4}),
    ("lut", {**SHAPE, "tables": 4, "bits": 4, "planes_per_cycle": 2, "acts": "fp16", "align_scope": "step"}),
    ("lut", {**SHAPE, **UNPU, "tables": 4, "bits": 4, "negation": "offline"}),
    ("lut", {**SHAPE, "tables": 2, "entries": "int8", "acts": "int16", "planes_per_cycle": 2}),
    ("lut", {**SHAPE, **MAX127, "tables": 2, "acts": "fp16", "stages": 2}),
    ("bitmod", SHAPE),
    ("bitmod", {**SHAPE, "acts": "bf16", "post_lanes": 2, "stages": 3, "guard_bits": 0, "acc_mantissa": 32}),
    ("bitmod", {**SHAPE, "acts": "int8", "post_lanes": 0, "stages": 2, "transport": "systolic"}),
    ("bitmod", {**SHAPE, "accumulator": "exact", "k": 2}),
    ("lut", {**SHAPE, **FP32_TABLES, "acts": "fp16", "adder_stages": 2, "interleave": "ring", "stages": 2}),
    ("lut", {**SHAPE, **FP32_TABLES, "acts": "bf16", "bits": 4, "planes_per_cycle": 2, "adder_stages": 3}),
    ("lut", {**SHAPE, **FP32_TABLES, "acts": "fp8_e4m3", "precompute": "external", "symmetry": "none"}),
    ("lut", {**SHAPE, **FP32_TABLES, "acts": "bf16", "tables": 2, "bits": 4, "planes_per_cycle": 2}),
    ("codebook", SHAPE),
    ("codebook", {**SHAPE, "weights": "razer_fp4", "k": 8, "stages": 3, "post_lanes": 2}),
    ("codebook", {**SHAPE, "acts": "fp16", "align_scope": "step", "stages": 2, "value_bits": 6}),
    ("codebook", {**SHAPE, "weights": "sherry", "k": 8}),
    ("codebook", {**SHAPE, "acts": "bf16", "overflow": "saturate", "weights": "bitmod_fp3"}),
    ("complex", SHAPE),
    ("complex", {**SHAPE, "mapping": "widely", "acts": "int4", "stages": 2, "transport": "systolic"}),
    ("complex", {**SHAPE, "k": 2, "stages": 0, "overflow": "saturate"}),
    ("mixpe", SHAPE),
    ("mixpe", {**SHAPE, "scheme": "symmetric", "bits": 8, "k": 8, "stages": 3, "post_lanes": 2}),
    ("mixpe", {**SHAPE, "acts": "fp16", "align_scope": "step", "stages": 2, "bits": 3}),
    ("mixpe", {**SHAPE, "acts": "bf16", "post_lanes": 1, "overflow": "wrap"}),
    ("mixpe", {**SHAPE, "dequant": "before", "transport": "systolic"}),
    ("mixpe", {**SHAPE, "dequant": "before", "scheme": "symmetric", "acts": "fp16", "align_scope": "row", "bits": 6}),
    ("mixpe", {**SHAPE, "dequant": "channel", "group": 0, "overflow": "saturate", "k": 2, "bits": 2}),
    ("bitserial", SHAPE),
    ("bitserial", {**SHAPE, "scheme": "asymmetric", "planes": 2, "stages": 3, "post_lanes": 2}),
    ("bitserial", {**SHAPE, "bits": 8, "planes": 3, "acts": "int16", "k": 8, "stages": 2, "transport": "systolic"}),
    ("bitserial", {**SHAPE, "scheme": "bipolar", "planes": 2, "stages": 2, "overflow": "saturate"}),
    ("bitserial", {**SHAPE, "planes": 4, "stages": 0, "overflow": "wrap"}),
    ("bitplane", SHAPE),
    ("bitplane", {**SHAPE, "scheme": "asymmetric", "weight_planes": 2, "stages": 3, "post_lanes": 2}),
    ("bitplane", {**SHAPE, "weight_planes": 2, "act_planes": 3, "k": 16, "stages": 2, "transport": "systolic"}),
    ("bitplane", {**SHAPE, "scheme": "bipolar", "act_planes": 2, "k": 16, "stages": 2, "overflow": "saturate"}),
    ("bitplane", {**SHAPE, "acts": "int4", "weight_planes": 4, "act_planes": 4, "stages": 0}),
    ("bitplane", {**SHAPE, "bits": 1, "k": 64}),
    ("shiftadd", SHAPE),
    ("shiftadd", {**SHAPE, "bits": 4, "stages": 3, "post_lanes": 2}),
    ("shiftadd", {**SHAPE, "bits": 5, "scheme": "apot", "overflow": "saturate", "stages": 2, "k": 8}),
    ("shiftadd", {**SHAPE, "bits": 9, "acts": "fp16", "align_scope": "step", "k": 2}),
    ("bitfusion", SHAPE),
    ("bitfusion", {**SHAPE, "k": 4, "scheme": "asymmetric", "brick_acts": 4, "stages": 2, "post_lanes": 1}),
    ("bitfusion", {**SHAPE, "brick_acts": 8, "overflow": "saturate", "k": 1}),
    ("bitfusion", {**SHAPE, "brick_acts": 8, "brick_weights": 8, "bits": 8, "stages": 3}),
    ("mx", SHAPE),
    ("mx", {**SHAPE, "acts": "mxint8", "weights": "mxint8", "stages": 2, "post_lanes": 1, "k": 2}),
    ("mx", {**SHAPE, "weights": "mxint8", "transport": "broadcast", "stages": 3}),
    ("mx", {**SHAPE, "acts": "mxfp8_e5m2", "weights": "mxfp8_e4m3", "stages": 2}),
    ("mx", {**SHAPE, "acts": "mxfp6_e2m3", "weights": "mxfp6_e3m2", "k": 4}),
    ("mx", {**SHAPE, "acts": "nvint4", "weights": "nvfp4", "stages": 2}),
    ("mx", {**SHAPE, "acts": "nvint4", "weights": "nvint4"}),
    ("mx", {**SHAPE, "acts": "hif4", "weights": "hif4", "stages": 3}),
    ("mx", {**SHAPE, "mode_set": "mx", "stages": 3, "post_lanes": 1}),
    ("mx", {**SHAPE, "mode_set": "mxfp_narrow", "k": 8}),
    ("mx", {**SHAPE, "mode_set": "mx_narrow", "k": 8, "int8_products": "parts"}),
    ("mx", {**SHAPE, "mode_set": "mx", "k": 4, "int8_products": "parts", "mode_pairs": "any"}),
    ("posit", {**SHAPE, "k": 1}),
    ("posit", {**SHAPE, "simd_along": "n", "stages": 3, "transport": "systolic"}),
    ("posit", {**SHAPE, "quire": "xr_npe", "depth": 64, "post_lanes": 4, "readout": "fp16", "stages": 2}),
    ("posit", {**SHAPE, "format": "posit", "stages": 3, "post_lanes": 2, "readout": "posit", "act_scale": "bf16"}),
    ("posit", {**SHAPE, "format": "posit", "posit_bits": 4, "es": 1, "stages": 2, "group": 32, "depth": 32}),
    ("posit", {**SHAPE, "format": "fp4", "k": 8}),
    ("ant", SHAPE),
    ("ant", {**SHAPE, "weights": "pot4", "acts": "int8", "stages": 2}),
    ("ant", {**SHAPE, "bits": 8, "k": 2, "post_lanes": 1}),
    ("ant", {**SHAPE, "weights": "flint4", "stages": 0, "overflow": "wrap"}),
    ("olive", SHAPE),
    ("olive", {**SHAPE, "acts": "int8", "stages": 3, "post_lanes": 2}),
    ("minifloat", SHAPE),
    ("minifloat", {**SHAPE, "acts": "e3m0", "weights": "fp4_e2m1", "post_lanes": 2, "stages": 3}),
    ("minifloat", {**SHAPE, "bits": 16, "transport": "systolic", "stages": 2, "k": 2}),
    ("minifloat", {**SHAPE, **FP32, "bits": 16, "adder_stages": 3, "interleave": "ring", "stages": 2}),
    ("minifloat", {**SHAPE, **FP32, "weights": "bf16", "acts": "bf16", "adder_stages": 2, "k": 3, "group": 0}),
    ("minifloat", {**SHAPE, **FP32, "adder_stages": 2, "interleave": "ring", "transport": "systolic", "stages": 3}),
    ("minifloat", {**SHAPE, **FP32, "bits": 4, "k": 1, "stages": 0}),
    ("lmul", {**SHAPE, "weights": "fp8_e5m2", "post_lanes": 2, "stages": 3}),
    ("lmul", {**SHAPE, **FP32, "bits": 16, "adder_stages": 2, "interleave": "ring", "subnormals": "normalise"}),
    ("int", {**SHAPE, "bits": 4, "acts": "fp16", "align_scope": "step", "scheme": "asymmetric"}),
    ("int", {**SHAPE, "bits": 4, "acts": "bf16", "post_lanes": 2}),
]
BANDS = {"add": (0.93, 1.08), "mul": (0.99, 1.01), "mux2": (0.9, 1.2), "and": (0.75, 1.1)}
"""Inventory over Yosys, one copy of each block; ``and`` stands for ors too."""
FEW = 45
"""Fewer primitives than this give no ratio: they are control."""


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, int]]]:
    answer = tmp_path_factory.mktemp("netlist") / "counts.json"
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("netlist.py")), str(answer)],
        input=json.dumps(SPECS),
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    found: list[dict[str, dict[str, int]]] = json.loads(answer.read_text())
    return found


def by_module(name: str, values: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Inventory of one copy of each module."""
    spec = family(name).from_values(values)
    return {
        MODULES[kind]: {primitive: int(number) for primitive, number in block.primitives.items()}
        for kind, block in spec.modules(spec.p).items()
    }


def test_every_family_is_sampled() -> None:
    assert {name for name, _ in SPECS} == set(families())


@pytest.mark.slow
def test_flip_flops_are_exact(counted: list[dict[str, dict[str, int]]]) -> None:
    for (name, values), netlist in zip(SPECS, counted, strict=True):
        mine = {module: primitives.get("ff", 0) for module, primitives in by_module(name, values).items()}
        theirs = {module: primitives["ff"] for module, primitives in netlist.items()}
        spec = family(name).from_values(values)
        known = spec.cut_parameters().items()
        cut = {MODULES[kind] for key, one in known if spec.p[key] != one.default for kind in one.cuts}
        assert mine.keys() == theirs.keys()
        for module, number in theirs.items():
            if module in cut:
                # How many there are within logic is for the placing of cuts to say.
                assert 0.5 <= mine[module] / number <= 2, (name, values, module, mine[module], number)
            else:
                assert mine[module] == number, (name, values, module)


@pytest.mark.slow
def test_counts_of_blocks_are_those_of_the_instances(counted: list[dict[str, dict[str, int]]]) -> None:
    for name, values in SPECS[:1] + SPECS[4:5] + SPECS[11:12]:
        spec = family(name).from_values(values)
        blocks = spec.blocks(spec.p)
        assert [int(blocks[block].count) for block in ("row", "col", "cell")] == [spec.m, spec.n, spec.m * spec.n]


@pytest.mark.slow
def test_logic_is_within_its_band(counted: list[dict[str, dict[str, int]]]) -> None:
    for (name, values), netlist in zip(SPECS, counted, strict=True):
        mine = by_module(name, values)
        for primitive, (low, high) in BANDS.items():
            estimated = sum(primitives.get(primitive, 0) for primitives in mine.values())
            elaborated = sum(primitives[primitive] for primitives in netlist.values())
            if elaborated < FEW:
                assert abs(estimated - elaborated) < FEW / 2, (name, values, primitive, estimated, elaborated)
                continue
            assert low <= estimated / elaborated <= high, (name, values, primitive, estimated, elaborated)
