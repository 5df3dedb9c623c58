"""The page on run-time modes of MX tiles: all formats and sets, and ratios of what was mapped."""

from __future__ import annotations

from hwgen.formats import block_format, block_names
from hwgen.pe import family
from reports.mx_modes import SHAPE, Mapped, designs, page


def test_designs_are_all_formats_and_all_sets() -> None:
    found = designs()
    specs = {name: family("mx").from_values({**SHAPE, **values}) for name, values in found.items()}
    alone = [name for name in block_names() if block_format(name).scheme == "mx"]
    assert [name for name, spec in specs.items() if len(spec.modes()) == 1] == alone
    legal = family("mx").parameters()["mode_set"].legal
    assert {spec.p["mode_set"] for spec in specs.values()} == set(legal or ())  # type: ignore[arg-type]


def test_ratios_are_of_cells_with_their_front_ends() -> None:
    mapped = [
        Mapped("a", ("a",), 10, {"cell": 80.0, "row": 10.0, "col": 10.0}, 1.0),
        Mapped("b", ("b",), 20, {"cell": 180.0, "row": 10.0, "col": 10.0}, 2.0),
        Mapped("modes x", ("a", "b"), 20, {"cell": 220.0, "row": 15.0, "col": 15.0}, 2.5),
    ]
    text = page({"sky130hd": mapped}, {"sky130hd": 4.0})
    assert "## sky130hd, sized for 4 ns" in text
    # 250 of 200, and of 100 + 200.
    assert "| modes x | 2 | 20 | 220 | 15 | 15 | 2.50 | 1.25 | 0.83 |" in text
    assert "| a | 1 | 10 | 80 | 10 | 10 | 1.00 |  |  |" in text
