"""Print who imports whom, floor by floor, and every circle; exit status 1 if there is one.

    python tools/import_graph.py            rooms (packages), from the ground up
    python tools/import_graph.py --files    files

An import counts wherever it stands: at the top of a file, in a function, under ``TYPE_CHECKING``. A room stands one
floor above the highest that it imports.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["circles", "floors", "graph", "rooms"]

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hwgen", "sim", "dse", "reports")


def _module(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def graph(root: Path = ROOT, packages: Iterable[str] = PACKAGES) -> dict[str, set[str]]:
    """Modules of the packages, and which of them each imports; a package's name is its ``__init__``."""
    files = {_module(path, root): path for package in packages for path in sorted((root / package).rglob("*.py"))}
    found: dict[str, set[str]] = {}
    for module, path in files.items():
        targets: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                # A name is a module of its own, or comes from the package's face.
                targets |= {
                    inner if (inner := f"{node.module}.{alias.name}") in files else node.module for alias in node.names
                }
        found[module] = (targets & files.keys()) - {module}
    return found


def rooms(modules: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """The same between rooms: packages, and modules that lie directly in one of the outermost."""
    inner = {".".join(name.split(".")[:2]) for name in modules if name.count(".") >= 2}

    def room(name: str) -> str:
        first = ".".join(name.split(".")[:2])
        return first if first in inner or name.count(".") == 1 else name

    found: dict[str, set[str]] = {}
    for name, targets in modules.items():
        found.setdefault(room(name), set()).update(room(target) for target in targets)
    return {name: targets - {name} for name, targets in found.items()}


def circles(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Sets of nodes that reach each other, each sorted."""

    def reach(node: str) -> set[str]:
        seen: set[str] = set()
        todo = list(edges[node])
        while todo:
            other = todo.pop()
            if other not in seen:
                seen.add(other)
                todo += edges[other]
        return seen

    reached = {node: reach(node) for node in edges}
    found = {tuple(sorted({node, *(o for o in reached[node] if node in reached[o])})) for node in edges}
    return sorted(list(circle) for circle in found if len(circle) > 1)


def floors(edges: Mapping[str, set[str]]) -> list[list[str]]:
    """Nodes by floor from the ground up; those of a circle are left out."""
    inside = {node for circle in circles(edges) for node in circle}
    level: dict[str, int] = {}

    def of(node: str) -> int:
        if node not in level:
            level[node] = 1 + max((of(target) for target in edges[node] if target not in inside), default=-1)
        return level[node]

    for node in edges:
        if node not in inside:
            of(node)
    return [sorted(n for n, k in level.items() if k == floor) for floor in range(max(level.values(), default=-1) + 1)]


def main() -> int:
    """Print the graph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", action="store_true", help="files instead of rooms")
    modules = graph()
    edges = modules if parser.parse_args().files else rooms(modules)
    for number, names in enumerate(floors(edges)):
        print(f"floor {number}")
        for name in names:
            below = ", ".join(sorted(edges[name]))
            print(f"  {name}{' <- ' + below if below else ''}")
    found = circles(modules)
    for circle in found:
        print(f"circle: {', '.join(circle)}")
    print("no circles" if not found else f"{len(found)} circles")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
