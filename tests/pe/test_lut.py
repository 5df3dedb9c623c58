"""The LUT tile's reference against exact rational arithmetic, and its golden layers against both."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from hwgen.errors import HwgenError
from hwgen.formats import get
from hwgen.pe import TileSpec, family
from hwgen.pe._aligned import FLOATS
from hwgen.pe.lut import Lut
from hwgen.reference import run_steps
from hwgen.schedule import Layer, Schedule, Steps
from reports.errors.lut import error_table
from sim.epilogue import epilogue
from sim.golden import golden_layer
from tests.golden.operands import acts, codes, weights
from tests.pe import lut_oracle as oracle

SMALL: dict[str, Any] = {"m": 1, "n": 4, "k": 2, "bits": 2, "group": 16, "depth": 16}
ACTS = ("int4", "int8", "int16", *FLOATS)
ENTRIES: dict[str, dict[str, Any]] = {
    "native": {},
    "pow2": {"entries": "int8"},
    "max127": {"entries": "int8", "entry_rule": "max127", "precompute": "external"},
}
RULES = {"native": None, "pow2": "pow2", "max127": "max127"}


def tile(**values: Any) -> Lut:
    return family("lut").from_values(SMALL | values)  # type: ignore[return-value]


def one_step(spec: TileSpec, a: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums [S, M, N] and row sums [S, M] of groups of a single step, for codes [S, M, K] and [S, N, K]."""
    ones = np.ones(len(a), bool)
    beats = run_steps(spec, Steps(a, w, {}, {}, ones, ones, ones))
    return beats.sums[..., 0], beats.rows


def all_weights(spec: TileSpec) -> np.ndarray:
    """Every combination of K weight codes, uint32 [C, K]: every key of every plane."""
    count = spec.weight_format.codes()
    return np.array(list(itertools.product(count, repeat=spec.k)), np.uint32)


def exact_operands(spec: Lut) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of corner codes of the tile's activations, each against every combination of weights."""
    corners = np.array(list(itertools.product(spec.act_format.corners, repeat=spec.k)), np.uint32)
    w = all_weights(spec)
    w = np.concatenate([w, w[: -len(w) % spec.n]]).reshape(-1, spec.n, spec.k)
    a = np.repeat(corners, len(w), axis=0)[:, None]
    return a, np.tile(w, (len(corners), 1, 1))


@pytest.mark.few(40)
@pytest.mark.parametrize("symmetry", ["half", "none"])
@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric", "bipolar"])
@pytest.mark.parametrize("entries", ENTRIES)
@pytest.mark.parametrize("name", ACTS)
def test_all_keys_by_activation_corners(name: str, entries: str, scheme: str, symmetry: str) -> None:
    scope = "step" if name in FLOATS and name != "bf16" and entries != "max127" else "group"
    spec = tile(acts=name, scheme=scheme, symmetry=symmetry, align_scope=scope, guard_bits=2, **ENTRIES[entries])
    a, w = exact_operands(spec)
    sums, rows = one_step(spec, a, w)
    # Activations that were aligned before are integers already.
    form = spec.act_format
    known: dict[tuple[int, ...], tuple[list[int], Fraction]] = {}
    lowest = Fraction(2) ** (spec.row_lsb_exp if form.name == name and name in FLOATS else 0)
    for step in np.random.default_rng(1).choice(len(a), size=400):
        given = tuple(a[step, 0].tolist())
        if given not in known:
            known[given] = oracle.aligned(form, given, given, spec.guard_bits, "rne")
        ints, unit = known[given]
        scale = unit / lowest
        assert Fraction(int(rows[step, 0])) == (scale * sum(ints) if spec.has_row_sums else 0)
        for column in range(spec.n):
            wanted = oracle.step_sum(ints, w[step, column].tolist(), scheme, spec.bits, RULES[entries])
            assert Fraction(int(sums[step, 0, column])) == scale * wanted, (given, w[step, column])


@pytest.mark.few(20)
@pytest.mark.parametrize("planes_per_cycle", [1, 2, 4])
@pytest.mark.parametrize("k", range(2, 9))
@pytest.mark.parametrize("entries", ENTRIES)
def test_every_table_size_and_plane_count(k: int, planes_per_cycle: int, entries: str) -> None:
    spec = tile(k=k, bits=4, planes_per_cycle=planes_per_cycle, group=k, depth=k, n=8, m=2, **ENTRIES[entries])
    rng = np.random.default_rng(k)
    a = rng.choice(np.array([0x80, 0x7F, 0, 1, 0xFF, 0x55], np.uint32), size=(20, 2, k))
    w = rng.integers(0, 16, size=(20, 8, k), dtype=np.uint32)
    sums, _ = one_step(spec, a, w)
    for step, row, column in itertools.product(range(20), range(2), range(8)):
        ints = [int(oracle.finite(spec.act_format, code)) for code in a[step, row].tolist()]
        wanted = oracle.step_sum(ints, w[step, column].tolist(), "asymmetric", 4, RULES[entries])
        assert int(sums[step, row, column]) == wanted


