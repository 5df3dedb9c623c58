"""Command line: one small module a subcommand, imported when it is used."""

from __future__ import annotations

import importlib
import os
import pkgutil
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from hwgen import __version__
from hwgen.errors import HwgenError, suggest

__all__ = ["main"]

_ORDER = (
    *("list", "show", "emit", "verify", "run", "synth", "energy", "calibrate"),
    *("estimate", "sweep", "demo", "model", "doctor"),
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


def _fail(message: str) -> NoReturn:
    click.echo("hwgen: " + " ".join(message.split()), err=True)
    sys.exit(2)


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line.

    A user's mistake is one line on stderr and status 2; Ctrl-C one line and 130; a closed pipe ends quietly.
    """
    try:
        status = group.main(args=arguments, prog_name="hwgen", standalone_mode=False)
        sys.stdout.flush()
    except HwgenError as error:
        _fail(str(error))
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        context: click.Context | None = getattr(error, "ctx", None)
        where = context.command_path.removeprefix("hwgen ") + ": " if context else ""
        _fail(where + error.format_message())
    except (click.Abort, KeyboardInterrupt):
        click.echo("hwgen: interrupted", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader has seen enough. Point stdout elsewhere, or Python complains when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(status if isinstance(status, int) else 0)
