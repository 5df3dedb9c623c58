"""``python -m reports.families``: docs/families.md and its diagrams, generated from the families themselves."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hwgen.errors import HwgenError
from hwgen.files import write_atomic
from hwgen.frame.parameters import family_doc
from hwgen.pe import TileSpec, families
from reports.command_line import without_options
from reports.diagram import diagram_svg

__all__ = ["ERRORS", "FOLDER", "PAGE", "main", "page", "shown_tile", "table", "variants"]

PAGE = Path("docs/families.md")
FOLDER = Path("docs/families")
ERRORS = Path("reports/results/errors.json")

_FRAME = ("m", "n", "k", "group", "depth", "overflow", "stages", "transport", "post_lanes")
"""Parameters of every family, shown once."""

_KEPT = ("m", "n", "k", "overflow", "stages", "transport")
"""Parameters that a shown tile keeps at their defaults."""

_INTRODUCTION = """\
Every tile is built from five kinds of block. `row` (M of them) prepares K activation codes, `col` (N) K weight codes,
`cell` (M·N) combines one row bus with one column bus and accumulates, `rowsum` (M) adds up activations where a zero
point needs them, and `post` lanes scale the sums of a group and add them up in FP32. Some activations pass a `pre`
block before the activation buffer. The diagrams show the default tile (with post lanes where the family has them), what
each block does, how many one-bit primitives one copy has (`ff` flip-flop, `add` full adder, `mux2` two-way multiplexer,
`xor`, `and`, `mul` partial-product bit), and the width of every bus. Cycles and widths are those of the RTL: the tests
count them."""


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Markdown table of anything that prints."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += [
        "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows
    ]
    return "\n".join(lines)


def shown_tile(family: type[TileSpec]) -> TileSpec:
    """The tile that a family's diagram shows: the default one, with post lanes where it can have them."""
    default = family()
    if default.lanes or "post_lanes" not in default.p:
        return default
    for lanes in (2, 4, 8, 1):
        try:
            return family.from_values({"post_lanes": lanes})
        except HwgenError:
            continue
    return default


def _near(family: type[TileSpec], name: str, value: Any) -> TileSpec | None:
    """A legal tile with ``name`` at ``value`` that differs from the default in as little as possible else."""
    options = [
        (other, option)
        for other, p in family.parameters().items()
        if other not in _KEPT and other != name
        for option in (p.sweep or (p.legal if isinstance(p.legal, tuple) else ()))
        if option != p.default
    ]
    for more in (0, 1, 2):
        for extra in itertools.combinations(options, more):
            try:
                return family.from_values({name: value, **dict(extra)})
            except HwgenError:
                continue
    return None


def _changes(spec: TileSpec) -> str:
    known = spec.parameters()
    return " ".join(f"{p.flag} {getattr(spec, name)}" for name, p in known.items() if getattr(spec, name) != p.default)


def variants(family: type[TileSpec]) -> list[TileSpec]:
    """The default tile and, for each sweep value of the family's own parameters, the nearest legal tile that has it."""
    found = {"": family()}
    for name, p in family.parameters().items():
        if name in _FRAME:
            continue
        for value in p.sweep:
            spec = _near(family, name, value)
            if spec is not None:
                found.setdefault(_changes(spec), spec)
    return list(found.values())


def _variant_rows(family: type[TileSpec]) -> list[list[object]]:
    rows: list[list[object]] = []
    for spec in variants(family):
        mode = spec.modes()[spec.layer_mode]
        pre = spec.pre()
        changes = _changes(spec)
        rows.append(
            [
                f"`{changes}`" if changes else "defaults",
                f"{pre.source} → {mode.acts}" if pre is not None and pre.source != mode.acts else mode.acts,
                mode.weights,
                mode.k,
                mode.cycles_per_step,
                mode.latency,
                f"{int(spec.sums_of_cell(spec.p))} × {int(spec.acc_bits(spec.p))}",
                "" if not spec.folds else spec.folds,
            ]
        )
    if not any(row[-1] for row in rows):
        rows = [row[:-1] for row in rows]
    return rows


def _parameters(family: type[TileSpec], names: Iterable[str]) -> str:
    known = family.parameters()
    rows = [
        [
            f"`{known[name].flag}`",
            known[name].default,
            known[name].allowed.removeprefix("a whole number "),
            known[name].doc,
        ]
        for name in names
    ]
    return table(["flag", "default", "allowed", "meaning"], rows)


def _section(name: str, family: type[TileSpec], errors: Mapping[str, Any]) -> str:
    doc = family_doc(family).split("\n", 1)
    parts = [f"## {name}", f"**{doc[0]}**"]
    if len(doc) > 1:
        parts.append(doc[1].strip())
    parts.append(f"![Block diagram of the {name} tile](families/{name}.svg)")
    own = [parameter for parameter in family.parameters() if parameter not in _FRAME]
    parts += ["### Parameters of its own", _parameters(family, own)]
    default = family()
    modes = default.modes()
    if len(modes) > 1:
        parts.append("### Run-time modes")
        parts.append(
            table(
                ["mode", "activations", "weights", "elements along K a step", "cycles a step", "latency", "sums"],
                [[m.name, m.acts, m.weights, m.k, m.cycles_per_step, m.latency, m.lanes] for m in modes],
            )
        )
    rows = _variant_rows(family)
    header = [
        "setting",
        "activations",
        "weights",
        "elements along K a step",
        "cycles a step",
        "latency",
        "sums × bits",
        "fold cycles",
    ]
    parts += ["### Formats, cycles and widths", table(header[: len(rows[0])], rows)]
    if name in errors:
        entry = errors[name]
        parts.append("### Error of its arithmetic against exact arithmetic")
        parts.append(entry["text"])
        columns = list(entry["rows"][0])
        parts.append(table(columns, [[row[column] for column in columns] for row in entry["rows"]]))
    return "\n\n".join(parts)


def _overview() -> str:
    rows = []
    for name, family in families().items():
        spec = family()
        mode = spec.modes()[spec.layer_mode]
        rows.append(
            [f"[`{name}`](#{name})", family.summary().rstrip("."), f"{mode.acts} × {mode.weights}", len(spec.modes())]
        )
    return table(["family", "what it is", "default formats", "run-time modes"], rows)


def page() -> str:
    """Text of docs/families.md."""
    errors = json.loads(ERRORS.read_text()) if ERRORS.exists() else {}
    first = next(iter(families().values()))
    frame = [name for name in _FRAME if name in first.parameters()]
    parts = [
        "# PE families",
        "Made by `python -m reports.families` from the families themselves; error tables: `python -m reports.errors`.",
        _overview(),
        _INTRODUCTION,
        "## Parameters of every family",
        "Defaults are those of `" + first.family + "`; `hwgen show FAMILY` prints a family's own.",
        _parameters(first, frame),
    ]
    parts += [_section(name, family, errors) for name, family in families().items()]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Write the page and one diagram a family."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, family in families().items():
        write_atomic(FOLDER / f"{name}.svg", diagram_svg(shown_tile(family)), f"diagram of {name}")
    write_atomic(PAGE, page(), "families")


if __name__ == "__main__":
    without_options(main, __doc__)