@pytest.mark.parametrize("planes_per_cycle", [1, 2])
@pytest.mark.parametrize("tables", range(2, 9))
@pytest.mark.parametrize("entries", ENTRIES)
def test_several_tables_add_what_each_adds_by_itself(tables: int, planes_per_cycle: int, entries: str) -> None:
    step = 3 * tables
    shape = {"k": 3, "group": step, "depth": step, "n": 8, "m": 2}
    spec = tile(tables=tables, bits=4, planes_per_cycle=planes_per_cycle, **shape, **ENTRIES[entries])
    assert spec.modes()[0].k == int(spec.layer_k(spec.p)) == step
    rng = np.random.default_rng(tables)
    a = rng.choice(np.array([0x80, 0x7F, 0, 1, 0xFF, 0x55], np.uint32), size=(20, 2, step))
    w = rng.integers(0, 16, size=(20, 8, step), dtype=np.uint32)
    sums, rows = one_step(spec, a, w)
    for number, row, column in itertools.product(range(20), range(2), range(8)):
        ints = [int(oracle.finite(spec.act_format, code)) for code in a[number, row].tolist()]
        codes_of = w[number, column].tolist()
        parts = [slice(start, start + 3) for start in range(0, step, 3)]
        wanted = sum(oracle.step_sum(ints[p], codes_of[p], "asymmetric", 4, RULES[entries]) for p in parts)
        assert int(sums[number, row, column]) == wanted
        assert int(rows[number, row]) == sum(ints)


def test_a_step_of_several_tables_is_what_groups_are_made_of() -> None:
    with pytest.raises(HwgenError, match="group must be a multiple of the elements that a step takes along K, not 12"):
        tile(k=4, tables=2, group=12)
    with pytest.raises(HwgenError, match="tables must be a whole number from 1 to 8, not 9"):
        tile(tables=9)


@pytest.mark.parametrize("entries", ENTRIES)
def test_tables_of_zeros_add_nothing(entries: str) -> None:
    spec = tile(acts="fp16", scheme="symmetric", **ENTRIES[entries])
    w = all_weights(spec)[: spec.n][None]
    sums, rows = one_step(spec, np.zeros((1, 1, spec.k), np.uint32), w)
    assert not sums.any()
    assert not rows.any()


@pytest.mark.parametrize("entries", ENTRIES)
def test_the_lowest_number_has_no_negative_but_its_sums_do(entries: str) -> None:
    """−2^(b−1) in all K: entries are −K·2^(b−1) and, negated, K·2^(b−1)."""
    spec = tile(k=8, bits=1, n=2, scheme="bipolar", group=8, depth=8, **ENTRIES[entries])
    w = np.array([[[1] * 8, [0] * 8]], np.uint32)
    sums, _ = one_step(spec, np.full((1, 1, 8), 0x80, np.uint32), w)
    assert sums[0, 0].tolist() == [-1024, 1024] if entries != "max127" else [-1026, 1026]


@pytest.mark.parametrize("name", FLOATS)
def test_infinities_and_nan_count_as_the_largest_number(name: str) -> None:
    form = get(name)
    spec = tile(acts=name, align_scope="group", entries="native", scheme="symmetric", k=2, m=1)
    special = [code for code in form.corners if not np.isfinite(form.decode(np.array([code])))[0]]
    assert special
    largest = float(form.max_value)
    values = np.array([[form.decode(np.array([code]))[0] for code in special]])
    plain = np.where(np.isnan(values) | np.isinf(values), largest, values)
    signs = np.array([[-1 if code >> (form.code_bits - 1) else 1 for code in special]])
    pre = spec.pre()
    assert pre is not None
    given = spec.quantize_acts(plain * signs)
    raw = golden_layer(spec.quantize_weights(np.ones((1, len(special)))), spec.quantization()).quantize(
        torch.from_numpy(plain * signs)
    )
    altered = type(raw)(
        **{**{f: getattr(raw, f) for f in raw.__dataclass_fields__}, "codes": np.array([special], np.uint32)}
    )
    assert pre.reference(altered).codes.tolist() == given.codes.tolist()


@pytest.mark.parametrize("planes", ["bipolar", "twos_complement"])
@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric", "minimum", "bipolar"])
def test_one_bit_weights(scheme: str, planes: str) -> None:
    """A single plane: no phase counter, and every wanted sum is what the codes mean."""
    if planes == "twos_complement" and scheme == "bipolar":
        return
    symmetry = "half" if planes == "bipolar" else "none"
    spec = tile(bits=1, k=4, group=4, depth=4, n=16, scheme=scheme, planes=planes, symmetry=symmetry)
    assert spec.step_cycles_max == 1
    w = all_weights(spec)[None]
    a = np.array([[[0x80, 0x7F, 3, 0xFC]]], np.uint32)
    sums, rows = one_step(spec, a, w)
    ints = np.array([-128, 127, 3, -4])
    wanted = spec.weight_format.decode(w[0]) @ ints
    zeros = {"symmetric": 1, "asymmetric": 0, "minimum": 0, "bipolar": 0}[scheme]
    zero = None
    if spec.has_row_sums:
        plain = 0 if planes == "twos_complement" else 2 * zeros + 1 - 2
        zero = np.full((1, 16), plain)
    got = spec.correct(sums, rows, zero)[0, 0] * 2.0**spec.lsb_exp
    assert got.tolist() == wanted.tolist()


