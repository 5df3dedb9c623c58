"""What a phase of a workload asks of a core: products that differ, and how often each part of the model has them.

Copies of a product that do not depend on each other (heads, sequences, experts, groups of a convolution) may run on
several cores at once; layers follow one another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from hwgen.errors import HwgenError
from sim.system.system import System
from sim.workload import Operator, Phase, Rule, Run, Size, Workload, check_rules, formats_of
from sim.workload.phases import Stretch

__all__ = ["Part", "Product", "parts_of"]

_QK, _PV = "attn.qk", "attn.pv"


@dataclass(frozen=True)
class Product:
    """One product on one core or several.

    ``row``: elements of a row of activations in memory, which differs from ``k`` where they are unfolded on the way.
    ``copies`` that do not depend on each other. ``operand``, ``form``: what the second operand is, and its format; ""
    is the core's own.
    """

    m: int
    n: int
    k: int
    row: int
    copies: int
    operand: str
    form: str = ""


@dataclass
class Part:
    """Products of one role in one part of a phase; ``times``: how often each is done, one after the other."""

    part: str
    role: str
    operand: str
    form: str = ""
    macs: int = 0
    times: dict[Product, int] = field(default_factory=dict)
    sizes: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, product: Product, times: int) -> None:
        """So many of a product more."""
        self.times[product] = self.times.get(product, 0) + times


def parts_of(
    workload: Workload, phase: Phase, system: System, rules: Sequence[Rule] = (), group: int = 128
) -> list[Part]:
    """Parts of a phase in the order of the model; ``group``: elements of a scale, for scales as further products.

    Raises `HwgenError` for a phase or context that the model does not have, a role that it does not have, and a model
    without products or, for attention of another form than the workload's, whose attention is not a decoder's.
    """
    check_rules(workload, rules)
    found: dict[tuple[str, str, str, str], Part] = {}
    layers = _layers(workload)
    for stretch, operator, run in _steps(workload, phase, system):
        form = formats_of(rules, run.role, stretch.part).get(run.operand, system.kv if run.operand != "weights" else "")
        part = found.setdefault(
            (stretch.part, run.role, run.operand, form), Part(stretch.part, run.role, run.operand, form)
        )
        copies = _independent(operator, run, stretch, layers)
        row = run.k if system.attention != "single" or run.operand == "weights" else _kv_width(workload)
        for m, n, k, count in _sizes(run):
            product = Product(m, n, k, row if row != run.k else k, copies, run.operand, form)
            part.add(product, count // copies)
            part.macs += m * n * k * count
            if run.operand == "weights" and system.dequant in ("core_before", "core_after"):
                _scales(found, stretch.part, product, count // copies, system.dequant, group)
        part.sizes.append((run.m, run.n, run.k))
    if not found:
        raise HwgenError(f"system: workload {workload.name} holds no product")
    return list(found.values())


def _scales(
    found: dict[tuple[str, str, str, str], Part], part: str, product: Product, times: int, where: str, group: int
) -> None:
    """Scales as products of the core: each weight before (an eighth of the outputs), or each group's sum after (an
    eighth of the inner dimension, an output for each group).
    """
    m, n, k = product.m, product.n, product.k
    if where == "core_before":
        sizes = (m, -(-n // _SCALES_AT_ONCE), k)
    else:
        sizes = (m, -(-n // max(group, 1)), -(-k // _SCALES_AT_ONCE))
    own = found.setdefault((part, "dequant", "scales", ""), Part(part, "dequant", "scales"))
    own.add(Product(*sizes, sizes[2], product.copies, "scales"), times)


_SCALES_AT_ONCE = 8
"""Scales that the core applies in the time of one product: MixPE's simulator takes an eighth."""


def _sizes(run: Run) -> Iterator[tuple[int, int, int, int]]:
    """Sizes, and how many products have them."""
    if not run.grows:
        yield run.m, run.n, run.k, run.total_count
        return
    m, ns, ks = run.sizes()
    for n, k in zip(ns.tolist(), ks.tolist(), strict=True):
        yield m, n, k, run.count


def _layers(workload: Workload) -> int:
    """Layers with attention; 0 where the workload does not tell."""
    return max((one.copies for one in workload.operators if one.role in ("attn.o", "attn.q", "attn.qkv")), default=0)


def _independent(operator: Operator, run: Run, stretch: Stretch, layers: int) -> int:
    """Products of a run that do not depend on each other: those of one layer."""
    each = operator.each.at(stretch)
    if operator.experts:
        # Whole layers of experts, each with the same number at work.
        mixed = operator.copies // operator.experts
        return run.count // mixed if run.count % mixed == 0 else 1
    if operator.operand != "weights" and layers and operator.copies % layers == 0:
        return operator.copies // layers * each
    found = operator.groups * each
    return found if run.count % found == 0 else 1


def _kv_width(workload: Workload) -> int:
    qk = next(one for one in workload.operators if one.role == _QK)
    return qk.k.times * (qk.copies // _layers(workload))


def _steps(workload: Workload, phase: Phase, system: System) -> Iterator[tuple[Stretch, Operator, Run]]:
    """Runs with attention and output layer as the system has them."""
    changed = workload
    if system.logits == "all":
        operators = tuple(
            replace(one, m=replace(one.m, of="tokens")) if one.m.of == "logits" else one for one in workload.operators
        )
        changed = replace(changed, operators=operators)
    if system.attention == "kv_heads":
        yield from changed.steps(phase)
        return
    layers, roles = _layers(workload), [one.role for one in workload.operators]
    if not layers or _QK not in roles or any(one.operand == "acts" for one in workload.operators):
        raise HwgenError(
            f"system: attention must be kv_heads for workload {workload.name}, which has no decoder's attention "
            f"with a KV cache, not {system.attention}"
        )
    for stretch, operator, run in changed.steps(phase):
        if operator.role not in (_QK, _PV):
            yield stretch, operator, run
        elif system.attention == "heads":
            share = run.m // stretch.new
            yield (
                stretch,
                replace(operator, copies=operator.copies * share),
                replace(run, m=stretch.new, count=run.count * share),
            )
        else:
            yield (
                stretch,
                replace(operator, copies=layers, each=Size(1, "batch")),
                _single(operator, run, stretch, layers),
            )


def _single(operator: Operator, run: Run, stretch: Stretch, layers: int) -> Run:
    """One product for all heads of a layer, as BitMoD's simulator counts them: for QKᵀ as many outputs as tokens and an
    inner dimension of all heads, for PV as many outputs as heads and tokens.
    """
    heads = run.m // stretch.new * (operator.copies // layers)
    tokens, count = stretch.new, layers * stretch.batch
    if operator.role == _QK:
        return replace(run, m=heads * tokens, n=tokens, k=heads * run.k, count=count, grows="")
    return replace(run, m=tokens, n=heads * tokens, k=run.k, count=count)
