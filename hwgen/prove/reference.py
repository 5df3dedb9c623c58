"""What a step adds to a sum, from the manifest and the scalar definition of its formats alone: tables of one pair of
codes each, and how their bits lie in the ports.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from hwgen.prove.graph import Graph
from hwgen.prove.roots import root_table
from hwgen.prove.terms import whole_table
from hwgen.prove.values import UnknownError, finite_values

__all__ = ["UnknownError", "finite_values", "lane_table", "packed", "products_of_lane", "row_table", "selectors"]

Manifest = Mapping[str, Any]

_LANE_BITS = 20


def _values(manifest: Manifest, rule: Manifest) -> list[list[tuple[int, ...]]]:
    """Whole numbers [selector][code][element] of an operand; one selector where it has none.

    Raises `UnknownError` where more than code and selector decide.
    """
    if rule.get("rule") != "encoding":
        raise UnknownError(f"operands by the rule {rule.get('rule')!r}")
    encoding = manifest["encodings"][rule["encoding"]]
    if encoding["kind"] == "table":
        by_side = encoding["values_by_side"] if "selector" in rule else [encoding["values"]]
        return [[_units(value, rule) for value in values] for values in by_side]
    if encoding["kind"] in _OTHER_KINDS or "selector" in rule:
        raise UnknownError(f"operands of kind {encoding['kind']!r}")
    return [[(value,) for value in finite_values(rule["encoding"], rule["unit_exp"])]]


_OTHER_KINDS = ("word", "magnitudes")


def _units(value: Any, rule: Manifest) -> tuple[int, ...]:
    """Values of a code's elements in units of an operand's last place."""
    found = [Fraction(one) / Fraction(2) ** rule["unit_exp"] for one in (value if isinstance(value, list) else [value])]
    if any(one.denominator != 1 for one in found):
        raise UnknownError(f"{rule['encoding']} has values that are no multiples of 2**{rule['unit_exp']}")
    return tuple(int(one) for one in found)


def selectors(manifest: Manifest, mode: int) -> dict[str, str]:
    """Ports whose elements say, row by row or column by column, what codes mean; by the operand's role."""
    rule = manifest["arithmetic"][mode]
    if rule.get("weights", {}).get("special"):
        return {"weights": rule["weights"]["special"]}
    return {role: rule[role]["selector"] for role in ("acts", "weights") if "selector" in rule.get(role, ())}


def _dot(acts: list[list[tuple[int, ...]]], weights: list[list[tuple[int, ...]]]) -> np.ndarray:
    """All products of two operands, elements added up: activation code fastest, then weight code, then selectors."""
    counts = len(acts[0]), len(weights[0]), len(acts), len(weights)
    bits = sum((count - 1).bit_length() for count in counts)
    if bits > _LANE_BITS:
        raise UnknownError(f"products of {bits} bits of codes")
    if any(count & count - 1 for count in counts):
        raise UnknownError("selectors or codes of which not all mean something")
    most = [max(abs(value) for codes in side for code in codes for value in code) for side in (acts, weights)]
    kind: Any = object if most[0] * most[1] * len(acts[0][0]) >= 1 << 61 else np.int64
    a, w = np.array(acts, kind), np.array(weights, kind)
    # [weight selector, activation selector, weight, activation]
    found: np.ndarray = np.zeros((counts[3], counts[2], counts[1], counts[0]), kind)
    for at in range(a.shape[-1]):
        found = found + np.multiply.outer(w[..., at], a[..., at]).transpose(0, 2, 1, 3)
    return found.reshape(-1)


def lane_table(manifest: Manifest, mode: int) -> np.ndarray:
    """What one activation and one weight add to a sum in a whole step, by their codes and selectors (`_dot`).

    For weights that take two activations, what these add to each of a cell's sums: [sum][code].
    """
    rule = manifest["arithmetic"][mode]
    if rule["kind"] == "dot":
        return _dot(_values(manifest, rule["acts"]), _values(manifest, rule["weights"]))
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
        return _dot(_values(manifest, rule["acts"]), [[(factor,) for factor in factors]])
    if rule["kind"] == "plane_pairs":
        return _pairs(manifest, rule)
    if rule["kind"] == "lmul":
        return _lmul(manifest, rule)
    if rule["kind"] == "roots":
        return _roots(manifest, mode)
    if rule["kind"] == "terms":
        return whole_table(manifest, mode)
    raise UnknownError(f"arithmetic of kind {rule['kind']!r}")


