"""Models in several safetensors files, by their index, and models given as a folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.errors import HwgenError, os_error
from sim.models.model_file import ModelFile, TensorInfo, map_file
from sim.models.safetensors_reader import SafetensorsFile, read_safetensors

__all__ = ["INDEX", "SHARD", "ShardedFile", "file_of_folder", "read_index"]

INDEX = ".safetensors.index.json"
SHARD = re.compile(r"-(\d{5})-of-(\d{5})\.safetensors$")
"""End of the name of one file of several: its number, how many."""


@dataclass(frozen=True)
class ShardedFile(ModelFile):
    """A model whose tensors lie in several files; ``path`` and ``data`` are those of the index."""

    shards: Mapping[str, SafetensorsFile] = field(default_factory=dict)
    """The file of each tensor, by the tensor's name."""

    def _decode(self, info: TensorInfo, rows: slice | NDArray[np.integer[Any]] | None) -> NDArray[np.float32]:
        return self.shards[info.name]._decode(info, rows)

    def raw(self, info: TensorInfo, size: int) -> bytes:
        return self.shards[info.name].raw(info, size)


def read_index(path: Path, data: NDArray[np.uint8]) -> ShardedFile:
    """Open the index and all files that it names.

    Raises:
        HwgenError: if the index or one of the files is damaged or missing, lies elsewhere, or lacks a tensor.
    """

    def corrupt(what: str) -> HwgenError:
        return HwgenError(f"model file {path}: damaged index of a model in several files: {what}; fetch it again")

    try:
        content = json.loads(data.tobytes())
    except (ValueError, RecursionError) as error:
        raise corrupt("it is not JSON") from error
    places = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(places, dict) or not places or not all(isinstance(file, str) for file in places.values()):
        raise corrupt("weight_map must give the file of every tensor")
    files: dict[str, SafetensorsFile] = {}
    for name in sorted(set(places.values())):
        # An index comes from elsewhere: it may name files beside it and nothing else.
        if not name.endswith(".safetensors") or any(letter in name for letter in "/\\\0"):
            raise corrupt(f"{name[:80]!r} is no .safetensors file beside it")
        shard = path.parent / name
        if not shard.exists():
            raise corrupt(f"{name[:80]!r} is not there")
        files[name] = read_safetensors(shard, map_file(shard))
    tensors: dict[str, TensorInfo] = {}
    for tensor, name in places.items():
        if tensor not in files[name].tensors:
            raise corrupt(f"{name!r} has no tensor {tensor[:80]!r}")
        tensors[tensor] = files[name].tensors[tensor]
    beside = tuple(path.parent / name for name in files)
    shards = {tensor: files[name] for tensor, name in places.items()}
    return ShardedFile(path, "safetensors", tensors, {}, data, beside, shards)


def file_of_folder(folder: Path) -> Path:
    """Return the model file in a folder: its index, or the only safetensors or GGUF file.

    Raises:
        HwgenError: if the folder cannot be read, or holds none or several.
    """
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise os_error(f"model folder {folder}: cannot be read", error) from error
    found = [path for path in files if path.name.endswith(INDEX)]
    found = found or [path for path in files if path.suffix in (".safetensors", ".gguf")]
    if len(found) == 1:
        return found[0]
    whole = folder / "model.safetensors"
    if whole in found:
        return whole
    names = ", ".join(path.name for path in found[:4]) + (", …" if len(found) > 4 else "")
    raise HwgenError(
        f"model folder {folder}: must hold one model ({INDEX.removeprefix('.')}, .safetensors or .gguf), "
        + (f"not {len(found)}: {names}; give one of them" if found else "and holds none")
    )
