"""All that is to be proved of an emitted tile, each with the sentence that it stands for."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from hwgen.errors import HwgenError
from hwgen.prove.companions import companion_claims, companion_proved
from hwgen.prove.control import CLAIMED, CLAIMS, Control
from hwgen.prove.cycles import METHOD, RANGE_METHOD, SOLVER, CycleProver, cycles_sentence, range_sentence, term_range
from hwgen.prove.netlist import Bit, Netlist, read_verilog
from hwgen.prove.post import Post
from hwgen.prove.pre import PRE_CLAIMS, pre_proved
from hwgen.prove.quire import QuireProver, quire_range
from hwgen.prove.reference import UnknownError, lane_table, products_of_lane, row_table
from hwgen.prove.stream import STREAM_CLAIMS, Wrapper, steps_bound, wrapper_netlist
from hwgen.prove.tile import Counterexample, Found, Step, SumProver, Sums, sums_of
from hwgen.prove.unroll import deep

__all__ = ["Obligation", "Result", "Subject"]

Manifest = Mapping[str, Any]

_ALGEBRA = "rewriting to lanes, each lane exhaustively"
_PDR = "property-directed reachability"
_FREE_BITS = 6
_EXACT = {"dot", "planes", "plane_pairs", "lmul", "roots", "terms"}
"""Arithmetic whose sums are whole numbers."""


@dataclass(frozen=True)
class Result:
    """``status`` proved, refuted or open; ``seconds`` of wall time; ``detail`` what is open, or how large it was."""

    status: str
    seconds: float = 0.0
    detail: str = ""
    counterexample: Counterexample | None = None


@dataclass(frozen=True)
class Obligation:
    """``name``, the blocks it is about, what it says, and how it is proved.

    ``run`` proves it within so many seconds; without it it is open, and ``why`` says so.
    """

    name: str
    blocks: tuple[str, ...]
    sentence: str
    method: str
    solver: str
    run: Callable[[float], Result] | None
    why: str = ""

    def proved(self, seconds: float) -> Result:
        """What becomes of it within so many seconds."""
        if self.run is None:
            return Result("open", detail=self.why)
        if seconds <= 0:
            return Result("open", detail="not begun: the time limit was over")
        begun = time.monotonic()
        try:
            with deep():
                found = self.run(seconds)
        except (UnknownError, HwgenError) as error:
            # A missing compiler, or a cell of which nothing is known: the others may be proved all the same.
            found = Result("open", detail=str(error))
        return replace(found, seconds=time.monotonic() - begun)


class Subject:
    """A Verilog text read back, with the manifest that says what it is to be."""

    def __init__(self, verilog: str, manifest: Manifest) -> None:
        self.verilog, self.manifest = verilog, manifest
        self.netlist: Netlist = read_verilog(verilog, manifest["top"])
        self._zero: set[Bit] = set()

    @cached_property
    def control(self) -> Control:
        """The control with counters beside it."""
        return Control(self.netlist, self.manifest)

    def with_netlist(self, netlist: Netlist) -> Subject:
        """The same with another netlist: a fault, say."""
        other = object.__new__(Subject)
        other.verilog, other.manifest, other.netlist, other._zero = self.verilog, self.manifest, netlist, set()
        return other

    # ------------------------------------------------------------------ the list

    def obligations(self) -> list[Obligation]:
        """All of them, in the order in which they are proved."""
        return [*self._control(), *self._steps(), *self._ranges(), *self._lanes(), *self._blocks_beside()]

    def _control(self) -> Iterator[Obligation]:
        for name, sentence in CLAIMS.items():
            if name not in self.control.bad:
                continue
            yield Obligation(f"control.{name}", ("control",), sentence, _PDR, "ABC pdr", partial(self._claim, name))
        if self.control.looping:
            yield Obligation(
                "control.begin",
                ("control",),
                f"of the {len(self.control.looping)} bits of state that decide when a step is taken, those that the "
                "steps below rely on are 0 when a step begins",
                _PDR,
                "ABC pdr",
                self._begin,
            )

    def _claim(self, name: str, seconds: float) -> Result:
        verdict = self.control.decide(name, seconds)
        if verdict.proved:
            return Result("proved", detail=f"{len(self.control.latches)} registers, all cycles")
        if not verdict.broken:
            return Result("open", detail=str(verdict))
        if name not in CLAIMED or not verdict.inputs:
            return Result("refuted", detail=str(verdict))
        words, value = self.control.example(name, verdict)
        example = Counterexample(words, CLAIMED[name], 0, 0, verdict.depth, 0, "", value, 1 - value)
        return Result("refuted", detail=str(verdict), counterexample=example)

    def _begin(self, seconds: float) -> Result:
        until = time.monotonic() + seconds
        waits = 0
        for bit in self.control.looping:
            verdict = self.control.zero_at_begin(bit, max(until - time.monotonic(), 1))
            if verdict.proved:
                self._zero.add(bit)
            elif not verdict.broken:
                return Result("open", detail=f"a bit of {len(self.control.looping)}: {verdict}")
            else:
                waits += 1
        return Result("proved", detail=f"{len(self._zero)} bits are 0, {waits} may be anything")

    # ------------------------------------------------------------------ sums

    def _sums(self) -> list[tuple[bool, Sums]]:
        found = [(rows, sums_of(self.netlist, self.manifest, rows)) for rows in (False, True)]
        return [(rows, sums) for rows, sums in found if sums is not None]

    def _steps(self) -> Iterator[Obligation]:
        blocks = {False: ("row", "col", "cell", "control"), True: ("row", "rowsum", "control")}
        for at, mode in enumerate(self.manifest["modes"]):
            suffix = "" if len(self.manifest["modes"]) == 1 else f".{mode['name']}"
            for rows, sums in self._sums():
                what = "activations" if rows else "products of activations and weights, by the formats' definitions,"
                name = f"step.{'row_sums' if rows else 'sums'}{suffix}"
                if self._by_cycles(at):
                    run = partial(self._step, at, rows, sums)
                    sentence = cycles_sentence(mode, len(sums.elements))
                    yield Obligation(name, blocks[rows], sentence, METHOD, SOLVER, run)
                    continue
                whatever = self._whatever(at)
                yield Obligation(
                    name,
                    blocks[rows],
                    f"a step adds the {what} to each of {len(sums.elements)} sums, exactly, {whatever}, "
                    f"{mode['latency']} cycles later, after clearing them with i_first, whatever the state of the "
                    "control; nothing before or after it has a part in that, and cycles in which it waits add "
                    "nothing",
                    _ALGEBRA,
                    "hwgen",
                    partial(self._step, at, rows, sums),
                )
        for rows, sums in self._sums():
            yield Obligation(
                f"idle.{'row_sums' if rows else 'sums'}",
                blocks[rows],
                f"a cycle in which none is offered leaves each of {len(sums.elements)} sums as it is",
                _ALGEBRA,
                "hwgen",
                partial(self._idle, rows, sums),
            )

    def _whatever(self, mode: int) -> str:
        """Of which sums a step's sentence is."""
        rule = self.manifest["arithmetic"][mode]
        if rule["kind"] != "quire":
            return "whatever these are"
        found = f"whatever these are, in groups of one mode and at most {rule['accumulator']['depth']} products"
        return found if rule["nar"] is None else f"{found} (they are NaR, {rule['nar']}, once an operand was)"

    def _prover(self, step: Step, sums: Sums, rows: bool) -> SumProver | CycleProver | QuireProver:
        if self.manifest["arithmetic"][step.mode]["kind"] == "quire":
            return QuireProver(step, sums)
        prover = CycleProver if self._by_cycles(step.mode) and not step.idle else SumProver
        return prover(step, sums, rows)

    def _zeros(self) -> dict[Bit, int | None]:
        """Registers of the control when a step begins: 0, or anything."""
        if self.control.looping and not self._zero:
            self._begin(60)
        return {bit: 0 if bit in self._zero else None for bit in self.control.looping}

    def _windows(self, mode: int) -> Iterator[Step]:
        """A step in all states of the control in which it may begin, each with the cycles that it takes there.

        Raises `UnknownError` where these are not found.
        """
        state = self._zeros()
        free = [bit for bit, value in state.items() if value is None]
        for last in (0, 1) if free else (None,):
            step = Step(self.netlist, self.manifest, mode, state=state, last=last)
            if step.settled():
                yield step
                continue
            if not free or len(free) > _FREE_BITS:
                raise UnknownError("steps whose end depends on more than a few registers of the control")
            for values in itertools.product((0, 1), repeat=len(free)):
                own = {**state, **dict(zip(free, values, strict=True))}
                step = Step(self.netlist, self.manifest, mode, state=own, last=last)
                if not step.settled():
                    raise UnknownError("steps whose end depends on more than the control")
                yield step

    def _step(self, mode: int, rows: bool, sums: Sums, seconds: float) -> Result:
        until = time.monotonic() + seconds
        lemmas = cases = 0
        for step in self._windows(mode):
            found, lemmas = self._each(self._prover(step, sums, rows), sums, until, lemmas)
            if found is not None:
                return found
            cases += 1
        detail = f"{len(sums.elements)} sums of {len(sums.elements[0])} bits"
        detail += f", {lemmas} lemmas" if lemmas else ""
        return Result("proved", detail=detail if cases == 1 else f"{detail}, {cases} states of the control")

    def _idle(self, rows: bool, sums: Sums, seconds: float) -> Result:
        kinds = {rule["kind"] for rule in self.manifest["arithmetic"]}
        if kinds - _EXACT and kinds != {"quire"}:
            raise UnknownError(f"arithmetic of kind {', '.join(sorted(map(repr, kinds)))}")
        if any(rule.get("accumulator", {}).get("partials", 1) > 1 for rule in self.manifest["arithmetic"]):
            raise UnknownError("several partial sums in turn")
        step = Step(self.netlist, self.manifest, 0, idle=True)
        found, _ = self._each(self._prover(step, sums, rows), sums, time.monotonic() + seconds, 0)
        return found or Result("proved", detail=f"{len(sums.elements)} sums of {len(sums.elements[0])} bits")

    def _by_cycles(self, mode: int) -> bool:
        """Whether each cycle of a step changes sums by a rule of its own."""
        return "step" in self.manifest["arithmetic"][mode]

    def _each(
        self, prover: SumProver | CycleProver | QuireProver, sums: Sums, until: float, lemmas: int
    ) -> tuple[Result | None, int]:
        """What stops the proof of all sums, or None, and the number of lemmas."""
        proved = 0
        for index in self._order(len(sums.elements)):
            found: Found = prover.prove(index, until - time.monotonic())
            if not found.proved:
                where = f"{sums.name}[{index}]: {found.why}"
                if found.counterexample is not None:
                    return Result("refuted", detail=where, counterexample=found.counterexample), lemmas
                return Result("open", detail=f"{where}; {proved} of {len(sums.elements)} sums are proved"), lemmas
            proved, lemmas = proved + 1, lemmas + found.lemmas
        return None, lemmas

    def _order(self, count: int) -> Sequence[int]:
        return range(count)

    # ------------------------------------------------------------------ bounds

    def _ranges(self) -> Iterator[Obligation]:
        for rows, sums in self._sums():
            rule = self.manifest["arithmetic"][0].get("accumulator", {})
            if self._by_cycles(0) and ("mantissa_bits" in rule or rule["overflow"] == "refuse"):
                run = partial(self._term_range, sums)
                yield Obligation("range.sums", ("cell",), range_sentence(rule), RANGE_METHOD, "hwgen", run)
                continue
            if "depth" not in rule or rule.get("overflow") != "refuse":
                continue
            yield Obligation(
                f"range.{'row_sums' if rows else 'sums'}",
                ("rowsum",) if rows else ("cell",),
                f"no group of at most {rule['depth']} products a sum leaves its {len(sums.elements[0])} bits",
                "bounds of all products, exhaustively",
                "hwgen",
                partial(self._range, rows, sums, rule["depth"]),
            )

    def _range(self, rows: bool, sums: Sums, depth: int, seconds: float) -> Result:
        bits = len(sums.elements[0])
        if self.manifest["arithmetic"][0]["kind"] == "quire":
            fits, detail = quire_range(self.manifest, bits)
            return Result("proved" if fits else "refuted", detail=detail)
        low = high = 0
        for mode in range(len(self.manifest["modes"])):
            table = row_table(self.manifest, mode) if rows else lane_table(self.manifest, mode)
            # A step takes whole codes, each of which has so many of the products.
            lanes = -(-depth // products_of_lane(self.manifest, mode))
            low, high = min(low, lanes * int(table.min())), max(high, lanes * int(table.max()))
        fits = -(1 << bits - 1) <= low and high < 1 << bits - 1
        return Result("proved" if fits else "refuted", detail=f"{low} to {high}")

    def _term_range(self, sums: Sums, seconds: float) -> Result:
        status, detail = term_range(self.manifest, len(sums.elements[0]))
        return Result(status, detail=detail)

    # ------------------------------------------------------------------ post lanes

    def _lanes(self) -> Iterator[Obligation]:
        if self.manifest["post"] is None:
            return
        post = Post(self.verilog, self.manifest, self.netlist)
        rule = self.manifest["post"]
        share = ", less its zero point times its row's sum," if rule.get("zero") else ""
        listed = (
            (
                "post.order",
                "each sum of a group meets the scales of its row and column that came with the group's last step; "
                "what its lane makes of it is added to its own result, which is 0 after a group with i_done; results "
                "leave in order, for groups any number of cycles apart",
                "satisfiability, lanes and adders as any functions",
                "ABC fraig, iprove",
                post.order,
            ),
            (
                "post.lane",
                f"a lane makes of a group's sum{share} and its scales their exact product, rounded once to FP32, "
                f"{rule['rounding']}",
                "words by their shape or satisfiability, the rounding case by case of the leading one; all "
                "inputs where a scale is no floating-point number",
                "ABC fraig, iprove; g++",
                post.lane,
            ),
            (
                "post.adder",
                "an adder adds two FP32 numbers, any two, and rounds once to nearest even (IEEE 754, one NaN)",
                "satisfiability, case by case of the exponents' difference",
                "ABC fraig, iprove",
                post.adder,
            ),
        )
        for name, sentence, method, solver, run in listed:
            yield Obligation(name, ("post",), sentence, method, solver, partial(self._post, post, run))

    @staticmethod
    def _post(post: Post, run: Callable[[float], tuple[str, str]], seconds: float) -> Result:
        post.refuted = None
        status, detail = run(seconds)
        return Result(status, detail=detail, counterexample=post.example())

    # ------------------------------------------------------------------ beside the tile

    def _blocks_beside(self) -> Iterator[Obligation]:
        for name, (sentence, method, solver) in PRE_CLAIMS.items() if self.manifest.get("pre") else ():
            run = partial(self._beside, partial(pre_proved, self.verilog, self.manifest, name))
            yield Obligation(f"pre.{name}", ("pre",), sentence, method, solver, run)
        for name, entry in self.manifest.get("companions", {}).items():
            yield from self._companion(name, entry)
        yield from self._stream()

    def _companion(self, name: str, entry: Manifest) -> Iterator[Obligation]:
        blocks, claims = ("companions",), companion_claims(entry)
        if not claims:
            said, why = entry["summary"], "no proof of a companion of this kind is known here"
            yield Obligation(f"companion.{name}", blocks, said, "none", "none", None, why)
        for claim, sentence in claims.items():
            run = partial(self._beside, partial(companion_proved, self.verilog, self.manifest, name, claim))
            yield Obligation(f"companion.{name}.{claim}", blocks, sentence, _PDR, "ABC pdr", run)

    # ------------------------------------------------------------------ behind AXI4-Stream

    @cached_property
    def wrapper(self) -> Wrapper:
        """The tile behind AXI4-Stream with counters beside it."""
        return Wrapper(wrapper_netlist(self.verilog, self.manifest), self.manifest)

    def _stream(self) -> Iterator[Obligation]:
        if self.manifest.get("axi_stream"):
            bound = steps_bound(self.manifest)
            for name, (sentence, method, solver) in STREAM_CLAIMS.items():
                said = sentence.format(bound=bound)
                run = partial(self._beside, partial(self._wrapped, name))
                yield Obligation(f"stream.{name}", ("axi_stream",), said, method, solver, run)

    def _wrapped(self, name: str, seconds: float) -> tuple[str, str, Counterexample | None]:
        return self.wrapper.proved(name, seconds)

    @staticmethod
    def _beside(run: Callable[[float], tuple[str, str, Counterexample | None]], seconds: float) -> Result:
        """What became of an obligation about a block beside the tile."""
        status, detail, example = run(seconds)
        return Result(status, detail=detail, counterexample=example)
