"""The commands that README and docs show are run, and the output that they show is what comes out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.M | re.S)


def blocks() -> list[object]:
    found = []
    for page in PAGES:
        for number, match in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8"))):
            uses_model = "hwgen run" in match[2]
            marks = [pytest.mark.model] if uses_model else []
            found.append(pytest.param(match[1], match[2], id=f"{page.relative_to(ROOT)}-{number}", marks=marks))
    return found


def commands(text: str) -> list[tuple[str, list[str]]]:
    """(command, lines of output shown) of a console block."""
    result: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            result.append((line[2:], []))
        elif result and line.strip():
            result[-1][1].append(line.rstrip())
    return result


@pytest.mark.parametrize(("kind", "text"), blocks())
def test_block(kind: str, text: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if "hwgen run" in text:
        request.getfixturevalue("real_model")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "COLUMNS": "160"}
    todo = commands(text) if kind == "console" else [(f"{sys.executable} - <<'END'\n{text}\nEND", [])]
    assert todo
    for command, shown in todo:
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, (command, done.stderr)
        printed = [line.rstrip() for line in done.stdout.splitlines()]
        place = 0
        for line in shown:
            assert line in printed[place:], (command, line, printed)
            place += printed[place:].index(line) + 1


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page.name, target)
