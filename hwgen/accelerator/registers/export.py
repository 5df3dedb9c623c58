"""A register map as SystemRDL, C header, HTML, JSON and Markdown.

SystemRDL is written here; header and HTML are made from it by the packages of PeakRDL, which the extra ``soc`` brings.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hwgen.accelerator.registers.description import ACCESS, BITS, Coded, Field, Register, RegisterMap
from hwgen.errors import HwgenError, os_error

__all__ = ["as_json", "c_header", "html", "markdown", "systemrdl"]

# Keywords and reserved words of SystemRDL 2.0: as names they need a backslash before them.
_WORDS = """
abstract accesstype addressingtype addrmap alias all alternate bit boolean bothedge byte compact component
componentwidth constraint default encode enum external false field fullalign hw inside int internal level longint mem
na negedge nonsticky number onreadtype onwritetype posedge precedencetype property r rclr real ref reg regalign
regfile rset ruser rw rw1 shortint shortreal signal signed string struct sw this true type unsigned w w1 wclr with
within woclr woset wot wr wset wuser wzc wzs wzt
"""
_KEYWORDS = frozenset(_WORDS.split())

_PROPERTIES = {
    "rw": "sw = rw; hw = r;",
    "ro": "sw = r; hw = w;",
    "pulse": "sw = w; hw = r; singlepulse;",
    "w1c": "sw = rw; hw = r; woclr; hwset; precedence = hw;",
}

# Not of the standard: the names under which PeakRDL's register block does the same.
_LATCHES = """property buffer_reads { component = reg; type = boolean; };
property rbuffer_trigger { component = reg; type = ref; };
"""


def _word(name: str) -> str:
    return f"\\{name}" if name in _KEYWORDS else name


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _field_rdl(field: Field) -> str:
    codes = f" encode = {_word(field.codes.__name__)};" if field.codes else ""
    # Of what hardware drives only a constant has a value to tell.
    reset = "" if field.access == "ro" and not field.reset else f" = {field.reset:#x}"
    place = f"[{field.lsb + field.bits - 1}:{field.lsb}]"
    return (
        f"field {{ desc = {_text(field.doc)}; {_PROPERTIES[field.access]}{codes} }} {_word(field.name)}{place}{reset};"
    )


def _register_rdl(register: Register) -> str:
    # A register of SystemRDL has at least one field.
    fields = [_field_rdl(field) for field in sorted(register.fields, key=lambda field: field.lsb)] or [
        f'field {{ desc = "Reads as 0."; sw = r; hw = na; }} reserved[{BITS - 1}:0] = 0;'
    ]
    latched = ["buffer_reads = true;"] if register.latched_by else []
    lines = "".join(f"        {line}\n" for line in (f"desc = {_text(register.doc)};", *latched, *fields))
    return f"    reg {{\n{lines}    }} {_word(register.name)} @ {register.offset:#05x};\n"


def _codes_rdl(codes: type[Coded]) -> str:
    bits = max(max(codes).bit_length(), 1)
    lines = "".join(
        f"    {_word(code.name)} = {bits}'d{int(code)} {{ desc = {_text(code.doc)}; }};\n" for code in codes
    )
    return f"enum {_word(codes.__name__)} {{\n{lines}}};\n"


def systemrdl(map: RegisterMap) -> str:
    """The map as SystemRDL 2.0.

    What one register's read keeps of another (`Register.latched_by`) is no property of the standard; it is declared in
    the text as ``buffer_reads`` and ``rbuffer_trigger``, which PeakRDL knows.
    """
    latched = [register for register in map.registers if register.latched_by]
    triggers = [f"    {_word(item.name)}->rbuffer_trigger = {_word(item.latched_by)};\n" for item in latched]
    head = (
        f"addrmap {_word(map.name)} {{\n    desc = {_text(map.doc)};\n"
        f"    default regwidth = {BITS};\n    default accesswidth = {BITS};\n"
    )
    body = [head, *(_register_rdl(register) for register in map.registers), "".join(triggers) + "};\n"]
    return "\n".join([*([_LATCHES] if latched else []), *(_codes_rdl(codes) for codes in map.codes), *body])


@contextmanager
def _needs(what: str, package: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise HwgenError(
            f"registers: {what} needs the package {package}, which is not installed; pip install 'hwgen[soc]'"
        ) from error


def _compiled(map: RegisterMap, what: str, folder: Path) -> Any:
    """The map as PeakRDL's packages want it, by way of a file in ``folder``."""
    with _needs(what, "systemrdl-compiler"):
        from systemrdl.compiler import RDLCompiler
    source = folder / f"{map.name}.rdl"
    source.write_text(systemrdl(map), encoding="utf-8")
    compiler = RDLCompiler()
    compiler.compile_file(str(source))
    return compiler.elaborate()


