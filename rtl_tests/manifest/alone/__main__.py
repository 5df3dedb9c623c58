"""Drive a tile from its manifest alone: ``python -E -S alone MANIFEST VERILOG SEED FOLDER IVERILOG VVP``.

Nothing of the project is imported: random codes are packed, results are computed and cycles are counted as the manifest
says, and compared with what Icarus Verilog makes of the Verilog. Prints one line, PASS or FAIL.
"""

from __future__ import annotations

import json
import random
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

from arith import Manifest, Step, Sums, aligned, group_sums, post_results
from codes import FP32, decode, finite
from pack import elements_of, side_by_side
from simulate import Cycle, clocked, simulate

_GROUPS = 7
_LONGEST = 5


class Mismatch(Exception):
    """Where the tile is not what the manifest says."""


# ---------------------------------------------------------------------- stimuli


def _random_code(enc: Manifest, rng: random.Random) -> int:
    """Any code; of floating point mostly middling ones, of everything sometimes the ends."""
    bits = enc["bits"]
    # Infinity and NaN, at the ends of floating-point codes, hide what else is in a sum.
    if rng.random() < (0.03 if enc["kind"] == "float" and enc["bits"] > 4 else 0.15):
        return rng.choice([0, (1 << bits) - 1, 1 << (bits - 1), (1 << (bits - 1)) - 1, 1, (1 << bits) - 2])
    if enc["kind"] == "posit" and rng.random() < 0.95:
        code = rng.getrandbits(bits)
        return code if code != enc["nar"] else 1
    if enc["kind"] == "float" and enc["exponent_bits"] > 3 and rng.random() < 0.85:
        middle = enc["bias"] + rng.randint(-4, 4)
        exponent = min(max(middle, 0), (1 << enc["exponent_bits"]) - 2)
        sign = rng.getrandbits(1) << (bits - 1) if enc["sign_bit"] else 0
        return (
            sign
            | exponent << enc["mantissa_bits"]
            | rng.getrandbits(max(enc["mantissa_bits"], 1)) & ((1 << enc["mantissa_bits"]) - 1)
        )
    return rng.getrandbits(bits)


def _side_code(manifest: Manifest, port: Manifest, rng: random.Random) -> int:
    if "values" in port:
        values = port["values"]
        return rng.randrange(values["start"], values["stop"], values["step"])
    enc = manifest["encodings"].get(port.get("encoding", ""))
    if enc is None:
        return rng.getrandbits(port["packing"]["element_bits"])
    if enc["kind"] == "sign_magnitude":
        magnitudes = [value for value in range(1 << (enc["bits"] - 1)) if value.bit_count() <= enc["most_ones"]]
        return rng.choice(magnitudes) | rng.getrandbits(1) << (enc["bits"] - 1)
    return _random_code(enc, rng)


def _group(manifest: Manifest, mode: int, rng: random.Random, longest: int) -> list[Step]:
    """Steps of one group."""
    ports = {port["name"]: port for port in manifest["ports"]}
    sides = [port for port in manifest["ports"] if port["role"] in ("row_side", "col_side")]
    operands = manifest["operands"][mode]
    changes = manifest["arithmetic"][mode].get("weights", {}).get("rule") == "dequantised"
    constant = {port["name"]: [_side_code(manifest, port, rng) for _ in range(port["packing"]["shape"][0])]
                for port in sides}  # fmt: skip
    steps = []
    for _ in range(rng.randint(1, longest)):
        step: Step = dict(constant)
        if changes:
            step |= {port["name"]: [_side_code(manifest, port, rng) for _ in range(port["packing"]["shape"][0])]
                     for port in sides}  # fmt: skip
        for role in ("acts", "weights"):
            enc = manifest["encodings"][operands[role]["encoding"]]
            count = operands[role]["codes_per_step"]
            rows = ports[f"i_{role}"]["packing"]["shape"][0]
            step[role] = [[_random_code(enc, rng) for _ in range(count)] for _ in range(rows)]
        steps.append(step)
    return steps


