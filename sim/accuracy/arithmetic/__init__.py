"""The arithmetic of tiles, compiled: layers that round, truncate and add as `sim.golden` says, bit for bit.

`sim.golden` states each arithmetic in torch on values; here it is once more in C++ on vectors of columns, which shares
no line with it and is compared with it in every bit. `_kernels.not_covered` lists what is left to the golden layer.
"""

from __future__ import annotations

from sim.accuracy.arithmetic.layer import CompiledLayer, compiled_layer

__all__ = ["CompiledLayer", "compiled_layer"]
