"""Plain array operations that numpy and torch both have, on scalars and arrays of either: what the system model is
written with, so that it runs where its parameters lie (numpy in memory, torch tensors on any device).
"""

from __future__ import annotations

from typing import Any

import array_api_compat
import numpy as np

__all__ = ["Arrays"]

Num = Any


class Arrays:
    """The namespace of some values, and the device on which they are.

    Raises `TypeError` for arrays of different kinds.
    """

    def __init__(self, *values: Num) -> None:
        arrays = [value for value in values if array_api_compat.is_array_api_obj(value)]
        self.xp: Any = array_api_compat.array_namespace(*arrays) if arrays else array_api_compat.array_namespace(_ZERO)
        known = [array_api_compat.device(one) for one in arrays]
        self._where = {"device": known[0]} if known else {}

    def whole(self, value: Num) -> Any:
        """Counts, 64 bits."""
        return self.xp.asarray(value, dtype=self.xp.int64, **self._where)

    def real(self, value: Num) -> Any:
        """Numbers, 64 bits."""
        return self.xp.asarray(value, dtype=self.xp.float64, **self._where)

    def ceil_div(self, a: Num, b: Num) -> Any:
        """Quotient of counts rounded up."""
        return -(-self.whole(a) // self.whole(b))

    def ceil(self, value: Num) -> Any:
        """Rounded up, a count."""
        return self.whole_of(self.xp.ceil(self.real(value)))

    def floor(self, value: Num) -> Any:
        """Rounded down, a count."""
        return self.whole_of(self.xp.floor(self.real(value)))

    def whole_of(self, value: Any) -> Any:
        """An array as counts."""
        return self.xp.astype(value, self.xp.int64)

    def larger(self, a: Any, b: Any) -> Any:
        """Larger of two arrays."""
        return self.xp.where(a > b, a, b)

    def smaller(self, a: Any, b: Any) -> Any:
        """Smaller of two arrays."""
        return self.xp.where(a < b, a, b)

    def where(self, condition: Any, yes: Any, no: Any) -> Any:
        """``yes`` where the condition holds, else ``no``."""
        return self.xp.where(condition, yes, no)


_ZERO = np.zeros(1)
