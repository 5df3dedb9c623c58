"""The reference arithmetic of a lut tile, and what the manifest says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.arith import fp32_add_reference
from hwgen.arith.widen import fp32_times_power_reference
from hwgen.formats import QTensor, get
from hwgen.frame.numbers import ceil_div
from hwgen.pe import _bytes
from hwgen.pe._fp32_sum import fp32_tree_reference
from hwgen.pe.lut.formulas import LutFormulas

__all__ = ["LutArithmetic"]


@dataclass(frozen=True, kw_only=True)
class LutArithmetic(LutFormulas):
    """The reference arithmetic of a lut tile, and what the manifest says of it."""

    def zero_points(self, weights: QTensor) -> np.ndarray | None:
        """z' = 2z + 1 − 2^W for bipolar planes (z = 2^(W−1) for signed weights, 0 for a float minimum), z for plain
        ones.
        """
        if not self.has_row_sums:
            return None
        groups = weights.groups
        if self.scheme == "asymmetric":
            zero = np.broadcast_to(np.asarray(weights.zero, dtype=np.int64), (len(weights.codes), groups))
        else:
            zero = np.full(
                (len(weights.codes), groups), (1 << (self.bits - 1)) if self.signed_weights(self.p) else 0, np.int64
            )
        return zero if self.planes == "twos_complement" else 2 * zero + 1 - (1 << self.bits)

    @property
    def act_port_meaning(self) -> str:
        if self.precompute == "external":
            code = "FP32 codes" if self.fp32_sums(self.p) else "two's complement"
            text = f"table entries of {self.k} {self.act_format.name} activations, {code}"
            if self.tables > 1:
                text = f"{self.tables} tables, one after the other: {text}"
            extra = {name: int(bits) for name, bits in self._row_fields(self.p).items() if bits and name != "table"}
            beside = ", ".join(f"{name} ({bits} bit)" for name, bits in extra.items())
            return f"{text}; then from bit 0 of the next element up {beside}" if beside else text
        return super().act_port_meaning

    @property
    def weight_port_meaning(self) -> str:
        first = "bit planes, plane 0 first"
        if self.tables > 1:
            first += f", and of each the keys of the {self.tables} tables, table 0 first"
        if self.symmetry == "half" and self.negation == "offline":
            return f"{first}; a key of {self.k} bits is {{sign, index of {self.k - 1}}}"
        return f"{first}; bit k of a key belongs to activation k" + (" of its table" if self.tables > 1 else "")

    @property
    def _code_mask(self) -> int:
        """What a code is xored with before its bits are planes: w + 2^(W−1) flips the sign bit of two's complement."""
        return 1 << (self.bits - 1) if self.signed_weights(self.p) and self.planes == "bipolar" else 0

    def act_packing(self, mode: int) -> dict[str, Any]:
        if self.precompute == "internal":
            return super().act_packing(mode)
        fields = self._row_fields(self.p)
        beside = [name for name in ("shift", "factor", "sum") if fields[name]]
        return {
            "kind": "table",
            "tables": self.tables,
            "order": "table t is of activations t * K to t * K + K - 1 of a step, and its elements, those beside its "
            "entries too, come before those of table t + 1",
            "codes": self.acts if self.fp32_sums(self.p) else self.act_format.name,
            "entries": int(self._entries(self.p)),
            "entry_bits": int(self._stored_bits(self.p)),
            "signed": not self.fp32_sums(self.p),
            "definition": "element e is the sum over k of digit(bit k of e) times activation k"
            + ("; activation K - 1, which has no bit, counts as its own positive" if self.symmetry == "half" else ""),
            "digits": self._digits,
            "top_activation": "positive" if self.symmetry == "half" else "by its bit",
            "beside": [{"name": name, "bits": int(fields[name]), "signed": name == "sum"} for name in beside],
            "beside_from": "bit 0 of the element after the entries",
        }

    @property
    def _digits(self) -> list[int]:
        """What a plane's bits 0 and 1 stand for."""
        return [0, 1] if self.planes == "twos_complement" else [-1, 1]

    def weight_packing(self, mode: int) -> dict[str, Any]:
        mirrored = self.symmetry == "half" and self.negation == "offline"
        packing: dict[str, Any] = {
            "kind": "planes",
            "signed": False,
            "xor": self._code_mask,
            "tables": self.tables,
            "definition": "element p * tables + t is the key of plane p and table t: bit k is bit p of "
            "(code t * K + k ^ xor)",
            "mirror": None,
        }
        if mirrored:
            packing["mirror"] = {
                "sign_bit": self.k - 1,
                "negates": 1,
                "definition": "bit K - 1 of a key says whether the entry is negated. Where the plane's bit of "
                "activation K - 1 is 1, the other bits are as above and the entry is not negated; where it is 0, they "
                "are complemented and the entry is negated",
            }
        return packing

    def arithmetic(self, mode: int) -> dict[str, Any]:
        planes, per_cycle = self.bits, self.planes_per_cycle
        negative = self.planes == "twos_complement" and self.signed_weights(self.p)
        weights = {
            "bits": planes,
            "xor": self._code_mask,
            "digits": self._digits,
            "plane_weights": [-(1 << b) if negative and b == planes - 1 else 1 << b for b in range(planes)],
        }
        common = {
            "weights": weights,
            "tables": self.tables,
            "updates": [list(range(first, first + per_cycle)) for first in range(0, planes, per_cycle)],
        }
        if self.fp32_sums(self.p):
            return {
                "kind": "fp32_planes",
                "definition": "an entry of a table's activations 0 to K - 1 is the FP32 sum of the entry of the upper "
                "K - floor(K/2) and that of the lower floor(K/2) of them, each by the same rule, down to one: its "
                "value in FP32 times its digit (digit 0: +0; a sum with an entry of no digit but 0 is the other entry; "
                "an entry of one NaN may be any NaN). The entries of a step's tables are added by a balanced tree, "
                "table 0 first; table t is of activations t * K to t * K + K - 1. A plane's term is that sum times "
                "plane_weight, rounded to FP32 (sums below 2**-126 count as zero); terms of an update are added by a "
                "balanced tree, then accumulated",
                "acts": {"encoding": self.acts},
                **common,
                "accumulate": self.fp32_accumulation(),
            }
        return {
            "kind": "planes",
            "definition": "an update adds, over its planes, plane_weight times the sum over k of activation k times "
            "digit(bit of (code k ^ xor)); sums of the K activations of each table as entries says, table t being of "
            "activations t * K to t * K + K - 1 of a step",
            "acts": self._act_integers(),
            **common,
            "entries": self._entry_description(),
            "accumulator": self.accumulator_rule(),
            "row_sums": "sum of the activations, before entries are rounded",
        }

    def _entry_description(self) -> dict[str, Any]:
        if not self._bytes(self.p):
            return {"rule": "exact"}
        scale = "the least s >= 0 for which A / 2**s rounds to 127 at most (ties to even); an entry e becomes e / 2**s"
        if self._factors(self.p):
            scale = "c = max(1, ceil(A / 127)); an entry e becomes e / c"
        return {
            "rule": self.entry_rule,
            "definition": f"A is the sum of the magnitudes of the K activations, {scale}, rounded to nearest even, "
            "and what is looked up is multiplied by the same again",
        }

    def correction(self) -> dict[str, Any] | None:
        found = super().correction()
        if found is None:
            return None
        halved = self.planes == "bipolar"
        offset = f"z is {1 << (self.bits - 1)}, which makes two's complement of offset binary"
        points = {
            "asymmetric": "z is the zero point of the weights' group",
            "symmetric": offset,
            "ternary": offset,
            "minimum": "z is 0, and the minimum is added by row_sums",
        }
        return {
            **found,
            "zero": points[self.scheme],
            "zero_point": {
                **found["zero_point"],
                "times": 2 if halved else 1,
                "plus": 1 - (1 << self.bits) if halved else 0,
                "constant": (1 << (self.bits - 1)) if self.signed_weights(self.p) else None,
            },
        }

    def table(self, ints: np.ndarray) -> np.ndarray:
        """Tables [..., entries] of integers [..., K], by definition: one signed or plain subset sum per index."""
        entries = int(self._entries(self.p))
        bits = (np.arange(entries)[:, None] >> np.arange(self.k)) & 1
        if self.symmetry == "half":
            bits[:, self.k - 1] = 1
        factors = bits if self.planes == "twos_complement" else 2 * bits - 1
        table: np.ndarray = ints @ factors.T
        return table

    def _scales(self, ints: np.ndarray) -> np.ndarray:
        """Scale of the table of integers [..., K]: its exponent by rule pow2, itself by rule max127; [...]."""
        peak = np.abs(ints).sum(axis=-1)
        return np.asarray(_bytes.factor(peak) if self._factors(self.p) else _bytes.shift_for(peak))

    def _rounded_entries(self, table: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Entries [..., E] as bytes, for the scales [...] of their tables."""
        by = _bytes.divided if self._factors(self.p) else _bytes.rounded
        return by(table, scale[..., None])

    def _by_table(self, values: np.ndarray) -> np.ndarray:
        """What a step takes, [..., T·K], table by table: [..., T, K]."""
        return np.asarray(values).reshape(*np.shape(values)[:-1], self.tables, self.k)

    def pack_acts(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        if self.precompute == "internal":
            return codes
        if self.fp32_sums(self.p):
            fp32 = self._fp32_table(self._by_table(codes))[..., -int(self._entries(self.p)) :]
            return fp32.reshape(*fp32.shape[:-2], -1)
        bits = int(self.act_port(self.p)[1])
        ints = self._by_table(self._integers(codes))
        table = self.table(ints)
        if self._bytes(self.p):
            scale = self._scales(ints)
            fields = self._row_fields(self.p)
            extra, place = scale, int(fields["shift"] + fields["factor"])
            if fields["sum"]:
                extra = extra | (ints.sum(axis=-1) & ((1 << int(fields["sum"])) - 1)) << place
            count = int(ceil_div(self._port_extra(self.p), bits))
            parts = (extra[..., None] >> (bits * np.arange(count))) & ((1 << bits) - 1)
            table = np.concatenate([self._rounded_entries(table, scale), parts], axis=-1)
        # One table after the other.
        table = table.reshape(*table.shape[:-2], -1)
        return (table & ((1 << bits) - 1)).astype(np.uint32)

    def pack_weights(self, codes: np.ndarray, mode: int = 0) -> np.ndarray:
        # Codes and keys have at most 8 bits: bytes keep whole layers quick.
        q = self._by_table(np.asarray(codes).astype(np.uint8))
        q = q ^ np.uint8(self._code_mask)
        low = np.uint8((1 << (self.k - 1)) - 1)
        keys = np.zeros((*q.shape[:-2], self.bits, self.tables), np.uint8)
        for plane in range(self.bits):
            key = np.zeros(q.shape[:-1], np.uint8)
            for index in range(self.k):
                key |= ((q[..., index] >> plane) & 1) << index
            if self.symmetry == "half" and self.negation == "offline":
                top = key >> (self.k - 1)
                key = np.where(top == 1, key & low, (~key & low) | np.uint8(1 << (self.k - 1)))
            keys[..., plane, :] = key
        return keys.reshape(*keys.shape[:-2], -1).astype(np.uint32)

    def terms(
        self,
        acts: np.ndarray,
        weights: np.ndarray,
        row: Mapping[str, np.ndarray],
        col: Mapping[str, np.ndarray],
        mode: int,
    ) -> np.ndarray:
        if self.fp32_sums(self.p):
            return self._fp32_terms(acts, weights)
        ints, shift = self._integers(acts), self._shift(acts)
        q = np.asarray(weights, dtype=np.int64) ^ self._code_mask
        per_cycle = self.planes_per_cycle
        looked_up = self._look_up(ints) if self._bytes(self.p) else None
        terms = []
        for phase in range(self.bits // per_cycle):
            total = np.zeros((), np.int64)
            for plane in range(phase * per_cycle, (phase + 1) * per_cycle):
                bit = (q >> plane) & 1
                if looked_up is not None:
                    total = total + (looked_up(bit) << plane)
                    continue
                factor = bit if self.planes == "twos_complement" else 2 * bit - 1
                negative = self.planes == "twos_complement" and self.signed_weights(self.p) and plane == self.bits - 1
                weight = -(1 << plane) if negative else 1 << plane
                total = total + weight * np.einsum("...mk,...nk->...mn", ints, factor)
            terms.append(total << shift[..., :, None])
        return np.stack(terms)[..., None]

    def _fp32_table(self, codes: np.ndarray) -> np.ndarray:
        """FP32 codes of all 2^K entries of activation codes [..., K], in the order of the adders; uint32."""
        form = get(self.acts)
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(form.decode(codes).astype(np.float32)).view(np.uint32)
        flip = np.uint32(1 << 31)

        def table(first: int, count: int) -> np.ndarray:
            if count == 1:
                single = values[..., first]
                other = np.zeros_like(single) if self.planes == "twos_complement" else single ^ flip
                return np.stack([other, single], axis=-1)
            cut = count // 2
            low, high = table(first, cut), table(first + cut, count - cut)
            sums = fp32_add_reference(high[..., :, None], low[..., None, :])
            return np.asarray(sums.reshape(*sums.shape[:-2], -1))

        return table(0, self.k)

    def _fp32_terms(self, acts: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """FP32 codes of what each phase adds, int64 [phases, ..., M, N, 1]."""
        q = self._by_table(np.asarray(weights, dtype=np.int64))
        tables, place = self._fp32_table(self._by_table(acts)), np.int64(1) << np.arange(self.k)
        signed_planes = self.planes == "twos_complement"
        terms = []
        for first in range(0, self.bits, self.planes_per_cycle):
            lanes = []
            for plane in range(first, first + self.planes_per_cycle):
                keys = (((q >> plane) & 1) * place).sum(axis=-1)
                entries = [
                    np.take_along_axis(tables[..., table, :], keys[..., None, :, table], axis=-1)
                    for table in range(self.tables)
                ]
                entry = fp32_times_power_reference(fp32_tree_reference(np.stack(entries, axis=-1)), plane)
                negative = signed_planes and plane == self.bits - 1
                lanes.append(entry ^ np.uint32(1 << 31) if negative else entry)
            terms.append(fp32_tree_reference(np.stack(lanes, axis=-1)).astype(np.int64))
        return np.stack(terms)[..., None]

    def _look_up(self, ints: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """Function from weight bits [..., N, T·K] of a plane to the sums [..., M, N] of the entries that they select,
        scaled.
        """
        signs = 2 * ((np.arange(1 << self.k)[:, None] >> np.arange(self.k)) & 1) - 1
        ints = self._by_table(ints)
        scale = self._scales(ints)
        rounded = self._rounded_entries(ints @ signs.T, scale)
        # All entries, by definition: rounding is symmetric, so that half of them stand for the others.
        tables = rounded * scale[..., None] if self._factors(self.p) else rounded << scale[..., None]
        place = np.int64(1) << np.arange(self.k)

        def entries(bits: np.ndarray) -> np.ndarray:
            keys = (self._by_table(bits) * place).sum(axis=-1)
            found = [
                np.take_along_axis(tables[..., index, :], keys[..., None, :, index], axis=-1)
                for index in range(self.tables)
            ]
            return np.asarray(np.sum(found, axis=0))

        return entries

    def row_terms(self, acts: np.ndarray, row: Mapping[str, np.ndarray], mode: int) -> np.ndarray:
        total: np.ndarray = self._integers(acts).sum(axis=-1) << self._shift(acts)
        return total

    def correct(self, sums: np.ndarray, rows: np.ndarray, zero: np.ndarray | None) -> np.ndarray:
        """Σ A·q' − z'·Σ A, in units of ``lsb_exp`` (half an activation unit for bipolar planes)."""
        return super().correct(sums, rows, zero)
