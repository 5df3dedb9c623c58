from __future__ import annotations

import hashlib
import itertools
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.arith.fp32 import fp32_add_reference
from hwgen.emit import emit
from hwgen.errors import HwgenError
from hwgen.pe import family, family_names
from hwgen.prove import Subject, checked, prove, rerun, summary
from hwgen.prove.algebra import Lane, prove_sum
from hwgen.prove.bench import BENCH, counterexample_bench
from hwgen.prove.control import Control
from hwgen.prove.fp32 import Case, differs_from_sum
from hwgen.prove.graph import Graph
from hwgen.prove.lanes import Piece
from hwgen.prove.mutants import refuting
from hwgen.prove.netlist import read_verilog
from hwgen.prove.post import Post
from hwgen.prove.reference import lane_table, row_table
from hwgen.prove.tables import all_patterns, bits_of, evaluate, word_of
from hwgen.simulators import run_testbench

SMALL = {"m": 1, "n": 2, "k": 2, "group": 8, "depth": 8}
TILES: dict[str, tuple[str, dict[str, Any]]] = {
    "int": ("int", SMALL | {"bits": 4, "acts": "int4"}),
    "int-asymmetric": ("int", SMALL | {"bits": 4, "acts": "int4", "scheme": "asymmetric", "stages": 2}),
    "int-systolic": ("int", SMALL | {"m": 2, "bits": 4, "acts": "int4", "transport": "systolic"}),
    "int-saturate": ("int", SMALL | {"bits": 4, "acts": "int4", "overflow": "saturate"}),
    "int-wrap": ("int", SMALL | {"bits": 4, "acts": "int4", "overflow": "wrap"}),
    "lut": ("lut", SMALL | {"bits": 2, "acts": "int4"}),
}


def text_of(name: str) -> tuple[str, dict[str, Any]]:
    kind, values = TILES[name]
    emission = emit(family(kind).from_values(values))
    return emission.verilog, emission.manifest


@pytest.mark.parametrize("name", TILES)
def test_small_tiles_are_proved(name: str) -> None:
    verilog, manifest = text_of(name)
    found = prove(verilog, manifest, limit_s=60)
    assert summary(found["obligations"]) == {"proved": len(found["obligations"]), "refuted": 0, "open": 0}
    assert json.loads(json.dumps(found)) == found


@pytest.mark.few(4)
@pytest.mark.parametrize("name", family_names())
def test_nothing_is_refuted_of_any_family(name: str) -> None:
    """Small tiles of all families: what is open says why, and sums of whole numbers are not."""
    least = {"m": 1, "n": 1, "k": 2, "group": 8, "depth": 32}
    emission = emit(family(name).from_values(least))
    subject = Subject(emission.verilog, emission.manifest)
    kinds = {rule["kind"] for rule in emission.manifest["arithmetic"]}
    for one in subject.obligations():
        # Lanes for all their inputs take minutes.
        if one.name not in ("post.lane", "post.adder"):
            result = one.proved(20)
            assert result.status != "refuted", one.name
            assert result.status == "proved" or result.detail
            if one.name.startswith("step.") and kinds <= {"dot", "planes"}:
                assert result.status == "proved", (one.name, result.detail)


@pytest.mark.parametrize("name", TILES)
def test_every_block_has_a_fault_that_is_refuted(name: str) -> None:
    verilog, manifest = text_of(name)
    subject = Subject(verilog, manifest)
    names = [one.name for one in subject.obligations()]
    rng = random.Random(3)
    for block in ("row", "col", "cell", "top"):
        cells = [one for one in subject.netlist.cells if one.kind != "$scopeinfo" and within(one.name) == block]
        if not cells:
            continue
        caught = 0
        for cell in rng.sample(cells, min(4, len(cells))):
            results = dict(refuting(subject, cell, names, 20))
            found = {result.status for result in results.values()}
            assert "refuted" in found or found == {"proved"}, cell
            caught += "refuted" in found
        assert caught, block


def within(cell: str) -> str:
    return next((block for block in ("rowsum", "row", "col", "cell") if f"{block}0" in cell), "top")


