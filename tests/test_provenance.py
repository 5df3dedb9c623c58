"""The commit that results name: dirty with changes of the source, not with those of other results."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hwgen import provenance


def test_results_that_were_made_again_are_no_change_of_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        names = ("-c", "user.name=x", "-c", "user.email=x@x")
        subprocess.run(["git", "-C", str(tmp_path), *names, *words], check=True, capture_output=True)

    source, result = tmp_path / "hwgen" / "__init__.py", tmp_path / "reports" / "results" / "page.md"
    for file in (source, result):
        file.parent.mkdir(parents=True)
        file.write_text("first\n")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    git("init", "-q")
    assert provenance.commit() == "unknown", "nothing is in the repository yet"
    git("add", ".")
    git("commit", "-q", "-m", "x")
    clean = provenance.commit()
    assert len(clean) == 12
    assert int(clean, 16) >= 0
    result.write_text("second\n")
    assert provenance.commit() == clean
    source.write_text("second\n")
    assert provenance.commit() == f"{clean}-dirty"
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "elsewhere")
    assert provenance.commit() == "unknown"