def c_header(map: RegisterMap) -> str:
    """C11 header, by PeakRDL: a struct of the registers, and masks (``_bm``), positions (``_bp``) and resets of fields.

    Added to it are the offsets in bytes (``_offset``) and the values that have names. Raises `HwgenError` where a
    package is missing.
    """
    with _needs("the C header", "peakrdl-cheader"):
        from peakrdl_cheader.c_standards import CStandard
        from peakrdl_cheader.exporter import CHeaderExporter
    with tempfile.TemporaryDirectory(prefix="hwgen-registers-") as work:
        path = Path(work) / f"{map.name}.h"
        # Masks are named after the registers and not after their types, whose names follow from their properties.
        root = _compiled(map, "the C header", Path(work))
        CHeaderExporter().export(root, str(path), std=CStandard.gnu11, reuse_typedefs=False)
        text = path.read_text(encoding="utf-8")
    before, end, after = text.rpartition("#endif /* ")
    prefix = map.name.upper()
    lines = ["// Offsets in bytes"]
    lines += [f"#define {prefix}__{item.name.upper()}_offset {item.offset:#05x}" for item in map.registers]
    for codes in map.codes:
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", codes.__name__).upper()
        summary = (codes.__doc__ or "").partition("\n")[0]
        lines += ["", f"// {name}: {summary}"]
        lines += [f"#define {prefix}__{name}__{code.name} {int(code)} // {code.doc}" for code in codes]
    return f"{before}{chr(10).join(lines)}\n\n{end}{after}"


def html(map: RegisterMap, folder: Path) -> None:
    """Write pages about the registers, by PeakRDL, into ``folder``; ``index.html`` is the first.

    Raises `HwgenError` where a package is missing or the folder cannot be written.
    """
    with _needs("HTML", "peakrdl-html"):
        from peakrdl_html import HTMLExporter
    with tempfile.TemporaryDirectory(prefix="hwgen-registers-") as work:
        root = _compiled(map, "HTML", Path(work))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # Links to the source would lead to a file that is gone.
            HTMLExporter(generate_source_links=False).export(root.top, str(folder), title=f"Registers: {map.name}")
        except OSError as error:
            raise os_error(f"registers: cannot write HTML to {folder}", error) from error


def as_json(map: RegisterMap) -> dict[str, Any]:
    """The map as what JSON can hold: registers with offsets in bytes, fields with their ports, named values."""
    return {
        "name": map.name,
        "doc": map.doc,
        "register_bits": BITS,
        "registers": [
            {
                "name": register.name,
                "offset": register.offset,
                "reset": register.reset,
                "latched_by": register.latched_by or None,
                "doc": register.doc,
                "fields": [
                    {
                        "name": field.name,
                        "lsb": field.lsb,
                        "bits": field.bits,
                        "access": field.access,
                        "reset": field.reset,
                        "codes": field.codes.__name__ if field.codes else None,
                        "ports": list(field.ports(register.name)),
                        "doc": field.doc,
                    }
                    for field in register.fields
                ],
            }
            for register in map.registers
        ],
        "codes": {
            codes.__name__: [{"name": code.name, "value": int(code), "doc": code.doc} for code in codes]
            for codes in map.codes
        },
    }


def markdown(map: RegisterMap) -> str:
    """Tables of the registers, of the kinds of access in them, and of the named values."""

    def table(*rows: tuple[str, ...]) -> str:
        first, *rest = ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows)
        return first + "|" + "---|" * len(rows[0]) + "\n" + "".join(rest)

    rows = []
    for register in map.registers:
        rows.append((f"`{register.offset:#05x}`", f"`{register.name}`", "", "", "", register.doc))
        for field in sorted(register.fields, key=lambda field: field.lsb):
            top = field.lsb + field.bits - 1
            bits = f"{top}:{field.lsb}" if field.bits > 1 else str(top)
            rows.append(("", f"`{field.name}`", bits, field.access, f"`{field.reset:#x}`", field.doc))
    used = {field.access for register in map.registers for field in register.fields}
    parts = [
        table(("offset", "register, field", "bits", "access", "reset", "meaning"), *rows),
        table(("access", "meaning"), *((kind, text) for kind, text in ACCESS.items() if kind in used)),
    ]
    for codes in map.codes:
        named = [(str(int(code)), f"`{code.name}`", code.doc) for code in codes]
        parts.append(table((codes.__name__, "name", "meaning"), *named))
    return "\n".join(parts)
