"""IP-XACT (IEEE 1685-2014): buses, registers and files of a block for tools that put systems together."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable

from hwgen.accelerator.bundle._names import CLOCK, RESET, Interface, interfaces, kept_map, ports
from hwgen.accelerator.emission import Emission
from hwgen.accelerator.registers import Field, Register
from hwgen.accelerator.registers.description import ADDRESS_BITS, BITS
from hwgen.version import __version__

__all__ = ["ipxact"]

_SPACE = "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_ACCESS = {"rw": "read-write", "ro": "read-only", "pulse": "write-only", "w1c": "read-write"}
_TYPES = {"v": "verilogSource", "h": "cSource", "c": "cSource", "sdc": "SDC", "rdl": "systemRDL"}
_AXI = ("amba.com", "AMBA4", "r0p0_0")
_SIGNAL = ("xilinx.com", "signal", "1.0")


def ipxact(emission: Emission, files: Iterable[str]) -> str:
    """The component as XML; ``files`` are those of the bundle that it names."""
    ET.register_namespace("ipxact", _SPACE)
    ET.register_namespace("xsi", _INSTANCE)
    top = emission.top
    root = ET.Element(
        f"{{{_SPACE}}}component",
        {f"{{{_INSTANCE}}}schemaLocation": f"{_SPACE} {_SPACE}/index.xsd"},
    )
    version = ".".join(re.findall(r"\d+", __version__)[:3])
    for tag, text in (("vendor", "hwgen"), ("library", emission.kind), ("name", top), ("version", version)):
        _add(root, tag, text)
    buses = _add(root, "busInterfaces")
    slave, master = interfaces(emission)
    _bus(buses, slave, _AXI, "AXI4-Lite", "memoryMapRef", "registers")
    _bus(buses, master, _AXI, "AXI4", "addressSpaceRef", "memory")
    for name, kind, port, way in (
        (CLOCK, "clock", "CLK", "slave"),
        (RESET, "reset", "RST", "slave"),
        ("irq", "interrupt", "INTERRUPT", "master"),
    ):
        bus = _bus(buses, Interface(name, way, {port: name}), _SIGNAL, kind)
        if kind == "clock":
            _parameters(bus, {"ASSOCIATED_BUSIF": f"{slave.name}:{master.name}", "ASSOCIATED_RESET": RESET})
        elif kind == "reset":
            _parameters(bus, {"POLARITY": "ACTIVE_LOW"})
        else:
            _parameters(bus, {"SENSITIVITY": "LEVEL_HIGH"})
    space = _add(_add(root, "addressSpaces"), "addressSpace")
    _add(space, "name", "memory")
    _add(space, "range", str(1 << emission.design.address_bits))
    _add(space, "width", str(emission.design.bus_bits))
    _registers(_add(root, "memoryMaps"), emission)
    _model(_add(root, "model"), emission)
    _files(_add(root, "fileSets"), emission, files)
    _add(root, "description", emission.summary)
    parameters = {name: str(value) for name, value in emission.parameters.items()}
    _parameters(root, {"family": emission.design.tile.family, **parameters})
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _add(parent: ET.Element, tag: str, text: str | None = None, **attributes: str) -> ET.Element:
    child = ET.SubElement(parent, f"{{{_SPACE}}}{tag}", attributes)
    child.text = text
    return child


def _parameters(parent: ET.Element, values: dict[str, str]) -> None:
    found = _add(parent, "parameters")
    for name, value in values.items():
        one = _add(found, "parameter", parameterId=f"{name}_{parent.findtext(f'{{{_SPACE}}}name')}")
        _add(one, "name", name)
        # A value is an expression; text is one in quotes.
        _add(one, "value", value if re.fullmatch(r"\d+", value) else f'"{value}"')


def _bus(
    parent: ET.Element,
    bus: Interface,
    kind: tuple[str, str, str],
    name: str,
    reference: str = "",
    target: str = "",
) -> ET.Element:
    vendor, library, version = kind
    found = _add(parent, "busInterface")
    _add(found, "name", bus.name)
    about = {"vendor": vendor, "library": library, "version": version}
    _add(found, "busType", name=name, **about)
    abstraction = _add(_add(found, "abstractionTypes"), "abstractionType")
    _add(abstraction, "abstractionRef", name=f"{name}_rtl", **about)
    maps = _add(abstraction, "portMaps")
    for logical, physical in bus.ports.items():
        one = _add(maps, "portMap")
        _add(_add(one, "logicalPort"), "name", logical)
        _add(_add(one, "physicalPort"), "name", physical)
    way = _add(found, bus.role)
    if reference:
        _add(way, reference, **{reference: target})
    return found


def _registers(parent: ET.Element, emission: Emission) -> None:
    map = kept_map(emission)
    found = _add(parent, "memoryMap")
    _add(found, "name", "registers")
    block = _add(found, "addressBlock")
    _add(block, "name", map.name)
    _add(block, "description", map.doc)
    _add(block, "baseAddress", "0")
    _add(block, "range", str(1 << ADDRESS_BITS))
    _add(block, "width", str(BITS))
    _add(block, "usage", "register")
    for register in map.registers:
        _register(block, register)
    _add(found, "addressUnitBits", "8")


def _register(block: ET.Element, register: Register) -> None:
    found = _add(block, "register")
    _add(found, "name", register.name)
    _add(found, "description", register.doc)
    _add(found, "addressOffset", f"'h{register.offset:03x}")
    _add(found, "size", str(BITS))
    fields = sorted(register.fields, key=lambda field: field.lsb)
    # A register has a field at least.
    for field in fields or [Field("reserved", 0, BITS, "ro", 0, "Reads as 0.")]:
        one = _add(found, "field")
        _add(one, "name", field.name)
        _add(one, "description", field.doc)
        _add(one, "bitOffset", str(field.lsb))
        if field.access != "ro":
            _add(_add(_add(one, "resets"), "reset"), "value", str(field.reset))
        _add(one, "bitWidth", str(field.bits))
        _add(one, "volatile", "true" if field.access in ("ro", "w1c") else "false")
        _add(one, "access", _ACCESS[field.access])
        if field.codes:
            values = _add(one, "enumeratedValues")
            for code in field.codes:
                entry = _add(values, "enumeratedValue")
                _add(entry, "name", code.name)
                _add(entry, "description", code.doc)
                _add(entry, "value", str(int(code)))
        if field.access == "w1c":
            _add(one, "modifiedWriteValue", "oneToClear")


def _model(parent: ET.Element, emission: Emission) -> None:
    view = _add(_add(parent, "views"), "view")
    _add(view, "name", "rtl")
    _add(view, "componentInstantiationRef", "verilog")
    made = _add(_add(parent, "instantiations"), "componentInstantiation")
    _add(made, "name", "verilog")
    _add(made, "language", "verilog")
    _add(made, "moduleName", emission.top)
    _add(_add(made, "fileSetRef"), "localName", "rtl")
    found = _add(parent, "ports")
    for port in ports(emission):
        one = _add(found, "port")
        _add(one, "name", port.name)
        _add(one, "description", port.meaning)
        wire = _add(one, "wire")
        _add(wire, "direction", "in" if port.direction == "input" else "out")
        if port.width > 1:
            vector = _add(_add(wire, "vectors"), "vector")
            _add(vector, "left", str(port.width - 1))
            _add(vector, "right", "0")


def _files(parent: ET.Element, emission: Emission, files: Iterable[str]) -> None:
    top, names = emission.top, list(files)
    sets = {
        "rtl": [f"{top}.v", f"{top}_sram.v"],
        "constraints": [f"{top}.sdc"],
        "software": [f"{top}.h", f"{top}_driver.h", f"{top}_driver.c"],
    }
    for name, wanted in sets.items():
        found = _add(parent, "fileSet")
        _add(found, "name", name)
        for path in wanted:
            if path in names:
                one = _add(found, "file")
                _add(one, "name", path)
                kind = _TYPES[path.rpartition(".")[2]]
                # Types that the standard has no name for are named by their users.
                if kind in ("verilogSource", "cSource", "SDC"):
                    _add(one, "fileType", kind)
                else:
                    _add(one, "fileType", "user", user=kind)
