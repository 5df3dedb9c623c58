"""Run pytest folder by folder and keep each folder's JUnit file: what was stopped goes on where it was.

A folder is not run again while its file is of the same commit and nothing in it failed; with changes that are not
committed every folder is run. The files are ``FOLDER.xml`` with dots for slashes.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

__all__ = ["done_before", "main", "parts"]

_NONE_COLLECTED = 5
"""Exit status of pytest that found no test."""


def parts(roots: Sequence[Path]) -> list[Path]:
    """Folders below ``roots`` with tests, by name; what lies in a root itself is a part too, without its folders."""
    found = []
    for root in roots:
        inside = sorted(path for path in root.iterdir() if path.is_dir() and any(path.rglob("test_*.py")))
        found += inside + sorted(root.glob("test_*.py"))
    return found


def done_before(junit: Path, commit: str) -> bool:
    """Whether a file says that all tests of a part ran on ``commit`` and none failed."""
    try:
        suite = ElementTree.parse(junit).find("testsuite")
    except (OSError, ElementTree.ParseError):
        return False
    counts = ("errors", "failures")
    return suite is not None and suite.get("name") == commit and not any(int(suite.get(one, 1)) for one in counts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is not done; the exit status is 1 if anything failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--commit", required=True, help="name of the suite, and key of what is kept")
    parser.add_argument("--folder", type=Path, required=True, help="where the JUnit files go")
    parser.add_argument("--pytest", required=True, help="command that runs pytest")
    parser.add_argument("roots", type=Path, nargs="+")
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    every = parts(options.roots)
    names = {part: f"{'.'.join(part.with_suffix('').parts)}.xml" for part in every}
    for old in set(options.folder.glob("*.xml")) - {options.folder / name for name in names.values()}:
        old.unlink()
    failed = []
    for number, part in enumerate(every, 1):
        kept = options.folder / names[part]
        if "," not in options.commit and done_before(kept, options.commit):
            print(f"{part}: done before on {options.commit}", flush=True)
            continue
        begin = time.monotonic()
        running = kept.with_suffix(".running")
        command = [*shlex.split(options.pytest), f"--junit-xml={running}", "-o", f"junit_suite_name={options.commit}"]
        status = subprocess.run([*command, str(part)], check=False).returncode
        if status == _NONE_COLLECTED:
            status = 0
        if running.exists():
            running.replace(kept)
        if status:
            failed.append(part)
        spent = time.monotonic() - begin
        print(
            f"{part}: {'failed' if status else 'passed'} in {spent:.0f} s, {number} of {len(every)} parts", flush=True
        )
    if failed:
        print(f"failed: {', '.join(map(str, failed))}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