# ---------------------------------------------------------------------- faults in the text


FAULTS = {
    "row": ("int_tile_row", "else bus <= codes", "else bus <= {codes[7:4], codes[4:1]}"),
    "col": ("int_tile_col", "else bus <= codes", "else bus <= {codes[6:0], codes[7]}"),
    "cell": ("int_tile_cell", "clear ? ", "!clear ? "),
    "control": ("int_tile", "assign step_clear = i_first & i_valid", "assign step_clear = i_first & ~i_last & i_valid"),
}


def with_fault(verilog: str, module: str, old: str, new: str) -> str:
    begin = verilog.index(f"module {module}(")
    end = verilog.index("endmodule", begin)
    body = verilog[begin:end]
    assert old in body, body
    return verilog[:begin] + body.replace(old, new, 1) + verilog[end:]


def of_text(manifest: dict[str, Any], verilog: str) -> dict[str, Any]:
    return manifest | {"verilog_sha256": hashlib.sha256(verilog.encode()).hexdigest()}


@pytest.mark.parametrize("block", FAULTS)
def test_a_fault_in_the_text_is_refuted_by_an_example_that_runs(block: str) -> None:
    verilog, manifest = text_of("int")
    wrong = with_fault(verilog, *FAULTS[block])
    found = prove(wrong, of_text(manifest, wrong), limit_s=60)
    examples = [entry["counterexample"] for entry in found["obligations"] if "counterexample" in entry]
    assert examples
    bench = counterexample_bench(Subject(wrong, manifest).netlist, manifest, examples[0])
    assert run_testbench({"tile.v": wrong, "tb.v": bench}, BENCH).strip() == "DIFFERS"
    assert run_testbench({"tile.v": verilog, "tb.v": bench}, BENCH).strip() == "AGREES"


@pytest.mark.parametrize(
    ("claim", "old", "new"),
    [
        ("control.valid", "last_1 <= i_last", "last_1 <= i_first"),
        ("control.ready", "assign i_ready = i_valid", "assign i_ready = i_valid & ~o_valid"),
    ],
)
def test_a_fault_in_the_control_is_refuted(claim: str, old: str, new: str) -> None:
    verilog, manifest = text_of("int")
    wrong = with_fault(verilog, "int_tile", old, new)
    found = prove(wrong, of_text(manifest, wrong), limit_s=60)
    entry = next(entry for entry in found["obligations"] if entry["name"] == claim)
    assert entry["status"] == "refuted"
    bench = counterexample_bench(Subject(wrong, manifest).netlist, manifest, entry["counterexample"])
    assert run_testbench({"tile.v": wrong, "tb.v": bench}, BENCH).strip() == "DIFFERS"
    assert run_testbench({"tile.v": verilog, "tb.v": bench}, BENCH).strip() == "AGREES"


LANES = {"m": 1, "n": 2, "k": 2, "group": 8, "depth": 8, "post_lanes": 2, "post_cuts": 1, "post_adder_stages": 2}


@pytest.fixture(scope="module")
def with_lanes() -> tuple[str, dict[str, Any]]:
    emission = emit(family("mx").from_values(LANES))
    return emission.verilog, emission.manifest


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("mx_tile_post", ".col_scale(col_scale_copy[7:0])", ".col_scale(col_scale_copy[15:8])"),
        ("mx_tile_post", "fresh_rounded ? 32'd0", "done_rounded ? 32'd0"),
        ("mx_tile_post", "fresh <= 1'h1", "fresh <= 1'h0"),
        ("mx_tile", "row_scale_wait0 <= i_row_scale", "row_scale_wait0 <= i_col_scale[7:0]"),
        ("mx_tile_post", "", ""),
    ],
)
def test_which_lane_gets_what_is_proved(
    with_lanes: tuple[str, dict[str, Any]], module: str, old: str, new: str
) -> None:
    verilog, manifest = with_lanes
    wrong = with_fault(verilog, module, old, new)
    status, _ = Post(wrong, manifest, Subject(wrong, manifest).netlist).order(60)
    assert status == ("refuted" if old else "proved")


