"""Workloads of torch modules and exported programs: run once without data, with every product recorded.

Parameters and inputs are stand-ins that have shapes and no values (torch's FakeTensorMode), so that a model of any
size takes no memory and no time; a module on the device ``meta`` will do. Linears, matrix products, einsums,
convolutions and attention are seen as torch decomposes them; all other operators that compute are counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from hwgen.errors import HwgenError
from sim.workload.operators import Operator, Size
from sim.workload.workload import Listing, Workload

__all__ = ["exported_workload", "module_workload"]

_FORMATS = {
    torch.float32: "fp32",
    torch.float16: "fp16",
    torch.bfloat16: "bf16",
    torch.int8: "int8",
    torch.uint8: "uint8",
    torch.float8_e4m3fn: "fp8_e4m3",
    torch.float8_e5m2: "fp8_e5m2",
}


def module_workload(module: torch.nn.Module, *inputs: Any, name: str = "", **named: Any) -> Workload:
    """The workload of one call ``module(*inputs, **named)``.

    Parameters
    ----------
    inputs, named: what the module is called with; of tensors only shapes and types count, those on ``meta`` will do.

    Raises `HwgenError` when the module cannot run without values (it branches on them, say), or does not take the
    inputs.
    """
    if not isinstance(module, torch.nn.Module):
        raise HwgenError(f"workload: must be given a torch.nn.Module and its inputs, not {type(module).__name__}")
    mode = FakeTensorMode(allow_non_fake_inputs=True)

    def stand_in(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        # On one device, whatever the originals are on: tensors that the module makes itself are there too.
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="cpu")

    # Tied parameters have several names and must stay one.
    originals = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    with mode, _without_shortcuts():
        made: dict[int, torch.Tensor] = {}
        state = {key: made.setdefault(id(value), stand_in(value)) for key, value in originals}
        record = _Record(state)
        try:
            with torch.no_grad(), record:
                torch.func.functional_call(module, state, tree_map(stand_in, inputs), tree_map(stand_in, named))
        except HwgenError:
            raise
        except Exception as error:
            # Whatever a module raises, its author is who understands it.
            raise HwgenError(
                f"workload: {type(module).__name__} cannot be run on shapes alone: {type(error).__name__}: {error}"
            ) from error
    total = sum(value.numel() for value in {id(v): v for v in module.parameters()}.values())
    held = sum(one.weights for one in record.operators if not one.tied)
    others = {"others": total - held} if total > held else {}
    title = name or type(module).__name__
    return Workload(
        title, tuple(record.operators), ("pass",), None, others, record.beside.entries(), f"torch module {title}"
    )


def exported_workload(program: torch.export.ExportedProgram, name: str = "") -> Workload:
    """The workload of a program of ``torch.export``, at the sizes of its example inputs."""
    if program.example_inputs is None:
        raise HwgenError("workload: the exported program must keep its example inputs, whose sizes count")
    inputs, named = program.example_inputs
    return module_workload(program.module(), *inputs, name=name or "exported program", **named)


@contextmanager
def _without_shortcuts() -> Iterator[None]:
    """Encoder and recurrent layers as the products that they are, not as one fused operator."""
    fast, onednn = torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    torch.backends.mha.set_fastpath_enabled(False)
    # Not its context manager, which warns of Intel's GPUs where there are none.
    torch.backends.mkldnn.enabled = False  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch.backends.mkldnn.enabled = onednn


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


class _Record(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every product that is run, as an operator; parameters are known again in what is made of them alone."""

    def __init__(self, state: Mapping[str, torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operators: list[Operator] = []
        self.beside = Listing()
        self.names = {_storage(value): key for key, value in reversed(list(state.items()))}
        self.sizes = {key: value.numel() for key, value in state.items()}
        self.used: set[str] = set()
        # Storages are known by address: kept alive, none is given away twice.
        self.kept: list[torch.Tensor] = list(state.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = str(func.overloadpacket)
        tensors = [one for one in tree_leaves((args, kwargs or {})) if isinstance(one, torch.Tensor)]
        names = [self.names.get(_storage(one)) for one in tensors]
        if names and None not in names:
            for one in tree_leaves(out):
                if isinstance(one, torch.Tensor) and _storage(one) not in self.names:
                    self.names[_storage(one)] = str(names[0])
                    self.kept.append(one)
        else:
            reader = _READERS.get(packet)
            if reader is not None:
                reader(self, args, out)
            elif not _is_view(func):
                self.beside.add(packet)
        return out

    def product(
        self, role: str, m: int, n: int, k: int, copies: int, x: torch.Tensor, w: torch.Tensor, **more: Any
    ) -> None:
        """Record a product whose second operand is ``w``."""
        if not m * n * k * copies:
            return
        key = self.names.get(_storage(w))
        if key is not None and copies > 1 and copies * n * k > self.sizes[key]:
            # One matrix, repeated for a batch.
            m, copies = m * copies, 1
        operand = "acts" if key is None else "weights"
        formats = [(operand, form)] if (form := _FORMATS.get(w.dtype)) else []
        if key is not None and (act := _FORMATS.get(x.dtype)):
            formats.append(("acts", act))
        title = f"{role} {len(self.operators)}" if key is None else key.removesuffix(".weight")
        again = key is not None and key in self.used
        self.used |= {key} if key is not None else set()
        about = {"operand": operand, "formats": tuple(formats), "tied": again, **more}
        self.operators.append(Operator(title, role, Size(m), Size(n), Size(k), copies, **about))

    def matrices(self, a: torch.Tensor, b: torch.Tensor) -> None:
        """Record a [.., M, K] times b [.., K, N]."""
        copies, m, k, n = math.prod(a.shape[:-2]), a.shape[-2], a.shape[-1], b.shape[-1]
        if self.names.get(_storage(b)) is None and self.names.get(_storage(a)) is not None:
            # Y = W·X is Yᵀ = Xᵀ·Wᵀ: the parameter is the operand that stays.
            self.product("linear", n, m, k, copies, b, a)
            return
        role = "linear" if self.names.get(_storage(b)) is not None else "matmul"
        self.product(role, m, n, k, copies, a, b)


def _is_view(func: Any) -> bool:
    """Whether an operator gives its operand in another shape, or makes a tensor of none: nothing is computed."""
    returns, arguments = func._schema.returns, func._schema.arguments
    shared = any(one.alias_info is not None and not one.alias_info.is_write for one in returns)
    return shared or not all(any("Tensor" in str(one.type) for one in side) for side in (returns, arguments))


def _two(record: _Record, args: Any, out: Any) -> None:
    record.matrices(args[0], args[1])


def _added(record: _Record, args: Any, out: Any) -> None:
    record.matrices(args[1], args[2])


def _vector(record: _Record, args: Any, out: Any) -> None:
    matrix, vector = args[-2:]
    record.matrices(matrix, vector.unsqueeze(-1))


def _convolution(record: _Record, args: Any, out: Any) -> None:
    x, w, transposed, groups = args[0], args[1], args[6], args[8]
    positions = x if transposed else out
    m = positions.shape[0] * math.prod(positions.shape[2:])
    if transposed:
        # Every input position meets all weights [inputs, outputs of a group, kernel …].
        role, n, k = "conv.transposed", math.prod(w.shape[1:]), w.shape[0] // groups
    else:
        kind = "" if groups == 1 else ".depthwise" if groups == x.shape[1] else ".grouped"
        role, n, k = f"conv{kind}", w.shape[0] // groups, math.prod(w.shape[1:])
    record.product(role, m, n, k, groups, x, w, groups=groups)


def _attention(record: _Record, args: Any, out: Any) -> None:
    """Queries of the heads that share keys are one product."""
    q, k, v = args[:3]
    heads, kv_heads = (math.prod(one.shape[:-2]) for one in (q, k))
    m, keys = q.shape[-2] * (heads // kv_heads), k.shape[-2]
    record.product("attn.qk", m, keys, q.shape[-1], kv_heads, q, k)
    record.product("attn.pv", m, v.shape[-1], keys, kv_heads, q, v)


_READERS: dict[str, Callable[[_Record, Any, Any], None]] = {
    "aten.mm": _two,
    "aten.bmm": _two,
    "aten._int_mm": _two,
    "aten._scaled_mm": _two,
    "aten.addmm": _added,
    "aten.baddbmm": _added,
    "aten.mv": _vector,
    "aten.addmv": _vector,
    "aten.convolution": _convolution,
    **{
        f"aten._scaled_dot_product_{kind}": _attention
        for kind in (
            "flash_attention_for_cpu",
            "flash_attention",
            "efficient_attention",
            "cudnn_attention",
            "fused_attention_overrideable",
        )
    },
}
"""How operators become products, by packet."""
