"""Layers by arithmetic: how each is handed to its kernel, and what its kernel does not cover."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hwgen.errors import HwgenError
from hwgen.formats import Format, IntFormat, MinifloatFormat, QTensor, get
from sim.accuracy.arithmetic._library import Packed
from sim.accuracy.arithmetic._operands import Floats, align, blocks, numbers, per_group, rows_of, scale_bits, starts
from sim.golden.align import finite_values
from sim.golden.bitmod import weight_terms
from sim.golden.lut_tables import levels

__all__ = ["KERNELS", "Kernel", "NotCoveredError", "kernel_of", "not_covered"]

_PLACES = 300
"""Exponents that numbers and units may have either way: products of all that is multiplied stay within float64."""
_SUM_BITS = 62
_SCALE_BITS = 22
_EXACT = 2.0**53
_PLANES, _TABLE, _STEP = 8, 8, 64
_MODES = {"fp32": 0, "odd": 1, "double": 2}


class NotCoveredError(Exception):
    """What operands are, which is beyond the kernel: the golden layer computes or refuses them."""


def not_covered(weights: QTensor, quantization: Any) -> str | None:
    """Why no kernel computes a layer, or None. All that is left to the golden layer is here, and in `NotCoveredError`.

    - Arithmetics that golden layers of other packages bring.
    - Formats with numbers beyond 2**±300, minifloats with an unusual bias, and those that the catalogue does not know.
    - Sums that saturate or wrap in more than 62 bits, or of aligned activations, or beside a float minimum.
    - FP32 sums of operands that FP32 does not hold, or L-Mul or FP32 with scales whose product is longer than 22 bits.
    - Tables of more than 8 activations, weights of more than 8 planes, updates of planes that do not divide them.
    - Byte tables whose sums, for the activations at hand, exceed 2**53.
    - Exact L-Mul sums, for the numbers at hand, that two float64 numbers do not hold.
    - bitmod terms that are no powers of two, steps of more than 64, activations of more than 30 bits with their guard,
      exact sums of more than 62 bits.
    """
    if quantization.arithmetic not in KERNELS:
        return f"arithmetic {quantization.arithmetic}"
    if quantization.overflow != "refuse" and quantization.arithmetic != "exact":
        return f"overflow {quantization.overflow} with arithmetic {quantization.arithmetic}"
    try:
        acts = get(quantization.acts)
    except HwgenError:
        return f"numbers of {quantization.acts}"
    for form in (acts, weights.format):
        if not _within(form, _PLACES):
            return f"numbers of {form.name}"
    if quantization.align is not None and not _alignable(acts, quantization):
        return f"alignment of {acts.name} with {quantization.align_guard} guard bits"
    return kernel_of(quantization).refused(weights, quantization)


def kernel_of(quantization: Any) -> type[Kernel]:
    """The kernel of an arithmetic, for the operands and the sums that it has."""
    if quantization.arithmetic == "bitmod" and isinstance(get(quantization.acts), IntFormat):
        return ExactKernel
    if quantization.arithmetic == "exact" and quantization.overflow != "refuse":
        return BoundedKernel
    return KERNELS[quantization.arithmetic]


def _within(form: Format, places: int) -> bool:
    return bool(form.lsb_exp >= -places and max(abs(form.max_value), abs(form.min_value)) <= 2.0**places)


def _alignable(acts: Format, quantization: Any) -> bool:
    if not isinstance(acts, MinifloatFormat) or not acts.signed or quantization.align not in ("step", "group", "row"):
        return False
    return bool(1 <= acts.mantissa_bits + 1 + quantization.align_guard <= 52)


def _settings(quantization: Any) -> dict[str, Any]:
    return dict(getattr(quantization, "options", ()))


class Kernel:
    """Weights of a layer in a kernel, and the results [T, N] of activations before second-level scales."""

    def __init__(self, weights: QTensor, quantization: Any) -> None:
        self.quantization = quantization
        self.shape = weights.shape
        self.group_size = weights.group_size
        self.parts = weights.group_slices

    @classmethod
    def refused(cls, weights: QTensor, quantization: Any) -> str | None:
        """Why this kernel does not cover a layer, or None; see `not_covered`."""
        return None

    def forward(self, acts: QTensor, threads: int) -> Tensor:
        """float32 [T, N], or float64 for what is rounded into another format than FP32."""
        raise NotImplementedError

    @property
    def starts(self) -> np.ndarray:
        """Where the parts of K begin that are summed before they are scaled, and K."""
        return starts(self.parts, self.shape[1])

    def _result(self, acts: QTensor, dtype: torch.dtype = torch.float32) -> tuple[Tensor, np.ndarray]:
        result = torch.empty(acts.shape[0], self.shape[0], dtype=dtype)
        return result, result.numpy()


def _finite(acts: QTensor) -> Floats:
    values = np.ascontiguousarray(acts.values())
    if not np.isfinite(values).all():
        # The golden layer refuses them in its own words.
        raise NotCoveredError("activations that are no numbers")
    return values


class ExactKernel(Kernel):
    """Exact group sums, one rounding each."""

    def __init__(self, weights: QTensor, quantization: Any) -> None:
        super().__init__(weights, quantization)
        self._pack(weights)

    def _numbers(self, weights: QTensor) -> Floats:
        return numbers(weights)

    def _scales(self, weights: QTensor) -> tuple[Floats, Floats | None]:
        """Scales and minima [N, G] of the parts."""
        groups = len(self.parts)
        minima = weights.zeros if weights.zero_kind == "minimum" else None
        return per_group(weights.scales, groups), None if minima is None else per_group(minima, groups)

    def _pack(self, weights: QTensor) -> None:
        (n, k), begin = self.shape, self.starts
        self._packed = Packed("exact", n, k, len(self.parts), begin)
        for function in ("scan", "pack"):
            for row, block in blocks(weights):
                self._packed.call(function, row, len(block.codes), self._numbers(block))
        self._packed.call("scales", *self._scales(weights))

    def _values(self, acts: QTensor, threads: int) -> Floats:
        if self.quantization.align is None:
            return _finite(acts)
        return align(acts, self.quantization, self.group_size, threads).values()

    def _act_scales(self, acts: QTensor) -> Floats:
        return per_group(acts.scales, len(self.parts))

    def _run(self, acts: QTensor, threads: int, mode: str) -> Tensor:
        result, out = self._result(acts, torch.float64 if mode == "double" else torch.float32)
        outputs = (None, out) if mode == "double" else (out, None)
        values = self._values(acts, threads)
        self._packed.call("forward", len(values), values, self._act_scales(acts), _MODES[mode], *outputs, threads)
        return result

    def forward(self, acts: QTensor, threads: int) -> Tensor:
        return self._run(acts, threads, "fp32")


class BoundedKernel(Kernel):
    """Exact group sums that saturate or wrap."""

    @classmethod
    def refused(cls, weights: QTensor, quantization: Any) -> str | None:
        if quantization.align is not None or weights.zero_kind == "minimum":
            return f"overflow {quantization.overflow} of aligned activations or beside a minimum"
        acts, products = get(quantization.acts), 0.0
        for form in (acts, weights.format):
            products += np.log2(max(abs(form.max_value), abs(form.min_value))) - form.lsb_exp
        if weights.zero_kind != "none":
            products += 1
        # The golden layer refuses sums that it cannot tell to fit; here they need not be looked at one by one.
        if quantization.sum_bits > _SUM_BITS or products + np.log2(weights.shape[1]) >= _SUM_BITS - 2:
            return f"overflow {quantization.overflow} in {quantization.sum_bits} bits"
        return None

    def __init__(self, weights: QTensor, quantization: Any) -> None:
        super().__init__(weights, quantization)
        (n, k), q = self.shape, quantization
        saturate = int(q.overflow == "saturate")
        self._unit = weights.format.lsb_exp
        self._packed = Packed("bounded", n, k, len(self.parts), self.starts, q.step, q.sum_bits, saturate)
        for row, block in blocks(weights):
            integers = (numbers(block) * 2.0**-self._unit).astype(np.int64)
            self._packed.call("pack", row, len(integers), integers)
        self._packed.call("scales", per_group(weights.scales, len(self.parts)))

    def forward(self, acts: QTensor, threads: int) -> Tensor:
        result, out = self._result(acts)
        unit = acts.format.lsb_exp
        integers = (_finite(acts) * 2.0**-unit).astype(np.int64)
        scale = per_group(acts.scales, len(self.parts)) * 2.0 ** (unit + self._unit)
        self._packed.call("forward", len(integers), integers, scale, out, threads)
        return result


class TwoLevelKernel(ExactKernel):
    """Integers that are dequantised by their group's integer scale, summed over whole rows."""

    def __init__(self, weights: QTensor, quantization: Any) -> None:
        Kernel.__init__(self, weights, quantization)
        self.parts = (slice(0, weights.shape[1]),)
        self._pack(weights)

    def _numbers(self, weights: QTensor) -> Floats:
        return numbers(weights) * weights.scales[:, weights.group_of_k]

    def _scales(self, weights: QTensor) -> tuple[Floats, None]:
        return np.ones((len(weights.codes), 1)), None


