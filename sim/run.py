"""Run a layer of a model through the Verilog of a tile and compare with the golden PyTorch layer, bit for bit."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hwgen.emit import emit
from hwgen.errors import HwgenError
from hwgen.formats import QTensor
from hwgen.pe import TileSpec
from hwgen.quantize import acts_for
from hwgen.schedule import Layer, Schedule
from hwgen.verify import CompiledPre, CompiledTile, expected_beats, port_words
from sim.epilogue import apply_outer, epilogue
from sim.hold import hold
from sim.models.checkpoint import StoredWeights

__all__ = ["LayerRun", "run_layer"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class LayerRun:
    """What a layer did on a tile. Cycles are counted by the testbench, not by the design.

    ``y`` are the outputs as FP32 [tokens, N]; ``golden_equal`` compares them (and the integer group sums, where the
    tile gives them) with the golden layer, ``reference_equal`` the pre block's output with its reference. ``weights``
    says how they came: quantised, or as stored.
    """

    layer: Layer
    family: str
    parameters: dict[str, Any]
    steps: int
    cycles_counted: int
    cycles_predicted: int
    pre_cycles_counted: int
    pre_cycles_predicted: int
    golden_equal: bool
    reference_equal: bool
    mismatches: int
    detail: str
    macs_per_second: float
    build_seconds: float
    run_seconds: float
    relative_error: float
    weights: str
    y: np.ndarray = dataclasses.field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether every value and every cycle count agrees."""
        return (
            self.golden_equal
            and self.reference_equal
            and self.cycles_counted == self.cycles_predicted
            and self.pre_cycles_counted == self.pre_cycles_predicted
        )

    def document(self) -> dict[str, Any]:
        """JSON-serialisable form without the outputs."""
        names = [field.name for field in dataclasses.fields(self) if field.name not in ("y", "layer")]
        fields = {name: getattr(self, name) for name in names}
        return {"layer": dataclasses.asdict(self.layer), **fields, "ok": self.ok}


def _describe(mask: np.ndarray, got: np.ndarray, want: np.ndarray, what: str) -> str:
    wrong = np.argwhere(mask)
    if not len(wrong):
        return ""
    place = tuple(int(i) for i in wrong[0])
    return f"{what}{list(place)}: RTL {got[place]}, golden {want[place]}"


def _matrix(layer: str, what: str, values: Any) -> np.ndarray:
    """An operand as float32 or float64, whichever holds its numbers; torch tensors of any type and device too."""
    if hasattr(values, "detach"):
        # numpy has no bfloat16, and takes nothing that is on a device or carries a gradient.
        values = values.detach().cpu()
        values = (values if values.element_size() > 4 else values.float()).numpy()
    try:
        array = np.asarray(values)
    except ValueError:
        array = np.empty(0, object)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "fiu":
        raise HwgenError(
            f"layer {layer}: {what} must be a matrix of real numbers, not "
            + (f"{array.dtype} of shape {list(array.shape)}" if array.size else type(values).__name__)
        )
    exact = array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    if not np.isfinite(exact).all():
        place = tuple(int(index) for index in np.argwhere(~np.isfinite(exact))[0])
        raise HwgenError(f"layer {layer}: {what} must be finite, not {exact[place]} at {list(place)}")
    return exact


