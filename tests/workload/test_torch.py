"""Torch modules as workloads, against torch's own counter of operations and published counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from hwgen.errors import HwgenError
from sim.workload import Pass
from sim.workload.torch_module import exported_workload, module_workload


class Grouped(nn.Module):
    """Attention whose four query heads share one head of keys."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k = nn.Linear(64, 64), nn.Linear(64, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q = self.q(x).view(2, -1, 4, 16).transpose(1, 2)
        k = self.k(x).view(2, -1, 1, 16).transpose(1, 2)
        return nn.functional.scaled_dot_product_attention(q, k, k, enable_gqa=True)


class Einsum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(5, 7, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bei,eoi->beo", x, self.w)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.table(x) @ self.table.weight.T


class Branch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else -x


def conv_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 12, 1, groups=4),
        nn.ConvTranspose2d(12, 6, 3, groups=2),
        nn.Flatten(),
        nn.Linear(6 * 7 * 7, 10),
    )


CASES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "encoder": (lambda: nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), (torch.zeros(2, 8, 64),)),
    "decoder": (lambda: nn.TransformerDecoderLayer(32, 4, 64), (torch.zeros(5, 2, 32), torch.zeros(7, 2, 32))),
    "transformer": (
        lambda: nn.Transformer(32, 2, 2, 2, 48, batch_first=True),
        (torch.zeros(2, 5, 32), torch.zeros(2, 7, 32)),
    ),
    "conv": (conv_net, (torch.zeros(2, 3, 16, 16),)),
    "einsum": (Einsum, (torch.zeros(2, 5, 3),)),
    "tied": (Tied, (torch.zeros(2, 6, dtype=torch.int64),)),
    "attention": (lambda: nn.MultiheadAttention(32, 4), (torch.zeros(5, 2, 32),) * 3),
}


@pytest.mark.parametrize("name", CASES)
def test_macs_are_half_the_operations_that_torch_counts(name: str) -> None:
    make, inputs = CASES[name]
    module = make().eval()
    model = module_workload(module, *inputs)
    # Torch counts no fused attention on CPUs, only the products that it stands for.
    with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            module(*inputs)
        finally:
            torch.backends.mha.set_fastpath_enabled(True)
    assert 2 * model.macs(Pass()) == counter.get_total_flops() > 0
    assert model.parameters == sum(one.numel() for one in module.parameters())


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_recurrent_layers(kind: Any, gates: int) -> None:
    model = module_workload(kind(16, 32), torch.zeros(5, 2, 16))
    assert model.macs(Pass()) == 5 * 2 * gates * 32 * (16 + 32)
    assert model.parameters == gates * 32 * (16 + 32 + 2)


def test_grouped_queries_are_one_product() -> None:
    model = module_workload(Grouped().eval(), torch.zeros(2, 8, 64))
    found = {one.role: (one.m.times, one.n.times, one.k.times, one.copies, one.operand) for one in model.operators}
    assert found["attn.qk"] == (32, 8, 16, 2, "acts")
    assert found["attn.pv"] == (32, 16, 8, 2, "acts")


def test_roles_of_convolutions() -> None:
    model = module_workload(conv_net(), torch.zeros(1, 3, 16, 16))
    assert [one.role for one in model.operators] == [
        "conv",
        "conv.depthwise",
        "conv.grouped",
        "conv.transposed",
        "linear",
    ]
    assert [one.name for one in model.operators] == ["0", "1", "2", "3", "5"]


def test_a_module_on_meta_needs_no_memory() -> None:
    with torch.device("meta"):
        module = nn.Linear(1_000_000, 1_000_000, dtype=torch.bfloat16)
    model = module_workload(module, torch.zeros(3, 1_000_000, dtype=torch.bfloat16, device="meta"))
    assert model.macs(Pass()) == 3 * 10**12
    assert dict(model.operators[0].formats) == {"weights": "bf16", "acts": "bf16"}


def test_what_is_no_product_is_listed() -> None:
    model = module_workload(nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.LayerNorm(4), nn.GELU()), torch.zeros(2, 4))
    assert {(one.what, one.count) for one in model.beside} == {("aten.gelu", 2), ("aten.native_layer_norm", 1)}


@pytest.mark.parametrize("name", ["conv", "tied"])
def test_an_exported_program_is_the_module(name: str) -> None:
    make, inputs = CASES[name]
    module = make().eval()
    program = torch.export.export(module, inputs)
    assert exported_workload(program).macs(Pass()) == module_workload(module, *inputs).macs(Pass())


def test_modules_that_need_values_are_refused() -> None:
    with pytest.raises(HwgenError, match="workload: Branch cannot be run on shapes alone: "):
        module_workload(Branch(), torch.ones(3))
    with pytest.raises(HwgenError, match=r"must be given a torch\.nn\.Module and its inputs, not str"):
        module_workload("resnet18")  # type: ignore[arg-type]
