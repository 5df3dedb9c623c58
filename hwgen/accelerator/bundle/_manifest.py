"""The manifest: everything that is to be known of an accelerator, as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from hwgen.accelerator.block_plan import BlockPlan
from hwgen.accelerator.bundle._names import macro_names, ports
from hwgen.accelerator.design import Design
from hwgen.accelerator.elements import Elements
from hwgen.accelerator.emission import AcceleratorEmission
from hwgen.accelerator.exact import Memory, exact
from hwgen.accelerator.image import LAYOUT_VERSION
from hwgen.accelerator.job import ADDRESSES, COUNTS, FLAGS, Job
from hwgen.accelerator.stream import Stream, padded_bits
from hwgen.emit import Field, streams
from hwgen.emit._manifest import manifest as tile_manifest

__all__ = ["ACCELERATOR_MANIFEST_VERSION", "manifest"]

ACCELERATOR_MANIFEST_VERSION = 1


def manifest(
    emission: AcceleratorEmission, files: Mapping[str, str | bytes], clock: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What describes the accelerator and the bundle's other ``files``; ``clock`` placed the tile's registers."""
    design, top = emission.design, emission.top
    logic = files[f"{top}.v"]
    text = logic if isinstance(logic, str) else logic.decode()
    tile = tile_manifest(design.tile, f"{top}_tile", text, clock=clock)
    document = {
        "accelerator_manifest_version": ACCELERATOR_MANIFEST_VERSION,
        "top": top,
        "design": design.p,
        "design_hash": f"{design.digest:08x}",
        "ports": [
            {"name": port.name, "direction": port.direction, "width": port.width, "role": port.role}
            | {"meaning": port.meaning}
            for port in ports(emission)
        ],
        "memories": [
            {"module": name, "words": words, "bits": bits} for name, (words, bits) in macro_names(emission).items()
        ],
        "streams": {name: _stream(stream) for name, stream in design.streams.items()},
        "pre": _pre(design),
        "results": _results(design),
        "image": _image(design),
        "job": {
            "addresses": [name for name in ADDRESSES if name == "result" or name in design.streams],
            "counts": list(COUNTS),
            "flags": list(FLAGS),
            "most": (1 << design.count_bits) - 1,
        },
        "timing": None if emission.streamed else _timing(design),
        "tile": tile,
        "versions": tile["versions"],
        "sha256": {
            name: hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
            for name, content in files.items()
        },
    }
    copied: dict[str, Any] = json.loads(json.dumps(document))
    return copied


def _stream(stream: Stream) -> dict[str, int]:
    return {
        "axi_id": stream.index,
        "bits": stream.bits,
        "padded_bits": stream.padded_bits,
        "words_per_entry": stream.words_per_entry,
        "beats_per_entry": stream.beats_per_entry,
        "depth_entries": stream.depth,
        "burst_beats": stream.burst,
    }


def _fields(fields: tuple[Field, ...], base: int) -> list[dict[str, Any]]:
    return [
        {
            "port": field.port.name,
            "bit": field.offset - base,
            "shape": list(field.port.shape),
            "element_bits": field.port.bits,
            "stride_bits": field.stride,
            "signed": field.port.signed,
        }
        for field in fields
    ]


def _codes(elements: Elements, field: dict[str, Any]) -> dict[str, Any]:
    """The field of a word of codes: the port's, or of the codes alone."""
    if elements.alike:
        return field
    shape = [elements.lines, elements.count]
    return {**field, "shape": shape, "element_bits": elements.bits, "stride_bits": elements.bits, "signed": False}


def _results(design: Design) -> dict[str, Any]:
    return {
        "bits": design.result_bits,
        "padded_bits": padded_bits(design.result_bits, design.bus_bits),
        "encoding": design.result_fields[0].port.encoding if design.result == "tile" else design.result,
        "beats_of_a_block": (
            design.beats_per_block if design.requantises else design.beats_per_result if design.tile.lanes else 0
        ),
        "sum_steps": 0 if design.tile.lanes or design.requantises else design.sum_steps,
        "words_per_bus_beat": design.result_words_per_beat,
        "bus_beats_per_word": design.result_beats,
    }


