"""Workloads: the matrix products of a model and what they are in a prefill, a step of decoding, a generation, a batch
of pictures; from a catalogue, configurations, weight files, ONNX graphs and torch modules.
"""

from __future__ import annotations

from sim.workload.builtin import builtin, builtin_names
from sim.workload.formats import Rule, check_rules, formats_of, parse_rule
from sim.workload.load import load_workload
from sim.workload.operators import Operator, Run, Size
from sim.workload.phases import PHASES, Decode, Generation, Pass, Phase, Prefill, Vision
from sim.workload.workload import Beside, Workload, merged, to_layers

__all__ = [
    "PHASES",
    "Beside",
    "Decode",
    "Generation",
    "Operator",
    "Pass",
    "Phase",
    "Prefill",
    "Rule",
    "Run",
    "Size",
    "Vision",
    "Workload",
    "builtin",
    "builtin_names",
    "check_rules",
    "formats_of",
    "load_workload",
    "merged",
    "parse_rule",
    "to_layers",
]
