"""Command line: one small module a subcommand, imported when it is used."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import click

from hwgen.cli._streams import ClosedPipe, drop_output, guarded_streams, say_error
from hwgen.errors import HwgenError, HwgenWarning, suggest
from hwgen.version import __version__

__all__ = ["main"]

_ORDER = (
    *("list", "show", "emit", "constant", "verify", "prove", "check", "run", "synth", "energy", "calibrate"),
    *("estimate", "sweep", "pareto", "query", "sensitivity", "report", "realise", "workload", "accuracy", "reproduce"),
    *("demo", "model", "cache", "doctor"),
)


class _Commands(click.Group):
    """Finds ``hwgen.cli.<name>.command`` by scanning this folder; nothing is imported before it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        found = [name for _, name, _ in pkgutil.iter_modules([str(Path(__file__).parent)]) if not name.startswith("_")]
        return sorted(found, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"hwgen.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            names = self.list_commands(ctx)
            raise HwgenError(f"no command {args[0]!r}{suggest(args[0], names)}; commands: {', '.join(names)}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="hwgen")
def group() -> None:
    """Generate, verify and explore hardware for quantised neural-network accelerators."""


_LONG_WORD = re.compile(r"(\S{100})\S{60,}(\S{40})")
_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class _Ended(BaseException):
    """Another process asked this one to end."""

    def __init__(self, number: int) -> None:
        self.number = number


def _end(number: int, frame: object) -> NoReturn:
    # Once is enough: what is cleaned up now must not be interrupted by an impatient second one.
    for one in _SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    raise _Ended(number)


@contextlib.contextmanager
def _orderly_end() -> Iterator[None]:
    """A polite signal ends the program as an exception: children are killed, temporary files removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # A signal that is ignored already (nohup) stays ignored.
    before = {one: signal.getsignal(one) for one in _SIGNALS if signal.getsignal(one) is signal.SIG_DFL}
    for one in before:
        signal.signal(one, _end)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _told(message: str, status: int) -> int:
    """One line, whatever the message holds: no line breaks, no words of a thousand letters."""
    # What was under way is thrown away half-built, of which Amaranth would remind.
    warnings.filterwarnings("ignore", message=".* created but never used")
    say_error("hwgen: " + _LONG_WORD.sub(r"\1…\2", " ".join(message.split())))
    return status


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """A warning that is meant for users is one line; others are as Python has them."""
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *about: Any) -> None:
        if issubclass(category, HwgenWarning):
            say_error("hwgen: " + " ".join(str(message).split()))
        else:
            before(message, category, *about)

    warnings.showwarning = show  # type: ignore[assignment]
    try:
        yield
    finally:
        warnings.showwarning = before


def _run(arguments: list[str] | None) -> int:
    """Exit status of a command line."""
    try:
        status = group.main(args=arguments, prog_name="hwgen", standalone_mode=False)
        return status if isinstance(status, int) else 0
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except HwgenError as error:
        return _told(str(error), error.status)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 2
    except click.ClickException as error:
        context: click.Context | None = getattr(error, "ctx", None)
        where = context.command_path.removeprefix("hwgen ") + ": " if context else ""
        return _told(where + error.format_message(), 2)
    except (click.Abort, KeyboardInterrupt):
        return _told("interrupted", 130)
    except _Ended as error:
        return _told("terminated", 128 + error.number)
    except MemoryError:
        return _told("not enough memory", 1)
    except OSError as error:
        # No command lets these through where it knows better: what is left is the ground's.
        name = f"{error.filename}: " if error.filename else ""
        return _told(f"{name}{error.strerror or error}", 1)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line.

    A user's mistake is one line on stderr and status 2; what the machine refuses (a full disk, a closed standard
    output) one line and 1; Ctrl-C one line and 130; a reader of standard output that has seen enough ends it quietly.
    """
    with guarded_streams(), _orderly_end(), _plain_warnings():
        try:
            status = _run(arguments)
            sys.stdout.flush()
        except ClosedPipe:
            drop_output()
            status = 0
        except HwgenError as error:
            # Standard output, which failed only when it was emptied. A first word about it is enough.
            drop_output()
            status = status if status == 1 else _told(str(error), 1)
    sys.exit(status)
