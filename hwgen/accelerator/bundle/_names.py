"""What the parts of a bundle share: names of its files and its ports with their meaning."""

from __future__ import annotations

import re
from dataclasses import dataclass

from amaranth.lib.wiring import Out

from hwgen.accelerator.emission import Emission
from hwgen.accelerator.registers import BUS_PORTS, RegisterMap
from hwgen.accelerator.sram import sram_name
from hwgen.frame.ports import PortInfo

__all__ = ["CLOCK", "Interface", "interfaces", "kept_map", "macro_names", "module_texts", "ports"]

CLOCK = "aclk"
RESET = "aresetn"

_MEANINGS = {
    "addr": "address in bytes",
    "burst": "kind of the burst: 1, incrementing",
    "cache": "3: bufferable and modifiable",
    "data": "data of a beat, lowest byte first",
    "id": "number of the stream that asks",
    "last": "last beat of a burst",
    "len": "beats of the burst less one",
    "lock": "0: a normal access",
    "prot": "kind of protection",
    "ready": "the other side's offer is taken at the next rising edge",
    "resp": "0: done; 2 or 3: an error",
    "size": "bytes of a beat as a power of two",
    "strb": "bytes that are written",
    "valid": "there is an offer; it stays until it is taken",
}
_STREAM_MEANINGS = {
    "tdata": "a beat of the stream's image, lowest byte first",
    "tvalid": "a beat is offered; it stays until it is taken",
    "tready": "it is taken at the next rising edge",
    "tlast": "last beat of a job's results",
}
_CHANNEL = re.compile(r"(?P<bus>[sm]_axi)_(?P<channel>aw|ar|w|r|b)(?P<signal>\w+)")


@dataclass(frozen=True)
class Interface:
    """A bus of the top: its ports by the names that the protocol gives them (AWADDR)."""

    name: str
    role: str
    ports: dict[str, str]


def ports(emission: Emission) -> list[PortInfo]:
    """Ports of the top: clock and reset first, the registers' bus, the memory's bus or the streams, the interrupt."""
    found = [
        PortInfo(CLOCK, "input", 1, "clock, rising edge", role="clock"),
        PortInfo(RESET, "input", 1, "synchronous reset, active low", role="reset"),
    ]
    widths = dict(BUS_PORTS)
    for name, (flow, width) in emission.ports.items():
        widths[name] = ("output" if flow == Out else "input", width)
    for name, (direction, width) in widths.items():
        match = _CHANNEL.fullmatch(name)
        role, meaning = "interrupt", "high while a finished or failed job is not acknowledged, where CONTROL enables it"
        if match:
            role = "registers" if match["bus"] == "s_axi" else "memory"
            meaning = _MEANINGS[match["signal"]]
        elif "_axis_" in name:
            role, meaning = "stream", _STREAM_MEANINGS[name.rsplit("_", 1)[1]]
        found.append(PortInfo(name, direction, width, meaning, role=role))
    return found


def interfaces(emission: Emission) -> tuple[Interface, Interface]:
    """The registers' AXI4-Lite slave and the memory's AXI4 master."""
    found: dict[str, dict[str, str]] = {"registers": {}, "memory": {}}
    for port in ports(emission):
        match = _CHANNEL.fullmatch(port.name)
        if match:
            found[port.role][f"{match['channel']}{match['signal']}".upper()] = port.name
    return Interface("s_axi", "slave", found["registers"]), Interface("m_axi", "master", found["memory"])


def kept_map(emission: Emission) -> RegisterMap:
    """The registers under the design's own name, so that headers of two designs go into one program."""
    name = re.sub(r"_+", "_", emission.top).strip("_")
    map = emission.registers
    return RegisterMap(name if re.match("[A-Za-z]", name) else f"{map.name}_{name}", map.registers, map.doc)


def macro_names(emission: Emission) -> dict[str, tuple[int, int]]:
    """Modules that are memories: words and bits by name."""
    return {sram_name(emission.top, depth, bits): (depth, bits) for depth, bits in emission.memories}


def module_texts(verilog: str) -> dict[str, str]:
    """Text of every module by name, in order."""
    found = re.findall(r"^(module (\w+)\b.*?^endmodule\n)", verilog, re.M | re.S)
    return {name: text for text, name in found}
