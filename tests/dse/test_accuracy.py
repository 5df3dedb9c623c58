"""Accuracy as columns of sweeps: those of each point's formats, and nothing where nothing was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dse.accuracy import with_accuracy
from dse.space import Space
from dse.sweep import run_sweep
from dse.tiles import TILES
from hwgen.errors import HwgenError
from hwgen.pe import family
from hwgen.schedule import Layer
from sim.accuracy.recipe import Recipe, recipe
from sim.accuracy.table import Known, known, known_of, table_text
from sim.accuracy.tile import formats_of

LAYERS = [Layer("up", 8, 64, 256)]
KNOWN = {
    recipe({"weights": f"int{bits}/128", "acts": "int8/row@bf16"}).digest_text(): Known(
        bits, 30.0 + 2**-bits, 0.1, 0.9, 9
    )
    for bits in (4, 8)
}


def look(asked: Recipe) -> Known | None:
    return KNOWN.get(asked.digest_text())


def space(**axes: list[object]) -> Space:
    return Space.of("int", {"m": [1, 2], "n": [4, 8], "k": [4], "group": [128], **axes})


def test_rows_have_what_their_formats_have() -> None:
    found = run_sweep([space(bits=[3, 4, 8], post_lanes=[0, 1])], LAYERS, level=with_accuracy(TILES, look)).points
    assert len(found)
    for row in found.to_dict("records"):
        values = {name: row[name] for name in ("bits", "m", "n", "k", "group", "post_lanes")}
        want = look(formats_of(family("int").from_values(values)))
        if row["bits"] == 3:
            assert want is None
            assert np.isnan([row["perplexity"], row["kl_nats"], row["agreement"]]).all()
        else:
            assert want is not None
            assert (row["perplexity"], row["agreement"]) == (want.perplexity, want.agreement)


def test_the_front_has_known_points_alone() -> None:
    level = with_accuracy(TILES, look)
    found = run_sweep([space(bits=[3, 4, 8])], LAYERS, level=level, objectives=("area_um2", "perplexity"))
    assert set(found.front["bits"]) == {4, 8}
    with pytest.raises(HwgenError, match="perplexity was measured of no point's formats"):
        run_sweep([space(bits=[3])], LAYERS, level=level, objectives=("area_um2", "perplexity"))


def test_without_the_level_there_is_no_such_column() -> None:
    assert "perplexity" not in run_sweep([space(bits=[4])], LAYERS).points
    with pytest.raises(HwgenError, match="objective must be one of"):
        run_sweep([space(bits=[4])], LAYERS, objectives=("area_um2", "perplexity"))


def test_what_looks_is_asked_once_for_equal_formats() -> None:
    asked: list[str] = []

    def count(one: Recipe) -> Known | None:
        asked.append(one.digest_text())
        return look(one)

    run_sweep([space(bits=[4, 8])], LAYERS, level=with_accuracy(TILES, count))
    assert len(asked) == len(set(asked)) == 2


def test_a_table_comes_back(tmp_path: Path) -> None:
    said = recipe({"weights": "int4", "acts": "int8"})
    path = tmp_path / "some.csv"
    path.write_text(table_text([(said, Known(4.125, 40.5, 0.25, 0.75, 3069))]))
    assert known_of(said, path) == Known(4.125, 40.5, 0.25, 0.75, 3069)
    assert known_of(recipe({"weights": "int5"}), path) is None


@pytest.mark.parametrize(
    ("old", "new"), [("40.5", "0.5"), ("0.75", "1.75"), ("40.5", "x"), ("perplexity", "loss"), ("40.5,", "")]
)
def test_a_damaged_table_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = tmp_path / "some.csv"
    path.write_text(table_text([(recipe({"weights": "int4"}), Known(4.125, 40.5, 0.25, 0.75, 3069))]).replace(old, new))
    with pytest.raises(HwgenError, match=r"table of accuracies .* cannot be read"):
        known(path)
