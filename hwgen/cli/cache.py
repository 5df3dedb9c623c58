"""``hwgen cache``: the folder that keeps what is slow to make or to get."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import click

from hwgen.errors import HwgenError, os_error
from hwgen.simulators.cache import FOLDERS, cache_path

_SLOW = ("accelerator", "accuracy", "calibrate")
"""Measurements that may have taken hours."""
_FETCHED = ("tasks", "texts")
_MODELS = "models"


def _kind(path: Path) -> str:
    if path.suffix in (".gguf", ".safetensors"):
        return _MODELS
    return FOLDERS.get(path.name, "locks, logs, left-overs" if path.is_file() else "compiled simulations and libraries")


def _foreign(folder: Path) -> list[str]:
    """What hwgen did not make: a folder that HWGEN_CACHE_DIR names by mistake must not be emptied."""
    made = re.compile(r".*[0-9a-f]{32}.*|runtime-.*|.*\.(gguf|lock|log|tmp)|\.partial-.*")
    return [path.name for path in folder.iterdir() if path.name not in FOLDERS and not made.fullmatch(path.name)]


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sum(one.stat().st_size for one in files)


@click.command(epilog="Example: hwgen cache")
@click.option("--clear", is_flag=True, help="remove everything but what was fetched, and measurements")
@click.option("--all", "everything", is_flag=True, help="with --clear: those too")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(clear: bool, everything: bool, as_json: bool) -> None:
    """Show the cache folder, and clear it. It may be removed at any time: what is missing or damaged is made again."""
    if everything and not clear:
        raise click.UsageError("--all must come with --clear")
    folder = cache_path()
    try:
        if clear and folder.exists() and (foreign := _foreign(folder)):
            raise HwgenError(
                f"cache: {folder} must hold what hwgen made alone to be cleared, not {sorted(foreign)[0]!r}"
            )
        kept = {_MODELS, *(FOLDERS[name] for name in (*_SLOW, *_FETCHED))}
        found: dict[str, tuple[int, int]] = {}
        for path in sorted(folder.iterdir()) if folder.exists() else []:
            kind = _kind(path)
            if clear and (everything or kind not in kept):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
                continue
            entries, size = found.get(kind, (0, 0))
            found[kind] = (entries + (1 if path.is_file() else len(list(path.iterdir()))), size + _size(path))
    except OSError as error:
        raise os_error(f"cache folder {folder}: cannot be read or cleared", error) from error
    if as_json:
        kinds = {kind: {"entries": entries, "bytes": size} for kind, (entries, size) in found.items()}
        click.echo(json.dumps({"folder": str(folder), "kinds": kinds}, indent=2))
        return
    click.echo(f"{folder}{'' if folder.exists() else ' (does not exist yet)'}")
    for kind, (entries, size) in found.items():
        click.echo(f"{size / 1e6:10,.1f} MB  {entries:6,}  {kind}")
    if clear:
        click.echo("cleared")
