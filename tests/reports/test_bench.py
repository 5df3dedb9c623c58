"""The bench: rates of sweeps are of points that are evaluated, not refused, and every family has a layer's rate."""

from __future__ import annotations

from unittest import mock

import pytest

from bench import arithmetic
from bench.__main__ import sweep_rate, sweep_space
from hwgen.pe import families, family


@pytest.mark.few(6)
@pytest.mark.parametrize("name", families())
def test_the_points_of_a_familys_sweep_are_legal(name: str) -> None:
    space = sweep_space(name, most_m=1, most_n=3)
    _, points, legal = sweep_rate(space)
    assert points > 20
    assert legal == points


@pytest.mark.parametrize("name", ["lmul", "complex"])
@pytest.mark.parametrize("kernel", [True, False])
def test_a_layer_has_a_rate_whether_or_not_a_kernel_computes_it(name: str, kernel: bool) -> None:
    with mock.patch.multiple(arithmetic, ROWS=8, COLUMNS=16, K=256):
        if kernel:
            rates = arithmetic.layer_rates(family(name)())
        else:
            with mock.patch.object(arithmetic, "compiled_layer", return_value=mock.Mock(compiled=False)):
                rates = arithmetic.layer_rates(family(name)())
    assert (rates.compiled is not None) == kernel
    assert rates.golden > 0
