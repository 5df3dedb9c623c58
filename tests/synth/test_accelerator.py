"""``hwgen synth --level accelerator``, and netlists with black boxes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from hwgen.accelerator import Design, layer_jobs
from hwgen.accelerator.inventory import accelerator_blocks
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.schedule import Layer, Schedule
from hwgen.synth import SynthOptions
from hwgen.synth.accelerator import accelerator_parts, synthesise_accelerator
from hwgen.synth.gates import read_netlist
from sim.accelerator import energy as module
from sim.accelerator.activity import counts_of
from sim.accelerator.energy import measure_job
from tests.synth.command import command

TILE = ("--pe", "int", "--m", "1", "--n", "2", "--k", "2", "--bits", "2", "--depth", "16", "--group", "16")
SMALL = ("--bus-bits", "64", "--weight-ring", "4", "--act-ring", "4", "--burst", "2", "--count-bits", "8")


def _design(**values: int) -> Design:
    tile = family("int").from_values({"m": 1, "n": 2, "k": 2, "bits": 2, "depth": 16, "group": 16})
    small = {"bus_bits": 64, "weight_ring": 4, "act_ring": 4, "burst": 2, "count_bits": 8}
    return Design.from_values(tile, {**small, **values})


def test_parts_are_the_blocks_of_the_inventory() -> None:
    design = _design()
    blocks = accelerator_blocks(type(design.tile), design.tile.p, design.p)
    own = [part.kind for part in accelerator_parts(design, flat=True) if not part.kind.startswith("tile_")]
    assert sorted(own) == sorted([*(name for name, block in blocks.items() if block.count), "flat"])


def test_equal_blocks_of_other_designs_have_equal_text() -> None:
    """So that each is mapped once: an operand's parts do not know of the other's ring."""
    one, other = ({part.kind: part.rtlil for part in accelerator_parts(_design(act_ring=ring))} for ring in (4, 64))
    changed = {kind for kind, text in one.items() if other[kind] != text}
    # The register file has the digest of the design in it, and what is between the blocks the size of the memory.
    assert changed == {"acts_engine", "acts_ring", "glue", "registers"}


def test_memories_are_ports_of_a_netlist() -> None:
    text = """
module top(a, y); input a; output y; wire a; wire y; wire q;
  box m (.d(a), .q(q));
  inner i (.x(q), .z(y));
endmodule
module inner(x, z); input x; output z; wire x; wire z;
  assign z = x;
endmodule
"""
    lines = text.replace("; ", ";\n").strip() + "\n"
    found = read_netlist(lines, {}, "top", {"box": ("q",)})
    assert set(found.inputs) == {"a", "m.q"}
    assert set(found.outputs) == {"y", "m.d"}
    assert np.array_equal(found.outputs["m.d"], found.inputs["a"])
    assert np.array_equal(found.outputs["y"], found.inputs["m.q"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--level", "acelerator"), "--level must be tile or accelerator, not 'acelerator'"),
        (("--level", "accelerator", "--fpga", "ecp5"), "--fpga goes with --level tile, not with --level accelerator"),
        (("--level", "accelerator", "--bus-bits", "65"), "bus_bits must be"),
        (("--level", "accelerator", "--burst", "4", "--burst", "8"), "--burst must be given once"),
        (("--level", "accelerator", "--block", "rng"), "block must be one of glue, registers"),
        (("--bus-bits", "64"), "--bus-bits goes with --level accelerator, not with --level tile"),
    ],
)
def test_mistakes_are_told_in_a_sentence(arguments: tuple[str, ...], words: str) -> None:
    done = command(*TILE, *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_command_maps_an_accelerator() -> None:
    done = command(*TILE, "--level", "accelerator", *SMALL, "--recipe", "plain", "--clk-period-ns", "10", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    design = _design()
    assert document["accelerator"] == design.p
    assert document["memories"][0] == {"name": "weights_ring", "depth": 2, "bits": 64}
    blocks = accelerator_blocks(type(design.tile), design.tile.p, design.p, living=True)
    for name, block in blocks.items():
        if not block.count:
            continue
        # Registers that never change, or change alike, are one or none.
        bits = document["blocks"][name]["flip_flop_bits"]
        assert 0.8 * block.primitives["ff"] - 1 <= bits <= block.primitives["ff"], name
    assert document["area"] == pytest.approx(
        sum(block["count"] * block["area"] for block in document["blocks"].values())
    )


@pytest.mark.slow
def test_a_mapped_accelerator_runs_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cycles and results are compared within; accesses of the memories are those that the model counts."""
    design = _design()
    result = synthesise_accelerator(design, options=SynthOptions(clk_period_ns=10.0, recipes=("plain",)))
    schedule = Schedule(design.tile, Layer("l", 2, 4, 32))
    job = next(iter(layer_jobs(design, schedule)))
    rng = np.random.default_rng(3)
    acts, weights = rng.standard_normal((70, 2, 32)), rng.standard_normal((70, 4, 32))
    energy = measure_job(result, schedule, job, acts, weights)
    counts = counts_of(design, job, energy.cycles.cycles)
    for name in design.streams:
        assert energy.reads[f"{name}_ring"] == counts.streams[name].entries
        assert energy.writes[f"{name}_ring"] == counts.streams[name].beats
    assert energy.reads["write_buffer"] == energy.writes["write_buffer"] == counts.write_beats
    blocks = accelerator_blocks(type(design.tile), design.tile.p, design.p)
    assert {name for name, block in blocks.items() if block.count} <= set(energy.blocks)
    assert all(block.switching_pj > 0 for name, block in energy.blocks.items() if name != "weights_feeder")
    # Without a job hardly anything moves beside the clock.
    assert sum(block.idle_pj for block in energy.blocks.values()) < 0.01 * sum(
        block.clock_pj for block in energy.blocks.values()
    )
    real = module.reference_results

    def spoiled(*arguments: Any) -> Any:
        sums = real(*arguments)["o_sums"]
        return {**real(*arguments), "o_sums": sums + (np.arange(sums.size) == 5).reshape(sums.shape)}

    monkeypatch.setattr(module, "reference_results", spoiled)
    with pytest.raises(HwgenError, match="o_sums of the mapped accelerator must be what the reference says"):
        measure_job(result, schedule, job, acts, weights)


@pytest.mark.slow
def test_command_measures_the_energy_of_an_accelerator() -> None:
    done = command(
        *TILE, "--level", "accelerator", *SMALL, "--recipe", "plain", "--streams", "8", "--json", name="energy"
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["accelerator"] == _design().p
    assert document["energy_pj"] == pytest.approx(sum(one["all"] for one in document["blocks"].values()))
    assert document["blocks"]["control"]["clock"] > 0
    assert document["memory_writes"]["write_buffer"] > 0


def test_energy_of_an_accelerator_takes_no_layer() -> None:
    done = command(*TILE, "--level", "accelerator", "--glitches", name="energy")
    assert done.returncode == 2
    assert "--glitches goes with --level tile, not with --level accelerator" in done.stderr
