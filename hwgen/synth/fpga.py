"""FPGA estimates: what Yosys maps them to, and with nextpnr the clock frequency after place and route."""

from __future__ import annotations

import functools
import itertools
import json
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hwgen.emit._reset import Reset, clock_ports
from hwgen.errors import HwgenError, suggest
from hwgen.pe import TileSpec
from hwgen.simulators import _process, toolchain
from hwgen.simulators.cache import cache_dir, digest, read_kept, write_kept
from hwgen.synth._parallel import in_parallel
from hwgen.synth._parts import FLAT, Part, parts
from hwgen.synth._verilog import VerilogUnit
from hwgen.synth._yosys import yosys, yosys_version

__all__ = [
    "RESOURCES",
    "VENDORS",
    "Device",
    "FpgaPart",
    "FpgaResult",
    "Placed",
    "Vendor",
    "estimate",
    "place",
    "vendor_of",
]

RESOURCES = ("lut", "carry", "mux", "ff", "dsp", "bram", "lutram", "other")
"""What cells are counted as; ``other`` is whatever a vendor's list does not name."""


@dataclass(frozen=True)
class Device:
    """A device to place on: nextpnr's options for it, and its name."""

    name: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Vendor:
    """How Yosys maps to a family of devices, and what its primitives are.

    ``dsp`` and ``no_dsp`` are the options with and without multipliers in hardware. ``primitives`` are cell types by
    resource; constants and buffers of the fabric (``free``) count nothing. nextpnr takes the first of ``devices``
    where DSP blocks are in use and the last otherwise; there is none without nextpnr.
    """

    title: str
    command: str
    dsp: str
    no_dsp: str
    primitives: Mapping[str, tuple[str, ...]]
    free: tuple[str, ...]
    devices: tuple[Device, ...] = ()

    def count(self, cells: Mapping[str, int]) -> dict[str, int]:
        """Cell types as resources."""
        kinds = {name: resource for resource, names in self.primitives.items() for name in names}
        totals = dict.fromkeys(RESOURCES, 0)
        for name, count in cells.items():
            if name not in self.free:
                totals[kinds.get(name, "other")] += count
        return totals


VENDORS: Mapping[str, Vendor] = {
    "ecp5": Vendor(
        title="Lattice ECP5",
        command="synth_ecp5",
        dsp="",
        no_dsp="-nodsp",
        primitives={
            "lut": ("LUT4",),
            "carry": ("CCU2C",),
            "mux": ("PFUMX", "L6MUX21"),
            "ff": ("TRELLIS_FF",),
            "dsp": ("MULT18X18D", "ALU54B"),
            "bram": ("DP16KD", "PDPW16KD"),
            "lutram": ("TRELLIS_DPR16X4",),
        },
        free=("GND", "VCC"),
        devices=(Device("LFE5U-85F", ("--85k", "--lpf-allow-unconstrained")),),
    ),
    "ice40": Vendor(
        title="Lattice iCE40",
        command="synth_ice40",
        dsp="-dsp",
        no_dsp="",
        primitives={
            "lut": ("SB_LUT4",),
            "carry": ("SB_CARRY",),
            "ff": tuple(f"SB_DFF{kind}" for kind in ("", "E", "SR", "R", "SS", "S", "ESR", "ER", "ESS", "ES")),
            "dsp": ("SB_MAC16",),
            "bram": ("SB_RAM40_4K", "SB_RAM40_4KNR", "SB_RAM40_4KNW", "SB_RAM40_4KNRNW", "SB_SPRAM256KA"),
        },
        free=("GND", "VCC"),
        devices=(
            Device("iCE40UP5K", ("--up5k", "--package", "sg48", "--pcf-allow-unconstrained")),
            Device("iCE40HX8K", ("--hx8k", "--package", "ct256", "--pcf-allow-unconstrained")),
        ),
    ),
    "xilinx": Vendor(
        title="Xilinx 7 series",
        command="synth_xilinx -family xc7 -noiopad -noclkbuf",
        dsp="",
        no_dsp="-nodsp",
        primitives={
            "lut": ("LUT1", "LUT2", "LUT3", "LUT4", "LUT5", "LUT6", "LUT6_2", "INV"),
            "carry": ("CARRY4",),
            "mux": ("MUXF7", "MUXF8"),
            "ff": ("FDRE", "FDSE", "FDCE", "FDPE"),
            "dsp": ("DSP48E1",),
            "bram": ("RAMB18E1", "RAMB36E1"),
            "lutram": ("SRL16E", "SRLC32E", "RAM32M", "RAM64M", "RAM32X1D", "RAM64X1D", "RAM128X1D"),
        },
        free=("GND", "VCC"),
    ),
}
"""By the name that ``--fpga`` takes. Primitives are the cell types that Yosys 0.70 writes for the family."""


@dataclass(frozen=True)
class FpgaPart:
    """One part: how many the tile has, and the cells of one copy by type."""

    kind: str
    count: int
    cells: dict[str, int]


