"""The direction of imports: hwgen <- sim <- dse <- reports; a cold start of hwgen loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.import_graph import circles, floors, graph

ROOT = Path(__file__).parents[1]
PACKAGES = ("hwgen", "sim", "dse", "reports")
HEAVY = ("torch", "pandas", "matplotlib")

# What may be imported when hwgen is imported, beside the standard library.
HWGEN_COLD = ("hwgen", "numpy", "amaranth")
CLI_COLD = (*HWGEN_COLD, "click", "rich")
# The command line and the Python API reach the other packages, inside the function that needs them.
REACHES_ALL = ("hwgen/cli/", "hwgen/api.py")
# Runs in a simulator and is copied to users; nothing of the project imports it.
COPIED = ("hwgen/verify/_cocotb_bench.py",)


@dataclass(frozen=True)
class Import:
    line: int
    module: str  # dotted; for `from a import b` both "a" and "a.b" are reported
    late: bool  # inside a function or under TYPE_CHECKING: not run when the file is imported


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        module = node.module or ""
        return [module, *(f"{module}.{alias.name}" for alias in node.names)]
    if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
            return [node.args[0].value]
    return []


def _is_type_checking(test: ast.expr) -> bool:
    return getattr(test, "id", getattr(test, "attr", "")) == "TYPE_CHECKING"


def imports(node: ast.AST, late: bool = False) -> Iterator[Import]:
    for name in _names(node):
        yield Import(getattr(node, "lineno", 0), name, late)
    if isinstance(node, ast.If) and _is_type_checking(node.test):
        for child in node.body:
            yield from imports(child, True)
        for child in node.orelse:
            yield from imports(child, late)
        return
    inner = late or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
    for child in ast.iter_child_nodes(node):
        yield from imports(child, inner)


def _within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def violations(path: str, source: str) -> list[str]:
    """The imports of the file ``path`` (relative to the root, with forward slashes) that the rules forbid."""
    package = path.partition("/")[0]
    above = PACKAGES[PACKAGES.index(package) + 1 :]
    found = []
    for item in imports(ast.parse(source)):
        top = item.module.partition(".")[0]
        if package == "hwgen":
            cold = CLI_COLD if path.startswith("hwgen/cli/") else HWGEN_COLD
            if item.late:
                bad = top in (*above, *HEAVY) and not path.startswith(REACHES_ALL)
            else:
                bad = top not in cold and top not in sys.stdlib_module_names and path not in COPIED
        else:
            bad = top in above
        bad = bad or (path.startswith("sim/golden/") and _within(item.module, ("hwgen.pe", "sim.accuracy")))
        if bad:
            found.append(f"{path}:{item.line}: imports {item.module}")
    return found


def _sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def test_sources_are_found() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in _sources()} == set(PACKAGES)


def test_direction_of_imports() -> None:
    found = []
    for path in _sources():
        found += violations(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    assert found == []


@pytest.mark.parametrize(
    ("path", "source", "module"),
    [
        ("hwgen/x.py", "import torch", "torch"),
        ("hwgen/x.py", "import pyosys", "pyosys"),
        ("hwgen/x.py", "import click", "click"),
        ("hwgen/x.py", "if True:\n    import sim", "sim"),
        ("hwgen/x.py", "class A:\n    import pandas as pd", "pandas"),
        ("hwgen/x.py", "try:\n    import matplotlib.pyplot\nexcept ImportError:\n    pass", "matplotlib.pyplot"),
        ("hwgen/x.py", "def f():\n    import sim.golden", "sim.golden"),
        ("hwgen/x.py", "async def f():\n    import torch", "torch"),
        ("hwgen/x.py", "def f():\n    importlib.import_module('dse.space')", "dse.space"),
        ("hwgen/x.py", "m = __import__('torch')", "torch"),
        ("hwgen/cli/x.py", "import torch", "torch"),
        ("hwgen/cli/x.py", "import sim", "sim"),
        ("hwgen/api.py", "import sim", "sim"),
        ("sim/x.py", "def f():\n    import dse", "dse"),
        ("sim/x.py", "import reports", "reports"),
        ("dse/x.py", "import reports.plots", "reports.plots"),
        ("sim/golden/x.py", "def f():\n    import hwgen.pe.lut", "hwgen.pe.lut"),
        ("sim/golden/x.py", "from hwgen import pe", "hwgen.pe"),
        ("sim/golden/x.py", "import sim.accuracy.arithmetic", "sim.accuracy.arithmetic"),
    ],
)
def test_a_forbidden_import_is_reported(path: str, source: str, module: str) -> None:
    assert [text.rpartition(" ")[2] for text in violations(path, source)] == [module]


def test_no_circles() -> None:
    """Neither between packages nor inside one, wherever the import stands."""
    assert circles(graph()) == []


def test_a_circle_is_found(tmp_path: Path) -> None:
    files = {
        "__init__.py": "from a.one import x",
        "one.py": "import json\nfrom a.two import y",
        "two.py": "def f():\n    from a.b import three",
        "b/__init__.py": "",
        "b/three.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a import one",
        "b/four.py": "import a.one",
    }
    for name, text in files.items():
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / name).write_text(text)
    edges = graph(tmp_path, ("a",))
    assert circles(edges) == [["a.b.three", "a.one", "a.two"]]
    assert circles({name: targets - {"a.one"} for name, targets in edges.items()}) == []
    assert floors(edges) == [["a", "a.b", "a.b.four"]]


def test_from_import_is_reported_with_its_line() -> None:
    assert violations("dse/x.py", "\nfrom reports import table") == [
        "dse/x.py:2: imports reports",
        "dse/x.py:2: imports reports.table",
    ]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("hwgen/x.py", "import json\nimport numpy as np\nfrom amaranth.lib import wiring\nimport hwgen.errors"),
        ("hwgen/x.py", "def f():\n    from pyosys import libyosys"),
        ("hwgen/x.py", "from hwgen import simulators"),
        ("hwgen/cli/x.py", "import click\nfrom rich.table import Table\ndef f():\n    import sim, dse, reports, torch"),
        ("hwgen/api.py", "def f():\n    from sim.estimate import estimate"),
        ("sim/x.py", "import torch\nimport hwgen.pe"),
        ("sim/x.py", "from typing import TYPE_CHECKING\nimport simplex"),
        ("dse/x.py", "import pandas\nimport sim.estimate\nimport hwgen"),
        ("reports/x.py", "import dse\nimport sim\nimport matplotlib"),
        ("sim/golden/x.py", "import torch\nfrom hwgen import formats\nimport hwgen.people"),
    ],
)
def test_a_permitted_import_is_not_reported(path: str, source: str) -> None:
    assert violations(path, source) == []


def test_type_checking_imports_do_not_run() -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import {}\nelse:\n    import {}"
    assert violations("hwgen/x.py", source.format("pyosys", "numpy")) == []
    assert violations("hwgen/x.py", source.format("numpy", "pyosys")) == ["hwgen/x.py:5: imports pyosys"]


def _loaded(statements: str) -> set[str]:
    """The top-level modules that a fresh Python has loaded after ``statements``."""
    script = f"{statements}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param("import hwgen, hwgen.cli", id="start"),
        pytest.param(
            "import hwgen, importlib, pkgutil\n"
            "for module in pkgutil.walk_packages(hwgen.__path__, 'hwgen.'):\n"
            "    if not module.name.endswith(('__main__', '_cocotb_bench')):\n"
            "        importlib.import_module(module.name)",
            id="every module",
        ),
    ],
)
def test_cold_start_loads_nothing_heavy(statements: str) -> None:
    loaded = _loaded(statements)
    assert "hwgen" in loaded
    assert loaded & {*HEAVY, "sim", "dse", "reports"} == set()


def test_the_probe_sees_what_is_loaded() -> None:
    assert {"sim", "json"} <= _loaded("import json, sim")
