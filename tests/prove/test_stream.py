"""Proofs about the wrapper behind AXI4-Stream, and what they refuse."""

from __future__ import annotations

import copy
import dataclasses
import random
from typing import Any

import pytest

from hwgen.emit import Emission, emit
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.prove import Subject, checked, prove, rerun
from hwgen.prove.mutants import faulty
from hwgen.prove.stream import STREAM_CLAIMS, Wrapper, wrapper_netlist
from hwgen.prove.stream_bench import STREAM_BENCH, stream_bench
from hwgen.prove.unroll import deep
from hwgen.simulators import run_testbench

SMALL = {"m": 1, "n": 2, "k": 2, "group": 8, "depth": 8}
TILES: dict[str, tuple[str, dict[str, Any]]] = {
    "int": ("int", SMALL | {"bits": 4, "acts": "int4"}),
    "systolic": ("int", SMALL | {"m": 2, "bits": 4, "acts": "int4", "transport": "systolic"}),
    "modes": ("posit", {"m": 1, "n": 1, "k": 2}),
    "lanes": ("bitmod", {"m": 1, "n": 2, "k": 2}),
    "beats": ("mx", {"m": 1, "n": 4, "k": 2}),
}


def of(name: str) -> Emission:
    kind, values = TILES[name]
    return emit(family(kind).from_values(values), axi_stream=True)


def proved(verilog: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """Results of all obligations about the wrapper, by name."""
    subject = Subject(verilog, manifest)
    return {one.name: one.proved(60) for one in subject.obligations() if one.name.startswith("stream.")}


def test_the_wrapper_of_a_small_tile_is_proved() -> None:
    emission = of("int")
    found = proved(emission.verilog, emission.manifest)
    assert {name: one.status for name, one in found.items()} == {f"stream.{name}": "proved" for name in STREAM_CLAIMS}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in TILES if name != "int"])
def test_wrappers_are_proved(name: str) -> None:
    """Systolic tiles, modes, lanes with one and with several beats a result."""
    emission = of(name)
    found = proved(emission.verilog, emission.manifest)
    assert {one.status for key, one in found.items() if key != "stream.progress"} == {"proved"}, found
    assert found["stream.progress"].status in ("proved", "open")


FAULTS = {
    "room": ("int_tile_axis", "credit >= 2'h1", "credit >= 2'h0"),
    "credit": ("int_tile_axis", "{ 1'h0, credit } - 3'h1", "{ 1'h0, credit } - 3'h0"),
    "first": ("int_tile_axis", "else if (acts_take) first", "else first"),
    "places": ("int_tile_axis_acts", "level != 2'h2", "level != 2'h3"),
    "order": ("int_tile_axis_result", "storage[consume]", "storage[produce]"),
    "last": ("int_tile_axis", "{ 1'h1, o_sums }", "{ o_sums[0], o_sums }"),
    "weights": ("int_tile_axis", ".i_weights(weights_word)", ".i_weights({weights_word[14:0], weights_word[15]})"),
    "held": ("int_tile_axis", ".r_en(m_axis_result_tready)", ".r_en(1'h1)"),
}


def with_fault(verilog: str, module: str, old: str, new: str) -> str:
    begin = verilog.index(f"module {module}(")
    end = verilog.index("endmodule", begin)
    body = verilog[begin:end]
    assert old in body, body
    return verilog[:begin] + body.replace(old, new, 1) + verilog[end:]


@pytest.mark.few(1)
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_in_the_text_is_refuted_by_an_example_that_runs(name: str) -> None:
    emission = of("int")
    wrong = with_fault(emission.verilog, *FAULTS[name])
    subject = Subject(wrong, emission.manifest)
    examples = []
    for one in subject.obligations():
        if one.name.startswith("stream."):
            result = one.proved(20)
            if result.counterexample is not None:
                examples.append(result.counterexample.document())
                break
    assert examples
    bench = stream_bench(emission.manifest, examples[0])
    assert run_testbench({"tile.v": wrong, "tb.v": bench}, STREAM_BENCH).strip() == "DIFFERS"
    assert run_testbench({"tile.v": emission.verilog, "tb.v": bench}, STREAM_BENCH).strip() == "AGREES"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
def test_a_changed_gate_is_refuted_or_changes_nothing(seed: int) -> None:
    emission = of("systolic")
    netlist = wrapper_netlist(emission.verilog, emission.manifest)
    cells = [cell for cell in netlist.cells if cell.kind in ("$and", "$or", "$not", "$eq", "$ne", "$mux", "$dff")]
    cell = random.Random(seed).choice(cells)
    with deep():
        wrapper = Wrapper(faulty(netlist, cell), emission.manifest)
        found = {name: wrapper.proved(name, 20)[0] for name in STREAM_CLAIMS}
    assert "refuted" in found.values() or set(found.values()) == {"proved"}, (cell, found)


def test_a_certificate_of_a_wrapper_is_proved_again_and_cannot_leave_it_out() -> None:
    emission = of("int")
    manifest = emission.manifest
    found = prove(emission.verilog, manifest, limit_s=0)
    assert checked(found, emission.verilog, "c.json", "tile.v")
    names = ["stream.wiring", "stream.ready"]
    assert [entry["status"] for entry in rerun(found, emission.verilog, names)] == ["proved", "proved"]
    less = copy.deepcopy(found)
    del less["manifest"]["axi_stream"]
    with pytest.raises(HwgenError, match="axi_stream"):
        checked(less, emission.verilog, "c.json", "tile.v")


def test_a_manifest_of_another_queue_is_refuted() -> None:
    emission = of("int")
    other = copy.deepcopy(emission.manifest)
    other["axi_stream"]["timing"]["operand_queue_words"] = 3
    wrapper = Wrapper(wrapper_netlist(emission.verilog, other), other)
    assert wrapper.proved("ready", 20)[0] == "refuted"
    assert dataclasses.is_dataclass(wrapper.proved("ready", 20)[2])
