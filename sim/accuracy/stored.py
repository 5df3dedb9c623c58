"""A model with its numbers stored as a recipe says: linear layers, attention, embedding and output layer in place.

A *group* is what multiplies one common input: Q, K and V, say. Groups are found by running a block, not by names, so
that any model whose ``blk`` is a list of blocks of `torch.nn.Linear` layers will do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hwgen.errors import HwgenError, suggest
from sim.accuracy.methods import Inputs, Layer, MethodResult
from sim.accuracy.operand import OperandFormat
from sim.accuracy.recipe import Recipe
from sim.models.llama import ATTENTION_ROLES

__all__ = [
    "HEAD",
    "LanguageModel",
    "Product",
    "StoredSize",
    "Watch",
    "embedded",
    "groups_of",
    "layer_names",
    "store",
    "store_block",
    "store_group",
]

HEAD = "output"
"""The output layer."""

Watch = Callable[[str, int, int], None]
LanguageModel = Any
"""A module with ``token_embd``, ``blk``, ``output`` and ``hidden``: torch has no types for parts of modules."""
Product = Callable[[Tensor], Tensor]
"""[T, K] to [T, N], float32: who multiplies instead of a float product."""


@dataclass(frozen=True)
class StoredSize:
    """Elements of the layers' weights and the bits they are stored in, by layer."""

    elements: Mapping[str, int]
    bits: Mapping[str, float]

    @property
    def bits_per_weight(self) -> float:
        """Mean over all elements; 32 a weight where nothing is stored otherwise."""
        whole = sum(self.elements.values())
        return sum(self.elements[name] * bits for name, bits in self.bits.items()) / whole if whole else 0.0


class CommonInput:
    """The input of a group as it is stored, computed once for all layers of the group."""

    def __init__(self, before: Callable[[Tensor], Tensor] | None, form: OperandFormat | None) -> None:
        self._before, self._form = before, form
        self._last: tuple[Tensor, Tensor, Tensor] | None = None

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The input after its transformation, and that as it is stored."""
        if self._last is None or self._last[0] is not x:
            changed = x if self._before is None else self._before(x)
            self._last = x, changed, changed if self._form is None else self._form.nearest(changed)
        return self._last[1:]


class StoredLinear(nn.Module):
    """A linear layer of stored weights on a stored input."""

    def __init__(
        self,
        linear: nn.Linear,
        weights: Tensor,
        common: CommonInput,
        low_rank: tuple[Tensor, Tensor] | None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(weights.to(linear.weight), requires_grad=False)
        self.bias: Tensor | None = linear.bias
        self._common = common
        self._thin = None if low_rank is None else tuple(part.to(linear.weight) for part in low_rank)

    def forward(self, x: Tensor) -> Tensor:
        """[..., K] to [..., N]."""
        changed, stored = self._common(x)
        y = functional.linear(stored, self.weight, self.bias)
        if self._thin is not None:
            y = y + (changed @ self._thin[0].T) @ self._thin[1].T
        return y


class ProductLinear(nn.Module):
    """A linear layer whose products are someone else's."""

    def __init__(self, linear: nn.Linear, product: Product) -> None:
        super().__init__()
        self.bias: Tensor | None = linear.bias
        self._product = product

    def forward(self, x: Tensor) -> Tensor:
        """[..., K] to [..., N]."""
        y = self._product(x.reshape(-1, x.shape[-1])).to(x.device).reshape(*x.shape[:-1], -1)
        return y if self.bias is None else y + self.bias


class Kept(nn.Module):
    """What passes is stored on its way."""

    def __init__(self, form: OperandFormat) -> None:
        super().__init__()
        self.form = form

    def forward(self, x: Tensor) -> Tensor:
        """The nearest values, of the same shape."""
        return self.form.nearest(x)


def layer_names(model: nn.Module) -> list[str]:
    """Names of the linear layers in the blocks, in the order of the modules."""
    return [name for name, found in model.named_modules() if isinstance(found, nn.Linear) and name.startswith("blk.")]


