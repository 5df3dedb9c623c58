"""Print a SHA-256 of the Verilog and manifest of every family's default tile and of random ones.

For changes that are to change none of it:

    python tools/verilog_sums.py --tiles 20 > before.txt
    … the change …
    python tools/verilog_sums.py --tiles 20 | diff before.txt -

Tiles are drawn from all legal values by a seed, so both runs have the same ones.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random

from hwgen.emit import emit
from hwgen.errors import HwgenError
from hwgen.pe import families

MADE_BY = ("generator", "versions", "commit")
"""Parts of a manifest that tell what made it."""
LARGEST = {"m": 4, "n": 8, "k": 16, "group": 4096, "depth": 4096, "post_lanes": 8}
"""Bounds of the parameters that only make tiles larger."""


def drawn(name: str, generator: random.Random) -> dict[str, object]:
    """A legal tile of a family, as parameters; names that the family brings along stay unnamed half of the time."""
    spec = families()[name]
    while True:
        values = {}
        for key, parameter in spec.parameters().items():
            if generator.random() < 0.5:
                continue
            legal = parameter.legal
            if legal is None:
                choices = parameter.sweep or (parameter.default,)
            elif isinstance(legal, tuple):
                choices = legal
            else:
                choices = range(legal.low, min(legal.high, LARGEST.get(key, legal.high)) + 1)
            values[key] = generator.choice(choices)
        try:
            return spec.from_values(values).p
        except HwgenError:
            continue


def main() -> None:
    """Read the arguments and print a line a tile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiles", type=int, default=20, help="random tiles a family")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    for name, spec in families().items():
        generator = random.Random(f"{given.seed} {name}")
        tiles = [spec().p, *(drawn(name, generator) for _ in range(given.tiles))]
        for values in tiles:
            emission = emit(spec(**values))
            about = {key: value for key, value in emission.manifest.items() if key not in MADE_BY}
            text = emission.verilog + json.dumps(about, sort_keys=True)
            print(hashlib.sha256(text.encode()).hexdigest(), name, *(f"{key}={value}" for key, value in values.items()))


if __name__ == "__main__":
    main()
