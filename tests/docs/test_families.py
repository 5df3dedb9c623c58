"""docs/families.md is what the families say today, and they say all that it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hwgen.frame.parameters import family_doc
from hwgen.pe import TileSpec, families
from reports.diagram import boxes, diagram_svg
from reports.families import FOLDER, PAGE, page, shown_tile, variants

ROOT = Path(__file__).parents[2]
FAMILIES = families()


def texts(svg: str) -> list[str]:
    """Text of a drawing, without its geometry, which may differ from one version of the plotter to the next."""
    return re.findall(r">([^<>\n]+)</", svg)


def test_the_page_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(), "run python -m reports.families"


@pytest.mark.parametrize("name", FAMILIES)
def test_the_diagram_is_current(name: str) -> None:
    drawn = diagram_svg(shown_tile(FAMILIES[name]))
    assert texts(drawn), name
    assert texts((ROOT / FOLDER / f"{name}.svg").read_text(encoding="utf-8")) == texts(drawn)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_explains_itself(name: str) -> None:
    family = FAMILIES[name]
    doc = family_doc(family)
    assert "Source:" in doc
    assert "Timing:" in doc
    for method in ("build_row", "build_col", "build_cell", "build_row_sum"):
        own = vars(family).get(method)
        if own is not None:
            assert own.__doc__, f"{name}.{method} has no docstring: the diagram shows its first sentence"
    for kind, box in boxes(shown_tile(family)).items():
        assert box.words, kind


@pytest.mark.parametrize("name", FAMILIES)
def test_variants_visit_the_sweep_values_of_own_parameters(name: str) -> None:
    family = FAMILIES[name]
    shown = variants(family)
    frame = set(TileSpec.parameters()) | {"post_lanes"}
    for parameter, p in family.parameters().items():
        if parameter not in frame:
            assert {getattr(spec, parameter) for spec in shown} >= set(p.sweep), parameter
