"""ONNX graphs as workloads: models and operator cases of onnx's own backend tests, and graphs that are made here.

The ``light`` models are onnx's copies of the model zoo's networks without weights. Quantised graphs (QDQ, MatMulNBits)
are made here, as onnx ships none.
"""

from __future__ import annotations

import contextlib
import functools
import random
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases

from hwgen.errors import HwgenError
from sim.workload import Pass, Vision, Workload, builtin, load_workload
from sim.workload.onnx_file import onnx_workload

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
# MACs: torchvision's ``_ops`` of the same networks in G (resnet50 4.089, vgg19 19.632, densenet121 2.834, squeezenet1_1
# 0.349); AlexNet with its two groups 0.65 (Krizhevsky et al.: 60 M parameters).
GMACS = {"resnet50": 4.089, "vgg19": 19.632, "densenet121": 2.834, "squeezenet": 0.349, "bvlc_alexnet": 0.655}


@pytest.mark.parametrize(("name", "gmacs"), GMACS.items())
def test_macs_of_the_zoo_are_the_published_ones(name: str, gmacs: float) -> None:
    model = load_workload(LIGHT / f"light_{name}.onnx")
    assert round(model.macs(Pass()) / 1e9, 3) == gmacs
    assert {one.operand for one in model.operators} == {"weights"}


def test_resnet_of_the_zoo_is_that_of_the_catalogue() -> None:
    zoo, ours = onnx_workload(LIGHT / "light_resnet50.onnx"), builtin("resnet-50")
    assert zoo.macs(Pass()) == ours.macs(Vision())
    assert sum(one.weights for one in zoo.operators) == sum(one.weights for one in ours.operators)
    assert {(one.what, one.count) for one in zoo.beside} >= {("Relu", 49), ("BatchNormalization", 53), ("Sum", 16)}


def test_groups_of_a_network_without_many_macs() -> None:
    model = onnx_workload(LIGHT / "light_shufflenet.onnx")
    assert set(model.roles) == {"conv", "conv.grouped", "conv.depthwise", "linear"}
    assert round(model.macs(Pass()) / 1e6) == 125


@functools.cache
def cases() -> dict[str, Any]:
    """Models of onnx's operator cases by name."""
    with warnings.catch_warnings():
        # Their expected values overflow on purpose.
        warnings.simplefilter("ignore")
        return {case.name: case.model for case in collect_testcases(None)}


def of_model(model: Any, folder: Path, **dims: int) -> Workload:
    path = folder / "graph.onnx"
    onnx.save(model, path)
    return onnx_workload(path, dims)


@pytest.mark.parametrize(
    "name",
    [
        "test_attention_4d",
        "test_attention_4d_gqa",
        "test_attention_3d",
        "test_attention_3d_gqa",
        "test_attention_4d_diff_heads_sizes",
        "test_attention_4d_with_past_and_present",
        "test_attention_3d_with_past_and_present",
    ],
)
def test_attention_is_what_onnx_expands_it_to(name: str, tmp_path: Path) -> None:
    whole, expanded = (of_model(cases()[one], tmp_path) for one in (name, f"{name}_expanded"))
    assert whole.roles == ("attn.qk", "attn.pv")
    assert expanded.roles == ("matmul",)
    assert whole.macs(Pass()) == expanded.macs(Pass()) > 0
    assert {one.operand for one in whole.operators} == {"kv" if "past" in name else "acts"}


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        # Shapes in onnx/backend/test/case/node of each operator: (M, N, K, copies).
        ("test_gemm_transposeA", [(3, 4, 6, 1)]),
        ("test_matmul_4d", [(3, 3, 4, 2)]),
        ("test_matmulinteger", [(4, 2, 3, 1)]),
        ("test_qlinearmatmul_2D_int8_float32", [(2, 3, 4, 1)]),
        ("test_qlinearconv", [(49, 1, 1, 1)]),
        ("test_convtranspose_group_2", None),
        ("test_lstm_defaults", [(3, 12, 2, 1), (3, 12, 3, 1)]),
        ("test_gru_batchwise", None),
    ],
)
def test_operators_of_onnx(name: str, sizes: list[tuple[int, ...]] | None, tmp_path: Path) -> None:
    model = of_model(cases()[name], tmp_path)
    found = [(one.m.times, one.n.times, one.k.times, one.copies) for one in model.operators]
    assert found
    if sizes is not None:
        assert found == sizes


def graph(
    nodes: Sequence[Any], inputs: dict[str, Sequence[int | str]], constants: dict[str, np.ndarray], types: Any = None
) -> Any:
    """A model with one output ``y`` of unknown shape."""
    made = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()] + list(types or ()),
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)])


