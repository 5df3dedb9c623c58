"""``python -m reports.readme``: run the demo, keep its plot and table, and put its real output into the README."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from hwgen.files import write_atomic
from reports.command_line import without_options
from reports.demo import DemoOptions, run_demo
from reports.provenance import provenance, write_result

__all__ = ["main"]

README = Path("README.md")
KEPT = Path("reports/results/demo")
MARK = re.compile(r"<!-- demo -->\n.*?<!-- /demo -->", re.S)


def main() -> None:
    """Run the demo and rewrite the README's block; raises `SystemExit` with status 1 when the demo fails."""
    said: list[str] = []
    # Before any file of the tree is written, which would make it dirty.
    facts = provenance()

    def say(line: str) -> None:
        print(line, flush=True)
        said.append(line)

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out/demo")
        run = run_demo(DemoOptions(folder=out), say, lambda *_: None)
        if not run.ok:
            raise SystemExit(1)
        KEPT.mkdir(parents=True, exist_ok=True)
        shutil.copy(out / "front.png", KEPT / "front.png")
        table = (out / "front.md").read_text()
        output = "\n".join(said).replace(str(out), "out/demo")
    write_result(KEPT / "front.md", "Demo: Pareto front", "python -m reports.readme", table, facts)
    text = README.read_text(encoding="utf-8")
    block = f"<!-- demo -->\n```text\n{output}\n```\n<!-- /demo -->"
    write_atomic(README, MARK.sub(lambda _: block, text), "readme")


if __name__ == "__main__":
    without_options(main, __doc__)
