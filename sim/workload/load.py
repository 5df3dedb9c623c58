"""A workload by name or file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from hwgen.errors import HwgenError, os_error
from sim.models.shards import INDEX
from sim.workload.builtin import builtin, builtin_names
from sim.workload.files import file_workload
from sim.workload.hf_config import config_workload
from sim.workload.onnx_file import onnx_workload
from sim.workload.workload import Workload

__all__ = ["load_workload"]

_SUFFIXES = (".json", ".gguf", ".safetensors", ".onnx")


def load_workload(what: str | os.PathLike[str], dims: Mapping[str, int] | None = None) -> Workload:
    """A workload of the catalogue by name, else of a file or folder.

    Parameters
    ----------
    what: name, ``config.json``, GGUF or safetensors file, index of several, ONNX file, or a folder with one of them.
    dims: values of symbolic dimensions of an ONNX file.

    Raises `HwgenError` for an unknown name, a file that cannot be read, and dimensions where the file has none.
    """
    text = os.fspath(what)
    path = Path(text)
    if text.lower() in builtin_names():
        return _without_dims(builtin(text), dims)
    if not path.exists():
        if os.sep in text or path.suffix.lower() in _SUFFIXES:
            raise HwgenError(f"workload: file {text} does not exist; `hwgen workload list` has the names of models")
        return builtin(text)
    if path.is_dir():
        path = _in_folder(path)
    if path.suffix.lower() == ".onnx":
        return onnx_workload(path, dims)
    if path.suffix.lower() == ".json" and not path.name.endswith(INDEX):
        return _without_dims(config_workload(path), dims)
    return _without_dims(file_workload(path), dims)


def _in_folder(folder: Path) -> Path:
    """The file of a folder: a model's tensors, which hold more, before its configuration, before a graph.

    Raises `HwgenError` for a folder without one, or with several graphs.
    """
    try:
        names = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise os_error(f"workload folder {folder}: cannot be read", error) from error
    if any(path.suffix in (".safetensors", ".gguf") or path.name.endswith(INDEX) for path in names):
        return folder
    graphs = [path for path in names if path.suffix == ".onnx"]
    if folder / "config.json" in names:
        return folder / "config.json"
    if len(graphs) != 1:
        raise HwgenError(
            f"workload folder {folder}: must hold a model or one .onnx file, not {len(graphs)}; name a file"
        )
    return graphs[0]


def _without_dims(workload: Workload, dims: Mapping[str, int] | None) -> Workload:
    if dims:
        raise HwgenError(
            f"workload {workload.name}: has no symbolic dimensions; --dim is for .onnx files, "
            "--tokens, --context and --batch for models"
        )
    return workload
