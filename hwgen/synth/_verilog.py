"""Verilog of anybody's as a part to map: read by Yosys, refused where it cannot be compared with a tile, and flattened.

What is refused is told in one sentence with file and line: what Yosys cannot read, modules and nets that are missing,
latches, several clocks, tri-state nets, loops. Initial values are left out, as they are of tiles: cells have none.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hwgen.errors import HwgenError, suggest
from hwgen.frame.ports import PortInfo
from hwgen.synth._parts import Part
from hwgen.synth._slim import slimmed
from hwgen.synth._yosys import finished
from hwgen.synth.liberty import Library

__all__ = ["Register", "VerilogUnit", "check_registers", "read_unit"]

_WRAPPER = "hwgen_top"
"""Instantiates the unit, so that its parameters are Verilog and keep their types."""

_SIMULATION = "t:$print t:$check t:$assert t:$assume t:$live t:$fair t:$cover"
"""What a unit says to simulators and provers: no hardware."""

_NAME = re.compile(r"[A-Za-z_]\w*")
_ATTRIBUTE = re.compile(r"^ *attribute \\(?!keep |fsm_encoding |ram_style |rom_style )\S+ .*\n", re.M)
"""Attributes that say nothing to mapping: places, and initial values, which cells do not have."""
_PORT = re.compile(r"^ *wire (?:width (\d+) )?(?:upto )?(?:offset \S+ )?(input|output) (\d+) (?:signed )?(\S+)$", re.M)
_FLIP_FLOP = re.compile(r"\$_(S?DFFC?E?|ALDFFE?|DFFSRE?)_([NP])([NP01]*)_")
_PLAIN = re.compile(r"\$_(DFF_P_|DFFE_P[NP]_|SDFFC?E?_P\w+_)")
"""What every library has: a flip-flop at the rising edge; enables and synchronous resets are gates before it."""
_LATCH = re.compile(r"\$_(DLATCH\w*|SR_\w+)")
_TRI_STATE = re.compile(r"^ *connect .*\d'[01xz-]*z|^ *cell \$(?:_TBUF_|tribuf) ", re.M)


@dataclass(frozen=True)
class Register:
    """One kind of flip-flop of a unit, as Yosys names it, with one that is of this kind and its place in the source."""

    kind: str
    name: str
    place: str

    @property
    def what(self) -> str:
        """What it has beside clock and data."""
        match = _FLIP_FLOP.fullmatch(self.kind)
        assert match is not None
        base, _, more = match.groups()
        if base.startswith("ALDFF"):
            return "an asynchronous load"
        if base.startswith("DFFSR"):
            return "an asynchronous set and reset"
        if base.startswith("DFF") and len(more) >= 2:
            return f"an asynchronous {'set' if more[1] == '1' else 'reset'}"
        return "no reset" if base == "DFF" else "an enable or a synchronous reset"


@dataclass(frozen=True)
class VerilogUnit:
    """A module with all that it instantiates as one flat part.

    ``parameters`` are those of the top that were given, as Verilog. ``clock`` is the port that all flip-flops share, or
    None without flip-flops, ``falling`` whether they take its falling edge. ``registers`` is one flip-flop of each
    kind, ``gates`` the RTLIL in which they are found. ``initial`` names registers whose initial values are left out.
    """

    top: str
    files: tuple[Path, ...]
    parameters: dict[str, str]
    part: Part
    ports: tuple[PortInfo, ...]
    clock: str | None
    falling: bool
    registers: tuple[Register, ...]
    gates: str
    initial: tuple[str, ...]

    @property
    def data_ports(self) -> list[PortInfo]:
        """Ports without the clock."""
        return [port for port in self.ports if port.name != self.clock]

    def document(self) -> dict[str, Any]:
        """JSON-serialisable form."""
        return {
            "top": self.top,
            "verilog": [str(path) for path in self.files],
            "parameters": self.parameters,
            "clock": self.clock,
            "clock_edge": None if self.clock is None else "falling" if self.falling else "rising",
            "initial_values_left_out": list(self.initial),
        }


@dataclass(frozen=True)
class _Cell:
    kind: str
    src: str
    connections: Mapping[str, str]
    memory: str = ""

    @property
    def output(self) -> str:
        return _public(self.connections.get("\\Q", ""))


def _public(signal: str) -> str:
    """A net of RTLIL as a person names it: ``\\acc [3]`` as ``acc[3]``."""
    return re.sub(r"\s+\[", "[", signal.replace("\\", "")).strip()


def _cells(text: str) -> Iterator[_Cell]:
    """Cells of RTLIL in which each has a place of its own."""
    src, kind, memory = "", "", ""
    connections: dict[str, str] = {}
    inside = False
    for line in map(str.strip, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "attribute" and not inside:
            src = rest.removeprefix("\\src ").strip('"') if rest.startswith("\\src ") else src
        elif word == "cell":
            inside, kind, memory, connections = True, rest.split(" ")[0], "", {}
        elif inside and rest.startswith("\\MEMID "):
            memory = _public(rest.removeprefix("\\MEMID ").strip('"'))
        elif inside and word == "connect":
            port, _, signal = rest.partition(" ")
            connections[port] = signal
        elif inside and word == "end":
            yield _Cell(kind, src, connections, memory)
            inside, src = False, ""
        elif not inside:
            src = ""


def _wire_places(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for match in re.finditer(r'^ *attribute \\src "(.*)"\n(?: *attribute .*\n)* *wire .*?(\S+)$', text, re.M):
        found[_public(match[2])] = match[1]
    return found


class _Places:
    """Files under names without blanks in a folder, and back: of the sources each folder is linked there.

    Files that include others beside them still find them, and what Yosys names after files does not depend on where
    they are.
    """

    def __init__(self, folder: Path, files: Sequence[Path], include: Sequence[Path]) -> None:
        self._folder = folder
        self._given: dict[str, str] = {}
        self.files = [f"{self._link('d', path.parent)}/{path.name}" for path in files]
        self.include = [self._link("i", path) for path in include]

    def _link(self, letter: str, path: Path) -> str:
        shown = "" if path == Path() else f"{path}/"
        known = {given: name for name, given in self._given.items() if name.startswith(letter)}
        if shown in known:
            return str(self._folder / known[shown])
        name = f"{letter}{len(known)}"
        (self._folder / name).symlink_to(path.resolve(), target_is_directory=True)
        self._given[name] = shown
        return str(self._folder / name)

    def inside(self, text: str) -> str:
        """RTLIL that does not know the folder."""
        return text.replace(f"{self._folder}/", "")

    def said(self, text: str) -> str:
        """Words of Yosys with the files as they were given."""
        return re.sub(r"\b([di]\d+)/", lambda match: self._given.get(match[1], match[0]), self.inside(text)).replace(
            "\\", ""
        )

    def place(self, src: str, default: Path) -> str:
        """File and line of a place in RTLIL: the innermost of several."""
        # Letters beyond ASCII are octal there.
        plain = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), src.encode())
        last = plain.decode(errors="replace").split("|")[-1]
        match = re.fullmatch(r"(.*):(\d+)\.\d+(?:-[\d.]+)?", self.said(last))
        return f"{match[1]}:{match[2]}" if match else str(default)


def _checked(
    files: Sequence[Path], top: str, include: Sequence[Path], defines: Sequence[str], parameters: Mapping[str, str]
) -> None:
    if not files:
        raise HwgenError("synth: at least one Verilog file must be given")
    if not _NAME.fullmatch(top):
        raise HwgenError(f"synth: top must be the name of a module, not {top!r}")
    for path in files:
        if set('"\\\n') & set(path.name):
            raise HwgenError(f"synth: {str(path)!r} must have a name without quotes, backslashes and line breaks")
        try:
            with path.open("rb") as file:
                file.read(1)
        except OSError as error:
            raise HwgenError(f"synth: {path} must be a readable Verilog file ({error.strerror})") from error
    for path in include:
        if not path.is_dir():
            raise HwgenError(f"synth: include must be a folder, not {str(path)!r}")
    for define in defines:
        if not re.fullmatch(r"[A-Za-z_]\w*(=[^\s\"\\;#]*)?", define):
            raise HwgenError(f"synth: define must be NAME or NAME=VALUE without blanks and quotes, not {define!r}")
    for name, value in parameters.items():
        if not _NAME.fullmatch(name) or not value.strip() or not value.isprintable():
            raise HwgenError(f"synth: a parameter must be NAME=VALUE, not '{name}={value}'")


def _script(places: _Places, folder: Path, top: str, defines: Sequence[str]) -> str:
    options = " ".join([*(f"-D{define}" for define in defines), *(f"-I{path}" for path in places.include)])
    sources = " ".join(f'"{name}"' for name in places.files)
    return "\n".join(
        [
            # What is not used is not elaborated.
            f"read_verilog -sv -defer -noblackbox {options} {sources}",
            f"tee -q -o {folder / 'modules'} ls",
            f"read_verilog -sv -defer {folder / _WRAPPER}.sv",
            f"hierarchy -top {_WRAPPER}",
            f"delete {_WRAPPER}",
            "hierarchy -auto-top",
            f"rename -top {top}",
            f"write_rtlil {folder / 'modules.il'}",
            f"hierarchy -check -top {top}",
            "proc",
            "flatten -noscopeinfo",
            f"delete {_SIMULATION}",
            "opt_clean",
            f"tee -q -o {folder / 'check'} check",
            f"write_rtlil {folder / 'unit.il'}",
            # Where all flip-flops are seen, those of memories too.
            "memory",
            "opt_expr",
            "opt_clean",
            "simplemap",
            f"write_rtlil {folder / 'gates.il'}",
            "",
        ]
    )


def _wrapper(top: str, parameters: Mapping[str, str]) -> str:
    given = ", ".join(f".{name}({value})" for name, value in parameters.items())
    return f"module {_WRAPPER};\n{top} {f'#({given}) ' if given else ''}unit();\nendmodule\n"


def read_unit(
    files: Sequence[Path | str],
    top: str,
    *,
    include: Sequence[Path | str] = (),
    defines: Sequence[str] = (),
    parameters: Mapping[str, object] | None = None,
    timeout_s: float = 600.0,
) -> VerilogUnit:
    """Read a unit of one's own.

    Parameters
    ----------
    files: Verilog, or the part of SystemVerilog that Yosys reads, in the order in which macros are defined. top: the
    module. include: folders of included files, beside those of the files. defines: macros, ``NAME`` or ``NAME=VALUE``.
    parameters: of the top, by name; values are numbers or Verilog constants. timeout_s: of reading.

    Raises `HwgenError` for what is refused.
    """
    paths, folders = [Path(path) for path in files], [Path(path) for path in include]
    texts = {name: str(value) for name, value in (parameters or {}).items()}
    _checked(paths, top, folders, defines, texts)
    with tempfile.TemporaryDirectory(prefix="hwgen-verilog-") as name:
        folder = Path(name)
        places = _Places(folder, paths, folders)
        (folder / f"{_WRAPPER}.sv").write_text(_wrapper(top, texts))
        (folder / "script.ys").write_text(_script(places, folder, top, defines))
        # Memories are filled from files beside the user, as simulators do.
        done = finished(folder / "script.ys", top, timeout_s, cwd=Path.cwd())
        if (folder / "modules").exists():
            _check_top(folder / "modules", top, paths)

        def text(name: str) -> str:
            return places.inside((folder / name).read_text(errors="replace"))

        if (folder / "modules.il").exists():
            _check_modules(text("modules.il"), places, paths[0])
        if done.returncode:
            raise HwgenError(f"synth: {_complaint(done.text, places, top, paths[0])}")
        _check_nets(text("unit.il"), (folder / "check").read_text(), places, top, paths[0])
        return _unit(text("unit.il"), text("gates.il"), places, top, tuple(paths), texts)


def _check_top(listed: Path, top: str, files: Sequence[Path]) -> None:
    names = re.findall(r"^ +(?:\$abstract)?\\?([^\s\\]+)$", listed.read_text(), re.M)
    if top not in names:
        shown = ", ".join(str(path) for path in files)
        known = f"must be one of {', '.join(names)}" if names else "must be a module with contents"
        raise HwgenError(f"synth: {shown}: top {known}, not {top!r}{suggest(top, names)}")


_ERROR = re.compile(r"^(?:(\S.*?):(\d+): )?ERROR: ?(.*)$", re.M)


def _complaint(text: str, places: _Places, top: str, first: Path) -> str:
    """What Yosys said, with file and line where it gave them."""
    found = _ERROR.search(text)
    if found is None:
        return f"Yosys must read {top}, but ended without a message"
    file, line, words = found.groups()
    latch = re.match(r"Latch inferred for signal `(\S+)' from always_comb process `\S*\$proc\$(.*?):(\d+)\$", words)
    if latch:
        net = places.said(latch[1]).removeprefix(f"{top}.")
        return f"{places.said(latch[2])}:{latch[3]}: {net} is a latch, but a unit must have flip-flops only"
    words = re.sub(r"TOK_(\w+)", _token, places.said(words).replace("$abstract", "")).strip()
    words = re.sub(r"Can't find object for defparam `(\S+)`!", r"this module has no parameter \1", words)
    if words.startswith("Can't open include file"):
        return f"{first}: {words.rstrip('!')}; give its folder with --include"
    if file is None:
        return f"{first}: {words}"
    if Path(file).name == f"{_WRAPPER}.sv":
        return f"parameters of {top} must be Verilog constants: {words}"
    hint = "; name what is in a package as package::name" if "unexpected 'import'" in words else ""
    return f"{places.said(file)}:{line}: {words}{hint}"


def _token(match: re.Match[str]) -> str:
    """What Yosys' grammar calls a word, as a person does."""
    name = match[1].lower()
    return {"id": "a name", "constval": "a number", "string": "a string"}.get(name, f"'{name}'")


