"""The page of swept accelerators: one block of a model, and a front that is walked cycle by cycle."""

from __future__ import annotations

import re
from dataclasses import replace

from reports.accelerator_sweep import PHASES, block, checked, figure, page, swept

TILE = {"m": (8,), "n": (16,), "k": (8,), "bits": (4,), "group": (64,), "post_lanes": (8,)}
AROUND = {"bus_bits": (256, 512), "weight_ring": (128,), "act_ring": (128, 2048), "outstanding": (8,)}


def test_layers_are_those_of_one_block() -> None:
    for phase, tokens in (("prefill", 128), ("decode", 1)):
        assert [(one.m, one.n, one.k, one.count) for one in block(phase)] == [
            (tokens, 576, 576, 2),
            (tokens, 192, 576, 2),
            (tokens, 1536, 576, 2),
            (tokens, 576, 1536, 1),
        ]


def test_a_small_page() -> None:
    results = {phase: swept(phase, TILE, AROUND) for phase in PHASES}
    fronts = checked({"decode": results["decode"]}, most=2, processes=1) | {"prefill": []}
    assert fronts["decode"]
    assert all(abs(one.error) < 0.05 for one in fronts["decode"])
    text = page(results, fronts)
    best = results["decode"].front.iloc[0]
    assert f"| {best['cycles']:,} | {fronts['decode'][0].cycles:,} |" in text
    assert "| bus_bits | 512 |" in text
    wrong = [replace(one, cycles=4 * one.cycles) for one in fronts["decode"]]
    assert re.search(r"largest difference 7\d\.\d\d%", page(results, {**fronts, "decode": wrong}))
    drawn = figure(results)
    assert len([axes for axes in drawn.axes if axes.get_title()]) == 4
