"""Codes into port words, as a manifest's ``operands`` and ``ports`` say."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction
from typing import Any

from arith import byte_scale, fp32_entry, rounded_entry
from codes import finite, signed

Manifest = dict[str, Any]


def side_by_side(values: list[int], bits: int) -> int:
    """Element i at bit i * bits."""
    word = 0
    for index, value in enumerate(values):
        word |= (value & ((1 << bits) - 1)) << index * bits
    return word


def _codes(packing: Manifest, codes: list[int], bits: int, rng: random.Random) -> list[int]:
    found = []
    width, each, lsb = packing["code_bits"], packing["per_element"], packing["lsb"]
    for start in range(0, len(codes), each):
        element = 0
        for place, code in enumerate(codes[start : start + each]):
            if packing.get("fill") == "sign":
                element |= signed(code, width) & ((1 << bits) - 1)
            else:
                element |= code << lsb + packing.get("order", range(each))[place] * width
        for bit in packing.get("ignored_bits", []):
            element |= rng.getrandbits(1) << bit
        assert not any(element >> bit & 1 for bit in packing.get("zero_bits", []))
        found.append(element)
    return found + [rng.getrandbits(bits) for _ in range(packing.get("ignored_elements", 0))]


def by_table(values: list[int], tables: int) -> list[list[int]]:
    """What a step takes, table by table."""
    each = len(values) // tables
    return [values[start : start + each] for start in range(0, len(values), each)]


def _planes(packing: Manifest, codes: list[int], planes: int) -> list[int]:
    keys = []
    parts = by_table(codes, packing["tables"])
    top = len(parts[0]) - 1
    for plane, part in itertools.product(range(planes), parts):
        key = [(code ^ packing["xor"]) >> plane & 1 for code in part]
        mirror = packing["mirror"]
        if mirror:
            assert mirror["sign_bit"] == top
            negate = key[top] == 0
            key = [bit ^ negate for bit in key[:top]]
            key.append(mirror["negates"] if negate else 1 - mirror["negates"])
        keys.append(side_by_side(key, 1))
    return keys


def _tables(manifest: Manifest, packing: Manifest, codes: list[int], mode: int) -> list[int]:
    parts = by_table(codes, packing["tables"])
    return [element for part in parts for element in _table(manifest, packing, part, mode)]


def _table(manifest: Manifest, packing: Manifest, codes: list[int], mode: int) -> list[int]:
    enc = manifest["encodings"][packing["codes"]]
    rule = manifest["arithmetic"][mode]
    low, high = packing["digits"]
    count = len(codes)

    def digits(entry: int) -> list[int]:
        chosen = [high if entry >> k & 1 else low for k in range(count)]
        return [*chosen[:-1], high] if packing["top_activation"] == "positive" else chosen

    if rule["kind"] == "fp32_planes":
        return [fp32_entry(enc, codes, digits(entry)) for entry in range(packing["entries"])]
    ints = [int(finite(enc, code) / Fraction(2) ** rule["acts"]["unit_exp"]) for code in codes]
    scale = byte_scale(rule["entries"]["rule"], ints)
    found = [
        rounded_entry(sum(d * a for d, a in zip(digits(entry), ints, strict=True)), scale)
        for entry in range(packing["entries"])
    ]
    names = {"shift": scale.bit_length() - 1, "factor": scale, "sum": sum(ints)}
    extra, place = 0, 0
    for field in packing["beside"]:
        extra |= (names[field["name"]] & ((1 << field["bits"]) - 1)) << place
        place += field["bits"]
    bits = packing["entry_bits"]
    return found + [extra >> index * bits for index in range(-(-place // bits))]


def elements_of(manifest: Manifest, role: str, mode: int, codes: list[int], bits: int, rng: random.Random) -> list[int]:
    """Port elements of the codes of one row or column."""
    packing = manifest["operands"][mode][role]["packing"]
    kind = packing["kind"]
    if kind == "codes":
        return _codes(packing, codes, bits, rng)
    if kind == "planes":
        return _planes(packing, codes, manifest["arithmetic"][mode]["weights"]["bits"])
    if kind == "table":
        return _tables(manifest, packing, codes, mode)
    raise ValueError(f"packing of kind {kind!r} is not known")
