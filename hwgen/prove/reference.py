"""What a step adds to a sum, from the manifest and the scalar definition of its formats alone: tables of one pair of
codes each, and how their bits lie in the ports.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from hwgen.formats import get
from hwgen.prove.graph import Graph

__all__ = ["UnknownError", "code_values", "lane_table", "packed", "row_table"]

Manifest = Mapping[str, Any]

_LANE_BITS = 20


class UnknownError(Exception):
    """Arithmetic of which no reference is known here, in words."""


@functools.cache
def _finite(name: str, unit_exp: int) -> tuple[int, ...]:
    form = get(name)
    values = [form.decode_scalar(code) for code in range(1 << form.code_bits)]
    finite = [value for value in values if isinstance(value, Fraction | int)]
    most, found = max(finite), []
    for code, value in enumerate(values):
        if isinstance(value, float):
            # -0.0, and infinities and NaN as the largest finite magnitude with their sign.
            negative = code >> form.code_bits - 1 & 1
            value = Fraction(0) if value == 0 else -most if negative else most
        units = Fraction(value) / Fraction(2) ** unit_exp
        if units.denominator != 1:
            raise UnknownError(f"{name} has values that are no multiples of 2**{unit_exp}")
        found.append(int(units))
    return tuple(found)


def code_values(manifest: Manifest, rule: Manifest) -> tuple[int, ...]:
    """What the codes of an operand are as whole numbers. Raises `UnknownError` where more than the code decides."""
    if rule.get("rule") != "encoding":
        raise UnknownError(f"operands by the rule {rule.get('rule')!r}")
    kind = manifest["encodings"][rule["encoding"]]["kind"]
    if kind == "word":
        raise UnknownError(f"operands of kind {kind!r}")
    return _finite(rule["encoding"], rule["unit_exp"])


def _table(low: Sequence[int], high: Sequence[int]) -> np.ndarray:
    """All products of two operands, the first one's code counting fastest."""
    if (len(low) * len(high)).bit_length() - 1 > _LANE_BITS:
        raise UnknownError(f"products of {(len(low) * len(high)).bit_length() - 1} bits of codes")
    wide = max(map(abs, low)) * max(map(abs, high)) >= 1 << 61
    kind: Any = object if wide else np.int64
    found: np.ndarray = np.multiply.outer(np.array(high, kind), np.array(low, kind)).reshape(-1)
    return found


def lane_table(manifest: Manifest, mode: int) -> np.ndarray:
    """What one activation and one weight add to a sum in a whole step, by weight · 2**bits + activation."""
    rule = manifest["arithmetic"][mode]
    if rule["kind"] == "dot":
        return _table(code_values(manifest, rule["acts"]), code_values(manifest, rule["weights"]))
    if rule["kind"] == "planes" and rule["entries"]["rule"] == "exact":
        weights = rule["weights"]
        planes = list(itertools.chain(*rule["updates"]))
        factors = [
            sum(
                weights["plane_weights"][plane] * weights["digits"][(code ^ weights["xor"]) >> plane & 1]
                for plane in planes
            )
            for code in range(1 << weights["bits"])
        ]
        return _table(code_values(manifest, rule["acts"]), factors)
    raise UnknownError(f"arithmetic of kind {rule['kind']!r}")


def row_table(manifest: Manifest, mode: int) -> np.ndarray:
    """What one activation adds to its row's sum."""
    return np.array(code_values(manifest, manifest["arithmetic"][mode]["acts"]), np.int64)


def packed(
    graph: Graph, packing: Manifest, codes: Sequence[Sequence[int]], bits: int, planes: int, tag: object
) -> list[int]:
    """Bits of a row's or column's port elements of ``bits`` bits each, from those of its codes (literals).

    Bits that may be anything become variables with a label that begins with ``tag``.
    """
    if packing["kind"] == "codes":
        elements = _codes(graph, packing, codes, bits, tag)
    elif packing["kind"] == "planes":
        elements = _planes(graph, packing, codes, planes)
    else:
        raise UnknownError(f"codes packed as {packing['kind']!r}")
    return [literal for element in elements for literal in [*element, *[0] * (bits - len(element))]]


def _codes(graph: Graph, packing: Manifest, codes: Sequence[Sequence[int]], bits: int, tag: object) -> list[list[int]]:
    found = []
    each, lsb = packing["per_element"], packing["lsb"]
    for start in range(0, len(codes), each):
        element = [0] * bits
        for place, code in enumerate(codes[start : start + each]):
            if packing.get("fill") == "sign":
                element = [*code, *[code[-1]] * (bits - len(code))]
            else:
                at = lsb + place * packing["code_bits"]
                element[at : at + len(code)] = code
        for bit in packing.get("ignored_bits", ()):
            element[bit] = graph.var((tag, "ignored", start, bit))
        found.append(element)
    for number in range(packing.get("ignored_elements", 0)):
        found.append([graph.var((tag, "element", number, bit)) for bit in range(bits)])
    return found


def _planes(graph: Graph, packing: Manifest, codes: Sequence[Sequence[int]], planes: int) -> list[list[int]]:
    tables, mirror = packing["tables"], packing["mirror"]
    each = len(codes) // tables
    found = []
    for plane, table in itertools.product(range(planes), range(tables)):
        key = [code[plane] ^ (packing["xor"] >> plane & 1) for code in codes[table * each : (table + 1) * each]]
        if mirror:
            top = key[-1]
            # Where the last one is 0 the others are complemented and the entry is negated.
            key = [graph.xor(bit, top ^ 1) for bit in key[:-1]] + [top ^ 1 if mirror["negates"] else top]
        found.append(key)
    return found
