"""``hwgen estimate --level system``: the tree, JSON, the picture, designs side by side, and mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hwgen.cli._system import EQUAL
from hwgen.cli.estimate import command
from hwgen.errors import HwgenError
from sim.system import compare, estimate_system
from sim.workload import Decode, load_workload

SMALL = ["--pe", "int", "--bits", "4", "--clk-period-ns", "own", "--workload", "smollm2-135m", "--context", "64"]


def output(*arguments: str) -> str:
    done = CliRunner().invoke(command, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def document(*arguments: str) -> Any:
    return json.loads(output(*arguments, "--json"))


def test_the_tree() -> None:
    text = output(*SMALL, "--cores", "4", "--kv", "int8", "--dram", "lpddr4", "--vector-lanes", "8")
    lines = text.splitlines()
    assert lines[0] == "smollm2-135m: decode at context 64 × 1"
    assert "4 × int 2×8×4 int4 × int8" in lines[1]
    assert "LPDDR4 (16 bits at 4266 MT/s), 8.532 GB/s" in lines[1]
    starts = [line.split()[:2] for line in lines[3:]]
    for one in (["├", "attn"], ["│", "├"], ["├", "ffn"], ["├", "lm_head"], ["└", "vector"]):
        assert one in starts, one
    assert "kv are multiplied as int8, as 2 digits of int4" in lines
    assert any(" tokens/s; " in line and "J a token" in line for line in lines)
    for word in ("rings", "engines", "dram", "memories", "tile"):
        assert any(line.startswith(word) for line in lines), word


def test_an_option_of_its_own_means_the_level() -> None:
    """Others are taken at the level that is named."""
    assert document(*SMALL, "--cores", "2")["cores"] == 2
    assert document(*SMALL, "--level", "system")["cores"] == 1
    assert "workload" in document(*SMALL)
    with pytest.raises(HwgenError, match="--cores goes with --level system, not with --level accelerator"):
        output(*SMALL, "--level", "accelerator", "--cores", "2")
    with pytest.raises(HwgenError, match="--bus-bits goes with --level accelerator, not with --level tile"):
        output(*SMALL, "--bus-bits", "64")


def test_json_is_the_report() -> None:
    from hwgen.accelerator import Design
    from hwgen.pe import family
    from sim.system import System

    found = document(
        *SMALL[:4], "--workload", "smollm2-135m", "--context", "64", "--clk-period-ns", "5", "--cores", "3"
    )
    tile = found["system"]
    assert tile.startswith("3 × int 2×8×4")
    assert found["clk_period_ns"] == 5
    design = Design(tile=family("int").from_values({"bits": 4, "front_cuts": 0}), address_bits=40)
    report = estimate_system(System(core=design, cores=3, clk_period_ns=5.0), load_workload("smollm2-135m"), Decode(64))
    assert found["totals"]["macs"] == report.macs
    assert found["bytes"] == report.bytes


def test_every_way_is_listed() -> None:
    found = document(*SMALL, "--cores", "2", "--all", "--role", "ffn.up")
    (part,) = found["parts"]
    cycles = [choice["cycles"] for choice in part["choices"]]
    assert len(cycles) > 3
    assert cycles == sorted(cycles)
    assert cycles[0] <= part["cycles"] / part["count"] <= cycles[-1]
    text = output(*SMALL, "--cores", "2", "--all", "--role", "ffn.up")
    assert "activations stay" in text


def test_roofline(tmp_path: Path) -> None:
    picture = tmp_path / "roof.png"
    text = output(*SMALL, "--role", "ffn.*", "--plot", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"wrote {picture}" in text


@pytest.mark.parametrize("equal", EQUAL)
def test_designs_side_by_side(equal: str) -> None:
    first, second = document(
        *(*SMALL, "--role", "attn.*", "--dram-channels", "8", "--cores", "4"),
        *("--compare", "int bits=4 n=16 act_ring=64", "--equal", equal),
    )
    assert "int 2×16×4" in second["system"]
    if equal == "bandwidth":
        assert second["cores"] == first["cores"] == 4
    area, own = (sum(one["area_um2"].values()) for one in (first, second))
    if equal == "area":
        assert own <= area < own * (second["cores"] + 1) / second["cores"]
    if equal == "throughput":
        assert second["totals"]["tokens_per_s"] >= first["totals"]["tokens_per_s"]
        assert second["cores"] <= 4


def test_the_table_of_designs() -> None:
    text = output(*SMALL, "--role", "ffn.up", "--compare", "lut bits=2", "--compare", "mx")
    lines = text.splitlines()
    assert lines[0].endswith("equal bandwidth")
    assert [line.split()[0] for line in lines[2:5]] == ["int", "lut", "mx"]


def test_choices_are_those_of_the_model() -> None:
    assert compare.EQUAL == EQUAL


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--cores", "0"], "system: cores must be a whole number from 1 to 4096, not 0"),
        (["--cores", "2", "--dram", "ddr9"], "system: dram must be .* not 'ddr9'"),
        (["--cores", "2", "--kv", "fp16"], "must be int4 or a wider integer on this int tile, not fp16"),
        (["--cores", "2", "--kv", "int8x"], "int8x"),
        (["--dram-gib", "1", "--batch", "5000"], "must fit the 1 GiB of its memory"),
        (["--cores", "2", "--context", "99999"], "context must be at most 8,192"),
        (["--cores", "2", "--role", "mlp.*"], "no role matches 'mlp.*'"),
        (["--cores", "2", "--set", "role=mlp.* kv=int8"], "no role matches 'mlp.*'"),
        (["--cores", "2", "--set", "acts=int4"], "acts must be the tile's"),
        (["--cores", "2", "--workload", "lama"], "no model 'lama'; did you mean"),
        (["--compare", "lut bits"], "--compare must be FAMILY PARAMETER=VALUE"),
        (["--compare", "lut bitz=2"], "lut: no parameter 'bitz'; did you mean 'bits'?"),
        (["--compare", "lut", "--all"], "--all shows one design, not --compare's"),
        (["--cores", "2", "--layer", "1x2x3"], "--layer goes with --level tile, not with --level system"),
    ],
)
def test_mistakes(flags: list[str], message: str) -> None:
    base = SMALL if "--context" not in flags else SMALL[:-2]
    with pytest.raises(HwgenError, match=message):
        output(*base, *flags)
