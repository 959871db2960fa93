"""The `headwater` command. Each subcommand lies in its own file and is imported when it is used."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from typing import Any

import click

from headwater.cli.reading import read_on
from headwater.errors import ConfigurationError, HeadwaterError

__all__ = ["cli", "main"]

COLLECT_EACH = 50_000
"""Objects a command may make between two looks for garbage: what it loads is none."""
_COMMANDS = {
    "check": ("headwater.cli.inspect:check", "Check boundaries, contracts and configuration."),
    "client": ("headwater.cli.client:client", "Write a typed client of the application."),
    "dead": ("headwater.cli.data:dead", "Deliveries that were given up: list, show, replay, drop."),
    "dev": ("headwater.cli.dev:dev", "Run, reload on change, deliver events badly on purpose."),
    "events": ("headwater.cli.data:events", "Look at events: tail, show."),
    "explain": ("headwater.cli.inspect:explain", "Print the whole chain of a contract."),
    "help": ("headwater.cli.help:help_command", "What an error code means, and what to do."),
    "key": ("headwater.cli.key:key", "API keys for programs: new."),
    "new": ("headwater.cli.new:new", "Write a small working application."),
    "openapi": ("headwater.cli.openapi:openapi", "Print the OpenAPI document of an API."),
    "projections": ("headwater.cli.data:projections", "Read models: list, rebuild."),
    "routes": ("headwater.cli.inspect:routes", "List the routes."),
    "run": ("headwater.cli.run:run", "Run the application."),
    "subscriptions": ("headwater.cli.data:subscriptions", "How far each subscription has come."),
    "token": ("headwater.cli.token:token", "Make a development token."),
}


class _Group(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, said) for name, (_, said) in _COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-"):
            import difflib

            close = difflib.get_close_matches(name, _COMMANDS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else "see headwater --help"
            raise click.UsageError(f"there is no command {name!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--app", metavar="MODULE:ATTR", help="The application; else HEADWATER_APP, else [tool.headwater].")
@click.option("--traceback", is_flag=True, help="Show where in the code an error comes from.")
@click.version_option(None, "--version", package_name="headwater", message="headwater %(version)s")
@click.pass_context
def cli(ctx: click.Context, app: str | None, traceback: bool) -> None:
    """Write a backend once, as modules; run it as one process or as many."""
    ctx.obj = {"app": app, "traceback": traceback}


def main(args: list[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 a finding or refusal, 2 usage or configuration, 130 Ctrl-C."""
    arguments = sys.argv[1:] if args is None else args
    gc.set_threshold(COLLECT_EACH, 10, 10)
    try:
        code = cli.main(arguments, prog_name="headwater", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        code = 2
    except BrokenPipeError:
        # whoever read us has left; the interpreter must not complain about it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    except (click.Abort, KeyboardInterrupt):
        code = 130
    except HeadwaterError as error:
        if "--traceback" in arguments:
            raise
        click.echo(_sentence(error), err=True)
        code = 2 if isinstance(error, ConfigurationError) else 1
    sys.exit(code if isinstance(code, int) else 0)


def _sentence(error: HeadwaterError) -> str:
    where = getattr(error, "where", None)
    code = "refused" if error.code == "error" else error.code
    return f"{where or 'error'}: {code}: {error}\n{read_on(code)}"