@dataclass(frozen=True)
class Placed:
    """nextpnr's outcome: the clock frequency of the routed tile, or what it said instead.

    The tile sits between shift registers, as it has more ports than a package has pins.
    """

    tool: str
    device: str
    max_frequency_mhz: float | None
    complaint: str


@dataclass(frozen=True)
class FpgaResult:
    """A tile, some of its blocks, or Verilog of anybody's, mapped to a family of FPGAs.

    ``from_cache`` of the parts were done before.
    """

    spec: TileSpec | VerilogUnit
    vendor: str
    dsp: bool
    parts: tuple[FpgaPart, ...]
    from_cache: int
    reset: Reset = field(default_factory=Reset)

    def resources(self, part: FpgaPart) -> dict[str, int]:
        """Resources of one copy of a part."""
        return VENDORS[self.vendor].count(part.cells)

    @property
    def totals(self) -> dict[str, int]:
        """Resources of all copies of all parts."""
        counted = [(part.count, self.resources(part)) for part in self.parts]
        return {name: sum(count * found[name] for count, found in counted) for name in RESOURCES}

    def document(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        spec = self.spec
        about = {"family": spec.family, "parameters": spec.p} if isinstance(spec, TileSpec) else spec.document()
        return about | {
            "fpga": self.vendor,
            "title": VENDORS[self.vendor].title,
            "basis": "mapped by Yosys, before place and route",
            "dsp_blocks_allowed": self.dsp,
            "totals": self.totals,
            "parts": {
                part.kind: {"count": part.count, **self.resources(part), "cell_types": part.cells}
                for part in self.parts
            },
            "versions": f"Yosys {yosys_version()}",
        }


def vendor_of(name: str) -> Vendor:
    """A vendor by name. Raises `HwgenError` for an unknown one."""
    if name not in VENDORS:
        raise HwgenError(f"synth: fpga must be one of {', '.join(VENDORS)}, not {name!r}{suggest(name, VENDORS)}")
    return VENDORS[name]


def _command(vendor: Vendor, dsp: bool, top: str) -> str:
    return " ".join(f"{vendor.command} -top {top} {vendor.dsp if dsp else vendor.no_dsp}".split())


def _flatten(top: str) -> list[str]:
    """Passes before the vendor's: the flow for Xilinx keeps the hierarchy, and notes on it are no cells for nextpnr."""
    return [f"hierarchy -top {top}", "proc", "flatten -noscopeinfo"]


def _whole(spec: TileSpec | VerilogUnit, reset: Reset) -> list[Part]:
    """The tile as one part, and what is beside it; or the unit."""
    if isinstance(spec, VerilogUnit):
        return [spec.part]
    return [part for part in parts(spec, flat=True, reset=reset) if part.kind == FLAT or not part.of_tile]


def estimate(
    spec: TileSpec | VerilogUnit,
    vendor: str,
    *,
    kinds: Sequence[str] = (),
    dsp: bool = True,
    jobs: int = 1,
    timeout_s: float = 600,
    reset: Reset | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> FpgaResult:
    """Map a tile, or Verilog of anybody's (`hwgen.synth.read_unit`), to FPGA cells.

    Parameters
    ----------
    vendor: one of `VENDORS`. kinds: these blocks instead of the whole tile as one. dsp: whether multipliers may become
    DSP blocks. jobs: child processes at a time. timeout_s: of one child. reset: of the tile, as
    `hwgen.emit.emit` has it. progress: told (done, all) after each.

    Raises `HwgenError` for an unknown vendor or block, when Yosys stops, and when time is over.
    """
    command = functools.partial(_command, vendor_of(vendor), dsp)
    if kinds and isinstance(spec, VerilogUnit):
        raise HwgenError("synth: Verilog of your own is mapped as one netlist and takes no block")
    reset = reset or Reset()
    wanted = parts(spec, kinds=kinds, reset=reset) if kinds and isinstance(spec, TileSpec) else _whole(spec, reset)
    entries = [_entry(part, command(part.top)) for part in wanted]
    known = [isinstance(read_kept(entry), dict) for entry in entries]
    tasks = [
        functools.partial(_cells, part, command(part.top), entry, timeout_s)
        for part, entry in zip(wanted, entries, strict=True)
    ]
    done = itertools.count(1)
    cells = in_parallel(tasks, jobs, lambda: progress(next(done), len(tasks)))
    found = [
        FpgaPart("tile" if part.kind == FLAT else part.kind, part.count, of_one)
        for part, of_one in zip(wanted, cells, strict=True)
    ]
    return FpgaResult(spec, vendor, dsp, tuple(found), sum(known), reset)


def _entry(part: Part, command: str) -> Path:
    return cache_dir("synth") / f"{digest(['fpga 1', part.rtlil, command, yosys_version()])}.json"


def _cells(part: Part, command: str, entry: Path, timeout_s: float, stop: threading.Event) -> dict[str, int]:
    """Cells of a part by type, from the cache where it was mapped before."""
    found: dict[str, int] | None = read_kept(entry)
    if not isinstance(found, dict):
        with tempfile.TemporaryDirectory(prefix="hwgen-fpga-") as name:
            folder = Path(name)
            (folder / "design.il").write_text(part.rtlil)
            stat = f"tee -o {folder / 'stat.json'} stat -json -top {part.top}"
            lines = [f"read_rtlil {folder / 'design.il'}", *_flatten(part.top), command, stat, ""]
            (folder / "script.ys").write_text("\n".join(lines))
            yosys(folder / "script.ys", part.top, timeout_s, stop)
            counted = json.loads((folder / "stat.json").read_text())["modules"][f"\\{part.top}"]["num_cells_by_type"]
        found = {kind: count for kind, count in sorted(counted.items()) if kind not in part.boxes}
        write_kept(entry, found)
    return found


def place(result: FpgaResult, clk_period_ns: float, timeout_s: float = 600) -> Placed:
    """Place and route the tile or unit of a result with nextpnr, for a target clock period.

    Raises `HwgenError` when nextpnr is not installed, for a vendor without nextpnr, when Yosys stops, and when time is
    over.
    """
    vendor = vendor_of(result.vendor)
    if not vendor.devices:
        raise HwgenError(f"synth: nextpnr must be for ecp5 or ice40, not {result.vendor}")
    tool = f"nextpnr-{result.vendor}"
    program = toolchain.require(tool)
    device = vendor.devices[0 if result.totals["dsp"] else -1]
    # What is beside a tile comes after it.
    tile = _whole(result.spec, result.reset)[0]
    with tempfile.TemporaryDirectory(prefix="hwgen-fpga-") as name:
        folder = Path(name)
        (folder / "design.il").write_text(tile.rtlil)
        (folder / "harness.v").write_text(_harness(result.spec, tile.top, result.reset))
        lines = [
            f"read_rtlil {folder / 'design.il'}",
            f"read_verilog {folder / 'harness.v'}",
            *_flatten("harness"),
            _command(vendor, result.dsp, "harness"),
            f"write_json {folder / 'harness.json'}",
            "",
        ]
        (folder / "script.ys").write_text("\n".join(lines))
        yosys(folder / "script.ys", tile.top, timeout_s)
        # Relative names: nextpnr from PyPI runs in a sandbox that has the working folder, but not the temporary one.
        options = ["--json", "harness.json", "--report", "report.json", "--freq", f"{1000 / clk_period_ns:.6g}"]
        done = _process.run(
            [program, *device.options, *options, "--timing-allow-fail"], cwd=folder, timeout_s=timeout_s
        )
        if done.returncode is None:
            raise HwgenError(f"synth: {tool} must end within {timeout_s:g} s, which it did not; raise --timeout-s")
        version = f"{tool} {toolchain.version(tool)}"
        if done.returncode:
            return Placed(version, device.name, None, done.complaint)
        clocks = json.loads((folder / "report.json").read_text())["fmax"]
        frequency = min((float(clock["achieved"]) for clock in clocks.values()), default=None)
        return Placed(version, device.name, frequency, "" if clocks else "no path between registers")


def _harness(spec: TileSpec | VerilogUnit, top: str, reset: Reset) -> str:
    """Verilog of a tile between shift registers: every path of it begins and ends in a register, with five pins."""
    from hwgen.frame.interface import tile_ports

    if isinstance(spec, VerilogUnit):
        ports, clock, edge = spec.data_ports, spec.clock, "negedge" if spec.falling else "posedge"
    else:
        given = clock_ports(reset)
        ports, clock, edge = [*given[1:], *tile_ports(spec)], given[0].name, "posedge"
    inputs = [(port.name, port.width) for port in ports if port.direction == "input"]
    outputs = [(port.name, port.width) for port in ports if port.direction == "output"]

    def slices(listed: Sequence[tuple[str, int]], register: str) -> tuple[list[str], int]:
        at, lines = 0, []
        for name, width in listed:
            lines.append(f".{name}({register}[{at + width - 1}:{at}])")
            at += width
        # Two bits at least, so that they can shift.
        return lines, max(at, 2)

    into, in_bits = slices(inputs, "given")
    out, out_bits = slices(outputs, "result")
    connections = ",\n    ".join([*([f".{clock}(clk)"] if clock else []), *into, *out])
    return f"""module harness(input clk, input serial_in, input load, output serial_out);
  reg [{in_bits - 1}:0] given;
  wire [{out_bits - 1}:0] result;
  reg [{out_bits - 1}:0] taken;
  always @({edge} clk) begin
    given <= {{given[{in_bits - 2}:0], serial_in}};
    taken <= load ? result : {{1'b0, taken[{out_bits - 1}:1]}};
  end
  assign serial_out = taken[0];
  {top} dut(
    {connections}
  );
endmodule
"""
