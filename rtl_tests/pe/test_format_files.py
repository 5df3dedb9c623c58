"""Tiles of formats from files: contracts, and layers of them through the emitted Verilog."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.errors import HwgenError
from hwgen.formats import read_format
from hwgen.formats.file import example_names
from hwgen.pe import family_of_file
from hwgen.quantize import acts_for, weights_for
from hwgen.verify import check_contract, choose_engine
from sim.accuracy.operand import operand_format
from sim.run import run_layer

pytestmark = pytest.mark.rtl

FILES: dict[str, str] = {
    "a power of two": 'element = "e2m1"\nblock = 20\nscale = "e8m0"\nrule = "ceil"',
    "integers": 'element = "int5"\nblock = 12\nscale = "fp8_e4m3"\ntensor_scale = true',
    "wide": 'element = "e3m2"\nblock = 8\nscale = "bf16"\nrule = "ceil"',
}


def _spec(name: str, folder: Path, **values: Any) -> Any:
    if name in FILES:
        path = folder / "mine.toml"
        path.write_text(FILES[name], encoding="utf-8")
        form = read_format(path)
    else:
        form = read_format(name)
    spec, own = family_of_file(form)
    return spec.from_values({"m": 1, "n": 2, **own, **values})


@pytest.mark.few(1)
@pytest.mark.parametrize("values", [{}, {"stages": 3, "post_lanes": 1, "cell_cuts": 1}], ids=["plain", "cuts"])
@pytest.mark.parametrize("name", [*example_names(), *FILES])
def test_contract(name: str, values: dict[str, Any], tmp_path: Path) -> None:
    spec = _spec(name, tmp_path, **values)
    failed = [one for one in check_contract(spec, 1, choose_engine(spec, "auto")) if not one.ok]
    assert not failed


@pytest.mark.few(4)
@pytest.mark.parametrize("name", [*example_names(), *FILES])
def test_layer(name: str, tmp_path: Path) -> None:
    """Golden layer, reference and Verilog agree in every bit; the last group of a row is a short one."""
    rng = np.random.default_rng(7)
    spec = _spec(name, tmp_path, post_lanes=2)
    k = spec.group * 2 + spec.k
    weights = rng.standard_normal((5, k)).astype(np.float32)
    acts = rng.standard_normal((2, k)).astype(np.float32)
    run = run_layer(spec, weights, acts, name="x")
    assert run.golden_equal, run.detail
    assert run.reference_equal, run.detail
    assert run.cycles_counted == run.cycles_predicted
    # The numbers are those of the layer, as well as its format can say them.
    wanted = acts @ weights.T
    assert np.abs(run.y - wanted).max() < 0.3 * np.abs(wanted).max()


@pytest.mark.parametrize("name", ["fp4_special", "block24", *FILES])
def test_a_tile_stores_what_the_file_says(name: str, tmp_path: Path) -> None:
    """Its weights, and with blocks its activations, are those that `hwgen accuracy` measures."""
    spec = _spec(name, tmp_path)
    own = operand_format(read_format(tmp_path / "mine.toml" if name in FILES else name).operand)
    x = np.random.default_rng(8).standard_normal((4, 3 * spec.group)).astype(np.float32)
    assert weights_for(spec.quantization(), x) == own.quantise(x)
    if spec.family == "mx":
        assert acts_for(spec.quantization(), x) == own.quantise(x)


def test_what_the_family_refuses(tmp_path: Path) -> None:
    with pytest.raises(HwgenError, match=r"^mx: group must be 24, the block of block24:\S+, not 32$"):
        _spec("block24", tmp_path, group=32)
    with pytest.raises(HwgenError, match=r"^mx: acts must have blocks and scales like the weights' "):
        _spec("block24", tmp_path, acts="mxfp4")
    with pytest.raises(HwgenError, match=r"^mx: acts must have blocks and scales like the weights' "):
        _spec("block24", tmp_path, acts="block24:fp4_e2m1:ue5m3:ceil")
    with pytest.raises(HwgenError, match=r"^mx: block_rule must be floor for block20:\S+, which has a rule of its own"):
        _spec("a power of two", tmp_path, block_rule="ceil")
