"""Cycles and traffic that ZigZag and AccelForge give for layers of language models on their own example machines.

Run by hand, each in an environment of its own, as neither is a dependency of the project (AccelForge's components need
Python 3.12, and ZigZag imports six without saying so):

    pip install zigzag-dse==3.9.1 six && python tools/mapper_peers.py zigzag
    pip install accelforge==1.0.467
    pip download --no-deps --no-binary accelforge accelforge==1.0.467 && tar xzf accelforge-1.0.467.tar.gz
    python tools/mapper_peers.py accelforge_simple --examples accelforge-1.0.467/examples
    python tools/mapper_peers.py accelforge_tpu_v4i --examples accelforge-1.0.467/examples
    python tools/mapper_peers.py accelforge_tpu_v4i_any_block --examples accelforge-1.0.467/examples

Writes ``reports/results/system_mappers_PEER.json``, which `reports.system_mappers` sets beside `sim.system`. A row of
it is a layer with an objective of the peer's search: its cycles by term, bytes by memory, operand and direction, the
mapping that it chose, seconds that the search took.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "reports" / "results"
LAYERS = {
    "smollm2-135m": {
        "attn.q, attn.o": (576, 576),
        "attn.k, attn.v": (192, 576),
        "ffn.up": (1536, 576),
        "ffn.down": (576, 1536),
    },
    "llama-2-7b": {"attn": (4096, 4096), "ffn.up": (11008, 4096), "ffn.down": (4096, 11008)},
}
"""Outputs and inner dimension of linear layers."""
TOKENS = (1, 512)
OBJECTIVES = ("latency", "energy")


def layers() -> Iterator[dict[str, Any]]:
    """Every layer with one token (decode) and 512 (prefill)."""
    for model, roles in LAYERS.items():
        for role, (n, k) in roles.items():
            for m in TOKENS:
                yield {"model": model, "role": role, "m": m, "n": n, "k": k}


# ------------------------------------------------------------------------------------------------------------- ZigZag


def zigzag(found: dict[str, Any], save: Callable[[], None]) -> None:
    """`tpu_like`, the example that the package ships, with its spatial mapping; LOMA as by default."""
    import zigzag as package
    from zigzag.api import get_hardware_performance_zigzag

    logging.disable(logging.CRITICAL)
    inputs = Path(package.__file__).parent / "inputs"
    precision = {"W": 8, "I": 8, "O": 16, "O_final": 8}
    found["precision_bits"], found["lpf_limit"] = precision, 6
    for layer in layers():
        gemm = {
            "id": 0,
            "name": "layer",
            "operator_type": "Gemm",
            "equation": "O[b][k]+=I[b][c]*W[c][k]",
            "dimension_relations": [],
            "loop_dims": ["B", "C", "K"],
            "loop_sizes": [layer["m"], layer["k"], layer["n"]],
            "operand_precision": precision,
            "operand_source": {"I": 0, "W": 0},
        }
        for objective in OBJECTIVES:
            begin, busy = time.perf_counter(), time.process_time()
            with tempfile.TemporaryDirectory() as folder:
                energy, cycles, every = get_hardware_performance_zigzag(
                    [gemm],
                    str(inputs / "hardware" / "tpu_like.yaml"),
                    str(inputs / "mapping" / "tpu_like.yaml"),
                    opt=objective,
                    dump_folder=folder,
                    lpf_limit=6,
                    loma_show_progress_bar=False,
                )
            took = {"wall_s": time.perf_counter() - begin, "cpu_s": time.process_time() - busy}
            best = every[0][1][0][0]
            found["rows"].append({**layer, "objective": objective, **_zigzag_row(best, cycles, energy), **took})
            save()


def _zigzag_row(best: Any, cycles: float, energy: float) -> dict[str, Any]:
    levels: dict[str, dict[str, dict[str, int]]] = {}
    for operand, accesses in best.memory_word_access.items():
        for place, words in enumerate(accesses):
            memory = best.accelerator.get_memory_level(best.memory_operand_links.layer_to_mem_op(operand), place)
            moved = {}
            for direction, count in words.data.items():
                wide = memory.get_max_bandwidth(best.memory_operand_links.layer_to_mem_op(operand), direction)
                if count:
                    moved[str(direction.name)] = count * wide // 8
            levels.setdefault(memory.memory_instance.name, {})[str(operand)] = moved
    return {
        "cycles": cycles,
        "terms": {
            "ideal": best.ideal_temporal_cycle,
            "stalls": best.stall_slack_comb,
            "onloading": best.data_onloading_cycle,
            "offloading": best.data_offloading_cycle,
            "drain": best.systolic_drain_cycle,
        },
        "bytes": levels,
        "energy_pj": energy,
        "mapping": str(best.temporal_mapping),
    }


# --------------------------------------------------------------------------------------------------------- AccelForge


def accelforge(found: dict[str, Any], save: Callable[[], None], machine: str, examples: Path) -> None:
    """An example of the source distribution, as `MACHINES` has it."""
    import accelforge as package
    from accelforge.mapper.FFM.mappings import Mappings

    # Every search ends with a picture of its mapping by Graphviz, which nothing here needs.
    Mappings.render = lambda *_, **__: ""
    package.set_n_parallel_jobs(1)
    asked = MACHINES[machine]
    arch = examples.resolve() / "arches" / f"{asked.arch}.yaml"
    found["values"], found["options"] = asked.values, asked.options
    for layer in layers():
        if layer["model"] not in asked.models or layer["m"] not in asked.tokens:
            continue
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            Path("layer.yaml").write_text(_EINSUM.format(**layer), encoding="utf-8")
            spec = package.Spec.from_yaml(str(arch), "layer.yaml", jinja_parse_data=asked.values)
            spec.mapper.metrics = getattr(package.mapper.Metrics, asked.objective.upper())
            for name, value in asked.options.items():
                setattr(spec.mapper, name, value)
            begin, busy = time.perf_counter(), time.process_time()
            best = spec.map_workload_to_arch(print_progress=False)[0]
        took = {"wall_s": time.perf_counter() - begin, "cpu_s": time.process_time() - busy}
        found["rows"].append({**layer, "objective": asked.objective, **_accelforge_row(best), **took})
        save()


@dataclass(frozen=True)
class Machine:
    """An example: values of its parameters (energy of a bit, bits of the buffer), options of the mapper, objective; the
    models and tokens of layers that are tried.
    """

    arch: str
    objective: str
    values: dict[str, int] = field(default_factory=dict)
    options: dict[str, bool] = field(default_factory=dict)
    models: tuple[str, ...] = tuple(LAYERS)
    tokens: tuple[int, ...] = TOKENS


MACHINES = {
    "simple": Machine("simple", "energy", {"MainMemoryEnergy": 100, "GlobalBufferSize": 1 << 20}),
    "tpu_v4i": Machine("tpu_v4i", "latency"),
    "tpu_v4i_any_block": Machine(
        "tpu_v4i",
        "latency",
        options={"explore_imperfect_spatial_loops": True},
        models=("smollm2-135m",),
        tokens=(512,),
    ),
}
_EINSUM = """
workload:
  iteration_space_shape:
    m: 0 <= m < {m}
    n: 0 <= n < {n}
    k: 0 <= k < {k}
  bits_per_value: {{All: 8}}
  einsums:
  - name: Layer
    tensor_accesses:
    - {{name: acts, projection: [m, k]}}
    - {{name: weights, projection: [k, n]}}
    - {{name: results, projection: [m, n], output: True}}
    renames: {{weight: weights, input: acts, output: results}}
