"""Workloads of ONNX graphs: products of MatMul, Gemm, Conv, Attention, recurrent layers and their quantised kin.

Shapes come from the file and from onnx's own inference, after symbolic dimensions got the values that the user gives.
What holds the weights is found by what is constant: an initializer, or anything computed from constants alone. Formats
come from QuantizeLinear and DequantizeLinear around an operand, and from MatMulNBits and the integer operators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

from hwgen.errors import HwgenError, os_error, suggest
from sim.workload.operators import Operator, Size
from sim.workload.workload import Listing, Workload

__all__ = ["onnx_workload"]

_TYPES = {
    "FLOAT": "fp32",
    "FLOAT16": "fp16",
    "BFLOAT16": "bf16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT4": "int4",
    "UINT4": "uint4",
    "INT2": "int2",
    "UINT2": "uint2",
    "INT16": "int16",
    "UINT16": "uint16",
    "FLOAT8E4M3FN": "fp8_e4m3",
    "FLOAT8E5M2": "fp8_e5m2",
    "FLOAT4E2M1": "fp4_e2m1",
}
"""Number formats by the names of ONNX's element types."""
_SAME = ("Transpose", "Reshape", "Identity", "Cast", "Unsqueeze", "Squeeze", "Flatten")
"""Operators that move or convert an operand and leave its format."""
_SUBGRAPHS = ("If", "Loop", "Scan")


def onnx_workload(path: Path, dims: Mapping[str, int] | None = None, name: str = "") -> Workload:
    """The workload of an ONNX file.

    Parameters
    ----------
    dims: values of symbolic dimensions by name.

    Raises `HwgenError` without the package onnx, for a file that is truncated or no model, for a dimension that the
    graph does not have, and for a product whose sizes do not follow.
    """
    return _Graph(path, _model(path, dict(dims or {}))).workload(name or path.stem)


def _onnx() -> Any:
    # Here: the package is large, and reading other files needs none of it.
    try:
        import onnx
        import onnx.inliner
        import onnx.shape_inference
    except ImportError as error:
        raise HwgenError("workload: reading .onnx needs the package onnx; pip install 'hwgen[sim]'") from error
    return onnx


def _model(path: Path, dims: dict[str, int]) -> Any:
    """The model with functions inlined, the dimensions set and shapes inferred."""
    onnx = _onnx()
    broken = HwgenError(f"onnx {path}: is truncated or no ONNX model; export it again")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except OSError as error:
        raise os_error(f"onnx {path}: cannot be read", error) from error
    except Exception as error:
        # protobuf's own exceptions differ between its implementations.
        if type(error).__name__ != "DecodeError":
            raise
        raise broken from error
    if not model.graph.node or not model.opset_import:
        raise broken
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    symbols = _set_dims(model.graph, dims)
    unknown = [one for one in dims if one not in symbols]
    if unknown:
        has = ", ".join(sorted(symbols)) or "none"
        raise HwgenError(
            f"onnx {path}: no symbolic dimension {unknown[0]!r}{suggest(unknown[0], symbols)}; it has {has}"
        )
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        raise HwgenError(f"onnx {path}: shapes cannot be inferred: {error}") from error


