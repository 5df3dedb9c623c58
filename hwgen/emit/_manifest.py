"""The manifest: a JSON document from which the spec can be rebuilt and the Verilog driven."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from hwgen.emit._names import companion_name, pre_name
from hwgen.emit._reset import Reset, clock_ports
from hwgen.errors import HwgenError
from hwgen.formats import get
from hwgen.frame.interface import tile_ports
from hwgen.frame.ports import PortInfo, component_ports
from hwgen.frame.spec import TileSpec

__all__ = ["MANIFEST_VERSION", "manifest", "package_versions", "port_entry", "spec_from_manifest"]

MANIFEST_VERSION = 2
_READ_VERSIONS = (1, 2)
"""Versions of which a spec can be rebuilt: the second says more, and says it of signed operands, too."""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def package_versions() -> dict[str, str]:
    """Versions of this package, and of those that the Verilog depends on."""
    from hwgen.version import __version__

    return {"hwgen": __version__, **{name: _version(name) for name in ("amaranth", "pyosys", "numpy")}}


def port_entry(port: PortInfo) -> dict[str, Any]:
    """One port, JSON-serialisable."""
    entry: dict[str, Any] = {
        "name": port.name,
        "direction": port.direction,
        "width": port.width,
        "role": port.role,
        "meaning": port.meaning,
    }
    if port.shape:
        entry["packing"] = {
            "shape": list(port.shape),
            "element_bits": port.bits,
            "signed": port.signed,
            "order": "row-major, element 0 in the least significant bits",
        }
    if port.encoding:
        entry["encoding"] = port.encoding
    if port.values is not None:
        entry["values"] = {"start": port.values.start, "stop": port.values.stop, "step": port.values.step}
    if port.delay != "0":
        entry["delay_cycles"] = port.delay
    return entry


def _pipeline(spec: TileSpec, clock: Mapping[str, Any] | None) -> dict[str, Any]:
    """Registers within each kind of block, cycles of their loops, and the clock that placed them (null: by hand)."""
    found: dict[str, dict[str, int]] = {"cuts": {}, "loop_cycles": {}}
    there = [kind for kind, block in spec.modules(spec.p).items() if block.count]
    for name, one in spec.cut_parameters().items():
        for kind in one.cuts:
            if kind in there:
                found["loop_cycles" if one.loop else "cuts"][kind] = spec.p[name]
    return {"clock": None if clock is None else dict(clock), **found}


def manifest(
    spec: TileSpec, top: str, verilog: str, reset: Reset | None = None, clock: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Everything that a user of the Verilog needs to know; see docs/manifest.md for the fields.

    ``clock``: technology and period for which registers were placed, if they were.
    """
    p = spec.p
    reset = reset or Reset()
    wires = clock_ports(reset)
    document: dict[str, Any] = {
        "manifest_version": MANIFEST_VERSION,
        "family": spec.family,
        "summary": spec.summary(),
        "top": top,
        "parameters": p,
        "formats": {"acts": spec.act_format.name, "weights": spec.weight_format.name, "sum_lsb_exp": spec.lsb_exp},
        "quantization": dataclasses.asdict(spec.quantization()),
        "modes": [dataclasses.asdict(mode) for mode in spec.modes()],
        "timing": {
            "cycles_per_step": int(spec.cycles_per_step(p)),
            "interval": int(spec.interval(p)),
            "latency": int(spec.latency(p)),
            "fold_cycles": spec.folds,
            "skew": int(spec.skew(p)),
            "post_beats": int(spec.post_beats(p)),
            "post_latency": int(spec.post_latency(p)) if spec.lanes else 0,
            "post_cycles": int(spec.post_cycles(p)),
            "drain": int(spec.drain(p)),
        },
        "pipeline": _pipeline(spec, clock),
        "operands": [_operands(spec, mode) for mode in range(len(spec.modes()))],
        "arithmetic": [spec.arithmetic(mode) for mode in range(len(spec.modes()))],
        "outputs": _outputs(spec),
        "correction": spec.correction(),
        "post": spec.post_arithmetic() if spec.lanes else None,
        "reset": {"port": reset.port, "kind": reset.kind, "active": reset.active},
        "ports": [port_entry(port) for port in [*wires, *tile_ports(spec)]],
        "versions": package_versions(),
        "verilog_sha256": hashlib.sha256(verilog.encode()).hexdigest(),
    }
    pre = spec.pre()
    if pre is not None:
        document["pre"] = {
            "top": pre_name(top),
            "summary": pre.summary,
            "ports": [port_entry(port) for port in [*wires, *pre.ports()]],
            "arithmetic": pre.describe(),
            "timing": {"cycles_per_beat": 1, "latency": pre.latency, "passes": pre.passes},
        }
    companions = {
        name: {
            "top": companion_name(top, name),
            "summary": companion.summary,
            "ports": [port_entry(port) for port in [*wires, *component_ports(companion)]],
            **({"arithmetic": dict(companion.arithmetic)} if companion.arithmetic else {}),
        }
        for name, companion in spec.companions().items()
    }
    if companions:
        document["companions"] = companions
    document["encodings"] = _encodings(spec, document)
    # Tuples become lists: the document is what its text says.
    copied: dict[str, Any] = json.loads(json.dumps(document))
    return copied


def _operands(spec: TileSpec, mode: int) -> dict[str, Any]:
    """How many codes a row and a column take in a step, of which format, and how they lie in the port's elements."""
    names, counts = spec.mode_formats(mode), spec.code_columns(mode)
    packings = (spec.act_packing(mode), spec.weight_packing(mode))
    found = {}
    for role, form, count, packing in zip(("acts", "weights"), names, counts, packings, strict=True):
        found[role] = {"encoding": packing.get("codes", form.name), "codes_per_step": count, "packing": packing}
    return found


def _outputs(spec: TileSpec) -> dict[str, Any]:
    if spec.lanes:
        return {"o_y": {"kind": "encoding", "encoding": spec.result_format}}
    found = {"o_sums": spec.sum_encoding()}
    if spec.has_row_sums:
        found["o_row_sums"] = {"kind": "integer", "signed": True, "unit_exp": spec.row_lsb_exp}
    return found


def _encodings(spec: TileSpec, document: Mapping[str, Any]) -> dict[str, Any]:
    """What the codes mean, for every encoding that the document names."""
    formats = {form.name: form for mode in range(len(spec.modes())) for form in spec.mode_formats(mode)}
    own = spec.own_encodings()
    names = sorted(set(_named(document)))
    return {name: own[name] if name in own else (formats.get(name) or get(name)).describe() for name in names}


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key in ("encoding", "source", "target") and isinstance(inner, str):
                yield inner
            else:
                yield from _named(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _named(inner)


def spec_from_manifest(document: Mapping[str, Any] | str) -> TileSpec:
    """Rebuild the spec that a manifest describes. Raises `HwgenError` for a document that is none."""
    from hwgen.pe import family

    if isinstance(document, str):
        try:
            document = json.loads(document)
        except json.JSONDecodeError as error:
            raise HwgenError(f"manifest: must be a JSON document: {error}") from error
    if not isinstance(document, Mapping):
        raise HwgenError("manifest: must be a JSON object with family and parameters")
    found = document.get("manifest_version")
    if found not in _READ_VERSIONS:
        raise HwgenError(f"manifest: manifest_version must be {' or '.join(map(str, _READ_VERSIONS))}, not {found!r}")
    return family(document["family"]).from_values(document["parameters"])
