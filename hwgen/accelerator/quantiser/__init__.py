"""A quantiser that writes rows of FP32 as weight images: keys and values of a cache, in the layout of a tile."""

from __future__ import annotations

from hwgen.accelerator.quantiser.cycles import QuantiserCycles, quantiser_cycles
from hwgen.accelerator.quantiser.design import QuantiserDesign
from hwgen.accelerator.quantiser.emission import MOST_ELEMENTS, QuantiserEmission, emit_quantiser
from hwgen.accelerator.quantiser.geometry import Geometry, geometry
from hwgen.accelerator.quantiser.job import Kind, QuantiserJob, block_bytes, cache_bytes, cache_job
from hwgen.accelerator.quantiser.reference import token_images, token_weights
from hwgen.accelerator.quantiser.registers import QUANTISER_MAGIC, QuantiserCause, quantiser_map

__all__ = [
    "MOST_ELEMENTS",
    "QUANTISER_MAGIC",
    "Geometry",
    "Kind",
    "QuantiserCause",
    "QuantiserCycles",
    "QuantiserDesign",
    "QuantiserEmission",
    "QuantiserJob",
    "block_bytes",
    "cache_bytes",
    "cache_job",
    "emit_quantiser",
    "geometry",
    "quantiser_cycles",
    "quantiser_map",
    "token_images",
    "token_weights",
]