def _image(design: Design) -> dict[str, Any]:
    """How to pack and unpack: with the tile's `operands` and `encodings` all that a program needs."""
    tile, found, plan = design.tile, streams(design.tile), design.block_plan
    mode = tile.layer_mode
    acts, weights = tile.mode_formats(mode)
    if plan is not None:
        acts = plan.source_format
    columns = tile.code_columns(mode)
    words: dict[str, list[dict[str, Any]]] = {}
    for name, fields, role in (("weights", found.weights, "weights"), ("acts", found.acts, "acts")):
        codes = tuple(field for field in fields if field.port.role == role)
        sides = tuple(field for field in fields if field.port.role != role)
        if name == "acts" and plan is not None:
            words[name] = [_values(plan, codes[0].port.name)]
            continue
        words[name] = [_codes(design.elements(name), field) for field in _fields(codes, codes[0].offset)]
        if sides:
            words[f"{name[:-1]}_sides"] = _fields(sides, sides[0].offset)
    return {
        "layout_version": LAYOUT_VERSION,
        "bus_bytes": design.bus_bytes,
        "mode": mode,
        "block_rows": tile.m,
        "block_columns": tile.n,
        "outputs_per_column": int(tile.layer_outputs(tile.p)),
        "step_k": design.step_k,
        "group_k": tile.group,
        "group_steps": design.group_steps,
        "act_codes_per_step": columns[0],
        "weight_codes_per_step": columns[1],
        "act_padding": acts.padding,
        "weight_padding": weights.padding,
        "words": words,
        "result_word": _fields(design.result_fields, 0),
        "channel": [{"field": name, "bits": bits} for name, bits in design.channel_fields],
        "definition": [
            "Activations [rows, K] are cut into blocks of block_rows rows, weights [outputs, K] into blocks of "
            "block_columns * outputs_per_column outputs; rows and outputs that lack are padded with the padding code, "
            "and so is K up to whole steps of step_k elements.",
            "A word of stream acts holds the port's elements of one step of a block, element 0 lowest; tile.operands "
            "[mode].acts.packing says how a row's codes become elements. Weights likewise by column; of a column with "
            "several outputs the codes of one element of K lie together, output 0 first. Elements of fewer bits than "
            "the port's, or fewer of them, are the codes alone, side by side: what packing puts beside them (lsb, "
            "fill, elements and bits that are ignored) the accelerator makes.",
            "A word of a stream of sides holds the fields of one group of a block, group_k elements along K, or the "
            "whole row for 0; rows and outputs that lack have the values of the first row or output.",
            "A word begins at bit 0 of a place of padded_bits bits, the rest is 0; the words of a block (its steps, or "
            "its groups) follow each other, lowest byte first. Each block is padded with 0 to whole ring entries: "
            "words_per_entry words, or beats_per_entry bus beats. Blocks follow each other. Every image begins at a "
            "multiple of bus_bytes.",
            "A word of stream channels belongs to a block of columns: a record for each column, whose fields follow "
            "each other from the lowest bit as channel lists them; columns that lack have zeros.",
            "Results are words of results.padded_bits bits, laid out as result_word. Without lanes a block gives one "
            "for every sum_steps steps, or one (0) for the row; with lanes beats_of_a_block words, whose elements, one "
            "word after the other, are row 0's columns, row 1's and so on. Blocks come in the order of the job: order "
            "0 takes all blocks of rows for a block of columns, 1 all blocks of columns for a block of rows. The last "
            "bus beat is filled up with 0.",
        ],
    }


def _values(plan: BlockPlan, port: str) -> dict[str, Any]:
    """The field of a word of values that a block before the ring quantises."""
    bits = plan.source_bits
    shape = [plan.m, plan.k]
    return {"port": port, "bit": 0, "shape": shape, "element_bits": bits, "stride_bits": bits, "signed": False}


def _pre(design: Design) -> dict[str, Any] | None:
    """The block before the ring of activations."""
    plan = design.block_plan
    if plan is None:
        return None
    return {
        "kind": design.pre,
        "source": plan.source,
        "element": plan.element,
        "scale": "e8m0",
        "group_k": design.tile.group,
        "rule": plan.rule,
        "definition": [
            "Stream acts holds values of format source; the tile takes elements and a scale 2**e of each row's group_k "
            "values along K (the last group may be shorter), which have no stream of their own.",
            "rule floor: e = floor(log2(amax)) - floor(log2(largest element)); ceil: the smallest e with amax <= "
            "largest element * 2**e. e is limited to -127 .. 127, and -127 where amax is 0; its code is e + 127.",
            "An element is value / 2**e, rounded to nearest, ties to even, and saturated at +- the largest element; "
            "a negative value that rounds to zero becomes -0 where the format has it.",
            "An infinity or NaN ends the job with the cause NOT_FINITE.",
        ],
    }


def _timing(design: Design) -> dict[str, Any]:
    """Cycles of the smallest jobs, which say what comes on top of the steps."""
    memory = Memory(latency=1, beats=(1, 1))
    steps = design.group_steps or 1

    def cycles(rows: int) -> int:
        return exact(design, Job(rows, 1, steps), memory).cycles

    return {
        "smallest_job_cycles": cycles(1),
        "second_block_cycles": cycles(2) - cycles(1),
        "smallest_job_steps": steps,
        "measured_with": {"latency_cycles": memory.latency, "beats_per_cycle": list(memory.beats)},
        "definition": "cycles from the accepted write of CONTROL.start to the interrupt",
        "register_write_cycles": 2,
        "register_read_cycles": 2,
    }