def test_a_lane_is_compared_for_all_inputs() -> None:
    """x · 2^(s - 127) of 3 and 8 bits, cut off instead of rounded: a module of its own."""
    verilog = "module x_post_lane(clk, total, row_scale, fp32); input clk; input [2:0] total; input [7:0] row_scale;"
    verilog += "output [31:0] fp32; assign fp32 = total == 1 ? {1'b0, row_scale, 23'd0} : 32'd0; endmodule\n"
    lane = {"kind": "scales", "row_scale": {"encoding": "e8m0"}, "unit_exp": 0}
    manifest = {"ports": [], "post": lane, "outputs": {"o_y": {"encoding": "fp32"}}}
    netlist = read_verilog(verilog, "x_post_lane")
    piece = Piece("lane0", {name: netlist.inputs[name] for name in ("total", "row_scale")}, netlist.outputs["fp32"], 0)
    found = Post(verilog, manifest, netlist)._run_through(piece, lane, 60)
    # The least scale makes a subnormal of 1.
    assert (found.status, found.detail) == ("refuted", "inputs 0x1 of total, row_scale")


CASES = {"first": Case(3), "second": Case(26, True), "far": Case(None), "special": Case(None, special=True)}


@pytest.mark.parametrize("name", CASES)
def test_the_definition_of_a_sum_is_numpys(name: str) -> None:
    case = CASES[name]
    rng = np.random.default_rng(7)
    codes = rng.integers(0, 1 << 32, (2, 4096), dtype=np.uint64)
    top = rng.integers(0, 256, 4096)
    other = top - (case.apart or 40) if not case.special else np.where(rng.random(4096) < 0.5, 255, top)
    pair = (other, top) if case.swapped else (top, other)
    for word, exponents in zip(codes, pair, strict=True):
        exact = np.clip(exponents, 0, 255).astype(np.uint64)
        word[:] = word & np.uint64(0x807FFFFF) | exact << np.uint64(23)
    graph = Graph()
    words = [[graph.var((name, place)) for place in range(32)] for name in "ab"]
    bits = {
        literal >> 1: np.packbits((codes[at] >> np.uint64(place) & np.uint64(1)).astype(np.uint8), bitorder="little")
        for at, word in enumerate(words)
        for place, literal in enumerate(word)
    }
    wanted = fp32_add_reference(codes[0].astype(np.uint32), codes[1].astype(np.uint32))
    found = []
    for place in range(32):
        found.append(graph.var(("found", place)))
        packed = np.packbits((wanted >> np.uint32(place) & np.uint32(1)).astype(np.uint8), bitorder="little")
        bits[found[-1] >> 1] = packed
    patterns = {node: packed.view(np.uint64) for node, packed in bits.items()}
    bad = differs_from_sum(graph, found, *words, case)
    assert not evaluate(graph, [bad], patterns)[0].any()
    here = differs_from_sum(graph, [found[0] ^ 1, *found[1:]], *words, case)
    assert bits_of(evaluate(graph, [here], patterns)[0], 4096).sum() > 1000


@pytest.mark.slow
def test_an_adder_of_fp32_is_proved(with_lanes: tuple[str, dict[str, Any]]) -> None:
    verilog, manifest = with_lanes
    assert Post(verilog, manifest, Subject(verilog, manifest).netlist).adder(900) == (
        "proved",
        "29 cases, the others by exchanging a and b; 2 adders",
    )


def test_an_adder_that_takes_nan_for_infinity_is_refuted(with_lanes: tuple[str, dict[str, Any]]) -> None:
    verilog, manifest = with_lanes
    wrong = with_fault(verilog, "mx_tile_post_adder", "assign sum[22] = add_mantissa[22] | ", "assign sum[22] = 0 & ")
    found = Post(wrong, manifest, Subject(wrong, manifest).netlist).adder(60)
    assert found[0] == "refuted"
    assert found[1].startswith("adder0: ")