def _words(manifest: Manifest, mode: int, step: Step, rng: random.Random) -> dict[str, int]:
    """Words of the data ports."""
    found = {}
    for port in manifest["ports"]:
        name, role = port["name"], port["role"]
        if role in ("acts", "weights"):
            rows, size = port["packing"]["shape"]
            bits = port["packing"]["element_bits"]
            values = []
            for row in range(rows):
                elements = elements_of(manifest, role, mode, step[role][row], bits, rng)
                assert len(elements) == size, f"{name}: {len(elements)} elements, the port has {size}"
                values += elements
            found[name] = side_by_side(values, bits)
        elif role in ("row_side", "col_side"):
            found[name] = side_by_side(step[name], port["packing"]["element_bits"])
    return found


# ---------------------------------------------------------------------- run and compare


class Plan:
    """Steps with their words, idle cycles, and what must come when."""

    def __init__(self, manifest: Manifest, seed: int) -> None:
        self.manifest = manifest
        self.rng = random.Random(seed)
        self.words: list[dict[str, int]] = []
        self.idle: list[int] = []
        self.accepted: list[int] = []
        self.beats: list[tuple[int, dict[str, Any]]] = []
        self._cycle, self._ended, self._folding = -1, -(1 << 30), 0
        self._pending: list[tuple[Step, Sums]] = []
        for mode in range(len(manifest["modes"])):
            for number in range(_GROUPS):
                self._add_group(mode, done=number == _GROUPS - 1 or self.rng.random() < 0.5)

    def _add_group(self, mode: int, *, done: bool) -> None:
        manifest, rng = self.manifest, self.rng
        accumulator = manifest["arithmetic"][mode].get("accumulator", {})
        depth = accumulator.get("depth", 1 << 20)
        longest = max(1, min(_LONGEST, depth // manifest["modes"][mode]["k"]))
        if accumulator.get("overflow", "refuse") != "refuse":
            # Beyond the ends.
            longest = 4 * _LONGEST
        steps = _group(manifest, mode, rng, longest)
        sums = group_sums(manifest, mode, steps)
        self._pending.append((steps[-1], sums))
        timing = manifest["timing"]
        for index, step in enumerate(steps):
            last = index == len(steps) - 1
            idle = rng.randint(0, 4) if rng.random() < 0.3 and self.words else 0
            words = {**_words(manifest, mode, step, rng), "i_first": int(index == 0), "i_last": int(last)}
            self.words.append(words | {"i_mode": mode, "i_done": int(done and last)})
            self.idle.append(idle)
            busy = max(manifest["modes"][mode]["cycles_per_step"], timing["interval"])
            self._cycle += max(idle, self._folding) + busy
            self._folding = timing["fold_cycles"] if last else 0
            if last and manifest["post"]:
                self._cycle = max(self._cycle, self._ended + timing["post_cycles"])
                self._ended = self._cycle
            self.accepted.append(self._cycle)
        self._expect(sums, done=done, latency=manifest["modes"][mode]["latency"])

    def _expect(self, sums: Sums, *, done: bool, latency: int) -> None:
        timing = self.manifest["timing"]
        if not self.manifest["post"]:
            self.beats.append((self._cycle + latency, {"o_sums": sums.words, "o_row_sums": sums.rows}))
            return
        if done:
            results = post_results(self.manifest, self._pending)
            first = self._cycle + latency + timing["post_latency"]
            each = len(results) // timing["post_beats"]
            for beat in range(timing["post_beats"]):
                self.beats.append((first + beat, {"o_y": results[beat * each : (beat + 1) * each]}))
            self._pending = []


def _element(manifest: Manifest, cycles: list[Cycle], name: str, index: tuple[int, ...], valid: int) -> int:
    """Element of an output that belongs to ``o_valid`` in cycle ``valid``."""
    port = next(port for port in manifest["ports"] if port["name"] == name)
    late = {"m": index[0], "m+n": sum(index[:2])}.get(port.get("delay_cycles", ""), 0)
    flat = 0
    for extent, place in zip(port["packing"]["shape"], index, strict=True):
        flat = flat * extent + place
    bits = port["packing"]["element_bits"]
    return _bits(cycles[valid + late].outputs[name], flat, bits, f"{name}{list(index)} in cycle {valid + late}")


def _bits(word: str, index: int, bits: int, what: str) -> int:
    """Element ``index`` of a word of binary digits."""
    end = len(word) - index * bits
    digits = word[end - bits : end]
    if set(digits) - {"0", "1"}:
        raise Mismatch(f"{what} is unknown: {digits}")
    return int(digits, 2)


def _compare(
    manifest: Manifest, cycles: list[Cycle], place: tuple[int, int], name: str, index: tuple[int, ...], want: int
) -> None:
    """Compare an element of beat ``place[0]``, whose ``o_valid`` is in cycle ``place[1]``."""
    bits = next(port for port in manifest["ports"] if port["name"] == name)["packing"]["element_bits"]
    got = _element(manifest, cycles, name, index, place[1])
    want &= (1 << bits) - 1
    if got != want:
        raise Mismatch(f"beat {place[0]}, {name}{list(index)}: got {got:#x}, the manifest says {want:#x}")


def check_tile(manifest: Manifest, verilog: str, seed: int, folder: Path, tools: tuple[str, str]) -> str:
    """Run the tile; returns how much was compared. Raises `Mismatch` for the first difference."""
    plan = Plan(manifest, seed)
    names = [port["name"] for port in manifest["ports"]]
    steps = [{name: word for name, word in step.items() if name in names} for step in plan.words]
    # A tile of no use shows in time: what is late is looked for a little longer.
    until = plan.beats[-1][0] + manifest["timing"]["skew"] + 40
    cycles = simulate(manifest, verilog, steps, plan.idle, until, folder, tools)
    accepted = [number for number, cycle in enumerate(cycles) if cycle.accepted]
    if accepted != plan.accepted:
        raise Mismatch(f"steps were accepted in cycles {accepted[:8]}, the manifest says {plan.accepted[:8]}")
    valid = [number for number, cycle in enumerate(cycles) if cycle.valid]
    if valid != [at for at, _ in plan.beats]:
        raise Mismatch(f"beats came in cycles {valid[:8]}, the manifest says {[at for at, _ in plan.beats][:8]}")
    count = 0
    for beat, (at, wanted) in enumerate(plan.beats):
        for name, values in wanted.items():
            if name not in names:
                continue
            for index, value in _flat(values):
                _compare(manifest, cycles, (beat, at), name, index, value)
                count += 1
    return f"{len(plan.beats)} beats, {count} values, {len(accepted)} steps"


def _flat(values: Any, index: tuple[int, ...] = ()) -> list[tuple[tuple[int, ...], int]]:
    if not isinstance(values, list):
        return [(index, values)]
    return [pair for place, value in enumerate(values) for pair in _flat(value, (*index, place))]


def check_correction(manifest: Manifest, seed: int) -> str:
    """Whether corrected sums are the sums of activations times (weight - zero point), for exact tiles."""
    rule = manifest["correction"]
    if rule is None or manifest["arithmetic"][0].get("entries", {"rule": "exact"})["rule"] != "exact":
        return ""
    rng = random.Random(seed)
    points = rule["zero_point"]
    operands = manifest["operands"][0]
    acts_rule = manifest["arithmetic"][0]["acts"]
    encodings = manifest["encodings"]
    weights_enc = encodings[operands["weights"]["encoding"]]
    for _ in range(6):
        steps = _group(manifest, 0, rng, 1)
        sums = group_sums(manifest, 0, steps)
        for m, codes in enumerate(steps[0]["acts"]):
            acts = [finite(encodings[acts_rule["encoding"]], code) for code in codes]
            if acts_rule["rule"] != "encoding":
                ints, shift = aligned(encodings[acts_rule["encoding"]], codes, acts_rule)
                acts = [value * Fraction(2) ** (shift + rule["row_sum_unit_exp"]) for value in ints]
            elif acts_rule["unit_exp"] != rule["row_sum_unit_exp"]:
                acts = [value * Fraction(2) ** (rule["row_sum_unit_exp"] - acts_rule["unit_exp"]) for value in acts]
            for n, weights in enumerate(steps[0]["weights"]):
                point = points.get("constant")
                low, stop, step = points["values"]
                value = rng.randrange(low, stop, step)
                if point is None:
                    z = Fraction(value - points["plus"], points["times"])
                else:
                    z, value = Fraction(0), points["times"] * point + points["plus"]
                wanted = sum(
                    (a * (finite(weights_enc, w) - z) for a, w in zip(acts, weights, strict=True)), Fraction(0)
                )
                got = (sums.words[m][n][0] - value * sums.rows[m]) * Fraction(2) ** manifest["formats"]["sum_lsb_exp"]
                if got != wanted:
                    raise Mismatch(f"correction: {got} of sums[{m}][{n}], the wanted sum is {wanted}")
    return ", correction"


# ---------------------------------------------------------------------- the block before the buffer


def check_pre(manifest: Manifest, verilog: str, seed: int, folder: Path, tools: tuple[str, str]) -> str:
    """Run the block before the activation buffer, where there is one."""
    pre = manifest.get("pre")
    if pre is None:
        return ""
    rng = random.Random(seed)
    rule = pre["arithmetic"]
    enc, align = manifest["encodings"][rule["source"]], rule["align"]
    ports = {port["name"]: port for port in pre["ports"]}
    rows, width = ports["i_acts"]["packing"]["shape"]
    shape, bits = ports["o_acts"]["packing"]["shape"], ports["o_acts"]["packing"]["element_bits"]
    steps, want = [], []
    for _ in range(5):
        beats = align["elements"] // width if align and align["elements"] else rng.randint(1, 4)
        codes = [[[_random_code(enc, rng) for _ in range(width)] for _ in range(rows)] for _ in range(beats)]
        packed = [side_by_side([code for row in beat for code in row], enc["bits"]) for beat in codes]
        ints, scales = _scope(manifest, align, enc, codes)
        for number in range(pre["timing"]["passes"]):
            looking = number == 0 and pre["timing"]["passes"] == 2
            for index, word in enumerate(packed):
                step = {"i_acts": word, "i_observe": int(looking), "i_first": int(looking and index == 0)}
                steps.append({name: value for name, value in step.items() if name in ports})
                want.append(None if looking else (ints[index], scales))
    idle = [rng.randint(0, 2) if steps and rng.random() < 0.3 else 0 for _ in steps]
    idle[0] = 0
    module = {"top": pre["top"], "ports": pre["ports"], "reset": manifest["reset"]}
    total = sum(idle) + len(steps) + 10
    cycles = simulate(module, verilog, steps, idle, total, folder, tools)
    taken = [number for number, cycle in enumerate(cycles) if cycle.accepted]
    latency = pre["timing"]["latency"]
    expected = [(at + latency, beat) for at, beat in zip(taken, want, strict=True) if beat is not None]
    if [number for number, cycle in enumerate(cycles) if cycle.valid] != [at for at, _ in expected]:
        raise Mismatch("pre: beats did not come when the manifest says")
    floats = manifest["arithmetic"][0]["kind"] == "fp32_planes"
    for at, (beat, scales) in expected:
        values = []
        for row in beat:
            elements = elements_of(manifest, "acts", 0, row, bits, rng)
            assert len(elements) == shape[1]
            values += elements
        words = cycles[at].outputs
        for index, value in enumerate(values):
            got = _bits(words["o_acts"], index, bits, f"pre: o_acts[{index}] in cycle {at}")
            if got != value & ((1 << bits) - 1) and not (floats and _both_nan(got, value)):
                raise Mismatch(f"pre: o_acts[{index}] in cycle {at}: got {got:#x}, the manifest says {value:#x}")
        for index, value in enumerate(scales):
            if _bits(words["o_scale"], index, 8, f"pre: o_scale[{index}]") != value:
                raise Mismatch(f"pre: o_scale[{index}] in cycle {at}, the manifest says {value:#x}")
    return f", pre {len(expected)} beats"


def _both_nan(a: int, b: int) -> bool:
    """Entries of one NaN may be any NaN."""
    return decode(FP32, a).special == decode(FP32, b).special == "nan"


def _scope(manifest: Manifest, align: Manifest | None, enc: Manifest, codes: list[Any]) -> tuple[list[Any], list[int]]:
    """Codes [beats][M][K] that enter the tile, and the scale of each row."""
    if align is None:
        return codes, []
    target = manifest["encodings"][manifest["pre"]["arithmetic"]["target"]]
    width = len(codes[0][0])
    scales, rows = [], []
    for row in range(len(codes[0])):
        ints, below = aligned(enc, [code for beat in codes for code in beat[row]], align)
        scales.append(below + 1 - enc["bias"] + 127)
        words = [value & ((1 << target["bits"]) - 1) for value in ints]
        rows.append([words[start : start + width] for start in range(0, len(words), width)])
    return [[row[beat] for row in rows] for beat in range(len(codes))], scales


def check_companions(manifest: Manifest, verilog: str, seed: int, folder: Path, tools: tuple[str, str]) -> str:
    """Run the blocks beside the tile."""
    found = ""
    for companion in manifest.get("companions", {}).values():
        rule = companion["arithmetic"]
        if rule["kind"] != "register file":
            raise Mismatch(f"companion {companion['top']}: kind {rule['kind']} is not known")
        rng = random.Random(seed)
        ports = {port["name"]: port for port in companion["ports"]}
        (count,), bits = ports["selectors"]["packing"]["shape"], ports["selectors"]["packing"]["element_bits"]
        size = ports["value"]["width"]
        most = manifest["encodings"][ports["value"]["encoding"]]["most_ones"]
        entries = [0] * rule["entries"]
        vectors, want = [], []
        for _ in range(60):
            write, address, value = rng.getrandbits(1), rng.randrange(rule["entries"]), rng.getrandbits(size)
            selectors = [rng.randrange(rule["entries"]) for _ in range(count)]
            words = {"write": write, "address": address, "value": value, "selectors": side_by_side(selectors, bits)}
            vectors.append(words)
            error = any((entry & ((1 << (size - 1)) - 1)).bit_count() > most for entry in entries)
            chosen = side_by_side([entries[selector] for selector in selectors], size)
            want.append({"specials": chosen, "error": int(error)})
            if write:
                entries[address] = value
        module = {**companion, "reset": manifest["reset"]}
        for number, (got, wanted) in enumerate(
            zip(clocked(module, verilog, vectors, folder, tools), want, strict=True)
        ):
            if got != wanted:
                raise Mismatch(f"companion {companion['top']}, cycle {number}: got {got}, the manifest says {wanted}")
        found += f", {companion['top']}"
    return found


def main(arguments: list[str]) -> int:
    """Check one tile; 0 where it is what its manifest says."""
    manifest_file, verilog_file, seed, folder, compiler, runner = arguments
    manifest = json.loads(Path(manifest_file).read_text(encoding="utf-8"))
    verilog = Path(verilog_file).read_text(encoding="utf-8")
    tools = compiler, runner
    try:
        done = check_tile(manifest, verilog, int(seed), Path(folder), tools)
        done += check_correction(manifest, int(seed) + 1)
        done += check_companions(manifest, verilog, int(seed) + 3, Path(folder), tools)
        done += check_pre(manifest, verilog, int(seed) + 2, Path(folder), tools)
    except Mismatch as error:
        print(f"FAIL: {manifest['top']}: {error}")
        return 1
    print(f"PASS: {manifest['top']}: {done}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
