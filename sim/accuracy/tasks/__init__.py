"""Tasks that models are measured on beside perplexity, one file each; a file here is found by itself."""

from __future__ import annotations

import importlib
import pkgutil

from sim.accuracy.tasks.base import Task, register, task, tasks

__all__ = ["Task", "register", "task", "tasks"]

for _found in sorted(pkgutil.iter_modules(__path__), key=lambda found: found.name):
    importlib.import_module(f"{__name__}.{_found.name}")
