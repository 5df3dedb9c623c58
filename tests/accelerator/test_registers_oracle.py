"""The same accesses on our registers and on the block that PeakRDL makes from our SystemRDL: equal answers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from peakrdl_regblock import RegblockExporter
from peakrdl_regblock.cpuif.axi4lite import AXI4Lite_Cpuif_flattened
from peakrdl_regblock.udps import ALL_UDPS
from systemrdl.compiler import RDLCompiler

from hwgen.accelerator.registers import RegisterMap, accelerator_map, systemrdl, verilog
from hwgen.simulators import run_testbench
from tests.accelerator.register_bench import Access, Answer, answers, flat, players
from tests.accelerator.register_model import EVERY_KIND, Registers, addresses, ports, pulses, words

pytestmark = pytest.mark.rtl

MAPS = {"every kind": EVERY_KIND, "accelerator": accelerator_map(40, 16), "accelerator, 32": accelerator_map(32, 16)}


def accesses(map: RegisterMap, seed: int, count: int) -> list[Access]:
    rng = random.Random(seed)
    hardware = ports(map, "input")
    found = []
    for _ in range(count):
        values = {name: rng.getrandbits(bits) for name, bits in hardware.items()}
        waits = (rng.choice((0, 0, 3)), rng.choice((0, 0, 5)), rng.choice((0, 7)))
        write = (words(rng), rng.choice((15, 15, rng.randrange(16)))) if rng.random() < 0.5 else None
        found.append(Access(addresses(map, rng), values, write, rng.random() < 0.4, waits))
    return found


def expected(map: RegisterMap, played: list[Access]) -> Iterator[Answer]:
    model = Registers(map)
    for access in played:
        model.strobe(access.hardware)
        data = 0
        if access.write:
            response = model.write(access.address, *access.write)
        else:
            data, response = model.read(access.address, access.hardware)
        if access.strobes_last:
            model.strobe(access.hardware)
        high = {name: model.value[name] for name in pulses(map)}
        model.fall()
        yield Answer(response, data, dict(model.value), high)


def _joined(prefix: str, **more: str) -> str:
    """Connections of a block's bus within the module that `flat` makes, and ``more``."""
    names = "awvalid awready wdata wstrb wvalid wready bresp bvalid bready arvalid arready rdata rresp rvalid rready"
    signals = {f"{prefix}{name}": name for name in names.split()}
    signals |= {f"{prefix}{channel}addr": "addr" for channel in ("aw", "ar")}
    signals |= {f"{prefix}{channel}prot": "3'd0" for channel in ("aw", "ar")}
    return ", ".join(f".{name}({signal})" for name, signal in {"clk": "clk", "rst": "rst", **signals, **more}.items())


def ours(map: RegisterMap, block: str) -> str:
    hardware = ports(map, "input") | ports(map, "output")
    wires = "".join(f"  wire [{bits - 1}:0] {name};\n" for name, bits in hardware.items())
    names = {name: name for name in hardware}
    return verilog(map, f"{block}_registers") + flat(
        map, block, f"{wires}  {block}_registers dut({_joined('s_axi_', **names)});", names
    )


def theirs(map: RegisterMap, block: str, rdl: str, folder: Path) -> str:
    source = folder / f"{block}.rdl"
    source.write_text(rdl)
    compiler = RDLCompiler()
    for udp in ALL_UDPS:
        compiler.register_udp(udp)
    compiler.compile_file(str(source))
    module = f"{block}_registers"
    RegblockExporter().export(
        compiler.elaborate(),
        str(folder),
        cpuif_cls=AXI4Lite_Cpuif_flattened,
        module_name=module,
        address_width=12,
        err_if_bad_addr=True,
    )
    signals = {}
    for register in map.registers:
        for item in register.fields:
            name, path = f"{register.name}_{item.name}".lower(), f"{register.name}.{item.name}"
            signals[f"i_{name}"] = f"hwif_in.{path}.next"
            signals[f"i_{name}_set"] = f"hwif_in.{path}.hwset"
            signals[f"o_{name}"] = f"hwif_out.{path}.value"
    wires = f"  {module}_pkg::{map.name}__in_t hwif_in;\n  {module}_pkg::{map.name}__out_t hwif_out;\n"
    instance = f"{wires}  {module} dut({_joined('s_axil_', hwif_in='hwif_in', hwif_out='hwif_out')});"
    parts = [(folder / f"{module}{suffix}.sv").read_text() for suffix in ("_pkg", "")]
    return "".join([*parts, flat(map, block, instance, signals)])


def differences(map: RegisterMap, blocks: dict[str, str], played: list[Access]) -> dict[str, str]:
    """Where each block first answers otherwise than the model, for those that do."""
    files = players(map, list(blocks), played)
    printed = run_testbench({"a_blocks.sv": "".join(blocks.values()), **files}, "players", simulator="verilator")
    found = {}
    for block in blocks:
        pairs = zip(played, answers(map, block, played, printed), expected(map, played), strict=True)
        for number, (access, answer, due) in enumerate(pairs):
            if answer != due:
                found[block] = f"{number}: {access}: {answer}, due {due}"
                break
    return found


@pytest.mark.few(2)
@pytest.mark.parametrize("label", MAPS)
def test_both_blocks_answer_alike(label: str, tmp_path: Path) -> None:
    """All answers are compared: what SystemRDL leaves open, errors of bad addresses and which read latches what, the
    exporter is told."""
    map = MAPS[label]
    blocks = {"ours": ours(map, "ours"), "theirs": theirs(map, "theirs", systemrdl(map), tmp_path)}
    assert differences(map, blocks, accesses(map, 5, 600)) == {}


FAULTS = {
    "no precedence": (" precedence = hw;", ""),
    "set by writing 1": ("woclr;", "woset;"),
    "no pulse": (" singlepulse;", ""),
    "another reset": ("0x2a5", "0x2a4"),
    "another place": ("\\signal[13:3]", "\\signal[12:2]"),
    "another offset": ("@ 0x008", "@ 0x00c"),
    "no latch": ("buffer_reads = true;", "buffer_reads = false;"),
    "latched by the other": ("COUNT_HI->rbuffer_trigger = COUNT_LO", "COUNT_HI->rbuffer_trigger = OTHER_LO"),
}


@pytest.mark.slow
def test_faults_in_the_systemrdl_are_caught(tmp_path: Path) -> None:
    text = systemrdl(EVERY_KIND)
    blocks = {}
    for number, (old, new) in enumerate(FAULTS.values()):
        assert old in text
        blocks[f"fault{number}"] = theirs(EVERY_KIND, f"fault{number}", text.replace(old, new), tmp_path)
    found = differences(EVERY_KIND, blocks, accesses(EVERY_KIND, 6, 600))
    assert [label for number, label in enumerate(FAULTS) if f"fault{number}" not in found] == []
