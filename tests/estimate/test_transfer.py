"""Quick calibrations: blocks of known libraries scaled by a few that were measured on a new one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.options import CalibrateOptions
from hwgen.pe import families
from hwgen.synth import generic_library
from sim.calibrate import calibrate, references
from sim.calibrate.transfer import Reference, quick_tiles, scaled
from sim.tech import CalibratedTech, load
from sim.tech._calibrated import QUANTITIES, SCALED, TILE, Measured

KNOWN = references(generic_library())
FACTORS = {"area_um2": 0.05, "min_clk_period_ns": 0.2, "clock_pj": 0.01, "active_pj": 0.03, "leakage_uw": 4.0}
"""A library of another node: what it makes of every quantity."""


def as_new(entry: Measured, seed: int) -> Measured:
    """A block on the new library: by its factors, a flip-flop dearer than other logic, and a little noise."""
    rng = np.random.default_rng(seed)
    counts = entry.features.counts
    share = float(counts["ff"]) / max(float(sum(counts.values())), 1.0)
    values = {
        name: None if value is None else value * FACTORS[name] * (1 + 0.3 * share) * np.exp(0.02 * rng.normal())
        for name, value in entry.values.items()
    }
    return replace(entry, values=values)


def own(reference: Reference) -> list[Measured]:
    """Blocks of a reference that were measured."""
    return [entry for entry in reference.blocks if entry.kind != TILE and entry.recipe != SCALED]


def test_a_library_is_no_reference_of_itself() -> None:
    assert {one.name for one in KNOWN} == {"asap7", "sky130hd"}


def test_blocks_are_scaled_to_what_they_are_on_a_new_library() -> None:
    reference = KNOWN[-1]
    blocks = own(reference)
    known = sorted({entry.spec.family for entry in blocks})
    assert set(known) <= set(families())
    chosen = {repr(spec) for name in known for spec in quick_tiles([reference], name, 4)}
    measured = [as_new(entry, 1) for entry in blocks if repr(entry.spec) in chosen]
    assert 4 * len(known) * 3 < len(measured) < len(blocks) / 5
    found = {(repr(entry.spec), entry.kind): entry for entry in scaled([reference], measured)}
    assert len(found) == len({(repr(entry.spec), entry.kind) for entry in blocks})
    for quantity in QUANTITIES:
        errors = []
        for entry in blocks:
            got, want = found[repr(entry.spec), entry.kind].values[quantity], as_new(entry, 2).values[quantity]
            if got and want:
                errors.append(abs(got / want - 1))
        assert np.median(errors) < 0.04, quantity
        assert np.max(errors) < 0.2, quantity


def test_measured_blocks_stay_as_they_were_measured() -> None:
    reference = KNOWN[0]
    blocks = [entry for entry in own(reference) if entry.spec.family == "int"]
    measured = [as_new(entry, 3) for entry in blocks[:12]]
    found = scaled([Reference("one", blocks, {})], measured)
    assert found[: len(measured)] == measured
    assert all(entry.recipe == SCALED for entry in found[len(measured) :])


def test_the_reference_that_tells_more_counts_more() -> None:
    blocks = [entry for entry in own(KNOWN[-1]) if entry.spec.family == "lut" and entry.kind == "cell"]
    rng = np.random.default_rng(5)
    junk = [
        replace(
            entry, values={name: value and value * float(rng.uniform(0.2, 5)) for name, value in entry.values.items()}
        )
        for entry in blocks
    ]
    measured = [as_new(entry, 4) for entry in blocks[::3]]
    found = {
        repr(entry.spec): entry for entry in scaled([Reference("a", blocks, {}), Reference("b", junk, {})], measured)
    }
    errors = []
    for entry in blocks:
        got, want = found[repr(entry.spec)].values["area_um2"], as_new(entry, 4).values["area_um2"]
        assert got is not None
        assert want is not None
        errors.append(abs(got / want - 1))
    assert np.median(errors) < 0.05


@pytest.mark.slow
def test_a_quick_calibration_says_what_it_is(tmp_path: Path) -> None:
    output = tmp_path / "quick.toml"
    done = calibrate(generic_library(), output, CalibrateOptions(quick=True, tiles=2, names=("int",)))
    assert done.tiles == 2
    tech = load(str(output))
    assert isinstance(tech, CalibratedTech)
    assert tech.trust("int") == "scaled from asap7, sky130hd by 2 measured tiles"
    assert tech.trust("lut") == "modelled on other families"
    assert tech.default_clk_period_ns == pytest.approx(1.0, rel=0.1)


def test_quick_needs_a_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.calibrate.references", lambda library, wanted: [])
    with pytest.raises(HwgenError, match="calibrate: quick needs a technology that was measured on another library"):
        calibrate(generic_library(), tmp_path / "x.toml", CalibrateOptions(quick=True))