def _set_dims(graph: Any, dims: Mapping[str, int]) -> set[str]:
    """Give symbolic dimensions their values; the names of all that there are at inputs.

    A dimension without a name at an input is called INPUT.AXIS, such as ``x.0``.
    """
    symbols: set[str] = set()
    constant = {one.name for one in graph.initializer}
    for value in graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if value.name in constant or dim.dim_value > 0:
                continue
            if not dim.dim_param or dim.dim_param == "?":
                dim.dim_param = f"{value.name}.{axis}"
            symbols.add(dim.dim_param)
    for value in (*graph.input, *graph.value_info, *graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in dims and dim.dim_param in symbols:
                dim.dim_value = dims[dim.dim_param]
    return symbols


class _Graph:
    """Nodes of one graph, with what is known of their operands."""

    def __init__(self, path: Path, model: Any) -> None:
        self.path, self.graph = path, model.graph
        self.types = _onnx().TensorProto.DataType
        self.helper = _onnx().helper
        self.symbols = [
            dim.dim_param
            for one in self.graph.input
            for dim in one.type.tensor_type.shape.dim
            if not dim.HasField("dim_value")
        ]
        self.shapes: dict[str, tuple[int | str, ...]] = {}
        self.kinds: dict[str, int] = {}
        for value in (*self.graph.input, *self.graph.value_info, *self.graph.output):
            tensor = value.type.tensor_type
            self.kinds[value.name] = tensor.elem_type
            if tensor.HasField("shape"):
                self.shapes[value.name] = tuple(
                    dim.dim_value if dim.HasField("dim_value") else dim.dim_param or "?" for dim in tensor.shape.dim
                )
        for one in self.graph.initializer:
            self.shapes[one.name], self.kinds[one.name] = tuple(one.dims), one.data_type
        self.made_by = {output: node for node in self.graph.node for output in node.output if output}
        self.constant = {one.name for one in self.graph.initializer}
        for node in self.graph.node:
            if node.op_type == "Constant" or (node.input and all(x in self.constant for x in node.input if x)):
                self.constant |= set(node.output)

    def workload(self, name: str) -> Workload:
        """All products as operators, all else counted."""
        operators: list[Operator] = []
        beside = Listing()
        for number, node in enumerate(self.graph.node):
            if node.output and all(output in self.constant for output in node.output if output):
                continue
            reader = _READERS.get(node.op_type)
            if reader is None:
                beside.add(self._kind(node))
                continue
            title = node.name or (node.output[0] if node.output else "") or f"{node.op_type} {number}"
            try:
                operators += reader(self, node, title)
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                # A damaged file may hold anything: groups of 0, weights of rank 1.
                raise HwgenError(
                    f"onnx {self.path}: node {title!r} ({node.op_type}) has operands or attributes that make no sense: "
                    f"{error}"
                ) from error
        counts = sum(prod(one.dims) for one in self.graph.initializer if one.data_type not in (6, 7, 9))
        held = sum(one.weights for one in operators)
        others = {"other constants": counts - held} if counts > held else {}
        return Workload(name, tuple(operators), ("pass",), None, others, beside.entries(), f"{self.path} (onnx)")

    def _kind(self, node: Any) -> str:
        domain = f"{node.domain}." if node.domain not in ("", "ai.onnx") else ""
        inside = sum(len(a.g.node) for a in node.attribute if a.HasField("g"))
        held = f" (with {inside} operators inside, not read)" if node.op_type in _SUBGRAPHS else ""
        return f"{domain}{node.op_type}{held}"

    def shape(self, node: Any, place: int, title: str) -> tuple[int, ...]:
        """Shape of an operand. Raises `HwgenError`, naming the node, where it is not known."""
        tensor = node.input[place] if place < len(node.input) else ""
        found = self.shapes.get(tensor)
        if found is None or not all(isinstance(size, int) and size > 0 for size in found):
            shown = "no shape at all" if found is None else f"shape [{', '.join(map(str, found))}]"
            open_ones = list(dict.fromkeys(self.symbols))
            hint = f"; give values: {' '.join(f'--dim {one}=1' for one in open_ones[:4])}" if open_ones else ""
            raise HwgenError(
                f"onnx {self.path}: node {title!r} ({node.op_type}) needs the sizes of {tensor!r}, which has "
                f"{shown}{hint}"
            )
        return tuple(int(size) for size in found)

    def attribute(self, node: Any, name: str, default: Any) -> Any:
        """An attribute's value."""
        return next((self.helper.get_attribute_value(one) for one in node.attribute if one.name == name), default)

    def format(self, tensor: str) -> tuple[str, str]:
        """Number format of an operand as it is stored, and how its scales are shared, in words."""
        given, shared = tensor, ""
        for _ in range(len(self.made_by) + 1):
            node = self.made_by.get(tensor)
            if node is None or not node.input:
                break
            if node.op_type == "DequantizeLinear" or (node.op_type == "Mul" and tensor in self.constant):
                block = self.attribute(node, "block_size", 0)
                scales = prod(size for size in self.shapes.get(node.input[1], ()) if isinstance(size, int))
                shared = f"blocks of {block}" if block else ("one scale" if scales == 1 else "a scale a channel")
                if node.op_type == "DequantizeLinear":
                    return self.element(self._quantised(node.input[0])), shared
            elif node.op_type not in _SAME:
                break
            tensor = node.input[0]
        found = self.element(tensor)
        # A constant product without whole numbers in it is no dequantisation.
        return (found, shared) if not shared or "int" in found else (self.element(given), "")

    def _quantised(self, tensor: str) -> str:
        """The tensor of codes: output of a QuantizeLinear, or what a file holds behind moves."""
        while (node := self.made_by.get(tensor)) is not None and node.op_type in _SAME and node.op_type != "Cast":
            tensor = node.input[0]
        return tensor

    def element(self, tensor: str) -> str:
        """Number format by the element type; "" where there is none."""
        kind = self.kinds.get(tensor, 0)
        return _TYPES.get(str(self.types.Name(kind)), "") if kind else ""

    def operand(self, tensor: str) -> str:
        """What the second operand of a product is."""
        return "weights" if tensor in self.constant else "acts"

    def product(
        self, title: str, role: str, m: int, n: int, k: int, copies: int, first: str, second: str, **more: Any
    ) -> Operator:
        """An operator with the formats of its operands."""
        act, (held, shared) = self.format(first)[0], self.format(second)
        formats = [(self.operand(second), held)] if held else []
        if act and formats and formats[0][0] != "acts":
            formats.append(("acts", act))
        stored = f"{held}, {shared}" if shared else held
        about = {"operand": self.operand(second), "stored": stored, "formats": tuple(formats), **more}
        return Operator(title, role, Size(m), Size(n), Size(k), copies, **about)


def _matmul(g: _Graph, node: Any, title: str, places: tuple[int, int] = (0, 1)) -> list[Operator]:
    """numpy's matmul: leading axes broadcast; weights without them take all rows at once."""
    a, b = (list(g.shape(node, place, title)) for place in places)
    a, b = a if len(a) > 1 else [1, *a], b if len(b) > 1 else [*b, 1]
    (m, k), (inner, n) = a[-2:], b[-2:]
    if k != inner:
        raise HwgenError(f"onnx {g.path}: node {title!r} ({node.op_type}) multiplies {a} by {b}, which do not fit")
    batch_a, batch_b = prod(a[:-2]), prod(b[:-2])
    first, second = (node.input[place] for place in places)
    if batch_b == 1:
        m, copies = m * batch_a, 1
    else:
        copies = max(batch_a, batch_b)
    role = "linear" if g.operand(second) == "weights" or g.operand(first) == "weights" else "matmul"
    if g.operand(first) == "weights" and g.operand(second) != "weights":
        # Y = W·X is Yᵀ = Xᵀ·Wᵀ: the constant operand is the one that stays.
        return [g.product(title, role, n * (copies // max(batch_a, 1)), m, k, max(batch_a, 1), second, first)]
    return [g.product(title, role, m, n, k, copies, first, second)]


def _qlinear_matmul(g: _Graph, node: Any, title: str) -> list[Operator]:
    return _matmul(g, node, title, (0, 3))


def _gemm(g: _Graph, node: Any, title: str) -> list[Operator]:
    a, b = g.shape(node, 0, title), g.shape(node, 1, title)
    m, k = reversed(a) if g.attribute(node, "transA", 0) else a
    n = b[0] if g.attribute(node, "transB", 0) else b[1]
    role = "linear" if g.operand(node.input[1]) == "weights" else "matmul"
    return [g.product(title, role, m, n, k, 1, node.input[0], node.input[1])]


def _convolution(g: _Graph, node: Any, title: str, places: tuple[int, int] = (0, 1)) -> list[Operator]:
    """Weights [outputs, inputs of a group, kernel …]; the output's shape gives the positions."""
    weights = g.shape(node, places[1], title)
    out = _output(g, node, title)
    groups = g.attribute(node, "group", 1)
    inputs, outputs = weights[1] * groups, weights[0]
    m = out[0] * prod(out[2:])
    role = "conv" if groups == 1 else "conv.depthwise" if groups == inputs else "conv.grouped"
    first, second = (node.input[place] for place in places)
    return [g.product(title, role, m, outputs // groups, prod(weights[1:]), groups, first, second, groups=groups)]


def _qlinear_conv(g: _Graph, node: Any, title: str) -> list[Operator]:
    return _convolution(g, node, title, (0, 3))


def _transposed(g: _Graph, node: Any, title: str) -> list[Operator]:
    """Every input position meets all weights [inputs, outputs of a group, kernel …]; what overlaps is added up."""
    x, weights = g.shape(node, 0, title), g.shape(node, 1, title)
    groups = g.attribute(node, "group", 1)
    m, n, k = x[0] * prod(x[2:]), prod(weights[1:]), weights[0] // groups
    return [g.product(title, "conv.transposed", m, n, k, groups, node.input[0], node.input[1], groups=groups)]


def _output(g: _Graph, node: Any, title: str) -> tuple[int, ...]:
    found = g.shapes.get(node.output[0])
    if found is None or not all(isinstance(size, int) and size > 0 for size in found):
        # The input's sizes are what is missing: say which.
        g.shape(node, 0, title)
        raise HwgenError(f"onnx {g.path}: node {title!r} ({node.op_type}) has an output whose sizes do not follow")
    return tuple(int(size) for size in found)


def _nbits(g: _Graph, node: Any, title: str) -> list[Operator]:
    """com.microsoft's weights of a few bits, packed: sizes are attributes."""
    k, n, bits, block = (g.attribute(node, name, 0) for name in ("K", "N", "bits", "block_size"))
    x = g.shape(node, 0, title)
    if x[-1] != k or not n:
        raise HwgenError(f"onnx {g.path}: node {title!r} (MatMulNBits) has K {k} and N {n}, its input {list(x)}")
    form = f"uint{bits or 4}"
    formats = (("weights", form), *((("acts", act),) if (act := g.format(node.input[0])[0]) else ()))
    stored = f"{form}, blocks of {block}"
    return [Operator(title, "linear", Size(prod(x[:-1])), Size(n), Size(k), stored=stored, formats=formats)]


def _attention(g: _Graph, node: Any, title: str) -> list[Operator]:
    """ai.onnx Attention of Q, K and V, [B, heads, tokens, size] or [B, tokens, heads·size]; past keys come first."""
    q, k, v = (g.shape(node, place, title) for place in range(3))
    if len(q) == 4:
        batch, heads, tokens, size = q
        kv_heads, keys, value = k[1], k[2], v[3]
    else:
        heads, kv_heads = g.attribute(node, "q_num_heads", 0), g.attribute(node, "kv_num_heads", 0)
        if not heads or not kv_heads:
            raise HwgenError(f"onnx {g.path}: node {title!r} (Attention) lacks q_num_heads or kv_num_heads")
        (batch, tokens, width), keys = q, k[1]
        size, value = width // heads, v[2] // kv_heads
    past = len(node.input) > 4 and bool(node.input[4])
    keys += g.shape(node, 4, title)[2] if past else 0
    return _scores(g, node, title, (batch, heads, kv_heads, tokens, keys, size, value), "kv" if past else "acts")


def _scores(
    g: _Graph, node: Any, title: str, sizes: tuple[int, int, int, int, int, int, int], operand: str
) -> list[Operator]:
    batch, heads, kv_heads, tokens, keys, size, value = sizes
    m, copies = tokens * (heads // kv_heads), batch * kv_heads
    act = g.format(node.input[0])[0]
    about: dict[str, Any] = {"operand": operand, "formats": ((operand, act),) if act else ()}
    return [
        Operator(f"{title} QK", "attn.qk", Size(m), Size(keys), Size(size), copies, **about),
        Operator(f"{title} PV", "attn.pv", Size(m), Size(value), Size(keys), copies, **about),
    ]


def _microsoft_attention(g: _Graph, node: Any, title: str) -> list[Operator]:
    """com.microsoft: MultiHeadAttention and GroupQueryAttention of Q, K, V [B, tokens, width]; Attention has the linear
    of all three inside.
    """
    x = g.shape(node, 0, title)
    heads = g.attribute(node, "num_heads", 0)
    if not heads or len(x) != 3:
        raise HwgenError(f"onnx {g.path}: node {title!r} ({node.op_type}) must have num_heads and an input of rank 3")
    batch, tokens, width = x
    if node.op_type == "Attention":
        w = g.shape(node, 1, title)
        size = w[1] // 3 // heads
        linear = g.product(f"{title} QKV", "linear", batch * tokens, w[1], w[0], 1, node.input[0], node.input[1])
        return [linear, *_scores(g, node, title, (batch, heads, heads, tokens, tokens, size, size), "acts")]
    kv_heads = g.attribute(node, "kv_num_heads", heads)
    packed = len(node.input) < 3 or not node.input[1]
    size = width // (heads + 2 * kv_heads) if packed else width // heads
    keys = tokens if packed else g.shape(node, 1, title)[1]
    place = 3 if node.op_type == "GroupQueryAttention" else 6
    past = len(node.input) > place and bool(node.input[place])
    keys += g.shape(node, place, title)[2] if past else 0
    return _scores(g, node, title, (batch, heads, kv_heads, tokens, keys, size, size), "kv" if past else "acts")


def _recurrent(g: _Graph, node: Any, title: str) -> list[Operator]:
    """Weights [directions, gates·hidden, inputs] for all steps at once; those of the state, [.., hidden], a step."""
    x, w, r = (g.shape(node, place, title) for place in range(3))
    steps, batch = (x[1], x[0]) if g.attribute(node, "layout", 0) else (x[0], x[1])
    fed = g.product(f"{title} W", "rnn.input", steps * batch, w[1], w[2], w[0], node.input[0], node.input[1])
    again = g.product(f"{title} R", "rnn.recurrent", batch, r[1], r[2], r[0], node.input[0], node.input[2])
    return [fed, Operator(**{**vars(again), "each": Size(steps)})]


def _by_domain(g: _Graph, node: Any, title: str) -> list[Operator]:
    return (_microsoft_attention if node.domain == "com.microsoft" else _attention)(g, node, title)


_READERS: dict[str, Callable[[_Graph, Any, str], Sequence[Operator]]] = {
    "MatMul": _matmul,
    "MatMulInteger": _matmul,
    "QLinearMatMul": _qlinear_matmul,
    "Gemm": _gemm,
    "Conv": _convolution,
    "ConvInteger": _convolution,
    "FusedConv": _convolution,
    "QLinearConv": _qlinear_conv,
    "ConvTranspose": _transposed,
    "MatMulNBits": _nbits,
    "Attention": _by_domain,
    "MultiHeadAttention": _microsoft_attention,
    "GroupQueryAttention": _microsoft_attention,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
}
"""How operators become products, by type."""
