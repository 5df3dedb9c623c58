"""The manifest of a quantiser: everything that is to be known of it, as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from hwgen.accelerator.bundle._names import macro_names, ports
from hwgen.accelerator.exact import Memory
from hwgen.accelerator.quantiser import Kind, QuantiserEmission, cache_job, quantiser_cycles
from hwgen.accelerator.quantiser.job import ADDRESSES, COUNTS, STRIDES
from hwgen.emit._manifest import package_versions

__all__ = ["QUANTISER_MANIFEST_VERSION", "quantiser_manifest"]

QUANTISER_MANIFEST_VERSION = 1


def quantiser_manifest(emission: QuantiserEmission, files: Mapping[str, str | bytes]) -> dict[str, Any]:
    """What describes the quantiser and the bundle's other ``files``."""
    design, form = emission.design, emission.geometry
    document = {
        "quantiser_manifest_version": QUANTISER_MANIFEST_VERSION,
        "top": emission.top,
        "summary": emission.summary,
        "parameters": emission.parameters,
        "design_hash": f"{design.digest:08x}",
        "tile": {"family": design.tile.family, "parameters": design.tile.p},
        "ports": [
            {"name": port.name, "direction": port.direction, "width": port.width, "role": port.role}
            | {"meaning": port.meaning}
            for port in ports(emission)
        ],
        "memories": [
            {"module": name, "words": words, "bits": bits} for name, (words, bits) in macro_names(emission).items()
        ],
        "image": {
            "bus_bytes": design.bus_bytes,
            "columns": form.n,
            "codes_of_a_column": form.k,
            "code_bits": form.bits,
            "word_bytes": form.word_bytes,
            "column_bytes": form.column_bytes,
            "scale_format": form.scale.name,
            "scale_bytes": form.scale_bytes,
            "key_scales_are_side_words": form.sides,
            "side_word_bytes": form.side_bytes,
            "most_elements_of_a_key": min(emission.elements, form.group or emission.elements),
            "most_elements_of_a_value": emission.elements,
            "definition": _definition(),
        },
        "arithmetic": [
            "scale = amax / (2**(code_bits - 1) - 1) of a row, rounded to scale_format to nearest, ties to even, never "
            "to infinity, nor to zero unless amax is; code = value / scale to nearest, ties to even, clipped to "
            "+-(2**(code_bits - 1) - 1), two's complement; the quotient is rounded to FP32 first where scale_format is "
            "fp32. A row of zeros has scale 0 and codes 0.",
        ],
        "job": {
            "addresses": list(ADDRESSES),
            "counts": list(COUNTS),
            "strides": list(STRIDES),
            "kinds": {kind.name: int(kind) for kind in Kind},
            "most": (1 << design.count_bits) - 1,
        },
        "timing": _timing(emission),
        "versions": package_versions(),
        "sha256": {
            name: hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()
            for name, content in files.items()
        },
    }
    copied: dict[str, Any] = json.loads(json.dumps(document))
    return copied


def _definition() -> list[str]:
    return [
        "A block is `columns` columns of the weights, and its words follow each other, word_bytes each; blocks lie "
        "CODES_STRIDE bytes apart. Column c begins at byte c % columns * column_bytes of a word; of two codes of 4 "
        "bits in a byte the lower half is the one with the even index along K.",
        "K: token t is column t, value e of it element e along K: byte t // columns * CODES_STRIDE + "
        "e // codes_of_a_column * word_bytes of CODES_ADDR. V: value e is column e, token t element t along K.",
        "Scales of V, and of K unless key_scales_are_side_words, are an array by token at SCALES_ADDR, scale_bytes "
        "each. Else the scale of key t is element t % columns of side word t // columns, side_word_bytes each.",
        "Images are zeros before the first token.",
    ]


def _timing(emission: QuantiserEmission) -> dict[str, Any]:
    """Cycles of the smallest jobs of either kind, on a memory with a latency of a cycle."""
    design, memory = emission.design, Memory(latency=1, beats=(1, 1))
    elements = min(emission.elements, emission.geometry.group or emission.elements)

    def cycles(kind: Kind, rows: int) -> int:
        job = cache_job(design, kind, rows, elements, 0, rows)
        return quantiser_cycles(design, job, memory, emission.elements).cycles

    return {
        "elements": elements,
        "cycles_of_a_row": {kind.name: cycles(kind, 1) for kind in Kind},
        "cycles_of_two_rows": {kind.name: cycles(kind, 2) for kind in Kind},
        "measured_with": {"latency_cycles": memory.latency, "beats_per_cycle": list(memory.beats)},
        "definition": "cycles from the accepted write of CONTROL.start to the interrupt",
        "register_write_cycles": 2,
        "register_read_cycles": 2,
    }