def groups_of(block: nn.Module, x: Tensor) -> list[list[str]]:
    """Names of a block's linear layers by their common input, in running order. ``x`` is any input of the block.

    Of a layer that runs several times the first input counts.
    """
    seen: dict[str, Tensor] = {}
    names: dict[nn.Module, str] = {found: name for name, found in block.named_modules() if isinstance(found, nn.Linear)}

    def see(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.setdefault(names[module], inputs[0])

    hooks = [module.register_forward_pre_hook(see) for module in names]
    try:
        block(x)
    finally:
        for hook in hooks:
            hook.remove()
    groups: list[tuple[Tensor, list[str]]] = []
    for name, given in seen.items():
        group = next((found for other, found in groups if other is given), None)
        if group is None:
            groups.append((given, [name]))
        else:
            group.append(name)
    return [names for _, names in groups]


@torch.inference_mode()
def store(model: LanguageModel, recipe: Recipe, calibration: Sequence[Tensor], watch: Watch) -> StoredSize:
    """Store a model's numbers in place; ``calibration`` is lists of tokens [T] that calibrated methods look at.

    Blocks are taken one after the other, and what a method sees of a block's inputs has passed the stored ones before.

    Raises `HwgenError` for layers that the model has not, a method that wants calibration and gets none, and for what
    quantisers refuse (weights that are not finite).
    """
    known = layer_names(model)
    for name in recipe.layers:
        if name not in known:
            raise HwgenError(f"recipe: layer must be one of the model's, not {name!r}{suggest(name, known)}")
    calibrated = recipe.method.calibrated and any(recipe.weights_of(name) for name in known)
    if calibrated and not calibration:
        raise HwgenError(f"method {recipe.method.name}: needs a calibration text")
    device = model.token_embd.weight.device
    elements: dict[str, int] = {}
    bits: dict[str, float] = {}
    x = [embedded(model, tokens.to(device)) for tokens in (calibration if calibrated else [torch.zeros(2).long()])]
    blocks = list(model.blk)
    for index, block in enumerate(blocks):
        watch("storing blocks", index, len(blocks))
        size = store_block(block, index, recipe, x)
        elements |= size.elements
        bits |= size.bits
        if calibrated:
            x = [block(one) for one in x]
    watch("storing blocks", len(blocks), len(blocks))
    if "embedding" in recipe.formats:
        stored = recipe.formats["embedding"].nearest(model.token_embd.weight)
        tied = model.output.weight.data_ptr() == model.token_embd.weight.data_ptr()
        model.token_embd.weight = nn.Parameter(stored, requires_grad=False)
        if tied and "head" not in recipe.formats:
            # One matrix in memory: the output layer reads the same numbers.
            model.output.weight = model.token_embd.weight
    if "head" in recipe.formats or "head_acts" in recipe.formats:
        head = model.output
        form = recipe.formats.get("head")
        weights = head.weight if form is None else form.nearest(head.weight)
        model.output = StoredLinear(head, weights, CommonInput(None, recipe.formats.get("head_acts")), None)
    return StoredSize(elements, bits)


def store_block(block: nn.Module, index: int, recipe: Recipe, x: Sequence[Tensor]) -> StoredSize:
    """Store the numbers of block ``index`` in place; `store` says what is refused.

    ``x`` is what enters it [T, D]: of the calibration text for a calibrated method, otherwise any.
    """
    elements: dict[str, int] = {}
    bits: dict[str, float] = {}
    inputs = _Caught(block, x).of if recipe.method.calibrated else None
    for group in groups_of(block, x[0][:2]):
        store_group(block, f"blk.{index}.", group, recipe, inputs, elements, bits)
    for role in ATTENTION_ROLES:
        if role in recipe.formats and hasattr(block, role):
            setattr(block, role, Kept(recipe.formats[role]))
    return StoredSize(elements, bits)


def embedded(model: LanguageModel, tokens: Tensor) -> Tensor:
    """What enters the first block, [T, D]: models with positions of their own say it themselves."""
    enter = getattr(model, "embed", None)
    x: Tensor = model.token_embd(tokens) if enter is None else enter(tokens)
    return x


class _Caught:
    """Inputs of a block's layers, of a calibration text."""

    def __init__(self, block: nn.Module, x: Sequence[Tensor]) -> None:
        self._block, self._x = block, x

    def of(self, name: str) -> Inputs:
        """What enters a layer [T, K]; the block runs as far as it has to."""
        rows: list[Tensor] = []

        def catch(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            rows.append(inputs[0])
            raise _Enough

        hook = self._block.get_submodule(name).register_forward_pre_hook(catch)
        try:
            for one in self._x:
                with suppress(_Enough):
                    self._block(one)
        finally:
            hook.remove()
        return Inputs(torch.cat(rows).float().cpu())


class _Enough(Exception):
    """The layer was reached."""


def store_group(
    block: nn.Module,
    prefix: str,
    group: Sequence[str],
    recipe: Recipe,
    inputs_of: Callable[[str], Inputs] | None,
    elements: dict[str, int],
    bits: dict[str, float],
) -> None:
    """Store a group's layers in place, and write down how many elements they have and in how many bits.

    Args:
        block: holds the layers.
        prefix: before their names, in the model.
        group: their names in the block; they have a common input.
        recipe: how they are stored.
        inputs_of: what entered a layer, for calibrated methods.
        elements: by name in the model, added to.
        bits: likewise.

    Raises:
        HwgenError: for weights that are not finite, and for what methods and quantisers refuse.
    """
    linears = [cast(nn.Linear, block.get_submodule(name)) for name in group]
    acts = recipe.formats.get("acts")
    layers = []
    for name, linear in zip(group, linears, strict=True):
        full = f"{prefix}{name}"
        elements[full], bits[full] = linear.weight.numel(), 32.0
        form = recipe.weights_of(full)
        weights = linear.weight.detach().float().cpu()
        if not torch.isfinite(weights).all():
            raise HwgenError(f"layer {full}: weights must be finite numbers")
        if form is not None:
            layers.append((full, linear, Layer(full, weights, form)))
    result = MethodResult(())
    if layers:
        inputs = inputs_of(group[0]) if inputs_of is not None else None
        result = recipe.method.quantise([layer for _, _, layer in layers], acts, inputs)
    if not layers and acts is None:
        return
    common = CommonInput(result.before, acts)
    stored = {full: index for index, (full, _, _) in enumerate(layers)}
    for name, linear in zip(group, linears, strict=True):
        full = f"{prefix}{name}"
        if full not in stored:
            if result.before is not None:
                raise HwgenError(
                    f"method {recipe.method.name}: changes the input of {full}, which must be stored too: give all "
                    "layers of a common input a format"
                )
            replacement = StoredLinear(linear, linear.weight, common, None)
        else:
            index = stored[full]
            thin = result.low_rank[index] if result.low_rank else None
            replacement = StoredLinear(linear, result.weights[index], common, thin)
            k = linear.weight.shape[1]
            own = result.stored_bits[index] if result.stored_bits else layers[index][2].form.bits(k)
            bits[full] = own + (result.extra_bits[index] if result.extra_bits else 0.0)
        parent, _, leaf = name.rpartition(".")
        setattr(block.get_submodule(parent), leaf, replacement)
