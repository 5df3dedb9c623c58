"""Proofs of the families' default tiles: what is proved of the emitted Verilog, how, and in how long.

    python -m reports.proofs [FAMILY ...] [accelerator]

writes reports/results/proofs.md and proofs.json. With names, only those are proved anew and the others keep their
committed figures.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hwgen.accelerator import Design, emit_accelerator
from hwgen.cli._tech import DEFAULT_TECH, made_tile
from hwgen.emit import emit
from hwgen.files import write_atomic
from hwgen.pe import family, family_names
from hwgen.prove import prove, summary
from hwgen.prove.accelerator import accelerator_manifest, accelerator_text
from reports.provenance import provenance, write_result

__all__ = ["ACCELERATOR", "LIMIT_S", "PAGE", "body", "main", "measure"]

RESULTS = Path(__file__).parent / "results"
PAGE, STORED = RESULTS / "proofs.md", RESULTS / "proofs.json"
LIMIT_S = 900.0
MUTANTS = 24
ACCELERATOR = "accelerator"
"""What is around a tile, in a small design: the same claims about large rings take longer than this."""
_TILE = {"m": 1, "n": 8, "k": 4, "bits": 4, "group": 8, "depth": 16, "post_lanes": 1}
_DESIGN = {"bus_bits": 64, "weight_ring": 2, "act_ring": 8, "burst": 2, "outstanding": 2, "count_bits": 8}
_SHOWN = ("element", "place", "before", "cycle", "found", "wanted")


def measure(name: str, limit_s: float = LIMIT_S, mutants: int = MUTANTS) -> dict[str, Any]:
    """Certificate of a family's default tile, or of the small accelerator, without its manifest."""
    if name == ACCELERATOR:
        emission = emit_accelerator(Design.from_values(family("int").from_values(_TILE), _DESIGN))
        verilog = accelerator_text(emission)
        found = prove(verilog, accelerator_manifest(emission.design, emission.top, verilog), limit_s=limit_s)
        found["commit"] = provenance()["commit"]
        found["tile"] = {key: _TILE[key] for key in ("m", "n", "k")} | _DESIGN
        del found["manifest"]
        return found
    tile, clock = made_tile(family(name), {}, DEFAULT_TECH, None)
    one = emit(tile, clock=clock.document())
    found = prove(one.verilog, one.manifest, limit_s=limit_s, mutants=mutants)
    found["commit"] = provenance()["commit"]
    found["tile"] = {key: value for key, value in one.manifest["parameters"].items() if key in ("m", "n", "k")}
    del found["manifest"]
    kept: set[str] = set()
    for fault in (found["mutation"] or {}).get("faults", ()):
        # One counterexample with all its inputs for each obligation: those of a wide tile are long.
        example = fault.get("counterexample")
        if example and fault["obligation"] in kept:
            fault["counterexample"] = {key: example[key] for key in _SHOWN}
        elif example:
            kept.add(fault["obligation"])
    return found


def _commits(stored: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Which rows are of which commit."""
    found: dict[str, list[str]] = {}
    for name, entry in stored.items():
        found.setdefault(entry["commit"], []).append(name)
    return list(found.items())


def _flags() -> str:
    """Options of the small accelerator."""
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in {"pe": "int", **_TILE, **_DESIGN}.items())


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def body(stored: Mapping[str, Mapping[str, Any]]) -> str:
    """The page's tables."""
    lines = [
        "Default tile of each family, its Verilog read back (`hwgen prove --pe FAMILY`, "
        f"[proofs.md](../../docs/proofs.md)); at most {LIMIT_S:g} s a family. *refused* seeded faults: gates of the "
        "read text changed at random, and the same proofs tried; *same*: the proofs hold of the changed gate too, "
        "which then changes nothing that they say; *undecided*: neither in 20 s. *accelerator* is a small one around "
        f"an `int` tile (`hwgen prove --level accelerator {_flags()}`); mistakes in its source are on "
        "[axi_rules.md](axi_rules.md).",
        "",
        "Proved at commit " + "; ".join(f"{commit}: {', '.join(names)}" for commit, names in _commits(stored)) + ".",
        "",
        "| family | tile | proved | refuted | open | seconds | seeded faults | refused | same | undecided |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, found in stored.items():
        counts = summary(found["obligations"])
        tile = " ".join(f"{key} {value}" for key, value in found["tile"].items())
        seconds = sum(entry["seconds"] for entry in found["obligations"])
        faults = found["mutation"] or {"seeded": 0, "refuted": 0, "same": 0, "open": 0}
        numbers = [counts[what] for what in ("proved", "refuted", "open")]
        shown = [*numbers, f"{seconds:.1f}", *(faults[what] for what in ("seeded", "refuted", "same", "open"))]
        lines.append(f"| {name} | {tile} | " + " | ".join(map(str, shown)) + " |")
    lines += [
        "",
        "## Obligations",
        "",
        "| family | obligation | blocks | status | method | solver | seconds | detail |",
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for name, found in stored.items():
        for entry in found["obligations"]:
            shown = [
                name,
                entry["name"],
                ", ".join(entry["blocks"]),
                entry["status"],
                entry["method"],
                entry["solver"],
                f"{entry['seconds']:.1f}",
                entry["detail"],
            ]
            lines.append("| " + " | ".join(map(_cell, shown)) + " |")
    lines += ["", *_faults(stored), "", "## What they say", ""]
    sentences: dict[str, str] = {}
    for found in stored.values():
        for entry in found["obligations"]:
            sentences.setdefault(entry["name"], entry["sentence"])
    lines += [f"- `{name}`: {sentence}." for name, sentence in sorted(sentences.items()) if sentence]
    return "\n".join(lines)


def _faults(stored: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Each seeded fault with what became of it."""
    lines = [
        "## Seeded faults",
        "",
        "Each gate that was changed, the obligation that was refuted by that, and the counterexample: what is then "
        "seen, what it was before the step, what it is and what it should be. `proofs.json` has the inputs, cycle by "
        "cycle, of the first one of each obligation; `hwgen.prove.bench.counterexample_bench` makes a bench of it, "
        "which runs.",
        "",
        "| family | gate | verdict | seen | before | is | should be |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in stored.items():
        for fault in (found["mutation"] or {}).get("faults", ()):
            example = fault.get("counterexample", {})
            seen = f"{example['element']}[{example['place']}] in cycle {example['cycle']}" if example else ""
            verdict = f"{fault['status']}: {fault['obligation']}" if "obligation" in fault else fault["status"]
            values = (str(example.get(key, "")) for key in ("before", "found", "wanted"))
            lines.append("| " + " | ".join(map(_cell, (name, fault["gate"], verdict, seen, *values))) + " |")
    return lines


def main(names: Iterable[str]) -> int:
    """Prove families, all without names, and write the page. Returns 1 where something is refuted."""
    stored: dict[str, Any] = json.loads(STORED.read_text(encoding="utf-8")) if STORED.exists() else {}
    every = [*family_names(), ACCELERATOR]
    wanted = list(names) or every
    for name in wanted:
        stored[name] = measure(name)
        seeded = {what: number for what, number in (stored[name]["mutation"] or {}).items() if what != "faults"}
        print(f"{name}: {summary(stored[name]['obligations'])} {seeded}", flush=True)
        stored = {known: stored[known] for known in every if known in stored}
        write_atomic(STORED, json.dumps(stored, indent=1) + "\n", "proofs")
        write_result(PAGE, "Proofs", "python -m reports.proofs", body(stored), provenance())
    return int(any(summary(found["obligations"])["refuted"] for found in stored.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
