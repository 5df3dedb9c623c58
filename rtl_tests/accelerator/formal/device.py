"""A small accelerator as the text that is proved, and the same of sources with a mistake in them."""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import types
from dataclasses import dataclass

import hwgen.accelerator.accelerator
import hwgen.accelerator.core
import hwgen.accelerator.emission
from hwgen.accelerator import Design
from hwgen.pe import family
from hwgen.prove.accelerator import Device, accelerator_text

__all__ = ["DESIGN", "Fault", "emitted"]

_PACKAGE = "hwgen.accelerator"


def _design() -> Design:
    """Small, with all four streams: weights of two beats a word, activations of four words a beat."""
    tile = family("int").from_values({"m": 1, "n": 8, "k": 4, "bits": 4, "group": 8, "depth": 16, "post_lanes": 1})
    return Design(tile=tile, bus_bits=64, weight_ring=2, act_ring=8, burst=2, outstanding=2, count_bits=8)


DESIGN = _design()


@dataclass(frozen=True)
class Fault:
    """A mistake in a module of `hwgen.accelerator`: ``old`` text, there once, and what stands in its place."""

    module: str
    old: str
    new: str


def parts(fault: Fault | None = None) -> tuple[types.ModuleType, types.ModuleType]:
    """Modules like `hwgen.accelerator.core` and `hwgen.accelerator.accelerator`, with a fault in one of them or in one
    of those from which they import. Parts that the core places are those of its module.
    """
    core = _module(hwgen.accelerator.core, fault)
    copies = (core, _module(hwgen.accelerator.accelerator, fault, core))
    if fault is not None and fault.module not in ("core", "accelerator"):
        name = f"{_PACKAGE}.{fault.module}"
        faulty = _module(importlib.import_module(name), fault)
        for copy in copies:
            for part, value in vars(copy).items():
                if getattr(value, "__module__", "") == name:
                    setattr(copy, part, getattr(faulty, part))
    return copies


@functools.lru_cache(maxsize=4)
def emitted(fault: Fault | None = None) -> Device:
    """The text of `DESIGN`, emitted from sources with a fault in one of them."""
    emission = _module(hwgen.accelerator.emission, None)
    vars(emission)["Accelerator"] = parts(fault)[1].Accelerator
    found = emission.emit_accelerator(DESIGN)
    return Device(accelerator_text(found), found.top, DESIGN)


def _module(module: types.ModuleType, fault: Fault | None, core: types.ModuleType | None = None) -> types.ModuleType:
    """A copy of a module; what it imports of the core comes from ``core``."""
    text = inspect.getsource(module)
    if fault is not None and module.__name__ == f"{_PACKAGE}.{fault.module}":
        assert text.count(fault.old) == 1, f"{fault.module}: not there once: {fault.old}"
        text = text.replace(fault.old, fault.new)
    copy = types.ModuleType(module.__name__)
    copy.__file__ = module.__file__
    if core is not None:
        line = re.search(r"^from hwgen\.accelerator\.core import (.*)$", text, re.M)
        assert line is not None
        vars(copy).update({name: getattr(core, name) for name in line[1].split(", ")})
        text = text.replace(line[0], "")
    exec(compile(text, str(module.__file__), "exec"), vars(copy))
    return copy