def run_layer(
    spec: TileSpec,
    weights: Any,
    acts: Any,
    *,
    name: str = "layer",
    progress: Progress = lambda _: None,
) -> LayerRun:
    """Quantise a layer for ``spec``, run all of it through the emitted Verilog, and compare.

    Weights that are quantised already, `StoredWeights` of a checkpoint or a `QTensor`, run as they are (`sim.hold`).
    Parameters: ``weights`` [N, K] and ``acts`` [tokens, K], matrices of finite numbers as numpy arrays, torch tensors
    or lists; ``progress`` is told what happens.
    Raises `HwgenError` for other operands, when the layer does not fit the tile, or a tool is missing.
    """
    import torch

    from sim.golden import golden_layer

    stored = weights if isinstance(weights, StoredWeights | QTensor) else None
    acts = _matrix(name, "activations [tokens, K]", acts)
    if isinstance(stored, StoredWeights) and acts.shape[1] == stored.tensor.shape[1]:
        acts = stored.acts(acts)
    if stored is not None:
        held = hold(spec, stored, f"layer {name}")
        weights = held.dequantize()
    weights = _matrix(name, "weights [N, K]", weights)
    if weights.shape[1] != acts.shape[1]:
        raise HwgenError(
            f"layer {name}: weights [N, K] and activations [tokens, K] must agree in K, "
            f"not {list(weights.shape)} and {list(acts.shape)}"
        )
    layer = Layer(name, len(acts), *weights.shape)
    schedule = Schedule(spec, layer)
    longest = max(schedule.sum_lengths)
    if longest > int(spec.sum_depth(spec.p)) and not spec.overflow_in_layers(spec.p):
        raise HwgenError(
            f"layer {name}: a group of {longest} products must fit depth ({spec.depth}) of the {spec.family} tile, "
            f"whose sums {spec.overflow} in a way that no layer is defined for; {spec.depth_hint(spec.p, longest)}"
        )
    float_y = acts.astype(np.float64) @ weights.astype(np.float64).T
    weights, acts = schedule.whole_words(weights), schedule.whole_words(acts)
    formats = spec.quantization()
    as_stored = stored is not None
    how = f"to {formats.weights}" if not as_stored else "as stored"
    progress(f"quantising {name}: {layer.n}×{layer.k} weights {how}, {layer.m} tokens to {formats.acts}")
    q_weights = held if as_stored else spec.quantize_weights(weights)
    raw_acts = acts_for(formats, acts)
    tile_acts = spec.quantize_acts(acts)

    emission = emit(spec)
    begin = time.perf_counter()
    tile = CompiledTile(spec, emission)
    progress(f"building the simulation of {emission.top} (cached by content)")
    _ = tile.simulator
    build_seconds = time.perf_counter() - begin

    pre_counted = pre_predicted = 0
    reference_equal, detail = True, ""
    pre = spec.pre()
    if pre is not None:
        progress(f"running {layer.m} tokens through {emission.top}_pre")
        reference_equal, pre_counted, detail = _run_pre(CompiledPre(pre, emission), raw_acts)
        pre_predicted = pre.cycles(layer.m, layer.k)

    steps = schedule.lower(tile_acts, q_weights)
    words = port_words(spec, steps)
    progress(f"running {schedule.steps} steps ({layer.macs} MACs) through {emission.top}")
    result = tile.run_words(words, schedule.beats)
    observed = tile.observe(result)

    progress("comparing with the golden PyTorch layer")
    # The codes are shared, their meaning is not: the golden layer decodes them by itself.
    golden = golden_layer(q_weights, formats)
    inputs = torch.from_numpy(np.ascontiguousarray(acts))
    want = golden(inputs).detach().numpy()
    if spec.lanes:
        codes = spec.result_values(schedule.collect(observed.y).astype(np.uint32))
        y = apply_outer(np.ascontiguousarray(codes), tile_acts, q_weights).view(np.float32)
    else:
        sums = schedule.collect(observed.sums)[..., 0]
        rows = schedule.collect_rows(observed.rows)
        y = epilogue(spec, sums, rows, tile_acts, q_weights).view(np.float32)
        words_wanted = golden.group_words(inputs)
        if words_wanted is not None:
            unequal = np.asarray(sums != words_wanted)
            wrong_sums, sums_text = bool(unequal.any()), _describe(unequal, sums, words_wanted, "group sum")
        else:
            golden_sums = np.asarray(golden.group_sums(inputs))
            wrong_sums, sums_text = _compare_sums(spec, sums, rows, q_weights, golden_sums)
        detail = detail or sums_text
        reference_equal = reference_equal and not wrong_sums
    mask = y.view(np.uint32) != want.view(np.uint32)
    norm = float(np.linalg.norm(float_y)) or 1.0
    return LayerRun(
        layer=layer,
        family=spec.family,
        parameters=spec.p,
        steps=schedule.steps,
        cycles_counted=tile.cycles(result),
        cycles_predicted=schedule.exact(),
        pre_cycles_counted=pre_counted,
        pre_cycles_predicted=pre_predicted,
        golden_equal=not mask.any(),
        reference_equal=reference_equal,
        mismatches=int(mask.sum()),
        detail=detail or _describe(mask, y, want, "y"),
        macs_per_second=layer.macs / result.seconds if result.seconds else 0.0,
        build_seconds=build_seconds,
        run_seconds=result.seconds,
        weights=_described(stored, q_weights, formats.scheme),
        relative_error=float(np.linalg.norm(y.astype(np.float64) - float_y)) / norm,
        y=y,
    )


def _described(stored: StoredWeights | QTensor | None, held: QTensor, scheme: str) -> str:
    """How the weights came to what the tile holds."""
    if stored is None:
        return f"quantised to {held.format.name}, scheme {scheme}"
    return f"as stored, {stored.described}" if isinstance(stored, StoredWeights) else "as given, quantised already"


def _run_pre(compiled: CompiledPre, acts: QTensor) -> tuple[bool, int, str]:
    """Run the pre block's RTL: (equal to its reference, cycles counted, first difference)."""
    words, scale, cycles = compiled.run(acts.codes)
    want_words, want_scale = expected_beats(compiled.pre, acts)
    detail = _describe(words != want_words, words, want_words, "pre")
    if not detail and scale is not None and want_scale is not None:
        detail = _describe(scale != want_scale, scale, want_scale, "pre scale")
    return not detail, cycles, detail


def _compare_sums(
    spec: TileSpec, sums: np.ndarray, rows: np.ndarray, weights: QTensor, golden: np.ndarray
) -> tuple[bool, str]:
    """Integer group sums [G, tokens, N], zero point included, against the golden layer's, as integers."""
    zeros = spec.zero_points(weights)
    if zeros is not None:
        zeros = np.broadcast_to(zeros, (len(weights.codes), len(sums)))
    wanted = np.stack(
        [
            spec.correct(sums[group], rows[group], None if zeros is None else zeros[:, group])
            for group in range(len(sums))
        ]
    )
    # The tile's unit may be finer than the golden layer's: half an activation for planes of ±1.
    target = golden << (spec.row_lsb_exp + spec.weight_format.lsb_exp - spec.lsb_exp)
    mask = wanted != target
    return bool(mask.any()), _describe(mask, wanted, target, "group sum")