def test_quantise_and_dequantise_are_formats(tmp_path: Path) -> None:
    codes = helper.make_tensor("codes", TensorProto.INT4, [32, 8], np.zeros((32, 8), np.int8))
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["xd"]),
        helper.make_node("DequantizeLinear", ["codes", "ws"], ["wd"], axis=0, block_size=16),
        helper.make_node("MatMul", ["xd", "wd"], ["y"], name="up"),
    ]
    constants = {"s": np.float32(1), "z": np.uint8(0), "ws": np.ones((2, 8), np.float32)}
    model = of_model(graph(nodes, {"x": (3, 32)}, constants, [codes]), tmp_path)
    (one,) = model.operators
    assert (one.name, one.stored, dict(one.formats)) == (
        "up",
        "int4, blocks of 16",
        {"weights": "int4", "acts": "uint8"},
    )
    assert model.macs(Pass()) == 3 * 32 * 8
    assert {(one.what, one.count) for one in model.beside} == {("QuantizeLinear", 1), ("DequantizeLinear", 1)}


def test_packed_weights_of_few_bits(tmp_path: Path) -> None:
    node = helper.make_node(
        "MatMulNBits", ["x", "b", "s"], ["y"], domain="com.microsoft", K=64, N=10, bits=4, block_size=32
    )
    constants = {"b": np.zeros((10, 2, 16), np.uint8), "s": np.ones(20, np.float32)}
    model = of_model(graph([node], {"x": (2, 5, 64)}, constants), tmp_path)
    (one,) = model.operators
    assert (one.m.times, one.n.times, one.k.times, one.stored) == (10, 10, 64, "uint4, blocks of 32")
    assert dict(one.formats) == {"weights": "uint4", "acts": "fp32"}


def test_symbolic_dimensions_are_given(tmp_path: Path) -> None:
    model = graph(
        [helper.make_node("MatMul", ["x", "w"], ["h"], name="first"), helper.make_node("Relu", ["h"], ["y"])],
        {"x": ("batch", "length", 6)},
        {"w": np.zeros((6, 4), np.float32)},
    )
    assert of_model(model, tmp_path, batch=2, length=5).macs(Pass()) == 2 * 5 * 6 * 4
    with pytest.raises(HwgenError) as error:
        of_model(model, tmp_path)
    assert str(error.value) == (
        f"onnx {tmp_path / 'graph.onnx'}: node 'first' (MatMul) needs the sizes of 'x', which has shape "
        "[batch, length, 6]; give values: --dim batch=1 --dim length=1"
    )
    with pytest.raises(HwgenError, match="no symbolic dimension 'bach'; did you mean 'batch'"):
        of_model(model, tmp_path, bach=2)


def test_an_input_without_names_gets_some(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="first")
    model = graph([node], {"x": (1, 6)}, {"w": np.zeros((6, 4), np.float32)})
    model.graph.input[0].type.tensor_type.shape.dim[0].ClearField("dim_value")
    with pytest.raises(HwgenError, match=r"give values: --dim x\.0=1"):
        of_model(model, tmp_path)
    path = tmp_path / "graph.onnx"
    assert onnx_workload(path, {"x.0": 3}).macs(Pass()) == 3 * 24


def test_an_input_without_a_shape_is_refused(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "w"], ["y"], name="first")
    model = graph([node], {"x": (1, 6)}, {"w": np.zeros((6, 4), np.float32)})
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(HwgenError, match=r"node 'first' \(MatMul\) needs the sizes of 'x', which has no shape at all"):
        of_model(model, tmp_path)


def test_what_is_inside_a_branch_is_listed(tmp_path: Path) -> None:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["o"])],
        "b",
        [],
        [helper.make_tensor_value_info("o", TensorProto.FLOAT, [2])],
    )
    nodes = [helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)]
    model = of_model(graph(nodes, {"x": (2,), "c": ()}, {}), tmp_path)
    assert [(one.what, one.count) for one in model.beside] == [("If (with 2 operators inside, not read)", 1)]


@pytest.mark.parametrize("size", [0, 3, 2000])
def test_a_truncated_file_is_refused(size: int, tmp_path: Path) -> None:
    path = tmp_path / "cut.onnx"
    path.write_bytes((LIGHT / "light_vgg19.onnx").read_bytes()[:size])
    with pytest.raises(HwgenError, match=r"onnx .*cut\.onnx: is truncated or no ONNX model; export it again"):
        onnx_workload(path)


@pytest.mark.parametrize("name", ["squeezenet", "shufflenet"])
def test_damaged_bytes_are_taken_or_refused(name: str, tmp_path: Path) -> None:
    whole = (LIGHT / f"light_{name}.onnx").read_bytes()
    rng = random.Random(name)
    path = tmp_path / "damaged.onnx"
    for _ in range(40):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 2, 5))):
            data[rng.randrange(len(data))] = rng.choice((0, 1, 255, rng.randrange(256)))
        path.write_bytes(data)
        with contextlib.suppress(HwgenError):
            onnx_workload(path).macs(Pass())


def test_attributes_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"], name="first", group=0)
    model = graph([node], {"x": (1, 3, 8, 8)}, {"w": np.zeros((4, 3, 3, 3), np.float32)})
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 6, 6]))
    with pytest.raises(HwgenError, match=r"node 'first' \(Conv\) has operands or attributes that make no sense"):
        of_model(model, tmp_path)
