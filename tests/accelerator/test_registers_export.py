"""Registers as SystemRDL, C header, HTML, JSON and Markdown: each read back and compared with the map."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from systemrdl.compiler import RDLCompiler
from systemrdl.parser.SystemRDLLexer import SystemRDLLexer
from systemrdl.rdltypes.builtin_enums import AccessType, OnWriteType, PrecedenceType

from hwgen.accelerator.registers import (
    Field,
    Register,
    RegisterMap,
    accelerator_map,
    as_json,
    c_header,
    html,
    markdown,
    systemrdl,
)
from hwgen.errors import HwgenError
from hwgen.simulators import require
from tests.accelerator.register_model import EVERY_KIND

MAPS = {"every kind": EVERY_KIND, "accelerator": accelerator_map(40, 16), "accelerator, 32": accelerator_map(32, 16)}


def compiled(text: str, folder: Path) -> Any:
    (folder / "map.rdl").write_text(text)
    compiler = RDLCompiler()
    compiler.compile_file(str(folder / "map.rdl"))
    return compiler.elaborate().top


def access(node: Any) -> str:
    """Kind of access by the properties that SystemRDL gives it."""
    sw, hw = node.get_property("sw"), node.get_property("hw")
    if node.get_property("singlepulse"):
        return "pulse" if (sw, hw) == (AccessType.w, AccessType.r) else "?"
    if node.get_property("hwset"):
        clears = node.get_property("onwrite") == OnWriteType.woclr
        right = clears and node.get_property("precedence") == PrecedenceType.hw
        return "w1c" if right and (sw, hw) == (AccessType.rw, AccessType.r) else "?"
    return {(AccessType.rw, AccessType.r): "rw", (AccessType.r, AccessType.w): "ro"}.get((sw, hw), "?")


@pytest.mark.parametrize("label", MAPS)
def test_systemrdl_says_what_the_map_says(label: str, tmp_path: Path) -> None:
    map = MAPS[label]
    top = compiled(systemrdl(map), tmp_path)
    assert (top.inst_name, top.get_property("desc")) == (map.name, map.doc)
    found = list(top.registers())
    assert [node.inst_name for node in found] == [register.name for register in map.registers]
    for node, register in zip(found, map.registers, strict=True):
        assert (node.absolute_address, node.get_property("desc")) == (register.offset, register.doc)
        assert (node.get_property("regwidth"), node.get_property("accesswidth")) == (32, 32)
        latched = node.get_property("rbuffer_trigger", default=None)
        assert (latched.inst_name if latched else "") == register.latched_by
        assert node.get_property("buffer_reads", default=False) == bool(register.latched_by)
        fields = list(node.fields())
        if not register.fields:
            (reserved,) = fields
            assert (reserved.lsb, reserved.width, reserved.get_property("reset")) == (0, 32, 0)
            assert (reserved.get_property("sw"), reserved.get_property("hw")) == (AccessType.r, AccessType.na)
            continue
        for item, field in zip(fields, sorted(register.fields, key=lambda field: field.lsb), strict=True):
            assert (item.inst_name, item.lsb, item.width) == (field.name, field.lsb, field.bits)
            assert access(item) == field.access
            assert (item.get_property("reset") or 0) == field.reset
            assert item.get_property("desc") == field.doc
            codes = item.get_property("encode")
            assert [(code.name, code.value, code.rdl_desc) for code in codes or ()] == [
                (code.name, int(code), code.doc) for code in field.codes or ()
            ]


def test_words_of_systemrdl_may_be_names(tmp_path: Path) -> None:
    # The lexer's keywords are literals of its grammar.
    words = [name.strip("'") for name in SystemRDLLexer.literalNames]
    words = [word for word in words if word.isalpha() and word.islower()]
    assert len(words) > 50
    registers = tuple(
        Register(word, 4 * number, (Field(word, 0, 1, "rw", 0, ""),), "") for number, word in enumerate(words)
    )
    top = compiled(systemrdl(RegisterMap("reg", registers, "")), tmp_path)
    assert [(node.inst_name, next(iter(node.fields())).inst_name) for node in top.registers()] == [
        (word, word) for word in words
    ]


@pytest.mark.parametrize("label", MAPS)
@pytest.mark.parametrize("standard", ["c11", "gnu17"])
def test_a_program_reads_the_c_header(label: str, standard: str, tmp_path: Path) -> None:
    map = MAPS[label]
    prefix = map.name.upper()
    (tmp_path / "registers.h").write_text(c_header(map))
    prints = []
    due = []
    for register in map.registers:
        name = f"{prefix}__{register.name.upper()}"
        prints.append(f'printf("%zu %u\\n", offsetof({map.name}_t, {register.name}), {name}_offset);')
        due.append(f"{register.offset} {register.offset}")
        for field in register.fields:
            of = f"{name}__{field.name.upper()}"
            prints.append(f'printf("%u %u %u\\n", {of}_bm, {of}_bp, {of}_bw);')
            due.append(f"{field.mask} {field.lsb} {field.bits}")
            if field.access != "ro" or field.reset:
                prints.append(f'printf("%u\\n", {of}_reset);')
                due.append(str(field.reset))
    for codes in map.codes:
        spelled = {"ErrorCause": "ERROR_CAUSE"}.get(codes.__name__, codes.__name__.upper())
        for code in codes:
            prints.append(f'printf("%d\\n", {prefix}__{spelled}__{code.name});')
            due.append(str(int(code)))
    body = "\n".join(prints)
    (tmp_path / "main.c").write_text(
        f'#include <stddef.h>\n#include <stdio.h>\n#include "registers.h"\nint main(void) {{\n{body}\nreturn 0;\n}}\n'
    )
    flags = ["-x", "c", "-Wall", "-Wextra", "-Werror", f"-std={standard}"]
    subprocess.run([require("g++"), *flags, "main.c", "-o", "main"], cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "main"], check=True, capture_output=True, text=True).stdout
    assert printed.splitlines() == due


def test_html_is_about_every_register(tmp_path: Path) -> None:
    html(MAPS["accelerator"], tmp_path / "pages" / "registers")
    assert (tmp_path / "pages" / "registers" / "index.html").is_file()
    written = "".join(
        path.read_text() for path in (tmp_path / "pages").rglob("*") if path.suffix in (".js", ".html", ".json")
    )
    for register in MAPS["accelerator"].registers:
        assert register.name in written
    assert "hwgen-registers-" not in written  # the folder in which it was made


def test_html_needs_a_folder_that_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(HwgenError) as error:
        html(MAPS["accelerator"], tmp_path / "taken")
    assert str(error.value) == f"registers: cannot write HTML to {tmp_path / 'taken'}: File exists"


@pytest.mark.parametrize("label", MAPS)
def test_json_has_all_of_the_map(label: str) -> None:
    map = MAPS[label]
    document = json.loads(json.dumps(as_json(map)))
    codes = {item.__name__: item for item in map.codes}
    registers = tuple(
        Register(
            register["name"],
            register["offset"],
            tuple(
                Field(
                    *(field[name] for name in ("name", "lsb", "bits", "access", "reset", "doc")),
                    codes.get(field["codes"] or ""),
                )
                for field in register["fields"]
            ),
            register["doc"],
            register["latched_by"] or "",
        )
        for register in document["registers"]
    )
    assert RegisterMap(document["name"], registers, document["doc"]) == map
    assert [item["reset"] for item in document["registers"]] == [register.reset for register in map.registers]
    assert document["codes"] == {
        name: [{"name": code.name, "value": int(code), "doc": code.doc} for code in item]
        for name, item in codes.items()
    }
    ports = [port for item in document["registers"] for field in item["fields"] for port in field["ports"]]
    assert ports == [
        port for register in map.registers for field in register.fields for port in field.ports(register.name)
    ]


def test_markdown() -> None:
    map = RegisterMap("m", (EVERY_KIND.register("MODE"), *EVERY_KIND.registers[2:4]), "")
    assert markdown(map) == (
        "| offset | register, field | bits | access | reset | meaning |\n"
        "|---|---|---|---|---|---|\n"
        "| `0x008` | `MODE` |  |  |  | Mode. |\n"
        '|  | `value` | 2:0 | rw | `0x2` | Says "how" \\ why \\| when. |\n'
        "| `0x010` | `COUNT_LO` |  |  |  | A counter. Read it first: the read keeps the high half. |\n"
        "|  | `value` | 31:0 | ro | `0x0` | Bits 31 to 0. |\n"
        "| `0x014` | `COUNT_HI` |  |  |  | High half of COUNT_LO, of the cycle in which that was read. |\n"
        "|  | `value` | 31:0 | ro | `0x0` | Bits 63 to 32. |\n"
        "\n"
        "| access | meaning |\n"
        "|---|---|\n"
        "| rw | software writes, hardware reads |\n"
        "| ro | hardware drives, software reads |\n"
        "\n"
        "| Mode | name | meaning |\n"
        "|---|---|---|\n"
        "| 0 | `SLOW` | Slow. |\n"
        "| 2 | `FAST` | Fast. |\n"
    )


@pytest.mark.parametrize(
    ("module", "package", "what", "export"),
    [
        ("peakrdl_cheader.exporter", "peakrdl-cheader", "the C header", lambda folder: c_header(EVERY_KIND)),
        ("systemrdl.compiler", "systemrdl-compiler", "the C header", lambda folder: c_header(EVERY_KIND)),
        ("peakrdl_html", "peakrdl-html", "HTML", lambda folder: html(EVERY_KIND, folder)),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    module: str,
    package: str,
    what: str,
    export: Callable[[Path], object],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(HwgenError) as error:
        export(tmp_path)
    assert str(error.value) == (
        f"registers: {what} needs the package {package}, which is not installed; pip install 'hwgen[soc]'"
    )
