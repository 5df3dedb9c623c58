"""Formats from files: what they mean, and that everything wrong in one is told with its line."""

from __future__ import annotations

import pickle
import textwrap
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import block_format, get, read_format
from hwgen.formats.file import EXAMPLES, KEYS, example_names
from hwgen.quantize import nv, scaled_blocks

FLOATS = ("fp4_e2m1", "fp6_e3m2", "e3m1", "int4")


def _file(folder: Path, text: str) -> str:
    path = folder / "mine.toml"
    path.write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")
    return str(path)


def test_examples_are_of_all_kinds() -> None:
    found = [read_format(name) for name in example_names()]
    assert {form.block is None for form in found} == {True, False}
    used = {key for name in example_names() for key in _keys(EXAMPLES / f"{name}.toml")}
    assert used <= {key.name for key in KEYS}


def _keys(path: Path) -> set[str]:
    import tomllib

    return set(tomllib.loads(path.read_text()))


def test_nf4_is_the_one_that_is_known() -> None:
    form = read_format("nf4")
    assert (form.format, form.operand) == (get("nf4"), "nf4/64@fp16")


def test_a_name_says_all(tmp_path: Path) -> None:
    """What is read has a name that needs no file, and survives pickling."""
    path = _file(tmp_path, 'name = "tiny_blocks"\nelement = "e2m1"\nblock = 20\nscale = "e4m3"\ntensor_scale = true')
    form = read_format(path)
    assert form.canonical == "block20:fp4_e2m1:fp8_e4m3:nearest:tensor"
    assert block_format(path) == block_format("tiny_blocks") == block_format(form.canonical) == form.block
    assert pickle.loads(pickle.dumps(form)) == form
    assert get("tiny_blocks") is get(path) is get("fp4_e2m1")


def test_a_codebook_decodes_exactly(tmp_path: Path) -> None:
    path = _file(tmp_path, "values = [-1, -0.3, 0, 0.1]  # four")
    form = get(path)
    assert [form.decode_scalar(code) for code in range(4)] == [Fraction(v) for v in (-1.0, -0.3, 0.0, 0.1)]
    assert get(form.name) == form
    assert read_format(path).operand == "codebook(-1,-0.3,0,0.1)/128@fp16"


def test_values_stand_in_the_order_of_their_codes(tmp_path: Path) -> None:
    form = get(_file(tmp_path, "values = [0, 1, -1, -3]"))
    assert [float(form.decode_scalar(code)) for code in range(4)] == [0, 1, -1, -3]
    assert get(form.name) == form
    assert [form.encode_scalar(Fraction(value)) for value in (0.4, 0.6, -0.6, -9)] == [0, 1, 2, 3]


def test_special_values_of_groups(tmp_path: Path) -> None:
    form = read_format("fp4_special")
    assert form.operand == "special(fp4_e2m1,-5,5,-8,8)/64@fp16"
    assert form.format.decode([8] * 4, np.arange(4)).tolist() == [-5, 5, -8, 8]
    assert form.format.decode([7, 15], np.array([0, 3])).tolist() == [6, -6]


