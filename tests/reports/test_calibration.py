from __future__ import annotations

from hwgen.pe import families
from reports.calibration import calibrated, left_out_rows, page, provenance_rows


def test_every_table_is_shown_with_its_command_and_every_family() -> None:
    text = page()
    assert [tech.name for tech in calibrated()] == ["asap7", "generic45", "sky130hd"]
    for tech in calibrated():
        said = dict(tuple(row) for row in provenance_rows(tech))
        assert str(said["command"]).startswith("`hwgen calibrate ")
        assert f"## {tech.name}" in text
        assert str(said["library_sha256"]) in text
        shown = [row[0] for row in left_out_rows(tech)]
        left = sorted(set(families()) - set(shown))
        assert shown == sorted(set(families()) - set(left))
        assert f"all other families have in common: {', '.join(left)}." in text or not left
