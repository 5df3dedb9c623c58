"""Emitted text: the same bytes everywhere, readable names, and blocks that are emitted once behave like copies."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.emit import emit
from hwgen.pe import TileSpec, families, family
from hwgen.reference import run_steps
from hwgen.verify import CompiledTile, random_steps

pytestmark = pytest.mark.rtl

SMALL = {"m": 2, "n": 4}
PRINT_HASHES = """
import hashlib, json
from hwgen.emit import emit, sdc
from hwgen.verify import bench_files
from hwgen.pe import families
for name, family in families().items():
    for values in ({}, {"acts": "fp16", "precompute": "external"}) if name == "lut" else ({},):
        emission = emit(family(m=2, n=4, **values))
        texts = [emission.verilog, json.dumps(emission.manifest), sdc(emission.spec, emission.top, 1.0)]
        texts += [text for item in bench_files(emission).items() for text in item]
        print(name, len(texts), hashlib.sha256("\\n".join(texts).encode()).hexdigest())
"""


def _hashes(folder: Path, seed: str) -> str:
    environment = {
        **os.environ,
        "PYTHONHASHSEED": seed,
        "PYTHONPATH": str(Path(hwgen.__file__).resolve().parents[1]),
    }
    run = subprocess.run(
        [sys.executable, "-c", PRINT_HASHES], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    assert not run.stderr
    return run.stdout


@pytest.mark.slow
def test_emission_is_the_same_in_every_process_and_folder(tmp_path: Path) -> None:
    other = tmp_path / "another folder"
    other.mkdir()
    first, second = _hashes(tmp_path, "1"), _hashes(other, "4242")
    assert len(first.splitlines()) == len(families()) + ("lut" in families())
    assert first == second


@pytest.mark.parametrize("name", families())
def test_names_are_plain_and_blocks_are_named_after_the_top(name: str) -> None:
    spec = families()[name](**SMALL)
    emission = emit(spec, "core")
    text = re.sub(r"//.*", "", emission.verilog)
    # No escaped identifiers, and `$` only in $signed and its like.
    assert "\\" not in text
    assert set(re.findall(r"\$\w*", text)) <= {"$signed", "$unsigned"}
    modules = re.findall(r"^module (\w+)", text, re.M)
    assert len(modules) == len(set(modules))
    assert modules[0] == "core"
    assert {"core_row", "core_col", "core_cell"} <= set(modules)
    assert all(module.startswith("core") for module in modules)
    ports = set(re.findall(r"\w+", re.search(r"^module core\(([^)]*)\)", text, re.M)[1]))  # type: ignore[index]
    assert ports == {port["name"] for port in emission.manifest["ports"]}
    assert all(re.fullmatch(r"clk|rst|[io]_[a-z0-9]+(_[a-z0-9]+)*", port) for port in ports)


def test_a_field_of_a_field_gets_a_plain_name_of_its_own() -> None:
    # Row sums leave through an array in a struct, for which Amaranth writes `\o__payload.row_sums[0] `.
    text = emit(family("int")(m=2, n=2, scheme="asymmetric")).verilog
    assert "o__payload_row_sums_0" in text


def _same(spec: TileSpec) -> None:
    steps = random_steps(spec, 5, groups=40)
    want = run_steps(spec, steps)
    beats = len(want.sums) if want.y is None else len(want.y)
    shared = CompiledTile(spec, emit(spec)).run(steps, beats)
    copies = CompiledTile(spec, emit(spec, shared=False)).run(steps, beats)
    for name in ("sums", "rows", "y", "cycle", "accepted"):
        assert np.array_equal(getattr(shared, name), getattr(copies, name)), name
    if want.y is None:
        assert np.array_equal(shared.sums, want.sums)
    else:
        assert np.array_equal(shared.y, want.y)


def test_shared_blocks_and_copies_simulate_alike() -> None:
    spec = family("lut")(m=2, n=2, k=2, bits=2)
    assert emit(spec).verilog.count("\nmodule ") < emit(spec, shared=False).verilog.count("\nmodule ")
    _same(spec)


CUT: dict[str, dict[str, object]] = {
    "int": {"scheme": "asymmetric", "bits": 4, "post_lanes": 1, "front_cuts": 1, "cell_cuts": 3, "post_cuts": 3},
    "lut": {"bits": 3, "front_cuts": 2, "cell_cuts": 2, "transport": "systolic"},
    "mixpe": {"bits": 4, "front_cuts": 1, "cell_cuts": 4},
    "bitplane": {"bits": 2, "acts": "int4", "act_planes": 2, "front_cuts": 1, "cell_cuts": 3},
    "bitserial": {"bits": 3, "planes": 2, "front_cuts": 1, "cell_cuts": 3},
    "shiftadd": {"bits": 4, "front_cuts": 1, "cell_cuts": 3},
    "bitfusion": {"k": 1, "front_cuts": 2, "cell_cuts": 3},
    "ant": {"k": 2, "front_cuts": 2, "cell_cuts": 3, "transport": "systolic"},
    "olive": {"k": 2, "front_cuts": 1, "cell_cuts": 4, "post_lanes": 1, "post_cuts": 2},
    "codebook": {"weights": "razer_fp4", "front_cuts": 1, "cell_cuts": 3},
    "complex": {"mapping": "widely", "front_cuts": 1, "cell_cuts": 2},
    "mx": {"k": 4, "cell_cuts": 6, "post_lanes": 1, "post_cuts": 5, "post_adder_stages": 3},
    "bitmod": {"m": 1, "k": 2, "front_cuts": 2, "cell_cuts": 2, "adder_stages": 3, "post_lanes": 1, "post_cuts": 2},
    "minifloat": {
        "m": 1,
        "bits": 16,
        "accumulator": "fp32",
        "cell_cuts": 5,
        "adder_stages": 4,
        "interleave": "ring",
    },
    "lmul": {"m": 1, "bits": 16, "front_cuts": 1, "cell_cuts": 3},
    "posit": {"m": 1, "n": 1, "k": 1, "front_cuts": 2, "cell_cuts": 2, "group": 64, "depth": 64},
}


@pytest.mark.few(4)
@pytest.mark.parametrize("name", families())
def test_registers_within_the_logic_and_behind_it_simulate_alike(name: str) -> None:
    """Emitted, cuts stand within the logic; every copy elaborated, as Amaranth's simulator has it, behind it."""
    spec = families()[name].from_values({"m": 2, "n": 2, **CUT[name]})
    assert "_logic " in emit(spec).verilog
    _same(spec)