def test_a_name_stands_for_the_last_file(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text('name = "twice"\nvalues = [-1, 0, 1, 2]')
    (tmp_path / "other.toml").write_text('name = "twice"\nvalues = [-1, 0, 1, 3]')
    for name, levels in (("one", "-1,0,1,2"), ("other", "-1,0,1,3")):
        read_format(tmp_path / f"{name}.toml")
        assert get("twice").name == f"codebook({levels})"
    (tmp_path / "one.toml").write_text('name = "twice"\nvalues = [-2, 0, 1, 2]')
    assert get(str(tmp_path / "one.toml")) == get("twice") == get("codebook(-2,0,1,2)")


WRONG = (
    ("values = [\n 0,\n 1, # 1\n nan, 2]", 4, "values must be finite numbers, not nan"),
    ("values = [-inf, 0, 1, 2]", 1, "values must be finite numbers, not -inf"),
    ("values = [0, true]", 1, "values must be finite numbers, not True"),
    ("values = [0, 1e30]", 1, "values must be numbers of at most 2**64, not 1e+30"),
    ("values = [\n-1,\n0,\n0.5,\n0,\n]", 5, "values must be different numbers, not 0 again, which is in line 3"),
    ("values = [-1, 0, 1]", 1, "values must be 2, 4, 8 … 256 numbers, not 3"),
    ("values = []", 1, "values must be 2, 4, 8 … 256 numbers, not 0"),
    ("values = [0, 1]", 1, "values must have zero, positive and negative numbers"),
    (f"group = 8\nvalues = {list(range(-3, 254))}", 2, "values must be at most 256 numbers, not 257"),
    ("values = 3", 1, "values must be a list of numbers, not 3"),
    ("values = [-1, 0, 1, 2]\n\nscales = 'fp16'", 3, "no key 'scales'; did you mean 'scale'?; keys: name, about, "),
    ("values = [-1, 0, 1, 2]\nscale = 'int4'", 2, "scale must be floating point, such as fp16, not int4"),
    ("values = [-1, 0, 1, 2]\nscale = 'fp15'", 2, "scale: format: name must be intN, "),
    ("values = [-1, 0, 1, 2]\nscale = 16", 2, "scale must be a text in quotes, not 16"),
    ("values = [-1, 0, 1, 2]\ngroup = -1", 2, "group must be a whole number from 0 to 1048576, not -1"),
    ("values = [-1, 0, 1, 2]\ngroup = 0.5", 2, "group must be a whole number from 0 to 1048576, not 0.5"),
    ("values = [-1, 0, 1, 2]\nblock = 16", 2, "block goes with element"),
    ("values = [-1, 0, 1, 2]\nelement = 'e2m1'", 2, "element does not go with values"),
    ("values = [-1, 0, 1, 2]\nrule = 'floor'", 2, "rule goes with block"),
    ("name = 'int8'\nvalues = [-1, 0, 1, 2]", 1, "name must not be 'int8', which is another format"),
    ("name = 'mxfp4'\nelement = 'e2m1'\nblock = 8", 1, "name must not be 'mxfp4', which is another format"),
    (
        "name = 'A b'\nvalues = [-1, 0, 1, 2]",
        1,
        "name must be small letters, digits and _, at most 40, a letter first,",
    ),
    ("element = 'e2m1'", 1, "element needs block or specials"),
    ("element = 'e2m1'\nspecials = [3, 5, 7]", 2, "specials must be 1, 2, 4, 8 or 16 numbers, not 3"),
    ("element = 'e2m1'\nspecials = [3,\n3]", 3, "specials must be different numbers, not 3 again, which is in line 2"),
    ("element = 'int4'\nspecials = [9]", 1, "element: special(int4,9): the format must have a code that repeats a "),
    ("element = 'ue2m1'\nspecials = [9]", 1, "element must have positive and negative values, which ue2m1 has not"),
    ("element = 'e2m1'\nspecials = [9]\nblock = 8", 2, "specials do not go with block"),
    ("values = [-1, 0, 1, 2]\nspecials = [3]", 2, "specials goes with element"),
    ("block = 16\nelement = 'e2m9'", 2, "element must be a signed minifloat or intN of 2 to 8 bits, "),
    ("block = 16\nelement = 'ue2m2'", 2, "element must be a signed minifloat or intN of 2 to 8 bits, "),
    ("block = 1\nelement = 'e2m1'", 1, "block must be a whole number from 2 to 1024, not 1"),
    ("block = 16\nelement = 'e2m1'\nscale = 'int8'", 3, "scale must be e8m0 or a minifloat of up to 16 bits, "),
    ("block = 16\nelement = 'e2m1'\nrule = 'nearest'", 3, "rule must be floor or ceil with scale e8m0, not 'nearest'"),
    (
        "block = 16\nelement = 'e2m1'\nscale = 'ue4m3'\ntensor_scale = true\nrule = 'ceil'",
        5,
        "rule must be nearest with scale ue4m3 below a scale of the tensor, not 'ceil'",
    ),
    ("block = 16\nelement = 'e2m1'\ntensor_scale = true", 3, "tensor_scale must be false with scale e8m0, "),
    ("block = 16\nelement = 'e2m1'\ntensor_scale = 'yes'", 3, "tensor_scale must be true or false, not 'yes'"),
    ("values = [1, 2\nblock", 2, "must be TOML: Unclosed array"),
    ("values = [1, 2]\n[more]\nx = 1", 2, "no key 'more'; did you mean 'rule'?; keys: "),
)


@pytest.mark.parametrize(("text", "line", "sentence"), WRONG, ids=[sentence[:40] for _, _, sentence in WRONG])
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, line: int, sentence: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(HwgenError) as refused:
        read_format(path)
    assert str(refused.value).startswith(f"{path}, line {line}: {sentence}")


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(HwgenError, match=r"must be a .toml file, or one of those that come with hwgen: .*nf4"):
        read_format("nf5")
    with pytest.raises(HwgenError, match="cannot be read: No such file"):
        read_format(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"name = 'x'\n\xff")
    with pytest.raises(HwgenError, match=r"bytes.toml, line 2: must be UTF-8 text"):
        read_format(tmp_path / "bytes.toml")
    (tmp_path / "empty.toml").write_text("")
    with pytest.raises(HwgenError, match=r"empty.toml: must have values, or element with block or with specials"):
        read_format(tmp_path / "empty.toml")
    (tmp_path / "codes.toml").write_text("values = [-1, 0, 1, 2]")
    with pytest.raises(HwgenError, match=r"codes.toml: must be a block format, with element and block"):
        block_format(str(tmp_path / "codes.toml"))


# ---------------------------------------------------------------------- quantisers


def _nearest(value: Fraction, levels: dict[int, Fraction]) -> Fraction:
    """Distance of the nearest level."""
    return min(abs(level - value) for level in levels.values())


@pytest.mark.parametrize("rule", ["nearest", "ceil"])
@pytest.mark.parametrize("scale", ["ue5m3", "fp8_e4m3", "ue4m0"])
@pytest.mark.parametrize("element", FLOATS)
def test_blocks_get_the_nearest_scale_and_the_nearest_values(element: str, scale: str, rule: str) -> None:
    """Against fractions: every scale is the one that the rule names, every element the nearest value."""
    rows = np.random.default_rng(5).standard_normal((3, 50)).astype(np.float32) * np.float32(3)
    rows[1, 24:48] = 0
    made = scaled_blocks(rows, element, 24, scale, rule)
    form, scales = get(element), get(scale)
    top = Fraction(form.max_value)
    known = sorted(
        {Fraction(float(v)) for v in scales.decode(scales.codes()) if np.isfinite(v) and v > 0}, key=lambda one: one
    )
    levels = {code: Fraction(float(v)) for code, v in enumerate(form.decode(form.codes())) if abs(v) <= form.max_value}
    for n in range(3):
        for group, part in enumerate(made.group_slices):
            block = [Fraction(float(x)) for x in rows[n, part]]
            amax, chosen = max(map(abs, block)), Fraction(float(made.scales[n, group]))
            if amax == 0:
                assert chosen == 0
                continue
            if rule == "ceil":
                assert chosen == next((one for one in known if amax <= top * one), known[-1])
            else:
                assert abs(chosen - amax / top) == min(abs(one - amax / top) for one in known)
            values = made.values()[n, part]
            for x, value in zip(block, values, strict=True):
                inside = min(max(x / chosen, -top), top)
                assert abs(Fraction(float(value)) - inside) == _nearest(inside, levels)


def test_two_levels_take_any_scale_below() -> None:
    rows = np.random.default_rng(6).standard_normal((4, 40)).astype(np.float32)
    made = nv(rows, "e2m1", 20, scale_format="ue5m3")
    assert made.outer is not None
    # The largest block has the largest scale.
    assert made.scales.max() == get("ue5m3").max_value
    # An element lies half a step of 2 from its value at most, and a scale a sixteenth from its ideal.
    error = np.abs(made.dequantize() - rows) / np.abs(rows).max(axis=1, keepdims=True)
    assert error.max() < 0.2
    assert nv(rows) == nv(rows, scale_format="fp8_e4m3")
