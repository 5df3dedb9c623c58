"""What the tests of stored sweeps have in common: a small plan of two families, quick to evaluate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dse.level import Clock
from dse.plan import LevelSpec, Plan, Scene, make_plan
from dse.space import Space
from hwgen.schedule import Layer
from sim.tech import load

LAYERS = (Layer("up", 5, 96, 576), Layer("down", 5, 64, 192, 3))
INT = {"m": (1, 2), "n": (4, 8, 12), "k": (4, 8, 24), "bits": (2, 3), "post_lanes": (0, 1, 4), "transport": None}
LUT = {"bits": (1, 2, 3, 4), "planes_per_cycle": (1, 2), "n": (4, 16), "acts": ("int8", "fp16"), "planes": None}
OBJECTIVES = ("area_um2", "latency_us", "-weight_bits")


def spaces() -> list[Space]:
    return [Space.of("int", INT), Space.of("lut", LUT)]


def scene(workload: str = "x", layers: Sequence[Layer] = LAYERS, clocks: Sequence[float] = (1.5, 3.0)) -> Scene:
    # Published tables are quick to load, and price every width.
    return Scene(workload, tuple(layers), load("tpuv4i7"), tuple(Clock(period) for period in clocks))


def plan(**more: Any) -> Plan:
    given: dict[str, Any] = {
        "spaces": spaces(),
        "scenes": [scene()],
        "objectives": OBJECTIVES,
        "kind": LevelSpec(),
        "chunk_points": 50,
        "part_pairs": 100,
    }
    return make_plan(**(given | more))


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder but the manifest, whose seconds differ from run to run."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def gone(file: Path) -> None:
    file.unlink()


DAMAGE: list[Callable[[Path], None]] = [cut, flip, empty, gone]