def _check_modules(text: str, places: _Places, first: Path) -> None:
    """Refuse modules that are missing, or are there as ports only."""
    known = set(re.findall(r"^(?:attribute (?!\\blackbox ).*\n)*module (\S+)$", text, re.M))
    boxes = set(re.findall(r"^attribute \\blackbox .*\n(?:attribute .*\n)*module (\S+)$", text, re.M))
    for cell in _cells(text):
        if not cell.kind.startswith("$") and cell.kind not in known - boxes:
            where = places.place(cell.src, first)
            raise HwgenError(
                f"synth: {where}: module {_public(cell.kind)} is not defined; give its file with --verilog"
            )


def _check_nets(text: str, checked: str, places: _Places, top: str, first: Path) -> None:
    """Refuse tri-state nets, and nets with no driver, several of them, or a loop."""
    wires = _wire_places(text)

    def refused(net: str, words: str) -> HwgenError:
        shown = _public(net).removeprefix(f"{top}.")
        return HwgenError(f"synth: {places.place(wires.get(shown.split('[')[0], ''), first)}: {shown} {words}")

    both_ways = re.search(r"^ *wire .*inout \d+ (?:signed )?(\S+)$", text, re.M)
    if both_ways:
        raise refused(both_ways[1], "is an inout port, but ports of a unit must be inputs or outputs")
    for cell in _cells(text):
        if any(re.search(r"\d'[01xz-]*z", signal) for signal in cell.connections.values()) or "tribuf" in cell.kind:
            raise HwgenError(
                f"synth: {places.place(cell.src, first)}: tri-state nets (value z) cannot be mapped; use a multiplexer"
            )
    if _TRI_STATE.search(text):
        raise HwgenError(f"synth: {first}: tri-state nets (value z) cannot be mapped; use a multiplexer")
    for pattern, words in (
        (r"multiple conflicting drivers for (.*):$", "has several drivers, but must have one"),
        (r"Wire (.*) is used but has no driver\.", "is read, but nothing drives it"),
        (r"found logic loop in module [^\n]*:\n(?:.*\n)*?    wire (\S+)", "is in a loop of logic without a flip-flop"),
    ):
        found = re.search(pattern, checked, re.M)
        if found:
            raise refused(found[1], words)
    if "found logic loop" in checked:
        raise HwgenError(f"synth: {first}: {top} has a loop of logic without a flip-flop")


