"""Toy family for the frame's own test: two-bit weights with a special value that a selector picks for each group.

Weight codes: 0, +1, −1 and a special value, +2 or +3 by the group's selector. The row front-end prepares 3·A once. Mode
``full`` takes K products in two cycles, the lower half first; mode ``half`` takes K/2 in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from amaranth.hdl import Cat, Module, Mux, Value

from hwgen.arith import adder_tree, wire
from hwgen.formats import Format, QTensor, get
from hwgen.pe import Addend, Mode, Quantization, Range, Side, TileSpec, param


@dataclass(frozen=True, kw_only=True)
class SpecialFormat(Format):
    """Codes 0, 1, 2, 3 are 0, 1, −1 and 2 (selector 0) or 3 (selector 1)."""

    name: str = "toy2"
    code_bits: int = 2
    side_bits: int = 1

    def decode_scalar(self, code: int) -> Fraction:
        return Fraction((0, 1, -1, 2)[code])

    def encode_scalar(self, value: Any) -> int:
        return int(np.argmin([abs(float(value) - v) for v in (0, 1, -1, 2)]))

    def _decode(self, words: Any, side: Any) -> Any:
        special = 2.0 + (np.zeros(words.shape) if side is None else np.broadcast_to(side, words.shape))
        return np.where(words == 3, special, np.array([0.0, 1.0, -1.0, 0.0])[words])

    def _encode(self, values: Any, side: Any) -> Any:
        special = 2.0 + (np.zeros(values.shape) if side is None else np.broadcast_to(side, values.shape))
        options = np.stack([np.zeros_like(values), np.ones_like(values), -np.ones_like(values), special])
        return np.argmin(np.abs(options - values), axis=0).astype(np.uint32)

    @property
    def lsb_exp(self) -> int:
        return 0

    @property
    def max_value(self) -> float:
        return 3.0

    @property
    def min_value(self) -> float:
        return -1.0

    @property
    def smallest(self) -> float:
        return 1.0

    @property
    def corners(self) -> tuple[int, ...]:
        return (0, 1, 2, 3)


@dataclass(frozen=True, kw_only=True)
class Toy(TileSpec):
    """Toy tile."""

    k: int = param(4, "products per step in mode full; even", legal=Range(2, 16), sweep=(2, 4))
    bits: int = param(2, "weight width", legal=(2,), sweep=(2,), unit="bit")
    acts: str = param("int8", "activation format", legal=("int4", "int8"), sweep=("int4", "int8"))

    row_per_phase: ClassVar[bool] = False

    @classmethod
    def constraints(cls, p: Mapping[str, Any]) -> Iterable[tuple[Any, str]]:
        yield from super().constraints(p)
        yield p["k"] % 2 == 0, "k must be even, not {k}"

    @property
    def act_format(self) -> Format:
        return get(self.acts)

    @property
    def weight_format(self) -> Format:
        return SpecialFormat()

    def modes(self) -> tuple[Mode, ...]:
        latency = int(self.latency(self.p))
        return (
            Mode("full", self.acts, "toy2", self.k, 2, latency),
            Mode("half", self.acts, "toy2", self.k // 2, 1, latency),
        )

    @classmethod
    def cycles_per_step(cls, p: Mapping[str, Any], mode: int = 0) -> Any:
        return 0 * p["m"] + (2 if mode == 0 else 1)

    def quantization(self) -> Quantization:
        return Quantization(
            acts=self.acts,
            weights="toy2",
            scheme="symmetric",
            group=self.group,
            act_scale="bf16",
            weight_scale="fp16",
            step=self.k,
        )

    def quantize_weights(self, weights: np.ndarray) -> QTensor:
        k = weights.shape[1]
        group = self.group or k
        starts = range(0, k, group)
        scales = np.stack([np.abs(weights[:, s : s + group]).mean(axis=1) for s in starts], axis=1)
        scale_codes = get("fp16").encode(np.maximum(scales, 2.0**-20))
        selector = np.stack(
            [weights[:, s : s + group].max(axis=1) > 2.5 * scales[:, i] for i, s in enumerate(starts)], axis=1
        )
        form = self.weight_format
        per_element = np.repeat(np.arange(len(starts)), group)[:k]
        codes = form.encode(
            weights / get("fp16").decode(scale_codes)[:, per_element], selector[:, per_element].astype(np.int64)
        )
        return QTensor(
            codes=codes,
            format=form,
            group_size=group,
            granularity="group" if self.group else "channel",
            scale_codes=scale_codes,
            scale_format=get("fp16"),
            selector=selector.astype(np.uint8),
        )

    def col_side(self) -> dict[str, Side]:
        return {"selector": Side(1, "special value: 2 or 3")}

    @classmethod
    def act_port(cls, p: Mapping[str, Any]) -> tuple[Any, Any]:
        return p["k"], get(p["acts"]).code_bits

    @classmethod
    def weight_port(cls, p: Mapping[str, Any]) -> tuple[Any, Any]:
        return p["k"], 2

    @classmethod
    def row_bus_bits(cls, p: Mapping[str, Any]) -> Any:
        return p["k"] * (2 * get(p["acts"]).code_bits + 2)

    @classmethod
    def col_bus_bits(cls, p: Mapping[str, Any]) -> Any:
        return p["k"] // 2 * 3

    @classmethod
    def product_range(cls, p: Mapping[str, Any]) -> tuple[Any, Any]:
        top = 1 << (get(p["acts"]).code_bits - 1)
        return -3 * top + 0 * p["k"], 3 * (top - 1) + 0 * p["k"]

    @classmethod
    def addend_bits(cls, p: Mapping[str, Any]) -> Any:
        from hwgen.frame.numbers import bits_for

        low, high = cls.product_range(p)
        return bits_for(low * p["k"] // 2, high * p["k"] // 2)

    @classmethod
    def row_primitives(cls, p: Mapping[str, Any]) -> dict[str, Any]:
        return {"add": p["k"] * (get(p["acts"]).code_bits + 2)}

    @classmethod
    def cell_primitives(cls, p: Mapping[str, Any]) -> dict[str, Any]:
        width = get(p["acts"]).code_bits + 2
        return {"mux2": p["k"] // 2 * 3 * width, "add": (p["k"] // 2) * width}

    def pack_acts(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        return self._fill(codes, mode)

    def pack_weights(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        return self._fill(codes, mode)

    def _fill(self, codes: np.ndarray, mode: int) -> np.ndarray:
        """Mode half leaves the upper half of a step's elements unused."""
        if mode == 0:
            return codes
        return np.concatenate([codes, np.zeros_like(codes)], axis=-1)

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        a = self.act_format.fixed(acts)
        w = self.weight_format.decode(weights, col["selector"][..., None]).astype(np.int64)
        half = self.k // 2
        parts = [(a[..., i : i + half], w[..., i : i + half]) for i in range(0, a.shape[-1], half)]
        return np.stack([np.einsum("...mk,...nk->...mn", x, y) for x, y in parts])[..., None]

    def build_row(self, m: Module, acts: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        fields: list[Value] = []
        for index in range(self.k):
            act = acts[index].as_signed()
            triple = wire(m, act + (act << 1), f"triple{index}")
            fields += [acts[index], triple[: len(acts[index]) + 2].as_unsigned()]
        return Cat(*fields)

    def build_col(self, m: Module, weights: Any, side: Mapping[str, Value], phase: Value, mode: Value) -> Value:
        half = self.k // 2
        fields: list[Value] = []
        for index in range(half):
            code = Mux(phase[0], weights[half + index], weights[index])
            fields.append(Cat(code, side["selector"]))
        return Cat(*fields)

    def build_cell(self, m: Module, row: Value, col: Value, phase: Value, mode: Value) -> list[Addend]:
        half, width = self.k // 2, self.act_format.code_bits
        terms: list[Value] = []
        for index in range(half):
            fields = []
            for part in (index, half + index):
                base = part * (2 * width + 2)
                fields.append(row[base : base + 2 * width + 2])
            chosen = wire(m, Mux(phase[0], fields[1], fields[0]), f"chosen{index}")
            act, triple = chosen[:width].as_signed(), chosen[width:].as_signed()
            code, selector = col[3 * index : 3 * index + 2], col[3 * index + 2]
            special = Mux(selector, triple, act << 1)
            plain = Mux(code[1], -act, Mux(code[0], act, 0))
            terms.append(wire(m, Mux(code == 3, special, plain), f"term{index}"))
        return [Addend(adder_tree(m, terms, "dot")[: int(self.addend_bits(self.p))].as_signed())]