# ---------------------------------------------------------------------- golden layers


def compare(spec: TileSpec, seed: int = 1) -> None:
    """Outputs, and raw sums where the golden layer has them as words."""
    w, x = weights(seed, 5), acts(seed + 1)
    layer = golden_layer(spec.quantize_weights(w.numpy()), spec.quantization())
    q_weights, q_acts = spec.quantize_weights(w.numpy()), spec.quantize_acts(x.numpy())
    schedule = Schedule(spec, Layer("layer", x.shape[0], *w.shape))
    beats = run_steps(spec, schedule.lower(q_acts, q_weights))
    if beats.y is not None:
        assert codes(layer(x)).tolist() == schedule.collect(beats.y).tolist()
        return
    sums, rows = schedule.collect(beats.sums)[..., 0], schedule.collect_rows(beats.rows)
    words = layer.group_words(x)
    if words is not None:
        assert words.tolist() == sums.tolist()
    y = epilogue(spec, sums, rows, q_acts, q_weights)
    assert codes(layer(x)).tolist() == y.tolist()
    assert np.unique(y).size > 3


LAYER = {"m": 2, "n": 2, "k": 4, "group": 16, "depth": 128}


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("scheme", ["symmetric", "asymmetric", "minimum", "bipolar"])
@pytest.mark.parametrize("entries", ENTRIES)
def test_golden_layers(entries: str, scheme: str, name: str) -> None:
    bits = 1 + ACTS.index(name) % 4
    compare(tile(**LAYER, acts=name, scheme=scheme, bits=bits, **ENTRIES[entries]), bits)


@pytest.mark.parametrize("name", ["fp8_e4m3", "fp8_e5m2", "fp16"])
@pytest.mark.parametrize("entries", ["native", "pow2"])
def test_golden_layers_with_alignment_in_steps(entries: str, name: str) -> None:
    compare(tile(**LAYER, acts=name, scheme="asymmetric", align_scope="step", bits=3, **ENTRIES[entries]))


@pytest.mark.parametrize("entries", ["pow2", "max127"])
def test_golden_layers_with_lanes(entries: str) -> None:
    values = LAYER | {"k": 2}
    compare(tile(**values, acts="int16", scheme="asymmetric", bits=4, post_lanes=2, **ENTRIES[entries]))


def test_bytes_do_change_results() -> None:
    """Or the tests of byte tables would test nothing."""
    w, x = weights(1, 5), acts(2)
    results = []
    for entries in ENTRIES.values():
        spec = tile(**LAYER, acts="int16", scheme="asymmetric", bits=4, **entries)
        results.append(codes(golden_layer(spec.quantize_weights(w.numpy()), spec.quantization())(x)).tolist())
    assert results[0] != results[1] != results[2] != results[0]


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"acts": "bf16", "align_scope": "step"},
            "lut: align_scope must be group or row with acts bf16, not step; "
            "sums in the unit of the smallest number would be 250 bits longer",
        ),
        (
            {"entries": "int8", "planes": "twos_complement", "symmetry": "none"},
            "lut: planes must be bipolar with entries int8, not twos_complement; "
            "a table of ±1 sums has one largest entry",
        ),
        (
            {"entry_rule": "max127", "precompute": "external"},
            "lut: entry_rule must be pow2 with entries native, not max127; use --entries int8",
        ),
        (
            {"entries": "int8", "entry_rule": "max127"},
            "lut: precompute must be external with entry_rule max127, not internal; rows have no dividers",
        ),
    ],
)
def test_refusals(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(HwgenError) as caught:
        tile(**values)
    assert str(caught.value) == sentence


def test_measured_errors_are_in_order() -> None:
    """Bytes cost more than alignment, alignment over a group more than in a step, and FP32 cells next to nothing."""
    rows = {
        (r["activations"], r["cell"], r["alignment"], r["entries"], r["scale"]): float(r["rms_ppm"])
        for r in error_table()
    }
    exact = rows["int16", "aligned", "none", "native", "none"]
    pow2, factor = (rows["int16", "aligned", "none", "int8", rule] for rule in ("pow2", "max127"))
    assert 0 < exact < 1 < factor < pow2
    group, step = (rows["fp16", "aligned", scope, "native", "none"] for scope in ("group", "step"))
    assert rows["fp16", "fp_add", "none", "native", "none"] < 1 < step < group
    assert group < rows["fp16", "aligned", "group", "int8", "max127"]