def products_of_lane(manifest: Manifest, mode: int) -> int:
    """Products in a lane's codes."""
    rule = manifest["arithmetic"][mode]
    if rule["kind"] == "roots":
        return 2
    return len(_values(manifest, rule["acts"])[0][0]) if rule["kind"] == "dot" else 1


def _roots(manifest: Manifest, mode: int) -> np.ndarray:
    """Two activations and a weight of roots of unity."""
    rule, weights = manifest["arithmetic"][mode], manifest["operands"][mode]["weights"]
    acts = [value for (value,) in _values(manifest, rule["acts"])[0]]
    try:
        return root_table(acts, rule["weights"], manifest["encodings"][weights["encoding"]]["bits"])
    except ValueError as error:
        raise UnknownError(str(error)) from error


def _pairs(manifest: Manifest, rule: Manifest) -> np.ndarray:
    """Pairs of planes, one after the other."""
    sizes = [manifest["encodings"][rule[role]["encoding"]]["bits"] for role in ("acts", "weights")]
    if sum(sizes) > _LANE_BITS:
        raise UnknownError(f"products of {sum(sizes)} bits of codes")
    codes = np.arange(1 << sum(sizes))
    digits, total = np.array(rule["digits"]), np.zeros(len(codes), np.int64)
    for weight_planes, act_planes in rule["updates"]:
        for w, a in itertools.product(weight_planes, act_planes):
            factor = rule["weight_places"][w] * rule["act_places"][a]
            total += factor * digits[codes >> sizes[0] + w & 1] * digits[codes >> a & 1]
    return total


def _lmul(manifest: Manifest, rule: Manifest) -> np.ndarray:
    """Products by adding exponents and mantissas as one number."""
    size = rule["mantissa_bits"]
    places, signs = [], []
    for role in ("acts", "weights"):
        encoding = manifest["encodings"][rule[role]["encoding"]]
        least = 1 - encoding["bias"] - encoding["mantissa_bits"]
        numbers = [abs(one) * Fraction(2) ** least for one in finite_values(rule[role]["encoding"], least)]
        places.append([_place(one, size, 1 - encoding["bias"], rule["subnormals"]) for one in numbers])
        top = encoding["bits"] - 1
        signs.append([-1 if encoding["sign_bit"] and code >> top else 1 for code in range(len(numbers))])
    if (len(places[0]) * len(places[1])).bit_length() - 1 > _LANE_BITS:
        raise UnknownError(f"products of {(len(places[0]) * len(places[1])).bit_length() - 1} bits of codes")
    found = []
    for weight, act in itertools.product(range(len(places[1])), range(len(places[0]))):
        x, y = places[0][act], places[1][weight]
        if x is None or y is None:
            found.append(0)
            continue
        whole, rest = divmod(x + y + rule["offset"], 1 << size)
        number = ((1 << size) + rest) * Fraction(2) ** (whole - size - rule["unit_exp"])
        if number.denominator != 1:
            raise UnknownError(f"products that are no multiples of 2**{rule['unit_exp']}")
        found.append(int(number) * signs[0][act] * signs[1][weight])
    return np.array(found, np.int64 if max(map(abs, found)) < 1 << 61 else object)


def _place(number: Fraction, size: int, least: int, subnormals: str) -> int | None:
    """e + f of a number (1 + f) * 2**e in units of 2**-size; None for what counts as zero."""
    if not number or (subnormals == "flush" and number < Fraction(2) ** least):
        return None
    exponent = number.numerator.bit_length() - number.denominator.bit_length()
    if Fraction(2) ** exponent > number:
        exponent -= 1
    place = (number / Fraction(2) ** exponent - 1 + exponent) * (1 << size)
    assert place.denominator == 1
    return int(place)


def row_table(manifest: Manifest, mode: int) -> np.ndarray:
    """What one activation adds to its row's sum, by its code and selector."""
    values = _values(manifest, manifest["arithmetic"][mode]["acts"])
    return np.array([sum(code) for codes in values for code in codes], np.int64)


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
                at = lsb + packing.get("order", range(each))[place] * packing["code_bits"]
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
