"""A tile behind AXI4-Stream: every result equal and in order, whatever source and sink do, at the tile's own speed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cocotb_tools.runner import get_runner

from hwgen.emit import Emission, Reset, emit
from hwgen.emit._reset import ACTIVE, KINDS
from hwgen.pe import TileSpec, families, family
from hwgen.reference import run_steps
from hwgen.schedule import Steps
from hwgen.simulators import find, lint
from hwgen.verify import random_steps
from hwgen.verify._compiled import port_words
from hwgen.verify._contract import timeline

pytestmark = [pytest.mark.rtl, pytest.mark.cocotb]

icarus = pytest.mark.skipif(find("iverilog") is None, reason="Icarus Verilog is not installed")

TILES: dict[str, tuple[str, dict[str, Any]]] = {
    "int": ("int", {}),
    "int, systolic": ("int", {"n": 3, "bits": 4, "scheme": "asymmetric", "transport": "systolic"}),
    "int, lanes": ("int", {"m": 1, "n": 4, "bits": 4, "post_lanes": 2, "stages": 3}),
    "lut": ("lut", {"bits": 3}),
    "lut, floating-point": ("lut", {"bits": 2, "acts": "fp16", "align_scope": "step"}),
    "bitmod": ("bitmod", {"n": 4}),
    "mixpe": ("mixpe", {"bits": 4}),
    "shiftadd": ("shiftadd", {"bits": 4}),
    "bitfusion": ("bitfusion", {"m": 1, "k": 1}),
    "codebook": ("codebook", {"weights": "razer_fp4"}),
    "complex": ("complex", {"m": 1, "mapping": "widely"}),
    "posit": ("posit", {"m": 1}),
    "mx": ("mx", {"m": 1, "n": 4}),
    "mx, HiF4": ("mx", {"m": 1, "n": 4, "acts": "hif4", "weights": "hif4"}),
    "bitserial": ("bitserial", {"bits": 3, "planes": 2}),
    "bitplane": ("bitplane", {"bits": 3, "acts": "int4", "act_planes": 2}),
    "minifloat": ("minifloat", {"m": 1}),
    "lmul": ("lmul", {"m": 1}),
    "ant": ("ant", {"m": 1}),
    "olive": ("olive", {"m": 1, "post_lanes": 1}),
    "minifloat, FP32 sums": ("minifloat", {"m": 1, "bits": 16, "accumulator": "fp32"}),
}


def tile(label: str) -> TileSpec:
    name, values = TILES[label]
    return family(name).from_values({"m": 2, "n": 2, **values})


def whole(words: np.ndarray) -> list[int]:
    return [int.from_bytes(row.astype("<u4").tobytes(), "little") for row in words]


def placed(fields: list[dict[str, Any]], words: dict[str, list[int]], step: int) -> int:
    """Word of a stream, from the tile's ports, as the manifest places them."""
    value = 0
    for field in fields:
        port, bits = words[field["port"]][step], field["element_bits"]
        for index in range(field["elements"]):
            element = port >> (index * bits) & ((1 << bits) - 1)
            value |= element << (field["bit"] + index * field["stride"])
    return value


def beats(emission: Emission, steps: Steps) -> tuple[list[int], list[bool]]:
    """Words of the results and whether each is the last of one."""
    found = run_steps(emission.spec, steps)
    values: dict[str, np.ndarray] = {"o_sums": found.sums, "o_row_sums": found.rows}
    if found.y is not None:
        values = {"o_y": found.y}
    fields = emission.manifest["axi_stream"]["tdata"]["m_axis_result"]
    words = []
    for number in range(len(next(iter(values.values())))):
        word = 0
        for field in fields:
            for index, value in enumerate(values[field["port"]][number].ravel().tolist()):
                # A negative number's sign fills its place.
                mask = (1 << (field["stride"] if field["signed"] else field["element_bits"])) - 1
                word |= (int(value) & mask) << (field["bit"] + index * field["stride"])
        words.append(word)
    each = emission.manifest["axi_stream"]["timing"]["beats_per_result"]
    return words, [(number + 1) % each == 0 for number in range(len(words))]


def simulate(emission: Emission, steps: Steps, folder: Path, pauses: float, verilog: str = "") -> dict[str, int]:
    """Run steps through the wrapper; raises `SystemExit` where the bench fails."""
    entry = emission.manifest["axi_stream"]
    words = {name: whole(values) for name, values in port_words(emission.spec, steps).items()}
    want, last_beat = beats(emission, steps)
    count = range(len(steps))
    work = {
        "acts": [f"{placed(entry['tdata']['s_axis_acts'], words, step):x}" for step in count],
        "weights": [f"{placed(entry['tdata']['s_axis_weights'], words, step):x}" for step in count],
        "user": [placed(entry["tuser"]["s_axis_acts"], words, step) for step in count],
        "last": steps.last.astype(int).tolist(),
        "want": [f"{word:x}" for word in want],
        "last_beat": last_beat,
        "pauses": pauses,
        "limit": 400 * len(steps) * emission.spec.step_cycles_max + 20_000,
    }
    (folder / "work.json").write_text(json.dumps(work))
    (folder / "design.v").write_text(verilog or emission.verilog)
    runner = get_runner("icarus")
    runner.build(
        sources=[folder / "design.v"],
        hdl_toplevel=entry["top"],
        build_dir=folder / "build",
        timescale=("1ns", "1ps"),
        log_file=folder / "build.log",
    )
    runner.test(
        test_module="rtl_tests.axi_stream.bench",
        hdl_toplevel=entry["top"],
        build_dir=folder / "build",
        extra_env={"HWGEN_AXI_FOLDER": str(folder)},
        log_file=folder / "run.log",
        results_xml=str(folder / "results.xml"),
        seed=1,
    )
    counted: dict[str, int] = json.loads((folder / "counted.json").read_text())
    return counted