def _unit(
    text: str, gates: str, places: _Places, top: str, files: tuple[Path, ...], parameters: dict[str, str]
) -> VerilogUnit:
    wires = sorted(_PORT.finditer(text), key=lambda match: int(match[3]))
    ports = tuple(PortInfo(_public(match[4]), match[2], int(match[1] or 1), "") for match in wires)
    found: dict[str, Register] = {}
    clocks: dict[str, str] = {}
    for cell in _cells(gates):
        where = places.place(cell.src, files[0])
        if _LATCH.match(cell.kind):
            raise HwgenError(f"synth: {where}: {cell.output} is a latch, but a unit must have flip-flops only")
        if cell.kind.startswith("$mem"):
            raise HwgenError(f"synth: {where}: memory {cell.memory} cannot be made of flip-flops of one clock")
        if cell.kind == "$pow":
            raise HwgenError(f"synth: {where}: powers (**) of what is no constant cannot be mapped")
        if _FLIP_FLOP.fullmatch(cell.kind):
            found.setdefault(cell.kind, Register(cell.kind, cell.output, where))
            clocks.setdefault(_public(cell.connections["\\C"]), where)
    if not any(port.direction == "output" for port in ports):
        raise HwgenError(f"synth: {files[0]}: {top} must have outputs: without them nothing of it is left")
    clock = _clock(clocks, ports, top, files)
    edges = {match[2] for kind in found if (match := _FLIP_FLOP.fullmatch(kind))}
    if len(edges) > 1:
        raise HwgenError(f"synth: {files[0]}: flip-flops of {top} must take one edge of {clock}, not both")
    initial = re.findall(r"^ *attribute \\init .*\n(?: *attribute .*\n)* *wire .*?(\S+)$", text, re.M)
    return VerilogUnit(
        top=top,
        files=files,
        parameters=parameters,
        part=Part(top, top, 1, _ATTRIBUTE.sub("", text), (), True),
        ports=ports,
        clock=clock,
        falling=edges == {"N"},
        registers=tuple(found.values()),
        gates=gates,
        initial=tuple(sorted(map(_public, initial))),
    )


