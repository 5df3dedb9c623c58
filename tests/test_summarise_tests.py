"""The page about all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.summarise_tests import Case, cases, main, page

XML = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="0123456789ab" tests="5">
<testcase classname="tests.test_b" name="test_ok" time="1.25"/>
<testcase classname="tests.test_a" name="test_bad[x|y]" time="2.0">
<failure message="assert 1 == 2&#10;more">trace</failure></testcase>
<testcase classname="tests.test_a" name="test_gone" time="0.5">
<skipped type="pytest.skip" message="no model: /home/me/cache/a.gguf, see docs/models.md and https://x.org/a/b">x</skipped></testcase>
<testcase classname="tests.test_a" name="test_fixture" time="0.25"><error message="failed on setup">x</error></testcase>
<testcase classname="" name="tests.test_c" time="0.0"><error message="collection failure">x</error></testcase>
</testsuite></testsuites>
"""

SKIPPED = "no model: /home/me/cache/a.gguf, see docs/models.md and https://x.org/a/b"

PAGE = """# All tests

- command: `make test-all`
- commit: 0123456789ab
- versions: python 3.11.7, torch 2.13.0+cpu
- result: 1 passed, 1 failed, 2 error, 1 skipped, 4 s of test time

| module | passed | failed | error | skipped | seconds |
|---|---|---|---|---|---|
| tests.test_a | 0 | 1 | 1 | 1 | 2.8 |
| tests.test_b | 1 | 0 | 0 | 0 | 1.2 |
| tests.test_c | 0 | 0 | 1 | 0 | 0.0 |

## Failures

| test | why |
|---|---|
| tests.test_a::test_bad[x\\|y] | assert 1 == 2 more |
| tests.test_a::test_fixture | failed on setup |
| tests.test_c::tests.test_c | collection failure |

## Skipped

| test | why |
|---|---|
| tests.test_a::test_gone | no model: a.gguf, see docs/models.md and https://x.org/a/b |
"""


def test_cases() -> None:
    assert cases(XML)[:3] == [
        Case("tests.test_b", "test_ok", "passed", 1.25, ""),
        Case("tests.test_a", "test_bad[x|y]", "failed", 2.0, "assert 1 == 2\nmore"),
        Case("tests.test_a", "test_gone", "skipped", 0.5, SKIPPED),
    ]


def test_page() -> None:
    versions = {"python": "3.11.7", "torch": "2.13.0+cpu"}
    assert page(cases(XML), "make test-all", "0123456789ab", versions) == PAGE


def test_a_clean_run_lists_neither_failures_nor_skips() -> None:
    text = page([Case("tests.test_b", "test_ok", "passed", 1.25, "")], "make test-all", "none", {})
    assert "- result: 1 passed, 0 failed, 0 error, 0 skipped" in text
    assert "##" not in text


VERSIONS = "- versions: python 3.11.7, torch 2.13.0+cpu"


def versions_line(output: Path) -> str:
    return next(line for line in output.read_text().splitlines() if line.startswith("- versions"))


def test_main(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    junit, output = tmp_path / "junit.xml", tmp_path / "results" / "all.md"
    assert main([str(junit), str(output), "--command", "make test-all"]) == 2
    assert capsys.readouterr().err.startswith(f"summarise_tests: {junit} must be a JUnit file of pytest: ")
    assert not output.exists()
    junit.write_text(XML)
    assert main([str(junit), str(output), "--command", "make test-all"]) == 0
    assert output.read_text().replace(versions_line(output), VERSIONS) == PAGE


def test_two_files(tmp_path: Path) -> None:
    fast, slow, output = (tmp_path / name for name in ("test.xml", "test_slow.xml", "all.md"))
    fast.write_text(XML)
    slow.write_text(XML.replace("0123456789ab", "ba9876543210").replace("tests.", "rtl_tests."))
    assert main([str(fast), str(slow), str(output), "--command", "make test-all"]) == 0
    text = output.read_text()
    assert "- commit: 0123456789ab (test.xml); ba9876543210 (test_slow.xml)\n" in text
    assert "- result: 2 passed, 2 failed, 4 error, 2 skipped, 8 s of test time" in text
    slow.write_text(XML.replace("0.25", "1.25"))
    assert main([str(fast), str(slow), str(output), "--command", "make test-all"]) == 0
    text = output.read_text()
    assert "- commit: 0123456789ab\n" in text
    # What was run again replaces what it was before.
    assert "- result: 1 passed, 1 failed, 2 error, 1 skipped, 5 s of test time" in text