# ---------------------------------------------------------------------- the reference


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("int", {"bits": 2, "acts": "int2"}),
        ("int", {"bits": 2, "acts": "int3", "scheme": "bipolar"}),
        ("int", {"bits": 2, "acts": "int2", "scheme": "asymmetric"}),
        ("lut", {"bits": 2, "acts": "int4"}),
        ("minifloat", {"acts": "fp4_e2m1", "weights": "fp4_e2m1"}),
    ],
)
def test_the_reference_is_the_families(kind: str, values: dict[str, Any]) -> None:
    """All pairs of steps' codes, at small widths: the tables by the formats' definitions, and the numpy reference."""
    spec = family(kind).from_values({"m": 1, "n": 1, "k": 2, "group": 8, "depth": 8} | values)
    manifest = emit(spec).manifest
    table = lane_table(manifest, 0)
    acts, weights = (manifest["encodings"][manifest["operands"][0][r]["encoding"]]["bits"] for r in ("acts", "weights"))
    codes = np.array(list(itertools.product(*(range(1 << bits) for bits in (acts, acts, weights, weights)))))
    totals = spec.terms(codes[:, None, :2], codes[:, None, 2:], {}, {}, 0).sum(axis=0).reshape(-1)
    assert (totals == table[codes[:, 2] << acts | codes[:, 0]] + table[codes[:, 3] << acts | codes[:, 1]]).all()
    if spec.has_row_sums:
        assert spec.row_terms(np.array([[1, 2]]), {}, 0)[0] == row_table(manifest, 0)[1] + row_table(manifest, 0)[2]


# ---------------------------------------------------------------------- the engines


def products(graph: Graph, wrong: bool = False) -> tuple[list[int], list[Lane]]:
    """a · b + c · d of 3 bits by rows of gates, in 7 bits."""
    words = [[graph.var((name, place)) for place in range(3)] for name in "abcd"]
    rows = []
    for x, y in (words[:2], words[2:]):
        for place in range(3):
            row = [0] * place + [graph.and_(bit, y[place]) for bit in x]
            rows.append((1, row + [0] * (7 - len(row))))
    total = [0] * 7
    for row in rows:
        total = graph.add([(1, total), row], 0, 7)
    if wrong:
        # Only where both products are 49.
        total[1] = graph.xor(total[1], graph.and_(graph.and_(total[6], total[5]), total[1]))
    table = np.array([(at & 7) * (at >> 3) for at in range(64)])
    lanes = [Lane(tuple(bit >> 1 for bit in [*x, *y]), table) for x, y in (words[:2], words[2:])]
    return total, lanes


def test_a_sum_of_products_is_proved_and_a_rare_fault_is_not() -> None:
    graph = Graph()
    total, lanes = products(graph)
    assert prove_sum(graph, total, lanes, [], 10).proved
    graph = Graph()
    total, lanes = products(graph, wrong=True)
    assert not prove_sum(graph, total, lanes, [], 1).proved


@pytest.mark.parametrize("change", [-1, 1, 16])
def test_a_lane_that_adds_another_number_is_found(change: int) -> None:
    graph = Graph()
    total, lanes = products(graph)
    table = lanes[0].table.copy()
    table[37] += change
    found = prove_sum(graph, total, [Lane(lanes[0].variables, table), lanes[1]], [], 10)
    assert not found.proved
    assert found.differs is not None


def test_a_word_that_overflows_is_not_its_value() -> None:
    """Sign extension of a sum of two numbers of 3 bits in 3 bits, in 5: proved in 4 bits, not in 3."""
    for size, fits in ((3, False), (4, True)):
        graph = Graph()
        words = [[graph.var((name, place)) for place in range(3)] for name in "ab"]
        extended = [[*word, *[word[-1]] * (size - 3)] for word in words]
        total = graph.add([(1, extended[0]), (1, extended[1])], 0, size)
        wide = graph.add([(1, [*total, *[total[-1]] * (6 - size)]), (1, [1, 0, 0, 0, 0, 0])], 0, 6)
        values = np.array([at - 8 * (at > 3) for at in range(8)])
        lanes = [Lane(tuple(bit >> 1 for bit in word), values) for word in words]
        assert prove_sum(graph, wide, lanes, [((), 1)], 10).proved == fits


