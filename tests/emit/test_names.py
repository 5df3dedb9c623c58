"""Names of modules: what is refused, and that Verilog, manifest, bench and constraints say the same."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from hwgen.emit import emit, sdc
from hwgen.emit._names import KEYWORDS, LONGEST_TOP, module_name
from hwgen.errors import HwgenError
from hwgen.pe import families, family
from hwgen.simulators import run_testbench
from hwgen.verify import bench_files

SPEC = family("int")(m=1, n=1, k=2, bits=2, acts="int2", depth=4, group=4)

# IEEE 1364-2005, annex B: typed here once more, so that a word that is lost there is missed.
VERILOG_2005 = """always and assign automatic begin buf bufif0 bufif1 case casex casez cell cmos config deassign default
defparam design disable edge else end endcase endconfig endfunction endgenerate endmodule endprimitive endspecify
endtable endtask event for force forever fork function generate genvar highz0 highz1 if ifnone incdir include initial
inout input instance integer join large liblist library localparam macromodule medium module nand negedge nmos nor
noshowcancelled not notif0 notif1 or output parameter pmos posedge primitive pull0 pull1 pulldown pullup
pulsestyle_onevent pulsestyle_ondetect rcmos real realtime reg release repeat rnmos rpmos rtran rtranif0 rtranif1
scalared showcancelled signed small specify specparam strong0 strong1 supply0 supply1 table task time tran tranif0
tranif1 tri tri0 tri1 triand trior trireg unsigned use uwire vectored wait wand weak0 weak1 while wire wor xnor xor"""


def test_reserved_words_are_all_there() -> None:
    assert len(KEYWORDS) == 248  # annex B of IEEE 1800-2017
    assert len(VERILOG_2005.split()) == 124  # annex B of IEEE 1364-2005
    assert set(VERILOG_2005.split()) <= KEYWORDS


@pytest.mark.parametrize("word", sorted(KEYWORDS))
def test_reserved_words_are_refused(word: str) -> None:
    with pytest.raises(HwgenError) as error:
        emit(SPEC, word)
    assert str(error.value) == (
        f"int: top must be no reserved word of Verilog (IEEE 1364) or SystemVerilog (IEEE 1800), not {word!r}"
    )


@pytest.mark.parametrize(
    ("name", "must"),
    [
        ("", "be a Verilog identifier (letters, digits and underscores, no digit first)"),
        ("2core", "be a Verilog identifier (letters, digits and underscores, no digit first)"),
        ("core-1", "be a Verilog identifier (letters, digits and underscores, no digit first)"),
        ("core\n", "be a Verilog identifier (letters, digits and underscores, no digit first)"),
        ("\\core ", "be a Verilog identifier (letters, digits and underscores, no digit first)"),
        ("core$1", "be a Verilog identifier (letters, digits and underscores, no digit first)"),
        ("größe", "be a Verilog identifier (letters, digits and underscores, no digit first)"),
        ("_12_", "be no number between underscores, which are names of nets"),
        ("clk", "be a name of its own and not that of a port"),
        ("rst", "be a name of its own and not that of a port"),
        ("rst_n", "be a name of its own and not that of a port"),
        ("i_acts", "be a name of its own and not that of a port"),
        ("o_sums", "be a name of its own and not that of a port"),
        ("wreal", "be no word that simulators reserve beside the standards"),
    ],
)
def test_other_names_are_refused(name: str, must: str) -> None:
    with pytest.raises(HwgenError) as error:
        emit(SPEC, name)
    assert str(error.value) == f"int: top must {must}, not {name!r}"


def test_long_names() -> None:
    assert module_name(SPEC, "x" * LONGEST_TOP)
    with pytest.raises(HwgenError) as error:
        module_name(SPEC, "x" * 1000)
    assert str(error.value) == "int: top must have at most 128 characters, not one of 1000 characters"


def test_ports_of_companions_and_of_the_pre_block_count() -> None:
    for name, values, port in (("bitmod", {}, "selectors"), ("lut", {"acts": "fp16"}, "o_scale")):
        with pytest.raises(HwgenError, match=r"not that of a port"):
            module_name(family(name).from_values({"n": 4, **values}), port)


# Names of the bench's own and of Verilog's kin that are no reserved words.
@pytest.mark.parametrize(
    "name",
    ["good", "_", "__x", "X", "cycle", "beat", "step", "now", "dut", "stimuli", "process", "mailbox", "work", "core_tb",
     "x" * LONGEST_TOP, "int_tile_cell", "VDD", "nature", "_1", "n_1", "entity", "signal"],
)  # fmt: skip
def test_every_name_that_is_taken_is_the_name_everywhere(name: str) -> None:
    emission = emit(SPEC, name)
    modules = re.findall(r"^module ([^ (]+)", emission.verilog, re.M)
    assert modules[0] == name == emission.manifest["top"]
    assert all(module == name or module.startswith(f"{name}_") for module in modules)
    files = bench_files(emission)
    assert f"{name}_tb.v" in files
    assert f"# Timing constraints of {name};" in sdc(SPEC, name, 1.0)
    assert run_testbench({"d.v": emission.verilog, **files}, f"{name}_tb", simulator="icarus").startswith("PASS")


@pytest.mark.parametrize("name", families())
def test_modules_of_a_tile_have_names_of_their_own(name: str) -> None:
    values: dict[str, object] = {"m": 2, "n": 4}
    if name == "lut":
        values |= {"acts": "fp16", "precompute": "external"}
    emission = emit(family(name).from_values(values), "core")
    modules = re.findall(r"^module ([^ (]+)", emission.verilog, re.M)
    assert len(modules) == len(set(modules))
    named = {"core"} | {found["top"] for found in emission.manifest.get("companions", {}).values()}
    if "pre" in emission.manifest:
        named.add(emission.manifest["pre"]["top"])
    assert named <= set(modules)


def test_the_command_refuses_and_writes_nothing(tmp_path: Path) -> None:
    words = ["emit", "--pe", "int", "--m", "1", "--n", "1", "--top", "casez", "-o", "d.v", "--testbench", "tb"]
    done = subprocess.run(
        [sys.executable, "-m", "hwgen", *words], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == (
        "hwgen: int: top must be no reserved word of Verilog (IEEE 1364) or SystemVerilog (IEEE 1800), not 'casez'\n"
    )
    assert not list(tmp_path.iterdir())