def whole_groups(spec: TileSpec, groups: int) -> Steps:
    """Steps of groups of the tile's own size."""
    schedule_steps = max(int(spec.sum_group(spec.p)) // int(spec.layer_k(spec.p)), 1)
    steps = random_steps(spec, 3, groups=max(groups, 4))
    # Any operands do: those of a random run again and again, in groups of one length.
    order = np.arange(groups * schedule_steps) % len(steps)
    place = np.arange(len(order)) % schedule_steps
    # Side information stays as it is within a group.
    group = (np.arange(len(order)) // schedule_steps) % len(steps)
    last = place == schedule_steps - 1
    return Steps(
        steps.acts[order],
        steps.weights[order],
        {name: values[group] for name, values in steps.row.items()},
        {name: values[group] for name, values in steps.col.items()},
        place == 0,
        last,
        last & (np.arange(len(order)) // schedule_steps % 2 == 1) if spec.lanes else np.zeros(len(order), bool),
        steps.mode,
    )


@pytest.mark.few(3)
@icarus
@pytest.mark.parametrize("label", TILES)
def test_results_are_right_whatever_source_and_sink_do(label: str, tmp_path: Path) -> None:
    spec = tile(label)
    steps = random_steps(spec, 5, groups=10)
    counted = simulate(emit(spec, "dut", axi_stream=True), steps, tmp_path, pauses=0.4)
    assert counted["steps"] == len(steps)


@pytest.mark.few(1)
@icarus
@pytest.mark.parametrize("mode", [1, 2, 3])
def test_modes_come_with_the_steps(mode: int, tmp_path: Path) -> None:
    spec = family("posit")(m=1, n=1, k=2)
    steps = random_steps(spec, 5, groups=6, mode=mode)
    assert simulate(emit(spec, "dut", axi_stream=True), steps, tmp_path, pauses=0.2)["steps"] == len(steps)


@icarus
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("active", ACTIVE)
def test_tile_may_have_any_reset(kind: str, active: str, tmp_path: Path) -> None:
    spec = tile("lut")
    emission = emit(spec, "dut", axi_stream=True, reset=Reset(kind, active))
    steps = random_steps(spec, 5, groups=6)
    assert simulate(emission, steps, tmp_path, pauses=0.2)["steps"] == len(steps)


@pytest.mark.few(3)
@icarus
@pytest.mark.parametrize("label", TILES)
def test_full_speed_takes_the_cycles_of_the_tile_and_two(label: str, tmp_path: Path) -> None:
    spec = tile(label)
    emission = emit(spec, "dut", axi_stream=True)
    steps = whole_groups(spec, 8)
    counted = simulate(emission, steps, tmp_path, pauses=0)
    tile_cycles = int(timeline(spec, steps, np.zeros(len(steps), np.int64))[1][-1]) + 1 + int(spec.skew(spec.p))
    assert emission.manifest["axi_stream"]["timing"]["added_latency"] == 2
    assert counted["cycles"] == tile_cycles + 2


def test_every_family_is_tried() -> None:
    assert {name for name, _ in TILES.values()} == set(families())


# Each fault: what is looked for in the wrapper, what it becomes, and what the bench must say.
FAULTS = {
    "no credit": (r"credit >= ", "credit <= 4'hf || credit >= ", "beat"),
    "every step begins a group": (r"first <= acts_word\[\d+\]", "first <= 1'h1", "beat 0 is"),
    "credit never given back": (r"credit \+ ", "credit + 0 * ", "beats in"),
}


@pytest.mark.few(1)
@icarus
@pytest.mark.parametrize("fault", FAULTS)
def test_bench_finds_a_fault(fault: str, tmp_path: Path) -> None:
    pattern, replacement, message = FAULTS[fault]
    emission = emit(family("int")(m=1, n=2, k=4, group=8, depth=8), "dut", axi_stream=True)
    broken, count = re.subn(pattern, replacement, emission.verilog)
    assert count >= 1
    steps = whole_groups(emission.spec, 60)
    with pytest.raises(SystemExit):
        simulate(emission, steps, tmp_path, 0.6, broken)
    assert message in (tmp_path / "run.log").read_text()


@pytest.mark.parametrize("label", ["int, systolic", "bitmod", "posit"])
def test_linter_has_nothing_to_say(label: str) -> None:
    emission = emit(tile(label), "dut", axi_stream=True)
    found = lint(emission.verilog, "dut_axis", disabled=("MULTITOP", "UNUSEDSIGNAL"))
    lines = emission.verilog.splitlines()
    assert [(one.code, one.text, lines[one.line - 1]) for one in found] == []


def test_words_are_whole_bytes_and_results_whole_words() -> None:
    entry = emit(family("lut")(m=1, n=3, bits=3), "dut", axi_stream=True).manifest["axi_stream"]
    widths = {port["name"]: port["width"] for port in entry["ports"]}
    assert widths["s_axis_weights_tdata"] == 40
    assert [field["stride"] for field in entry["tdata"]["m_axis_result"]] == [32, 16]
    assert widths["m_axis_result_tdata"] == 3 * 32 + 16


def test_without_the_option_nothing_changes() -> None:
    spec = family("int")(m=1, n=2)
    plain, wrapped = emit(spec, "dut"), emit(spec, "dut", axi_stream=True)
    assert "axi_stream" not in plain.manifest
    assert "axis" not in plain.verilog
    assert wrapped.verilog.startswith(plain.verilog[: plain.verilog.index("module dut(")])
