"""Certificates: what was proved of which text, how, by what, and in how long; and the same again from the text."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from hwgen.errors import HwgenError
from hwgen.prove.obligations import Obligation, Result, Subject
from hwgen.prove.unroll import deep

__all__ = ["VERSION", "checked", "prove", "rerun", "summary"]

VERSION = 1
_FIELDS = ("certificate_version", "verilog_sha256", "manifest", "obligations")

Told = Callable[[str, int, int], None]


def _entry(obligation: Obligation, result: Result) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": obligation.name,
        "blocks": list(obligation.blocks),
        "sentence": obligation.sentence,
        "method": obligation.method,
        "solver": obligation.solver,
        "status": result.status,
        "seconds": round(result.seconds, 3),
        "detail": result.detail,
    }
    if result.counterexample is not None:
        found["counterexample"] = result.counterexample.document()
    return found


class _Subject(Protocol):
    """A text with what is to be proved of it."""

    def obligations(self) -> list[Obligation]: ...


def subject_of(verilog: str, manifest: Mapping[str, Any]) -> _Subject:
    """The text of a tile, or of an accelerator where the manifest says so."""
    if "level" in manifest:
        from hwgen.prove.accelerator import AcceleratorSubject

        return AcceleratorSubject(verilog, manifest)
    return Subject(verilog, manifest)


_SHARE = 0.1
"""Of the time limit, what one obligation may take before the others had their turn."""


@deep()
def prove(
    verilog: str,
    manifest: Mapping[str, Any],
    *,
    limit_s: float = 900.0,
    mutants: int = 0,
    told: Told = lambda name, done, all_of: None,
) -> dict[str, Any]:
    """Prove what a manifest says of a Verilog text within ``limit_s`` seconds; returns the certificate.

    ``mutants`` faults are seeded into the netlist that the text is, to see which of them the proofs refuse.
    Raises `HwgenError` for a text that is not the one of the manifest.
    """
    from hwgen.emit._manifest import package_versions
    from hwgen.prove.mutants import score

    digest = hashlib.sha256(verilog.encode()).hexdigest()
    if manifest["verilog_sha256"] != digest:
        raise HwgenError(f"prove: the manifest must be that of the Verilog, but its hash is of another text ({digest})")
    begun = time.monotonic()
    subject = subject_of(verilog, manifest)
    obligations = subject.obligations()
    results: list[Result] = []
    for at, one in enumerate(obligations):
        told(one.name, at, len(obligations))
        results.append(one.proved(min(limit_s - (time.monotonic() - begun), limit_s * _SHARE)))
    for at, (one, result) in enumerate(zip(obligations, results, strict=True)):
        left = limit_s - (time.monotonic() - begun)
        if result.status == "open" and result.seconds > limit_s * _SHARE / 2 and left > result.seconds:
            told(one.name, at, len(obligations))
            results[at] = one.proved(left)
    entries = [_entry(one, result) for one, result in zip(obligations, results, strict=True)]
    certificate: dict[str, Any] = {
        "certificate_version": VERSION,
        "family": manifest["family"],
        "top": manifest["top"],
        "verilog_sha256": digest,
        "limit_s": limit_s,
        "seconds": 0.0,
        "versions": package_versions(),
        "obligations": entries,
        "mutation": None,
        "manifest": dict(manifest),
    }
    whole = all(entry["status"] == "proved" for entry in entries if entry["name"].startswith(("step.", "idle.")))
    if mutants and isinstance(subject, Subject) and whole and all(entry["status"] != "refuted" for entry in entries):
        told("mutants", len(obligations), len(obligations))
        proved = [entry["name"] for entry in entries if entry["status"] == "proved"]
        certificate["mutation"] = score(subject, proved, mutants, limit_s - (time.monotonic() - begun))
    certificate["seconds"] = round(time.monotonic() - begun, 3)
    return certificate


def checked(certificate: Any, verilog: str, name: str, file: str) -> Mapping[str, Any]:
    """A certificate that is one, and is of this text. Raises `HwgenError` in one sentence otherwise."""
    if not isinstance(certificate, Mapping) or any(field not in certificate for field in _FIELDS):
        raise HwgenError(f"check: {name} must be a certificate of `hwgen prove`, with {', '.join(_FIELDS)}")
    if certificate["certificate_version"] != VERSION:
        raise HwgenError(
            f"check: {name} must be a certificate of version {VERSION}, not {certificate['certificate_version']!r}"
        )
    digest = hashlib.sha256(verilog.encode()).hexdigest()
    if certificate["verilog_sha256"] != digest:
        raise HwgenError(
            f"check: {name} must be the certificate of {file}, but it is of a text with SHA-256 "
            f"{str(certificate['verilog_sha256'])[:16]}…, not {digest[:16]}…"
        )
    _check_manifest(certificate["manifest"], verilog, name)
    return certificate


def _check_manifest(stated: Any, verilog: str, name: str) -> None:
    """What a certificate says that was to be proved must be what the tile's parameters say."""
    from hwgen.emit import Emission, Reset
    from hwgen.emit._manifest import spec_from_manifest
    from hwgen.emit._names import axi_stream_name

    if "level" in stated:
        from hwgen.prove.accelerator import accelerator_manifest, design_of

        _same(stated, accelerator_manifest(design_of(stated), stated["top"], verilog), name)
        return
    spec = spec_from_manifest(stated)
    reset = Reset(stated["reset"]["kind"], stated["reset"]["active"])
    streamed = f"module {axi_stream_name(stated['top'])}(" in verilog
    _same(stated, Emission(spec, stated["top"], verilog, reset, streamed).manifest, name)


def _same(stated: Any, own: Mapping[str, Any], name: str) -> None:
    for field, value in own.items():
        if field not in ("versions", "pipeline") and stated.get(field) != value:
            raise HwgenError(f"check: {name} must state what its parameters say, but {field} of its manifest does not")


@deep()
def rerun(
    certificate: Mapping[str, Any],
    verilog: str,
    names: Iterable[str] = (),
    *,
    limit_s: float = 900.0,
    told: Told = lambda name, done, all_of: None,
) -> list[dict[str, Any]]:
    """Prove obligations of a certificate again, all that it says are proved where no ``names`` are given.

    Returns their entries. Raises `HwgenError` for a name that the certificate has not.
    """
    stated = {entry["name"]: entry for entry in certificate["obligations"]}
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in stated:
            raise HwgenError(f"check: --obligation must be one of {', '.join(stated)}, not {name!r}")
    if not wanted:
        wanted = [name for name, entry in stated.items() if entry["status"] == "proved"]
    begun = time.monotonic()
    known = {one.name: one for one in subject_of(verilog, certificate["manifest"]).obligations()}
    found = []
    for at, name in enumerate(wanted):
        told(name, at, len(wanted))
        found.append(_entry(known[name], known[name].proved(limit_s - (time.monotonic() - begun))))
    return found


def summary(entries: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Number of obligations by status."""
    found = {"proved": 0, "refuted": 0, "open": 0}
    for entry in entries:
        found[entry["status"]] += 1
    return found