def test_adders_ripple_as_they_add() -> None:
    rng = random.Random(1)
    for _ in range(40):
        graph = Graph()
        words = [[graph.var((name, place)) for place in range(3)] for name in "ab"]
        signs, carry = [rng.choice((-1, 1)) for _ in words], rng.choice((0, 1))
        total = graph.add(list(zip(signs, words, strict=True)), carry, 3)
        variables = [bit >> 1 for word in words for bit in word]
        values = word_of(evaluate(graph, total, all_patterns(variables)), 64)
        for at in range(64):
            assert values[at] == (signs[0] * (at & 7) + signs[1] * (at >> 3) + carry) & 7


def test_control_is_not_proved_of_another_latency() -> None:
    verilog, manifest = text_of("int")
    netlist = Subject(verilog, manifest).netlist
    assert Control(netlist, manifest).decide("valid", 20).proved
    later = json.loads(json.dumps(manifest))
    later["modes"][0]["latency"] += 1
    assert Control(netlist, later).decide("valid", 20).broken


# ---------------------------------------------------------------------- certificates


def test_a_certificate_is_of_one_text() -> None:
    verilog, manifest = text_of("int")
    found = prove(verilog, manifest, limit_s=60)
    again = rerun(checked(found, verilog, "a.json", "a.v"), verilog, ["step.sums"])
    assert [entry["status"] for entry in again] == ["proved"]
    with pytest.raises(
        HwgenError, match=r"^check: a.json must be the certificate of b.v, but it is of a text with SHA"
    ):
        checked(found, verilog + "\n", "a.json", "b.v")
    with pytest.raises(HwgenError, match=r"^check: --obligation must be one of control.ready, .*, not 'sums'$"):
        rerun(found, verilog, ["sums"])
    with pytest.raises(HwgenError, match=r"^check: a.json must be a certificate of `hwgen prove`, with "):
        checked({}, verilog, "a.json", "b.v")
    later = json.loads(json.dumps(found))
    later["manifest"]["modes"][0]["latency"] += 1
    with pytest.raises(HwgenError, match=r"but modes of its manifest does not$"):
        checked(later, verilog, "a.json", "a.v")
    with pytest.raises(HwgenError, match=r"^prove: the manifest must be that of the Verilog, but its hash"):
        prove(verilog + "\n", manifest)


def test_what_is_out_of_time_is_open() -> None:
    verilog, manifest = text_of("int")
    found = prove(verilog, manifest, limit_s=1e-6)
    assert {entry["status"] for entry in found["obligations"]} == {"open"}
    assert {entry["detail"] for entry in found["obligations"]} == {"not begun: the time limit was over"}


def test_commands(tmp_path: Path) -> None:
    flags = ["--pe", "int", "--m", "1", "--n", "1", "--k", "1", "--bits", "2", "--acts", "int2"]
    verilog, certificate = str(tmp_path / "a.v"), str(tmp_path / "a.json")
    done = hwgen("prove", *flags, "-o", verilog, "--certificate", certificate, "--mutants", "3")
    assert (done.returncode, done.stderr) == (0, "")
    assert "int: 5 proved" in done.stdout
    assert "int: seeded faults: 3 seeded" in done.stdout
    assert "faults'" not in done.stdout
    faults = json.loads(Path(certificate).read_text())["mutation"]["faults"]
    assert len(faults) == 3
    for fault in faults:
        assert " of " in fault["gate"]
        if fault["status"] == "refuted":
            assert fault["counterexample"]["found"] != fault["counterexample"]["wanted"]
    done = hwgen("check", certificate, verilog, "--obligation", "step.sums")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "int_tile: 1 proved")
    Path(verilog).write_text("module x; endmodule\n")
    done = hwgen("check", certificate, verilog)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        f"hwgen: check: {certificate} must be the certificate of {verilog}, but it is of a text"
    )
    assert done.stderr.count("\n") == 1
    done = hwgen("prove", *flags, "--limit-s", "0.000001")
    assert done.returncode == 3
    assert "int: 5 open" in done.stdout


def hwgen(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "hwgen", *arguments], capture_output=True, text=True, check=False)
