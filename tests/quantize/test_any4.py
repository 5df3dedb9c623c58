"""Tables that belong to rows: codes and scales against their definition, and what learning is good for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import TableFormat, get
from hwgen.quantize import any4, codebook
from hwgen.quantize._codebook import best_table
from sim.accuracy.operand import stored_bits


def test_every_row_has_a_table_of_integers_and_the_nearest_of_them() -> None:
    x = np.random.default_rng(1).standard_t(4, (6, 64))
    found = any4(x, 16, "fp32")
    form = found.format
    assert isinstance(form, TableFormat)
    assert (form.name, form.learned, len(form.tables)) == ("any4", True, 8)
    assert found.selector is not None
    assert found.selector.tolist() == [[row] * 4 for row in range(6)]
    for row, table in enumerate(form.tables[:6]):
        assert list(table) == sorted(table)
        assert {0.0} <= set(table) <= set(range(-127, 128))
        scales = np.repeat(found.scales[row], 16)
        best = np.abs(x[row][:, None] - scales[:, None] * np.array(table)).min(axis=1)
        assert np.abs(x[row] - found.dequantize()[row]) == pytest.approx(best, abs=1e-12)
    assert found.scales == pytest.approx(np.abs(x.reshape(6, 4, 16)).max(axis=2) / 127, rel=1e-6)


def test_rows_of_several_kinds_gain_most() -> None:
    rng = np.random.default_rng(2)
    # Few values a row, others in each.
    x = np.stack([rng.choice(rng.uniform(-1, 1, 12), 256) for _ in range(8)])
    learned, fixed = (((found.dequantize() - x) ** 2).mean() for found in (any4(x, 0), codebook(x, "nf4", 0)))
    assert learned < fixed / 8


@pytest.mark.parametrize("group", [0, 64, 128])
@pytest.mark.parametrize("kind", ["normal", "heavy tails"])
def test_rows_of_weights_are_nearer_than_with_a_table_for_all(kind: str, group: int) -> None:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(16, 512)) if kind == "normal" else rng.standard_t(4, (16, 512))
    learned, fixed = (((f.dequantize() - x) ** 2).sum(axis=1) for f in (any4(x, group), codebook(x, "nf4", group)))
    assert (learned < fixed).all()
    assert learned.sum() < 0.9 * fixed.sum()


@pytest.mark.parametrize(("size", "top"), [(2, 3), (3, 4), (4, 5), (5, 2)])
def test_no_table_is_better(size: int, top: int) -> None:
    rng = np.random.default_rng(size)
    for _ in range(20):
        values, weights = rng.uniform(-top, top, 30), rng.exponential(size=30)
        # Ends, and middles of two integers.
        values[:4] = top, -top, 0.5, -1.5
        every = [table for table in itertools.combinations(range(-top, top + 1), size) if 0 in table]
        errors = [(weights * ((values[:, None] - table) ** 2).min(axis=1)).sum() for table in np.array(every)]
        found = best_table(values, weights, size, top)
        assert errors[every.index(tuple(int(value) for value in found))] == pytest.approx(min(errors))


def test_more_rows_than_tables_share_them() -> None:
    found = any4(np.random.default_rng(3).normal(size=(300, 16)), 0)
    assert isinstance(found.format, TableFormat)
    assert len(found.format.tables) == 256
    assert found.selector is not None
    owners = found.selector.ravel().astype(int)
    assert (np.diff(owners) >= 0).all()
    assert set(owners.tolist()) == set(range(256))


def test_bits_count_the_tables() -> None:
    found = any4(np.random.default_rng(4).normal(size=(16, 256)), 64)
    assert stored_bits(found) == 4 + 16 / 64 + 16 * 8 / 256


def test_tables_are_of_a_tensor_and_not_stored_by_name() -> None:
    assert get("any4").describe() == {"kind": "index", "bits": 4}
    with pytest.raises(HwgenError, match="must be in the catalogue to be stored by name"):
        any4(np.eye(8)).to_bytes()
