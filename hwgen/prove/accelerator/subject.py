"""All that is to be proved of the emitted text of an accelerator, part by part, and of the tile in it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from hwgen.accelerator import AcceleratorEmission, Design
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.prove.accelerator.machine import Device, Machine
from hwgen.prove.accelerator.rules import DEPTHS, decided, meaning, parts
from hwgen.prove.obligations import Obligation, Result, Subject

__all__ = ["AcceleratorSubject", "accelerator_manifest", "accelerator_text", "claims_of", "design_of"]

LEVEL = "accelerator"
"""What a manifest's ``level`` says where it is that of an accelerator; those of tiles have none."""
_CLOSED = "open_values"
_SENTENCE = "values that the text leaves open reach no register and no output of any of its modules"


def accelerator_text(emission: AcceleratorEmission) -> str:
    """The Verilog of an accelerator without its memories, as its bundle has it."""
    from hwgen.accelerator.bundle._verilog import verilog_files

    return verilog_files(emission)[f"{emission.top}.v"]


def accelerator_manifest(design: Design, top: str, verilog: str) -> dict[str, Any]:
    """What a certificate says of an accelerator: the parameters from which all claims follow."""
    return {
        "level": LEVEL,
        "family": design.tile.family,
        "top": top,
        "design": dict(design.p),
        "design_hash": f"{design.digest:08x}",
        "tile": dict(design.tile.p),
        "verilog_sha256": hashlib.sha256(verilog.encode()).hexdigest(),
    }


def design_of(manifest: Mapping[str, Any]) -> Design:
    """The design that a manifest describes. Raises `HwgenError` for a document that is none."""
    for name, kind in (("family", str), ("tile", Mapping), ("design", Mapping)):
        if not isinstance(manifest.get(name), kind):
            raise HwgenError(f"manifest: an accelerator's must have family, tile and design, but its {name} is not one")
    return Design.from_values(family(manifest["family"]).from_values(manifest["tile"]), manifest["design"])


class AcceleratorSubject:
    """A Verilog text of an accelerator, with the manifest that says what it is to be."""

    def __init__(self, verilog: str, manifest: Mapping[str, Any]) -> None:
        self.manifest, self.design = manifest, design_of(manifest)
        self.device = Device(verilog, manifest["top"], self.design)
        self._machines: dict[str, Machine] = {}

    def obligations(self) -> list[Obligation]:
        """All of them, in the order in which they are proved: engines first, what takes longest last."""
        closed = Obligation(_CLOSED, ("all",), _SENTENCE, "comparison of functions", "ABC", self._closed)
        return [closed, *self._claims(), *self._tile()]

    def _machine(self, part: str) -> Machine:
        if part not in self._machines:
            self._machines[part] = parts(self.design.streams)[part](self.device)
        return self._machines[part]

    def _closed(self, seconds: float) -> Result:
        ends = time.monotonic() + seconds
        for module in self.device.inner:
            left = ends - time.monotonic()
            if left <= 0:
                return Result("open", detail=f"module {module}: the time limit was over")
            verdict = self.device.closed(module).decide("trigger", seconds=left)
            if not verdict.proved:
                return Result("refuted" if verdict.broken else "open", detail=f"module {module}")
        return Result("proved")

    def _claims(self) -> Iterator[Obligation]:
        for part, names in claims_of(self.design).items():
            for name in names:
                depth = DEPTHS.get(name) if part == LEVEL else None
                method = "property-directed reachability" if depth is None else "bounded model checking"
                solver = "ABC pdr" if depth is None else "ABC bmc3"
                run = partial(self._claim, part, name)
                yield Obligation(f"{part}.{name}", (part,), meaning(name), method, solver, run)

    def _claim(self, part: str, name: str, seconds: float) -> Result:
        verdict = decided(self._machine(part), name, seconds)
        if verdict.broken:
            return Result("refuted", detail=str(verdict))
        if verdict.proved:
            return Result("proved")
        return Result("open", detail=f"{verdict}; no invariant was found" if verdict.depth else "no answer in time")

    def _tile(self) -> Iterator[Obligation]:
        for one in self._tile_subject.obligations():
            yield replace(one, name=f"tile.{one.name}", blocks=tuple(f"tile {block}" for block in one.blocks))

    @cached_property
    def _tile_subject(self) -> Subject:
        from hwgen.emit._manifest import manifest

        top = f"{self.device.top}_tile"
        return Subject(self.device.verilog, manifest(self.design.tile, top, self.device.verilog))


def claims_of(design: Design) -> dict[str, tuple[str, ...]]:
    """Names of claims by part, in the order in which they are proved."""
    memory = ("overflow", "overwritten", "not_there")
    stream = {name: ("page", "length", "owed", *(f"{name}_{one}" for one in memory)) for name in design.streams}
    whole = [f"{name}_{one}" for name in design.streams for one in ("outstanding", "idle", "nothing")]
    channel = [
        f"{way}_{one}" for way in ("ar", "aw") for one in ("stays", "reset", "page", "length", "aligned", "kind")
    ]
    return {
        "registers": (
            *(f"{way}_{one}" for way in "br" for one in ("stays", "reset", "asked", "answers")),
            "one_write",
            "one_read",
        ),
        "control": ("clear_at_rest", "running_busy", "ends_busy", "jobs", "refused"),
        "results": (
            *("writes_outstanding", "writes_idle", "w_underrun", "w_empty"),
            *(f"results_{one}" for one in memory),
        ),
        **stream,
        LEVEL: (*channel, "w_stays", "w_reset", "w_early", "w_last", *whole, "begins", *DEPTHS),
    }