class PositKernel(ExactKernel):
    """Operands that may be no numbers, and results in other formats."""

    def __init__(self, weights: QTensor, quantization: Any) -> None:
        Kernel.__init__(self, weights, quantization)
        options = _settings(quantization)
        size, k = int(options["sum_group"]) or weights.shape[1], weights.shape[1]
        self.parts = tuple(slice(start, min(start + size, k)) for start in range(0, k, size))
        self._output = get(options["output"])
        self._nar = np.concatenate([np.isnan(block.values()).any(axis=1) for _, block in blocks(weights)])
        self._pack(weights)

    def _numbers(self, weights: QTensor) -> Floats:
        return np.nan_to_num(weights.values(), nan=0.0)

    def _scales(self, weights: QTensor) -> tuple[Floats, None]:
        return self._by_part(weights), None

    def _by_part(self, tensor: QTensor) -> Floats:
        index = [part.start // tensor.group_size for part in self.parts]
        return np.ascontiguousarray(tensor.scales[:, index], dtype=np.float64)

    def _act_scales(self, acts: QTensor) -> Floats:
        return self._by_part(acts)

    def _values(self, acts: QTensor, threads: int) -> Floats:
        return np.nan_to_num(acts.values(), nan=0.0)

    def forward(self, acts: QTensor, threads: int) -> Tensor:
        result = self._run(acts, threads, self._mode())
        if self._output.name != "fp32":
            result = _rounded(result, self._output)
        rows = np.isnan(acts.values()).any(axis=1, keepdims=True)
        nar = torch.from_numpy(rows | self._nar)
        return torch.where(nar, torch.nan, result)

    def _mode(self) -> str:
        if self._output.name == "fp32":
            return "fp32"
        return "double" if len(self.parts) == 1 else "odd"


def _rounded(values: Tensor, form: Format) -> Tensor:
    """float32 values in a format that float64 numbers, rounded to odd, round to; FP16 overflows to infinity."""
    exact = values.double().numpy()
    codes = form.encode(exact, saturate=False) if isinstance(form, MinifloatFormat) else form.encode(exact)
    return torch.from_numpy(form.decode(codes)).float()


class ChainKernel(Kernel):
    """Sums in FP32."""

    @classmethod
    def refused(cls, weights: QTensor, quantization: Any) -> str | None:
        acts = get(quantization.acts)
        for form in (acts, weights.format):
            if not _within(form, 127) and not (form.lsb_exp >= -149 and form.max_value < 2.0**128):
                return f"FP32 products of {form.name}"
        if scale_bits(weights.scale_format) + scale_bits(get(quantization.act_scale)) > _SCALE_BITS:
            return f"FP32 sums with scales {quantization.act_scale} and {weights.scale_format.name}"
        return None

    def __init__(self, weights: QTensor, quantization: Any) -> None:
        super().__init__(weights, quantization)
        (n, k), groups = self.shape, len(self.parts)
        self._partials = int(_settings(quantization).get("interleave", 1))
        self._packed = Packed("chain", n, k, groups, self.starts)
        for row, block in blocks(weights):
            self._packed.call("pack", row, len(block.codes), numbers(block))
        self._packed.call("scales", per_group(weights.scales, groups))

    def forward(self, acts: QTensor, threads: int) -> Tensor:
        result, out = self._result(acts)
        values = np.ascontiguousarray(acts.values(), dtype=np.float32)
        scale = per_group(acts.scales, len(self.parts))
        step = self.quantization.step
        self._packed.call("forward", len(values), values, scale, step, self._partials, out, threads)
        return result


def _refused_tables(weights: QTensor, step: int, tables: int) -> str | None:
    if step % tables or step // tables > _TABLE:
        return f"tables of {step} / {tables} activations"
    if weights.format.code_bits > _PLANES:
        return f"{weights.format.code_bits} planes"
    return None


def _ranks(weights: QTensor, flip: int) -> Iterator[tuple[int, np.ndarray]]:
    for row, block in blocks(weights):
        yield row, (levels(block).numpy() ^ flip).astype(np.uint8)


class Fp32TableKernel(ChainKernel):
    """Tables of FP32 sums."""

    @classmethod
    def refused(cls, weights: QTensor, quantization: Any) -> str | None:
        options = _settings(quantization)
        if weights.format.code_bits % int(options["planes_per_cycle"]):
            return f"{options['planes_per_cycle']} of {weights.format.code_bits} planes at once"
        refused = _refused_tables(weights, quantization.step, int(options["tables"]))
        return refused or super().refused(weights, quantization)

    def __init__(self, weights: QTensor, quantization: Any) -> None:
        Kernel.__init__(self, weights, quantization)
        options, groups, bits = _settings(quantization), len(self.parts), weights.format.code_bits
        self._partials, self._lanes = int(options["interleave"]), int(options["planes_per_cycle"])
        self._plain = options["planes"] == "twos_complement"
        step = quantization.step
        table = step // int(options["tables"])
        self._packed = Packed("tables", self.shape[0], groups, self.starts, bits, table, step)
        for row, ranks in _ranks(weights, 1 << (bits - 1) if self._plain else 0):
            self._packed.call("pack", row, len(ranks), ranks)
        self._packed.call("scales", per_group(weights.scales, groups), None, None)

    def forward(self, acts: QTensor, threads: int) -> Tensor:
        result, out = self._result(acts)
        values = np.ascontiguousarray(acts.values(), dtype=np.float32)
        scale = per_group(acts.scales, len(self.parts))
        plain = int(self._plain)
        self._packed.call("fp32", len(values), values, scale, self._lanes, self._partials, plain, out, threads)
        return result


class ByteTableKernel(Kernel):
    """Tables of bytes with a scale each."""

    @classmethod
    def refused(cls, weights: QTensor, quantization: Any) -> str | None:
        return _refused_tables(weights, quantization.step, int(_settings(quantization)["tables"]))

    def __init__(self, weights: QTensor, quantization: Any) -> None:
        super().__init__(weights, quantization)
        options, groups, scheme = _settings(quantization), len(self.parts), quantization.scheme
        self._bits, self._by_127 = weights.format.code_bits, int(options["rule"] == "max127")
        self._half = 1.0 if scheme == "bipolar" else 0.5
        table = quantization.step // int(options["tables"])
        self._packed = Packed("tables", self.shape[0], groups, self.starts, self._bits, table, table)
        for row, ranks in _ranks(weights, 0):
            self._packed.call("pack", row, len(ranks), ranks)
        minima = weights.zeros if weights.zero_kind == "minimum" else None
        self._packed.call(
            "scales",
            per_group(weights.scales * 2.0**weights.format.lsb_exp, groups),
            None if minima is None else per_group(minima * 2.0**weights.format.lsb_exp, groups),
            None if scheme == "bipolar" else self._zero_points(weights),
        )

    def _zero_points(self, weights: QTensor) -> Floats:
        """Of odd integers 2u + 1 - 2**bits, [N, G]."""
        shape = (weights.shape[0], len(self.parts))
        zero: Any = 1 << (self._bits - 1) if self.quantization.scheme in ("symmetric", "ternary") else 0
        if self.quantization.scheme == "asymmetric":
            zero = weights.zeros
        return np.ascontiguousarray(np.broadcast_to(2.0 * zero + 1 - (1 << self._bits), shape))

    def forward(self, acts: QTensor, threads: int) -> Tensor:
        result, out = self._result(acts)
        groups, begin = len(self.parts), self.starts
        own = None
        if self.quantization.align is None:
            unit: Any = np.full((acts.shape[0], groups), acts.format.lsb_exp)
            ints = _finite(acts) * 2.0**-acts.format.lsb_exp
            sizes = np.abs(ints)
        else:
            aligned = align(acts, self.quantization, self.group_size, threads)
            ints, sizes, unit = aligned.ints, np.abs(aligned.ints), aligned.units[:, begin[:-1]]
            if self.quantization.align == "step":
                units = aligned.units
                unit = np.minimum.reduceat(units, begin[:-1], axis=1)
                own = np.exp2((units - np.repeat(unit, np.diff(begin), axis=1)).astype(np.float64))
                sizes = sizes * own
        # Twice as much as any entry, rounded up to its table's scale, or any sum of entries can be.
        largest = 2 * float(np.add.reduceat(sizes, begin[:-1], axis=1).max())
        if largest * 2.0 ** (self._bits + 1) >= _EXACT:
            raise NotCoveredError("tables of bytes with sums beyond 2**53")
        scale = per_group(acts.scales, groups) * np.exp2(unit.astype(np.float64))
        ints32 = int(own is None and largest < 2.0**31)
        count, rule = len(ints), self._by_127
        self._packed.call("bytes", count, ints, own, scale, self._half, rule, ints32, out, threads)
        return result


class BitmodKernel(Kernel):
    """Bit-serial sums that are truncated, or exact."""

    @classmethod
    def refused(cls, weights: QTensor, quantization: Any) -> str | None:
        options, form = _settings(quantization), get(quantization.acts)
        if not isinstance(form, MinifloatFormat) or not form.signed:
            return f"bitmod with {form.name}"
        bits = form.mantissa_bits + 1 + int(options["guard_bits"])
        if bits > 30 or quantization.step > _STEP:
            return f"bitmod with {bits} bits in steps of {quantization.step}"
        if options["accumulator"] == "exact":
            lowest = 1 - (form.bias or 0) - bits - 1
            longest = max(part.stop - part.start for part in weights.group_slices)
            if np.log2(longest * form.max_value * 2.0**7) - lowest >= _SUM_BITS - 1:
                return "bitmod with exact sums of more than 62 bits"
            if scale_bits(weights.scale_format) > _SCALE_BITS:
                return f"bitmod with scales {weights.scale_format.name}"
        return None

    def __init__(self, weights: QTensor, quantization: Any) -> None:
        super().__init__(weights, quantization)
        (n, k), groups = self.shape, len(self.parts)
        units = weight_terms(rows_of(weights, slice(0, 1)))[1]
        self._packed = Packed("bitmod", n, k, groups, self.starts, len(units), np.array(units, dtype=np.int64))
        for row, block in blocks(weights):
            for phase, term in enumerate(weight_terms(block)[0]):
                if self._packed.call("pack", row, len(term), phase, np.ascontiguousarray(term.numpy())):
                    raise NotCoveredError(f"bitmod with terms of {weights.format.name}")
        self._packed.call("scales", per_group(weights.scales, groups))

    def forward(self, acts: QTensor, threads: int) -> Tensor:
        result, out = self._result(acts)
        options, form, q = _settings(self.quantization), acts.format, self.quantization
        assert isinstance(form, MinifloatFormat)
        guard, mantissa, bias = int(options["guard_bits"]), form.mantissa_bits, form.bias or 0
        values = np.ascontiguousarray(finite_values(acts).numpy())
        width = 0 if options["accumulator"] == "exact" else int(options["acc_mantissa"])
        dot_bits = (q.step * ((2 << mantissa) - 1) << guard).bit_length() + 1
        # A half times the least place, were a normal number's exponent field 0.
        lowest = -bias - mantissa - guard - 1
        shape = (mantissa, 1 - bias, guard, q.step, width, dot_bits, int(options["interleave"]), lowest)
        self._packed.call("forward", len(values), values, *shape, out, threads)
        return result


class LmulKernel(Kernel):
    """Sums of L-Mul products, exact or in FP32."""

    @classmethod
    def refused(cls, weights: QTensor, quantization: Any) -> str | None:
        acts = get(quantization.acts)
        if not isinstance(acts, MinifloatFormat) or not isinstance(weights.format, MinifloatFormat):
            return f"L-Mul with {acts.name} and {weights.format.name}"
        if scale_bits(weights.scale_format) + scale_bits(get(quantization.act_scale)) > _SCALE_BITS:
            return f"L-Mul with scales {quantization.act_scale} and {weights.scale_format.name}"
        return None

    def __init__(self, weights: QTensor, quantization: Any) -> None:
        super().__init__(weights, quantization)
        (n, k), groups, settings = self.shape, len(self.parts), _settings(quantization)
        self._fp32, self._flushes = settings["accumulator"] == "fp32", settings["subnormals"] == "flush"
        self._partials = int(settings.get("interleave", 1))
        forms = [get(quantization.acts), weights.format]
        mantissa = max(form.mantissa_bits for form in forms if isinstance(form, MinifloatFormat))
        # l of the paper, by the mantissa's bits.
        shift = mantissa if mantissa <= 3 else 3 if mantissa == 4 else 4
        self._packed = Packed("lmul", n, k, groups, self.starts, mantissa, shift)
        for row, block in blocks(weights):
            self._packed.call("pack", row, len(block.codes), self._multiplied(block))
        self._packed.call("scales", per_group(weights.scales, groups))

    def _multiplied(self, tensor: QTensor) -> Floats:
        """Values of an operand that are multiplied."""
        form = tensor.format
        assert isinstance(form, MinifloatFormat)
        values = np.ascontiguousarray(tensor.values() if self._fp32 else finite_values(tensor).numpy())
        if self._flushes:
            values = np.where(np.abs(values) < 2.0 ** (1 - (form.bias or 0)), 0.0, values)
        return values

    def forward(self, acts: QTensor, threads: int) -> Tensor:
        result, out = self._result(acts)
        values, scale = self._multiplied(acts), per_group(acts.scales, len(self.parts))
        if self._fp32:
            step = self.quantization.step
            self._packed.call("fp32", len(values), values, scale, step, self._partials, out, threads)
        elif self._packed.call("exact", len(values), values, scale, out, threads):
            raise NotCoveredError("exact sums of L-Mul products that are too long")
        return result


KERNELS: dict[str, type[Kernel]] = {
    "exact": ExactKernel,
    "bitmod": BitmodKernel,
    "fp32": ChainKernel,
    "fp32_table": Fp32TableKernel,
    "int8_table": ByteTableKernel,
    "two_level": TwoLevelKernel,
    "posit": PositKernel,
    "lmul": LmulKernel,
}
"""Kernels by the name that `Quantization.arithmetic` gives."""
