from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dse.point import StoredPoint
from dse.space import Space
from hwgen.pe import family
from hwgen.schedule import Layer
from hwgen.verify import Finding
from reports.realised import POINTS, Swept, page, section, swept
from sim.realise import LayerData, Realised, Row
from sim.tech import CalibratedTech, load


def made(area: float, cycles: int = 100) -> Realised:
    tile = family("int").from_values({"bits": 4})
    rows = (
        Row("cycles", 100, cycles, exact=True),
        Row("area_um2", area, 100.0, error=(0.02, 0.1), status="measured"),
        Row("buffer_energy_pj", 5.0, None, status="published"),
    )
    return Realised(
        level="tile",
        family="int",
        parameters=tile.p,
        design=None,
        tech="sky130hd",
        library="cells",
        clk_period_ns=4.0,
        layer=Layer("up", 2, 3, 4),
        operands="random",
        findings=[Finding("corners: values", True)],
        values="",
        compared="golden PyTorch layer",
        rows=rows,
        mapping="as one netlist",
        meets={"predicted": True, "measured": True},
        energy="4 of 4 blocks",
        extrapolated=("k 400 (measured: 1 to 64)",),
        versions="Yosys",
        files={},
    )


def test_there_are_four_families_and_one_accelerator() -> None:
    assert len({one.family for one in POINTS}) == 4
    assert sum(one.around is not None for one in POINTS) == 1
    for one in POINTS:
        assert 4 <= Space.of(one.family, one.axes).size <= 64


def test_a_section_has_every_row() -> None:
    found = made(105.0)
    point = StoredPoint(Path("x.parquet"), 7, "tile", "int", found.parameters, {}, 4.0, (found.layer,), "sky130hd", {})
    text = section(point, (40, 3), found)
    assert "Point 7 of 40 (3 on the front): bits=4; clock 4 ns." in text
    assert "outputs of 2×3×4 and golden PyTorch layer: equal, all bits" in text
    assert "| cycles | 100 | 100 | equal | exact |  |  |" in text
    assert "| area [µm²] | 105 | 100 | +5.0% | 2.0% / 10.0% | within | measured |" in text
    assert "| buffer energy [pJ] | 5 |  |  |  |  | published |" in text
    assert "Extrapolated: k 400 (measured: 1 to 64)." in text


def test_what_is_beyond_is_said_first() -> None:
    good, bad = made(105.0), made(150.0, cycles=101)
    assert "2 of 2 counts of cycles and beats are those predicted. Of 2 costs" in page([], [good, good], "8 tokens")
    text = page([], [good, bad], "8 tokens")
    assert "1 of 2 counts of cycles and beats are those predicted." in text
    assert "1 are within the largest one: beyond are int, area_um2 +50.0%." in text


@pytest.mark.parametrize("one", POINTS, ids=lambda one: one.family)
def test_the_point_is_of_the_front(one: Swept, tmp_path: Path) -> None:
    tech = load("generic45")
    assert isinstance(tech, CalibratedTech)
    data = LayerData("drawn", np.ones((4, 64), np.float32), np.ones((2, 64), np.float32), "ones")
    point, every, front = swept(one, data, tech, tmp_path)
    assert (point.family, point.level) == (one.family, "tile" if one.around is None else "accelerator")
    assert point.number < every
    assert 1 <= front <= every
    assert point.layers == (data.layer,)
