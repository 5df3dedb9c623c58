"""A tile with another reset than the usual one: mapped as it is emitted, and the same in what it computes."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from hwgen.emit import Reset, emit
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.synth import SynthOptions, read_library, synthesise, tile_netlist
from hwgen.synth._layout import layout_files
from hwgen.synth.fpga import _harness, estimate
from sim.energy import Operands, measure_energy
from tests.synth.command import command
from tests.synth.minilib import flip_flop, mini

TILE = family("int")(m=1, n=2, k=2, group=8, depth=8, post_lanes=1)
PLAIN = SynthOptions(recipes=["plain"])
CLEARED = 'clear : "!RN";'


def with_reset(folder: Path) -> Path:
    path = folder / "mini.lib"
    path.write_text(mini(held=flip_flop() + flip_flop("DFFR", CLEARED, ["RN"])))
    return path


def ports(verilog: str, top: str) -> set[str]:
    head = re.search(rf"module {top}\((.*?)\);", verilog, re.S)
    assert head is not None
    return set(re.findall(r"\w+", head[1]))


@pytest.mark.few(1)
@pytest.mark.parametrize("reset", [Reset(), Reset("async"), Reset("sync", "low"), Reset("async", "low")])
def test_the_netlist_has_the_reset_of_what_is_emitted(reset: Reset, tmp_path: Path) -> None:
    library = read_library([with_reset(tmp_path)])
    result = synthesise(TILE, library, options=PLAIN, reset=reset)
    netlist = tile_netlist(result)
    assert {"rst", "rst_n"} & ports(netlist, "int_tile") == {reset.port}
    assert ports(netlist, "int_tile") == ports(emit(TILE, reset=reset).verilog, "int_tile")
    held = {name for block in result.blocks for name in block.mapped.cell_types if name.startswith("DFF")}
    assert held == ({"DFF", "DFFR"} if reset.kind == "async" else {"DFF"})
    assert result.document()["reset"] == {"kind": reset.kind, "active": reset.active}
    rng = np.random.default_rng(1)
    shapes = (16, 32), (4, 32)
    operands = [Operands("some", *(rng.normal(size=shape).astype(np.float32) for shape in shapes))]
    # Every beat is compared with the reference.
    report = measure_energy(TILE, result=result, operands=operands, streams=16, cycles=16)
    assert report.beats > 0


def test_a_library_without_such_flip_flops(tmp_path: Path) -> None:
    with pytest.raises(HwgenError) as caught:
        synthesise(TILE, options=PLAIN, reset=Reset("async"))
    assert str(caught.value) == (
        "synth: reset must be sync with hwgen_generic, which has no flip-flop with an asynchronous one, not async"
    )
    # One at the falling edge would come with an inverted clock.
    falling = flip_flop("DFFNR", CLEARED, ["RN"]).replace('clocked_on : "CK"', 'clocked_on : "!CK"')
    path = tmp_path / "falling.lib"
    path.write_text(mini(held=flip_flop() + falling.replace("rising_edge", "falling_edge")))
    with pytest.raises(HwgenError, match=r"^synth: reset must be sync with mini, "):
        synthesise(TILE, read_library([path]), options=PLAIN, reset=Reset("async"))


@pytest.mark.slow
def test_what_goes_with_the_netlist(tmp_path: Path) -> None:
    low = Reset("async", "low")
    assert "rst_n" in layout_files(TILE, read_library([with_reset(tmp_path)]), 2.0, low)["constraint.sdc"]
    assert ".rst_n(given[0:0])" in _harness(TILE, "int_tile", low)
    assert ".rst(given[0:0])" in _harness(TILE, "int_tile", Reset())
    assert estimate(TILE, "ice40", reset=low).totals["ff"] == estimate(TILE, "ice40").totals["ff"]


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("synth", "--pe int --reset asynchronous", "reset: kind must be sync or async, not 'asynchronous'"),
        ("energy", "--pe int --reset-active down", "reset: active level must be high or low, not 'down'"),
        ("synth", "--pe int --level accelerator --reset async", "synth: --reset goes with --level tile, not with "),
        ("energy", "--pe int --level accelerator --reset async", "energy: --reset goes with --level tile, not with "),
        ("synth", "--verilog FILE --top unit --reset async", "synth: --reset is of tiles and cannot be given with "),
    ],
)
def test_what_is_refused(name: str, words: str, message: str, tmp_path: Path) -> None:
    verilog = "module unit(input clk, a, output reg y); always @(posedge clk) y <= a; endmodule\n"
    (tmp_path / "unit.v").write_text(verilog)
    done = command(*words.replace("FILE", str(tmp_path / "unit.v")).split(), name=name)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"hwgen: {message}")
    assert done.stderr.count("\n") == 1