"""


def _accelforge_row(best: Any) -> dict[str, Any]:
    levels: dict[str, dict[str, dict[str, float]]] = {}
    for (component, tensor, action), bits in best.actions(per_tensor=True).items():
        if tensor in ("acts", "weights", "results") and bits:
            levels.setdefault(component, {}).setdefault(tensor, {})[action] = float(bits) / 8
    return {
        "latency_s": float(best.latency()),
        "terms": {name: float(value) for name, value in best.latency(per_component=True).items()},
        "bytes": levels,
        "energy_j": float(best.energy()),
        "mapping": "; ".join(node.compact_str() for node in best.mapping().nodes),
    }


def main() -> None:
    """Run one peer and write what it gave, layer by layer."""
    peers = ("zigzag", *(f"accelforge_{name}" for name in MACHINES))
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("peer", choices=peers)
    asked.add_argument("--out", type=Path, help="file to write in place of the committed one")
    asked.add_argument("--examples", type=Path, help="AccelForge's examples, of its source distribution")
    given = asked.parse_args()
    if given.peer != "zigzag" and given.examples is None:
        asked.error("AccelForge needs --examples, as its wheel has none")
    package = "zigzag-dse" if given.peer == "zigzag" else "accelforge"
    out = given.out or RESULTS / f"system_mappers_{given.peer}.json"
    found: dict[str, Any] = {
        "command": f"python tools/mapper_peers.py {given.peer}",
        "package": f"{package} {version(package)}",
        "python": platform.python_version(),
        "rows": [],
    }

    def save() -> None:
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"{len(found['rows'])} rows", file=sys.stderr, flush=True)

    if given.peer == "zigzag":
        zigzag(found, save)
    else:
        accelforge(found, save, given.peer.removeprefix("accelforge_"), given.examples)


if __name__ == "__main__":
    main()
