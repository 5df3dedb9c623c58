"""Small quantised checkpoints, one for each scheme that is read, with what their weights are worth.

All are generated: random codes, scales and zero points, packed here bit by bit from the descriptions of the formats and
written by the packages that define the files (gguf, safetensors). ``weights`` are computed from the numbers before they
were packed, or by ``gguf.dequantize``: nothing of `sim.models.checkpoint` is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CASES", "LAYER", "Case", "Made", "stream"]

N, K, GROUP = 8, 64, 32
LAYER = "model.layers.0.mlp.up_proj"
SUPER = 256
"""Elements of a K-block."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Made:
    """A file, its layer and the weights [N, K] of the layer."""

    path: Path
    layer: str
    weights: Floats


@dataclass(frozen=True)
class Case:
    """A scheme of a kind of file, and a tile that holds it (parameters as flags have them)."""

    kind: str
    scheme: str
    family: str
    tile: Mapping[str, Any]
    make: Callable[[Path], Made]
    oracle: str
    """What the weights are compared with."""

    @property
    def name(self) -> str:
        """A name for tests and tables."""
        return f"{self.kind} {self.scheme} {self.family}"


# ------------------------------------------------------------------ GGUF


def _random_blocks(kind: str, rng: np.random.Generator, n: int, k: int) -> NDArray[np.uint8]:
    """Random bytes with FP16 numbers where the type has them, and codes that it allows."""
    import gguf

    elements, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    raw = rng.integers(0, 256, (n, k // elements, size)).astype(np.uint8)
    halves = {"Q4_1": (0, 2), "Q5_1": (0, 2), "Q2_K": (80, 82), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q3_K": (108,)}
    halves |= {"Q4_0": (0,), "Q5_0": (0,), "Q8_0": (0,), "Q6_K": (208,), "TQ1_0": (52,), "TQ2_0": (64,)}
    for place in halves.get(kind, ()):
        numbers = (rng.normal(size=(n, k // elements, 1)) / 16).astype("<f2")
        raw[..., place : place + 2] = numbers.view(np.uint8)
    if kind == "TQ2_0":
        trits = rng.integers(0, 3, (n, k // elements, 64, 4))
        raw[..., :64] = (trits << np.array([0, 2, 4, 6])).sum(axis=-1)
    elif kind == "MXFP4":
        raw[..., 0] = rng.integers(118, 132, raw.shape[:2])
    elif kind == "NVFP4":
        raw[..., :4] = rng.integers(0, 127, (*raw.shape[:2], 4))
    return raw.reshape(n, -1)


def _gguf(kind: str) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        import gguf

        k = SUPER if kind.endswith("_K") or kind.startswith("TQ") else K
        stored, form = _random_blocks(kind, np.random.default_rng(1), N, k), gguf.GGMLQuantizationType[kind]
        path = folder / f"{kind}.gguf"
        writer = gguf.GGUFWriter(path, "gpt2")
        writer.add_tensor("blk.0.ffn_up.weight", stored, raw_dtype=form)
        outer = 1.0
        if kind == "NVFP4":
            outer = 0.625
            writer.add_tensor("blk.0.ffn_up.scale", np.full(1, outer, np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return Made(path, "blk.0.ffn_up", gguf.dequantize(stored, form).astype(np.float64) * outer)

    return make


# ------------------------------------------------------------------ safetensors


def _save(folder: Path, tensors: Mapping[str, Any], config: Mapping[str, Any] | None, shards: int = 1) -> Path:
    """Write tensors (torch) under ``LAYER`` and the configuration, in one file or in several with an index."""
    from safetensors.torch import save_file

    named = {f"{LAYER}.{name}": tensor.contiguous() for name, tensor in tensors.items()}
    if config is not None:
        (folder / "config.json").write_text(json.dumps({"model_type": "toy", "quantization_config": config}))
    if shards == 1:
        save_file(named, folder / "model.safetensors")
        return folder / "model.safetensors"
    places = {name: f"model-{index % shards + 1:05}-of-{shards:05}.safetensors" for index, name in enumerate(named)}
    for file in set(places.values()):
        save_file({name: tensor for name, tensor in named.items() if places[name] == file}, folder / file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    return index


def stream(rows: Ints, bits: int) -> NDArray[np.int32]:
    """Codes [R, C] as 32-bit words, lowest bits first and across words, one row after the other."""
    words = []
    for row in rows.tolist():
        number = sum(code << bits * place for place, code in enumerate(row))
        count = -(-len(row) * bits // 32)
        words.append([number >> 32 * place & 0xFFFFFFFF for place in range(count)])
    return np.array(words, np.uint32).view(np.int32)


def _three_bits(column: list[int]) -> list[int]:
    """32 codes of 3 bits in three words, as AutoGPTQ's packing is written: ten, one across, ten, one across, ten."""
    words = [0, 0, 0]
    for place in range(10):
        words[0] |= column[place] << 3 * place
        words[1] |= column[place + 11] << 3 * place + 1
        words[2] |= column[place + 22] << 3 * place + 2
    words[0] |= (column[10] & 3) << 30
    words[1] |= column[10] >> 2 | (column[21] & 1) << 31
    words[2] |= column[21] >> 1
    return words


def _gptq(bits: int, kind: str, order: bool = False, whole: bool = False) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        import torch

        rng = np.random.default_rng(2)
        n, top, size = {2: 16, 3: 32}.get(bits, N), (1 << bits) - 1, K if whole else GROUP
        q = rng.integers(0, top + 1, (n, K))
        # v1 stores z - 1: a zero point of 0 has no code that all kernels agree on.
        z = rng.integers(1 if kind == "gptq" else 0, top + 1, (n, K // size))
        s = (rng.uniform(0.25, 1, (n, K // size)) / (16 << bits)).astype(np.float16)
        index = rng.permutation(K) // size if order else np.arange(K) // size
        weights = s.astype(np.float64)[:, index] * (q - z[:, index])
        packed = stream(q, bits)
        if bits == 3:
            packed = np.array([_three_bits(row[:32]) + _three_bits(row[32:]) for row in q.tolist()], np.uint32).view(
                np.int32
            )
        tensors = {
            "qweight": torch.from_numpy(packed.T.copy()),
            "qzeros": torch.from_numpy(stream((z - (kind == "gptq")).T, bits)),
            "scales": torch.from_numpy(s.T.copy()),
            "g_idx": torch.from_numpy(index.astype(np.int32)),
        }
        config: dict[str, Any] = {"quant_method": "gptq", "bits": bits, "group_size": -1 if whole else size}
        config |= {"desc_act": order} | ({} if kind == "gptq" else {"checkpoint_format": kind})
        return Made(_save(folder, tensors, config), LAYER, weights)

    return make


def _awq(shards: int) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        import torch

        rng = np.random.default_rng(3)
        q, z = rng.integers(0, 16, (K, N)), rng.integers(0, 16, (K // GROUP, N))
        s = (rng.uniform(0.25, 1, (K // GROUP, N)) / 256).astype(np.float16)
        index = np.arange(K) // GROUP
        weights = (s.astype(np.float64)[index] * (q - z[index])).T

        def packed(codes: Ints) -> Any:
            words = np.zeros((len(codes), N // 8), np.int64)
            for place, column in enumerate((0, 2, 4, 6, 1, 3, 5, 7)):
                words |= codes[:, column::8] << 4 * place
            return torch.from_numpy(words.astype(np.uint32).view(np.int32))

        config = {"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm", "zero_point": True}
        tensors = {"qweight": packed(q), "qzeros": packed(z), "scales": torch.from_numpy(s)}
        return Made(_save(folder, tensors, config, shards), LAYER, weights)

    return make


def _group(form: str, target: str, **weights: Any) -> dict[str, Any]:
    """A configuration of compressed-tensors with one group beside one for other layers."""
    mixed = {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "int"}, "format": "int-quantized"}}
    mixed |= {"group_1": {"targets": [target], "weights": weights, "format": form}}
    return {"quant_method": "compressed-tensors", "format": "mixed-precision", "config_groups": mixed, "ignore": []}


def _one(form: str, **weights: Any) -> dict[str, Any]:
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return {"quant_method": "compressed-tensors", "format": form, "config_groups": groups, "ignore": ["lm_head"]}


def _pack_quantized(bits: int, symmetric: bool, mixed: bool = False) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        import torch

        rng = np.random.default_rng(4)
        half = 1 << bits - 1
        q, z = rng.integers(-half, half, (N, K)), rng.integers(-half, half, (N, K // GROUP))
        s = torch.from_numpy(rng.uniform(0.25, 1, (N, K // GROUP)) / (16 << bits)).to(torch.bfloat16)
        index = np.arange(K) // GROUP
        weights = s.double().numpy()[:, index] * (q if symmetric else q - z[:, index])
        tensors = {"weight_packed": torch.from_numpy(stream(q + half, bits)), "weight_scale": s}
        tensors |= {"weight_shape": torch.tensor([N, K])}
        if not symmetric:
            tensors["weight_zero_point"] = torch.from_numpy(stream((z + half).T, bits).T.copy())
        options = {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": "group", "group_size": GROUP}
        config = _group("pack-quantized", "re:.*up_proj", **options) if mixed else _one("pack-quantized", **options)
        return Made(_save(folder, tensors, config), LAYER, weights)

    return make


def _int_quantized(folder: Path) -> Made:
    import torch

    rng = np.random.default_rng(5)
    q, s = rng.integers(-128, 128, (N, K)), rng.uniform(0.25, 1, (N, 1)).astype(np.float32) / 1024
    tensors = {"weight": torch.from_numpy(q.astype(np.int8)), "weight_scale": torch.from_numpy(s)}
    config = _one("int-quantized", num_bits=8, type="int", symmetric=True, strategy="channel")
    return Made(_save(folder, tensors, config), LAYER, s.astype(np.float64) * q)


def _float8(rng: np.random.Generator) -> tuple[Any, Floats]:
    """Random finite E4M3 codes as torch has them, and their values."""
    import torch

    codes = torch.from_numpy(rng.integers(0, 256, (N, K)).astype(np.uint8))
    codes = torch.where(codes & 127 == 127, codes - 1, codes).view(torch.float8_e4m3fn)
    return codes, codes.double().numpy()


def _float_quantized(folder: Path) -> Made:
    import torch

    rng = np.random.default_rng(6)
    codes, values = _float8(rng)
    s = torch.from_numpy(rng.uniform(0.25, 1, (N, 1)) / 1024).to(torch.bfloat16)
    config = _one("float-quantized", num_bits=8, type="float", symmetric=True, strategy="channel")
    made = _save(folder, {"weight": codes, "weight_scale": s}, config)
    return Made(made, LAYER, s.double().numpy() * values)


def _fp8_blocks(folder: Path) -> Made:
    import torch

    rng = np.random.default_rng(7)
    codes, values = _float8(rng)
    s = rng.uniform(0.25, 1, (N // 4, K // GROUP)).astype(np.float32) / 1024
    config = {"quant_method": "fp8", "weight_block_size": [4, GROUP]}
    made = _save(folder, {"weight": codes, "weight_scale_inv": torch.from_numpy(s)}, config)
    return Made(made, LAYER, np.kron(s.astype(np.float64), np.ones((4, GROUP))) * values)


FP4 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])
"""E2M1 by code."""
FP6 = np.array(
    [sign * (m / 8 if e == 0 else 2.0 ** (e - 1) * (1 + m / 8)) for sign in (1, -1) for e in range(4) for m in range(8)]
)
"""E2M3 by code."""


def _fp4(nv: bool) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        import torch

        rng = np.random.default_rng(8)
        q, size = rng.integers(0, 16, (N, K)), 16 if nv else 32
        packed = torch.from_numpy((q[:, ::2] | q[:, 1::2] << 4).astype(np.uint8))
        if nv:
            scale = torch.from_numpy(rng.uniform(1, 400, (N, K // size))).to(torch.float8_e4m3fn)
            level = np.array([3000.0], np.float32)
            # Kernels multiply by 1 / global in FP32.
            values, outer = scale.double().numpy(), float(np.float32(1) / level[0])
            tensors = {"weight_packed": packed, "weight_scale": scale, "weight_global_scale": torch.from_numpy(level)}
            config = _one("nvfp4-pack-quantized", num_bits=4, type="float", strategy="tensor_group", group_size=16)
        else:
            exponents = rng.integers(118, 130, (N, K // size))
            values, outer = 2.0 ** (exponents - 127), 1.0
            tensors = {"weight_packed": packed, "weight_scale": torch.from_numpy(exponents.astype(np.uint8))}
            config = _one("mxfp4-pack-quantized", num_bits=4, type="float", strategy="group", group_size=32)
        return Made(_save(folder, tensors, config), LAYER, FP4[q] * np.repeat(values, size, axis=1) * outer)

    return make


def _mxfp6(folder: Path) -> Made:
    import torch

    rng = np.random.default_rng(9)
    q, exponents = rng.integers(0, 64, (N, K)), rng.integers(118, 130, (N, K // 32))
    words = q[:, ::4] | q[:, 1::4] << 6 | q[:, 2::4] << 12 | q[:, 3::4] << 18
    packed = np.stack([words & 255, words >> 8 & 255, words >> 16], axis=-1).reshape(N, -1).astype(np.uint8)
    tensors = {"weight_packed": torch.from_numpy(packed), "weight_scale": torch.from_numpy(exponents.astype(np.uint8))}
    config = _one("mxfp6-pack-quantized", num_bits=6, type="float", strategy="group", group_size=32)
    return Made(_save(folder, tensors, config), LAYER, FP6[q] * np.repeat(2.0 ** (exponents - 127), 32, axis=1))


def _mxfp8(folder: Path) -> Made:
    import torch

    rng = np.random.default_rng(10)
    codes, values = _float8(rng)
    exponents = rng.integers(110, 122, (N, K // 32))
    tensors = {"weight": codes, "weight_scale": torch.from_numpy(exponents.astype(np.uint8))}
    config = _one(
        "mxfp8-quantized", num_bits=8, type="float", strategy="group", group_size=32, scale_dtype="torch.uint8"
    )
    return Made(_save(folder, tensors, config), LAYER, values * np.repeat(2.0 ** (exponents - 127), 32, axis=1))


def _plain(kind: str, shards: int) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        import torch

        rng = np.random.default_rng(11)
        values = torch.from_numpy(rng.normal(size=(N, K)) / 8).to(getattr(torch, kind))
        tensors = {"weight": values, "bias": torch.zeros(N)}
        return Made(_save(folder, tensors, None, shards), LAYER, values.double().numpy())

    return make


# ------------------------------------------------------------------ all


def _int(bits: int, scheme: str, group: int = GROUP, scale: str = "fp16") -> dict[str, Any]:
    found = {"bits": bits, "scheme": scheme, "group": group, "weight_scale": scale}
    return found if group <= 128 else {**found, "depth": group}


_BY_GGUF = "gguf.dequantize"
_BY_HAND = "numbers before packing"

_GGUF = {
    "Q4_0": ("int", _int(4, "symmetric")),
    "Q4_1": ("int", _int(4, "minimum")),
    "Q5_0": ("int", _int(5, "symmetric")),
    "Q5_1": ("int", _int(5, "minimum")),
    "Q8_0": ("int", _int(8, "symmetric")),
    "Q2_K": ("int", _int(2, "minimum", 16, "fp32")),
    "Q3_K": ("int", _int(3, "symmetric", 16, "fp32")),
    "Q4_K": ("int", _int(4, "minimum", 32, "fp32")),
    "Q5_K": ("int", _int(5, "minimum", 32, "fp32")),
    "Q6_K": ("int", _int(6, "symmetric", 16, "fp32")),
    "TQ1_0": ("int", _int(2, "ternary", 256)),
    "TQ2_0": ("lut", {"bits": 2, "scheme": "ternary", "group": 128, "k": 4}),
    "MXFP4": ("mx", {"weights": "mxfp4", "post_lanes": 1}),
    "NVFP4": ("mx", {"weights": "nvfp4"}),
}

_FP8 = {"weights": "fp8_e4m3", "acts": "fp8_e4m3"}

CASES = (
    *(Case("GGUF", kind, family, tile, _gguf(kind), _BY_GGUF) for kind, (family, tile) in _GGUF.items()),
    Case("GGUF", "Q4_1", "mixpe", {"bits": 4, "scheme": "minimum", "group": 32}, _gguf("Q4_1"), _BY_GGUF),
    Case(
        "GGUF",
        "MXFP4",
        "minifloat",
        {"weights": "fp4_e2m1", "acts": "fp8_e4m3", "group": 32, "weight_scale": "e8m0"},
        _gguf("MXFP4"),
        _BY_GGUF,
    ),
    Case("GPTQ", "v1, 4 bit", "int", _int(4, "asymmetric"), _gptq(4, "gptq"), _BY_HAND),
    Case("GPTQ", "v1, 4 bit, act-order", "int", _int(4, "asymmetric"), _gptq(4, "gptq", order=True), _BY_HAND),
    Case("GPTQ", "v2, 4 bit", "mixpe", {"bits": 4, "scheme": "asymmetric", "group": 32}, _gptq(4, "gptq_v2"), _BY_HAND),
    Case("GPTQ", "v2, 2 bit", "lut", {"bits": 2, "scheme": "asymmetric", "group": 32}, _gptq(2, "gptq_v2"), _BY_HAND),
    Case("GPTQ", "v1, 3 bit", "int", _int(3, "asymmetric"), _gptq(3, "gptq"), _BY_HAND),
    Case("GPTQ", "v1, 8 bit, whole rows", "int", _int(8, "asymmetric", 0), _gptq(8, "gptq", whole=True), _BY_HAND),
    Case("AWQ", "4 bit", "int", {**_int(4, "asymmetric"), "post_lanes": 2}, _awq(1), _BY_HAND),
    Case("AWQ", "4 bit, two shards", "int", _int(4, "asymmetric"), _awq(2), _BY_HAND),
    Case(
        "compressed-tensors",
        "pack-quantized 4 bit",
        "int",
        _int(4, "symmetric", GROUP, "bf16"),
        _pack_quantized(4, True),
        _BY_HAND,
    ),
    Case(
        "compressed-tensors",
        "pack-quantized 3 bit, asymmetric",
        "int",
        _int(3, "asymmetric", GROUP, "bf16"),
        _pack_quantized(3, False),
        _BY_HAND,
    ),
    Case(
        "compressed-tensors",
        "mixed-precision, pack-quantized 8 bit",
        "int",
        _int(8, "symmetric", GROUP, "bf16"),
        _pack_quantized(8, True, mixed=True),
        _BY_HAND,
    ),
    Case("compressed-tensors", "int-quantized 8 bit", "int", _int(8, "symmetric", 0), _int_quantized, _BY_HAND),
    Case(
        "compressed-tensors",
        "float-quantized",
        "minifloat",
        {**_FP8, "group": 0, "weight_scale": "bf16"},
        _float_quantized,
        _BY_HAND,
    ),
    Case("compressed-tensors", "nvfp4-pack-quantized", "mx", {"weights": "nvfp4"}, _fp4(True), _BY_HAND),
    Case(
        "compressed-tensors", "mxfp4-pack-quantized", "mx", {"weights": "mxfp4", "post_lanes": 1}, _fp4(False), _BY_HAND
    ),
    Case(
        "compressed-tensors",
        "mxfp6-pack-quantized",
        "mx",
        {"weights": "mxfp6_e2m3", "acts": "mxfp6_e2m3", "post_lanes": 1},
        _mxfp6,
        _BY_HAND,
    ),
    Case(
        "compressed-tensors",
        "mxfp8-quantized",
        "mx",
        {"weights": "mxfp8_e4m3", "acts": "mxfp8_e4m3", "post_lanes": 1},
        _mxfp8,
        _BY_HAND,
    ),
    Case(
        "safetensors",
        "FP8 in blocks",
        "minifloat",
        {**_FP8, "group": 32, "weight_scale": "fp32"},
        _fp8_blocks,
        _BY_HAND,
    ),
    Case(
        "safetensors",
        "BF16",
        "minifloat",
        {"weights": "bf16", "acts": "bf16", "group": 0},
        _plain("bfloat16", 1),
        _BY_HAND,
    ),
    Case(
        "safetensors",
        "F16, two shards",
        "minifloat",
        {"weights": "fp16", "acts": "fp16", "group": 0},
        _plain("float16", 2),
        _BY_HAND,
    ),
)
"""Every scheme that is read, on a tile that holds it."""
