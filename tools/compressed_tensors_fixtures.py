"""Make the files in tests/checkpoints/compressed_tensors by the package that defines them.

Run by hand, in an environment of its own, as the package brings transformers along:

    pip install compressed-tensors==0.20.1 && python tools/compressed_tensors_fixtures.py FOLDER

Random weights are compressed by the package's compressors into ``model.safetensors`` with a config.json, and
decompressed by them into ``decompressed.safetensors``, with which the reader is compared.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

N, K, GROUP = 16, 64, 32
LAYER = "model.layers.0.mlp.up_proj"


def write(folder: Path, form: str, weights: dict[str, Any], parts: dict[str, Any], acts: dict[str, Any] | None) -> None:
    """One checkpoint: ``weights`` and ``acts`` are QuantizationArgs, ``parts`` scales and zero points."""
    import torch
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from safetensors.torch import save_file

    options = QuantizationArgs(**weights)
    of_acts = {} if acts is None else {"input_activations": QuantizationArgs(**acts)}
    scheme = QuantizationScheme(targets=["Linear"], weights=options, **of_acts)
    compressor = BaseCompressor.get_value_from_registry(form)
    packed = compressor.compress({"weight": torch.randn(N, K) / 8, **parts}, scheme)
    values = compressor.decompress(dict(packed), scheme)["weight"]
    folder.mkdir(parents=True, exist_ok=True)
    save_file({f"{LAYER}.{name}": part.contiguous() for name, part in packed.items()}, folder / "model.safetensors")
    save_file({"weight": values.contiguous()}, folder / "decompressed.safetensors")
    groups = {"group_0": {"targets": ["Linear"], "weights": json.loads(options.model_dump_json(exclude_none=True))}}
    config = {"quant_method": "compressed-tensors", "format": form, "config_groups": groups, "ignore": ["lm_head"]}
    (folder / "config.json").write_text(json.dumps({"quantization_config": config}, indent=1) + "\n")


def main() -> None:
    """Write all checkpoints."""
    import torch

    out = Path(sys.argv[1])
    torch.manual_seed(1)

    def scales(groups: int, least: float, width: float) -> Any:
        return least + width * torch.rand(N, groups)

    def powers(low: int, high: int) -> Any:
        return 2.0 ** torch.randint(low, high, (N, K // 32)).float()

    four = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": GROUP}
    eight = {"num_bits": 8, "type": "float", "symmetric": True}
    packed = {"type": "float", "symmetric": True, "strategy": "group", "group_size": 32}
    in_fp8 = {"num_bits": 8, "type": "float"}
    grouped = scales(K // GROUP, 0.02, 0.05)
    zeros = {"weight_scale": grouped, "weight_zero_point": torch.randint(-8, 8, (N, K // GROUP), dtype=torch.int8)}
    write(out / "pack4", "pack-quantized", {**four, "symmetric": True}, {"weight_scale": grouped}, None)
    write(out / "pack4_asym", "pack-quantized", {**four, "symmetric": False}, zeros, None)
    three = {"num_bits": 3, "type": "int", "symmetric": True, "strategy": "channel"}
    write(out / "pack3", "pack-quantized", three, {"weight_scale": scales(1, 0.02, 0.05)}, None)
    small = {"weight_scale": scales(1, 0.001, 0.002)}
    whole = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"}
    write(out / "int8", "int-quantized", whole, small, {"num_bits": 8, "type": "int"})
    write(out / "fp8", "float-quantized", {**eight, "strategy": "channel"}, small, in_fp8)
    block = {**eight, "strategy": "block", "block_structure": [8, 32]}
    write(out / "fp8_block", "float-quantized", block, {"weight_scale": 0.001 + 0.002 * torch.rand(2, 2)}, in_fp8)
    nv = {"num_bits": 4, "type": "float", "symmetric": True, "strategy": "tensor_group", "group_size": 16}
    level = {"weight_scale": scales(K // 16, 50, 300), "weight_global_scale": torch.tensor([2048.0])}
    write(out / "nvfp4", "nvfp4-pack-quantized", nv, level, None)
    write(out / "mxfp4", "mxfp4-pack-quantized", {**packed, "num_bits": 4}, {"weight_scale": powers(-6, -2)}, None)
    write(out / "mxfp6", "mxfp6-pack-quantized", {**packed, "num_bits": 6}, {"weight_scale": powers(-6, -2)}, None)
    eight_bits = {**packed, "num_bits": 8, "scale_dtype": "torch.uint8"}
    write(out / "mxfp8", "mxfp8-quantized", eight_bits, {"weight_scale": powers(-12, -8)}, None)


if __name__ == "__main__":
    main()
