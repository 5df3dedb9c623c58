"""A bare-metal driver in C: constants and the packing of a design around the text of ``driver.h`` and ``driver.c``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hwgen.accelerator.design import Design
from hwgen.accelerator.emission import AcceleratorEmission
from hwgen.accelerator.registers import MAGIC
from hwgen.accelerator.stream import padded_bits
from hwgen.emit import Field, streams
from hwgen.version import __version__

__all__ = ["driver_files"]

_HERE = Path(__file__).parent


def driver_files(emission: AcceleratorEmission) -> dict[str, str]:
    """``top``_driver.h and ``top``_driver.c."""
    design, top = emission.design, emission.top
    sides = {name: _sides(design, name) for name in ("acts", "weights")}
    registers = [f"#define REG_{item.name} {item.offset:#05x}u" for item in emission.registers.registers]
    words = {
        "top": top,
        "TOP": top.upper(),
        "version": __version__,
        "hash": f"{design.digest:08x}",
        "defines": "\n".join(f"#define {top.upper()}_{name} {value}" for name, value in _constants(design).items()),
        "geometry": _geometry(design),
        "registers": "\n".join(registers),
        "pack_act_step": "" if _prepacked(design) else _step(design, "acts"),
        "pack_weight_step": _step(design, "weights"),
    }
    words["channel_fields"] = ", ".join(name for name, _ in design.channel_fields) or "none"
    words["channel_bits"] = ", ".join(str(bits) for _, bits in design.channel_fields)
    words["result_format"] = design.tile.result_format if design.result == "tile" else design.result
    for name, fields in sides.items():
        one = name[:-1]
        words[f"{one}_sides"] = ", ".join(field.port.name for field in fields) or "none"
        words[f"{one}_side_bits"] = ", ".join(str(field.port.bits) for field in fields)
    found = {}
    for end in ("h", "c"):
        text = (_HERE / f"driver.{end}").read_text(encoding="utf-8")
        found[f"{top}_driver.{end}"] = re.sub(r"@(\w+)@", lambda match: words[match[1]], text)
    return found


def _fields(design: Design, name: str) -> Sequence[Field]:
    fields: Sequence[Field] = getattr(streams(design.tile), name)
    return fields


def _element(design: Design, name: str) -> tuple[int, int]:
    """Bits of an element in memory, and of a row or a column of a step."""
    plan = design.block_plan
    if name == "acts" and plan is not None:
        return plan.source_bits, plan.k * plan.source_bits
    elements = design.elements(name)
    return elements.bits, elements.count * elements.bits


def _sides(design: Design, name: str) -> list[Field]:
    if f"{name[:-1]}_sides" not in design.streams:
        return []
    return [field for field in _fields(design, name) if field.port.role != name]


def _packing(design: Design, name: str) -> Mapping[str, Any]:
    tile, plan = design.tile, design.block_plan
    if name == "acts" and plan is not None:
        return {"kind": "codes", "code_bits": plan.source_bits, "per_element": 1, "lsb": 0}
    packing = (tile.act_packing if name == "acts" else tile.weight_packing)(tile.layer_mode)
    # Codes alone: what fills an element beside them is not in memory.
    return packing if design.elements(name).alike else {**packing, "lsb": 0, "fill": None}


def _prepacked(design: Design) -> bool:
    """Whether activations are tables that a block before the buffer makes: more than bits to be moved."""
    return bool(_packing(design, "acts")["kind"] == "table")


def _constants(design: Design) -> dict[str, int | str]:
    tile = design.tile
    acts, weights = tile.mode_formats(tile.layer_mode)
    columns = tile.code_columns(tile.layer_mode)
    act_bits = _element(design, "acts")[1]
    if design.block_plan is not None:
        acts = design.block_plan.source_format
    found: dict[str, int | str] = {
        "ID": f"{MAGIC:#x}u",
        "DESIGN_HASH": f"{design.digest:#010x}u",
        "BUS_BYTES": f"{design.bus_bytes}u",
        "ADDRESS": design.address_bits,
        "COUNT_BITS": design.count_bits,
        "M": f"{tile.m}u",
        "N": f"{tile.n}u",
        "OUTPUTS": f"{int(tile.layer_outputs(tile.p))}u",
        "CODED_OUTPUTS": f"{int(tile.coded_outputs(tile.p))}u",
        "STEP_K": f"{design.step_k}u",
        "GROUP_K": f"{tile.group}u",
        "ACT_ELEMENTS": f"{acts.elements}u",
        "ACT_STEP_CODES": f"{columns[0]}u",
        "ACT_PADDED": int(acts.padding is not None),
        "ACT_PADDING": f"{acts.padding or 0}u",
        "ACT_ROW_BITS": f"{act_bits}u",
        "ACT_ROW_WORDS": f"{-(-act_bits // 32)}u",
        "ACTS_PREPACKED": int(_prepacked(design)),
        "ACT_SIDE_FIELDS": len(_sides(design, "acts")),
        "WEIGHT_ELEMENTS": f"{weights.elements}u",
        "WEIGHT_STEP_CODES": f"{columns[1]}u",
        "WEIGHT_PADDING": f"{weights.padding or 0}u",
        "WEIGHT_COLUMN_BITS": f"{_element(design, 'weights')[1]}u",
        "WEIGHT_SIDE_FIELDS": len(_sides(design, "weights")),
        "RESULT_BYTES": f"{padded_bits(design.result_bits, design.bus_bits) // 8}u",
        "CHANNEL_FIELDS": len(design.channel_fields),
        "CHANNEL_BITS": f"{design.channel_bits}u",
    }
    results = {field.port.name: field for field in design.result_fields}
    elements = results.get("o_y") or results.get("o_results")
    # One element of a result a lane: those of the post lanes, or of the unit that requantises.
    found |= {
        "LANES": 0 if elements is None else elements.count,
        "SUM_STEPS": design.sum_steps if elements is None else 0,
    }
    if elements is not None:
        found |= {
            "RESULTS_PER_BLOCK": design.beats_per_block if design.requantises else design.beats_per_result,
            "RESULT_BITS": elements.port.bits,
            "RESULT_STRIDE": elements.stride,
        }
        return found
    sums, rows = results["o_sums"], results.get("o_row_sums")
    found |= {
        "SUMS": f"{sums.port.shape[2]}u",
        "SUM_BITS": sums.port.bits,
        "SUM_STRIDE": f"{sums.stride}u",
        "SUM_WORDS": f"{-(-sums.stride // 32)}u",
        "SUM_SIGNED": int(sums.port.signed),
        "ROW_SUMS": int(rows is not None),
    }
    if rows is not None:
        found |= {"ROW_SUM_BIT": f"{rows.offset}u", "ROW_SUM_STRIDE": rows.stride}
    return found


def _geometry(design: Design) -> str:
    lines = []
    for name in ("weights", "weight_sides", "acts", "act_sides", "results", "channels"):
        stream = design.streams.get(name)
        numbers = [0, 8, 1, 1, 0]
        if stream is not None:
            numbers = [stream.bits, stream.padded_bits, stream.words_per_entry, stream.beats_per_entry, stream.depth]
        lines.append(f"    {{{', '.join(f'{number}u' for number in numbers)}}}, /* {name} */")
    return "\n".join(lines)


def _step(design: Design, name: str) -> str:
    """C function that packs what a row or a column takes in a step."""
    packing, bits = _packing(design, name), _element(design, name)[0]
    head = f"static void pack_{name[:-1]}_step(const source *from, uint8_t *bytes, uint64_t at) {{\n"
    columns = design.tile.code_columns(design.tile.layer_mode)[0 if name == "acts" else 1]
    if packing["kind"] == "planes":
        body = _planes(packing, design.elements(name).count, bits, columns)
    else:
        body = _plain(packing, bits, columns)
    return head + body + "}\n"


def _plain(packing: Mapping[str, Any], bits: int, codes: int) -> str:
    code_bits, per, lsb = packing["code_bits"], packing["per_element"], packing["lsb"]
    width = bits - lsb
    if packing.get("fill") != "sign" or code_bits == width:
        # Ignored bits and elements stay 0.
        order, within = packing.get("order"), f"place % {per}u"
        table = f"  static const uint8_t order[] = {{{', '.join(map(str, order))}}};\n" if order else ""
        return (
            f"{table}  uint32_t place;\n"
            f"  for (place = 0; place < {codes}u; place++)\n"
            f"    put(bytes, at + (uint64_t)(place / {per}u) * {bits}u + {lsb}u +"
            f" {f'order[{within}]' if order else within} * {code_bits}u, {code_bits}u, code(from, place));\n"
        )
    sign = 1 << (code_bits - 1)
    return (
        "  uint32_t place;\n"
        f"  for (place = 0; place < {codes}u; place++) {{\n"
        f"    uint32_t value = code(from, place) & {(1 << code_bits) - 1:#x}u;\n"
        f"    put(bytes, at + (uint64_t)place * {bits}u + {lsb}u, {width}u, (value ^ {sign:#x}u) - {sign:#x}u);\n"
        "  }\n"
    )


def _planes(packing: Mapping[str, Any], elements: int, bits: int, codes: int) -> str:
    tables = packing["tables"]
    k, planes = codes // tables, elements // tables
    mirror = packing["mirror"]
    lines = [
        "  uint32_t plane, table, bit;",
        f"  for (plane = 0; plane < {planes}u; plane++)",
        f"    for (table = 0; table < {tables}u; table++) {{",
        "      uint32_t key = 0;",
        f"      for (bit = 0; bit < {k}u; bit++)",
        f"        key |= (((code(from, table * {k}u + bit) ^ {packing['xor']:#x}u) >> plane) & 1u) << bit;",
    ]
    if mirror:
        low = (1 << (k - 1)) - 1
        yes, no = (1, 0) if mirror["negates"] else (0, 1)
        lines.append(
            f"      key = (key >> {k - 1}u & 1u) != 0 ? (key & {low:#x}u) | {no << mirror['sign_bit']:#x}u "
            f": (~key & {low:#x}u) | {yes << mirror['sign_bit']:#x}u;"
        )
    lines.append(f"      put(bytes, at + (uint64_t)(plane * {tables}u + table) * {bits}u, {bits}u, key);")
    lines.append("    }")
    return "\n".join(lines) + "\n"
