"""Find PE families: one file, or one folder of `hwgen.frame.parameters.ROOMS`, is one family; no list to edit.

Three places, in this order: this package, the folders named in the environment variable ``HWGEN_PE_PATH``, and the
entry-point group ``hwgen.pe`` of installed packages. A family's name is its file's name.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from hwgen.errors import HwgenError, suggest
from hwgen.formats import FormatFile
from hwgen.frame.parameters import family_module
from hwgen.frame.spec import TileSpec

__all__ = ["families", "family", "family_names", "family_of_file"]

PATH_VARIABLE = "HWGEN_PE_PATH"


def _own_names() -> list[str]:
    package = Path(__file__).parent
    return sorted(name for _, name, _ in pkgutil.iter_modules([str(package)]) if not name.startswith("_"))


def _folder_files() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in filter(None, os.environ.get(PATH_VARIABLE, "").split(os.pathsep)):
        if not Path(folder).is_dir():
            raise HwgenError(f"{PATH_VARIABLE}: {folder!r} must be an existing folder of PE family files")
        for path in sorted(Path(folder).glob("[a-z]*.py")):
            found[path.stem] = path
        for path in sorted(Path(folder).glob("[a-z]*/__init__.py")):
            found[path.parent.name] = path
    return found


def _entry_points() -> dict[str, str]:
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group="hwgen.pe")}


def family_names() -> list[str]:
    """Names of all families, sorted, without importing them."""
    return sorted({*_own_names(), *_folder_files(), *_entry_points()})


def _spec_of(module: ModuleType, name: str) -> type[TileSpec]:
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, TileSpec) and family_module(value) == module.__name__
    ]
    if len(own) != 1:
        raise HwgenError(f"family {name}: it must define exactly one TileSpec subclass, not {len(own)}")
    return own[0]


def _forget(module_name: str) -> None:
    """Unload a family of a folder, with the rooms that it has."""
    for loaded in [key for key in sys.modules if key == module_name or key.startswith(f"{module_name}.")]:
        del sys.modules[loaded]


def family(name: str) -> type[TileSpec]:
    """The spec class of family ``name``; raises `HwgenError` with the nearest name when there is none."""
    if name in _own_names():
        return _spec_of(importlib.import_module(f"hwgen.pe.{name}"), name)
    files = _folder_files()
    if name in files:
        module_name = f"hwgen_pe_path.{name}"
        module = sys.modules.get(module_name)
        if module is None or getattr(module, "__file__", None) != str(files[name]):
            _forget(module_name)
            rooms = [str(files[name].parent)] if files[name].stem == "__init__" else None
            plan = importlib.util.spec_from_file_location(module_name, files[name], submodule_search_locations=rooms)
            assert plan is not None
            assert plan.loader is not None
            module = importlib.util.module_from_spec(plan)
            sys.modules[module_name] = module
            try:
                plan.loader.exec_module(module)
            except Exception as error:
                _forget(module_name)
                raise HwgenError(f"family {name}: {files[name]} cannot be imported: {error!r}") from error
        return _spec_of(module, name)
    points = _entry_points()
    if name in points:
        return _spec_of(importlib.import_module(points[name].split(":")[0]), name)
    names = family_names()
    raise HwgenError(f"no PE family {name!r}{suggest(name, names)}; known families: {', '.join(names)}")


def families() -> dict[str, type[TileSpec]]:
    """All families by name."""
    return {name: family(name) for name in family_names()}


def family_of_file(form: FormatFile, name: str | None = None) -> tuple[type[TileSpec], Mapping[str, Any]]:
    """The family whose tiles take a file's format, or that of ``name``, and the parameters with which they do.

    Raises `HwgenError` where none does.
    """
    for spec in (family(name),) if name is not None else families().values():
        values = spec.values_of_file(form)
        if values is not None:
            return spec, values
    taking = [one for one, spec in families().items() if spec.values_of_file(form) is not None]
    known = f"; those that have are {', '.join(taking)}" if taking else ""
    raise HwgenError(f"{name or 'PE family'}: no tile has weights in the format of {form.path}{known}")