def _clock(clocks: Mapping[str, str], ports: Sequence[PortInfo], top: str, files: Sequence[Path]) -> str | None:
    """The one clock, an input of one bit; ``clocks`` are nets with the place of a flip-flop each."""
    if len(clocks) > 1:
        named = sorted(net for net in clocks if not net.startswith("$"))
        nets = named if len(named) == len(clocks) else [*named, "logic"]
        last = nets[-1] if len(nets) <= 3 else f"{len(nets) - 2} more"
        shown = f"{', '.join(nets[:-1][:2])} and {last}" if len(nets) > 1 else "several signals of logic"
        raise HwgenError(f"synth: {files[0]}: flip-flops of {top} must share one clock, not {shown}")
    for net, where in clocks.items():
        if not any(port.name == net and port.width == 1 and port.direction == "input" for port in ports):
            shown = "logic" if net.startswith("$") else net
            raise HwgenError(f"synth: {where}: the clock must be an input port of {top} of one bit, not {shown}")
        return net
    return None


def check_registers(unit: VerilogUnit, library: Library, timeout_s: float) -> tuple[str, ...]:
    """Names of a library's flip-flops that a unit takes, beside those that tiles take.

    Raises `HwgenError` for the first kind that the library has not.
    """
    if all(_PLAIN.match(register.kind) for register in unit.registers):
        return ()
    with tempfile.TemporaryDirectory(prefix="hwgen-verilog-") as name:
        folder = Path(name)
        (folder / "gates.il").write_text(unit.gates)
        steps = [
            f"read_rtlil {folder / 'gates.il'}",
            "setattr -unset init",
            "dffunmap -ce-only",
            f"dfflibmap -liberty {slimmed(library).shapes}",
            f"write_rtlil {folder / 'mapped.il'}",
        ]
        (folder / "script.ys").write_text("\n".join([*steps, ""]))
        done = finished(folder / "script.ys", unit.top, timeout_s)
        if done.returncode:
            raise HwgenError(f"synth: {_lacking(done.text, unit, library)}")
        cells = list(_cells((folder / "mapped.il").read_text()))
    left = {cell.kind for cell in cells if _FLIP_FLOP.fullmatch(cell.kind)}
    for register in unit.registers:
        if _without_enable(register.kind) in left:
            raise HwgenError(f"synth: {_has_none(register, library)}")
    own = [cell for cell in cells if (known := library.cells.get(_public(cell.kind))) and known.flip_flop]
    if unit.falling and not any(_public(net) == unit.clock for cell in own for net in cell.connections.values()):
        raise HwgenError(
            f"synth: {unit.registers[0].place}: flip-flops of {unit.top} take the falling edge of {unit.clock}, for "
            f"which {library.name} has no flip-flop"
        )
    return tuple(sorted({_public(cell.kind) for cell in own}))


def _without_enable(kind: str) -> str:
    """A kind of flip-flop once its enable is a gate before it."""
    match = _FLIP_FLOP.fullmatch(kind)
    if match is None or not match[1].endswith("E"):
        return kind
    return f"$_{match[1].replace('CE', 'E').removesuffix('E')}_{match[2]}{match[3][:-1]}_"


def _has_none(register: Register, library: Library) -> str:
    return f"{register.place}: {register.name} has {register.what}, for which {library.name} has no flip-flop"


def _lacking(text: str, unit: VerilogUnit, library: Library) -> str:
    refused = re.search(r"\(type (\S+)\) cannot be legalized", text)
    for register in unit.registers:
        if refused and _without_enable(register.kind) == refused[1]:
            return _has_none(register, library)
    words = _ERROR.search(text)
    return f"Yosys must map flip-flops of {unit.top}, but stopped: {words[3] if words else 'without a message'}"
