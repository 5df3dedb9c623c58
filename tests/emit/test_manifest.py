"""What the manifest says of operands and results; whether it is enough to drive a tile is for `rtl_tests/manifest`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hwgen.emit._manifest import manifest
from hwgen.pe import families, family


def _document(name: str, **values: Any) -> dict[str, Any]:
    return manifest(family(name).from_values(values), "core", "")


def _port(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(port for port in document["ports"] if port["name"] == name)
    return found


@pytest.mark.parametrize(
    ("name", "values", "acts", "weights"),
    [
        ("int", {}, True, True),
        ("int", {"scheme": "asymmetric"}, True, False),
        ("lut", {}, True, False),
        ("lut", {"precompute": "external"}, True, False),
        ("lut", {"acts": "fp16"}, True, False),
        ("lut", {"acts": "fp16", "align_scope": "step"}, False, False),
        ("mx", {"weights": "mxint8", "acts": "mxfp4"}, False, True),
        # Words of a mode of integers are two's complement, those of other modes are codes.
        ("bitmod", {"acts": "int8"}, True, False),
        ("posit", {}, False, False),
    ],
)
def test_operands_in_twos_complement_are_signed(name: str, values: Any, acts: bool, weights: bool) -> None:
    document = _document(name, **values)
    assert _port(document, "i_acts")["packing"]["signed"] is acts
    assert _port(document, "i_weights")["packing"]["signed"] is weights


@pytest.mark.parametrize(
    ("name", "values", "encoding", "words"),
    [
        ("mx", {}, "fp32", "FP32 results, 4 a beat"),
        ("posit", {"post_lanes": 2, "readout": "posit"}, "posit16_1", "posit16_1 results in the lowest bits of 32, 2"),
        ("posit", {"post_lanes": 2, "readout": "fp16"}, "fp16", "fp16 results in the lowest bits of 32, 2 a beat"),
    ],
)
def test_results_are_called_what_they_are(name: str, values: Any, encoding: str, words: str) -> None:
    document = _document(name, **values)
    port = _port(document, "o_y")
    assert port["encoding"] == encoding == document["outputs"]["o_y"]["encoding"]
    assert port["meaning"].startswith(words)


def _encodings(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["encoding"]} if isinstance(value.get("encoding"), str) else set()
        return own.union(*(_encodings(inner) for inner in value.values()))
    return set().union(*(_encodings(inner) for inner in value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("name", families())
def test_every_encoding_is_described(name: str) -> None:
    document = _document(name)
    assert document == json.loads(json.dumps(document))
    assert _encodings(document) <= set(document["encodings"])
    assert len(document["operands"]) == len(document["arithmetic"]) == len(document["modes"])
    assert all(rule["kind"] != "family" and rule["definition"] for rule in document["arithmetic"])


def test_zero_points_of_bit_planes() -> None:
    # Planes of +-1: z' = 2z + 1 - 2^W; two's complement is offset binary with z = 2^(W-1).
    point = _document("lut", bits=3)["correction"]["zero_point"]
    assert (point["times"], point["plus"], point["constant"], point["values"]) == (2, -7, None, [-7, 8, 2])
    assert _document("lut", bits=3, scheme="symmetric")["correction"]["zero_point"]["constant"] == 4
    assert _document("int")["correction"] is None


def test_bit_0_of_fp3_must_be_zero() -> None:
    packing = _document("bitmod")["operands"][4]["weights"]["packing"]
    assert packing["lsb"] == 1
    assert packing["zero_bits"] == [0]
    assert packing["ignored_bits"] == [4, 5, 6, 7]
