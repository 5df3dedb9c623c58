"""Methods of quantisation, one file each; a file here is found by itself."""

from __future__ import annotations

import importlib
import pkgutil

from sim.accuracy.methods.base import Inputs, Layer, Method, MethodResult, method, methods, register, relative_error

__all__ = ["Inputs", "Layer", "Method", "MethodResult", "method", "methods", "register", "relative_error"]

for _found in sorted(pkgutil.iter_modules(__path__), key=lambda found: (found.name != "rtn", found.name)):
    importlib.import_module(f"{__name__}.{_found.name}")
